# The exporter and its server can die at any time, and databases come and go:
# every span still arrives.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use ExportingNode;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $directory = PostgreSQL::Test::Utils::tempdir();

exporting_node();

subtest 'the exporter is killed' => sub {
	$collector->answers('slow 0.05');
	finish('killed', 5000);
	foreach (1 .. 3)
	{
		my $pid;
		ok(wait_until(sub { $pid = eval { exporter_pid('postgres') } }), 'there is an exporter');
		kill 'KILL', $pid;
		ok(wait_until(sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 }), 'the server recovers');
	}
	$collector->answers('accept');
	ok(wait_until(sub { $collector->named('killed') >= 5000 }, 60), 'all arrive');
	settled();
	my $twice = $collector->named('killed') - 5000;
	cmp_ok($twice, '<=', 3 * 512, "no more than what was under way is sent twice: $twice");
};

subtest 'the server is killed, and restarts' => sub {
	$collector->answers('hang');
	finish('crash', 2000);
	status_is('queued >= 1500', 'they wait');
	$node->stop('immediate');
	$collector->answers('accept');
	$node->start;
	arrive('crash', 2000, 'after a crash all arrive');
	settled();

	foreach my $mode ('hang', 'drip', 'status 503')
	{
		$collector->answers($mode);
		configure(otlp_timeout => '1h');
		finish("stop $mode", 100);
		ok(wait_until(sub { status('queued') eq '100' }), 'they wait');
		usleep(300_000);
		cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 2, "a fast stop with \"$mode\" takes less than 2 s");
		$collector->answers('accept');
		$node->start;
		arrive("stop $mode", 100, 'afterwards they arrive');
	}
	configure(otlp_timeout => '2s');
	settled();

	my $pid = exporter_pid('postgres');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	finish('terminated', 10);
	arrive('terminated', 10, 'a terminated exporter comes back');
	isnt(exporter_pid('postgres'), $pid, 'as another process');
	settled();

	# nothing but the exporter that dies tells that there is work
	$collector->answers('hang');
	configure(otlp_timeout => '1h');
	finish('left behind', 10);
	ok($node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE $exporter AND query = 'sending 10 spans'"), 'an exporter has all the work');
	$pid = exporter_pid('postgres');
	$collector->answers('accept');
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	arrive('left behind', 10, 'the next exporter does what a terminated one left, though no span comes after it');
	configure(otlp_timeout => '2s');
};

subtest 'databases' => sub {
	$collector->answers('hang');
	configure(otlp_timeout => '1h');
	add_database($node, 'second');
	finish('second', 10, 'second');
	ok(wait_until(sub { exporter_pid('second') ne '' }), 'another database has an exporter of its own');
	usleep(300_000);
	cmp_ok(seconds_of(sub { $node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE second') }), '<', 4, 'it can be copied meanwhile');
	ok(wait_until(sub { exporter_pid('second') ne '' }), 'the exporter comes back');
	cmp_ok(seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE copy') }), '<', 4, 'a copy can be dropped');
	cmp_ok(seconds_of(sub { $node->safe_psql('second', 'DROP EXTENSION flowmaestro_spans') }), '<', 4, 'the extension can be dropped');
	$node->safe_psql('second', 'CREATE EXTENSION flowmaestro_spans');
	finish('second life', 10, 'second');
	ok(wait_until(sub { $node->safe_psql('second', 'SELECT count(*) FROM flowmaestro.otlp_outbox') eq '10' }), 'and made again');
	$collector->answers('accept');
	configure(otlp_timeout => '2s');
	arrive('second life', 10);
	status_is('queued = 0', 'the new outbox is empty', 'second');
	$collector->answers('hang');
	configure(otlp_timeout => '1h');
	finish('second', 10, 'second');
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE $exporter AND datname = 'second' AND query ~ 'sending'"), 'it sends');
	cmp_ok(seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE second') }), '<', 4, 'the database can be dropped');
	$collector->answers('accept');
	configure(otlp_timeout => '2s');

	# lives of the extension while spans come and go
	add_database($node, 'lives');
	my $offset = log_size($node);
	foreach (1 .. 20)
	{
		$node->safe_psql('lives', <<"SQL");
SELECT count(flowmaestro.end_span((flowmaestro.create_span('life', 'agent_run')).span_id)) FROM generate_series(1, 50);
SELECT flowmaestro.flush();
DROP EXTENSION flowmaestro_spans; CREATE EXTENSION flowmaestro_spans;
SQL
	}
	finish('last life', 5, 'lives');
	arrive('last life', 5);
	is(status('gone', 'lives'), '0', 'no span was taken for one that is gone');
	is(scalar(log_lines($node, qr/\] flowmaestro_spans .*(?:ERROR|FATAL|PANIC): (?!.*administrator command)/, $offset)), 0, 'no worker logged an error');
};

subtest 'a dump' => sub {
	$collector->answers('status 503');
	finish('dumped', 10);
	status_is('queued = 10', 'spans wait');
	$node->safe_psql('postgres', 'CREATE DATABASE restored');
	command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', "$directory/dump", 'postgres' ], 'pg_dump');
	command_ok([ 'pg_restore', '-h', $node->host, '-p', $node->port, '--exit-on-error', '-d', 'restored', "$directory/dump" ], 'pg_restore');
	is(spans($node, 'restored', 'dumped'), '10', 'the spans are restored');
	is($node->safe_psql('restored', 'SELECT count(*) FROM flowmaestro.otlp_outbox'), '0', 'but will not be sent by the copy');
	$collector->answers('accept');
	$node->reload;
	arrive('dumped', 10);
	finish('in the copy', 10, 'restored');
	arrive('in the copy', 10, 'new ones are');
};

is(scalar(log_lines($node, qr/PANIC|TRAP|terminated by signal (?!9)/)), 0, 'nothing crashed');
$node->stop;

subtest 'a standby' => sub {
	# a server can be built without what a standby needs
	chomp(my $libraries = `pg_config --pkglibdir`);
	plan skip_all => 'this server has no libpqwalreceiver' unless glob "$libraries/libpqwalreceiver.*";
	$collector->answers('status 503');
	my $primary = $node = recording_node('primary', "flowmaestro.otlp_endpoint = '@{[ $collector->url ]}'\nflowmaestro.flush_interval = 100ms\n",
		allows_streaming => 1);
	finish('replicated', 10);
	status_is('queued = 10 AND last_error IS NOT NULL', 'spans wait');
	$primary->backup('backup');
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($primary, 'backup', has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby);
	is($standby->safe_psql('postgres', 'SELECT queued, exporter_pid FROM flowmaestro.otlp_export_status'), '10|', 'a standby knows of them, but has no exporter');
	$primary->stop;
	$collector->answers('accept');
	$standby->promote;
	$node = $standby;
	finish('promoted', 10);
	arrive('promoted', 10);
	arrive('replicated', 10);
	$standby->stop;
};

done_testing();
