# src/ops/job.c
# a job stays in the isolation level of its session
# tap/710_schedule.pl
s/XactIsoLevel = XACT_READ_COMMITTED;/;/
