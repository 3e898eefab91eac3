# src/play/leaderboard.sql
# of very many users on a place as many as were counted are before the next one
# pgtap/leaderboards.sql
s/WHEN ties < 1000 THEN/WHEN ties <= 1000 THEN/
