# Three sessions that may record, and nothing else, do the worst that they can:
# times over three centuries, ids of their own, huge and tiny annotations,
# transactions that stay open, settings of their own, cancels.  Meanwhile two
# honest sessions record, and every span that they were told of is in the table,
# once, ended, soon; the writer stays small and the table keeps few partitions.
#
# FMS_ATTACK is the length of the attack in seconds; where it is set, nothing else
# should run on the machine, and how soon is checked, too.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $seconds = $ENV{FMS_ATTACK} || 60;
my $most_partitions = 60;
my $most_memory = 200 * 1024;    # kB
my $node = recording_node('attacked',
	"track_commit_timestamp = on\nflowmaestro.buffer_size = '4MB'\nmax_connections = 50\n");
my $directory = PostgreSQL::Test::Utils::tempdir();

$node->safe_psql(
	'postgres', q(
CREATE ROLE attacker LOGIN;
CREATE ROLE honest LOGIN;
SELECT flowmaestro.grant_writer('attacker'), flowmaestro.grant_writer('honest');
-- whoever wants no record dropped is patient
ALTER ROLE honest SET flowmaestro.full_wait = '30s';
-- the ids that the attackers fight about
CREATE TABLE shared_id AS SELECT n, gen_random_uuid() AS id FROM generate_series(1, 300) AS n;
GRANT SELECT ON shared_id TO attacker;
));

# What an attacker does, by name; pgbench chooses among them.
my %attacks = (
	# every day of three centuries is asked for a partition
	times => q(
SELECT count(flowmaestro.create_span('far', 'agent_run',
	started_at => timestamptz '1970-01-02' + random() * 292 * interval '365 days'))
FROM generate_series(1, 500);
),
	own_ids => q(
SELECT count(flowmaestro.create_span('own', 'agent_run', span_id => gen_random_uuid(),
	trace_id => gen_random_uuid(), parent_span_id => gen_random_uuid())),
	count(flowmaestro.end_span(gen_random_uuid())) FROM generate_series(1, 300);
),
	old_ids => q(
SELECT count(flowmaestro.create_span('old', 'agent_run', span_id => id,
	started_at => now() - random() * interval '400 days')),
	count(flowmaestro.end_span(id)), count(flowmaestro.set_span_attributes(id, '{"a": 1}')) FROM shared_id;
),
	huge => q(
SELECT flowmaestro.set_span_attributes(id, jsonb_build_object('huge', repeat(md5(random()::text), 32000)))
FROM shared_id WHERE n <= 2;
),
	tiny => q(
SELECT count(flowmaestro.set_span_attributes(s.id, jsonb_build_object('k' || g, repeat('x', 200)))),
	count(flowmaestro.add_span_event(s.id, 'event'))
FROM shared_id AS s, generate_series(1, 1000) AS g WHERE s.n = 1 + (random() * 5)::int;
),
	otlp => q(
SELECT flowmaestro.ingest_otlp_json(json_build_object('resourceSpans', json_build_array(json_build_object(
	'scopeSpans', json_build_array(json_build_object('spans', (
		SELECT json_agg(json_build_object('traceId', md5(random()::text), 'spanId', substr(md5(random()::text), 1, 16),
			'name', 'posted', 'startTimeUnixNano', (random() * 9e18)::int8::text))
		FROM generate_series(1, 200)))))))::text);
),
	open => q(
BEGIN;
SET LOCAL flowmaestro.write_mode = transactional;
SELECT count(flowmaestro.create_span('open', 'agent_run', span_id => id)),
	count(flowmaestro.set_span_attributes(id, '{"b": 2}')) FROM shared_id WHERE n <= 100;
SELECT flowmaestro.create_span('open', 'agent_run', started_at => now() - random() * interval '40 days');
SELECT pg_sleep(3);
COMMIT;
),
	settings => q(
SET flowmaestro.full_wait = 0;
SELECT count(flowmaestro.create_span('rude', 'agent_run', input => to_jsonb(repeat('y', 2000)))) FROM generate_series(1, 5000);
RESET flowmaestro.full_wait;
),
	cancels => q(
SET statement_timeout = 3;
SELECT count(flowmaestro.create_span('cut', 'agent_run', input => to_jsonb(repeat('z', 2000)))) FROM generate_series(1, 5000);
RESET statement_timeout;
SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE usename = 'attacker' AND pid <> pg_backend_pid();
),
	budget => q(
BEGIN;
SELECT flowmaestro.cancel_trace(id) FROM shared_id WHERE n <= 5;
ROLLBACK;
),
);
my @scripts;

foreach my $name (sort keys %attacks)
{
	append_to_file("$directory/$name.sql", $attacks{$name} =~ s/\n(?=.)/ /gr =~ s/; /;\n/gr . "\n");
	# an open transaction makes the other attackers wait: not too many of them
	push @scripts, '-f', "$directory/$name.sql@" . ($name eq 'open' ? 1 : 5);
}

# An honest session: it tells of a span whose end returned.
my $honest = "$directory/honest.sql";
append_to_file($honest, <<'SQL' x ($seconds * 70));
SELECT span_id AS a FROM flowmaestro.create_span('honest', 'tool_execution', input => '{"q": "why?"}') \gset
SELECT CASE WHEN flowmaestro.add_span_event(:'a', 'once') AND flowmaestro.end_span(:'a') THEN :'a' ELSE 'refused' END AS told \gset
\echo :told
SELECT pg_sleep(0.01) \g /dev/null
SQL

# The memory of the writer that is not shared, in kB; 0 while there is none.
sub writer_memory
{
	my $pid = writer_pid($node, 'postgres');

	return 0 if $pid eq '' || !-r "/proc/$pid/status";
	return (slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m) ? $1 : 0;
}

# Keep three attackers going until a time; an attack that fails is only begun again.
sub attack_until
{
	my ($until, $memory) = @_;
	my @sessions;

	while (time() < $until)
	{
		foreach my $n (0 .. 2)
		{
			my $session = $sessions[$n];

			next if defined $session && $session->pumpable;
			$session->finish if defined $session;
			$sessions[$n] = IPC::Run::start(
				[
					'pgbench', '-n', '-c', '1', '-T', '3600', '-U', 'attacker', @scripts,
					$node->connstr('postgres')
				],
				'<', '/dev/null', '>', '/dev/null', '2>', "$directory/attacker.$n");
		}
		my $now = writer_memory();
		$$memory = $now if $now > $$memory;
		usleep(300_000);
	}
	$node->safe_psql('postgres',
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'attacker'");
	$_->finish foreach @sessions;
	return;
}

$node->safe_psql('postgres', 'SELECT count(flowmaestro.create_span(\'warm\', \'agent_run\')); SELECT flowmaestro.flush()');
my $log = log_size($node);
my @told = map { "$directory/told.$_" } 1, 2;
my @sessions = map { local $ENV{PGUSER} = 'honest'; start_psql($node, 'postgres', $honest, $_, 'honest') } @told;
my $memory = 0;

attack_until(time() + $seconds, \$memory);
$node->safe_psql('postgres',
	"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'honest'");
$_->finish foreach @sessions;
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');

# what the honest sessions were told
my $text = join '', map { slurp_file($_) } @told;
my @ids = $text =~ /^([0-9a-f-]{36})$/mg;
my $refused = () = $text =~ /^refused$/mg;
append_to_file("$directory/ids", join('', map { "$_\n" } @ids));
$node->safe_psql('postgres', "CREATE TABLE told (span_id uuid); \\copy told FROM '$directory/ids'");
cmp_ok(scalar(@ids), '>', $seconds * 20, 'the honest sessions record throughout: ' . scalar(@ids) . ' spans');
is($refused, 0, 'no honest record is refused');
is( $node->safe_psql('postgres',
		'SELECT count(*) FROM told AS t WHERE NOT EXISTS (SELECT FROM flowmaestro.execution_spans AS s WHERE s.span_id = t.span_id)'),
	'0', 'every honest span that was acknowledged is in the table');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM (SELECT FROM flowmaestro.execution_spans WHERE name = 'honest' GROUP BY span_id HAVING count(*) > 1) AS d"),
	'0', 'no honest span is there twice');
is( $node->safe_psql('postgres', q(
SELECT count(*) FROM told JOIN flowmaestro.execution_spans USING (span_id)
WHERE status <> 'completed' OR jsonb_array_length(events) <> 1)),
	'0', 'every honest span has its end and its one event');

# how long after its last record the row of an honest span was committed
my ($median, $p99, $worst) = split /\|/, $node->safe_psql('postgres', q(
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY late), percentile_cont(0.99) WITHIN GROUP (ORDER BY late), max(late)
FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - ended_at)::float8 AS late
	FROM flowmaestro.execution_spans WHERE name = 'honest' AND ended_at IS NOT NULL) AS l));
note("seconds from the end of an honest span to its row: median $median, p99 $p99, worst $worst");
cmp_ok($p99, '<', 2, "99 of 100 honest spans are in the table within 2 s: p99 $p99 s") if $ENV{FMS_ATTACK};
note("memory of the writer: $memory kB");
cmp_ok($memory, '<', $most_memory, "the writer stays below 200 MB: $memory kB");
my $partitions = $node->safe_psql('postgres',
	"SELECT count(*) FROM pg_inherits WHERE inhparent = 'flowmaestro.execution_spans'::regclass");
cmp_ok($partitions, '<=', $most_partitions, "the table has few partitions: $partitions");
# a partition that cannot be made for an open transaction is tried again, now and then
my @errors = grep { !/canceling statement due to lock timeout/ } our_errors($node, $log);
is("@errors", '', 'no error of the writer but for locks of the attackers');
note($node->safe_psql('postgres', 'SELECT to_json(s) FROM flowmaestro.stats AS s'));

# the second act: when the attackers are gone, everything is as before
record($node, 'postgres', 1000, 'after');
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
is(spans($node, 'postgres', 'after'), '1000', 'when the attackers are gone, spans arrive as ever');
$node->restart;
record($node, 'postgres', 1000, 'restarted');
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
is(spans($node, 'postgres', 'restarted'), '1000', 'and so they do after a restart');

$node->stop;
done_testing();
