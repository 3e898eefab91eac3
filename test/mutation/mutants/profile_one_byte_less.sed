# src/account/change.c
# a profile of just the size allowed is refused
# pgtap/user_changes.sql
s/> ECO_MAX_JSON\)/>= ECO_MAX_JSON)/
