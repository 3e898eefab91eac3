# src/ops/ops.sql
# a monitor may run jobs
# pgtap/access.sql
s/'operator', 'PROCEDURE economy.run_job/'monitor', 'PROCEDURE economy.run_job/
