# A pooler in transaction mode gives one server connection to many clients by
# turns.  Fifty clients make 10,000 requests over two connections, with rollback,
# savepoints, errors and DISCARD ALL in between: no id of a request may appear in
# a span or a line of the log that is another's.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use Digest::MD5 'md5_hex';
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $clients = 50;
my $requests = 10_000;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;

my $node = recording_node(
	'pooled', q(
flowmaestro.log_format = json
log_min_messages = log
log_min_error_statement = error
));
my $directory = PostgreSQL::Test::Utils::tempdir;
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $pooler;

# Start the pooler on a socket of its own, with two connections to the server.
sub start_pooler
{
	my $user = $node->safe_psql('postgres', 'SELECT current_user');

	append_to_file("$directory/users", qq("$user" ""\n));
	append_to_file(
		"$directory/pgbouncer.ini", qq([databases]
postgres = host=@{[ $node->host ]} port=@{[ $node->port ]} dbname=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = $directory
listen_port = $port
auth_type = trust
auth_file = $directory/users
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
logfile = $directory/pgbouncer.log
pidfile = $directory/pgbouncer.pid
));
	$ENV{PGHOST} = $directory;
	$ENV{PGPORT} = $port;
	$ENV{PGUSER} = $user;
	$pooler = IPC::Run::start([ $pgbouncer, '-q', "$directory/pgbouncer.ini" ],
		'<', '/dev/null', '>', "$directory/out", '2>&1');
	return wait_until(sub { system("psql -XAtqc 'SELECT 1' postgres >/dev/null 2>&1") == 0 }, 20);
}

# The pooler ends with the test, whatever that came to.
END
{
	my $status = $?;

	$pooler->kill_kill if $pooler;
	$? = $status;
}

# What every statement of a request can do: a span that tells whose it is, and
# a line of the log that does.
sub trace_work
{
	my ($r) = @_;

	return qq(SELECT FROM flowmaestro.create_span('span $r', 'agent_run');
SELECT flowmaestro.log('info', 'line $r');
);
}

# Take the context of a request.
sub use_context
{
	my ($r) = @_;

	return "SELECT flowmaestro.use_request_context(flowmaestro.create_request_context("
	  . "'user-$r', md5('$r'), 'request-$r', 'session-$r'));\n";
}

# A statement outside of any request: its span and its line have no ids.
my $bare =
  "SELECT FROM flowmaestro.create_span('bare', 'agent_run');\nSELECT flowmaestro.log('info', 'bare');\n";

# The shapes of requests; each gets its number, which no other has.
my @shapes = (
	# all goes well, and spans nest
	sub {
		my ($r) = @_;
		return "BEGIN;\n" . use_context($r)
		  . "SELECT FROM flowmaestro.enter_span('outer $r', 'agent_run');\n"
		  . trace_work($r)
		  . "SELECT flowmaestro.request_context_set('k', '$r');\n"
		  . "SELECT flowmaestro.log('info', 'line ' || (flowmaestro.request_context_get('k') #>> '{}'));\n"
		  . "SELECT flowmaestro.leave_span();\nCOMMIT;\n$bare";
	},
	# rolled back, with a span entered
	sub {
		my ($r) = @_;
		return "BEGIN;\n" . use_context($r)
		  . "SELECT FROM flowmaestro.enter_span('outer $r', 'agent_run');\n"
		  . trace_work($r) . "ROLLBACK;\n$bare";
	},
	# another context within a savepoint, taken back
	sub {
		my ($r) = @_;
		return "BEGIN;\n" . use_context($r)
		  . "SAVEPOINT s;\n" . use_context("$r.1") . trace_work("$r.1")
		  . "ROLLBACK TO s;\n" . trace_work($r)
		  . "SAVEPOINT s;\n" . use_context("$r.2") . trace_work("$r.2")
		  . "RELEASE s;\nCOMMIT;\n$bare";
	},
	# an error in the middle, and the client gives up
	sub {
		my ($r) = @_;
		return "BEGIN;\n" . use_context($r) . trace_work($r)
		  . "SELECT 'error of $r'::int;\n"
		  . trace_work("$r, in vain")
		  . "COMMIT;\n$bare";
	},
	# an error that a block takes care of; statements without a transaction
	sub {
		my ($r) = @_;
		return "DO \$\$ BEGIN\nPERFORM flowmaestro.use_request_context(flowmaestro.create_request_context("
		  . "'user-$r', md5('$r'), 'request-$r', 'session-$r'));\n"
		  . "PERFORM flowmaestro.enter_span('outer $r', 'agent_run');\n"
		  . "BEGIN PERFORM flowmaestro.enter_span('inner $r', 'agent_run'); PERFORM 1 / 0;\n"
		  . "EXCEPTION WHEN division_by_zero THEN PERFORM flowmaestro.log('info', 'line $r'); END;\n"
		  . "END \$\$;\n$bare";
	},
	# all that a session has is thrown away
	sub {
		my ($r) = @_;
		return "BEGIN;\n" . use_context($r) . trace_work($r)
		  . "COMMIT;\nDISCARD ALL;\n$bare";
	},
	# a client that traces, and says so in a comment
	sub {
		my ($r) = @_;
		return "SELECT FROM flowmaestro.create_span('client $r', 'agent_run') /*traceparent='00-"
		  . md5_hex($r) . "-00f067aa0ba902b7-01'*/;\n$bare";
	},);

# The statements of a client: its share of the requests, each of a random shape.
sub script
{
	my ($client) = @_;
	my $sql = "\\set ON_ERROR_STOP 0\n";

	for (my $r = $client; $r < $requests; $r += $clients)
	{
		$sql .= $shapes[ int(rand(@shapes)) ]->($r);
	}
	append_to_file("$directory/client-$client.sql", $sql);
	return "$directory/client-$client.sql";
}

# Whether a row or a line has just the ids of the request that it is of.  Traces
# of requests are the MD5 of their numbers.
my $wrong_spans = q{
SELECT count(*) FROM (
    SELECT substring(name FROM '^(?:span|outer|inner) ([0-9.]+)$') AS r, *
    FROM flowmaestro.execution_spans) AS s
WHERE CASE WHEN name = 'bare' THEN
        attributes <> '{}' OR parent_span_id IS NOT NULL OR trace_id IN (SELECT md5(i::text)::uuid FROM generate_series(0, %d) AS i)
    WHEN name LIKE 'client %%' THEN
        attributes <> '{}' OR trace_id <> md5(substr(name, 8))::uuid
        OR parent_span_id <> (left(md5(substr(name, 8)), 16) || '00f067aa0ba902b7')::uuid
    ELSE
        r IS NULL OR trace_id <> md5(r)::uuid
        OR attributes <> jsonb_build_object('userId', 'user-' || r, 'requestId', 'request-' || r, 'sessionId', 'session-' || r)
        OR EXISTS (SELECT FROM flowmaestro.execution_spans AS p WHERE p.span_id = s.parent_span_id AND p.trace_id <> s.trace_id)
    END};

# Count the lines of the log about requests, and those with the ids of another.
sub check_log
{
	my ($lines, $wrong) = (0, 0);

	open my $log, '<', $node->logfile or die "could not open the log: $!";
	while (my $line = <$log>)
	{
		next unless $line =~ /"(?:bare|line [0-9.]+)"|error of [0-9]/;
		my $fields = JSON::PP::decode_json($line);
		my ($r) = $fields->{msg} =~ /^line ([0-9.]+)$/;
		($r) = $fields->{msg} =~ /error of ([0-9]+)/ unless defined $r;
		my @ids = map { $_ // '' } @$fields{qw(userId requestId sessionId)};

		$lines++;
		next if "@ids" eq (defined $r ? "user-$r request-$r session-$r" : '  ')
			  && defined $fields->{traceId} == defined $r;
		$wrong++;
		diag($line) if $wrong <= 5;
	}
	close $log;
	return ($lines, $wrong);
}

ok(start_pooler(), 'the pooler answers') or die slurp_file("$directory/pgbouncer.log");

my @running;
foreach my $client (0 .. $clients - 1)
{
	my $file = script($client);

	push @running,
	  IPC::Run::start([ 'psql', '-XAtq', '-f', $file, 'postgres' ],
		'<', '/dev/null', '>', '/dev/null', '2>', "$directory/client-$client.err");
}
$_->finish foreach @running;

# every error is one that a request makes
my $unexpected = 0;
foreach my $client (0 .. $clients - 1)
{
	foreach my $line (split /\n/, slurp_file("$directory/client-$client.err"))
	{
		next if $line =~ /invalid input syntax for type integer: "error of|current transaction is aborted|^LINE 1:|^ *\^/;
		diag($line) if ++$unexpected <= 5;
	}
}
is($unexpected, 0, 'no error but those that the requests make');

$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
is($node->safe_psql('postgres', sprintf($wrong_spans, $requests)),
	'0', 'every span has the ids of its own request, and no other');
is( $node->safe_psql(
		'postgres',
		"SELECT count(DISTINCT substring(name FROM ' ([0-9]+)')), count(*) FILTER (WHERE name = 'bare') FROM flowmaestro.execution_spans"
	),
	"$requests|$requests",
	'every request has left a span, and so has every statement after one');
is( $node->safe_psql(
		'postgres',
		"SELECT count(*) FROM flowmaestro.execution_spans WHERE (name LIKE 'outer%' OR name LIKE 'inner%') AND status = 'started'"
	),
	'0', 'no span that was entered still runs');
cmp_ok(
	$node->safe_psql('postgres', "SELECT count(DISTINCT pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"),
	'<=', 3, 'two connections did it');
my ($lines, $wrong) = check_log();
cmp_ok($lines, '>', 2 * $requests, 'every request is in the log');
is($wrong, 0, 'every line has the ids of its own request, and no other');

$node->stop;
done_testing();
