# Random/Select.pm: random SELECTs over the tables of Random::Schema.
#
# What they return must not depend on the order in which rows are read, so:
# ORDER BY with LIMIT and windows that count rows order by everything there is,
# aggregates that depend on order have one of their own, numerics have one
# digit after the point, and nothing divides, overflows or calls a volatile
# function.

package Random::Select;

use strict;
use warnings;
use Random::Schema;

my @types = qw(int int int big text text num mood arr date bool);

sub new
{
	my ($class, %arg) = @_;
	return bless { alias => 0, ctes => [], params => undef, %arg }, $class;
}

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

sub alias
{
	my ($self, $prefix) = @_;
	return $prefix . ++$self->{alias};
}

# ---- expressions; a scope is a list of [expression, type] ----

sub literal
{
	my ($self, $type) = @_;
	if ($type eq 'int')
	{
		my $value = int rand 10;
		if ($self->{params} && @{ $self->{params} } < 4 && chance(0.5))
		{
			push @{ $self->{params} }, $value;
			return '$' . scalar(@{ $self->{params} }) . '::int';
		}
		return $value;
	}
	return int(rand 10) . '::bigint' if $type eq 'big';
	return int(rand 8) . '.5' if $type eq 'num';
	return "'" . pick('', 'a', 'b', 'B', 'c', 'cc') . "'::text" if $type eq 'text';
	return "'" . pick(qw(sad ok happy)) . "'::mood" if $type eq 'mood';
	return 'ARRAY[' . join(', ', map { int rand 6 } 0 .. rand 3) . ']' if $type eq 'arr';
	return "'2024-01-0" . (1 + int rand 8) . "'::date" if $type eq 'date';
	return pick(qw(true false));
}

sub column
{
	my ($self, $type, $scope, $outer) = @_;
	my @found = grep { $_->[1] eq $type } @$scope;
	my @far = grep { $_->[1] eq $type } @$outer;
	return pick(@far)->[0] if @far && (!@found || chance(0.2));
	return @found ? pick(@found)->[0] : undef;
}

sub expr
{
	my ($self, $type, $scope, $outer, $depth) = @_;
	my $column = $self->column($type, $scope, $outer);
	return $column if defined $column && chance(0.65);
	return $column // $self->literal($type) if $depth <= 0;
	return "NULL::" . { int => 'int', big => 'bigint', num => 'numeric', arr => 'int[]' }->{$type} if chance(0.02) && $type =~ /int|big|num|arr/;
	my $sub = sub { $self->expr($_[0], $scope, $outer, $depth - 1) };
	if (chance(0.12) && $depth > 1)
	{
		my $query = $self->scalar_query($type, [@$scope, @$outer], $depth - 2);
		return "($query)";
	}
	if (chance(0.15))
	{
		return 'CASE WHEN ' . $self->condition($scope, $outer, $depth - 1) . ' THEN ' . $sub->($type) .
			' ELSE ' . $sub->($type) . ' END';
	}
	return 'coalesce(' . $sub->($type) . ', ' . $sub->($type) . ')' if chance(0.15);
	return 'nullif(' . $sub->($type) . ', ' . $self->literal($type) . ')' if chance(0.05);
	return pick('greatest', 'least') . '(' . $sub->($type) . ', ' . $sub->($type) . ')' if chance(0.08) && $type ne 'arr';
	return $self->condition($scope, $outer, $depth - 1) if $type eq 'bool';
	my %make = (
		int => [sub { '(' . $sub->('int') . pick(' + ', ' - ') . $self->literal('int') . ')' },
			sub { 'length(' . $sub->('text') . ')' }, sub { 'twice(' . $self->literal('int') . ')' },
			sub { 'plus(' . $self->literal('int') . ', 1)' },
			sub { 'cardinality(' . $sub->('arr') . ')' }, sub { '(' . $sub->('arr') . ')[1]' },
			sub { '(' . $sub->('big') . ')::int' },
			sub { 'mod(' . $sub->('int') . ', 5)' },
			sub { '(ROW(' . $sub->('int') . ", 'x')::pair).p" },
			sub { 'extract(day FROM ' . $sub->('date') . ')::int' },
			sub { $self->{views} || chance(0.7) ? $self->literal('int') : 'biggest()' }],
		big => [sub { $sub->('int') . '::bigint' }, sub { '(' . $sub->('big') . ' + 1)' }],
		num => [sub { '(' . $sub->('num') . ' + 1.5)' }, sub { $sub->('int') . '::numeric(8,1)' }],
		text => [sub { '(' . $sub->('text') . " || 'x')" }, sub { 'upper(' . $sub->('text') . ')' },
			sub { $sub->(pick(qw(int mood date arr))) . '::text' },
			sub { $sub->('text') . ' COLLATE "C"' },
			sub { "format('%s', " . $sub->(pick(qw(int mood text))) . ')' },
			sub { my @of = map { $_->[0] =~ /^(\w+)\./ } @$scope; @of ? pick(@of) . '::text' : $self->literal('text') },
			sub { "jsonb_build_object('n', " . $sub->('int') . ", 't', " . $sub->('text') . ')::text' },
			sub { 'int4range(least(' . $sub->('int') . ', 3), 4)::text' },
			sub { "(xmlelement(name x, " . $sub->('int') . '))::text' }],
		mood => [sub { "enum_first(NULL::mood)" }],
		arr => [sub { 'ARRAY[' . $sub->('int') . ', ' . $sub->('int') . ']' },
			sub { '(' . $sub->('arr') . ' || ' . $sub->('int') . ')' },
			sub { $depth > 1 ? 'ARRAY(' . $self->column_query('int', [@$scope, @$outer], $depth - 2) . ' ORDER BY 1)' : $self->literal('arr') }],
		date => [sub { '(' . $sub->('date') . ' + 1)' }],
	);
	my $text = pick(@{ $make{$type} })->();
	$text =~ s/^(-?\d+)::/($1)::/;
	return "($text)" if $text =~ /COLLATE/;
	return $text;
}

sub condition
{
	my ($self, $scope, $outer, $depth) = @_;
	my $type = pick(qw(int int int big text text num mood date));
	my $sub = sub { $self->expr($_[0], $scope, $outer, $depth - 1) };
	my $roll = rand;
	if ($depth > 0 && $roll < 0.12)
	{
		return '(' . $self->condition($scope, $outer, $depth - 1) . pick(' AND ', ' OR ') .
			$self->condition($scope, $outer, $depth - 1) . ')';
	}
	return '(NOT ' . $self->condition($scope, $outer, $depth - 1) . ')' if $depth > 0 && $roll < 0.16;
	if ($depth > 1 && $roll < 0.36)
	{
		my @outer = (@$scope, @$outer);
		my $kind = rand;
		return pick('', 'NOT ') . 'EXISTS (' . $self->correlated(\@outer, $depth - 2) . ')' if $kind < 0.4;
		if ($kind < 0.9)
		{
			my $left = $self->column($type, $scope, []) // $sub->($type);
			return '(' . $left . pick(' IN ', ' IN ', ' NOT IN ', ' = ANY ', ' <> ALL ') . '(' . $self->column_query($type, \@outer, $depth - 2) . '))';
		}
		return '((' . $sub->('int') . ', ' . $sub->('text') . ')' . pick(' IN ', ' NOT IN ') . '(' .
			$self->query($depth - 2, \@outer, types => ['int', 'text'])->{sql} . '))';
	}
	return $sub->($type) . pick(' IS NULL', ' IS NOT NULL') if $roll < 0.42;
	return '(' . $sub->($type) . pick(' IS DISTINCT FROM ', ' IS NOT DISTINCT FROM ') . $sub->($type) . ')' if $roll < 0.46;
	return '(' . $sub->($type) . pick(' IN ', ' IN ', ' NOT IN ') . '(' . join(', ', map { $self->literal($type) } 0 .. rand 3) . '))' if $roll < 0.54;
	return '(' . $sub->('int') . ' = ANY (' . $sub->('arr') . '))' if $roll < 0.57;
	return '(' . $sub->('text') . " LIKE '%" . pick(qw(a b c)) . "%')" if $roll < 0.59;
	return '(' . $sub->($type) . ' BETWEEN ' . $self->literal($type) . ' AND ' . $sub->($type) . ')' if $roll < 0.62;
	return '(' . $sub->($type) . pick(' = ', ' = ', ' = ', ' < ', ' >= ', ' <> ') . $sub->($type) . ')';
}

# ---- subqueries in expressions ----

# One column, any number of rows.
sub column_query
{
	my ($self, $type, $outer, $depth) = @_;
	if (chance(0.5))
	{
		my ($from, $scope) = $self->from_table;
		my $column = $self->column($type, $scope, []) // $self->literal($type);
		return "SELECT $column FROM $from" . (chance(0.4) ? ' WHERE ' . $self->tie($scope, $outer, $depth) : '');
	}
	return $self->query($depth, $outer, types => [$type], inner => 1)->{sql};
}

sub correlated
{
	my ($self, $outer, $depth) = @_;
	my ($from, $scope) = $self->from_table;
	return "SELECT 1 FROM $from WHERE " . $self->tie($scope, $outer, $depth) if chance(0.6);
	return $self->query($depth, $outer, inner => 1)->{sql};
}

# A condition that ties a subquery's rows to outer ones, often by equal names.
sub tie
{
	my ($self, $scope, $outer, $depth) = @_;
	my @pairs;
	for my $s (@$scope)
	{
		for my $o (@$outer)
		{
			push @pairs, "$s->[0] = $o->[0]" if $s->[1] eq $o->[1] || "$s->[1]$o->[1]" =~ /^(intbig|bigint)$/;
		}
	}
	my @first = grep { /\.(a|k|x|id) = \w+\.(a|k|x|id)$/ } @pairs;
	my $tie = @first && chance(0.6) ? pick(@first) : @pairs ? pick(@pairs) : 'true';
	$tie .= ' AND ' . $self->condition($scope, $outer, $depth) if chance(0.4);
	return $tie;
}

sub scalar_query
{
	my ($self, $type, $outer, $depth) = @_;
	my ($from, $scope) = $self->from_table;
	my $column = $self->column($type, $scope, []);
	my $where = chance(0.7) ? ' WHERE ' . $self->tie($scope, $outer, $depth) : '';
	return "SELECT count(*) FROM $from$where" if $type eq 'big' && chance(0.6);
	return "SELECT bool_or(" . $self->condition($scope, [], 0) . ") FROM $from$where" if $type eq 'bool';
	$column //= $self->literal($type);
	return "SELECT $column FROM $from$where ORDER BY 1 LIMIT 1" if chance(0.4) || $type eq 'arr';
	return "SELECT " . pick('min', 'max') . "($column) FROM $from$where";
}

# ---- FROM ----

sub from_table
{
	my ($self) = @_;
	my $alias = $self->alias('t');
	if (@{ $self->{ctes} } && chance(0.35))
	{
		my $cte = pick(@{ $self->{ctes} });
		return ("$cte->{name} $alias", [map { ["$alias.$_->[0]", $_->[1]] } @{ $cte->{columns} }]);
	}
	if (chance(0.12) || $self->{views})
	{
		my $view = pick(sort keys %Random::Schema::views);
		# needs rights on the tables
		$view = 'v1' if $view eq 'v_invoker' && $self->{views};
		return ("$view $alias", [map { ["$alias.$_->[0]", $_->[1]] } @{ $Random::Schema::views{$view} }]);
	}
	# colocated tables meet more often this way
	my $name = chance(0.5) ? pick(qw(t1 t2 t3 r1)) : pick(sort keys %Random::Schema::tables);
	$name = pick(@{ $self->{tables} }) if $self->{tables};
	return ("$name $alias" . (chance(0.02) ? ' TABLESAMPLE ' . pick('bernoulli', 'system') . ' (100)' : ''), [map { ["$alias.$_->[0]", $_->[1]] } @{ $Random::Schema::tables{$name} }]);
}

sub from_item
{
	my ($self, $depth, $lateral) = @_;
	my $roll = rand;
	if ($depth > 0 && $roll < 0.22)
	{
		my $alias = $self->alias('q');
		my $use = @$lateral && chance(0.5) ? $lateral : [];
		my $query = $self->query($depth - 1, $use, inner => 1);
		return ((@$use ? 'LATERAL ' : '') . "($query->{sql}) $alias", [map { ["$alias.$_->[0]", $_->[1]] } @{ $query->{columns} }]);
	}
	if ($roll > 0.97)
	{
		my $alias = $self->alias('f');
		my $n = @$lateral && chance(0.4) ? $self->expr('int', $lateral, [], 0) : 3;
		return (pick("generate_series(1, $n) $alias(a)", "numbers(3) $alias(a)"), [["$alias.a", 'int']]);
	}
	if ($roll > 0.94)
	{
		my $alias = $self->alias('v');
		my $rows = join ', ', map { '(' . $self->literal('int') . ', ' . $self->literal('text') . ')' } 0 .. 1 + rand 3;
		return ("(VALUES $rows) $alias(a, c)", [["$alias.a", 'int'], ["$alias.c", 'text']]);
	}
	if ($roll > 0.925 && $self->column('arr', $lateral, []))
	{
		my $alias = $self->alias('n');
		return ('unnest(' . $self->column('arr', $lateral, []) . ") $alias(a)", [["$alias.a", 'int']]);
	}
	return $self->from_table;
}

# A join condition; often on columns that are keys.
sub join_condition
{
	my ($self, $left, $right, $outer, $depth) = @_;
	my $tie = $self->tie($right, $left, 0);
	if (chance(0.15))
	{
		my %have = map { /\.(\w+)$/ ? ($1 => $_) : () } map { $_->[0] } @$left;
		my @two = grep { $_->[0] =~ /\.(x|y|k|n)$/ && $have{$1} } @$right;
		$tie = join ' AND ', map { $_->[0] =~ /\.(\w+)$/; "$_->[0] = $have{$1}" } @two if @two;
	}
	return $tie;
}

# FROM list: (sql, scope)
sub from
{
	my ($self, $depth, $outer) = @_;
	my ($sql, $scope) = $self->from_item($depth, $outer);
	my $items = pick(0, 0, 1, 1, 1, 2, 2, 3);
	for (1 .. $items)
	{
		my $roll = rand;
		if ($roll < 0.15)
		{
			my ($next, $columns) = $self->from_item($depth, $scope);
			$sql .= ($roll < 0.1 ? ', ' : ' CROSS JOIN ') . $next;
			# a comma ends what later joins can see
			return ($sql, [@$scope, @$columns]) if $roll < 0.1;
			$scope = [@$scope, @$columns];
			next;
		}
		my $join = pick('JOIN', 'JOIN', 'LEFT JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN');
		my ($next, $columns);
		if (chance(0.15) && $depth > 0)
		{
			# a nested join
			my ($l, $lc) = $self->from_table;
			my ($r, $rc) = $self->from_table;
			$next = "($l " . pick('JOIN', 'LEFT JOIN', 'FULL JOIN') . " $r ON " . $self->plain_tie($lc, $rc) . ')';
			$columns = [@$lc, @$rc];
		}
		else
		{
			($next, $columns) = $self->from_item($depth, $join =~ /^(JOIN|LEFT)/ ? $scope : []);
		}
		my %left;
		push @{ $left{ ($_->[0] =~ /(\w+)$/)[0] } }, $_ for @$scope;
		my %right;
		push @{ $right{ ($_->[0] =~ /(\w+)$/)[0] } }, $_ for @$columns;
		my @common = grep { $left{$_} && @{ $left{$_} } == 1 && @{ $right{$_} } == 1 &&
			($left{$_}[0][1] eq $right{$_}[0][1] || "$left{$_}[0][1]$right{$_}[0][1]" =~ /^(intbig|bigint)$/) } sort keys %right;
		if (@common && $sql !~ / ON | USING |,/ && $next !~ / ON | USING |,/ && chance(0.4))
		{
			my @use = @common > 1 && chance(0.5) ? @common[0, 1] : (pick(@common));
			$sql = "$sql $join $next USING (" . join(', ', @use) . ')';
			$scope = [@$scope, @$columns, map { [$_, $left{$_}[0][1] eq $right{$_}[0][1] ? $left{$_}[0][1] : 'big'] } @use];
			return ($sql, $scope);
		}
		my $on = $join eq 'FULL JOIN' ? $self->plain_tie($scope, $columns) : $self->join_condition($scope, $columns, $outer, $depth);
		$on .= ' AND ' . $self->condition([@$scope, @$columns], $outer, $depth > 0 ? pick(1, 2) : 0) if $join ne 'FULL JOIN' && chance(0.2);
		$sql = "$sql $join $next ON $on";
		$scope = [@$scope, @$columns];
	}
	return ($sql, $scope);
}

# Equalities only: a full join takes nothing else.
sub plain_tie
{
	my ($self, $left, $right) = @_;
	my @pairs;
	for my $l (@$left)
	{
		for my $r (@$right)
		{
			push @pairs, "$l->[0] = $r->[0]" if $l->[1] eq $r->[1] && $l->[0] =~ /\./ || "$l->[1]$r->[1]" =~ /^(intbig|bigint)$/;
		}
	}
	my @keys = grep { /\.(a|k|x|id) = \w+\.(a|k|x|id)$/ } @pairs;
	return 'true' if !@pairs;
	my $tie = @keys && chance(0.6) ? pick(@keys) : pick(@pairs);
	$tie .= ' AND ' . pick(@pairs) if chance(0.2);
	return $tie;
}

# ---- select lists ----

sub aggregate
{
	my ($self, $type, $scope, $outer, $depth) = @_;
	my $sub = sub { $self->expr($_[0], $scope, chance(0.1) ? $outer : [], $depth > 0 ? 1 : 0) };
	my $filter = chance(0.2) ? ' FILTER (WHERE ' . $self->condition($scope, [], $depth > 0 ? pick(0, 2) : 0) . ')' : '';
	my $distinct = chance(0.2) ? 'DISTINCT ' : '';
	my $any = pick(qw(int text big mood));
	return pick('count(*)', "count($distinct" . $sub->($any) . ')', 'sum(' . $distinct . $sub->('int') . ')') . $filter if $type eq 'big';
	if ($type eq 'num')
	{
		return 'sum(' . $distinct . $sub->('num') . ')' . $filter if chance(0.5);
		return 'round(' . pick('avg(' . $distinct . $sub->('int') . ')', 'stddev(' . $sub->('int') . ')', 'variance(' . $sub->('big') . ')') . $filter . ', 1)';
	}
	if ($type eq 'text' && chance(0.5))
	{
		my $value = $sub->('text');
		return "string_agg($distinct$value, ',' ORDER BY $value" . ($distinct ? '' : ' DESC') . ")$filter" if $value !~ /^'/;
	}
	return 'bool_' . pick('and', 'or') . '(' . $self->condition($scope, [], 0) . ')' . $filter if $type eq 'bool';
	if ($type eq 'arr')
	{
		my $value = $sub->('int');
		return "array_agg($distinct$value ORDER BY $value)$filter" if $value !~ /^\d+$/;
		return "array_agg($value)$filter";
	}
	return 'mode() WITHIN GROUP (ORDER BY NULL::int)' if $type eq 'int' && chance(0.03);
	return 'percentile_disc(0.5) WITHIN GROUP (ORDER BY ' . $sub->('int') . ')' . $filter if $type eq 'int' && chance(0.06);
	return pick('min', 'max') . '(' . $sub->($type) . ')' . $filter;
}

# Rows that are the same in everything are told apart by nothing, so frames of rows
# are counted in an order of all columns.
sub frame
{
	my ($self) = @_;
	return pick('', 'ROWS 2 PRECEDING', 'ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING', 'ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING',
		'GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW', 'GROUPS BETWEEN 1 FOLLOWING AND 2 FOLLOWING EXCLUDE GROUP',
		'RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW');
}

sub window
{
	my ($self, $type, $scope) = @_;
	my @plain = grep { $_->[1] ne 'arr' } @$scope;
	my @partition = chance(0.6) && @plain ? (pick(@plain)->[0]) : ();
	my $partition = @partition ? "PARTITION BY @partition" : '';
	my $order = @plain && chance(0.7) ? ' ORDER BY ' . pick(@plain)->[0] . pick('', ' DESC', ' NULLS FIRST') : '';
	my $total = ' ORDER BY ' . join ', ', map { $_->[0] } @$scope;
	my $int = $self->column('int', $scope, []) // 1;
	return pick('rank()', 'dense_rank()', 'count(*)', "sum($int)", "count($int)") . " OVER ($partition$order)" if $type eq 'big' && chance(0.5);
	return pick("sum($int)", 'count(*)') . " OVER ($partition$total " . $self->frame . ')' if $type eq 'big' && chance(0.5);
	return "row_number() OVER ($partition$total)" if $type eq 'big';
	return pick("lag($int)", "lead($int, 2)", 'ntile(3)', "first_value($int)", "last_value($int)", "nth_value($int, 2)", "max($int)") .
		" OVER ($partition$total " . $self->frame . ')' if chance(0.5);
	return pick('min', 'max') . "($int) OVER ($partition$order)";
}

# ---- queries ----

sub order_by
{
	my ($self, $n) = @_;
	my @order = sort { rand() <=> 0.5 } 1 .. $n;
	return ' ORDER BY ' . join ', ', map { $_ . pick('', '', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST') } @order;
}

sub limit
{
	my ($self) = @_;
	my $n = pick(1, 3, 5, 20);
	return pick(" LIMIT $n", " LIMIT $n", " LIMIT $n OFFSET 2", ' OFFSET 3', " FETCH FIRST $n ROWS WITH TIES", " LIMIT (SELECT $n)",
		' LIMIT ' . ($self->{params} ? '2' : 'NULL'));
}

# One SELECT without set operations: (sql, types)
sub plain_select
{
	my ($self, $depth, $outer, %opt) = @_;
	my ($from, $scope) = $self->from($depth, $outer);
	my @want = $opt{types} ? @{ $opt{types} } : map { pick(@types) } 0 .. pick(0, 1, 1, 2, 3);
	my $where = chance(0.6) ? ' WHERE ' . $self->condition($scope, $outer, $depth + 1) : '';
	my $names = $opt{names} // [map { $self->alias('c') } @want];
	my @list;
	my $tail = '';
	my $head = '';
	my $expr_depth = $depth > 0 ? 2 : 1;

	# a pin now and then
	my @keys = grep { $_->[0] =~ /\.(a|id|x|k)$/ && $_->[1] =~ /int|big/ } @$scope;
	if (@keys && chance(0.12))
	{
		my $pin = pick(@keys)->[0] . pick(' = ' . $self->literal('int'), ' IN (' . $self->literal('int') . ', ' . $self->literal('int') . ')',
			' = ' . $self->literal('int'), ' = ' . $self->literal('big'));
		$where = $where ? "$where AND $pin" : " WHERE $pin";
	}
	my $roll = rand;
	if ($roll < 0.25)
	{
		# groups: columns or expressions of them
		my @group = map { chance(0.8) ? pick(@$scope)->[0] : '(' . $self->expr(pick(qw(int text)), $scope, [], 1) . ')' } 1 .. pick(0, 1, 1, 2);
		@group = grep { !/^\(?('|\d|\$)|SELECT|biggest/ } @group;
		my %type_of = map { @$_ } @$scope;
		for my $type (@want)
		{
			my @fit = grep { ($type_of{$_} // '') eq $type } @group;
			push @list, @fit && chance(0.6) ? pick(@fit) : $self->aggregate($type, $scope, $outer, $depth);
			# moods have no other aggregates, dates neither
		}
		if (@group && chance(0.15))
		{
			my $all = join ', ', @group;
			$tail = ' GROUP BY ' . pick("ROLLUP ($all)", "CUBE ($all)", "GROUPING SETS (($all), ())", "GROUPING SETS (($all), ROLLUP ($all))",
				"$group[0], ROLLUP ($all)", "GROUPING SETS (($group[0]), ($all))", "DISTINCT CUBE ($all), ROLLUP ($group[-1])");
			$list[$_] = "grouping($all)::numeric" for grep { $want[$_] eq 'num' } 0 .. $#want;
		}
		elsif (@group)
		{
			$tail = ' GROUP BY ' . join ', ', @group;
		}
		$tail .= ' HAVING ' . pick('count(*) > 1', 'count(*) >= ' . $self->literal('int'), 'max(' . ($self->column('int', $scope, []) // 1) . ') > 2') if chance(0.25);
	}
	elsif ($roll < 0.35)
	{
		@list = map { $_ =~ /^(int|big)$/ && chance(0.6) ? $self->window($_, $scope) : $self->expr($_, $scope, $outer, 1) } @want;
		$head = 'DISTINCT ' if chance(0.1);
	}
	else
	{
		@list = map { $self->expr($_, $scope, $outer, $expr_depth) } @want;
		$head = 'DISTINCT ' if chance(0.12);
		if ($head && chance(0.4) && !$opt{inner})
		{
			$head = 'DISTINCT ON (1) ';
		}
	}
	my $select = join ', ', map { "$list[$_] AS $names->[$_]" } 0 .. $#list;
	if ($head eq 'DISTINCT ON (1) ')
	{
		$tail .= ' ORDER BY ' . join ', ', 1 .. @list;
		return ("SELECT DISTINCT ON ($list[0]) $select FROM $from$where$tail", \@want, $names, 1) if $list[0] !~ /^\(?(\d|\$|'|NULL)/;
		$head = '';
		$tail =~ s/ ORDER BY .*//;
	}
	return ("SELECT $head$select FROM $from$where$tail", \@want, $names, 0);
}

# A query: { sql, columns => [[name, type]...], ordered }
sub query
{
	my ($self, $depth, $outer, %opt) = @_;
	my $ctes = $self->{ctes};
	my @with;
	if ($depth > 0 && chance($opt{inner} ? 0.06 : 0.15))
	{
		$self->{ctes} = [@$ctes];
		for (1 .. pick(1, 1, 2))
		{
			my $name = $self->alias('w');
			my $query = $self->query($depth - 1, [], inner => 1);
			push @with, "$name AS " . pick('', '', 'MATERIALIZED ', 'NOT MATERIALIZED ') . "($query->{sql})";
			push @{ $self->{ctes} }, { name => $name, columns => $query->{columns} };
		}
		if (chance(0.1))
		{
			my $name = $self->alias('r');
			my ($first, $second) = (pick('t1', 't2', 'ref2', 'one', 'mono'), pick('t1', 't2', 'one', 'mono'));
			push @with, "$name(a) AS (SELECT a FROM $first WHERE b < 4 UNION SELECT $second.b FROM $name JOIN $second ON $second.a = $name.a)";
			$with[0] = "RECURSIVE $with[0]";
			push @{ $self->{ctes} }, { name => $name, columns => [[a => 'int']] };
		}
	}
	my ($sql, $types, $names, $ordered) = $self->plain_select($depth, $outer, %opt);
	if (chance($depth > 0 ? 0.12 : 0.05) && !$ordered)
	{
		for (1 .. pick(1, 1, 2))
		{
			my ($arm, undef, undef, $arm_ordered) = $self->plain_select($depth > 0 ? $depth - 1 : 0, $outer, types => $types, inner => 1);
			$arm = "($arm" . $self->order_by(scalar @$types) . $self->limit . ')' if chance(0.1);
			my $op = pick('UNION ALL', 'UNION ALL', 'UNION', 'UNION', 'EXCEPT', 'INTERSECT', 'EXCEPT ALL', 'INTERSECT ALL');
			$sql = chance(0.7) ? "($sql) $op $arm" : $arm =~ /^\(/ ? "$arm $op ($sql)" : "($arm) $op ($sql)";
		}
	}
	if (!$ordered && chance($opt{inner} ? 0.1 : 0.3) && !($opt{no_order}))
	{
		$sql .= $self->order_by(scalar @$types);
		$sql .= $self->limit if chance($opt{inner} ? 0.9 : 0.5);
		$ordered = 1;
	}
	elsif (!$ordered && !$opt{inner} && chance(0.04) && $sql !~ /GROUP|DISTINCT|UNION|EXCEPT|INTERSECT|OVER|JOIN|WITH|v_invoker|TABLESAMPLE|\b(count|sum|min|max|avg|bool_or|bool_and|array_agg|string_agg|stddev|variance|mode|percentile_disc)\(/)
	{
		$sql .= pick(' FOR UPDATE', ' FOR SHARE', ' FOR NO KEY UPDATE');
	}
	# ORDER BY in column_query would come twice
	$sql = "SELECT * FROM ($sql) " . $self->alias('o') if $opt{types} && $opt{inner} && $ordered;
	$self->{ctes} = $ctes;
	$sql = 'WITH ' . join(', ', @with) . " $sql" if @with;
	return { sql => $sql, columns => [map { [$names->[$_], $types->[$_]] } 0 .. $#$names], ordered => $ordered };
}

1;
