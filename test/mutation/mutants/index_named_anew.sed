# src/ops/schema.sql
# what is said of an index goes with the name that it has by now
# pgtap/audit_schema.sql
s/format\('index %s\.%s of %s', x\.relnamespace::regnamespace, x\.relname, c\.relname\)/format('index %s of %s', x.oid::regclass, c.relname)/
