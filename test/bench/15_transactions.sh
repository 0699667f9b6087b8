# Transactions of two UPDATEs by key, against the plain server, and what it
# costs that queries over several nodes read at one moment: the same statements
# with shoal.consistent_reads on and off.

figure two_updates_shard '>=0.55' transactions_throughput one_shard
figure two_updates_nodes '>=0.35' transactions_throughput two_nodes
figure gate_updates '>=0.90' transactions_gate tps two_nodes
figure gate_select '<=2.00' transactions_gate latency two_nodes_select

# purse: 5,000 rows of each of 64 tenants; scripts for a tenant of each node
transactions_tables()
{
	local a b
	both 'CREATE TABLE purse (tenant int, id int, value int, filler text, PRIMARY KEY (tenant, id))' &&
		sql coord "SELECT shoal.create_distributed_table('purse', 'tenant')" >/dev/null &&
		transactions_fill || return 1
	a=$(transactions_tenant 2) && b=$(transactions_tenant 3) || return 1
	transactions_script one_shard "$a" "$a"
	transactions_script two_nodes "$a" "$b"
	script two_nodes_select "\\set i random(1, 5000)
SELECT sum(value) FROM purse WHERE tenant IN ($a, $b) AND id = :i;"
}

transactions_fill()
{
	both 'TRUNCATE purse' &&
		both "INSERT INTO purse SELECT t, i, 0, repeat('x', 80)
			FROM generate_series(1, 64) t, generate_series(1, 5000) i" &&
		both 'VACUUM ANALYZE purse'
}

# transactions_tenant NODE
transactions_tenant()
{
	sql coord "SELECT min(t) FROM generate_series(1, 64) t JOIN shoal.shards s
		ON s.table_name = 'purse'::regclass AND s.node_id = $1 AND s.shard = shoal.shard_of('purse', t)"
}

# transactions_script NAME TENANT TENANT
transactions_script()
{
	script "$1" "\\set i random(1, 2500)
\\set j random(2501, 5000)
BEGIN;
UPDATE purse SET value = value + 1 WHERE tenant = $2 AND id = :i;
UPDATE purse SET value = value + 1 WHERE tenant = $3 AND id = :j;
COMMIT;"
}

transactions_check() { once transactions_tables && compare_tables purse; }

# transactions_throughput SCRIPT
transactions_throughput()
{
	transactions_check && compare "tps prepared coord $1" "tps prepared plain $1" &&
		transactions_fill
}

# transactions_gate MEASUREMENT SCRIPT: on, to off
transactions_gate()
{
	transactions_check &&
		compare "with_gate on $1 prepared coord $2" "with_gate off $1 prepared coord $2" &&
		with_gate on true && transactions_fill
}

# with_gate on|off COMMAND...
with_gate()
{
	sql coord "ALTER DATABASE shoal SET shoal.consistent_reads = $1" >/dev/null || return 1
	shift
	"$@"
}
