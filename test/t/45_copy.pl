# A copy of a node's server is started while the node lives: it must not take what the node
# has prepared on others for its own, ask them for a lease, or change their rows.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalFaults;
use ShoalTest;

my $cluster = ShoalTest->new(nodes => 2, conf => ['shoal.recovery_interval=1s']);
$cluster->sql(0, q{CREATE TABLE t (a int PRIMARY KEY, c int DEFAULT 0);
	SELECT shoal.create_distributed_table('t', 'a', shard_count => 6, replicas => 1);
	INSERT INTO t SELECT i FROM generate_series(1, 60) i;
	CREATE TABLE r (a int);
	SELECT shoal.create_reference_table('r')});

# the copy of server 1, at the port of no server
my $port = $cluster->{base} + 3;
my $copy = "$cluster->{dir}/copy";
my $lib = "$FindBin::Bin/../lib.sh";
sub as_owner { return system('bash', '-c', '. "$0"; as_owner "$@" >/dev/null 2>&1', $lib, @_) == 0; }
ok(as_owner("$cluster->{bindir}/pg_basebackup", '-h', '127.0.0.1', '-p', $cluster->port(1), '-U', 'postgres', '-c', 'fast', '-D', $copy),
	'a copy is made');

# a transaction of server 1 that runs has prepared something on server 0
my $session = $cluster->session(1);
my $gid = 'shoal_2_' . $session->query('BEGIN; SELECT pg_current_xact_id()') . '_1_1_1_2_1';
$cluster->sql(0, "CREATE TABLE plain (a int); BEGIN; INSERT INTO plain VALUES (1); PREPARE TRANSACTION '$gid'");
my $left = "SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$gid'";
sleep 2.5;
is($cluster->sql(0, $left), 1, 'it stays as long as the transaction runs');

ok(as_owner("$cluster->{bindir}/pg_ctl", '-D', $copy, '-l', "$copy.log", '-o', "-p $port", '-w', 'start'), 'the copy runs');
sub in_copy
{
	my ($sql) = @_;
	my $text = `$cluster->{bindir}/psql -X -h 127.0.0.1 -p $port -U postgres -d shoal -qAt -v VERBOSITY=verbose -c "$sql" 2>&1`;
	chomp $text;
	return $text;
}
sleep 6;
is($cluster->sql(0, $left), 1, 'and the copy leaves it alone');
like(in_copy('CREATE INDEX ON t (c)'), qr/55000: +this database is a copy of node 2/, 'it can\'t change other nodes');
like(in_copy('SELECT shoal.recover_prepared_transactions()'), qr/55000: +this database is a copy of node 2/, 'nor settle anything by hand');
like(in_copy($_), qr/57P03: +node 2 is cut off/, $_) for 'UPDATE t SET c = 1', 'INSERT INTO r VALUES (1)';
unlike(in_copy('SELECT state FROM shoal.health WHERE node_id = 2'), qr/lease/, 'it has no lease');
is($cluster->sql(0, 'SELECT sum(c), (SELECT count(*) FROM r) FROM t'), '0|0', 'nothing has been written');
like(join('', do { open(my $log, '<', "$copy.log"); <$log> }), qr/database is a copy of node 2/, 'its log says so');

$session->query('ROLLBACK');
ok($cluster->wait_for(0, $left, 0), 'the node settles its transaction itself');
$cluster->sql(0, "DROP TABLE plain");

# nobody answers at the node's address: that does not make the copy the node
$cluster->stop(1);
sleep 6;
like(in_copy('CREATE INDEX ON t (c)'), qr/55000: +this database is a copy of node 2/, 'it stays a copy while the node is down');
unlike(in_copy('SELECT state FROM shoal.health WHERE node_id = 2'), qr/lease/, 'and has no lease');
$cluster->start(1);
whole_again($cluster, 'without harm');
ok(as_owner("$cluster->{bindir}/pg_ctl", '-D', $copy, '-m', 'immediate', '-w', 'stop'), 'the copy is stopped');
$cluster->no_leaks('at the end');
done_testing();
