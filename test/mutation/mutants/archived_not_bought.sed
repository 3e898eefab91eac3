# src/shop/limit.c
# the shop offers again what may be bought once, when its purchase was archived
# tap/440_archive.pl
s/bought->n = account->pruned_seq > 0 \? -1 :/bought->n =/
