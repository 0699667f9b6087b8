# pg_upgrade moves each node's database to a new server: nothing that Shoal needs may be
# left behind.  pg_dump leaves out the triggers that repeat writes on replicas; before they are
# there again nothing is written.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalFaults;
use ShoalTest;

my $cluster = ShoalTest->new(nodes => 2);
$cluster->sql(0, q{
	CREATE TABLE r (id int PRIMARY KEY, name text);
	CREATE TABLE p (k int PRIMARY KEY, v text NOT NULL DEFAULT 'new', n serial, big text);
	CREATE TABLE c (k int, i int, r int REFERENCES r, PRIMARY KEY (k, i));
	CREATE TABLE apart (at date, k int, v int, PRIMARY KEY (k, at)) PARTITION BY RANGE (at);
	CREATE TABLE apart_1 PARTITION OF apart FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
	CREATE VIEW both_of AS SELECT p.k, p.v, count(c.i) FROM p LEFT JOIN c USING (k) GROUP BY p.k;
	SELECT shoal.create_reference_table('r');
	SELECT shoal.create_distributed_table('p', 'k', shard_count => 6);
	SELECT shoal.create_distributed_table('c', 'k', colocate_with => 'p');
	ALTER TABLE c ADD FOREIGN KEY (k) REFERENCES p ON DELETE CASCADE;
	SELECT shoal.create_distributed_table('apart', 'k', shard_count => 3, colocate_with => 'none');
	SELECT shoal.set_replicas('p', 1), shoal.set_replicas('apart', 1);
	CREATE INDEX ON p (v);
	ALTER TABLE p DROP COLUMN big, ADD COLUMN more int DEFAULT 7;
	INSERT INTO r SELECT i, 'name ' || i FROM generate_series(1, 5) i;
	INSERT INTO p (k) SELECT i FROM generate_series(1, 200) i;
	INSERT INTO c SELECT i, j, j FROM generate_series(1, 200) i, generate_series(1, 3) j;
	INSERT INTO apart SELECT '2026-06-01'::date + i, i, i FROM generate_series(1, 100) i;
	CREATE TABLE plain (a int);
});
my $question = q{SELECT string_agg(x::text, '|' ORDER BY x::text) FROM (
	SELECT count(*), sum(count), min(v), max(v) FROM both_of UNION ALL
	SELECT count(*), sum(c.i), min(r.name), max(r.name) FROM c JOIN r ON r.id = c.r UNION ALL
	SELECT count(*), sum(v), min(at)::text, max(at)::text FROM apart) x};
my $before = $cluster->sql(0, $question);

$cluster->stop;
for my $node (0 .. 2)
{
	eval { $cluster->upgrade($node); 1 } or BAIL_OUT("pg_upgrade of server $node: $@");
}
pass('pg_upgrade');

$cluster->start;
whole_again($cluster, 'upgraded');
is($cluster->sql($_, $question), $before, "server $_: the same rows") for 0 .. 2;

# all kinds of writes, by way of all nodes
for my $node (0 .. 2)
{
	my $from = 1000 * ($node + 1);
	my ($ok, undef, $error) = $cluster->try($node, qq{
		INSERT INTO p (k) SELECT $from + i FROM generate_series(1, 20) i;
		INSERT INTO c SELECT $from + i, 1, 1 FROM generate_series(1, 20) i;
		UPDATE p SET v = 'written by $node' WHERE k % 3 = $node;
		DELETE FROM p WHERE k = $node + 1;
		INSERT INTO r VALUES (10 + $node, 'server $node');
		UPDATE apart SET v = v + 1, at = at + 1;
		INSERT INTO p (k, n) VALUES ($from, $from) ON CONFLICT (k) DO UPDATE SET n = 0;
		CREATE INDEX ON c (i);
		ALTER TABLE p ADD COLUMN column_$node int;
		INSERT INTO plain VALUES ($node);
	});
	ok($ok, "server $node: writes and schema changes") or diag($error);
}
is($cluster->sql(0, "SELECT count(*), count(DISTINCT n) FROM p WHERE n > 0 AND k < 5000"), '260|260', 'sequences go on');
whole_again($cluster, 'written');

# and what replicas are for
$cluster->kill(1);
ok($cluster->wait_for(0, "SELECT state = 'down' FROM shoal.node WHERE node_id = 2"), 'a lost node is given up');
is($cluster->sql(0, "SELECT count(*), count(column_0) FROM p"), '260|0', 'its rows are there');
ok(($cluster->try(0, "UPDATE p SET column_1 = 1"))[0], 'and can be written to');
$cluster->start(1);
whole_again($cluster, 'taken back');

# As long as a trigger can't be made nobody writes.
$cluster->sql(2, "SET allow_system_table_mods = on; DELETE FROM pg_trigger WHERE tgfoid = 'shoal.mirror_change'::regproc");
my $shard = $cluster->sql(2, "SELECT partition_name FROM shoal.shards WHERE table_name = 'p'::regclass AND role = 'primary' AND node_id = 3 ORDER BY shard LIMIT 1");
my ($key) = split /\n/, $cluster->sql(0, "SELECT k FROM p WHERE shoal.shard_of('p', k) = (SELECT min(shard) FROM shoal.shards WHERE table_name = 'p'::regclass AND role = 'primary' AND node_id = 3)");
# who has locked the shard lives on
$cluster->sql(2, "BEGIN; LOCK TABLE $shard IN ROW EXCLUSIVE MODE; PREPARE TRANSACTION 'held'");
$cluster->stop(2);
$cluster->start(2);
ok($cluster->wait_for(2, 'SELECT count(*) > 0 FROM pg_locks WHERE NOT granted'), 'they can not be made');
like($cluster->error(0, "UPDATE p SET column_2 = 2 WHERE k = $key"), qr/57P03: +node 3 cannot repeat writes/, 'no write without its trigger');
$cluster->sql(2, "COMMIT PREPARED 'held'");
ok($cluster->wait_for(0, "UPDATE p SET column_2 = 2 WHERE k = $key RETURNING true"), 'they are made');
whole_again($cluster, 'in the end');
$cluster->no_leaks('in the end');
done_testing();
