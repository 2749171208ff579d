# What the table refuses never blocks what it takes: a poison span is set aside
# with its error, spans wait while the server has no room for them, a row that
# an open transaction has locked comes later; every loss is counted.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('poison', "flowmaestro.flush_interval = '1s'\n");

sub rejected
{
	return $node->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.rejected_spans');
}

sub flush
{
	return $node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
}

sub retry
{
	return $node->safe_psql('postgres', 'SELECT flowmaestro.retry_rejected_spans()');
}

subtest 'one poison span among 10,000' => sub {
	# 6000 random hex digits do not compress: too large for the index on userId
	my $poison = q(jsonb_build_object('userId', (SELECT string_agg(md5(random()::text || i), '') FROM generate_series(1, 188) AS i)));

	$node->safe_psql('postgres', qq(
SELECT count((flowmaestro.create_span('mixed', 'agent_run', 'entity' || n, input => '{"i": 1}',
	attributes => CASE n WHEN 5000 THEN $poison ELSE '{"userId": "u"}' END)).span_id)
FROM generate_series(1, 10000) AS n));
	cmp_ok(seconds_of(\&flush), '<', 60, 'flush() ends');
	is(spans($node, 'postgres', 'mixed'), '9999', 'all others are in the table');
	is( $node->safe_psql('postgres',
			"SELECT name, sqlstate, message ~ 'index row size', length(attributes ->> 'userId'), entity_id, input FROM flowmaestro.rejected_spans"
		),
		'mixed|54000|t|6016|entity5000|{"i": 1}',
		'the poison one is set aside, with its error and all that was in it');
	is(value($node, 'postgres', 'rejected, pending, dropped'), '1|0|0', 'it is counted');

	# it is refused again, and stays
	is(retry(), '0', 'a retry does not help it');
	is(rejected(), '1', 'nor is it lost');

	# later records of the same span do not block anything either
	is( $node->safe_psql('postgres', q(
SELECT flowmaestro.end_span(span_id, output => '"late"') FROM flowmaestro.rejected_spans)),
		't', 'it can be ended');
	record($node, 'postgres', 10, 'next');
	flush();
	is(spans($node, 'postgres', 'next'), '10', 'those that follow arrive');

	# cured by who owns the data
	$node->safe_psql('postgres', q(UPDATE flowmaestro.rejected_spans SET attributes = '{"userId": "cured"}'));
	is(retry(), '1', 'once it is cured it is taken');
	is( $node->safe_psql('postgres',
			q(SELECT count(*), min(status), min(output::text) FROM flowmaestro.execution_spans WHERE entity_id = 'entity5000')),
		'1|completed|"late"', 'with the end that came in between');
	is(rejected(), '0', 'nothing is left');
};

subtest 'a table that refuses every span' => sub {
	$node->safe_psql('postgres',
		'ALTER TABLE flowmaestro.execution_spans ADD CONSTRAINT refuse CHECK (false) NOT VALID');
	record($node, 'postgres', 1000, 'refused');
	cmp_ok(seconds_of(\&flush), '<', 60, 'flush() ends');
	is(spans($node, 'postgres', 'refused'), '0', 'none is in the table');
	is( $node->safe_psql('postgres', 'SELECT sqlstate, count(*) FROM flowmaestro.rejected_spans GROUP BY 1'),
		'23514|1000', 'all are set aside');
	$node->safe_psql('postgres', 'ALTER TABLE flowmaestro.execution_spans DROP CONSTRAINT refuse');
	is(retry(), '1000', 'once it takes them again, a retry puts them back');
	is(spans($node, 'postgres', 'refused'), '1000', 'into the table');
	is(rejected(), '0', 'and nothing is left');
};

subtest 'a row that an open transaction has locked' => sub {
	my $id = $node->safe_psql('postgres', "SELECT span_id FROM flowmaestro.create_span('locked', 'agent_run')");
	flush();
	my $other = $node->background_psql('postgres');
	$other->query_safe("BEGIN; SET LOCAL flowmaestro.write_mode = transactional");
	is($other->query_safe("SELECT flowmaestro.end_span('$id')"), 't', 'a transaction ends a span');
	$node->safe_psql('postgres', "SELECT flowmaestro.set_span_attributes('$id', '{\"k\": 1}')");
	record($node, 'postgres', 1000, 'free');
	cmp_ok(seconds_of(\&flush), '<', 20, 'flush() does not wait for it');
	is(spans($node, 'postgres', 'free'), '1000', 'the other spans arrive');
	is( $node->safe_psql('postgres', "SELECT sqlstate FROM flowmaestro.rejected_spans WHERE span_id = '$id'"),
		'55P03', 'the locked one waits aside');
	$other->query_safe('COMMIT');
	$other->quit;
	ok( $node->poll_query_until('postgres',
			"SELECT status = 'completed' AND attributes = '{\"k\": 1}' FROM flowmaestro.execution_spans WHERE span_id = '$id'"),
		'and arrives by itself when the transaction has ended');
	is(rejected(), '0', 'nothing is left');
};

subtest 'a full disk' => sub {
	$node->stop;
	$node->append_conf('postgresql.conf',
		"flowmaestro.buffer_size = '1MB'\nflowmaestro.full_wait = '100ms'\n");
	ok($node->start(fail_ok => 1), 'the server starts with the smallest buffer') or return;
	record($node, 'postgres', 1, 'first');
	flush();
	my $partition = $node->safe_psql('postgres',
		"SELECT tableoid::regclass FROM flowmaestro.execution_spans WHERE name = 'first'");
	# a trigger that fires for a writer, which runs as replica
	$node->safe_psql(
		'postgres', qq(
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END\$\$;
CREATE TRIGGER full_disk BEFORE INSERT ON $partition FOR EACH ROW EXECUTE FUNCTION full_disk();
ALTER TABLE $partition ENABLE ALWAYS TRIGGER full_disk));
	my ($recorded, $dropped) = split /\|/, value($node, 'postgres', 'recorded, dropped');
	record($node, 'postgres', 100, 'waiting');
	my ($rc, $stdout, $stderr) = $node->psql('postgres', 'SELECT flowmaestro.flush()', timeout => 60);
	like($stderr, qr/could not flush the span buffer: could not extend file/, 'flush() says that there is no room');
	is(value($node, 'postgres', 'pending, rejected'), '100|0', 'the spans wait, and none is set aside');

	cmp_ok(seconds_of(sub { record($node, 'postgres', 20_000, 'waiting') }), '<', 30,
		'20,000 calls, most of them with a full buffer, do not take long');
	my ($r, $d, $balance) = split /\|/, value($node, 'postgres', 'recorded, dropped, recorded - flushed - pending');
	is($r - $recorded + $d - $dropped, 20_100, 'each call is either recorded or dropped');
	cmp_ok($d - $dropped, '>', 1000, 'many are dropped');
	is($balance, '0', 'recorded = flushed + pending');
	my $kept = $r - $recorded;

	# the same after a restart: what waits is in the file
	$node->restart;
	# the file is looked at when the writer has started
	ok($node->poll_query_until('postgres', "SELECT pending = $kept FROM flowmaestro.stats"),
		'a restart changes nothing')
	  or diag(value($node, 'postgres', '*'));
	$node->safe_psql('postgres', "DROP TRIGGER full_disk ON $partition");
	ok( $node->poll_query_until('postgres', 'SELECT pending = 0 FROM flowmaestro.stats'),
		'when there is room again the buffer empties');
	is(spans($node, 'postgres', 'waiting'), $kept, "all $kept recorded spans are in the table");
	is(rejected(), '0', 'none is set aside');
};

subtest 'an end that finds no room' => sub {
	my $id = $node->safe_psql('postgres', "SELECT span_id FROM flowmaestro.create_span('ended later', 'agent_run')");
	flush();
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE MODE');
	record($node, 'postgres', 20_000, 'filling');
	my $end = "SELECT flowmaestro.end_span('$id', to_jsonb(repeat('x', 20000)))";
	my ($rc, $stdout, $stderr) = $node->psql('postgres', $end);
	is($stdout, 'f', 'is not recorded');
	like($stderr, qr/WARNING:  span record dropped: the span buffer is full/, 'which is warned about');
	$holder->query_safe('COMMIT');
	$holder->quit;
	flush();
	is($node->safe_psql('postgres', $end), 't', 'when there is room the span can be ended');
	flush();
	is( $node->safe_psql('postgres', "SELECT status, length(output ->> 0) FROM flowmaestro.execution_spans WHERE span_id = '$id'"),
		'completed|20000', 'and has its end');
};
$node->stop;

done_testing();
