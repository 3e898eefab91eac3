# src/ops/ops.sql
# a monitor may run jobs
s/'operator', 'PROCEDURE economy.run_job/'monitor', 'PROCEDURE economy.run_job/
