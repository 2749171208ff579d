# Spans of prepared transactions: between the two phases others end, start and
# count what nobody sees in the table yet.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('prepared', "max_prepared_transactions = 20\nflowmaestro.flush_interval = 1h");
my $ids = 0;

# a partition that a prepared transaction has made is another matter
$node->safe_psql('postgres', 'SELECT flowmaestro.make_partition(now())');

# A span id that nobody used.
sub new_id
{
	return sprintf('22222222-2222-4222-8222-%012d', ++$ids);
}

# Do something in transactional mode and prepare the transaction.
sub prepare
{
	my ($gid, $sql) = @_;

	return $node->safe_psql('postgres', "SET flowmaestro.write_mode = transactional; BEGIN; $sql; PREPARE TRANSACTION '$gid'");
}

# The rows of a span, once they are as expected or the time is over.
sub rows_become
{
	my ($id, $expected, $what) = @_;
	my $query = "SELECT count(*), max(name), max(status), max(output::text) FROM flowmaestro.execution_spans WHERE span_id = '$id'";

	wait_until(sub { $node->safe_psql('postgres', $query) eq $expected }, 30);
	is($node->safe_psql('postgres', $query), $expected, $what);
	return;
}

# Whether a query says yes.
sub says_yes
{
	my ($query, $what) = @_;

	is($node->safe_psql('postgres', "SELECT $query"), 't', $what);
	return;
}

# A span is ended between the two phases.
my $id = new_id();
prepare('one', "SELECT flowmaestro.create_span('prepared', 'agent_run', span_id => '$id')");
my $trace = prepare('trace', "SELECT trace_id FROM flowmaestro.create_span('parent', 'agent_run', span_id => '" . new_id() . "')");
says_yes("(flowmaestro.create_child_span('22222222-2222-4222-8222-000000000002', 'child', 'agent_run')).trace_id = '$trace'", 'a child of a prepared span is in its trace');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'trace'");
says_yes("flowmaestro.end_span('$id', '1')", 'another session ends a span of a prepared transaction');
says_yes("NOT flowmaestro.end_span('$id', '2')", 'a second end is told that it is one');
$node->psql('postgres', 'SELECT flowmaestro.flush()');
says_yes("NOT flowmaestro.end_span('$id', '3')", 'also after the writer has met the row that it cannot see');
$node->safe_psql('postgres', "COMMIT PREPARED 'one'");
rows_become($id, '1|prepared|completed|1', 'after the second phase there is one row, with the first end');
is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.active_spans WHERE name <> \'child\''), '0', 'and no span runs');

# A span that is ended after the second phase, in either mode.
foreach my $mode ('buffered', 'transactional')
{
	$id = new_id();
	prepare('two', "SELECT flowmaestro.create_span('prepared', 'agent_run', span_id => '$id')");
	$node->safe_psql('postgres', "COMMIT PREPARED 'two'");
	is($node->safe_psql('postgres', "SELECT count(*) FROM flowmaestro.active_spans WHERE span_id = '$id'"), '1', 'a span of a prepared transaction that committed runs');
	$node->safe_psql('postgres', "SET flowmaestro.write_mode = $mode; SELECT flowmaestro.end_span('$id', '1')");
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	rows_become($id, '1|prepared|completed|1', "and is ended in $mode mode");
}

# A prepared transaction that is rolled back leaves nothing in memory.
$id = new_id();
prepare('three', "SELECT flowmaestro.create_span('undone', 'agent_run', span_id => '$id')");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'three'");
is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.tracked_spans() WHERE name <> \'child\''), '0', 'a span of a prepared transaction that rolled back does not run');

# A start that comes from elsewhere while the end is prepared.
$id = new_id();
prepare('four', "SELECT flowmaestro.end_span('$id', '1')");
$node->safe_psql('postgres', "SELECT flowmaestro.create_span('started elsewhere', 'agent_run', span_id => '$id'); SELECT flowmaestro.flush()");
$node->safe_psql('postgres', "COMMIT PREPARED 'four'");
rows_become($id, '1|started elsewhere|completed|1', 'an end that was prepared and a start that came meanwhile become one row');

# A prepared transaction whose span lies in a day that had no partition, and one
# that made the partition itself: nobody comes to finish them.
prepare('day', "SELECT flowmaestro.create_span('orphan', 'agent_run', started_at => now() - interval '3 days')");
prepare('made', "SELECT flowmaestro.make_partition(now() - interval '5 days')");
foreach my $case ([ 3, '50', 'a day whose first span is prepared' ], [ 5, '0', 'a day whose partition is prepared' ])
{
	my ($days, $written, $what) = @$case;

	cmp_ok(
		seconds_of(
			sub {
				$node->safe_psql('postgres', qq(
SET client_min_messages = error;
SELECT count(flowmaestro.create_span('day $days', 'agent_run', started_at => now() - interval '$days days')) FROM generate_series(1, 49);
SELECT flowmaestro.create_span('today beside $days', 'agent_run');
SET flowmaestro.write_mode = transactional;
SELECT flowmaestro.create_span('day $days', 'agent_run', started_at => now() - interval '$days days');
SELECT flowmaestro.flush()));
			}),
		'<', 20, "$what holds up neither calls nor flush()");
	is(spans($node, 'postgres', "today beside $days"), '1', "$what does not hold up today's spans");
	is(spans($node, 'postgres', "day $days"), $written, "$written buffered and transactional spans of $what are there");
}
is($node->safe_psql('postgres', q(SELECT sqlstate, count(*) FROM flowmaestro.rejected_spans GROUP BY 1)), '55P03|50', 'the others wait aside');
$node->safe_psql('postgres', "ROLLBACK PREPARED '$_'") foreach ('day', 'made');
ok($node->poll_query_until('postgres', "SELECT count(*) = 50 FROM flowmaestro.execution_spans WHERE name = 'day 5'", 't'),
	'and come by themselves when the transaction has ended');

# After a restart memory knows nothing of a prepared transaction.
$id = new_id();
prepare('five', "SELECT flowmaestro.create_span('prepared before', 'agent_run', span_id => '$id')");
$node->restart;
$node->safe_psql('postgres', "SELECT flowmaestro.end_span('$id', '1'); SELECT flowmaestro.flush()");
$node->safe_psql('postgres', "COMMIT PREPARED 'five'");
rows_become($id, '1|prepared before|completed|1', 'an end that a restart separated from its prepared start comes to it');
says_yes("NOT flowmaestro.end_span('$id', '2')", 'and a later end is told that there was one');

# What prepared transactions spent counts for a budget without anything else
# being recorded.
$node->safe_psql('postgres', "SELECT flowmaestro.set_budget('entity:spender', 5, 'total')");
foreach my $n (1 .. 10)
{
	prepare("spent $n", "SELECT flowmaestro.end_span((flowmaestro.create_span('call', 'model_generation', 'spender', '{\"totalCost\": 1}')).span_id)");
	$node->safe_psql('postgres', "COMMIT PREPARED 'spent $n'");
}
is($node->safe_psql('postgres', "SELECT allowed, spent FROM flowmaestro.check_budget('entity:spender')"), 'f|10', 'a budget knows what prepared transactions spent');
is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.uncounted_spans'), '0', 'nothing is left to be counted');

# The same for a commit that could not count, since somebody held the ledger.
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN');
$holder->query_safe('SELECT flowmaestro.lock_token_usage()');
$node->safe_psql('postgres', q(
SET client_min_messages = error;
SET lock_timeout = '100ms';
SET flowmaestro.write_mode = transactional;
SELECT flowmaestro.create_span('call', 'model_generation', 'hasty', '{"totalCost": 1}');
));
$holder->query_safe('COMMIT');
$holder->quit;
ok($node->poll_query_until('postgres', "SELECT (cost ->> 'USD')::numeric = 1 FROM flowmaestro.get_token_usage('hasty')"), 'what a commit could not count is counted when the ledger is free');
is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.check_token_usage()'), '0', 'ledger and sums agree');

$node->stop;
done_testing();
