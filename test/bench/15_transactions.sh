# Transactions of two UPDATEs by key, against the plain server, and what it
# costs that queries over several nodes read at one moment: the same statements
# with shoal.consistent_reads on and off.

figure two_updates_shard '>=0.55' transactions_throughput one_shard
figure two_updates_shard_limit - transactions_limit_shard
figure two_updates_nodes '>=0.35' transactions_throughput two_nodes
figure two_updates_nodes_limit - transactions_limit_nodes
figure gate_updates '>=0.90' transactions_gate tps two_nodes
figure gate_select '<=2.00' transactions_gate latency two_nodes_select

# purse: 5,000 rows of each of 64 tenants; scripts for a tenant of each node
transactions_tables()
{
	local a b i
	both 'CREATE TABLE purse (tenant int, id int, value int, filler text, PRIMARY KEY (tenant, id))' &&
		sql coord "SELECT shoal.create_distributed_table('purse', 'tenant')" >/dev/null &&
		transactions_fill || return 1
	a=$(transactions_tenant 2) && b=$(transactions_tenant 3) || return 1
	transactions_script one_shard "$a" "$a"
	transactions_script two_nodes "$a" "$b"
	transactions_script direct_shard "$a" "$a" "$(transactions_partition "$a")"
	for i in $(seq "$clients"); do
		transactions_half 1 "$i" "$a"
		transactions_half 2 "$i" "$b"
	done
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

# transactions_partition TENANT: the name of its partition on its node
transactions_partition()
{
	sql coord "SELECT partition_name FROM shoal.shards
		WHERE table_name = 'purse'::regclass AND shard = shoal.shard_of('purse', $1)"
}

# transactions_script NAME TENANT TENANT [TABLE]
transactions_script()
{
	script "$1" "\\set i random(1, 2500)
\\set j random(2501, 5000)
BEGIN;
UPDATE ${4:-purse} SET value = value + 1 WHERE tenant = $2 AND id = :i;
UPDATE ${4:-purse} SET value = value + 1 WHERE tenant = $3 AND id = :j;
COMMIT;"
}

# transactions_half NODE CLIENT TENANT: a node's half of such a transaction
transactions_half()
{
	script "half.node$1.$2" "\\set i random(1, 5000)
BEGIN;
UPDATE $(transactions_partition "$3") SET value = value + 1 WHERE tenant = $3 AND id = :i;
PREPARE TRANSACTION 'bench_$2';
COMMIT PREPARED 'bench_$2';"
}

transactions_half_tps() { each_tps "$1" "half.$1"; }

# The limits: what is left when each message goes through one more process that
# does nothing with it; and what both nodes do at once, without a coordinator
transactions_limit_shard()
{
	transactions_check && once start_relay &&
		compare 'tps prepared relay direct_shard' 'tps prepared plain one_shard' && transactions_fill
}

transactions_limit_nodes()
{
	transactions_check && compare 'half_rates transactions_half_tps' 'tps prepared plain two_nodes' &&
		transactions_fill
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
