# Random queries on plain and on distributed tables (test/random): the same
# each time, a few hundred, and the queries that have found bugs.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use ShoalTest;
use Test::More;

my $cluster = ShoalTest->new(nodes => 2, conf => ['jit=off']);
my $random = "$FindBin::Bin/../random";

# both ways of planning fragments on small tables
$cluster->sql(2, 'ALTER SYSTEM SET shoal.enable_shard_scan = off');
$cluster->sql(2, 'SELECT pg_reload_conf()');

sub run_random
{
	my ($name, @arg) = @_;
	my $output = `$random --dir $cluster->{dir} @arg 2>&1`;
	is($?, 0, $name) or diag($output);
}

run_random('queries that have found bugs', '--file', "$FindBin::Bin/../Random/queries.sql");
run_random('random queries', '--keep', '--seed', 1, '--queries', 500, '--writes', 60);
run_random('transactions, cursors, prepared statements and functions', '--keep', '--seed', 1, '--queries', 0, '--sessions', 60);

$cluster->no_leaks('at the end');
done_testing();
