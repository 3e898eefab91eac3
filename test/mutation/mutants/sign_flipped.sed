# src/account/adjust.c
# an adjustment goes the wrong way
# isolation/same_user_adjust
s/entry.gold_delta = delta;/entry.gold_delta = -delta;/
