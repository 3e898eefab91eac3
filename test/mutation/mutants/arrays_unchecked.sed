# src/reward/grants.c
# many rewards in one call may take gold, and come from a reserved source
# pgtap/reward_batch.sql
s/eco_grant_check\(grant, eco_element_number\(element\), any_source\);//
