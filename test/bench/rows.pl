# What is measured, and what it is held against.  To add a row, add an entry.
#
# A measure yields a rate (more is better), from one of
#   script, vars, tpcb  transactions a second of a pgbench script (with these variables)
#   script, vars, daily the same, where every user has one go in a slice, a day after the last
#   sql, work           the statement's time, as units of work (a query) a second
# and may have
#   settings   settings of its sessions
#   entries    what counts the entries made; every transaction must make `made` (1) of
#              them, so that refusals are not taken for purchases
#   listeners  idle sessions that LISTEN meanwhile
#   tables     what to vacuum after a slice
#   before     statements to run once, ahead of its first slice
#   copy       a copy of the database that it runs in, by a name in %copies: what is
#              configured there is nobody else's
#   what       a line for the legend
# A group may have `server`, settings of the server for as long as it runs.
# Its measures are interleaved: A B C A B C ...  Its rows are
#   [measure, peer, must reach, aim]  ratio of the two, median over the rounds
#   [measure, undef, must reach, aim] the rate itself
# without targets it is printed as information.  A group without clients has one session.
# A group with `value` is one figure instead: a query, with `at_most` and `aim`.
# A group with `timings` runs a script in a database of its own, with variables, and
# has targets for the work that the script reports:
#   [work, peer, less is better, must reach, aim]
use strict;
use warnings;

my $economy = {
	script  => 'purchase', vars => { product => 'item' },
	entries => 'SELECT sum(seq) FROM economy.accounts',
	tables  => 'economy.accounts, economy.shop_transactions, economy.shop_stock',
};
my $twin = {
	script  => 'twin', vars => { product => 'item', notify => 'false' },
	entries => 'SELECT sum(seq) FROM bench.twin_accounts',
	tables  => 'bench.twin_accounts, bench.twin_journal, bench.stock',
};

# what a user would write himself in ten lines
sub lean
{
	my ($script, $what, %more) = @_;
	return {
		script => $script, vars => {}, settings => { search_path => 'lean' }, entries => 'SELECT lean.entries()',
		tables => 'lean.accounts, lean.purchases, lean.rewards, lean.actions, lean.stats, lean.streaks, lean.holdings, lean.uses, lean.transfers', what => $what, %more };
}

our %measures = (
	'lean INSERT' => { script => 'lean_insert', vars => {}, tables => 'lean.log',
		what => 'a row of four columns under an identity key' },
	'lean purchase' => lean('lean_purchase', 'PL/pgSQL: a price, a balance, a row under a unique key; nothing else', vars => { product => 'item' }),
	'lean purchases' => lean('lean_purchases', 'PL/pgSQL: the lean purchase in a loop, 1,000 a call', vars => { items => 1000 }, made => 1000),
	'lean grant' => lean('grant', 'PL/pgSQL: a balance, a row under a unique key'),
	'lean grants' => lean('lean_grants', 'PL/pgSQL: the lean grant in a loop, 1,000 a call', vars => { items => 1000 }, made => 1000),
	'lean consume' => lean('consume', 'PL/pgSQL: the units of an item, a row under a unique key'),
	'lean bundle' => lean('lean_bundle', 'PL/pgSQL: the lean purchase, and an upsert of three items'),
	'lean draw' => lean('draw', 'PL/pgSQL: random(), a balance, the units of an item, a row under a unique key'),
	'lean transfer' => lean('transfer', 'PL/pgSQL: two balances, the lesser id first, a row under a unique key'),
	'lean claim' => lean('daily', 'PL/pgSQL: a streak, a balance, a row under a unique key', daily => 1),
	'lean action' => lean('action', 'PL/pgSQL: a balance, a row under a unique key, an upsert of four figures'),
	'leaderboard' => { script => 'leaderboard', vars => {}, tables => 'economy.leaderboard_scores, economy_internal.leaderboard_buckets',
		what => 'economy.leaderboard(), the first 100 of a board of all users' },
	'rank_of' => { script => 'rank_of', vars => {}, tables => 'economy.leaderboard_scores, economy_internal.leaderboard_buckets',
		what => 'economy.rank_of(), of a random user on it' },
	'rank() over the first 100' => { script => 'lean_leaderboard', vars => {}, tables => 'lean.scores',
		what => 'the same scores in a table of two columns, in the order of its index' },
	'rank() over all' => { script => 'lean_rank', vars => {}, tables => 'lean.scores',
		what => 'the rank of a random user among all scores there' },
	'SELECT of an account' => { script => 'select_account', vars => {}, tables => 'economy.accounts',
		what => 'the row of the account by its key' },
	'account' => { script => 'account', vars => {}, tables => 'economy.accounts', what => 'economy.account()' },
	'purchase' => { %$economy, settings => { 'economy.notify' => 'relay' },
		what => 'economy.purchase(), economy.notify = relay' },
	'purchase, 100 listeners' => { %$economy, settings => { 'economy.notify' => 'relay' }, listeners => 100,
		what => 'the same beside 100 sessions that LISTEN' },
	'purchase, off' => { %$economy, settings => { 'economy.notify' => 'off' },
		what => 'economy.purchase(), economy.notify = off' },
	'purchases' => { %$economy, script => 'purchases', vars => { items => 1000 }, made => 1000, settings => { 'economy.notify' => 'off' },
		what => 'purchases a second by economy.purchases(), 1,000 of as many users a call, economy.notify = off' },
	'purchases, 8,000' => { %$economy, script => 'purchases', vars => { items => 8000 }, made => 8000, settings => { 'economy.notify' => 'off' },
		what => 'the same, 8,000 a call' },
	'purchase, inline' => { %$economy, settings => { 'economy.notify' => 'inline' },
		what => 'economy.purchase(), economy.notify = inline' },
	'app with NOTIFY' => { script => 'app', vars => { product => 'item' },
		entries => 'SELECT sum(seq) FROM bench.app_accounts',
		tables  => 'bench.app_accounts, bench.app_journal',
		what => 'an app\'s transaction, statement by statement; no hash, no signature' },
	'PL/pgSQL with NOTIFY' => { %$twin, vars => { product => 'item', notify => 'true' },
		what => 'one call of a PL/pgSQL function with the same checks and a hash chain; no signature' },
	'PL/pgSQL' => { %$twin, what => 'the same without NOTIFY' },
	'bare INSERT' => { script => 'insert', vars => { product => 'item' },
		tables => 'bench.insert_journal',
		what => 'one row into a copy of the purchase journal; nothing read, checked or computed' },
	'tpcb-like' => { tpcb => 1,
		what => 'pgbench\'s own script, for orientation (7 statements, 32 branches)' },

	'replay' => { script => 'replay', made => 0, entries => $economy->{entries}, tables => $economy->{tables},
		what => 'economy.purchase() with a key that was used before' },
	'SELECT' => { script => 'select', tables => $economy->{tables},
		what => 'the replayed row of the journal by its primary key' },

	'flash sale' => { %$economy, vars => { product => 'flash' }, settings => { 'economy.notify' => 'relay' },
		what => 'economy.purchase() of one limited package, stock in the default number of slots' },
	'PL/pgSQL, counter row' => { %$twin, vars => { product => 'flash', notify => 'false' },
		what => 'the PL/pgSQL function, stock in one row' },

	'grant_reward' => { script => 'grant', vars => {}, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.reward_audit', what => 'economy.grant_reward(), economy.notify = off' },
	'grant_reward, PL/pgSQL' => { script => 'grant', vars => {}, settings => { search_path => 'bench' },
		entries => $twin->{entries}, tables => 'bench.twin_accounts, bench.twin_rewards',
		what => 'one call of a PL/pgSQL function with the same checks and a hash chain' },
	'claim_daily_reward' => { script => 'daily', daily => 1, vars => {}, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.reward_audit',
		what => 'economy.claim_daily_reward(), economy.notify = off' },
	'claim_daily_reward, PL/pgSQL' => { script => 'daily', daily => 1, vars => {}, settings => { search_path => 'bench' },
		entries => $twin->{entries}, tables => 'bench.twin_accounts, bench.twin_rewards, bench.twin_streaks',
		what => 'one call of a PL/pgSQL function with the same rules but freezes' },
	'grant_rewards' => { script => 'grants', vars => { items => 1000 }, made => 1000, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off' }, tables => 'economy.accounts, economy.reward_audit',
		what => 'rewards a second by economy.grant_rewards(), 1,000 of as many users a call, economy.notify = off' },
	'purchase, bundle' => { script => 'bundle', vars => {}, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.shop_transactions', what => 'economy.purchase() of a product that gives three items, economy.notify = off' },
	'consume' => { script => 'consume', vars => {}, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.holding_changes', what => 'economy.consume(), economy.notify = off' },
	'draw' => { script => 'draw', vars => {}, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.holding_changes, economy.draw_seeds, economy_internal.draw_pity',
		what => 'economy.draw() of ten prizes with pity, economy.notify = off' },
	'transfer' => { script => 'transfer', vars => {}, entries => 'SELECT sum(seq) / 2 FROM economy.accounts',
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.holding_changes', what => 'economy.transfer() of gold between two users: two entries; economy.notify = off' },
	'purchase, bundle, PL/pgSQL' => { script => 'lean_bundle', vars => {}, settings => { search_path => 'bench' },
		entries => $twin->{entries}, tables => 'bench.twin_accounts, bench.twin_journal, bench.twin_holdings',
		what => 'the PL/pgSQL function of the purchase, and an upsert of three items' },
	'consume, PL/pgSQL' => { script => 'consume', vars => {}, settings => { search_path => 'bench' },
		entries => $twin->{entries}, tables => 'bench.twin_accounts, bench.twin_changes, bench.twin_holdings',
		what => 'one call of a PL/pgSQL function with the same checks and a hash chain' },
	'transfer, PL/pgSQL' => { script => 'transfer', vars => {}, settings => { search_path => 'bench' },
		entries => 'SELECT sum(seq) / 2 FROM bench.twin_accounts', tables => 'bench.twin_accounts, bench.twin_changes',
		what => 'the same, with two entries and two chains' },
	'settlement' => { script => 'settlement', vars => {}, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.shop_transactions, economy.payment_orders, economy.payment_order_history',
		what => 'orders a second that are placed by economy.purchase() and confirmed by economy.settlement_report(), two transactions; economy.notify = off' },
	'settlement, PL/pgSQL' => { script => 'settlement', vars => {}, settings => { search_path => 'bench' }, entries => $twin->{entries},
		tables => 'bench.twin_accounts, bench.twin_journal, bench.twin_orders, bench.twin_order_history',
		what => 'PL/pgSQL functions with the same tables, checks and history, and a hash chain; no signature' },
	'hold_escrow' => { script => 'hold_escrow', vars => {}, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.holding_changes, economy.escrows', what => 'economy.hold_escrow() of gold, economy.notify = off' },
	'hold_escrow, PL/pgSQL' => { script => 'hold_escrow', vars => {}, settings => { search_path => 'bench' },
		entries => $twin->{entries}, tables => 'bench.twin_accounts, bench.twin_changes, bench.twin_escrows',
		what => 'one call of a PL/pgSQL function with the same checks and a hash chain' },
	'reserve' => { script => 'reserve', vars => {}, entries => 'SELECT count(*) FROM economy.shop_reservations',
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.shop_reservations, economy.shop_stock', what => 'economy.reserve() of one limited package, stock in the default number of slots' },
	'reserve, PL/pgSQL' => { script => 'reserve', vars => {}, settings => { search_path => 'bench' },
		entries => 'SELECT count(*) FROM bench.twin_reservations', tables => 'bench.twin_accounts, bench.twin_reservations, bench.stock',
		what => 'one call of a PL/pgSQL function with the same checks, stock in one row' },
	'claim_tier' => { script => 'claim_tier', vars => {}, daily => 1, entries => $economy->{entries}, copy => 'season',
		settings => { 'economy.notify' => 'off', search_path => 'economy' }, tables => 'economy.accounts, economy.reward_audit',
		what => 'economy.claim_tier() of a season of 100 tiers, economy.notify = off' },
	'claim_tier, PL/pgSQL' => { script => 'claim_tier', vars => {}, daily => 1, copy => 'season', settings => { search_path => 'bench' },
		entries => $twin->{entries}, tables => 'bench.twin_accounts, bench.twin_rewards',
		what => 'PL/pgSQL: the function of the reward, behind the same checks of the season' },
	'record_action' => { script => 'action', vars => {}, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off', search_path => 'economy' },
		tables => 'economy.accounts, economy.user_actions',
		what => 'economy.record_action(), economy.notify = off' },
	'record_actions' => { script => 'actions', vars => { items => 1000 }, made => 1000, entries => $economy->{entries},
		settings => { 'economy.notify' => 'off' }, tables => 'economy.accounts, economy.user_actions',
		what => 'actions a second by economy.record_actions(), 1,000 of as many users a call, economy.notify = off' },
	'record_action, PL/pgSQL' => { script => 'action', vars => {}, settings => { search_path => 'bench' },
		entries => $twin->{entries}, tables => 'bench.twin_accounts, bench.twin_actions, bench.twin_stats, bench.twin_days',
		what => 'a PL/pgSQL function: an insert and two upserts' },
	map({ my ($name, $copy, $missions) = @$_;
		$name => { script => 'action', vars => {}, entries => $economy->{entries}, copy => $copy,
			settings => { 'economy.notify' => 'off', search_path => 'economy' }, tables => 'economy.accounts, economy.user_actions',
			what => "economy.record_action() where $missions, economy.notify = off" } }
		['record_action, no mission', 'no_mission', 'no mission is published'],
		['record_action, 5 of 200 missions', 'missions_200', '200 missions are published, five of which count it'],
		['record_action, 0 of 1,000 missions', 'missions_1000', '1,000 missions are published, none of which counts it']),
	'mission' => { script => 'mission', vars => {}, daily => 1, made => 4, entries => $economy->{entries}, copy => 'mission',
		settings => { 'economy.notify' => 'off', search_path => 'economy' }, tables => 'economy.accounts, economy.user_actions, economy.reward_audit',
		what => 'three times economy.record_action(), which five missions count, and economy.claim_mission() of one that is completed; economy.notify = off' },
	'mission, PL/pgSQL' => { script => 'mission', vars => {}, daily => 1, made => 4, copy => 'mission', settings => { search_path => 'mission' },
		entries => $twin->{entries}, tables => 'bench.twin_accounts, bench.twin_actions, bench.twin_stats, bench.twin_days, bench.twin_rewards, mission.progress',
		what => 'PL/pgSQL: the functions of the action and of the reward, an upsert of progress in the missions of a table, and a claim once for a day' },
	'game_stats_me' => { script => 'stats_me', made => 0, entries => $economy->{entries},
		tables => 'economy.accounts', what => 'the statistics document of a user' },

	'verify_chain' => {
		before => q{
			SET synchronous_commit = off;
			SELECT greatest(0, 200000 - seq) AS missing FROM economy.accounts WHERE user_id = 1 \gset
			CALL bench.buy(:missing, 1, 1);
			VACUUM ANALYZE economy.shop_transactions},
		sql  => q{SELECT 1 / (count(*) = 0)::integer FROM economy.verify_chain(1)},
		work => q{SELECT seq FROM economy.accounts WHERE user_id = 1},
		what => 'entries a second, over one user\'s chain of 200,000' },
);

# the peers that matter most stand next to the purchase, in rows as in time
my @purchase = (
	['purchase', 'PL/pgSQL', 2.5, 3],
	['purchase', 'bare INSERT', 0.65, 0.8],
	['purchase', 'app with NOTIFY', 5, 6],
	['purchase', 'purchase, off', 0.9, 0.97],
	['purchase', 'purchase, inline', 2, 2],
	['purchase', 'PL/pgSQL with NOTIFY'],
	['purchase', 'tpcb-like'],
	['purchase, inline', 'app with NOTIFY'],
	['purchase, inline', 'PL/pgSQL with NOTIFY'],
);

# how the same looks with fewer clients, for information
my @fewer_clients = map {
	my $clients = $_;
	{
		name => "purchase, $clients client" . ($clients > 1 ? 's' : ''), clients => $clients,
		rows => [ map { [ @$_[0, 1] ] } @purchase ],
	}
} 1, 8;

# Against what a user would write himself, with what the disk costs everybody and without.
my @lean = map {
	my ($fsync, %must) = @$_;
	{
		name => "against the lean, 32 clients, fsync $fsync", clients => 32, server => { fsync => $fsync },
		rows => [
			['purchase, off', 'lean INSERT', $must{insert}],
			['purchase, off', 'lean purchase', $must{purchase}],
			['grant_reward', 'lean grant', $must{grant}],
			['claim_daily_reward', 'lean claim', $must{claim}],
			['record_action', 'lean action', $must{action}],
			['consume', 'lean consume', $must{consume}],
			['purchase, bundle', 'lean bundle', $must{bundle}],
			['draw', 'lean draw', $must{draw}],
			['transfer', 'lean transfer', $must{transfer}],
		],
	}
} ['on', insert => 0.65, purchase => 1.3, grant => 1.5, claim => 1.5, action => 1.6, consume => 1.3, bundle => 1.3, transfer => 1.3], ['off', purchase => 1.45, action => 2];

our %copies = (
	no_mission => 'SELECT',
	missions_200 => 'SELECT bench.missions(5, 195)',
	missions_1000 => 'SELECT bench.missions(0, 1000)',
	mission => 'SELECT bench.missions(5, 0)',
	season => 'SELECT bench.seasons()',
);

our @groups = (
	@lean,
	{ name => 'record_action beside missions, 32 clients', clients => 32, rows => [
		['record_action, 5 of 200 missions', 'record_action, no mission', 0.75], ['record_action, 0 of 1,000 missions', 'record_action, no mission', 0.95] ] },
	{ name => 'mission, 32 clients', clients => 32, rows => [['mission', 'mission, PL/pgSQL', 2]] },
	{ name => "$ENV{BENCH_BULK} actions in ten calls", script => 'missions.sql', vars => { actions => $ENV{BENCH_BULK}, users => $ENV{BENCH_USERS}, rounds => 3 },
		timings => [['with five missions', 'with no mission', 1, 1.4, 1.2]] },
	{ name => 'purchases, 1 client', clients => 1, rows => [
		['purchases', 'lean purchases', 1.3, 1.5], ['purchases', 'purchase, off', 3, 10], ['purchases, 8,000', 'lean purchases'] ] },
	{ name => 'purchases, 2 clients', clients => 2, rows => [ ['purchases', undef, 80000, 100000], ['purchases, 8,000', undef, 100000, 100000] ] },
	{ name => 'account, 8 clients', clients => 8, rows => [['account', 'SELECT of an account', 0.6]] },
	{ name => 'leaderboard, 8 clients', clients => 8, rows => [ ['leaderboard', 'rank() over the first 100'], ['rank_of', 'rank() over all', 20] ] },
	{ name => 'purchase, 32 clients', clients => 32, rows => \@purchase },
	{ name => 'purchase beside listeners, 32 clients', clients => 32, rows => [['purchase, 100 listeners', 'purchase']] },
	@fewer_clients,
	{ name => 'ms to 10 listeners, p95 at 2,000 purchases/s', at_most => 20, aim => 5,
		command => "listen economy_bench $ENV{BENCH_USERS}", field => 1 },
	{ name => 'replay of a key, 8 clients', clients => 8, rows => [['replay', 'SELECT', 0.5, 0.8]] },
	{ name => 'flash sale, 32 clients', clients => 32, rows => [['flash sale', 'PL/pgSQL, counter row', 3, 6]] },
	{ name => 'grant_reward, 32 clients', clients => 32, rows => [['grant_reward', 'grant_reward, PL/pgSQL', 2.5]] },
	{ name => 'claim_daily_reward, 32 clients', clients => 32,
		rows => [['claim_daily_reward', 'claim_daily_reward, PL/pgSQL', 2.5]] },
	{ name => 'grant_rewards, 1 client', clients => 1, rows => [ ['grant_rewards', 'lean grants', 1.3, 1.5], ['grant_rewards', 'grant_reward', 3, 3] ] },
	{ name => 'grant_rewards, 2 clients', clients => 2, rows => [['grant_rewards', undef, 100000, 120000]] },
	{ name => 'record_action, 32 clients', clients => 32, rows => [['record_action', 'record_action, PL/pgSQL', 2.5]] },
	{ name => 'purchase, bundle, 32 clients', clients => 32, rows => [['purchase, bundle', 'purchase, bundle, PL/pgSQL', 2]] },
	{ name => 'consume, 32 clients', clients => 32, rows => [['consume', 'consume, PL/pgSQL', 2]] },
	{ name => 'transfer, 32 clients', clients => 32, rows => [['transfer', 'transfer, PL/pgSQL', 2]] },
	{ name => 'hold_escrow, 32 clients', clients => 32, rows => [['hold_escrow', 'hold_escrow, PL/pgSQL', 2]] },
	{ name => 'reserve, 32 clients', clients => 32, rows => [['reserve', 'reserve, PL/pgSQL', 2]] },
	{ name => 'claim_tier, 32 clients', clients => 32, rows => [['claim_tier', 'claim_tier, PL/pgSQL', 1]] },
	{ name => 'settlement, 32 clients', clients => 32, rows => [['settlement', 'settlement, PL/pgSQL', 1.5]] },
	{ name => 'record_actions, 2 clients', clients => 2, rows => [['record_actions', undef, 80000, 100000]] },
	{ name => 'game_stats_me, 8 clients', clients => 8, rows => [['game_stats_me', 'SELECT', 0.5, 0.5]] },
	# what autovacuum would have done to what the races left
	{ name => 'ms for a rollup of 10,000 actions, journal small', at_most => 1000, aim => 500,
		value => q{VACUUM ANALYZE; CALL bench.rollup(NULL) \gset
			CREATE TABLE bench.rollup_small AS SELECT :seconds AS s;
			SELECT round(1000 * s) FROM bench.rollup_small} },
	# time of the actions with their statistics, over the time of the insert alone
	map(+{ name => "$ENV{BENCH_BULK} actions in " . ($_ == 1 ? 'one call' : "$_ calls") . ', times a bare INSERT', at_most => 1.8, aim => 1.3,
		value => "SET synchronous_commit = off; SET economy.notify = off; CALL bench.bulk($ENV{BENCH_BULK}, $_, $ENV{BENCH_USERS}, 3)" }, 1, 10),
	{ name => 'the same rollup behind them, times the time before', at_most => 1.5, aim => 1.1,
		value => q{VACUUM ANALYZE; CALL bench.rollup(NULL) \gset
			SELECT round((:seconds / s)::numeric, 2) FROM bench.rollup_small} },
	# after the purchases by random users, before the sessions below that buy in order
	{ name => 'bytes per purchase, heap + indexes', at_most => 450, aim => 300,
		value => q{SELECT pg_total_relation_size('economy.shop_transactions') / count(*) FROM economy.shop_transactions} },
	# The larger of the two growths; the first calls fill caches.  Short CALLs, because PL/pgSQL
	# keeps some bytes per loop with COMMIT until the CALL ends, whatever is called.
	{ name => "bytes a backend grows in $ENV{BENCH_MEMORY_CALLS} purchases", at_most => 1048576, aim => 0,
		value => qq{
			SET synchronous_commit = off;
			SELECT 'CALL bench.buy(1000, $ENV{BENCH_USERS})' FROM generate_series(1, 20) \\gexec
			SELECT * FROM bench.memory() \\gset before_
			SELECT 'CALL bench.buy(1000, $ENV{BENCH_USERS})' FROM generate_series(1, $ENV{BENCH_MEMORY_CALLS} / 1000) \\gexec
			SELECT greatest(contexts - :before_contexts, process - :before_process) FROM bench.memory()} },
	{ name => 'chain verification', rows => [['verify_chain', undef, 200000, undef]] },
	{ name => "RFM, $ENV{BENCH_RFM_USERS} users", script => 'rfm.sql',
		vars => { users => $ENV{BENCH_RFM_USERS}, purchases => 10 * $ENV{BENCH_RFM_USERS}, rounds => 3 },
		timings => [
			['first full refresh', 'plain SQL', 0, 5, 7],
			['full refresh', 'plain SQL', 0, 5, 10],
			['incremental refresh, 1 % changed', 'first full refresh', 1, 0.02, 0.012],
			['incremental refresh, 1 % changed', 'full refresh', 1, undef, undef],
			['wrong rows', '', 1, 0, 0],
		] },
	# speed is worth nothing if the ledger is wrong afterwards
	{ name => 'findings of audit_sweep() afterwards', at_most => 0, aim => 0,
		value => q{SELECT count(*) FROM economy.audit_sweep()} },
);

1;
