# The network falls into parts, with clients in each of them: the part that has the
# quorum goes on, no other one writes or reads any more, and when the network is whole
# all copies are equal.  And a node that is killed again and again while it comes back.
# See ShoalFaults.pm for what must be so.
#
# ALL=1 runs all cases, which takes some four minutes; NODES=3,4 and CASES=regex choose
# some.
#
# Alone

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep);
use ShoalFaults;
use ShoalNetwork;
use ShoalTest;

# seconds that the promise allows from a fault to the first write, at default settings
my $promised = 5;

# and after which a node without a quorum does nothing, as others may act in its place
my $failover_time = 3;

my $only = $ENV{CASES};

sub few { return join "\n", @_[0 .. ($#_ > 9 ? 9 : $#_)]; }

# What clients have seen, in any case.
sub check_probe
{
	my ($name, $seen) = @_;
	is(few(@{ $seen->{wrong} }), '', "$name: nothing is lost, nothing old is read ($seen->{acknowledged} writes, $seen->{reads} reads)");
	my @codes = sort keys %{ $seen->{errors} };
	is(join(' ', grep { !is_retryable($_) } @codes), '', "$name: errors say that one can try again: " .
		join(', ', map { "$seen->{errors}{$_} $_" } @codes)) or
		diag(map { "$seen->{texts}{$_} times $_\n" } sort keys %{ $seen->{texts} });
}

# A split; $part is the number of the one that goes on, undef if none does.
sub split_case
{
	my ($cluster, $part, @parts) = @_;
	my $name = join ' | ', map { join ' ', @$_ } @parts;
	$name = ($cluster->{nodes} + 1) . " nodes, $name";
	return if defined $only && $name !~ /$only/;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $net = $cluster->{net};
	my $probe = probe($cluster, 'probed', [0 .. $cluster->{nodes}]);
	sleep 0.5;
	my $fault = now();
	$net->split(@parts);
	my $since = now();
	sleep($promised + 1);
	my $mended = now();
	$net->heal;
	my $whole = settled_in($cluster, 60);
	sleep 1;
	my $seen = $probe->stop;

	my %goes_on = map { $_ => 1 } defined $part ? @{ $parts[$part] } : ();
	if (defined $part)
	{
		my $time = $seen->writable_after($fault, $since, keys %goes_on);
		cmp_ok($time, '<', $promised, sprintf '%s: servers %s write to all shards after %.2f s', $name, "@{ $parts[$part] }", $time);
	}
	my @late = map { my $client = $_; map { sprintf '%s %s at %.3f to %.3f', $_->{kind}, $_->{by}, $_->{start} - $fault, $_->{end} - $fault }
		grep { $_->{kind} =~ /[wr]/ && $_->{start} > $since + $failover_time && $_->{end} < $mended } @{ $client->{ops} } }
		grep { !$goes_on{ $_->{server} } } @{ $seen->{clients} };
	is(few(@late), '', "$name: no other server does anything");
	my $time = $seen->writable_after($mended, $mended, 0 .. $cluster->{nodes});
	cmp_ok($time, '<', $promised, sprintf '%s: all servers write to all shards %.2f s after it is over', $name, $time);
	check_probe($name, $seen);
	return whole_again($cluster, $name);
}

# The server is killed when it has been back for a moment, several times.
sub kill_case
{
	my ($cluster, $server, @moments) = @_;
	my $name = ($cluster->{nodes} + 1) . " nodes, server $server is killed again and again";
	return if defined $only && $name !~ /$only/;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $probe = probe($cluster, 'probed', [grep { $_ != $server } 0 .. $cluster->{nodes}]);
	sleep 0.5;
	my @windows;
	my $down = sub {
		my ($begin, $for) = (now(), @_);
		$cluster->kill($server);
		push @windows, [$begin, now()];
		sleep $for;
		$cluster->start($server);
	};
	$down->($promised);
	for my $moment (@moments)
	{
		sleep $moment;
		$down->(0.1);
	}
	my $whole = settled_in($cluster, 60);
	sleep 0.5;
	my $seen = $probe->stop;
	my @times = map { $seen->writable_after(@$_) } @windows;
	cmp_ok(max(@times), '<', $promised, "$name: the others write to all shards after " . join(', ', map { sprintf '%.2f', $_ } @times) . ' s');
	check_probe($name, $seen);
	return whole_again($cluster, $name);
}

for my $n (split /,/, $ENV{NODES} // '3,4')
{
	my $cluster = ShoalTest->new(nodes => $n - 1);
	$cluster->{net} = ShoalNetwork->new($cluster);
	# with four nodes each half has a copy of each shard
	make_probed($cluster, 'probed', 4, $n - 2);
	$cluster->sql(0, "CREATE TABLE ref (a int PRIMARY KEY, t text);
		SELECT shoal.create_reference_table('ref'); INSERT INTO ref SELECT i, 'row' FROM generate_series(1, 30) i");
	my $all = $ENV{ALL} || defined $only;
	if ($n == 3)
	{
		split_case($cluster, undef, [0], [1], [2]);
		split_case($cluster, 1, [0], [1, 2]) if $all;
		split_case($cluster, 1, [1], [0, 2]) if $all;
		split_case($cluster, 1, [2], [0, 1]) if $all;
		kill_case($cluster, $_, map { 0.1 + rand(1.5) } 1 .. 8) for $all ? 0 .. 2 : ();
	}
	else
	{
		split_case($cluster, 0, [0, 3], [1, 2]);
		split_case($cluster, 0, [0, 1], [2, 3]) if $all;
		split_case($cluster, 1, [1], [0, 2, 3]) if $all;
		split_case($cluster, undef, [0], [1], [2, 3]) if $all;
		kill_case($cluster, 2, map { 0.1 + rand(1.5) } 1 .. ($all ? 8 : 3));
		kill_case($cluster, 0, map { 0.1 + rand(1.5) } 1 .. 8) if $all;
	}
	$cluster->no_leaks("$n nodes");
}

done_testing();
