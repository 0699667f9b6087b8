# Two-phase commit: coordinator or node dies, or the client gives up, between
# PREPARE and COMMIT PREPARED; recovery settles all or nothing.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;
use ShoalWire;

my $cluster = ShoalTest->new(nodes => 2, conf => ['superuser_reserved_connections=0']);
my $w = ShoalWire->new($cluster->port(0));

sub again { $w = ShoalWire->new($cluster->port(0)); }
sub run_is { my ($sql, $expected, $name) = @_; return is($w->q($sql), $expected, $name // $sql); }
# Until nothing of anybody's runs or is prepared anywhere.
sub quiet
{
	my ($name) = @_;
	my $ok = 1;
	for my $node (0 .. 2)
	{
		$ok &&= $cluster->wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE state <> 'idle' AND
			backend_type = 'client backend' AND pid <> pg_backend_pid()");
		$ok &&= $cluster->wait_for($node, 'SELECT count(*) = 0 FROM pg_prepared_xacts');
	}
	ok($ok, "$name: nothing is left");
}

$w->q("CREATE TABLE t (a int PRIMARY KEY, c int DEFAULT 0)");
$w->q("SELECT shoal.create_distributed_table('t', 'a', shard_count => 12)");
$w->q("CREATE TABLE r (a int PRIMARY KEY)");
$w->q("SELECT shoal.create_reference_table('r')");
$w->q("INSERT INTO t SELECT i FROM generate_series(1, 1000) i");

my $one = $cluster->sql(1, "SELECT min(a) FROM t WHERE shoal.shard_of('t', a) IN
	(SELECT shard FROM shoal.shards WHERE table_name = 't'::regclass AND node_id = 2)");

# ---- two-phase commit ----

# Brings a commit to where all nodes are prepared and the record waits.
my $lock;
sub prepare_update
{
	my ($c) = @_;
	$lock = ShoalWire->new($cluster->port(0));
	$lock->q('BEGIN; LOCK TABLE shoal.commit_record IN SHARE MODE');
	$w->{error} = '';
	$w->send(['Q', "UPDATE t SET c = $c"]);
	ok($cluster->wait_for($_, "SELECT count(*) = 1 FROM pg_prepared_xacts"), "node $_ is prepared") for 1, 2;
}
# Nobody has to do anything about it.
sub recovered
{
	my ($sum, $name) = @_;
	my $start = time;
	again();
	run_is('SELECT sum(c) FROM t', "D($sum)", $name);
	quiet($name);
	ok(time - $start < 10, "$name: in less than 10 seconds");
	ok($cluster->wait_for(0, 'SELECT count(*) = 0 FROM shoal.commit_record'), "$name: no records are left");
	is($w->run(['Q', 'UPDATE t SET c = 0']), 'C(UPDATE 1000) Z(I)', "$name: rows can be written");
}

prepare_update(1);
$lock->q('ROLLBACK');
is($w->answer('Z'), 'C(UPDATE 1000) Z(I)', 'commit goes on');
recovered(1000, 'no fault');

# A node where a statement finds nothing to change is no writer: one phase is
# enough, which asks for no record.
$lock = ShoalWire->new($cluster->port(0));
$lock->q('BEGIN; LOCK TABLE shoal.commit_record IN SHARE MODE');
$w->q("SET statement_timeout = '10s'");
is($w->run(['Q', 'UPDATE t SET c = 1 WHERE a + 0 = 7']), 'C(UPDATE 1) Z(I)', 'one writer among the nodes of a statement');
$lock->q('ROLLBACK');
recovered(1, 'one writer');

prepare_update(2);
$w->cancel;
like($w->answer('Z'), qr/E\(57014\)/, 'cancel before the decision');
$lock->q('ROLLBACK');
recovered(0, 'cancel');

prepare_update(3);
$cluster->kill(0);
$cluster->start(0);
# a backend that outlives the postmaster for a moment may still roll back itself
recovered(0, 'coordinator dies before the decision');

prepare_update(4);
my $backend = $cluster->sql(1, "SELECT pid FROM pg_stat_activity WHERE application_name = 'shoal' AND query LIKE 'PREPARE%'");
kill 'STOP', $backend;
$lock->q('ROLLBACK');
$cluster->wait_for(2, "SELECT count(*) = 0 FROM pg_prepared_xacts");
$cluster->kill(0);
$cluster->kill(1);
$cluster->start(1);
is($cluster->sql(1, 'SELECT count(*) FROM pg_prepared_xacts'), '1', 'one node has not heard of the decision');
$cluster->start(0);
recovered(4000, 'coordinator dies after the decision');

$w->q("SET shoal.commit_wait = '1s'");
prepare_update(5);
$cluster->kill(1);
my $start = time;
$lock->q('ROLLBACK');
is($w->answer('Z'), 'C(UPDATE 1000) Z(I)', 'a node dies after PREPARE: commit all the same');
ok(time - $start > 0.9 && time - $start < 4, '... after the time that was set');
is($cluster->sql(0, 'SELECT shoal.recover_prepared_transactions()'), '0', 'recovery while it is down');
like($cluster->error(0, 'SELECT sum(c) FROM t'), qr/08001|08006/, 'nobody reads the half of it');
$cluster->start(1);
recovered(5000, 'node dies after PREPARE');

# until it is back; nobody waits for the locks of the transaction meanwhile
prepare_update(8);
$cluster->kill(1);
$lock->q('ROLLBACK');
ok($cluster->wait_for(2, 'SELECT count(*) = 0 FROM pg_prepared_xacts'), 'a node has heard of the decision');
ok($cluster->wait_for(0, 'SELECT count(*) = 0 FROM pg_locks WHERE pid = ' . $w->pid), 'a commit that waits for a node holds no locks');
ok(!$w->has('Z'), '... and it waits');
$cluster->start(1);
is($w->answer('Z'), 'C(UPDATE 1000) Z(I)', '... until the node is there again');
is($cluster->sql(1, "SELECT sum(c) FROM t WHERE a = $one"), '8', '... and has the new rows');
recovered(8000, 'node is back');

# or until the client is tired of it
prepare_update(9);
$cluster->kill(1);
$lock->q('ROLLBACK');
$cluster->wait_for(2, 'SELECT count(*) = 0 FROM pg_prepared_xacts');
$start = time;
$w->cancel;
is($w->answer('Z'), 'C(UPDATE 1000) Z(I)', 'cancel while a commit waits for a node: committed');
cmp_ok(time - $start, '<', 4, '... at once');
$cluster->start(1);
recovered(9000, 'cancel while a commit waits for a node');

$w->q('BEGIN; UPDATE t SET c = 6');
$cluster->kill(1);
$w->{error} = '';
like($w->run(['Q', 'COMMIT']), qr/E\(08006\) Z\(I\)/, 'a node dies before PREPARE');
$cluster->start(1);
recovered(0, 'node dies before PREPARE');

# a cancel request while a node has not answered COMMIT PREPARED
prepare_update(7);
$backend = $cluster->sql(1, "SELECT pid FROM pg_stat_activity WHERE application_name = 'shoal' AND query LIKE 'PREPARE%'");
kill 'STOP', $backend;
$lock->q('ROLLBACK');
$cluster->wait_for(2, "SELECT count(*) = 0 FROM pg_prepared_xacts");
$w->cancel;
is($w->answer('Z'), 'C(UPDATE 1000) Z(I)', 'cancel after the decision: committed');
kill 'CONT', $backend;
$cluster->wait_for(1, "SELECT count(*) = 0 FROM pg_prepared_xacts");
recovered(7000, 'cancel after the decision');

# the postmaster dies while a node has not answered COMMIT PREPARED, and its
# backends notice
prepare_update(10);
$backend = $cluster->sql(1, "SELECT pid FROM pg_stat_activity WHERE application_name = 'shoal' AND query LIKE 'PREPARE%'");
kill 'STOP', $backend;
$lock->q('ROLLBACK');
$cluster->wait_for(2, "SELECT count(*) = 0 FROM pg_prepared_xacts");
open(my $in, '<', "$cluster->{dir}/node0/postmaster.pid") or die;
my ($postmaster) = <$in> =~ /(\d+)/;
kill 'KILL', $postmaster;
is($w->answer('Z'), 'C(UPDATE 1000) Z(I)', 'the postmaster dies after the decision: committed');
kill 'CONT', $backend;
# when the last process has gone that uses the old shared memory
my $started = 0;
for (1 .. 100)
{
	last if $started = eval { $cluster->start(0); 1 };
	sleep 0.1;
}
ok($started, '... the server can be started again');
open($in, '<', "$cluster->{dir}/node0.log") or die;
is(join('', grep { /PANIC/ } <$in>), '', '... without a panic');
recovered(10000, 'the postmaster dies after the decision');

$cluster->no_leaks('at the end');
done_testing();
