# Finished spans reach a collector: each of them, whatever fails when, and not
# again once they were acknowledged.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use ExportingNode;
use FmsTest;
use Test::More;
use Time::HiRes qw(time usleep);

exporting_node();

subtest 'finished spans arrive' => sub {
	finish('first', 1000);
	my $running = $node->safe_psql('postgres', "SELECT span_id FROM flowmaestro.create_span('running', 'agent_run')");
	arrive('first', 1000);
	settled();
	is($collector->named('running'), 0, 'a running span is not sent');
	is(status('exported, rejected, refused, gone, failures, last_success_at IS NOT NULL, last_error IS NULL, exporter_pid IS NOT NULL'),
		'1000|0|0|0|0|t|t|t', 'the status tells');

	my ($request) = $collector->requests;
	is("$request->{method} $request->{path}", 'POST /v1/traces', 'by POST to the usual path');
	is($request->{headers}{$_->[0]}, $_->[1], $_->[0])
	  foreach (['content-type', 'application/x-protobuf'], ['content-encoding', 'gzip'], ['user-agent', 'flowmaestro_spans/1.0.0']);
	is(scalar(grep { $_->{spans} > 512 } $collector->requests), 0, 'at most 512 in a request');

	is($node->safe_psql('postgres', "SELECT flowmaestro.end_span('$running', status => 'cancelled')"), 't', 'it ends');
	arrive('running', 1);
	$node->safe_psql('postgres', <<"SQL");
SELECT flowmaestro.end_span('$running'), flowmaestro.set_span_attributes('$running', '{"late": 1}'),
	flowmaestro.add_span_event('$running', 'late'), flowmaestro.create_span('running', 'agent_run', span_id => '$running', attributes => '{"a": 1}');
SELECT flowmaestro.flush();
SELECT flowmaestro.end_span(s.span_id, attributes => '{"again": 1}'), flowmaestro.create_span(s.name, s.span_type,
	span_id => s.span_id, trace_id => s.trace_id, attributes => '{"b": 1}') FROM flowmaestro.execution_spans AS s;
SELECT flowmaestro.flush();
SQL
	is(status('queued, exported'), '0|1001', 'what comes after its end sends nothing again');
};

subtest 'ends before starts, and transactions' => sub {
	$node->safe_psql('postgres', <<'SQL');
SELECT flowmaestro.end_span('00000000-0000-4000-8000-000000000001', '{"o": 1}');
SELECT flowmaestro.flush();
SELECT pg_sleep(0.3);
SQL
	is(status('queued, exported'), '0|1001', 'an end without its start is not sent');
	$node->safe_psql('postgres', <<'SQL');
SELECT flowmaestro.create_span('stub', 'agent_run', span_id => '00000000-0000-4000-8000-000000000001');
SET flowmaestro.write_mode = 'transactional';
BEGIN;
SELECT span_id AS a FROM flowmaestro.create_span('committed', 'agent_run') \gset
SELECT flowmaestro.end_span(:'a');
COMMIT;
BEGIN;
SELECT span_id AS a FROM flowmaestro.create_span('rolled back', 'agent_run') \gset
SELECT flowmaestro.end_span(:'a');
ROLLBACK;
BEGIN;
SELECT span_id AS a FROM flowmaestro.create_span('savepoint', 'agent_run') \gset
SAVEPOINT s;
SELECT flowmaestro.end_span(:'a');
ROLLBACK TO s;
SELECT flowmaestro.end_span(:'a');
COMMIT;
SELECT span_id AS a FROM flowmaestro.create_span('later', 'agent_run') \gset
SELECT flowmaestro.end_span(:'a');
SELECT flowmaestro.end_span(:'a');
SQL
	arrive($_, 1) foreach 'stub', 'committed', 'savepoint', 'later';
	settled();
	is($collector->named('rolled back'), 0, 'what was rolled back is not sent');
};

subtest 'no transaction on the network' => sub {
	$collector->answers('slow 1.5');
	finish('slow', 10);
	ok($node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE $exporter AND query = 'sending 10 spans'"), 'it sends');
	is($node->safe_psql('postgres', "SELECT xact_start IS NULL, backend_xmin IS NULL, backend_xid IS NULL FROM pg_stat_activity WHERE $exporter"),
		't|t|t', 'without a transaction or a snapshot');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE $exporter"),
		'0', 'and without a lock');
	arrive('slow', 10);
	$collector->answers('accept');
};

subtest 'what is tried again' => sub {
	my $failures = 0;

	foreach my $mode ('status 503', 'status 429 Retry-After: 1', 'status 502', 'status 504', 'status 401', 'status 404',
		'status 302 Location: http://127.0.0.1:1/', 'close', 'half', 'garbage', 'hang', 'drip')
	{
		$collector->answers($mode);
		finish("after $mode", 5);
		status_is("failures > $failures AND queued = 5", "\"$mode\" is a failure");
		isnt(status('last_error'), '', 'the status says which: ' . status('last_error'));
		is($collector->named("after $mode"), 0, 'nothing was acknowledged');
		$collector->answers('accept');
		$node->reload;			# nobody has to wait
		arrive("after $mode", 5);
		$failures = status('failures');
	}
	settled();
	is(status('refused, last_error IS NULL'), '0|t', 'nothing was set aside, and all is well');
	$collector->answers('huge');
	finish('huge', 5);
	arrive('huge', 5, 'an endless answer is cut');
	settled();
};

subtest 'Retry-After' => sub {
	my $waits = sub {
		my ($after, $least) = @_;
		$collector->answers("status 503 Retry-After: $after");
		my $before = $collector->requests;
		finish('patient', 1);
		ok(wait_until(sub { scalar($collector->requests) > $before }), 'it is told to wait');
		$collector->answers('accept');
		my $count = $collector->named('patient');
		ok(wait_until(sub { $collector->named('patient') > $count }, 30), 'it comes again');
		my @requests = $collector->requests;
		cmp_ok($requests[-1]{time} - $requests[-2]{time}, '>=', $least, 'not before it may');
	};
	$waits->('3', 2.9);
	# a date has whole seconds
	$waits->(POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time() + 4)), 2.5);
	settled();
};

subtest 'an outage' => sub {
	$collector->stop;
	my $before = status('failures');
	finish('outage', 3000);
	status_is("failures > $before AND queued = 3000", 'the spans wait');
	$collector->start;
	arrive('outage', 3000);
	settled();
};

subtest 'spans that are refused' => sub {
	my $refused = 0;
	foreach my $status (400, 422, 500)
	{
		$collector->answers("poison $status poison");
		$node->safe_psql('postgres', <<"SQL");
SELECT count(flowmaestro.end_span((flowmaestro.create_span(CASE WHEN n IN (1, 300, 777) THEN 'poison' ELSE 'good $status' END,
	'agent_run')).span_id)) FROM generate_series(1, 1000) AS n
SQL
		arrive("good $status", 997, 'the good ones arrive');
		settled();
		$refused += 3;
		is($node->safe_psql('postgres', "SELECT count(*), min(message) FROM flowmaestro.otlp_refused WHERE message LIKE '%$status%'"),
			"3|HTTP status $status: poison", 'the others are set aside');
		is(status('refused'), $refused, 'and counted');
	}
	is($collector->named('poison'), 0, 'none of them was acknowledged');
	$collector->answers('accept');
	is($node->safe_psql('postgres', 'SELECT flowmaestro.retry_refused_spans()'), $refused, 'they can be sent again');
	arrive('poison', $refused);
	settled();
	is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.otlp_refused'), '0', 'and are forgotten then');

	$collector->answers('most 100');
	finish('large', 1000);
	arrive('large', 1000, 'what is too large is sent in parts');
	settled();

	# a peer that wants nothing at all
	$collector->answers('status 400');
	finish('unwanted', 40);
	status_is('queued < 40', 'a few are set aside');
	my $offset = log_size($node);
	usleep(3_000_000);
	cmp_ok(status('queued'), '>', 20, 'but not all of them');
	cmp_ok(scalar(log_lines($node, qr/set a span aside/, $offset)), '<=', 1, 'the log is not flooded');
	$collector->answers('accept');
	$node->reload;
	settled();
	$node->safe_psql('postgres', 'SELECT flowmaestro.retry_refused_spans()');
	arrive('unwanted', 40);
};

subtest 'a partial success' => sub {
	my $offset = log_size($node);
	$collector->answers('partial 3');
	finish('partial', 10);
	arrive('partial', 10);
	settled();
	is(status('rejected, last_error IS NULL'), '3|t', 'what was left out is counted, not sent again');
	is(scalar(log_lines($node, qr/the collector rejected 3 of 10 spans: HTTP status 200: some left out/, $offset)), 1, 'and told');
	$collector->answers('accept');
};

subtest 'rows that are gone' => sub {
	$collector->answers('status 503');
	$node->safe_psql('postgres', <<'SQL');
SELECT count(flowmaestro.end_span((flowmaestro.create_span('gone', 'agent_run', started_at => '2020-01-01')).span_id)) FROM generate_series(1, 20);
SELECT flowmaestro.flush();
SQL
	finish('kept', 5);
	status_is('queued = 25 AND last_error IS NOT NULL', 'they wait');
	my $gone = status('gone');
	$node->safe_psql('postgres', "SET flowmaestro.retention = '30d'; SELECT flowmaestro.apply_retention()");
	$collector->answers('accept');
	$node->reload;
	settled();
	is(status("gone - $gone"), '20', 'spans that retention dropped are counted');
	arrive('kept', 5);
	is($collector->named('gone'), 0, 'and not sent');
};

is(scalar(log_lines($node, qr/PANIC|TRAP|terminated by signal (?!9)/)), 0, 'nothing crashed');

done_testing();
