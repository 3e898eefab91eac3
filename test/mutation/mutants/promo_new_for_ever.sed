# src/shop/promo.c
# a code for new users serves everybody
# pgtap/promo_codes.sql
s/&& !is_new\(ask->account\)/\&\& !is_new(ask->account) \&\& false/
