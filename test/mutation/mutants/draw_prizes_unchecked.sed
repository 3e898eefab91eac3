# src/hold/draw.c
# whether a prize can be given is asked when it has been drawn
# pgtap/draws.sql
s/: eco_prizes_refusal\(.*$/: NULL;/
