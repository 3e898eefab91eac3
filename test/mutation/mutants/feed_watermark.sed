# src/realtime/realtime.sql
# the feed goes by a watermark and loses late commits
s/AND NOT pg_visible_in_snapshot\(l.xact::text::xid8, \$1\)/AND l.xact >= pg_snapshot_xmax($1)::text::bigint/
