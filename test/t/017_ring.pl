# What happens to a buffer file: bits are flipped in it while the server is down
# and while it runs, and it is deleted or cut off.  A damaged record is lost alone
# and counted, and no other is; a file that is gone is made anew.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $header_bytes = 4096;

my $node = recording_node('ring', "flowmaestro.buffer_size = 2MB\nflowmaestro.max_payload = 64kB\n");

# A session that keeps the writer from the table until it quits.
sub hold
{
	my $session = $node->background_psql('postgres', on_error_stop => 1);

	$session->query_safe('BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE MODE');
	return $session;
}

# Record n spans, each with a name of its own.
sub record_numbered
{
	my ($prefix, $n) = @_;

	is( $node->safe_psql('postgres',
			"SELECT count(flowmaestro.create_span('$prefix ' || i || '.', 'agent_run')) FROM generate_series(1, $n) AS i"),
		$n, "$n calls return");
	return;
}

# The numbers of those spans that are not in the table.
sub missing
{
	my ($prefix, $n) = @_;

	return $node->safe_psql('postgres', qq(
SELECT string_agg(i::text, ' ' ORDER BY i) FROM generate_series(1, $n) AS i
WHERE NOT EXISTS (SELECT FROM flowmaestro.execution_spans AS s WHERE s.name = '$prefix ' || i || '.')));
}

# The path of the buffer file.
sub ring_path
{
	my ($file) = ring_files($node);

	return $node->data_dir . "/flowmaestro_spans/$file";
}

# Flip one bit at each of these places of the buffer file.
sub flip
{
	my (@places) = @_;

	open(my $file, '+<:raw', ring_path()) or die "could not open the buffer file: $!";
	foreach my $place (@places)
	{
		my $byte;

		sysseek($file, $place, 0);
		sysread($file, $byte, 1);
		sysseek($file, $place, 0);
		syswrite($file, chr(ord($byte) ^ (1 << int(rand(8)))));
	}
	close($file);
	return;
}

# Where the buffer file has a text.
sub place_of
{
	my ($text) = @_;
	my $place = rindex(slurp_file(ring_path()), $text);

	ok($place > 0, "the buffer file has $text");
	return $place;
}

# Flush, and check that so many records were lost, and that this was said.
sub lost_exactly
{
	my ($damaged, $before, $log) = @_;

	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(value($node, 'postgres', "damaged - $before"), $damaged, 'the damaged records are counted');
	is(value($node, 'postgres', 'dropped = damaged'), 't', 'they count as dropped, and nothing else does');
	is(value($node, 'postgres', 'recorded = flushed AND pending = 0'), 't', 'nothing else waits');
	my @lines = log_lines($node, qr/span buffer file is damaged/, $log);
	is(scalar(@lines), $damaged > 0 ? 1 : 0, 'the log says it once');
	like($lines[0], qr/: $damaged records are lost/, 'with the number of records') if $damaged > 0;
	return;
}

record($node, 'postgres', 10, 'first');
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');

subtest 'a flipped bit in a record, while the server is down' => sub {
	my $holder = hold();

	record_numbered('down', 1000);
	$node->stop('immediate');
	$holder->{run}->finish;
	flip(place_of('down 500.') + 2);

	my $log = log_size($node);
	$node->start;
	lost_exactly(1, 0, $log);
	is(missing('down', 1000), '500', 'the damaged record is lost alone');
	is( $node->safe_psql('postgres',
			"SELECT count(*) FROM flowmaestro.active_spans WHERE name LIKE 'down %'"),
		'999', 'the other spans run');
};

subtest 'a flipped bit in a record, while the server runs' => sub {
	my $holder = hold();
	my $before = value($node, 'postgres', 'damaged');

	record_numbered('up', 1000);
	flip(place_of('up 500.') + 2, place_of('up 1000.') + 2);

	my $log = log_size($node);
	$holder->quit;
	lost_exactly(2, $before, $log);
	is(missing('up', 1000), '500 1000', 'the damaged records are lost alone');

	record_numbered('after', 100);
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(missing('after', 100), '', 'what comes after is written');
};

subtest 'flipped bits in a half of the header' => sub {
	my $holder = hold();

	record_numbered('header', 100);
	$node->stop('immediate');
	$holder->{run}->finish;
	flip(0, 100, $header_bytes / 2 - 1);

	my $log = log_size($node);
	$node->start;
	lost_exactly(0, 0, $log);
	is(missing('header', 100), '', 'one half of the header is enough');
};

subtest 'flips at 1,000 random places' => sub {
	my $holder = hold();

	record_numbered('random', 3000);
	$node->stop('immediate');
	$holder->{run}->finish;
	# each flip at a place of its own: two at the same one may undo each other
	my %places;
	$places{ $header_bytes + int(rand(2 * 1024 * 1024)) } = 1 while keys %places < 1000;
	flip(keys %places);

	my $log = log_size($node);
	$node->start;
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	my @missing = split / /, missing('random', 3000);
	cmp_ok(scalar(@missing), '>', 100, 'many records are hit: ' . scalar(@missing));
	lost_exactly(scalar(@missing), 0, $log);
	is( $node->safe_psql('postgres', qq(
SELECT count(*) FROM flowmaestro.execution_spans
WHERE name LIKE 'random %' AND (name !~ '^random [0-9]+[.]\$' OR span_type <> 'agent_run'))),
		'0', 'no damaged record is written');
	record_numbered('later', 100);
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(missing('later', 100), '', 'what comes after is written');
};
subtest 'the file is deleted while the server runs' => sub {
	my $log = log_size($node);
	my $session = $node->background_psql('postgres', on_error_stop => 1);
	my $record = sub {
		my ($name, $n) = @_;

		return $session->query_safe(
			"SELECT count((flowmaestro.create_span('$name', 'agent_run')).span_id) FROM generate_series(1, $n)");
	};

	# the second time its directory goes as well
	foreach my $what ('the file', 'the directory')
	{
		my $holder = hold();
		my $directory = $node->data_dir . '/flowmaestro_spans';

		is($record->("$what, before", 50), '50', 'spans wait');
		$what eq 'the file' ? unlink(ring_path()) : PostgreSQL::Test::Utils::system_or_bail('rm', '-rf', $directory);
		is($record->("$what, after", 50), '50', 'a session that had it goes on');
		is(record($node, 'postgres', 50, "$what, new"), '50', 'a new session can record');
		ok(wait_until(sub { scalar(ring_files($node)) == 1 }), 'there is a file again');
		$holder->quit;
		$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
		is(spans($node, 'postgres', "$what, before"), '50', 'what waited in it is written');
		is(spans($node, 'postgres', "$what, after"), '50', 'what came after is written');
		is(spans($node, 'postgres', "$what, new"), '50', 'from both sessions');
	}
	is(scalar(log_lines($node, qr/was deleted: a new one holds all records/, $log)), 2, 'the log says it');

	# nobody has the file, and no writer is up
	$session->quit;
	my $writer = writer_pid($node, 'postgres');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($writer)");
	unlink(ring_path());
	is(record($node, 'postgres', 10, 'nobody had it'), '10', 'a session makes a new one');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(spans($node, 'postgres', 'nobody had it'), '10', 'and what it records is written');
	is(value($node, 'postgres', 'recorded = flushed AND pending + dropped = damaged'), 't', 'nothing was lost');

	# what waits in the new file survives a crash
	my $holder = hold();
	is(record($node, 'postgres', 50, 'crash'), '50', 'spans wait in the new file');
	$node->stop('immediate');
	$holder->{run}->finish;
	$node->start;
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(spans($node, 'postgres', 'crash'), '50', 'they are written after a crash');
};

subtest 'the file is cut off while the server runs' => sub {
	my $log = log_size($node);
	my $holder = hold();

	is(record($node, 'postgres', 30, 'cut off'), '30', 'spans wait');
	truncate(ring_path(), 0) or die $!;
	ok( $node->poll_query_until('postgres', 'SELECT pending = 0 FROM flowmaestro.stats'),
		'the writer notices');
	is(value($node, 'postgres', 'damaged, dropped'), '30|30', 'what was in it is counted as lost');
	is(scalar(log_lines($node, qr/was deleted: 30 records are lost/, $log)), 1, 'the log says it');
	is(record($node, 'postgres', 10, 'after the cut'), '10', 'a new file takes the next spans');
	$holder->quit;
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(spans($node, 'postgres', 'after the cut'), '10', 'they are written');
	is(value($node, 'postgres', 'recorded = flushed AND dropped = damaged'), 't', 'nothing else is lost');
};
is(scalar(our_errors($node)), 0, 'the writer and the launcher logged no error') or diag(our_errors($node));
$node->stop;

done_testing();
