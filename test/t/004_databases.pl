# The writers never stand in the way of what is done to databases and to the
# extension: DROP, CREATE and ALTER work while they run, what was recorded
# stays or goes with its table, and every database gets a writer in the end.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('databases', "max_worker_processes = 20\n");
my $directory = PostgreSQL::Test::Utils::tempdir();
my $launcher_pid =
  "SELECT pid FROM pg_stat_activity WHERE backend_type = 'flowmaestro_spans launcher'";
my $launcher = $node->safe_psql('postgres', $launcher_pid);

# what a busy session does
my $script = "$directory/client.sql";
append_to_file($script, "SELECT flowmaestro.create_span('busy', 'agent_run');\n" x 300_000);

# The ring file of a database.
sub ring_of
{
	my ($database) = @_;
	my $oid = $node->safe_psql('postgres', "SELECT oid FROM pg_database WHERE datname = '$database'");

	return (grep { /\.$oid\.ring$/ } ring_files($node))[0];
}

# Make a database that has recorded, so that its writer is up.
sub add_recorded
{
	my ($database) = @_;

	add_database($node, $database);
	record($node, $database, 100, 'old');
	$node->safe_psql($database, 'SELECT flowmaestro.flush()');
	isnt(writer_pid($node, $database), '', "the writer of $database is up");
	return;
}

# Spans arrive, without being asked for.
sub arrives
{
	my ($database, $name) = @_;

	record($node, $database, 100, $name);
	ok( $node->poll_query_until($database,
			"SELECT count(*) = 100 FROM flowmaestro.execution_spans WHERE name = '$name'"),
		"spans arrive in $database");
	return;
}

# A statement that ends well within some seconds.
sub works
{
	my ($sql, $seconds) = @_;
	my $rc;
	my $took = seconds_of(sub { $rc = $node->psql('postgres', $sql, timeout => 120) });

	is($rc, 0, $sql);
	cmp_ok($took, '<', $seconds // 15, 'it does not take long');
	return;
}

subtest 'DROP and CREATE EXTENSION' => sub {
	add_recorded('lives');
	my $client = start_psql($node, 'lives', $script, "$directory/lives");
	my $before = log_size($node);
	my $lives = join '', map {
		"SELECT count(flowmaestro.create_span('life$_', 'agent_run')) FROM generate_series(1, 50);\n"
		  . ($_ % 2 ? "SELECT flowmaestro.flush();\n" : '')
		  . "DROP EXTENSION flowmaestro_spans; CREATE EXTENSION flowmaestro_spans;\n"
	} 1 .. 30;
	cmp_ok(seconds_of(sub { $node->safe_psql('lives', $lives, timeout => 170) }),
		'<', 120, '30 lives of the extension');
	$client->kill_kill;
	arrives('lives', 'last');
	is( $node->safe_psql('lives',
			"SELECT count(*) FROM flowmaestro.execution_spans WHERE name LIKE 'life%' OR name = 'old'"),
		'0', 'no span of an old life is in the new table');
	is(scalar(our_errors($node, $before)), 0, 'neither writer nor launcher logged an error')
	  or diag(our_errors($node, $before));
};

subtest 'DROP DATABASE' => sub {
	add_recorded('dropped');
	my $ring = ring_of('dropped');
	ok($ring, 'it has a ring file');
	works('DROP DATABASE dropped');
	is(scalar(grep { $_ eq $ring } ring_files($node)), 0, 'its ring file is gone');

	# with records that wait for a writer that can't write
	add_recorded('locked');
	$node->safe_psql('locked', 'ALTER TABLE flowmaestro.execution_spans RENAME COLUMN output TO output_x');
	record($node, 'locked', 100, 'pending');
	works('DROP DATABASE locked');

	# others
	$node->safe_psql('postgres', 'CREATE DATABASE bystander');
	add_recorded('recorded');
	works('DROP DATABASE bystander');
	$node->safe_psql('postgres', 'CREATE DATABASE bystander');
	my $client = start_psql($node, 'recorded', $script, "$directory/recorded");
	ok( $node->poll_query_until('recorded',
			"SELECT count(*) > 100 FROM flowmaestro.execution_spans WHERE name = 'busy'"),
		'a writer is busy');
	works('DROP DATABASE bystander');
	$client->kill_kill;
};

subtest 'a session that has no memory to map the ring' => sub {
	my ($pages) = split / /, slurp_file('/proc/' . writer_pid($node, 'recorded') . '/statm');
	plan(skip_all => 'a sanitizer wants all memory') if $pages > 2**28;
	add_recorded('narrow');
	my $ring = ring_of('narrow');
	my $offset = log_size($node);
	# less address space than the ring takes, beyond what the backend has already
	$node->psql('narrow', <<'SQL');
SELECT pg_backend_pid() AS pid \gset
\setenv BACKEND :pid
\! prlimit --pid $BACKEND --as=$(($(awk '/^VmSize/ {print $2}' /proc/$BACKEND/status) * 1024 + 16777216))
SELECT flowmaestro.create_span('lost', 'agent_run');
SQL
	is(scalar(log_lines($node, qr/could not map span buffer file/, $offset)), 1, 'says so');
	is(ring_of('narrow'), $ring, 'the ring stays where others look for it');
	is(scalar(log_lines($node, qr/is damaged/, $offset)), 0, 'and counts as sound');
	arrives('narrow', 'after');
};

subtest 'a DROP DATABASE that fails' => sub {
	my $other = $node->background_psql('recorded');
	my ($rc, $stdout, $stderr) = $node->psql('postgres', 'DROP DATABASE recorded');
	isnt($rc, 0, 'it fails');
	# ours is not counted
	like($stderr, qr/There is 1 other session using the database/, 'because of the other session');
	arrives('recorded', 'after failure');
	$other->quit;

	$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN');
	my $writer = writer_pid($node, 'recorded');
	($rc, $stdout, $stderr) = $node->psql('postgres', 'SET ROLE stranger; DROP DATABASE recorded');
	like($stderr, qr/must be owner/, 'who does not own it can not drop it');
	is(writer_pid($node, 'recorded'), $writer, 'nor send its writer away');
};

subtest 'DROP DATABASE WITH (FORCE)' => sub {
	add_recorded('forced');
	my $ring = ring_of('forced');
	my $client = start_psql($node, 'forced', $script, "$directory/forced");
	ok( $node->poll_query_until('forced',
			"SELECT count(*) > 100 FROM flowmaestro.execution_spans WHERE name = 'busy'"),
		'a session records');
	my $offset = log_size($node);
	works('DROP DATABASE forced WITH (FORCE)');
	$client->finish;
	ok(!-e $node->data_dir . "/flowmaestro_spans/$ring", 'its ring file is gone');
	arrives('recorded', 'after force');
	is(scalar(log_lines($node, qr/database "?\w+"? does not exist|FATAL: .*flowmaestro/, $offset)),
		0, 'nobody looks for the database any more');
};

subtest 'CREATE DATABASE with a template that records' => sub {
	my $count = $node->safe_psql('recorded',
		'SELECT flowmaestro.flush(); SELECT count(*) FROM flowmaestro.execution_spans') =~ s/\n//r;
	isnt(writer_pid($node, 'recorded'), '', 'its writer is up');
	works('CREATE DATABASE copy TEMPLATE recorded');
	is(spans($node, 'copy'), $count, 'the copy has its spans');
	arrives('copy', 'in the copy');
	arrives('recorded', 'in the template');
	is(spans($node, 'recorded', 'in the copy'), '0', 'each writes its own');
	is(spans($node, 'copy', 'in the template'), '0', 'in its own table');
	is( $node->safe_psql('recorded',
			"SELECT flowmaestro.end_span(span_id) FROM flowmaestro.execution_spans WHERE name = 'in the template' LIMIT 1"),
		't', 'an open span can be ended');

	# a writer that was sent away comes back at once, however often
	my $longest = 0;
	foreach my $turn (1 .. 5)
	{
		record($node, 'recorded', 10, 'between copies');
		my $took = seconds_of(sub { $node->safe_psql('recorded', 'SELECT flowmaestro.flush()') });
		$longest = $took if $took > $longest;
		$node->safe_psql('postgres', 'CREATE DATABASE again TEMPLATE recorded');
		$node->safe_psql('postgres', 'DROP DATABASE again');
	}
	cmp_ok($longest, '<', 5, 'flush() waits for no punishment');
};

subtest 'ALTER DATABASE' => sub {
	record($node, 'copy', 100, 'before rename');
	works('ALTER DATABASE copy RENAME TO renamed');
	ok( $node->poll_query_until('renamed',
			"SELECT count(*) = 100 FROM flowmaestro.execution_spans WHERE name = 'before rename'"),
		'what was recorded before arrives after');
	arrives('renamed', 'after rename');

	# spans that wait in a database that lets nobody in
	$node->append_conf('postgresql.conf',
		"flowmaestro.batch_size = 1000000\nflowmaestro.flush_interval = '1h'\n");
	$node->reload;
	$node->safe_psql('renamed', 'SELECT flowmaestro.flush()');
	ok($node->poll_query_until('renamed', "SELECT current_setting('flowmaestro.flush_interval') = '1h'"),
		'the writer is in no hurry');
	record($node, 'renamed', 1, 'wake up');
	$node->safe_psql('renamed', 'SELECT flowmaestro.flush()');
	record($node, 'renamed', 100, 'shut in');
	is(spans($node, 'renamed', 'shut in'), '0', 'spans wait');
	$node->safe_psql('postgres', 'ALTER DATABASE renamed ALLOW_CONNECTIONS false');
	$node->stop('immediate');
	$node->start;
	ok( $node->poll_query_until('postgres',
			"SELECT tup_inserted >= 100 FROM pg_stat_database WHERE datname = 'renamed'"),
		'after a crash they are written, though nobody may connect');
	$node->safe_psql('postgres', 'ALTER DATABASE renamed ALLOW_CONNECTIONS true');
	is(spans($node, 'renamed', 'shut in'), '100', 'they are there');
	$node->append_conf('postgresql.conf',
		"flowmaestro.batch_size = 10\nflowmaestro.flush_interval = '5s'\n");
	$node->reload;
	$launcher = $node->safe_psql('postgres', $launcher_pid);
};

my @three = map { "three$_" } 1 .. 3;
subtest 'three databases at once' => sub {
	add_recorded($_) foreach @three;
	my @clients = map { start_psql($node, $_, $script, "$directory/$_") } @three;
	arrives($_, 'at once') foreach @three;
	$_->kill_kill foreach @clients;
	foreach my $database (@three)
	{
		$node->safe_psql($database, 'SELECT flowmaestro.flush()');
		is(value($node, $database, 'pending, dropped, recorded = flushed'), '0|0|t', "$database is up to date");
	}
};

is($node->safe_psql('postgres', $launcher_pid), $launcher, 'the launcher is still the same');
is(scalar(log_lines($node, qr/"flowmaestro_spans launcher" .*exited|PANIC|was terminated by signal/)),
	0, 'and nothing crashed');

subtest 'no place for all writers' => sub {
	# one place is the launcher's, the other a writer's; nobody else takes one,
	# and an idle writer would stay for an hour
	$node->append_conf('postgresql.conf',
		"max_worker_processes = 2\nmax_logical_replication_workers = 0\n"
		  . "max_parallel_workers_per_gather = 0\nflowmaestro.flush_interval = '1h'\n");
	my $offset = log_size($node);
	$node->restart;
	foreach my $turn (1 .. 2)
	{
		record($node, $_, 100, "place$turn") foreach @three;
		foreach my $database (@three)
		{
			ok( wait_until(sub { spans($node, $database, "place$turn") == 100 }, 60),
				"the spans of $database arrive, turn $turn");
		}
	}
	my $warnings = log_lines($node, qr/could not start a flowmaestro_spans writer: no free background worker/, $offset);
	cmp_ok($warnings, '>=', 1, 'the log tells');
	cmp_ok($warnings, '<=', 5, 'not too often');
	cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 10, 'the server stops as fast as ever');
};

done_testing();
