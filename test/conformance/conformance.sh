#!/usr/bin/env bash
#
# Runs the official JSON Schema test suite against the server that libpq's
# environment names, and prints TAP.  "make conformance" calls it with a server
# of its own.
#
#   SUITE=dir   the suite; else the copy that Debian ships
#
# Optional tests that are known not to pass are in known-failures, each with the
# reason.  Required ones have no such list.
#
set -euo pipefail
export PGOPTIONS='-c statement_timeout=300s'
HERE=$(dirname "${BASH_SOURCE[0]}")
DATABASE=conformance

# Prints where the suite is.
find_suite() {
	if [[ -n ${SUITE:-} ]]; then
		echo "$SUITE"
		return
	fi
	dpkg -L libtest-json-schema-acceptance-perl | sed -n 's,/tests/draft2020-12$,,p' | grep -v output
}

# Prints a file as a line of COPY's text format: kind, path and content.
copy_line() {
	printf '%s\t%s\t' "$1" "$2"
	sed -e 's/\\/\\\\/g' -e 's/\t/ /g' "$3" | tr '\n\r' '  '
	echo
}

# Prints all documents of the suite.
documents() {
	local suite=$1 file draft
	while read -r file; do
		copy_line remote "${file#"$suite"/remotes/}" "$file"
	done < <(find "$suite/remotes" -name '*.json' | LC_ALL=C sort)
	for draft in draft4 draft6 draft7 draft2019-09 draft2020-12; do
		while read -r file; do
			copy_line test "${file#"$suite"/tests/}" "$file"
		done < <(find "$suite/tests/$draft" -name '*.json' | LC_ALL=C sort)
	done
}

suite=$(find_suite)
[[ -d $suite/tests && -d $suite/remotes ]] || {
	echo "Bail out! no JSON Schema test suite at \"$suite\"" >&2
	exit 1
}
echo "# suite: $suite"
psql -Xq -d postgres -c "DROP DATABASE IF EXISTS $DATABASE" -c "CREATE DATABASE $DATABASE"
psql -XqAt -v ON_ERROR_STOP=1 -d "$DATABASE" -c "CREATE EXTENSION flowmaestro_spans" -f "$HERE/load.sql"
documents "$suite" | psql -Xq -v ON_ERROR_STOP=1 -d "$DATABASE" -c "COPY suite_document FROM STDIN"
sed '/^#/d; /^$/d' "$HERE/known-failures" | psql -Xq -v ON_ERROR_STOP=1 -d "$DATABASE" -c "COPY suite_known FROM STDIN (DELIMITER '|')"
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
psql -XqAt -v ON_ERROR_STOP=1 -d "$DATABASE" -f "$HERE/run.sql" >"$lines"
cat "$lines"
psql -Xq -d postgres -c "DROP DATABASE $DATABASE"
! grep '^not ok' "$lines" | grep -qv '# TODO'
