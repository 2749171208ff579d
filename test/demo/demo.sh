#!/usr/bin/env bash
#
# Plays one run of an agent, recorded by two sessions that live side by side: the
# worker of the workflow and the worker of the agent.  Then it shows what is in
# the table, and checks it.  Everything happens in a PostgreSQL of our own that
# is gone afterwards.
#
set -euo pipefail
# shellcheck source=test/private-server.sh
. "$(dirname "${BASH_SOURCE[0]}")/../private-server.sh"
export KEEP=0 # the demo promises to leave nothing

declare -A TO FROM # file descriptors to and from the psql of a session

# Starts a psql that stays connected; it is spoken to with "play".
open_session() {
	local name=$1 fifo=$WORKSPACE/tmp/$1 to from
	mkfifo "$fifo.in" "$fifo.out"
	"${AS_USER[@]}" env PGAPPNAME="$name" psql -XqAt -v ON_ERROR_STOP=1 -d demo <"$fifo.in" >"$fifo.out" 2>&1 &
	exec {to}>"$fifo.in" {from}<"$fifo.out"
	TO[$name]=$to FROM[$name]=$from
}

# Ends a session: its psql has read everything.
close_session() {
	local to=${TO[$1]} from=${FROM[$1]}
	exec {to}>&-
	cat <&"$from"
	exec {from}<&-
}

# Has a session run one of our SQL files, and shows what it prints.  Arguments
# NAME=VALUE are psql variables.  A line "result VALUE" is not shown but sets
# RESULT.  Fails if the session ends before the file does.
play() {
	local name=$1 file=$2 line
	shift 2
	for line in "$@"; do
		printf '\\set %s %s\n' "${line%%=*}" "${line#*=}" >&"${TO[$name]}"
	done
	printf '\\i test/demo/%s\n\\echo done\n' "$file" >&"${TO[$name]}"
	while read -r line <&"${FROM[$name]}"; do
		case $line in
		done) return 0 ;;
		result\ *) RESULT=${line#result } ;;
		*) printf '    %-15s| %s\n' "$name" "$line" ;;
		esac
	done
	die "session $name ended in the middle of $file"
}

# Runs one of our SQL files in a psql of its own and shows the result as a table.
# Further arguments are psql's.
show() {
	local file=$1
	shift
	"${AS_USER[@]}" psql -Xq -P footer=off -P null=- -v ON_ERROR_STOP=1 -d demo "$@" -f "test/demo/$file" | sed 's/^./    &/'
}

# Prints the one row that a query gives, columns separated by |.
ask() {
	"${AS_USER[@]}" psql -XqAt -v ON_ERROR_STOP=1 -d demo -c "$1"
}

# Fails unless a value is what was expected.
expect() {
	[[ $2 == "$3" ]] || die "expected $1: $3, found: $2"
}

open_workspace
progress "Building the extension with $(pg_config --version)"
build_extension
progress "Starting a private PostgreSQL $PGVERSION"
start_server <<<"flowmaestro.log_format = json"
quietly "$WORKSPACE/log/createdb.log" createdb demo
quietly "$WORKSPACE/log/extension.log" psql -X -v ON_ERROR_STOP=1 -d demo -c 'CREATE EXTENSION flowmaestro_spans'

progress "Two sessions connect: workflow-worker and agent-worker"
open_session workflow-worker
open_session agent-worker

progress "The workflow starts and hands an agent its task"
play workflow-worker workflow-start.sql
agent=$RESULT
progress "The agent's first iteration: the model asks for a tool with bad arguments"
play agent-worker iteration-1.sql agent="$agent"
progress "The second iteration begins; what runs right now, in both sessions"
play agent-worker iteration-2-start.sql
show active.sql
progress "A tool succeeds, another one's transaction throws and is rolled back"
play agent-worker iteration-2-tools.sql
progress "The agent answers; its session ends the span that the workflow's session began"
play agent-worker agent-end.sql
play workflow-worker workflow-end.sql

close_session agent-worker
close_session workflow-worker

progress "flush(), and what is in flowmaestro.execution_spans, drawn"
show spans.sql
progress "Where the time went: the critical path"
show critical.sql
progress "Tokens by model"
show tokens.sql
progress "The lines of the server's log with the trace's id: the application's, and PostgreSQL's own"
trace=$(ask "SELECT trace_id FROM flowmaestro.list_traces()")
show log.sql -v log="$WORKSPACE/log/server.log" -v trace="$trace"
progress "Counters"
show stats.sql

progress "Checking"
IFS='|' read -r spans failed started traces pids < <(ask "
	SELECT count(*), count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'started'),
	       count(DISTINCT trace_id), count(DISTINCT attributes->>'pid')
	FROM flowmaestro.execution_spans")
IFS='|' read -r writer lost pending < <(ask "
	SELECT writer_pid, dropped + rejected, pending FROM flowmaestro.stats")
expect "spans" "$spans" 11
expect "failed spans" "$failed" 3
expect "spans still running" "$started" 0
expect "traces" "$traces" 1
expect "sessions that ended a span" "$pids" 2
[[ -n $writer ]] || die "no background worker writes"
expect "lost records" "$lost" 0
expect "records not yet written" "$pending" 0
expect "the span whose transaction was rolled back" \
	"$(ask "SELECT status, error->>'message' FROM flowmaestro.execution_spans WHERE name = 'tool: rank_papers'")" \
	'failed|division by zero'
expect "rows of the transaction that was rolled back" "$(ask "SELECT count(*) FROM ranking")" 0
expect "tokens" \
	"$(ask "SELECT sum((attributes->>'totalTokens')::int) FROM flowmaestro.execution_spans")" 3030

expect "spans in the tree, the odd ones" \
	"$(ask "SELECT count(*), count(note) FROM flowmaestro.list_traces() AS l, flowmaestro.get_trace_tree(l.trace_id)")" '11|0'
expect "bytes of the page that make a browser load something" \
	"$(ask "SELECT count(*) FROM flowmaestro.list_traces() AS l WHERE flowmaestro.trace_html(l.trace_id) ~ '(src|href)='")" 0

expect "log lines of the trace" "$(grep -c "\"traceId\":\"$trace\"" "$WORKSPACE/log/server.log")" 3
expect "secrets in the log" "$(grep -c "sk-123" "$WORKSPACE/log/server.log")" 0

stop_server
place=$WORKSPACE
close_workspace
[[ ! -e $place && -z $(processes_of "$place") ]] || die "something is left: $place"
echo "    $spans spans recorded, $failed of them failed, written by background worker pid $writer, $lost lost"
echo "demo finished: $spans spans recorded by $pids sessions, nothing left behind"
