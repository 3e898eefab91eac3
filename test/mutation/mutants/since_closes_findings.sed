# src/ops/audit.sql
# a sweep that is not full closes the findings it did not look for
# pgtap/audit_runs.sql
s/r.run_id = audit_finish.run_id AND r.kind = 'full' AND k.gone/r.run_id = audit_finish.run_id AND k.gone/
