# A dump of a database with spans restores without an error, in every format:
# the same rows, the same indexes and rights, and it records at once.  And a
# server in binary upgrade mode, as pg_upgrade starts it, runs none of our
# workers.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('dump');
my $directory = PostgreSQL::Test::Utils::tempdir();

# Spans of three days, open, ended and failed ones, one that was refused, and
# roles that may read and write.
add_database($node, 'source');
$node->safe_psql('postgres', 'CREATE ROLE fms_reader; CREATE ROLE fms_writer');
$node->safe_psql(
	'source', q(
SELECT flowmaestro.grant_reader('fms_reader'), flowmaestro.grant_writer('fms_writer');
SELECT count((flowmaestro.create_span('day ' || n % 3, 'agent_run', 'entity' || n,
	attributes => jsonb_build_object('userId', 'u' || n, 'text', E'a''b"c\\d\t\u00e9'),
	input => jsonb_build_array(n, null, 0, '', false), started_at => now() - (n % 3) * interval '1 day')).span_id)
FROM generate_series(1, 300) AS n;
SELECT flowmaestro.flush();
SELECT count(flowmaestro.end_span(span_id, output => '{"n": 0.10}'))
FROM (SELECT span_id FROM flowmaestro.execution_spans WHERE entity_id LIKE '%1') AS s;
SELECT count(flowmaestro.end_span_with_error(span_id, 'no'))
FROM (SELECT span_id FROM flowmaestro.execution_spans WHERE entity_id LIKE '%2') AS s;
SELECT count(flowmaestro.add_span_event(span_id, 'retry', '{"n": 1}'))
FROM (SELECT span_id FROM flowmaestro.execution_spans WHERE entity_id LIKE '%3') AS s;
SELECT flowmaestro.load_model_prices(flowmaestro.starter_model_prices());
SELECT flowmaestro.set_budget('all', 100, 'total');
SELECT count(flowmaestro.end_span((flowmaestro.create_span('call', 'model_generation', 'entity' || n % 7, jsonb_build_object('provider', 'openai',
	'model', 'gpt-4o', 'userId', 'u' || n, 'promptTokens', n * 100), started_at => '2026-03-01')).span_id)) FROM generate_series(1, 50) AS n;
SELECT flowmaestro.create_span('later', 'agent_run', started_at => '2150-01-01');
SELECT flowmaestro.flush();
SELECT flowmaestro.create_span('poison', 'agent_run', attributes => jsonb_build_object('userId',
	(SELECT string_agg(md5(random()::text || i), '') FROM generate_series(1, 188) AS i)));
SELECT flowmaestro.flush();

CREATE TABLE documents (doc jsonb
	CHECK (flowmaestro.jsonschema_is_valid('{"type": "object", "required": ["a"]}', doc))
	CHECK (flowmaestro.jsonschema_assert('{"properties": {"a": {"type": "integer"}}}', doc)));
CREATE INDEX ON documents (flowmaestro.jsonschema_is_valid('{"required": ["b"]}', doc));
INSERT INTO documents SELECT jsonb_build_object('a', n) FROM generate_series(1, 10) AS n;
INSERT INTO flowmaestro.json_schemas VALUES ('https://example.com/a', '{"type": "integer"}');
SELECT flowmaestro.register_tool('t', '{"properties": {"a": {"$ref": "https://example.com/a"}}}', '{"type": "array"}', 'd', 'v');
));

my %told = (
	'rows of documents and schemas' => q(SELECT count(*), sum((doc->'a')::int), (SELECT s::text FROM flowmaestro.json_schemas AS s) FROM documents),
	'rows of tools' => q(SELECT t::text, flowmaestro.validate_tool_input('t', '{"a": "x"}') FROM flowmaestro.tools AS t),
	'constraints and indexes on documents' => q(SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'documents'::regclass
		UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename = 'documents' ORDER BY 1),
	'spans' => q(SELECT count(*), md5(string_agg(s::text, E'\n' ORDER BY span_id)) FROM flowmaestro.execution_spans AS s),
	'spans of each partition' => q(SELECT tableoid::regclass, count(*) FROM flowmaestro.execution_spans GROUP BY tableoid ORDER BY tableoid::regclass::text),
	'rejected spans' => q(SELECT count(*), md5(string_agg(r::text, '')) FROM flowmaestro.rejected_spans AS r),
	'usage of spans' => q(SELECT (SELECT md5(string_agg(u::text, ',' ORDER BY span_id)) FROM flowmaestro.span_usage AS u), (SELECT sum(cost) FROM flowmaestro.token_usage_hourly),
		(SELECT md5(string_agg(p::text, ',' ORDER BY price_id)) FROM flowmaestro.model_prices AS p), (SELECT sum(total_tokens) FROM flowmaestro.token_usage('{}')), (SELECT string_agg(b::text, ',') FROM flowmaestro.budgets AS b)),
	'indexes and keys' => q(SELECT tablename, regexp_replace(indexdef, 'INDEX \S+ ON', 'INDEX ON')
		FROM pg_indexes WHERE schemaname = 'flowmaestro' AND tablename ~ '^execution_spans_' ORDER BY 1, 2),
	'partitions, their options and owners' => q(SELECT c.relname, pg_get_expr(c.relpartbound, c.oid), c.reloptions, c.relowner::regrole
		FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'flowmaestro.execution_spans'::regclass ORDER BY 1),
	'rights' => q(SELECT relname, array(SELECT a::text FROM unnest(relacl) AS a ORDER BY 1) FROM pg_class
		WHERE relnamespace = 'flowmaestro'::regnamespace AND relkind IN ('r', 'p', 'v') AND relname !~ '_p?\d+$' ORDER BY 1),
	'rights on functions' => q(SELECT p.oid::regprocedure, array(SELECT a::text FROM unnest(proacl) AS a ORDER BY 1) FROM pg_proc AS p
		WHERE pronamespace = 'flowmaestro'::regnamespace ORDER BY p.oid::regprocedure::text),
	'rights on the schema' => q(SELECT array(SELECT a::text FROM unnest(nspacl) AS a ORDER BY 1) FROM pg_namespace WHERE nspname = 'flowmaestro'));
my %source = map { $_ => $node->safe_psql('source', $told{$_}) } keys %told;
my @structure = grep { !/spans|rows/ } keys %told;

like($source{'spans'}, qr/^351\|/, 'there are spans');
cmp_ok(scalar(split /\n/, $source{'spans of each partition'}), '>=', 5, 'in three days, older and later');
like($source{'usage of spans'}, qr/0\.31875\|.*\|127500\|/, 'and usage');
like($source{'rejected spans'}, qr/^1\|/, 'and a rejected one');
like($source{'rights'}, qr/fms_reader/, 'and rights');

# Run a program of PostgreSQL on this server.
sub run_ok
{
	my ($what, @command) = @_;

	return $node->command_ok(\@command, $what);
}

# A restored database is like its source, and lives.
sub check_database
{
	my ($database, @what) = @_;

	is($node->safe_psql($database, $told{$_}), $source{$_}, "the same $_") foreach sort @what;
	return;
}

sub check_recording
{
	my ($database) = @_;

	record($node, $database, 10, 'new');
	$node->safe_psql($database, 'SELECT flowmaestro.flush()');
	is(spans($node, $database, 'new'), '10', 'it records at once');
	is($node->safe_psql($database, q(SELECT flowmaestro.load_model_prices('[{"provider": "p", "model": "m", "valid_from": "2026-01-01", "input": 1}]'))), '1', 'it takes prices');
	is($node->safe_psql($database, 'SELECT count(*) FROM flowmaestro.check_token_usage()'), '0', 'ledger and sums agree');
	return;
}

# An open span that came with the dump, of yesterday, can be ended.
sub check_end
{
	my ($database) = @_;

	is( $node->safe_psql($database, q(
SELECT span_id AS a FROM flowmaestro.execution_spans WHERE status = 'started' AND name = 'day 1' LIMIT 1 \gset
SELECT flowmaestro.end_span(:'a');
SELECT flowmaestro.flush();
SELECT status, ended_at IS NOT NULL, count(*) OVER () FROM flowmaestro.execution_spans WHERE span_id = :'a';
)),
		"t\n\ncompleted|t|1", 'an open span that came with it can be ended');
	is( $node->safe_psql($database, q(
UPDATE flowmaestro.rejected_spans SET attributes = '{}';
SELECT flowmaestro.retry_rejected_spans();)),
		'1', 'a rejected one can be retried');
	return;
}

my %formats = (
	plain => [ ['--format=plain'], undef ],
	custom => [ ['--format=custom'], ['--jobs=2'] ],
	directory => [ [ '--format=directory', '--jobs=2' ], ['--jobs=2'] ]);
foreach my $format (sort keys %formats)
{
	subtest "$format format" => sub {
		my ($dump, $restore) = @{ $formats{$format} };
		my $file = "$directory/$format";
		my $target = "restored_$format";

		run_ok('pg_dump', 'pg_dump', @$dump, '--file', $file, 'source');
		$node->safe_psql('postgres', "CREATE DATABASE $target");
		if ($restore)
		{
			run_ok('pg_restore', 'pg_restore', '--exit-on-error', @$restore, '--dbname', $target, $file);
		}
		else
		{
			run_ok('psql', 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $target, '-f', $file);
		}
		check_database($target, keys %told);
		check_recording($target);
		check_end($target);
	};
}

subtest 'schema only' => sub {
	run_ok('pg_dump', 'pg_dump', '--format=custom', '--schema-only', '--file', "$directory/schema", 'source');
	$node->safe_psql('postgres', 'CREATE DATABASE restored_schema');
	run_ok('pg_restore', 'pg_restore', '--exit-on-error', '--dbname', 'restored_schema', "$directory/schema");
	is(spans($node, 'restored_schema'), '0', 'there are no spans');
	check_database('restored_schema', @structure);
	check_recording('restored_schema');
};

# a restored database can be dumped again, and once more restored over itself
subtest 'there and back' => sub {
	run_ok('pg_dump', 'pg_dump', '--format=custom', '--file', "$directory/again", 'restored_custom');
	my $spans = $node->safe_psql('restored_custom', $told{spans});
	run_ok('pg_restore --clean', 'pg_restore', '--exit-on-error', '--clean', '--if-exists',
		'--dbname', 'restored_custom', "$directory/again");
	is($node->safe_psql('restored_custom', $told{spans}), $spans, 'the same spans');
	record($node, 'restored_custom', 7, 'again');
	$node->safe_psql('restored_custom', 'SELECT flowmaestro.flush()');
	is(spans($node, 'restored_custom', 'again'), '7', 'it records');
};

is(scalar(our_errors($node)), 0, 'no writer logged an error') or diag(our_errors($node));
$node->stop;

subtest 'binary upgrade mode' => sub {
	my $offset = log_size($node);
	my @start = ('pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '-b', 'start');

	command_ok(\@start, 'the server starts with -b');
	is( $node->safe_psql('postgres',
			"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'flowmaestro%'"),
		'0', 'none of our workers runs');
	is(spans($node, 'source'), '351', 'the table can be read');
	$node->safe_psql('postgres', 'DROP DATABASE source');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_database WHERE datname = 'source'"),
		'0', 'a database can be dropped, as pg_upgrade does');
	command_ok([ 'pg_ctl', '-w', '-D', $node->data_dir, '-m', 'fast', 'stop' ], 'it stops');
	is(scalar(log_lines($node, qr/flowmaestro_spans (?:writer|launcher)|PANIC/, $offset)), 0, 'the log does not know of them');
};

done_testing();
