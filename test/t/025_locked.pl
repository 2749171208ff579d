# What somebody else's open transaction has locked, be it hundreds of rows or a
# whole partition, is set aside in bounded time and comes later, in order; the
# rest goes on, and while the lock stays the waiting costs no writes.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('locked', "flowmaestro.flush_interval = '10min'\n");

sub flush
{
	return $node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
}

sub rejected
{
	return $node->safe_psql('postgres',
		'SELECT sqlstate, count(*) FROM flowmaestro.rejected_spans GROUP BY 1 ORDER BY 1');
}

sub poll
{
	my ($condition, $name) = @_;

	return ok($node->poll_query_until('postgres', "SELECT $condition"), $name);
}

subtest 'a transaction that changed 300 rows' => sub {
	record($node, 'postgres', 300, 'held');
	flush();
	my $other = $node->background_psql('postgres');
	$other->query_safe(q(
BEGIN; SET LOCAL flowmaestro.write_mode = transactional;
SELECT count(*) FILTER (WHERE flowmaestro.set_span_attributes(span_id, '{"k": 1}'))
FROM flowmaestro.execution_spans WHERE name = 'held'));
	$node->safe_psql('postgres', q(
SELECT count(*) FILTER (WHERE flowmaestro.end_span(span_id, attributes => '{"k": 2}'))
FROM flowmaestro.execution_spans WHERE name = 'held'));
	record($node, 'postgres', 1000, 'free');
	# a wait of 200 ms for each row would be a minute
	cmp_ok(seconds_of(\&flush), '<', 20, 'flush() does not wait for each row');
	is(spans($node, 'postgres', 'free'), 1000, 'the other spans arrive');
	is(rejected(), '55P03|300', 'what is locked waits aside');
	$other->query_safe('COMMIT');
	$other->quit;
	poll(q(count(*) = 300 FROM flowmaestro.execution_spans WHERE name = 'held' AND status = 'completed' AND attributes = '{"k": 2}'),
		'and arrives by itself when the transaction has ended');
	is(rejected(), '', 'nothing is left');
};

subtest 'a transaction that made 300 rows' => sub {
	my $other = $node->background_psql('postgres');
	$other->query_safe(q(
BEGIN; SET LOCAL flowmaestro.write_mode = transactional;
SELECT count((flowmaestro.create_span('made', 'agent_run', span_id => flowmaestro.deterministic_span_id(
	'019b0000-0000-7000-8000-000000000001', n::text), trace_id => '019b0000-0000-7000-8000-000000000001', started_at => now())).span_id)
FROM generate_series(1, 300) AS n));
	$node->safe_psql('postgres', q(
SELECT count(*) FILTER (WHERE flowmaestro.ingest_otlp_json(format('{"resourceSpans": [{"scopeSpans": [{"spans": [{
	"traceId": "019b0000000070008000000000000001", "spanId": "%s", "name": "made", "startTimeUnixNano": "%s000000000"}]}]}]}',
	right(replace(flowmaestro.deterministic_span_id('019b0000-0000-7000-8000-000000000001', n::text)::text, '-', ''), 16),
	extract(epoch FROM date_trunc('second', now()))::bigint)::jsonb::text) IS NOT NULL) FROM generate_series(1, 300) AS n));
	record($node, 'postgres', 1000, 'beside');
	cmp_ok(seconds_of(\&flush), '<', 20, 'flush() does not wait for each row');
	is(spans($node, 'postgres', 'beside'), 1000, 'the other spans arrive');
	is(rejected(), '55P03|300', 'what the transaction is inserting waits aside');
	$other->query_safe('COMMIT');
	$other->quit;
	poll('NOT EXISTS (SELECT FROM flowmaestro.rejected_spans)', 'what was set aside comes later');
	is(spans($node, 'postgres', 'made'), 300, 'each of its spans is there once');
};

my $late = '2020-02-29 12:00:00+00';
my $partition = $node->safe_psql('postgres', "SELECT flowmaestro.make_partition('$late')");

subtest 'a partition that a transaction has locked' => sub {
	my $other = $node->background_psql('postgres');
	$other->query_safe("BEGIN; CREATE INDEX ON $partition (name)");
	$node->safe_psql('postgres', qq(
SELECT count(flowmaestro.create_span('late', 'agent_run', started_at => '$late')) FROM generate_series(1, 2000)));
	record($node, 'postgres', 100, 'today');
	is($node->psql('postgres', 'SELECT flowmaestro.flush()', timeout => 60), 0, 'flush() succeeds');
	is(spans($node, 'postgres', 'today'), 100, 'spans of other partitions arrive');
	is(rejected(), '55P03|2000', 'those of the partition wait aside');

	# two more tries, which a span for another locked partition shows
	my $writes = q(SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relname = 'rejected_spans');
	poll("($writes) >= 2000", 'the statistics see them');
	my $before = $node->safe_psql('postgres', $writes);
	foreach my $turn (1 .. 2)
	{
		my $id = $node->safe_psql('postgres', "SELECT span_id FROM flowmaestro.create_span('turn $turn', 'agent_run')");
		flush();
		my $holder = $node->background_psql('postgres');
		$holder->query_safe("BEGIN; SELECT FROM flowmaestro.execution_spans WHERE span_id = '$id' FOR UPDATE");
		$node->safe_psql('postgres', "SELECT flowmaestro.end_span('$id')");
		flush();
		$holder->query_safe('COMMIT');
		$holder->quit;
		poll("status = 'completed' FROM flowmaestro.execution_spans WHERE span_id = '$id'", 'the writer tries again what waits');
	}
	cmp_ok($node->safe_psql('postgres', $writes) - $before, '<', 20, 'what waits is not written again');
	cmp_ok(scalar(log_lines($node, qr/in rejected_spans/)), '<=', 2, 'the log is told once a minute');

	$other->query_safe('COMMIT');
	$other->quit;
	poll("count(*) = 2000 FROM flowmaestro.execution_spans WHERE name = 'late'", 'they arrive when the lock is gone');
	is(rejected(), '', 'nothing is left');
};

subtest 'the order of what is recorded of a span' => sub {
	my $id = $node->safe_psql('postgres', "SELECT span_id FROM flowmaestro.create_span('ordered', 'agent_run')");
	flush();
	my $other = $node->background_psql('postgres');
	$other->query_safe("BEGIN; SELECT FROM flowmaestro.execution_spans WHERE span_id = '$id' FOR UPDATE");
	foreach my $n (1 .. 3)
	{
		$node->safe_psql('postgres', qq(
SELECT flowmaestro.set_span_attributes('$id', '{"last": $n}'), flowmaestro.add_span_event('$id', 'event $n'), flowmaestro.flush()));
	}
	is(rejected(), '55P03|3', 'three batches wait for a lock');
	$other->query_safe('COMMIT');
	$other->quit;
	$node->safe_psql('postgres', qq(
SELECT flowmaestro.set_span_attributes('$id', '{"last": 4}'), flowmaestro.add_span_event('$id', 'event 4'), flowmaestro.flush()));
	poll('NOT EXISTS (SELECT FROM flowmaestro.rejected_spans)', 'all come to the table');
	is( $node->safe_psql('postgres', qq(
SELECT attributes, (SELECT string_agg(e ->> 'name', ', ' ORDER BY n) FROM jsonb_array_elements(events) WITH ORDINALITY AS a (e, n))
FROM flowmaestro.execution_spans WHERE span_id = '$id')),
		'{"last": 4}|event 1, event 2, event 3, event 4', 'in the order in which they were recorded');
};

subtest 'a table that refuses what waits' => sub {
	my $other = $node->background_psql('postgres');
	$other->query_safe("BEGIN; CREATE INDEX ON $partition (name)");
	$node->safe_psql('postgres', qq(
SELECT count(flowmaestro.create_span('poison', 'agent_run', started_at => '$late')) FROM generate_series(1, 3)));
	flush();
	$other->query_safe("ALTER TABLE $partition ADD CONSTRAINT refuse CHECK (name <> 'poison')");
	$other->query_safe('COMMIT');
	$other->quit;
	poll(q(count(*) = 3 FROM flowmaestro.rejected_spans WHERE sqlstate = '23514'), 'it stays, with its new error');
	$node->safe_psql('postgres', "ALTER TABLE $partition DROP CONSTRAINT refuse");
	is($node->safe_psql('postgres', 'SELECT flowmaestro.retry_rejected_spans()'), 3, 'and can be put back by hand');
	is(rejected(), '', 'nothing is left');
};

is(value($node, 'postgres', 'dropped, pending'), '0|0', 'nothing is lost');
is($node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT (trace_id, span_id)) FROM flowmaestro.execution_spans'),
	0, 'nothing is there twice');
$node->stop;
done_testing();
