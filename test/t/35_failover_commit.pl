# A coordinator is lost in the middle of COMMIT, for good (SIGKILL) or for a while
# (SIGSTOP), where shards have replicas: the other nodes settle the transaction before
# they go on.  It is on all shards or on none, on all copies; who was told that it is
# committed, or that it is not, was told the truth, even by a coordinator that wakes up
# later.  Among them schema changes, which hold the lock that giving a node up needs,
# and changes of placements.
#
# Alone

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalTest;
use ShoalFaults;
use ShoalProxy;
use ShoalWire;

my $only = $ENV{CASES};
my $promised = 5;
my $cluster = ShoalTest->new(nodes => 2);
my @proxy = map { ShoalProxy->new($cluster->port($_), user => 'app') } 0 .. 2;
$cluster->sql(0, 'CREATE ROLE app SUPERUSER LOGIN');
$cluster->sql(0, "SELECT shoal.alter_node($_ + 1, port => " . $proxy[$_]->port . ')') for 0 .. 2;
make_probed($cluster, 't', 6, 1);
$cluster->sql(0, "CREATE TABLE ref (a int PRIMARY KEY, c int);
	SELECT shoal.create_reference_table('ref'); INSERT INTO ref VALUES (1, 0), (2, 0)");

# Two copies of a shard that are on the others: group, shard, the primary's node, the other's.
sub copies_elsewhere
{
	my ($coordinator) = @_;
	return split /\|/, $cluster->sql($coordinator, "SELECT p.group_id, p.shard, p.node_id, r.node_id
		FROM shoal.shards p JOIN shoal.shards r USING (table_name, shard)
		WHERE table_name = 't'::regclass AND p.role = 'primary' AND r.role = 'replica'
		AND $coordinator + 1 NOT IN (p.node_id, r.node_id) LIMIT 1");
}

# What a client does at a coordinator, and what is there of it, as each node sees it, if it
# is committed, and if it is not; and what is done afterwards.
my %programs = (
	'all shards' => sub { ("UPDATE t SET c = $_[0]", "SELECT count(*) = 6 FROM t WHERE c = $_[0]", "SELECT count(*) = 0 FROM t WHERE c = $_[0]") },
	'reference table' => sub { ("UPDATE ref SET c = $_[0]", "SELECT count(*) = 2 FROM ref WHERE c = $_[0]", "SELECT count(*) = 0 FROM ref WHERE c = $_[0]") },
	'schema' => sub { ("CREATE TABLE new_$_[0] (a int); UPDATE t SET c = $_[0]",
		"SELECT count(*) = 6 AND to_regclass('new_$_[0]') IS NOT NULL FROM t WHERE c = $_[0]",
		"SELECT count(*) = 0 AND to_regclass('new_$_[0]') IS NULL FROM t WHERE c = $_[0]") },
	'promote' => sub {
		my ($group, $shard, $from, $to) = copies_elsewhere($_[1]);
		my $is = "FROM shoal.placement WHERE (group_id, shard, role) = ($group, $shard, 'primary')";
		return ("SELECT shoal.promote($group, $shard, $to)", "SELECT node_id = $to $is", "SELECT node_id = $from $is");
	},
	'drop' => sub {
		my ($group, $shard, undef, $node) = copies_elsewhere($_[1]);
		my $is = "FROM shoal.placement WHERE (group_id, shard, node_id) = ($group, $shard, $node)";
		return ("SELECT shoal.drop_placement($group, $shard, $node)", "SELECT count(*) = 0 $is", "SELECT count(*) = 1 $is",
			"SELECT shoal.set_replicas('t', 1)");
	},
);

# Where the messages to the other two stop: by "before" their arrival or in place of
# the answer; and what that must lead to.
my @steps = (
	['PREPARE reaches nobody', [['^P ,PREPARE', 'before'], ['^P ,PREPARE', 'before']], 'no'],
	['PREPARE reaches the first', [['^P ,PREPARE', 'answer'], ['^P ,PREPARE', 'before']], 'no'],
	['PREPARE reaches the second', [['^P ,PREPARE', 'before'], ['^P ,PREPARE', 'answer']], 'no'],
	['PREPARE reaches both', [['^P ,PREPARE', 'answer'], ['^P ,PREPARE', 'answer']], 'yes'],
	['COMMIT PREPARED reaches nobody', [['^P ,COMMIT PREPARED', 'before'], ['^P ,COMMIT PREPARED', 'before']], 'yes'],
	['COMMIT PREPARED reaches the first', [undef, ['^P ,COMMIT PREPARED', 'before']], 'yes'],
	['COMMIT PREPARED reaches the second', [['^P ,COMMIT PREPARED', 'before'], undef], 'yes'],
	['COMMIT PREPARED reaches both', [['^P ,COMMIT PREPARED', 'answer'], ['^P ,COMMIT PREPARED', 'answer']], 'yes'],
);

my $n = 0;
sub commit_case
{
	my ($coordinator, $program, $step, $how) = @_;
	my ($what, $rules, $expected) = @$step;
	my $name = "$program, $what, $how of server $coordinator";
	return if defined $only && $name !~ /$only/;
	$n++;
	my @others = grep { $_ != $coordinator } 0 .. 2;
	my ($sql, $there, $not_there, $afterwards) = $programs{$program}->($n, $coordinator);
	my ($w, $failed) = hold_commit($cluster, \@proxy, $coordinator, $rules, $sql);
	return fail("$name: $failed") if !$w;
	my $fault = now();
	$how eq 'SIGKILL' ? $cluster->kill($coordinator) : $cluster->freeze($coordinator);
	my @time;
	for my $server (@others)
	{
		my $until = now() + 20;
		my ($ok, $out) = (0, '');
		while (!$ok && now() < $until)
		{
			($ok, $out) = $cluster->try($server, "UPDATE t SET c = c WHERE a IN (SELECT a FROM t)");
			sleep 0.02 if !$ok;
		}
		push @time, now() - $fault;
	}
	my ($time) = sort { $b <=> $a } @time;
	cmp_ok($time, '<', $promised, sprintf '%s: the others write to all shards after %.2f s', $name, $time);
	my @now = map { $cluster->sql($_, $there) . $cluster->sql($_, $not_there) } @others;
	is("@now", $expected eq 'yes' ? 'tf tf' : 'ft ft', "$name: " . ($expected eq 'yes' ? 'it is committed' : 'it is rolled back'));
	$_->heal for @proxy;
	my $told = 'EOF';
	if ($how eq 'SIGKILL')
	{
		$cluster->start($coordinator);
	}
	else
	{
		$cluster->thaw($coordinator);
		$told = $w->answer('Z');
	}
	ok($told =~ /EOF|E\(08007\)/ || ($told =~ /E\(/ ? $expected eq 'no' : $expected eq 'yes'), "$name: the client is told no lie: $told");
	$w->close;
	whole_again($cluster, $name);
	@now = map { $cluster->sql($_, $there) . $cluster->sql($_, $not_there) } 0 .. 2;
	is("@now", $expected eq 'yes' ? 'tf tf tf' : 'ft ft ft', "$name: so it is in the end, on all nodes");
	$cluster->sql(0, $afterwards) if $afterwards;
	$cluster->no_leaks($name);
}

# One of each if there is little time.
sub is_wanted
{
	my ($i, $program, $what, $how) = @_;
	return 1 if $ENV{ALL} || defined $only;
	return $how eq ($i % 2 ? 'SIGSTOP' : 'SIGKILL') if $program eq 'all shards';
	return $what eq 'PREPARE reaches both' if $program eq 'schema';
	return $how eq 'SIGKILL' && $what eq { promote => 'COMMIT PREPARED reaches the first', drop => 'PREPARE reaches both' }->{$program} if $program =~ /promote|drop/;
	return 0;
}

my $i = 0;
for my $step (@steps)
{
	for my $program ('all shards', 'schema', 'reference table', 'promote', 'drop')
	{
		for my $how ('SIGKILL', 'SIGSTOP')
		{
			# each combination with one of the coordinators, unless all are wanted
			my @coordinators = $ENV{ALL} ? 0 .. 2 : ($i + length($program) + length($how)) % 3;
			next if !is_wanted($i, $program, $step->[0], $how);
			commit_case($_, $program, $step, $how) for @coordinators;
		}
	}
	$i++;
}

done_testing();
