# src/ledger/keys.c
# a session that missed changes signs with the key that it knows
# isolation/missed_changes
s/if \(relid != InvalidOid && relid != keys_relid\)/if (relid != keys_relid)/
