#!/usr/bin/env bash
#
# Tests which PostgreSQL the demo and the tests take, and which packages they ask
# for, on machines of several kinds.  A machine is a directory tree of empty files
# and what dpkg and apt would say; nothing is installed, nothing is fetched.
#
set -euo pipefail
# shellcheck source=test/packages.sh
. "$(dirname "${BASH_SOURCE[0]}")/../packages.sh"

TREES=$(mktemp -d)
trap 'rm -rf "$TREES"' EXIT
TESTS=0 FAILURES=0
declare -A INSTALLED # versions of packages: what dpkg knows
declare -A ARCHIVE   # what apt-cache madison says of packages
DEFAULT=             # the major version of the distribution
MAY=yes              # whether this user may install packages
APT_CALLS=           # how apt-get was called

# What the script asks of the machine.
dpkg-query() {
	local format=$3 version=${INSTALLED[$4]:-}
	[[ -n $version ]] || return 1
	if [[ $format == *Version* ]]; then echo "$version"; else echo installed; fi
}
apt-cache() {
	case $1 in
	depends) [[ -z $DEFAULT ]] || printf 'postgresql\n  Depends: postgresql-%s\n' "$DEFAULT" ;;
	madison) printf '%s' "${ARCHIVE[$2]:-}" ;;
	esac
}
apt-get() { :; }
sudo() { [[ $1 != -n ]] || shift; "$@"; }
env() { APT_CALLS+="$*"$'\n'; }
can_install() { [[ $MAY == yes ]]; }
no_system_server() { :; }

# Installs nothing but what the packages would bring.
install_missing() {
	local package
	ASKED=${MISSING[*]}
	apt_get install "${MISSING[@]}"
	for package in "${MISSING[@]}"; do
		add_package "${package/=/ }"
	done
}

# Puts the files of a PostgreSQL package into the tree, as Debian divides them.
add_package() {
	local name version major lib
	read -r name version <<<"$1"
	INSTALLED[$name]=${version:-1.0}
	major=${name##*-}
	lib=$USR/lib/postgresql/$major
	case $name in
	postgresql) for name in "postgresql-$DEFAULT" "postgresql-client-$DEFAULT"; do add_package "$name"; done ;;
	postgresql-server-dev-all) add_package "postgresql-server-dev-$DEFAULT" ;;
	postgresql-client-*)
		mkdir -p "$lib/bin" "$lib/lib/pgxs/src/makefiles" "$lib/lib/pgxs/src/test/regress"
		touch "$lib/bin/psql" "$lib/bin/pg_config" "$lib/lib/pgxs/src/makefiles/pgxs.mk" \
			"$lib/lib/pgxs/src/test/regress/pg_regress"
		;;
	postgresql-server-dev-*)
		mkdir -p "$USR/include/postgresql/$major/server" "$lib/lib"
		touch "$USR/include/postgresql/$major/server/postgres.h" "$lib/lib/libpgcommon.a"
		add_package "postgresql-client-$major"
		;;
	postgresql-[0-9]*)
		mkdir -p "$lib/bin" "$USR/share/postgresql/$major"
		touch "$lib/bin/initdb" "$lib/bin/pg_ctl" "$USR/share/postgresql/$major/postgres.bki"
		install -m 755 /dev/null "$lib/bin/postgres"
		add_package "postgresql-client-$major"
		;;
	libpq-dev)
		mkdir -p "$USR/include/postgresql/internal"
		touch "$USR/include/postgresql/libpq-fe.h"
		;;
	esac
}

# Makes a machine of which the default version and the installed packages of
# PostgreSQL are told; it has all other packages.
machine() {
	local package
	DEFAULT=$1
	shift
	USR=$TREES/$((TESTS + 1)) MAY=yes ARCHIVE=() INSTALLED=()
	mkdir -p "$USR"
	for package in gcc libc6-dev make perl libipc-run-perl libpcre2-dev libidn2-dev libmicrohttpd-dev \
		libcurl4-openssl-dev zlib1g-dev libtest-json-schema-acceptance-perl; do
		INSTALLED[$package]=1.0
	done
	for package in "$@"; do
		add_package "$package"
	done
	[[ -z $DEFAULT ]] || offer "postgresql-server-dev-$DEFAULT=1.1"
}

# Adds packages, each as PACKAGE=VERSION, to what apt can install.
offer() {
	local package
	for package in "$@"; do
		ARCHIVE[${package%%=*}]+=" ${package%%=*} | ${package#*=} | http://archive.example/debian bookworm/main Packages"$'\n'
	done
}

# Reports one test: what came out, and what was expected.
check() {
	local name=$1
	TESTS=$((TESTS + 1))
	if [[ $2 == "$3" ]]; then
		echo "ok $TESTS - $name"
	else
		echo "not ok $TESTS - $name"
		printf '# got: %s\n# expected: %s\n' "$2" "$3"
		FAILURES=$((FAILURES + 1))
	fi
}

# Runs install_packages on the machine and compares "version|packages asked for".
takes() {
	local name=$1 expected=$2 status=0
	ASKED='' APT_CALLS=''
	install_packages >"$TREES/output" 2>&1 || status=$?
	if [[ $status == 0 ]]; then
		check "$name" "$PGVERSION|$ASKED" "$expected"
	else
		check "$name" "$(tail -n 1 "$TREES/output")" "$expected"
	fi
}

machine 15
takes "a bare machine gets the distribution's version" "15|postgresql-15 postgresql-server-dev-15"
machine 15 postgresql-15 postgresql-server-dev-15
takes "what is complete is taken, and nothing asked for" "15|"
machine 15 postgresql-15
takes "a server without headers gets the headers" "15|postgresql-server-dev-15"
machine 15 postgresql-client-15
takes "a client is no server, though it brings the makefiles" "15|postgresql-15 postgresql-server-dev-15"
machine 15 postgresql-client-15 libpq-dev
takes "headers of the client library are not the server's" "15|postgresql-15 postgresql-server-dev-15"
machine 15 postgresql-server-dev-15
takes "headers without a server get the server" "15|postgresql-15"

machine 17 postgresql-17 postgresql-15 postgresql-server-dev-15
takes "of two servers the older one is taken if only it has headers" "15|"
machine 17 postgresql-client-17 postgresql-15 postgresql-server-dev-15
takes "a newer client does not matter" "15|"
machine 17 postgresql-15 postgresql-server-dev-15 postgresql-17 postgresql-server-dev-17
takes "of two complete ones the newer is taken" "17|"
machine 17 postgresql-17 postgresql-server-dev-15
takes "headers of one version do not serve another's server" "17|postgresql-server-dev-17"
machine 15 postgresql-15 postgresql-17
offer postgresql-server-dev-17=1.1
takes "headers are added to the newest server" "17|postgresql-server-dev-17"
machine 15 postgresql-15 postgresql-18
takes "a server whose headers cannot be had is passed over" "15|postgresql-server-dev-15"
machine 9 postgresql-9 postgresql-server-dev-9
takes "a version that is too old is refused" "this needs PostgreSQL 15 or later; the packages here are of version 9"
machine 15 postgresql-14 postgresql-server-dev-14
takes "an old version is left alone" "15|postgresql-15 postgresql-server-dev-15"

machine 15 "postgresql-15 15.18"
offer postgresql-server-dev-15=15.20 postgresql-server-dev-15=15.18
takes "the headers are of the server's minor version" "15|postgresql-server-dev-15=15.18"
check "and no package of the same source is upgraded with them" \
	"$(grep -c ' -o APT::Get::Upgrade-By-Source-Package=false install postgresql-server-dev-15=15.18$' <<<"$APT_CALLS")" 1
machine 15 "postgresql-15 15.18"
offer postgresql-server-dev-15=15.20
takes "or the newest, if the archive has no others; the server stays" "15|postgresql-server-dev-15"

for file in lib/postgresql/15/bin/{postgres,initdb,pg_ctl,psql,pg_config} share/postgresql/15/postgres.bki \
	lib/postgresql/15/lib/pgxs/src/{makefiles/pgxs.mk,test/regress/pg_regress} \
	include/postgresql/15/server/postgres.h lib/postgresql/15/lib/libpgcommon.a; do
	machine 15 postgresql-15 postgresql-server-dev-15
	rm "$USR/$file"
	takes "the file that is missing is named: $(basename "$file")" \
		"there is no PostgreSQL to build against: $USR/$file is missing"
done

COMMAND="apt-get update && apt-get -o APT::Get::Upgrade-By-Source-Package=false install"
machine 15
unset "INSTALLED[gcc]"
MAY=no
takes "who may not install is told the packages" "$COMMAND gcc postgresql-15 postgresql-server-dev-15"
machine 15 "postgresql-15 15.18"
offer postgresql-server-dev-15=15.18
MAY=no
takes "those alone that are missing" "$COMMAND postgresql-server-dev-15=15.18"
machine ""
MAY=no
takes "packages of any version if apt has no lists" "$COMMAND postgresql postgresql-server-dev-all"
machine 15 postgresql-15 postgresql-server-dev-15
MAY=no
takes "who needs nothing needs no right to install" "15|"

echo "1..$TESTS"
[[ $FAILURES == 0 ]]
