# A burst of more spans than memory has places for: while the writer has
# something to write, calls wait for it, so that no span goes without a place;
# when it can't write, they wait once and then go on without a place, and the
# spans are right all the same.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('backlog', "flowmaestro.max_active_spans = 64\nflowmaestro.flush_interval = '10min'\n");

# Record n spans of a name and end them, in one statement.
sub record_pairs
{
	my ($n, $name) = @_;

	return $node->safe_psql('postgres', qq(
		SELECT count(*) FILTER (WHERE flowmaestro.end_span(c.span_id))
		FROM generate_series(1, $n) AS k, LATERAL flowmaestro.create_span('$name', 'agent_run', attributes => jsonb_build_object('k', k)) AS c));
}

is(record_pairs(5000, 'paced'), 5000, 'every end of a burst is the first one');
is(value($node, 'postgres', 'untracked || \' \' || dropped || \' \' || orphan_ends'),
	'0 0 0', 'every span had a place');
cmp_ok(value($node, 'postgres', 'waited'), '>', 0, 'calls waited for the writer');
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
is( $node->safe_psql(
		'postgres', q(SELECT count(*), count(DISTINCT attributes ->> 'k'), min(status), max(status)
		FROM flowmaestro.execution_spans WHERE name = 'paced')),
	'5000|5000|completed|completed',
	'all are in the table, once, ended');

# the writer does not get the table: it can't write
my $waited = value($node, 'postgres', 'waited');
my $directory = PostgreSQL::Test::Utils::tempdir;
append_to_file("$directory/hold.sql",
	'BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE MODE; SELECT pg_sleep(3600);');
my $holder = start_psql($node, 'postgres', "$directory/hold.sql", "$directory/hold", 'holder');
ok( wait_until(
		sub {
			$node->safe_psql('postgres',
				"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND wait_event = 'PgSleep'"
			) eq '1';
		}),
	'the table is held');
is(record_pairs(1000, 'unplaced'), 1000, 'every end of a burst that waits in vain is the first one');
cmp_ok(value($node, 'postgres', 'waited') - $waited, '<', 20, 'few calls waited in vain');
cmp_ok(value($node, 'postgres', 'untracked'), '>', 0, 'spans went without a place');
$node->safe_psql('postgres',
	"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'");
$holder->finish;
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
is( $node->safe_psql(
		'postgres', q(SELECT count(*), count(DISTINCT attributes ->> 'k'), min(status), max(status)
		FROM flowmaestro.execution_spans WHERE name = 'unplaced')),
	'1000|1000|completed|completed',
	'all are in the table, once, ended');
is(value($node, 'postgres', 'dropped'), 0, 'nothing is dropped');

# it can write again: calls wait for it again
my $untracked = value($node, 'postgres', 'untracked');
is(record_pairs(5000, 'paced again'), 5000, 'every end of a burst after that is the first one');
is(value($node, 'postgres', 'untracked'), $untracked, 'every span of it had a place');

$node->stop;
done_testing();
