# src/play/play.sql
# a prune locks accounts in the order of their oldest actions
s/\) d ORDER BY d\.user_id LOOP/) d LOOP/
