# flowmaestro_spans
#
#   make, make install, make installcheck   the standard PGXS way; installcheck
#                                           wants a server that preloads us
#   make demo                               a real agent run, on a bare machine
#   make test                               set up and run every test
#   make test-clients                       real clients alone, from npm
#   make bench | fuzz                       figures; the fuzzers
#   make format                             the C files as pgindent does it
#
EXTENSION = flowmaestro_spans
EXTVERSION = 1.0.0
MODULE_big = flowmaestro_spans

OBJS = \
	src/flowmaestro_spans.o \
	src/end.o \
	src/context/w3c.o \
	src/context/parse.o \
	src/context/context.o \
	src/context/draft.o \
	src/context/keys.o \
	src/context/functions.o \
	src/log/line.o \
	src/log/emit.o \
	src/log/log.o \
	src/span/identity.o \
	src/span/jsonb.o \
	src/span/text.o \
	src/span/plan.o \
	src/span/event.o \
	src/span/names.o \
	src/span/redact.o \
	src/span/payload.o \
	src/buffer/ring.o \
	src/buffer/guard.o \
	src/buffer/file.o \
	src/buffer/slot.o \
	src/buffer/tracked.o \
	src/buffer/seen.o \
	src/buffer/attach.o \
	src/buffer/buffer.o \
	src/buffer/stats.o \
	src/table/owner.o \
	src/table/peek.o \
	src/table/directory.o \
	src/table/lookup.o \
	src/table/place.o \
	src/table/partition.o \
	src/table/retention.o \
	src/table/wanted.o \
	src/table/feed.o \
	src/table/fold.o \
	src/table/columns.o \
	src/table/written.o \
	src/table/upsert.o \
	src/table/pace.o \
	src/table/aside.o \
	src/table/reject.o \
	src/table/otlp_source.o \
	src/worker/flush.o \
	src/worker/left.o \
	src/worker/writer.o \
	src/worker/supervisor.o \
	src/worker/launcher.o \
	src/worker/database.o \
	src/record/mode.o \
	src/record/claim.o \
	src/record/transaction.o \
	src/record/record.o \
	src/record/calls.o \
	src/record/enter.o \
	src/usage/token_names.o \
	src/otlp/receiver/receiver_settings.o \
	src/otlp/exporter/exporter_settings.o \
	src/otlp/exporter/outbox.o \
	src/otlp/secret.o \
	src/otlp/exporter/headers.o \
	src/otlp/exporter/verdict.o \
	src/otlp/exporter/parcel.o \
	src/otlp/exporter/exporter.o \
	src/otlp/exporter/export_stats.o \
	src/usage/tokens.o \
	src/usage/prices.o \
	src/usage/store.o \
	src/usage/rollup.o \
	src/usage/ledger.o \
	src/usage/aggregate.o \
	src/trace/spent.o \
	src/trace/read.o \
	src/trace/tree.o \
	src/trace/critical.o \
	src/trace/trace.o \
	src/trace/object.o \
	src/trace/filter.o \
	src/trace/search.o \
	src/trace/page.o \
	src/trace/list.o \
	src/trace/display.o \
	src/trace/drawing.o \
	src/trace/html.o \
	src/trace/diff.o \
	src/schema/value.o \
	src/schema/uri.o \
	src/schema/location.o \
	src/schema/dialect.o \
	src/schema/document.o \
	src/schema/keyword.o \
	src/schema/precheck.o \
	src/schema/compile.o \
	src/schema/properties.o \
	src/schema/evaluate.o \
	src/schema/report.o \
	src/schema/cache.o \
	src/schema/registry.o \
	src/schema/schema.o \
	src/schema/format/unicode.o \
	src/schema/format/ecma.o \
	src/schema/format/pattern.o \
	src/schema/format/format.o \
	src/schema/format/time.o \
	src/schema/format/host.o \
	src/schema/format/idn.o \
	src/schema/format/uri_grammar.o \
	src/tool/issue.o \
	src/tool/wording.o \
	src/tool/coerce.o \
	src/tool/tool.o \
	src/otlp/jfield.o \
	src/otlp/soft_json.o \
	src/otlp/mapping.o \
	src/otlp/in/decode.o \
	src/otlp/in/protobuf.o \
	src/otlp/in/scan.o \
	src/otlp/in/json.o \
	src/otlp/in/build.o \
	src/otlp/in/intake.o \
	src/otlp/in/ingest.o \
	src/otlp/out/wire.o \
	src/otlp/out/attribute.o \
	src/otlp/out/convention.o \
	src/otlp/out/encode_span.o \
	src/otlp/out/encode.o \
	src/otlp/out/export.o

# What pulls in large libraries is a second library, loaded by its own workers
# only.  What it calls of the first one is PGDLLEXPORT there.
OTLP_MODULE = flowmaestro_spans_otlp
OTLP_LIBS = -lmicrohttpd -lcurl -lz
OTLP_OBJS = \
	src/otlp/module.o \
	src/otlp/receiver/receiver.o \
	src/otlp/receiver/http/process.o \
	src/otlp/receiver/http/server.o \
	src/otlp/receiver/http/connection.o \
	src/otlp/receiver/http/request.o \
	src/otlp/receiver/http/body.o \
	src/otlp/receiver/http/channel.o \
	src/otlp/receiver/http/answer.o \
	src/otlp/exporter/post.o

# the rooms' SQL in the order of their dependencies
SQL_PARTS = \
	src/header.sql \
	src/context/context.sql \
	src/log/log.sql \
	src/span/redact.sql \
	src/record/calls.sql \
	src/record/enter.sql \
	src/buffer/buffer.sql \
	src/table/table.sql \
	src/otlp/otlp.sql \
	src/otlp/in/ingest.sql \
	src/usage/usage.sql \
	src/usage/keep.sql \
	src/usage/query.sql \
	src/usage/starter.sql \
	src/trace/trace.sql \
	src/schema/schema.sql \
	src/tool/tool.sql \
	src/otlp/mapping.sql \
	src/otlp/out/export.sql \
	src/otlp/exporter/exporter.sql \
	src/replication.sql \
	src/grants.sql

ALL_HEADERS = $(wildcard src/*.h src/*/*.h src/*/*/*.h src/*/*/*/*.h)

METASCHEMAS = $(wildcard src/schema/metaschema/*.json src/schema/metaschema/*/*.json)
METASCHEMAS_H = src/schema/metaschema.h

DATA_built = $(EXTENSION)--$(EXTVERSION).sql

REGRESS = recording fold context context_doc identity transactional temporal errors guc storage usage usage_random log \
	trace trace_oracle trace_search trace_text \
	otlp otlp_mapping otlp_export patterns formats encoding tools tools_doc schema schema_doc schema_hostile privileges catalog
ISOLATION = end_end end_create create_twice end_before_flush cancel_end transactional_end \
	transaction_errors \
	new_partition rebuild_waits registry_change usage_cover
REGRESS_OPTS = --load-extension=plpgsql
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=output_iso
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-clobbered
PG_CPPFLAGS = -I$(srcdir)/src
SHLIB_LINK += -lpcre2-8 -lidn2

EXTRA_CLEAN = $(OTLP_OBJS) $(OTLP_MODULE)$(DLSUFFIX) $(DATA_built) $(METASCHEMAS_H) src/trace/page.inc \
	results output_iso tmp_check tmp_check_iso \
	test/unit/ring_test test/fuzz/ring_fuzz test/fuzz/log_fuzz test/fuzz/otlp_fuzz test/fuzz/w3c_fuzz \
	test/bench/otlp_bench \
	test/t/log_probe/log_probe.o test/t/log_probe/log_probe.so

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifneq ($(PGXS),)
include $(PGXS)
else
all install:
	@echo "no PGXS here: install postgresql-server-dev-15 (or later)" >&2; exit 1
endif

$(DATA_built): $(SQL_PARTS)
	cat $^ > $@

$(OBJS) $(OTLP_OBJS): $(ALL_HEADERS) $(METASCHEMAS_H)

# PGXS builds one library; the second one is made and installed in the same way
all: $(OTLP_MODULE)$(DLSUFFIX)
$(OTLP_MODULE)$(DLSUFFIX): $(OTLP_OBJS)
	$(LINK.shared) -o $@ $(OTLP_OBJS) $(LDFLAGS) $(LDFLAGS_SL) $(OTLP_LIBS)

install: install-otlp
install-otlp: $(OTLP_MODULE)$(DLSUFFIX) installdirs
	$(INSTALL_SHLIB) $< '$(DESTDIR)$(pkglibdir)/'

uninstall: uninstall-otlp
uninstall-otlp:
	rm -f '$(DESTDIR)$(pkglibdir)/$(OTLP_MODULE)$(DLSUFFIX)'

# The metaschemas of JSON Schema, as C strings by their URIs.
$(METASCHEMAS_H): $(METASCHEMAS)
	{ \
		echo 'static const struct { const char *uri; const char *text; } fms_metaschemas[] = {'; \
		for file in $^; do \
			sed -n 's/^ *"$$\{0,1\}id": "\(http[^"#]*\).*/{"\1",/p' $$file; \
			sed 's/[\\"]/\\&/g; s/^/"/; s/$$/\\n"/' $$file; \
			echo '},'; \
		done; \
		echo '};'; \
	} > $@

# the page of a trace as C strings
PAGE_PARTS = css html js
src/trace/page.inc: $(PAGE_PARTS:%=src/trace/page.%)
	for part in $(PAGE_PARTS); do \
		echo "static const char page_$$part[] ="; \
		sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' src/trace/page.$$part; \
		echo ';'; \
	done > $@
src/trace/html.o src/trace/html.bc: src/trace/page.inc

# The ring is free of the server, so its test is a plain program, under the
# sanitizers; the checksum comes from the server's port library.
test/unit/ring_test: test/unit/ring_test.c src/buffer/ring.c src/buffer/guard.c src/span/event.c $(ALL_HEADERS)
	$(CC) $(PG_CFLAGS) -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
		$(PG_CPPFLAGS) -I$(includedir_server) $(filter %.c,$^) -o $@ -L$(pkglibdir) -lpgcommon -lpgport -lpthread

# first the choice of a PostgreSQL to build against, on machines of many kinds
unit: test/unit/ring_test lint
	test/unit/packages_test.sh
	test/unit/ring_test

# what the code keeps to, as far as a script can tell
lint:
	perl test/lint/rooms.pl
	perl test/lint/functions.pl
	perl test/lint/report_arguments.pl
	perl test/lint/expected.pl
	perl test/lint/format.pl

# the C files as pgindent does it, in place
format:
	perl test/lint/format.pl --write

# libFuzzer's targets, each for FUZZ_SECONDS: the same parts of the ring, lines of
# the log, requests of OTLP, and any schema against any instance, in a backend
FUZZ_SECONDS ?= 60
test/fuzz/ring_fuzz: test/fuzz/ring_fuzz.c src/buffer/ring.c src/span/event.c $(ALL_HEADERS)
	clang -g -O1 -fsanitize=fuzzer,address,undefined $(PG_CPPFLAGS) -I$(includedir_server) \
		$(filter %.c,$^) -o $@ -L$(pkglibdir) -lpgcommon -lpgport

test/fuzz/log_fuzz: test/fuzz/log_fuzz.c src/log/line.c src/span/text.c $(ALL_HEADERS)
	clang -g -O1 -fsanitize=fuzzer,address,undefined $(PG_CPPFLAGS) -I$(includedir_server) \
		$(filter %.c,$^) -o $@ -L$(pkglibdir) -lpgcommon -lpgport

test/fuzz/otlp_fuzz: test/fuzz/otlp_fuzz.c src/otlp/in/decode.c src/otlp/in/protobuf.c src/otlp/in/scan.c \
		src/otlp/in/json.c src/span/text.c $(ALL_HEADERS)
	clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		$(PG_CPPFLAGS) -I$(includedir_server) $(filter %.c,$^) -o $@ -L$(pkglibdir) -lpgcommon -lpgport -lm

test/fuzz/w3c_fuzz: test/fuzz/w3c_fuzz.c src/context/w3c.c src/span/text.c $(ALL_HEADERS)
	clang -g -O1 -fsanitize=fuzzer,address,undefined $(PG_CPPFLAGS) -I$(includedir_server) \
		$(filter %.c,$^) -o $@

fuzz: test/fuzz/ring_fuzz test/fuzz/log_fuzz test/fuzz/otlp_fuzz \
		test/fuzz/w3c_fuzz
	test/fuzz/ring_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -print_final_stats=1
	test/fuzz/log_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -print_final_stats=1
	test/fuzz/w3c_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=20000 -print_final_stats=1
	FUZZ_SECONDS=$(FUZZ_SECONDS) test/fuzz/otlp_fuzz.sh
	FUZZ_SECONDS=$(FUZZ_SECONDS) test/fuzz/schema_fuzz.sh

# these two install what they need, a PostgreSQL to build against included
demo:
	@test/demo/demo.sh

test:
	@test/run.sh

# the official test suite of JSON Schema alone; SUITE=dir names another copy
conformance:
	@STAGES=conformance test/run.sh

# the same against the server that libpq's environment names
conformancecheck:
	@test/conformance/conformance.sh

# real clients from npm alone, and against the server of libpq's environment
test-clients:
	@STAGES=clients test/run.sh

clientscheck:
	@test/clients/clients.sh

# requests of OTLP to measure with
test/bench/otlp_bench: test/bench/otlp_bench.c src/otlp/in/decode.c src/otlp/in/protobuf.c $(ALL_HEADERS)
	$(CC) $(PG_CFLAGS) -O2 $(PG_CPPFLAGS) -I$(includedir_server) $(filter %.c,$^) -o $@ \
		-L$(pkglibdir) -lpgcommon -lpgport

bench:
	@test/bench/bench.sh

.PHONY: install-otlp uninstall-otlp demo test unit lint format fuzz bench conformance conformancecheck \
	test-clients clientscheck
