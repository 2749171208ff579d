# What reads one trace or one span locks the partitions that have it, and no
# others, however many there are; what a caller may see stays what it was.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use Test::More;

my $PARTITIONS = 120;
my $MOST_LOCKS = 40;    # of a trace in two partitions, each with seven indexes
my $node = recording_node('reads', "flowmaestro.flush_interval = '10min'\nmax_locks_per_transaction = 200\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql("SELECT count(flowmaestro.make_partition(timestamptz '2025-06-01 00:00:00+00' + i * interval '1 day'))
	FROM generate_series($_, $_ + 29) AS i") foreach (map { $_ * 30 } (0 .. $PARTITIONS / 30 - 1));

# traces of each kind, the second span far from the first; and a trace that
# nobody noted, of a statement's own
my %trace = (
	near => '01993000-0000-7000-8000-000000000001',
	timeless => '11111111-1111-4111-8000-000000000001',
	noted_by_nobody => '55555555-5555-4555-8000-000000000001');
my %span = (
	near => '01993000-0000-7000-9000-000000000001',
	timeless => '11111111-1111-4111-9000-000000000001',
	noted_by_nobody => '55555555-5555-4555-9000-000000000001');

foreach my $kind (qw(near timeless))
{
	sql("SELECT flowmaestro.create_span('first', 'agent_run', trace_id => '$trace{$kind}', span_id => '$span{$kind}',
			started_at => '2025-09-09 20:00:00+00'),
		flowmaestro.create_span('a week later', 'tool_execution', trace_id => '$trace{$kind}', parent_span_id => '$span{$kind}',
			span_id => '22222222-2222-4222-9000-" . substr($trace{$kind}, 0, 8) . "0000', started_at => '2025-09-16 20:00:00+00')");
}
sql("SELECT flowmaestro.flush()");
sql("INSERT INTO flowmaestro.execution_spans (trace_id, span_id, parent_span_id, name, span_type, started_at, status)
	SELECT '$trace{noted_by_nobody}', s, p, n, 'agent_run', at, 'started'
	FROM (VALUES ('$span{noted_by_nobody}'::uuid, NULL::uuid, 'first', timestamptz '2025-07-01 12:00:00+00'),
		('55555555-5555-4555-9000-000000000002', '$span{noted_by_nobody}', 'a week later', '2025-07-08 12:00:00+00')) AS v (s, p, n, at)");
$node->safe_psql('postgres', q(CREATE ROLE reader LOGIN; SELECT flowmaestro.grant_reader('reader'); CREATE ROLE nobody_reads LOGIN;
	GRANT USAGE ON SCHEMA flowmaestro TO nobody_reads;
	GRANT EXECUTE ON FUNCTION flowmaestro.get_trace_tree(uuid), flowmaestro.get_span(uuid) TO nobody_reads));

my $names = q(string_agg(name, ', ' ORDER BY started_at));

# A query as a reader, its answer and the locks that it took on relations of ours.
sub read_it
{
	my ($query) = @_;
	my $answer = $node->safe_psql('postgres', "BEGIN; SET ROLE reader; $query; RESET ROLE;
		SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
		WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'flowmaestro'::regnamespace; COMMIT");

	return ($answer =~ /^(.*)\n(\d+)$/s);
}

foreach my $kind (sort keys %trace)
{
	my ($t, $s) = ($trace{$kind}, $span{$kind});
	my %query = (
		"get_trace_tree" => ["SELECT $names FROM flowmaestro.get_trace_tree('$t')", 'first, a week later'],
		"get_trace" => ["SELECT jsonb_path_query_array(flowmaestro.get_trace('$t'), '\$.spans[*].name')", '["first", "a week later"]'],
		"trace_html" => ["SELECT flowmaestro.trace_html('$t') LIKE '%a week later%'", 't'],
		"export_otlp" => ["SELECT jsonb_path_query_array(flowmaestro.export_otlp('$t')::jsonb, '\$.resourceSpans[*].scopeSpans[*].spans[*].name')",
			'["first", "a week later"]'],
		"get_span" => ["SELECT flowmaestro.get_span('$s') ->> 'name'", 'first'],
		"span_descendants" => ["SELECT $names FROM flowmaestro.span_descendants('$s')", 'a week later'],
		"critical_path" => ["SELECT count(*) > 0 FROM flowmaestro.critical_path('$t')", 't']);

	foreach my $function (sort keys %query)
	{
		my ($answer, $locks) = read_it($query{$function}[0]);

		is($answer, $query{$function}[1], "$function of a trace ($kind) tells all of it");
		cmp_ok($locks, '<=', $MOST_LOCKS, "$function of a trace ($kind) takes few locks beside $PARTITIONS partitions");
	}
}

# what nobody has
foreach my $id ('01993000-0000-7000-8000-0000000000ff', '99999999-9999-4999-8000-000000000001')
{
	my ($answer, $locks) = read_it("SELECT count(*) FROM flowmaestro.get_trace_tree('$id')");

	is($answer, 0, "an unknown trace $id has no spans");
	cmp_ok($locks, '<=', $MOST_LOCKS, "and it takes few locks to say so");
	($answer, $locks) = read_it("SELECT flowmaestro.get_span('$id') IS NULL");
	is($answer, 't', "an unknown span $id is none");
	cmp_ok($locks, '<=', $MOST_LOCKS, "and it takes few locks to say so");
}

# privileges and policies are the caller's
foreach my $call ("get_trace_tree('$trace{near}')", "get_trace_tree('99999999-9999-4999-8000-000000000001')",
	"get_span('$span{near}')", "get_span('99999999-9999-4999-8000-000000000001')")
{
	my ($result, $out, $err) = $node->psql('postgres', "SET ROLE nobody_reads; SELECT flowmaestro.$call");

	like($err, qr/permission denied for table execution_spans/, "$call needs the privilege to read the table");
}
$node->safe_psql('postgres', q(ALTER TABLE flowmaestro.execution_spans ENABLE ROW LEVEL SECURITY;
	CREATE POLICY late ON flowmaestro.execution_spans TO reader USING (name = 'a week later')));
is((read_it("SELECT $names FROM flowmaestro.get_trace_tree('$trace{near}')"))[0], 'a week later', 'a tree has what policies show');
is((read_it("SELECT $names FROM flowmaestro.list_traces()"))[0], 'a week later, a week later, a week later',
	'a list has the tops of what policies show');
$node->safe_psql('postgres', 'ALTER TABLE flowmaestro.execution_spans DISABLE ROW LEVEL SECURITY');
is((read_it("SELECT $names FROM flowmaestro.list_traces()"))[0], 'first, first, first', 'a list has the roots');

# a snapshot shows what it showed
my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
sql("SELECT flowmaestro.create_span('later still', 'agent_run', trace_id => '$trace{near}', started_at => '2025-09-20 20:00:00+00'),
	flowmaestro.flush()");
is($old->query_safe("SELECT $names FROM flowmaestro.get_trace_tree('$trace{near}')"), 'first, a week later', 'an old snapshot does not see a new span');
is(sql("SELECT $names FROM flowmaestro.get_trace_tree('$trace{near}')"), 'first, a week later, later still', 'a new one does');
$old->quit;

$node->stop;
done_testing();
