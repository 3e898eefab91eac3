# src/core/webhook.c
# of a signature so much is compared as was sent
# pgtap/payment_providers.sql
s/\(const uint8_t \*\) expected, len\);/(const uint8_t *) expected, part.len - strlen(version));/
