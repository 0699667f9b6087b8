# A copy of a shard moves away from the node that is at work on it, which is lost
# as all others have prepared the last step: to drop the old copy.  If they went on
# without it, it would come back with a copy that nobody knows of.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalFaults;
use ShoalProxy;
use ShoalTest;

my $cluster = ShoalTest->new(nodes => 2);
my @proxy = map { ShoalProxy->new($cluster->port($_), user => 'postgres') } 0 .. 2;
$cluster->sql(0, "SELECT shoal.alter_node($_ + 1, port => " . $proxy[$_]->port . ')') for 0 .. 2;
make_probed($cluster, 't', 6, 0);
make_probed($cluster, 'watched', 6, 1);
my ($group, $shard) = split /\|/, $cluster->sql(0, "SELECT s.group_id, min(s.shard) FROM shoal.shards s WHERE table_name = 't'::regclass AND node_id = 2 GROUP BY 1");

# the tables of shards that have no placement there
my $orphans = "SELECT string_agg(nspname, ' ') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
	WHERE relkind = 'r' AND nspname ~ '^shoal_[0-9]+_[0-9]+\$' AND NOT EXISTS (SELECT FROM shoal.placement p
		WHERE node_id = (SELECT node_id FROM shoal.local_node) AND nspname = format('shoal_%s_%s', group_id, shard))";

my $lock = $cluster->session(1);
$lock->query('SELECT pg_advisory_lock(0)');
my $caller = $cluster->session(1);
$caller->send("SET shoal.debug_job_pause = 'dropped'; SELECT shoal.move_shard($group, $shard, 2, 3)");
ok($cluster->wait_for(1, "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"), 'the job is at its last step');
$proxy[$_]->arm(from => 'coordinator', message => '^P ,PREPARE', at => 'answer', do => 'hold') for 0, 2;
$lock->query('SELECT pg_advisory_unlock(0)');
ok(defined $proxy[$_]->await(10), "server $_ is to prepare it") for 0, 2;
sleep 0.5;
$cluster->kill(1);
ok($cluster->wait_for(0, 'SELECT count(*) = 2 FROM shoal.transactions_in_doubt WHERE coordinator = 2'), 'the others keep it prepared');
ok($cluster->wait_for(0, "UPDATE watched SET c = c + 1 WHERE a IN (SELECT a FROM watched); SELECT 't'"), 'and go on');
$_->heal for @proxy;
$cluster->start(1);
$_->close for $lock, $caller;
whole_again($cluster, 'then');
is($cluster->sql($_, $orphans), '', "server $_ has no copy that nobody knows of") for 0 .. 2;
is($cluster->sql($_, 'SELECT count(*) FROM t'), 6, "server $_ sees all rows") for 0 .. 2;
$cluster->no_leaks('in the end');
done_testing();
