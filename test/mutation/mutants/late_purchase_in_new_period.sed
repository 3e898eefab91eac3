# src/shop/limit.c
# a purchase by a clock that was set back counts for the newest period
s/now >= before \? quantity : 0/quantity/
