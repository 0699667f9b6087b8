# Random/Write.pm: random writes over the tables of Random::Schema.
#
# What a write does must not depend on the order of rows: UPDATE ... FROM joins
# a primary key, as does MERGE, ON CONFLICT has rows in order.

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

# (statement, tables): one write, or several in WITH
sub statement
{
	my ($generator) = @_;
	return (one_write($generator))[0, 1] if chance(0.85);
	my @with;
	my @tables;
	my @results;
	for (1 .. pick(1, 1, 2))
	{
		my $name = $generator->alias('w');
		my ($sql, $table, $columns) = one_write($generator, 1);
		next if grep { $_ eq $table } @tables;
		push @with, "$name AS ($sql)";
		push @tables, $table;
		push @results, { name => $name, columns => $columns } if $columns;
	}
	# the main statement reads what was returned, and may read the tables as they were
	my $with = 'WITH ' . join(', ', @with) . ' ';
	local $generator->{ctes} = \@results;
	return ($with . $generator->query(pick(0, 1), [])->{sql}, @tables) if chance(0.6);
	my ($sql, $table) = one_write($generator, 1);
	return ($with . 'SELECT 1', @tables) if grep { $_ eq $table } @tables;
	return ("$with$sql", @tables, $table);
}

# MERGE with a source in which the joined column is unique
sub merge
{
	my ($generator, $table, $alias, $columns, $scope) = @_;
	my $other = $generator->alias('o');
	my ($source, $key, @more) = @{ pick(['p1', 'id', [v => 'int'], [w => 'text']], ['ref1', 'r', [t => 'text']],
		['(SELECT b, max(a) AS a, count(*) AS n FROM t1 GROUP BY b)', 'b', [a => 'int'], [n => 'big']]) };
	my $all = [["$other.$key", 'int'], map { ["$other.$_->[0]", $_->[1]] } @more];
	my %is_key = map { $_ => 1 } @{ $key{$table} // [] }, @{ $primary{$table} // [] };
	my @ints = grep { $_->[1] =~ /int|big/ } @$columns;
	my @set = grep { !$is_key{ $_->[0] } } @$columns;
	return undef if !@ints || !@set || $primary{$table} && @{ $primary{$table} } > 1;
	my $join = ($primary{$table} ? $primary{$table}[0] : pick(@ints)->[0]);
	my $set = pick(@set);
	my $sql = "MERGE INTO $table AS $alias USING $source $other ON $alias.$join = $other.$key";
	$sql .= ' WHEN MATCHED AND ' . $generator->condition([@$scope, @$all], [], 1) . ' THEN ' . pick('DELETE', 'DO NOTHING') if chance(0.5);
	$sql .= " WHEN MATCHED THEN UPDATE SET $set->[0] = " . $generator->expr($set->[1], [@$scope, @$all], [], 1) if chance(0.7);
	if (chance(0.7))
	{
		$sql .= ' WHEN NOT MATCHED' . (chance(0.4) ? ' AND ' . $generator->condition($all, [], 1) : '') . ' THEN INSERT (' . join(', ', map { $_->[0] } @$columns) .
			') VALUES (' . join(', ', map { $_->[0] eq $join ? "$other.$key" : $generator->expr($_->[1], $all, [], 0) } @$columns) . ')';
	}
	return $sql =~ / WHEN / ? $sql : undef;
}

# (statement, table, columns that it returns)
sub one_write
{
	my ($generator, $within) = @_;
	my $table = pick(@{ $generator->{targets} // \@targets });
	my $columns = $Random::Schema::tables{$table};
	my $alias = $generator->alias('m');
	my $scope = [map { ["$alias.$_->[0]", $_->[1]] } @$columns];
	my $depth = pick(0, 0, 0, 1, 2);
	my @returned = $within || chance(0.3) ? map { [$generator->alias('c'), $_->[1], $generator->expr($_->[1], [$_], [], 1)] } pick(@$scope), pick(@$scope) : ();
	my $returning = @returned ? ' RETURNING ' . join(', ', map { "$_->[2] AS $_->[0]" } @returned) : '';
	my $result = @returned ? [map { [@$_[0, 1]] } @returned] : undef;
	my $roll = rand;
	if (!$within && chance(0.12))
	{
		my $merge = merge($generator, $table, $alias, $columns, $scope);
		return ($merge, $table) if $merge;
	}
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
			$conflict = ' ON CONFLICT ' . pick('(' . join(', ', @{ $primary{$table} }) . ')', "ON CONSTRAINT ${table}_pkey") . ' DO ';
			my @other = grep { !$is_key{ $_->[0] } } @$columns;
			my $set = pick(@other);
			$conflict .= chance(0.4) ? 'NOTHING' : "UPDATE SET $set->[0] = " .
				$generator->expr($set->[1], [map { ["$alias.$_->[0]", $_->[1]], ["excluded.$_->[0]", $_->[1]] } @$columns], [], 1) .
				(chance(0.3) ? ' WHERE ' . $generator->condition($scope, [], 0) : '');
		}
		if (chance(0.4) && !$primary{$table})
		{
			my $query = $generator->query($depth, [], types => [map { $_->[1] } @use], inner => 1);
			return ("$head$query->{sql}$returning", $table, $result);
		}
		return ($head . 'VALUES ' . join(', ', map { '(' . join(', ', map { $value->($_) } @use) . ')' } 1 .. $rows) . "$conflict$returning", $table, $result);
	}
	my $where = ' WHERE ' . $generator->condition($scope, [], $depth + 1);
	if (chance(0.4) && $key{$table})
	{
		$where .= " AND $alias.$_ = " . $generator->literal((grep { $_->[0] eq $key{$table}[0] } @$columns)[0][1]) for $key{$table}[0];
	}
	if ($roll < 0.72)
	{
		my %is_key = map { $_ => 1 } @{ $key{$table} // [] }, @{ $primary{$table} // [] };
		my @other = grep { !$is_key{ $_->[0] } || !$primary{$table} && chance(0.01) } @$columns;
		return ("DELETE FROM $table AS $alias$where$returning", $table, $result) if !@other;
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
			return ("UPDATE $table AS $alias SET $sets$from$where$returning", $table, $result);
		}
		my $set = pick(@other);
		return ("UPDATE $table AS $alias SET $set->[0] = " . $generator->expr($set->[1], $all, [], $depth + 1) . "$from$where$returning", $table, $result);
	}
	if ($roll < 0.92)
	{
		my $using = '';
		if (!$within && chance(0.3))
		{
			my ($item, $columns) = $generator->from_table;
			$using = " USING $item";
			$where .= ' AND ' . $generator->tie($columns, $scope, 0);
		}
		return ("DELETE FROM $table AS $alias$using$where$returning", $table, $result);
	}
	return ("DELETE FROM $table AS $alias$where$returning", $table, $result) if $within;
	return ("TRUNCATE $table", $table) if $roll < 0.94;
	return ("SELECT * FROM $table", $table);
}

1;
