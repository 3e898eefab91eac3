# src/account/debts.sql
# a debt behind one that has taken all the gold is tried, and fails
# pgtap/refunds.sql
s/CONTINUE WHEN NOT found OR have = 0;/CONTINUE WHEN NOT found;/
