# src/hold/prize.c
# whether XP can be given is asked when they have been drawn
# pgtap/draws.sql
s/table->most_gold, table->most_xp/table->most_gold, 0/
