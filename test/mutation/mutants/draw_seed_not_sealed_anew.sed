# src/hold/seed.c
# seeds are lost with a key that is retired
# pgtap/draws.sql
s/^\teco_key_retire_hook = .*$//
