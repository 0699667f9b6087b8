# Loading a large table, and reading all of it; the other side is the plain
# server with its parallel workers.

figure copy '>=1.10' large_copy
figure copy_limit - large_copy_limit
figure scan_count '>=1.00' large_query 'SELECT count(*) FROM big'
figure scan_sum '>=1.00' large_query 'SELECT sum(id), avg(kind), max(made) FROM big'
figure scan_group '>=1.00' large_query \
	'SELECT kind, count(*), sum(id), avg(region) FROM big GROUP BY kind'
figure scan_sum_limit - scan_limit 'SELECT sum(id), avg(kind), max(made) FROM big'
figure scan_group_limit - scan_limit \
	'SELECT kind, count(*), sum(id), avg(region) FROM big GROUP BY kind'
figure scan_topn '>=1.00' large_query 'SELECT * FROM big ORDER BY filler, id LIMIT 10'
figure join_reference '>=1.00' large_query \
	'SELECT r.name, count(*), sum(b.id) FROM big b JOIN region r USING (region) GROUP BY r.name'
figure join_key '>=1.50' large_query \
	'SELECT a.rating, count(*), sum(b.kind) FROM big b JOIN account a USING (customer) GROUP BY a.rating'
figure group_key '>=1.50' large_query \
	'SELECT customer, count(*), sum(id) FROM big GROUP BY customer ORDER BY 3 DESC, 1 LIMIT 10'
figure group_key_rows '>=1.50' large_query 'SELECT customer, count(*), sum(id) FROM big GROUP BY customer'
figure join_other '>=0.77' large_query \
	'SELECT o.value, count(*), sum(b.kind) FROM big b JOIN other o ON o.reference = b.id GROUP BY o.value'
figure join_other_key '>=0.77' large_query \
	'SELECT a.rating, count(*), sum(b.kind) FROM big b JOIN account a ON a.customer = b.id GROUP BY a.rating'
figure group_other '>=1.00' large_query 'SELECT count(*), max(n) FROM (SELECT id % 1000000, count(*) AS n FROM big GROUP BY 1) g'
figure count_distinct '>=1.00' large_query 'SELECT count(DISTINCT id % 1000000) FROM big'
figure count_distinct_limit - scan_limit 'SELECT count(DISTINCT id % 1000000) FROM big'

customers=$((rows / 10))

# The rows, of about 100 bytes, in a file; a shorter file for COPY.
large_files()
{
	sql plain "COPY (SELECT 1 + i * 7919 % $customers, i, i % 1000, i % 50, now()::timestamp(0),
		md5(i::text) || left(md5((-i)::text), 24)
		FROM generate_series(1, $rows::bigint) i) TO STDOUT" >"$work/rows" &&
		head -n $((rows * 2 / 5)) "$work/rows" >"$work/rows_to_copy"
}

large_table="CREATE TABLE big (customer bigint, id bigint, kind int, region int, made timestamp, filler text)"

large_tables()
{
	large_files && both "$large_table" && sql coord "SELECT shoal.create_distributed_table('big', 'customer')" >/dev/null
}

# large_load SIDE TABLE FILE
large_load() { sql "$1" "\\copy $2 FROM '$work/$3'"; }

large_others()
{
	both "CREATE TABLE account (customer bigint PRIMARY KEY, rating int, name text);
		CREATE TABLE region (region int PRIMARY KEY, name text);
		CREATE TABLE other (id bigint PRIMARY KEY, reference bigint, value int)" &&
		sql coord "SELECT shoal.create_distributed_table('account', 'customer');
			SELECT shoal.create_distributed_table('other', 'id');
			SELECT shoal.create_reference_table('region')" >/dev/null &&
		both "INSERT INTO account SELECT i, i % 100, 'customer ' || i FROM generate_series(1, $customers) i;
			INSERT INTO other SELECT i, i * 31 % $rows, i % 100 FROM generate_series(1, $rows / 5) i;
			INSERT INTO region SELECT i, 'region ' || i FROM generate_series(0, 49) i" &&
		both 'VACUUM ANALYZE account, region, other' && compare_tables account && compare_tables other && compare_tables region
}

large_filled()
{
	once large_tables && once large_others && both 'TRUNCATE big' &&
		large_load plain big rows && large_load coord big rows &&
		both 'VACUUM ANALYZE big' && compare_tables big
}

# copy_time SIDE
copy_time() { sql "$1" 'TRUNCATE big' && timed large_load "$1" big rows_to_copy; }

large_copy()
{
	once large_tables && compare 'copy_time plain' 'copy_time coord' 3 && compare_tables big
}

# What the nodes' servers do by themselves: no Shoal, half of the rows each, at
# the same time, into as many partitions as a node has shards.
alone_tables()
{
	local node
	split -n l/2 "$work/rows_to_copy" "$work/half." || return 1
	for node in node1 node2; do
		sql "$node" 'CREATE DATABASE alone' && sql "$node:alone" "$large_table PARTITION BY HASH (customer)" &&
			partitions "$node:alone" big 16 || return 1
	done
}

alone_load()
{
	large_load node1:alone big half.aa &
	local pid=$!
	large_load node2:alone big half.ab && wait $pid
}

alone_time()
{
	sql node1:alone 'TRUNCATE big' && sql node2:alone 'TRUNCATE big' && timed alone_load
}

large_copy_limit()
{
	once large_tables && once alone_tables && compare 'copy_time plain' alone_time 3
}

# Both nodes' servers at once answer a query of half of the rows, each in as many
# partitions, by one process.
alone_filled()
{
	local node
	split -n l/2 "$work/rows" "$work/all." || return 1
	for node in node1 node2; do
		sql "$node" 'CREATE DATABASE filled' && sql "$node:filled" "$large_table PARTITION BY HASH (customer)" &&
			sql "$node" 'ALTER DATABASE filled SET max_parallel_workers_per_gather = 0' &&
			partitions "$node:filled" big 16 || return 1
	done
	large_load node1:filled big all.aa && large_load node2:filled big all.ab &&
		sql node1:filled 'VACUUM ANALYZE big' && sql node2:filled 'VACUUM ANALYZE big'
}

# the slower one's time
alone_query()
{
	query_time node1:filled "$1" >"$work/time1" &
	local a pid=$!
	a=$(query_time node2:filled "$1") && wait $pid && awk -v a="$a" '{ print (a > $1 ? a : $1) }' "$work/time1"
}

# scan_limit QUERY
scan_limit()
{
	once large_filled && once alone_filled || return 1
	script "$name" "$1;"
	compare "query_time plain $name" "alone_query $name"
}

# large_query QUERY
large_query()
{
	once large_filled && same plain coord "$1" || return 1
	script "$name" "$1;"
	compare "query_time plain $name" "query_time coord $name"
}
