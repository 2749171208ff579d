# A buffer file that is older or newer than its table, or another node's: put back
# after a crash, out of a snapshot, on a standby that is promoted, in a restore to
# a point in time, after pg_rewind, after two changes of place.  Whatever the file,
# what is recorded after a start is written, what the table has is not written
# again, and an older value does not come over a newer one.

use strict;
use warnings FATAL => 'all';

use File::Copy qw(copy);
use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# a server can be built without what a standby needs
chomp(my $libraries = `pg_config --pkglibdir`);
plan skip_all => 'this server has no libpqwalreceiver'
  unless glob "$libraries/libpqwalreceiver.*";

my $conf = q(
max_prepared_transactions = 5
wal_log_hints = on
wal_keep_size = 256MB
flowmaestro.buffer_size = 4MB
flowmaestro.max_payload = 64kB
);
my $saved = PostgreSQL::Test::Utils::tempdir() . '/saved';

# Keep the writer from the table, also through restarts, until release().
sub hold
{
	my ($node) = @_;

	$node->safe_psql('postgres',
		"BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE MODE; PREPARE TRANSACTION 'hold'");
	return;
}

# Let the writer go on.
sub release
{
	my ($node) = @_;

	$node->safe_psql('postgres', "COMMIT PREPARED 'hold'");
	return;
}

# Record n spans of a name with one event each: events are no longer one if a
# record is written twice.
sub record_events
{
	my ($node, $name, $n) = @_;

	return $node->safe_psql('postgres', qq(
SELECT count(*) FILTER (WHERE flowmaestro.add_span_event((flowmaestro.create_span('$name', 'agent_run')).span_id, 'e'))
FROM generate_series(1, $n)));
}

# After a flush: all n spans of a name are in the table, with one event each.
sub all_once
{
	my ($node, $name, $n, $what) = @_;

	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is( $node->safe_psql('postgres', qq(
SELECT count(*), count(*) FILTER (WHERE jsonb_array_length(events) = 1)
FROM flowmaestro.execution_spans WHERE name = '$name')),
		"$n|$n", $what);
	return;
}

# The node lost nothing since its start, and knows it.
sub nothing_lost
{
	my ($node) = @_;

	is(value($node, 'postgres', 'recorded = flushed AND pending + dropped + rejected = 0'),
		't', 'nothing is lost since the start');
	is(scalar(our_errors($node)), 0, 'no error was logged') or diag(our_errors($node));
	return;
}

# The path of a node's only buffer file.
sub ring_path
{
	my ($node) = @_;
	my ($file) = ring_files($node);

	return $node->data_dir . "/flowmaestro_spans/$file";
}

my $primary = recording_node('primary', $conf, allows_streaming => 1);

subtest 'the ring of a crash is put back' => sub {
	hold($primary);
	is(record_events($primary, 'crash', 100), '100', 'spans wait in the ring');
	$primary->stop('immediate');
	copy(ring_path($primary), $saved) or die $!;
	$primary->start;
	is( $primary->safe_psql('postgres', "SELECT count(*) FROM flowmaestro.active_spans WHERE name = 'crash'"),
		'100', 'after the crash they are known to run');
	is( $primary->safe_psql('postgres', q(
SELECT c.trace_id = a.trace_id
FROM (SELECT * FROM flowmaestro.active_spans WHERE name = 'crash' LIMIT 1) AS a,
	flowmaestro.create_child_span(a.span_id, 'child', 'agent_run') AS c)),
		't', 'a child gets the trace of one of them');
	release($primary);
	all_once($primary, 'crash', 100, 'they are written');
	record_events($primary, 'gone', 300);
	all_once($primary, 'gone', 300, 'and others');
	hold($primary);
	$primary->stop('immediate');
	copy($saved, ring_path($primary)) or die $!;

	# two starts without a batch: both record at places where the lost ring had been
	$primary->start;
	record_events($primary, 'first start', 50);
	$primary->stop('immediate');
	$primary->start;
	record_events($primary, 'second start', 50);
	release($primary);
	all_once($primary, 'first start', 50, 'what the first start recorded is written');
	all_once($primary, 'second start', 50, 'what the second start recorded is written');
	all_once($primary, 'crash', 100, 'what was in the ring and in the table is written once');
	nothing_lost($primary);
};

subtest 'a snapshot becomes a standby and is promoted' => sub {
	hold($primary);
	record_events($primary, 'snapshot', 100);
	$primary->stop('immediate');
	$primary->backup_fs_cold('snapshot');
	$primary->start;
	my $standby = PostgreSQL::Test::Cluster->new('snapshot');
	$standby->init_from_backup($primary, 'snapshot', has_streaming => 1);
	is(scalar(ring_files($standby)), 1, 'the snapshot has a ring');
	$standby->start;
	release($primary);
	all_once($primary, 'snapshot', 100, 'the primary writes what waited');
	record_events($primary, 'meanwhile', 2000);
	all_once($primary, 'meanwhile', 2000, 'and goes on');
	# no writer has looked at the ring before the first spans are recorded
	hold($primary);
	$primary->wait_for_catchup($standby);
	$standby->promote;
	release($primary);
	record_events($standby, 'promoted', 1000);
	release($standby);
	all_once($standby, 'promoted', 1000, 'what the promoted standby records is written');
	all_once($standby, 'snapshot', 100, 'what waited in its ring is written once');
	nothing_lost($standby);
	$standby->stop;
};

subtest 'two nodes change places' => sub {
	hold($primary);
	record_events($primary, 'failover', 8);
	my $id = $primary->safe_psql('postgres',
		"SELECT span_id FROM flowmaestro.active_spans WHERE name = 'failover' LIMIT 1");
	$primary->safe_psql('postgres', "SELECT flowmaestro.set_span_attributes('$id', '{\"k\": 1}')");
	$primary->stop('immediate');
	copy(ring_path($primary), $saved) or die $!;
	$primary->start;
	release($primary);
	all_once($primary, 'failover', 8, 'the primary has written its ring');
	$primary->backup('backup');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($primary, 'backup', has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby);
	# as after a death between the commit and the acknowledgement: the ring still has all
	$primary->stop('fast');
	copy($saved, ring_path($primary)) or die $!;

	$standby->promote;
	$standby->safe_psql('postgres', "SELECT flowmaestro.set_span_attributes('$id', '{\"k\": 2}')");
	record_events($standby, 'on the standby', 100);
	all_once($standby, 'on the standby', 100, 'the standby took over');

	$primary->enable_streaming($standby);
	$primary->start;
	$standby->wait_for_catchup($primary);
	$standby->stop('fast');
	$primary->promote;
	record_events($primary, 'back again', 100);
	all_once($primary, 'back again', 100, 'the primary took over again');
	all_once($primary, 'failover', 8, 'its ring is not written again');
	is( $primary->safe_psql('postgres',
			"SELECT attributes ->> 'k' FROM flowmaestro.execution_spans WHERE span_id = '$id'"),
		'2', 'the newer value stays');
	nothing_lost($primary);
};

subtest 'pg_rewind' => sub {
	$primary->backup('rewind');
	my $standby = PostgreSQL::Test::Cluster->new('rewind');
	$standby->init_from_backup($primary, 'rewind', has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby);
	hold($primary);
	record_events($primary, 'waiting', 100);
	$primary->stop('immediate');
	$standby->promote;
	release($standby);
	$standby->safe_psql('postgres', 'CHECKPOINT');
	record_events($standby, 'new primary', 100);
	all_once($standby, 'new primary', 100, 'the standby took over');

	# pg_rewind wants a clean end of the old primary's log
	my $directory = $primary->data_dir . '/flowmaestro_spans';
	system_or_bail('cp', '-a', $directory, "$saved.directory");
	$primary->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
	$primary->start;
	$primary->stop;
	command_ok(
		[
			'pg_rewind', '--target-pgdata', $primary->data_dir,
			'--source-server', $standby->connstr('postgres')
		],
		'pg_rewind runs');
	is_deeply([ ring_files($primary) ], [], 'it removes the ring of the old primary');
	system_or_bail('rm', '-rf', $directory);
	system_or_bail('cp', '-a', "$saved.directory", $directory);
	# the settings are the new primary's now
	$primary->append_conf('postgresql.conf',
		'port = ' . $primary->port . "\nshared_preload_libraries = 'flowmaestro_spans'\n");
	$primary->enable_streaming($standby);
	$primary->start;
	$standby->wait_for_catchup($primary);
	$standby->stop('fast');
	$primary->promote;
	record_events($primary, 'after pg_rewind', 100);
	all_once($primary, 'after pg_rewind', 100, 'the old primary records again');
	all_once($primary, 'waiting', 100, 'a ring that was put back is written');
	all_once($primary, 'new primary', 100, 'what the other node wrote is there');
	nothing_lost($primary);
};

subtest 'a restore to a point in time, with the ring of later' => sub {
	my $restored = PostgreSQL::Test::Cluster->new('restored');

	$primary->append_conf('postgresql.conf', "archive_mode = off\n");
	$primary->backup('base');
	record_events($primary, 'before the point', 100);
	all_once($primary, 'before the point', 100, 'spans before the point');
	my $point = $primary->safe_psql('postgres', "SELECT pg_create_restore_point('point')");
	record_events($primary, 'after the point', 100);
	all_once($primary, 'after the point', 100, 'spans after it');
	hold($primary);
	record_events($primary, 'in the ring', 100);
	$primary->stop('immediate');

	$restored->init_from_backup($primary, 'base', has_restoring => 1);
	$restored->append_conf('postgresql.conf', "recovery_target_name = 'point'\nrecovery_target_action = promote\n");
	$restored->append_conf('postgresql.conf',
		"restore_command = 'cp \"" . $primary->data_dir . "/pg_wal/%f\" \"%p\"'\n");
	mkdir($restored->data_dir . '/flowmaestro_spans', 0700);
	my ($file) = ring_files($primary);
	copy(ring_path($primary), $restored->data_dir . "/flowmaestro_spans/$file") or die $!;
	$restored->start;
	ok($restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), 'it is restored');
	record_events($restored, 'restored', 100);
	all_once($restored, 'restored', 100, 'what is recorded after the restore is written');
	all_once($restored, 'before the point', 100, 'what was written before the point is there once');
	all_once($restored, 'in the ring', 100, 'what still waited in the ring is written');
	is(spans($restored, 'postgres', 'after the point'), '0', 'what the ring had let go is gone');
	nothing_lost($restored);
	$restored->stop;
};

subtest 'the notes are bounded' => sub {
	$primary->start;
	$primary->safe_psql('postgres', "ROLLBACK PREPARED 'hold'");
	$primary->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	$primary->safe_psql('postgres', q(
INSERT INTO flowmaestro.writer_progress SELECT i, i, now() - i * interval '1 minute' FROM generate_series(1, 1500) AS i;
INSERT INTO flowmaestro.writer_progress VALUES (-1, 1, now() - interval '91 days'), (-2, 1, now() + interval '1 minute')));
	$primary->restart;
	record_events($primary, 'bounded', 1);
	all_once($primary, 'bounded', 1, 'a writer runs');
	is( $primary->safe_psql('postgres', q(
SELECT count(*), count(*) FILTER (WHERE life_id = -1), count(*) FILTER (WHERE life_id = -2)
FROM flowmaestro.writer_progress)),
		'1001|0|1', 'old rows go, new ones stay');
};
$primary->stop;

done_testing();
