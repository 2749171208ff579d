#!/usr/bin/env bash
#
# What a full disk does to a buffer file on a file system that writes copies:
# btrfs, of which a snapshot is taken, and XFS, where the file is copied with
# reflinks.  Both need room for pages that were allocated long ago.  Prints TAP.
#
# Run it as root, or source it and call full_disk_tests in an open workspace in
# which the extension is built.  The server is on the usual disk; only its buffer
# files are on the small one.
#
set -euo pipefail
# shellcheck source=test/private-server.sh
. "$(dirname "${BASH_SOURCE[0]}")/private-server.sh"

CHECKS=0 BROKEN=0 # of the checks so far
DISK=             # where the small disk is mounted

# Prints the line of a check: whether what a command says is what is expected.
check() {
	local what=$1 expected=$2 got
	shift 2
	got=$("$@" 2>&1) || true
	CHECKS=$((CHECKS + 1))
	if [[ $got == "$expected" ]]; then
		echo "ok $CHECKS - $what"
	else
		BROKEN=$((BROKEN + 1))
		echo "not ok $CHECKS - $what"
		printf '#      got: %s\n# expected: %s\n' "$got" "$expected"
	fi
}

# Runs a statement and prints what it gives, warnings left out.
ask() {
	psql -XqAt -v ON_ERROR_STOP=1 -d postgres -c "SET client_min_messages = error" -c "$1"
}

# Why the tests cannot be run here; prints nothing if they can.
full_disk_obstacle() {
	if [[ $EUID != 0 ]]; then
		echo "only root can mount a disk"
	elif ! command -v mkfs.btrfs >/dev/null || ! command -v mkfs.xfs >/dev/null; then
		echo "there is no btrfs-progs or no xfsprogs"
	elif [[ ! -e /dev/loop-control ]]; then
		echo "there are no loop devices"
	fi
}

# Makes a small disk with a file system and mounts it; fails if the kernel cannot.
mount_disk() {
	local type=$1 image=$WORKSPACE/tmp/$1.img
	DISK=$WORKSPACE/$type
	mkdir "$DISK"
	truncate -s 320M "$image"
	"mkfs.$type" -q "$image" >/dev/null 2>&1 && mount -o loop "$image" "$DISK" 2>/dev/null || return 1
	mkdir "$DISK/rings"
	chown -R postgres: "$DISK"
}

# Takes what is mounted away.
unmount_disks() {
	local type
	for type in btrfs xfs; do
		umount "$WORKSPACE/$type" 2>/dev/null || true
	done
}

# Makes the file system share the blocks of the buffer files with a copy.
share_blocks() {
	case $1 in
	btrfs) btrfs -q subvolume snapshot "$DISK" "$DISK/snapshot.$RANDOM" ;;
	xfs) cp -a --reflink=always "$DISK/rings" "$DISK/copy.$RANDOM" ;;
	esac
}

# Leaves no block free.  What a file system keeps back for itself it gives out
# in the end: it is asked until it refuses several times.
fill_disk() {
	local n
	for n in 1 2 3; do
		dd if=/dev/zero of="$DISK/filler.$n" bs=64k 2>/dev/null || true
		dd if=/dev/zero of="$DISK/filler.$n.end" bs=4k 2>/dev/null || true
		sync -f "$DISK" 2>/dev/null || true
	done
}

# Makes room again: the fillers go, and the copies that share the blocks.  Calls
# look for it again after a second.
empty_disk() {
	local copy
	rm -f "$DISK"/filler.*
	for copy in "$DISK"/snapshot.*; do
		[[ -d $copy ]] && btrfs -q subvolume delete "$copy" >/dev/null
	done
	rm -rf "$DISK"/copy.*
	sync -f "$DISK" 2>/dev/null || true
	sleep 1.1
}

# Records n spans of a name.
record() {
	ask "SELECT count((flowmaestro.create_span('$2', 'agent_run')).span_id) FROM generate_series(1, $1)"
}

# Fills the disk while spans are recorded: some are dropped, which is counted and
# said, and nothing else happens.  With room again, all are recorded.
act() {
	local type=$1 act=$2 before
	before=$(ask "SELECT recorded + dropped FROM flowmaestro.stats")
	share_blocks "$type"
	fill_disk
	check "$type, $act: calls return on a full disk" 20000 record 20000 "full $act"
	check "$type, $act: each record is taken or counted as dropped" "t|t" \
		ask "SELECT recorded + dropped - $before = 20000, dropped > 0 FROM flowmaestro.stats"
	check "$type, $act: a warning says why" \
		"WARNING:  span record dropped: no space for the span buffer on disk" \
		sh -c "psql -XqAt -d postgres -c \"SELECT flowmaestro.create_span('warned', 'agent_run') FROM generate_series(1, 5000)\" 2>&1 >/dev/null | head -n 1"
	check "$type, $act: what was taken is written" "" ask "SELECT flowmaestro.flush()"
	check "$type, $act: and nothing else" "t" ask "
		SELECT written = (SELECT count(*) FROM flowmaestro.execution_spans) AND recorded = flushed AND pending = 0
		FROM flowmaestro.stats"
	empty_disk
	before=$(ask "SELECT dropped FROM flowmaestro.stats")
	check "$type, $act: with room again spans are recorded" 1000 record 1000 "room $act"
	check "$type, $act: they are flushed" "" ask "SELECT flowmaestro.flush()"
	check "$type, $act: all of them" "1000|t|0" ask "
		SELECT (SELECT count(*) FROM flowmaestro.execution_spans WHERE name = 'room $act'), dropped = $before, buffer_bytes_used
		FROM flowmaestro.stats"
}

# All that is tried on one file system.
try_file_system() {
	local type=$1 started
	if ! mount_disk "$type"; then
		CHECKS=$((CHECKS + 1))
		echo "ok $CHECKS - $type # SKIP this kernel cannot mount it"
		return 0
	fi
	rm -rf "$WORKSPACE/data"
	# the cluster is made and started, then its buffer files move to the small disk
	start_server <<<"flowmaestro.buffer_size = 16MB
restart_after_crash = off"
	stop_server
	"${AS_USER[@]}" ln -s "$DISK/rings" "$WORKSPACE/data/flowmaestro_spans"
	: >"$WORKSPACE/log/server.log"
	quietly "$WORKSPACE/log/start.log" pg_ctl -D "$WORKSPACE/data" -l "$WORKSPACE/log/server.log" -w start
	ask "CREATE EXTENSION flowmaestro_spans"
	started=$(ask "SELECT pg_postmaster_start_time()")
	check "$type: spans are recorded" 1000 record 1000 first
	check "$type: and flushed" "" ask "SELECT flowmaestro.flush()"
	fill_disk
	check "$type: a full disk alone drops nothing" "1000|0" ask "
		SELECT count((flowmaestro.create_span('full', 'agent_run')).span_id),
			(SELECT dropped FROM flowmaestro.stats) FROM generate_series(1, 1000)"
	empty_disk
	act "$type" first
	act "$type" second
	check "$type: no process died" "$started" ask "SELECT pg_postmaster_start_time()"

	# a start on a full disk, with spans that wait
	ask "BEGIN; LOCK TABLE flowmaestro.execution_spans IN SHARE MODE;
		SELECT count(flowmaestro.create_span('waiting', 'agent_run')) FROM generate_series(1, 1000)" >/dev/null
	share_blocks "$type"
	fill_disk
	quietly "$WORKSPACE/log/stop.log" pg_ctl -D "$WORKSPACE/data" -m immediate -w stop
	quietly "$WORKSPACE/log/start.log" pg_ctl -D "$WORKSPACE/data" -l "$WORKSPACE/log/server.log" -w start
	check "$type: the server starts and answers" 1000 record 1000 "after the start"
	empty_disk
	quietly "$WORKSPACE/log/stop.log" pg_ctl -D "$WORKSPACE/data" -m fast -w stop
	quietly "$WORKSPACE/log/start.log" pg_ctl -D "$WORKSPACE/data" -l "$WORKSPACE/log/server.log" -w start
	check "$type: with room again spans are recorded after a start" 1000 record 1000 later
	check "$type: and flushed with those that waited" "" ask "SELECT flowmaestro.flush()"
	check "$type: all of them" "1000|1000" ask "
		SELECT count(*) FILTER (WHERE name = 'waiting'), count(*) FILTER (WHERE name = 'later')
		FROM flowmaestro.execution_spans"
	check "$type: the log knows of no crash" "" grep -E "signal 7|PANIC|was terminated" "$WORKSPACE/log/server.log"
	stop_server
	umount "$DISK"
}

# All tests; the server of the workspace must be down.  Returns whether they passed.
full_disk_tests() {
	local obstacle
	obstacle=$(full_disk_obstacle)
	if [[ -n $obstacle ]]; then
		echo "ok 1 # SKIP $obstacle"
		return 0
	fi
	trap 'unmount_disks; close_workspace' EXIT
	try_file_system btrfs
	try_file_system xfs
	echo "1..$CHECKS"
	[[ $BROKEN == 0 ]]
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	open_workspace
	export COPT=-Werror
	build_extension
	full_disk_tests
fi
