# src/play/leaderboard.sql
# a user's place is looked up by the index of places, which reads the board, until statistics tell better
# pgtap/growth.sql
s/WHERE \(o\.user_id, o\.board, o\.first_day\) >= \(f\.user_id, f\.board, f\.first_day\)/WHERE o.user_id = f.user_id AND o.board = f.board AND o.first_day = f.first_day/
