# Histories: see ShoalHistories.pm.  In peace and while servers are killed and started
# again; in both isolation levels.  The judge is tested first.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin, "$FindBin::Bin/../histories";
use Test::More;
use Time::HiRes qw(sleep clock_gettime CLOCK_MONOTONIC);
use ShoalHistories;
use ShoalHistory;
use ShoalTest;

my $seed = $ENV{SEED} // int(rand(1_000_000));
note("SEED=$seed");
srand($seed);

my $selftest = `$FindBin::Bin/../histories/selftest 2>&1`;
my $judged = () = $selftest =~ /^ok /mg;
is($?, 0, "the judge: $judged tests of itself") or diag($selftest);

my $cluster = ShoalTest->new(nodes => 2, conf => ['max_prepared_transactions=100', 'shoal.recovery_interval=1s', 'deadlock_timeout=100ms']);
make_histories($cluster, seed => $seed, seconds => 50);

for my $level ('read committed', 'repeatable read')
{
	run_clients("peace, $level", 5, "SET default_transaction_isolation = '$level'");
	check_histories('peace', $level);
}
for my $level ('read committed', 'repeatable read')
{
	my $killed = 0;
	run_clients("kill -9, $level", 8, "SET default_transaction_isolation = '$level'", sub {
		my ($until) = @_;
		while (clock_gettime(CLOCK_MONOTONIC) < $until - 2)
		{
			my $node = int(rand(3));
			sleep 0.3 + rand(0.7);
			$cluster->kill($node);
			sleep rand(0.5);
			$cluster->start($node);
			$killed++;
		}
	});
	check_histories('kill -9', $level, "$killed servers killed");
}

# Without one snapshot over the nodes there is something to find, mostly.
run_clients('without', 3, 'SET shoal.consistent_reads = off');
my ($found, $numbers) = judge_history('without', 'lists', 'read committed');
is(ShoalHistory::summary(grep { $_->{counts} && $_->{class} !~ /fractured|single|nonadjacent/ } @$found), '', 'shoal.consistent_reads = off: nothing wrong but reads');
note('shoal.consistent_reads = off: found ', ShoalHistory::summary(@$found), ", $numbers");

$cluster->no_leaks('at the end');
done_testing();
