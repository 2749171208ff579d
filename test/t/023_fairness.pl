# A full buffer: each call waits as long as its own session's setting says,
# whatever others give up.  While the writer makes progress nobody who waits
# loses a record; a writer that stands still costs only the first calls a wait.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('fairness',
	"flowmaestro.buffer_size = '1MB'\nflowmaestro.flush_interval = '10min'\nflowmaestro.full_wait = '30s'\n");
my $directory = PostgreSQL::Test::Utils::tempdir;

# A session in the background that records n spans of about 8 kB, or with 0 goes
# on until it is ended, with a full_wait of its own.
sub start_recording
{
	my ($name, $n, $full_wait) = @_;

	my $record = "flowmaestro.create_span('$name', 'agent_run', input => to_jsonb(repeat('x', 8000)))";
	my $statement = $n > 0
	  ? "SELECT count(($record).span_id) FROM generate_series(1, $n)"
	  : "DO \$\$BEGIN LOOP PERFORM $record; END LOOP; END\$\$";
	append_to_file("$directory/$name.sql",
		"SET flowmaestro.full_wait = '$full_wait'; SET client_min_messages = error;\n$statement;\n");
	return start_psql($node, 'postgres', "$directory/$name.sql", "$directory/$name.out", $name);
}

# Have each statement that writes spans do something before.
sub before_each_write
{
	my ($action) = @_;
	my $partition = $node->safe_psql('postgres',
		"SELECT tableoid::regclass FROM flowmaestro.execution_spans LIMIT 1");

	# a trigger that fires for a writer, which runs as replica
	$node->safe_psql(
		'postgres', qq(
CREATE OR REPLACE FUNCTION before_write() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN $action; RETURN NULL; END\$\$;
DROP TRIGGER IF EXISTS before_write ON $partition;
CREATE TRIGGER before_write BEFORE INSERT ON $partition FOR EACH STATEMENT EXECUTE FUNCTION before_write();
ALTER TABLE $partition ENABLE ALWAYS TRIGGER before_write));
	return;
}

record($node, 'postgres', 1, 'first');
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');

subtest 'sessions that do not wait, beside one that does' => sub {
	before_each_write('PERFORM pg_sleep(0.2)');
	my @hasty = (start_recording('never waits', 0, '0'), start_recording('waits little', 0, '20ms'));
	my $patient = start_recording('waits', 500, '30s');
	$patient->finish;
	$node->safe_psql('postgres',
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('never waits', 'waits little')");
	$_->finish foreach @hasty;
	before_each_write('NULL');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(spans($node, 'postgres', 'waits'), 500, 'who waits loses nothing');
	cmp_ok(value($node, 'postgres', 'dropped'), '>', 0, 'who does not wait loses records');
};

subtest 'a writer that stands still' => sub {
	before_each_write("RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'");
	my $waited = value($node, 'postgres', 'waited');
	start_recording('stuck', 1000, '200ms')->finish;
	cmp_ok(value($node, 'postgres', 'waited') - $waited, '<', 20, 'costs only the first calls a wait');
	start_recording('hopes', 1, '0')->finish;
	before_each_write('NULL');
	ok($node->poll_query_until('postgres', 'SELECT pending = 0 FROM flowmaestro.stats'), 'until it writes again');

	my $dropped = value($node, 'postgres', 'dropped');
	before_each_write('PERFORM pg_sleep(0.2)');
	start_recording('after', 500, '30s')->finish;
	before_each_write('NULL');
	is(value($node, 'postgres', 'dropped'), $dropped, 'then calls wait for it again, and nothing is dropped');
};

$node->stop;
done_testing();
