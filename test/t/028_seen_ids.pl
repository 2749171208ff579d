# The filter in shared memory that knows which ids the directory may have: a new
# id is told without a look at the directory, and one that the directory has is
# never taken for new, however its entry came there.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use Test::More;

my $node = recording_node('seen', "flowmaestro.flush_interval = '100ms'\nmax_prepared_transactions = 2\n");
my $next = 0;

sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]); }

# An id that nobody has had.
sub new_id { return sprintf('%08x-1111-4111-9000-000000000001', ++$next); }

# Whether a new id is told from the filter alone: nobody can read the directory
# meanwhile, and the end is still known to be one of an unknown span.
sub is_relied_on
{
	my ($database) = @_;
	my $orphans = q(SELECT orphan_ends FROM flowmaestro.stats);
	my $session = $node->background_psql($database // 'postgres');

	my $holder = $node->background_psql($database // 'postgres');
	$holder->query_safe('BEGIN; LOCK TABLE flowmaestro.span_id_directory IN ACCESS EXCLUSIVE MODE');
	my $before = $session->query_safe($orphans);
	$session->query_safe("SELECT flowmaestro.end_span('" . new_id() . "')");
	my $after = $session->query_safe($orphans);
	$holder->query_safe('ROLLBACK');
	$_->quit foreach ($session, $holder);
	sql('SELECT flowmaestro.flush()', $database);
	return $after > $before;
}

# A span of ours that is in the table and not in memory is found by its id.
sub is_found
{
	my ($span_id, $what, $database) = @_;

	is(sql("SELECT trace_id <> 'ffffffff-1111-4111-8111-111111111111' FROM flowmaestro.create_span('again', 'agent_run',
			trace_id => 'ffffffff-1111-4111-8111-111111111111', span_id => '$span_id')", $database), 't', "$what is found");
	sql('SELECT flowmaestro.flush()', $database);
	is(sql("SELECT count(*) FROM flowmaestro.execution_spans WHERE span_id = '$span_id'", $database), 1, "$what is one row");
	return;
}

my $written = new_id();
sql("SELECT flowmaestro.create_span('written', 'agent_run', span_id => '$written'), flowmaestro.end_span('$written'), flowmaestro.flush()");
ok(wait_until(sub { is_relied_on() }), 'a new id is told without the directory');
is_found($written, 'a span that was written');

# How often somebody read all of the directory, which the writer does.
sub loads { return sql(q(SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'span_id_directory')); }

# a start of the server; what is prepared keeps everybody from locking the directory
my $prepared = new_id();
sql("SET flowmaestro.write_mode = transactional; BEGIN; SELECT flowmaestro.create_span('prepared', 'agent_run', span_id => '$prepared');
	PREPARE TRANSACTION 'p'");
my $loads = loads();
$node->restart;
ok(wait_until(sub { record($node, 'postgres', 1, 'wake the writer'); loads() > $loads }), 'the writer reads the directory after a restart');
is_found($written, 'a span of before the restart');
sql("COMMIT PREPARED 'p'");
is_found($prepared, 'a span that was prepared before the restart and committed after it');

ok(is_relied_on(), 'a new id is told without the directory after the restart');

# a crash
$node->stop('immediate');
$node->start;
ok(wait_until(sub { record($node, 'postgres', 1, 'wake the writer'); is_relied_on() }), 'and after a crash');
is_found($written, 'a span of before the crash');

# Put a row into the table by a statement; returns the entry that it needs, for COPY.
sub insert_by_hand
{
	my ($span_id) = @_;

	sql("INSERT INTO flowmaestro.execution_spans (trace_id, span_id, name, span_type, started_at, status)
		VALUES ('eeeeeeee-1111-4111-8111-111111111111', '$span_id', 'by hand', 'agent_run', now(), 'completed')");
	return sql("SELECT concat_ws(E'\\t', ('x' || substr(replace('$span_id', '-', ''), 1, 16))::bit(64)::int8, current_date,
		('x' || 'eeeeeeee11114111')::bit(64)::int8)");
}

# a copy of the database
$node->safe_psql('template1', 'CREATE DATABASE copied TEMPLATE postgres');
is_found($written, 'a span of a database that was copied', 'copied');
ok(wait_until(sub { is_relied_on('copied') }), 'the filter serves the copy as well');
is_found($prepared, 'another span of it', 'copied');

# COPY, as pg_restore does it
my $restored = new_id();
my $entry = insert_by_hand($restored);
ok(wait_until(sub { is_relied_on() }), 'the filter is relied on');
sql("SET timezone = 'UTC'; COPY flowmaestro.span_id_directory FROM STDIN;\n$entry\n\\.\n");
is_found($restored, 'a span whose entry came by COPY');

# an apply worker of logical replication runs like this
my $replicated = new_id();
$entry = insert_by_hand($replicated);
sql("SET session_replication_role = replica; COPY flowmaestro.span_id_directory FROM STDIN;\n$entry\n\\.\n");
is_found($replicated, 'a span whose entry came by replication');

# without the trigger nobody tells what comes
my $silent = new_id();
$entry = insert_by_hand($silent);
sql('ALTER TABLE flowmaestro.span_id_directory DISABLE TRIGGER ALL');
ok(wait_until(sub { !is_relied_on() }), 'the filter is not relied on while the trigger is disabled');
sql("COPY flowmaestro.span_id_directory FROM STDIN;\n$entry\n\\.\n");
is_found($silent, 'a span whose entry came past the trigger');
sql('ALTER TABLE flowmaestro.span_id_directory ENABLE ALWAYS TRIGGER span_id_seen');
ok(wait_until(sub { is_relied_on() }), 'and is again when it is back');
is_found($silent, 'the same span');

# another life of the extension
sql('DROP EXTENSION flowmaestro_spans; CREATE EXTENSION flowmaestro_spans');
record($node, 'postgres', 1, 'first');
sql('SELECT flowmaestro.flush()');
ok(wait_until(sub { is_relied_on() }), 'and in another life of the extension');

my ($result, $out, $err) = $node->psql('postgres', q(CREATE TABLE other (id_prefix int8);
	CREATE TRIGGER t BEFORE INSERT ON other FOR EACH ROW EXECUTE FUNCTION flowmaestro.span_id_seen(); INSERT INTO other VALUES (1)));
like($err, qr/can only be called by the trigger of span_id_directory/, 'the trigger serves no other table');
$node->stop;
done_testing();
