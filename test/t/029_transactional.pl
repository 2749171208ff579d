# Recording in the caller's own transaction: what its end costs, and in which
# order things happen there.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('transactional', 'autovacuum = off');

# Without statistics no commit may read a span's row more often than once.  The
# plans of the statements at the commit tell: of rows that a join threw away
# there is none, and no partition is read but those that the spans lie in.
$node->safe_psql('postgres', "SELECT flowmaestro.make_partition(now() + i * interval '1 day') FROM generate_series(-3, 3) AS i");
my $offset = log_size($node);
# a server can be built without what tells the plans
chomp(my $libraries = `pg_config --pkglibdir`);
my $explains = glob "$libraries/auto_explain.*";
$node->safe_psql('postgres', ($explains ? "LOAD 'auto_explain';" : '') . q(
SET auto_explain.log_nested_statements = on;
SET auto_explain.log_analyze = on;
SET auto_explain.log_timing = off;
SET flowmaestro.write_mode = transactional;
SELECT count(flowmaestro.create_span('one', 'model_generation', 'e', '{"totalTokens": 1}'));
BEGIN;
SELECT count(flowmaestro.create_span('many', 'model_generation', 'e', '{"totalTokens": 1}')) FROM generate_series(1, 2000);
SET LOCAL auto_explain.log_min_duration = 0;
COMMIT;
));
SKIP: {
	skip('this server has no auto_explain', 3) unless $explains;
	my $plans = slurp_file($node->logfile, $offset);
	like($plans, qr/Index Scan using execution_spans_p\d+_pkey .*rows=1(\.00)? loops=2000/, 'a commit reads each of its spans once, by the key');
	unlike($plans, qr/Rows Removed by Join Filter: [1-9]/, 'a commit without statistics compares no span with the others');
	my %read = map { $_ => 1 } $plans =~ / on (execution_spans_p\d+) /g;
	is(scalar(keys %read), 1, 'a commit looks only into the partition of its spans');
}
is($node->safe_psql('postgres', "SELECT total_tokens FROM flowmaestro.get_token_usage('e')"), '2001', 'and counts them all');

# Spans of several parts of the work, some of them rolled back, some changed
# twice: each counts once.
$node->safe_psql('postgres', q(
SET flowmaestro.write_mode = transactional;
DO $$
DECLARE
	span uuid;
BEGIN
	FOR i IN 1 .. 10500 LOOP
		span := (flowmaestro.create_span('part', 'model_generation', 'parts', '{"totalTokens": 1}')).span_id;
		IF i % 100 = 0 THEN
			PERFORM flowmaestro.end_span(span, attributes => '{"totalTokens": 2}');
			BEGIN
				PERFORM flowmaestro.create_span('undone', 'model_generation', 'parts', '{"totalTokens": 1000}');
				PERFORM 1 / 0;
			EXCEPTION WHEN division_by_zero THEN
			END;
		END IF;
	END LOOP;
END $$;
));
is($node->safe_psql('postgres', "SELECT total_tokens FROM flowmaestro.get_token_usage('parts')"), '10605', 'more spans than are counted at a time are all counted, what was rolled back is not');

# The end of a span that was entered and not left is written before the ledger counts.
$node->safe_psql('postgres', q(
SET flowmaestro.write_mode = transactional;
BEGIN;
SELECT flowmaestro.enter_span('not left', 'model_generation', 'entered', '{"totalTokens": 1}');
COMMIT;
));
is($node->safe_psql('postgres', "SELECT count(*), bool_and(ended), bool_and(duration_us > 0) FROM flowmaestro.span_usage WHERE entity_id = 'entered'"),
	'1|t|t', 'what is not left is counted as ended, with its duration');
# A request of OTLP is written in one subtransaction, not in one for each span;
# of a request with a span that the table refuses, this one is set aside.
$node->safe_psql('postgres', q(
CREATE FUNCTION request(name text, poison int) RETURNS text LANGUAGE sql AS $$
SELECT json_build_object('resourceSpans', json_build_array(json_build_object('resource', json_build_object(), 'scopeSpans', json_build_array(json_build_object('spans',
	(SELECT json_agg(json_build_object('traceId', md5(name), 'spanId', lpad(to_hex(i), 16, '0'), 'name', name, 'startTimeUnixNano', (extract(epoch FROM now())::bigint || '000000000'),
		'endTimeUnixNano', (extract(epoch FROM now())::bigint || '000000001'),
		'attributes', CASE WHEN i = poison THEN json_build_array(json_build_object('key', 'userId', 'value', json_build_object('stringValue', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) AS n)))) ELSE '[]' END))
	FROM generate_series(1, 1000) AS i))))))::text $$;
));
foreach my $poison (0, 777)
{
	my $xids = $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())');
	is($node->safe_psql('postgres', "SET flowmaestro.write_mode = transactional; SELECT accepted, rejected FROM flowmaestro.ingest_otlp_json(request('otlp $poison', $poison))"),
		'1000|0', 'a request of 1,000 spans is taken');
	$xids = $node->safe_psql('postgres', 'SELECT pg_snapshot_xmax(pg_current_snapshot())') - $xids;
	cmp_ok($xids, '<=', $poison ? 40 : 10, 'with few transaction ids' . ($poison ? ', also when one span is refused' : '')) or diag($xids);
	is($node->safe_psql('postgres', "SELECT count(*) FROM flowmaestro.execution_spans WHERE name = 'otlp $poison'"), $poison ? '999' : '1000', 'its rows are there');
}
is($node->safe_psql('postgres', "SELECT count(*) FROM flowmaestro.rejected_spans WHERE name = 'otlp 777'"), '1', 'the one that was refused is set aside');

# With a writer that stands still, a session waits for it once, not in each call
# on a span that is still in the buffer; what becomes of the spans is the same.
my $writer = writer_pid($node, 'postgres');
if ($writer eq '')
{
	record($node, 'postgres', 1, 'wakes the writer');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	$writer = writer_pid($node, 'postgres');
}
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
kill 'STOP', $writer;
my $waited = value($node, 'postgres', 'waited');
$node->safe_psql('postgres', q(
CREATE TABLE ends AS SELECT (flowmaestro.create_span('still buffered', 'agent_run', attributes => '{"start": 1}')).span_id FROM generate_series(1, 6);
SET flowmaestro.full_wait = '100ms';
SET flowmaestro.write_mode = transactional;
SELECT flowmaestro.end_span(span_id, attributes => '{"end": 1}') FROM ends;
));
is(value($node, 'postgres', 'waited') - $waited, 1, 'six ends wait once for a writer that stands still');
kill 'CONT', $writer;
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT span_id), bool_and(status = 'completed' AND attributes = '{\"start\": 1, \"end\": 1}') FROM flowmaestro.execution_spans JOIN ends USING (span_id) WHERE name = 'still buffered'"),
	'6|6|t', 'each of them is one row with its start and its end');
$node->safe_psql('postgres', 'ANALYZE');
is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.check_token_usage()'), '0', 'ledger and sums agree');

$node->stop;
done_testing();
