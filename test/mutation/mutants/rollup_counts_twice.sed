# src/play/play.sql
# the last action of a rollup is in the next one too
# pgtap/play_rollup.sql
s/t.seq > f.after_seq/t.seq >= f.after_seq/
