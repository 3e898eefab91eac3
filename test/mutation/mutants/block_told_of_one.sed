# src/ledger/rows_direct.c
# an index that sums up blocks is told of the first of several values that a block gets
# regress/rows
s/for \(int i = 0; i < index->rd_att->natts; i\+\+\)/for (int i = 0; i < 0; i++)/
