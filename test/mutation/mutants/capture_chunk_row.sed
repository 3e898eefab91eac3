# src/play/capture.c
# the row behind each chunk is read and not recorded
s/i < CHUNK_ROWS && \(\*more = next_row\(trigger, was, is\)\)/(*more = next_row(trigger, was, is)) \&\& i < CHUNK_ROWS/
