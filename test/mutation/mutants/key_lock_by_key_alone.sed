# src/ledger/call.c
# two products with the same key are taken for one call
# isolation/same_key
/^key_lock\(/,/^}/s/for \(int i = 0; i < call->ntexts/for (int i = call->ntexts - 1; i < call->ntexts/
