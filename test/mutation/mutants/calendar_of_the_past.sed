# src/ledger/rows.c
# a claim pays by the calendar of an old snapshot
# isolation/daily_rewards
s/return begin_of_newest\((.*), ECO_BEFORE,/return scan_begin(\1, ECO_BEFORE,/
