# What replicas cost: the same statements on a table with one replica of each
# shard and on one without; and how fast shards move while they are written to.

figure replica_insert '>=0.45' replicas_throughput insert
figure replica_insert_limit - replicas_limit insert
figure replica_update '>=0.45' replicas_throughput update
figure replica_update_limit - replicas_limit update
figure replica_copy '>=0.50' replicas_copy
figure move_shard '>=0.40' replicas_move
figure move_pause '<=200' replicas_pause

move_rows=${MOVE_ROWS:-8000000}

# with and without, the same rows: 200,000 of them
replicas_tables()
{
	local name
	for name in single mirrored; do
		sql coord "CREATE TABLE $name (id bigint PRIMARY KEY, value int, filler text);
			SELECT shoal.create_distributed_table('$name', 'id', 'none', 8,
				replicas => $([ $name = mirrored ] && echo 1 || echo 0))" >/dev/null &&
			sql coord "INSERT INTO $name SELECT i, 0, repeat('x', 80) FROM generate_series(1, 200000) i" >/dev/null &&
			sql coord "VACUUM ANALYZE $name" >/dev/null || return 1
		script "update_$name" "\\set i random(1, 200000)
UPDATE $name SET value = value + 1 WHERE id = :i;"
		script "insert_$name" "\\set i random(1000000, 1000000000000000)
INSERT INTO $name VALUES (:i, 1, repeat('y', 80)) ON CONFLICT DO NOTHING;"
	done
	sql coord "COPY (SELECT i, 0, repeat('z', 80) FROM generate_series(300001, 300000 + $rows / 5) i) TO STDOUT" >"$work/replica_rows"
}

# replicas_equal: the copies are
replicas_equal()
{
	[ -z "$(sql coord "SELECT * FROM shoal.verify_table('mirrored')")" ] || { echo "copies differ" >&2; return 1; }
}

# replicas_throughput SCRIPT
replicas_throughput()
{
	once replicas_tables && compare "tps prepared coord $1_mirrored" "tps prepared coord $1_single" &&
		replicas_equal
}

# replicas_bare: the same table on both nodes, in databases without Shoal: one
# whose rows forward.c writes on the other node, too, and one for itself
replicas_bare()
{
	local side table node="host=127.0.0.1 port=$((base + 2)) dbname=bare user=postgres"
	build_forward || return 1
	for side in node1 node2; do
		sql "$side" 'CREATE DATABASE bare' || return 1
		for table in single mirrored; do
			sql "$side:bare" "CREATE TABLE $table (id bigint PRIMARY KEY, value int, filler text);
				INSERT INTO $table SELECT i, 0, repeat('x', 80) FROM generate_series(1, 200000) i" &&
				sql "$side:bare" "VACUUM ANALYZE $table" || return 1
		done
	done
	sql node1:bare "CREATE TABLE record (name text);
		CREATE FUNCTION forward_row() RETURNS trigger LANGUAGE C AS '$work/forward.so';
		CREATE TRIGGER updated AFTER UPDATE ON mirrored FOR EACH ROW EXECUTE FUNCTION
			forward_row('$node', 'UPDATE mirrored SET value = \$2 WHERE id = \$1');
		CREATE TRIGGER inserted AFTER INSERT ON mirrored FOR EACH ROW EXECUTE FUNCTION
			forward_row('$node', 'INSERT INTO mirrored VALUES (\$1, \$2, repeat(''y'', 80))')"
}

# replicas_least SCRIPT: transactions per second if a statement took what it
# takes without replicas, and what forward.c adds to it on two servers
replicas_least()
{
	local without single both
	without=$(tps prepared coord "$1_single") && single=$(tps prepared node1:bare "$1_single") &&
		both=$(tps prepared node1:bare "$1_mirrored") || return 1
	awk -v a="$without" -v b="$both" -v c="$single" 'BEGIN { print 1 / (1 / a + 1 / b - 1 / c) }'
}

# replicas_limit SCRIPT
replicas_limit()
{
	once replicas_tables && once replicas_bare &&
		compare "replicas_least $1" "tps prepared coord $1_single" &&
		same node1:bare node2:bare "$(rows_of mirrored)"
}

# replicas_load TABLE: rows per second
replicas_load()
{
	sql coord "DELETE FROM $1 WHERE id BETWEEN 300001 AND 300000 + $rows / 5" >/dev/null &&
		sql coord "VACUUM $1" >/dev/null &&
		timed sql coord "\\copy $1 FROM '$work/replica_rows'" | awk -v n="$((rows / 5))" '{ print n / $1 }'
}

replicas_copy()
{
	once replicas_tables && compare "replicas_load mirrored" "replicas_load single" && replicas_equal
}

# One shard of about a gigabyte, and the same rows in a database without Shoal.
replicas_big()
{
	sql coord "CREATE TABLE moving (id bigint PRIMARY KEY, value int, filler text);
		SELECT shoal.create_distributed_table('moving', 'id', 'none', 1)" >/dev/null &&
		sql coord "INSERT INTO moving SELECT i, 0, repeat('x', 80) FROM generate_series(1, $move_rows) i" >/dev/null &&
		sql coord 'VACUUM ANALYZE moving' >/dev/null &&
		sql plain "CREATE TABLE moving (id bigint PRIMARY KEY, value int, filler text);
			INSERT INTO moving SELECT i, 0, repeat('x', 80) FROM generate_series(1, $move_rows) i" >/dev/null &&
		sql node1 'CREATE DATABASE other' >/dev/null &&
		sql node1:other 'CREATE TABLE moving (id bigint PRIMARY KEY, value int, filler text)' >/dev/null || return 1
	script move_load "\\set i random(1, $move_rows)
UPDATE moving SET value = value + 1 WHERE id = :i;"
}

# rows per second of COPY from one server to another
replicas_plain_copy()
{
	sql node1:other 'TRUNCATE moving' >/dev/null || return 1
	timed replicas_pipe | awk -v n="$move_rows" '{ print n / $1 }'
}

replicas_pipe() { sql plain 'COPY moving TO STDOUT' | sql node1:other 'COPY moving FROM STDIN'; }

# rows per second of a move to the other node, with two clients that write 100
# times a second; leaves their longest wait (ms) in $work/pause
replicas_move_rate()
{
	local from to pid load
	from=$(sql coord "SELECT node_id FROM shoal.shards WHERE table_name = 'moving'::regclass") || return 1
	to=$((5 - from))
	rm -f "$work"/move_log*
	(cd "$work" && exec env PGHOST=127.0.0.1 PGPORT="$base" PGUSER=postgres PGDATABASE=shoal \
		"$BINDIR/pgbench" -n -M prepared -c 2 -j 1 -T 3600 -R 100 --max-tries=20 -l --log-prefix=move_log \
		-f move_load >/dev/null 2>"$work/move_err") &
	pid=$!
	sleep 1
	timed sql coord "SELECT shoal.move_shard(group_id, 0, $from, $to) FROM shoal.tables
		WHERE table_name = 'moving'::regclass" | awk -v n="$move_rows" '{ print n / $1 }'
	load=$?
	sleep 1
	kill "$pid" && wait "$pid" 2>/dev/null
	# the third column is the time from when it was due, in microseconds
	cat "$work"/move_log* | awk '$3 > max { max = $3 } END { print max / 1000 }' >"$work/pause"
	return $load
}

replicas_move() { once replicas_big && compare replicas_move_rate replicas_plain_copy 2; }

replicas_pause()
{
	once replicas_big || return 1
	[ -e "$work/pause" ] || replicas_move_rate >/dev/null || return 1
	echo "# $name: the longest wait of a write during the last move, in ms"
	report "$(cat "$work/pause")"
}
