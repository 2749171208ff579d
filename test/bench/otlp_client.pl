# Two clients that send spans by OTLP/HTTP for some seconds, as SDKs do: batches
# of 512 in protobuf over a kept connection, again after a second when the
# server says so.  The spans' attributes, inputs and outputs come on standard
# input, one span a line, separated by tabs.  Prints the number acknowledged.

use strict;
use warnings FATAL => 'all';

use IO::Socket::INET;
use Time::HiRes qw(time);

my ($port, $seconds) = @ARGV;
my $batch = 512;
my $in_trace = 8;				# spans

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

# An attribute that is a string.
sub attribute
{
	my ($key, $value) = @_;

	return field(9, field(1, $key), field(2, field(1, $value)));
}

# A request with the spans of some lines; each "I" x 16 and "S" x 8 is where an
# id has to be put.
sub request
{
	my $spans = '';

	for (@_)
	{
		chomp(my ($attributes, $input, $output) = split /\t/);
		my %attributes = $attributes =~ /"(\w+)": "?([^",}]+)/g;
		my $now = int time();

		$spans .= field(2, field(1, 'I' x 16), field(2, 'S' x 8), field(5, 'agent run'),
			"\x39", pack('Q<', $now * 1e9), "\x41", pack('Q<', $now * 1e9 + 5e6),
			(map { attribute($_, $attributes{$_}) } sort keys %attributes),
			attribute('input.value', $input), attribute('output.value', $output));
	}
	return field(1, field(1, attribute('service.name', 'bench') =~ s/^\x4a/\x0a/r), field(2, $spans));
}

# Where the ids are in a request.
sub places
{
	my ($request) = @_;
	my @places;

	push @places, [ $-[1], $-[2] ] while $request =~ /\x0a\x10(I{16})\x12\x08(S{8})/g;
	return \@places;
}

# Put new ids into a request.
sub renew
{
	my ($request, $places) = @_;
	my $trace;
	my $n = 0;

	for (@$places)
	{
		$trace = pack 'L4', map { rand 2**32 } 1 .. 4 if $n++ % $in_trace == 0;
		substr($$request, $_->[0], 16) = $trace;
		substr($$request, $_->[1], 8) = pack 'L2', 1 + rand(2**32 - 1), rand 2**32;
	}
	return;
}

# Send a request until it is taken.
sub deliver
{
	my ($socket, $request) = @_;
	my $header = "POST /v1/traces HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-protobuf\r\n"
	  . 'Content-Length: ' . length($$request) . "\r\n\r\n";

	for (;;)
	{
		print $socket $header, $$request;
		$socket->flush;
		my $answer = '';
		until ($answer =~ /\r\n\r\n/) { sysread $socket, $answer, 4096, length $answer or die 'closed' }
		return if $answer =~ m{^HTTP/1.1 200};
		die $answer unless $answer =~ m{^HTTP/1.1 429};
		my ($length) = $answer =~ /Content-Length: (\d+)/;
		my $body = $answer =~ s/.*?\r\n\r\n//sr;
		sysread $socket, $body, 4096, length $body while length $body < $length;
		sleep 1;
	}
}

my @lines = <STDIN>;
my @requests;
push @requests, request(splice @lines, 0, $batch) while @lines >= $batch;
my @places = map { places($_) } @requests;
my @readers;
for my $client (0, 1)
{
	pipe my $read, my $write or die "pipe: $!";
	if (!(fork // die "fork: $!"))
	{
		my $socket = IO::Socket::INET->new("127.0.0.1:$port") or die "connect: $!";
		my $sent = 0;
		srand($$ ^ time());
		for (my $until = time() + $seconds; time() < $until; $sent += $batch)
		{
			my $k = int rand @requests;
			renew(\$requests[$k], $places[$k]);
			deliver($socket, \$requests[$k]);
		}
		print $write "$sent\n";
		exit;
	}
	push @readers, $read;
}
my $sum = 0;
$sum += readline $_ for @readers;
print "$sum\n";
