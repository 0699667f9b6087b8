# A coordinator is lost in the middle of COMMIT, and another node that has a part of
# the transaction along with it.  What those that are left have prepared does not tell
# whether it is committed: the other one may have committed its part, or not have been
# able to prepare it.  They keep the transaction until either is back; unless they see
# by themselves that nobody can have committed it.
#
# Alone

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalFaults;
use ShoalProxy;
use ShoalTest;
use ShoalWire;

my $only = $ENV{CASES};
my $promised = 5;
my $cluster = ShoalTest->new(nodes => 3);
my @proxy = map { ShoalProxy->new($cluster->port($_), user => 'app') } 0 .. 3;
$cluster->sql(0, 'CREATE ROLE app SUPERUSER LOGIN');
$cluster->sql(0, "SELECT shoal.alter_node($_ + 1, port => " . $proxy[$_]->port . ')') for 0 .. 3;
# of each shard one copy is left
make_probed($cluster, 't', 8, 2);
make_probed($cluster, 'other', 8, 2);
my ($coordinator, $second) = (3, 2);

sub seen
{
	my ($n, @servers) = @_;
	return join ' ', map { my ($ok, $out, $err) = $cluster->try($_, "SELECT count(*) FROM t WHERE c = $n"); $ok ? $out : $err } @servers;
}

# Seconds until both of those that are left write to all shards of a table.
sub writable
{
	my ($table) = @_;
	my $start = now();
	for my $server (0, 1)
	{
		while (now() < $start + 20)
		{
			last if ($cluster->try($server, "UPDATE $table SET c = c WHERE a IN (SELECT a FROM $table)"))[0];
			sleep 0.02;
		}
	}
	return now() - $start;
}

my $prepare = '^P ,PREPARE';
my $commit = '^P ,COMMIT PREPARED';
my $n = 0;

# known: 0 if those that are left have to keep the transaction.
sub two_lost
{
	my ($what, $rules, $first, $known, $committed) = @_;
	my $name = "$what, server $first is back first";
	return if defined $only && $name !~ /$only/;
	$n++;
	my ($w, $failed) = hold_commit($cluster, \@proxy, $coordinator, $rules, "UPDATE t SET c = $n");
	return fail("$name: $failed") if !$w;
	my $fault = now();
	$cluster->kill($_) for $coordinator, $second;
	writable('other');
	my $time = now() - $fault;
	cmp_ok($time, '<', $promised, sprintf '%s: the others write to all shards of another table after %.2f s', $name, $time);
	is(seen($n, 0, 1), '0 0', "$name: it is not to be seen");
	is($cluster->sql(0, "SELECT count(*) FROM shoal.transactions_in_doubt WHERE coordinator = $coordinator + 1"), $known ? 0 : 2,
		"$name: it is " . ($known ? 'rolled back' : 'shown to be in doubt'));
	cmp_ok(writable('t'), '<', $promised, "$name: its rows can be written to") if $known;
	$_->heal for @proxy;
	$cluster->start($first);
	my $all = $committed ? 8 : 0;
	if (!$known)
	{
		ok($cluster->wait_for(0, 'SELECT count(*) = 0 FROM shoal.transactions_in_doubt'), "$name: then it is not in doubt any more");
		# a node that has just been taken back may not answer at once
		ok($cluster->wait_for($_, "SELECT count(*) FROM t WHERE c = $n", $all), "$name: it is " . ($committed ? 'committed' : 'rolled back') . ", says server $_") for 0, 1;
	}
	ok($cluster->wait_for(0, "SELECT state = 'active' FROM shoal.node WHERE node_id = $first + 1"), "$name: and takes part again");
	$cluster->start($first == $coordinator ? $second : $coordinator);
	$w->close;
	whole_again($cluster, $name);
	is(seen($n, 0 .. 3), "$all $all $all $all", "$name: so it is in the end, on all nodes");
	$cluster->no_leaks($name);
}

for my $first ($second, $coordinator)
{
	two_lost('the other one has committed', [[$commit, 'before'], [$commit, 'before'], undef], $first, 0, 1);
	two_lost('the other one has not prepared', [[$prepare, 'answer'], [$prepare, 'answer'], [$prepare, 'before']], $first, 0, 0);
}
two_lost('one that is left has not prepared', [[$prepare, 'before'], [$prepare, 'answer'], [$prepare, 'answer']], $second, 1, 0);

done_testing();
