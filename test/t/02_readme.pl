# The SQL of README.md's tour does what it says: every ```sql block, in order,
# on a cluster of three servers.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use ShoalTest;
use Test::More;

open my $in, '<', "$FindBin::Bin/../../README.md" or BAIL_OUT("README.md: $!");
my $readme = do { local $/; <$in> };
$readme =~ /^## Five-minute tour$(.*?)^## /ms or BAIL_OUT('README.md has no tour');
my @blocks = $1 =~ /^```sql\n(.*?)^```$/msg;
ok(@blocks > 0, 'README.md has SQL');

my $cluster = ShoalTest->new(nodes => 2);
my $n = 0;
for my $block (@blocks)
{
	$n++;
	my ($ok, $out, $err) = $cluster->try(0, $block);
	ok($ok, "block $n") or diag("$block\n$err");
}

$cluster->no_leaks('at the end');
done_testing();
