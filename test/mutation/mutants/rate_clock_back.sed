# src/fraud/rate.sql
# a clock that was set back keeps subjects out until it is where it was
# pgtap/rate_limits.sql
s/ahead := least\(burst,/ahead := least(9000000000000000,/
