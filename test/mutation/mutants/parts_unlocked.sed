# src/ledger/rows_spread.c
# the user's partition is not locked before the snapshot is taken
# tap/130_partitions.pl
/^eco_spread_lock/,/^}/{
	/whole->locked >= 0/d
	/^\t\tLockRelationOid/d
	s/^\telse$/\tif (whole->locked < 0)/
}
