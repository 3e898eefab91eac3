# src/hold/escrow_close.c
# an escrow is passed on after its time
# pgtap/escrow.sql
s/c->at >= c->escrow\.expires_at/false/
