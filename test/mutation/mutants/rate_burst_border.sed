# src/fraud/rate.sql
# a whole burst cannot be taken
# pgtap/rate_limits.sql
s/ELSIF ahead \+ step \* quantity > burst THEN/ELSIF ahead + step * quantity >= burst THEN/
