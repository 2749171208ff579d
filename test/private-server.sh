# shellcheck shell=bash
#
# A throw-away PostgreSQL with the extension, to be sourced.  Call in this order:
# open_workspace, build_extension, start_server.
#
# Everything is in one temporary directory, $WORKSPACE: a copy of the machine's
# PostgreSQL (its tree is relocatable), so that "make install" leaves the
# machine's own alone; a copy of the source, so that the work tree stays clean;
# the data and the socket of the server.  Whatever ends the script, all of its
# processes and the directory go with it; KEEP=1 keeps the directory.
#
set -euo pipefail
SOURCE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=test/packages.sh
. "$SOURCE_ROOT/test/packages.sh"

# what called us may be a make with settings of its own, or a PostgreSQL client's
unset MAKEFLAGS MFLAGS MAKELEVEL PGDATABASE PGHOSTADDR PGSERVICE PGOPTIONS PGPASSFILE
# the TAP modules remove LC_ALL, and initdb takes the encoding from what is left
export LANG=C.UTF-8 LC_ALL=C.UTF-8

WORKSPACE= # the temporary directory
JOB=       # process group of the command that runs
AS_USER=() # what to put before a command so that it does not run as root

# Says what happens now.
progress() {
	echo "==> $*"
}

# Gives up with a message.
die() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

# Runs a command as the unprivileged user, its output in a log, which is shown if
# it fails.  The command gets a process group of its own and is waited for in the
# background: bash takes a signal during a wait, not during a foreground command.
quietly() {
	local log=$1
	shift
	if ! logged "$log" "$@"; then
		echo "FAILED: $*" >&2
		tail -n 40 "$log" >&2
		return 1
	fi
}

# The same without a word about failure.
logged() {
	local log=$1 status=0
	shift
	set -m
	"${AS_USER[@]}" "$@" </dev/null >"$log" 2>&1 &
	JOB=$!
	set +m
	wait "$JOB" || status=$?
	JOB=
	return "$status"
}

# Prints the ids of the processes whose program lies in a directory.
processes_of() {
	local exe
	for exe in /proc/[0-9]*/exe; do
		if [[ $(readlink "$exe" 2>/dev/null) == "$1"/* ]]; then
			basename "$(dirname "$exe")"
		fi
	done
}

# Ends what runs and removes the directory; the second call does nothing.
close_workspace() {
	local pidfile pid dir=$WORKSPACE _
	[[ -n $dir ]] || return 0
	trap '' HUP INT TERM
	if [[ -n $JOB ]]; then
		# what tidies up when it is told to end gets the time for it
		kill -TERM -- "-$JOB" 2>/dev/null || true
		for _ in {1..100}; do
			kill -0 -- "-$JOB" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL -- "-$JOB" 2>/dev/null || true
	fi
	# servers that are left; an immediate stop frees shared memory, a kill does not
	while read -r pidfile; do
		"${AS_USER[@]}" pg_ctl -D "$(dirname "$pidfile")" -m immediate -t 30 stop >/dev/null 2>&1 || true
	done < <(find "$dir" -name postmaster.pid 2>/dev/null)
	for _ in {1..50}; do
		pid=$(processes_of "$dir")
		[[ -n $pid ]] || break
		# shellcheck disable=SC2086 # several ids
		kill -KILL $pid 2>/dev/null || true
		sleep 0.1
	done
	if [[ ${KEEP:-0} == 1 ]]; then
		echo "kept: $dir"
	else
		rm -rf "$dir"
	fi
	WORKSPACE=
}

# Puts the server of the headers' version into the copy of PostgreSQL, if the
# machine has an older one, which stays as it is: what is built with newer headers
# may need functions that an older server lacks.
match_headers() {
	local tree=$1 server headers package packages=$WORKSPACE/packages
	server=$(dpkg-query -W -f '${Version}' "postgresql-$PGVERSION" 2>/dev/null) || return 0
	headers=$(dpkg-query -W -f '${Version}' "postgresql-server-dev-$PGVERSION" 2>/dev/null) || return 0
	[[ $server != "$headers" ]] || return 0
	progress "Fetching PostgreSQL $headers for the private server; that of the machine is $server"
	mkdir "$packages"
	# the sandbox's user could not write there
	if ! (cd "$packages" && apt-get -q -o APT::Sandbox::User=root download \
		"postgresql-$PGVERSION=$headers" "postgresql-client-$PGVERSION=$headers") >"$WORKSPACE/log/fetch.log" 2>&1; then
		tail -n 40 "$WORKSPACE/log/fetch.log" >&2
		die "PostgreSQL $headers cannot be fetched"
	fi
	for package in "$packages"/*.deb; do
		dpkg-deb -x "$package" "$tree"
	done
	rm -r "$packages"
}

# Installs packages, makes the directory, and copies PostgreSQL and the source
# into it.  Sets BINDIR and PGVERSION, and the environment of libpq.
open_workspace() {
	local tree part
	install_packages
	if [[ $EUID == 0 ]]; then
		# PostgreSQL refuses to run as root; its package made this user
		AS_USER=(runuser -u postgres --)
	fi
	trap close_workspace EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	WORKSPACE=$(mktemp -d "${TMPDIR:-/tmp}/flowmaestro.XXXXXX")
	# a socket's path has room for 107 bytes, and the tests' own servers put
	# theirs one directory deeper; make cannot cope with blanks
	[[ ${#WORKSPACE} -le 70 && $WORKSPACE != *[[:space:]]* ]] || die "TMPDIR has blanks or is too long: $TMPDIR"

	tree=$WORKSPACE/pg
	BINDIR=$tree/usr/lib/postgresql/$PGVERSION/bin
	for part in lib share; do
		mkdir -p "$tree/usr/$part/postgresql"
		cp -a "/usr/$part/postgresql/$PGVERSION" "$tree/usr/$part/postgresql/"
	done
	mkdir -p "$tree/usr/include" "$WORKSPACE/src" "$WORKSPACE/sock" "$WORKSPACE/log" "$WORKSPACE/tmp"
	cp -a /usr/include/postgresql "$tree/usr/include/"
	match_headers "$tree"
	tar -C "$SOURCE_ROOT" --exclude=./.git --exclude=./tmp_check --exclude=./results --exclude=./output_iso \
		--exclude=node_modules -cf - . |
		tar -C "$WORKSPACE/src" -xf -
	if [[ $EUID == 0 ]]; then
		chown -R postgres: "$WORKSPACE"
	fi
	cd "$WORKSPACE/src"
	"${AS_USER[@]}" test -w "$WORKSPACE/src" || die "user postgres cannot reach TMPDIR: ${TMPDIR:-/tmp}"

	export HOME=$WORKSPACE TMPDIR=$WORKSPACE/tmp PATH="$BINDIR:$PATH"
	export PGHOST=$WORKSPACE/sock PGPORT=5432 PGUSER=postgres
	[[ $(pg_config --pgxs) == "$tree"/* && $(pg_config --includedir-server) == "$tree"/* ]] ||
		die "PostgreSQL $PGVERSION of this machine cannot be copied"
}

# Runs make in the copy of the source against the copy of PostgreSQL; the first
# argument is the log.  Bitcode for the JIT is left out: it would need clang.
make_here() {
	local log=$1
	shift
	quietly "$log" make PG_CONFIG="$BINDIR/pg_config" with_llvm=no "$@"
}

# Builds the extension and installs it in the copy of PostgreSQL.  Objects that
# came along with the source may be another version's.
build_extension() {
	make_here "$WORKSPACE/log/clean.log" clean
	make_here "$WORKSPACE/log/build.log" -j"$(nproc)" all
	make_here "$WORKSPACE/log/install.log" install
}

# Makes a cluster and starts it on a socket that only this machine's processes
# reach.  Its further settings are read from standard input.
start_server() {
	local data=$WORKSPACE/data
	quietly "$WORKSPACE/log/initdb.log" initdb -D "$data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 --no-sync
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$WORKSPACE/sock'"
		echo "shared_preload_libraries = 'flowmaestro_spans'"
		cat
	} >>"$data/postgresql.conf"
	if ! quietly "$WORKSPACE/log/start.log" pg_ctl -D "$data" -l "$WORKSPACE/log/server.log" -w -t 60 start; then
		tail -n 20 "$WORKSPACE/log/server.log" >&2
		return 1
	fi
}

# Stops the server as an administrator would.
stop_server() {
	quietly "$WORKSPACE/log/stop.log" pg_ctl -D "$WORKSPACE/data" -m fast -w -t 60 stop
}
