# src/fraud/rate.sql
# two that take at once both take
# isolation/rate_limit
s/^                FOR NO KEY UPDATE;/                ;/
