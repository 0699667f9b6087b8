# A bank: transfers over all shards, from all nodes, while others read the total
# in several ways; then the same while servers are killed and started again.  No
# wrong total, each transfer that was acknowledged is there once and whole,
# nothing is left behind.
# See ShoalBank.pm.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;
use ShoalBank;

my $seed = $ENV{SEED} // int(rand(1_000_000));
note("SEED=$seed");
srand($seed);

my $cluster = ShoalTest->new(nodes => 2, conf => ['max_prepared_transactions=100', 'shoal.recovery_interval=1s']);
make_bank($cluster, seed => $seed);

check_bank($cluster, 'peace', run_bank($cluster, 6));
check_bank($cluster, 'calm spells', run_bank($cluster, 6, undef, 0.2));
check_bank($cluster, 'kill -9', run_bank($cluster, 15, sub {
	my ($until) = @_;
	while (time < $until - 3)
	{
		my $node = int(rand(3));
		sleep 0.5 + rand(1);
		$cluster->kill($node);
		sleep rand(0.5);
		$cluster->start($node);
	}
}));

$cluster->no_leaks('at the end');
done_testing();
