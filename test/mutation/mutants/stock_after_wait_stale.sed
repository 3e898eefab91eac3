# src/shop/stock.c
# a slot that was waited for is sold out, whatever it holds by then
# isolation/stock_purchase
/eco_row_lock\(&slots\[held\], 0, ECO_WAIT\)/,/return/s/ECO_STOCK_AGAIN/ECO_STOCK_SOLD_OUT/
