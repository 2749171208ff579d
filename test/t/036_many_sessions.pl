# Two hundred sessions record as fast as they can into a small buffer, beside a
# session that never waits.  While the writer makes progress each call waits its
# turn, as long as its own session's setting says: what the two hundred recorded
# is in the table, whatever the other one drops.
#
# FMS_SECONDS is how long they record.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{FMS_SECONDS} || 10;
my $node = recording_node('crowd',
	"max_connections = 250\nflowmaestro.buffer_size = '1MB'\nflowmaestro.full_wait = '60s'\n");
my $directory = PostgreSQL::Test::Utils::tempdir();

# A pair of calls for a span of a name with 10 kB of input, as a script of pgbench.
sub pair
{
	my ($name) = @_;

	append_to_file("$directory/$name.sql",
		"SELECT flowmaestro.end_span((flowmaestro.create_span('$name', 'tool_execution', input => to_jsonb(repeat('x', 10000)))).span_id);\n"
	);
	return "$directory/$name.sql";
}

# Whoever never waits finds the buffer full again and again.
my $rude = do
{
	local $ENV{PGOPTIONS} = '-c flowmaestro.full_wait=0 -c client_min_messages=error';
	IPC::Run::start(
		[ 'pgbench', '-n', '-c', '1', '-T', $seconds, '-f', pair('rude'), $node->connstr('postgres') ],
		'<', '/dev/null', '>', '/dev/null', '2>', "$directory/rude.err");
};
my ($stdout, $stderr) = run_command(
	[
		'pgbench', '-n', '-M', 'prepared', '-c', '200', '-j', '2', '-T', $seconds, '-l', '--log-prefix',
		"$directory/log", '-f', pair('crowd'), $node->connstr('postgres')
	]);
$rude->finish;
like($stdout, qr/number of transactions actually processed: \d+/, 'two hundred sessions record');
my ($calls) = $stdout =~ /number of transactions actually processed: (\d+)/;
my @times = sort { $a <=> $b } map { (split / /)[2] } map { split /\n/, slurp_file($_) } glob("$directory/log.*");
note(sprintf 'a pair of calls took: median %.1f ms, p99 %.1f ms, longest %.1f ms, of %d',
	map({ $_ / 1000 } $times[ @times / 2 ], $times[ @times * 0.99 ], $times[-1]), scalar @times);
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
cmp_ok(value($node, 'postgres', 'dropped'), '>', 0, 'the session that never waits finds the buffer full');
cmp_ok(value($node, 'postgres', 'waited'), '>', 0, 'the others wait for room');
is( $node->safe_psql('postgres',
		q(SELECT count(*), count(*) FILTER (WHERE status = 'completed') FROM flowmaestro.execution_spans WHERE name = 'crowd')),
	"$calls|$calls", 'every span of a session that waits is in the table, ended');

$node->stop;
done_testing();
