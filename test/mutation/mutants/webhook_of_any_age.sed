# src/core/webhook.c
# a webhook of any age passes
# pgtap/payment_providers.sql
s/webhook->sent_at < now - ECO_WEBHOOK_TOLERANCE/webhook->sent_at < 0/
