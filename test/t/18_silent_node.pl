# A node falls silent at a step of a transaction, with or without its kernel.
# That ends in an error, not in a wait for ever.  See ShoalCases.pm for what must be
# so whatever happens.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use ShoalCases;

$cluster->sql(0, "ALTER ROLE app SET shoal.node_conninfo = 'connect_timeout=2 tcp_user_timeout=1500" .
	" keepalives_idle=1 keepalives_interval=1 keepalives_count=2'");
# the node is reached again only after the client has been told
$cluster->sql(0, "ALTER ROLE app SET shoal.commit_wait = '2s'");
my $seconds = 8;

for my $do ('drop', 'silence')
{
	my ($connect) = @steps;
	# SYN is not answered, or the startup packet is not
	step_case($connect, $do, 'before', "$do, all", expect => qr/^08001$/, soon => $seconds, all => 1);
	step_case($connect, $do, 'answer', $do, expect => qr/^08001$/, soon => $seconds);
}

# No acknowledgement comes: TCP finds out, by tcp_user_timeout where something
# was sent, by keepalives where an answer is awaited.
for my $step (@steps)
{
	my ($name) = @$step;
	next if $name !~ /^(?:first statement|COPY data|end of COPY|(?:PREPARE TRANSACTION|COMMIT PREPARED|ROLLBACK PREPARED|ROLLBACK))$/;
	my %told = (expect => $name =~ /^COMMIT PREPARED|^ROLLBACK$/ ? qr/^done$/ : $name eq 'ROLLBACK PREPARED' ? qr/^P0001$/ : qr/^08006$/);
	step_case($step, 'drop', 'before', 'dropped', %told, soon => $seconds, all => 1);
	step_case($step, 'drop', 'answer', 'dropped', %told, soon => $seconds, all => 1);
}

# The node does not hear of it, and gives the transaction up by its keepalives (when
# it has sent nothing since).
for my $step (@steps)
{
	my ($name) = @$step;
	next if $name !~ /^(?:end of COPY|ROLLBACK)$/;
	step_case($step, 'drop', $_, 'dropped for ever', expect => $name eq 'ROLLBACK' ? qr/^done$/ : qr/^08006$/,
		soon => $seconds, stay => 1) for 'before', 'answer';
}

# Everything is acknowledged, but nobody is there (a stopped process): the
# client gives up, or its statement_timeout does.
my $cancel = sub { my ($w) = @_; $w->cancel; };
for my $step (@steps)
{
	my ($name) = @$step;
	next if $name !~ /^(?:first statement|end of COPY|PREPARE TRANSACTION|COMMIT PREPARED|ROLLBACK)$/;
	my %told = (expect => $name =~ /^COMMIT PREPARED|^ROLLBACK$/ ? qr/^done$/ : qr/^57014$/);
	step_case($step, 'silence', 'before', 'silence, cancelled', %told, soon => $seconds, all => 1, meanwhile => $cancel);
	step_case($step, 'silence', 'answer', 'silence, cancelled', %told, soon => $seconds, all => 1, meanwhile => $cancel);
}
for my $do ('drop', 'silence')
{
	case("statement_timeout, $do", [[1, 1, 0], sub { my ($n) = @_; return query("SET statement_timeout = '1s'"), both($n); }], 1,
		{ from => 'coordinator', message => '^P .*UPDATE', do => $do, all => 1 }, expect => qr/^57014$/, soon => $seconds);
}
$cluster->sql(0, 'ALTER ROLE app RESET ALL');

end_of_cases();
