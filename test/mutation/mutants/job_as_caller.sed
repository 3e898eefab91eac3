# src/ops/job.c
# a job stays in the isolation level of its session
s/XactIsoLevel = XACT_READ_COMMITTED;/;/
