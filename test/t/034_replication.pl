# Logical replication to a node that records itself: what create_publication()
# publishes meets no row that the subscriber makes, so it goes on for ever; and
# the subscriber's sums can be made to count what came.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# a server can be built without what a subscriber needs
chomp(my $libraries = `pg_config --pkglibdir`);
plan skip_all => 'this server has no libpqwalreceiver'
  unless glob "$libraries/libpqwalreceiver.*";

my $publisher = recording_node('publisher', undef, allows_streaming => 'logical');
my $subscriber = recording_node('subscriber', "wal_retrieve_retry_interval = 100ms\n");

# Record model calls of one agent on a node, each ended in a flush of its own;
# the same agent, model and hour on all nodes.
sub call_models
{
	my ($node, $n, $name) = @_;

	$node->safe_psql('postgres', qq(
CREATE TEMP TABLE t AS SELECT (flowmaestro.create_span('$name', 'model_generation', 'agent')).span_id FROM generate_series(1, $n);
SELECT flowmaestro.flush();
SELECT count(flowmaestro.end_span(span_id, attributes => '{"model": "m", "promptTokens": 10, "completionTokens": 1}')) FROM t;
SELECT flowmaestro.flush();));
	return;
}

# Take a span of the same service on a node.
sub take_span
{
	my ($node, $id, $name) = @_;
	my $now = time() . '000000000';

	$node->safe_psql('postgres', qq(
SELECT flowmaestro.ingest_otlp_json('{"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
	"scopeSpans": [{"scope": {"name": "scope"}, "spans": [{"traceId": "$id$id", "spanId": "$id", "name": "$name",
	"startTimeUnixNano": "$now", "endTimeUnixNano": "$now"}]}]}]}');
SELECT flowmaestro.flush()));
	return;
}

# How many spans of a name that have ended the subscriber has, once that is a number.
sub arrive
{
	my ($n, $name) = @_;

	return $subscriber->poll_query_until('postgres',
		"SELECT count(*) = $n FROM flowmaestro.execution_spans WHERE name = '$name' AND status = 'completed'");
}

# A query's answer from the subscriber.
sub ask
{
	return $subscriber->safe_psql('postgres', $_[0]);
}

# Calls that the subscriber's sums and its ledger have.
sub counted
{
	return ask("SELECT (SELECT sum(calls) FROM flowmaestro.token_usage_hourly), (SELECT sum(calls) FROM flowmaestro.token_usage_daily), (SELECT count(*) FROM flowmaestro.span_usage)");
}

# before there is a subscription, and after
call_models($publisher, 10, 'copied');
call_models($subscriber, 3, 'own');
take_span($publisher, '00000000000000a1', 'otlp');
take_span($subscriber, '00000000000000b1', 'own otlp');

$publisher->safe_psql('postgres', q(SELECT flowmaestro.create_publication('spans')));
is( $publisher->safe_psql('postgres', q(SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = 'spans')),
	'execution_spans otlp_resources otlp_scopes',
	'what tells of spans is published, and nothing that a node makes of them');
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION spans CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION spans");
ok(arrive(10, 'copied'), 'spans from before are copied');
ok(arrive(1, 'otlp'), 'those of OpenTelemetry too');

call_models($publisher, 20, 'replicated');
call_models($subscriber, 4, 'own');
ok(arrive(20, 'replicated'), 'spans that start and end later arrive');
take_span($publisher, '00000000000000a2', 'otlp');
take_span($subscriber, '00000000000000b2', 'own otlp');
call_models($publisher, 5, 'replicated');
ok(arrive(25, 'replicated'), 'replication goes on while the subscriber records');
ok(arrive(2, 'otlp'), 'also with spans of a service that both know');
is(ask("SELECT count(*) FROM flowmaestro.execution_spans WHERE name LIKE 'own%'"), '9', 'the subscriber has its own');
is(ask("SELECT service_name, count(*) FROM flowmaestro.otlp_spans GROUP BY 1"), 'shop|4', 'every span has its service');
my $sync_errors = $subscriber->pg_version->major >= 19 ? 'sync_table_error_count' : 'sync_error_count';
is(ask("SELECT apply_error_count, $sync_errors FROM pg_stat_subscription_stats"), '0|0', 'nothing went wrong');

# what the subscriber makes of spans
is(counted(), '7|7|7', 'its sums have the calls that it recorded');
is(ask('SELECT flowmaestro.rebuild_token_usage()'), '42', 'made again, they count those that came');
is(counted(), '42|42|42', 'too');
is(ask('SELECT count(*) FROM flowmaestro.check_token_usage()'), '0', 'and agree with the spans');
call_models($publisher, 5, 'replicated');
call_models($subscriber, 1, 'own');
ok(arrive(30, 'replicated'), 'replication goes on');
is(counted(), '43|43|43', 'and so does counting');

# a day that the subscriber has no partition for
my $offset = log_size($subscriber);
$publisher->safe_psql('postgres', q(
SELECT flowmaestro.end_span((flowmaestro.create_span('early', 'agent_run', started_at => '2024-02-29 12:00+00')).span_id);
SELECT flowmaestro.flush();));
ok(wait_until(sub { arrive_now() || log_lines($subscriber, qr/no partition of relation "execution_spans" found for row/, $offset) }),
	'a span of a day without a partition is noticed');
$subscriber->safe_psql('postgres', q(SELECT flowmaestro.make_partition('2024-02-29 12:00+00')));
ok(arrive(1, 'early'), 'and arrives when there is a partition');

sub arrive_now
{
	return ask("SELECT count(*) FROM flowmaestro.execution_spans WHERE name = 'early'") eq '1';
}

$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION spans');
$subscriber->stop;
$publisher->stop;
done_testing();
