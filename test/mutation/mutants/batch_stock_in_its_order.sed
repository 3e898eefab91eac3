# src/shop/purchases.c
# a batch reserves stock in its own order of products, and two wait in a circle
# isolation/purchases
s/qsort_interruptible\(wanted, n, sizeof\(EcoCallOf \*\), by_product, NULL\);//
