# A span is found by its id when memory knows nothing of it, whatever the form
# of the id and wherever its row lies: its repeated create gives the same
# context, its first end counts, its second does not.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use Test::More;

my $node = recording_node('lookup', "flowmaestro.flush_interval = '10min'\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# The first bytes of the ids that the directory knows, with the days.
sub noted
{
	return sql(q(SELECT string_agg(lpad(to_hex(id_prefix), 16, '0') || ' ' || started_on, ', ' ORDER BY id_prefix, started_on)
		FROM flowmaestro.span_id_directory));
}

my $v4 = '11111111-1111-4111-8111-111111111111';
my %create = (
	near => q(trace_id => '01993000-0000-7000-8000-000000000001', span_id => '01993000-0000-7000-9000-000000000001',
		started_at => '2025-09-09 20:00:00+00'),
	far => q(trace_id => '01993000-0000-7000-8000-000000000002', span_id => '01993000-0000-7000-9000-000000000002',
		started_at => '2024-01-01 00:00:00+00'),
	timeless => qq(trace_id => '$v4', span_id => '11111111-1111-4111-9000-000000000003',
		started_at => '2024-02-01 00:00:00+00'),
	foreign => qq(trace_id => '$v4', span_id => '22222222-2222-4222-9000-000000000004',
		started_at => '2024-03-01 00:00:00+00'));
my $far = '0199300000007000 2024-01-01';
my $timeless = '1111111111114111 2024-02-01';
my %noted = (
	near => '', far => $far, timeless => "$far, $timeless",
	foreign => "$far, $timeless, 1111111111114111 2024-03-01, 2222222222224222 2024-03-01");

# the spans lie in partitions of their own
sql("SELECT count(flowmaestro.make_partition('$_ 00:00:00+00'))") foreach qw(2025-09-09 2024-01-01 2024-02-01 2024-03-01);

sub create
{
	my ($name) = @_;
	my $context = sql("SELECT c FROM flowmaestro.create_span('$name', 'agent_run', $create{$name}) AS c");

	sql('SELECT flowmaestro.flush()');
	return $context;
}

foreach my $name (qw(near far timeless foreign))
{
	subtest $name => sub {
		my $context = create($name);
		my ($span_id) = $create{$name} =~ /span_id => '([^']+)'/;

		is(noted(), $noted{$name}, 'the directory knows its day if its id does not tell it');
		$node->restart;
		is(sql(qq(SELECT c FROM flowmaestro.create_span('again', 'tool_execution', span_id => '$span_id') AS c)),
			$context, 'a repeated create gives the first context');
		sql('SELECT flowmaestro.flush()');
		$node->restart;
		is(sql("SELECT flowmaestro.end_span('$span_id')"), 't', 'its end is the first one');
		sql('SELECT flowmaestro.flush()');
		$node->restart;
		is(sql("SELECT flowmaestro.end_span('$span_id', status => 'failed')"), 'f', 'a second end is not');
		is( sql("SELECT name, span_type, status FROM flowmaestro.execution_spans WHERE span_id = '$span_id'"),
			"$name|agent_run|completed",
			'one row has it all');
	};
}

# an id of an unknown span is not invented
is(sql(q(SELECT count(*) FROM flowmaestro.execution_spans)), 4, 'no other rows');

# what a transaction notes goes with it
my $other = recording_node('lookup2', "flowmaestro.write_mode = transactional\n");
my $entries = 'SELECT count(*) FROM flowmaestro.span_id_directory';
$other->safe_psql('postgres', "BEGIN; SELECT flowmaestro.create_span('gone', 'agent_run', $create{foreign}); ROLLBACK");
is($other->safe_psql('postgres', $entries), 0, 'nothing is noted after a rollback');
$other->safe_psql('postgres', "SELECT flowmaestro.create_span('kept', 'agent_run', $create{foreign})");
is($other->safe_psql('postgres', $entries), 2, 'the trace and the span are noted with the row');
$other->safe_psql('postgres', "SELECT flowmaestro.end_span('22222222-2222-4222-9000-000000000004')");
is($other->safe_psql('postgres', $entries), 2, 'nothing is noted twice');

# rows that a statement puts into the table are found once they are noted
$other->safe_psql('postgres', q(
	INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, started_at, status)
		VALUES ('33333333-3333-4333-8333-333333333333', '44444444-4444-4444-8444-444444444444', 'by hand', 'agent_run',
			'2024-03-01 12:00:00+00', 'started');
	SELECT flowmaestro.note_span_ids(array_agg(trace_id), array_agg(span_id), array_agg(started_at))
		FROM flowmaestro.execution_spans));
is($other->safe_psql('postgres', $entries), 4, 'note_span_ids notes what is not there');
is( $other->safe_psql('postgres', q(SELECT trace_id FROM flowmaestro.create_child_span('44444444-4444-4444-8444-444444444444', 'child', 'agent_run'))),
	'33333333-3333-4333-8333-333333333333', 'a span that was put there by hand has a child in its trace');
my ($result, $out, $err) = $other->psql('postgres', q(SELECT flowmaestro.note_span_ids('{}', '{}', '{2024-01-01}')));
like($err, qr/arrays of the same length/, 'arrays of different lengths are refused');
$other->stop;
$node->stop;

# the spans of a trace that memory does not hold, one look-up each: what a look-up
# reads must not grow with the trace
my $many = recording_node('lookup3', "flowmaestro.max_active_spans = 256\nflowmaestro.full_wait = '1min'\n");
my $read = q(SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE indexrelname LIKE 'execution\_spans\_%\_pkey');
my $trace = $many->safe_psql('postgres', q(SELECT trace_id FROM flowmaestro.create_span('root', 'agent_run')));
$many->safe_psql('postgres', qq(
	SELECT count(flowmaestro.create_span('child', 'agent_run', trace_id => '$trace')) FROM generate_series(1, 1999);
	SELECT flowmaestro.flush()));
my $before = $many->safe_psql('postgres', $read);
is($many->safe_psql('postgres', "SELECT flowmaestro.cancel_trace('$trace')"), 2000, 'cancel_trace ends every span of a large trace');
$many->safe_psql('postgres', 'SELECT flowmaestro.flush()');
is($many->safe_psql('postgres', "SELECT count(*) FROM flowmaestro.execution_spans WHERE status = 'cancelled'"), 2000, 'they are cancelled in the table');
is(value($many, 'postgres', 'duplicate_ends, dropped'), '0|0', 'each is ended once, whether memory, the table or both have it');
cmp_ok($many->safe_psql('postgres', $read) - $before, '<', 100_000, 'and the look-ups read few rows of the trace each');

# more traces whose ids begin alike than a call looks at
$many->safe_psql('postgres', q(
SELECT count(flowmaestro.create_span('alike', 'agent_run', trace_id => format('22222222-2222-4222-8222-%s', lpad(n::text, 12, '0'))::uuid,
	span_id => format('22222222-2222-4222-9222-%s', lpad(n::text, 12, '0'))::uuid)) FROM generate_series(1, 150) AS n;
SELECT flowmaestro.flush()));
$many->restart;
is( $many->safe_psql('postgres', q(
SELECT count(*) FILTER (WHERE flowmaestro.end_span(format('22222222-2222-4222-9222-%s', lpad(n::text, 12, '0'))::uuid)) FROM generate_series(1, 150) AS n)),
	'150', 'spans whose ids all begin alike are ended');
$many->safe_psql('postgres', 'SELECT flowmaestro.flush()');
is($many->safe_psql('postgres', "SELECT count(*) FROM flowmaestro.execution_spans WHERE name = 'alike' AND status = 'completed'"), '150', 'and the writer finds each of them');
is(value($many, 'postgres', 'rejected'), '0', 'none is set aside');
$many->stop;
done_testing();
