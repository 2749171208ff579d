# What goes wrong around the receiver is told: to its clients, in
# flowmaestro.stats, in the log; and it never keeps the server from stopping.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use HTTP::Tiny;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $node = recording_node('receiver_faults', "flowmaestro.otlp_receiver_port = $port\n");
my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);
my $next_span = 0;

# Send spans and give the answer.
sub post
{
	my ($n) = @_;
	my @spans = map {
		sprintf '{"traceId":"%032x","spanId":"%016x","name":"s","startTimeUnixNano":"%d000000000","endTimeUnixNano":"%d000000000"}',
		  ++$next_span, $next_span, time(), time()
	} 1 .. $n;

	return $http->post("http://127.0.0.1:$port/v1/traces", {
			headers => { 'Content-Type' => 'application/json' },
			content => '{"resourceSpans":[{"scopeSpans":[{"spans":[' . join(',', @spans) . ']}]}]}' });
}

# Whether the receiver answers that it is well.
sub is_healthy
{
	return $http->get("http://127.0.0.1:$port/healthz")->{status} == 200;
}

# The process of the receiver.
sub worker_pid
{
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'flowmaestro_spans receiver'");
}

# The child of it that talks HTTP.
sub http_pid
{
	my $worker = worker_pid() or return '';

	return slurp_file("/proc/$worker/task/$worker/children") =~ s/\s+//gr;
}

# Have a new receiver come up, with the database's settings of now.
sub new_receiver
{
	my $before = worker_pid();

	$node->safe_psql('postgres', "SELECT pg_terminate_backend($before)");
	return wait_until(sub { my $now = worker_pid(); $now ne '' && $now ne $before && is_healthy() });
}

ok(wait_until(\&is_healthy), 'the receiver is up');

subtest 'recording is off in its database' => sub {
	$node->safe_psql('postgres', 'ALTER DATABASE postgres SET flowmaestro.enabled = off');
	ok(new_receiver(), 'a receiver takes over the setting');
	my $answer = post(3);
	is($answer->{status}, 200, 'a client has nothing to send again');
	is($answer->{content},
		'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"span rejected: recording is off (flowmaestro.enabled)"}}',
		'it is told how many spans are not taken, and why');
	is($node->safe_psql('postgres', 'SELECT recorded, dropped FROM flowmaestro.stats'), '0|3', 'they are counted');
	ok(log_lines($node, qr/WARNING:  span record dropped: recording is off \(flowmaestro.enabled\)/), 'and warned about');
	$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET flowmaestro.enabled');
	ok(new_receiver(), 'it is on again');
	is(post(2)->{content}, '{}', 'spans are taken');
	is($node->safe_psql('postgres', 'SELECT dropped FROM flowmaestro.stats'), '3', 'and not counted as dropped');
};

subtest 'its HTTP process dies while next to nothing is logged' => sub {
	$node->append_conf('postgresql.conf', 'log_min_messages = fatal');
	$node->reload;
	ok(wait_until(sub { $node->safe_psql('postgres', 'SHOW log_min_messages') eq 'fatal' }), 'nothing is logged');
	my ($worker, $child) = (worker_pid(), http_pid());
	kill 'KILL', $child;
	ok(wait_until(sub { my $now = http_pid(); $now ne '' && $now ne $child && is_healthy() }, 20), 'there is a new one')
	  or new_receiver();
	is(worker_pid(), $worker, 'of the same receiver');
	$node->append_conf('postgresql.conf', 'log_min_messages = warning');
	$node->reload;
};

subtest 'files that are none for a token' => sub {
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $closed = qr/must belong to the server's user/;

	# Set the file of the token, and give the line of the log that comes of it.
	my $set = sub {
		my ($file) = @_;
		my $before = log_size($node);
		my @lines;

		$node->append_conf('postgresql.conf', "flowmaestro.otlp_token_file = '$file'");
		$node->reload;
		wait_until(sub { @lines = log_lines($node, qr/the OTLP receiver (?:does not listen|listens)/, $before) }, 20);
		return $lines[0] // 'nothing is logged';
	};

	append_to_file("$directory/token", "secret\n");
	chmod 0644, "$directory/token";
	like($set->("$directory/token"), $closed, 'one that everybody can read is not used');
	ok(!is_healthy(), 'and nothing is served');
	$set->("$directory/none");
	chmod 0622, "$directory/token";
	like($set->("$directory/token"), $closed, 'one that everybody can write is not used');
	like($set->("$directory/none"), qr/could not be read: No such file/, 'nor one that is not there');
	like($set->($directory), qr/is not a regular file/, 'nor a directory');
	append_to_file("$directory/long", 'x' x 5000);
	chmod 0600, "$directory/long";
	like($set->("$directory/long"), qr/is larger than \d+ bytes/, 'nor one that is too large');
	append_to_file("$directory/zero", "a\0b");
	chmod 0600, "$directory/zero";
	like($set->("$directory/zero"), qr/holds a zero byte/, 'nor one with a zero byte');
	chmod 0600, "$directory/token";
	like($set->("$directory/token"), qr/ listens at/, 'a file closed to others is used');
	ok(wait_until(sub { post(1)->{status} == 401 }), 'so that requests need the token');

	POSIX::mkfifo("$directory/pipe", 0600) or die "mkfifo: $!";
	like($set->("$directory/pipe"), qr/is not a regular file/, 'a named pipe is not used');
	cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 20, 'nor does it hold up a stop');
};

done_testing();
