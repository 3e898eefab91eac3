# src/hold/prize.c
# two who draw the last prize at once both get it
# isolation/draws
s/lock = eco_row_lock\(row, 0, ECO_WAIT\)/lock = ECO_LOCKED/
