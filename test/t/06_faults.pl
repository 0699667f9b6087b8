# Cancel requests, lost connections, nodes that die and come back: a
# transaction happens on all nodes or on none, the error says what is wrong,
# and the next statement works.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;
use ShoalWire;

my $cluster = ShoalTest->new(nodes => 2, conf => ['superuser_reserved_connections=0']);
my $w = ShoalWire->new($cluster->port(0));

sub again { $w = ShoalWire->new($cluster->port(0)); }
sub run_is { my ($sql, $expected, $name) = @_; return is($w->q($sql), $expected, $name // $sql); }
sub error_is
{
	my ($sql, $state, $message, $name) = @_;
	$w->{error} = '';
	like($w->q($sql), qr/E\($state\)/, $name // $sql);
	like($w->{error}, $message, '... message') if $message;
}

# Until nothing of anybody's runs or is prepared anywhere.
sub quiet
{
	my ($name) = @_;
	my $ok = 1;
	for my $node (0 .. 2)
	{
		$ok &&= $cluster->wait_for($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE state <> 'idle' AND
			backend_type = 'client backend' AND pid <> pg_backend_pid()");
		$ok &&= $cluster->sql($node, 'SELECT count(*) FROM pg_prepared_xacts') eq '0';
	}
	ok($ok, "$name: nothing is left");
}

# Sends a statement and does something while it runs.
sub during
{
	my ($sql, $do, $expected, $name) = @_;
	$w->{error} = '';
	$w->send(['Q', $sql]);
	sleep 0.4;
	$do->();
	my $start = time;
	like($w->answer('Z') =~ s/(d\(.*?\)\s*)+/d /sgr, $expected, $name // "during: $sql");
	cmp_ok(time - $start, '<', 5, '... soon');
}
my $cancel = sub { $w->cancel };

# Ends this coordinator's sessions on a node.
sub terminate
{
	$cluster->sql($_, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'shoal'") for @_;
}

$w->q("CREATE TABLE t (a int PRIMARY KEY, c int DEFAULT 0)");
$w->q("SELECT shoal.create_distributed_table('t', 'a', shard_count => 12)");
$w->q("CREATE TABLE r (a int PRIMARY KEY)");
$w->q("SELECT shoal.create_reference_table('r')");
$w->q("INSERT INTO t SELECT i FROM generate_series(1, 1000) i");
my $one = $cluster->sql(1, "SELECT min(a) FROM t WHERE shoal.shard_of('t', a) IN
	(SELECT shard FROM shoal.shards WHERE table_name = 't'::regclass AND node_id = 2)");

# ---- cancel and timeouts ----

during('SELECT count(pg_sleep(0.1)) FROM t', $cancel, qr/E\(57014\)/);
during('UPDATE t SET c = 1 WHERE pg_sleep(0.1) IS NOT NULL', $cancel, qr/E\(57014\)/);
during("SELECT pg_sleep(10) FROM t WHERE a = $one", $cancel, qr/E\(57014\)/);
during('INSERT INTO t SELECT i FROM generate_series(1001, 100000) i WHERE i < 3000 OR pg_sleep(0.1) IS NOT NULL', $cancel, qr/E\(57014\)/);
during('COPY (SELECT a, pg_sleep(0.02) FROM t) TO STDOUT', $cancel, qr/E\(57014\)/, 'COPY TO');
$w->q('BEGIN; UPDATE t SET c = 2 WHERE a < 3; SAVEPOINT s');
during('SELECT count(pg_sleep(0.1)) FROM t', $cancel, qr/E\(57014\)/);
$w->q('ROLLBACK TO s; UPDATE t SET c = 2 WHERE a = 3; COMMIT');
run_is('SELECT count(*), sum(c) FROM t', 'D(1000,6)');
# the postmaster sends a cancel request twice; the second time may be too late
my $lost = 0;
for (1 .. 60)
{
	$w->q("BEGIN; UPDATE t SET c = 2 WHERE a < 3; SAVEPOINT s");
	$w->send(['Q', 'SELECT count(pg_sleep(0.01)) FROM t']);
	sleep rand(0.005);
	$w->cancel;
	$w->answer('Z');
	$lost++ if $w->run(['Q', 'ROLLBACK TO s; UPDATE t SET c = 2 WHERE a = 3; COMMIT']) !~ /C\(COMMIT\)/;
	$w->q('ROLLBACK') if $lost;
}
is($lost, 0, 'transactions go on after statements that were cancelled early');
$w->run(['Q', 'COPY t FROM STDIN'], 'G');
$w->send(['d', "2001\t1\n2002\t2\n"]);
$w->cancel;
sleep 0.2;
like($w->run(['d', "2003\t6\n"], ['c']), qr/E\(57014\)/, 'COPY FROM is cancelled');
$w->q("SET statement_timeout = '300ms'");
error_is('SELECT count(pg_sleep(0.1)) FROM t', '57014', qr/statement timeout/);
error_is('UPDATE t SET c = 1 WHERE pg_sleep(0.1) IS NOT NULL', '57014', qr/statement timeout/);
$w->q('RESET statement_timeout');
{
	my $other = ShoalWire->new($cluster->port(1));
	$other->q('BEGIN; UPDATE t SET c = 5 WHERE a < 9');
	for my $sql ("UPDATE t SET c = 6 WHERE a = 2", 'UPDATE t SET c = 6 WHERE a < 20', 'TRUNCATE t',
		'ALTER TABLE t ADD COLUMN z int', "SELECT shoal.undistribute_table('t')", 'CREATE INDEX ON t (c)')
	{
		$w->send(['Q', $sql]);
		sleep 0.2;
		$w->cancel;
		like($w->answer('Z'), qr/E\(57014\)/, "while it waits for a lock: $sql");
	}
	$w->q("SET lock_timeout = '200ms'");
	error_is('UPDATE t SET c = 6 WHERE a = 2', '55P03', qr/lock timeout/);
	error_is('ALTER TABLE t ADD COLUMN z int', '55P03', qr/lock timeout|could not lock table/);
	$other->q('ROLLBACK');
	$w->q('RESET lock_timeout');
}
quiet('cancel');
run_is('SELECT count(*), sum(c) FROM t', 'D(1000,6)', 'nothing was changed');

# ---- clients and sessions that end ----

$w->q("SET idle_in_transaction_session_timeout = '200ms'");
$w->q('BEGIN; UPDATE t SET c = 7');
sleep 0.4;
like($w->run(['Q', 'SELECT 1']), qr/E\(25P03\) EOF/, 'idle in transaction');
again();
$w->q('BEGIN; UPDATE t SET c = 7');
$w->close;
again();
$w->run(['Q', 'COPY t FROM STDIN'], 'G');
$w->send(['d', "2001\t1\n2002\t2\n"]);
$w->close;
again();
$w->q('BEGIN; UPDATE t SET c = 7');
$cluster->sql(0, 'SELECT pg_terminate_backend(' . $w->pid . ', 5000)');
again();
during('UPDATE t SET c = 7 WHERE pg_sleep(0.1) IS NOT NULL',
	sub { $cluster->sql(0, 'SELECT pg_terminate_backend(' . $w->pid . ', 5000)') }, qr/57P01.*EOF/);
again();
quiet('sessions that end');
run_is('SELECT count(*), sum(c) FROM t', 'D(1000,6)', 'nothing was changed');

# ---- sessions on nodes that end ----

$w->run(['P', 'sum', 'SELECT count(*), sum(a) FROM t WHERE a < $1'], ['P', 'row', 'SELECT a FROM t WHERE a = $1'],
	['P', 'upd', 'UPDATE t SET c = $2 WHERE a = $1'], ['P', 'ins', 'INSERT INTO t VALUES ($1, $2)'], ['S']);
sub prepared
{
	my ($k) = @_;
	return join ' ', map { my ($name, @values) = @$_; $w->run(['B', '', $name, \@values], ['E', ''], ['S']) }
		['sum', 100], (map { ['row', $_] } 1 .. 6), (map { ['upd', $_, $k] } 1 .. 6), (map { ['ins', $k * 1000 + $_, $k] } 1 .. 6);
}
my $once = prepared(1) =~ s/E\(23505\)/C(INSERT 0 1)/gr;
$once = prepared(2);
for my $k (3 .. 4)
{
	terminate(1, 2);
	is(prepared($k), $once, "prepared statements after the connections were lost, $k");
}
my $sum = $w->q('SELECT count(*), sum(c) FROM t');
for my $use ('SELECT count(*) FROM t', 'UPDATE t SET c = 8')
{
	for my $end ('COMMIT', 'SELECT count(*) FROM t')
	{
		$w->q("BEGIN; $use");
		terminate(1);
		# nothing is to be learned from the COMMIT of who has only read
		if ("$end $use" =~ /COMMIT SELECT/) { is($w->run(['Q', $end]), 'C(COMMIT) Z(I)', "$end after $use on a connection that was lost"); }
		else { error_is($end, '08006', qr/connection to node ".*" was lost/, "$end after $use on a connection that was lost"); }
		$w->q('ROLLBACK');
		run_is('SELECT count(*), sum(c) FROM t', $sum);
	}
	$w->q("BEGIN; $use");
	terminate(1);
	is($w->run(['Q', 'ROLLBACK']), 'C(ROLLBACK) Z(I)', 'ROLLBACK does not mind');
	run_is('SELECT count(*), sum(c) FROM t', $sum);
}
# so nobody waits for it, either
for my $lost (0, 1)
{
	$w->q('BEGIN; SELECT count(*) FROM t');
	$cluster->freeze(1);
	my $thaw = fork() // die;
	if ($thaw == 0) { sleep 4; $cluster->thaw(1); POSIX::_exit(0); }
	my $start = time;
	is($w->run(['Q', 'COMMIT']), 'C(COMMIT) Z(I)', 'COMMIT of a transaction that has only read');
	cmp_ok(time - $start, '<', 2, '... does not wait for a node');
	waitpid $thaw, 0;
	terminate(1) if $lost;
	run_is('SELECT count(*), sum(c) FROM t', $sum, 'whose connection is as good as before, or replaced');
}
$w->q('BEGIN; SAVEPOINT s; UPDATE t SET c = 9');
terminate(1);
error_is('UPDATE t SET c = 10', '08006');
$w->q('ROLLBACK TO s');
error_is('UPDATE t SET c = 11', '08006', undef, 'a savepoint does not bring the connection back');
$w->q('COMMIT');
$w->run(['Q', 'COPY t FROM STDIN'], 'G');
$w->send(['d', join '', map { "$_\t1\n" } 20001 .. 30000]);
sleep 0.2;
terminate(1, 2);
like($w->run(['d', join '', map { "$_\t1\n" } 30001 .. 60000], ['c']), qr/E\(08006\)/, 'COPY loses its connection');
run_is('SELECT count(*), sum(c) FROM t', $sum);
quiet('lost connections');

# ---- a node that is down ----

$cluster->kill(1);
error_is('SELECT count(*) FROM t', '08...', qr/node "shoal_node_2"/, 'query with a node down');
error_is("INSERT INTO t SELECT i FROM generate_series(200001, 200100) i", '08...');
error_is('INSERT INTO r VALUES (1)', '08001', qr/could not connect to node "shoal_node_2"/);
error_is('CREATE TABLE other (a int)', '08001', qr/could not connect/);
error_is('CREATE INDEX CONCURRENTLY ON t (c)', '08001');
run_is('SELECT count(*) FROM r', 'D(0)');
like($w->q('SELECT node_id, state FROM shoal.nodes'), qr/D\(1,active\) D\(2/, 'the views still work');
$cluster->start(1);
run_is('SELECT count(*), sum(c) FROM t', $sum, 'the session goes on when it is back');
is(prepared(5), $once, 'with its prepared statements');
$w->q('DELETE FROM t WHERE a > 1000; UPDATE t SET c = 0');

# ---- a node that dies in the middle ----

my $kill = sub { $cluster->kill(1) };
sub dies
{
	my ($sql, @checks) = @_;
	during($sql, $kill, qr/E\(08...\)/, "node dies during: $sql");
	like($w->{error}, qr/node "shoal_node_2"/, '... message');
	$cluster->start(1);
	while (my ($check, $expected) = splice @checks, 0, 2)
	{
		for my $node (0 .. 2)
		{
			is($cluster->sql($node, $check), $expected, "... node $node: $check");
		}
	}
}
dies('INSERT INTO t SELECT i FROM generate_series(1001, 5000000) i', 'SELECT count(*) FROM t', '1000');
dies("UPDATE t SET c = 1 WHERE pg_sleep(0.01) IS NOT NULL", 'SELECT sum(c) FROM t', '0');
$w->q('CREATE TABLE big AS SELECT i AS a, i AS b FROM generate_series(1, 300000) i');
$w->q('CREATE TABLE held (a int)');
{
	# a lock on the node makes it wait at the same place each time
	for my $case (["SELECT shoal.create_distributed_table('big', 'a')", 'big'],
		['ALTER TABLE big ALTER b TYPE bigint', 'big'], ['DROP TABLE held', 'held'])
	{
		my ($sql, $table) = @$case;
		my $other = ShoalWire->new($cluster->port(2));
		$other->q("BEGIN; SET LOCAL shoal.forward_ddl = off; LOCK TABLE $table");
		$w->{error} = '';
		$w->send(['Q', $sql]);
		$cluster->wait_for(2, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted");
		$cluster->kill(1);
		$other->q('ROLLBACK');
		like($w->answer('Z'), qr/E\(08...\)/, "node dies during: $sql");
		$cluster->start(1);
		for my $node (0 .. 2)
		{
			is($cluster->sql($node, "SELECT relkind FROM pg_class WHERE relname = '$table'"), 'r', "... node $node has the table as it was");
			is($cluster->sql($node, "SELECT count(*) FROM shoal.tables WHERE table_name::text = 'big'"), '0', '... nothing is known of it');
		}
		is($cluster->sql(0, "SELECT count(*), max(pg_typeof(b)::text) FROM big"), '300000|integer', '... and its rows');
	}
}
run_is("SELECT shoal.create_distributed_table('big', 'a')", 'D()', 'then it succeeds');
run_is('SELECT count(*) FROM big', 'D(300000)');
$w->q('DROP TABLE big, held');

# ---- limits of a node ----

sub configure
{
	my ($node, @settings) = @_;
	$cluster->sql($node, 'ALTER SYSTEM RESET ALL');
	$cluster->sql($node, "ALTER SYSTEM SET $_") for @settings;
	$cluster->stop($node);
	$cluster->start($node);
}
configure(1, 'max_prepared_transactions = 1', 'max_connections = 10');
$cluster->sql(1, 'CREATE TEMP TABLE x (a int)');
{
	my $other = ShoalWire->new($cluster->port(1));
	$other->q("BEGIN; SELECT pg_advisory_xact_lock(1); PREPARE TRANSACTION 'held'");
	error_is('UPDATE t SET c = 1', '53200', qr/maximum number of prepared transactions/, 'no prepared transaction left');
	run_is('SELECT sum(c) FROM t', 'D(0)');
	error_is('CREATE TABLE other (a int)', '53200');
	is($cluster->sql($_, "SELECT count(*) FROM pg_class WHERE relname = 'other'"), '0', "... not on node $_") for 0 .. 2;
	$other->q("ROLLBACK PREPARED 'held'");
}
run_is('BEGIN; UPDATE t SET c = 1; ROLLBACK', '');
$w->close;
again();
{
	sleep 0.2;
	my @others;
	for (1 .. 12)
	{
		push @others, ShoalWire->new($cluster->port(1));
		last if $others[-1]{startup} =~ /E\(53300\)/;
	}
	# waits for one, but not longer than the user wants
	error_is("SET statement_timeout = '500ms'; SELECT count(*) FROM t", '57014', qr/statement timeout/, 'no connection left');
	run_is('RESET statement_timeout', '');
	$w->send(['Q', 'SELECT count(*) FROM t']);
	sleep 0.5;
	$_->close for @others;
	like($w->answer('Z'), qr/D\(1000\)/, 'one is waited for');
}
$cluster->wait_for(1, "SELECT count(*) < 5 FROM pg_stat_activity WHERE backend_type = 'client backend'");
run_is('SELECT sum(c) FROM t', 'D(0)', 'one is free again');
configure(1);
quiet('limits');

$cluster->no_leaks('at the end');
done_testing();
