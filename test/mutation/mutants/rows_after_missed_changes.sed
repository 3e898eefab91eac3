# src/ledger/rows_relation.c
# a session that missed changes does not know what stands at a journal
# isolation/missed_changes
s/if \(relid == InvalidOid \|\| relid == cache->relid\)/if (relid == cache->relid)/
