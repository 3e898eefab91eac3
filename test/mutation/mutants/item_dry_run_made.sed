# src/hold/change.c
# a dry run makes the entry
# pgtap/holdings.sql
s/^\tif \(c->dry_run\)$/\tif (c->dry_run \&\& c->gold > 1000000)/
