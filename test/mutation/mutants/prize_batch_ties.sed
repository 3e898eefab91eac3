# src/account/prizes.sql
# a batch of prizes that ends within a place pays some of it again, and others not
# pgtap/leaderboards.sql
s/ORDER BY w.place DESC, w.user_id DESC\)\)\[1\]/ORDER BY w.place DESC, w.user_id))[1]/
