# A span is found by its id when memory knows nothing of it, whatever the form
# of the id and wherever its row lies: its repeated create gives the same
# context, its first end counts, its second does not.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use Test::More;

my $node = recording_node('lookup', "flowmaestro.flush_interval = '10min'\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# The forms that are noted.
sub forms { return sql(q(SELECT string_agg(DISTINCT form, ' ' ORDER BY form) FROM flowmaestro.span_id_forms)); }

my $v4 = '11111111-1111-4111-8111-111111111111';
my %create = (
	near => q(trace_id => '01993000-0000-7000-8000-000000000001', span_id => '01993000-0000-7000-9000-000000000001',
		started_at => '2025-09-09 20:00:00+00'),
	far => q(trace_id => '01993000-0000-7000-8000-000000000002', span_id => '01993000-0000-7000-9000-000000000002',
		started_at => '2024-01-01 00:00:00+00'),
	timeless => qq(trace_id => '$v4', span_id => '11111111-1111-4111-9000-000000000003',
		started_at => '2024-02-01 00:00:00+00'),
	foreign => qq(trace_id => '$v4', span_id => '22222222-2222-4222-9000-000000000004',
		started_at => '2024-03-01 00:00:00+00'));
my %forms = (near => '', far => 'far', timeless => 'far', foreign => 'far foreign');

# the spans lie in partitions of their own
sql("SELECT count(flowmaestro.make_partition('$_ 00:00:00+00'))") foreach qw(2025-09-09 2024-01-01 2024-02-01 2024-03-01);

sub create
{
	my ($name) = @_;
	my $context = sql("SELECT c FROM flowmaestro.create_span('$name', 'agent_run', $create{$name}) AS c");

	sql('SELECT flowmaestro.flush()');
	return $context;
}

foreach my $name (qw(near far timeless foreign))
{
	subtest $name => sub {
		my $context = create($name);
		my ($span_id) = $create{$name} =~ /span_id => '([^']+)'/;

		is(forms(), $forms{$name}, 'the form of its id is noted');
		$node->restart;
		is(sql(qq(SELECT c FROM flowmaestro.create_span('again', 'tool_execution', span_id => '$span_id') AS c)),
			$context, 'a repeated create gives the first context');
		sql('SELECT flowmaestro.flush()');
		$node->restart;
		is(sql("SELECT flowmaestro.end_span('$span_id')"), 't', 'its end is the first one');
		sql('SELECT flowmaestro.flush()');
		$node->restart;
		is(sql("SELECT flowmaestro.end_span('$span_id', status => 'failed')"), 'f', 'a second end is not');
		is( sql("SELECT name, span_type, status FROM flowmaestro.execution_spans WHERE span_id = '$span_id'"),
			"$name|agent_run|completed",
			'one row has it all');
	};
}

# an id of an unknown span is not invented
is(sql(q(SELECT count(*) FROM flowmaestro.execution_spans)), 4, 'no other rows');

# a form in a transaction that is rolled back is not noted
my $other = recording_node('lookup2', "flowmaestro.write_mode = transactional\n");
$other->safe_psql('postgres', "BEGIN; SELECT flowmaestro.create_span('gone', 'agent_run', $create{foreign}); ROLLBACK");
is($other->safe_psql('postgres', 'SELECT count(*) FROM flowmaestro.span_id_forms'), 0, 'nothing noted after a rollback');
$other->safe_psql('postgres', "SELECT flowmaestro.create_span('kept', 'agent_run', $create{foreign})");
is($other->safe_psql('postgres', 'SELECT form FROM flowmaestro.span_id_forms'), 'foreign', 'noted with the row');
$other->stop;
$node->stop;
done_testing();
