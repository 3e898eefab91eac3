# src/account/adjust.c
# an adjustment goes the wrong way
s/entry.gold_delta = delta;/entry.gold_delta = -delta;/
