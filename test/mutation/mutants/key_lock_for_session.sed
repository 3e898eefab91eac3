# src/ledger/call.c
# a key lock got after a wait stays for the session
# tap/110_repack.pl
/pg_usleep/,/return true/s/ExclusiveLock, false, true/ExclusiveLock, true, true/
