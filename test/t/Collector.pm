# A collector that speaks OTLP/HTTP as far as the tests of the exporter need it:
# it decodes what it gets, remembers the spans that it acknowledged, and answers
# as it is told.
package Collector;

use strict;
use warnings FATAL => 'all';

use Compress::Zlib ();
use IO::Socket::INET;
use POSIX ();
use Socket qw(MSG_DONTWAIT MSG_PEEK);
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

# A collector on a port of its own, or on the port given.
sub new
{
	my ($class, $port) = @_;
	my $self = bless {
		directory => PostgreSQL::Test::Utils::tempdir(),
		socket => IO::Socket::INET->new(
			LocalAddr => '127.0.0.1', LocalPort => $port // 0, Proto => 'tcp', Listen => 64, ReuseAddr => 1)
		  || die "could not listen: $@",
	}, $class;

	$self->{port} = $self->{socket}->sockport;
	$self->answers('accept');
	$self->start;
	return $self;
}

sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}" }

# How to answer from now on; see respond().
sub answers
{
	my ($self, $mode) = @_;
	my $new = "$self->{directory}/mode.new";

	open my $file, '>', $new or die $!;
	print $file $mode;
	close $file;
	rename $new, "$self->{directory}/mode" or die $!;
	return;
}

sub start
{
	my ($self) = @_;

	$self->{socket} ||= IO::Socket::INET->new(
		LocalAddr => '127.0.0.1', LocalPort => $self->{port}, Proto => 'tcp', Listen => 64, ReuseAddr => 1)
	  || die "could not listen: $@";
	$self->{pid} = fork() // die "could not fork: $!";
	if ($self->{pid} == 0)
	{
		setpgrp;
		eval { $self->serve };
		POSIX::_exit(0);
	}
	close delete $self->{socket};
	return;
}

# What was acknowledged is remembered; connections are cut.
sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;
	my $status = $?;

	# its process group is its own, and it makes it first
	kill 'KILL', -$pid or kill 'KILL', $pid;
	waitpid $pid, 0;
	$? = $status;
	return;
}

sub DESTROY { my ($self) = @_; $self->stop; return }

# The lines of a record, requests or spans, that have been written to their end.
sub record
{
	my ($self, $what) = @_;
	my $path = "$self->{directory}/$what";

	return () unless -e $path;
	return slurp_file($path) =~ /(.*)\n/g;
}

# How often each span, by its id in hex, was acknowledged.
sub spans
{
	my ($self) = @_;
	my %count;

	$count{ (split / /, $_, 3)[0] }++ foreach $self->record('spans');
	return \%count;
}

# How many spans of a name were acknowledged, counting repetitions.
sub named
{
	my ($self, $name) = @_;

	return scalar grep { (split / /, $_, 2)[1] eq $name } $self->record('spans');
}

# The requests: hashes with method, path, headers, spans, status and time.
sub requests
{
	my ($self) = @_;

	return map {
		my ($time, $spans, $status, $method, $path, $headers) = split /\t/;
		my %headers = map { split /: /, $_, 2 } split /\|/, $headers // '';
		{ time => $time, spans => $spans, status => $status, method => $method, path => $path, headers => \%headers };
	} $self->record('requests');
}

sub note
{
	my ($self, $what, @lines) = @_;

	open my $file, '>>', "$self->{directory}/$what" or die $!;
	# one write, so that lines of several processes stay whole
	syswrite $file, join('', map { "$_\n" } @lines);
	close $file;
	return;
}

sub serve
{
	my ($self) = @_;

	local $SIG{CHLD} = 'IGNORE';
	while (1)
	{
		my $client = $self->{socket}->accept or next;
		next if fork();
		close $self->{socket};
		eval { 1 while $self->serve_request($client); 1 } or $self->note('errors', $@);
		POSIX::_exit(0);
	}
	return;
}

# The fields of a protobuf message: [number, value] pairs.
sub fields
{
	my ($bytes) = @_;
	my @fields;
	my $at = 0;
	my $varint = sub {
		my ($value, $shift) = (0, 0);
		while (1)
		{
			die 'truncated' if $at >= length $bytes;
			my $byte = ord substr $bytes, $at++, 1;
			$value |= ($byte & 0x7f) << $shift;
			return $value if $byte < 0x80;
			$shift += 7;
		}
	};

	while ($at < length $bytes)
	{
		my $key = $varint->();
		my $type = $key & 7;
		my $length = $type == 1 ? 8 : $type == 5 ? 4 : $type == 2 ? $varint->() : undef;
		die 'wire type' if !defined $length && $type != 0;
		push @fields, [ $key >> 3, defined $length ? substr($bytes, $at, $length) : $varint->() ];
		$at += $length // 0;
		die 'truncated' if $at > length $bytes;
	}
	return @fields;
}

# The messages in a field of a message.
sub messages
{
	my ($bytes, $number) = @_;

	return map { $_->[1] } grep { $_->[0] == $number } fields($bytes);
}

# The spans of a request: "id name" each.
sub spans_of
{
	my ($body) = @_;
	my @spans;

	foreach my $span (map { messages($_, 2) } map { messages($_, 2) } messages($body, 1))
	{
		my %field = map { $_->[0] => $_->[1] } fields($span);
		push @spans, unpack('H*', $field{1} . $field{2}) . " $field{5}";
	}
	return @spans;
}

sub serve_request
{
	my ($self, $client) = @_;
	my $data = '';
	my $status = 0;

	while ($data !~ /\r\n\r\n/)
	{
		sysread($client, $data, 65536, length $data) or return 0;
	}
	my ($head, $body) = split /\r\n\r\n/, $data, 2;
	my ($request, @headers) = split /\r\n/, $head;
	my ($method, $path) = split / /, $request;
	my %header = map { my ($name, $value) = split /: */, $_, 2; (lc $name => $value) } @headers;
	while (length $body < $header{'content-length'})
	{
		sysread($client, $body, 65536, length $body) or return 0;
	}
	my @spans = spans_of(Compress::Zlib::memGunzip($body));
	$self->respond(
		$client,
		\@spans,
		sub {
			$self->note('requests', join "\t", time(), scalar(@spans), $_[0], $method, $path,
				join '|', map { "$_: $header{$_}" } sort keys %header);
		});
	return 1;
}

sub send_answer
{
	my ($client, $status, $body, @headers) = @_;
	my $answer = join "\r\n", "HTTP/1.1 $status Told", 'Content-Type: application/x-protobuf',
	  'Content-Length: ' . length $body, @headers, '', $body;

	syswrite $client, $answer;
	return;
}

# Whether a client has closed its connection.  It would never learn that its spans
# were acknowledged, so they are not: a server that is killed with a request under
# way sends them again.
sub is_gone
{
	my ($client) = @_;
	my $sender = recv $client, my $byte, 1, MSG_PEEK | MSG_DONTWAIT;

	return defined $sender ? $byte eq '' : !$!{EAGAIN};
}

# A protobuf field of bytes that are shorter than 128.
sub bytes_field { my ($number, $bytes) = @_; return chr($number << 3 | 2) . chr(length $bytes) . $bytes }

sub failure
{
	my ($client, $status, $message, @headers) = @_;

	send_answer($client, $status, bytes_field(2, $message), @headers);
	return;
}

sub respond
{
	my ($self, $client, $spans, $note) = @_;
	my ($mode, @arg) = split / /, slurp_file("$self->{directory}/mode");
	my $accept = sub {
		return if is_gone($client);
		$note->(200);
		$self->note('spans', @$spans);
		send_answer($client, 200, $_[0] // '');
	};

	if ($mode eq 'status') { $note->($arg[0]); failure($client, $arg[0], 'told to', @arg[ 1 .. $#arg ] ? join(' ', @arg[ 1 .. $#arg ]) : ()) }
	elsif ($mode eq 'partial') { $accept->(bytes_field(1, "\x08" . chr($arg[0]) . bytes_field(2, 'some left out'))) }
	elsif ($mode eq 'poison')
	{
		if (grep { (split / /, $_, 2)[1] eq $arg[1] } @$spans) { $note->($arg[0]); failure($client, $arg[0], 'poison') }
		else { $accept->() }
	}
	elsif ($mode eq 'most')
	{
		if (@$spans > $arg[0]) { $note->(413); failure($client, 413, 'too many') }
		else { $accept->() }
	}
	elsif ($mode eq 'slow') { sleep $arg[0]; $accept->() }
	elsif ($mode eq 'hang') { $note->(0); sleep 3600 }
	elsif ($mode eq 'close') { $note->(0); shutdown $client, 2 }
	elsif ($mode eq 'half') { $note->(0); syswrite $client, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"; shutdown $client, 2 }
	elsif ($mode eq 'drip')
	{
		$note->(0);
		foreach (split //, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") { syswrite $client, $_; sleep 1 }
	}
	elsif ($mode eq 'garbage') { $note->(0); syswrite $client, "\0\xff" x 1000; shutdown $client, 2 }
	elsif ($mode eq 'huge')
	{
		$note->(200);
		$self->note('spans', @$spans);
		syswrite $client, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
		1 while defined syswrite $client, 'x' x 65536;
	}
	else { $accept->() }
	return;
}

1;
