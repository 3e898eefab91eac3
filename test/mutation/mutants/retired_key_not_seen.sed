# src/ledger/keys.c
# what was read before its key was retired is asked of the key as it is now
# isolation/signing_key_wait
s/retired \? signer_seen\(version\) : /retired ? NULL : /
