# TPC-H's 22 queries (test/tpch); the other side is the plain server with its
# parallel workers.  Loading and one pass take minutes: there is one round.

figure tpch '>=1.00' tpch_queries

tpch_queries()
{
	"$SHOAL_TOP/test/tpch" --dir "$dir" --scale "${BENCH_TPCH_SCALE:-1}" --warm --load >"$work/tpch" 2>&1 || {
		cat "$work/tpch" >&2
		return 1
	}
	sed "s/^/# $name: /" "$work/tpch"
	report "$(awk '/^total/ { print $NF }' "$work/tpch")"
}
