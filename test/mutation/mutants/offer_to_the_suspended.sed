# src/shop/purchase.c
# a page of the shop lets a suspended user buy
s/refusal = account->suspended \? "USER_SUSPENDED" : check_product/refusal = check_product/
