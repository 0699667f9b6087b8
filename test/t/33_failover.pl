# Nodes that do not answer are given up, and others go on with their replicas: by
# SIGKILL, SIGSTOP and cut networks, each node in turn, while clients write to all
# shards through all nodes.  Then the node comes back.  See ShoalFaults.pm for what
# must be so.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalTest;
use ShoalFaults;
use ShoalNetwork;

# seconds that the promise allows from a fault to the first write, at default settings
my $promised = 5;

my $only = $ENV{CASES};

# One fault at a server, with clients at all.  What the fault is: [name, how it begins,
# how it ends].
sub fault_case
{
	my ($cluster, $server, $name, $begin, $end, %arg) = @_;
	$name = ($cluster->{nodes} + 1) . " nodes, $name server $server";
	return if defined $only && $name !~ /$only/;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @all = 0 .. $cluster->{nodes};
	my @others = grep { $_ != $server } @all;
	my $probe = probe($cluster, 'probed', \@all);
	sleep 0.5;
	my $fault = now();
	$begin->();
	my $since = now();
	sleep($arg{hold} // 6);
	$arg{meanwhile}->($name, @others) if $arg{meanwhile};
	my $mended = now();
	$end->();
	sleep 2;
	my $whole = settled_in($cluster, 60);
	sleep 0.5;
	my $seen = $probe->stop;
	my $time = $probe->writable_after($fault, $since, @others);
	cmp_ok($time, '<', $promised, sprintf('%s: the others write to all shards after %.2f s', $name, $time)) or
		diag(map { "$seen->{texts}{$_} times $_\n" } sort keys %{ $seen->{texts} });
	note(sprintf '%s: server %d writes to all shards %.2f s after it is back', $name, $server, $probe->writable_after($mended, $mended, $server));
	is(join("\n", @{ $seen->{wrong} }[0 .. ($#{ $seen->{wrong} } > 9 ? 9 : $#{ $seen->{wrong} })]), '',
		"$name: nothing is lost, nothing old is read ($seen->{acknowledged} writes, $seen->{reads} reads)");
	my @codes = sort keys %{ $seen->{errors} };
	is(join(' ', grep { !is_retryable($_) } @codes), '', "$name: errors say that one can try again: " .
		join(', ', map { "$seen->{errors}{$_} $_" } @codes)) or
		diag(map { "$seen->{texts}{$_} times $_\n" } sort keys %{ $seen->{texts} });
	whole_again($cluster, $name) or diag("logs: $cluster->{dir}");
}

for my $n (split /,/, $ENV{NODES} // '3')
{
	my $cluster = ShoalTest->new(nodes => $n - 1);
	my $net = ShoalNetwork->new($cluster) if $ENV{NET};
	make_probed($cluster, 'probed', 6, 1);
	for my $server (0 .. $n - 1)
	{
		next if $n == 2 && $server == 0;
		if ($net)
		{
			fault_case($cluster, $server, 'cables cut of', sub { $net->cut_off($server) }, sub { $net->heal });
			fault_case($cluster, $server, 'cables cut of', sub { $net->cut_off($server) }, sub { $net->heal(deliver => 1) });
			fault_case($cluster, $server, 'nothing comes from', sub { $net->cut(map { [$server, $_] } grep { $_ != $server } 0 .. $n - 1) }, sub { $net->heal });
			fault_case($cluster, $server, 'nothing gets to', sub { $net->cut(map { [$_, $server] } grep { $_ != $server } 0 .. $n - 1) }, sub { $net->heal });
			fault_case($cluster, $server, 'connections refused of', sub { $net->cut_off($server, reset => 1) }, sub { $net->heal });
			next;
		}
		fault_case($cluster, $server, 'kill -9 of', sub { $cluster->kill($server) }, sub { $cluster->start($server) });
		fault_case($cluster, $server, 'SIGSTOP of', sub { $cluster->freeze($server) }, sub { $cluster->thaw($server) });
	}
}

done_testing();
