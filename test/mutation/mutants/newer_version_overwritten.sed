# src/ledger/rows_direct.c
# above READ COMMITTED a newer account is locked as if it were the one read
# isolation/in_passing_column
s/IsolationUsesXactSnapshot\(\) \? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION/TUPLE_LOCK_FLAG_FIND_LAST_VERSION/
