# Random/Session.pm: several statements of one session, in and out of a transaction,
# by all ways in which a client or a function may run them.
#
# A statement is a text, or { sql, ordered }.  Each is to have the same outcome on
# plain and on distributed tables, as long as nobody else writes; so nothing in
# them depends on an order of rows that nobody has asked for.

package Random::Session;

use strict;
use warnings;
use Random::Select;
use Random::Write;

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

# Settings that change how statements are run but not what they do.
my @settings = (
	['shoal.enable_local', 'off'], ['shoal.enable_push', 'off'], ['shoal.enable_router', 'off'], ['shoal.enable_move', 'off'],
	['shoal.enable_partitionwise', 'off'], ['shoal.enable_shard_scan', 'off'],
	['shoal.move_threshold', 0, 1, '1GB'], ['shoal.move_threshold', 0], ['shoal.batch_size', 1, 2, 3],
	['shoal.max_statement_connections', 1, 2, 8], ['shoal.max_cached_statements', 0, 1, 2],
	['shoal.read_from', 'any', 'nearest'], ['shoal.read_from', 'any'], ['shoal.row_triggers', 'node'],
	['enable_hashjoin', 'off'], ['enable_mergejoin', 'off'], ['enable_nestloop', 'off'], ['enable_hashagg', 'off'],
	['enable_sort', 'off'], ['enable_seqscan', 'off'], ['enable_partition_pruning', 'off'], ['enable_partitionwise_join', 'on'],
	['enable_partitionwise_aggregate', 'on'], ['enable_memoize', 'off'], ['enable_material', 'off'],
	['work_mem', '64kB'], ['plan_cache_mode', 'force_generic_plan', 'force_custom_plan'], ['plan_cache_mode', 'force_generic_plan'],
	['min_parallel_table_scan_size', 0], ['parallel_setup_cost', 0], ['jit', 'on'], ['constraint_exclusion', 'on'],
	['from_collapse_limit', 1], ['join_collapse_limit', 1], ['geqo_threshold', 2], ['cursor_tuple_fraction', 0.001, 1],
);

sub settings
{
	return map { my ($name, @values) = @{ pick(@settings) }; "SET $name = '" . pick(@values) . "'" } 1 .. pick(0, 1, 2, 3, 6);
}

sub new
{
	my ($class) = @_;
	return bless { n => 0, touched => {}, generator => Random::Select->new(tables => undef) }, $class;
}

sub name { my ($self, $prefix) = @_; return $prefix . ++$self->{n}; }

# SELECT without locks, which write
sub query
{
	my ($self, @params) = @_;
	my $query;
	my $generator = Random::Select->new(params => @params ? [] : undef);
	do { $query = $generator->query(pick(0, 0, 1, 1, 2), []) } while $query->{sql} =~ /FOR (UPDATE|SHARE|NO KEY)/ || !@params && $query->{sql} =~ /\$/;
	$query->{params} = $generator->{params};
	return $query;
}

sub write
{
	my ($self) = @_;
	my ($sql, @tables);
	do { ($sql, @tables) = Random::Write::statement($self->{generator}) } while $sql =~ /^TRUNCATE/;
	$self->{touched}{$_} = 1 for @tables;
	return $sql;
}

# A function whose plans are kept; it is called with the query's parameters.
sub make_function
{
	my ($self) = @_;
	my $name = $self->name('pg_temp.f');
	my $query = $self->query(1);
	my $params = $query->{params};
	my $sql = $query->{sql};
	my $args = join ', ', map { 'int' } @$params;
	my $body = pick("RETURN QUERY SELECT x_::text FROM ($sql) x_;",
		"FOR r_ IN $sql LOOP RETURN NEXT r_::text; END LOOP;",
		"DECLARE c_ CURSOR FOR $sql; BEGIN FOR r_ IN c_ LOOP RETURN NEXT r_::text; END LOOP; END;");
	$self->{functions}{$name} = { params => scalar(@$params), ordered => $query->{ordered} };
	return "CREATE OR REPLACE FUNCTION $name($args) RETURNS SETOF text LANGUAGE plpgsql AS \$f\$ DECLARE r_ record; BEGIN $body END \$f\$";
}

sub make_writer
{
	my ($self) = @_;
	my $name = $self->name('pg_temp.w');
	my $sql = $self->write;
	my $run = $sql =~ /^WITH/ ? "EXECUTE \$q\$$sql\$q\$; GET DIAGNOSTICS n_ = ROW_COUNT;" :
		$sql =~ /^SELECT|RETURNING/ ? "FOR r_ IN $sql LOOP n_ := n_ + 1; END LOOP;" : "$sql; GET DIAGNOSTICS n_ = ROW_COUNT;";
	$self->{writers}{$name} = 1;
	return "CREATE OR REPLACE FUNCTION $name() RETURNS int LANGUAGE plpgsql AS \$f\$ DECLARE r_ record; n_ int := 0; BEGIN $run RETURN n_; END \$f\$";
}

sub make_prepared
{
	my ($self) = @_;
	my $name = $self->name('p');
	my $query = $self->query(1);
	$self->{prepared}{$name} = { params => scalar(@{ $query->{params} }), ordered => $query->{ordered} };
	return "PREPARE $name" . (@{ $query->{params} } ? '(' . join(', ', map { 'int' } @{ $query->{params} }) . ')' : '') . " AS $query->{sql}";
}

sub args
{
	my ($n) = @_;
	return $n ? '(' . join(', ', map { int rand 10 } 1 .. $n) . ')' : '';
}

# One thing that a client does.
sub step
{
	my ($self, $inside) = @_;
	my $roll = rand;
	my @prepared = sort keys %{ $self->{prepared} };
	my @functions = sort keys %{ $self->{functions} };
	my @writers = sort keys %{ $self->{writers} };
	my @cursors = sort keys %{ $self->{cursors} };
	if ($roll < 0.25)
	{
		my $name = pick(@prepared);
		my $p = $self->{prepared}{$name};
		return map { +{ sql => "EXECUTE $name" . args($p->{params}), ordered => $p->{ordered} } } 1 .. pick(1, 1, 2, 6);
	}
	if ($roll < 0.4)
	{
		my $name = pick(@functions);
		my $f = $self->{functions}{$name};
		return map { +{ sql => "SELECT * FROM $name" . (args($f->{params}) || '()'), ordered => $f->{ordered} } } 1 .. pick(1, 1, 2, 6);
	}
	if ($roll < 0.5 && $inside && !@cursors)
	{
		my $name = $self->name('c');
		my $query = $self->query;
		$self->{cursors}{$name} = $query->{ordered};
		my $scroll = pick('', 'SCROLL ', 'NO SCROLL ', 'INSENSITIVE ');
		return ("DECLARE $name ${scroll}CURSOR FOR $query->{sql}", $query->{ordered} ? { sql => "FETCH 2 FROM $name", ordered => 1 } :
			$scroll eq 'SCROLL ' ? ("MOVE 1 FROM $name", "MOVE BACKWARD 1 FROM $name") : ());
	}
	if ($roll < 0.55 && @cursors)
	{
		my $name = pick(@cursors);
		return { sql => "FETCH ALL FROM $name", ordered => delete $self->{cursors}{$name} };
	}
	return "SELECT " . pick(@writers) . '()' if $roll < 0.65 && @writers;
	if ($roll < 0.75)
	{
		my $query = $self->query;
		return { sql => $query->{sql}, ordered => $query->{ordered} };
	}
	return $self->write;
}

# All that the session does; the tables that it touches are in "touched".
sub statements
{
	my ($self) = @_;
	my @list = map { $self->make_prepared } 1 .. pick(1, 2);
	push @list, map { $self->make_function } 1 .. pick(1, 2);
	push @list, $self->make_writer;
	push @list, $self->step(0) for 1 .. pick(0, 1);
	for (1 .. pick(1, 1, 2))
	{
		my @open;
		push @list, 'BEGIN' . pick('', '', ' ISOLATION LEVEL REPEATABLE READ', ' ISOLATION LEVEL REPEATABLE READ');
		for (1 .. pick(2, 3, 4, 6))
		{
			# an error ends the transaction, if there is no savepoint
			push @list, 'SAVEPOINT ' . ($open[@open] = $self->name('s')) if chance(0.4);
			push @list, $self->step(1);
			push @list, 'ROLLBACK TO ' . $open[-1] if @open && chance(0.2);
			push @list, 'RELEASE ' . pop @open if @open && chance(0.2);
			# savepoints that are rolled back take cursors with them
			$self->{cursors} = {} if $list[-1] =~ /^ROLLBACK/;
		}
		push @list, pick('COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK');
		$self->{cursors} = {};
	}
	push @list, $self->step(0) for 1 .. pick(0, 1, 2);
	return @list;
}

1;
