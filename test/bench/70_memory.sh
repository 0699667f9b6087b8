# Memory of sessions, on the coordinator and on both nodes together: the most
# that was seen in relation to what they had soon after their start.  That of
# shared buffers does not count.

figure memory_router '<=1.10' memory_router prepared
figure memory_router_simple '<=1.10' memory_router simple
figure memory_cursor '<=1.10' memory_rows '\set FETCH_COUNT 1000' 'SELECT * FROM big;'
figure memory_copy '<=1.10' memory_rows '' 'COPY (SELECT * FROM big) TO STDOUT;'

# memory_of PID...: kB
memory_of() { cat "${@/#//proc/}" 2>/dev/null | awk '/^RssAnon:/ { kb += $2 } END { print kb + 0 }'; }

# sessions: /proc names of all client sessions of the cluster
sessions()
{
	local side
	for side in coord node1 node2; do
		sql $side "SELECT pid || '/status' FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()" || return 1
	done
}

# memory_during SECONDS COMMAND...: runs it; sets first and most, the sessions'
# memory after SECONDS and the most since then, in kB
memory_during()
{
	local client pids kb wait=$1
	shift
	"$@" >"$work/memory.out" &
	client=$!
	sleep "$wait"
	pids=$(sessions)
	first=$(memory_of $pids)
	most=$first
	while kill -0 $client 2>/dev/null; do
		kb=$(memory_of $pids)
		((kb <= most)) || most=$kb
		sleep 0.1
	done
	wait $client
}

# memory_report [FACTOR]: the figure, with what memory grew by taken so often
memory_report()
{
	local ratio
	echo "# $name: $first kB, later at most $most kB"
	ratio=$(ratio $((first + (most - first) * ${1:-1})) "$first") && report "$ratio"
}

# memory_router MODE: what memory grows by in the last two thirds of the time,
# for a million queries
memory_router()
{
	local time=$((seconds * 8)) n
	router_check &&
		memory_during $((time / 3)) run_script "$1" 1 $time coord router_select.shoal || return 1
	n=$(($(bench_count) * 2 / 3))
	echo "# $name: $n queries"
	memory_report $((1000000 / n + 1))
}

# memory_rows PSQL-COMMAND STATEMENT
memory_rows()
{
	once large_filled || return 1
	script "$name" "$1"$'\n'"$2"
	memory_during 0.5 at coord "$BINDIR/psql" -X -q -A -t -o /dev/null -f "$work/$name" && memory_report
}
