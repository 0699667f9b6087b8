# test/bench/lib.sh: what the benchmarks share.
#
# A benchmark is a function bench_run_NAME in a file NN_*.sh.  It makes its
# tables on the coordinator and on the plain server, checks that both hold the
# same rows, measures both sides in turns and reports the median of the ratios.

rounds=${BENCH_ROUNDS:-5}
seconds=${BENCH_SECONDS:-5}
rows=${BENCH_ROWS:-1000000}
clients=${BENCH_CLIENTS:-8}

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
		--conf max_connections=100 --conf checkpoint_timeout=1h --conf max_wal_size=8GB \
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

# port_of coord|node1|node2|plain
port_of()
{
	case $1 in
		coord) echo "$base" ;;
		plain) echo "$plain_port" ;;
		node*) echo $((base + ${1#node})) ;;
	esac
}

# sql SIDE [SQL]: one or more statements, from the argument or from stdin
sql()
{
	local side=$1
	shift
	psql=("$BINDIR/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1
		-p "$(port_of "$side")" -U postgres -d shoal)
	if [ $# -gt 0 ]; then
		PGOPTIONS= "${psql[@]}" -c "$1"
	else
		PGOPTIONS= "${psql[@]}" -f -
	fi
}

now() { date +%s.%N; }

# timed COMMAND...: seconds that it took
timed()
{
	local start
	start=$(now)
	"$@" >/dev/null || return 1
	awk -v a="$start" -v b="$(now)" 'BEGIN { print b - a }'
}

# query_time SIDE QUERY: milliseconds of its second run in a session
query_time()
{
	printf '%s;\n' '\o /dev/null' "$2" '\timing on' "$2" | sed 's/^\(\\.*\);$/\1/' |
		sql "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

# tps SIDE SCRIPT...: transactions per second of pgbench
tps()
{
	local side=$1
	shift
	"$BINDIR/pgbench" -n -M prepared -c "$clients" -j 2 -T "$seconds" -h 127.0.0.1 \
		-p "$(port_of "$side")" -U postgres "${@/#/--file=}" shoal 2>"$work/pgbench.err" |
		awk '/^number of failed transactions:/ && $5 > 0 { bad = 1 }
			/^tps = / { tps = $3 } END { if (bad || tps == "") exit 1; print tps }' ||
		{ cat "$work/pgbench.err" >&2; return 1; }
}

# report NAME TARGET RATIO...: the line of a benchmark
report()
{
	local name=$1 target=$2
	shift 2
	[ $# -gt 0 ] || return 1
	printf '%s\n' "$@" | sort -g | awk -v name="$name" -v target="$target" '
		{ v[NR] = $1 }
		END {
			m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
			printf "%s: %.2f (target %s, spread %.2f to %.2f)\n", name, m, target, v[1], v[NR]
		}'
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b <= 0) exit 1; print a / b }'; }

# compare_tables NAME: fails unless both sides hold the same rows
compare_tables()
{
	local query="SELECT count(*), sum(hashtextextended(t::text, 0)) FROM $1 t" a b
	a=$(sql plain "$query") && b=$(sql coord "$query") || return 1
	[ "$a" = "$b" ] && return
	echo "$1 differs: plain has $a, Shoal has $b" >&2
	return 1
}

# both SQL: on the plain server and on the coordinator
both() { sql plain "$1" >/dev/null && sql coord "$1" >/dev/null; }
