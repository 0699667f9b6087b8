# Random/Write.pm: random writes over the tables of Random::Schema.
#
# What a write does must not depend on the order of rows: UPDATE ... FROM joins
# a primary key, ON CONFLICT has rows in order.

package Random::Write;

use strict;
use warnings;
use List::Util qw(shuffle);
use Random::Schema;
use Random::Select;

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

my @targets = qw(t1 t1 t2 t3 u1 u2 s1 s2 p1 p1 p2 one two ref1 ref2 mono r1);
my %key = (t1 => ['a'], t2 => ['a'], t3 => ['k'], u1 => ['x', 'y'], u2 => ['y', 'x'], s1 => ['k'], s2 => ['k'],
	p1 => ['id'], p2 => ['id'], mono => ['a'], r1 => ['a', 'g']);
my %primary = (p1 => ['id'], p2 => ['id', 'pos'], ref1 => ['r']);

# (statement, table)
sub statement
{
	my ($generator) = @_;
	my $table = pick(@targets);
	my $columns = $Random::Schema::tables{$table};
	my $alias = $generator->alias('m');
	my $scope = [map { ["$alias.$_->[0]", $_->[1]] } @$columns];
	my $depth = pick(0, 0, 0, 1, 2);
	my $returning = chance(0.3) ? ' RETURNING ' . join(', ', map { $generator->expr($_->[1], [$_], [], 1) . ' AS ' . $generator->alias('c') } pick(@$scope), pick(@$scope)) : '';
	my $roll = rand;
	if ($roll < 0.4)
	{
		my @use = $primary{$table} || chance(0.6) ? @$columns : grep { chance(0.7) || $_->[0] eq $columns->[0][0] } @$columns;
		my $names = join ', ', map { $_->[0] } @use;
		my $head = "INSERT INTO $table AS $alias ($names) ";
		my %is_key = map { $_ => 1 } @{ $primary{$table} // [] };
		my $value = sub { $is_key{ $_[0][0] } ? ($_[0][1] eq 'int' ? int rand 60 : 1) : $generator->expr($_[0][1], [], [], 1) };
		my $rows = pick(1, 1, 2, 5);
		my $conflict = '';
		if ($primary{$table} && chance(0.7))
		{
			$conflict = ' ON CONFLICT (' . join(', ', @{ $primary{$table} }) . ') DO ';
			my @other = grep { !$is_key{ $_->[0] } } @$columns;
			my $set = pick(@other);
			$conflict .= chance(0.4) ? 'NOTHING' : "UPDATE SET $set->[0] = " .
				$generator->expr($set->[1], [map { ["$alias.$_->[0]", $_->[1]], ["excluded.$_->[0]", $_->[1]] } @$columns], [], 1) .
				(chance(0.3) ? ' WHERE ' . $generator->condition($scope, [], 0) : '');
		}
		if (chance(0.4) && !$primary{$table})
		{
			my $query = $generator->query($depth, [], types => [map { $_->[1] } @use], inner => 1);
			return ("$head$query->{sql}$returning", $table);
		}
		return ($head . 'VALUES ' . join(', ', map { '(' . join(', ', map { $value->($_) } @use) . ')' } 1 .. $rows) . "$conflict$returning", $table);
	}
	my $where = ' WHERE ' . $generator->condition($scope, [], $depth + 1);
	if (chance(0.4) && $key{$table})
	{
		$where .= " AND $alias.$_ = " . $generator->literal((grep { $_->[0] eq $key{$table}[0] } @$columns)[0][1]) for $key{$table}[0];
	}
	if ($roll < 0.72)
	{
		my %is_key = map { $_ => 1 } @{ $key{$table} // [] }, @{ $primary{$table} // [] };
		my @other = grep { !$is_key{ $_->[0] } || chance(0.01) } @$columns;
		return ("DELETE FROM $table AS $alias$where$returning", $table) if !@other;
		my $from = '';
		my $all = $scope;
		if (chance(0.3))
		{
			my $with = pick(qw(p1 ref1));
			my $pk = $primary{$with}[0];
			my @join = grep { $_->[1] eq 'int' } @$scope;
			if (@join)
			{
				my $other = $generator->alias('o');
				$from = " FROM $with $other";
				$where .= " AND $other.$pk = " . pick(@join)->[0];
				$all = [@$scope, map { ["$other.$_->[0]", $_->[1]] } @{ $Random::Schema::tables{$with} }];
			}
		}
		if (@other > 1 && chance(0.3))
		{
			# several columns, in any order, one by one or by one subquery
			my @set = grep { chance(0.6) } shuffle(@other);
			@set = @other[1, 0] if @set < 2;
			my @value = map { $generator->expr($_->[1], $all, [], 1) } @set;
			my $sets = chance(0.5) ? join(', ', map { "$set[$_][0] = $value[$_]" } 0 .. $#set) :
				'(' . join(', ', map { $_->[0] } @set) . ') = (SELECT ' . join(', ', @value) . ')';
			return ("UPDATE $table AS $alias SET $sets$from$where$returning", $table);
		}
		my $set = pick(@other);
		return ("UPDATE $table AS $alias SET $set->[0] = " . $generator->expr($set->[1], $all, [], $depth + 1) . "$from$where$returning", $table);
	}
	if ($roll < 0.92)
	{
		my $using = '';
		if (chance(0.3))
		{
			my ($item, $columns) = $generator->from_table;
			$using = " USING $item";
			$where .= ' AND ' . $generator->tie($columns, $scope, 0);
		}
		return ("DELETE FROM $table AS $alias$using$where$returning", $table) if $using eq '' || $returning eq '';
		return ("DELETE FROM $table AS $alias$using$where", $table);
	}
	return ("TRUNCATE $table", $table) if $roll < 0.94;
	return ("SELECT * FROM $table", $table);
}

1;
