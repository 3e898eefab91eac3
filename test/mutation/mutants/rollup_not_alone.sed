# src/play/play.sql
# two rollups may run at once
/-- one rollup at a time/,+1d
