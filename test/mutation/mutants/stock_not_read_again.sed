# src/shop/stock.c
# a slot's units are not looked at again under its lock
/eco_row_lock\(row, 0, ECO_SKIP\) == ECO_LOCK_BUSY \|\|/{N;s/ \|\|\n.*/)/;}
