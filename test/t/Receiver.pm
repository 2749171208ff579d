# The receiver of a server as its clients see it: connections, requests, answers,
# bodies, and the two processes behind it.
package Receiver;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use FmsTest;
use IO::Compress::Gzip qw(gzip);
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(
  $node $port $json $protobuf receiving_node
  connection send_all answer is_closed request ask post status gzipped chunked field
  json_spans protobuf_spans verdicts count_of worker_pid http_pid is_healthy set memory_of cpu_of
  slowest_of_others start_crowd start_body is_below
);

our ($node, $port);
our $json = 'application/json';
our $protobuf = 'application/x-protobuf';
my $next_span = 0;

# A started server whose receiver listens to $port, in $node.
sub receiving_node
{
	$port = PostgreSQL::Test::Cluster::get_free_port();
	$node = recording_node('receiver',
		"restart_after_crash = on\nflowmaestro.otlp_receiver_port = $port\n", allows_streaming => 1);
	$SIG{PIPE} = 'IGNORE';
	ok(wait_until(\&is_healthy), 'the receiver is up');
	return;
}

# A connection to the receiver.
sub connection
{
	my ($to) = @_;

	return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $to // $port, Timeout => 10);
}

# Send all of some bytes; false if the other side does not want them.
sub send_all
{
	my ($socket, $bytes) = @_;

	for (my $sent = 0; $sent < length $bytes;)
	{
		my $n = syswrite $socket, $bytes, 65536, $sent;
		return 0 unless $n;
		$sent += $n;
	}
	return 1;
}

# Read an answer: {status, headers, body}, or undef if the connection is closed
# or nothing comes for some seconds.  What comes after it is kept.
sub answer
{
	my ($socket, $is_head) = @_;
	my $select = IO::Select->new($socket);
	my $read = delete ${*$socket}{rest} // '';
	my %answer;

	until ($read =~ /\r\n\r\n/)
	{
		return undef unless $select->can_read(15) && sysread $socket, $read, 65536, length $read;
	}
	my ($head, $body) = split /\r\n\r\n/, $read, 2;
	my ($first, @headers) = split /\r\n/, $head;
	($answer{status}) = $first =~ m{^HTTP/1.1 (\d+)};
	$answer{headers} = { map { /^([^:]+): (.*)$/ ? (lc $1 => $2) : () } @headers };
	my $length = $is_head ? 0 : $answer{headers}{'content-length'} // 0;
	while (length $body < $length)
	{
		return undef unless $select->can_read(15) && sysread $socket, $body, 65536, length $body;
	}
	${*$socket}{rest} = substr $body, $length, length $body, '';
	$answer{body} = $body;
	return \%answer;
}

# Whether the other side closes a connection within some seconds.
sub is_closed
{
	my ($socket, $seconds) = @_;
	my $select = IO::Select->new($socket);
	my $until = time() + $seconds;

	while ((my $left = $until - time()) > 0)
	{
		next unless $select->can_read($left);
		return 1 unless sysread $socket, my $ignored, 65536;
	}
	return 0;
}

# A request as bytes.
sub request
{
	my ($method, $path, $headers, $body) = @_;
	my %headers = (
		Host => 'localhost',
		(defined $body && !exists $headers->{'Transfer-Encoding'} ? ('Content-Length' => length $body) : ()),
		%$headers);

	return "$method $path HTTP/1.1\r\n"
	  . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers) . "\r\n" . ($body // '');
}

# One request on a connection of its own, and its answer.
sub ask
{
	my ($method, $path, $headers, $body) = @_;
	my $socket = connection() or return undef;

	send_all($socket, request($method, $path, $headers, $body));
	return answer($socket, $method eq 'HEAD');
}

# POST to /v1/traces as a type.
sub post
{
	my ($type, $body, %headers) = @_;

	return ask('POST', '/v1/traces', { 'Content-Type' => $type, %headers }, $body);
}

# The status of an answer, or "closed".
sub status
{
	my ($answer) = @_;

	return defined $answer ? $answer->{status} : 'closed';
}

# What is compressed.
sub gzipped
{
	my ($text) = @_;

	gzip \$text => \my $gzip or die 'gzip';
	return $gzip;
}

# Bytes as a body in chunks of a size.
sub chunked
{
	my ($bytes, $size) = @_;
	my $chunks = '';

	while (length $bytes)
	{
		my $chunk = substr $bytes, 0, $size // 100, '';
		$chunks .= sprintf("%x\r\n", length $chunk) . "$chunk\r\n";
	}
	return "${chunks}0\r\n\r\n";
}

# A field of protobuf that holds bytes.
sub field
{
	my ($number, @parts) = @_;
	my $bytes = join '', @parts;
	my $length = length $bytes;
	my $head = pack 'C', $number << 3 | 2;

	for (; $length >= 128; $length >>= 7) { $head .= pack 'C', $length & 127 | 128 }
	return $head . pack('C', $length) . $bytes;
}

# Export requests with spans of a name, each with ids of its own.
sub json_spans
{
	my ($name, $n, $more) = @_;
	my @spans = map {
		sprintf '{"traceId":"%032x","spanId":"%016x","name":"%s","kind":1,'
		  . '"startTimeUnixNano":"%d000000000","endTimeUnixNano":"%d500000000"%s}',
		  ++$next_span, $next_span, $name, time(), time(), $more // ''
	} 1 .. $n;

	return '{"resourceSpans":[{"scopeSpans":[{"spans":[' . join(',', @spans) . ']}]}]}';
}

sub protobuf_spans
{
	my ($name, $n, $more) = @_;
	my @spans = map {
		field(2, field(1, pack 'Q>Q>', 1, ++$next_span), field(2, pack 'Q>', $next_span),
			field(5, $name), "\x39", pack('Q<', 1e9 * int time()),
			"\x41", pack('Q<', 1e9 * int time() + 5e8), $more // '')
	} 1 .. $n;

	return field(1, field(2, @spans));
}

# What ingest_otlp() says to some bodies: 200 to those that it takes, 400 to the
# others.  None of JSON that breaks off is taken, whatever bytes are in it.
sub verdicts
{
	my ($type, @bodies) = @_;

	return map { 400 } @bodies if $type eq $json;
	my $list = join ',', map { unpack 'H*', $_ } @bodies;
	return split /\n/, $node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION pg_temp.verdict(body bytea) RETURNS int LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM flowmaestro.ingest_otlp(body);
	RETURN 200;
EXCEPTION WHEN invalid_parameter_value THEN
	RETURN 400;
END\$\$;
SELECT pg_temp.verdict(decode(body, 'hex')) FROM unnest(string_to_array('$list', ',')) WITH ORDINALITY AS b (body, n) ORDER BY n;
SQL
}

# How many spans of a name are in the table.
sub count_of
{
	my ($name) = @_;

	return $node->safe_psql('postgres',
		"SELECT flowmaestro.flush(); SELECT count(*) FROM flowmaestro.execution_spans WHERE name = '$name'")
	  =~ s/^\s+//r;
}

# The processes of the receiver: the worker's, and its child's.
sub worker_pid
{
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'flowmaestro_spans receiver'");
}

sub http_pid
{
	my $worker = worker_pid() or return '';

	return slurp_file("/proc/$worker/task/$worker/children") =~ s/\s+//gr;
}

# Whether the receiver answers that it is well.
sub is_healthy
{
	return status(ask('GET', '/healthz', {})) eq '200';
}

# Change settings as an administrator would, and wait until they are in force.
sub set
{
	my (%settings) = @_;
	my $before = http_pid();

	$node->append_conf('postgresql.conf',
		join '', map { "flowmaestro.$_ = '$settings{$_}'\n" } sort keys %settings);
	$node->reload;
	return wait_until(sub { my $now = http_pid(); $now ne '' && $now ne $before && is_healthy() });
}

# A field of a process's status, in kB.
sub memory_of
{
	my ($pid, $field) = @_;
	my ($kilobytes) = slurp_file("/proc/$pid/status") =~ /^$field:\s+(\d+) kB/m;

	return $kilobytes;
}

# How much CPU time a process has used, in seconds.
sub cpu_of
{
	my ($pid) = @_;
	my ($user, $system) = (split ' ', slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr)[ 11, 12 ];

	return ($user + $system) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# What ordinary clients meet while something else goes on: the slowest of some
# requests, in seconds; a large number if one fails.  A client whose connection
# is closed tries again once, as they do.
sub slowest_of_others
{
	my ($n) = @_;
	my $slowest = 0;

	for (1 .. $n)
	{
		my $took = seconds_of(sub {
				my $body = json_spans('other', 1);
				status(post($json, $body) // post($json, $body)) eq '200' or $slowest = 1e6;
			});
		$slowest = $took if $took > $slowest;
	}
	return $slowest;
}

# A crowd of processes that each open some connections, send something on each,
# and keep them.
sub start_crowd
{
	my ($processes, $connections, $bytes) = @_;
	my (@pids, @pipes, @counts);

	for (1 .. $processes)
	{
		pipe my $read, my $write;
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			my @sockets;
			while (@sockets < $connections && (my $socket = connection()))
			{
				send_all($socket, $bytes);
				push @sockets, $socket;
			}
			syswrite $write, @sockets . "\n";
			sleep 60;
			POSIX::_exit(0);
		}
		push @pids, $pid;
		push @pipes, $read;
	}
	return {
		is_complete => sub {
			for my $n (grep { !defined $counts[$_] && IO::Select->new($pipes[$_])->can_read(0) } 0 .. $#pipes)
			{
				sysread $pipes[$n], $counts[$n], 100;
			}
			return (grep { defined } @counts) == @pids;
		},
		end => sub { kill 'KILL', @pids; waitpid $_, 0 for @pids },
		count => sub { my $sum = 0; $sum += $_ // 0 for @counts; return $sum },
	};
}

# A client that has sent a part of a body, of which the receiver has read all.
sub start_body
{
	my ($whole, $bytes) = @_;
	my $socket = connection();

	send_all($socket, request('POST', '/v1/traces',
			{ 'Content-Type' => $json, 'Content-Length' => length $whole }, substr $whole, 0, $bytes));
	is_healthy() for 1 .. 20;
	return $socket;
}

# Test that a process takes less memory than so many kB.
sub is_below
{
	my ($pid, $what, $limit, $name) = @_;

  SKIP:
	{
		skip('a sanitizer keeps what was freed', 1) if memory_of($pid, 'VmSize') > 2**30;
		cmp_ok(memory_of($pid, $what), '<', $limit, $name);
	}
	return;
}

1;
