# Hostile clients of the receiver get nowhere: memory and time are bounded, and
# others are served meanwhile.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use Receiver;
use Test::More;
use Time::HiRes qw(time usleep);

receiving_node();

# A body grows by doubling, from 16 kB on.
subtest 'memory for all bodies together' => sub {
	my $whole = json_spans('room', 1);

	ok(set(otlp_receiver_max_body => '1MB', otlp_receiver_memory => '1MB'), 'all bodies together have 1 MB');
	$whole .= ' ' x (600_000 - length $whole);
	my @halves = map { start_body($whole, 200_000) } 1 .. 2;
	for my $small ([ 'plain', json_spans('room', 1) ],
		[ 'gzip', gzipped(json_spans('room', 1)), 'Content-Encoding' => 'gzip' ])
	{
		my ($encoding, $body, @header) = @$small;
		my $largest = start_body($whole, 400_000);

		is(status(post($json, $body, @header)), '200', "a small body is taken when there is no memory left, $encoding");
		send_all($largest, substr $whole, 400_000);
		is(status(answer($largest)), '503', "the largest one that is being read gives way, $encoding");
	}
	is(status(post($json, $whole)), '503', 'a body that is the largest itself is refused');
	send_all($halves[0], substr $whole, 200_000);
	is(status(answer($halves[0])), '503', 'so is one that becomes it');
	is(status(post($json, $whole)), '503', 'and each beside one that holds a quarter');
	close $halves[1];
	is_healthy() for 1 .. 20;
	is(status(post($json, $whole)), '200', 'the same is taken when the others are gone');
	is(count_of('room'), 3, 'the spans of those that were taken are in the table');
	ok(set(otlp_receiver_memory => '256MB'), 'the default limit');
};

# From here on with the settings as they are by default.
my $bound_kb = 256 * 1024 + 1000 * 36;
my $worker = worker_pid();

subtest 'hostile bodies' => sub {
	ok(set(otlp_receiver_max_body => '64MB', otlp_receiver_request_timeout => '10s'), 'the default limits');
	my $http = http_pid();
	my $base = memory_of($http, 'VmRSS');
	my $depth = 100_000;
	my $nested = ',"attributes":[{"key":"a","value":' . '{"arrayValue":{"values":[' x $depth . '{"intValue":1}'
	  . ']}}' x $depth . '}]';
	my $answer = post($json, json_spans('deep', 1, $nested));
	is(status($answer), '400', 'JSON that is very deep is refused');
	like($answer->{body}, qr/JSON is nested deeper than 512/, 'and the answer says why');
	is(status(post($json, '[' x $depth)), '400', 'so is JSON that is deeper than it is long');
	my $value = "\x18\x01";
	$value = field(5, field(1, $value)) for 1 .. 2000;
	$answer = post($protobuf, protobuf_spans('deep', 1, field(9, field(1, 'a'), field(2, $value))));
	is(status($answer), '200', 'protobuf that is very deep is a request');
	like($answer->{body}, qr/span rejected: an attribute is nested deeper than 64/, 'whose span is not taken');
	my $many = field(9, field(1, 'a'), field(2, "\x18\x01")) x 1_000_000;
	my $gzip = gzipped(protobuf_spans('many', 1, $many));
	cmp_ok(length $gzip, '<', 100_000, 'a million attributes in a few bytes');
	my $used = cpu_of($worker);
	$answer = post($protobuf, $gzip, 'Content-Encoding' => 'gzip');
	is(status($answer), '200', 'they are a request');
	like($answer->{body}, qr/span rejected: more than 65536 values in its attributes/, 'whose span is not taken');
	cmp_ok(cpu_of($worker) - $used, '<', 0.5, "which costs little of the worker's CPU time");
	is(count_of('deep') + count_of('many'), 0, 'none of these spans is in the table');

	# what begins like a request and breaks off, with bytes changed, and what never was one
	srand 15;
	for my $type ($json, $protobuf)
	{
		my $whole = $type eq $json ? json_spans('random', 3) : protobuf_spans('random', 3);
		my @bodies;
		for (1 .. 300)
		{
			my $bytes = substr $whole, 0, rand length $whole;
			substr($bytes, rand length $bytes, 1) = chr rand 256 for 1 .. rand 4;
			push @bodies, $bytes, join '', map { chr rand 256 } 1 .. rand 300;
		}
		is(join(' ', map { status(post($type, $_)) } @bodies), join(' ', verdicts($type, @bodies)),
			"random bytes are taken or refused as in SQL, $type");
	}
	my $failed = 0;
	for (1 .. 100)
	{
		my $socket = connection();
		send_all($socket, join '', map { chr rand 256 } 1 .. rand 3000);
		send_all($socket, "\r\n\r\n");
		shutdown $socket, 1;
		is_closed($socket, 5) or $failed++;
	}
	is($failed, 0, 'so are those that are no HTTP');

	# each of these is 60 MB, of which the end does not come
	my $bomb = gzipped('[' . ' ' x 60_000_000);
	my @bombs;
	for (1 .. 20)
	{
		my $socket = connection();
		send_all($socket, request('POST', '/v1/traces',
				{ 'Content-Type' => $json, 'Content-Encoding' => 'gzip', 'Content-Length' => 1 + length $bomb }, $bomb));
		push @bombs, $socket;
	}
	cmp_ok(slowest_of_others(50), '<', 1, 'others are served while large bodies wait for their end');
	send_all($_, 'x') for @bombs;
	my %statuses;
	$statuses{ status(answer($_)) }++ for @bombs;
	is(join(',', grep { !/^(?:400|503|closed)$/ } keys %statuses), '', 'they are refused')
	  or diag(join ' ', %statuses);

	# Each of these is many seconds of work for the worker, which gives it half a
	# second of CPU time, on whatever machine, however busy that is.
	for my $case ([ $json, json_spans('slow', 300, ',"attributes":[' . join(',', ('{}') x 65_000) . ']') ],
		[ $protobuf, protobuf_spans('slow', 450, field(9) x 65_000) ])
	{
		my ($type, $slow) = @$case;
		my $request = request('POST', '/v1/traces', { 'Content-Type' => $type, 'Content-Encoding' => 'gzip' }, gzipped($slow));
		my $socket = connection();

		$used = cpu_of($worker);
		send_all($socket, $request);
		$answer = answer($socket);
		$used = cpu_of($worker) - $used;
		is(status($answer), '413', "a request that is slow is given up, $type");
		like($answer->{body}, qr/the request takes too much work/, 'and the answer says why');
		cmp_ok($used, '<', 1, 'it took little more than half a second of CPU time');

		send_all($socket, $request);
		cmp_ok(slowest_of_others(200), '<', 1e6, 'all others are served beside another of its kind');
		is(status(answer($socket)), '413', 'which is given up as well');
	}
	is_below($http, 'VmHWM', $bound_kb + $base, 'memory is bounded');
	note("the HTTP process had $base kB, and at most " . memory_of($http, 'VmHWM'));
	is(http_pid(), $http, 'it is still the same process');
	is(worker_pid(), $worker, 'and the same worker');
	is_below($worker, 'RssAnon', 100_000, 'which keeps nothing');
};

subtest 'hostile connections' => sub {
	my $http = http_pid();
	my $base = memory_of($http, 'VmRSS');
	my $header = request('POST', '/v1/traces', { 'Content-Type' => $json, 'Content-Length' => 50_000 });
	my $slowest = 0;

	for my $case ([ 'that are silent', '' ], [ 'that stop in the header', "POST /v1/traces HTTP/1.1\r\nHost" ],
		[ 'that stop in the body', $header . ' ' x 20_000 ])
	{
		my ($what, $bytes) = @$case;
		my $crowd = start_crowd(20, 500, $bytes);

		$slowest = 0;
		until ($crowd->{is_complete}->())
		{
			my $took = slowest_of_others(1);
			$slowest = $took if $took > $slowest;
		}
		cmp_ok($slowest, '<', 1, "others are served while 10,000 clients come $what");
		cmp_ok(slowest_of_others(20), '<', 1, 'and when they are there');
		$crowd->{end}->();
		is($crowd->{count}->(), 10_000, 'so many came');
	}
	my @sockets = map { connection() } 1 .. 300;
	send_all($_, $header) for @sockets;
	$slowest = 0;
	for my $round (1 .. 20)
	{
		send_all($_, 'x') for @sockets;
		my $took = slowest_of_others(1);
		$slowest = $took if $took > $slowest;
		usleep(50_000);
	}
	cmp_ok($slowest, '<', 1, 'others are served while 300 clients drip');
	@sockets = ();
	is_below($http, 'VmHWM', $bound_kb + $base, 'memory is bounded');
	note("the HTTP process had $base kB, and at most " . memory_of($http, 'VmHWM'));
	is(http_pid(), $http, 'it is still the same process');
	is(worker_pid(), $worker, 'and the same worker');
};

done_testing();
