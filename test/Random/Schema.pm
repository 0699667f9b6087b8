# Random/Schema.pm: the tables of test/random, twice: in schema plain as they
# are, in schema dist spread over the nodes in several ways.
#
# Each node has a full plain copy, so that every node can be the one asked.

package Random::Schema;

use strict;
use warnings;

# name => [[column, type], ...]; types: int, big, text, num, mood, arr, date
our %tables = (
	t1 => [[a => 'int'], [b => 'int'], [c => 'text'], [d => 'num']],
	t2 => [[a => 'int'], [b => 'int'], [e => 'mood'], [f => 'arr']],
	t3 => [[k => 'big'], [v => 'int'], [c => 'text'], [g => 'date']],
	u1 => [[x => 'int'], [y => 'text'], [z => 'int'], [c => 'text']],
	u2 => [[y => 'text'], [w => 'int'], [x => 'int']],
	s1 => [[k => 'text'], [n => 'int'], [d => 'num']],
	s2 => [[n => 'big'], [k => 'text'], [e => 'mood']],
	one => [[a => 'int'], [b => 'int'], [c => 'text']],
	two => [[a => 'int'], [z => 'int']],
	ref1 => [[r => 'int'], [t => 'text']],
	ref2 => [[a => 'int'], [b => 'big'], [e => 'mood']],
	loc => [[a => 'int'], [b => 'int'], [c => 'text']],
	p1 => [[id => 'int'], [v => 'int'], [w => 'text']],
	p2 => [[id => 'int'], [pos => 'int'], [q => 'int']],
	# two groups with one shard each, and a partitioned table
	mono => [[a => 'int'], [b => 'int']],
	r1 => [[a => 'int'], [g => 'date'], [b => 'int']],
);

# views have columns of the same kinds
our %views = (
	v1 => [[a => 'int'], [b => 'int'], [c => 'text']],
	v_owner => [[a => 'int'], [b => 'int'], [n => 'big']],
	v_invoker => [[a => 'int'], [b => 'int'], [e => 'mood']],
	v_now => [[k => 'big'], [v => 'int'], [late => 'bool']],
	v_agg => [[a => 'int'], [n => 'big'], [m => 'int']],
	v_barrier => [[k => 'text'], [n => 'int']],
	v_union => [[a => 'int'], [b => 'int']],
);

# what can be distributed how; the order is that of creation
my @distribute = (
	"create_distributed_table('t1', 'a', shard_count => 6)",
	"create_distributed_table('t2', 'a', colocate_with => 't1')",
	"create_distributed_table('t3', 'k', colocate_with => 't1')",
	"create_distributed_table('u1', 'x, y', shard_count => 5)",
	"create_distributed_table('u2', 'x, y', colocate_with => 'u1')",
	"create_distributed_table('s1', 'k', shard_count => 4)",
	"create_distributed_table('s2', 'k', colocate_with => 's1')",
	"create_distributed_table('p1', 'id', shard_count => 7)",
	"create_distributed_table('p2', 'id', colocate_with => 'p1')",
	"create_distributed_table('mono', 'a', shard_count => 1)",
	"create_distributed_table('one', NULL)",
	"create_distributed_table('two', NULL)",
	"create_reference_table('ref1')",
	"create_reference_table('ref2')",
	"create_distributed_table('r1', 'a', colocate_with => 't1')",
);

my %sqltype = (int => 'int', big => 'bigint', text => 'text', num => 'numeric', mood => 'mood',
	arr => 'int[]', date => 'date', bool => 'bool');

my %extra = (
	p1 => ', PRIMARY KEY (id)',
	p2 => ', PRIMARY KEY (id, pos)',
	ref1 => ', PRIMARY KEY (r)',
);

sub table_sql
{
	my ($name) = @_;
	my $columns = join ', ', map { "$_->[0] $sqltype{$_->[1]}" } @{ $tables{$name} };
	return "CREATE TABLE $name ($columns" . ($extra{$name} // '') . ');' if $name ne 'r1';
	return "CREATE TABLE r1 ($columns) PARTITION BY RANGE (g);
		CREATE TABLE r1a PARTITION OF r1 FOR VALUES FROM (MINVALUE) TO ('2024-01-04');
		CREATE TABLE r1b PARTITION OF r1 DEFAULT;";
}

my $views_sql = q{
	CREATE VIEW v1 AS SELECT a, b, c FROM t1 WHERE b IS DISTINCT FROM 3;
	CREATE VIEW v_owner AS SELECT t1.a, t2.b, count(*) n FROM t1 JOIN t2 USING (a) GROUP BY t1.a, t2.b;
	ALTER VIEW v_owner OWNER TO random_owner;
	CREATE VIEW v_invoker WITH (security_invoker) AS SELECT t2.a, t1.b, e FROM t2 LEFT JOIN t1 ON t1.a = t2.a;
	ALTER VIEW v_invoker OWNER TO random_owner;
	CREATE VIEW v_now AS SELECT k, v, now() > '2020-01-01' AND current_user = 'nobody' AS late FROM t3;
	CREATE VIEW v_agg AS SELECT a, count(*) n, max(b) m FROM t1 GROUP BY a;
	CREATE VIEW v_barrier WITH (security_barrier) AS SELECT k, n FROM s1 WHERE n > 1;
	ALTER VIEW v_barrier OWNER TO random_owner;
	CREATE VIEW v_union AS SELECT a, b FROM t1 UNION ALL SELECT a, b FROM t2;
	CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
	CREATE FUNCTION numbers(int) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT generate_series(1, $1)';
	CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN $1 + $2; END';
	CREATE FUNCTION biggest() RETURNS int LANGUAGE sql STABLE AS 'SELECT max(b) FROM t1';
	ALTER FUNCTION biggest() SET search_path FROM CURRENT;
	GRANT ALL ON ALL TABLES IN SCHEMA SCHEMA TO random_owner;
	GRANT USAGE ON SCHEMA SCHEMA TO random_owner, random_viewer;
	GRANT SELECT ON v1, v_owner, v_invoker, v_now, v_agg, v_barrier, v_union TO random_viewer;
};

sub create
{
	my ($client) = @_;
	for my $role (qw(random_owner random_viewer))
	{
		$client->must("CREATE ROLE $role LOGIN") if !@{ $client->must("SELECT 1 FROM pg_roles WHERE rolname = '$role'") };
	}
	for my $schema (qw(plain dist))
	{
		$client->must("DROP SCHEMA IF EXISTS $schema CASCADE");
		$client->must("CREATE SCHEMA $schema");
		$client->must("SET search_path = $schema");
		$client->must("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')");
		$client->must("CREATE TYPE pair AS (p int, q text)");
		$client->must(table_sql($_)) for sort keys %tables;
		(my $views = $views_sql) =~ s/SCHEMA SCHEMA/SCHEMA $schema/g;
		$client->must($_) for grep { /\S/ } split /;\n/, $views;
	}
	$client->must("SELECT shoal.$_") for @distribute;
}

# Has p2 refer to p1; fill() then fills both if one is named.
my $foreign = 0;

sub add_foreign_key
{
	my ($client) = @_;
	$client->must("ALTER TABLE $_.p2 ADD CONSTRAINT p2_to_p1 FOREIGN KEY (id) REFERENCES $_.p1 ON UPDATE CASCADE ON DELETE CASCADE")
		for qw(plain dist);
	$foreign = 1;
}

# A generator of its own, so that the data is the same whatever the seed.
my $state;

sub number
{
	my ($n) = @_;
	$state = ($state * 1103515245 + 12345) % 2147483648;
	return int($state / 65536) % $n;
}

sub value
{
	my ($type) = @_;
	return 'NULL' if number(8) == 0;
	return number(10) if $type eq 'int' || $type eq 'big';
	return number(8) . '.5' if $type eq 'num';
	return "'" . ('', 'a', 'b', 'B', 'c', 'cc', 'a ', 'b ')[number(8)] . "'" if $type eq 'text';
	return "'" . (qw(sad ok happy))[number(3)] . "'" if $type eq 'mood';
	return 'ARRAY[' . join(', ', map { number(6) } 0 .. number(3)) . ']' if $type eq 'arr';
	return "'2024-01-0" . (1 + number(8)) . "'" if $type eq 'date';
	return 'true';
}

# Fills all tables of a schema afresh.
sub fill
{
	my ($client, $schema, @only) = @_;
	my @names = @only ? @only : sort keys %tables;
	@names = ('p1', 'p2', grep { !/^p[12]$/ } @names) if $foreign && grep { /^p[12]$/ } @names;
	$client->must('TRUNCATE ' . join ', ', map { "$schema.$_" } @names);
	for my $name (@names)
	{
		$state = 7 + unpack '%32C*', $name;
		my $rows = $name =~ /^(ref|two|one|mono)/ ? 8 : 24;
		my %seen;
		my @rows;
		for my $i (1 .. $rows)
		{
			my @values = map { value($_->[1]) } @{ $tables{$name} };
			$values[0] = $i if $extra{$name};
			$values[1] = number(4) if $name eq 'p2';
			push @rows, '(' . join(', ', @values) . ')';
		}
		$client->must("SET search_path = $schema; INSERT INTO $schema.$name VALUES " . join(', ', @rows));
		$client->must("ANALYZE $schema.$name") if $schema eq 'plain';
	}
}

1;
