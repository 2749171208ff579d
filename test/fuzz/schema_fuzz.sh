#!/usr/bin/env bash
#
# Fuzzes the schema room in a backend of a private server, for FUZZ_SECONDS.
#
# What is known already is test/fuzz/schema_corpus.txt, an input a line in base64,
# all of it run first.  An input that fails is left beside it.  KEEP=1 keeps the
# workspace, with the corpus that grew.
#
set -euo pipefail
# shellcheck source=test/private-server.sh
. "$(dirname "${BASH_SOURCE[0]}")/../private-server.sh"

FUZZ=$SOURCE_ROOT/test/fuzz
CLANG=${CLANG:-clang}
command -v "$CLANG" >/dev/null || die "this needs clang and its runtime: clang, libclang-rt-14-dev or later"
RUNTIME=$("$CLANG" -print-file-name="libclang_rt.fuzzer_no_main-$(uname -m).a")
[[ -e $RUNTIME ]] || die "clang has no fuzzer runtime: install libclang-rt-14-dev or later"

open_workspace
progress "Building the fuzz target"
make_here "$WORKSPACE/log/metaschema.log" src/schema/metaschema.h
# the library's own symbols come first: the server has none of them, but a
# sanitizer's runtime would take its counters away
quietly "$WORKSPACE/log/fuzz.log" "$CLANG" -g -O1 -fPIC -shared -fsanitize=fuzzer-no-link \
	-fsanitize=undefined -fsanitize-trap=undefined -fno-sanitize=alignment,function \
	-Isrc -I"$(pg_config --includedir-server)" -o "$WORKSPACE/schema_fuzz.so" \
	test/fuzz/schema_fuzz.c src/schema/*.c src/schema/format/*.c src/tool/*.c -lpcre2-8 -lidn2 -Wl,-Bsymbolic "$RUNTIME" -lstdc++ -lm -lpthread

progress "Starting a private PostgreSQL $PGVERSION"
start_server <<<"shared_preload_libraries = ''"
mkdir "$WORKSPACE/corpus" "$WORKSPACE/found"
perl -MMIME::Base64 -ne 'open(my $f, ">", sprintf("%s/%06d", $ENV{CORPUS}, $.)) or die $!;
	print $f decode_base64($_)' <"$FUZZ/schema_corpus.txt"
[[ $EUID != 0 ]] || chown -R postgres: "$WORKSPACE/corpus" "$WORKSPACE/found"

quietly "$WORKSPACE/log/create.log" psql -X -q -v ON_ERROR_STOP=1 -d postgres -c \
	"CREATE FUNCTION schema_fuzz(text) RETURNS int AS '$WORKSPACE/schema_fuzz.so' LANGUAGE c STRICT;
	 CREATE FUNCTION schema_fuzz_text(bytea) RETURNS text AS '$WORKSPACE/schema_fuzz.so' LANGUAGE c STRICT"
progress "Fuzzing for ${FUZZ_SECONDS:-60} s"
# libFuzzer ends the process, so the client always loses its connection
logged "$WORKSPACE/log/run.log" psql -X -d postgres -c "SELECT schema_fuzz('-max_total_time=${FUZZ_SECONDS:-60}
	-max_len=512 -timeout=0 -handle_int=0 -handle_term=0 -print_final_stats=1 -reload=0
	-artifact_prefix=$WORKSPACE/found/ $WORKSPACE/corpus')" || true
grep -E '^(stat::|Done )|schema_fuzz:|ERROR: ' "$WORKSPACE/log/server.log" || true

status=0
for input in "$WORKSPACE"/found/*; do
	[[ -e $input ]] || continue
	status=1
	cp "$input" "$FUZZ/"
	echo "FAILED: test/fuzz/$(basename "$input")"
	for _ in {1..60}; do # the server restarts after a crash
		! pg_isready -q || break
		sleep 0.5
	done
	psql -X -A -t -d postgres -c "SELECT schema_fuzz_text('\\x$(perl -0777 -ne 'print unpack("H*", $_)' "$input")')" || true
done
grep -q '^Done ' "$WORKSPACE/log/server.log" || status=1
close_workspace
exit "$status"
