# What every history plays in: users, products, games, tables with capture
# triggers, and a span of six weeks on the test clock.
package Stress::World;

use strict;
use warnings;
use Digest::SHA ();
use JSON::PP ();
use MIME::Base64 ();
use POSIX ();

our $USERS = 40;            # registered before the clients begin
our $RICH = 40;             # this one is at the edge of 2^53
our @SUSPENDABLE = (1, 2);
our $BEGIN = 1772409600;    # 2026-03-02 00:00:00 UTC
our $DAYS = 42;
our $END = $BEGIN + 86400 * $DAYS;
our $ROUNDS = 400;          # in each of two tables
our @ZONES = ('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Tokyo', 'Pacific/Kiritimati', 'Pacific/Pago_Pago');
our @GAMES = ('crash', 'gacha', 'rps', 'slot', 'chess');
our @ARCHIVED = ('shop_transactions', 'reward_audit', 'gold_adjustments');
our $MAX_AMOUNT = 9007199254740991;

# stock => [units, slots]; settlement: paid for at a provider; varies: upsert_product changes price and sale state; offered: it
# changes contents and price in items
our %PRODUCTS = (
	potion  => { category => 'item', price_gold => 3 },
	sword   => { category => 'item', price_gold => 4000, varies => 1 },
	limited => { category => 'item', price_gold => 1, stock => [ 400, 8 ] },
	scarce  => { category => 'item', price_gold => 2, stock => [ 20, 3 ] },
	single  => { category => 'item', price_gold => 1, stock => [ 60, 1 ] },
	once    => { category => 'item', price_gold => 5, limit_once => 'true' },
	capped  => { category => 'item', price_gold => 2, per_user_limit => 7, fulfilment => 'true' },
	poster  => { category => 'item', price_gold => 1, fulfilment => 'true', granted_xp => 90 },
	unique  => { category => 'item', price_gold => 1, limit_once => 'true', stock => [ 30, 2 ] },
	rare    => { category => 'item', price_gold => 2, per_user_limit => 3, stock => [ 50, 4 ] },
	daily   => { category => 'item', price_gold => 2, per_user_limit => 2, limit_period => 'day' },
	weekly  => { category => 'item', price_gold => 2, per_user_limit => 4, limit_period => 'week' },
	monthly => { category => 'item', price_gold => 1, per_user_limit => 6, limit_period => 'month' },
	# with the others more than an account has room for
	(map { ($_ . '_' x 63) => { category => 'item', price_gold => 1, per_user_limit => 4, limit_period => ('ever', 'day', 'week', 'month')[ $_ % 4 ] } } 1 .. 6),
	code    => { category => 'item', price_gold => 1, global_key => 'true' },
	season  => { category => 'item', price_gold => 4, starts_day => 10, ends_day => 30 },
	freeze  => { category => 'item', price_gold => 20, effect_code => 'streak_freeze' },
	pack    => { category => 'conversion', granted_gold => 100, monetary => 499 },
	# those that move items: one is offered anew now and then, one costs what another gives
	bundle  => { category => 'item', price_gold => 3, offered => 1, contents => { gem => 2, vip => 3600, event => 1 } },
	craft   => { category => 'item', price_gold => 0, price_items => { gem => 2, dust => 3 }, contents => { relic(9) => 1, trophy => 1 } },
	swap    => { category => 'item', price_gold => 1, price_items => { relic(9) => 1 }, contents => { gem => 3, potion => 1 }, per_user_limit => 9 },
	hoard   => { category => 'item', price_gold => 2, price_items => { dust => 4 }, contents => { relic(4) => 7200, relic(5) => 1 }, stock => [ 60, 2 ], fulfilment => 'true' },
	day     => { category => 'item', price_gold => 0, price_items => { potion => 1 }, contents => { map({ (relic($_) => 1) } 1 .. 3), battle => 600 }, per_user_limit => 2, limit_period => 'day' },
	ticket  => { category => 'item', price_gold => 1, price_items => { event => 1 }, effect_code => 'door', fulfilment => 'true' },
	starter => { category => 'conversion', granted_gold => 20, granted_xp => 400, contents => { dust => 9, gem => 5 }, fulfilment => 'true' },
	battle_pass => { category => 'item', price_gold => 6, contents => { badge => 1 } },
	# paid for at a provider
	coins   => { category => 'conversion', source_points => 499, granted_gold => 100, monetary => 499, settlement => 'bank', offered => 1 },
	vault   => { category => 'conversion', source_points => 250, granted_gold => 30, monetary => 250, settlement => 'cards', per_user_limit => 9, stock => [ 120, 3 ] },
	deal    => { category => 'conversion', source_points => 999, granted_gold => 10, granted_xp => 60, monetary => 999, settlement => 'bank', per_user_limit => 3, fulfilment => 'true', contents => { gem => 6, potion => 1 } },
	jackpot => { category => 'conversion', granted_gold => 4503599627370496 });
# Who is paid, and what coins cost and give in turn.
our %PROVIDERS = (
	bank  => { profile => 'standard', currency => 'EUR', expiry_s => 86400, retry_base_s => 3600, retry_cap_s => 86400, max_attempts => 4, secret => 'whsec_' . MIME::Base64::encode_base64('the secret of the bank', '') },
	cards => { profile => 'stripe', currency => 'USD', expiry_s => 259200, retry_base_s => 1800, retry_cap_s => 86400, max_attempts => 6, secret => 'the_secret_of_the_cards' });
our @RATES = ({ source_points => 499, granted_gold => 100, monetary => 499 }, { source_points => 399, granted_gold => 120, monetary => 399 });

# What users hold beside gold, of a pass for seconds; varies: upsert_item changes the maximum
# and whether it is given.
our %ITEMS = (
	gem    => { kind => 'currency', maximum => 40, tradable => 'true' },
	dust   => { kind => 'currency', tradable => 'true' },
	potion => { kind => 'stack' },
	trophy => { kind => 'stack', consumable => 'false', tradable => 'true' },
	event  => { kind => 'stack', maximum => 30, tradable => 'true', varies => 1 },
	vip    => { kind => 'pass', maximum => 3 * 86400, tradable => 'true' },
	battle => { kind => 'pass' },
	# what seasons count, and what opens a track of one
	spring => { kind => 'stack', consumable => 'false' },
	dash   => { kind => 'stack', consumable => 'false' },
	badge  => { kind => 'stack', consumable => 'false', maximum => 1 },
	# that claims use up
	streak_freeze => { kind => 'stack', maximum => 9, tradable => 'true' },
	# more than an account has room for
	(map { (relic($_) => { kind => $_ == 4 ? 'pass' : 'stack', tradable => 'true' }) } 1 .. 10));
# What is drawn from: the definitions that versions of a table have in turn.  An item is
# in one entry alone.
our %DRAWS = (
	chest => [
		'{"price": {"gold": 2}, "pity": {"class": "rare", "after": 3}, "entries": [{"entry": "gem", "weight": 30, "items": {"gem": 2}}, {"entry": "dust", "weight": 60, "gold": 1, "xp": 60, "items": {"dust": 5}}, {"entry": "rare", "class": "rare", "weight": 10, "gold": 20}]}',
		'{"price": {"gold": 2}, "pity": {"class": "rare", "after": 5}, "entries": [{"entry": "gem", "class": "rare", "weight": 1, "items": {"gem": 2}}, {"entry": "dust", "weight": 5, "items": {"dust": 5}}, {"entry": "relic", "weight": 4, "items": {"' . relic(9) . '": 1}}]}' ],
	dice => ['{"price": {"gold": 1}, "dice": {"count": 3, "sides": 20}}']);
# What bundle gives and costs in turn.
our @OFFERS = (
	{ contents => { gem => 2, vip => 3600, event => 1 }, price_items => undef },
	{ contents => { gem => 1, dust => 40 }, price_items => { event => 1 } },
	{ contents => { relic(9) => 2, relic(10) => 1 }, price_items => { dust => 2, potion => 1 } });
# of transfers
our ($FEE, $MINIMUM_AGE, @DAILY_GOLD) = (25, 12, 150, 90);    # the gold of a day in turn
# of daily rewards in turn; at first there is none
our @CALENDARS = (
	{ days => [ { gold => 10, xp => 1 }, { contents => { event => 4, vip => 1800 } }, { gold => 30, xp => 3, contents => { gem => 9, relic(9) => 1 } } ], continues_at => 2 },
	{ days => [ { gold => 7, contents => { dust => 3, gem => 1 } } ] },
	{ days => [ { xp => 600 }, { gold => 5, contents => { streak_freeze => 1 } }, {} ], continues_at => 1 });
# What is ranked, of all users.
our %BOARDS = (
	day    => { figure => 'wins', period => 'day', prizes => [ { upto => 1, gold => 7 }, { percent => 10, gold => 1, xp => 2 } ] },
	season => { figure => 'win_sum', period => 'season', first_day => substr(clock_text($BEGIN), 0, 10), last_day => substr(clock_text($END), 0, 10) },
	xp     => { figure => 'xp', period => 'all' });
# What is to be done, in the versions that it has in turn.  Many are of one product, so that who has bought it
# has more progress than an account has room for.
our %MISSIONS = (
	plays => [ map { { trigger => 'action', target => $_, gold => 5 } } 8, 12 ],
	wins => [ map { { trigger => 'action', condition => { eq => [ 'event.outcome', 'win' ] }, target => $_, period => 'daily', gold => 2 } } 2, 1 ],
	spent => [ map { { trigger => 'purchase', progress => 'sum', field => 'event.gold_spent', target => $_, period => 'weekly', xp => 3, claim_hours => 72 } } 20, 35 ],
	best => [ map { { trigger => 'action', progress => 'max', field => 'event.win', target => $_, items => { trophy => 1 } } } 90, 100 ],
	earned => [ map { { trigger => 'reward', progress => 'sum', field => 'event.xp_delta', increment_cap => 20, target => $_, period => 'daily', gold => 1, xp => 1, claim_hours => 48 } } 25, 60 ],
	veteran => [ map { { trigger => 'entry', target => $_, requires => ['plays'], gold => 9, items => { trophy => 1 } } } 10, 20 ],
	again => [ map { { trigger => 'action', condition => { eq => [ 'event.outcome', 'win' ] }, target => $_, period => 'repeat 4', gold => 2 } } 3, 2 ],
	burst => [ map { { trigger => 'purchase', progress => 'sum', field => 'event.quantity', target => $_, period => 'rolling 30', gold => 1, claim_hours => 40 } } 4, 6 ],
	tastes => [ map { { trigger => 'purchase', progress => 'distinct', field => 'event.product', target => $_, period => 'weekly', xp => 1, claim_hours => 72 } } 4, 3 ],
	(map { ("many$_" => [ { trigger => 'purchase', condition => { eq => [ 'event.product', 'poster' ] }, progress => 'sum', field => 'user.gold', target => 9007199254740991, hidden => JSON::PP::true() } ]) } 1 .. 200));
# What is reached by what is held of an item: one is paid at its end, one is not.
our %SEASONS = (
	long => { xp_item => 'spring', starts_day => 2, ends_day => 26, claim_hours => 48, at_end => 'claim', tracks => [ { track => 'free' }, { track => 'premium', item => 'badge' } ],
		tiers => [ { xp => 2, rewards => { free => { gold => 4 }, premium => { gold => 11 } } }, { xp => 5, rewards => { free => { items => { gem => 2 } }, premium => { gold => 3, xp => 20 } } }, { xp => 9, rewards => { premium => { items => { trophy => 1, dust => 2 } } } } ],
		excess => { every => 5, times => 4, rewards => { free => { gold => 1 }, premium => { gold => 2 } } } },
	short => { xp_item => 'dash', starts_day => 8, ends_day => 22, claim_hours => 24, at_end => 'forfeit', tracks => [ { track => 'free' } ],
		tiers => [ { xp => 3, rewards => { free => { gold => 5 } } }, { xp => 6, rewards => { free => { xp => 30 } } } ] });
our @MAXIMA = (5, 12, 30);
our @COLLECTORS = (1, 2, 3);    # they have all relics from the beginning

# A moment of the test clock as PostgreSQL reads it.
sub clock_text
{
	my ($epoch) = @_;
	return POSIX::strftime('%Y-%m-%d %H:%M:%S+00', gmtime $epoch);
}

# The period of the product's limit that a moment is in: days, weeks from Monday and
# months of UTC.
sub period_of
{
	my ($product, $epoch) = @_;
	return number_of(($PRODUCTS{$product} // {})->{limit_period} // 'ever', POSIX::floor($epoch / 86400));
}

# The same of a period and a day since 1970.
sub number_of
{
	my ($period, $day) = @_;
	return $period eq 'day' ? $day : $period eq 'week' ? POSIX::floor(($day + 3) / 7)
	  : $period eq 'month' ? POSIX::strftime('%Y-%m', gmtime $day * 86400) : '';
}

# Gives open rounds a player and a win: rows of id, player, win, of this table.  They
# are locked in the order of their ids, so that no two statements wait for each other.
sub settle_sql
{
	my ($policy, $rows) = @_;
	my $table = "public.rounds_$policy";

	return "WITH v (id, player, win) AS (VALUES $rows), k AS MATERIALIZED (SELECT id FROM $table WHERE id IN (SELECT id FROM v) ORDER BY id FOR UPDATE),"
	  . " u AS (UPDATE $table t SET player = v.player, win = v.win FROM v JOIN k USING (id) WHERE t.id = v.id RETURNING 1)"
	  . ' SELECT pg_current_xact_id_if_assigned() AS xact FROM (SELECT count(*) FROM u) c';
}

# Fills a fresh database; user ids are 1 to $USERS.
sub create
{
	my ($dbh) = @_;

	$dbh->do(sprintf "SET economy.test_clock = '%s'", clock_text($BEGIN));
	for my $n (1 .. $USERS)
	{
		my ($id) = $dbh->selectrow_array('SELECT economy.register(?, ?)', undef, "user$n", $ZONES[ $n % @ZONES ]);
		die "user $n has id $id" if $id != $n;
		$dbh->do('SELECT economy.adjust_gold(?, ?, ?, ?, ?)', undef, $n,
			$n == $RICH ? $MAX_AMOUNT - 100 : 1500, 'opening', 'opening balance', 'setup');
	}
	create_items($dbh);
	$dbh->do('SELECT economy.set_transfer_rules(?, ?)', undef, qq({"enabled": true, "fee_per_mille": $FEE, "daily_gold": $DAILY_GOLD[0], "minimum_age_hours": $MINIMUM_AGE}), 'setup');
	foreach my $id (sort keys %PROVIDERS)
	{
		my %p = (provider => $id, %{ $PROVIDERS{$id} });
		my $secret = delete $p{secret};
		$dbh->do('SELECT economy.set_payment_provider(jsonb_object(?::text[]), ?)', undef, [%p], 'setup');
		$dbh->do('SELECT economy.add_payment_secret(?, ?, ?)', undef, $id, $secret, 'setup');
	}
	foreach my $id (sort keys %PRODUCTS)
	{
		my %p = %{ $PRODUCTS{$id} };
		my $stock = delete $p{stock};
		delete @p{qw(varies offered)};
		my %items = map { ($_ => delete $p{$_}) } grep { $p{$_} } qw(contents price_items);
		$p{starts_at} = clock_text($BEGIN + 86400 * delete $p{starts_day}) if $p{starts_day};
		$p{ends_at} = clock_text($BEGIN + 86400 * delete $p{ends_day}) if $p{ends_day};
		$dbh->do('SELECT economy.upsert_product(jsonb_object(?::text[]) || ?::jsonb, ?)', undef, [ product_id => $id, %p ], JSON::PP::encode_json(\%items), 'setup');
		$dbh->do('SELECT economy.add_stock(?, ?, ?, ?)', undef, $id, $stock->[0], 'setup', $stock->[1]) if $stock;
	}
	$dbh->do(q{SELECT economy.register_game('chess')});
	create_boards($dbh);
	create_missions($dbh);
	$dbh->do('SELECT economy.publish_season(?, ?)', undef, season_text($_), 'setup') foreach sort keys %SEASONS;
	foreach my $policy ('raise', 'report')
	{
		$dbh->do("CREATE TABLE public.spins_$policy (id text, player bigint, bet bigint, win bigint)");
		$dbh->do(<<"SQL");
CREATE TRIGGER capture AFTER INSERT ON public.spins_$policy REFERENCING NEW TABLE AS n FOR EACH STATEMENT
EXECUTE FUNCTION economy.capture_actions('player', 'chess', 'id', 'bet', 'win', '$policy', 'prefix=')
SQL
	}
	create_rounds($dbh, $_) foreach 'raise', 'report';
	foreach my $journal (@ARCHIVED)
	{
		$dbh->do("CREATE TABLE public.archived_$journal (LIKE economy.$journal)");
		$dbh->do("CREATE UNIQUE INDEX ON public.archived_$journal (user_id, seq)");
	}
	$dbh->do('RESET economy.test_clock');
	return;
}

sub create_boards
{
	my ($dbh) = @_;

	$dbh->do('SELECT economy.upsert_leaderboard(?, ?)', undef, JSON::PP::encode_json({ board => $_, audience => 'all', %{ $BOARDS{$_} } }), 'setup') foreach sort keys %BOARDS;
	return;
}

# A second after what was made before, so that nothing of it counts.
sub create_missions
{
	my ($dbh) = @_;

	$dbh->do(sprintf "SET economy.test_clock = '%s'", clock_text($BEGIN + 1));
	$dbh->do('SELECT economy.publish_mission(?, ?)', undef, mission_text($_, 0), 'setup') foreach sort keys %MISSIONS;
	$dbh->do(sprintf "SET economy.test_clock = '%s'", clock_text($BEGIN));
	return;
}

sub season_text
{
	my ($name) = @_;
	my %s = (season => $name, %{ $SEASONS{$name} });

	@s{qw(starts_at ends_at)} = map { clock_text($BEGIN + 86400 * delete $s{$_}) } qw(starts_day ends_day);
	return JSON::PP->new->canonical->encode(\%s);
}

sub mission_text { my ($name, $n) = @_; return JSON::PP->new->canonical->encode({ mission => $name, %{ $MISSIONS{$name}[$n] } }) }
# The headers of a webhook, as its provider signs it; forged by who does not know the secret.
sub signature
{
	my ($provider, $id, $sent, $body, $forged) = @_;
	my $secret = $forged ? 'whsec_' . MIME::Base64::encode_base64('what somebody has guessed', '') : $PROVIDERS{$provider}{secret};
	my %headers;

	if ($PROVIDERS{$provider}{profile} eq 'stripe') { $headers{'Stripe-Signature'} = "t=$sent,v1=" . Digest::SHA::hmac_sha256_hex("$sent.$body", $secret) }
	else
	{
		my $key = MIME::Base64::decode_base64($secret =~ s/^whsec_//r);
		@headers{qw(webhook-id webhook-timestamp webhook-signature)} = ($id, "$sent", 'v1,' . MIME::Base64::encode_base64(Digest::SHA::hmac_sha256("$id.$sent.$body", $key), ''));
	}
	return JSON::PP->new->canonical->encode(\%headers);
}

sub relic { my ($n) = @_; return "relic$n" . '_' x 54 }
sub days_of { my ($calendar) = @_; return JSON::PP->new->canonical->encode($calendar->{days}) }
sub is_pass { my ($id) = @_; return (($ITEMS{$id} // {})->{kind} // '') eq 'pass' }

# A draft and its publication, each noted with the actor.
sub publish_sql
{
	my ($table, $definition, $actor) = @_;
	return "SELECT to_jsonb(p) AS value FROM economy.upsert_draw_table('{\"table_id\": \"$table\", \"draft\": $definition}', '$actor') u, economy.publish_draw_table(u.table_id, '$actor') p";
}

sub create_items
{
	my ($dbh) = @_;

	foreach my $id (sort keys %ITEMS)
	{
		my %item = %{ $ITEMS{$id} };
		delete $item{varies};
		$dbh->do('SELECT economy.upsert_item(jsonb_object(?::text[]), ?)', undef, [ item_id => $id, %item ], 'setup');
	}
	my $all = '{' . join(', ', map { qq("$_": 5) } grep { /^relic/ } keys %ITEMS) . '}';
	$dbh->do('SELECT economy.grant_items(?, ?, ?, ?)', undef, $_, $all, 'opening', 'opening') foreach @COLLECTORS;
	$dbh->do(publish_sql($_, $DRAWS{$_}[0], 'setup')) foreach sort keys %DRAWS;
	$dbh->do('SELECT economy.draw_commit(?)', undef, $_) foreach 1 .. $USERS;
	return;
}

# Rounds that are open, with their bets; every statement may settle some of them.
sub create_rounds
{
	my ($dbh, $policy) = @_;
	my $table = "rounds_$policy";
	my $call = "FOR EACH STATEMENT EXECUTE FUNCTION economy.capture_actions('player', 'chess', 'id', 'bet', 'win', '$policy')";

	$dbh->do("CREATE TABLE public.$table (id text PRIMARY KEY, player bigint, bet bigint, win bigint)");
	$dbh->do("CREATE TRIGGER opened AFTER INSERT ON public.$table REFERENCING NEW TABLE AS n $call");
	$dbh->do("CREATE TRIGGER settled AFTER UPDATE ON public.$table REFERENCING OLD TABLE AS o NEW TABLE AS n $call");
	$dbh->do("INSERT INTO public.$table SELECT 'round' || n, 1 + n % $USERS, n % 7 FROM generate_series(1, $ROUNDS) n");
	return;
}

1;
