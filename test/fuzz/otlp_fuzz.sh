#!/usr/bin/env bash
#
# Fuzzes the decoders of OTLP for FUZZ_SECONDS, with what is known already:
# test/fuzz/otlp_corpus.txt, an input a line in base64.  An input that fails is
# left in this directory.  CORPUS=dir keeps the corpus that grows there.
#
set -euo pipefail
FUZZ=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CORPUS=${CORPUS:-$(mktemp -d)}
export CORPUS

mkdir -p "$CORPUS"
perl -MMIME::Base64 -ne 'open(my $f, ">", sprintf("%s/%06d", $ENV{CORPUS}, $.)) or die $!;
	print $f decode_base64($_)' <"$FUZZ/otlp_corpus.txt"
"$FUZZ/otlp_fuzz" -max_total_time="${FUZZ_SECONDS:-60}" -max_len=8192 -print_final_stats=1 \
	-artifact_prefix="$FUZZ/" "$CORPUS"
