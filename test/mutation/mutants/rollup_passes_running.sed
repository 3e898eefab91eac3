# src/play/play.sql
# actions of the oldest transaction that runs are passed over
# isolation/play_rollup
s/WHERE t.position >= %s GROUP/WHERE t.position > %s GROUP/
