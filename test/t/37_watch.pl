# Nodes are watched while there are replicas.  Tables with replicas come and go here, so
# that watching begins and ends all the time, in the middle of transactions, too.  No
# statement fails for that.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use ShoalTest;

my $cluster = ShoalTest->new(nodes => 2);
my $rows = 'SELECT generate_series(1, 20)';
my @ways = (
	sub { "SELECT shoal.create_distributed_table('$_[0]', 'a', 'none', 4, replicas => 1); INSERT INTO $_[0] $rows" },
	sub { "BEGIN; SELECT shoal.create_distributed_table('$_[0]', 'a', 'none', 4, replicas => 1); INSERT INTO $_[0] $rows; UPDATE $_[0] SET b = 1; COMMIT" },
	sub { "INSERT INTO $_[0] $rows; SELECT shoal.create_distributed_table('$_[0]', 'a', 'none', 4); SELECT shoal.set_replicas('$_[0]', 1)" },
);
srand 1;
my $session = $cluster->session(0);
my @wrong;
for my $i (1 .. 40)
{
	my $table = "come_$i";
	for my $sql ("CREATE TABLE $table (a int PRIMARY KEY, b int)", $ways[$i % @ways]->($table), "UPDATE $table SET b = 2",
		"BEGIN; UPDATE $table SET b = 3; UPDATE $table SET b = 4; COMMIT", "SELECT sum(b) / 80 AS sum FROM $table", "DROP TABLE $table")
	{
		my $out = $session->query($sql);
		push @wrong, "round $i: $sql: $out" if $out =~ /ERROR/ || ($sql =~ / AS sum / && $out !~ /^1$/m);
	}
	$session->query('SELECT pg_sleep(' . rand(0.7) . ')');
}
is(join("\n", @wrong), '', 'tables with replicas come and go without an error');
$session->close;
$cluster->no_leaks('at the end');
done_testing();
