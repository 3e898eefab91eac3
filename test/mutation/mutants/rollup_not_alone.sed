# src/play/play.sql
# two rollups may run at once
# isolation/play_prune_jobs
/-- one rollup at a time/,+1d
