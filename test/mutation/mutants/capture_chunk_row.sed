# src/play/capture.c
# the row that follows a full chunk is lost
# pgtap/play_capture.sql
s/\(number = c->n \+ list_length\(c->changed\)\) < CHUNK_ROWS &&/(number = c->n + list_length(c->changed)) <= CHUNK_ROWS \&\&/
s/if \(read_row\(c, trigger->tg_oldtable != NULL \? was : NULL, is, action\)\)/if (number < CHUNK_ROWS \&\& read_row(c, trigger->tg_oldtable != NULL ? was : NULL, is, action))/
