# src/play/play.sql
# the last action of a rollup is in the next one too
s/t.seq > f.after_seq/t.seq >= f.after_seq/
