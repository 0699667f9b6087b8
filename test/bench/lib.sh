# test/bench/lib.sh: what the benchmarks share.
#
# A benchmark makes its tables on two sides, checks that both return the same
# rows, measures them in turns and reports the median of the rounds' ratios.

rounds=${BENCH_ROUNDS:-3}
seconds=${BENCH_SECONDS:-3}
rows=${BENCH_ROWS:-5000000}
clients=${BENCH_CLIENTS:-8}

# figure NAME TARGET COMMAND...: NAME is what COMMAND reports, with $name and
# $target set; TARGET is ">=0.52", "<=2.40" or "-"
figure() { figures+=("$(printf '%q ' "$@")"); }

bench_up()
{
	dir=$(make_scratch bench) || exit 1
	rmdir "$dir"
	base=${PORT:-$(free_ports 4)}
	plain_port=$((base + 3))
	work=$(mktemp -d)
	trap 'bench_down' EXIT
	trap 'exit 1' INT TERM
	echo "# coordinator (no shards), 2 nodes, 1 plain server; $rounds rounds of $seconds s, $clients clients"
	"$SHOAL_TOP/test/cluster" up --dir "$dir" --port "$base" --nodes 2 --plain \
		--conf max_connections=100 --conf checkpoint_timeout=1h --conf max_wal_size=8GB --conf wal_init_zero=off \
		${BENCH_CONF:+--conf "$BENCH_CONF"} >/dev/null || exit 1
	sql coord 'SELECT shoal.alter_node(1, holds_shards => false)' >/dev/null || exit 1
}

bench_down()
{
	if [ -n "$KEEP" ]; then
		echo "# kept: $dir"
	else
		[ ! -e "$dir/cluster" ] || "$SHOAL_TOP/test/cluster" down --dir "$dir"
	fi
	rm -rf "$work"
}

# once FUNCTION: calls it unless it has succeeded before
once()
{
	case " $done_once " in
		*" $1 "*) ;;
		*) "$1" && done_once="$done_once $1" ;;
	esac
}

# at SIDE COMMAND...: runs a client.  SIDE is a database of a server:
#   coord, node1, node2, plain   the cluster's, and the plain server's
#   node1:NAME, plain:NAME, ...  another database of that server
at()
{
	local server=${1%%:*} port database=shoal
	case $server in
		coord) port=$base ;;
		plain) port=$plain_port ;;
		relay) port=$relay_port ;;
		node*) port=$((base + ${server#node})) ;;
	esac
	[ "$server" = "$1" ] || database=${1#*:}
	shift
	PGHOST=127.0.0.1 PGPORT=$port PGUSER=postgres PGDATABASE=$database PGOPTIONS= "$@"
}

# sql SIDE [SQL]: one or more statements, from the argument or from stdin
sql()
{
	local side=$1
	shift
	if [ $# -gt 0 ]; then
		set -- -c "$1"
	else
		set -- -f -
	fi
	at "$side" "$BINDIR/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

# both SQL: on the plain server and on the coordinator
both() { sql plain "$1" >/dev/null && sql coord "$1" >/dev/null; }

# partitions SIDE TABLE MODULUS [STEP]: a table's hash partitions as Shoal has
# them, or every STEPth
partitions()
{
	sql "$1" "DO \$\$ BEGIN FOR i IN 0..$3 - 1 BY ${4:-1} LOOP
		EXECUTE format('CREATE TABLE $2_%s PARTITION OF $2 FOR VALUES WITH (MODULUS $3, REMAINDER %s)', i, i);
		END LOOP; END \$\$"
}

# script NAME TEXT: a file of SQL, for psql or pgbench
script() { printf '%s\n' "$2" >"$work/$1"; }

# build_forward: forward.c as $work/forward.so, where servers can read it
build_forward()
{
	local pg_config=${PG_CONFIG:-pg_config}
	${CC:-cc} -O2 -shared -fPIC -I"$("$pg_config" --includedir-server)" -I"$("$pg_config" --includedir)" \
		-o "$work/forward.so" "$here/forward.c" -lpq && chmod a+rx "$work" && chmod a+r "$work/forward.so"
}

#
# Checks
#

# same SIDE SIDE SQL: fails unless both return the same rows
same()
{
	local a b
	a=$(sql "$1" "$3" | sort | md5sum) && b=$(sql "$2" "$3" | sort | md5sum) || return 1
	[ "$a" = "$b" ] && return
	echo "$1 and $2 differ in: $3" >&2
	return 1
}

# rows_of TABLE: a query that tells whether tables are equal
rows_of() { echo "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM $1 t"; }

compare_tables() { same plain coord "$(rows_of "$1")"; }

#
# Measurements: each prints a number
#

now() { date +%s.%N; }

# timed COMMAND...: seconds that it took
timed()
{
	local start
	start=$(now)
	"$@" >/dev/null || return 1
	awk -v a="$start" -v b="$(now)" 'BEGIN { print b - a }'
}

# query_time SIDE SCRIPT: milliseconds of the second run in a session
query_time()
{
	printf '%s\n' '\o /dev/null' "\\i $work/$2" '\timing on' "\\i $work/$2" | sql "$1" |
		awk '/^Time: / { ms = $2 } END { if (ms == "") exit 1; print ms }'
}

# run_pgbench SIDE OPTION...: runs pgbench and leaves its output in $work/pgbench
run_pgbench()
{
	local side=$1
	shift
	at "$side" "$BINDIR/pgbench" -n "$@" >"$work/pgbench" 2>"$work/pgbench.err" &&
		! grep -q '^number of failed transactions: [1-9]' "$work/pgbench" && return
	cat "$work/pgbench.err" >&2
	return 1
}

bench_tps() { awk '/^tps = / { print $3 }' "$work/pgbench"; }
bench_count() { awk '/^number of transactions actually processed/ { sub("/.*", "", $6); print $6 }' "$work/pgbench"; }

# run_script MODE CLIENTS SECONDS SIDE SCRIPT [OPTION]: runs pgbench with a
# script or, if it has parts SCRIPT.N, with each as often
run_script()
{
	local files=("$work/$5")
	[ -e "${files[0]}" ] || files=("$work/$5".*)
	run_pgbench "$4" -M "$1" -c "$2" -j 2 -T "$3" $6 "${files[@]/#/--file=}"
}

# tps MODE SIDE SCRIPT: transactions per second of all clients
tps() { run_script "$1" "$clients" "$seconds" "$2" "$3" && bench_tps; }

# each_tps SIDE SCRIPT: prepared, of all clients, of which each has a script
# SCRIPT.N of its own
each_tps()
{
	local i
	for i in $(seq "$clients"); do
		at "$1" "$BINDIR/pgbench" -n -M prepared -f "$work/$2.$i" -c 1 -T "$seconds" 2>/dev/null |
			awk '/^tps = / && !n++ { print $3 }' >"$work/rate.$1.$i" &
	done
	wait
	cat "$work"/rate."$1".* | awk '{ sum += $1 } END { print sum }'
}

# latency MODE SIDE SCRIPT [OPTION]: milliseconds per transaction of one client
latency() { run_script "$1" 1 $(((seconds + 2) / 3)) "$2" "$3" $4 && bench_tps | awk '{ print 1000 / $1 }'; }

# cpu MODE SIDE SCRIPT: microseconds of all servers' processes per transaction
cpu()
{
	local before
	before=$(servers_cpu) && tps "$@" >/dev/null || return 1
	# sessions end after their client
	sleep 0.3
	awk -v a="$before" -v b="$(servers_cpu)" -v n="$(bench_count)" 'BEGIN { print (b - a) / n }'
}

# servers_cpu: microseconds of processor time that all servers have used,
# their ended processes' included
servers_cpu()
{
	local data postmasters=
	for data in "$dir"/*/postmaster.pid; do
		postmasters+=" $(head -n 1 "$data")"
	done
	cat /proc/[0-9]*/stat 2>/dev/null |
		awk -v postmasters="$postmasters " -v hz="$(getconf CLK_TCK)" '
			{
				pid = $1
				sub(/.*\) /, "")
				if (index(postmasters, " " pid " "))
					sum += $14 + $15
				else if (!index(postmasters, " " $2 " "))
					next
				sum += $12 + $13
			}
			END { printf "%.0f\n", sum * 1000000 / hz }'
}

#
# Reports
#

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b <= 0) exit 1; print a / b }'; }

# report RATIO...: the line of a figure
report()
{
	[ $# -gt 0 ] || return 1
	printf '%s\n' "$@" | sort -g | awk -v name="$name" -v target="$(sed 's/=/= /' <<<"$target")" '
		{ v[NR] = $1 }
		END {
			m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
			printf "%s: %.2f (target %s, spread %.2f to %.2f)\n", name, m, target, v[1], v[NR]
		}'
}

# compare A B [ROUNDS]: measures with both commands in turns, in every second
# round B first, and reports A's numbers in relation to B's
compare()
{
	local i a b ratios=()
	for ((i = 0; i < ${3:-$rounds}; i++)); do
		if ((i % 2)); then
			b=$($2) && a=$($1) || return 1
		else
			a=$($1) && b=$($2) || return 1
		fi
		ratios+=("$(ratio "$a" "$b")")
	done
	echo "# $name, last round: $a ($1), $b ($2)"
	report "${ratios[@]}"
}
