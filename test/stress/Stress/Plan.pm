# What a client does, decided by seed and number of the client alone: the same
# seed plans the same transactions with the same operations and keys.
#
# Every operation is { fn, args, sql, intents }; an intent is one effect that it
# is to have, under its idempotency key.
package Stress::Plan;

use strict;
use warnings;
use POSIX ();
use Stress::Contents;
use Stress::Seasons;
use Stress::World;

# how often each operation comes, and whether it may stand in a transaction
# with others; the rest are jobs and admin work, which hold more than accounts
my @MIX = (
	[ 30, 'purchase', 1 ], [ 5, 'purchases', 0 ], [ 3, 'dry_run', 1 ], [ 12, 'grant_reward', 1 ], [ 3, 'grant_rewards', 0 ],
	[ 6, 'revoke_reward', 1 ], [ 8, 'claim_daily_reward', 1 ], [ 6, 'adjust_gold', 1 ], [ 16, 'record_action', 1 ],
	[ 12, 'refund', 1 ], [ 8, 'squander', 1 ], [ 2, 'collect_debts', 0 ], [ 7, 'claim_mission', 1 ], [ 4, 'claim_all', 1 ], [ 7, 'claim_tier', 1 ], [ 3, 'claim_season', 1 ], [ 0.8, 'close_seasons', 0 ], [ 0.5, 'publish_mission', 0 ], [ 0.2, 'retire_mission', 0 ], [ 10, 'grant_items', 1 ], [ 7, 'consume', 1 ], [ 7, 'spend', 1 ], [ 9, 'transfer', 0 ], [ 8, 'hold_escrow', 0 ], [ 4, 'pass_escrow', 0 ], [ 2, 'release_escrow', 0 ], [ 0.7, 'expire_escrows', 0 ], [ 12, 'reserve', 0 ], [ 9, 'purchase_reserved', 0 ], [ 3, 'release_reservation', 0 ], [ 0.7, 'expire_reservations', 0 ], [ 4, 'unfulfilled', 0 ], [ 7, 'fulfil', 0 ], [ 9, 'draw', 1 ], [ 2, 'draw_reveal', 0 ], [ 0.5, 'draw_commit', 0 ], [ 0.5, 'publish_draw_table', 0 ],
	[ 5, 'record_actions', 1 ], [ 4, 'capture', 1 ], [ 4, 'settle_rounds', 0 ], [ 8, 'open_action', 1 ], [ 8, 'settle_action', 1 ], [ 2, 'void_action', 1 ], [ 3, 'redeem', 0 ], [ 1.5, 'set_streak', 1 ], [ 3, 'read', 1 ], [ 1, 'misuse', 0 ],
	[ 1, 'set_timezone', 1 ], [ 1, 'set_user_status', 0 ], [ 2, 'update_profile', 1 ],
	# these wait for each other's transactions while they hold their own user
	[ 2, 'link_external_id', 0 ], [ 1.5, 'unlink_external_id', 0 ], [ 1.5, 'upsert_product', 0 ], [ 0.3, 'retire_product', 0 ], [ 1.5, 'upsert_item', 0 ],
	[ 10, 'order', 1 ], [ 12, 'settlement_report', 0 ], [ 6, 'webhook', 0 ], [ 4, 'settlement_lease', 0 ], [ 2, 'resolve_order', 0 ], [ 0.7, 'expire_orders', 0 ], [ 0.4, 'set_rate', 0 ],
	[ 1.5, 'add_stock', 0 ], [ 0.5, 'set_transfer_rules', 0 ], [ 0.8, 'set_daily_rewards', 0 ], [ 1, 'rollup_stats', 0 ], [ 0.4, 'prune', 0 ], [ 0.6, 'archive', 0 ], [ 0.05, 'audit_sweep', 0 ],
	[ 0.2, 'audit_sweep_incremental', 0 ], [ 0.1, 'stats_parity', 0 ], [ 0.15, 'rotate_signing_key', 0 ],
	[ 0.05, 'retire_signing_key', 0 ], [ 1, 'register', 0 ]);
my @NOISE = ([ 0.8, 'cancel', 0 ], [ 0.4, 'terminate', 0 ]);
my @TAKEN = ('gem', 'potion', 'dust', 'event', Stress::World::relic(9));
my $CAPTURED = qr/^(?:capture|settle)_(?:raise|report)$/;
my $WINDOWS = 12;    # clients in the same part of the run share keys

# seed, clients, ops (of all clients together)
sub new
{
	my ($class, %p) = @_;
	my $self = bless {%p}, $class;

	# every fourth seed is clean: nobody is cut off.  Some others have
	# transactions that lock users out of order and may meet in a deadlock.
	$self->{clean} = $p{seed} % 4 == 0;
	$self->{crossing} = !$self->{clean} && $p{seed} % 3 == 0;
	# every fifth is of two users, so that calls of one user meet
	$self->{crowded} = $p{seed} % 5 == 2;
	$self->{mix} = [ @MIX, $self->{clean} ? () : @NOISE ];
	return $self;
}

# What the seed is, in words.
sub kind
{
	my ($self) = @_;
	return ($self->{clean} ? 'clean' : 'noisy') . join '', map { $self->{$_} ? ", $_" : () } qw(crossing crowded);
}

# Whether a client may collect debts.
sub collects { my ($self, $client) = @_; return ($self->{seed} + $client) % 4 ? 'on' : 'off' }

# Settings of a client's sessions, as SQL.
sub settings
{
	my ($self, $client) = @_;
	my $n = $self->{seed} + $client;

	return ('SET economy.row_access = ' . ($n % 3 ? 'auto' : 'sql'),
		'SET economy.notify = ' . ('relay', 'inline', 'relay', 'off')[ $n % 4 ],
		'SET economy.duplicate_wait = ' . ($n % 5 ? 0 : 50),
		'SET economy.collect_debts = ' . $self->collects($client));
}

# The transactions of one client:
# { iso, auto, clock, end, steps => [ [ op => $op ], [ 'savepoint' ], ... ] }
sub client
{
	my ($self, $client) = @_;
	my $wanted = int($self->{ops} / $self->{clients});
	my ($done, @list) = (0);

	srand($self->{seed} * 1009 + $client);
	@$self{qw(client number serial)} = ($client, 0, 0);
	while ($done < $wanted)
	{
		$self->{number}++;
		$self->{progress} = $done / $wanted;
		my $tx = rand() < 0.72 ? $self->single : $self->several;
		# the clock moves in steps, not with every transaction
		$tx->{retry_lost} = $self->chance(0.5);
		$tx->{clock} = $Stress::World::BEGIN + int(int($self->{progress} * 200) / 200 * 86400 * $Stress::World::DAYS)
		  + 86400 * (($tx->{steps}[0][1] // {})->{ahead} // 0);
		$done += grep { $_->[0] eq 'op' } @{ $tx->{steps} };
		push @list, $tx;
	}
	return \@list;
}

sub chance { my ($self, $share) = @_; return rand() < $share }
sub pick { my ($self, @from) = @_; return $from[ rand @from ] }

# One operation in its own transaction, perhaps cut off.
sub single
{
	my ($self) = @_;
	my $op = $self->operation($self->{mix}, $self->user);
	my $tx = { iso => 'rc', auto => 1, end => 'commit', steps => [ [ op => $op ] ] };

	# a capture is looked up in its transaction
	if ($self->chance(0.2) || $op->{fn} =~ $CAPTURED)
	{
		@$tx{qw(auto iso)} = (0, $self->pick('rc', 'rr', 'rr', 'ser', 'ser'));
		$tx->{end} = 'rollback' if $self->chance(0.1);
	}
	return $tx if $self->{clean};
	# jobs take long enough to be cut off as well
	if ($self->chance(0.03)) { $op->{timeout} = $self->pick(1, 1, 2, 5, 20) }
	elsif ($self->chance(0.015) && $op->{fn} !~ $CAPTURED) { $op->{drop_after} = $self->pick(0, 0.0005, 0.002, 0.01) }
	elsif (!$tx->{auto} && $self->chance(0.05)) { $tx->{end} = $self->pick('drop', 'drop_commit') }
	return $tx;
}

# Several operations: of one user, or of users in the order of their ids (in a
# crossing transaction in any order).  Stock is taken at most once, and last.
sub several
{
	my ($self) = @_;
	my @mix = grep { $_->[2] } @{ $self->{mix} };
	my @users = ($self->user) x (2 + int rand 4);
	my $crossing = $self->{crossing} && $self->chance(0.15);
	my @steps;

	if ($self->chance(0.4))
	{
		@users = map { $self->user } @users;
		@users = sort { $a <=> $b } @users unless $crossing;
	}
	$self->{no_stock} = 1;
	foreach my $user (@users)
	{
		push @steps, [ op => $self->operation(\@mix, $user) ];
	}
	$self->{no_stock} = 0;
	my $last = $self->pick('purchase', 'purchase', 'reserve');
	push @steps, [ op => $self->$last($users[-1]) ] if $self->chance(0.3);
	my $tx = {
		auto => 0,
		iso => $self->pick('rc', 'rc', 'rc', 'rr', 'ser'),
		end => $self->chance(0.85) ? 'commit' : 'rollback',
		steps => \@steps };
	$self->nest($tx) if $self->chance(0.35);
	$tx->{end} = 'drop_commit' if !$self->{clean} && $self->chance(0.03);
	return $tx;
}

# Puts a savepoint around some of the steps.
sub nest
{
	my ($self, $tx) = @_;
	my $steps = $tx->{steps};
	my $from = int rand @$steps;
	my $to = $from + int rand(@$steps - $from);

	splice @$steps, $to + 1, 0, [ $self->chance(0.6) ? 'rollback_to' : 'release' ];
	splice @$steps, $from, 0, ['savepoint'];
	return;
}

# Few users get most of the calls; some do not exist.
sub user
{
	my ($self) = @_;
	return $Stress::World::USERS + 1 + int rand 6 if $self->chance(0.015);
	return $self->{crowded} ? 3 + int rand 2 : 1 + int($Stress::World::USERS * rand()**2);
}

sub operation
{
	my ($self, $mix, $user) = @_;
	my $sum = 0;

	$sum += $_->[0] foreach @$mix;
	my $at = rand $sum;
	foreach my $item (@$mix)
	{
		my $make = $item->[1];
		return $self->$make($user) if ($at -= $item->[0]) < 0;
	}
	die 'unreachable';
}

# A key and a number that decides the payload.  A shared key has the same
# payload in every client, but for deliberate mismatches.
sub key
{
	my ($self, $user) = @_;
	if ($self->chance(0.2))
	{
		my $window = int($self->{progress} * $WINDOWS);
		# sometimes a key from long ago
		$window = int rand $window + 1 if $self->chance(0.15);
		return ("shared$window", $user * 7 + $window, $self->chance(0.12) ? 1 : 0);
	}
	return ("own$self->{client}-$self->{number}-" . $self->{serial}++, int rand 1e6, 0);
}

sub literal
{
	my ($value) = @_;
	return 'NULL' if !defined $value;
	return $value if $value =~ /^-?\d+$|^true$|^false$/;
	return "'$value'";
}

# An operation that calls a function of the extension.
sub call
{
	my ($name, $fn, $args, @intents) = @_;
	my $list = join ', ', map { literal($_) } @$args;

	return {
		fn => $name, args => $list, intents => \@intents,
		sql => "SELECT pg_current_xact_id_if_assigned() AS xact, r.* FROM economy.$fn($list) r" };
}

# A purchase that remembers what it asks for.
sub asked
{
	my ($name, $asked, $intent) = @_;
	my $op = call($name, 'purchase', [ @$asked, 'false' ], $intent);

	$op->{asked} = $asked;
	return $op;
}

sub purchase
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my @ids = grep { $_ ne 'jackpot' && $_ ne 'code' && !$Stress::World::PRODUCTS{$_}{settlement} && !($self->{no_stock} && $Stress::World::PRODUCTS{$_}{stock}) } sort keys %Stress::World::PRODUCTS;
	my $product = $n % 53 ? $ids[ $n % @ids ] : 'jackpot';
	my $quantity = 1 + ($n / 16) % 3 + $other;
	my $context = $n % 10 == 0 ? '{"expected_price": ' . ($Stress::World::PRODUCTS{$product}{price_gold} // 0) . '}'
	  : $n % 10 == 1 ? '{"from": "stress"}' : undef;

	return asked('purchase', [ $user, $product, $key, $quantity, $context ],
		{ kind => 'P', user => $user, key => "$product|$key", quantity => $quantity, context => $context });
}

# Of any users and products, in any order: codes, repeated keys, now and then with another
# quantity; as objects or as arrays.  Where nobody crosses, a batch does not either.
sub purchases
{
	my ($self) = @_;
	my @ops = map { my $user = $self->user; my $make = $self->chance(0.1) ? 'redeem' : $self->chance(0.03) ? 'order' : 'purchase'; $self->$make($user) } 0 .. 1 + int rand 11;

	push @ops, $ops[ rand @ops ] if $self->chance(0.2);
	push @ops, $self->purchase_again($ops[ rand @ops ]) if $self->chance(0.1);
	my @asked = map { $_->{asked} } @ops;
	my @intents = map { { %{ $_->{intents}[0] } } } @ops;
	return call('purchases', 'purchases', [ '[' . join(', ', map { object_of($_) } @asked) . ']' ], @intents) if $self->chance(0.5);
	return as_arrays('purchases', \@asked, [qw(bigint text text integer jsonb)], @intents);
}

# A batch as arrays, one of a type for each of what is asked.
sub as_arrays
{
	my ($fn, $asked, $types, @intents) = @_;
	my @arrays = map {
		my $i = $_;
		sprintf 'ARRAY[%s]::%s[]', join(',', map { defined $_->[$i] ? "'$_->[$i]'" : 'NULL' } @$asked), $types->[$i]
	} 0 .. $#$types;
	my $op = call($fn, $fn, [], @intents);

	$op->{args} = join ', ', @arrays;
	$op->{sql} =~ s/\Q$fn\E\(\)/$fn($op->{args})/;
	return $op;
}

sub object_of
{
	my ($user, $product, $key, $quantity, $context) = @{ $_[0] };
	return qq({"user_id": $user, "product_id": "$product", "idempotency_key": "$key", "quantity": $quantity)
	  . (defined $context ? qq(, "context": $context}) : '}');
}

sub purchase_again
{
	my ($self, $op) = @_;
	my @asked = @{ $op->{asked} };

	$asked[3]++;
	return { asked => \@asked, intents => [ { %{ $op->{intents}[0] }, quantity => $asked[3] } ] };
}

# A code that any of several users may have redeemed.
sub redeem
{
	my ($self, $user) = @_;
	my $key = 'code' . int rand 10 + 60 * $self->{progress};

	return asked('redeem', [ $user, 'code', $key, 1, undef ],
		{ kind => 'P', user => $user, key => "code|$key", quantity => 1 });
}

# Of what is paid for at a provider.
sub order
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $product = ('coins', 'coins', 'deal', $self->{no_stock} ? 'deal' : 'vault')[ $n % 4 ];
	my $quantity = 1 + ($n / 16) % 2 + $other;
	my $context = $n % 10 == 1 ? '{"from": "stress"}' : undef;

	return asked('order', [ $user, $product, $key, $quantity, $context ], { kind => 'O', user => $user, key => "$product|$key", quantity => $quantity, context => $context });
}

# One that there is when the transaction begins, mostly one that is open, and often one that others look at, too.
sub of_an_order
{
	my ($self, $fn, $of, $make) = @_;
	my $seen = $self->chance(0.4) ? int($self->{progress} * 100) : "$self->{client}-$self->{number}";

	return {
		fn => $fn, args => 'TARGET', intents => [],
		choose => [ "SELECT concat_ws('|', order_id, provider, amount, currency) FROM economy.payment_orders WHERE $of ORDER BY md5('$seen' || order_id) LIMIT 1",
			'00000000-0000-4000-8000-' . sprintf('%012d', int rand 1e6) . '|bank|499|EUR' ],
		make => $make };
}

# What a provider says: mostly of what was ordered, now and then of another amount, currency or payment.
sub said
{
	my ($self) = @_;
	my $report = $self->pick((qw(pending confirmed)) x 5, (qw(confirmed unknown)) x 2, qw(voided failed expired refunded refunded charged_back));
	my $n = int rand 60;
	my $shared = int rand 30;
	my $reason = $self->pick(undef, undef, undef, 'r0', 'r1');

	return sub {
		my ($id, $provider, $amount, $currency) = split /\|/, $_[0];
		my %said = (order_id => $id, report => $report, reason => $reason, provider_ref => 'pay-' . substr($id, 0, 8), amount => $amount, currency => $currency);

		$said{amount}++ if $n == 1;
		$said{currency} = 'JPY' if $n == 2;
		$said{provider_ref} = "pay-$shared" if $n == 3 || $n == 4;
		delete @said{qw(amount currency)} if $n > 50;
		delete $said{provider_ref} if $n > 40 && $n < 52;
		return ($provider, \%said);
	};
}

sub one_to_report { my ($self) = @_; return $self->pick(('is_open') x 3, q{state IN ('CREATED', 'PENDING')}, q{state IN ('CONFIRMED', 'REFUNDED')}, 'true') }

sub settlement_report
{
	my ($self) = @_;
	my ($worker, $said) = ($self->worker, $self->said);

	return $self->of_an_order('settlement_report', $self->one_to_report, sub {
			my (undef, $of) = $said->($_[0]);
			return ordered('settlement_report', [ @$of{qw(order_id report)}, $worker, @$of{qw(provider_ref amount currency reason)} ]);
		});
}

# A call about an order; the name of its purchase is none of what the call made.
sub ordered
{
	my ($fn, $args) = @_;
	my $list = join ', ', map { literal($_) } @$args;
	return { args => $list, sql => "SELECT pg_current_xact_id_if_assigned() AS xact, r.state, r.code, r.order_id, r.order_state, r.transaction_id AS purchase, r.detail FROM economy.$fn($list) r" };
}

# Few ids of an order, so that several say something else by one; some are of nobody who knows the secret.
sub webhook
{
	my ($self) = @_;
	my ($n, $forged, $said) = (int rand 4, $self->chance(0.05), $self->said);
	my $clock = $Stress::World::BEGIN + int(int($self->{progress} * 200) / 200 * 86400 * $Stress::World::DAYS);

	return $self->of_an_order('webhook', $self->one_to_report, sub {
			my ($provider, $of) = $said->($_[0]);
			my $id = ($forged ? 'forged' : 'wh') . "-$n-$of->{order_id}";
			my $body = JSON::PP->new->canonical->encode({ %$of, id => $id });
			my $headers = Stress::World::signature($provider, $id, $clock - $n, $body, $forged);
			my $args = "'$provider', '$headers', convert_to('$body', 'UTF8')";
			return { args => $args, sql => "SELECT pg_current_xact_id_if_assigned() AS xact, r.state, r.code, r.order_id, r.order_state, r.transaction_id AS purchase, r.webhook_id, r.detail FROM economy.webhook($args) r" };
		});
}

sub resolve_order
{
	my ($self) = @_;
	my $resolution = $self->pick(qw(CONFIRMED CONFIRMED VOIDED VOIDED REFUNDED CHARGED_BACK));
	my $actor = "c$self->{client}";

	return $self->of_an_order('resolve_order', $self->pick((q{state = 'CONFLICT'}) x 4, 'true'), sub { ordered('resolve_order', [ (split /\|/, $_[0])[0], $resolution, 'looked', $actor ]) });
}

sub settlement_lease
{
	my ($self) = @_;
	my $args = sprintf q{'%s', %d, '%d minutes', %s}, $self->worker, $self->pick(1, 3, 30), $self->pick(1, 60, 400, 1440), $self->pick('NULL', q{'bank'}, q{'cards'});

	return { fn => 'settlement_lease', args => $args, intents => [], sql => <<"SQL" };
SELECT pg_current_xact_id_if_assigned() AS xact, l.order_id, l.user_id, l.product_id, l.quantity, l.provider, l.amount, l.currency, l.state, l.attempts,
    extract(epoch FROM l.leased_until)::bigint AS until FROM economy.settlement_lease($args) l
SQL
}

sub expire_orders
{
	my ($self) = @_;
	my $args = $self->pick(2, 500) . ', NULL';
	return { fn => 'expire_orders', args => $args, intents => [], sql => "SELECT pg_current_xact_id_if_assigned() AS xact, r.orders FROM economy_internal.expire_orders($args) r" };
}

# What coins cost, and give.
sub set_rate
{
	my ($self) = @_;
	my $rate = $self->pick(@Stress::World::RATES);
	return $self->admin('upsert_product', json_of({ %$rate, product_id => '"coins"' }), 'ACTOR');
}

# Of what is limited, and now and then of what is not.
sub reserve
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my @ids = ('potion', map { ($_) x 3 } grep { $Stress::World::PRODUCTS{$_}{stock} } sort keys %Stress::World::PRODUCTS);
	my ($product, $quantity) = ($ids[ $n % @ids ], 1 + int($n / 16) % 3 + ($n % 2 ? $other : 0));
	my $ttl = ('1 second', '10 minutes', '6 hours', '1 day')[ (int($n / 64) + ($n % 2 ? 0 : $other)) % 4 ];
	my $op = call('reserve', 'reserve', [ $user, $product, $key, $quantity, $ttl, 'false' ],
		{ kind => 'K', user => $user, key => $key, product => $product, quantity => $quantity,
			ttl => { '1 second' => 1, '10 minutes' => 600, '6 hours' => 21600, '1 day' => 86400 }->{$ttl} });

	$op->{sql} =~ s/ r\.\*/ r.*, extract(epoch FROM r.expires_at)::bigint AS until/;
	return $op;
}

# One that there is when the transaction begins, mostly one that is held, by whoever has it, in
# the right quantity and under a key of its own.
sub purchase_reserved
{
	my ($self, $user) = @_;
	my ($n, $own) = (int rand 40, "own$self->{client}-$self->{number}-" . $self->{serial}++);
	my $of = $n % 8 ? "state = 'held'" : 'true';
	my $over = $n % 4 ? 'expires_at <= economy.now(),' : '';

	return {
		fn => 'purchase', args => 'TARGET', intents => [],
		choose => [ "SELECT concat_ws('|', user_id, product_id, quantity, idempotency_key) FROM economy.shop_reservations WHERE $of ORDER BY $over md5('$self->{client}-$self->{number}' || user_id || idempotency_key) LIMIT 1",
			"$user|single|1|nothing" ],
		make => sub {
			my ($who, $product, $quantity, $name) = split /\|/, $_[0];
			my $key = $n % 3 ? "for-$name" : $own;

			$who = $who % $Stress::World::USERS + 1 if $n == 1;
			$product = 'limited' if $n == 2;
			$quantity++ if $n == 3;
			my $context = qq({"reservation": "$name"});
			my $settled = $Stress::World::PRODUCTS{$product}{settlement};
			return asked($settled ? 'order' : 'purchase', [ $who, $product, $key, $quantity, $context ],
				{ kind => $settled ? 'O' : 'P', user => $who, key => "$product|$key", quantity => $quantity, context => $context });
		} };
}

sub release_reservation
{
	my ($self, $user) = @_;
	my $of = $self->chance(0.7) ? "state = 'held'" : 'true';

	return {
		fn => 'release_reservation', args => 'TARGET', intents => [],
		choose => [ "SELECT user_id || ', ''' || idempotency_key || '''' FROM economy.shop_reservations WHERE $of ORDER BY md5('$self->{client}-$self->{number}' || user_id || idempotency_key) LIMIT 1",
			"$user, 'nothing'" ],
		sql => 'SELECT pg_current_xact_id_if_assigned() AS xact, r.* FROM economy.release_reservation(TARGET) r' };
}

sub expire_reservations
{
	my ($self) = @_;
	my $args = $self->pick(2, 500) . ', NULL';
	return { fn => 'expire_reservations', args => $args, intents => [], sql => "SELECT pg_current_xact_id_if_assigned() AS xact, r.* FROM economy_internal.expire_reservations($args) r" };
}

# Mostly what is completed, or under way, of those that there are when the transaction begins.
sub claim_mission
{
	my ($self, $user) = @_;
	my $order = $self->chance(0.8) ? q{state = 'completed' DESC} : 'true';
	my $present = $self->chance(0.5);

	return {
		fn => 'claim_mission', args => 'TARGET', intents => [],
		choose => [ "SELECT mission || '|' || period FROM economy.mission_progress WHERE user_id = $user AND mission NOT LIKE 'many%' ORDER BY $order, md5('$self->{client}-$self->{number}' || mission || period) LIMIT 1",
			$self->pick('plays|once', 'nothing|once') ],
		make => sub {
			my ($mission, $period) = split /\|/, $_[0];
			return call('claim_mission', 'claim_mission', [ $user, $mission, $present && $period eq 'once' ? undef : $period ], { kind => 'M', user => $user, key => "economy:mission:$mission|$period" });
		} };
}

# Of few tiers, often again; now and then of what there is not.
sub claim_tier
{
	my ($self, $user) = @_;
	my $name = $self->pick(qw(long long long short), $self->chance(0.05) ? 'nothing' : 'long');
	my $track = $name eq 'long' ? $self->pick(qw(free free premium)) : 'free';
	my $tier = 1 + int rand($name eq 'long' ? 8 : 3);
	my $reward = Stress::Seasons::reward_of($name, $track, $tier) // {};

	return call('claim_tier', 'claim_tier', [ $user, $name, $tier, $track ],
		{ kind => 'N', user => $user, key => "economy:season:$name|$track:$tier", gold => $reward->{gold} // 0, xp => $reward->{xp} // 0, items => $reward->{items} // '' });
}

sub claim_season { my ($self, $user) = @_; return call('claim_season', 'claim_season', [ $user, $self->pick(qw(long long short)) ]) }

# What the job does, a few accounts at a time, or all of them.
sub close_seasons
{
	my ($self) = @_;
	my $args = 'NULL, ' . $self->pick('3, 5', '100, 2000');
	return { fn => 'close_seasons', args => $args, intents => [], sql => "SELECT pg_current_xact_id_if_assigned() AS xact, r.claimed FROM economy_internal.close_seasons($args) r" };
}

sub claim_all { my ($self, $user) = @_; return call('claim_all', 'claim_all', [$user]) }

# At a clock that nobody has come to: six days after the newest entry.
sub publish_mission
{
	my ($self) = @_;
	my $name = $self->pick(qw(plays wins wins spent best earned veteran));
	my $text = Stress::World::mission_text($name, int rand 2);

	return $self->later("publish_mission", $name, sub { "economy.publish_mission('$text', '$_[0]' || left(s.c, 0))" });
}

sub retire_mission
{
	my ($self) = @_;
	my $name = $self->pick(qw(wins best earned veteran));
	return $self->later("retire_mission", $name, sub { "economy.retire_mission('$name', '$_[0]' || left(s.c, 0))" });
}

sub later
{
	my ($self, $fn, $name, $call) = @_;
	my $actor = "a$self->{client}-$self->{number}-" . $self->{serial}++;

	return {
		fn => $fn, args => $name, intents => [], actor => $actor,
		choose => [ 'SELECT extract(epoch FROM max(l.created_at))::bigint + 86400 * 6 FROM economy.ledger l', 0 ],
		make => sub {
			my ($clock) = @_;
			my $text = Stress::World::clock_text($clock || $Stress::World::END + 86400 * 6);
			return {
				args => "$name at $clock",
				sql => "SELECT pg_current_xact_id_if_assigned() AS xact, to_jsonb(p) AS value FROM (SELECT set_config('economy.test_clock', '$text', true) AS c) s, LATERAL " . $call->($actor) . ' p' };
		} };
}

# Which purchase of a user is taken back, of those that there are when the transaction begins: by what they are
# ordered.
my @PREFERRED = (
	'seq DESC', q{category = 'conversion' DESC, seq DESC}, q{product_id IN ('poster', 'ticket', 'hoard', 'capped', 'starter') DESC, seq DESC},
	q{product_id IN ('once', 'unique', 'daily', 'rare', 'swap', 'day', 'freeze') DESC, seq DESC}, 'quantity DESC, seq DESC', 'items IS NULL', 'true');

# All of it or some units, with few keys, so that others send the same with another quantity; now and then
# the purchase that the transaction itself, or another one at that moment, is to make, one of another user, or
# what is none.
sub refund
{
	my ($self, $user) = @_;
	my $n = int rand 40;
	my $guess = "P$user-" . (1 + int rand 20 + 200 * $self->{progress} * $self->{ops} / 10000);
	my $key = $self->chance(0.7) ? 'back' . int rand 3 : "own$self->{client}-$self->{number}-" . $self->{serial}++;
	my ($asked, $policy, $restock) = ($self->pick(undef, 1, 1, 2), $self->pick('refuse', 'take_available', 'take_available'), $self->{no_stock} || $self->chance(0.2) ? 0 : 1);
	my $of = $n == 1 ? $user % $Stress::World::USERS + 1 : $user;
	my $reason = $self->pick('mistake', 'chargeback');
	my $op = call('refund_purchase', 'refund_purchase', [ $user, 'TARGET', $key, $asked, $reason, "c$self->{client}", $policy, $restock ? 'true' : 'false' ],
		{ kind => 'B', user => $user, key => "TARGET|$key", asked => $asked, policy => $policy, restock => $restock, actor => "c$self->{client}", reason => $reason });
	my $order = $user % 5 == 4 && $self->chance(0.7) ? $PREFERRED[1] : $self->pick(@PREFERRED);

	$op->{choose} = [ $n == 2 ? "SELECT l.transaction_id FROM economy.ledger l WHERE l.user_id = $user ORDER BY l.seq DESC LIMIT 1"
		: $n < 5 && $n > 2 ? "SELECT 'P$user-' || seq + 1 + $n % 2 FROM economy.accounts WHERE user_id = $user"
		: "SELECT 'P$of-' || seq FROM economy.shop_transactions WHERE user_id = $of ORDER BY $order, md5('$self->{client}-$self->{number}' || seq) LIMIT 1", $guess ];
	return $op;
}

# One user in five buys gold, and spends all that there is when the transaction begins, so that a refund
# finds too little.
sub squander
{
	my ($self, $user) = @_;
	my $key = "own$self->{client}-$self->{number}-" . $self->{serial}++;
	my $quantity = 1 + int rand 2;
	my $make = sub { my ($gold) = @_; return holding('spend', $user, $key, [ $user, $gold, 'all', $key, undef, undef ], -$gold, -1, {}, 'all', undef) };

	return $self->spend($user) if $user % 5 != 4;
	return asked('purchase', [ $user, 'pack', $key, $quantity, undef ], { kind => 'P', user => $user, key => "pack|$key", quantity => $quantity }) if $self->chance(0.3);
	return { fn => 'spend', args => 'TARGET', intents => [], make => $make, choose => [ "SELECT greatest(gold, 1) FROM economy.accounts WHERE user_id = $user", 1 ] };
}

# What the job does; where it may not, nothing.
sub collect_debts
{
	my ($self) = @_;
	my $args = 'NULL, ' . $self->pick(2, 500);
	return {
		fn => 'collect_debts', args => "$args, " . $self->collects($self->{client}), intents => [],
		sql => "SELECT pg_current_xact_id_if_assigned() AS xact, r.* FROM economy_internal.collect_debts($args) r" };
}

sub dry_run
{
	my ($self, $user) = @_;
	my $make = $self->pick('purchase', 'purchase', 'reserve', 'grant_items', 'consume', 'spend', 'transfer');
	my $op = $self->$make($user);

	$op->{$_} =~ s/\bfalse\b/true/ foreach qw(args sql);
	@$op{qw(fn intents)} = ('dry_run', []);
	return $op;
}

sub reward
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $source = ('mission', 'season', 'gift')[ $n % 3 ];
	# what asks for something else does it in gold or in an item
	my $items = $n % 5 < 2 ? items_of($n, $n % 2 ? $other : 0, 3, 'gem', 'event', 'vip', 'spring', 'dash', Stress::World::relic(9)) : undef;
	my ($gold, $xp) = ($n % 90 + ($items && $n % 2 ? 0 : $other), $n % 40);
	my $carried = join ' ', map { "$_:$items->{$_}" } sort keys %{ $items // {} };

	return [ $user, $source, $key, $gold, $xp, undef, $items ? json_of($items) : undef ],
	  { kind => 'R', user => $user, key => "$source|$key", gold => $gold, xp => $xp, items => $carried };
}

sub grant_reward
{
	my ($self, $user) = @_;
	my ($args, $intent) = $self->reward($user);
	return call('grant_reward', 'grant_reward', $args, $intent);
}

sub grant_rewards
{
	my ($self) = @_;
	my @rewards = map { [ $self->reward($self->user) ] } 0 .. 1 + int rand 11;

	push @rewards, $rewards[ rand @rewards ] if $self->chance(0.2);
	push @rewards, more_gold($rewards[ rand @rewards ]) if $self->chance(0.1);
	my @asked = map { $_->[0] } @rewards;
	my @intents = map { { %{ $_->[1] } } } @rewards;
	return as_arrays('grant_rewards', \@asked, [qw(bigint text text bigint bigint jsonb jsonb)], @intents) if $self->chance(0.5);
	my $batch = join ', ', map {
		my ($user, $source, $key, $gold, $xp, undef, $items) = @$_;
		qq({"user_id": $user, "source": "$source", "external_event_id": "$key", "gold": $gold, "xp": $xp) . (defined $items ? qq(, "items": $items}) : '}')
	} @asked;
	return call('grant_rewards', 'grant_rewards', ["[$batch]"], @intents);
}

sub more_gold
{
	my ($args, $intent) = @{ $_[0] };
	my @asked = @$args;

	$asked[3]++;
	return [ \@asked, { %$intent, gold => $asked[3] } ];
}

# The target is a guess, so many are no reward and some are guessed twice; or the client
# chooses a reward that there is, mostly one with items, just before its transaction begins.
sub revoke_reward
{
	my ($self, $user) = @_;
	my $guess = "R$user-" . (1 + int rand 20 + 200 * $self->{progress} * $self->{ops} / 10000);
	my $chosen = $self->chance(0.6);
	my $target = $chosen ? 'TARGET' : $guess;
	my ($gold, $xp) = $self->chance(0.2) ? (int rand 40, int rand 20) : (undef, undef);
	my $key = $self->chance(0.5) ? 'part-' . int rand 3 : undef;
	my ($policy, $items) = ($self->pick('refuse', 'take', 'take'), $self->chance(0.25) ? $self->pick({}, map { { $_ => 1 } } 'gem', 'vip', 'event', Stress::World::relic(9)) : undef);
	my $op = call('revoke_reward', 'revoke_reward',
		[ $user, $target, 'stress', "c$self->{client}", $gold, $xp, $policy, $key, $items ? json_of($items) : undef ],
		{ kind => 'V', user => $user, key => defined $key ? "economy:reversal:$target|$key" : "economy:reversal|$target", gold => $gold, xp => $xp, policy => $policy,
			taken => $items ? join ' ', map { "$_:$items->{$_}" } sort keys %$items : undef });

	$op->{choose} = [ "SELECT 'R$user-' || seq FROM economy.reward_audit WHERE user_id = $user AND reverses IS NULL ORDER BY items IS NULL, md5('$self->{client}-$self->{number}' || seq) LIMIT 1", $guess ] if $chosen;
	return $op;
}

sub claim_daily_reward
{
	my ($self, $user) = @_;
	return call('claim_daily_reward', 'claim_daily_reward', [$user], { kind => 'C', user => $user, key => 'economy:daily_streak|' });
}

# A date that has come everywhere; of a shared key it is that of everybody.
sub set_streak
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $progress = $key =~ /^shared(\d+)/ ? $1 / $WINDOWS : $self->{progress};
	my $day = $n % 5 ? $n % 35 + $other : 0;
	my $epoch = $Stress::World::BEGIN + 86400 * (int($progress * $Stress::World::DAYS) - 2 - $n % 3);
	my $last = $day ? substr Stress::World::clock_text($epoch), 0, 10 : undef;

	return call('set_streak', 'set_streak', [ $user, $day, $last, 'stress', "c$self->{client}", $key ],
		{ kind => 'S', user => $user, key => "economy:set_streak|$key", day => $day, last => $day ? int(($epoch - 946684800) / 86400) : '' });
}

# What of an item is given or taken: units, of a pass seconds, now and then more than anybody
# can hold.
sub amount
{
	my ($id, $n) = @_;

	return $n % 23 ? 1800 * (1 + $n % 70) : $Stress::World::MAX_AMOUNT - 1 if Stress::World::is_pass($id);
	return $n % 5 ? 1 + $n % 50 : 4503599627370496 if $id eq 'dust';
	return 1 + $n % 4;
}

# Items and amounts that a number decides, some of an item that there is not.  What is
# taken is mostly what many have.
sub items_of
{
	my ($n, $other, $most, @common) = @_;
	my @ids = ((@common) x 4, sort keys %Stress::World::ITEMS);
	my %items = map { my $id = ($n + $_) % 61 ? $ids[ ($n + $_ * (1 + $n % 5)) % @ids ] : 'nothing'; ($id => amount($id, int($n / 16) + $_)) } 0 .. $n % $most;

	$items{ (sort keys %items)[0] } += $other;
	return \%items;
}

sub json_of
{
	my ($items) = @_;
	return '{' . join(', ', map { qq("$_": $items->{$_}) } sort keys %$items) . '}';
}

# A call that changes what a user holds, and what its entry is to carry: gold, and items
# with this sign.
sub holding
{
	my ($fn, $user, $key, $args, $gold, $sign, $items, $reason, $context) = @_;
	my $operation = { grant_items => 'grant', transfer => 'transfer_out', hold_escrow => 'escrow_hold' }->{$fn} // $fn;
	my $carried = join ' ', map { "$_:" . $sign * $items->{$_} } sort keys %$items;

	return call($fn, $fn, [ @$args, 'false' ],
		{ kind => 'H', user => $user, key => "$operation|$key", gold => $gold, items => $carried, reason => $reason, context => $context });
}

sub why
{
	my ($n) = @_;
	return (('quest', 'door', 'revive')[ $n % 3 ], $n % 10 == 1 ? '{"from": "stress"}' : undef);
}

# What asks for something else under a shared key does it in one of its arguments.
sub grant_items
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $items = items_of($n, $n % 3 ? $other : 0, 4, 'gem', 'event', 'spring', 'dash', Stress::World::relic(9));
	my ($reason, $context) = why($n % 3 ? $n : $n + $other);

	return holding('grant_items', $user, $key, [ $user, json_of($items), $reason, $key, $context ], 0, 1, $items, $reason, $context);
}

sub consume
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $items = items_of($n, $n % 3 ? $other : 0, 1, @TAKEN);
	my ($id) = keys %$items;
	my ($reason, $context) = why($n % 3 ? $n : $n + $other);

	return holding('consume', $user, $key, [ $user, $id, $key, $items->{$id}, $reason, $context ], 0, -1, $items, $reason, $context);
}

# Gold alone, items alone, or both.
sub spend
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $what = int($n / 4) % 3;
	my $items = $what ? items_of($n, $n % 2 ? $other : 0, 2, @TAKEN) : {};
	my $gold = $what == 1 ? 0 : 1 + $n % 60 + ($what == 2 && $n % 2 ? 0 : $other);
	my ($reason, $context) = why($n);

	return holding('spend', $user, $key, [ $user, $gold, $reason, $key, $what ? json_of($items) : undef, $context ], -$gold, -1, $items, $reason, $context);
}

# What an entry of a draw is to carry is left to chance; its items are those that may come.
sub draw
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $table = $n % 4 ? 'chest' : 'dice';
	my $seed = 'client ' . ($n % 7 + $other);
	my (undef, $context) = why($n);
	my $items = $table eq 'chest' ? join ' ', 'gem:2', 'dust:5', Stress::World::relic(9) . ':1' : '';

	return call('draw', 'draw', [ $user, $table, $key, $seed, $context, 'false' ],
		{ kind => 'D', user => $user, key => "draw|$key", gold => $table eq 'chest' ? -2 : -1, items => $items, reason => $table, seed => $seed, context => $context });
}

# The newest of the user's, and now and then one that was revealed, or that there is not.
sub draw_reveal
{
	my ($self, $user) = @_;
	my $number = $self->pick('newest', 'newest', 1, 3);

	return {
		fn => 'draw_reveal', args => "$user, $number", intents => [],
		sql => 'SELECT pg_current_xact_id_if_assigned() AS xact, r.* FROM economy.draw_reveal(' . "$user, "
		  . ($number eq 'newest' ? "(SELECT coalesce(max(s.seed_number), 1) FROM economy.draw_seeds s WHERE s.user_id = $user)" : $number) . ') r' };
}

sub draw_commit { my ($self, $user) = @_; return call('draw_commit', 'draw_commit', [$user]) }

sub publish_draw_table
{
	my ($self) = @_;
	my $op = $self->admin('publish_draw_table', 'chest', 'ACTOR');

	$op->{sql} = Stress::World::publish_sql('chest', $self->pick(@{ $Stress::World::DRAWS{chest} }), $op->{actor});
	return $op;
}

# Gold, items, or both to a neighbour; where few play, to each other.
sub transfer
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $what = int($n / 4) % 3;
	my $items = $what ? items_of($n, $n % 3 == 1 ? $other : 0, 3, 'gem', 'event', 'trophy', Stress::World::relic(9)) : {};
	my $gold = $what == 1 ? 0 : 1 + $n % 60 + ($n % 3 == 1 ? $other : 0);
	my $to = $self->{crowded} && $user =~ /^[34]$/ && $n % 5 ? 7 - $user : ($user + $n % 7) % ($Stress::World::USERS + 1) + 1;
	my ($reason, $context) = why($n % 3 ? $n : $n + $other);
	my $note = $n % 4 ? $reason : undef;

	$to = $user if $n % 41 == 0;
	$to++ if $n % 3 == 2 && $other;
	my $op = holding('transfer', $user, $key, [ $user, $to, $key, $gold, $what ? json_of($items) : undef, $note, $context ],
		-$gold - POSIX::ceil($gold * $Stress::World::FEE / 1000), -1, $items, 'transfer', $context);
	@{ $op->{intents}[0] }{qw(to sent note)} = ($to, $gold, $note);
	return $op;
}

# To nobody yet: the rules of transfers hold.
sub hold_escrow
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $what = int($n / 4) % 3;
	my $items = $what ? items_of($n, $n % 3 == 1 ? $other : 0, 3, 'gem', 'event', 'trophy', Stress::World::relic(9)) : {};
	my $gold = $what == 1 ? 0 : 1 + $n % 60 + ($n % 3 == 1 ? $other : 0);
	my ($reason, $context) = why($n % 3 ? $n : $n + $other);
	my $op = holding('hold_escrow', $user, $key, [ $user, $key, $gold, $what ? json_of($items) : undef, $n % 4 ? '3 days' : '6 hours', $reason, $context ],
		-$gold - POSIX::ceil($gold * $Stress::World::FEE / 1000), -1, $items, $reason, $context);

	@{ $op->{intents}[0] }{qw(to held)} = (-1, 1);
	return $op;
}

# What closes one: of those that are open when its transaction begins, else one that there may have been.
sub closing
{
	my ($self, $fn, $user, $rest) = @_;

	return {
		fn => $fn, args => "TARGET$rest", intents => [],
		choose => [ "SELECT user_id || ', ''H' || user_id || '-' || seq || '''' FROM economy.escrows ORDER BY md5('$self->{client}-$self->{number}' || user_id || '-' || seq) LIMIT 1",
			"$user, 'H$user-" . (1 + int rand 50) . q{'} ],
		sql => "SELECT pg_current_xact_id_if_assigned() AS xact, r.state, r.code, r.transaction_id FROM economy." . ($fn =~ s/^pass/capture/r) . "(TARGET$rest) r" };
}

sub release_escrow { my ($self, $user) = @_; return $self->closing('release_escrow', $user, '') }

sub pass_escrow
{
	my ($self, $user) = @_;
	my $to = 1 + int rand $Stress::World::USERS;
	return $self->closing('pass_escrow', $user, ", $to" . $self->pick('', '', ', 1', q{, items => '{}'}, q{, 3, '{}'}));
}

# Rounds are everybody's: who opens one, who settles it, and who voids it are others.  What asks
# for something else opens it as another type, or wins something else.
sub round
{
	my ($self, $user) = @_;
	my $window = int($self->{progress} * $WINDOWS / 2);
	$window = int rand $window + 1 if $self->chance(0.2);
	my $n = $user * 7 + $window;

	return { id => "round$window", bet => 1 + $n % 30, win => $n % 3 ? 0 : $n % 70, xp => $n % 4 ? 0 : $n % 20, ttl => $n % 5 ? '3 days' : '2 hours', other => $self->chance(0.1) ? 1 : 0 };
}

sub open_action
{
	my ($self, $user) = @_;
	my $round = $self->round($user);
	my $type = $round->{other} ? 'SPIN2' : 'SPIN';

	return call('open_action', 'open_action', [ $user, 'slot', $type, @$round{qw(id bet ttl)} ],
		{ kind => 'H', user => $user, key => qq(round_open|["slot", "$round->{id}"]), gold => -$round->{bet}, items => '', reason => 'bet', context => qq({"game": "slot", "action_type": "$type"}) });
}

sub settle_action
{
	my ($self, $user) = @_;
	my $round = $self->round($user);
	my $win = $round->{win} + $round->{other};

	return call('settle_action', 'settle_action', [ $user, 'slot', $round->{id}, $win, undef, undef, $round->{xp} ],
		{ kind => 'A', type => 'SPIN', of_round => 1, user => $user, key => "slot|$round->{id}", bet => $round->{bet}, win => $win, xp => $round->{xp} });
}

sub void_action
{
	my ($self, $user) = @_;
	my $round = $self->round($user);

	return {
		fn => 'void_action', args => "$user, 'slot', '$round->{id}', 'lost'", intents => [],
		sql => "SELECT pg_current_xact_id_if_assigned() AS xact, r.state, r.code, r.transaction_id, r.detail FROM economy.void_action($user, 'slot', '$round->{id}', 'lost') r" };
}

sub expire_escrows
{
	return { fn => 'expire_escrows', args => '', intents => [], sql => 'SELECT pg_current_xact_id_if_assigned() AS xact, r.* FROM economy_internal.expire_escrows() r' };
}

sub adjust_gold
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $delta = $n % 200 - 120 + $other || 1;

	return call('adjust_gold', 'adjust_gold', [ $user, $delta, $key, 'stress', "c$self->{client}" ],
		{ kind => 'G', user => $user, key => $key, gold => $delta });
}

sub action
{
	my ($self, $user, @game) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $game = $game[0] // ($n % 37 ? $Stress::World::GAMES[ $n % 5 ] : 'golf');
	my $bet = $n % 3 ? $n % 60 + $other : 0;
	my $win = ($n / 8) % 2 ? $n % 110 : 0;
	my $xp = $n % 4 ? 0 : $n % 70;

	return { kind => 'A', type => 'PLAY', user => $user, key => "$game|$key", bet => $bet, win => $win, xp => $xp },
	  [ $user, $game, 'PLAY', $key, $bet, $win, undef, undef, $xp ];
}

sub record_action
{
	my ($self, $user) = @_;
	my ($intent, $args) = $self->action($user);
	splice @$args, 6 if !$intent->{xp};
	return call('record_action', 'record_action', $args, $intent);
}

# In a transaction with others, of that one's user alone.
sub record_actions
{
	my ($self, $user) = @_;
	my @actions = map { [ $self->action($self->{no_stock} ? $user : $self->user) ] } 0 .. 1 + int rand 11;

	push @actions, $actions[0] if $self->chance(0.1);    # one id twice
	my @asked = map { $_->[1] } @actions;
	my @intents = map { { %{ $_->[0] } } } @actions;
	return as_arrays('record_actions', \@asked, [qw(bigint text text text bigint bigint text jsonb bigint)], @intents) if $self->chance(0.5);
	my $batch = join ', ', map {
		my ($id, $game, $type, $key, $bet, $win, $xp) = @$_[ 0 .. 5, 8 ];
		qq({"user_id": $id, "game": "$game", "action_type": "$type", "action_id": "$key", "bet": $bet, "win": $win, "xp": $xp})
	} @asked;
	return call('record_actions', 'record_actions', ["[$batch]"], @intents);
}

# Rows for a table with a capture trigger; each is an action of chess.
sub capture
{
	my ($self, $user) = @_;
	my $policy = $self->pick('raise', 'report');
	my (@intents, @rows);

	foreach (0 .. int rand 4)
	{
		my ($intent, $args) = $self->action($self->{no_stock} ? $user : $self->user, 'chess');
		push @intents, { %$intent, type => 'CAPTURE', policy => $policy, xp => 0 };
		push @rows, "('$args->[3]', $args->[0], $args->[4], $args->[5])";
	}
	my $values = join ', ', @rows;
	return {
		fn => "capture_$policy", args => $values, intents => \@intents,
		sql => "WITH i AS (INSERT INTO public.spins_$policy VALUES $values RETURNING 1)"
		  . ' SELECT pg_current_xact_id_if_assigned() AS xact FROM (SELECT count(*) FROM i) c' };
}

# Settles rounds for whoever, some of them for a second time.
sub settle_rounds
{
	my ($self) = @_;
	my $policy = $self->pick('raise', 'report');
	my %ids = map { (1 + int rand 20 + ($Stress::World::ROUNDS - 20) * $self->{progress} => 1) } 0 .. int rand 3;
	my (@intents, @rows);

	foreach my $n (sort keys %ids)
	{
		my ($user, $win) = ($self->user, int rand 4);
		# mostly the one who has it, so that it is settled again as it was
		($user, $win) = (1 + $n % $Stress::World::USERS, $n % 5) if $self->chance(0.6);
		push @intents, { kind => 'A', type => 'CAPTURE', policy => $policy, user => $user,
			key => "chess|rounds_$policy:round$n", bet => $n % 7, win => $win };
		push @rows, "('round$n', $user, $win)";
	}
	my $values = join ', ', @rows;
	return { fn => "settle_$policy", args => $values, intents => \@intents, sql => Stress::World::settle_sql($policy, $values) };
}

sub read
{
	my ($self, $user) = @_;
	my @reads = (
		"account($user)", "statement($user, 0, 20)", "products($user)", "product(''potion'', $user)", "purchases_of($user)", "profile($user)", "game_stats_me($user)", "replay($user, 0, 20)",
		"holdings($user)", "orders_of($user)", "debts_of($user)", "missions($user)", "holds($user, ''gem'', 3)", "holds($user, ''vip'')",
		"streak_state($user)", "verify_receipt($user, ''P$user-2'')", "verify_chain($user)");
	my $read = $self->pick(@reads);

	$read =~ s/''/'/g;
	return { fn => 'read', args => $read, intents => [], sql => "SELECT count(*) AS count FROM economy.$read r" };
}

# Calls that must raise class XE and do nothing.
sub misuse
{
	my ($self, $user) = @_;
	my $sql = $self->pick(
		"SELECT * FROM economy.purchase($user, 'potion', '', 1)",
		"SELECT * FROM economy.purchase($user, 'potion', 'k', 0)",
		"SELECT * FROM economy.grant_reward($user, 'economy:x', 'k', 1)",
		"SELECT * FROM economy.grant_rewards('[{\"user_id\": $user, \"source\": \"m\", \"external_event_id\": \"bad\", \"gold\": 5}, {\"user_id\": $user}]')",
		"SELECT * FROM economy.record_action($user, 'slot', 'PLAY', 'bad', -1)",
		"SELECT * FROM economy.grant_items($user, '{\"gem\": 1, \"event\": 0}', 'r', 'bad')",
		"SELECT * FROM economy.consume($user, 'gem', 'bad', -1)",
		"SELECT * FROM economy.refund_purchase($user, 'P$user-2', 'bad', 0, 'r', 'a')",
		"SELECT * FROM economy.refund_purchase($user, 'P$user-2', 'bad', 1, 'r', 'a', 'take_all')",
		"SELECT * FROM economy.spend($user, 0, 'r', 'bad')",
		"SELECT * FROM economy.grant_reward($user, 'm', 'bad', 5, 0, NULL, '{}')",
		"SELECT * FROM economy.grant_rewards('[{\"user_id\": $user, \"source\": \"m\", \"external_event_id\": \"bad\", \"gold\": 5}, {\"user_id\": $user, \"source\": \"m\", \"external_event_id\": \"bad2\", \"items\": {\"gem\": -1}}]')",
		"SELECT economy.upsert_product('{\"product_id\": \"bundle\", \"contents\": {\"gem\": 1}, \"price_items\": {\"gem\": 1}}', 'stress')",
		"SELECT * FROM economy.transfer($user, 1, 'bad', -1)",
		"SELECT economy.upsert_item('{\"item_id\": \"gem\", \"kind\": \"stack\"}', 'stress')",
		"SELECT economy.add_stock('limited', -1000000000, 'stress')");
	return { fn => 'misuse', args => $sql, intents => [], sql => $sql };
}

# Admin calls without a key leave the actor, which is different every time.
sub admin
{
	my ($self, $fn, @args) = @_;
	my $actor = "a$self->{client}-$self->{number}-" . $self->{serial}++;
	my $op = call($fn, $fn, [ map { defined && $_ eq 'ACTOR' ? $actor : $_ } @args ]);

	$op->{sql} =~ s/ r\.\* FROM/ to_jsonb(r) AS value FROM/;
	$op->{actor} = $actor;
	return $op;
}

# A member of its own per client, and one that all of them change.
sub update_profile
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my %patch = ("c$self->{client}" => $n % 50, 'all' => $n % 3 ? $n % 20 + $other : 'null');
	my $member = $self->{no_stock} || $key =~ /^shared/ ? 'all' : "c$self->{client}";

	return call('update_profile', 'update_profile', [ $user, qq({"$member": $patch{$member}}), $key ],
		{ kind => 'U', user => $user, key => "profile|$key", member => $member, value => $patch{$member} });
}

# Few ids for many users, so most are taken, and some by two at once.
sub link_external_id
{
	my ($self, $user) = @_;
	my ($key, $n, $other) = $self->key($user);
	my $id = 'id' . ($n % 12 + $other);

	return call('link_external_id', 'link_external_id', [ $user, $id, "l$key" ],
		{ kind => 'U', user => $user, key => "external_id|l$key", after => $id });
}

sub unlink_external_id
{
	my ($self, $user) = @_;
	my ($key) = $self->key($user);
	return call('unlink_external_id', 'unlink_external_id', [ $user, "u$key" ],
		{ kind => 'U', user => $user, key => "external_id|u$key", after => '' });
}

sub set_timezone { my ($self, $user) = @_; return $self->admin('set_timezone', $user, $self->pick(@Stress::World::ZONES)) }

sub set_user_status
{
	my ($self) = @_;
	return $self->admin('set_user_status', $self->pick(@Stress::World::SUSPENDABLE), $self->pick('active', 'active', 'suspended'), 'ACTOR');
}

sub upsert_product
{
	my ($self) = @_;
	my $price = $self->pick(4000, 5000);

	if ($self->chance(0.5))
	{
		my $offer = $self->pick(@Stress::World::OFFERS);
		my ($contents, $cost) = map { $_ ? json_of($_) : 'null' } @$offer{qw(contents price_items)};
		return $self->admin('upsert_product', qq({"product_id": "bundle", "contents": $contents, "price_items": $cost}), 'ACTOR');
	}
	return $self->admin('upsert_product', qq({"product_id": "sword", "price_gold": $price, "active": true}), 'ACTOR');
}

sub retire_product { my ($self) = @_; return $self->admin('retire_product', 'sword', 'ACTOR') }

sub upsert_item
{
	my ($self) = @_;
	my $maximum = $self->pick(@Stress::World::MAXIMA);
	my $active = $self->pick('true', 'true', 'false');
	return $self->admin('upsert_item', qq({"item_id": "event", "maximum": $maximum, "active": $active}), 'ACTOR');
}

sub add_stock
{
	my ($self) = @_;
	my $units = $self->pick(1, 2, 5, 12, -1, -3);
	my $op = $self->admin('add_stock', $self->pick(qw(limited scarce single rare)), $units, 'ACTOR');
	$op->{units} = $units;
	return $op;
}

# Jobs in turn: each needs what the one before it has done.
sub rollup_stats
{
	my ($self) = @_;
	my $size = $self->pick(5, 1000);
	my $job = ('rollup_stats', 'refresh_leaderboards', 'refresh_leaderboards', 'pay_leaderboard_prizes', 'retry_leaderboard_prizes')[ $self->{number} % 5 ];
	return $self->admin($job, $job =~ /^retry/ ? 'day' : $size);
}

sub prune { my ($self) = @_; return $self->admin('prune', $self->pick('1 day', '3 days', '10 days'), $self->pick(3, 1000)) }

# For who archives it is 90 days later: so old an entry must be, and no history lasts so long.
sub archive
{
	my ($self) = @_;
	my $journal = $self->pick(@Stress::World::ARCHIVED);
	my $op = $self->admin('archive', "economy.$journal", "public.archived_$journal", $self->pick('91 days', '93 days', '100 days'), $self->pick(3, 1000));
	$op->{ahead} = 90;
	return $op;
}

sub audit_sweep { my ($self) = @_; return $self->admin('audit_sweep') }
sub audit_sweep_incremental { my ($self) = @_; return $self->admin('audit_sweep_incremental', $self->pick(10, 1000)) }
sub stats_parity { my ($self) = @_; return $self->admin('stats_parity') }
sub rotate_signing_key { my ($self) = @_; return $self->admin('rotate_signing_key') }
sub retire_signing_key { my ($self) = @_; return $self->admin('retire_signing_key', 1 + int rand 3) }

# Half of them ask whether the user is new.
sub register
{
	my ($self) = @_;
	my $name = 'late' . int rand 6 + 20 * $self->{progress};
	my $op = $self->admin('register', $name, $self->pick(@Stress::World::ZONES));

	$op->{external_id} = $name;
	$op->{sql} = 'SELECT pg_current_xact_id_if_assigned() AS xact, ' . ($self->chance(0.5)
		? "r.user_id, r.is_new::integer AS is_new FROM economy.register_user($op->{args}) r" : "economy.register($op->{args}) AS user_id");
	return $op;
}

# What workers do: few of them, so that one has what another one asks for.
sub worker { my ($self) = @_; return 'w' . int rand 4 }

sub unfulfilled
{
	my ($self) = @_;
	my $args = sprintf q{'%s', %d, '%d minutes', %s}, $self->worker, $self->pick(1, 2, 5, 30), $self->pick(1, 20, 400, 1440), $self->pick('NULL', 'NULL', q{'poster'}, q{'ticket'});

	return { fn => 'unfulfilled', args => $args, intents => [], sql => <<"SQL" };
SELECT pg_current_xact_id_if_assigned() AS xact, u.transaction_id, u.product_id, u.quantity, u.effect_code, u.context::text AS context, u.items::text AS items,
    u.attempts, extract(epoch FROM u.leased_until)::bigint AS until FROM economy.unfulfilled($args) u
SQL
}

# Mostly of what somebody has been handed, and now and then of what is done, or is none.
sub fulfil
{
	my ($self, $user) = @_;
	my $worker = $self->worker;
	my $of = $self->chance(0.7) ? "worker = '$worker' AND fulfilled_at IS NULL" : $self->chance(0.7) ? 'fulfilled_at IS NULL' : 'true';
	my $note = $self->chance(0.3) ? qq({"c": "$self->{client}"}) : undef;
	my $args = "TARGET, '$worker', " . literal($note);

	return {
		fn => 'fulfil', args => $args, intents => [],
		choose => [ "SELECT user_id || ', ''P' || user_id || '-' || seq || '''' FROM economy.fulfilments WHERE $of ORDER BY md5('$self->{client}-$self->{number}' || user_id || '-' || seq) LIMIT 1",
			"$user, 'P$user-" . (1 + int rand 50) . q{'} ],
		sql => <<"SQL" };
SELECT pg_current_xact_id_if_assigned() AS xact, f.state, f.code, f.transaction_id, f.worker, f.attempts, extract(epoch FROM f.fulfilled_at)::bigint AS fulfilled,
    extract(epoch FROM coalesce(f.detail ->> 'leased_until', f.detail ->> 'refunded_at')::timestamptz)::bigint AS until FROM economy.fulfil($args) f
SQL
}

# Now and then nothing can be sent.
sub set_transfer_rules
{
	my ($self) = @_;
	my $enabled = $self->pick('true', 'true', 'true', 'false');
	my $daily = $self->pick(@Stress::World::DAILY_GOLD);
	return $self->admin('set_transfer_rules', qq({"enabled": $enabled, "daily_gold": $daily}), 'ACTOR');
}

sub set_daily_rewards
{
	my ($self) = @_;
	my $calendar = $self->pick(@Stress::World::CALENDARS);
	return $self->admin('set_daily_rewards', Stress::World::days_of($calendar), 'ACTOR', $calendar->{continues_at});
}

# Noise hits whatever another client is just doing.
sub disturb
{
	my ($self, $fn) = @_;
	my $victim = 1 + int rand $self->{clients};
	return {
		fn => $fn, args => $victim, intents => [],
		sql => "SELECT count($fn(pid)) AS count FROM pg_stat_activity WHERE application_name = 'client$victim' AND state <> 'idle'" };
}

sub cancel { my ($self) = @_; return $self->disturb('pg_cancel_backend') }
sub terminate { my ($self) = @_; return $self->disturb('pg_terminate_backend') }

# The history in words, without a server: what make stress PLAN=1 prints.
sub print_out
{
	my ($self, $out) = @_;

	printf $out "seed %d: %s\n", $self->{seed}, $self->kind;
	for my $client (1 .. $self->{clients})
	{
		my $number = 0;
		print $out "client $client: ", join('; ', $self->settings($client)), "\n";
		foreach my $tx (@{ $self->client($client) })
		{
			printf $out "%d.%d %s%s %s\n", $client, ++$number, $tx->{iso}, $tx->{auto} ? '' : " .. $tx->{end}",
			  Stress::World::clock_text($tx->{clock});
			foreach my $step (@{ $tx->{steps} })
			{
				my ($what, $op) = @$step;
				print $out $op ? "\t$op->{fn}($op->{args})" : "\t$what";
				print $out " timeout $op->{timeout} ms" if $op && $op->{timeout};
				print $out " dropped after $op->{drop_after} s" if $op && defined $op->{drop_after};
				print $out "\n";
			}
		}
	}
	return;
}

1;
