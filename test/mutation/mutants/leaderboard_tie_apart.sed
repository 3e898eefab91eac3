# src/play/leaderboard.sql
# who has the same place is counted as in front
# pgtap/leaderboards.sql
s/s.place >= own AND s.place < leaderboard_rank.place/s.place >= own AND s.place <= leaderboard_rank.place/
