# src/account/missions.sql
# values that are not those of the entries are no difference
# pgtap/mission_kinds.sql
s/^            WHERE \(e.state, e.progress, e.since, e.kept\)$/            WHERE (e.state, e.progress, e.since, s.kept)/
