# The list of differences that are known, with their reasons (file "known").
#
# Lines of it:
#   = NAME TEXT           a reason; "~" before TEXT: such a difference comes and
#                         goes from run to run
#   FILE VERDICT NUMBER REASON TEXT
#                         a difference: the statement's number, a reason or
#                         "after:N" (it follows from statement N), and the
#                         start of its text.  The text finds it, of several
#                         with one text the nearest number.

package Differential::Known;

use strict;
use warnings;

my $width = 60;

# A statement's text as the list has it: no comments, no runs of blanks.
sub key
{
	my ($text) = @_;
	$text =~ s/^\s*--.*$//mg;
	$text =~ s/\s+/ /g;
	$text =~ s/^ //;
	$text = substr $text, 0, $width;
	$text =~ s/ $//;
	return $text;
}

sub load
{
	my ($class, @paths) = @_;
	my $self = bless { reason => {}, entry => {}, unlisted => 0, by => {}, gone => 0 }, $class;
	$self->add($_) for @paths;
	return $self;
}

sub add
{
	my ($self, $path) = @_;
	open my $in, '<', $path or die "$path: $!\n";
	while (my $line = <$in>)
	{
		chomp $line;
		next if $line =~ /^\s*(#|$)/;
		if ($line =~ /^= (\S+) (~ )?(.+)$/)
		{
			$self->{reason}{$1} = { text => $3, varies => defined $2 };
			next;
		}
		$line =~ /^(\S+) (\S+) (\d+) (\S+) (.*)$/ or die "$path: line $. is not understood\n";
		my ($file, $reason) = ($1, $4);
		push @{ $self->{entry}{$file} }, { verdict => $2, number => $3, reason => $reason, key => $5 };
		die "$path: line $.: reason $reason is not explained\n" if $reason !~ /^after:\d+$/ && !$self->{reason}{$reason};
	}
}

sub varies { my ($self, $entry) = @_; return ($self->{reason}{ $entry->{reason} } // {})->{varies}; }

# Whether an entry may stand for a verdict; rows in another order make some
# statement's rows others.
sub fits
{
	my ($self, $entry, $verdict) = @_;
	return 1 if $entry->{verdict} eq $verdict;
	return $self->varies($entry) && "$entry->{verdict} $verdict" =~ /^(order wrong|wrong order)$/;
}

# Compares a file's differences, [number, verdict, text] each, with the list:
# those not listed, and the entries that nothing differs for.
sub check
{
	my ($self, $file, @diffs) = @_;
	my (@unlisted, @later, %used);
	my $take = sub {
		my ($diff, $distance) = @_;
		my ($number, $verdict, $text) = @$diff;
		my ($best) = sort { abs($a->{number} - $number) <=> abs($b->{number} - $number) }
			grep { !$used{$_} && $_->{key} eq key($text) && $self->fits($_, $verdict) } @{ $self->{entry}{$file} };
		return 0 if !$best || (defined $distance && abs($best->{number} - $number) > $distance);
		$used{$best} = 1;
		$self->{by}{ $best->{reason} =~ /^after:/ ? 'after' : $best->{reason} }++;
		return 1;
	};
	for (@diffs) { push @later, $_ if !$take->($_, 0); }
	for (@later) { push @unlisted, $_ if !$take->($_); }
	my @gone = grep { !$used{$_} && !$self->varies($_) } @{ $self->{entry}{$file} };
	$self->{unlisted} += @unlisted;
	$self->{gone} += @gone;
	return (\@unlisted, \@gone);
}

1;
