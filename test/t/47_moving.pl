# Shards are moved and promoted all the time, and nobody is to hear of it: statements by
# themselves and in blocks that read, insert and update rows of one shard and of several,
# with and without replicas, on the client's node and on others.  All copies are equal.
#
# SECONDS=n makes it longer.

use strict;
use warnings;
use File::Temp;
use FindBin;
use lib $FindBin::Bin;
use ShoalTest;
use ShoalWire;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{SECONDS} // 3;
my $cluster = ShoalTest->new(nodes => 3, conf => ['max_worker_processes=40']);
my $dir = File::Temp::tempdir(CLEANUP => 1);

$cluster->sql(0, q{
	CREATE TABLE t (k int PRIMARY KEY, v text, n int DEFAULT 0);
	CREATE TABLE r (k int PRIMARY KEY, v text, n int DEFAULT 0);
	SELECT shoal.create_distributed_table('t', 'k', 'none', 3, 0);
	SELECT shoal.create_distributed_table('r', 'k', 'none', 3, 1);
	INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 2000) i;
	INSERT INTO r SELECT i, 'v' || i FROM generate_series(1, 2000) i;
	CREATE SEQUENCE many;
});
$cluster->sql(0, "CREATE FUNCTION adds_to_$_(i int) RETURNS bigint LANGUAGE plpgsql AS \$\$
	BEGIN
		UPDATE $_ SET n = n + 1 WHERE k = i;
		UPDATE $_ SET n = n + 1 WHERE k BETWEEN i AND i + 3;
		RETURN (SELECT count(*) FROM $_ WHERE n = 3);
	END \$\$") for 't', 'r';

my %statements = (
	read => 'SELECT * FROM %s WHERE k = :k',
	update => 'UPDATE %s SET n = n + 1 WHERE k = :k',
	insert => 'INSERT INTO %s VALUES (:k + 1000000 * :new, :k) ON CONFLICT DO NOTHING',
	'read all' => 'SELECT count(*), sum(n) FROM %s WHERE v > \'v19\'',
	'update some' => 'UPDATE %s SET n = n + 1 WHERE k IN (:k, :k + 1, :k + 2, :k + 3)',
	'insert some' => 'INSERT INTO %s SELECT :k + 1000000 * :new + i, i FROM generate_series(3000, 3010) i ON CONFLICT DO NOTHING',
	'insert many' => "INSERT INTO %s SELECT 100000000 + 100 * n + i, i FROM nextval('many') n, generate_series(1, 40) i",
	join => 'SELECT count(*) FROM %1$s a JOIN %1$s b ON a.n = b.k WHERE a.k < 100',
	block => "BEGIN;\nSELECT * FROM %1\$s WHERE k = :k;\nUPDATE %1\$s SET n = n + 1 WHERE k = :k;\nSELECT count(*) FROM %1\$s WHERE n > 10;\n"
		. "UPDATE %1\$s SET n = n + 1 WHERE k IN (:k + 1, :k + 2);\nINSERT INTO %1\$s VALUES (:k + 1000000 * :new, :k) ON CONFLICT DO NOTHING;\nEND",
	function => 'SELECT adds_to_%s(:k::int)');

# One pgbench for each protocol; returns what it says of each kind.
sub start_load
{
	my ($table, $number, $protocol) = @_;
	my @files;
	for my $kind (sort keys %statements)
	{
		(my $file = "$dir/$table $number $kind.sql") =~ s/ /_/g;
		open my $out, '>', $file or die "$file: $!";
		# no two write the same rows
		printf $out "\\set k 24 * random(0, 75) + 12 * $number + 4 * :client_id + 1\n\\set new random(1, 2000)\n$statements{$kind};\n", $table;
		close $out;
		push @files, '-f', $file;
	}
	open my $load, '-|', "$cluster->{bindir}/pgbench -n -h 127.0.0.1 -U postgres -p @{[$cluster->port(0)]} -c 3 -T $seconds"
		. " -M $protocol --failures-detailed --verbose-errors @files shoal 2>&1" or die "pgbench: $!";
	return $load;
}

sub move_until
{
	my ($table, $until) = @_;
	my $moves = 0;
	for (my $shard = 0; time() < $until; $shard = ($shard + 1) % 3)
	{
		my ($group, $primary, $replica, $other) = split /\|/, $cluster->sql(2, "SELECT p.group_id, p.node_id, coalesce(r.node_id, 0),
				(SELECT n.node_id FROM shoal.node n WHERE n.node_id NOT IN (p.node_id, coalesce(r.node_id, 0)) LIMIT 1)
			FROM shoal.tables JOIN shoal.placement p USING (group_id) LEFT JOIN shoal.placement r ON r.group_id = p.group_id AND r.shard = p.shard AND r.role = 'replica'
			WHERE table_name = '$table'::regclass AND p.shard = $shard AND p.role = 'primary'");
		$cluster->sql(2, "SELECT shoal.promote($group, $shard, $replica)") if $replica;
		$cluster->sql(2, "SELECT shoal.move_shard($group, $shard, $primary, $other)");
		$moves++;
	}
	return $moves;
}

for my $table ('t', 'r')
{
	my $until = time() + $seconds;
	my @loads = (start_load($table, 0, 'prepared'), start_load($table, 1, 'simple'));
	my $moves = move_until($table, $until);
	my @said = map { my $load = $_; local $/; scalar <$load> } @loads;
	my @kinds = sort keys %statements;
	my @errors;
	for (map { /^pgbench: .*ERROR: .*$/mg } @said)
	{
		my $kind = /got an error in command \d+ \(SQL\) of script (\d+)/ ? $kinds[$1] : 'fatal';
		push @errors, "$kind: $_";
	}
	my @done = map { /transactions actually processed: (\d+)/ } @said;

	ok($moves > 1, "$table: shards were moved ($moves)");
	is(join("\n", @errors), '', "$table: nobody heard of it (@done statements)");
	is(scalar(grep { $_ > 0 } @done), 2, "$table: ... and there were some");
	is($cluster->sql(0, "SELECT * FROM shoal.verify_table('$table')"), '', "$table: all copies are equal");
}
# A COPY sends its rows to all copies itself: it must know those of the shards that it writes
# to, as they are then, and of no others.
my $group = $cluster->sql(0, "SELECT group_id FROM shoal.tables WHERE table_name = 'r'::regclass");
for my $shard (0 .. 2)
{
	for my $changed (0 .. 2)
	{
		my $key = $cluster->sql(0, "SELECT min(k) FROM generate_series(9000001 + 1000 * $shard + 10000 * $changed, 9010000 + 10000 * $changed) k WHERE shoal.shard_of('r', k) = $shard");
		my $replica = $cluster->sql(0, "SELECT node_id FROM shoal.placement WHERE group_id = $group AND shard = $changed AND role = 'replica'");
		my $w = ShoalWire->new($cluster->port(0));
		$w->run(['Q', 'COPY r (k, v) FROM STDIN'], 'GE');
		$cluster->sql(1, "SELECT shoal.promote($group, $changed, $replica)");
		my $said = $w->run(['d', "$key\tcopied\n"], ['c']);
		like($said, $shard == $changed ? qr/E\(40001\)/ : qr/C\(COPY 1\)/, "COPY into shard $shard while the copies of shard $changed change places");
		$w->close;
	}
}
is($cluster->sql(0, "SELECT count(*) FROM r WHERE v = 'copied'"), 6, '... and what was copied is there');
is($cluster->sql(0, "SELECT * FROM shoal.verify_table('r')"), '', '... in all copies');
$cluster->no_leaks('nothing is left');
done_testing();
