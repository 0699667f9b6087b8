# A node is lost in the middle of a query.  If the query only reads, is all there is of
# its transaction, and no row has gone to the client yet, it is answered from other copies;
# else it fails, and says that it can be tried again.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalTest;
use ShoalFaults;
use ShoalProxy;
use ShoalWire;

my $cluster = ShoalTest->new(nodes => 2);
my @proxy = map { ShoalProxy->new($cluster->port($_), user => 'app') } 0 .. 2;
$cluster->sql(0, 'CREATE ROLE app SUPERUSER LOGIN');
$cluster->sql(0, "SELECT shoal.alter_node($_ + 1, port => " . $proxy[$_]->port . ')') for 0 .. 2;
for (['t', 1], ['sole', 0])
{
	my ($table, $replicas) = @$_;
	$cluster->sql(0, "CREATE TABLE $table (a int PRIMARY KEY, c int);
		SELECT shoal.create_distributed_table('$table', 'a', 'none', 6);
		INSERT INTO $table SELECT i, i % 10 FROM generate_series(1, 600) i");
	$cluster->sql(0, "SELECT shoal.set_replicas('$table', $replicas)") if $replicas;
}
$cluster->sql(0, 'CREATE TABLE log (a int)');
$cluster->sql(0, "CREATE FUNCTION slow(int) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN \$1; END'");
$cluster->sql(0, "CREATE FUNCTION noted(int) RETURNS int VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN \$1; END'");

# a key whose primary is on a server
sub key_on
{
	my ($server) = @_;
	return $cluster->sql(0, "SELECT min(i) FROM generate_series(1, 600) i JOIN shoal.shards s ON s.shard = shoal.shard_of('t', i)
		WHERE table_name = 't'::regclass AND role = 'primary' AND node_id = $server + 1");
}

# Runs a query at server 0 whose message to another server meets a fault; the answer.
sub answer
{
	my ($server, $rule, @sql) = @_;
	my $w = ShoalWire->new($cluster->port(0), user => 'app');
	my $last = pop @sql;
	$w->run(['Q', $_]) for @sql;
	$proxy[$server]->arm(from => 'coordinator', message => '^P [^,]*,/\*shoal (?!local)(?!.*EXPLAIN).*FROM', do => 'cut', %$rule);
	my $answer = $w->run(['Q', $last]);
	ok(defined $proxy[$server]->fired, "$last: there was a fault");
	$_->heal for @proxy;
	my $after = $w->run(['Q', 'SELECT 1']);
	$w->run(['Q', 'ROLLBACK']) if $after =~ /25P02/;
	$after = $w->run(['Q', 'SELECT 1']);
	like($after, qr/D\(1\)/, "$last: the session goes on");
	$w->close;
	return $answer;
}

my @queries = (
	['an aggregate', sub { 'SELECT count(*), sum(c) FROM t' }],
	['groups', sub { 'SELECT c, count(*) FROM t GROUP BY c ORDER BY c' }],
	['sorted rows', sub { 'SELECT a FROM t ORDER BY a LIMIT 4' }],
	['all rows, sorted', sub { 'SELECT a, c FROM t ORDER BY a' }],
	['a row', sub { 'SELECT a, c FROM t WHERE a = ' . key_on($_[0]) }],
	['rows of a join', sub { 'SELECT count(*), sum(x.c) FROM t x JOIN t y USING (a)' }],
);
for (@queries)
{
	my ($what, $sql) = @$_;
	for my $case ([1, { at => 'before' }], [2, { at => 'answer' }], [1, { at => 'answer', do => 'reset' }])
	{
		my ($server, $rule) = @$case;
		my $query = $sql->($server);
		my $w = ShoalWire->new($cluster->port(0), user => 'app');
		my $expected = $w->run(['Q', $query]);
		$w->close;
		my $how = join ' ', map { $rule->{$_} } sort keys %$rule;
		is(answer($server, $rule, $query), $expected, "$what: the answer is right though server $server is lost ($how)");
		next if $what ne 'an aggregate';
		is(answer($server, $rule, 'SET shoal.read_from = any', $query), $expected, "$what: and so it is from any copies ($how)");
	}
}

# what can't be done again
my %rule = (at => 'answer');
like(answer(1, \%rule, 'BEGIN', 'SELECT count(*) FROM t'), qr/E\(08006\)/, 'in a transaction block it is an error');
like(answer(1, \%rule, 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT count(*) FROM t'), qr/E\(08006\)/, 'and in REPEATABLE READ');
like(answer(1, \%rule, 'SELECT count(noted(c)) FROM t'), qr/E\(08006\)/, 'with a volatile function it is one');
like(answer(1, \%rule, 'SELECT a FROM t FOR UPDATE'), qr/E\(08006\)/, 'if rows are locked it is one');
like(answer(1, \%rule, 'SELECT count(*) FROM sole'), qr/E\(08006\)/, 'without a replica it is one');
# 8 kB of rows are a message
like(answer(1, { from => 'node', message => '^D ', nth => 3 }, "SELECT a, repeat('x', 200) FROM t"), qr/D\(.*E\(08006\)/, 'when rows have gone to the client it is one');

# a server dies while it works
my $expected = $cluster->sql(0, 'SELECT sum(slow(c)) FROM t WHERE a <= 300');
for my $how ('SIGKILL', 'immediate')
{
	my $w = ShoalWire->new($cluster->port(0), user => 'app');
	$w->send(['Q', 'SELECT sum(slow(c)) FROM t WHERE a <= 300']);
	sleep 0.6;
	$how eq 'SIGKILL' ? $cluster->kill(2) : $cluster->stop(2);
	my $start = now();
	like($w->answer('Z'), qr/D\($expected\)/, sprintf '%s of a server in the middle of a query: it is answered', $how);
	cmp_ok(now() - $start, '<', 15, sprintf '%s: after %.2f s', $how, now() - $start);
	$w->close;
	$cluster->start(2);
	whole_again($cluster, $how);
}
$cluster->no_leaks('at the end');
done_testing();
