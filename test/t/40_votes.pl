# A node that has voted for giving another one up is killed before it has heard what
# came of it, and is started again: it must still know, even if the one that was
# given up is alive and asks it.  Else that one would have a lease with its answers, and
# two nodes would be primaries of one shard: FORGET=1 removes what it knows, and shows that.
# A vote of which nothing has come does not last.
#
# Alone

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalFaults;
use ShoalNetwork;
use ShoalProxy;
use ShoalTest;

my $cluster = ShoalTest->new(nodes => 2);
my @proxy = map { ShoalProxy->new($cluster->port($_), user => 'postgres') } 0 .. 2;

# the network is in front of the proxies
{
	package Behind;
	sub port { my ($self, $node) = @_; return $proxy[$node]->port; }
	sub sql { my ($self, @arg) = @_; return $cluster->sql(@arg); }
}
my $net = ShoalNetwork->new(bless { nodes => 2 }, 'Behind');
make_probed($cluster, 't', 6, 1);

# a row whose primary is on server 2, and its replica on server 0
my $key = $cluster->sql(0, "SELECT min(a) FROM t WHERE shoal.shard_of('t', a) IN (
	SELECT p.shard FROM shoal.shards p JOIN shoal.shards r USING (table_name, shard) WHERE table_name = 't'::regclass
	AND p.role = 'primary' AND p.node_id = 3 AND r.role = 'replica' AND r.node_id = 1)");
ok($key ne '', 'there is a row whose primary is on server 2, and its replica on server 0');

sub write_by
{
	my ($server) = @_;
	return ($cluster->try($server, "SET statement_timeout = '2s'; UPDATE t SET c = c + 1 WHERE a = $key"))[0];
}

sub read_by
{
	my ($server) = @_;
	return ($cluster->try($server, "SET statement_timeout = '2s'; SELECT c FROM t WHERE a = $key"))[0];
}

# Server 2 is given up by servers 0 and 1; a message to server 1 is held, and server 1
# is killed.
sub kill_voter
{
	my ($name, %rule) = @_;
	ok(write_by(2), "$name: server 2 is the primary");
	$net->cut_off(2);
	# on a slow machine server 1 begins to give it up, too, before it is killed
	$proxy[0]->arm(from => 'coordinator', message => 'internal_vote_down', at => 'before', do => 'hold');
	$proxy[1]->arm(from => 'coordinator', do => 'hold', %rule);
	ok(defined $proxy[1]->await(20), "$name: server 1 has voted");
	sleep 0.5;
	$cluster->kill(1);
}

# Server 0 has decided, and can't tell: it is cut off from both of the others.
my $name = 'decided';
kill_voter($name, message => '^P ,COMMIT PREPARED', at => 'before');
$net->cut_off(0);
unlink glob "$cluster->{dir}/node1/shoal_votes*" if $ENV{FORGET};
$cluster->start(1);
my $writes = 0;
my $forks = 0;
for (1 .. 8)
{
	$writes++ if write_by(0);
	$forks++ if read_by(2) || write_by(2);
	sleep 0.3;
}
cmp_ok($writes, '>', 0, "$name: server 0 goes on alone");
is($forks, 0, "$name: and server 2 does not");
$_->heal for @proxy;
$net->heal;
whole_again($cluster, $name);
is($cluster->sql(1, "SELECT c FROM t WHERE a = $key"), $writes + 1, "$name: nothing is lost");

# Nothing has been decided yet, but server 1 can't go back.
$name = 'not decided';
$cluster->sql(0, "SELECT shoal.promote(group_id, shard, 3) FROM shoal.shards
	WHERE table_name = 't'::regclass AND shard = shoal.shard_of('t', $key) AND role = 'primary' AND node_id <> 3");
my $before = $cluster->sql(0, "SELECT c FROM t WHERE a = $key");
kill_voter($name, message => "internal_vote_down.*'seal'", at => 'answer');
my $times = $cluster->sql(0, 'SELECT times_down FROM shoal.node WHERE node_id = 3');
unlink glob "$cluster->{dir}/node1/shoal_votes*" if $ENV{FORGET};
$net->cut([0, 1], [1, 0], [0, 2], [2, 0]);
$cluster->start(1);
$forks = 0;
for (1 .. 6)
{
	$forks++ if read_by(2) || write_by(2);
	sleep 0.3;
}
is($forks, 0, "$name: server 2 does not go on");
$_->heal for @proxy;
$net->heal;
ok($cluster->wait_for(0, "SELECT times_down > $times FROM shoal.node WHERE node_id = 3"), "$name: it is given up");
whole_again($cluster, $name);
is($cluster->sql(1, "SELECT c FROM t WHERE a = $key"), $before + 1, "$name: nothing is lost");

# Server 0 has voted, but nothing has come of it: as server 2 answers again, server 1 is
# lost. What server 0 was asked for must not be in the way of giving up that one.
$name = 'not sealed';
my $probe = probe($cluster, 't', [0, 2]);
$net->cut_off(2);
$proxy[1]->arm(from => 'coordinator', message => "internal_vote_down.*'bind'", at => 'before', do => 'hold');
ok(defined $proxy[1]->await(20), "$name: server 0 has voted");
my $fault = now();
$net->cut_off(1);
sleep 8;
my $seen = $probe->stop;
my $time = $probe->writable_after($fault, $fault, 0, 2);
cmp_ok($time, '<', 5, sprintf '%s: server 0 and 2 write to all shards after %.2f s', $name, $time);
is(join("\n", @{ $seen->{wrong} }), '', "$name: nothing is lost, nothing old is read");
$_->heal for @proxy;
$net->heal;
whole_again($cluster, $name);

# the votes have served
$cluster->sql($_, 'SELECT shoal.recover_prepared_transactions()') for 0 .. 2;
is(join(' ', map { glob "$cluster->{dir}/node$_/shoal_votes*" } 0 .. 2), '', 'no vote is left');

# A node does nothing with shards as long as it can't read its votes.
my $oid = $cluster->sql(1, 'SELECT oid FROM pg_database WHERE datname = current_database()');
my $file = "$cluster->{dir}/node1/shoal_votes.$oid";
$cluster->kill(1);
open(my $out, '>', $file) or die;
print $out "3 1\n";
close $out;
$cluster->start(1);
like($cluster->error(1, "UPDATE t SET c = c WHERE a = $key"), qr/XX001: +file "shoal_votes.$oid" is damaged/, 'without its votes a node does nothing');
$cluster->kill(1);
unlink $file;
$cluster->start(1);
whole_again($cluster, 'with them it does again');
$cluster->no_leaks('in the end');
done_testing();
