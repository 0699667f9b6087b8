# The coordinator or a node dies at a step of a transaction, by SIGKILL.  See
# ShoalCases.pm for what must be so whatever happens.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use ShoalCases;

# a node that dies comes back after its client has been told
$cluster->sql(0, "ALTER ROLE app SET shoal.commit_wait = '2s'");

for my $who ([0, 'coordinator dies'], ['node', 'node dies'])
{
	my ($kill, $what) = @$who;
	for my $step (grep { $_->[0] !~ /authentication|one node|is a trans|ROLLBACK$/ } @steps)
	{
		my ($name) = @$step;
		my $two = $name =~ /PREPARE/;
		# the message is lost, or has been acted upon
		step_case($step, 'hold', 'before', $what, kill => $kill, soon => 15) if $two || $kill eq '0';
		step_case($step, 'hold', 'answer', $what, kill => $kill, soon => 15) if $two || $kill eq 'node';
		# the message arrives all the same, when all others have ended
		step_case($step, 'delay', 'before', "late, $what", seconds => 60, kill => $kill) if $two && $kill eq '0';
	}
}

end_of_cases();
