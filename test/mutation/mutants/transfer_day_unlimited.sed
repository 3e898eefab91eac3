# src/hold/transfer_rules.c
# the limit of a day holds for nobody
# pgtap/transfer.sql
s/if \(rules->daily_gold < 0 \|\|/if (true ||/
