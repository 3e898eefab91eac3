# src/fraud/rate.sql
# a clock that was set back keeps subjects out until it is where it was
# pgtap/rate_limits.sql
s/ahead := least\(greatest\(ahead, 0\), burst\);/ahead := greatest(ahead, 0);/
