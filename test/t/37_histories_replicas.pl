# The histories of 12_histories.pl on tables whose shards have a replica, while servers
# are killed and started again, stopped for seconds (SIGSTOP), or cut off from the others,
# one at a time, but often again before all has been repaired.  So a shard may be
# gone for a while, but whatever is read and written must be right, and all nodes
# must come back, with equal copies.
#
# SECONDS=n: with faults for so long, half of it in each isolation level.  SEED=n
# repeats the choices, but not the timing.  KINDS='SIGSTOP;cut, late' chooses faults.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalFaults;
use ShoalHistories;
use ShoalNetwork;
use ShoalTest;

my $seed = $ENV{SEED} // int(rand(1_000_000));
note("SEED=$seed");
srand($seed);

my $seconds = $ENV{SECONDS} // 18;
my $cluster = ShoalTest->new(nodes => 2, conf => ['max_prepared_transactions=100', 'shoal.recovery_interval=1s', 'deadlock_timeout=100ms']);
my $net = ShoalNetwork->new($cluster);
make_histories($cluster, seed => $seed, seconds => $seconds + 10, replicas => 1);

sub faults_until
{
	my ($until) = @_;
	my $from = now();
	my $count = 0;
	while (now() < $until - 3)
	{
		my $server = int rand 3;
		my %kinds = faults_of($cluster, $net, $server);
		my @names = $ENV{KINDS} ? split(/;/, $ENV{KINDS}) : sort keys %kinds;
		my $name = $names[rand @names];
		my $begin = now();
		# some are over before anybody is given up
		my $time = rand() < 0.3 ? rand(2.5) : 1 + rand(6);
		my $pause = rand() < 0.4 ? undef : rand(3);
		$kinds{$name}[0]->();
		sleep $time;
		$kinds{$name}[1]->();
		note(sprintf '%.1f s: %s of server %d for %.1f s%s', $begin - $from, $name, $server, $time,
			$pause ? sprintf(', and %.1f s until the next one', $pause) : '');
		$count++;
		$pause ? sleep $pause : settled_in($cluster, $until - now());
	}
	return $count;
}

for my $level ('read committed', 'repeatable read')
{
	my ($faults, $whole);
	run_clients("faults, $level", $seconds / 2, "SET default_transaction_isolation = '$level'", sub {
		$faults = faults_until($_[0]);
		$whole = settled_in($cluster, 90);
	});
	if (!ok(defined $whole, "faults, $level: all nodes take part again"))
	{
		whole_again($cluster, "faults, $level", timeout => 1);
		last;
	}
	check_histories('faults', $level, "$faults faults");
	whole_again($cluster, "faults, $level");
}
$cluster->no_leaks('in the end');

done_testing();
