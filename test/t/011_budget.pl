# A budget is never overspent, however many sessions spend it at a time, in
# either mode of recording; to read what was spent and then to spend is not
# enough, which the same test shows.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $SESSIONS = 16;
my $node = recording_node('budget', 'max_connections = 60');
my $directory = PostgreSQL::Test::Utils::tempdir();

# Have many sessions run a procedure at the same time, which waits for a lock
# that all of them want before they begin.
sub at_once
{
	my ($call) = @_;
	my @sessions;
	my $script = "$directory/session.sql";

	append_to_file($script, '') unless -e $script;
	open(my $file, '>', $script) or die $!;
	print $file "SELECT pg_advisory_lock_shared(1); SELECT pg_advisory_unlock_shared(1);\nCALL $call;\n";
	close($file);
	my $gate = $node->background_psql('postgres');
	$gate->query_safe('SELECT pg_advisory_lock(1)');
	push @sessions, start_psql($node, 'postgres', $script, "$directory/out.$_", "spender $_") for 1 .. $SESSIONS;
	$node->poll_query_until('postgres',
		"SELECT count(*) = $SESSIONS FROM pg_stat_activity WHERE application_name LIKE 'spender%' AND wait_event_type = 'Lock'")
	  or die 'sessions do not come';
	$gate->query_safe('SELECT pg_advisory_unlock(1)');
	$gate->quit;
	foreach my $n (1 .. $SESSIONS)
	{
		$sessions[ $n - 1 ]->finish;
		is(slurp_file("$directory/out.$n.err"), '', "session $n has no error") if -s "$directory/out.$n.err";
	}
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	return;
}

# What an entity has spent.
sub spent
{
	my ($entity) = @_;

	return $node->safe_psql('postgres', "SELECT coalesce((cost ->> 'USD')::numeric, 0) FROM flowmaestro.get_token_usage('$entity')");
}

# Calls of 7 cents each, by a price: 10 dollars are enough for 142 of them, and
# 6 cents are left.  Before each one is made, the budget is asked.
$node->safe_psql('postgres', q(
SELECT flowmaestro.load_model_prices('[{"provider": "p", "model": "m", "valid_from": "2020-01-01", "input": 70000}]');
SELECT flowmaestro.set_budget('entity:' || e, 10, 'total') FROM unnest('{careful,transactional,careless}'::text[]) AS e;
CREATE PROCEDURE spend(entity text, mode text) LANGUAGE plpgsql AS $$
DECLARE
	budget record;
	span uuid;
BEGIN
	PERFORM set_config('flowmaestro.write_mode', mode, false);
	LOOP
		SELECT * INTO budget FROM flowmaestro.check_budget('entity:' || entity, 0.07);
		COMMIT;
		EXIT WHEN NOT budget.allowed;
		span := (flowmaestro.create_span('call', 'model_generation', entity, jsonb_build_object('provider', 'p', 'model', 'm', 'flowmaestro.reservation', budget.reservation))).span_id;
		PERFORM flowmaestro.end_span(span, attributes => '{"promptTokens": 1}');
		COMMIT;
	END LOOP;
END $$;
CREATE PROCEDURE spend_carelessly() LANGUAGE plpgsql AS $$
DECLARE
	span uuid;
BEGIN
	LOOP
		EXIT WHEN 10 - (SELECT coalesce((u.cost ->> 'USD')::numeric, 0) FROM flowmaestro.get_token_usage('careless') AS u) < 0.07;
		COMMIT;
		span := (flowmaestro.create_span('call', 'model_generation', 'careless', '{"provider": "p", "model": "m"}')).span_id;
		PERFORM flowmaestro.end_span(span, attributes => '{"promptTokens": 1}');
		COMMIT;
	END LOOP;
END $$;
));

at_once("spend('careful', 'buffered')");
is(spent('careful'), '9.94', "$SESSIONS sessions spent what they could, and no cent more");
is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.budget_reservations'), '0', 'all reservations are settled');

at_once("spend('transactional', 'transactional')");
is(spent('transactional'), '9.94', 'the same in transactions of their own');

at_once('spend_carelessly()');
cmp_ok(spent('careless'), '>', 10, 'who reads and then spends overspends');

is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.check_token_usage()'), '0', 'ledger and sums agree');
is(scalar(our_errors($node)), 0, 'no writer logged an error') or diag(our_errors($node));

# roles: who may record may ask and spend, and see nothing
$node->safe_psql('postgres', q(CREATE ROLE fms_spender LOGIN; SELECT flowmaestro.grant_writer('fms_spender')));
is($node->safe_psql('postgres', q(SET ROLE fms_spender; SELECT allowed FROM flowmaestro.check_budget('entity:careful', 0.06))), 't', 'a writer may ask');
foreach my $forbidden ("SELECT flowmaestro.set_budget('entity:careful', 1000)", 'SELECT * FROM flowmaestro.budgets',
	"SELECT * FROM flowmaestro.get_token_usage('careful')", 'DELETE FROM flowmaestro.budget_reservations', 'SELECT flowmaestro.reprice()')
{
	my ($code, $out, $err) = $node->psql('postgres', "SET ROLE fms_spender; $forbidden");
	like($err, qr/permission denied/, "but not: $forbidden");
}

# without the extension's room to write, the call is refused
my ($code, $out, $err) = $node->psql('postgres', "SELECT allowed FROM flowmaestro.check_budget('entity:nobody', 1)");
like($err, qr/there is no budget/, 'no budget, no call');

$node->stop;
done_testing();
