# TPC-H's queries return what a plain server returns, however small the tables
# are that are moved.

use strict;
use warnings;
use FindBin;
use Test::More;

my $dir = "/tmp/shoal-tpch-$$";
for my $set ([], ['--set', 'shoal.move_threshold=0'])
{
	my @lines = split /\n/, `$FindBin::Bin/../tpch --scale 0.01 --dir $dir @$set 2>&1`;

	is($?, 0, "runs: @$set");
	like(pop @lines, qr/^total /, "total: @$set");
	like($_, qr/^\d\d same /, "query " . substr($_, 0, 2) . ": @$set") for @lines;
	is(scalar @lines, 22, "22 queries: @$set");
}
system("$FindBin::Bin/../cluster down --dir $dir >/dev/null") == 0 or warn "cluster in $dir is left";
done_testing();
