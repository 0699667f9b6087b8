# Schema changes and queries from all nodes at the same time do not wait for
# each other for good.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use ShoalTest;
use Test::More;

my $cluster = ShoalTest->new(nodes => 2);
$cluster->sql(0, q{
	CREATE TABLE item (id int PRIMARY KEY, qty int);
	SELECT shoal.create_distributed_table('item', 'id', shard_count => 6);
	INSERT INTO item SELECT i, 0 FROM generate_series(1, 100) i;
});

# who waits for a query gives up, and leaves the session usable
my $reader = $cluster->session(1);
$reader->query('BEGIN; SELECT count(*) FROM item');
my $changer = $cluster->session(0);
like($changer->query("SET lock_timeout = '1s'; ALTER TABLE item ADD COLUMN a int"),
	qr/could not lock table "item" on all nodes/, 'lock_timeout');
like($changer->query("RESET lock_timeout; SET statement_timeout = '1s'; TRUNCATE item"),
	qr/statement timeout/, 'statement_timeout');
is($changer->query('RESET statement_timeout; SELECT count(*) FROM item'), 100, 'nothing happened');
$changer->send('ALTER TABLE item ADD COLUMN a int');
is($changer->wait(1), undef, 'waiting');
is($reader->query('SELECT count(*) FROM item'), 100, 'the reader goes on meanwhile');
is($cluster->sql(2, 'SELECT count(*) FROM item'), 100, 'so do others');
$reader->query('COMMIT');
is($changer->wait, '', 'done after the reader');

# CREATE INDEX CONCURRENTLY waits for other nodes with nothing uncommitted, which those
# who hold it up there could wait for
$cluster->sql(0, "CREATE TABLE kind (id int, name text); SELECT shoal.create_reference_table('kind')");
$reader = $cluster->session(2);
$reader->query('SET shoal.forward_ddl = off; BEGIN; LOCK TABLE kind IN SHARE UPDATE EXCLUSIVE MODE');
$changer->send('CREATE INDEX CONCURRENTLY kind_id ON kind (id)');
ok($cluster->wait_for(2, q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'kind'::regclass}), 'another node has to wait');
is($cluster->sql(0, q{SELECT count(*), count(backend_xid), count(backend_xmin) FROM pg_stat_activity
	WHERE query LIKE 'CREATE INDEX%' AND pid <> pg_backend_pid()}), '1|0|0', 'all is committed here');
$reader->query('COMMIT');
is($changer->wait, '', 'the index is made');

# everybody at once
my (@clients, %sent);
for my $node (0 .. 2)
{
	my $queries = $cluster->session($node);
	$queries->send(join "\n", map {
		my $key = 1 + ($_ * 7 + $node) % 100;
		"SELECT count(*) = 100 FROM item; UPDATE item SET qty = qty + 1 WHERE id = $key;"
	} 1 .. 100);
	my $ddl = $cluster->session($node);
	$ddl->send(join "\n", map {
		"ALTER TABLE item ADD COLUMN c_${node}_$_ int; CREATE INDEX i_${node}_$_ ON item (qty);
		BEGIN; LOCK TABLE item IN SHARE MODE; SELECT count(*) = 100 FROM item; COMMIT;
		DROP INDEX i_${node}_$_; ALTER TABLE item DROP COLUMN c_${node}_$_;"
	} 1 .. 8);
	push @clients, $queries, $ddl;
}
my $output = join '', map { $_->wait(120) // 'timed out' } @clients;
unlike($output, qr/timed out/, 'all of them end');
unlike($output, qr/ERROR|WARNING/, 'without errors');
unlike($output, qr/^f$/m, 'and see whole tables');
is($cluster->sql(0, 'SELECT sum(qty) FROM item'), 300, 'no update is lost');
is($cluster->sql($_, 'SELECT count(*) FROM pg_prepared_xacts'), 0, "nothing left behind on node $_") for 0 .. 2;

$cluster->no_leaks('at the end');
done_testing();
