# src/hold/transfer_rules.c
# who has just come sends gold
# pgtap/transfer.sql
s/if \(rules->minimum_age_hours == 0\)/if (true)/
