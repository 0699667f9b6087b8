# Many rows that are passed on: from table to table on the nodes, and to the
# client through the coordinator; and queries in steps, over small tables.

figure insert_colocated '>=2.00' rows_insert sink_same
figure insert_colocated_limit - rows_insert_limit
figure insert_reshuffled '>=1.00' rows_insert sink_other
figure rows_one_shard '>=0.75' rows_one_shard
figure rows_all '>=0.70' large_query "SELECT customer, id, kind, filler FROM big WHERE id <= $rows / 5"
for shards in 32 512; do
	figure step_scalar_$shards '<=1.10' step_compare $shards \
		'SELECT count(*) FROM T_a WHERE id = (SELECT max(value) FROM T_b)' \
		'SELECT max(value) FROM T_b' 'SELECT count(*) FROM T_a WHERE id = 7'
	figure step_in_$shards '<=1.10' step_compare $shards \
		'SELECT count(*) FROM T_a WHERE value IN (SELECT kind FROM T_b WHERE value < 5)' \
		'SELECT kind FROM T_b WHERE value < 5' 'SELECT count(*) FROM T_a WHERE value IN (1, 2, 3, 4)'
	figure step_with_$shards '<=1.10' step_compare $shards \
		'WITH w AS MATERIALIZED (SELECT kind, max(value) AS m FROM T_b GROUP BY kind)
			SELECT count(*) FROM T_a a JOIN w ON w.m = a.value WHERE a.kind < (SELECT avg(kind) FROM w)' \
		'SELECT kind, max(value) AS m FROM T_b GROUP BY kind' 'SELECT value FROM T_a WHERE kind < 4.5'
done

rows_sinks()
{
	local t
	for t in sink_same sink_other; do
		both "CREATE TABLE $t (customer bigint, id bigint, kind int, filler text)" || return 1
	done
	sql coord "SELECT shoal.create_distributed_table('sink_same', 'customer');
		SELECT shoal.create_distributed_table('sink_other', 'id')" >/dev/null
}

# insert_time SIDE SINK
insert_time()
{
	sql "$1" "TRUNCATE $2" &&
		timed sql "$1" "INSERT INTO $2 SELECT customer, id, kind, filler FROM big WHERE id <= $rows * 2 / 5"
}

# rows_insert SINK
rows_insert()
{
	once large_filled && once rows_sinks &&
		compare "insert_time plain $1" "insert_time coord $1" 3 && compare_tables "$1"
}

# Both nodes' servers at once, without Shoal, each with half of the rows and 16 partitions.
alone_sinks()
{
	local node
	for node in node1 node2; do
		sql "$node:filled" "CREATE TABLE sink_same (customer bigint, id bigint, kind int, filler text)
			PARTITION BY HASH (customer)" && partitions "$node:filled" sink_same 16 || return 1
	done
}

alone_insert()
{
	local insert='INSERT INTO sink_same SELECT customer, id, kind, filler FROM big WHERE id'
	sql node1:filled "$insert <= $rows / 5" &
	local pid=$!
	sql node2:filled "$insert BETWEEN $rows / 2 + 1 AND $rows / 2 + $rows / 5" && wait $pid
}

alone_insert_time()
{
	sql node1:filled 'TRUNCATE sink_same' && sql node2:filled 'TRUNCATE sink_same' && timed alone_insert
}

rows_insert_limit()
{
	once large_filled && once rows_sinks && once alone_filled && once alone_sinks &&
		compare 'insert_time plain sink_same' alone_insert_time 3
}

# A million rows with one key: asked for by it, and from its node by the
# partition's name.
rows_single()
{
	sql coord 'CREATE TABLE one_key (k int, id bigint, kind int, filler text)' &&
		sql coord "SELECT shoal.create_distributed_table('one_key', 'k', shard_count => 8);
			INSERT INTO one_key SELECT 1, i, i % 1000, md5(i::text) FROM generate_series(1, $rows / 5) i" >/dev/null &&
		sql coord 'VACUUM ANALYZE one_key'
}

rows_one_shard()
{
	local node part
	once rows_single || return 1
	IFS='|' read -r node part < <(sql coord "SELECT node_id - 1, partition_name FROM shoal.shards
		WHERE table_name = 'one_key'::regclass AND shard = shoal.shard_of('one_key', 1)")
	same coord "node$node" "SELECT count(*), sum(id) FROM one_key" || return 1
	script "$name" 'SELECT k, id, kind, filler FROM one_key WHERE k = 1;'
	script "$name.direct" "SELECT k, id, kind, filler FROM $part;"
	compare "query_time node$node $name.direct" "query_time coord $name"
}

step_tables()
{
	local shards t
	for shards in 32 512; do
		for t in a b; do
			sql coord "CREATE TABLE step${shards}_$t (id bigint PRIMARY KEY, kind int, value int);
				SELECT shoal.create_distributed_table('step${shards}_$t', 'id', shard_count => $shards);
				INSERT INTO step${shards}_$t SELECT i, i % 10, i FROM generate_series(1, 500) i" >/dev/null &&
				sql coord "VACUUM ANALYZE step${shards}_$t" || return 1
		done
	done
}

# step_compare SHARDS QUERY PART PART: the time of a query to that of its parts,
# asked one after the other
step_compare()
{
	once step_tables || return 1
	script "$name" "${2//T_/step$1_};"
	script "$name.parts" "${3//T_/step$1_};
${4//T_/step$1_};"
	compare "latency simple coord $name" "latency simple coord $name.parts"
}
