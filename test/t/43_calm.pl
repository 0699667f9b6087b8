# Statements that read without holding the gates of all nodes (xact_calm.c): a transaction
# that is committed on one node and still prepared on another one is not seen by
# half, nor one that has written on a node over several connections; and nodes that are
# not read need not answer.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use ShoalProxy;
use ShoalTest;
use ShoalWire;

my $cluster = ShoalTest->new(nodes => 3, conf => ['min_parallel_table_scan_size=0', 'shoal.processors=100', 'shoal.max_statement_connections=2']);
my $proxy = ShoalProxy->new($cluster->port(2), user => 'postgres');
$cluster->sql(0, 'SELECT shoal.alter_node(1, holds_shards => false); SELECT shoal.alter_node(4, holds_shards => false)');
$cluster->sql(0, "SELECT shoal.alter_node(3, port => @{[$proxy->port]}, host => '127.0.0.1')");
$cluster->sql(0, "CREATE TABLE t (a int PRIMARY KEY, c int); SELECT shoal.create_distributed_table('t', 'a', shard_count => 4);
	INSERT INTO t SELECT i, 0 FROM generate_series(1, 100) i");

my $reader = ShoalWire->new($cluster->port(0));
# one for each way, as who has tried in vain does not try the next time
my @readers = map { ShoalWire->new($cluster->port(0)) } 0 .. 5;
my $writer = ShoalWire->new($cluster->port(0));
my $read = 'SELECT min(c), max(c) FROM t';
my @steps = ('SELECT count(*) FROM t WHERE c = (SELECT max(c) FROM t)',
	'SELECT count(*) FROM t WHERE a = (SELECT max(a) FROM t WHERE c IN (SELECT min(c) FROM t))');
# several fragments, one of which is started before it is asked for
my @whole = ('SELECT x.n, x.m, y.n FROM (SELECT min(c) AS n, max(c) AS m FROM t) x, (SELECT max(c) AS n FROM t WHERE a > 0) y',
	'SELECT (SELECT min(c) FROM t), (SELECT max(c) FROM t)',
	'WITH w AS MATERIALIZED (SELECT a % 7 AS g, max(c) AS m FROM t GROUP BY 1) SELECT min(m), max(m), min(t.c) FROM w JOIN t ON t.a = w.m + 1');
sub read_is { my ($expected, $name) = @_; return is($reader->q($read), $expected, $name); }

# the first one is at a moment, which tells what the nodes have committed
$reader->q("SET statement_timeout = '300ms'");
read_is('D(0,0)', 'at a moment') for 1 .. 2;
for my $r (@readers)
{
	$r->q("SET statement_timeout = '300ms'");
	$r->q($_) for $read, @steps, @whole;
}
$cluster->freeze(3);
read_is('D(0,0)', 'calm: a node that is not read need not answer');
$cluster->thaw(3);

# node 1 has committed, node 2 does not hear of it
$proxy->arm(from => 'coordinator', message => 'COMMIT PREPARED', do => 'hold');
$writer->send(['Q', 'UPDATE t SET c = 1']);
ok($cluster->wait_for(1, 'SELECT count(*) = 0 FROM pg_prepared_xacts') &&
	$cluster->wait_for(2, 'SELECT count(*) = 1 FROM pg_prepared_xacts'), 'committed on one node only');
my %answers;
$answers{$reader->q($read)}++ for 1 .. 12;
$answers{$readers[$_]->q(($read, @steps, @whole)[$_])}++ for 0 .. 5;
is(join(' ', sort keys %answers), 'E(57014)', 'nobody sees a half');
$proxy->heal;
like($writer->answer('Z'), qr/C\(UPDATE 100\)/, 'the writer hears of its commit');
read_is('D(1,1)', 'then all of it is seen');

# something has been committed since the nodes last told: what the first step has read does not count
$writer->q('UPDATE t SET c = c + 1');
is($reader->q($steps[0]), 'D(100)', 'a step that was in vain');
is($reader->q($steps[0]), 'D(100)', 'and one that was not');
for my $i (0 .. 2)
{
	my $expected = ('D(N,N,N)', 'D(N,N)', 'D(N,N,N)')[$i] =~ s/N/$i + 3/egr;
	$writer->q('UPDATE t SET c = c + 1');
	is($reader->q($whole[$i]), $expected, "several fragments, in vain: $i");
	is($reader->q($whole[$i]), $expected, "and not: $i");
}

# one of the connections over which a node was written has committed
$cluster->sql(0, "SELECT shoal.alter_node(2, holds_shards => false);
	CREATE TABLE s (a int PRIMARY KEY, c int); SELECT shoal.create_distributed_table('s', 'a', shard_count => 4, colocate_with => 'none');
	INSERT INTO s SELECT i, 0 FROM generate_series(1, 10000) i");
my $there = ShoalWire->new($cluster->port(2));
$_->q("SET statement_timeout = '300ms'") for $reader, $there;
my @ways = ('SELECT min(c), max(c) FROM s', 'SELECT min(c), max(c) FROM (SELECT c FROM s OFFSET 0) x');
for my $w ($reader, $there)
{
	is($w->q($_), 'D(0,0)', $_) for @ways;
}
$proxy->arm(from => 'coordinator', message => 'COMMIT PREPARED', nth => 2, do => 'hold');
$writer->send(['Q', 'UPDATE s SET c = 1']);
ok($cluster->wait_for(2, 'SELECT count(*) = 1 FROM pg_prepared_xacts') && defined $proxy->fired, 'committed over one connection only');
%answers = ();
for my $sql (@ways)
{
	$answers{$_->q($sql)}++ for $reader, $there;
}
is(join(' ', sort keys %answers), 'E(57014)', 'nobody sees a half of a node');
$proxy->heal;
like($writer->answer('Z'), qr/C\(UPDATE 10000\)/, 'the writer hears of its commit');
for my $w ($reader, $there)
{
	is($w->q($_), 'D(1,1)', $_) for @ways;
}

$cluster->no_leaks('at the end');
done_testing();
