# src/ledger/rows_open.c
# the snapshot is taken before the tables are opened
# isolation/rewrite
/^open_tables/,/^}/{
	/^\tpush_snapshot/d
	s/^\tfor \(int i/\tpush_snapshot(open);\n&/
}
