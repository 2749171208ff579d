#!/usr/bin/env bash
#
# Installs the Debian packages that the demo and the tests need, those that are
# missing.  Run it, or source it and call install_packages.
#
set -euo pipefail

# Sets PGVERSION to the newest PostgreSQL (15 or later) that is installed with
# its server and with what an extension is built with; fails if there is none.
installed_postgresql() {
	local dir version
	PGVERSION=
	for dir in /usr/lib/postgresql/*/; do
		version=$(basename "$dir")
		[[ $version =~ ^[0-9]+$ && $version -ge 15 && $version -gt ${PGVERSION:-0} ]] || continue
		if [[ -x $dir/bin/postgres && -e $dir/lib/pgxs/src/makefiles/pgxs.mk ]]; then
			PGVERSION=$version
		fi
	done
	[[ -n $PGVERSION ]]
}

# Sets MISSING to those of the packages named that are not installed.
find_missing() {
	local package
	MISSING=()
	for package in "$@"; do
		# a package that dpkg never heard of has no status at all
		if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
			MISSING+=("$package")
		fi
	done
}

# Runs apt-get as root without a question to anybody, its output in a log.
apt_get() {
	local sudo=()
	[[ $EUID == 0 ]] || sudo=(sudo -n)
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
		apt-get -q -y -o Dpkg::Use-Pty=0 "$@" </dev/null >>"$APT_LOG" 2>&1
}

# PostgreSQL's package makes and starts a server of its own when it is installed;
# nobody asked for that one.  A machine that has made its choice keeps it.
no_system_server() {
	local conf=/etc/postgresql-common/createcluster.conf sudo=()
	[[ ! -e $conf ]] || return 0
	[[ $EUID == 0 ]] || sudo=(sudo -n)
	"${sudo[@]}" mkdir -p "$(dirname "$conf")"
	echo 'create_main_cluster = false' | "${sudo[@]}" tee "$conf" >/dev/null
}

# Installs the packages in MISSING; shows apt-get's output if that fails.
install_missing() {
	echo "==> Installing packages: ${MISSING[*]}"
	if ! apt_get --no-install-recommends install "${MISSING[@]}"; then
		tail -n 40 "$APT_LOG" >&2
		return 1
	fi
}

# Whether packages can be installed at all.
can_install() {
	command -v apt-get >/dev/null && { [[ $EUID == 0 ]] || sudo -n true 2>/dev/null; }
}

# Installs a package that the tests can do without; if it cannot be had, says what
# they will skip.
install_optional() {
	local package=$1 loss=$2
	find_missing "$package"
	[[ ${#MISSING[@]} != 0 ]] || return 0
	APT_LOG=$(mktemp)
	if ! can_install || ! { apt_get update || true; install_missing; }; then
		echo "==> No $package: $loss"
	fi
	rm -f "$APT_LOG"
}

# Installs what single tests need: the browser that looks at the page of a trace,
# and the pooler that many clients go through.
install_optionals() {
	local sudo=()
	install_optional chromium "the page of a trace will not be looked at"
	find_missing pgbouncer
	if [[ ${#MISSING[@]} != 0 ]]; then
		install_optional pgbouncer "no clients will go through a pooler"
		# its package starts a service, too
		[[ $EUID == 0 ]] || sudo=(sudo -n)
		"${sudo[@]}" systemctl --quiet disable --now pgbouncer 2>/dev/null || true
	fi
}

# What fetches the real clients; a node from elsewhere than Debian brings its own.
install_npm() {
	if ! command -v npm >/dev/null; then
		install_optional npm "real clients will not be run"
	fi
}

# Installs what is missing and sets PGVERSION; says nothing if nothing is.
install_packages() {
	local tools=(gcc libc6-dev make perl libipc-run-perl libpcre2-dev libidn2-dev
		libmicrohttpd-dev libcurl4-openssl-dev zlib1g-dev libtest-json-schema-acceptance-perl)

	find_missing "${tools[@]}"
	if installed_postgresql && [[ ${#MISSING[@]} == 0 ]]; then
		return 0
	fi
	if ! command -v apt-get >/dev/null; then
		echo "this needs PostgreSQL 15 or later with its server headers (PGXS), gcc, make, perl, IPC::Run, PCRE2, libidn2, libmicrohttpd, libcurl, zlib" >&2
		return 1
	fi
	if ! can_install; then
		echo "packages are missing: run as root or with sudo, or install" \
			"postgresql, postgresql-server-dev-NN of its version, ${tools[*]}" >&2
		return 1
	fi

	APT_LOG=$(mktemp)
	# one source that cannot be read is no reason to stop: the install will tell
	apt_get update || true
	if [[ -z $PGVERSION ]]; then
		PGVERSION=$(apt-cache depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9][0-9]*\)$/\1/p')
		find_missing "${tools[@]}" "postgresql-$PGVERSION" "postgresql-server-dev-$PGVERSION"
		no_system_server
	fi
	if ! install_missing; then
		rm -f "$APT_LOG"
		return 1
	fi
	rm -f "$APT_LOG"
	installed_postgresql
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	install_packages
fi
