# Statements on one row by key: through the coordinator, on the node that has
# the row ("direct", a client of that node that names the partition), and on
# the plain server.

figure router_select '>=0.52' router_throughput router_select
figure router_select_cpu '<=2.40' router_cpu router_select
figure router_select_limit - router_limit tps router_select
figure router_select_cpu_limit - router_limit cpu router_select
figure router_insert '>=0.60' router_throughput router_insert
figure router_insert_limit - router_limit tps router_insert
figure router_update '>=0.60' router_throughput router_update
figure router_update_limit - router_limit tps router_update
figure first_query '<=2.20' first_query
figure first_query_limit - first_query_limit

tenants=64

router_tables()
{
	both "CREATE TABLE kv (tenant int, id bigint, value int, filler text, PRIMARY KEY (tenant, id))" &&
		sql coord "SELECT shoal.create_distributed_table('kv', 'tenant')" >/dev/null &&
		router_fill || return 1

	# eight tenants of node 1, each in a shard of its own
	sql coord "SELECT min(t), s.partition_name
		FROM generate_series(1, $tenants) t JOIN shoal.shards s
			ON s.table_name = 'kv'::regclass AND s.shard = shoal.shard_of('kv', t) AND s.node_id = 2
		GROUP BY 2 ORDER BY 1 LIMIT 8" >"$work/tenants" || return 1
	[ -s "$work/tenants" ] || return 1
	router_scripts router_select '1, 5000' \
		'SELECT value, filler FROM TABLE WHERE tenant = :tenant AND id = :id'
	router_scripts router_insert '100000, 9000000000000000000' \
		"INSERT INTO TABLE VALUES (:tenant, :id, 1, '$(printf 'x%.0s' {1..80})')"
	router_scripts router_update '1, 5000' \
		'UPDATE TABLE SET value = value + 1 WHERE tenant = :tenant AND id = :id'
}

# router_fill: the rows that there are before every benchmark
router_fill()
{
	both "TRUNCATE kv" &&
		both "INSERT INTO kv SELECT t, i, i % 100, repeat('x', 80)
			FROM generate_series(1, $tenants) t, generate_series(1, 5000) i" &&
		both "VACUUM ANALYZE kv"
}

# router_scripts NAME RANGE STATEMENT: pgbench scripts NAME.shoal.N, NAME.direct.N
# and NAME.forward.N (for forward.c), one for each of the tenants; RANGE is that of
# the ids, TABLE in the statement is the table
router_scripts()
{
	local tenant partition head forwarded n=0
	local node="host=127.0.0.1 port=$((base + 1)) dbname=shoal user=postgres"
	while IFS='|' read -r tenant partition; do
		n=$((n + 1))
		head="\\set tenant $tenant"$'\n'"\\set id random($2)"$'\n'
		script "$1.shoal.$n" "$head${3//TABLE/kv};"
		script "$1.direct.$n" "$head${3//TABLE/$partition};"
		forwarded=${3//TABLE/$partition}
		forwarded=${forwarded//:tenant/\$1}
		script "$1.forward.$n" "${head}SELECT forward('$node', \$\$${forwarded//:id/\$2}\$\$, :tenant, :id);"
	done <"$work/tenants"
}

# router_check: all sides have the same rows
router_check()
{
	local partition tenant
	once router_tables && compare_tables kv || return 1
	while IFS='|' read -r tenant partition; do
		[ "$(sql coord "$(rows_of kv) WHERE tenant = $tenant")" = \
			"$(sql node1 "$(rows_of "$partition") WHERE tenant = $tenant")" ] || {
			echo "$partition differs" >&2
			return 1
		}
	done <"$work/tenants"
}

# router_compare SIDE SCRIPT KIND: to direct; SIDE runs SCRIPT.KIND
router_compare()
{
	compare "tps prepared $1 $2.$3" "tps prepared node1 $2.direct" || return 1
	case $2 in
		router_select) ;;
		*) router_fill ;;
	esac
}

# router_throughput SCRIPT
router_throughput() { router_check && router_compare coord "$1" shoal; }

router_cpu()
{
	router_check && compare "cpu prepared coord $1.shoal" "cpu prepared node1 $1.direct"
}

# start_relay: relay.c between clients and node 1
start_relay()
{
	relay_port=$(free_ports 1)
	${CC:-cc} -O2 -o "$work/relay" "$here/relay.c" || return 1
	"$work/relay" "$relay_port" $((base + 1)) &
	sleep 0.5
}

start_forward()
{
	build_forward && sql plain "CREATE FUNCTION forward(text, text, int, bigint) RETURNS void
		LANGUAGE C AS '$work/forward.so'; CREATE FUNCTION forward_both(text, text, text)
		RETURNS void LANGUAGE C AS '$work/forward.so'"
}

# router_limit MEASUREMENT SCRIPT: what is left when a backend passes
# statements on and does nothing else
router_limit()
{
	router_check && once start_forward || return 1
	compare "$1 prepared plain $2.forward" "$1 prepared node1 $2.direct" || return 1
	[ "$2" = router_select ] || router_fill
}

# first_query_limit: a session that connects to the node, and does nothing else
first_query_limit()
{
	router_check && once start_forward || return 1
	compare "latency simple plain router_select.forward -C" "latency simple plain router_select.shoal -C"
}

first_query()
{
	router_check &&
		compare "latency simple coord router_select.shoal -C" "latency simple plain router_select.shoal -C"
}
