# SQL files as psql reads them: statements, psql's own commands, COPY's data.

package Differential::Split;

use strict;
use warnings;

# psql's commands that send what stands before them
my $sends = qr/^\\(?:g|gx|gset|gexec|gdesc|crosstabview|bind)\b/;

# Chunks of a file: { text, kind }, kind is sql, psql (a line of psql's alone)
# or none (blanks and comments).
sub chunks
{
	my ($text) = @_;
	my (@chunks, $depth, $words);
	my $buf = '';
	my $start = sub { ($buf, $depth, $words) = ('', 0, ''); };
	my $end = sub {
		my ($kind) = @_;
		push @chunks, { text => $buf, kind => $kind, words => $words } if $buf =~ /\S/;
		$start->();
	};

	$start->();
	pos($text) = 0;
	while (pos($text) < length $text)
	{
		if ($text =~ /\G(--[^\n]*\n?|\s+)/gc) { $buf .= $1; $words .= ' '; }
		elsif ($text =~ m{\G/\*}gc)
		{
			my $level = 1;
			$buf .= '/*';
			while ($level > 0 && $text =~ m{\G(.*?)(/\*|\*/)}gcs)
			{
				$buf .= "$1$2";
				$level += $2 eq '/*' ? 1 : -1;
			}
			last if $level > 0;
		}
		elsif ($text =~ /\G([eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*")/gcs) { $buf .= $1; $words .= ' x '; }
		elsif ($text =~ /\G(\$(?:[A-Za-z_]\w*)?\$)/gc)
		{
			my $tag = $1;
			$text =~ /\G(.*?\Q$tag\E)/gcs or last;
			$buf .= $tag . $1;
			$words .= ' x ';
		}
		elsif ($text =~ /\G(\\[^\n]*\n?)/gc)
		{
			my $line = $1;
			my $pending = $words =~ /\w/;
			$buf .= $line;
			if ($line =~ /^\\;/)
			{
				# the rest of the line is still SQL
				$buf = substr $buf, 0, length($buf) - length($line) + 2;
				pos($text) -= length($line) - 2;
			}
			elsif ($pending && $line =~ $sends) { $end->('sql'); }
			elsif (!$pending) { $end->('psql'); }
		}
		elsif ($text =~ /\G([a-zA-Z_][\w\$]*|\d+)/gc) { $buf .= $1; $words .= $1; }
		else
		{
			$text =~ /\G(.)/gcs;
			my $char = $1;
			$buf .= $char;
			$words .= $char;
			$depth++ if $char =~ /[(\[]/;
			$depth-- if $char =~ /[)\]]/ && $depth > 0;
			next if $char ne ';' || $depth > 0;
			next if $words =~ /\bBEGIN\s+ATOMIC\b/i && $words !~ /\bEND\s*;$/i;
			if ($words =~ /^\s*COPY\b.*\bFROM\s+STDIN\b/is)
			{
				$text =~ /\G([^\n]*\n)/gc and $buf .= $1;
				$text =~ /\G(.*?^\\\.\n)/gcsm and $buf .= $1;
			}
			$end->($words =~ /\w/ ? 'sql' : 'none');
		}
	}
	$end->($words =~ /\w/ ? 'sql' : 'none');
	return @chunks;
}

1;
