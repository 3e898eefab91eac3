# src/hold/seed.c
# seeds that a transaction has not seen stay sealed with the key that it retires
# isolation/draws
s/eco_tables_open\(ECO_WRITE_LATEST, seeds\)/eco_tables_open(ECO_WRITE, seeds)/
