# PREPARE TRANSACTION of transactions that have written on several nodes: until the user
# decides nothing of them is seen, and neither recovery nor a failover decides; whatever dies
# meanwhile, the transaction is then there on all nodes, or on none.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalProxy;
use ShoalTest;
use ShoalWire;

my $cluster = ShoalTest->new(nodes => 2, conf => ['shoal.recovery_interval=1s', 'shoal.commit_wait=1s']);
my $proxy = ShoalProxy->new($cluster->port(2), user => 'postgres');
$cluster->sql(0, "SELECT shoal.alter_node(3, port => @{[$proxy->port]}, host => '127.0.0.1')");
$cluster->sql(0, "CREATE TABLE t (a int PRIMARY KEY, c int); SELECT shoal.create_distributed_table('t', 'a', shard_count => 6);
	INSERT INTO t SELECT i, 0 FROM generate_series(1, 60) i");

my $value = 0;
sub prepare { my ($name) = @_; $value++; return $cluster->sql(0, "BEGIN; UPDATE t SET c = $value; PREPARE TRANSACTION '$name'"); }
sub values_are
{
	my ($expected, $name) = @_;
	ok($cluster->wait_for($_, "SELECT min(c) = $expected AND max(c) = $expected AND count(*) = 60 FROM t"), "$name: node $_") for 0 .. 2;
	return;
}
sub quiet
{
	my ($name) = @_;
	ok($cluster->wait_for($_, 'SELECT count(*) = 0 FROM pg_prepared_xacts'), "$name: nothing is prepared on node $_") for 0 .. 2;
	return;
}
sub end { my ($verb, $name) = @_; return $cluster->sql(0, "SET client_min_messages = error; $verb PREPARED '$name'"); }

# ---- the coordinator dies while it is prepared ----

for my $verb ('COMMIT', 'ROLLBACK')
{
	my $before = $value;
	prepare('a');
	$cluster->kill(0);
	$cluster->start(0);
	ok($cluster->wait_for(0, 'SELECT shoal.recover_prepared_transactions() = 0'), 'recovery finds nothing to do');
	sleep 1.1;
	values_are($before, 'it is not seen');
	end($verb, 'a');
	$value = $before if $verb eq 'ROLLBACK';
	values_are($value, "the coordinator has died before $verb");
	quiet($verb);
}

# ---- a node is not there when it is decided ----

for my $verb ('COMMIT', 'ROLLBACK')
{
	my $before = $value;
	prepare('b');
	$cluster->kill(1);
	end($verb, 'b');
	$cluster->start(1);
	$value = $before if $verb eq 'ROLLBACK';
	values_are($value, "a node was dead at $verb");
	quiet($verb);
}

# ---- in the middle of COMMIT PREPARED ----

my $reader = ShoalWire->new($cluster->port(0));
my $writer = ShoalWire->new($cluster->port(0));
$reader->q("SET statement_timeout = '400ms'");
prepare('c');
$reader->q('SELECT 1');
like($reader->q('SELECT min(c), max(c) FROM t'), qr/^D\((\d+),\1\)/, 'readers go on while it is prepared');
$proxy->arm(from => 'coordinator', message => 'COMMIT PREPARED', do => 'hold');
$writer->send(['Q', "COMMIT PREPARED 'c'"]);
ok($cluster->wait_for(1, 'SELECT count(*) = 0 FROM pg_prepared_xacts') &&
	$cluster->wait_for(2, 'SELECT count(*) = 1 FROM pg_prepared_xacts'), 'committed on one node only');
is($reader->q('SELECT min(c), max(c) FROM t'), 'E(57014)', 'nobody sees a half');
$proxy->heal;
like($writer->answer('Z'), qr/C\(COMMIT PREPARED\)/, 'the client hears of its commit');
values_are($value, 'then all of it is seen');

prepare('d');
$proxy->arm(from => 'coordinator', message => 'COMMIT PREPARED', do => 'hold');
$writer->send(['Q', "COMMIT PREPARED 'd'"]);
ok($cluster->wait_for(1, 'SELECT count(*) = 0 FROM pg_prepared_xacts'), 'committed on one node only');
$cluster->kill(0);
$proxy->heal;
$cluster->start(0);
values_are($value, 'the coordinator has died during COMMIT PREPARED');
quiet('COMMIT PREPARED');

# ---- with replicas: a node, and the coordinator, are given up ----

$cluster->sql(0, "SELECT shoal.set_replicas('t', 1)");
ok($cluster->wait_for($_, "SELECT count(*) = 12 FROM shoal.shards WHERE table_name = 't'::regclass AND state = 'active'"), 'replicas') for 0 .. 2;
for my $lost (1, 0)
{
	my $before = $value;
	prepare('e');
	$cluster->kill($lost);
	my $other = 1 - $lost;
	ok($cluster->wait_for($other, "SELECT state = 'down' FROM shoal.nodes WHERE node_id = $lost + 1"), "node $lost is given up");
	ok($cluster->wait_for($other, "SELECT min(c) = $before AND max(c) = $before AND count(*) = 60 FROM t"), 'it is not seen');
	end('COMMIT', 'e') if $lost != 0;
	ok($cluster->wait_for($other, "SELECT min(c) = $value AND max(c) = $value FROM t"), 'committed without the node') if $lost != 0;
	$cluster->start($lost);
	ok($cluster->wait_for($_, "SELECT bool_and(state = 'active') FROM shoal.nodes"), 'the node is back') for $other, $lost;
	end('COMMIT', 'e') if $lost == 0;
	values_are($value, "node $lost was given up");
	quiet("node $lost was given up");
	ok($cluster->wait_for(0, "SELECT bool_and(state = 'active') FROM shoal.shards WHERE table_name = 't'::regclass"), 'all copies are repaired');
	is($cluster->sql(0, "SELECT count(*) FROM shoal.verify_table('t')"), '0', 'and equal');
}
$cluster->no_leaks;
$cluster->down;
done_testing;
