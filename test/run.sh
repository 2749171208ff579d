#!/usr/bin/env bash
#
# Sets up and runs every test, in a PostgreSQL of our own that is gone afterwards.
#
#   TESTS="t/003_crash.pl ..."   run only these TAP files
#   STAGES="regress ..."         run only these of unit, regress, isolation,
#                                conformance, clients, full-disk, tap, limits
#   SUITE=dir                    test suite of JSON Schema; the default is the one
#                                beside the source, else Debian's copy
#   KEEP=1                       keep the directory with logs, sources and data
#
# The last line is "N passed, M failed", in single tests: a check of the unit
# test, a script of pg_regress, an isolation spec, a test of a client, an assertion
# of a TAP file.
# A stage that broke off without a failed test counts as one failed test.
#
set -euo pipefail
# shellcheck source=test/private-server.sh
. "$(dirname "${BASH_SOURCE[0]}")/private-server.sh"
# shellcheck source=test/full-disk.sh
. "$SOURCE_ROOT/test/full-disk.sh"

ALL_STAGES="unit regress isolation conformance clients full-disk tap limits"
TABLE=() # a line for each stage
PASSED=0 FAILED=0 SKIPPED=0

# Prints the numbers of passed, failed and skipped tests in a log.  It knows TAP
# (our C test, prove -v, pg_regress since 16) and the lines that pg_regress
# printed before.
count_tests() {
	awk '
		/^(not )?ok [0-9]+.*# (skip|SKIP|TODO)/ || / \.\. skipped: / { skipped++; next }
		/^ok [0-9]+/ || /^(test| ) .* \.\.\. ok / { passed++ }
		/^not ok [0-9]+/ || /^(test| ) .* \.\.\. FAILED / { failed++ }
		END { print passed + 0, failed + 0, skipped + 0 }' "$1"
}

# Prints what tells why a stage failed: the differences, or the ends of the logs.
explain() {
	local log=$1 file
	tail -n 40 "$log"
	for file in regression.diffs output_iso/regression.diffs; do
		if [[ -s $file ]]; then
			echo "--- $file"
			head -n 400 "$file"
		fi
	done
	for file in tmp_check/log/*; do
		if [[ -s $file ]]; then
			echo "--- the end of $file"
			tail -n 40 "$file"
		fi
	done
	if [[ -e $WORKSPACE/data/postmaster.pid ]]; then
		echo "--- the end of the server's log"
		tail -n 40 "$WORKSPACE/log/server.log"
	fi
}

# Runs a command as one stage, counts its tests and adds to the table.  The command
# gets the stage's log as its last argument.
count_stage() {
	local name=$1 log=$WORKSPACE/log/${1// /-}.log status=0 start=$SECONDS passed failed skipped line
	shift
	progress "$name"
	# what an earlier stage left would be taken for this one's
	rm -rf regression.diffs output_iso tmp_check
	"$@" "$log" || status=$?
	read -r passed failed skipped < <(count_tests "$log")
	if [[ $failed == 0 && ($status != 0 || $((passed + skipped)) == 0) ]]; then
		failed=1
	fi
	if [[ $failed != 0 ]]; then
		explain "$log"
	fi
	printf -v line '%-32s %6d passed %6d failed %4d skipped %5d s' \
		"$name" "$passed" "$failed" "$skipped" $((SECONDS - start))
	echo "    $line"
	TABLE+=("$line")
	PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
}

# Runs make with a target; the last argument is the log.
make_stage() {
	logged "${*: -1}" make -s PG_CONFIG="$BINDIR/pg_config" with_llvm=no "${@:1:$#-1}"
}

# Runs make with a target as one stage.
stage() {
	local name=$1
	shift
	count_stage "$name" make_stage "$@"
}

# Runs the tests of a full disk, as whoever runs this, for they mount disks.
full_disk_stage() {
	full_disk_tests >"$1" 2>&1
}

# Whether a stage is to be run.
wanted() {
	[[ " ${STAGES:-$ALL_STAGES} " == *" $1 "* ]]
}

# Runs the TAP files named, each as a stage of its own: it makes its own servers.
tap_stages() {
	local file
	for file in "$@"; do
		stage "tap $(basename "$file")" installcheck REGRESS= ISOLATION= PROVE_FLAGS=-v PROVE_TESTS="$file"
	done
}

# Stops the server; if it does not stop, that counts as a failed test.
end_server() {
	progress "Stopping the server"
	if ! stop_server; then
		TABLE+=("stopping the server: failed")
		FAILED=$((FAILED + 1))
	fi
}

# Builds once more, with tiny internal limits (src/limit.h), in place of what is
# installed, and runs what compares outputs: they stay the same.
limits_stages() {
	progress "Building the extension with tiny limits"
	COPT="$COPT -DFMS_TINY_LIMITS" build_extension
	rm -rf "$WORKSPACE/data"
	start_server <test/regress.conf
	stage "limits regress" installcheck ISOLATION= TAP_TESTS=
	stage "limits isolation" installcheck REGRESS= TAP_TESTS=
	end_server
}

if [[ -z ${SUITE:-} && -d $SOURCE_ROOT/../shared/json-schema-test-suite ]]; then
	SUITE=$SOURCE_ROOT/../shared/json-schema-test-suite
fi
export SUITE=${SUITE:+$(realpath "$SUITE")}
open_workspace
if [[ -n ${TESTS:-} ]] || wanted tap; then
	install_optionals
fi
if [[ -z ${TESTS:-} ]] && wanted unit; then
	install_formatter
fi
if [[ -z ${TESTS:-} ]] && wanted full-disk; then
	install_file_systems
fi
if [[ -z ${TESTS:-} ]] && wanted clients; then
	install_npm
fi
progress "Building the extension with $(pg_config --version), warnings are errors"
export COPT=-Werror
build_extension

if [[ -n ${TESTS:-} ]]; then
	read -ra files <<<"$TESTS"
	tap_stages "${files[@]/#/test/}"
else
	if wanted unit; then
		stage "unit" unit
	fi
	progress "Starting a private PostgreSQL $PGVERSION"
	start_server <test/regress.conf
	if wanted regress; then
		stage "regress" installcheck ISOLATION= TAP_TESTS=
	fi
	if wanted isolation; then
		stage "isolation" installcheck REGRESS= TAP_TESTS=
	fi
	if wanted conformance; then
		stage "conformance" conformancecheck
		# the figures of each draft, and the optional tests that do not pass
		sed -n '/^# /p; s/^not ok [0-9]* - /# /p' "$WORKSPACE/log/conformance.log"
	fi
	if wanted clients; then
		stage "clients" clientscheck
	fi
	end_server
	if wanted full-disk; then
		count_stage "full disk" full_disk_stage
	fi
	if wanted tap; then
		tap_stages test/t/*.pl
	fi
	if wanted limits; then
		limits_stages
	fi
fi

close_workspace
progress "Summary"
printf '    %s\n' "${TABLE[@]}"
if [[ $SKIPPED == 0 ]]; then
	echo "$PASSED passed, $FAILED failed"
else
	echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
fi
[[ $FAILED == 0 && $PASSED != 0 ]]
