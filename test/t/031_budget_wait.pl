# A check of a budget in a transaction that stays open: other checks of the
# budget are answered all the same, with an error; nobody else waits for it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('budget_wait');

# What a statement that must not wait for ever says, on both channels.
sub said
{
	my ($sql) = @_;
	my ($code, $out, $err) = $node->psql('postgres', "SET statement_timeout = '60s'; $sql");

	return $out . $err;
}

$node->safe_psql('postgres', q(
SELECT flowmaestro.set_budget('entity:held', 10, 'total'), flowmaestro.set_budget('entity:free', 10, 'total');
CREATE ROLE fms_spender LOGIN;
SELECT flowmaestro.grant_writer('fms_spender');
));
# a reservation that lapses at once
my $lapsed = $node->safe_psql('postgres', "SELECT reservation FROM flowmaestro.check_budget('entity:held', 1, '-1 second')");
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN');
$holder->query_safe("SELECT flowmaestro.check_budget('entity:held', 1)");

foreach my $setting ('', "SET lock_timeout = '50ms'; ", "SET lock_timeout = '1h'; ")
{
	like(said("SET ROLE fms_spender; ${setting}SELECT flowmaestro.check_budget('entity:held', 1)"),
		qr/budget for "entity:held" is in use by another transaction.*HINT:  Check a budget in a short transaction/s,
		"a check of the same budget gives up ($setting)");
}
like(said("SELECT allowed FROM flowmaestro.check_budget('entity:free', 1)"), qr/^t$/, 'another budget can be checked meanwhile');
is(said("SET lock_timeout = '7min'; BEGIN; SELECT FROM flowmaestro.check_budget('entity:free'); SHOW lock_timeout; COMMIT"), '7min', 'a check leaves lock_timeout as it was');
is(said("SELECT flowmaestro.end_span((flowmaestro.create_span('late', 'model_generation', 'held', '{\"totalCost\": 2, \"flowmaestro.reservation\": \"$lapsed\"}')).span_id); SELECT flowmaestro.flush()"),
	"t\n", 'spending for a reservation of the budget, even one that lapsed, is written meanwhile');
is($node->safe_psql('postgres', "SELECT count(*) FROM flowmaestro.rejected_spans"), '0', 'and nothing is set aside');

$holder->query_safe('COMMIT');
is($node->safe_psql('postgres', "SELECT allowed, spent, reserved, remaining FROM flowmaestro.check_budget('entity:held', 7.01)"), 'f|2|1|7',
	'after the commit the next check knows what was spent and reserved');
is($node->safe_psql('postgres', "SELECT allowed, spent, reserved, remaining FROM flowmaestro.check_budget('entity:held', 7)"), 't|2|8|0', 'and what is left');
$holder->query_safe('BEGIN');
$holder->query_safe("SELECT flowmaestro.check_budget('entity:free', 9)");
$holder->query_safe('ROLLBACK');
is($node->safe_psql('postgres', "SELECT allowed FROM flowmaestro.check_budget('entity:free', 9)"), 't', 'a reservation that was rolled back is none');
$holder->quit;

$node->stop;
done_testing();
