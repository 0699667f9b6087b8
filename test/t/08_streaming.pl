# Results larger than memory: rows come as they are asked for, nodes wait until
# they are wanted and stop when they are not.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use ShoalTest;
use ShoalWire;

my $cluster = ShoalTest->new(nodes => 2);
my $w = ShoalWire->new($cluster->port(0));
my $rows = 400_000;
my $limit = 12_000;	# kB; the table has 80 MB

$w->q("CREATE TABLE t (k int, n int, pad text)");
$w->q("SELECT shoal.create_distributed_table('t', 'k', shard_count => 4)");
$w->q("INSERT INTO t SELECT i, i % 1000, repeat('x', 150) FROM generate_series(1, $rows) i");
$w->q("ANALYZE t");

# kB of memory of a backend's own
sub memory
{
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/status" or return 0;
	return (map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$file>)[0];
}

# the session's backends, here and on nodes
sub backends
{
	return $w->pid, $w->q('SELECT string_agg(backend_pid::text, \' \') FROM shoal.connections') =~ /(\d+)/g;
}

sub nodes_state
{
	my ($want) = @_;
	my $state;
	for (1 .. 100)
	{
		$state = join ' ', map { $cluster->sql($_, "SELECT coalesce(string_agg(concat_ws(':', state, wait_event), ' '), 'none')
			FROM pg_stat_activity WHERE application_name = 'shoal'") } 1, 2;
		last if $state =~ $want;
		select undef, undef, undef, 0.1;
	}
	return $state;
}

$w->q('SELECT count(*) FROM t');
my %before = map { $_ => memory($_) } backends();
my $grown = sub { my $most = 0; for (keys %before) { my $by = memory($_) - $before{$_}; $most = $by if $by > $most; } return $most; };
is(scalar keys %before, 3, 'a session and its connections to two nodes');

for my $order ('', 'ORDER BY pad, k')
{
	my $n = 0;
	my $most = 0;
	# the nodes sort on disk
	$w->q("SET work_mem = '1MB'");
	$w->q('BEGIN');
	$w->q("DECLARE c CURSOR FOR SELECT * FROM t $order");
	$w->q('FETCH 10 FROM c');
	my $waiting = qr/^active:ClientWrite active:ClientWrite$/;
	like(nodes_state($waiting), $waiting, "nodes wait for the client $order");
	for my $i (1 .. 40)
	{
		my $got = () = $w->q('FETCH 10000 FROM c') =~ /D\(/g;
		$n += $got;
		my $now = $grown->();
		$most = $now if $now > $most;
	}
	is($n, $rows - 10, "all rows $order");
	cmp_ok($most, '<', $limit, "memory stays flat $order");
	$w->q('COMMIT');
}

# what the client does not want is not computed
for my $end ('CLOSE c', 'ROLLBACK')
{
	$w->q('BEGIN');
	$w->q('DECLARE c CURSOR FOR SELECT k, n, pad FROM t');
	$w->q('FETCH 10 FROM c');
	$w->q($end);
	like($w->q('SELECT count(*) FROM t'), qr/D\($rows\)/, "the connections work after $end");
	$w->q('ROLLBACK');
}
$w->q('CREATE SEQUENCE calls');
$w->q("CREATE FUNCTION called(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	'BEGIN RAISE LOG ''called''; RETURN \$1; END'");
$w->q('SELECT called(k) FROM t LIMIT 10');
$w->q('SELECT called(k), pad FROM t WHERE n >= 0 OFFSET 3 LIMIT 7');
my $calls = 0;
for my $node (1, 2)
{
	open my $log, '<', "$cluster->{dir}/node$node.log" or die "no log of node $node";
	$calls += grep { /LOG:  called/ } <$log>;
}
# each twice, if other transactions were committed just before
cmp_ok($calls, '<=', 80, 'LIMIT stops the nodes');
cmp_ok($calls, '>=', 10, 'which have computed rows');

# a client that does not read
my $slow = ShoalWire->new($cluster->port(0));
$slow->send(['Q', 'SELECT * FROM t']);
my $waiting = qr/active:ClientWrite/;
like(nodes_state($waiting), $waiting, 'nodes wait for a client that does not read');
cmp_ok(memory($slow->pid), '<', $limit + (sort { $b <=> $a } values %before)[0], 'the coordinator does not collect rows for it');
my $got = () = $slow->answer('Z') =~ /D\(/g;
is($got, $rows, 'and gets all rows');

$cluster->no_leaks('at the end');
done_testing();
