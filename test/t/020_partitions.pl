# Whatever times spans are given, by a role that can do nothing but record, the
# number of partitions stays small, the writer goes on, and the spans of others
# arrive; partitions are made and dropped in small transactions.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = recording_node('partitions', "max_connections = 20\nflowmaestro.flush_interval = '500ms'\n");

$node->safe_psql('postgres', q(
CREATE ROLE attacker LOGIN;
SELECT flowmaestro.grant_writer('attacker')));

sub partitions
{
	return $node->safe_psql('postgres',
		q(SELECT count(*) FROM pg_inherits WHERE inhparent = 'flowmaestro.execution_spans'::regclass));
}

# A statement of the role that can only record.
sub attack
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', 'attacker' ]);
}

# 100 spans of somebody else arrive.
sub arrives
{
	my ($name) = @_;

	record($node, 'postgres', 100, $name);
	my ($rc, $stdout, $stderr) = $node->psql('postgres', 'SELECT flowmaestro.flush()', timeout => 60);
	is($rc, 0, "flush() of spans called $name ends well") or diag($stderr);
	is(spans($node, 'postgres', $name), '100', "all spans called $name are in the table");
	return;
}

# n spans on as many days after a date, and those of an OTLP request.
sub days
{
	my ($first, $n, $name) = @_;

	return "SELECT count(flowmaestro.create_span('$name', 'b', started_at => timestamptz '$first' + i * interval '1 day')) FROM generate_series(1, $n) i";
}

# By an OTLP request.
sub request
{
	my ($first, $n) = @_;

	return qq(SELECT flowmaestro.ingest_otlp_json(json_build_object('resourceSpans', json_build_array(json_build_object(
	'scopeSpans', json_build_array(json_build_object('spans', (SELECT json_agg(json_build_object(
		'traceId', md5(i::text), 'spanId', substr(md5(i::text), 1, 16), 'name', 'otlp',
		'startTimeUnixNano', (extract(epoch FROM timestamptz '$first' + i * interval '1 day') * 1000000000)::numeric(30)::text,
		'endTimeUnixNano', (extract(epoch FROM timestamptz '$first' + i * interval '1 day') * 1000000000)::numeric(30)::text))
	FROM generate_series(1, $n) i))))))::text));
}

subtest '2,000 days of the past, of the future, and of an OTLP request' => sub {
	attack(days('1975-01-01', 2000, 'old'));
	arrives('after the past');
	attack(days('2150-01-01', 2000, 'far'));
	arrives('after the future');
	attack(request('1990-01-01', 2000));
	arrives('after OTLP');
	is(spans($node, 'postgres', 'old'), '2000', 'the spans of the past are in the table');
	is(spans($node, 'postgres', 'far'), '2000', 'those of the future are');
	is(spans($node, 'postgres', 'otlp'), '2000', 'those of OTLP are');
	cmp_ok(partitions(), '<', 50, 'they have few partitions');
	is(value($node, 'postgres', 'dropped, rejected, pending'), '0|0|0', 'none is lost or set aside');
	my $log = log_size($node);
	$node->restart;
	arrives('after a restart');

	# again, with other times
	attack(days('1981-01-01', 2000, 'old'));
	attack(days('2170-01-01', 2000, 'far'));
	attack(days((localtime)[5] + 1900 . '-01-01', 2000, 'far'));
	arrives('after the second act');
	cmp_ok(partitions(), '<', 50, 'there are still few partitions');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.rejected_spans'), '0', 'nothing was set aside');
	is(scalar(our_errors($node, $log)), '0', 'the writer logged no error');
};

subtest 'each near day has a partition of its own' => sub {
	is( $node->safe_psql('postgres', q(
SELECT count(*) FROM pg_class WHERE relname IN
	(SELECT to_char(date_trunc('day', now(), 'UTC') + i * interval '1 day', '"execution_spans_p"YYYYMMDD') FROM generate_series(-31, 2) AS i))),
		'34', 'the last 31 days, today, and two days ahead');
	is( $node->safe_psql('postgres', q(
SELECT DISTINCT tableoid::regclass FROM flowmaestro.execution_spans WHERE started_at < now() - interval '32 days' AND started_at > now() - interval '33 days')),
		'flowmaestro.execution_spans_older', 'a day before shares one with all that is older');
	is( $node->safe_psql('postgres', q(
SELECT DISTINCT tableoid::regclass FROM flowmaestro.execution_spans WHERE started_at >= date_trunc('day', now(), 'UTC') + interval '3 days')),
		'flowmaestro.execution_spans_later', 'a day after shares one with all that is later');
};

subtest 'all near hours at once' => sub {
	add_database($node, 'hours');
	$node->safe_psql('postgres', q(
ALTER DATABASE hours SET flowmaestro.partition_interval = hour;
ALTER DATABASE hours SET flowmaestro.late_partitions = 366));
	$node->safe_psql('hours', q(
SELECT count(flowmaestro.create_span('hour', 'b', started_at => now() - i * interval '1 hour')) FROM generate_series(0, 365) AS i;
SELECT flowmaestro.flush()));
	is(spans($node, 'hours', 'hour'), '366', 'their spans arrive');
	is($node->safe_psql('hours', 'SELECT count(DISTINCT tableoid) FROM flowmaestro.execution_spans'), '366', 'in a partition each');
};

subtest 'when the time comes' => sub {
	add_database($node, 'time');
	my $day = $node->safe_psql('time', q(SELECT date_trunc('day', now(), 'UTC') + interval '40 days'));
	my $id = $node->safe_psql('time', qq(
SELECT count(flowmaestro.create_span('ahead', 'b', started_at => timestamptz '$day' + i * interval '1 minute')) FROM generate_series(-1, 1440) AS i;
SELECT flowmaestro.flush();
SELECT span_id FROM flowmaestro.execution_spans WHERE started_at = '$day'));
	is($node->safe_psql('time', 'SELECT DISTINCT tableoid::regclass FROM flowmaestro.execution_spans'),
		"flowmaestro.execution_spans_later", 'spans of a later day are in the default partition')
	  or diag($id);
	$id = (split /\n/, $id)[-1];
	# who owns the table need not wait until it is near
	my $partition = $node->safe_psql('time', "SELECT flowmaestro.make_partition('$day')");
	is( $node->safe_psql('time', 'SELECT tableoid::regclass, count(*) FROM flowmaestro.execution_spans GROUP BY 1 ORDER BY 2'),
		"flowmaestro.execution_spans_later|2\n$partition|1440", 'a partition of the day takes its spans, and no others');
	is( $node->safe_psql('time', qq(
SELECT flowmaestro.end_span('$id', ended_at => '$day'); SELECT flowmaestro.flush();
SELECT count(*), min(status) FROM flowmaestro.execution_spans WHERE span_id = '$id')),
		"t\n\n1|completed", 'one that moved can be ended');
};

subtest 'a reader of the default partition holds nothing up' => sub {
	add_database($node, 'held');
	$node->safe_psql('held', q(
SELECT flowmaestro.create_span('later', 'b', started_at => '2200-01-01'); SELECT flowmaestro.flush()));
	my $reader = $node->background_psql('held');
	$reader->query_safe('BEGIN; SELECT count(*) FROM flowmaestro.execution_spans_later');
	record($node, 'held', 100, 'meanwhile');
	$node->safe_psql('held', 'SELECT flowmaestro.flush()');
	is( $node->safe_psql('held', "SELECT tableoid::regclass, count(*) FROM flowmaestro.execution_spans WHERE name = 'meanwhile' GROUP BY 1"),
		'flowmaestro.execution_spans_later|100', 'spans of today arrive beside it');
	$reader->quit;
	ok( $node->poll_query_until('held',
			"SELECT count(*) = 100 AND bool_and(tableoid <> 'flowmaestro.execution_spans_later'::regclass) FROM flowmaestro.execution_spans WHERE name = 'meanwhile'"),
		'and move to a partition of today when it is gone');
	is($node->safe_psql('held', 'SELECT count(*) FROM flowmaestro.rejected_spans'), '0', 'none is set aside');
};

subtest 'a table that somebody else changes' => sub {
	add_database($node, 'changed');
	my $other = $node->background_psql('changed');
	record($node, 'changed', 1, 'today');
	$node->safe_psql('changed', 'SELECT flowmaestro.flush()');
	# as CREATE STATISTICS, VACUUM or ATTACH PARTITION of an open transaction does
	$other->query_safe('BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE UPDATE EXCLUSIVE MODE');
	$node->safe_psql('changed', q(
SELECT count(flowmaestro.create_span('blocked', 'b', started_at => now() - interval '3 days')) FROM generate_series(1, 50)));
	record($node, 'changed', 100, 'free');
	$node->safe_psql('changed', 'SELECT flowmaestro.flush()');
	is(spans($node, 'changed', 'free'), '100', 'spans whose partition is there arrive');
	is( $node->safe_psql('changed', q(SELECT sqlstate, count(*) FROM flowmaestro.rejected_spans GROUP BY 1)),
		'55P03|50', 'those without wait aside');
	# as DROP EXTENSION and ALTER TABLE do
	$other->query_safe('LOCK TABLE flowmaestro.execution_spans IN ACCESS EXCLUSIVE MODE');
	my $log = log_size($node);
	record($node, 'changed', 10, 'free');
	ok( $node->poll_query_until('changed', "SELECT last_error = 'execution_spans is locked by another session' FROM flowmaestro.stats"),
		'while somebody has the table as a whole, the view stats tells it');
	is_deeply([ our_errors($node, $log) ], [], 'and a partition that is due is no error of the writer');
	$other->query_safe('COMMIT');
	$other->quit;
	ok( $node->poll_query_until('changed', "SELECT count(*) = 50 FROM flowmaestro.execution_spans WHERE name = 'blocked'"),
		'and arrive by themselves when the table is free');
	is($node->safe_psql('changed', 'SELECT count(*) FROM flowmaestro.rejected_spans'), '0', 'nothing is left aside');
};

subtest 'more partitions than locks' => sub {
	my $small = recording_node('small', "max_connections = 10\nmax_locks_per_transaction = 32\nflowmaestro.flush_interval = '500ms'\n");
	my $count = q(SELECT count(*) FROM pg_inherits WHERE inhparent = 'flowmaestro.execution_spans'::regclass);
	# partitions that the hand that owns the table makes, ten in a transaction
	my $make = q(
DO $$
BEGIN
	FOR i IN 0 .. 19 LOOP
		PERFORM flowmaestro.make_partition(timestamptz '2000-01-01 00:00:00+00' + (10 * i + j) * interval '1 day') FROM generate_series(0, 9) AS j;
		COMMIT;
	END LOOP;
END
$$);
	my ($rc, $stdout, $stderr) = $small->psql('postgres', $make);
	is($rc, 0, '200 partitions are made');
	like($stderr, qr/WARNING:  table of locks is too small for the partitions of execution_spans/,
		'with the first one comes a warning about the locks');
	is(scalar(() = $stderr =~ /WARNING/g), 1, 'and with no other');
	($rc, $stdout, $stderr) = $small->psql('postgres',
		"SET flowmaestro.retention = '30d'; SELECT count(*) FROM flowmaestro.apply_retention()");
	is($stdout, '32', 'a call of apply_retention() drops 32 of them');
	like($stderr, qr/NOTICE:  more spans are older than flowmaestro.retention/, 'and says that there are more');
	is($small->safe_psql('postgres', $count), '168', 'these are still there');
	$small->safe_psql('postgres', "ALTER DATABASE postgres SET flowmaestro.retention = '30d'");
	record($small, 'postgres', 1, 'wakes the writer');
	ok($small->poll_query_until('postgres', "SELECT ($count) < 5"), 'the writer drops them all');
	$small->safe_psql('postgres', 'ALTER DATABASE postgres RESET flowmaestro.retention');

	$small->safe_psql('postgres', $make);
	($rc, $stdout, $stderr) = $small->psql('postgres', 'BEGIN; CALL flowmaestro.drop_partitions()');
	like($stderr, qr/drop_partitions\(\) cannot run inside a transaction block/, 'drop_partitions() wants transactions of its own');
	($rc, $stdout, $stderr) = $small->psql('postgres', 'CALL flowmaestro.drop_partitions(NULL)');
	like($stderr, qr/must not be null/, 'it wants a time');
	($rc, $stdout, $stderr) = $small->psql('postgres', "CALL flowmaestro.drop_partitions('2000-01-31 00:00:00+00')");
	like($stderr, qr/NOTICE:  dropped 30 partitions of execution_spans/, 'it drops those that end before a time');
	($rc, $stdout, $stderr) = $small->psql('postgres', 'CALL flowmaestro.drop_partitions()');
	is($rc, 0, 'without a time it drops all') or diag($stderr);
	is($small->safe_psql('postgres', $count), '0', 'none is left');
	$small->safe_psql('postgres', 'DROP EXTENSION flowmaestro_spans');
	is($small->safe_psql('postgres', "SELECT count(*) FROM pg_extension WHERE extname = 'flowmaestro_spans'"),
		'0', 'and DROP EXTENSION has little to do');
	$small->stop;
};

subtest 'an import of years' => sub {
	add_database($node, 'import');
	$node->safe_psql('import', q(
CREATE TABLE old (LIKE flowmaestro.execution_spans INCLUDING DEFAULTS);
INSERT INTO old (trace_id, span_id, name, span_type, started_at, status, attributes)
SELECT gen_random_uuid(), gen_random_uuid(), 'daily', 'model_generation', timestamptz '2020-01-01 12:00:00+00' + i * interval '1 day', 'completed', '{"promptTokens": 1}'
FROM generate_series(1, 1200) AS i));
	is($node->safe_psql('import', q(SELECT flowmaestro.import_spans('old'))), '1200', '1,200 days are taken');
	is($node->safe_psql('import', 'SELECT count(DISTINCT tableoid) FROM flowmaestro.execution_spans'), '40', 'in a partition for each month');
	is($node->safe_psql('import', 'SELECT count(*), sum(input_tokens) FROM flowmaestro.span_usage'), '1200|1200', 'and counted');
	is($node->safe_psql('import', 'SELECT count(*) FROM flowmaestro.check_token_usage()'), '0', 'rightly');
	$node->safe_psql('import', q(
DELETE FROM old;
INSERT INTO old (trace_id, span_id, name, span_type, started_at, status, attributes)
SELECT gen_random_uuid(), gen_random_uuid(), 'weekly', 'agent_run', timestamptz '1985-01-01 12:00:00+00' + i * interval '1 week', 'completed', '{}'
FROM generate_series(1, 30 * 52) AS i));
	is($node->safe_psql('import', q(SELECT flowmaestro.import_spans('old'))), '1560', '30 years are taken');
	is($node->safe_psql('import', q(SELECT count(DISTINCT tableoid) FROM flowmaestro.execution_spans WHERE name = 'weekly')),
		'30', 'in a partition for each year');
	is($node->safe_psql('import', q(SELECT flowmaestro.import_spans('old'))), '0', 'a second import finds them there');
};
subtest 'the ledger and a partition of all that is older' => sub {
	my $call = q(SELECT flowmaestro.end_span(span_id, ended_at => '%1$s 01:00:00+00') FROM flowmaestro.create_span('call', 'model_generation', attributes => '{"promptTokens": 1}', started_at => '%1$s 00:00:00+00'));

	add_database($node, 'ledger');
	$node->safe_psql('ledger', "SELECT flowmaestro.make_partition('2020-01-01 00:00:00+00')");
	$node->safe_psql('ledger', sprintf($call, '2020-01-01') . '; SELECT flowmaestro.flush()');
	$node->safe_psql('ledger', 'DROP TABLE flowmaestro.execution_spans_p20200101');
	# covers the time of the one that was dropped
	$node->safe_psql('ledger', sprintf($call, '2020-01-02') . '; SELECT flowmaestro.flush()');
	is($node->safe_psql('ledger', 'SELECT DISTINCT tableoid::regclass FROM flowmaestro.execution_spans'),
		'flowmaestro.execution_spans_older', 'a late call is where a dropped partition was');
	is($node->safe_psql('ledger', 'SELECT count(*) FROM flowmaestro.check_token_usage()'), '0', 'the ledger is right');
	$node->safe_psql('ledger', 'SELECT flowmaestro.rebuild_token_usage()');
	is($node->safe_psql('ledger', 'SELECT count(*), (SELECT sum(calls) FROM flowmaestro.token_usage_daily) FROM flowmaestro.span_usage'),
		'2|2', 'made again, it still has the call of the dropped partition');
	is($node->safe_psql('ledger', 'SELECT count(*) FROM flowmaestro.check_token_usage()'), '0', 'and is still right');
};
$node->stop;

done_testing();
