# A span whose call has returned is never lost, and never written twice:
# whatever is killed or stopped while two sessions record, all that they were
# told is recorded is in the table afterwards, what had ended has ended, and what
# happened once is there once.
#
# In every second round the writer is kept from the table, so that everything
# is still in the buffer when it happens.  FMS_ROUNDS=20 for the long run.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $rounds = $ENV{FMS_ROUNDS} || 2;
my $enough = 200_000;    # bytes of a client's output before something happens
my $begun = time();

my $node = recording_node('lost', "restart_after_crash = on\n");
my $directory = PostgreSQL::Test::Utils::tempdir();

# One statement at a time; a line of output tells of a call that returned, as
# psql stops at the first error.  The second span of each turn stays open.
my $script = "$directory/client.sql";
append_to_file($script, "\\set ON_ERROR_STOP on\n");
append_to_file($script, <<'SQL' x 40_000);
SELECT span_id AS a FROM flowmaestro.create_span('done', 'agent_run', input => '{"q": "why?"}') \gset
\echo created :a
SELECT span_id AS b FROM flowmaestro.create_child_span(:'a', 'open', 'tool_execution') \gset
\echo created :b
SELECT CASE WHEN flowmaestro.add_span_event(:'a', 'thought') THEN 'event' END AS what \gset
\echo :what :a
SELECT CASE WHEN flowmaestro.end_span(:'a', output => '{"a": "because"}') THEN 'ended' END AS what \gset
\echo :what :a
SQL

# keeps the writer from the table, and nobody from reading it
my $hold = "$directory/hold.sql";
append_to_file($hold,
	'BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE MODE; SELECT pg_sleep(3600);');

$node->safe_psql('postgres',
	'CREATE TABLE returned (what text, span_id uuid, round int)');

# The pids of all processes but the postmaster.
sub children
{
	return split /\n/, $node->safe_psql('postgres',
		'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
}

# Kill the process of a client or the writer, and wait until the postmaster has
# taken notice: until then it lets others in, whom it then throws out.
sub kill_process
{
	my ($where) = @_;
	my $log = log_size($node);
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $where");

	like($pid, qr/^\d+$/, "there is a process with $where");
	is(kill('KILL', $pid), 1, 'it got the signal');
	ok(wait_until(sub { scalar(log_lines($node, qr/all server processes terminated/, $log)) }, 60),
		'all others had to go too');
	return;
}

# What can happen.  Afterwards the server is up, or on its way up.
my @accidents = (
	[ 'kill -9 of a backend', sub { kill_process("application_name = 'client1'") } ],
	[
		'kill -9 of the writer',
		sub { kill_process("backend_type = 'flowmaestro_spans writer'") }
	],
	[
		'kill -9 of the postmaster',
		sub {
			my @pids = children();
			$node->kill9;
			ok(wait_until(sub { !grep { kill(0, $_) } @pids }, 60), 'its children are gone');
			# the backend that told their pids may still be on its way out
			ok(wait_until(sub { $node->start(fail_ok => 1) }, 60), 'a new one starts');
		}
	],
	[ 'immediate stop', sub { $node->stop('immediate'); $node->start } ],
	[ 'fast stop', sub { $node->stop('fast'); $node->start } ],
	[ 'restart', sub { $node->restart }],
);

# Record in two sessions until it happens; returns the files of their output.
sub record_through
{
	my ($accident, $held, $name) = @_;
	my @files = map { "$directory/$name.$_" } 1, 2;
	my $before = spans($node, 'postgres');
	my $holder;

	if ($held)
	{
		$holder = start_psql($node, 'postgres', $hold, "$directory/hold.$name", 'holder');
		ok( $node->poll_query_until('postgres',
				"SELECT count(*) > 0 FROM pg_locks WHERE mode = 'ShareLock' AND granted"),
			'the writer is held up');
	}
	my @clients = map { start_psql($node, 'postgres', $script, $files[ $_ - 1 ], "client$_") } 1, 2;
	ok( wait_until(sub { 2 == grep { -e $_ && -s $_ > $enough } @files }, 120),
		'both sessions record');
	if ($held)
	{
		is(spans($node, 'postgres'), $before, 'nothing of it is in the table yet');
	}
	else
	{
		ok(spans($node, 'postgres') > $before, 'the writer is at work');
	}
	is(scalar(grep { $_->pumpable } @clients), 2, 'both still record when it happens');
	$accident->();
	$_->finish foreach @clients;
	ok($node->poll_query_until('postgres', 'SELECT true'), 'the server is up');
	$holder->finish if $held;
	return @files;
}

# Load what the sessions were told.
sub load
{
	my ($round, @files) = @_;
	my $told = join '', map { slurp_file($_) } @files;

	# a line that was cut off tells nothing
	my @lines = $told =~ /^(?:created|event|ended) [0-9a-f-]{36}$/mg;
	my $data = "$directory/load";
	unlink $data;
	append_to_file($data, join('', map { tr/ /\t/r . "\t$round\n" } @lines));
	$node->safe_psql('postgres', "\\copy returned FROM '$data'");
	cmp_ok(scalar(@lines), '>', 1000, 'many calls returned: ' . scalar(@lines));
	return;
}

# All that was told must be true.
sub check
{
	my ($round) = @_;

	# what was open before can be ended after, before anything is flushed
	my $ended = $node->safe_psql(
		'postgres', qq(
INSERT INTO returned SELECT 'ended', span_id, $round
FROM (SELECT span_id FROM returned WHERE round = $round GROUP BY span_id HAVING count(*) = 1 LIMIT 100) AS o
WHERE flowmaestro.end_span(span_id, output => '{"a": "because"}') RETURNING 1));
	is(scalar(split /\n/, $ended), 100, 'spans that were open before can be ended after');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	# without statistics the joins below are nested loops
	$node->safe_psql('postgres', 'ANALYZE returned; ANALYZE flowmaestro.execution_spans');
	is( $node->safe_psql('postgres', qq(
SELECT count(*) FROM returned AS r LEFT JOIN flowmaestro.execution_spans AS s USING (span_id)
WHERE r.what = 'created' AND r.round = $round
  AND (s.span_id IS NULL OR s.name NOT IN ('done', 'open')))),
		'0', 'no created span is lost');
	is( $node->safe_psql('postgres', qq(
SELECT count(*) FROM returned AS r LEFT JOIN flowmaestro.execution_spans AS s USING (span_id)
WHERE r.what = 'ended' AND r.round = $round
  AND (s.status = 'completed' AND s.ended_at IS NOT NULL) IS NOT TRUE)),
		'0', 'no end is lost');
	is( $node->safe_psql('postgres', qq(
SELECT count(*) FROM flowmaestro.execution_spans AS s
WHERE s.name = 'done' AND s.status = 'completed' AND s.output IS DISTINCT FROM '{"a": "because"}'
   OR s.name = 'done' AND s.input IS DISTINCT FROM '{"q": "why?"}')),
		'0', 'and what was in them is there');
	is( $node->safe_psql('postgres',
			'SELECT count(*) - count(DISTINCT span_id) FROM flowmaestro.execution_spans'),
		'0', 'no span is written twice');
	is( $node->safe_psql('postgres', qq(
SELECT count(*) FROM returned AS r LEFT JOIN flowmaestro.execution_spans AS s USING (span_id)
WHERE r.what = 'event' AND r.round = $round AND jsonb_array_length(s.events) IS DISTINCT FROM 1)),
		'0', 'no event is lost, and none is there twice');
	is(value($node, 'postgres', 'pending + dropped + rejected'),
		'0', 'nothing is left, dropped or rejected');
	return;
}

my $count = 0;
foreach (@accidents)
{
	my ($name, $accident) = @$_;

	subtest $name => sub {
		foreach my $round (1 .. $rounds)
		{
			my $held = $round % 2 == 0;

			$count++;
			note("$name, round $round, writer " . ($held ? 'held up' : 'at work'));
			load($count, record_through($accident, $held, "round$count"));
			check($count);
		}
	};
}
# A batch is committed, and on disk, and the writer has not let go of its records:
# it stands still in a trigger with the next batch, until the stop.
subtest 'immediate stop between two batches' => sub {
	my $partition = $node->safe_psql('postgres', 'SELECT flowmaestro.make_partition(now())');
	$node->safe_psql('postgres', qq(
CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	WHILE NOT pg_try_advisory_xact_lock_shared(1) LOOP PERFORM pg_sleep(0.01); END LOOP;
	RETURN NEW;
END\$\$;
CREATE TRIGGER stand_still BEFORE INSERT ON $partition FOR EACH ROW WHEN (NEW.name = 'last') EXECUTE FUNCTION stand_still();
ALTER TABLE $partition ENABLE ALWAYS TRIGGER stand_still));
	my $session = $node->background_psql('postgres');
	$session->query_safe('SELECT pg_advisory_lock(1)');
	$session->query_safe('BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE MODE');
	is( $session->query_safe(
			"SELECT count(*) FILTER (WHERE flowmaestro.add_span_event(c.span_id, 'thought')) FROM generate_series(1, 20000) AS i, LATERAL flowmaestro.create_span('first', 'agent_run', attributes => jsonb_build_object('i', i)) AS c"),
		'20000', 'more spans than a batch has, each with an event');
	$session->query_safe("SELECT flowmaestro.create_span('last', 'agent_run')");
	$session->query_safe('COMMIT');
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'flowmaestro_spans writer' AND wait_event = 'PgSleep'"),
		'the writer stands still with the last batch');
	cmp_ok(spans($node, 'postgres', 'first'), '>', 0, 'others are committed');
	$node->safe_psql('postgres', 'CREATE TABLE flushed ()');
	$node->stop('immediate');
	eval { $session->quit };
	$node->start;
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is( $node->safe_psql('postgres',
			"SELECT count(*), count(*) FILTER (WHERE jsonb_array_length(events) = 1) FROM flowmaestro.execution_spans WHERE name = 'first'"),
		'20000|20000', 'every span is in the table, with its event once');
	is(spans($node, 'postgres', 'last'), '1', 'so is the last one');
};
is(scalar(our_errors($node)), 0, 'the writer and the launcher logged no error') or diag(our_errors($node));
note(sprintf('%d accidents, %d spans, %d s', $count, spans($node, 'postgres'), time() - $begun));
$node->stop;

done_testing();
