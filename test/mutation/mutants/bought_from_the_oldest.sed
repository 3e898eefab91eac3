# src/ledger/rows_direct.c
# a scan backwards goes forwards
s/BackwardScanDirection : ForwardScanDirection/ForwardScanDirection : ForwardScanDirection/
