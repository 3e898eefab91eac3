# src/mission/observe.c
# what a mission pays begins it again
# pgtap/mission_kinds.sql
s/^	if \(mission->cycle.anew == ECO_ANEW_AFTER_CLAIM && is_claim\(entry\)\)$/	if (false)/
