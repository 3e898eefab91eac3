# src/ledger/rows_direct.c
# of two keys with one digest only the first one is looked up
s/for \(; i < n && digests\[i\] == digest; i\+\+\)/if (i < n \&\& digests[i] == digest)/
