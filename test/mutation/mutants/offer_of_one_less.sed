# src/shop/purchase.c
# products() shows the stock that a purchase would leave
s/p->stock_left \+= p->quantity;/p->stock_left += 0;/
