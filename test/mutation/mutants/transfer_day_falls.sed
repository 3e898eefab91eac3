# src/hold/sent.c
# a clock that goes back begins a new day of transfers
# pgtap/transfer.sql
s/today > sent->day/today != sent->day/
