# src/segment/learn.sql
# a user's newest decision is removed too, and its number given again
s/l.user_id = d.user_id AND l.number > d.number\)/l.user_id = d.user_id AND l.number >= d.number)/
