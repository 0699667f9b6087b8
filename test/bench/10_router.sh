# Statements on one row by key: through the coordinator, on the node that has
# the row ("direct", a client of that node that names the partition), and on
# the plain server.

tenants=64

router_tables()
{
	[ -z "$router_ready" ] || return 0
	both "CREATE TABLE kv (tenant int, id bigint, value int, filler text, PRIMARY KEY (tenant, id))" &&
		sql coord "SELECT shoal.create_distributed_table('kv', 'tenant')" >/dev/null &&
		both "INSERT INTO kv SELECT t, i, i % 100, repeat('x', 80)
			FROM generate_series(1, $tenants) t, generate_series(1, 5000) i" &&
		both "VACUUM ANALYZE kv" && compare_tables kv || return 1

	# eight tenants of node 1, each in a shard of its own
	sql coord "SELECT min(t), s.partition_name
		FROM generate_series(1, $tenants) t JOIN shoal.shards s
			ON s.table_name = 'kv'::regclass AND s.shard = shoal.shard_of('kv', t) AND s.node_id = 2
		GROUP BY 2 ORDER BY 1 LIMIT 8" >"$work/tenants" || return 1
	[ -s "$work/tenants" ] || return 1
	router_ready=yes
}

# router_scripts NAME TEXT: pgbench scripts NAME.shoal.N and NAME.direct.N, one
# for each of the tenants; TABLE in the text is the table.
router_scripts()
{
	local tenant partition n=0
	while IFS='|' read -r tenant partition; do
		n=$((n + 1))
		printf '\\set tenant %s\n%s\n' "$tenant" "${2//TABLE/kv}" >"$work/$1.shoal.$n"
		printf '\\set tenant %s\n%s\n' "$tenant" "${2//TABLE/$partition}" >"$work/$1.direct.$n"
	done <"$work/tenants"
}

# router_measure NAME TARGET
router_measure()
{
	local i direct plain shoal to_direct=() to_plain=()
	for ((i = 0; i < rounds; i++)); do
		direct=$(tps node1 "$work/$1".direct.*) && plain=$(tps plain "$work/$1".shoal.*) &&
			shoal=$(tps coord "$work/$1".shoal.*) || return 1
		to_direct+=("$(ratio "$shoal" "$direct")")
		to_plain+=("$(ratio "$shoal" "$plain")")
	done
	echo "# $1, last round, per second: Shoal $shoal, direct $direct, plain $plain"
	report "$1 to direct" "$2" "${to_direct[@]}"
	report "$1 to plain" - "${to_plain[@]}"
}

bench_run_router_select()
{
	local partition tenant
	router_tables || return 1
	while IFS='|' read -r tenant partition; do
		[ "$(sql coord "SELECT count(*), sum(hashtext(t::text)) FROM kv t WHERE tenant = $tenant")" = \
			"$(sql node1 "SELECT count(*), sum(hashtext(t::text)) FROM $partition t WHERE tenant = $tenant")" ] || {
			echo "$partition differs" >&2
			return 1
		}
	done <"$work/tenants"
	router_scripts router_select '\set id random(1, 5000)
SELECT value, filler FROM TABLE WHERE tenant = :tenant AND id = :id;'
	router_measure router_select 0.52
}

bench_run_router_insert()
{
	router_tables || return 1
	router_scripts router_insert '\set id random(100000, 9000000000000000000)
INSERT INTO TABLE VALUES (:tenant, :id, 1, '"'$(printf 'x%.0s' {1..80})'"');'
	router_measure router_insert 0.60 || return 1
	both "DELETE FROM kv WHERE id > 5000" && both "VACUUM kv" && compare_tables kv
}

bench_run_router_update()
{
	router_tables || return 1
	router_scripts router_update '\set id random(1, 5000)
UPDATE TABLE SET value = value + 1 WHERE tenant = :tenant AND id = :id;'
	router_measure router_update 0.60
	# value differs by side now
	both "UPDATE kv SET value = id % 100" && both "VACUUM FULL kv" && compare_tables kv
}
