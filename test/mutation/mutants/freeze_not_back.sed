# src/reward/reverse.c
# freezes that a claim used are not there again when its date is
# pgtap/streak_freezes.sql
s/account->freezes \+= DatumGetInt32/account->freezes += 0 * DatumGetInt32/
