# src/shop/purchase.c
# products() shows the stock that a purchase would leave
# pgtap/shop_page.sql
s/p->stock_left \+= p->quantity;/p->stock_left += 0;/
