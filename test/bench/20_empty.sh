# Queries over all shards of empty tables: what it costs to ask all nodes.  The
# other side is a database of node 1's server, without Shoal, with 16 of the 32
# partitions, as many as node 1 has of a distributed table.  It joins partition
# by partition, as nodes do for Shoal; what it would do by itself is start
# parallel workers, which takes ten times as long.

for kind in count group join; do
	figure empty_$kind '<=2.00' empty_compare simple $kind
	figure empty_${kind}_prepared '<=2.00' empty_compare prepared $kind
	figure empty_${kind}_prepared_limit - empty_limit $kind
	figure explain_$kind '<=2.00' empty_compare simple $kind EXPLAIN
	figure empty_${kind}_512 '<=12.00' empty_compare_512 $kind
	figure explain_${kind}_512 '<=12.00' empty_compare_512 $kind EXPLAIN
done

# empty_tables SIDE PREFIX TAIL: two tables
empty_tables()
{
	local t
	for t in a b; do
		sql "$1" "CREATE TABLE $2_$t (id bigint PRIMARY KEY, kind int, value int) $3" || return 1
	done
}

# empty_query PREFIX KIND
empty_query()
{
	case $2 in
		count) echo "SELECT count(*) FROM $1_a" ;;
		group) echo "SELECT kind, count(*), sum(value) FROM $1_a GROUP BY kind" ;;
		join) echo "SELECT count(*) FROM $1_a a JOIN $1_b b ON b.id = a.id WHERE a.value = b.value" ;;
	esac
}

# empty_direct SIDE: the database "direct"
empty_direct()
{
	sql "$1" 'CREATE DATABASE direct' &&
		sql "$1" 'ALTER DATABASE direct SET enable_partitionwise_join = on' &&
		empty_tables "$1:direct" empty 'PARTITION BY HASH (id)' &&
		partitions "$1:direct" empty_a 32 2 && partitions "$1:direct" empty_b 32 2
}

empty_32()
{
	local t
	empty_direct node1 && empty_tables coord empty || return 1
	for t in empty_a empty_b; do
		sql coord "SELECT shoal.create_distributed_table('$t', 'id', shard_count => 32)" >/dev/null || return 1
	done
}

empty_512()
{
	local t
	empty_tables coord empty512 || return 1
	for t in empty512_a empty512_b; do
		sql coord "SELECT shoal.create_distributed_table('$t', 'id', shard_count => 512)" >/dev/null || return 1
	done
}

# empty_check KIND
empty_check() { once empty_32 && same coord node1:direct "$(empty_query empty "$1")"; }

# empty_compare MODE KIND [EXPLAIN]
empty_compare()
{
	empty_check "$2" || return 1
	script "$name" "$3 $(empty_query empty "$2");"
	compare "latency $1 coord $name" "latency $1 node1:direct $name"
}

# empty_compare_512 KIND [EXPLAIN]
empty_compare_512()
{
	empty_check "$1" && once empty_512 || return 1
	script "$name.512" "$2 $(empty_query empty512 "$1");"
	script "$name.32" "$2 $(empty_query empty "$1");"
	compare "latency simple coord $name.512" "latency simple coord $name.32"
}

# empty_limit KIND: prepared, through forward.c, which asks both nodes and does
# nothing with their rows
empty_limit()
{
	local node1="host=127.0.0.1 port=$((base + 1)) dbname=direct user=postgres"
	local node2="host=127.0.0.1 port=$((base + 2)) dbname=direct user=postgres"
	empty_check "$1" && once start_forward && once empty_both || return 1
	script "$name" "$(empty_query empty "$1");"
	script "$name.forward" "SELECT forward_both('$node1', '$node2', '$(empty_query empty "$1")');"
	compare "latency prepared plain $name.forward" "latency prepared node1:direct $name"
}

empty_both() { empty_direct node2; }
