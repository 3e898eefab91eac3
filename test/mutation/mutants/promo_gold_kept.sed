# src/shop/promo.sql
# a refund gives the use of a code back, and not its gold
# pgtap/promo_codes.sql
s/add_to_promo\(used\.code \|\| '\/gold', used\.gold, 1\)/add_to_promo(used.code || '\/gold', 0, 1)/
