#!/usr/bin/env bash
#
# Figures: floor, alternative and ours in one run, on a private server.  Ratios
# count; absolute figures are this machine's.  Each line is the median of RUNS.
#
set -euo pipefail
# shellcheck source=test/private-server.sh
. "$(dirname "${BASH_SOURCE[0]}")/../private-server.sh"
# shellcheck source=test/bench/schema.sh
. "$SOURCE_ROOT/test/bench/schema.sh"
RUNS=${RUNS:-5}
ROWS=100000

# Runs psql quietly in the bench's database.
sql() {
	"${AS_USER[@]}" psql -XqAt -v ON_ERROR_STOP=1 -d postgres "$@"
}

# Prints the median of the numbers on standard input.
median() {
	sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# Stops the server and starts it again.
restart_server() {
	stop_server
	quietly "$WORKSPACE/log/start.log" pg_ctl -D "$WORKSPACE/data" -l "$WORKSPACE/log/server.log" -w -t 60 start
}

# Has a part begin as the first one does, whatever ran before: without spans,
# partitions, and what memory knew of them.
start_over() {
	sql -c "SELECT flowmaestro.flush()" -c "SET client_min_messages = warning" -c "CALL flowmaestro.drop_partitions()" \
		-c "TRUNCATE original.execution_spans, flowmaestro.span_id_directory, flowmaestro.rejected_spans, flowmaestro.otlp_outbox,
			flowmaestro.span_usage, flowmaestro.token_usage_hourly, flowmaestro.token_usage_daily, flowmaestro.model_prices" >/dev/null
	restart_server
	sql -c "CHECKPOINT"
}

# Prints a quotient with two digits.
ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

# Prints the CPU seconds that a process has used.
cpu_of() {
	awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$1/stat"
}

# What a pair of calls costs the caller.
bench_caller() {
	local runs same bare span rows bytes
	progress "caller: create_span + end_span in a server-side loop (us a pair)"
	runs=$(sql -f test/bench/caller.sql 2>&1 | sed -n 's/.*INFO:  run //p')
	same=$(awk '{ print $1 }' <<<"$runs" | median)
	bare=$(awk '{ print $2 }' <<<"$runs" | median)
	span=$(awk '{ print $3 }' <<<"$runs" | median)
	rows=$(awk '{ print $4 }' <<<"$runs" | median)
	bytes=$(awk 'NR == 1 { print $5 }' <<<"$runs")
	printf '    %-52s %8.2f\n' "no-op pair, same arguments and results" "$same" \
		"no-op pair, one text argument" "$bare" "span pair, $bytes bytes of attributes and input" "$span" \
		"INSERT + UPDATE, nine indexes, one transaction" "$rows"
	echo "    span pair / no-op pair = $(ratio "$span" "$same") (goal <= 6); / bare no-op pair = $(ratio "$span" "$bare")"
	echo "    (INSERT + UPDATE) / span pair = $(ratio "$rows" "$span") (goal >= 30)"
}

# What taking trace, parent and ids of the request from the context costs.
bench_context() {
	local given settings comment without with
	progress "context: create_span in a server-side loop, nothing recorded (ns a call)"
	read -r given settings comment without with < <(sql -f test/bench/context.sql 2>&1 | sed -n 's/.*INFO:  run //p')
	printf '    %-52s %8.0f\n' "trace and parent given, no context" "$given" \
		"taken from the settings" "$settings" "taken from the statement's comment" "$comment" \
		"span pair, recorded" "$without" "the same with the ids of the request" "$with"
	awk -v a="$given" -v b="$settings" -v c="$comment" 'BEGIN {
		printf "    added by the settings = %.0f ns, by a comment = %.0f ns (goal <= 100)\n", b - a, c - a }'
}

# Rows per second that two clients get into a table in SECONDS_EACH seconds,
# flush included.
rate() {
	local script=$1 table=$2 before after start
	before=$(sql -c "SELECT count(*) FROM $table")
	start=$(date +%s%N)
	"${AS_USER[@]}" pgbench -n -c 2 -j 2 -M prepared -T "$SECONDS_EACH" -f "test/bench/$script" postgres >"$WORKSPACE/log/pgbench.log" 2>&1 || die "pgbench failed: $(tail -n 3 "$WORKSPACE/log/pgbench.log")"
	sql -c "SELECT flowmaestro.flush()" >/dev/null
	after=$(sql -c "SELECT count(*) FROM $table")
	awk -v n=$((after - before)) -v ns=$(($(date +%s%N) - start)) 'BEGIN { print n / ns * 1e9 }'
}

# Fills both tables with the stage five times: an empty table flatters random
# keys.
fill_tables() {
	local _
	for _ in 1 2 3 4 5; do
		sql -c "INSERT INTO original.execution_spans (trace_id, span_id, name, span_type, entity_id, started_at, ended_at, duration_ms, status, attributes, input, output)
			SELECT gen_random_uuid(), gen_random_uuid(), s.name, s.span_type, s.entity_id, now(), now(), 5, 'completed', s.attributes, s.input, s.output
			FROM original.stage AS s"
		sql -c "SELECT count(flowmaestro.end_span(c.span_id, s.output)) FROM original.stage AS s,
			LATERAL flowmaestro.create_span(s.name, s.span_type, s.entity_id, s.attributes, s.input) AS c" \
			-c "SELECT flowmaestro.flush()" >/dev/null
	done
	sql -c "VACUUM ANALYZE original.execution_spans" -c "VACUUM ANALYZE flowmaestro.execution_spans" -c "CHECKPOINT"
}

# Prints the medians of the kinds in turn, with a server setting for all of them.
compare_rates() {
	local setting=$1 original ours batch i
	sql -c "ALTER SYSTEM SET $setting" -c "SELECT pg_reload_conf()" >/dev/null
	rm -f "$WORKSPACE"/{ten,batch,ours}
	for ((i = 0; i < RUNS; i++)); do
		rate ten.sql original.execution_spans >>"$WORKSPACE/ten"
		rate batch.sql flowmaestro.execution_spans >>"$WORKSPACE/batch"
		rate ours.sql flowmaestro.execution_spans >>"$WORKSPACE/ours"
	done
	original=$(median <"$WORKSPACE/ten")
	batch=$(median <"$WORKSPACE/batch")
	ours=$(median <"$WORKSPACE/ours")
	printf '    %-52s %8.0f\n' "INSERT of ten rows, nine indexes" "$original" \
		"ten spans a statement" "$batch" "one create and one end a round trip" "$ours"
	echo "    ten spans a statement / INSERT of ten = $(ratio "$batch" "$original") (goal >= 3)"
}

# Spans per second, from the call to the row.  What a commit costs decides what
# the original's way costs, so the same is measured with the time that a disk
# with a network in between takes for it.
bench_end_to_end() {
	local SECONDS_EACH=6
	progress "end to end: 2 clients, 1 KB spans, into tables of 500,000 rows, rows per second"
	pg_test_fsync -s 1 -f "$WORKSPACE/tmp/fsync" | awk '/^ *fdatasync/ && !seen++ { print "    a flush of this disk takes " $4 " us" }'
	fill_tables
	compare_rates "commit_delay = 0"
	progress "the same where a commit waits 1 ms more for its disk (commit_delay)"
	compare_rates "commit_delay = 1000"
	sql -c "ALTER SYSTEM RESET commit_delay" -c "SELECT pg_reload_conf()" >/dev/null
	sql -c "TRUNCATE original.execution_spans; TRUNCATE flowmaestro.execution_spans; CHECKPOINT"
}

# CPU seconds of one session that inserts the stage into a table, 10,000 rows a
# statement, $3 optionally a WITH-less INSERT prefix.
cpu_of_insert() {
	local table=$1 pid before k
	rm -f "$WORKSPACE/insert"
	exec 3> >("${AS_USER[@]}" psql -XqAt -d postgres >"$WORKSPACE/insert")
	echo "SELECT pg_backend_pid();" >&3
	until [[ -s $WORKSPACE/insert ]]; do sleep 0.05; done
	pid=$(head -n 1 "$WORKSPACE/insert")
	before=$(cpu_of "$pid")
	for ((k = 0; k < ROWS; k += 10000)); do
		echo "INSERT INTO $table SELECT trace_id, span_id, parent_span_id, name, span_type, entity_id, started_at, ended_at,
			duration_ms, status, input, output, error, attributes, created_at, events, links, otlp
			FROM original.stage WHERE k > $k AND k <= $k + 10000;" >&3
	done
	echo "SELECT 'done';" >&3
	until grep -q done "$WORKSPACE/insert"; do sleep 0.1; done
	awk -v a="$before" -v b="$(cpu_of "$pid")" -v n="$ROWS" 'BEGIN { print (b - a) * 1e6 / n }'
	exec 3>&-
}

# CPU microseconds of the writer for each span of the stage.
cpu_of_writer() {
	local pid before
	sql -c "SELECT flowmaestro.create_span('warm', 'up'); SELECT flowmaestro.flush()" >/dev/null
	pid=$(sql -c "SELECT writer_pid FROM flowmaestro.stats")
	before=$(cpu_of "$pid")
	sql -c "DO \$\$ DECLARE r record; c flowmaestro.span_context; BEGIN
		FOR r IN SELECT * FROM original.stage ORDER BY k LOOP
			c := flowmaestro.create_span(r.name, r.span_type, r.entity_id, r.attributes, r.input, started_at => r.started_at);
			PERFORM flowmaestro.end_span(c.span_id, r.output, ended_at => r.ended_at);
			IF r.k % 10000 = 0 THEN PERFORM flowmaestro.flush(); END IF;
		END LOOP; END \$\$"
	awk -v a="$before" -v b="$(cpu_of "$pid")" -v n="$ROWS" 'BEGIN { print (b - a) * 1e6 / n }'
}

# The writer against one INSERT ... SELECT into the same table.
bench_writer() {
	local partition writer insert i
	progress "writer: CPU us a span of 1 KB, $ROWS spans"
	partition=$(sql -c "SELECT flowmaestro.make_partition(now())")
	for ((i = 0; i < RUNS; i++)); do
		sql -c "TRUNCATE flowmaestro.execution_spans; CHECKPOINT"
		cpu_of_insert "$partition" >>"$WORKSPACE/insert_us"
		sql -c "TRUNCATE flowmaestro.execution_spans; CHECKPOINT"
		cpu_of_writer >>"$WORKSPACE/writer_us"
	done
	writer=$(median <"$WORKSPACE/writer_us")
	insert=$(median <"$WORKSPACE/insert_us")
	printf '    %-52s %8.1f\n' "INSERT ... SELECT of 10,000 rows" "$insert" "writer" "$writer"
	echo "    writer / INSERT ... SELECT = $(ratio "$writer" "$insert") (goal <= 1.5)"
}

# Spans with ids that do not tell their time, in a table of a year: prints the
# caller's microseconds for a pair of calls, and the writer's for a span.
cost_of_ids() {
	local writer before pair
	writer=$(sql -c "SELECT writer_pid FROM flowmaestro.stats")
	before=$(cpu_of "$writer")
	pair=$(sql -v kind="$1" -f test/bench/ids.sql 2>&1 | sed -n 's/.*INFO:  run //p')
	echo "$pair $(cpu_each "$writer" "$before" 20000)"
}

# Ids of the caller's against ours, at 365 partitions.
bench_ids() {
	local kind i
	progress "ids: 365 partitions, us a pair of calls and CPU us of the writer a span"
	for ((i = 0; i < 365; i += 16)); do
		sql -c "SELECT count(flowmaestro.make_partition(now() - k * interval '1 day')) FROM generate_series($i, $i + 15) AS k" >/dev/null
	done
	sql -c "SELECT flowmaestro.create_span('warm', 'up'); SELECT flowmaestro.flush()" >/dev/null
	for ((i = 0; i < RUNS; i++)); do
		for kind in ours span both; do
			cost_of_ids "$kind" >>"$WORKSPACE/ids_$kind"
		done
	done
	for kind in ours span both; do
		awk '{ print $1 }' "$WORKSPACE/ids_$kind" | median >"$WORKSPACE/ids_pair_$kind"
		awk '{ print $2 }' "$WORKSPACE/ids_$kind" | median >"$WORKSPACE/ids_writer_$kind"
		printf '    %-52s %8.2f %8.1f\n' "$kind" "$(<"$WORKSPACE/ids_pair_$kind")" "$(<"$WORKSPACE/ids_writer_$kind")"
	done
	for kind in span both; do
		echo "    $kind / ours: caller = $(ratio "$(<"$WORKSPACE/ids_pair_$kind")" "$(<"$WORKSPACE/ids_pair_ours")"), writer = $(ratio "$(<"$WORKSPACE/ids_writer_$kind")" "$(<"$WORKSPACE/ids_writer_ours")") (goal <= 2)"
	done
}

# What the outbox costs the writer: the same spans with and without an endpoint,
# at which nobody listens.
bench_outbox() {
	local without with i
	progress "outbox: CPU us of the writer a span of 1 KB"
	for ((i = 0; i < RUNS; i++)); do
		sql -c "TRUNCATE flowmaestro.execution_spans; CHECKPOINT"
		cpu_of_writer >>"$WORKSPACE/unsent_us"
		sql -c "ALTER SYSTEM SET flowmaestro.otlp_endpoint = 'http://127.0.0.1:9'" -c "SELECT pg_reload_conf()" \
			-c "TRUNCATE flowmaestro.execution_spans, flowmaestro.otlp_outbox; CHECKPOINT" >/dev/null
		cpu_of_writer >>"$WORKSPACE/sent_us"
		sql -c "ALTER SYSTEM RESET flowmaestro.otlp_endpoint" -c "SELECT pg_reload_conf()" -c "TRUNCATE flowmaestro.otlp_outbox" >/dev/null
	done
	without=$(median <"$WORKSPACE/unsent_us")
	with=$(median <"$WORKSPACE/sent_us")
	printf '    %-52s %8.1f\n' "export off" "$without" "export on" "$with"
	echo "    on / off = $(ratio "$with" "$without")"
}

# What each index of a partition adds.
bench_indexes() {
	local partition name heap all us def
	progress "indexes: CPU us a row that each adds to the heap alone"
	partition=$(sql -c "SELECT flowmaestro.make_partition(now())")
	sql -c "CREATE TABLE original.heap (LIKE $partition INCLUDING STORAGE INCLUDING COMPRESSION) WITH (toast_tuple_target = 8160)"
	heap=$(for _ in 1 2 3; do sql -c "TRUNCATE original.heap; CHECKPOINT"; cpu_of_insert original.heap; done | median)
	printf '    %-72s %6.1f\n' "heap alone" "$heap"
	while IFS='|' read -r name def; do
		sql -c "CREATE ${name} ON original.heap USING ${def}"
		us=$(for _ in 1 2 3; do sql -c "TRUNCATE original.heap; CHECKPOINT"; cpu_of_insert original.heap; done | median)
		printf '    %-72s %6.1f\n' "$(cut -c 1-72 <<<"$def")" "$(awk -v a="$us" -v b="$heap" 'BEGIN { print a - b }')"
		sql -c "DO \$\$ DECLARE i regclass; BEGIN FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = 'original.heap'::regclass
			LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END \$\$"
	done < <(sql -c "SELECT CASE WHEN i.indisunique THEN 'UNIQUE INDEX' ELSE 'INDEX' END,
		regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') FROM pg_index AS i
		WHERE i.indrelid = '$partition'::regclass ORDER BY i.indexrelid")
	all=$(for _ in 1 2 3; do sql -c "TRUNCATE flowmaestro.execution_spans; CHECKPOINT"; cpu_of_insert "$partition"; done | median)
	printf '    %-72s %6.1f\n' "all of them" "$(awk -v a="$all" -v b="$heap" 'BEGIN { print a - b }')"
}

# What reading traces costs, and how many pages a page of spans touches.
bench_trace() {
	progress "reading: 5 million spans are written first, which takes minutes"
	sql -f test/bench/trace_setup.sql >/dev/null
	sql -v runs="$RUNS" -f test/bench/trace.sql
}

# CPU microseconds of the writer for each span of a mix: type of the model
# calls, how many of five spans they are, number of users.
cpu_of_mix() {
	local pid before
	sql -c "TRUNCATE flowmaestro.execution_spans, flowmaestro.span_usage, flowmaestro.token_usage_hourly, flowmaestro.token_usage_daily; CHECKPOINT"
	sql -c "SELECT flowmaestro.create_span('warm', 'up'); SELECT flowmaestro.flush()" >/dev/null
	pid=$(sql -c "SELECT writer_pid FROM flowmaestro.stats")
	before=$(cpu_of "$pid")
	sql -v type="$1" -v calls="$2" -v users="$3" -f test/bench/usage_mix.sql >/dev/null
	awk -v a="$before" -v b="$(cpu_of "$pid")" 'BEGIN { print (b - a) * 1e6 / 100000 }'
}

# What the ledger and its rollups cost the writer: the same spans with their
# calls under a type that is no model call.
compare_mix() {
	local without counted i
	rm -f "$WORKSPACE"/mix_*
	for ((i = 0; i < RUNS; i++)); do
		cpu_of_mix other_generation "$2" "$3" >>"$WORKSPACE/mix_without"
		cpu_of_mix model_generation "$2" "$3" >>"$WORKSPACE/mix_counted"
	done
	without=$(median <"$WORKSPACE/mix_without")
	counted=$(median <"$WORKSPACE/mix_counted")
	printf '    %-52s %8.1f\n' "$1, not counted" "$without" "$1, counted" "$counted"
	awk -v a="$without" -v b="$counted" -v goal="$4" 'BEGIN { printf "    part of the writer that is upkeep = %.1f %% %s\n", (b - a) / b * 100, goal }'
}

# Tokens and cost: upkeep, and questions about a month of 5 million spans, or
# about less with DAYS.
bench_usage() {
	progress "usage: CPU us of the writer a span of 1 KB"
	sql -c "SELECT flowmaestro.load_model_prices(flowmaestro.starter_model_prices())" >/dev/null
	compare_mix "one span in five a call, 250 users" 1 250 "(goal <= 15 %)"
	compare_mix "four in five, each with a user of its own" 4 1000000 ""
	progress "usage: 5 million spans are written first, which takes minutes"
	sql -c "TRUNCATE flowmaestro.execution_spans, flowmaestro.span_usage, flowmaestro.token_usage_hourly, flowmaestro.token_usage_daily"
	sql -v days="${DAYS:-30}" -f test/bench/usage_setup.sql >/dev/null
	sql -c "SELECT 'rows: ' || count(*) || ' entries, ' || (SELECT count(*) FROM flowmaestro.token_usage_hourly) || ' hourly, ' || (SELECT count(*) FROM flowmaestro.token_usage_daily) || ' daily'
		FROM flowmaestro.span_usage" | sed 's/^/    /'
	sql -v runs="$RUNS" -f test/bench/usage.sql 2>&1 | sed -n 's/.*INFO:  /    /p'
}

# CPU microseconds of a line, the median of RUNS: a log_format, a log_destination,
# and optionally what the session does before.
cpu_of_line() {
	sql -c "ALTER SYSTEM SET log_destination = $2" -c "SELECT pg_reload_conf()" >/dev/null
	sql -c "SET flowmaestro.log_format = $1" -c "SET bench.runs = $RUNS" -c "${3:-SELECT}" -f test/bench/log.sql 2>&1 | sed -n 's/.*INFO:  run //p' | median
}

# What a line of the log costs, through the logging collector.  The kinds take
# turns, so that a change of the machine's mood meets all of them.
bench_log() {
	local kind i
	progress "log: CPU us of a line, with the ids of a request"
	sql -c "ALTER SYSTEM SET logging_collector = on" -c "ALTER SYSTEM SET log_rotation_size = '50MB'" -c "ALTER SYSTEM SET log_filename = 'bench.log'" \
		-c "ALTER SYSTEM SET log_truncate_on_rotation = on"
	restart_server
	rm -f "$WORKSPACE"/line_*
	for ((i = 0; i < RUNS; i++)); do
		cpu_of_line off jsonlog >>"$WORKSPACE/line_jsonlog"
		cpu_of_line json stderr >>"$WORKSPACE/line_json"
		cpu_of_line correlate stderr >>"$WORKSPACE/line_correlate"
		cpu_of_line off stderr "SELECT original.noop_unhook()" >>"$WORKSPACE/line_none"
		cpu_of_line off stderr >>"$WORKSPACE/line_off"
	done
	for kind in jsonlog json correlate none off; do
		median <"$WORKSPACE/line_$kind" >"$WORKSPACE/median_$kind"
	done
	printf '    %-52s %8.2f\n' "PostgreSQL's jsonlog" "$(<"$WORKSPACE/median_jsonlog")" "log_format = json" "$(<"$WORKSPACE/median_json")" \
		"plain line, no hook" "$(<"$WORKSPACE/median_none")" "plain line, log_format = off" "$(<"$WORKSPACE/median_off")" \
		"plain line, log_format = correlate" "$(<"$WORKSPACE/median_correlate")"
	echo "    log_format = json / jsonlog = $(ratio "$(<"$WORKSPACE/median_json")" "$(<"$WORKSPACE/median_jsonlog")") (goal <= 1.3)"
	echo "    off / no hook = $(ratio "$(<"$WORKSPACE/median_off")" "$(<"$WORKSPACE/median_none")") (goal: not to be measured)"
	sql -c "ALTER SYSTEM RESET ALL"
	restart_server
}

# CPU nanoseconds that a process has used.
cpu_ns_of() {
	cut -d ' ' -f 1 "/proc/$1/schedstat"
}

# Spans a CPU second of a session that runs a statement for every span of
# requests, and of the writer, in two words; $2 spans.
cpu_of_otlp() {
	local statement=$1 n=$2 writer session before
	sql -c "TRUNCATE flowmaestro.execution_spans, flowmaestro.span_usage, flowmaestro.token_usage_hourly, flowmaestro.token_usage_daily; CHECKPOINT"
	sql -c "SELECT flowmaestro.create_span('warm', 'up'); SELECT flowmaestro.flush()" >/dev/null
	writer=$(sql -c "SELECT writer_pid FROM flowmaestro.stats")
	before=$(cpu_ns_of "$writer")
	session=$(sql -c "CREATE TEMP TABLE used AS SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::int8 AS ns" -c "$statement" \
		-c "SELECT 'used ' || split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::int8 - ns FROM used" | sed -n 's/^used //p')
	sql -c "SELECT flowmaestro.flush()" >/dev/null
	awk -v s="$session" -v w=$(($(cpu_ns_of "$writer") - before)) -v n="$n" 'BEGIN { printf "%.0f %.0f\n", n / s * 1e9, n / w * 1e9 }'
}

# OTLP: the decoder by itself, then from a request to the rows, against the same
# spans by create_span and end_span.
bench_otlp() {
	local BATCHES=100 n i decode
	progress "otlp: batches of 512 spans, spans per CPU second"
	make_here "$WORKSPACE/log/otlp_bench.log" test/bench/otlp_bench
	n=$((BATCHES * 512))
	for ((i = 0; i < RUNS; i++)); do test/bench/otlp_bench decode; done >"$WORKSPACE/otlp_decode"
	decode=$(awk '{ print $1 }' "$WORKSPACE/otlp_decode" | median)
	sql -c "CREATE UNLOGGED TABLE original.requests (request bytea)" -c "ALTER TABLE original.requests ALTER request SET STORAGE EXTERNAL"
	test/bench/otlp_bench batches $BATCHES | sql -c "COPY original.requests FROM STDIN"
	sql -c "SELECT sum(accepted) FROM original.requests, flowmaestro.ingest_otlp(request)" -c "SELECT flowmaestro.flush()" >/dev/null
	sql -c "CREATE UNLOGGED TABLE original.otlp_stage AS SELECT name, span_type, entity_id, attributes, started_at, ended_at, status FROM flowmaestro.execution_spans"
	for ((i = 0; i < RUNS; i++)); do
		cpu_of_otlp "SELECT sum(accepted) FROM original.requests, flowmaestro.ingest_otlp(request)" "$n" >>"$WORKSPACE/otlp_in"
		cpu_of_otlp "SELECT count(flowmaestro.end_span(c.span_id, ended_at => s.ended_at)) FROM original.otlp_stage AS s,
			LATERAL flowmaestro.create_span(s.name, s.span_type, s.entity_id, s.attributes, started_at => s.started_at) AS c" "$n" >>"$WORKSPACE/otlp_sql"
	done
	printf '    %-52s %8.0f\n' "decoder, $(awk 'NR == 1 { print $2 }' "$WORKSPACE/otlp_decode") bytes a span (goal >= 700000)" "$decode" \
		"ingest_otlp, into the buffer" "$(awk '{ print $1 }' "$WORKSPACE/otlp_in" | median)" \
		"create_span + end_span of the same, into the buffer" "$(awk '{ print $1 }' "$WORKSPACE/otlp_sql" | median)" \
		"writer, spans of OTLP" "$(awk '{ print $2 }' "$WORKSPACE/otlp_in" | median)" \
		"writer, spans of SQL" "$(awk '{ print $2 }' "$WORKSPACE/otlp_sql" | median)"
	echo "    writer of OTLP / writer of SQL = $(ratio "$(awk '{ print $2 }' "$WORKSPACE/otlp_in" | median)" "$(awk '{ print $2 }' "$WORKSPACE/otlp_sql" | median)") (goal >= 0.8)"
}

# Rows per second that two clients get into the table by OTLP/HTTP in
# SECONDS_EACH seconds, flush included.
rate_of_otlp() {
	local before after start
	before=$(sql -c "SELECT count(*) FROM flowmaestro.execution_spans")
	start=$(date +%s%N)
	"${AS_USER[@]}" perl test/bench/otlp_client.pl "$OTLP_PORT" "$SECONDS_EACH" <"$WORKSPACE/stage" >"$WORKSPACE/acknowledged"
	sql -c "SELECT flowmaestro.flush()" >/dev/null
	after=$(sql -c "SELECT count(*) FROM flowmaestro.execution_spans")
	[[ $((after - before)) == $(<"$WORKSPACE/acknowledged") ]] || die "acknowledged: $(<"$WORKSPACE/acknowledged"), in the table: $((after - before))"
	awk -v n=$((after - before)) -v ns=$(($(date +%s%N) - start)) 'BEGIN { print n / ns * 1e9 }'
}

# The CPU microseconds that a process took since it had taken $2 seconds, for
# each of $3 spans.
cpu_each() {
	awk -v a="$2" -v b="$(cpu_of "$1")" -v n="$3" 'BEGIN { printf "%.2f\n", (b - a) * 1e6 / n }'
}

# The receiver, to committed rows, against SQL that records the same rows.
bench_receiver() {
	local SECONDS_EACH=6 OTLP_PORT=4319 worker http same otlp i worker_cpu http_cpu writer writer_cpu spans
	progress "receiver: 2 clients, 1 KB spans, into a table of 500,000 rows, rows per second"
	fill_tables
	sql -c "ALTER TABLE original.stage ADD COLUMN sent jsonb" \
		-c "UPDATE original.stage SET sent = attributes || jsonb_build_object('input.value', input::text, 'output.value', output::text)" \
		-c "VACUUM FULL ANALYZE original.stage"
	sql -c "COPY (SELECT attributes, input, output FROM original.stage WHERE k <= 20480) TO STDOUT" >"$WORKSPACE/stage"
	sql -c "ALTER SYSTEM SET flowmaestro.otlp_receiver_port = $OTLP_PORT" -c "SELECT pg_reload_conf()" >/dev/null
	until worker=$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'flowmaestro_spans receiver'") && [[ -n $worker ]] &&
		http=$(tr -d ' ' <"/proc/$worker/task/$worker/children") && [[ -n $http ]]; do sleep 0.1; done
	for ((i = 0; i < RUNS; i++)); do
		rate otlp_same.sql flowmaestro.execution_spans >>"$WORKSPACE/receiver_same"
		writer=$(sql -c "SELECT writer_pid FROM flowmaestro.stats")
		worker_cpu=$(cpu_of "$worker") http_cpu=$(cpu_of "$http") writer_cpu=$(cpu_of "$writer")
		rate_of_otlp >>"$WORKSPACE/receiver_otlp"
		spans=$(<"$WORKSPACE/acknowledged")
		cpu_each "$http" "$http_cpu" "$spans" >>"$WORKSPACE/receiver_http"
		cpu_each "$worker" "$worker_cpu" "$spans" >>"$WORKSPACE/receiver_worker"
		cpu_each "$writer" "$writer_cpu" "$spans" >>"$WORKSPACE/receiver_writer"
	done
	same=$(median <"$WORKSPACE/receiver_same")
	otlp=$(median <"$WORKSPACE/receiver_otlp")
	printf '    %-52s %8.0f\n' "SQL, ten spans a statement" "$same" "OTLP/HTTP, 512 spans a request" "$otlp"
	echo "    OTLP/HTTP / SQL = $(ratio "$otlp" "$same") (goal >= 0.8)"
	echo "    CPU us a span: HTTP $(median <"$WORKSPACE/receiver_http"), decoding $(median <"$WORKSPACE/receiver_worker"), writer $(median <"$WORKSPACE/receiver_writer")"
	sql -c "ALTER SYSTEM RESET flowmaestro.otlp_receiver_port" -c "SELECT pg_reload_conf()" >/dev/null
	sql -c "TRUNCATE original.execution_spans; TRUNCATE flowmaestro.execution_spans; CHECKPOINT"
}

open_workspace
build_extension
make_here "$WORKSPACE/log/noop.log" -C test/bench -f noop.mk
start_server <<CONF
max_wal_size = 4GB
# a server that has run for a while finds its WAL files made
min_wal_size = 4GB
shared_buffers = 512MB
commit_siblings = 0
CONF
sql -v noop="$WORKSPACE/src/test/bench/noop" -f test/bench/setup.sql
for part in ${PARTS:-caller context end_to_end writer outbox ids indexes trace schema usage log otlp receiver}; do
	start_over
	"bench_$part"
done
