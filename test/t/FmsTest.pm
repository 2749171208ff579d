# What the TAP tests of flowmaestro_spans share: a server that records, and
# bounded waits.  Nothing here sleeps for luck; every wait is for something.
package FmsTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  recording_node add_database wait_until seconds_of
  record spans value writer_pid log_size log_lines our_errors ring_files start_psql
);

# A started server that preloads the library, with the extension in "postgres".
# %b in the log's prefix tells which process wrote a line.
sub recording_node
{
	my ($name, $conf, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%init);
	$node->append_conf(
		'postgresql.conf', qq(
shared_preload_libraries = 'flowmaestro_spans'
log_line_prefix = '%m [%p] %b %q%d '
log_statement = none
fsync = off
) . ($conf // ''));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION flowmaestro_spans');
	return $node;
}

# Make a database with the extension.
sub add_database
{
	my ($node, $database) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION flowmaestro_spans');
	return;
}

# Whether something comes true within a number of seconds.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $until = time() + ($seconds // $PostgreSQL::Test::Utils::timeout_default);

	while (!$condition->())
	{
		return 0 if time() > $until;
		usleep(100_000);
	}
	return 1;
}

# How long a piece of work takes.
sub seconds_of
{
	my ($work) = @_;
	my $begun = time();

	$work->();
	return time() - $begun;
}

# Record n spans of a name, in one session.
sub record
{
	my ($node, $database, $n, $name) = @_;

	return $node->safe_psql($database,
		"SELECT count((flowmaestro.create_span('$name', 'agent_run')).span_id) FROM generate_series(1, $n)"
	);
}

# How many spans the table has, of a name if one is given.
sub spans
{
	my ($node, $database, $name) = @_;
	my $where = defined $name ? "WHERE name = '$name'" : '';

	return $node->safe_psql($database, "SELECT count(*) FROM flowmaestro.execution_spans $where");
}

# A column, or several, of the one row of flowmaestro.stats.
sub value
{
	my ($node, $database, $columns) = @_;

	return $node->safe_psql($database, "SELECT $columns FROM flowmaestro.stats");
}

# The process that writes a database's spans; '' if there is none.
sub writer_pid
{
	my ($node, $database) = @_;

	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE datname = '$database' AND backend_type = 'flowmaestro_spans writer'"
	);
}

# Where the server's log ends now.
sub log_size
{
	my ($node) = @_;

	return -s $node->logfile;
}

# The lines of the server's log after a place that match a pattern.
sub log_lines
{
	my ($node, $pattern, $offset) = @_;

	my @lines = grep { /$pattern/ } split /\n/, slurp_file($node->logfile, $offset // 0);
	return @lines;
}

# The errors that our own processes logged after a place.  That the server told
# one to go is not an error.
sub our_errors
{
	my ($node, $offset) = @_;

	return log_lines(
		$node,
		qr/\] flowmaestro_spans (?:writer|launcher) .*(?:ERROR|FATAL|PANIC): (?!.*administrator command)/,
		$offset);
}

# The names of the ring files.
sub ring_files
{
	my ($node) = @_;
	my $directory = $node->data_dir . '/flowmaestro_spans';

	return () unless -d $directory;
	my @files = sort grep { /\.ring$/ } slurp_dir($directory);
	return @files;
}

# A psql that runs a script by itself, its output going to a file.
sub start_psql
{
	my ($node, $database, $script, $out, $application) = @_;

	local $ENV{PGAPPNAME} = $application // 'client';
	return IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr($database), '-f', $script ],
		'<', '/dev/null', '>', $out, '2>', "$out.err");
}

1;
