# src/shop/limit.c
# who gives one product back is free of the limits of others
# pgtap/shop_units.sql
s/units->row_stored \? has_other_rows\(units\) : has_rows\(account\)/units->row_stored ? false : has_rows(account)/
