# src/ledger/call.c
# no new snapshot is taken after the account was waited for
# isolation/waits
/eco_account_lock\(call/,/if \(lock/{
	/eco_snapshot_renew/d
}
