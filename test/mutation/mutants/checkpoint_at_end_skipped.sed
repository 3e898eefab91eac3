# src/ledger/verify.c
# a stream that ends at its checkpoint is not compared with it
# pgtap/proof.sql
/^\tif \(!v->behind_checkpoint\)$/{
	N
	/pass_checkpoint/d
}
