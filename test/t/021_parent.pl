# What a user does to execution_spans itself: partitions made afterwards have
# it, and spans go on arriving in them.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = recording_node('parent', "max_connections = 20\nflowmaestro.flush_interval = '500ms'\n");
my $days = 1;

# Record a span on a day that has no partition, by the writer, and one on
# another such day in the session's own transaction; both arrive, in partitions
# that are new.
sub arrives
{
	my ($what, $set) = @_;
	my ($buffered, $transactional) = ($days++, $days++);

	$set //= '';
	my ($rc, $stdout, $stderr) = $node->psql('postgres', qq($set
SELECT count(flowmaestro.create_span('$what', 'agent_run', 'entity', started_at => now() - interval '$buffered days'));
SET flowmaestro.write_mode = transactional;
SELECT count(flowmaestro.create_span('$what', 'agent_run', 'entity', started_at => now() - interval '$transactional days'));
SELECT flowmaestro.flush()));
	is($rc, 0, "$what: recording and flush() end well") or diag($stderr);
	is( $node->safe_psql('postgres', qq(
SELECT count(*) FROM flowmaestro.execution_spans AS s JOIN pg_class AS c ON c.oid = s.tableoid
WHERE s.name = '$what' AND c.relname = to_char(s.started_at AT TIME ZONE 'UTC', '"execution_spans_p"YYYYMMDD'))),
		'2', "$what: both spans are in new partitions");
	is($node->safe_psql('postgres', 'SELECT string_agg(DISTINCT message, $$; $$) FROM flowmaestro.rejected_spans'), '', "$what: nothing is set aside");
	return;
}

$node->safe_psql('postgres', 'CREATE SCHEMA mine; GRANT USAGE ON SCHEMA mine TO PUBLIC');
record($node, 'postgres', 1, 'first');
$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');

subtest 'constraints' => sub {
	$node->safe_psql('postgres', q(
ALTER TABLE flowmaestro.execution_spans ADD CONSTRAINT short CHECK (length(name) < 100);
ALTER TABLE flowmaestro.execution_spans ALTER duration_ms SET STATISTICS 10));
	arrives('CHECK on the parent');
	$node->safe_psql('postgres', q(
UPDATE flowmaestro.execution_spans SET entity_id = '' WHERE entity_id IS NULL;
ALTER TABLE flowmaestro.execution_spans ALTER entity_id SET NOT NULL));
	arrives('NOT NULL on the parent');
	$node->safe_psql('postgres', q(SELECT flowmaestro.create_span(repeat('x', 200), 'agent_run', 'e', started_at => now() - interval '20 days'); SELECT flowmaestro.flush()));
	is($node->safe_psql('postgres', 'DELETE FROM flowmaestro.rejected_spans RETURNING sqlstate'), '23514', 'a new partition has the CHECK');
};

subtest 'columns' => sub {
	$node->safe_psql('postgres', q(ALTER TABLE flowmaestro.execution_spans ADD tenant text NOT NULL DEFAULT 'none'));
	arrives('column with a default');
	$node->safe_psql('postgres', q(ALTER TABLE flowmaestro.execution_spans ADD shout text GENERATED ALWAYS AS (upper(name)) STORED));
	arrives('generated column');
	is($node->safe_psql('postgres', q(SELECT DISTINCT tenant, shout FROM flowmaestro.execution_spans WHERE name = 'generated column')),
		'none|GENERATED COLUMN', 'generated column: new partitions fill it');
	$node->safe_psql('postgres', 'ALTER TABLE flowmaestro.execution_spans DROP tenant');
	arrives('dropped column');
};

subtest 'spans that move out of the default partition' => sub {
	$node->safe_psql('postgres', q(
SELECT flowmaestro.create_span('moves', 'agent_run', 'e', started_at => '2150-01-01 12:00:00+00'); SELECT flowmaestro.flush();
ALTER TABLE flowmaestro.execution_spans ADD late int));
	is( $node->safe_psql('postgres', q(
SELECT flowmaestro.make_partition('2150-01-01 00:00:00+00');
SELECT tableoid::regclass, name, shout FROM flowmaestro.execution_spans WHERE name = 'moves')),
		"flowmaestro.execution_spans_p21500101\nflowmaestro.execution_spans_p21500101|moves|MOVES",
		'generated columns and those that came later do not stop them');
};

subtest 'what comes with the attachment' => sub {
	$node->safe_psql('postgres', 'CREATE INDEX ON flowmaestro.execution_spans (name)');
	arrives('index on the parent');
	$node->safe_psql('postgres', q(
CREATE UNIQUE INDEX ON flowmaestro.execution_spans (span_id, started_at)));
	arrives('unique index on the parent');
	$node->safe_psql('postgres', q(
CREATE TABLE mine.kinds (kind text PRIMARY KEY);
INSERT INTO mine.kinds VALUES ('agent_run');
ALTER TABLE flowmaestro.execution_spans ADD FOREIGN KEY (span_type) REFERENCES mine.kinds));
	arrives('foreign key of the parent');
	$node->safe_psql('postgres', q(
CREATE TABLE mine.seen (name text);
CREATE FUNCTION mine.see() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO mine.seen VALUES (NEW.name); RETURN NEW; END$$;
CREATE TRIGGER see BEFORE INSERT ON flowmaestro.execution_spans FOR EACH ROW EXECUTE FUNCTION mine.see()));
	arrives('trigger on the parent');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM mine.seen'), '1',
		'trigger on the parent: it fires in a session and not in the writer');
	$node->safe_psql('postgres', 'DROP TRIGGER see ON flowmaestro.execution_spans');
};

subtest 'rights' => sub {
	$node->safe_psql('postgres', 'ALTER TABLE flowmaestro.execution_spans ENABLE ROW LEVEL SECURITY');
	arrives('row security');
	$node->safe_psql('postgres', q(
ALTER TABLE flowmaestro.execution_spans DISABLE ROW LEVEL SECURITY;
CREATE ROLE keeper;
GRANT ALL ON mine.kinds TO keeper;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA flowmaestro TO keeper;
DROP TABLE flowmaestro.execution_spans_later;
DO $$
DECLARE
	t regclass;
BEGIN
	FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'flowmaestro'::regnamespace AND relkind IN ('r', 'p') LOOP
		EXECUTE format('ALTER TABLE %s OWNER TO keeper', t);
	END LOOP;
END
$$));
	my $day = $days++;
	$node->safe_psql('postgres', qq(
SELECT flowmaestro.create_span('no right', 'agent_run', 'e', started_at => now() - interval '$day days'); SELECT flowmaestro.flush()));
	like($node->safe_psql('postgres', 'SELECT sqlstate, message FROM flowmaestro.rejected_spans'),
		qr/^55P03\|partition for spans that start at .* could not be made: permission denied/,
		'an owner without rights on the schema: its spans wait aside, and the reason is told');
	$node->safe_psql('postgres', q(
GRANT CREATE ON SCHEMA flowmaestro TO keeper));
	ok($node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM flowmaestro.execution_spans WHERE name = 'no right')),
		'with the rights they arrive by themselves');
	arrives('another owner');
	is( $node->safe_psql('postgres', q(
SELECT DISTINCT c.relowner::regrole FROM flowmaestro.execution_spans AS s JOIN pg_class AS c ON c.oid = s.tableoid WHERE s.name = 'another owner')),
		'keeper', 'another owner: has the new partitions');
};

subtest 'settings of the session' => sub {
	my $directory = $node->basedir . '/tablespace';

	mkdir $directory;
	$node->safe_psql('postgres', "CREATE TABLESPACE elsewhere LOCATION '$directory'");
	$node->safe_psql('postgres', 'CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler; GRANT CREATE ON TABLESPACE elsewhere TO PUBLIC');
	# in its own transaction, from which the writer is shut out
	my $compression = $node->safe_psql('postgres', "SELECT enumvals[array_upper(enumvals, 1)] FROM pg_settings WHERE name = 'default_toast_compression'");
	my $settings = "SET default_tablespace = 'elsewhere'; SET default_table_access_method = 'other'; SET default_toast_compression = '$compression';";
	$node->safe_psql('postgres', "$settings SELECT flowmaestro.make_partition(now() - interval '30 days')");
	is( $node->safe_psql('postgres', q(
SELECT c.reltablespace, a.amname, (SELECT count(*) FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND x.reltablespace <> 0),
       (SELECT attcompression FROM pg_attribute WHERE attrelid = c.oid AND attname = 'name')
FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam
WHERE c.relname = to_char(now() AT TIME ZONE 'UTC' - interval '30 days', '"execution_spans_p"YYYYMMDD'))),
		'0|heap|0|', 'a partition that a session makes does not have them');
	$node->safe_psql('postgres', 'ALTER TABLE flowmaestro.execution_spans SET TABLESPACE elsewhere');
	my $partition = $node->safe_psql('postgres', "SELECT flowmaestro.make_partition(now() - interval '29 days')");
	is($node->safe_psql('postgres', "SELECT spcname FROM pg_class AS c JOIN pg_tablespace AS t ON t.oid = c.reltablespace WHERE c.oid = '$partition'::regclass"),
		'elsewhere', 'it lies in the tablespace of the parent');
};

is($node->safe_psql('postgres', 'SELECT dropped FROM flowmaestro.stats'), '0', 'no span was dropped');
$node->stop;

done_testing();
