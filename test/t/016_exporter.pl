# Finished spans reach a collector: each of them, whatever fails when, and not
# again once they were acknowledged; no peer, however it behaves, holds anything
# up; and secrets stay secret.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use Collector;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $collector = Collector->new;
my $directory = PostgreSQL::Test::Utils::tempdir();
my $node = recording_node('exporter', <<"CONF");
flowmaestro.otlp_endpoint = '@{[ $collector->url ]}'
flowmaestro.otlp_timeout = 2s
flowmaestro.flush_interval = 100ms
restart_after_crash = on
CONF
my $exporter = "backend_type = 'flowmaestro_spans otlp exporter'";

# Record n spans of a name that end at once.
sub finish
{
	my ($name, $n, $database) = @_;

	return $node->safe_psql($database // 'postgres', <<"SQL");
SELECT count(flowmaestro.end_span((flowmaestro.create_span('$name', 'agent_run')).span_id)) FROM generate_series(1, $n)
SQL
}

# Columns of the one row of otlp_export_status.
sub status
{
	my ($columns, $database) = @_;

	return $node->safe_psql($database // 'postgres', "SELECT $columns FROM flowmaestro.otlp_export_status");
}

sub status_is
{
	my ($condition, $what, $database) = @_;
	my $good = wait_until(sub { status($condition, $database) eq 't' }, 60);

	ok($good, $what) or diag(status('*', $database));
	return;
}

# The collector has n spans of a name, each once, and no other is left.
sub arrive
{
	my ($name, $n, $what) = @_;

	ok(wait_until(sub { $collector->named($name) >= $n }, 60), $what // "$n spans \"$name\" arrive")
	  or diag(status('*'));
	is($collector->named($name), $n, 'each once');
	return;
}

sub configure
{
	my (%setting) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET flowmaestro.$_ = '$setting{$_}'") foreach keys %setting;
	$node->reload;
	return;
}

# Wait until nothing is left to be sent.
sub settled { status_is('queued = 0', 'nothing is left'); return }

sub exporter_pid
{
	my ($database) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $exporter AND datname = '$database'");
}

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

subtest 'headers from a file' => sub {
	my $file = "$directory/headers";
	my $offset = log_size($node);
	my $fails = sub {
		my ($text, $mode, $error) = @_;
		open my $out, '>', $file or die $!;
		print $out $text;
		close $out;
		chmod $mode, $file;
		finish('closed', 1);
		$node->reload;
		status_is("last_error ~ 'file of headers'", 'it is not used');
		ok(wait_until(sub { log_lines($node, $error, $offset) }, 20), 'the log says why');
	};

	configure(otlp_headers_file => $file);
	$fails->("Authorization: Bearer sesame\n", 0644, qr/DETAIL: .*0600/);
	is($collector->named('closed'), 0, 'nothing is sent without the headers');
	$fails->("Authorization: Bearer sesame\nno colon sesame\n", 0600, qr/DETAIL: .*Line 2: "name: value" expected/);
	$fails->("X-Bad\x01: sesame\n", 0600, qr/DETAIL: .*Line 1: a header's name/);
	$fails->("X-Bad: ses\rame: sesame\n", 0600, qr/DETAIL: .*Line 1: a header's value/);
	$fails->("content-length : 1\ncontent-length: 5\n", 0600, qr/DETAIL: .*Line 1: a header's name/);
	$fails->("content-length: 5\n", 0600, qr/DETAIL: .*Line 1: this header is set by the exporter/);
	$fails->("\0", 0600, qr/DETAIL: .*zero byte/);
	unlink $file;
	mkdir $file;
	finish('closed', 1);
	$node->reload;
	status_is("last_error ~ 'file of headers'", 'a directory is no file');
	rmdir $file;

	open my $out, '>', $file or die $!;
	print $out "# who we are\nAuthorization:   Bearer sesame  \r\n\nX-Scope-OrgID: a b\n";
	close $out;
	chmod 0600, $file;
	$node->reload;
	arrive('closed', 8);
	my @requests = $collector->requests;
	is($requests[-1]{headers}{authorization}, 'Bearer sesame', 'the headers are sent');
	is($requests[-1]{headers}{'x-scope-orgid'}, 'a b', 'all of them');

	# a new token needs no reload
	open $out, '>', $file or die $!;
	print $out "Authorization: Bearer other\n";
	close $out;
	finish('token', 1);
	arrive('token', 1);
	@requests = $collector->requests;
	is($requests[-1]{headers}{authorization}, 'Bearer other', 'a new token is used at once');
	is(scalar(log_lines($node, qr/sesame|Bearer/, $offset)), 0, 'the log shows no secret');
	unlike(status('coalesce(last_error, $$$$)'), qr/sesame|Bearer/, 'nor does the status');
	configure(otlp_headers_file => '');
	settled();
};

subtest 'the endpoint' => sub {
	my $refused = sub {
		my ($value, $detail) = @_;
		my ($rc, $out, $err) = $node->psql('postgres', "ALTER SYSTEM SET flowmaestro.otlp_endpoint = '$value'");
		like($err, $detail, "\"$value\" is refused");
	};
	$refused->($_, qr/must begin with http/) foreach 'localhost:4318', 'file:///etc/passwd', 'ftp://a/', 'httpx://a';
	$refused->($_, qr/must be the base URL/) foreach 'http://', 'https:///v1/traces', 'http://a b/', 'http://a/?b=c', 'http://a/#b', "http://a\x01/", 'http://ä/';
	$refused->($_, qr/user name or a password/) foreach 'http://me:sesame@localhost:4318', 'https://me@localhost';
	foreach ('', '/', '/v1/traces', '/v1/traces/', '/base', '/base//')
	{
		my $path = /base/ ? '/base/v1/traces' : '/v1/traces';

		configure(otlp_endpoint => $collector->url . $_);
		finish("path $_", 1);
		arrive("path $_", 1);
		my @requests = $collector->requests;
		is($requests[-1]{path}, $path, "endpoint \"$_\"");
	}

	# from a peer that never answers to another one
	$collector->answers('hang');
	configure(otlp_endpoint => $collector->url, otlp_timeout => '1h');
	finish('moved', 7);
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE $exporter AND query ~ '^sending [1-7] span'"), 'it waits for a peer');
	my $second = Collector->new;
	configure(otlp_endpoint => $second->url);
	ok(wait_until(sub { $second->named('moved') == 7 }, 5), 'a reload sends it to another one at once');

	configure(otlp_endpoint => '');
	ok(wait_until(sub { exporter_pid('postgres') eq '' }), 'without an endpoint there is no exporter');
	finish('unsent', 10);
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(status('queued'), '0', 'and nothing is put into the outbox');
	$collector->answers('accept');
	configure(otlp_endpoint => $collector->url, otlp_timeout => '2s');
	finish('on again', 10);
	arrive('on again', 10);
	is($collector->named('unsent'), 0, 'what finished meanwhile is not sent');
	my $reader = $node->safe_psql('postgres', "CREATE ROLE reader; SELECT flowmaestro.grant_reader('reader')");
	is($node->safe_psql('postgres', 'SET ROLE reader; SELECT queued FROM flowmaestro.otlp_export_status'), '0', 'a reader sees the status');
	my ($rc, $out, $err) = $node->psql('postgres', 'SET ROLE reader; SHOW flowmaestro.otlp_endpoint');
	like($err, qr/must be superuser|permission denied/, 'but not the endpoint');
};

subtest 'a circle' => sub {
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $rows = "SELECT md5(string_agg(s::text, ',' ORDER BY span_id)) FROM flowmaestro.execution_spans AS s WHERE name = 'circle'";

	configure(otlp_receiver_port => $port, otlp_endpoint => "http://127.0.0.1:$port");
	my $exported = status('exported');
	$node->safe_psql('postgres', <<'SQL');
SELECT count(flowmaestro.end_span((flowmaestro.create_span('circle', 'model_generation', 'e', '{"promptTokens": 7}', '[1]')).span_id, '{"o": 1}'))
FROM generate_series(1, 99);
SELECT flowmaestro.end_span((flowmaestro.create_span('circle', 'agent_run', span_id => gen_random_uuid())).span_id);
SELECT flowmaestro.flush();
SQL
	my $before = $node->safe_psql('postgres', $rows);
	status_is("queued = 0 AND exported = $exported + 100", 'spans are sent to our own receiver');
	my $recorded = value($node, 'postgres', 'recorded');
	cmp_ok($recorded, '>=', 300, 'which recorded them');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush(); SELECT pg_sleep(1); SELECT flowmaestro.flush()');
	is(status("queued, exported - $exported"), '0|100', 'they are not sent again');
	is(value($node, 'postgres', 'recorded'), $recorded, 'the circle is closed');
	is($node->safe_psql('postgres', $rows), $before, 'and the rows are as they were');
	configure(otlp_receiver_port => 0, otlp_endpoint => $collector->url);
};

subtest 'https' => sub {
	plan skip_all => 'no openssl' if system("openssl version >$directory/openssl 2>&1") != 0;
	system("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout $directory/key -out $directory/cert >$directory/openssl 2>&1");
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $server = IPC::Run::start([ 'openssl', 's_server', '-quiet', '-accept', "127.0.0.1:$port", '-key', "$directory/key", '-cert', "$directory/cert" ],
		'<', '/dev/null', '>', "$directory/s_server", '2>', "$directory/s_server.err");
	configure(otlp_endpoint => "https://127.0.0.1:$port");
	finish('encrypted', 1);
	status_is("last_error ~* 'certificate'", 'a certificate that nobody vouches for is not accepted');
	configure(otlp_endpoint => $collector->url);
	arrive('encrypted', 1);
	$server->kill_kill;
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

subtest 'the exporter is killed' => sub {
	$collector->answers('slow 0.05');
	finish('killed', 5000);
	foreach (1 .. 3)
	{
		my $pid;
		ok(wait_until(sub { $pid = eval { exporter_pid('postgres') } }), 'there is an exporter');
		kill 'KILL', $pid;
		ok(wait_until(sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 }), 'the server recovers');
	}
	$collector->answers('accept');
	ok(wait_until(sub { $collector->named('killed') >= 5000 }, 60), 'all arrive');
	settled();
	my $twice = $collector->named('killed') - 5000;
	cmp_ok($twice, '<=', 3 * 512, "no more than what was under way is sent twice: $twice");
};

subtest 'the server is killed, and restarts' => sub {
	$collector->answers('hang');
	finish('crash', 2000);
	status_is('queued >= 1500', 'they wait');
	$node->stop('immediate');
	$collector->answers('accept');
	$node->start;
	arrive('crash', 2000, 'after a crash all arrive');
	settled();

	foreach my $mode ('hang', 'drip', 'status 503')
	{
		$collector->answers($mode);
		configure(otlp_timeout => '1h');
		finish("stop $mode", 100);
		ok(wait_until(sub { status('queued') eq '100' }), 'they wait');
		usleep(300_000);
		cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 2, "a fast stop with \"$mode\" takes less than 2 s");
		$collector->answers('accept');
		$node->start;
		arrive("stop $mode", 100, 'afterwards they arrive');
	}
	configure(otlp_timeout => '2s');
	settled();

	my $pid = exporter_pid('postgres');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	finish('terminated', 10);
	arrive('terminated', 10, 'a terminated exporter comes back');
	isnt(exporter_pid('postgres'), $pid, 'as another process');
	settled();

	# nothing but the exporter that dies tells that there is work
	$collector->answers('hang');
	configure(otlp_timeout => '1h');
	finish('left behind', 10);
	ok($node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE $exporter AND query = 'sending 10 spans'"), 'an exporter has all the work');
	$pid = exporter_pid('postgres');
	$collector->answers('accept');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	arrive('left behind', 10, 'the next exporter does what a terminated one left, though no span comes after it');
	configure(otlp_timeout => '2s');
};

subtest 'databases' => sub {
	$collector->answers('hang');
	configure(otlp_timeout => '1h');
	add_database($node, 'second');
	finish('second', 10, 'second');
	ok(wait_until(sub { exporter_pid('second') ne '' }), 'another database has an exporter of its own');
	usleep(300_000);
	cmp_ok(seconds_of(sub { $node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE second') }), '<', 4, 'it can be copied meanwhile');
	ok(wait_until(sub { exporter_pid('second') ne '' }), 'the exporter comes back');
	cmp_ok(seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE copy') }), '<', 4, 'a copy can be dropped');
	cmp_ok(seconds_of(sub { $node->safe_psql('second', 'DROP EXTENSION flowmaestro_spans') }), '<', 4, 'the extension can be dropped');
	$node->safe_psql('second', 'CREATE EXTENSION flowmaestro_spans');
	finish('second life', 10, 'second');
	ok(wait_until(sub { $node->safe_psql('second', 'SELECT count(*) FROM flowmaestro.otlp_outbox') eq '10' }), 'and made again');
	$collector->answers('accept');
	configure(otlp_timeout => '2s');
	arrive('second life', 10);
	status_is('queued = 0', 'the new outbox is empty', 'second');
	$collector->answers('hang');
	configure(otlp_timeout => '1h');
	finish('second', 10, 'second');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE $exporter AND datname = 'second' AND query ~ 'sending'"), 'it sends');
	cmp_ok(seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE second') }), '<', 4, 'the database can be dropped');
	$collector->answers('accept');
	configure(otlp_timeout => '2s');

	# lives of the extension while spans come and go
	add_database($node, 'lives');
	my $offset = log_size($node);
	foreach (1 .. 20)
	{
		$node->safe_psql('lives', <<"SQL");
SELECT count(flowmaestro.end_span((flowmaestro.create_span('life', 'agent_run')).span_id)) FROM generate_series(1, 50);
SELECT flowmaestro.flush();
DROP EXTENSION flowmaestro_spans; CREATE EXTENSION flowmaestro_spans;
SQL
	}
	finish('last life', 5, 'lives');
	arrive('last life', 5);
	is(status('gone', 'lives'), '0', 'no span was taken for one that is gone');
	is(scalar(log_lines($node, qr/\] flowmaestro_spans .*(?:ERROR|FATAL|PANIC): (?!.*administrator command)/, $offset)), 0, 'no worker logged an error');
};

subtest 'a dump' => sub {
	$collector->answers('status 503');
	finish('dumped', 10);
	status_is('queued = 10', 'spans wait');
	$node->safe_psql('postgres', 'CREATE DATABASE restored');
	command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', "$directory/dump", 'postgres' ], 'pg_dump');
	command_ok([ 'pg_restore', '-h', $node->host, '-p', $node->port, '--exit-on-error', '-d', 'restored', "$directory/dump" ], 'pg_restore');
	is(spans($node, 'restored', 'dumped'), '10', 'the spans are restored');
	is($node->safe_psql('restored', 'SELECT count(*) FROM flowmaestro.otlp_outbox'), '0', 'but will not be sent by the copy');
	$collector->answers('accept');
	$node->reload;
	arrive('dumped', 10);
	finish('in the copy', 10, 'restored');
	arrive('in the copy', 10, 'new ones are');
};

is(scalar(log_lines($node, qr/PANIC|TRAP|terminated by signal (?!9)/)), 0, 'nothing crashed');
$node->stop;

subtest 'a standby' => sub {
	# a server can be built without what a standby needs
	chomp(my $libraries = `pg_config --pkglibdir`);
	plan skip_all => 'this server has no libpqwalreceiver' unless glob "$libraries/libpqwalreceiver.*";
	$collector->answers('status 503');
	my $primary = $node = recording_node('primary', "flowmaestro.otlp_endpoint = '@{[ $collector->url ]}'\nflowmaestro.flush_interval = 100ms\n",
		allows_streaming => 1);
	finish('replicated', 10);
	status_is('queued = 10 AND last_error IS NOT NULL', 'spans wait');
	$primary->backup('backup');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($primary, 'backup', has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby);
	is($standby->safe_psql('postgres', 'SELECT queued, exporter_pid FROM flowmaestro.otlp_export_status'), '10|', 'a standby knows of them, but has no exporter');
	$primary->stop;
	$collector->answers('accept');
	$standby->promote;
	$node = $standby;
	finish('promoted', 10);
	arrive('promoted', 10);
	arrive('replicated', 10);
	$standby->stop;
};

done_testing();
