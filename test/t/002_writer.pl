# The writer does its work whatever a database's settings say, comes back when
# it is terminated, holds no transaction while it has nothing to do, is seen by
# the statistics, writes without being asked, and, when it can't write at all,
# neither floods the log, nor hangs flush(), nor holds up a shutdown, nor
# loses anything.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('writer', "flowmaestro.flush_interval = '10min'\n");
my $writer = "backend_type = 'flowmaestro_spans writer'";

# flush() of spans that can't be written; returns its message
sub flush_error
{
	my ($rc, $stdout, $stderr) = $node->psql('postgres', 'SELECT flowmaestro.flush()', timeout => 60);

	isnt($rc, 0, 'flush() fails');
	return $stderr;
}

subtest 'hostile settings of the database' => sub {
	add_database($node, 'hostile');
	$node->safe_psql('postgres', 'CREATE ROLE nobody');
	$node->safe_psql(
		'hostile', q(
CREATE SCHEMA trap;
CREATE FUNCTION trap.concat(jsonb, jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE OPERATOR trap.|| (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = trap.concat);
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
));
	my %settings = (
		default_transaction_read_only => 'on',
		default_transaction_isolation => 'serializable',
		default_transaction_deferrable => 'on',
		search_path => 'trap, pg_catalog',
		statement_timeout => '1ms',
		lock_timeout => '1ms',
		idle_in_transaction_session_timeout => '1ms',
		session_replication_role => 'origin',
		timezone => 'Pacific/Kiritimati',
		datestyle => 'SQL, DMY',
		intervalstyle => 'iso_8601',
		bytea_output => 'escape',
		extra_float_digits => '-15',
		standard_conforming_strings => 'off',
		array_nulls => 'off',
		transform_null_equals => 'on',
		row_security => 'off',
		check_function_bodies => 'on',
		default_table_access_method => 'garbage',
		default_tablespace => 'garbage',
		enable_seqscan => 'off',
		enable_indexscan => 'off',
		enable_bitmapscan => 'off',
		jit => 'on',
		jit_above_cost => '0',
		work_mem => '64kB',
		plan_cache_mode => 'force_generic_plan',
		'flowmaestro.enabled' => 'off',
		'flowmaestro.write_mode' => 'transactional',
		role => 'nobody');
	# since 19 strings have no other form
	delete $settings{standard_conforming_strings} if $node->pg_version->major >= 19;
	foreach (sort keys %settings)
	{
		my $value = $_ eq 'search_path' ? $settings{$_} : "'$settings{$_}'";
		$node->safe_psql('postgres', "ALTER DATABASE hostile SET $_ = $value");
	}
	# our own sessions know what they want
	local $ENV{PGOPTIONS} = '-c role=none -c flowmaestro.enabled=on -c flowmaestro.write_mode=buffered '
	  . '-c statement_timeout=0 -c default_transaction_read_only=off -c search_path=pg_catalog';
	is($node->safe_psql('hostile', 'SHOW default_transaction_isolation'),
		'serializable', 'the settings are in force');
	is( $node->safe_psql(
			'hostile', q(
SELECT span_id AS a FROM flowmaestro.create_span('hostile', 'agent_run', attributes => '{"k": [1, null]}',
	started_at => '2020-02-29 12:00:00+00') \gset
SELECT count((flowmaestro.create_span('hostile', 'agent_run')).span_id) FROM generate_series(1, 99);
SELECT flowmaestro.flush();
SELECT flowmaestro.set_span_attributes(:'a', '{"l": 1}');
SELECT flowmaestro.end_span(:'a', ended_at => '2020-02-29 12:00:01+00');
SELECT flowmaestro.flush();
SELECT status, attributes, duration_ms = 1000, tableoid::regclass FROM flowmaestro.execution_spans
WHERE started_at < '2021-01-01';
)),
		"99\n\nt\nt\n\ncompleted|{\"k\": [1, null], \"l\": 1}|t|flowmaestro.execution_spans_older",
		'spans arrive, in the right partition');
	is(spans($node, 'hostile', 'hostile'), '100', 'all of them');
	is(value($node, 'hostile', 'flush_errors, rejected, dropped'), '0|0|0', 'nothing went wrong');
};

subtest 'a terminated writer comes back' => sub {
	record($node, 'postgres', 100, 'first');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	my $first = writer_pid($node, 'postgres');
	like($first, qr/^\d+$/, 'there is one writer');
	foreach my $turn (1 .. 3)
	{
		my $old = writer_pid($node, 'postgres');

		$node->safe_psql('postgres', "SELECT pg_terminate_backend($old)");
		ok( $node->poll_query_until('postgres',
				"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $old)"),
			'it goes');
		record($node, 'postgres', 100, "turn$turn");
		$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
		is(spans($node, 'postgres', "turn$turn"), '100', 'spans arrive');
		isnt(writer_pid($node, 'postgres'), $old, 'from another process');
	}
	# it finishes what it is at: nothing is written twice
	is( $node->safe_psql('postgres',
			'SELECT count(*) - count(DISTINCT span_id) FROM flowmaestro.execution_spans'),
		'0', 'no span is there twice');
};

subtest 'an idle writer holds nothing' => sub {
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) > 0 AND bool_and(state = 'idle' AND backend_xmin IS NULL AND backend_xid IS NULL AND xact_start IS NULL) FROM pg_stat_activity WHERE $writer"
		),
		'no transaction and no snapshot');
	is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE $writer"),
		'0', 'and no lock');
};

subtest 'the statistics see what is written' => sub {
	my $inserted = 'SELECT coalesce(sum(n_tup_ins), 0) FROM pg_stat_user_tables WHERE relname LIKE \'execution_spans_%\'';
	my $before = $node->safe_psql('postgres', $inserted);

	record($node, 'postgres', 1000, 'counted');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	ok($node->poll_query_until('postgres', "SELECT ($inserted) >= $before + 1000"),
		'n_tup_ins of the partitions grows');
};

subtest 'a span is written without flush()' => sub {
	$node->append_conf('postgresql.conf', "flowmaestro.flush_interval = '200ms'\nflowmaestro.batch_size = 1000000");
	$node->reload;
	record($node, 'postgres', 3, 'unasked');
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 3 FROM flowmaestro.execution_spans WHERE name = 'unasked'"),
		'after flush_interval');
	$node->append_conf('postgresql.conf', "flowmaestro.flush_interval = '10min'\nflowmaestro.batch_size = 10");
	$node->reload;
	record($node, 'postgres', 10, 'full batch');
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 10 FROM flowmaestro.execution_spans WHERE name = 'full batch'"),
		'at batch_size');
};

subtest 'a writer that always fails' => sub {
	my $offset = log_size($node);
	my $before = value($node, 'postgres', 'flush_errors');
	my $six = "SELECT flush_errors >= $before + 6 FROM flowmaestro.stats";

	$node->safe_psql('postgres', 'ALTER TABLE flowmaestro.execution_spans RENAME COLUMN output TO output_x');
	is(record($node, 'postgres', 500, 'stuck'), '500', 'callers do not notice');
	cmp_ok(seconds_of(sub { like(flush_error(), qr/could not flush the span buffer: .*"output" .*does not exist/, 'and says why') }),
		'<', 30, 'in time');
	# 6 failures with pauses of 100, 200, 400, 800 and 1600 ms, whoever asks meanwhile
	cmp_ok( seconds_of(
			sub {
				ok( wait_until(
						sub {
							record($node, 'postgres', 20, 'stuck');
							$node->safe_psql('postgres', $six) eq 't';
						}),
					'it tries again');
			}),
		'>', 1.5, 'less and less often');
	my @errors = our_errors($node, $offset);
	my $failures = value($node, 'postgres', 'flush_errors') - $before;
	cmp_ok(scalar(@errors), '<=', $failures + 1, 'one line in the log for each time');
	my $lines = log_lines($node, qr/flowmaestro_spans/, $offset);
	cmp_ok($lines, '<=', 5 * ($failures + 1), 'and little else');
	is(value($node, 'postgres', 'last_error ~ \'output\', rejected, dropped'), 't|0|0', 'the counters tell');

	my $recorded = value($node, 'postgres', 'pending');
	$node->safe_psql('postgres', 'ALTER TABLE flowmaestro.execution_spans RENAME COLUMN output_x TO output');
	ok( $node->poll_query_until('postgres', 'SELECT pending = 0 FROM flowmaestro.stats'),
		'once it can write, it does');
	is(spans($node, 'postgres', 'stuck'), $recorded, "all $recorded spans");
	is(value($node, 'postgres', 'last_error IS NULL'), 't', 'and all is well');
};

subtest 'a fast stop while the writer fails' => sub {
	$node->safe_psql('postgres', 'ALTER TABLE flowmaestro.execution_spans RENAME COLUMN output TO output_x');
	record($node, 'postgres', 5000, 'stopped');
	flush_error();
	cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 10, 'takes less than 10 s');
	$node->start;
	$node->safe_psql('postgres', 'ALTER TABLE flowmaestro.execution_spans RENAME COLUMN output_x TO output');
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 5000 FROM flowmaestro.execution_spans WHERE name = 'stopped'"),
		'afterwards everything arrives');
};
$node->stop;

done_testing();
