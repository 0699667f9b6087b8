# A coordinator is lost in the middle of COMMIT, for good (SIGKILL) or for a while
# (SIGSTOP), where shards have replicas: the other nodes settle the transaction before
# they go on.  It is on all shards or on none, on all copies; who was told that it is
# committed, or that it is not, was told the truth, even by a coordinator that wakes up
# later.  Among them schema changes, which hold the lock that giving a node up needs.

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

# What a client does, and what is there of it, as each node sees it, if it is committed.
my %programs = (
	'all shards' => [sub { "UPDATE t SET c = $_[0]" }, sub { "SELECT count(*) = 6 FROM t WHERE c = $_[0]" }, sub { "SELECT count(*) = 0 FROM t WHERE c = $_[0]" }],
	'reference table' => [sub { "UPDATE ref SET c = $_[0]" }, sub { "SELECT count(*) = 2 FROM ref WHERE c = $_[0]" }, sub { "SELECT count(*) = 0 FROM ref WHERE c = $_[0]" }],
	'schema' => [sub { "CREATE TABLE new_$_[0] (a int); UPDATE t SET c = $_[0]" },
		sub { "SELECT count(*) = 6 AND to_regclass('new_$_[0]') IS NOT NULL FROM t WHERE c = $_[0]" },
		sub { "SELECT count(*) = 0 AND to_regclass('new_$_[0]') IS NULL FROM t WHERE c = $_[0]" }],
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
	my ($sql, $there, $not_there) = map { $_->($n) } @{ $programs{$program} };
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
	$cluster->no_leaks($name);
}

my $i = 0;
for my $step (@steps)
{
	for my $program ('all shards', 'schema', 'reference table')
	{
		for my $how ('SIGKILL', 'SIGSTOP')
		{
			# each combination with one of the coordinators, unless all are wanted
			my @coordinators = $ENV{ALL} ? 0 .. 2 : ($i + int($i / 3)) % 3;
			$i++;
			next if !$ENV{ALL} && !defined $only && ($program eq 'schema' ? $step->[0] ne 'PREPARE reaches both' :
				$program ne 'all shards' || $how ne ($i % 4 < 2 ? 'SIGKILL' : 'SIGSTOP'));
			commit_case($_, $program, $step, $how) for @coordinators;
		}
		$i++;
	}
}

done_testing();
