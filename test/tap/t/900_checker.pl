# The checker of make stress, on histories written down by hand: what is in
# doubt is no violation, what is not is one.
use strict;
use warnings;

use File::Temp ();
use FindBin;
use lib "$FindBin::Bin/../../stress";
use Stress::Checker;
use Stress::Log;
use Test::More;

my $CLOCK = 1772409600;

# One attempt to record an action of user 3, in its own transaction.
sub attempt
{
	my ($tx, $xact, $seq, $outcome, $clock) = (@_, $CLOCK);
	my $gold = 10 * $seq;
	return (
		"T\ttx=$tx\tiso=ser\tauto=0\tclock=$clock", "O\ttx=$tx\top=0\tfn=record_action\targs=",
		"I\ttx=$tx\top=0\tel=0\tkind=A\ttype=PLAY\tuser=3\tkey=slot|k\tbet=0\twin=10",
		"R\ttx=$tx\top=0\tel=0\tstate=new\tcode=OK\ttransaction_id=A3-$seq\txact=$xact\tgold_delta=10\tgold=$gold",
		"D\ttx=$tx\top=0\tms=1", "E\ttx=$tx\toutcome=$outcome");
}

# What the checker says when that action was pruned with seq 1, and these
# attempts are in the log.  Entry 2 is an adjustment made before the log began.
sub judge
{
	my (@lines) = @_;
	my $e = {
		journal => 'G', id => 'G3-2', user_id => 3, seq => 2, gold_delta => 5, xp_delta => 0, gold => 15, experience_points => 0,
		created_at => 0, xact => 7, position => 7, live => 0, hash => '00', idempotency_key => 'opening', key => 'opening', actor => 'a', reason => 'r' };
	my %stats = (user_id => 3, game => 'slot', total => 1, wins => 1, losses => 0, draws => 0, max_win => 10, bet_sum => 0, win_sum => 10);
	my %tables = (
		entries => [$e],
		accounts => [ { user_id => 3, seq => 2, gold => 15, experience_points => 0, suspended => 0, streak_freezes => 0, pruned_seq => 2, head_hash => '00' } ],
		users => [ { user_id => 3, external_id => 'eve', timezone => 'UTC', profile => '{}', created_at => 0 } ],
		pruned_actions => [ { user_id => 3, seq => 1, key => Stress::Checker::action_key('slot', 'k') } ],
		game_stats => [ \%stats ],
		user_game_stats_summary => [ { %stats, day => '2026-03-02' } ],
		rollup_positions => [ { user_id => 3, seq => 2 } ],
		map { ($_ => []) } qw(streaks shop_stock shop_products shop_product_changes
		  signing_keys capture_refusals));
	my $file = File::Temp->new;

	print $file map { "$_\n" } @lines;
	close $file;
	return join "\n", Stress::Checker->new(log => Stress::Log::read_files("$file"), tables => \%tables)->check;
}

is(judge(attempt('1.1.1', 100, 1, 'committed')), '', 'an answered attempt');
is(judge(attempt('1.1.1', 100, 1, 'unknown')), '', 'one without an answer');
is(judge(attempt('1.1.1', 100, 1, 'unknown'), attempt('1.1.2', 104, 1, 'committed')), '',
	'one that was rolled back unseen, and its answered retry with the same seq');
is(judge(attempt('1.1.1', 100, 1, 'committed'), attempt('1.2.1', 104, 1, 'unknown')), '', 'the other way round');
my @silent = grep { !/^[RD]/ } attempt('1.1.1', 0, 1, 'unknown', $CLOCK + 86400);
is(judge(@silent, attempt('1.2.1', 7, 1, 'unknown')), '', 'another day without a word, and one whose transaction is there');
is(judge(@silent, attempt('1.2.1', 104, 1, 'unknown')), '', 'or who was told the name');
my @first = attempt('1.1.1', 100, 1, 'unknown');
splice @first, 5, 0,
  "O\ttx=1.1.1\top=1\tfn=adjust_gold\targs=", "I\ttx=1.1.1\top=1\tel=0\tkind=G\tuser=3\tkey=g\tgold=1",
  "R\ttx=1.1.1\top=1\tel=0\tstate=new\tcode=OK\ttransaction_id=G3-2\txact=100\tgold_delta=1\tgold=11";
is(judge(@first, attempt('1.1.2', 104, 1, 'unknown')), '', 'two without an answer: the first need not be half done');
like(judge(@first), qr/^I4 transaction 1\.1\.1 is half done/, 'alone it is');

like(judge(attempt('1.1.1', 100, 1, 'aborted')), qr/^I4 nobody was answered for A3-1/, 'an aborted attempt');
like(judge(attempt('1.1.1', 100, 2, 'committed')), qr/^I4 nobody was answered for A3-1/, 'an answer of another entry');
like(judge(attempt('1.1.1', 100, 1, 'committed'), attempt('1.2.1', 104, 1, 'committed')), qr/acknowledged as new 2 times/, 'two answers');
done_testing();
