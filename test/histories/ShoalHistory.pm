# ShoalHistory.pm: finds anomalies in a history of transactions, as clients saw
# them.
#
#   my $history = ShoalHistory::read_history($file);          # or read_lines(@lines)
#   my @found = ShoalHistory::check_lists($history, 'read committed');
#   my @found = ShoalHistory::check_registers($history);
#   # each: { class => 'G-single', counts => 1, text => '...' }
#
# A history has a line for each transaction, with tabs between
#
#   client  start  end  outcome  operation...
#
# Times are seconds of one clock.  The outcome is "ok", "fail" (for sure not
# committed) or "unknown".  An operation is a statement, a letter and
# key:value for each row:
#
#   a 3:17 4:17        appended 17 to the lists of keys 3 and 4
#   u 3:18             appended, and rolled back to a savepoint
#   w 5:19             wrote 19 into register 5
#   r 3:11,17 4:       read lists (key 4's is empty), or registers
#   s 3:11,17 4:       the same, with a statement that read several nodes
#
# with the statement's own times where they are known: "r@1.25-1.5 3:11,17".
# What is written to a key is written once.  Statements that failed are left out.
# A key on one node may say on which: "3@2".
#
# Lists (the method is that of Elle, Kingsbury and Alvaro 2020).  A list tells in
# which order it was written, so the longest one that was read of each key is the
# order of its versions, of which the others must be prefixes.  That gives a graph of
# transactions: ww (wrote the next version), wr (read it), rw (read the one before
# it), rt (began after the other had ended).  A cycle in it is an anomaly,
# whose name says how many rw edges it needs:
#
#   G0                 ww only
#   G1c                ww and wr
#   G-single           one rw: read skew, lost update
#   fractured read     one of wr and one of rw: saw a part of a transaction
#   G-nonadjacent      several rw, no two in succession: long fork
#   G2                 several rw: write skew
#
# and "realtime" that it needs rt, "of one node" that each transaction in it that
# writes has done so on one node, and that what was not seen was on another
# one than what was.  Other anomalies are found without the graph:
#
#   G1a                a read of what was rolled back
#   G1b                a read of what its transaction then went on to change
#   lost append        acknowledged, and not in a list that was read later
#   duplicate          twice in a list
#   incompatible order lists of which none is a prefix of the other
#   garbage            nobody wrote that
#   internal           a transaction doesn't see what it has done, or sees what
#                      it is going to do
#
# What counts depends on the isolation level (%allowed).  The first two are meant
# as Shoal means them: a snapshot of several nodes shows each transaction on all of
# them or on none, but of two transactions that are on one node each, and not on
# the same, it may show the later one only.  With "read committed" each SELECT is a transaction of its own, as it has a snapshot of its own; the
# writes of a transaction are another, which has no rw edges: there they are legal.
# Nor do SELECTs give rt edges there, but for those of several nodes ("s"): who reads
# one node may see a transaction before those who read another one.
#
# Registers: for each key, whether one can choose a moment within the time of each
# operation so that every read gets what was written last (linearizability).
# As values are unique, each is written in one operation and read in some; those
# must have their time for themselves (Gibbons and Korach 1997): value A is before B
# if some operation on A ended before some operation on B began, and no two values may be
# before each other.

package ShoalHistory;

use strict;
use warnings;
use List::Util qw(min max);

my $infinity = 9**9**9;

# Anomalies that are allowed; all others count.
my @allowed = ('G-single of one node', 'G-single-realtime of one node', 'G-nonadjacent of one node', 'G2');
my %allowed = (
	'read committed' => { map { $_ => 1 } @allowed },
	'repeatable read' => { map { $_ => 1 } @allowed },
	'snapshot isolation' => { G2 => 1 },
	'serializable' => {});

sub levels { return sort keys %allowed; }

# ---- reading ----

sub read_line
{
	my ($line, $n) = @_;
	chomp $line;
	my ($client, $start, $end, $outcome, @ops) = split /\t/, $line;
	die "line $n: not a transaction: $line\n" if !defined $outcome || $outcome !~ /^(ok|fail|unknown)$/;
	my %txn = (line => $n, client => $client, start => $start, end => $end, outcome => $outcome, ops => []);
	for (@ops)
	{
		my ($head, @rows) = split / /;
		my ($kind, $from, $to) = $head =~ /^([auwrs])(?:\@([\d.]+)-([\d.]+))?$/ or die "line $n: not an operation: $_\n";
		push @{ $txn{ops} }, { kind => $kind, start => $from // $start, end => $to // $end,
			rows => [map { /^([^:]+):(.*)$/ ? [$1, $2] : die "line $n: not a row: $_\n" } @rows] };
	}
	return \%txn;
}

sub read_lines
{
	my (@lines) = @_;
	my $n = 0;
	return [map { $n++; /^(#|$)/ ? () : read_line($_, $n) } @lines];
}

sub read_history
{
	my ($file) = @_;
	open my $in, '<', $file or die "$file: $!\n";
	return read_lines(<$in>);
}

sub name
{
	my ($txn, $op) = @_;
	return "line $txn->{line} (client $txn->{client}, $txn->{outcome}" . ($op ? ", statement $op" : '') . ')';
}

# ---- lists ----

# A check under way: what was found, and
#   append{key}{value}  [transaction, number of the operation, undone]
#   reads               [transaction, number of the operation, key, list without
#                       own values (ends in a comma), own values before it]
#   order{key}          values of the longest list
#   position{key}{value}
sub check_lists
{
	my ($history, $level) = @_;
	die "no isolation level \"$level\"\n" if !$allowed{$level};
	my $self = bless { level => $level, history => $history, found => [] };
	$self->find_appends;
	$self->find_reads;
	$self->find_order;
	$self->find_committed;
	$self->find_aborted_reads;
	$self->find_lost;
	$self->find_intermediate;
	$self->make_graph;
	$self->find_cycles;
	return @{ $self->{found} };
}

sub found
{
	my ($self, $class, $text) = @_;
	push @{ $self->{found} }, { class => $class, text => $text, counts => $allowed{ $self->{level} }{$class} ? 0 : 1 };
}

sub find_appends
{
	my ($self) = @_;
	for my $txn (@{ $self->{history} })
	{
		my $n = 0;
		for my $op (@{ $txn->{ops} })
		{
			$n++;
			next if $op->{kind} !~ /[au]/;
			for (@{ $op->{rows} })
			{
				my ($key, $value) = @$_;
				die name($txn) . ": $value was appended to $key before\n" if $self->{append}{$key}{$value};
				$self->{append}{$key}{$value} = [$txn, $n, $op->{kind} eq 'u'];
			}
		}
	}
}

# Reads, with what the transaction itself had appended before taken off.
sub find_reads
{
	my ($self) = @_;
	for my $txn (@{ $self->{history} })
	{
		my %own;
		my $n = 0;
		for my $op (@{ $txn->{ops} })
		{
			$n++;
			for (@{ $op->{rows} })
			{
				my ($key, $value) = @$_;
				if ($op->{kind} eq 'a')
				{
					$own{$key} .= "$value,";
					next;
				}
				next if $op->{kind} !~ /[rs]/;
				my $list = $value eq '' ? '' : "$value,";
				my $own = $own{$key} // '';
				if ($own ne '' && substr(",$list", -length ",$own") ne ",$own")
				{
					$self->found('internal', name($txn, $n) . " read $value from $key, to which it had appended $own");
					next;
				}
				push @{ $self->{reads} }, [$txn, $n, $key, substr($list, 0, length($list) - length $own), $own];
			}
		}
	}
}

sub find_order
{
	my ($self) = @_;
	my %longest;
	my $see = sub {
		my ($key, $list, $read) = @_;
		$longest{$key} = [$list, $read] if !$longest{$key} || length $list > length $longest{$key}[0];
	};
	for (@{ $self->{reads} })
	{
		my ($txn, $n, $key, $list, $own) = @$_;
		$see->($key, $list, $_);
		$see->($key, $list . $own, $_) if $txn->{outcome} eq 'ok';
	}
	for my $key (keys %longest)
	{
		my @order = split /,/, $longest{$key}[0];
		my %position;
		for my $i (0 .. $#order)
		{
			my $value = $order[$i];
			if (exists $position{$value})
			{
				$self->found('duplicate', name(@{ $longest{$key}[1] }[0, 1]) . " read $value twice from $key");
				next;
			}
			$position{$value} = $i;
			$self->found('garbage', name(@{ $longest{$key}[1] }[0, 1]) . " read $value from $key, which nobody has appended")
				if !$self->{append}{$key}{$value};
		}
		$self->{order}{$key} = \@order;
		$self->{position}{$key} = \%position;
	}
	# all others are prefixes
	my @good;
	my (%length, %bad);
	for (@{ $self->{reads} })
	{
		my ($txn, $n, $key, $list, $own) = @$_;
		my $whole = $txn->{outcome} eq 'ok' ? $list . $own : $list;
		if (substr($longest{$key}[0], 0, length $whole) ne $whole)
		{
			my @values = split /,/, $whole;
			my %count;
			$count{$_}++ for @values;
			my ($twice) = grep { $count{$_} > 1 } @values;
			$self->found('duplicate', name($txn, $n) . " read $twice twice from $key") if $twice && !$bad{duplicate}{$key}++;
			$self->found('incompatible order', name($txn, $n) . " read $whole from $key, and " .
				name(@{ $longest{$key}[1] }[0, 1]) . " read $longest{$key}[0]") if !$bad{order}{$key}++;
			for my $value (@values)
			{
				my $append = $self->{append}{$key}{$value};
				$self->found('garbage', name($txn, $n) . " read $value from $key, which nobody has appended") if !$append;
				push @{ $self->{stray} }, [$_, $value] if $append;
			}
			next;
		}
		$_->[5] = $length{$list} //= $list =~ tr/,//;
		push @good, $_;
		# what it has not done yet is not there
		for my $m ($n .. $#{ $txn->{ops} })
		{
			next if $txn->{ops}[$m]{kind} ne 'a';
			for my $row (@{ $txn->{ops}[$m]{rows} })
			{
				my $position = $row->[0] eq $key ? $self->{position}{$key}{ $row->[1] } : undef;
				$self->found('internal', name($txn, $n) . " read $row->[1] from $key before it appended it")
					if defined $position && $position < $_->[5];
			}
		}
	}
	$self->{reads} = \@good;
}

# A transaction of unknown outcome is committed if somebody has seen it.
sub find_committed
{
	my ($self) = @_;
	$_->{committed} = $_->{outcome} eq 'ok' for @{ $self->{history} };
	my @seen = map { $_->[1] ? $self->{append}{ $_->[0] }{ $_->[1] } : () }
		((map { my $key = $_; map { [$key, $_] } @{ $self->{order}{$key} } } keys %{ $self->{order} }),
		 (map { [$_->[0][2], $_->[1]] } @{ $self->{stray} }));
	for (grep { $_ && !$_->[2] } @seen)
	{
		$_->[0]{committed} = 1 if $_->[0]{outcome} eq 'unknown';
	}
}

# The transaction that appended this, if that is committed.
sub writer
{
	my ($self, $key, $value) = @_;
	my $append = $self->{append}{$key}{$value};
	return $append && $append->[0]{committed} && !$append->[2] ? $append->[0] : undef;
}

sub find_aborted_reads
{
	my ($self) = @_;
	my %said;
	for (@{ $self->{stray} })
	{
		my ($read, $value) = @$_;
		my ($txn, $n, $key) = @$read;
		next if $self->writer($key, $value) || $said{$key}{$value}++;
		$self->found('G1a', name($txn, $n) . " read $value from $key, of " . name($self->{append}{$key}{$value}[0]));
	}
	for my $key (sort keys %{ $self->{order} })
	{
		for my $value (@{ $self->{order}{$key} })
		{
			my $append = $self->{append}{$key}{$value};
			next if !$append || $self->writer($key, $value) || $said{$key}{$value}++;
			my @read = grep { $_->[2] eq $key && $_->[5] > $self->{position}{$key}{$value} } @{ $self->{reads} };
			$self->found('G1a', scalar(@read) . " reads, the first " . (@read ? name(@{ $read[0] }[0, 1]) : '') .
				", of $value from $key, of " . name($append->[0]));
		}
	}
}

sub find_lost
{
	my ($self) = @_;
	my %last;
	for (@{ $self->{reads} })
	{
		my ($txn, $n, $key) = @$_;
		my $start = $txn->{ops}[$n - 1]{start};
		$last{$key} = [$start, $_] if !$last{$key} || $start > $last{$key}[0];
	}
	for my $key (sort keys %{ $self->{append} })
	{
		for my $value (sort keys %{ $self->{append}{$key} })
		{
			my $writer = $self->writer($key, $value);
			next if !$writer || defined $self->{position}{$key}{$value};
			push @{ $self->{unseen}{$key} }, $writer;
			$self->found('lost append', name($writer) . " appended $value to $key, which " .
				name(@{ $last{$key}[1] }[0, 1]) . ' did not find later')
				if $writer->{outcome} eq 'ok' && $last{$key} && $last{$key}[0] > $writer->{end};
		}
	}
}

sub find_intermediate
{
	my ($self) = @_;
	my %parts;			# transactions that have appended several times to one key
	for my $key (keys %{ $self->{order} })
	{
		my %of;
		for my $value (@{ $self->{order}{$key} })
		{
			my $writer = $self->writer($key, $value) or next;
			push @{ $of{ $writer->{line} } }, $self->{position}{$key}{$value};
		}
		for my $line (grep { @{ $of{$_} } > 1 } keys %of)
		{
			push @{ $parts{$key} }, [$line, min(@{ $of{$line} }), max(@{ $of{$line} })];
		}
	}
	my %said;
	for my $read (@{ $self->{reads} })
	{
		my ($txn, $n, $key, undef, undef, $length) = @$read;
		for (@{ $parts{$key} // [] })
		{
			my ($line, $first, $last) = @$_;
			$self->found('G1b', name($txn, $n) . " read $key in the midst of what line $line appended to it")
				if $line != $txn->{line} && $length > $first && $length <= $last && !$said{$key}{$line}++;
		}
	}
}

# ---- the graph ----

# The node where a transaction has written, "several" if they are or may be more.
sub where_written
{
	my ($txn) = @_;
	my %on = map { $_->[0] =~ /@(.*)/ ? ($1 => 1) : (one => 1, another => 1) }
		map { @{ $_->{rows} } } grep { $_->{kind} eq 'a' } @{ $txn->{ops} };
	return keys %on > 1 ? 'several' : (keys %on)[0];
}

sub add_node
{
	my ($self, $name, $start, $end, $on) = @_;
	push @{ $self->{nodes} }, { name => $name, start => $start, end => $end, on => $on };
	return $#{ $self->{nodes} };
}

sub add_edge
{
	my ($self, $type, $from, $to, $key) = @_;
	return if $from == $to || $self->{seen}{"$type $from $to"}++;
	push @{ $self->{edges}{$type}[$from] }, [$to, $type, $key];
}

sub make_graph
{
	my ($self) = @_;
	my $single = $self->{level} eq 'read committed';
	my (%node, %statement);
	for my $txn (@{ $self->{history} })
	{
		my $writes = $txn->{committed} && grep { $_->{kind} eq 'a' } @{ $txn->{ops} };
		my $end = $txn->{outcome} eq 'unknown' && $writes ? $infinity : $txn->{end};
		$node{ $txn->{line} } = $self->add_node(name($txn), $txn->{start}, $end, $writes ? where_written($txn) : undef) if $writes || !$single;
		$self->{nodes}[-1]{is_source} = 1 if $writes || !$single;
	}
	for (@{ $self->{reads} })
	{
		my ($txn, $n) = @$_;
		my $id = "$txn->{line} $n";
		my $op = $txn->{ops}[$n - 1];
		next if defined $statement{$id};
		$statement{$id} = $single ? $self->add_node(name($txn, $n), $op->{start}, $op->{end}) : $node{ $txn->{line} };
		$self->{nodes}[ $statement{$id} ]{is_source} = 1 if $op->{kind} eq 's';
	}

	# next{key}[i]: nodes whose version follows the first i values; version{key}[i]:
	# node that has written the i-th of them
	my (%next, %version);
	for my $key (keys %{ $self->{order} })
	{
		my @order = @{ $self->{order}{$key} };
		my @follow = map { $node{ $_->{line} } } @{ $self->{unseen}{$key} // [] };
		$next{$key}[@order] = [@follow];
		my $previous;
		for my $i (reverse 0 .. $#order)
		{
			my $writer = $self->writer($key, $order[$i]);
			@follow = ($node{ $writer->{line} }) if $writer;
			$next{$key}[$i] = [@follow];
		}
		for my $i (0 .. $#order)
		{
			my $writer = $self->writer($key, $order[$i]);
			$previous = $node{ $writer->{line} } if $writer;
			$version{$key}[ $i + 1 ] = $previous;
			next if !$writer;
			$self->add_edge('ww', $previous, $_, $key) for @{ $next{$key}[ $i + 1 ] };
		}
	}
	for (@{ $self->{reads} })
	{
		my ($txn, $n, $key, undef, $own, $length) = @$_;
		my $reader = $statement{"$txn->{line} $n"};
		my $version = $version{$key}[$length];
		my $node = $node{ $txn->{line} };
		if (defined $version)
		{
			$self->add_edge('wr', $version, $reader, $key);
			$self->add_edge('wr', $version, $node, $key) if defined $node;
		}
		next if $own ne '';
		$self->add_edge('rw', $reader, $_, $key) for @{ $next{$key}[$length] };
	}
	$self->add_times;
}

# rt edges: through a chain of points in time, the ends of transactions.
sub add_times
{
	my ($self) = @_;
	my $nodes = $self->{nodes} or return;
	my @sources = sort { $nodes->[$a]{end} <=> $nodes->[$b]{end} }
		grep { $nodes->[$_]{is_source} && $nodes->[$_]{end} < $infinity } 0 .. $#$nodes;
	my @starts = sort { $nodes->[$a]{start} <=> $nodes->[$b]{start} } 0 .. $#$nodes;
	my $point;
	my $i = 0;
	for my $node (@starts)
	{
		while ($i < @sources && $nodes->[$sources[$i]]{end} < $nodes->[$node]{start})
		{
			my $new = $self->add_node(undef, 0, 0);
			$self->add_edge('rt', $sources[$i++], $new);
			$self->add_edge('rt', $point, $new) if defined $point;
			$point = $new;
		}
		$self->add_edge('rt', $point, $node) if defined $point;
	}
}

# Strongly connected components (Tarjan): the number of each node's one.  An edge
# never leads to a higher number.
sub components
{
	my ($self, @types) = @_;
	my @edges = map { $self->{edges}{$_} // [] } @types;
	my (@index, @low, @on_stack, @stack, @component);
	my ($counter, $components) = (0, 0);
	for my $root (0 .. $#{ $self->{nodes} // [] })
	{
		next if defined $index[$root];
		my @work = ([$root, undef, 0]);
		while (@work)
		{
			my $top = $work[-1];
			my $v = $top->[0];
			if (!$top->[1])
			{
				$top->[1] = [map { $_->[0] } map { @{ $_->[$v] // [] } } @edges];
				$index[$v] = $low[$v] = $counter++;
				push @stack, $v;
				$on_stack[$v] = 1;
			}
			if ($top->[2] < @{ $top->[1] })
			{
				my $w = $top->[1][ $top->[2]++ ];
				if (!defined $index[$w])
				{
					push @work, [$w, undef, 0];
				}
				elsif ($on_stack[$w] && $index[$w] < $low[$v])
				{
					$low[$v] = $index[$w];
				}
				next;
			}
			if ($low[$v] == $index[$v])
			{
				my $w;
				do
				{
					$w = pop @stack;
					$on_stack[$w] = 0;
					$component[$w] = $components;
				} while ($w != $v);
				$components++;
			}
			pop @work;
			$low[$work[-1][0]] = $low[$v] if @work && $low[$v] < $low[$work[-1][0]];
		}
	}
	return \@component;
}

# The shortest path, as a list of edges with where they begin: [from, to, type, key].
# Options: a function that is told where the last edge begins and its type and says
# whether it will do; "apart": no two rw in succession, nor one as the last; "wide": by
# way of a transaction that has written on several nodes.
sub path
{
	my ($self, $from, $to, $component, $types, %arg) = @_;
	return () if $component->[$from] < $component->[$to];
	my $is_wide = $self->{is_wide} //= [map { ($_->{on} // '') eq 'several' } @{ $self->{nodes} }];
	my @queue = ([$from, undef, undef, $is_wide->[$from]]);
	my %visited;
	while (my $at = shift @queue)
	{
		my ($v, undef, $edge, $was_wide) = @$at;
		if ($v == $to && $edge)
		{
			my @path;
			for (; $at->[1]; $at = $at->[1])
			{
				unshift @path, [$at->[1][0], @{ $at->[2] }];
			}
			return @path;
		}
		my $was_rw = $edge ? $edge->[1] eq 'rw' : 1;
		for my $type (@$types)
		{
			next if $arg{apart} && $was_rw && $type eq 'rw';
			for (@{ $self->{edges}{$type}[$v] // [] })
			{
				my $w = $_->[0];
				my $now_wide = $was_wide || $is_wide->[$w];
				next if $component->[$w] < $component->[$to] ||
					$w == $to && ($arg{apart} && $type eq 'rw' || $arg{wide} && !$now_wide || $arg{last} && !$arg{last}->($v, $type));
				my $state = join ' ', $w, $arg{apart} && $type eq 'rw' ? 'rw' : (), $arg{wide} && $now_wide ? 'wide' : ();
				push @queue, [$w, $at, $_, $now_wide] if !$visited{$state}++;
			}
		}
	}
	return ();
}

# A cycle as text; points in time are left out.
sub show
{
	my ($self, @cycle) = @_;
	my $text = $self->{nodes}[$cycle[0][0]]{name};
	for (@cycle)
	{
		my ($from, $to, $type, $key) = @$_;
		my $name = $self->{nodes}[$to]{name};
		$text .= ' -' . ($key ? "$type $key" : $type) . "-> $name" if defined $name;
	}
	return $text;
}

# Cycles that an edge of a type closes, over paths of other types.  Each rw edge may
# give one; of the others, those of each component that is in none yet.
sub find_closed
{
	my ($self, $class, $closing, @types) = @_;
	my $component = $self->components(@types);
	my $nodes = $self->{nodes};
	my %said = map { $component->[$_] => 1 } keys %{ $self->{cyclic_node} };
	for my $from (0 .. $#{ $self->{nodes} // [] })
	{
		for (@{ $self->{edges}{$closing}[$from] // [] })
		{
			my ($to) = @$_;
			next if $self->{cyclic}{$from}{$to} || $closing ne 'rw' && $said{ $component->[$from] };
			my @path = $self->path($to, $from, $component, \@types) or next;
			my $one = '';
			if ($closing eq 'rw' && ($nodes->[$to]{on} // '') ne 'several')
			{
				# what was not seen is on one node: is there a reason why it should have been?
				my $last = sub { my ($v, $type) = @_; return $type ne 'wr' || $nodes->[$v]{on} eq $nodes->[$to]{on} };
				my @better = $self->path($to, $from, $component, \@types, wide => 1);
				@better = $self->path($to, $from, $component, \@types, last => $last) if !@better;
				@path = @better if @better;
				$one = ' of one node' if !@better;
			}
			my @cycle = ([$from, @$_], @path);
			my $is_fractured = @cycle == 2 && $closing eq 'rw' && $cycle[1][2] eq 'wr';
			$said{ $component->[$from] } = 1;
			$self->{cyclic_node}{$_->[0]} = 1 for @cycle;
			if ($one)
			{
				# there may be a reason yet, in time
				$self->{pending}{"$from $to"} //= ["$class$one", $self->show(@cycle)];
				next;
			}
			$self->{cyclic}{$from}{$to} = 1;
			delete $self->{pending}{"$from $to"};
			$self->found($is_fractured ? 'fractured read' : $class, $self->show(@cycle));
		}
	}
}

sub find_cycles
{
	my ($self) = @_;
	for my $rt ('', 'rt')
	{
		my $suffix = $rt ? '-realtime' : '';
		my @rt = $rt ? 'rt' : ();
		$self->find_closed("G0$suffix", 'ww', 'ww', @rt);
		$self->find_closed("G1c$suffix", 'wr', 'ww', 'wr', @rt);
		$self->find_closed("G-single$suffix", 'rw', 'ww', 'wr', @rt);
	}
	$self->found(@{ $self->{pending}{$_} }) for sort keys %{ $self->{pending} };
	# the rest has several rw edges: one of each component
	my @all = ('ww', 'wr', 'rw');
	my $component = $self->components(@all);
	my %members;
	push @{ $members{ $component->[$_] } }, $_ for 0 .. $#$component;
	for (sort { $a <=> $b } keys %members)
	{
		my @members = @{ $members{$_} };
		next if @members < 2 || grep { $self->{cyclic_node}{$_} } @members;
		my ($any, $apart);
		my $tries = 0;
		for my $from (@members)
		{
			for (@{ $self->{edges}{rw}[$from] // [] })
			{
				next if $component->[$_->[0]] != $component->[$from] || $apart || $tries++ > 200;
				for my $wide (1, 0)
				{
					my @path = $self->path($_->[0], $from, $component, \@all, apart => 1, wide => $wide) or next;
					my %visits;
					$visits{$_->[0]}++ for @path;
					next if grep { $_ > 1 } values %visits;
					$apart = [$wide ? '' : ' of one node', [$from, @$_], @path];
					last;
				}
				$any //= [[$from, @$_], $self->path($_->[0], $from, $component, \@all)];
			}
		}
		$self->found('G-nonadjacent' . shift @$apart, $self->show(@$apart)) if $apart;
		$self->found('G2', $self->show(@$any)) if $any && !$apart;
	}
}

# ---- registers ----

sub check_registers
{
	my ($history) = @_;
	my $self = bless { level => 'serializable', found => [] };
	my %value;			# of a key: who wrote it, its operations' first end and last start
	for my $txn (@$history)
	{
		for my $row (map { @{ $_->{rows} } } grep { $_->{kind} eq 'w' } @{ $txn->{ops} })
		{
			my ($key, $value) = @$row;
			die name($txn) . ": $value was written to $key before\n" if $value{$key}{$value};
			my $end = $txn->{outcome} eq 'ok' ? $txn->{end} : $infinity;
			$value{$key}{$value} = { value => $value, writer => $txn, begun => $txn->{start}, end => $end, start => $txn->{start} };
		}
	}
	for my $txn (@$history)
	{
		my $n = 0;
		for my $op (@{ $txn->{ops} })
		{
			$n++;
			next if $op->{kind} !~ /[rs]/;
			for my $row (@{ $op->{rows} })
			{
				my ($key, $value) = @$row;
				# every register was empty once
				my $of = $value{$key}{$value} //= $value ne '' ? undef :
					{ value => $value, begun => -$infinity, end => -$infinity, start => -$infinity };
				my $who = name($txn, $n) . " read $value from $key";
				$self->found('garbage', "$who, which nobody has written"), next if !$of;
				$self->found('G1a', "$who, of " . name($of->{writer})) if $of->{writer} && $of->{writer}{outcome} eq 'fail';
				$self->found('future', "$who before " . name($of->{writer}) . ' began to write it') if $op->{end} < $of->{begun};
				$of->{read} = name($txn, $n);
				$of->{first} = name($txn, $n), $of->{end} = $op->{end} if $op->{end} < $of->{end};
				$of->{last} = name($txn, $n), $of->{start} = $op->{start} if $op->{start} > $of->{start};
			}
		}
	}
	for my $key (sort keys %value)
	{
		# what nobody has seen need not have been written
		my @zones = sort { $a->{from} <=> $b->{from} }
			map { $_->{from} = min($_->{start}, $_->{end}); $_->{to} = max($_->{start}, $_->{end}); $_ }
			grep { $_ && ($_->{read} || !$_->{writer} || $_->{writer}{outcome} eq 'ok') } values %{ $value{$key} };
		for my $i (0 .. $#zones)
		{
			for my $j ($i + 1 .. $#zones)
			{
				my ($a, $b) = @zones[$i, $j];
				last if $b->{from} > $a->{to};
				next if $a->{end} >= $b->{start} || $b->{end} >= $a->{start};
				$self->found('not linearizable', "key $key: " . join(', and ', map { my ($x, $y) = @$_;
					"\"$x->{value}\" in " . ($x->{first} // ($x->{writer} ? name($x->{writer}) : 'the beginning')) . " before \"$y->{value}\" in " .
					($y->{last} // ($y->{writer} ? name($y->{writer}) : 'the beginning')) } [$a, $b], [$b, $a]));
			}
		}
	}
	return @{ $self->{found} };
}

# How many there are of each kind.
sub summary
{
	my (@found) = @_;
	my %count;
	$count{$_->{class}}++ for @found;
	return join ', ', map { "$count{$_} $_" } sort keys %count;
}

1;
