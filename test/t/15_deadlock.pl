# Deadlocks over several nodes: found in time, one victim, the youngest; none
# where there is none.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;

my $cluster = ShoalTest->new(nodes => 3, conf => ['deadlock_timeout=200ms', 'fsync=off']);
$cluster->sql(0, "CREATE TABLE t (a int PRIMARY KEY, c int DEFAULT 0)");
$cluster->sql(0, "SELECT shoal.create_distributed_table('t', 'a', shard_count => 16)");
$cluster->sql(0, "INSERT INTO t SELECT i FROM generate_series(1, 400) i");
$cluster->sql(0, "CREATE TABLE r (a int PRIMARY KEY, c int DEFAULT 0)");
$cluster->sql(0, "SELECT shoal.create_reference_table('r')");
$cluster->sql(0, "INSERT INTO r SELECT i FROM generate_series(1, 4) i");

# a row on each node, as run_on_nodes shows them: node id => row
my %row = map { split /\|/ } split /\n/,
	$cluster->sql(0, "SELECT node_id, result FROM shoal.run_on_nodes('SELECT min(a) FROM t')");
is(scalar keys %row, 4, 'rows on all nodes');

# seconds in which a deadlock is to be found
our $limit = 1.6;

# Transactions that update a row each, then the next one's; the second
# statements start one after the other.  Every one but the victim commits.
sub circle
{
	my ($name, $first, $second, @coordinators) = @_;
	my $n = @coordinators;
	my @s = map { $cluster->session($_) } @coordinators;
	my %open = map { $_ => 1 } 0 .. $n - 1;
	my @failed;

	for (0 .. $n - 1)
	{
		$s[$_]->query('BEGIN');
		$s[$_]->query($first->($_));
	}
	my $start = time;
	for (0 .. $n - 1)
	{
		$s[$_]->send($second->($_));
		sleep 0.03;
	}
	while (%open && time - $start < 20)
	{
		for (keys %open)
		{
			my $out = $s[$_]->wait(0.1);
			next if !defined $out;
			delete $open{$_};
			if ($out =~ /deadlock detected/)
			{
				push @failed, $_;
				cmp_ok(time - $start, '<', $limit, "$name: found in time");
				my $statements = () = $out =~ /^Process \d+ of node \d+: /mg;
				is($statements, $n, "$name: the statements are named");
				$s[$_]->query('ROLLBACK');
			}
			else
			{
				is($out, '', "$name: session $_ goes on");
				is($s[$_]->query('COMMIT'), '', "$name: and commits");
			}
		}
	}
	is("@failed", $n - 1, "$name: the youngest is the victim");
	ok(!%open, "$name: nobody is left waiting");
}

my @row = map { $row{$_} } sort keys %row;
for my $n (2 .. 4)
{
	circle("$n nodes", sub { "UPDATE t SET c = c + 1 WHERE a = $row[$_[0]]" },
		sub { "UPDATE t SET c = c + 1 WHERE a = $row[($_[0] + 1) % $n]" }, (0) x $n);
}
# each waits for a lock on its own node, or each on another
circle('own nodes', sub { "UPDATE t SET c = c + 1 WHERE a = $row[1 - $_[0]]" },
	sub { "UPDATE t SET c = c + 1 WHERE a = $row[$_[0]]" }, 0, 1);
circle('other nodes', sub { "UPDATE t SET c = c + 1 WHERE a = $row[$_[0]]" },
	sub { "UPDATE t SET c = c + 1 WHERE a = $row[1 - $_[0]]" }, 0, 1);
circle('rows and tables', sub { $_[0] ? "SELECT FROM t WHERE a = $row[1] FOR UPDATE" : "SELECT FROM t WHERE a = $row[0] FOR UPDATE" },
	sub { $_[0] ? "DELETE FROM t WHERE a = $row[0]" : "DELETE FROM t WHERE a = $row[1]" }, 2, 3);
# reference tables are locked on the lowest node first: a cycle with rows there
circle('reference table', sub { $_[0] ? "UPDATE r SET c = 1 WHERE a = 1" : "UPDATE t SET c = 1 WHERE a = $row[2]" },
	sub { $_[0] ? "UPDATE t SET c = 1 WHERE a = $row[2]" : "UPDATE r SET c = 2 WHERE a = 1" }, 0, 1);

# a statement that waits before it is planned, and one that waits when it is over
$cluster->sql(0, "CREATE TABLE l (a int); CREATE FUNCTION look_up() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM FROM l; RETURN NULL; END'");
$cluster->sql(0, "CREATE TABLE c (a int); CREATE CONSTRAINT TRIGGER late AFTER INSERT ON c DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION look_up()");
circle('table', sub { $_[0] ? "UPDATE t SET c = 1 WHERE a = $row[2]" : "LOCK TABLE l" },
	sub { $_[0] ? "SELECT count(*) FROM l" : "UPDATE t SET c = 1 WHERE a = $row[2]" }, 0, 0);
circle('in COMMIT', sub { $_[0] ? "UPDATE t SET c = 1 WHERE a = $row[2]; INSERT INTO c VALUES (1)" : "LOCK TABLE l" },
	sub { $_[0] ? "COMMIT" : "UPDATE t SET c = 1 WHERE a = $row[2]" }, 0, 0);

# a change of the schema tries to get its locks, and gives them back, before it waits
# longer than deadlock_timeout
{
	local $limit = 6;
	for my $timeout ("SET deadlock_timeout = '700ms'", 'RESET deadlock_timeout')
	{
		$cluster->sql($_, "ALTER SYSTEM $timeout; SELECT pg_reload_conf()") for 0 .. 3;
		sleep 0.3;
		circle('schema change', sub { $_[0] ? "SELECT FROM t WHERE a = $row[1]" : "UPDATE t SET c = 1 WHERE a = $row[2]" },
			sub { $_[0] ? "UPDATE t SET c = 1 WHERE a = $row[2]" : "ALTER TABLE t ALTER COLUMN c SET DEFAULT 0" }, 0, 0);
	}
}

# a move of a shard gives back the lock on the node where the shard was, too, while somebody
# who has used the table waits for that
{
	my $where = "FROM m JOIN shoal.shards s ON s.table_name = 'm'::regclass AND s.shard = shoal.shard_of('m', a)";
	$cluster->sql(0, "CREATE TABLE m (a int, c int, t text); SELECT shoal.create_distributed_table('m', 'a', 'none', 16);
		INSERT INTO m SELECT i FROM generate_series(1, 100) i");
	my @places = map { [split /\|/] } split /\n/, $cluster->sql(0, "SELECT node_id, min(a), max(a), min(shard), min(group_id)
		FROM (SELECT DISTINCT ON (s.shard) node_id, a, s.shard, group_id $where ORDER BY s.shard, a) s GROUP BY 1 ORDER BY 1");
	my ($from, $key) = @{ $places[1] };
	my ($to, $one, $two) = @{ $places[2] };
	# more than what is sent at once
	$cluster->sql(0, "INSERT INTO m SELECT $key, 0, repeat('x', 1900) FROM generate_series(1, 1500)");
	my ($locker, $mover, $writer) = map { $cluster->session($_) } 0, 0, $to - 1;

	$locker->query('SELECT pg_advisory_lock(0)');
	$mover->query("SET shoal.debug_job_pause = 'some rows sent'");
	$mover->send("SELECT shoal.move_shard($places[1][4], shoal.shard_of('m', $key), $from, $to)");
	ok($cluster->wait_for(0, "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 0 AND NOT granted"),
		'a move waits');
	# a plan for any row locks what there is of the shard, once the rows are sent
	$writer->query('SET plan_cache_mode = force_generic_plan; PREPARE two AS UPDATE m SET c = 1 WHERE a IN ($1, $2)');
	$writer->send("BEGIN; EXECUTE two ($one, $two)");
	sleep 0.5;
	$locker->query('SELECT pg_advisory_unlock(0)');
	# now and then the move is faster
	$writer->query("ROLLBACK; BEGIN; EXECUTE two ($one, $two)") if $writer->wait(10) =~ /placements .* have changed/;
	sleep 1.5;
	$writer->send("SET statement_timeout = '8s'; UPDATE m SET c = 1 WHERE a = $key");
	is($writer->wait(10), '', 'a writer goes on');
	$writer->query('COMMIT');
	unlike($mover->wait(20) // 'no answer', qr/ERROR|no answer/, 'so does the move');
	is($cluster->sql(0, "SELECT DISTINCT node_id $where WHERE a = $key"), $to, 'which is done');
	is($cluster->sql(0, "SELECT count(*) FROM m WHERE c = 1"), 1503, 'and nothing is lost');
}

is($cluster->sql(0, 'SELECT count(*) FROM shoal.lock_waits'), '0', 'no waits are left');
my $a = $cluster->session(1);
$a->query('BEGIN');
$a->query("UPDATE t SET c = 0 WHERE a = $row[2]");
my $b = $cluster->session(0);
$b->send("UPDATE t SET c = 1 WHERE a = $row[2]");
ok($cluster->wait_for(3, "SELECT node_id = 3 AND coordinator = 1 AND blocker_coordinator = 2 AND lock LIKE 'ShareLock on transaction %'
	AND waiting > '0' FROM shoal.lock_waits"), 'waits are to be seen');
$a->query('COMMIT');
is($b->wait, '', 'and end');

# many waits, no cycle: rows are locked in one order
my @w = map { $cluster->session($_ % 4) } 1 .. 8;
for my $w (@w)
{
	$w->send(join('', map { my $x = int rand 3; my $first = $row[$x]; my $second = $row[$x + 1 + int rand(3 - $x)];
		"BEGIN; UPDATE t SET c = c + 1 WHERE a = $first; SELECT pg_sleep(0.02); UPDATE t SET c = c + 1 WHERE a = $second; COMMIT;\n" } 1 .. 60));
}
unlike(join('', map { $_->wait // 'no answer' } @w), qr/ERROR|no answer/, 'no false victims');

$cluster->no_leaks('at the end');
done_testing();
