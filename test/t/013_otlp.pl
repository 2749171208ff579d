# Requests of OTLP: what was taken survives a crash with its resource, a full
# buffer is told and nothing of it lost, an end that lost against the span's own
# leaves nothing behind, and what a database's encoding lacks goes out again as it
# came in.  A dump takes resources and scopes along.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('otlp', "flowmaestro.buffer_size = 1MB\nflowmaestro.full_wait = 100ms\n");
my $directory = PostgreSQL::Test::Utils::tempdir();

# A request of n spans, numbered from $from on, of a service; $text is in each.
sub request
{
	my ($service, $from, $n, $text) = @_;
	my @spans = map {
		sprintf(
			'{"traceId":"019b0000000070008000000000000001","spanId":"%016x","name":"%s %d",'
			  . '"startTimeUnixNano":"1764000000000000000","endTimeUnixNano":"1764000000000000500",'
			  . '"attributes":[{"key":"text","value":{"stringValue":"%s"}}]}',
			$_, $service, $_, $text)
	} $from .. $from + $n - 1;

	return sprintf(
		'{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"%s"}}]},'
		  . '"scopeSpans":[{"scope":{"name":"lib","version":"1"},"spans":[%s]}]}]}',
		$service, join(',', @spans));
}

# Send a request; returns what it says, or the error.
sub send_request
{
	my ($database, $request) = @_;
	my ($out, $error) = ('', '');
	my $file = "$directory/request.sql";

	open(my $handle, '>:raw', $file) or die $!;
	print $handle "SELECT accepted, rejected FROM flowmaestro.ingest_otlp_json(\$json\$$request\$json\$)";
	close $handle;
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr($database), '-f', $file ], '>', \$out, '2>', \$error);
	chomp $out;
	return $out . $error;
}

# Keep the writer from the table until the returned session ends.
sub hold_writer
{
	my $script = "$directory/hold.sql";

	open(my $handle, '>', $script) or die $!;
	print $handle 'BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE MODE; SELECT pg_sleep(3600);';
	close $handle;
	my $session = start_psql($node, 'postgres', $script, "$directory/hold.out", 'hold');
	ok( wait_until(
			sub {
				$node->safe_psql('postgres',
					q(SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND granted
					  AND relation = 'flowmaestro.execution_spans'::regclass)) eq '1';
			}),
		'the writer is kept from the table');
	return $session;
}

# How many spans there are of a service, and of how many ids.
sub stored
{
	my ($service) = @_;

	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	return $node->safe_psql('postgres',
		qq(SELECT count(*), count(DISTINCT span_id) FROM flowmaestro.execution_spans
		   JOIN flowmaestro.otlp_spans USING (trace_id, span_id) WHERE service_name = '$service'));
}

subtest 'a crash' => sub {
	my $session = hold_writer();

	is(send_request('postgres', request('crashed', 1, 100, 'x')), '100|0', 'a request is taken');
	is(send_request('postgres', request('crashed', 101, 100, 'x')), '100|0', 'and another');
	is(spans($node, 'postgres'), '0', 'nothing is written yet');
	$node->stop('immediate');
	$session->kill_kill;
	$node->start;
	is(stored('crashed'), '200|200', 'after the crash all spans are there, with their resource');
	is(send_request('postgres', request('crashed', 1, 200, 'x')), '200|0', 'the client sends all again');
	is(stored('crashed'), '200|200', 'and nothing is twice');
};

subtest 'a full buffer' => sub {
	my $session = hold_writer();
	my @requests = map { request('full', 1000 + $_ * 100, 100, 'y' x 1000) } 0 .. 14;
	my ($taken, $said) = (0, '');

	while ($taken < @requests)
	{
		$said = send_request('postgres', $requests[$taken]);
		last if $said ne '100|0';
		$taken++;
	}
	cmp_ok($taken, '>', 2, 'some requests are taken');
	like($said, qr/ERROR:  could not record the spans: the span buffer is full/, 'then the buffer is full, and that is told');
	$node->safe_psql('postgres', q(SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'hold'));
	$session->finish;
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(join(',', map { send_request('postgres', $_) } @requests[ $taken .. $#requests ]),
		join(',', ('100|0') x (@requests - $taken)), 'the rest is taken when there is room');
	is(stored('full'), '1500|1500', 'all spans are there, none is twice');
	is(value($node, 'postgres', 'dropped, rejected'), '0|0', 'none was dropped');
};

# The first batch of a span stands still in a trigger, which fires for a writer
# too, until this session lets go of a lock.
subtest 'an end that comes between two copies of a span' => sub {
	my $whole = request('twice', 1, 1, 'whole');
	my $id = '019b0000-0000-7000-0000-000000000001';

	$node->safe_psql('postgres', 'TRUNCATE flowmaestro.execution_spans; TRUNCATE flowmaestro.rejected_spans');
	my $partition = $node->safe_psql('postgres', q(SELECT flowmaestro.make_partition('2025-11-24 16:00:00Z')));
	$node->safe_psql('postgres', qq(
CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	WHILE NOT pg_try_advisory_xact_lock_shared(1) LOOP PERFORM pg_sleep(0.01); END LOOP;
	RETURN NEW;
END\$\$;
CREATE TRIGGER stand_still BEFORE INSERT ON $partition FOR EACH ROW EXECUTE FUNCTION stand_still();
ALTER TABLE $partition ENABLE ALWAYS TRIGGER stand_still));
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('SELECT pg_advisory_lock(1)');
	is(send_request('postgres', $whole), '1|0', 'a span is taken');
	my $flush = $node->background_psql('postgres');
	$flush->query_until(qr/flushing/, "\\echo flushing\nSELECT flowmaestro.flush();\n");
	ok($node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'flowmaestro_spans writer' AND wait_event = 'PgSleep'"),
		'its batch is under way');
	is($node->safe_psql('postgres', "SELECT flowmaestro.end_span('$id', attributes => '{\"lost\": 1}')"), 't',
		'an end is recorded, for nobody can see the one of the batch');
	is(send_request('postgres', $whole), '1|0', 'the span is taken again');
	$holder->query_safe('SELECT pg_advisory_unlock(1)');
	$_->quit foreach $holder, $flush;
	is($node->safe_psql('postgres', "SELECT flowmaestro.flush(); SELECT name, status, attributes FROM flowmaestro.execution_spans WHERE span_id = '$id'"),
		"\ntwice 1|completed|{\"text\": \"whole\"}", 'the span has its own end, and nothing of the one that lost');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.execution_spans'), '1', 'there is one row');
	$node->safe_psql('postgres', "DROP TRIGGER stand_still ON $partition; DROP FUNCTION stand_still");
};

subtest 'encodings' => sub {
	my $text = "gr\xc3\xbc\xc3\x9fe \xe4\xb8\xad \\u0000";
	my %stored = (UTF8 => "gr\xc3\xbc\xc3\x9fe \xe4\xb8\xad \xef\xbf\xbd", LATIN1 => "gr\xc3\xbc\xc3\x9fe ? ?",
		SQL_ASCII => "gr\xc3\xbc\xc3\x9fe \xe4\xb8\xad \xef\xbf\xbd");
	my %sent;

	foreach my $encoding (sort keys %stored)
	{
		my $database = 'in_' . lc($encoding);

		$node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
		$node->safe_psql($database, 'CREATE EXTENSION flowmaestro_spans');
		# such a text comes as bytes, whatever the database's encoding is
		my $request = $node->safe_psql('postgres',
			'TRUNCATE flowmaestro.execution_spans; SELECT flowmaestro.ingest_otlp_json($json$'
			  . request("s$encoding", 1, 1, $text)
			  . q{$json$); SELECT flowmaestro.flush();
			   SELECT flowmaestro.export_otlp_protobuf('019b0000-0000-7000-8000-000000000001')});
		($request) = $request =~ /^(\\x.*)$/m;
		$node->safe_psql($database, "SELECT flowmaestro.ingest_otlp('$request'); SELECT flowmaestro.flush()");
		is($node->safe_psql($database, "SELECT encode(convert_to(attributes ->> 'text', 'UTF8'), 'hex') FROM flowmaestro.execution_spans"),
			unpack('H*', $stored{$encoding}), "$encoding: what the encoding has is stored as it is")
		  unless $encoding eq 'SQL_ASCII';
		is($node->safe_psql($database, "SELECT flowmaestro.export_otlp_protobuf('019b0000-0000-7000-8000-000000000001')"),
			$request, "$encoding: the request goes out as it came in");
	}
};

subtest 'dump and restore' => sub {
	my $told = q(SELECT (SELECT count(*) FROM flowmaestro.execution_spans JOIN flowmaestro.otlp_spans USING (trace_id, span_id)),
		(SELECT md5(string_agg(r::text, '' ORDER BY id)) FROM flowmaestro.otlp_resources AS r),
		(SELECT md5(string_agg(s::text, '' ORDER BY id)) FROM flowmaestro.otlp_scopes AS s));

	$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
	$node->command_ok([ 'pg_dump', '-Fc', '-f', "$directory/dump", $node->connstr('in_utf8') ], 'pg_dump');
	$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('restored'), "$directory/dump" ], 'pg_restore');
	is($node->safe_psql('restored', $told), $node->safe_psql('in_utf8', $told), 'resources and scopes come along');
	like($node->safe_psql('restored', $told), qr/^1\|/, 'and name the service of each span');
};

is(scalar(our_errors($node)), 0, 'the writer and the launcher logged no error') or diag(our_errors($node));
$node->stop;

done_testing();
