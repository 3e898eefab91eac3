# src/ops/audit.sql
# each batch of the audit begins with the last user of the one before
# pgtap/audit_damage.sql
s/THEN batch.upto_user \+ 1 END WHERE r.run_id = run.run_id/THEN batch.upto_user END WHERE r.run_id = run.run_id/
