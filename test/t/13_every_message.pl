# A fault at every message between a coordinator and its nodes: the request is
# lost or the answer is, the connection is cut, reset or slow.  See ShoalCases.pm
# for what must be so whatever happens.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use ShoalCases;

# ---- every step, every fault ----

for my $step (@steps)
{
	my ($name) = @$step;
	for my $fault ([cut => 'before'], [cut => 'answer'], [reset => 'answer'], [reset => 'before'],
		[delay => 'before'], [delay => 'answer'])
	{
		my ($do, $at) = @$fault;
		step_case($step, $do, $at, $do);
	}
	# "refused" is one node's doing
	step_case($step, 'cut', 'answer', 'cut, on both', both => 1, may_miss => 1) if $name !~ /ROLLBACK PREP|one node/;
}
# who is told that it was cancelled does not find it done
for my $step (grep { $_->[1] =~ /^one/ } @steps)
{
	step_case($step, 'delay', $_, 'delay, cancelled', expect => $_ eq 'answer' ? qr/^done$/ : qr/^(?:done|57014)$/,
		seconds => 0.5, meanwhile => sub { my ($w) = @_; $w->cancel; }) for 'before', 'answer';
}
case("no connection is taken, node $_", 'transaction', $_, { do => 'refuse' }, expect => qr/^08001$/) for 1, 2;

# ---- every message ----

# program, the nodes where its messages are gone through (with two, by turns)
for my $sweep (['transaction', 1, 2], ['moved', 1])
{
	my ($program, @nodes) = @$sweep;
	for my $node (@nodes)
	{
		my @messages = case("no fault, node $node, $program", $program, $node,
			{ from => 'node', message => '^never$', do => 'cut' }, may_miss => 1, expect => qr/^done$/);
		for my $side ('> ', '< ')
		{
			my @one = grep { index($_, $side) == 0 } @messages;
			my $from = $side eq '> ' ? 'coordinator' : 'node';
			for my $k (1 .. @one)
			{
				# what a node tells of itself at the start is one message to us
				next if $one[$k - 1] =~ /^< S / && $k > 5 && $one[$k - 2] =~ /^< S /;
				next if @nodes > 1 && ($k + $node) % 2;
				my $do = int($k / 2) % 2 ? 'cut' : 'reset';
				# passwords differ from run to run
				my $what = substr $one[$k - 1], 2, $one[$k - 1] =~ /^. [KRp]/ ? 1 : 20;
				case("$program, message $k of $from $node, $what: $do", $program, $node,
					{ from => $from, nth => $k, do => $do }, may_miss => $k > @one - 5 || $program eq 'moved');
			}
		}
	}
}

end_of_cases();
