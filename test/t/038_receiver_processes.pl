# The receiver's two processes: each can die without anybody noticing, and they
# start and stop with their settings and with the server.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Receiver;
use Test::More;
use Time::HiRes qw(time usleep);

receiving_node();

my $worker = worker_pid();

subtest 'the HTTP process dies' => sub {
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $before = log_size($node);

	append_to_file("$dir/session.sql", "SELECT pg_sleep(20);\nSELECT 'survived';\n");
	my $session = start_psql($node, 'postgres', "$dir/session.sql", "$dir/session.out");
	my $sleepers = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'";
	ok($node->poll_query_until('postgres', $sleepers, '1'), 'a session is at work');
	for my $signal ('SEGV', 'KILL', 'ABRT', 'TERM')
	{
		my $http = http_pid();

		usleep(1_100_000);		# one that dies young is not replaced at once
		kill $signal, $http;
		my $took = seconds_of(sub { wait_until(sub { my $now = http_pid(); $now ne '' && $now ne $http }, 30) });
		cmp_ok($took, '<', 1, "after SIG$signal there is another");
		ok(wait_until(\&is_healthy, 10), 'which serves');
		is(status(post($json, json_spans('survivor', 1))), '200', 'and takes spans');
	}
	is(worker_pid(), $worker, 'the worker is the same');
	is($node->safe_psql('postgres', $sleepers), '1', 'the session is still at work');
	is(scalar(log_lines($node, qr/the HTTP process of the OTLP receiver is gone: /, $before)), 4,
		'the log tells of each');
	is(scalar(log_lines($node, qr/terminating any other|PANIC|server process/, $before)), 0,
		'the postmaster knows of nothing');
	is(count_of('survivor'), '4', 'the spans are in the table');
	is(scalar(grep { m{ rw-s | r--s } } split /\n/, slurp_file('/proc/' . http_pid() . '/maps')), 0,
		'the process shares no memory');
	$session->kill_kill;
};

subtest 'the worker' => sub {
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
	ok(wait_until(sub { my $now = worker_pid(); $now ne '' && $now ne $worker && is_healthy() }),
		'is started again when it was told to go');
	is(scalar(grep { !/^\s*$/ } http_pid()), 1, 'with one HTTP process');
	$worker = worker_pid();

	$node->safe_psql('postgres', 'DROP EXTENSION flowmaestro_spans');
	my $answer = post($json, json_spans('nowhere', 1));
	is(status($answer), '503', 'without the extension nothing can be recorded');
	is($answer->{headers}{'retry-after'}, '1', 'it can be tried again');
	$answer = ask('GET', '/healthz', {});
	is(status($answer), '503', 'which can be seen');
	like($answer->{body}, qr/"extension flowmaestro_spans is not in database postgres"/, 'and why');
	$node->safe_psql('postgres', 'CREATE EXTENSION flowmaestro_spans');
	ok(wait_until(\&is_healthy), 'with the extension it can');
	is(status(post($json, json_spans('again', 1))), '200', 'a span is taken');
	is(count_of('again'), '1', 'and is in the table');
	is(worker_pid(), $worker, 'the worker is the same');

	add_database($node, 'other');
	ok(set(otlp_receiver_database => 'other'), 'spans go to another database');
	is(status(post($json, json_spans('there', 1))), '200', 'one does');
	$node->safe_psql('other', 'SELECT flowmaestro.flush()');
	is(spans($node, 'other', 'there'), '1', 'it is there');
	cmp_ok(seconds_of(sub { $node->safe_psql('postgres', 'DROP DATABASE other') }), '<', 5,
		'the database can be dropped');
	ok(wait_until(sub { log_lines($node, qr/FATAL:  database "other" does not exist/) }), 'the log tells that it is missed');
	ok(set(otlp_receiver_database => 'postgres'), 'and back');

	my $other_port = PostgreSQL::Test::Cluster::get_free_port();
	$node->append_conf('postgresql.conf', "flowmaestro.otlp_receiver_port = $other_port\n");
	$node->reload;
	ok(wait_until(sub { connection($other_port) }), 'it listens at another port');
	ok(!connection(), 'and no longer at the first');
	$node->append_conf('postgresql.conf', "flowmaestro.otlp_receiver_port = 0\n");
	$node->reload;
	ok(wait_until(sub { worker_pid() eq '' && !connection($other_port) }), 'port zero ends it');
	ok(set(otlp_receiver_port => $port), 'and a port starts it');

	my $backend = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE '%launcher' LIMIT 1");
	kill 'KILL', $backend;
	ok(wait_until(sub { is_healthy() && status(post($json, json_spans('after', 1))) eq '200' }),
		'it is there after a crash of the server');
};

subtest 'a standby' => sub {
	chomp(my $libraries = `pg_config --pkglibdir`);
	plan skip_all => 'this server has no libpqwalreceiver' unless glob "$libraries/libpqwalreceiver.*";
	my $standby_port = PostgreSQL::Test::Cluster::get_free_port();
	my $standby = PostgreSQL::Test::Cluster->new('standby');

	$node->backup('backup');
	$standby->init_from_backup($node, 'backup', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "flowmaestro.otlp_receiver_port = $standby_port\n");
	$standby->start;
	ok(!connection($standby_port), 'does not listen');
	$standby->promote;
	ok(wait_until(sub { connection($standby_port) }), 'until it is promoted');
	$standby->stop;
};

subtest 'shutdown' => sub {
	my @sockets = map { connection() } 1 .. 20;

	send_all($sockets[$_], request('POST', '/v1/traces', { 'Content-Type' => $json, 'Content-Length' => 100 }, '{'))
	  for 0 .. 9;
	cmp_ok(slowest_of_others(5), '<', 1, 'it serves');
	my $http = http_pid();
	cmp_ok(seconds_of(sub { $node->stop('fast') }), '<', 2, 'a fast shutdown is fast with open connections');
	ok(!-e "/proc/$http", 'the HTTP process is gone');
	is(scalar(our_errors($node)), 0, 'no process of ours logged an error') or diag(our_errors($node));
};

done_testing();
