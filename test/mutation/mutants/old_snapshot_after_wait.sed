# src/ledger/call.c
# no new snapshot is taken after the account was waited for
# isolation/waits
/lock = lock_accounts\(call/,/if \(lock/{
	/eco_snapshot_renew/d
}
