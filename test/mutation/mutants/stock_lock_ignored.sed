# src/shop/stock.c
# a slot is sold from although somebody else has it
# isolation/stock_purchase
s/eco_row_lock\(row, 0, ECO_SKIP\) != ECO_LOCKED/eco_row_lock(row, 0, ECO_SKIP) == ECO_LOCK_GONE/
