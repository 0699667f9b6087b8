# Replicas that are stale and damaged in all kinds of ways are repaired, while
# clients write through all coordinators, whom that costs nothing but retries.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use ShoalTest;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{SEED} // int(rand(1e9));
my $rounds = $ENV{ROUNDS} // 2;
srand($seed);
note("SEED=$seed");

my $cluster = ShoalTest->new(nodes => 2, conf => [ 'shoal.auto_repair=off' ]);
my @tables = qw(t c one kl big);

$cluster->sql(0, q{
CREATE TABLE t (k int PRIMARY KEY, n int, v text, g text GENERATED ALWAYS AS (n || ' ' || left(v, 10)) STORED);
ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
SELECT shoal.create_distributed_table('t', 'k', 'none', 4, replicas => 1);
CREATE TABLE c (k int, at timestamptz, n numeric, PRIMARY KEY (at, k), UNIQUE (k, n));
CREATE TABLE big (k int, v text, PRIMARY KEY (k));
CREATE TABLE kl (k int, v text);
SELECT shoal.create_distributed_table(x, 'k', 't') FROM unnest('{c,big,kl}'::text[]) x;
CREATE TABLE one (k int PRIMARY KEY, u int UNIQUE, v text);
SELECT shoal.create_distributed_table('one', NULL, 'none', replicas => 2);
INSERT INTO t SELECT i, i, repeat(i::text, CASE WHEN i % 10 = 0 THEN 1000 ELSE 1 END) FROM generate_series(1, 1000) i;
INSERT INTO c SELECT i, '2024-01-01'::timestamptz + i * interval '1 h', i / 7.0 FROM generate_series(1, 1000) i;
INSERT INTO one SELECT i, i, 'one' FROM generate_series(1, 500) i;
INSERT INTO kl SELECT i % 100, 'kl' FROM generate_series(1, 500) i;
INSERT INTO big SELECT i, repeat('big', 30) FROM generate_series(1, 20000) i;
});

# A command on the nodes of all replicas of a table, where @@ is the partition;
# the mirror's trigger would refuse it.
sub damage
{
	my ($table, $command) = @_;
	for my $line (split /\n/, $cluster->sql(0, "SELECT shard, node_id, partition_name, shard_count FROM shoal.shards
		JOIN shoal.tables USING (table_name) WHERE table_name = '$table'::regclass AND role = 'replica'"))
	{
		my ($shard, $node, $partition, $count) = split /\|/, $line;
		my $here = $table eq 'one' ? 'true' : "satisfies_hash_partition('$table'::regclass, $count, $shard, i)";
		my $sql = $command =~ s/\@\@/$partition/gr =~ s/\bHERE\b/$here/gr;
		my $trigger = $cluster->sql(0, "SELECT result FROM shoal.run_on_nodes(\$\$SELECT tgname FROM pg_trigger
			WHERE tgrelid = '$partition'::regclass AND tgname LIKE '!shoal_mirror%'\$\$, '{$node}')");
		$cluster->sql(0, join ";\n", 'BEGIN', (map { "SELECT shoal.run_on_nodes(\$\$$_\$\$, '{$node}')" }
			"ALTER TABLE $partition DISABLE TRIGGER \"$trigger\"", $sql,
			"ALTER TABLE $partition ENABLE ALWAYS TRIGGER \"$trigger\""), 'COMMIT');
	}
}

sub set_state
{
	my ($state) = @_;
	$cluster->sql(0, "SELECT count(*) FROM shoal.run_on_nodes(\$\$UPDATE shoal.placement SET state = '$state' WHERE role = 'replica'\$\$)");
}

sub verify
{
	my ($name) = @_;
	my $node = int(rand(3));
	is($cluster->sql($node, "SELECT * FROM shoal.verify_table('$_', 5)"), '', "$name: the copies of $_ are equal") for @tables;
}

my @damages = (
	[ 'DELETE FROM @@ WHERE random() < 0.1', @tables ],
	[ 'DELETE FROM @@ WHERE random() < 0.9', @tables ],
	[ 'DELETE FROM @@', qw(t c one kl) ],
	[ 'UPDATE @@ SET n = n + 1 WHERE random() < 0.1', qw(t c) ],
	[ "UPDATE \@\@ SET v = repeat('y', 5000) WHERE random() < 0.1", qw(t one kl) ],
	[ "UPDATE \@\@ SET v = v || 'x' WHERE random() < 0.6", qw(big) ],
	[ "INSERT INTO \@\@ SELECT i, 'extra' FROM generate_series(1, 100) i WHERE HERE", qw(kl) ],
	[ "INSERT INTO \@\@ SELECT i, 1, repeat('extra', 2000) FROM generate_series(1, 2000) i WHERE HERE ON CONFLICT DO NOTHING", qw(t) ],
	[ "INSERT INTO \@\@ SELECT i, now() - i * interval '1 s', i FROM generate_series(1, 1000) i WHERE HERE ON CONFLICT DO NOTHING", qw(c) ],
	[ "INSERT INTO \@\@ SELECT i, i % 200, 'extra' FROM generate_series(-1000, 2000) i ON CONFLICT DO NOTHING", qw(one) ],
	[ 'UPDATE @@ SET k = k + 3000 WHERE random() < 0.1', qw(one) ],
	[ 'UPDATE @@ SET u = NULL WHERE random() < 0.5', qw(one) ]);

sub damage_some
{
	for (1 .. 8)
	{
		my ($command, @which) = @{ $damages[ rand @damages ] };
		damage($which[ rand @which ], $command);
	}
}

# ---- in peace ----

set_state('stale');
damage('big', 'UPDATE @@ SET v = v || 1 WHERE k % 2000 = 0');
damage('big', 'DELETE FROM @@ WHERE k % 2000 = 1');

# the rows of all partitions of a table that have been written, by now
sub changes
{
	my ($table) = @_;
	# a server waits up to ten seconds before it counts what an idle session did
	sleep 12;
	my $sum = 0;
	$sum += $cluster->sql($_, "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_all_tables
		WHERE relname = '$table' AND schemaname LIKE 'shoal_%'") for 0 .. 2;
	return $sum;
}
my $before = changes('big');
is($cluster->sql(1, 'SELECT shoal.repair_placements()'), '6', 'six replicas are repaired');
verify('few changes');
my $after = changes("big");
is($after - $before, 20, "as many rows are written as differ") or diag("$before, $after");

for (1 .. $rounds)
{
	set_state('stale');
	damage_some();
	$cluster->sql(int(rand(3)), 'SELECT shoal.repair_placements()');
	verify("damage $_");
}

# ---- with writers ----

my %scripts = (
	insert => q{\set k random(1, 1000)
\set n random(1, 1000)
INSERT INTO t VALUES (:k, :n, repeat(:n::text, :n)) ON CONFLICT (k) DO UPDATE SET n = excluded.n, v = excluded.v;
},
	update => q{\set k random(1, 1000)
UPDATE t SET n = n + 1 WHERE k = :k;
UPDATE c SET n = n + 0.5 WHERE k = :k;
},
	delete => q{\set k random(1, 1000)
\set l random(1, 1000)
BEGIN;
DELETE FROM t WHERE k = :k;
INSERT INTO t VALUES (:k, 0, 'again') ON CONFLICT DO NOTHING;
UPDATE t SET v = 'updated' WHERE k BETWEEN :l AND :l + 3;
DELETE FROM t WHERE k = :l;
END;
},
	key => q{\set k random(1, 500)
BEGIN;
DELETE FROM one WHERE k = -:k;
UPDATE one SET k = -:k WHERE k = :k;
END;
},
	unique => q{\set k random(1, 500)
\set u random(1, 500)
BEGIN;
DELETE FROM one WHERE u = :u;
INSERT INTO one VALUES (:k, :u, 'new') ON CONFLICT DO NOTHING;
END;
},
	keyless => q{\set k random(1, 100)
INSERT INTO kl VALUES (:k, 'written');
DELETE FROM kl WHERE k = :k - 50;
});

# Runs one on a node for some time; the processes' ids and log files.
my @writers;
sub start_writer
{
	my ($node, $name, $clients, $seconds) = @_;
	# a file of its own: others may be reading theirs
	my $file = "$cluster->{dir}/script.$name.$node";
	my $log = "$cluster->{dir}/writer.$name.$node.log";
	open(my $out, '>', $file) or die;
	print $out $scripts{$name};
	close $out;
	my $pid = fork;
	if (!$pid)
	{
		open(STDOUT, '>', $log) or die;
		open(STDERR, '>&', \*STDOUT) or die;
		exec "$cluster->{bindir}/pgbench", '-n', '-h', '127.0.0.1', '-p', $cluster->port($node), '-U', 'postgres',
			'-c', $clients, '-T', $seconds, '--max-tries=0', '-f', $file, 'shoal';
		die;
	}
	push @writers, [ $pid, $log ];
}

my $seconds = $rounds * 8;
start_writer($_, 'insert', 1, $seconds) for 0 .. 2;
start_writer($_, 'update', 1, $seconds) for 0 .. 2;
start_writer($_, 'delete', 1, $seconds) for 0 .. 2;
start_writer($_, 'unique', 1, $seconds) for 0, 1;
start_writer($_, 'keyless', 1, $seconds) for 1, 2;
start_writer(2, 'key', 1, $seconds);
my $until = time + $seconds - 2;
my $n = 0;
while (time < $until)
{
	$n++;
	set_state('stale');
	damage_some();
	my ($ok, undef, $error) = $cluster->try(int(rand(3)), 'SELECT shoal.repair_placements()');
	# deadlocks with writers are possible, and repaired later
	ok($ok || $error =~ /deadlock detected|could not serialize/, "repaired with writers $n") or diag($error);
	$cluster->sql(0, 'SELECT shoal.repair_placements()') if !$ok;
	verify("with writers $n");
}
for (@writers)
{
	my ($pid, $log) = @$_;
	waitpid $pid, 0;
	my $status = $?;
	my $text = do { local $/; open(my $in, '<', $log) or die; <$in> };
	my ($done) = $text =~ /transactions actually processed: (\d+)/;
	ok($status == 0 && ($done // 0) > 10, "$log: " . ($done // 0) . ' transactions, no error') or diag($text);
}
verify('at last');
$cluster->no_leaks('at the end');

done_testing();
