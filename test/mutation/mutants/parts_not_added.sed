# src/reward/reward.c
# the parts of a reward are not added up
# pgtap/reward_revoke.sql
s/sum->gold -= eco_row_int\(row, ECO_COL_GOLD_DELTA\);/sum->gold = 0;/
