# A server that exports to a collector of ours, in $node and $collector.
package ExportingNode;

use strict;
use warnings FATAL => 'all';

use Collector;
use Exporter 'import';
use FmsTest;
use Test::More;

our @EXPORT = qw(
  $node $collector $exporter exporting_node
  finish status status_is arrive configure settled exporter_pid
);

our ($node, $collector);
our $exporter = "backend_type = 'flowmaestro_spans otlp exporter'";

# Start both.
sub exporting_node
{
	$collector = Collector->new;
	$node = recording_node('exporter', <<"CONF");
flowmaestro.otlp_endpoint = '@{[ $collector->url ]}'
flowmaestro.otlp_timeout = 2s
flowmaestro.flush_interval = 100ms
restart_after_crash = on
CONF
	return;
}

# Record n spans of a name that end at once.
sub finish
{
	my ($name, $n, $database) = @_;

	return $node->safe_psql($database // 'postgres', <<"SQL");
SELECT count(flowmaestro.end_span((flowmaestro.create_span('$name', 'agent_run')).span_id)) FROM generate_series(1, $n)
SQL
}

# Columns of the one row of otlp_export_status.
sub status
{
	my ($columns, $database) = @_;

	return $node->safe_psql($database // 'postgres', "SELECT $columns FROM flowmaestro.otlp_export_status");
}

# Wait for a condition on otlp_export_status.
sub status_is
{
	my ($condition, $what, $database) = @_;
	my $good = wait_until(sub { status($condition, $database) eq 't' }, 60);

	ok($good, $what) or diag(status('*', $database));
	return;
}

# The collector has n spans of a name, each once, and no other is left.
sub arrive
{
	my ($name, $n, $what) = @_;

	ok(wait_until(sub { $collector->named($name) >= $n }, 60), $what // "$n spans \"$name\" arrive")
	  or diag(status('*'));
	is($collector->named($name), $n, 'each once');
	return;
}

# Change settings flowmaestro.* of the server.
sub configure
{
	my (%setting) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET flowmaestro.$_ = '$setting{$_}'") foreach keys %setting;
	$node->reload;
	return;
}

# Wait until nothing is left to be sent.
sub settled { status_is('queued = 0', 'nothing is left'); return }

# The exporter of a database.
sub exporter_pid
{
	my ($database) = @_;

	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $exporter AND datname = '$database'");
}

1;
