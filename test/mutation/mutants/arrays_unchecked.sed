# src/reward/grants.c
# rewards that are given as arrays may take gold, and come from a reserved source
s/eco_grant_check\(grant, i\);//
