# create_distributed_table: of empty tables against CREATE TABLE with as many
# partitions on the plain server, of a filled one against COPY of the same rows
# into a distributed one.

figure distribute_empty '<=3.00' distribute_empty
figure distribute_rows '>=0.60' distribute_rows

# tables per round
distribute_tables=10

distribute_columns='(id bigint PRIMARY KEY, value int, filler text)'

distribute_scripts()
{
	local i text='\set n :n + 1'
	script distribute.coord "$text
SELECT shoal.create_distributed_table('empty:n', 'id', shard_count => 32);"
	text+=$'\n'"CREATE TABLE empty:n $distribute_columns PARTITION BY HASH (id)"
	for ((i = 0; i < 32; i++)); do
		text+=" \\;"$'\n'"CREATE TABLE empty_${i}_:n PARTITION OF empty:n FOR VALUES WITH (MODULUS 32, REMAINDER $i)"
	done
	script distribute.plain "$text;"
}

# distribute_loop SIDE KIND [TAIL]: CREATE or DROP TABLE for each of them
distribute_loop()
{
	local i
	for ((i = 1; i <= distribute_tables; i++)); do
		echo "$2 TABLE empty$i $3;"
	done | sql "$1"
}

# distribute_time SIDE: milliseconds for one table
distribute_time()
{
	[ "$1" = plain ] || distribute_loop "$1" CREATE "$distribute_columns" || return 1
	run_pgbench "$1" -D n=0 -c 1 -t $distribute_tables -f "$work/distribute.$1" &&
		bench_tps | awk '{ print 1000 / $1 }' && distribute_loop "$1" DROP
}

distribute_empty() { distribute_scripts && compare 'distribute_time coord' 'distribute_time plain'; }

distribute_file() { once large_files && head -n $((rows / 5)) "$work/rows" >"$work/rows_to_distribute"; }

# filled_make HOW: makes a distributed table with rows, which are in it "before"
# it is distributed, or are copied "after" that; prints the seconds of that step
filled_make()
{
	local distribute="SELECT shoal.create_distributed_table('filled', 'customer')"
	sql coord "${large_table/ big/ filled}" || return 1
	if [ "$1" = before ]; then
		large_load coord filled rows_to_distribute && timed sql coord "$distribute"
	else
		sql coord "$distribute" >/dev/null && timed large_load coord filled rows_to_distribute
	fi
}

filled_time() { filled_make "$1" && sql coord 'DROP TABLE filled'; }

filled_check()
{
	filled_make before >/dev/null && sql plain "${large_table/ big/ filled}" &&
		large_load plain filled rows_to_distribute && compare_tables filled && both 'DROP TABLE filled'
}

distribute_rows()
{
	once distribute_file && filled_check && compare 'filled_time after' 'filled_time before' 3
}
