# src/hold/outcome.c
# pity comes a draw late
# pgtap/draws.sql
s/pity >= table->pity_after/pity > table->pity_after/
