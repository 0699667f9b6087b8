# Loading a large table, and reading all of it.

scan_file()
{
	[ -s "$work/rows" ] || sql plain "COPY (
		SELECT i, i % 1000, i % 7, now()::timestamp(0), md5(i::text) || md5((-i)::text)
		FROM generate_series(1, $rows) i) TO STDOUT" >"$work/rows"
}

scan_tables()
{
	[ -z "$scan_ready" ] || return 0
	scan_file &&
		both "CREATE TABLE big (id bigint, customer int, kind int, made timestamp, filler text)" &&
		sql coord "SELECT shoal.create_distributed_table('big', 'id')" >/dev/null || return 1
	scan_ready=yes
}

scan_load() { sql "$1" "\\copy big FROM '$work/rows'"; }

scan_filled()
{
	scan_tables || return 1
	if [ "$(sql coord 'SELECT EXISTS (SELECT FROM big)')" = f ]; then
		scan_load plain && scan_load coord || return 1
	fi
	both "VACUUM ANALYZE big" && compare_tables big
}

bench_run_copy()
{
	local i plain shoal ratios=()
	scan_tables || return 1
	for ((i = 0; i < rounds && i < 3; i++)); do
		both 'TRUNCATE big' && plain=$(timed scan_load plain) && shoal=$(timed scan_load coord) || return 1
		ratios+=("$(ratio "$plain" "$shoal")")
	done
	compare_tables big || return 1
	echo "# copy, last round, seconds for $rows rows: Shoal $shoal, plain $plain"
	report copy 1.10 "${ratios[@]}"
}

# scan_query NAME TARGET QUERY: time on plain to time with Shoal
scan_query()
{
	local i plain shoal ratios=()
	scan_filled || return 1
	[ "$(sql plain "$3" | sort | md5sum)" = "$(sql coord "$3" | sort | md5sum)" ] || {
		echo "$1: results differ" >&2
		return 1
	}
	for ((i = 0; i < rounds; i++)); do
		plain=$(query_time plain "$3") && shoal=$(query_time coord "$3") || return 1
		ratios+=("$(ratio "$plain" "$shoal")")
	done
	echo "# $1, last round, ms over $rows rows: Shoal $shoal, plain $plain"
	report "$1" "$2" "${ratios[@]}"
}

bench_run_scan_count() { scan_query scan_count 1.0 'SELECT count(*) FROM big'; }
bench_run_scan_group()
{
	scan_query scan_group 1.0 'SELECT customer, count(*), sum(id), avg(kind) FROM big GROUP BY customer'
}
