# Every line of the server's log is one JSON object, whatever the message, the
# process, the state it is in and the hooks of others; and each carries the ids
# of the request that it is about.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;
use FmsTest;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $PROBE = "$FindBin::RealBin/log_probe";
my $TRACE = '550e8400-e29b-41d4-a716-446655440000';
my $REQUEST = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
my $CONTEXT = qq(SET flowmaestro.request_context = '{"tracingContext": {"traceId": "$TRACE", "requestId": "$REQUEST", "userId": "user-123"}, "contextMap": {}}';\n);
my $USER = getpwuid($<);
my $json = JSON::PP->new->utf8;
my $node;

# Whether a line has the ids of the request.
my $has_ids = sub { return join(' ', map { $_ // '' } @{ $_[0] }{qw(traceId requestId userId)}) eq "$TRACE $REQUEST user-123" };

# The objects of the lines of a file after a place, and how many of its lines are
# no JSON in UTF-8 of which each key is there once.
sub objects
{
	my ($file, $offset) = @_;
	my (@objects, @bad);

	foreach my $line (split /\n/, slurp_file($file, $offset // 0))
	{
		my $object = eval { $json->decode($line) };
		if (ref $object eq 'HASH' && $object->{level} =~ /^[1-6][0-9]$/ && $object->{time} > 1.7e12 && defined $object->{msg})
		{
			push @objects, $object;
		}
		else
		{
			push @bad, $line;
		}
	}
	diag("no JSON: $bad[0]") if @bad;
	return (\@objects, scalar @bad);
}

# Run a script and give the objects of what it logged; with a name of the test
# that all lines are JSON.
sub logged
{
	my ($node, $database, $script, $name) = @_;
	my $offset = log_size($node);

	$node->psql($database, $script, on_error_stop => 0);
	my ($objects, $bad) = objects($node->logfile, $offset);
	is($bad, 0, "$name: every line is JSON") if defined $name;
	return @$objects;
}

# Those with a message that matches.
sub with_message
{
	my ($pattern, @objects) = @_;

	return grep { $_->{msg} =~ $pattern } @objects;
}

# Have eight sessions write 40 lines each, of up to 40 kB, at the same time.
sub eight_at_once
{
	my $script = PostgreSQL::Test::Utils::tempdir() . '/long.sql';

	append_to_file($script, $CONTEXT . q(DO $$ BEGIN FOR i IN 1..40 LOOP RAISE LOG '% %', pg_backend_pid(), repeat('y', i * 997); END LOOP; END $$;));
	my @writers = map { start_psql($node, 'postgres', $script, "$script.$_") } 1 .. 8;
	$_->finish foreach @writers;
	return;
}

# How many of such lines are whole.
sub whole
{
	return scalar grep { $_->{msg} =~ /^(\d+) (y+)$/ && $1 == $_->{pid} && length($2) % 997 == 0 && $has_ids->($_) } @_;
}

system_or_bail('make', '-s', '-C', $PROBE, '-f', 'log_probe.mk', 'with_llvm=no', 'all');

#
# The lines of one session
#
$node = recording_node('log', qq(
flowmaestro.log_format = json
log_lock_waits = on
deadlock_timeout = 50ms
log_min_messages = info
));
my ($objects, $bad) = objects($node->logfile);
cmp_ok(scalar @$objects, '>', 3, 'the start is logged');
is($bad, 0, 'from the first line on');
ok((grep { $_->{msg} =~ /^starting PostgreSQL/ && $_->{backendType} eq 'postmaster' && !exists $_->{database} } @$objects), 'by the postmaster');
ok((grep { $_->{msg} =~ /^database system was shut down/ && $_->{backendType} eq 'startup' } @$objects), 'and by the startup process');

# the example of the document that this implements
my ($line) = logged($node, 'postgres', $CONTEXT . q(SELECT flowmaestro.log('info', 'Agent execution started', '{"agentId": "agent-456", "model": "gpt-4o"}')), 'example');
like(delete $line->{time}, qr/^1[0-9]{12}$/, 'time is in milliseconds');
cmp_ok(delete $line->{pid}, '>', 1, 'a line of an application tells the process');
is_deeply($line, {
	level => 30, msg => 'Agent execution started', traceId => $TRACE, requestId => $REQUEST,
	userId => 'user-123', agentId => 'agent-456', model => 'gpt-4o', user => $USER
}, 'its user, and what the application says');

# the examples of the documentation
my @examples = slurp_file("$FindBin::RealBin/../../doc/logging.md") =~ /^```sql\n(.*?)^```$/msg;
my ($exit, $printed) = $node->psql('postgres', join('', @examples), on_error_stop => 1, on_error_die => 1);
like($printed, qr/^\Q{"api_key": "[REDACTED]", "headers": {"accept": "*\/*", "Authorization": "[REDACTED]"}, "promptTokens": 12}\E$/m, 'doc: redaction');
my @documented = logged($node, 'postgres', join('', @examples), 'doc');
is_deeply([ map { "$_->{level} $_->{msg} $_->{traceId} " . ($_->{tool} // $_->{model}) } @documented ],
	[ "30 Agent execution started $TRACE gpt-4o", "50 tool failed $TRACE calculate" ], 'doc: the lines of an application');
is($documented[1]{err}{code}, '22012', 'doc: the error that was caught');

# every level
my @levels = logged($node, 'postgres', q(SET log_min_messages = debug5; SET flowmaestro.log_level = trace;
	DO $$ BEGIN RAISE DEBUG 'd1'; RAISE LOG 'l'; RAISE INFO 'i'; RAISE NOTICE 'n'; RAISE WARNING 'w'; RAISE EXCEPTION 'e'; END $$;
	SELECT flowmaestro.log(l, 'app ' || l) FROM unnest('{trace,debug,info,warn,error,fatal}'::text[]) AS l), 'levels');
my %level = map { $_->{msg} => $_->{level} } @levels;
is_deeply([ @level{qw(d1 l n w e)} ], [ 20, 30, 30, 40, 50 ], 'severities have their levels');
is_deeply([ @level{ map { "app $_" } qw(trace debug info warn error fatal) } ], [ 10, 20, 30, 40, 50, 60 ], 'an application chooses its own');
ok((grep { $_->{level} == 10 && ($_->{severity} // '') eq 'DEBUG' } @levels), 'the finest are traces');

# what is the application's is redacted, and what is the server's stays the server's
($line) = with_message(qr/^m$/, logged($node, 'postgres', $CONTEXT . q(SELECT flowmaestro.log('warn', 'm',
	'{"level": 10, "time": 1, "msg": "x", "traceId": "forged", "userId": "forged", "spanId": "mine", "a": [{"API-Key": "hush"}], "totalTokens": 5}')), 'fields'));
delete @$line{qw(time pid)};
is_deeply($line, {
	level => 40, msg => 'm', traceId => $TRACE, requestId => $REQUEST, userId => 'user-123', user => $USER,
	a => [ { 'API-Key' => '[REDACTED]' } ], totalTokens => 5,
	fields => { level => 10, time => 1, msg => 'x', traceId => 'forged', userId => 'forged', spanId => 'mine' }
}, 'fields cannot pass for what the server says');

# an error with all that belongs to it
($line) = logged($node, 'postgres', q(
	SET application_name = 'the "app"'; SET log_error_verbosity = verbose; SET compute_query_id = on;
	) . $CONTEXT . q(DO $$ BEGIN RAISE EXCEPTION E'no\tway\n' USING DETAIL = 'd', HINT = 'h', ERRCODE = '23514', SCHEMA = 's', TABLE = 't', COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 'y'; END $$;), 'error');
my $context = 'PL/pgSQL function inline_code_block line 1 at RAISE';
my $error = $line;
is_deeply($line->{err}, {
	type => 'DatabaseError', message => "no\tway\n", code => '23514', stack => $context,
	schema => 's', table => 't', column => 'c', constraint => 'k', dataType => 'y'
}, 'an error is an object, as clients know it');
is_deeply([ @$line{qw(level msg severity sqlstate detail hint context traceId requestId userId database user application backendType ps funcName fileName)} ],
	[ 50, "no\tway\n", 'ERROR', '23514', 'd', 'h', $context, $TRACE, $REQUEST, 'user-123', 'postgres', scalar getpwuid($<), 'the "app"', 'client backend', 'DO', 'exec_stmt_raise', 'pl_exec.c' ],
	'and all that the server knows is there');
like($line->{statement}, qr/^DO \$\$ BEGIN RAISE EXCEPTION/, 'the statement too');
ok($line->{pid} > 1 && $line->{lineNum} == 1 && $line->{fileLineNum} > 1 && $line->{sessionStart} > 1.7e12, 'numbers are numbers');
like("$line->{session} $line->{vxid} $line->{queryId}", qr{^[0-9a-f]+\.[0-9a-f]+ \d+/\d+ -?\d+$}, 'ids are texts');
my @slow = logged($node, 'postgres', "SET log_min_error_statement = panic; SELECT 1/0", 'without statement');
ok(@slow == 1 && !exists $slow[0]{statement}, 'the server decides whether a statement is shown');

#
# Lines that the application does not write
#
$node->safe_psql('postgres', 'CREATE TABLE t (k int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0), (2, 0)');
($line) = with_message(qr/duplicate key/, logged($node, 'postgres', $CONTEXT . 'INSERT INTO t VALUES (1)', 'constraint'));
ok($has_ids->($line) && $line->{err}{constraint} eq 't_pkey' && $line->{detail} eq 'Key (k)=(1) already exists.', 'a constraint violation carries the ids');
($line) = with_message(qr/^duration:/, logged($node, 'postgres', $CONTEXT . 'SET log_min_duration_statement = 10; SELECT pg_sleep(0.02)', 'slow statement'));
ok($has_ids->($line) && $line->{msg} =~ /pg_sleep/, 'a slow statement carries the ids');

my ($first, $second) = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 2;
my $offset = log_size($node);
# either of them can be the one that the deadlock ends
$first->query_safe($CONTEXT . 'BEGIN; UPDATE t SET v = 1 WHERE k = 1');
$second->query_safe($CONTEXT . 'BEGIN; UPDATE t SET v = 2 WHERE k = 2');
$second->query_until(qr/begun/, "\\echo begun\nUPDATE t SET v = 2 WHERE k = 1;\n");
ok(wait_until(sub { with_message(qr/still waiting for/, @{ (objects($node->logfile, $offset))[0] }) }), 'a lock is waited for');
($line) = with_message(qr/still waiting for/, @{ (objects($node->logfile, $offset))[0] });
ok($has_ids->($line), 'a lock wait carries the ids');
$first->query('UPDATE t SET v = 1 WHERE k = 2');
ok(wait_until(sub { with_message(qr/deadlock detected/, @{ (objects($node->logfile, $offset))[0] }) }), 'there is a deadlock');
($line) = with_message(qr/deadlock detected/, @{ (objects($node->logfile, $offset))[0] });
ok($has_ids->($line) && $line->{sqlstate} eq '40P01' && $line->{detail} =~ /waits for ShareLock/, 'a deadlock carries the ids');
$_->quit foreach $first, $second;

# processes that work for the request
($line) = with_message(qr/from a worker/, grep { ($_->{backendType} // '') eq 'parallel worker' } logged($node, 'postgres', $CONTEXT . q(
	CREATE FUNCTION tell(int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN RAISE LOG 'from a worker'; RETURN $1; END $$;
	SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off;
	SELECT count(tell(v)) FROM t), 'parallel'));
ok($has_ids->($line) && $line->{leaderPid} > 1, 'a parallel worker carries the ids');

#
# What a message can be made of
#
($line) = with_message(qr/^x/, logged($node, 'postgres', q(DO $$ BEGIN RAISE LOG '%', repeat('x', 1048576); END $$), 'one megabyte'));
is(length $line->{msg}, 1048576, 'a message of 1 MB is whole');
($line) = with_message(qr/^\x01/, logged($node, 'postgres', q(DO $$ BEGIN RAISE LOG '%', repeat(E'\x01"', 100000); END $$), 'all escapes'));
is(length $line->{msg}, 200000, 'also one that is all escapes');
($line) = logged($node, 'postgres', q(DO $$ BEGIN RAISE LOG '%', (SELECT string_agg(chr(c), '') FROM generate_series(1, 300) AS c) || E'\u2028\U0001F600\uFFFF\U0010FFFF'; END $$), 'characters');
is($line->{msg}, join('', map { chr } 1 .. 300) . "\x{2028}\x{1F600}\x{FFFF}\x{10FFFF}", 'any character comes through');
$offset = log_size($node);
eight_at_once();
($objects, $bad) = objects($node->logfile, $offset);
is($bad, 0, 'file: every line of eight sessions at a time is JSON');
is(whole(@$objects), 320, 'file: their lines do not mix');

# encodings: bytes that are no UTF-8, Latin 1, and one of which only catalogs know
foreach my $encoding (qw(sql_ascii latin1 euc_jp))
{
	$node->safe_psql('postgres', "CREATE DATABASE in_$encoding ENCODING '$encoding' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
	$node->safe_psql("in_$encoding", 'CREATE EXTENSION flowmaestro_spans');
}
my $bytes = sub { return "SET client_encoding = $_[0]; DO \$\$ BEGIN RAISE LOG '%', convert_from('$_[1]', '$_[0]'); END \$\$" };
($line) = logged($node, 'in_sql_ascii', $bytes->('SQL_ASCII', '\x61ff62c3a463e282c0af64eda0806580f4908080'), 'invalid bytes');
is($line->{msg}, "a\x{FFFD}b\x{E4}c\x{FFFD}\x{FFFD}\x{FFFD}\x{FFFD}d\x{FFFD}\x{FFFD}\x{FFFD}e\x{FFFD}\x{FFFD}\x{FFFD}\x{FFFD}\x{FFFD}", 'an invalid byte becomes U+FFFD');
($line) = logged($node, 'in_sql_ascii', $bytes->('SQL_ASCII', '\x78e282'), 'cut character');
is($line->{msg}, "x\x{FFFD}\x{FFFD}", 'also of a character that is cut');
($line) = logged($node, 'in_latin1', $bytes->('LATIN1', '\x7a80e4ff'), 'Latin 1');
is($line->{msg}, "z\x{80}\x{E4}\x{FF}", 'Latin 1 is converted');
($line) = logged($node, 'in_euc_jp', $bytes->('EUC_JP', '\x7ac6fc5c'), 'EUC_JP');
is($line->{msg}, 'z\xc6\xfc\\', 'bytes of another encoding are shown');
($line) = logged($node, 'in_euc_jp', q(SELECT flowmaestro.log('info', 'm', ('{"' || convert_from('\xc6fc', 'EUC_JP') || '": "\"\n' || convert_from('\xc6fc', 'EUC_JP') || '"}')::jsonb)), 'EUC_JP fields');
is($line->{'\xc6\xfc'}, "\"\n\\xc6\\xfc", 'also those of fields');
($line) = logged($node, 'in_sql_ascii', q(SELECT flowmaestro.log('info', 'm', ('{"' || convert_from('\x61ff', 'SQL_ASCII') || '": 1}')::jsonb)), 'invalid fields');
is($line->{"a\x{FFFD}"}, 1, 'and those that are no characters');

#
# PostgreSQL's processes at their most talkative, over some of our own scripts
#
$node->append_conf('postgresql.conf', "log_min_messages = debug5\nlog_statement = all\nlog_duration = on\nlog_connections = on\nautovacuum_naptime = 1s\n");
$offset = log_size($node);
$node->reload;
$node->safe_psql('postgres', 'DROP EXTENSION flowmaestro_spans');
foreach my $script (qw(recording errors trace tools))
{
	$node->psql('postgres', slurp_file("$FindBin::RealBin/../../sql/$script.sql"), on_error_stop => 0);
}
$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS flowmaestro_spans; CHECKPOINT');
ok(wait_until(sub { grep { ($_->{backendType} // '') eq 'autovacuum worker' } @{ (objects($node->logfile, $offset))[0] } }), 'autovacuum has come by');
($objects, $bad) = objects($node->logfile, $offset);
cmp_ok(scalar @$objects, '>', 5000, 'debug5: thousands of lines');
is($bad, 0, 'debug5: every line is JSON');
# the members that lines of the server have, here and in an error with all that belongs to it
my %members = map { $_ => 1 } map { keys %$_ } grep { exists $_->{severity} } @$objects, $error;
delete $members{err};
my $forged = $json->encode({ map { $_ => 'forged' } keys %members });
$forged =~ s/'/''/g;
my ($imitation) = with_message(qr/^imitation$/, logged($node, 'postgres', "SELECT flowmaestro.log('info', 'imitation', '$forged')", 'imitation'));
is_deeply([ sort keys %{ $imitation->{fields} } ], [ sort keys %members ], 'an application cannot set any member that the server writes');
ok(!exists $imitation->{severity}, 'so its line is none of the server');
my %types = map { $_->{backendType} // 'application' => 1 } @$objects;
ok($types{$_}, "debug5: a line of the $_")
	foreach 'postmaster', 'client backend', 'checkpointer', 'autovacuum launcher', 'autovacuum worker', 'flowmaestro_spans writer';
ok((grep { $_->{msg} =~ /^connection received/ && !exists $_->{database} } @$objects), 'debug5: also before a database is known');
$node->append_conf('postgresql.conf', "log_min_messages = info\nlog_statement = none\nlog_duration = off\nlog_connections = off\nautovacuum_naptime = 1min\n");
$node->reload;

#
# Out of memory: the session is given a few MB more than it has
#
SKIP:
{
	my $limit = sub { return system("prlimit --pid $_[0] --as=$_[1]:unlimited") == 0 };
	skip 'no prlimit', 6 unless $limit->($$, 'unlimited');
	my $poor = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $poor->query_safe('SELECT pg_backend_pid()');
	my $bigger = "DO \$\$ BEGIN RAISE LOG '%', repeat('m', 2000000); END \$\$";
	# what PL/pgSQL needs is there already
	$poor->query_safe($CONTEXT . $bigger);
	my ($pages) = split / /, slurp_file("/proc/$pid/statm");
	# a sanitizer maps terabytes, and gives up when it cannot have more
	skip 'a sanitizer wants all memory', 6 if $pages > 2**28;
	$offset = log_size($node);
	ok($limit->($pid, $pages * 4096 + 10_000_000), 'memory is limited');
	$poor->query_safe($bigger);
	($objects, $bad) = objects($node->logfile, $offset);
	($line) = with_message(qr/^m/, @$objects);
	ok($bad == 0 && $line->{'flowmaestro.truncated'}, 'a line without memory is truncated, marked, and JSON');
	cmp_ok(length $line->{msg}, '>', 5000, 'with what memory there is of its message');
	ok($has_ids->($line) && $line->{pid} == $pid, 'and what comes behind it is there');
	$offset = log_size($node);
	$poor->query("SELECT length(repeat('x', 100000000))");
	# the server prints its memory contexts besides, past all hooks
	($line) = map { $json->decode($_) } grep { /"sqlstate":"53200"/ } split /\n/, slurp_file($node->logfile, $offset);
	is($line->{msg}, 'out of memory', 'the error itself is JSON');
	is(scalar $poor->query('SELECT 1'), 1, 'the session is well');
	$poor->quit;
}

#
# Another extension's hook, before ours and behind it
#
$node->safe_psql('postgres', qq(
CREATE FUNCTION log_probe_seen() RETURNS bigint AS '$PROBE/log_probe' LANGUAGE C;
CREATE FUNCTION log_probe_last() RETURNS text AS '$PROBE/log_probe' LANGUAGE C;
CREATE FUNCTION log_probe_panic(text) RETURNS void AS '$PROBE/log_probe' LANGUAGE C;));
foreach my $order ("flowmaestro_spans, $PROBE/log_probe", "$PROBE/log_probe, flowmaestro_spans")
{
	my $name = $order =~ /^flow/ ? 'ours first' : 'ours last';

	$node->append_conf('postgresql.conf', "shared_preload_libraries = '$order'");
	$offset = log_size($node);
	$node->restart;
	is((objects($node->logfile, $offset))[1], 0, "$name: the restart is logged as JSON");
	foreach my $format (qw(json correlate))
	{
		my $count = $node->safe_psql('postgres', qq(SET flowmaestro.log_format = $format; SET flowmaestro.traceparent = '00-550e8400e29b41d4a716446655440000-b7ad6b7169203331-01';
			SET client_min_messages = log; SELECT log_probe_seen() AS before \\gset
			DO \$\$ BEGIN RAISE LOG 'seen'; RAISE WARNING 'seen'; END \$\$;
			SELECT log_probe_seen() - :before, log_probe_last()));
		is($count, '2|seen', "$name: the other hook sees every line of $format once, as it was");
	}
	my @inside = logged($node, 'postgres', $CONTEXT . q(SET log_probe.mode = log; DO $$ BEGIN RAISE LOG 'outer'; END $$), "$name: logging from a hook");
	is_deeply([ sort map { $_->{msg} } @inside ], [ 'outer', 'seen by log_probe: outer' ], "$name: a line from inside a hook is a line");
	my @thrown = logged($node, 'postgres', $CONTEXT . q(SET log_probe.mode = throw; DO $$ BEGIN RAISE LOG 'outer'; END $$; SET log_probe.mode = watch; DO $$ BEGIN RAISE LOG 'after'; END $$), "$name: an error from a hook");
	is($thrown[-1]{msg}, 'after', "$name: after an error from a hook all is as before");
	my @taken = logged($node, 'postgres', q(SET log_probe.mode = take; DO $$ BEGIN RAISE LOG 'taken'; END $$), "$name: a hook that takes lines");
	is(scalar @taken, 0, "$name: what another hook takes from the server we leave alone");
}

#
# Death: of a session, of a process, of all
#
my $victim = $node->background_psql('postgres', on_error_stop => 0);
my $victim_pid = $victim->query_safe($CONTEXT . 'SELECT pg_backend_pid()');
$offset = log_size($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($victim_pid, 10000)");
($line) = with_message(qr/^terminating connection/, @{ (objects($node->logfile, $offset))[0] });
ok($line->{level} == 60 && $line->{severity} eq 'FATAL' && $line->{err}{code} eq '57P01' && $has_ids->($line), 'FATAL is fatal, and carries the ids');
eval { $victim->quit };
# a startup packet for a database that does not exist
my @refused = logged($node, 'nowhere', 'SELECT 1', 'no database');
ok($refused[-1]{severity} eq 'FATAL' && $refused[-1]{database} eq 'nowhere', 'so is a connection that fails');

$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->reload;
foreach my $death (
	[ 'PANIC', sub { $node->psql('postgres', $CONTEXT . "SELECT log_probe_panic('the end')") } ],
	[ 'kill', sub { $node->psql('postgres', 'SELECT pg_backend_pid()', stdout => \my $pid); my $b = $node->background_psql('postgres', on_error_stop => 0);
			kill 'KILL', $b->query_safe('SELECT pg_backend_pid()'); eval { $b->quit } } ])
{
	my ($name, $die) = @$death;

	$offset = log_size($node);
	$die->();
	ok(wait_until(sub { with_message(qr/ready to accept connections/, @{ (objects($node->logfile, $offset))[0] }) }), "$name: the server recovers");
	($objects, $bad) = objects($node->logfile, $offset);
	is($bad, 0, "$name: every line is JSON");
	ok((grep { ($_->{severity} // '') eq 'PANIC' && $_->{level} == 60 && $_->{msg} eq 'the end' && $has_ids->($_) } @$objects), "$name: the last words are there") if $name eq 'PANIC';
}
$node->poll_query_until('postgres', 'SELECT true');

#
# correlate: the server's own line, for any destination; the client is not told
#
$node->append_conf('postgresql.conf', 'flowmaestro.log_format = correlate');
$node->restart;
my $ids = "[traceId=$TRACE requestId=$REQUEST userId=user-123]";
$offset = log_size($node);
my ($code, $out, $err) = $node->psql('postgres', $CONTEXT . q(SET client_min_messages = log; SELECT flowmaestro.log('info', 'of an application', '{"a": 1}');
	DO $$ BEGIN RAISE LOG 'one'; RAISE WARNING 'two'; RAISE EXCEPTION 'three'; END $$), on_error_stop => 0);
my $text = slurp_file($node->logfile, $offset);
like($text, qr/LOG:  of an application \{"a": 1\} \Q$ids\E\n/, 'correlate: a line of an application');
like($text, qr/$_ \Q$ids\E\n/, "correlate: $_") foreach 'LOG:  one', 'WARNING:  two', 'ERROR:  three';
unlike($err, qr/traceId/, 'the client sees no ids');
like($err, qr/LOG:  of an application \{"a": 1\}\n.*LOG:  one\n.*WARNING:  two\n.*ERROR:  three\n/s, 'but all lines');
$offset = log_size($node);
$node->psql('postgres', 'SELECT 1/0');
like(slurp_file($node->logfile, $offset), qr/ERROR:  division by zero\n/, 'without a request there is nothing to append');

#
# The logging collector
#
my $logs = $node->data_dir . '/log';
my $current = sub { return $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_current_logfile('$_[0]')") };
$node->append_conf('postgresql.conf', qq(
flowmaestro.log_format = json
logging_collector = on
log_directory = 'log'
log_filename = 'server.log'
));
$node->restart;
eight_at_once();
$node->safe_psql('postgres', q(DO $$ BEGIN RAISE LOG '%', repeat('x', 1048576); END $$));
ok(wait_until(sub { index(slurp_file("$logs/server.log"), '"msg":"' . 'x' x 1048576 . '"') > 0 }), 'collector: 1 MB is whole');
($objects, $bad) = objects("$logs/server.log");
is($bad, 0, 'collector: every line is JSON');
is(whole(@$objects), 320, 'collector: lines of eight sessions at a time do not mix');

# its JSON file takes our lines for PostgreSQL's
$node->append_conf('postgresql.conf', "log_destination = 'jsonlog'");
$node->reload;
ok(wait_until(sub { -e "$logs/server.json" }), 'there is a JSON file');
$node->psql('postgres', $CONTEXT . "SELECT 1/0");
ok(wait_until(sub { slurp_file("$logs/server.json") =~ /division by zero/ }), 'jsonlog: it has the line');
($objects, $bad) = objects("$logs/server.json");
is($bad, 0, 'jsonlog: every line is ours');
# CSV cannot hold it: everything is the server's, with ids
my $plain = -s "$logs/server.log";
$node->append_conf('postgresql.conf', "log_destination = 'stderr,csvlog'");
$node->reload;
ok(wait_until(sub { -e "$logs/server.csv" }), 'there is a CSV file');
$node->psql('postgres', $CONTEXT . "SELECT 1/0");
ok(wait_until(sub { slurp_file("$logs/server.csv") =~ /"division by zero \Q$ids\E"/ }), 'csvlog: it has the line with the ids');
ok(wait_until(sub { slurp_file("$logs/server.log", $plain) =~ /ERROR:  division by zero \Q$ids\E\n/ }), 'and stderr has the same');
$node->stop;

#
# A pipe without collector: short lines, so that none is torn
#
$node->append_conf('postgresql.conf', "logging_collector = off\nlog_destination = 'stderr'");
my $piped = PostgreSQL::Test::Utils::tempdir() . '/piped.log';
my $server = IPC::Run::start([ 'sh', '-c', 'exec postgres -D "$0" 2>&1 | cat >"$1"', $node->data_dir, $piped ]);
ok(wait_until(sub { -s $piped && slurp_file($piped) =~ /ready to accept/ }), 'a server writes to a pipe');
eight_at_once();
($objects, $bad) = objects($piped);
is($bad, 0, 'pipe: every line is JSON');
is(scalar(grep { $_->{msg} =~ /^(\d+) (y+)$/ && $1 == $_->{pid} && $has_ids->($_) } @$objects), 320, 'pipe: no line is lost or torn');
is((grep { length > 4096 } split /^/, slurp_file($piped)), 0, 'pipe: what the system might tear is truncated');
kill 'INT', (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
$server->finish;

done_testing();
