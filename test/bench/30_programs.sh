# Programs that know nothing of Shoal: pgbench's TPC-B and sysbench's
# oltp_read_write, through the coordinator and on the plain server.

figure tpcb '>=0.50' tpcb simple
figure tpcb_prepared '>=0.50' tpcb prepared
figure sysbench '>=0.35' sysbench_run

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

tpcb_tps() { run_pgbench "$2" -M "$1" -b tpcb-like -c "$clients" -j 2 -T "$seconds" && bench_tps; }

# tpcb MODE
tpcb()
{
	once tpcb_start && compare "tpcb_tps $1 coord" "tpcb_tps $1 plain" &&
		tpcb_balance coord && tpcb_balance plain
}

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
	command -v sysbench >/dev/null || "$SHOAL_TOP/test/install-packages" sysbench || return 1
	sysbench_at plain prepare && sysbench_at coord prepare --table-size=0 || return 1
	for ((i = 1; i <= sysbench_tables; i++)); do
		sql coord "SELECT shoal.create_distributed_table('sbtest$i', 'id')" >/dev/null &&
			sql plain "COPY sbtest$i TO STDOUT" | sql coord "COPY sbtest$i FROM STDIN" &&
			both "VACUUM ANALYZE sbtest$i" && compare_tables sbtest$i || return 1
	done
}

sysbench_tps()
{
	sysbench_at "$1" run --time="$seconds" &&
		awk '/^ *transactions:/ { sub(/\(/, "", $3); print $3 }' "$work/sysbench"
}

sysbench_run() { once sysbench_start && compare "sysbench_tps coord" "sysbench_tps plain"; }
