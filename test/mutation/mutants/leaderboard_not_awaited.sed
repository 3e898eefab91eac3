# src/account/leaderboards.sql
# a period is closed while a transaction that ran at its end may commit an action of it
# isolation/play_leaderboards
s/ AND p.awaits = '\{\}'//
