#!/usr/bin/env bash
#
# Installs the Debian packages that the demo and the tests need, those that are
# missing.  Run it, or source it and call install_packages.
#
set -euo pipefail

OLDEST=15 # major version that we can be built with
USR=/usr  # where PostgreSQL is looked for; the test of this script says elsewhere

# Prints the major versions of which anything is installed, newest first.
installed_versions() {
	find "$USR/lib/postgresql" -mindepth 1 -maxdepth 1 -name '[0-9]*' -printf '%f\n' 2>/dev/null |
		awk -v oldest="$OLDEST" '/^[0-9]+$/ && $1 >= oldest' | sort -rn
}

# Prints the first file that a major version lacks to build an extension and to
# run it, of those that one package or another brings; fails if it has them all.
# Debian's client brings the makefiles, so these tell nothing about the headers.
lacking_file() {
	local version=$1 file
	for file in "lib/postgresql/$version/bin/"{postgres,initdb,pg_ctl,psql,pg_config} \
		"share/postgresql/$version/postgres.bki" \
		"lib/postgresql/$version/lib/pgxs/src/"{makefiles/pgxs.mk,test/regress/pg_regress} \
		"include/postgresql/$version/server/postgres.h" "lib/postgresql/$version/lib/libpgcommon.a"; do
		if [[ ! -e $USR/$file ]]; then
			echo "$USR/$file"
			return 0
		fi
	done
	return 1
}

# Sets PGVERSION to the newest PostgreSQL that is installed with its server and
# with what an extension is built with; fails if there is none.
installed_postgresql() {
	for PGVERSION in $(installed_versions); do
		lacking_file "$PGVERSION" >/dev/null || return 0
	done
	PGVERSION=
	return 1
}

# Prints the major version of the distribution's package "postgresql".
default_version() {
	apt-cache depends postgresql 2>/dev/null |
		sed -n 's/^ *Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1
}

# Whether the archive has a package, or a version of it if one is named.
is_available() {
	local package=$1 version=${2:-}
	# apt-cache show does not fail on a version that it does not know
	[[ $(apt-cache madison "$package" 2>/dev/null) == *"| ${version:+$version |}"* ]]
}

# Sets PGVERSION to the PostgreSQL to complete when none is usable: the newest one
# that has its server here and its headers in the archive, else the distribution's.
# Adds the packages it lacks to MISSING.
choose_postgresql() {
	local tools=("${MISSING[@]}") version server
	PGVERSION=
	for version in $(installed_versions); do
		if [[ -x $USR/lib/postgresql/$version/bin/postgres ]] && is_available "postgresql-server-dev-$version"; then
			PGVERSION=$version
			break
		fi
	done
	PGVERSION=${PGVERSION:-$(default_version || true)}
	if [[ -z $PGVERSION ]]; then
		# apt has no lists yet; these names are true in every release
		MISSING=("${tools[@]}" postgresql postgresql-server-dev-all)
		return 0
	fi
	find_missing "postgresql-$PGVERSION" "postgresql-server-dev-$PGVERSION"
	# a server that is here may be at work; it stays as it is, and the headers are
	# those of its minor version if the archive still has them
	if [[ ${MISSING[*]} == "postgresql-server-dev-$PGVERSION" ]]; then
		server=$(dpkg-query -W -f '${Version}' "postgresql-$PGVERSION")
		if is_available "${MISSING[0]}" "$server"; then
			MISSING=("${MISSING[0]}=$server")
		fi
	fi
	MISSING=("${tools[@]}" "${MISSING[@]}")
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

# With a package apt upgrades all others of the same source: headers would bring a
# new server, and its package would restart the one that runs.
APT_KEEPS_SERVER=(-o APT::Get::Upgrade-By-Source-Package=false)

# Runs apt-get as root, its output in a log.  It asks nobody anything, and it does
# not restart what uses a library that it replaces (NEEDRESTART_SUSPEND).
apt_get() {
	local sudo=()
	[[ $EUID == 0 ]] || sudo=(sudo -n)
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 NEEDRESTART_SUSPEND=1 \
		apt-get -q -y -o Dpkg::Use-Pty=0 "${APT_KEEPS_SERVER[@]}" "$@" </dev/null >>"$APT_LOG" 2>&1
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

# What formats C, to see that it would change nothing.
install_formatter() {
	install_optional pg-bsd-indent "the format of the C files will not be checked"
}

# What makes file systems that write copies, for the tests of a full disk.
install_file_systems() {
	install_optional btrfs-progs "a full btrfs will not be tried"
	install_optional xfsprogs "a full XFS will not be tried"
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
	local status=0

	find_missing "${tools[@]}"
	if installed_postgresql && [[ ${#MISSING[@]} == 0 ]]; then
		return 0
	fi
	if ! command -v apt-get >/dev/null; then
		echo "this needs PostgreSQL $OLDEST or later with its server headers (PGXS), gcc, make, perl, IPC::Run, PCRE2, libidn2, libmicrohttpd, libcurl, zlib" >&2
		return 1
	fi
	APT_LOG=$(mktemp)
	install_for_build || status=$?
	rm -f "$APT_LOG"
	return "$status"
}

# The part of install_packages that needs apt: installs MISSING and a PostgreSQL if
# none is usable, or says what to install.
install_for_build() {
	local wanted

	# one source that cannot be read is no reason to stop: the install will tell
	! can_install || apt_get update || true
	[[ -n $PGVERSION ]] || choose_postgresql
	wanted=$PGVERSION
	if [[ -n $wanted && $wanted -lt $OLDEST ]]; then
		echo "this needs PostgreSQL $OLDEST or later; the packages here are of version $wanted" >&2
		return 1
	fi
	if ! can_install; then
		echo "packages are missing; run this as root, let sudo work without a password, or run as root:" >&2
		echo "apt-get update && apt-get ${APT_KEEPS_SERVER[*]} install ${MISSING[*]}" >&2
		return 1
	fi
	if [[ " ${MISSING[*]} " =~ " postgresql"(-[0-9]+)?" " ]]; then
		no_system_server
	fi
	if [[ ${#MISSING[@]} != 0 ]]; then
		install_missing || return 1
	fi
	if ! installed_postgresql; then
		echo "there is no PostgreSQL to build against: $(lacking_file "$wanted") is missing" >&2
		return 1
	fi
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
	install_packages
fi
