# src/ledger/call.c
# of the two of a transfer the sender is locked first
# tap/350_transfer_race.pl
s/call->of_two && call->other_id < call->user_id;/false;/
