# src/ledger/guard.c
# entries in tables below a journal may be dropped
# tap/030_drop.pl
s/relid = parent_of\(relid\);/relid = OidIsValid(parent_of(relid)) ? InvalidOid : InvalidOid;/
