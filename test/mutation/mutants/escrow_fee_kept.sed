# src/hold/escrow_close.c
# the fee of what is given back is kept
# pgtap/escrow.sql
s/c->escrow\.gold \+ c->escrow\.fee - /c->escrow.gold - /
