# Event triggers of users and our own changes of partitions: what they record
# does not make it go on for ever, and what they refuse does not stop the writer.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('event_trigger', "max_connections = 20\nflowmaestro.flush_interval = '500ms'\n");

sub set_aside
{
	return $node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.rejected_spans');
}

subtest 'an event trigger that records' => sub {
	$node->safe_psql('postgres', q(
CREATE TABLE fired (tag text);
CREATE FUNCTION trace_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
	context flowmaestro.span_context;
BEGIN
	INSERT INTO public.fired VALUES (tg_tag);
	-- a span on a day that has no partition
	context := flowmaestro.create_span('ddl', 'agent_run', started_at => now() - interval '20 days');
	PERFORM flowmaestro.end_span(context.span_id);
	PERFORM flowmaestro.ingest_otlp_json('{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "11111111111111111111111111111111", "spanId": "1111111111111111", "name": "ddl", "startTimeUnixNano": "1700000000000000000"}]}]}]}');
END
$$;
CREATE EVENT TRIGGER trace_ddl ON ddl_command_end EXECUTE FUNCTION trace_ddl();
CREATE EVENT TRIGGER trace_drop ON sql_drop EXECUTE FUNCTION trace_ddl();
ALTER EVENT TRIGGER trace_ddl ENABLE ALWAYS;
ALTER EVENT TRIGGER trace_drop ENABLE ALWAYS;
TRUNCATE fired));
	record($node, 'postgres', 10, 'buffered');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(spans($node, 'postgres', 'buffered'), '10', 'spans arrive when the writer makes a partition');
	$node->safe_psql('postgres', q(
SET flowmaestro.write_mode = transactional;
SELECT flowmaestro.make_partition(now() - interval '10 days');
SELECT flowmaestro.create_span('transactional', 'agent_run', started_at => now() - interval '5 days')));
	is(spans($node, 'postgres', 'transactional'), '1', 'and when a session does');
	cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM fired'), '>', 5, 'the trigger fires');
	is(spans($node, 'postgres', 'ddl'), '0', 'what it records in our own changes is left out');
	$node->safe_psql('postgres', q(CALL flowmaestro.drop_partitions(now() - interval '7 days'); SELECT flowmaestro.flush()));
	is(spans($node, 'postgres', 'ddl'), '0', 'also when a partition is dropped');
	$node->safe_psql('postgres', 'CREATE TABLE other (i int); SELECT flowmaestro.flush()');
	is($node->safe_psql('postgres', "SELECT count(*) FROM flowmaestro.execution_spans WHERE name = 'ddl'"), '2', 'other changes are recorded');
	is($node->safe_psql('postgres', 'SELECT dropped, rejected FROM flowmaestro.stats'), '0|0', 'no span is dropped or set aside');
	$node->safe_psql('postgres', 'DROP EVENT TRIGGER trace_ddl; DROP EVENT TRIGGER trace_drop');
};

subtest 'an event trigger that refuses partitions' => sub {
	$node->safe_psql('postgres', q(
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no new tables here'; END$$;
CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN tag IN ('CREATE TABLE') EXECUTE FUNCTION refuse();
ALTER EVENT TRIGGER refuse ENABLE ALWAYS));
	my $log = log_size($node);
	$node->safe_psql('postgres', q(SELECT count(flowmaestro.create_span('refused', 'agent_run', started_at => now() - interval '15 days')) FROM generate_series(1, 50)));
	record($node, 'postgres', 100, 'free');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(spans($node, 'postgres', 'free'), '100', 'spans that have a partition arrive');
	is( $node->safe_psql('postgres', q(SELECT sqlstate, message ~ 'could not be made: no new tables here', count(*) FROM flowmaestro.rejected_spans GROUP BY 1, 2)),
		'55P03|t|50', 'those that have none wait aside, with the reason');
	$node->safe_psql('postgres', q(
SET flowmaestro.write_mode = transactional;
SET flowmaestro.full_wait = '200ms';
SELECT flowmaestro.create_span('refused', 'agent_run', started_at => now() - interval '15 days')));
	is(set_aside(), '51', 'so does one of a session that records by itself');
	cmp_ok(scalar(our_errors($node, $log)), '<', 10, 'the log has a few lines of it');
	$node->safe_psql('postgres', 'DROP EVENT TRIGGER refuse');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 51 FROM flowmaestro.execution_spans WHERE name = 'refused'"),
		'when it is gone they arrive by themselves');
	is(set_aside(), '0', 'nothing is left');
};

subtest 'an event trigger that undoes what was made' => sub {
	$node->safe_psql('postgres', q(
CREATE FUNCTION undo() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() AS c WHERE c.command_tag = 'ALTER TABLE' AND c.object_identity = 'flowmaestro.execution_spans' LOOP
		EXECUTE (SELECT format('DROP TABLE %s', max(inhrelid)::regclass) FROM pg_inherits WHERE inhparent = 'flowmaestro.execution_spans'::regclass);
	END LOOP;
END
$$;
CREATE EVENT TRIGGER undo ON ddl_command_end WHEN tag IN ('ALTER TABLE') EXECUTE FUNCTION undo();
ALTER EVENT TRIGGER undo ENABLE ALWAYS));
	$node->safe_psql('postgres', q(SELECT count(flowmaestro.create_span('undone', 'agent_run', started_at => now() - interval '17 days')) FROM generate_series(1, 5)));
	record($node, 'postgres', 100, 'free too');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(spans($node, 'postgres', 'free too'), '100', 'spans that have a partition arrive');
	is(set_aside(), '5', 'those that have none wait aside');
	$node->safe_psql('postgres', 'DROP EVENT TRIGGER undo');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 5 FROM flowmaestro.execution_spans WHERE name = 'undone'"),
		'when it is gone they arrive by themselves');
};
$node->stop;

done_testing();
