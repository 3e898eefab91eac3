# src/mission/template.c
# a session that missed changes goes on with the missions that it knows
# isolation/missed_changes
s/relid == kept\.oid \|\| relid == InvalidOid \|\|/relid == kept.oid ||/
