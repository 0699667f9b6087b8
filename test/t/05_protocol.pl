# The extended protocol, COPY and pipelines: the same messages go to a cluster
# and to a plain server, and the answers must be the same.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use ShoalTest;
use ShoalWire;

my $cluster = ShoalTest->new(nodes => 2, plain => 1);
my @sides = map { ShoalWire->new($cluster->port($_)) } 0, 'plain';

# Rows that follow one another come in any order.
sub normal
{
	my ($text) = @_;
	$text =~ s{(?:D\([^()]*\) ?){2,}}{join(' ', sort split / (?=D)/, $& =~ s/ $//r) . ' '}ge;
	$text =~ s{((?:d\([^()]*\) ?){2,})}{join(' ', sort split / (?=d\()/, $1 =~ s/ $//r) . ' '}ge;
	return $text;
}

# One exchange after the other.
sub same
{
	my ($name, @exchanges) = @_;
	my @text;
	for my $side (@sides)
	{
		push @text, join "\n", map { normal($side->run(@$_)) .
			(defined $side->{error} ? " $side->{error}" : '') } @exchanges;
		$side->{error} = undef;
	}
	is($text[0], $text[1], $name);
}

# Parse, Bind, Execute of the unnamed statement.
sub pbe { my ($sql, @values) = @_; return (['P', '', $sql], ['B', '', '', [@values]], ['E', '']); }
sub be { my ($name, @values) = @_; return (['B', '', $name, [@values]], ['E', '']); }
my $sync = ['S'];
sub query { return [['Q', $_[0]]]; }

for my $side (@sides)
{
	$side->q("CREATE TABLE t (a int PRIMARY KEY, b text, c int, d numeric, ts timestamptz DEFAULT '2024-01-01')");
	$side->q("CREATE TABLE r (a int PRIMARY KEY, b text)");
}
$sides[0]->q("SELECT shoal.create_distributed_table('t', 'a', shard_count => 8)");
$sides[0]->q("SELECT shoal.create_reference_table('r')");
same('rows', query("INSERT INTO t SELECT i, 'b' || i, i % 10, i / 4.0 FROM generate_series(1, 1000) i"),
	query("INSERT INTO r SELECT i, 'r' || i FROM generate_series(1, 10) i"),
	query("SELECT count(*), sum(a), sum(d) FROM t"));

# ---- what columns of results are ----

# Which table's column each column of a result is said to be.
for my $side (@sides)
{
	$side->q('CREATE VIEW t_view AS SELECT b, a FROM t');
	$side->q('PREPARE one AS SELECT b, a FROM t WHERE a = $1');
	$side->{names} = { 0 => '', map { $side->run(['Q', "SELECT oid FROM pg_class WHERE relname = '$_'"]) =~ /D\((\d+)\)/; ($1 => $_) }
		qw(t r t_view) };
}
for my $sql ('SELECT * FROM t WHERE a = 1', 'SELECT a, b || c FROM t', 'SELECT b FROM t ORDER BY d LIMIT 1',
	'SELECT b, count(*) FROM t GROUP BY b', 'SELECT r.b, t.b FROM t JOIN r ON t.c = r.a', 'SELECT * FROM r',
	'SELECT * FROM t_view', 'SELECT a FROM t UNION SELECT a FROM r', 'EXECUTE one (1)',
	'WITH w AS (UPDATE t SET c = 1 WHERE a = 1 RETURNING a, c) SELECT c, a FROM w',
	"INSERT INTO t VALUES (2001) RETURNING *", "INSERT INTO t VALUES (2002), (2003) RETURNING c, a",
	"UPDATE t SET a = a + 10 WHERE a > 2000 RETURNING *", "UPDATE t SET b = random() WHERE a > 2000 RETURNING d, b",
	'UPDATE r SET b = a RETURNING b', 'DELETE FROM t WHERE a > 2000 RETURNING ts, a + 1, b')
{
	my @tables = map { $_->run(['Q', $sql]); join ',', $_->{names}->@{ $_->{tables}->@* } } @sides;
	is($tables[0], $tables[1], "tables of: $sql");
}

# Which table's constraint an error is about, on whichever node its shard is.
for my $side (@sides)
{
	$side->q('CREATE TABLE k (a int PRIMARY KEY, b text NOT NULL CONSTRAINT short CHECK (length(b) < 3), r int REFERENCES r)');
	$side->q("SELECT shoal.create_distributed_table('k', 'a', shard_count => 8)") if $side == $sides[0];
	$side->q("INSERT INTO k SELECT i, 'x' FROM generate_series(1, 20) i");
}
for my $sql (map { ("INSERT INTO k VALUES ($_, 'x')", "INSERT INTO k VALUES ($_ + 100, 'xxx')", "UPDATE k SET b = null WHERE a = $_",
	"WITH w AS (INSERT INTO k VALUES ($_ + 200, 'x', 1000) RETURNING a) SELECT * FROM w") } 1 .. 8)
{
	my @answers = map { $_->run(['Q', $sql]) . " $_->{of}" } @sides;
	is($answers[0], $answers[1], "error's names: $sql");
}

# ---- parameters and results ----

same('parameter of unknown type', [['P', '', 'SELECT a, b FROM t WHERE a = $1'], ['B', '', '', [5]],
	['D', 'P', ''], ['E', ''], $sync]);
for my $type ([23, 'N'], [20, 'q>'], [21, 'n'])
{
	same("binary parameter of type $type->[0]",
		[['P', '', 'SELECT a, b, c, d, ts FROM t WHERE a = $1', [$type->[0]]],
		['B', '', '', [pack($type->[1], 6)], format => 1, result => 1], ['D', 'P', ''], ['E', ''], $sync]);
}
same('binary results of all ways', map { [['P', '', $_], ['B', '', '', [], result => 1], ['E', ''], $sync] }
	'SELECT count(*), sum(a), avg(c), max(ts), min(b) FROM t', 'SELECT a, d, ts FROM t ORDER BY d, a LIMIT 5',
	'SELECT c, sum(d) FROM t GROUP BY c', 'UPDATE t SET c = 3 WHERE a IN (1, 2) RETURNING *',
	'SELECT t.a, r.b FROM t JOIN r USING (a)', 'SELECT x.a, y.a FROM t x JOIN t y ON x.a = y.c WHERE y.a < 30');
same('numeric and null parameters', [['P', '', 'SELECT a FROM t WHERE a = $1', [1700]], ['B', '', '', ['7']], ['E', ''],
	['B', '', '', [undef]], ['E', ''], $sync]);
same('text that is no number', [['P', '', 'SELECT a FROM t WHERE a = $1'], ['B', '', '', ['x']], ['E', ''], $sync]);
same('wrong number of parameters', [['P', '', 'SELECT a FROM t WHERE a = $1'], ['B', '', '', [1, 2]], ['E', ''], $sync]);
same('broken binary', [['P', '', 'SELECT a FROM t WHERE a = $1'], ['B', '', '', ['x'], format => 1], ['E', ''], $sync]);
same('array parameter', [['P', 'in', 'SELECT a FROM t WHERE a = ANY($1) ORDER BY a LIMIT $2'], ['D', 'S', 'in'],
	['B', '', 'in', ['{1,2,3,NULL}', 2]], ['E', ''], $sync]);
my %prepared = (
	upd => 'UPDATE t SET b = $2, c = $3 WHERE a = $1 RETURNING *',
	ins => 'INSERT INTO t (a, b, ts) VALUES ($1, $2, $3)',
	up => 'INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = excluded.b || $3 RETURNING a, b',
	del => 'DELETE FROM t WHERE a = $1',
	agg => 'SELECT count(*), sum(c), max(d) FROM t WHERE b LIKE $1',
	row => 'SELECT b, c FROM t WHERE a = $1',
	lim => 'SELECT a FROM t WHERE c = $1 ORDER BY a OFFSET $2 LIMIT $3',
	lock => 'SELECT a FROM t WHERE a BETWEEN $1 AND $2 FOR UPDATE',
	ref => 'UPDATE r SET b = $2 WHERE a = $1 RETURNING a, b',
	values => 'INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4)');
for my $name (sort keys %prepared)
{
	same("describe $name", [['P', $name, $prepared{$name}], ['D', 'S', $name], $sync]);
}
for my $k (1 .. 8)
{
	# more than five times: generic plans, too
	same("prepared statements, time $k", map { [be(@$_), $sync] }
		['upd', $k, "v$k", undef], ['ins', 2000 + $k, undef, '2024-02-03 04:05:06+00'],
		['up', 1999 + $k, 'x', 'y'], ['del', 2000 + $k], ['agg', "b$k%"], ['row', $k], ['row', undef],
		['row', -1], ['lim', $k, 2, 3], ['lim', $k, 0, undef], ['lock', $k, $k + 3], ['ref', $k, "z$k"],
		['values', 3000 + $k, 'p', 4000 + $k, 'q'], ['ins', 1, '', undef]);
}

# ---- rows that pass through as they are ----

my @formats = (0, 1, [0, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]);
for my $sql ('SELECT a, b, c, d, ts FROM t WHERE a = 7', 'SELECT * FROM t WHERE a BETWEEN 10 AND 13 ORDER BY a', 'SELECT b, a, ts, d, c FROM t WHERE a = 1 AND false',
	'SELECT a, b, NULL::text, d, ts FROM t WHERE a = 9', 'SELECT a, $$x$$::text, c, d / 3, ts FROM t WHERE a = 9',
	'UPDATE t SET c = c + 1 WHERE a = 11 RETURNING a, b, c, d, ts', 'SELECT a, b, c, d, ts FROM t WHERE a = 11 FOR UPDATE')
{
	same("formats: $sql", (map { [['P', '', $sql], ['B', '', '', [], result => $_], ['D', 'P', ''], ['E', ''], $sync] } @formats), query($sql));
	same("formats and row limits: $sql", map { [['P', '', $sql], ['B', '', '', [], result => $_], ['E', '', 1], ['E', '', 1], ['E', '', 0], $sync] } @formats);
}
for my $result (0, 1)
{
	same("portals of one node's rows take turns, format $result", query('BEGIN'),
		[['P', 'f1', 'SELECT a, b, d FROM t WHERE a = 5 OR (a > 4 AND a < 6)'], ['P', 'f2', 'SELECT x.a, y.b, y.ts FROM t x JOIN t y USING (a) WHERE a = 5'],
		['P', 'f3', 'SELECT a, d, ts FROM t WHERE a < 30'],
		(map { ['B', $_, $_, [], result => $result] } 'f1', 'f2', 'f3'), ['E', 'f1', 1], ['E', 'f2', 1], ['E', 'f1', 1], ['E', 'f2'], ['E', 'f1'], ['E', 'f3'], $sync], query('COMMIT'));
	same("settings change between the rows of a portal, format $result", query('BEGIN'),
		[['P', 's', 'SELECT ts, x.d FROM t JOIN generate_series(1, 6) x(d) ON true WHERE a = 8'], ['B', 's', 's', [], result => $result], ['E', 's', 2], $sync],
		query("SET LOCAL TimeZone = 'Asia/Tokyo'"), [['E', 's', 2], $sync], query("SET LOCAL DateStyle = 'German'"), [['E', 's'], $sync],
		query('COMMIT'), [pbe('SELECT ts, d FROM t WHERE a = 1'), $sync]);
	same("a cursor, format $result", query('BEGIN'), query('DECLARE c CURSOR FOR SELECT a, b, ts FROM t WHERE a = 5'),
		[['P', '', 'FETCH c'], ['B', '', '', [], result => $result], ['E', ''], $sync], query('FETCH c'), query('COMMIT'));
}
same('another encoding', query("UPDATE t SET b = E'gr\\u00fc\\u00dfe' WHERE a = 12"), query("SET client_encoding = 'latin1'"),
	(map { [['P', '', 'SELECT a, b FROM t WHERE a = 12'], ['B', '', '', [], result => $_], ['E', ''], $sync] } 0, 1),
	query('SELECT a, b FROM t WHERE a = 12'), query('RESET client_encoding'), query('SELECT a, b FROM t WHERE a = 12'));
same('an error after some rows', query('SELECT a, 1 / (a - 4) FROM t WHERE a = 4'), query('SELECT a, 1 / (a - 4) FROM t WHERE a = 3'),
	query('SELECT a, 1 / (nullif(a, 4)) FROM t WHERE a = 4'));

# ---- portals ----

same('portals go on after other statements', query('BEGIN'),
	[['P', 'p1', 'SELECT a FROM t WHERE a <= 1000 ORDER BY a'], ['P', 'p2', 'SELECT a, b FROM t WHERE a = $1'],
	['P', 'p3', 'SELECT c, count(*) FROM t GROUP BY c ORDER BY c'],
	['B', 'c1', 'p1'], ['B', 'c2', 'p2', [4]], ['B', 'c3', 'p3'], ['E', 'c1', 2], ['E', 'c3', 2], ['E', 'c1', 1], $sync],
	query("UPDATE t SET b = 'zz', c = 5 WHERE a < 20"),
	[pbe('SELECT count(*) FROM t WHERE b = $1', 'zz'), $sync],
	[['E', 'c1', 3], ['E', 'c2', 1], ['E', 'c3', 2], ['D', 'P', 'c1'], ['C', 'P', 'c1'], ['E', 'c1'], $sync],
	query('ROLLBACK'));
same('portal with a limit ends with Sync', [['P', '', 'SELECT a FROM t ORDER BY a'], ['B', '', '', []], ['E', '', 2], $sync],
	[['E', '', 2], $sync]);
same('portal with a limit and Flush', [['P', '', 'SELECT a FROM t ORDER BY a'], ['B', '', '', []], ['E', '', 2], ['H'], 's'],
	[['E', '', 2], ['E', ''], $sync]);
same('row limit and RETURNING', [['P', '', 'INSERT INTO r VALUES (20), (21) RETURNING a'], ['B', '', '', []], ['E', '', 1], $sync],
	[['P', '', 'DELETE FROM t WHERE a = 2008 RETURNING a'], ['B', '', '', []], ['E', '', 1], $sync],
	[['P', '', 'DELETE FROM t WHERE a = 4001 RETURNING a'], ['B', '', '', []], ['E', '', 1], $sync],
	query('SELECT count(*) FROM r'), query('SELECT count(*) FROM t'));
same('one portal run twice', query('BEGIN'),
	[['P', '', 'SELECT a FROM t WHERE a < 4 ORDER BY a'], ['B', 'x', ''], ['E', 'x'], ['E', 'x'], $sync], query('COMMIT'));

# ---- pipelines: one transaction up to Sync ----

my $left = query('SELECT a FROM t WHERE a > 5000 ORDER BY a');
my $insert = 'INSERT INTO t (a) VALUES ($1)';
same('error in the middle of a pipeline', [(map { pbe($insert, $_) } 5001 .. 5008, 1, 5009), $sync], $left);
same('error at its end', [(map { pbe($insert, $_) } 5001 .. 5008, 1), $sync], $left);
same('error at its start', [(map { pbe($insert, $_) } 1, 5001 .. 5008), $sync], $left);
same('read, write, error', [pbe('SELECT count(*) FROM t WHERE a = 1'), pbe($insert, 5001), pbe('SELECT 1 / 0'), $sync], $left);
same('write, then a Bind that fails', [pbe($insert, 5001), ['B', '', 'nosuch'], $sync], $left);
same('write, then a Parse that fails', [pbe($insert, 5002), ['P', '', 'SELEC'], $sync], $left);
same('write, Flush, error', [pbe($insert, 5003), ['H'], 'C'], [pbe($insert, 1), $sync], $left);
same('write, Flush, Sync', [pbe($insert, 5004), ['H'], 'C'], [$sync], $left);
same('two writes, two Syncs', [pbe($insert, 5005), $sync, pbe($insert, 1), $sync], [$sync], $left);
$_->answer('Z') for @sides;
same('error in a block', query('BEGIN'), [pbe($insert, 5010), pbe($insert, 1), pbe('COMMIT'), $sync], query('COMMIT'), $left);
same('BEGIN and COMMIT in a pipeline', [(map { pbe($_) } 'BEGIN', 'INSERT INTO t (a) VALUES (5011)', 'COMMIT',
	'INSERT INTO t (a) VALUES (5012)', 'INSERT INTO t (a) VALUES (1)'), $sync], $left);
same('SAVEPOINT in a pipeline', [(map { pbe($_) } 'BEGIN', 'SAVEPOINT s', 'INSERT INTO t (a) VALUES (5013)',
	'ROLLBACK TO s', 'INSERT INTO t (a) VALUES (5014)', 'COMMIT'), $sync], $left);
same('what can\'t run in a pipeline', [pbe($insert, 5015), pbe('VACUUM t'), $sync], $left);
same('pipeline that succeeds', [(map { pbe($insert, $_) } 5020 .. 5029), pbe('SELECT count(*) FROM t WHERE a >= 5020'),
	pbe('UPDATE r SET b = \'pipe\' WHERE a < 3'), pbe('DELETE FROM t WHERE a = 5020'), $sync], $left);
same('several statements in one query', query('INSERT INTO t (a) VALUES (5030); SELECT count(*) FROM t WHERE a = 5030; SELECT 1/0'),
	query('INSERT INTO t (a) VALUES (5031); INSERT INTO t (a) VALUES (5032); INSERT INTO t (a) VALUES (1)'),
	query('INSERT INTO t (a) VALUES (5033); COMMIT; INSERT INTO t (a) VALUES (1)'),
	query('INSERT INTO t (a) VALUES (5034); BEGIN; INSERT INTO t (a) VALUES (5035); ROLLBACK; INSERT INTO t (a) VALUES (5036)'),
	query('SELECT 1; VACUUM t'), query(''), query(';;'), $left);

# ---- plans and types that change ----

same('a result type that changes', [['P', 'all', 'SELECT * FROM t WHERE a = $1'], be('all', 1), $sync],
	query('ALTER TABLE t ADD COLUMN z int DEFAULT 5'), [be('all', 1), $sync], [['D', 'S', 'all'], $sync],
	query('ALTER TABLE t DROP COLUMN z'), [be('all', 1), $sync],
	[be('row', 1), $sync], query('ALTER TABLE t ALTER c TYPE bigint'), [be('row', 1), $sync],
	[be('agg', 'b1%'), $sync], query('ALTER TABLE t ALTER c TYPE int'), [be('row', 1), $sync], [be('agg', 'b1%'), $sync],
	query('CREATE INDEX ON t (c)'), [be('agg', 'b1%'), $sync], [be('ins', 6001, 'x', '2024-01-01'), $sync]);

# ---- COPY ----

sub copy { my ($sql, @messages) = @_; return ([['Q', $sql], 'G'], [@messages]); }
$left = query('SELECT a, b FROM t WHERE a > 7000 ORDER BY a');
my @from = ('COPY t (a, b) FROM STDIN', ['d', "7001\tx\n70"], ['d', "02\ty\n7003\t\\N\n7004\ta\\tb\n"]);
same('COPY FROM', copy(@from, ['c']), $left);
same('COPY FROM, given up', copy('COPY t (a, b) FROM STDIN', ['d', "7011\tx\n"], ['f', 'no']), $left);
same('COPY FROM, bad key', copy('COPY t (a, b) FROM STDIN', ['d', "7011\tx\nfoo\ty\n"], ['c']), $left);
same('COPY FROM, duplicate key', copy('COPY t (a, b) FROM STDIN', ['d', "7011\tx\n1\ty\n"], ['c']), $left);
same('COPY FROM, bad other column', copy('COPY t (a, c) FROM STDIN', ['d', "7011\t1\n7012\t1\n7013\tz\n7014\t1\n"], ['c']), $left);
same('COPY FROM, extra column', copy('COPY t (a, c) FROM STDIN', ['d', "7011\t1\t2\n"], ['c']), $left);
for my $data ("7081\tx\n7082\ty", "7081\tx\r\n7082\ty\r\n", "7081\tx\n7082\ty\r\n", "7081\ta\\\nb\n7082\tc\\\\\n7083\td\n",
	"7081\tx\n\\67082\ty\n70\\x38\x33\tz\n7084\t\\.\n", "7081\tx\n\\.\n7082\ty\n", "7081\tx\n\\.x\n", "7081\tx\n7082\n", "7081\tx\n\n7082\tx\n",
	"7081\tx\n\\N\tx\n", "7081\tx\n7082\t\xc3\n", "7081\tx\n7082\ta\0b\n", "7081\tx\n7082\t\\x\\101\\tb\n", "\n", "\\.\n", '')
{
	(my $name = $data) =~ s/[^\\ -~]/'<' . ord($&) . '>'/ge;
	same("COPY FROM, $name", copy('COPY t (a, b) FROM STDIN', ['d', $data], ['c']), $left);
	same("COPY FROM, byte by byte, $name", copy('COPY t (a, b) FROM STDIN', ['H'], ['S'], (map { ['d', $_] } split //, $data), ['d', ''], ['c']), $left);
}
same('COPY FROM, CSV', copy('COPY t (a, b) FROM STDIN (FORMAT csv, HEADER, NULL \'-\')',
	['d', qq{a,b\n7021,"x\ny"\n7022,-\n7023,"a ""q"""\n}], ['c']), $left);
same('COPY FROM, a line that ends with \\.', copy('COPY t (a, b) FROM STDIN', ['d', "7031\tx\n\\.\n"], ['c']), $left);
same('COPY FROM with the extended protocol', [pbe('COPY t (a, b) FROM STDIN'), ['H'], 'G'],
	[['d', "7041\tx\n"], ['c'], $sync], $left);
same('COPY FROM in a pipeline that fails', [pbe($insert, 7051), pbe('COPY t (a, b) FROM STDIN'), ['H'], 'G'],
	[['d', "1\tx\n"], ['c'], $sync], $left);
same('COPY FROM in a transaction', query('BEGIN'), copy('COPY t (a, b) FROM STDIN', ['d', "7061\tx\n"], ['c']), $left,
	query('SAVEPOINT s'), copy('COPY t (a, b) FROM STDIN', ['d', "1\tx\n"], ['c']), query('ROLLBACK TO s'), query('COMMIT'), $left);
same('COPY TO', query('COPY (SELECT a, b FROM t WHERE a > 7000 ORDER BY a) TO STDOUT'),
	query('COPY r TO STDOUT (FORMAT csv, HEADER)'), query('COPY (SELECT count(*) FROM t) TO STDOUT'),
	query('COPY (DELETE FROM t WHERE a > 7040 RETURNING a) TO STDOUT'), [pbe('COPY r TO STDOUT'), $sync]);

# ---- the session ----

same('LISTEN and NOTIFY', query('LISTEN c'), query("BEGIN; INSERT INTO t (a) VALUES (8001), (8002); NOTIFY c, 'hello'"),
	query('COMMIT'), query("BEGIN; DELETE FROM t WHERE a > 8000; NOTIFY c, 'no'"), query('ROLLBACK'), query('UNLISTEN *'),
	query('SELECT count(*) FROM t WHERE a > 8000'));
same('DISCARD ALL', query('SET TimeZone = \'Asia/Tokyo\''), query('SELECT DISTINCT ts FROM t WHERE a < 30'),
	query('DISCARD ALL'), query('SELECT DISTINCT ts FROM t WHERE a < 30'), [be('row', 1), $sync]);
same('in the end', query('SELECT count(*), sum(a), sum(c), sum(length(b)) FROM t'), query('SELECT * FROM r'));

for my $node (0 .. 2)
{
	is($cluster->sql($node, "SELECT count(*) FROM pg_prepared_xacts"), '0', "nothing is prepared on node $node");
}

# ends the sessions
same('COPY FROM, another message', [['Q', 'COPY t (a, b) FROM STDIN'], 'G'], [['d', "7081\tx\n"], ['D', 'S', '']]);

$cluster->no_leaks('at the end');
done_testing();
