# src/mission/distinct.c
# a refund takes a value that another purchase has
# pgtap/mission_kinds.sql
s/if \(place.times > 1\)/if (place.times > 2)/
