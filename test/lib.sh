# test/lib.sh: what the scripts in test/ share.  Source it from bash.
#
# Servers run as the user postgres when the caller is root (PostgreSQL refuses
# root), else as the caller.  Every server's superuser is "postgres".
#
# PG_BINDIR or PG_CONFIG choose the PostgreSQL installation; DESTDIR one that was
# copied below another directory.

SHOAL_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die()
{
	echo "$(basename "$0"): $*" >&2
	exit 1
}

# Sets BINDIR.
find_bindir()
{
	if [ -n "$PG_BINDIR" ]; then
		BINDIR=$PG_BINDIR
	else
		BINDIR=$("${PG_CONFIG:-pg_config}" --bindir 2>/dev/null) ||
			die "no pg_config; install PostgreSQL first (test/install-packages) or set PG_CONFIG"
		BINDIR=$DESTDIR$BINDIR
	fi
	[ -x "$BINDIR/postgres" ] || die "no PostgreSQL server in $BINDIR"
}

# Runs a command as the user that owns the servers, in a directory that it can
# read, with nothing in the environment that would lead clients elsewhere.
as_owner()
{
	(
		cd /
		unset PGHOST PGPORT PGUSER PGDATABASE PGSERVICE PGOPTIONS PGPASSWORD
		export LC_ALL=C PGUSER=postgres
		if [ "$(id -u)" = 0 ]; then
			export HOME=/tmp
			exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
		fi
		exec "$@"
	)
}

# Runs a command as root.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo -E "$@"
	fi
}

# Builds Shoal and installs it where pg_config says; with DESTDIR, below that.
# Output goes to a file that is shown when something fails.
build_and_install()
{
	local log dir pg_config run=
	log=$(mktemp)
	find_bindir
	pg_config=${PG_CONFIG:-${PG_BINDIR:+$PG_BINDIR/}pg_config}
	dir=$DESTDIR$("$pg_config" --pkglibdir)
	[ -w "$dir" ] || [ -n "$DESTDIR" ] || run=as_root
	if make -C "$SHOAL_TOP" -j2 all PG_CONFIG="$pg_config" >"$log" 2>&1 &&
		$run make -C "$SHOAL_TOP" install PG_CONFIG="$pg_config" >>"$log" 2>&1; then
		rm -f "$log"
		return
	fi
	tail -n 40 "$log" >&2
	rm -f "$log"
	return 1
}

# Makes a directory that the servers' owner can write.
make_dir()
{
	mkdir -p "$1"
	if [ "$(id -u)" = 0 ]; then
		chown postgres: "$1"
	fi
}

# make_scratch NAME: a new directory of the servers' owner, below /tmp so that
# socket paths stay short.
make_scratch()
{
	local dir
	dir=$(mktemp -d "${TMPDIR:-/tmp}/shoal-$1.XXXXXX")
	chmod 755 "$dir"
	make_dir "$dir"
	echo "$dir"
}

port_is_free()
{
	! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_ports N: the first of N adjacent ports that nobody listens on.  They are
# below the range from which the kernel takes ports for outgoing connections, and
# not those of the other lane of test/check.
free_ports()
{
	local base i
	while :; do
		base=$((20000 + ${SHOAL_LANE:-0} * 6000 + RANDOM % 5900))
		for ((i = 0; i < $1; i++)); do
			port_is_free $((base + i)) || continue 2
		done
		echo $base
		return
	done
}

# server_init DATADIR PORT SOCKETDIR [name=value]...
server_init()
{
	local data=$1 port=$2 sockets=$3 setting
	shift 3
	as_owner "$BINDIR/initdb" -D "$data" -U postgres -A trust --no-sync \
		--encoding=UTF8 --locale=C >/dev/null || return 1
	{
		echo "listen_addresses = '127.0.0.1'"
		echo "port = $port"
		echo "unix_socket_directories = '$sockets'"
		echo "max_connections = 200"
		echo "max_prepared_transactions = 200"
		# monitors and other workers of each database
		echo "max_worker_processes = 32"
		echo "shared_buffers = 128MB"
		echo "max_wal_size = 2GB"
		# a crash of the machine may cost a test cluster; kill -9 may not
		echo "fsync = off"
		echo "logging_collector = off"
		echo "log_line_prefix = '%m [%p] %q%a %d '"
		for setting; do
			echo "${setting%%=*} = ${setting#*=}"
		done
	} | as_owner tee -a "$data/postgresql.conf" >/dev/null
}

# server_start DATADIR LOG
server_start()
{
	as_owner "$BINDIR/pg_ctl" -D "$1" -l "$2" -w -t 120 start \
		</dev/null >/dev/null 2>&1 && return
	echo "server in $1 did not start; the end of $2:" >&2
	tail -n 15 "$2" >&2
	return 1
}

# server_pid DATADIR: its postmaster, nothing if it does not run.
server_pid()
{
	local pid
	pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 0
	# after a crash the file stays and the number may be somebody else's
	if [ "$(readlink "/proc/$pid/cwd")" = "$(readlink -f "$1")" ]; then
		echo "$pid"
	fi
}

# server_stop DATADIR [MODE]
server_stop()
{
	[ -n "$(server_pid "$1")" ] || return 0
	as_owner "$BINDIR/pg_ctl" -D "$1" -m "${2:-fast}" -w -t 120 stop >/dev/null
}

# server_kill DATADIR: SIGKILL for the postmaster and its children; returns
# when they are gone.
server_kill()
{
	local pid pids p stat
	pid=$(server_pid "$1")
	[ -n "$pid" ] || return 0
	# no new children while we look for them; other processes come and go
	kill -STOP "$pid"
	for p in /proc/[0-9]*; do
		{ read -r stat <"$p/stat"; } 2>/dev/null || continue
		stat=${stat##*) }
		set -- "$1" $stat
		[ "$3" = "$pid" ] && pids="$pids ${p#/proc/}"
	done
	kill -KILL "$pid" $pids 2>/dev/null
	for p in $pid $pids; do
		while [ -d "/proc/$p" ] && ! grep -q '^State:.*Z' "/proc/$p/status" 2>/dev/null; do
			sleep 0.02
		done
	done
	# a postmaster that init is slow to reap would look alive to the next one
	rm -f "$(sed -n 5p "$1/postmaster.pid")/.s.PGSQL.$(sed -n 4p "$1/postmaster.pid").lock" \
		"$1/postmaster.pid"
}

# result ok|failed NAME: reports one test; test/check counts the lines.
result()
{
	printf '%-7s %s\n' "$1" "$2"
	if [ -n "$SHOAL_RESULTS" ]; then
		echo "$1 $2" >>"$SHOAL_RESULTS"
	fi
}
