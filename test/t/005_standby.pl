# A standby records nothing and says so, without an error; no buffer file comes
# with a base backup; after a promotion it records like any other server.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# a server can be built without what a standby needs
chomp(my $libraries = `pg_config --pkglibdir`);
plan skip_all => 'this server has no libpqwalreceiver'
  unless glob "$libraries/libpqwalreceiver.*";

my $primary = recording_node('primary', '', allows_streaming => 1);
record($primary, 'postgres', 100, 'primary');
$primary->safe_psql('postgres',
	"SELECT flowmaestro.flush(); CREATE ROLE reader; SELECT flowmaestro.grant_reader('reader')");
my $open = $primary->safe_psql('postgres',
	"SELECT span_id FROM flowmaestro.execution_spans WHERE name = 'primary' LIMIT 1");
is(scalar(ring_files($primary)), 1, 'the primary has a ring file');

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
is_deeply([ ring_files($standby) ], [], 'the base backup has none');
$standby->start;
$primary->wait_for_catchup($standby);

# What a call on the standby does: no error, a context, a warning.
sub records_nothing
{
	my ($what, $sql, $result) = @_;
	my ($rc, $stdout, $stderr) = $standby->psql('postgres', $sql);

	is($rc, 0, "$what is no error");
	is($stdout, $result, 'it gives what it always gives');
	like($stderr, qr/WARNING:  span record dropped: the server is in recovery/, 'and a warning');
	unlike($stderr, qr/ERROR/, 'and nothing else');
	return;
}

subtest 'on the standby' => sub {
	is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'it is one');
	records_nothing('create_span',
		"SELECT trace_id IS NOT NULL, span_id IS NOT NULL FROM flowmaestro.create_span('standby', 'agent_run')",
		't|t');
	records_nothing('create_child_span',
		"SELECT parent_span_id FROM flowmaestro.create_child_span('$open', 'standby', 'agent_run')", $open);
	records_nothing('end_span', "SELECT flowmaestro.end_span('$open')", 'f');
	records_nothing('set_span_attributes',
		"SELECT flowmaestro.set_span_attributes('$open', '{\"k\": 1}')", 'f');
	records_nothing('add_span_event', "SELECT flowmaestro.add_span_event('$open', 'e')", 'f');
	records_nothing('transactional mode',
		"SET flowmaestro.write_mode = transactional; SELECT (flowmaestro.create_span('standby', 'agent_run')).span_id IS NOT NULL",
		't');

	my ($rc, $stdout, $stderr) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT flowmaestro.flush()");
	isnt($rc, 0, 'flush() fails');
	like($stderr, qr/ERROR:  25006: /, 'with its own SQLSTATE');

	is(spans($standby, 'postgres'), '100', 'spans of the primary can be read');
	is($standby->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.active_spans'),
		'100', 'running ones too');
	for my $call (
		'get_trace(t.id) IS NOT NULL', 'get_span(t.span) IS NOT NULL',
		'trace_html(t.id) IS NOT NULL', 'export_otlp(t.id) IS NOT NULL',
		'export_otlp_protobuf(t.id) IS NOT NULL', "query_spans_page(trace_id => t.id) -> 'total' = '1'")
	{
		is( $standby->safe_psql('postgres',
				"SET ROLE reader; SELECT flowmaestro.$call FROM (SELECT trace_id, span_id FROM flowmaestro.execution_spans LIMIT 1) AS t (id, span)"),
			't', "$call works for a reader");
	}
	for my $call (
		'get_trace_tree(t.id)', 'critical_path(t.id)', 'trace_summary(t.id)', 'trace_diff(t.id, t.id)',
		'trace_tree_text(t.id)', 'query_spans(page_size => 1)', 'list_traces(page_size => 1)', 'active_traces')
	{
		is( $standby->safe_psql('postgres',
				"SET ROLE reader; SELECT count(*) > 0 FROM (SELECT trace_id FROM flowmaestro.execution_spans LIMIT 1) AS t (id), flowmaestro.$call"),
			't', "$call works for a reader");
	}
	cmp_ok(value($standby, 'postgres', 'dropped'), '>=', 6, 'each loss is counted');
	is( $standby->safe_psql('postgres',
			"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'flowmaestro%'"),
		'0', 'no launcher and no writer runs');
	is_deeply([ ring_files($standby) ], [], 'and no ring file is made');
};

subtest 'the primary goes on' => sub {
	record($primary, 'postgres', 100, 'meanwhile');
	$primary->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	$primary->wait_for_catchup($standby);
	is(spans($standby, 'postgres', 'meanwhile'), '100', 'its spans arrive on the standby');
};

subtest 'after a promotion' => sub {
	# what waits in the primary's buffer is the primary's
	$primary->append_conf('postgresql.conf', "flowmaestro.batch_size = 1000000\n");
	$primary->stop;
	# a session from before
	my $session = $standby->background_psql('postgres', on_error_stop => 0);
	$session->query("SELECT flowmaestro.create_span('before', 'agent_run')");
	$standby->promote;
	is( $session->query("SELECT count((flowmaestro.create_span('same session', 'agent_run')).span_id)"),
		'1', 'a session that was there before records');
	$session->quit;
	record($standby, 'postgres', 100, 'promoted');
	is($standby->safe_psql('postgres', "SELECT flowmaestro.end_span('$open')"), 't', 'a span of the primary ends');
	ok( $standby->poll_query_until('postgres',
			"SELECT count(*) = 101 FROM flowmaestro.execution_spans WHERE name IN ('promoted', 'same session')"),
		'spans arrive by themselves');
	$standby->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is( $standby->safe_psql('postgres',
			"SELECT status FROM flowmaestro.execution_spans WHERE span_id = '$open'"),
		'completed', 'the end too');
	isnt(writer_pid($standby, 'postgres'), '', 'a writer runs');
	is(scalar(ring_files($standby)), 1, 'it has a ring of its own');
	is(scalar(our_errors($standby)), 0, 'and logged no error') or diag(our_errors($standby));
};
$standby->stop;

done_testing();
