# src/play/capture.c
# the id of a captured row depends on a setting of the session
# pgtap/play_capture.sql
s/\{"extra_float_digits", "1"\}, //
