# src/ledger/call.c
# no new snapshot is taken after the account was waited for
/lock = eco_account_lock/,/if \(lock/{
	/eco_snapshot_renew/d
}
