# src/ledger/rows_direct.c
# above READ COMMITTED a newer account is locked as if it were the one read
s/wait == ECO_WAIT && !IsolationUsesXactSnapshot\(\)/wait == ECO_WAIT/
