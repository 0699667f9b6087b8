# Connections to nodes: more sessions than a node takes wait for each other,
# unused connections are closed, lost ones are replaced unnoticed, a node that
# does not answer ends in an error.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;

my $cluster = ShoalTest->new(nodes => 2, conf => ['fsync=off', 'max_connections=150', 'max_prepared_transactions=100']);
for my $node (1, 2)
{
	$cluster->sql($node, 'ALTER SYSTEM SET max_connections = 20');
	$cluster->stop($node);
	$cluster->start($node);
}
# what nodes take is asked for when the first connection is made
$cluster->stop(0);
$cluster->start(0);
$cluster->sql(0, "CREATE TABLE t (a int PRIMARY KEY, c int DEFAULT 0)");
$cluster->sql(0, "SELECT shoal.create_distributed_table('t', 'a', shard_count => 12)");
$cluster->sql(0, "INSERT INTO t SELECT i FROM generate_series(1, 1000) i");

sub sessions
{
	return $cluster->sql($_[0], "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shoal'");
}

# more sessions than slots; transactions over two nodes, and queries of all
my $script = "$cluster->{dir}/script.sql";
open(my $file, '>', $script) or die;
print $file '\set a random(1, 500)
\set b random(501, 1000)
BEGIN;
UPDATE t SET c = c + 1 WHERE a = :a;
UPDATE t SET c = c + 1 WHERE a = :b;
COMMIT;
SELECT sum(c) FROM t;
';
close $file;
for my $limit (-1, 8)
{
	$cluster->sql(0, "ALTER SYSTEM SET shoal.max_node_connections = $limit");
	$cluster->sql(0, 'SELECT pg_reload_conf()');
	$cluster->sql(0, 'UPDATE t SET c = 0');
	my $out = `$cluster->{bindir}/pgbench -n -h 127.0.0.1 -p @{[ $cluster->port(0) ]} -U postgres -f $script -c 80 -j 2 -t 6 shoal 2>&1`;
	like($out, qr{actually processed: 480/480}, "limit $limit: 80 sessions and 20 slots: nobody fails");
	unlike($out, qr/ERROR/, "limit $limit: no errors");
	is($cluster->sql(0, 'SELECT sum(c) FROM t'), '960', "limit $limit: all has been done");
}
$cluster->sql(0, 'ALTER SYSTEM RESET shoal.max_node_connections');
$cluster->sql(0, 'SELECT pg_reload_conf()');

# unused connections
my $s = $cluster->session(0);
$s->query("SET shoal.idle_timeout = '1s'");
is($s->query('SELECT count(*) FROM t'), '1000', 'a query');
is(sessions(1), '1', 'its connection stays');
ok($cluster->wait_for(1, "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'shoal'"), 'until it was unused for long');
is($s->query('SELECT count(*) FROM t'), '1000', 'and is made anew');
is($s->query("BEGIN; SELECT count(*) FROM t; SELECT pg_sleep(2); SELECT count(*) FROM t; COMMIT"), "1000\n\n1000", 'not in a transaction');

# lost ones
$s = $cluster->session(0);
$s->query('SELECT count(*) FROM t');
$cluster->sql(1, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'shoal'");
sleep 0.2;
is($s->query('SELECT count(*) FROM t'), '1000', 'a lost connection is replaced');
$cluster->stop(1);
$cluster->start(1);
is($s->query('SELECT count(*) FROM t'), '1000', 'so it is when its node was started again');

# a node that does not answer
chomp(my $postmaster = `head -1 $cluster->{dir}/node1/postmaster.pid`);
kill 'STOP', $postmaster;
my $start = time;
like($cluster->error(0, "SET shoal.node_conninfo = 'connect_timeout=2'; SELECT count(*) FROM t"), qr/08001/, 'a silent node: an error');
cmp_ok(time - $start, '<', 6, 'after connect_timeout');
kill 'CONT', $postmaster;
is($cluster->sql(0, 'SELECT count(*) FROM t'), '1000', 'and goes on when it does');

$cluster->no_leaks('at the end');
done_testing();
