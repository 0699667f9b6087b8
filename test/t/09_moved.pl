# Rows that are moved between nodes when a node or its session dies, or the
# client goes: the error says so, the next query works, no file is left.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;
use ShoalWire;

my $cluster = ShoalTest->new(nodes => 2, conf => ['shoal.move_threshold=0', 'autovacuum=off']);
$cluster->sql(0, $_) for (
	'CREATE TABLE a (id int, x int)',
	'CREATE TABLE b (id int, y int, pad text)',
	"SELECT shoal.create_distributed_table('a', 'id')",
	"SELECT shoal.create_distributed_table('b', 'id', colocate_with => 'none')",
	'INSERT INTO a SELECT i, i % 1000 FROM generate_series(1, 3000) i',
	"INSERT INTO b SELECT i, i, repeat('x', 1000) FROM generate_series(1, 3000) i");

# slow where moved rows are used, and slow where they are sent
$cluster->sql(0, "CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN PERFORM pg_sleep(0.002); RETURN \$1; END'");
my $join = 'SELECT count(*), sum(length(pad)) FROM a JOIN b ON x = y';
my $slow_use = "$join AND slow(a.id + b.id) > 0";
my $slow_send = "$join AND slow(a.id) > 0 AND slow(b.id) > 0";
my $expected = '2997|2997000';

sub files
{
	my $n = 0;
	$n += $cluster->sql($_, "SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp', true, false)") for @_ ? @_ : (0 .. 2);
	return $n;
}
sub no_files
{
	my ($name) = @_;
	my $end = time + 10;
	sleep 0.1 while files() > 0 && time < $end;
	is(files(), 0, "$name: no file is left");
}

is($cluster->sql(0, $join), $expected, 'rows are moved');
like($cluster->sql(0, "EXPLAIN (COSTS OFF) $join"), qr/Move: /, '... indeed');
no_files('after a query');
like($cluster->sql(0, "EXPLAIN (COSTS OFF) $slow_send"), qr/Move: .*slow/, 'sending is slow');
like($cluster->sql(0, "EXPLAIN (COSTS OFF) $slow_use"), qr/Move: (?!.*slow)/, '... or using');

# from each node as coordinator
is($cluster->sql($_, $join), $expected, "the same asked of node $_") for 1, 2;

# a transaction that goes on after an error has nothing of the query left
my $session = $cluster->session(0);
$session->query('BEGIN; SAVEPOINT s');
like($session->query("$join GROUP BY 1 / (x - 5)"), qr/division by zero/, 'a query with moved rows fails in a subtransaction');
$session->query('ROLLBACK TO s');
no_files('after ROLLBACK TO');
# a cursor that was declared before, and read in it, does
$session->query("DECLARE c CURSOR FOR SELECT a.id FROM a JOIN b ON x = y ORDER BY 1; SAVEPOINT t; FETCH 1 FROM c; ROLLBACK TO t");
is($session->query('MOVE ALL IN c; SELECT 1'), 1, 'a cursor goes on');
$session->query("DECLARE d CURSOR FOR SELECT a.id FROM a JOIN b ON x = y; SAVEPOINT t; FETCH 1 FROM d; ROLLBACK TO t");
is(scalar(split /\n/, $session->query('FETCH ALL FROM d')), 2996, 'a cursor without an order, too');
$session->query('COMMIT');
no_files('after COMMIT');
$session->close;

my %faults = (
	'cancel' => sub { $_[0]->cancel },
	'the session of a node is ended' => sub {
		$cluster->sql(1, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'shoal'") },
	'a server is killed' => sub { $cluster->kill(2); sleep 0.5; $cluster->start(2) },
	'the client goes' => sub { $_[0]->close },
);
for my $query ($slow_use, $slow_send)
{
	for my $fault (sort keys %faults)
	{
		my $name = "$fault while rows are " . ($query eq $slow_use ? 'used' : 'sent');
		my $w = ShoalWire->new($cluster->port(0));
		$w->send(['Q', $query]);
		sleep 0.5;
		$faults{$fault}->($w);
		if ($fault ne 'the client goes')
		{
			like($w->answer('Z'), qr/E\((57014|57P01|57P02|57P03|08006|08001)\)/, $name);
			is($w->q($join) =~ s/\D+/ /gr =~ /2997 2997000/ ? 1 : 0, 1, '... the same session goes on')
				if $fault eq 'cancel';
			$w->close;
		}
		ok($cluster->wait_for(0, "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%slow%' AND state <> 'idle'
			AND pid <> pg_backend_pid()"), '... nothing runs on');
		is($cluster->sql(0, $join), $expected, '... and the next query works');
		no_files($name);
	}
}

$cluster->no_leaks('at the end');
done_testing();
