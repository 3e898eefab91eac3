# src/ledger/keys.c
# other sessions go on with a key that is no longer active
# isolation/signing_key
/^set_state\(/,/^}/s/key_changed\(\);/;/
