# Programs that know nothing of Shoal: pgbench's TPC-B and sysbench's
# oltp_read_write, through the coordinator and on the plain server.

figure tpcb '>=0.50' tpcb simple
figure tpcb_prepared '>=0.50' tpcb prepared
figure tpcb_limit - tpcb_limit
figure sysbench '>=0.35' sysbench_run
figure sysbench_limit - sysbench_limit

# Plans of nodes are custom ones five times for each statement of each session:
# it takes seconds until that is over.
programs_seconds=$((seconds * 2))

#
# The limits: both nodes' servers at once, without Shoal, do what a transaction
# needs of them: each has half of the rows in as many partitions as it has
# shards of a table, statements that no shard can be told from go to both, each
# of the others to one.  There is no coordinator, and both nodes commit by
# themselves.
#

# half_database NAME
half_database() { sql node1 "CREATE DATABASE $1" && sql node2 "CREATE DATABASE $1"; }

# half_table DATABASE TABLE COLUMNS HASHED ROWS: ROWS is a query on plain with
# HALF where it says which rows
half_table()
{
	local node
	for node in 1 2; do
		sql "node$node:$1" "CREATE TABLE $2 ($3) PARTITION BY HASH ($4)" &&
			partitions "node$node:$1" "$2" 16 &&
			sql plain "COPY (${5//HALF/% 2 = $((node - 1))}) TO STDOUT" |
			sql "node$node:$1" "COPY $2 FROM STDIN" && sql "node$node:$1" "VACUUM ANALYZE $2" || return 1
	done
}

# half_rates COMMAND...: runs it for node1 and node2 at the same time, prints
# the mean of what it printed
half_rates()
{
	local a pid
	"$@" node1 >"$work/rate1" &
	pid=$!
	a=$("$@" node2) && wait $pid && awk -v a="$a" '{ print (a + $1) / 2 }' "$work/rate1"
}

#
# TPC-B.  The tables are distributed by bid, which their keys get as a second
# column; the script finds accounts and tellers by the first.
#

tpcb_scale=10

tpcb_tables()
{
	local table
	run_pgbench plain -i -I dtgp -s $tpcb_scale && run_pgbench coord -i -I dtg -s $tpcb_scale || return 1
	for table in branches tellers accounts history; do
		sql coord "SELECT shoal.create_distributed_table('pgbench_$table', 'bid')" >/dev/null || return 1
	done
	sql coord 'ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid);
		ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid, bid);
		ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid, bid)' &&
		both 'VACUUM ANALYZE pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history'
}

# tpcb_balance SIDE: what was added to accounts, tellers, branches is the same
tpcb_balance()
{
	[ "$(sql "$1" 'SELECT count(*) FROM (SELECT sum(abalance) FROM pgbench_accounts
		UNION SELECT sum(tbalance) FROM pgbench_tellers
		UNION SELECT sum(bbalance) FROM pgbench_branches
		UNION SELECT coalesce(sum(delta), 0) FROM pgbench_history) s')" = 1 ] && return
	echo "balances differ on $1" >&2
	return 1
}

tpcb_check()
{
	local table
	for table in branches tellers accounts; do
		compare_tables pgbench_$table || return 1
	done
}

tpcb_start()
{
	tpcb_tables && tpcb_check
}

tpcb_tps() { run_pgbench "$2" -M "$1" -b tpcb-like -c "$clients" -j 2 -T "$programs_seconds" && bench_tps; }

# tpcb MODE
tpcb()
{
	once tpcb_start && compare "tpcb_tps $1 coord" "tpcb_tps $1 plain" 3 &&
		tpcb_balance coord && tpcb_balance plain
}

tpcb_half()
{
	once tpcb_start && half_database tpcb &&
		half_table tpcb pgbench_branches 'bid int PRIMARY KEY, bbalance int, filler char(88)' bid \
			'SELECT * FROM pgbench_branches WHERE bid HALF' &&
		half_table tpcb pgbench_tellers 'tid int, bid int, tbalance int, filler char(84), PRIMARY KEY (tid, bid)' bid \
			'SELECT * FROM pgbench_tellers WHERE bid HALF' &&
		half_table tpcb pgbench_accounts 'aid int, bid int, abalance int, filler char(84), PRIMARY KEY (aid, bid)' bid \
			'SELECT * FROM pgbench_accounts WHERE bid HALF' &&
		half_table tpcb pgbench_history 'tid int, bid int, aid int, delta int, mtime timestamp, filler char(22)' bid \
			'SELECT * FROM pgbench_history WHERE bid HALF' &&
		"$BINDIR/pgbench" --show-script=tpcb-like 2>&1 | grep -v '^--' >"$work/tpcb_both" &&
		grep -v 'UPDATE pgbench_branches\|INSERT' "$work/tpcb_both" >"$work/tpcb_other"
}

# tpcb_half_tps NODE
tpcb_half_tps()
{
	at "$1:tpcb" "$BINDIR/pgbench" -n -M prepared -D scale=$tpcb_scale -f "$work/tpcb_both" -f "$work/tpcb_other" \
		-c "$clients" -j 1 -T "$programs_seconds" 2>/dev/null | awk '/^tps = / && !n++ { print $3 }'
}

tpcb_limit() { once tpcb_half && compare 'half_rates tpcb_half_tps' 'tpcb_tps prepared plain' 3; }

#
# sysbench.  Keys are chosen evenly from many rows, as deadlocks over several
# nodes end only by a timeout.
#

sysbench_tables=4
sysbench_rows=50000

# sysbench_at SIDE COMMAND [OPTION]...
sysbench_at()
{
	local side=$1
	shift
	at "$side" sysbench_command "$@" >"$work/sysbench" 2>&1 && return
	tail -n 5 "$work/sysbench" >&2
	return 1
}

sysbench_command()
{
	timeout 300 sysbench oltp_read_write --db-driver=pgsql --rand-type=uniform \
		--pgsql-host="$PGHOST" --pgsql-port="$PGPORT" --pgsql-user="$PGUSER" --pgsql-db="$PGDATABASE" \
		--tables=$sysbench_tables --table-size=$sysbench_rows --threads="$clients" \
		"${@:2}" "$1"
}

sysbench_start()
{
	local i
	sysbench_at plain prepare && sysbench_at coord prepare --table-size=0 || return 1
	for ((i = 1; i <= sysbench_tables; i++)); do
		sql coord "SELECT shoal.create_distributed_table('sbtest$i', 'id')" >/dev/null &&
			sql plain "COPY sbtest$i TO STDOUT" | sql coord "COPY sbtest$i FROM STDIN" &&
			both "VACUUM ANALYZE sbtest$i" && compare_tables sbtest$i || return 1
	done
}

sysbench_tps()
{
	sysbench_at "$1" run --time="$programs_seconds" &&
		awk '/^ *transactions:/ { sub(/\(/, "", $3); print $3 }' "$work/sysbench"
}

sysbench_run() { once sysbench_start && compare "sysbench_tps coord" "sysbench_tps plain" 3; }

sysbench_half()
{
	local i
	once sysbench_start && half_database sysbench || return 1
	for ((i = 1; i <= sysbench_tables; i++)); do
		half_table sysbench "sbtest$i" 'id int PRIMARY KEY, k int, c char(120), pad char(60)' id \
			"SELECT * FROM sbtest$i WHERE id HALF" &&
			sql node1:sysbench "CREATE INDEX ON sbtest$i (k)" && sql node2:sysbench "CREATE INDEX ON sbtest$i (k)" || return 1
	done
}

# sysbench_half_tps NODE: half of the selects and of the four writes
sysbench_half_tps()
{
	at "$1:sysbench" sysbench_command run --time="$programs_seconds" --point-selects=5 --delete-inserts=0 2>/dev/null |
		awk '/^ *transactions:/ { sub(/\(/, "", $3); print $3 }'
}

sysbench_limit() { once sysbench_half && compare 'half_rates sysbench_half_tps' 'sysbench_tps plain' 3; }
