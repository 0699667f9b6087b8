# What Shoal costs where it has nothing to do: statements on a local table, in
# a database with the extension and in one of the same server without it, and
# clusters of one node against a table with the same partitions on the plain
# server.

figure overhead_select '>=0.97' overhead_local prepared coord select
figure overhead_simple '>=0.97' overhead_local simple coord select
figure overhead_write '>=0.97' overhead_local simple coord write
figure overhead_bare '>=0.97' overhead_local simple coord:bare select
figure one_node_select '>=0.97' overhead_one_node prepared select
figure one_node_simple '>=0.97' overhead_one_node simple select
figure one_node_write '>=0.97' overhead_one_node prepared write
figure one_node_count '>=0.97' overhead_one_node simple count
figure one_node_group '>=0.97' overhead_one_node simple group

# such small differences need many rounds, of which each is short
overhead_rounds=$((rounds * 2))

overhead_rows=100000

overhead_scripts()
{
	local key="\\set id random(1, $overhead_rows)"
	script overhead_select "$key"$'\n''SELECT value, filler FROM notes WHERE id = :id;'
	script overhead_write "$key"'
BEGIN;
UPDATE notes SET value = value + 1 WHERE id = :id;
SELECT value FROM notes WHERE id = :id;
END;'
	script overhead_count 'SELECT count(*) FROM notes;'
	script overhead_group 'SELECT value, count(*), sum(id) FROM notes GROUP BY value;'
}

# overhead_table SIDE [TAIL]: notes, empty
overhead_table()
{
	sql "$1" "CREATE TABLE notes (id int PRIMARY KEY, value int, filler text) $2"
}

# overhead_fill SIDE: the rows of notes, as they are before every benchmark
overhead_fill()
{
	sql "$1" 'TRUNCATE notes' &&
		sql "$1" "INSERT INTO notes SELECT i, i % 100, repeat('x', 80) FROM generate_series(1, $overhead_rows) i" &&
		sql "$1" 'VACUUM ANALYZE notes'
}

overhead_local_tables()
{
	overhead_scripts && sql coord 'CREATE DATABASE bare' &&
		overhead_table plain && overhead_table coord && overhead_table coord:bare
}

overhead_one_node_tables()
{
	overhead_scripts && sql coord 'CREATE DATABASE one' && sql plain 'CREATE DATABASE parts' &&
		sql coord:one 'CREATE EXTENSION shoal' && overhead_table coord:one &&
		sql coord:one "SELECT shoal.create_distributed_table('notes', 'id', shard_count => 32)" >/dev/null &&
		overhead_table plain:parts 'PARTITION BY HASH (id)' && partitions plain:parts notes 32
}

# overhead_compare MODE SIDE OTHER SCRIPT
overhead_compare()
{
	overhead_fill "$2" && overhead_fill "$3" && same "$2" "$3" "$(rows_of notes)" || return 1
	local seconds=$(((seconds + 2) / 3))
	compare "tps $1 $2 overhead_$4" "tps $1 $3 overhead_$4" $overhead_rounds
}

# overhead_local MODE SIDE SCRIPT
overhead_local() { once overhead_local_tables && overhead_compare "$1" "$2" plain "$3"; }

# overhead_one_node MODE SCRIPT
overhead_one_node() { once overhead_one_node_tables && overhead_compare "$1" coord:one plain:parts "$2"; }
