# The receiver of OTLP/HTTP: what clients are told.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Utils;
use Receiver;
use Test::More;
use Time::HiRes qw(time usleep);

receiving_node();

subtest 'answers' => sub {
	my $answer = post($json, json_spans('json', 3));
	is(status($answer), '200', 'JSON');
	is($answer->{body}, '{}', 'nothing to tell');
	is($answer->{headers}{'content-type'}, $json, 'in JSON');
	$answer = post($protobuf, protobuf_spans('protobuf', 3));
	is(status($answer), '200', 'protobuf');
	is($answer->{body}, '', 'nothing to tell');
	is($answer->{headers}{'content-type'}, $protobuf, 'in protobuf');
	is(count_of('json'), '3', 'spans that came as JSON are in the table');
	is(count_of('protobuf'), '3', 'those that came as protobuf as well');

	is(status(post("$json; charset=utf-8", json_spans('json', 1))), '200', 'a parameter of the type');
	is(status(post('Application/JSON', json_spans('json', 1))), '200', 'a type in capitals');
	is(status(post($protobuf, '')), '200', 'an empty request');
	is(status(post($json, '{}')), '200', 'an empty request in JSON');
	is(status(post($json, json_spans('gzip', 500), 'Content-Encoding' => 'identity')), '200', 'identity');
	is(status(post($json, gzipped(json_spans('gzip', 500)), 'Content-Encoding' => 'gzip')), '200', 'gzip');
	is(status(post($protobuf, gzipped(protobuf_spans('gzip', 400)) . gzipped(protobuf_spans('gzip', 100)),
				'Content-Encoding' => 'gzip')), '200', 'gzip in two parts');
	is(count_of('gzip'), '1500', 'all of them');
	is(status(post($json, chunked(json_spans('chunked', 10)), 'Transfer-Encoding' => 'chunked')), '200', 'in chunks');
	is(status(post($protobuf, chunked(gzipped(protobuf_spans('chunked', 10)), 7),
				'Transfer-Encoding' => 'chunked', 'Content-Encoding' => 'gzip')), '200', 'gzip in chunks');
	is(count_of('chunked'), '20', 'all of them');

	$answer = post($json, json_spans('id', 1) =~ s/"spanId":"\w+"/"spanId":"0000000000000000"/r);
	is(status($answer), '200', 'a span without an id');
	like($answer->{body}, qr/^\{"partialSuccess":\{"rejectedSpans":"1","errorMessage":".+"\}\}$/, 'is told of');
	$answer = post($protobuf, protobuf_spans('id', 1) =~ s/(\x12\x08).{8}/$1\0\0\0\0\0\0\0\0/sr);
	is(status($answer), '200', 'the same in protobuf');
	like($answer->{body}, qr/^\x0a.\x08\x01\x12./s, 'is told of');

	for my $type ($json, $protobuf)
	{
		my $message = $type eq $json ? qr/^\{"message":"[^"]+.*"\}$/ : qr/^\x12.\w/;
		my %type = ('Content-Type' => $type);

		for my $case (
			[ '400', 'what is no request', 'POST', '/v1/traces', {}, "\xff{" ],
			[ '400', 'no gzip', 'POST', '/v1/traces', { 'Content-Encoding' => 'gzip' }, '{}' ],
			[ '400', 'half of a gzip', 'POST', '/v1/traces', { 'Content-Encoding' => 'gzip' },
				substr gzipped('{}'), 0, 15 ],
			[ '404', 'another path', 'POST', '/v1/trace', {}, '{}' ],
			[ '405', 'another method', 'PUT', '/v1/traces', {}, '{}' ],
			[ '415', 'another encoding', 'POST', '/v1/traces', { 'Content-Encoding' => 'br' }, '{}' ])
		{
			my ($status, $what, $method, $path, $headers, $body) = @$case;

			$answer = ask($method, $path, { %type, %$headers }, $body);
			is(status($answer), $status, "$what, $type");
			like($answer->{body}, $message, 'a message tells');
			is($answer->{headers}{'content-type'}, $type, 'in the type of the request');
		}
	}
	is(status(post('text/plain', '{}')), '415', 'another type');
	is(status(ask('POST', '/v1/traces', {}, '{}')), '415', 'no type');
	$answer = ask('GET', '/v1/traces', {});
	is(status($answer), '405', 'GET');
	is($answer->{headers}{allow}, 'POST', 'says what is allowed');
	for my $signal ('logs', 'metrics')
	{
		$answer = ask('POST', "/v1/$signal", { 'Content-Type' => $json }, '{}');
		is(status($answer), '200', "$signal are taken");
		like($answer->{body}, qr/^\{"partialSuccess":\{"errorMessage":"only traces are stored here/, 'and not kept');
	}
	$answer = ask('GET', '/healthz', {});
	is($answer->{body}, '{"status":"ok"}', 'health');
	$answer = ask('HEAD', '/healthz', {});
	is(status($answer), '200', 'HEAD');
	is($answer->{headers}{'content-length'}, '15', 'with the length only');
	is(status(ask('POST', '/healthz', {}, '')), '405', 'health can only be read');
};

subtest 'connections' => sub {
	my $socket = connection();
	send_all($socket, request('POST', '/v1/traces', { 'Content-Type' => $json }, json_spans('kept', 1)) x 3);
	is(status(answer($socket)), '200', 'one of three at once') for 1 .. 3;
	send_all($socket, request('PUT', '/v1/traces', { 'Content-Type' => $json }, '{}'));
	is(status(answer($socket)), '405', 'a refused one');
	send_all($socket, request('POST', '/v1/traces', { 'Content-Type' => $json }, '{}'));
	is(status(answer($socket)), '200', 'leaves the connection as it was');

	$socket = connection();
	my $body = json_spans('expect', 1);
	send_all($socket, request('POST', '/v1/traces',
			{ 'Content-Type' => $json, Expect => '100-continue', 'Content-Length' => length $body }));
	is(status(answer($socket)), '100', 'who asks first may go on');
	send_all($socket, $body);
	is(status(answer($socket)), '200', 'and is served');
	$socket = connection();
	send_all($socket, request('POST', '/v1/traces',
			{ 'Content-Type' => 'text/plain', Expect => '100-continue', 'Content-Length' => 1e6 }));
	is(status(answer($socket)), '415', 'or is told before it sends');
};

subtest 'smuggling' => sub {
	my $inner = request('POST', '/v1/traces', { 'Content-Type' => $json }, json_spans('smuggled', 1));
	my $head = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: $json\r\n";

	for my $case (
		[ 'both lengths', "${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$inner" ],
		[ 'both, the other way round', "${head}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n$inner" ],
		[ 'two lengths', "${head}Content-Length: 2\r\nContent-Length: 100\r\n\r\n{}$inner" ],
		[ 'two encodings', "${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n$inner" ],
		[ 'an encoding that is not "chunked"', "${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n$inner" ],
		[ 'an encoding that hides', "${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n$inner" ],
		[ 'a blank before the colon', "${head}Content-Length : 0\r\n\r\n$inner" ],
		[ 'a negative length', "${head}Content-Length: -1\r\n\r\n$inner" ],
		[ 'a length with a sign', "${head}Content-Length: +2\r\n\r\n{}$inner" ],
		[ 'a length in hexadecimal', "${head}Content-Length: 0x2\r\n\r\n{}$inner" ],
		[ 'a list of lengths', "${head}Content-Length: 2, 2\r\n\r\n{}$inner" ],
		[ 'a chunk of a negative size', "${head}Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n$inner" ],
		[ 'a chunk too large for a number',
			"${head}Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n$inner" ],
		[ 'a chunk without its end', "${head}Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n$inner" ])
	{
		my ($what, $bytes) = @$case;
		my $socket = connection();

		send_all($socket, $bytes);
		# newer libraries say 501 to an encoding that they do not know
		like(status(answer($socket)),
			$what =~ /too large/ ? qr/^413$/ : $what =~ /^an encoding/ ? qr/^(?:400|501)$/ : qr/^400$/, $what);
		ok(is_closed($socket, 5), 'the connection is closed');
	}
	is(count_of('smuggled'), '0', 'nothing got through');
};

subtest 'limits' => sub {
	ok(set(otlp_receiver_max_body => '64kB', otlp_receiver_request_timeout => '1s'), 'limits are set by a reload');
	my $socket = connection();

	send_all($socket, request('POST', '/v1/traces', { 'Content-Type' => $json }, ' ' x 65537));
	is(status(answer($socket)), '413', 'too long');
	send_all($socket, request('POST', '/v1/traces', { 'Content-Type' => $json, 'Transfer-Encoding' => 'chunked' },
			chunked(' ' x 65537, 1000)));
	is(status(answer($socket)), '413', 'too long in chunks');
	send_all($socket, request('POST', '/v1/traces', { 'Content-Type' => $json, 'Content-Encoding' => 'gzip' },
			gzipped(' ' x 10_000_000)));
	is(status(answer($socket)), '413', 'too long when inflated');
	send_all($socket, request('POST', '/v1/traces', { 'Content-Type' => $json }, '{}' . ' ' x 65534));
	is(status(answer($socket)), '200', 'as long as can be; the connection is still the same');

	$socket = connection();
	send_all($socket, request('POST', '/v1/traces', { 'Content-Type' => $json, 'Content-Length' => 2**30 }));
	is(status(answer($socket)), '413', 'a gigabyte is refused before it comes');
	ok(is_closed($socket, 1), 'and not read');

	$socket = connection();
	send_all($socket, request('POST', '/v1/traces', { 'Content-Type' => $json, 'Transfer-Encoding' => 'chunked' }));
	my $chunks = 0;
	$chunks++ while $chunks < 10_000 && send_all($socket, "3e8\r\n" . ' ' x 1000 . "\r\n");
	cmp_ok($chunks, '<', 10_000, 'a body without an end is cut off');

	for my $case (
		[ 'the first line', 'POST /v1/traces' ],
		[ 'the header', "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json" ],
		[ 'the body', request('POST', '/v1/traces', { 'Content-Type' => $json, 'Content-Length' => 1000 }) ],
		[ 'the body in chunks',
			request('POST', '/v1/traces', { 'Content-Type' => $json, 'Transfer-Encoding' => 'chunked' }) . "ff\r\n" ])
	{
		my ($what, $bytes) = @$case;
		my $begun = time();

		$socket = connection();
		send_all($socket, $bytes);
		usleep(100_000) while time() < $begun + 5 && send_all($socket, 'x') && !is_closed($socket, 0);
		cmp_ok(time() - $begun, '<', 3, "a client that drips $what is cut off in time");
	}
	is(status(ask('POST', '/v1/traces', { 'Content-Type' => $json, 'X-Long' => 'x' x 100_000 }, '{}')), '431', 'a header that is too long');
	ok(is_healthy(), 'all is well');
};

subtest 'token' => sub {
	my $file = $node->data_dir . '/token';
	my %authorized = (Authorization => 'Bearer s3cret');

	append_to_file($file, "s3cret\n");
	chmod 0600, $file;
	ok(set(otlp_token_file => 'token'), 'a token is set by a reload');
	my $answer = post($json, '{}');
	is(status($answer), '401', 'none was sent');
	is($answer->{headers}{'www-authenticate'}, 'Bearer', 'what is asked for');
	for my $other ('', 's3cre', 's3cret2', 's3cres', 'x' x 5000)
	{
		is(status(post($json, '{}', Authorization => "Bearer $other")), '401', 'another token');
	}
	is(status(post($json, '{}', Authorization => 'Basic s3cret')), '401', 'another scheme');
	is(status(post($json, '{}', %authorized)), '200', 'the token');
	is(status(post($json, '{}', Authorization => 'bearer  s3cret')), '200', 'the scheme is not case-sensitive');
	is(status(ask('POST', '/v1/logs', { 'Content-Type' => $json }, '{}')), '401', 'logs need it, too');
	ok(is_healthy(), 'health can be seen without it');

	my $before = log_size($node);
	unlink $file;
	$node->reload;
	ok(wait_until(sub { log_lines($node, qr/the OTLP receiver does not listen: the file of flowmaestro.otlp_token_file could not be read/, $before) }),
		'the log tells that the file is gone');
	ok(!connection(), 'nobody can connect');
	append_to_file($file, "other\n");
	chmod 0600, $file;
	$node->reload;
	ok(wait_until(sub { is_healthy() && status(post($json, '{}', Authorization => 'Bearer other')) eq '200' }),
		'another token is in its place');
	is(status(post($json, '{}', %authorized)), '401', 'the first one is no longer good');

	$before = log_size($node);
	$node->append_conf('postgresql.conf',
		"flowmaestro.otlp_token_file = ''\nflowmaestro.otlp_receiver_address = '0.0.0.0'\n");
	$node->reload;
	ok(wait_until(sub { log_lines($node, qr/does not listen: flowmaestro.otlp_token_file must be set/, $before) }),
		'without a token it does not listen to other machines');
	ok(!connection(), 'nobody can connect');
	ok(set(otlp_receiver_address => '127.0.0.1'), 'but to this one');
	is($node->psql('postgres', "ALTER SYSTEM SET flowmaestro.otlp_receiver_address = 'localhost'"), 3,
		'an address is a number');
};

done_testing();
