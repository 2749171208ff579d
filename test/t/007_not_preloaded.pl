# Without shared_preload_libraries the extension still works: everything is
# recorded in the caller's own transaction, and nothing needs shared memory.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('bare', "shared_preload_libraries = ''\n");

is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'), '', 'nothing is preloaded');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'flowmaestro%'"),
	'0', 'no worker runs');

# the same session for all: create, read at once, end
is( $node->safe_psql(
		'postgres', q(
SELECT span_id AS a FROM flowmaestro.create_span('run', 'agent_run', attributes => '{"k": 1}') \gset
SELECT span_id AS b FROM flowmaestro.create_child_span(:'a', 'tool', 'tool_execution') \gset
SELECT count(*) FROM flowmaestro.execution_spans WHERE span_id IN (:'a', :'b') AND status = 'started';
SELECT count(*) FROM flowmaestro.active_spans WHERE span_id IN (:'a', :'b');
SELECT flowmaestro.set_span_attributes(:'a', '{"m": 2}');
SELECT flowmaestro.add_span_event(:'a', 'retry', '{"n": 1}');
SELECT flowmaestro.end_span(:'a', output => '"good"');
SELECT flowmaestro.end_span(:'a', output => '"again"');
SELECT flowmaestro.end_span_with_error(:'b', 'no such tool');
SELECT status, output, attributes, events -> 0 ->> 'name', ended_at IS NOT NULL
FROM flowmaestro.execution_spans WHERE span_id = :'a';
SELECT status, error ->> 'message' FROM flowmaestro.execution_spans WHERE span_id = :'b';
SELECT count(*) FROM flowmaestro.active_spans;
)),
	join("\n",
		'2', '2', 't', 't', 't', 'f', 't',
		'completed|"good"|{"k": 1, "m": 2}|retry|t',
		'failed|no such tool', '0'),
	'create, annotate and end work, and the first end wins');

# the caller's transaction decides
my $before = spans($node, 'postgres');
$node->safe_psql(
	'postgres', q(
BEGIN;
SELECT flowmaestro.create_span('undone', 'agent_run');
ROLLBACK;
BEGIN;
SELECT flowmaestro.create_span('kept', 'agent_run');
SAVEPOINT s;
SELECT flowmaestro.create_span('undone', 'agent_run');
ROLLBACK TO s;
COMMIT;
));
is(spans($node, 'postgres', 'undone'), '0', 'what is rolled back is not recorded');
is(spans($node, 'postgres', 'kept'), '1', 'what is committed is');
is(spans($node, 'postgres'), $before + 1, 'and nothing else');

# requests of OTLP, their resource included
my $request = '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"bare"}}]},"scopeSpans":[{"spans":['
  . '{"traceId":"019b0000000070008000000000000001","spanId":"0000000000000001","name":"otlp","startTimeUnixNano":1764000000000000000,"endTimeUnixNano":1764000000000000000}]}]}]}';
my $counts = q(SELECT (SELECT count(*) FROM flowmaestro.execution_spans WHERE name = 'otlp'), (SELECT count(*) FROM flowmaestro.otlp_resources));
is($node->safe_psql('postgres', "BEGIN; SELECT accepted FROM flowmaestro.ingest_otlp_json('$request'); ROLLBACK; $counts"),
	"1\n0|0", 'a request that is rolled back leaves nothing');
is($node->safe_psql('postgres', "SELECT accepted FROM flowmaestro.ingest_otlp_json('$request'), generate_series(1, 2); $counts"),
	"1\n1\n1|1", 'one that is committed twice is there once');

# an end that is rolled back leaves the span open; then it can be ended for good
is( $node->safe_psql(
		'postgres', q(
SELECT span_id AS a FROM flowmaestro.execution_spans WHERE name = 'kept' \gset
BEGIN;
SELECT flowmaestro.end_span(:'a');
ROLLBACK;
SELECT status FROM flowmaestro.execution_spans WHERE span_id = :'a';
SELECT flowmaestro.end_span(:'a');
SELECT status FROM flowmaestro.execution_spans WHERE span_id = :'a';
)),
	"t\nstarted\nt\ncompleted", 'an end can be rolled back too');

is( $node->safe_psql(
		'postgres', q(
SELECT trace_id AS t, span_id AS a FROM flowmaestro.create_span('trace', 'workflow_run') \gset
SELECT count(flowmaestro.create_child_span(:'a', 'part', 'node_execution')) FROM generate_series(1, 3) AS n;
SELECT flowmaestro.cancel_trace(:'t', 'enough');
SELECT DISTINCT status FROM flowmaestro.execution_spans WHERE trace_id = :'t';
)),
	"3\n4\ncancelled", 'a trace can be cancelled');

# the context can be set before anything has loaded the library
my ($code, $out, $err) = $node->psql(
	'postgres', q(
SET flowmaestro.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
SET flowmaestro.baggage = 'not baggage';
BEGIN;
SET LOCAL flowmaestro.request_context = '{"tracingContext": {"userId": "u"}}';
SELECT trace_id, parent_span_id FROM flowmaestro.enter_span('early', 'agent_run');
SELECT (flowmaestro.current_request_context()).user_id;
SHOW flowmaestro.baggage;
COMMIT;
SELECT (flowmaestro.current_request_context()).user_id IS NULL;
SELECT span_id FROM flowmaestro.current_request_context();
SELECT status, attributes FROM flowmaestro.execution_spans WHERE name = 'early';
BEGIN;
SELECT FROM flowmaestro.enter_span('undone early', 'agent_run');
ROLLBACK;
SELECT count(*) FROM flowmaestro.execution_spans WHERE name = 'undone early';
));
is( $out,
	join("\n",
		'0af76519-16cd-43dd-8448-eb211c80319c|0af76519-16cd-43dd-b7ad-6b7169203331',
		'u', '', 't', '0af76519-16cd-43dd-b7ad-6b7169203331',
		'completed|{"userId": "u"}', '0'),
	'a context that was set before the library came is taken');
like($err, qr/WARNING:  invalid value for parameter "flowmaestro.baggage"/, 'or warned about');

# what is about the buffer answers, and has nothing to tell
is($node->safe_psql('postgres', 'SELECT flowmaestro.flush()'), '', 'flush() returns');
is(value($node, 'postgres', 'pending, writer_pid, dropped'), '0||0', 'the counters can be read')
  or diag(value($node, 'postgres', '*'));
is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.tracked_spans()'),
	'0', 'nothing is in memory');
is_deeply([ ring_files($node) ], [], 'and there is no ring file');

# a read-only transaction can't be written in: a warning, not an error
my ($rc, $stdout, $stderr) = $node->psql('postgres',
	"BEGIN READ ONLY; SELECT (flowmaestro.create_span('lost', 'agent_run')).span_id IS NOT NULL; COMMIT");
is($rc, 0, 'a call in a read-only transaction is no error');
is($stdout, 't', 'it gives a context');
like($stderr, qr/WARNING:  span record dropped: the transaction is read-only/, 'and a warning');

$node->safe_psql('postgres', 'DROP EXTENSION flowmaestro_spans; CREATE EXTENSION flowmaestro_spans');
record($node, 'postgres', 5, 'again');
is(spans($node, 'postgres'), '5', 'DROP and CREATE EXTENSION work, and recording goes on');

# a session that loads the library has its lines as it wants them, and no other
my $offset = log_size($node);
$node->safe_psql('postgres', q(LOAD 'flowmaestro_spans'; SET flowmaestro.log_format = json; DO $$ BEGIN RAISE LOG 'mine'; END $$));
$node->safe_psql('postgres', q(DO $$ BEGIN RAISE LOG 'another'; END $$));
is(scalar(log_lines($node, qr/^\{"level":30,.*"msg":"mine"/, $offset)), 1, 'a session that loads the library logs JSON');
is(scalar(log_lines($node, qr/LOG:  another$/, $offset)), 1, 'the others log as before');
$node->stop;

done_testing();
