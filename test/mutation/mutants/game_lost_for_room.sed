# src/play/stats.c
# a game that finds no room in the account is not written elsewhere
# pgtap/play_games.sql
s/^	stats->has_row = true;/	stats->has_row = false;/
