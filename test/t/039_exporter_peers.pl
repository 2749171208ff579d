# Where the exporter sends, and with what headers: no peer, however it behaves,
# holds anything up, and secrets stay secret.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use Collector;
use ExportingNode;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $directory = PostgreSQL::Test::Utils::tempdir();

exporting_node();

subtest 'headers from a file' => sub {
	my $file = "$directory/headers";
	my $offset = log_size($node);
	my $fails = sub {
		my ($text, $mode, $error) = @_;
		open my $out, '>', $file or die $!;
		print $out $text;
		close $out;
		chmod $mode, $file;
		finish('closed', 1);
		$node->reload;
		status_is("last_error ~ 'file of headers'", 'it is not used');
		ok(wait_until(sub { log_lines($node, $error, $offset) }, 20), 'the log says why');
	};

	configure(otlp_headers_file => $file);
	$fails->("Authorization: Bearer sesame\n", 0644, qr/DETAIL: .*0600/);
	is($collector->named('closed'), 0, 'nothing is sent without the headers');
	$fails->("Authorization: Bearer sesame\nno colon sesame\n", 0600, qr/DETAIL: .*Line 2: "name: value" expected/);
	$fails->("X-Bad\x01: sesame\n", 0600, qr/DETAIL: .*Line 1: a header's name/);
	$fails->("X-Bad: ses\rame: sesame\n", 0600, qr/DETAIL: .*Line 1: a header's value/);
	$fails->("content-length : 1\ncontent-length: 5\n", 0600, qr/DETAIL: .*Line 1: a header's name/);
	$fails->("content-length: 5\n", 0600, qr/DETAIL: .*Line 1: this header is set by the exporter/);
	$fails->("\0", 0600, qr/DETAIL: .*zero byte/);
	unlink $file;
	mkdir $file;
	finish('closed', 1);
	$node->reload;
	status_is("last_error ~ 'file of headers'", 'a directory is no file');
	rmdir $file;

	open my $out, '>', $file or die $!;
	print $out "# who we are\nAuthorization:   Bearer sesame  \r\n\nX-Scope-OrgID: a b\n";
	close $out;
	chmod 0600, $file;
	$node->reload;
	arrive('closed', 8);
	my @requests = $collector->requests;
	is($requests[-1]{headers}{authorization}, 'Bearer sesame', 'the headers are sent');
	is($requests[-1]{headers}{'x-scope-orgid'}, 'a b', 'all of them');

	# a new token needs no reload
	open $out, '>', $file or die $!;
	print $out "Authorization: Bearer other\n";
	close $out;
	finish('token', 1);
	arrive('token', 1);
	@requests = $collector->requests;
	is($requests[-1]{headers}{authorization}, 'Bearer other', 'a new token is used at once');
	is(scalar(log_lines($node, qr/sesame|Bearer/, $offset)), 0, 'the log shows no secret');
	unlike(status('coalesce(last_error, $$$$)'), qr/sesame|Bearer/, 'nor does the status');
	configure(otlp_headers_file => '');
	settled();
};

subtest 'the endpoint' => sub {
	my $refused = sub {
		my ($value, $detail) = @_;
		my ($rc, $out, $err) = $node->psql('postgres', "ALTER SYSTEM SET flowmaestro.otlp_endpoint = '$value'");
		like($err, $detail, "\"$value\" is refused");
	};
	$refused->($_, qr/must begin with http/) foreach 'localhost:4318', 'file:///etc/passwd', 'ftp://a/', 'httpx://a';
	$refused->($_, qr/must be the base URL/) foreach 'http://', 'https:///v1/traces', 'http://a b/', 'http://a/?b=c', 'http://a/#b', "http://a\x01/", 'http://ä/';
	$refused->($_, qr/user name or a password/) foreach 'http://me:sesame@localhost:4318', 'https://me@localhost';
	foreach ('', '/', '/v1/traces', '/v1/traces/', '/base', '/base//')
	{
		my $path = /base/ ? '/base/v1/traces' : '/v1/traces';

		configure(otlp_endpoint => $collector->url . $_);
		finish("path $_", 1);
		arrive("path $_", 1);
		my @requests = $collector->requests;
		is($requests[-1]{path}, $path, "endpoint \"$_\"");
	}

	# from a peer that never answers to another one
	$collector->answers('hang');
	configure(otlp_endpoint => $collector->url, otlp_timeout => '1h');
	finish('moved', 7);
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE $exporter AND query ~ '^sending [1-7] span'"), 'it waits for a peer');
	my $second = Collector->new;
	configure(otlp_endpoint => $second->url);
	ok(wait_until(sub { $second->named('moved') == 7 }, 5), 'a reload sends it to another one at once');

	configure(otlp_endpoint => '');
	ok(wait_until(sub { exporter_pid('postgres') eq '' }), 'without an endpoint there is no exporter');
	finish('unsent', 10);
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush()');
	is(status('queued'), '0', 'and nothing is put into the outbox');
	$collector->answers('accept');
	configure(otlp_endpoint => $collector->url, otlp_timeout => '2s');
	finish('on again', 10);
	arrive('on again', 10);
	is($collector->named('unsent'), 0, 'what finished meanwhile is not sent');
	my $reader = $node->safe_psql('postgres', "CREATE ROLE reader; SELECT flowmaestro.grant_reader('reader')");
	is($node->safe_psql('postgres', 'SET ROLE reader; SELECT queued FROM flowmaestro.otlp_export_status'), '0', 'a reader sees the status');
	my ($rc, $out, $err) = $node->psql('postgres', 'SET ROLE reader; SHOW flowmaestro.otlp_endpoint');
	like($err, qr/must be superuser|permission denied/, 'but not the endpoint');
};

subtest 'a circle' => sub {
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $rows = "SELECT md5(string_agg(s::text, ',' ORDER BY span_id)) FROM flowmaestro.execution_spans AS s WHERE name = 'circle'";

	configure(otlp_receiver_port => $port, otlp_endpoint => "http://127.0.0.1:$port");
	my $exported = status('exported');
	$node->safe_psql('postgres', <<'SQL');
SELECT count(flowmaestro.end_span((flowmaestro.create_span('circle', 'model_generation', 'e', '{"promptTokens": 7}', '[1]')).span_id, '{"o": 1}'))
FROM generate_series(1, 99);
SELECT flowmaestro.end_span((flowmaestro.create_span('circle', 'agent_run', span_id => gen_random_uuid())).span_id);
SELECT flowmaestro.flush();
SQL
	my $before = $node->safe_psql('postgres', $rows);
	status_is("queued = 0 AND exported = $exported + 100", 'spans are sent to our own receiver');
	my $recorded = value($node, 'postgres', 'recorded');
	cmp_ok($recorded, '>=', 300, 'which recorded them');
	$node->safe_psql('postgres', 'SELECT flowmaestro.flush(); SELECT pg_sleep(1); SELECT flowmaestro.flush()');
	is(status("queued, exported - $exported"), '0|100', 'they are not sent again');
	is(value($node, 'postgres', 'recorded'), $recorded, 'the circle is closed');
	is($node->safe_psql('postgres', $rows), $before, 'and the rows are as they were');
	configure(otlp_receiver_port => 0, otlp_endpoint => $collector->url);
};

subtest 'https' => sub {
	plan skip_all => 'no openssl' if system("openssl version >$directory/openssl 2>&1") != 0;
	system("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout $directory/key -out $directory/cert >$directory/openssl 2>&1");
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $server = IPC::Run::start([ 'openssl', 's_server', '-quiet', '-accept', "127.0.0.1:$port", '-key', "$directory/key", '-cert', "$directory/cert" ],
		'<', '/dev/null', '>', "$directory/s_server", '2>', "$directory/s_server.err");
	configure(otlp_endpoint => "https://127.0.0.1:$port");
	finish('encrypted', 1);
	status_is("last_error ~* 'certificate'", 'a certificate that nobody vouches for is not accepted');
	configure(otlp_endpoint => $collector->url);
	arrive('encrypted', 1);
	$server->kill_kill;
};

is(scalar(log_lines($node, qr/PANIC|TRAP|terminated by signal (?!9)/)), 0, 'nothing crashed');

done_testing();
