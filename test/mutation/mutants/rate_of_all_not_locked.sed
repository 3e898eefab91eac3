# src/fraud/rate.sql
# as many as there are at most are taken without the lock
# isolation/rate_limit
s/quantity BETWEEN 1 AND rate.burst THEN/quantity BETWEEN 1 AND rate.burst - 1 THEN/
