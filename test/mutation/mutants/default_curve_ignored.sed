# src/ledger/level.c
# the curve of everybody is nobody's
# pgtap/level_experiments.sql
s/return curve != NULL \? curve : everybodys;/return curve != NULL ? curve : everybodys[0] == 0 ? everybodys : ECO_LINEAR_CURVE;/
