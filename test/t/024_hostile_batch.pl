# Batches that are made to hurt the writer: it writes what can be written, in
# bounded memory, sets aside what can never be written, and goes on.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('hostile_batch', "shared_buffers = '16MB'\nflowmaestro.flush_interval = '10min'\n");

# Run statements in one session while the writer does not get the table: what
# they record comes to it in as few batches as can be.
sub record_together
{
	my ($statements) = @_;
	my $holder = $node->background_psql('postgres');

	$holder->query_safe('BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE MODE');
	my $result = $node->safe_psql('postgres', $statements);
	$holder->query_safe('COMMIT');
	$holder->quit;
	return $result;
}

sub flush
{
	return $node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
}

# The most memory that the writer ever had, in MB.
sub peak_of_writer
{
	my $pid = writer_pid($node, 'postgres');
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;

	return $kb / 1024;
}

subtest 'thousands of attributes of one span' => sub {
	record($node, 'postgres', 1, 'first');
	flush();
	my $pid = writer_pid($node, 'postgres');
	my $id = record_together(q(
SELECT span_id AS id FROM flowmaestro.create_span('many', 'agent_run') \gset
SELECT count(*) FILTER (WHERE flowmaestro.set_span_attributes(:'id', jsonb_build_object('k' || n, repeat('x', 200))))
	FROM generate_series(1, 4000) AS n;
SELECT count(*) FILTER (WHERE flowmaestro.add_span_event(:'id', 'event ' || n)) FROM generate_series(1, 2000) AS n;
SELECT flowmaestro.end_span(:'id', attributes => '{"k1": "last"}');
SELECT :'id';
));
	flush();
	$id =~ s/.*\n//s;
	is( $node->safe_psql('postgres', qq(
SELECT count(*), count(*) FILTER (WHERE value = '"last"'), (SELECT jsonb_array_length(events) || status
	FROM flowmaestro.execution_spans WHERE span_id = '$id')
FROM flowmaestro.execution_spans, jsonb_each(attributes) WHERE span_id = '$id')),
		'4000|1|2000completed', 'all of them are in its row, the last of a key wins');
	is(writer_pid($node, 'postgres'), $pid, 'the writer lives');
	cmp_ok(peak_of_writer(), '<', 200, 'and had less than 200 MB');
};

# Have the insertion of each row into the partition of now do something before.
sub before_each_row
{
	my ($action) = @_;
	my $partition = $node->safe_psql('postgres', 'SELECT flowmaestro.make_partition(now())');

	# a trigger that fires for a writer, which runs as replica
	$node->safe_psql(
		'postgres', qq(
CREATE OR REPLACE FUNCTION before_row() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN $action; RETURN NEW; END\$\$;
DROP TRIGGER IF EXISTS before_row ON $partition;
CREATE TRIGGER before_row BEFORE INSERT ON $partition FOR EACH ROW EXECUTE FUNCTION before_row();
ALTER TABLE $partition ENABLE ALWAYS TRIGGER before_row));
	return;
}

subtest 'a span for which the server never has enough memory' => sub {
	before_each_row(q(IF NEW.name = 'greedy' THEN RAISE 'out of memory' USING ERRCODE = '53200'; END IF));
	record_together(q(
SELECT count(flowmaestro.create_span(CASE n WHEN 700 THEN 'greedy' ELSE 'modest' END, 'agent_run')) FROM generate_series(1, 2000) AS n));
	ok($node->poll_query_until('postgres', 'SELECT pending = 0 FROM flowmaestro.stats'), 'does not stop the writer');
	is(spans($node, 'postgres', 'modest'), 1999, 'the others are in the table');
	is($node->safe_psql('postgres', 'SELECT name, sqlstate FROM flowmaestro.rejected_spans'), 'greedy|53200', 'it is set aside');
	is(value($node, 'postgres', 'dropped, last_error IS NULL'), '0|t', 'and nothing is lost');
	$node->safe_psql('postgres', 'DELETE FROM flowmaestro.rejected_spans');
};

subtest 'a batch that needs more memory than the server has' => sub {
	before_each_row(q(
PERFORM set_config('test.rows', (coalesce(nullif(current_setting('test.rows', true), ''), '0')::int + 1)::text, true);
IF current_setting('test.rows')::int > 100 THEN RAISE 'out of memory' USING ERRCODE = '53200'; END IF));
	record_together(q(SELECT count(flowmaestro.create_span('in parts', 'agent_run')) FROM generate_series(1, 1000) AS n));
	ok($node->poll_query_until('postgres', 'SELECT pending = 0 FROM flowmaestro.stats'), 'is written in parts');
	is(spans($node, 'postgres', 'in parts'), 1000, 'all of it');
	is(value($node, 'postgres', 'rejected, dropped'), '1|0', 'nothing of it is set aside or lost');
	before_each_row('NULL');
};

subtest 'a writer whose statements are cancelled all the time' => sub {
	my $pid = writer_pid($node, 'postgres');
	my $errors = value($node, 'postgres', 'flush_errors');
	my $directory = PostgreSQL::Test::Utils::tempdir;

	before_each_row('PERFORM pg_sleep(0.001)');
	append_to_file("$directory/cancel.sql", q(
DO $$BEGIN FOR n IN 1 .. 100 LOOP PERFORM pg_stat_clear_snapshot();
PERFORM pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'flowmaestro_spans writer';
PERFORM pg_sleep(0.05); END LOOP; END$$;
));
	my $canceller = start_psql($node, 'postgres', "$directory/cancel.sql", "$directory/cancel.out", 'canceller');
	foreach my $n (1 .. 5)
	{
		record($node, 'postgres', 200, "cancelled $n");
		my ($rc) = $node->psql('postgres', 'SELECT flowmaestro.flush()', timeout => 60);
		is($rc, 0, 'flush() succeeds');
		is(spans($node, 'postgres', "cancelled $n"), 200, 'the spans are in the table');
	}
	$canceller->finish;
	is(writer_pid($node, 'postgres'), $pid, 'the writer is the same process');
	is(value($node, 'postgres', 'flush_errors'), $errors, 'a cancel counts as no failure');
	before_each_row('NULL');
};

subtest 'a writer that dies at each start' => sub {
	my $directory = $node->data_dir . '/base/'
	  . $node->safe_psql('postgres', q(SELECT oid FROM pg_database WHERE datname = 'postgres'));
	my $session = $node->background_psql('postgres', on_error_stop => 0);

	# no new process can enter a database whose directory lacks this file
	is($session->query_safe("SELECT (flowmaestro.create_span('late', 'agent_run')).span_id IS NOT NULL; SELECT flowmaestro.flush()"),
		"t\n", 'before, spans are written');
	rename("$directory/PG_VERSION", "$directory/PG_VERSION.away") or die;
	$session->query_safe("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type = 'flowmaestro_spans writer'");
	$session->query_safe("SELECT (flowmaestro.create_span('late', 'agent_run')).span_id");
	$session->query('SELECT flowmaestro.flush()');
	like($session->{stderr}, qr/could not flush the span buffer: the span writer died/, 'flush() says so');
	rename("$directory/PG_VERSION.away", "$directory/PG_VERSION") or die;
	$session->quit;
	ok($node->poll_query_until('postgres', 'SELECT pending = 0 FROM flowmaestro.stats'), 'when it can start, it writes');
	is(spans($node, 'postgres', 'late'), 2, 'everything');
};

$node->stop;
done_testing();
