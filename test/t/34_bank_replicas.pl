# The bank of 11_bank.pl on tables whose shards have a replica, while servers are killed
# and started again, stopped for seconds (SIGSTOP), or cut off from the others, any one
# at a time: nothing acknowledged is lost, no total is wrong, and all shards can be
# written to but for the time that it takes to give a node up.  That is measured
# by probes (ShoalFaults.pm).
#
# SECONDS=n: with faults for so long.  SEED=n repeats the choices, but not the timing.
#
# Alone

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;
use ShoalBank;
use ShoalFaults;
use ShoalNetwork;

my $seed = $ENV{SEED} // int(rand(1_000_000));
note("SEED=$seed");
srand($seed);

# seconds that the promise allows from a fault to the first write, at default settings
my $promised = 5;

# and that a busy machine may take for a write; longer ones would be a loss of service
my $hiccup = 2;

my $cluster = ShoalTest->new(nodes => 2, conf => ['max_prepared_transactions=100', 'shoal.recovery_interval=1s']);
my $net = ShoalNetwork->new($cluster);
make_bank($cluster, seed => $seed, replicas => 1);
make_probed($cluster, 'probed', 4, 1);

my @faults;					# { name, server, begin, since, end }

# A fault of a server for some seconds.
sub fault
{
	my ($server) = @_;
	my %kinds = faults_of($cluster, $net, $server);
	my @names = $ENV{KINDS} ? split(/;/, $ENV{KINDS}) : sort keys %kinds;
	my $name = $names[rand @names];
	my $fault = { name => $name, server => $server, begin => now() };
	push @faults, $fault;
	$kinds{$name}[0]->();
	$fault->{since} = now();
	# some are over before anybody is given up
	sleep(rand() < 0.3 ? rand(2.5) : 1 + rand(9));
	$fault->{end} = now();
	$kinds{$name}[1]->();
	return $fault;
}

my $seconds = $ENV{SECONDS} // 25;
my $probe;
my @lines = run_bank($cluster, $seconds + 12, sub {
	my ($until) = @_;
	$probe = probe($cluster, 'probed', [0 .. 2]);
	sleep 1;
	while (time < $until - 12)
	{
		my $fault = fault(int rand 3);
		# a node may be given up just as it comes back
		do { $fault->{repaired} = settled_in($cluster, 60); sleep 2.5; } while (defined $fault->{repaired} && !defined settled_in($cluster, 1));
		note(sprintf '%.1f s: %s of server %d for %.1f s, %s', $fault->{begin} - $probe->{from}, $fault->{name}, $fault->{server},
			$fault->{end} - $fault->{begin},
			defined $fault->{repaired} ? sprintf('whole %.1f s after that', $fault->{repaired}) : 'not whole 60 s after that');
	}
});
my $seen = $probe->stop;

my @times = map { my $f = $_; $f->{time} = $probe->writable_after($f->{begin}, $f->{since}, grep { $_ != $f->{server} } 0 .. 2) } @faults;
note(sprintf '%s of server %d: %.2f s', $_->{name}, $_->{server}, $_->{time}) for @faults;
cmp_ok(max(@times), '<', $promised, sprintf 'after each of %d faults all shards could be written to in at most %.2f s', scalar @faults, max(@times));
is(scalar(grep { !defined $_->{repaired} } @faults), 0, 'after each fault all was repaired');
# a fault that is over before the node is given up has a window, too
my ($gap, $at) = $probe->longest_gap(map { [$_->{begin}, $_->{begin} + $_->{time}] } @faults);
cmp_ok($gap, '<', $hiccup, sprintf 'outside of these windows there is always a write to each shard within %.2f s', $gap) or
	diag(sprintf 'at %.1f s', $at);
is(join("\n", @{ $seen->{wrong} }[0 .. ($#{ $seen->{wrong} } > 9 ? 9 : $#{ $seen->{wrong} })]), '',
	"probes: nothing is lost, nothing old is read ($seen->{acknowledged} writes, $seen->{reads} reads)");
my @codes = sort keys %{ $seen->{errors} };
is(join(' ', grep { !is_retryable($_) } @codes), '', 'probes: errors say that one can try again: ' .
	join(', ', map { "$seen->{errors}{$_} $_" } @codes)) or diag(map { "$seen->{texts}{$_} times $_\n" } sort keys %{ $seen->{texts} });
whole_again($cluster, 'in the end');
check_bank($cluster, 'faults', @lines);
$cluster->no_leaks('in the end');

done_testing();
