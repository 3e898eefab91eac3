# src/ledger/mark.c
# a prune brings the audit's mark up, but not its experience points
# pgtap/play_prune.sql
/^eco_mark_move/,/^}/{/MRK_XP, Int64GetDatum/d}
