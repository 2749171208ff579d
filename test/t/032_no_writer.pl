# Where no writer can run, recording calls take their spans for the next start,
# and flush() says what is wrong instead of waiting for ever.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('no_writer');

# Run statements, one a line, in single-user mode; gives what it printed.
sub single_user
{
	my (@statements) = @_;
	my $output = '';
	my $timer = IPC::Run::timeout(60);
	my $ended = eval {
		IPC::Run::run([ 'postgres', '--single', '-F', '-D', $node->data_dir, 'postgres' ],
			'<', \join('', map { "$_\n" } @statements), '>&', \$output, $timer);
	};

	ok($ended, 'single-user mode ends') or diag($output);
	return $output;
}

subtest 'single-user mode' => sub {
	$node->stop;
	my $output = single_user(
		"SELECT count(flowmaestro.create_span('single', 'agent_run', 'entity' || i)) AS created FROM generate_series(1, 10) AS i",
		'SELECT flowmaestro.flush()',
		"SET flowmaestro.write_mode = transactional",
		"SELECT count(flowmaestro.create_span('at once', 'agent_run'))",
		"SELECT 'rows: ' || count(*) AS found FROM flowmaestro.execution_spans WHERE name = 'at once'");
	like($output, qr/created = "10"/, 'calls record');
	like($output, qr/ERROR:  cannot flush the span buffer in single-user mode/, 'flush() is an error');
	like($output, qr/HINT:  .*"flowmaestro\.write_mode"/, 'with a hint');
	like($output, qr/found = "rows: 1"/, 'transactional mode writes at once');

	$node->start;
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(spans($node, 'postgres', 'single'), '10', 'after a start of the server the buffered spans are in the table');
	is(value($node, 'postgres', 'dropped, pending'), '0|0', 'none was dropped');

	$node->stop;
	$output = single_user('SELECT flowmaestro.flush()', "SELECT 'flushed' AS state");
	unlike($output, qr/ERROR/, 'flush() is no error when nothing waits');
	like($output, qr/state = "flushed"/, 'and ends');
};

subtest 'no worker for the launcher' => sub {
	$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
	$node->start;
	record($node, 'postgres', 10, 'no launcher');
	my ($rc, $stdout, $stderr) = $node->psql('postgres', 'SELECT flowmaestro.flush()', timeout => 60);
	like($stderr, qr/ERROR:  could not start the span writer/, 'flush() is an error');
	like($stderr, qr/HINT:  .*max_worker_processes/, 'with a hint');

	# a session makes a missing partition itself then; another one waits for it
	my ($first, $second) = map { $node->background_psql('postgres') } 1, 2;
	my $create = "SELECT (flowmaestro.create_span('new day', 'agent_run', started_at => now() - interval '9 days')).span_id IS NOT NULL";
	$_->query_safe('SET flowmaestro.write_mode = transactional') foreach $first, $second;
	$first->query_safe('BEGIN');
	is($first->query_safe($create), 't', 'a session records a span on a day that has no partition');
	$second->query_until(qr/begun/, "\\echo begun\n$create;\n");
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"),
		'another one waits for the partition');
	$first->query_safe('COMMIT');
	$_->quit foreach $first, $second;
	is(spans($node, 'postgres', 'new day'), '2', 'both spans are in it');

	$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
	$node->restart;
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(spans($node, 'postgres', 'no launcher'), '10', 'with workers the spans arrive');
};

$node->stop;
done_testing();
