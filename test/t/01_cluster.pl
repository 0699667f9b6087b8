# The smallest whole story: a cluster of three servers, each used as the
# coordinator, and one of them dying and coming back.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use ShoalTest;
use Test::More;

my $cluster = ShoalTest->new(nodes => 2);

is($cluster->sql(0, 'SELECT count(*), count(DISTINCT port) FROM shoal.nodes'),
	'3|3', 'three nodes');

$cluster->sql(0, q{
	CREATE TABLE item (id int PRIMARY KEY, name text, qty int);
	SELECT shoal.create_distributed_table('item', 'id');
	INSERT INTO item SELECT i, 'item ' || i, i % 10 FROM generate_series(1, 1000) i;
});
is($cluster->sql(0, 'SELECT count(DISTINCT node_id) FROM shoal.shards'), '3',
	'every node has shards');

for my $node (0 .. 2)
{
	is($cluster->sql($node, 'SELECT count(*), sum(id), sum(qty) FROM item WHERE id <= 1000'),
		'1000|500500|4500', "all rows seen from node $node");
	is($cluster->sql($node, 'SELECT name FROM item WHERE id = 77'), 'item 77',
		"one row seen from node $node");
	is($cluster->sql($node, "INSERT INTO item VALUES (2000 + $node, 'from $node', 0) RETURNING name"),
		"from $node", "row inserted from node $node");
}
is($cluster->sql(0, 'SELECT count(*) FROM item WHERE id >= 2000'), '3',
	'and seen from the first');

# two writers in one transaction, rolled back and committed
my $s = $cluster->session(1);
$s->query('BEGIN; UPDATE item SET qty = qty + 1');
is($s->query('SELECT sum(qty) FROM item'), '5503', 'own changes are seen');
is($cluster->sql(2, 'SELECT sum(qty) FROM item'), '4500', 'by nobody else');
$s->query('ROLLBACK');
is($s->query('SELECT sum(qty) FROM item'), '4500', 'rolled back everywhere');
$s->query('BEGIN; UPDATE item SET qty = qty + 1; COMMIT');
is($cluster->sql(2, 'SELECT sum(qty) FROM item'), '5503', 'committed everywhere');

# a node dies
my $here = $cluster->sql(0, q{
	SELECT min(i) FROM generate_series(1, 1000) i JOIN shoal.shards s
		ON s.shard = shoal.shard_of('item', i) AND s.table_name = 'item'::regclass
	WHERE s.node_id = 1});
my $gone = $cluster->sql(0, q{
	SELECT min(i) FROM generate_series(1, 1000) i JOIN shoal.shards s
		ON s.shard = shoal.shard_of('item', i) AND s.table_name = 'item'::regclass
	WHERE s.node_id = 3});
is($s->query("SELECT name FROM item WHERE id = $gone"), "item $gone", 'session is connected to node 2');
$cluster->kill(2);
like($cluster->error(0, 'SELECT count(*) FROM item'), qr/ERROR:  08\d\d\d: .*node/,
	'query over all shards names the node that is gone');
like($cluster->error(0, "UPDATE item SET qty = 0 WHERE id = $gone"), qr/ERROR:  08\d\d\d:/,
	'so does a write to it');
like($s->query("SELECT name FROM item WHERE id = $gone"), qr/ERROR/,
	'and a session that had a connection');
is($cluster->sql(0, "SELECT name FROM item WHERE id = $here"), "item $here",
	'rows on other nodes are there');
is($s->query("SELECT name FROM item WHERE id = $here"), "item $here",
	'in that session too');

# and comes back
$cluster->start(2);
is($cluster->sql(0, 'SELECT count(*), sum(qty) FROM item'), '1003|5503',
	'all rows again');
is($s->query("SELECT name FROM item WHERE id = $gone"), "item $gone",
	'the session reconnects');

$cluster->no_leaks('at the end');
done_testing();
