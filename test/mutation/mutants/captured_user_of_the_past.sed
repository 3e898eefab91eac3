# src/play/capture.c
# users of captured rows are those that the transaction sees
# isolation/play_capture
s/eco_tables_open\(ECO_READ_LATEST, tables\)/eco_tables_open(ECO_READ, tables)/
