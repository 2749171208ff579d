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

$node->stop;
done_testing();
