# src/account/leaderboards.sql
# a clock that was ahead for a moment closes a day that still runs
# pgtap/leaderboards.sql
s/p\.awaits IS NOT NULL AND p\.last_day >= today/false/
s/ AND o\.last_day < \(economy\.now\(\) AT TIME ZONE 'UTC'\)::date//
