# src/play/play.sql
# a player with 20 games is not looked at
# pgtap/play_anomalies.sql
s/WHERE p.games >= 20/WHERE p.games > 20/
