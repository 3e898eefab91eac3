# src/play/play.sql
# a rollup does not tell the leaderboards whom it has added actions of
# pgtap/leaderboards.sql
s/WHERE EXISTS \(SELECT FROM economy.leaderboards b WHERE b.active\)/WHERE false/
