# A buffered recording call waits for no lock, leaves none behind in the
# caller's transaction, and throws nothing: what it cannot look up at once is
# left to the writer, and the outcome is the one that a look-up would have given.
# The caller is a role with no right but grant_writer's.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use Test::More;
use Time::HiRes qw(time);

my $node = recording_node('locks', "flowmaestro.flush_interval = '100ms'\nmax_prepared_transactions = 2\n");
my $trace = '01993000-0000-7000-8000-000000000001';
my $near = '01993000-0000-7000-9000-00000000000';    # and a digit
my $v4 = '22222222-2222-4222-9000-00000000000';
my $deterministic;

sub sql { return $node->safe_psql('postgres', $_[0]); }

$node->safe_psql('postgres', q(CREATE ROLE app LOGIN; SELECT flowmaestro.grant_writer('app')));

# The spans that the calls are about: of another day, and unknown to memory.
sub begin_spans
{
	sql("SELECT flowmaestro.create_span('known', 'agent_run', trace_id => '$trace', span_id => '$near$_',
			started_at => '2025-09-09 20:00:00+00'),
		flowmaestro.create_span('known', 'agent_run', trace_id => '$trace', span_id => '$v4$_',
			started_at => '2025-09-08 20:00:00+00')") foreach (1 .. 6);
	$deterministic = sql("SELECT flowmaestro.deterministic_span_id('$trace', 'step')");
	sql("SELECT flowmaestro.create_span('known', 'agent_run', trace_id => '$trace', span_id => '$deterministic',
			started_at => '2025-09-09 20:00:00+00')");
	sql('SELECT flowmaestro.flush()');
	$node->restart;
	return;
}

# What an application does with spans that memory does not hold, with an id's
# stem.  Each call is one statement, with its answer.
sub calls
{
	my ($stem) = @_;

	return (
		"SELECT (flowmaestro.create_span('again', 'tool_execution', span_id => '${stem}1')).span_id" => "${stem}1",
		"SELECT flowmaestro.end_span('${stem}2')" => 't',
		"SELECT flowmaestro.set_span_attributes('${stem}3', '{\"late\": true}')" => 't',
		"SELECT flowmaestro.add_span_event('${stem}3', 'seen')" => 't',
		"SELECT (flowmaestro.create_child_span('${stem}4', 'child', 'tool_execution')).parent_span_id" => "${stem}4",
		"SELECT (flowmaestro.enter_span('again', 'tool_execution', span_id => '${stem}5')).span_id" => "${stem}5",
		'SELECT flowmaestro.leave_span()' => 't',
		"SELECT flowmaestro.traceparent('${stem}6') IS NULL OR true" => 't');
}

my $locks = q(SELECT count(*), string_agg(DISTINCT c.relname || ' ' || l.mode, ', ') FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
	WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'flowmaestro'::regnamespace);

# The calls in one transaction; each must give its answer, and none may wait.
sub record_all
{
	my ($what, @calls) = @_;
	my $session = $node->background_psql('postgres', on_error_stop => 0);
	my (@answers, @expected);
	my $begun = time();

	$session->query_safe(q(SET ROLE app; SET lock_timeout = '100ms'; BEGIN));
	while (my ($call, $answer) = splice(@calls, 0, 2))
	{
		push @answers, $session->query_safe($call);
		push @expected, $answer;
	}
	is_deeply(\@answers, \@expected, "$what: every call has an answer, with a lock timeout of 100 ms and no error");
	$session->query_safe('RESET ROLE');
	is($session->query_safe($locks), '0|', "$what: the transaction holds no lock on a relation of ours");
	$session->query_safe('COMMIT');
	$session->quit;
	return;
}

# What is in the table afterwards, whatever was locked meanwhile.
sub check_rows
{
	my ($what, $stem) = @_;

	ok(wait_until(sub { sql(q(SELECT count(*) FROM flowmaestro.rejected_spans)) eq '0' && sql('SELECT pending FROM flowmaestro.stats') eq '0' }),
		"$what: the writer brings everything home");
	is( sql("SELECT string_agg(right(span_id::text, 1) || ' ' || name || ' ' || status || ' ' || coalesce(attributes ->> 'late', '-')
				|| ' ' || coalesce(events -> 0 ->> 'name', '-'), ', ' ORDER BY span_id)
			FROM flowmaestro.execution_spans WHERE span_id::text LIKE '$stem%'"),
		'1 known started - -, 2 known completed - -, 3 known started true seen, 4 known started - -, '
		  . '5 known completed - -, 6 known started - -',
		"$what: one row a span, with its first start and its end");
	return;
}

# The partitions of the days that the spans started on.
sub partitions
{
	my %name = map { sql("SELECT flowmaestro.make_partition('$_ 12:00:00+00')") => 1 } qw(2025-09-08 2025-09-09);

	return sort keys %name;
}

my %holders = (
	'nothing is locked' => sub { return 'SELECT 1' },
	'a partition is locked' => sub { return join '; ', map { "LOCK TABLE $_ IN ACCESS EXCLUSIVE MODE" } partitions() },
	'the table is locked' => sub { return 'LOCK TABLE flowmaestro.execution_spans IN ACCESS EXCLUSIVE MODE' },
	'the directory is locked' => sub { return 'LOCK TABLE flowmaestro.span_id_directory IN ACCESS EXCLUSIVE MODE' },
	'an index is being dropped' => sub {
		return join '; ', map { "DROP INDEX " . sql("SELECT indexrelid::regclass FROM pg_index
			WHERE indrelid = '$_'::regclass AND indkey[0] = 7 AND indnatts = 1 LIMIT 1") } partitions();
	});

foreach my $what (sort keys %holders)
{
	subtest $what => sub {
		sql(q(TRUNCATE flowmaestro.execution_spans, flowmaestro.span_id_directory));
		begin_spans();
		my $holder = $node->background_psql('postgres');

		$holder->query_safe('BEGIN; ' . $holders{$what}->());
		record_all("$what, ids of ours", calls($near));
		record_all("$what, foreign ids", calls($v4));
		record_all("$what, a deterministic id",
			"SELECT (flowmaestro.create_span('again', 'tool_execution', span_id => '$deterministic')).span_id" => $deterministic);
		$holder->query_safe('ROLLBACK');
		$holder->quit;
		check_rows("$what, ids of ours", $near);
		check_rows("$what, foreign ids", $v4);
		is(sql("SELECT name, count(*) OVER () FROM flowmaestro.execution_spans WHERE span_id = '$deterministic'"), 'known|1',
			"$what: a deterministic id is still one row");
	};
}

is_deeply([ grep { !/cannot be looked up|span_id_directory is locked|set \d+ spans? aside/ } our_errors($node) ], [], 'the writer had no other errors');
$node->stop;
done_testing();
