# Statements that use several connections to a node: one snapshot for all of
# them, deadlocks between their sessions are found, all or nothing when a
# session is lost.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;

my $shared = "SET min_parallel_table_scan_size = 0; SET shoal.processors = 100; SET shoal.max_statement_connections = 4";

my $cluster = ShoalTest->new(nodes => 1, conf => ['deadlock_timeout=200ms', 'fsync=off']);
$cluster->sql(0, "CREATE TABLE t (a int PRIMARY KEY, c int DEFAULT 0)");
$cluster->sql(0, "SELECT shoal.create_distributed_table('t', 'a', shard_count => 16)");
$cluster->sql(0, "INSERT INTO t SELECT i FROM generate_series(1, 400) i");
$cluster->sql(0, "CREATE FUNCTION is_row(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN true; END'");

# rows of one node in two shards that follow each other, so in two parts
my ($one, $other) = split /\|/, $cluster->sql(0, <<'END');
WITH s AS (SELECT a, shoal.shard_of('t', a) AS shard FROM generate_series(1, 400) a),
	mine AS (SELECT shard, row_number() OVER (ORDER BY shard) AS n
		FROM shoal.shards WHERE table_name = 't'::regclass AND node_id <> (SELECT min(node_id) FROM shoal.nodes))
SELECT min(a) FILTER (WHERE n = 1), min(a) FILTER (WHERE n = 2) FROM s JOIN mine USING (shard)
END

# ---- what transactions of the node alone do is seen whole ----

{
	my $writer = $cluster->session(0);
	my $reader = $cluster->session(0);
	$reader->query($shared);
	$writer->send(join ';', ("UPDATE t SET c = c + CASE a WHEN $one THEN 1 ELSE -1 END WHERE a IN ($one, $other)") x 3000);
	my ($wrong, $reads) = (0, 0);
	while (!defined $writer->wait(0))
	{
		$wrong++ if $reader->query("SELECT sum(c) FROM t WHERE is_row(a)") ne '0';
		$reads++;
	}
	is($wrong, 0, "one snapshot ($reads reads)");
	cmp_ok($reads, '>', 3, 'reads while rows change');
	like($reader->query("BEGIN; SELECT count(*) FROM t WHERE is_row(a);"
			. " SELECT max(n) FROM (SELECT count(*) AS n FROM shoal.connections GROUP BY node_id) c; COMMIT"),
		qr/^400\n4$/, 'several connections');
}

# ---- a deadlock that no session of the node is part of alone ----

{
	my $all = $cluster->session(0);
	my $few = $cluster->session(0);
	$all->query($shared);
	$few->query("BEGIN; UPDATE t SET c = 0 WHERE a = $one");
	$all->send("UPDATE t SET c = 1");
	is($all->wait(1), undef, 'one part waits for a row');
	$few->send("UPDATE t SET c = 0 WHERE a = $other");
	my $start = time;
	like($all->wait(20) // '', qr/deadlock detected/, 'deadlock is found');
	cmp_ok(time - $start, '<', 3, 'in time');
	is($few->wait(5), '', 'the other one goes on');
	is($few->query('COMMIT'), '', 'and commits');
	is($cluster->sql(0, "SELECT sum(c) FROM t"), 0, 'nothing else has been changed');
}

# ---- two of them at once: one after the other, or a deadlock ----

{
	my @s = map { $cluster->session(0) } 1 .. 2;
	my @done = (0, 0);
	$_->query($shared) for @s;
	$cluster->sql(0, "UPDATE t SET c = 0");
	for (1 .. 10)
	{
		$_->send("UPDATE t SET c = c + 1") for @s;
		for (0, 1)
		{
			my $out = $s[$_]->wait(30);
			die "hangs" if !defined $out;
			$done[$_]++ if $out eq '';
			like($out, qr/^$|deadlock detected/, 'done, or a deadlock') if $out ne '';
		}
	}
	my $sum = $done[0] + $done[1];
	is($cluster->sql(0, "SELECT min(c), max(c) FROM t"), "$sum|$sum", "$sum were done, as a whole");
}

# ---- a lost session ----

{
	my $s = $cluster->session(0);
	$s->query($shared);
	my $before = $cluster->sql(0, "SELECT c FROM t LIMIT 1");
	my $lock = $cluster->session(0);
	$lock->query("BEGIN; UPDATE t SET c = c WHERE a = $one");
	$s->send("UPDATE t SET c = -1");
	is($s->wait(0.5), undef, 'one part waits');
	# one of those that have done their part
	$cluster->sql(1, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
		. " WHERE state = 'idle in transaction' AND query LIKE '%UPDATE%' AND query NOT LIKE '%WHERE%' LIMIT 1");
	$lock->query('ROLLBACK');
	like($s->wait(20) // '', qr/ERROR/, 'a session of it is lost');
	is($cluster->sql(0, "SELECT min(c), max(c) FROM t"), "$before|$before", 'nothing is done');
	is($s->query("UPDATE t SET c = 7"), '', 'the next one works');
	is($cluster->sql(0, "SELECT min(c), max(c) FROM t"), '7|7', 'on all rows');
}

# ---- no room for more ----

{
	$cluster->sql(0, "ALTER SYSTEM SET shoal.max_node_connections = 3");
	$cluster->sql(0, "SELECT pg_reload_conf()");
	my $s = $cluster->session(0);
	$s->query($shared);
	my $out = $s->query("BEGIN; SELECT count(*) FROM t WHERE is_row(a);"
		. " SELECT max(n) FROM (SELECT count(*) AS n FROM shoal.connections GROUP BY node_id) c; COMMIT");
	like($out, qr/^400\n[123]$/, 'with fewer connections than it could use');
	is($s->query("UPDATE t SET c = 8"), '', 'writes, too');
	is($cluster->sql(0, "SELECT min(c), max(c) FROM t"), '8|8', 'and yet all rows');
}

$cluster->no_leaks('at the end');
done_testing();
