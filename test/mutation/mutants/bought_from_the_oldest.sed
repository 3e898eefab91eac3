# src/ledger/rows_direct.c
# a scan backwards goes forwards
# pgtap/shop_page.sql
s/BackwardScanDirection : ForwardScanDirection/ForwardScanDirection : ForwardScanDirection/
