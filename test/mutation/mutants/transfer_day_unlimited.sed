# src/hold/transfer.c
# the limit of a day holds for nobody
# pgtap/transfer.sql
s/rules->isnull\[TRR_DAILY_GOLD\] \|\|/true ||/
