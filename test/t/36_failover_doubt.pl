# A coordinator is lost in the middle of COMMIT, and the others can't see from what they
# have prepared what is right: one of them is restarted at the same time, and has to know
# what it has committed; or the coordinator has written what nobody else has a copy of, and
# they have to keep the transaction until it is back, and go on with everything else.
#
# Alone

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

my $only = $ENV{CASES};
my $promised = 5;
my $cluster = ShoalTest->new(nodes => 2);
my @proxy = map { ShoalProxy->new($cluster->port($_), user => 'app') } 0 .. 2;
$cluster->sql(0, 'CREATE ROLE app SUPERUSER LOGIN');
$cluster->sql(0, "SELECT shoal.alter_node($_ + 1, port => " . $proxy[$_]->port . ')') for 0 .. 2;
# two with replicas, one without
make_probed($cluster, 't', 6, 1);
make_probed($cluster, 'other', 6, 1);
make_probed($cluster, 'sole', 6, 0);
$cluster->sql(0, 'CREATE TABLE here (a int)');

my %messages = (prepare => '^P ,PREPARE', commit => '^P ,COMMIT PREPARED');

# Whether it is committed, as each of the servers sees it.
sub seen
{
	my ($sql, @servers) = @_;
	return join ' ', map { my ($ok, $out, $err) = $cluster->try($_, $sql); $ok ? $out : $err } @servers;
}

# Seconds until each server writes to all shards of a table.
sub writable
{
	my ($table, @servers) = @_;
	my $start = now();
	for my $server (@servers)
	{
		while (now() < $start + 20)
		{
			last if ($cluster->try($server, "UPDATE $table SET c = c WHERE a IN (SELECT a FROM $table)"))[0];
			sleep 0.02;
		}
	}
	return now() - $start;
}

sub no_record_left
{
	my ($name) = @_;
	for (0 .. 2)
	{
		ok($cluster->wait_for($_, 'SELECT count(*) = 0 FROM shoal.transactions_in_doubt'), "$name: server $_ sees nothing in doubt");
	}
}

my $n = 0;

# One of the others has committed, the other has not, and the one that has is restarted.
sub restart_case
{
	my ($coordinator, $which) = @_;
	my $name = "server $coordinator is lost, the " . ($which ? 'second' : 'first') . ' of the others, which has committed, is restarted';
	return if defined $only && $name !~ /$only/;
	$n++;
	my @others = grep { $_ != $coordinator } 0 .. 2;
	my @rules = (undef, undef);
	$rules[1 - $which] = [$messages{commit}, 'before'];
	my ($w, $failed) = hold_commit($cluster, \@proxy, $coordinator, \@rules, "UPDATE t SET c = $n");
	return fail("$name: $failed") if !$w;
	$cluster->kill($coordinator);
	$cluster->kill($others[$which]);
	$cluster->start($others[$which]);
	my $time = writable('t', @others);
	ok($time < 2 * $promised, sprintf '%s: the others write to all shards after %.2f s', $name, $time);
	is(seen("SELECT count(*) FROM t WHERE c = $n", @others), '6 6', "$name: it is committed");
	$_->heal for @proxy;
	$cluster->start($coordinator);
	$w->close;
	whole_again($cluster, $name);
	is(seen("SELECT count(*) FROM t WHERE c = $n", 0 .. 2), '6 6 6', "$name: so it is in the end, on all nodes");
	no_record_left($name);
	$cluster->no_leaks($name);
}

# What the coordinator writes besides; and how to see whether it is there.
my %programs = (
	'rows of a table without replicas' => [sub { "UPDATE t SET c = $_[0]; UPDATE sole SET c = $_[0]" }, sub { "SELECT count(*) FROM sole WHERE c = $_[0]" }, 6],
	'rows of a local table' => [sub { "UPDATE t SET c = $_[0]; INSERT INTO here VALUES ($_[0])" }, undef],
	'a schema change and rows' => [sub { "CREATE TABLE new_$_[0] (a int); UPDATE t SET c = $_[0]; INSERT INTO here VALUES ($_[0])" },
		sub { "SELECT count(*) FROM pg_class WHERE relname = 'new_$_[0]'" }, 1],
	'a table that is distributed' => [sub { "CREATE TABLE new_$_[0] (a int); INSERT INTO new_$_[0] SELECT generate_series(1, 20); UPDATE t SET c = $_[0];
			SELECT shoal.create_distributed_table('new_$_[0]', 'a', 'none', 4)" },
		sub { "SELECT count(*) FROM pg_class WHERE relname = 'new_$_[0]' AND relkind = 'p'" }, 1],
);

# All others have prepared, and none has committed.
sub doubt_case
{
	my ($coordinator, $what, $message, $at, $how, $committed) = @_;
	my $name = "$what, $how of server $coordinator which has " . ($committed ? '' : 'not ') . 'committed';
	return if defined $only && $name !~ /$only/;
	$n++;
	my @others = grep { $_ != $coordinator } 0 .. 2;
	my ($program, $besides, $rows) = @{ $programs{$what} };
	my ($w, $failed) = hold_commit($cluster, \@proxy, $coordinator, [[$messages{$message}, $at], [$messages{$message}, $at]], $program->($n));
	return fail("$name: $failed") if !$w;
	my $fault = now();
	$how eq 'SIGKILL' ? $cluster->kill($coordinator) : $cluster->freeze($coordinator);
	writable('other', @others);
	my $time = now() - $fault;
	ok($time < $promised, sprintf '%s: the others write to other rows of all shards after %.2f s', $name, $time);
	is(seen("SELECT count(*) FROM t WHERE c = $n", @others), '0 0', "$name: it is not to be seen yet");
	like($cluster->sql($others[0], 'SELECT count(*), min(coordinator) FROM shoal.transactions_in_doubt'), qr/^2\|@{[$coordinator + 1]}$/,
		"$name: it is shown to be in doubt");
	$_->heal for @proxy;
	$how eq 'SIGKILL' ? $cluster->start($coordinator) : $cluster->thaw($coordinator);
	my $told = $how eq 'SIGKILL' ? 'EOF' : $w->answer('Z');
	ok($told =~ /EOF|E\(08007\)/ || ($told =~ /E\(/ ? !$committed : $committed), "$name: the client is told no lie: $told");
	$w->close;
	whole_again($cluster, $name);
	is(seen("SELECT count(*) FROM t WHERE c = $n", 0 .. 2), $committed ? '6 6 6' : '0 0 0', "$name: then it is " . ($committed ? 'committed' : 'rolled back') . ' on all nodes');
	is(seen($besides->($n), 0 .. 2), $committed ? "$rows $rows $rows" : '0 0 0', "$name: and with it what it has done besides") if $besides;
	is($cluster->sql($coordinator, "SELECT count(*) FROM here WHERE a = $n"), $committed ? 1 : 0, "$name: and rows of a local table") if $program->($n) =~ /here/;
	no_record_left($name);
	$cluster->no_leaks($name);
}

# A row whose primary and replica are on these servers.
sub key_on
{
	my ($primary, $replica) = @_;
	my %on = map { my ($shard, @nodes) = split /\|/; ("@nodes" => $shard) } split /\n/,
		$cluster->sql(0, "SELECT p.shard, p.node_id, r.node_id FROM shoal.placement p JOIN shoal.placement r USING (group_id, shard)
			JOIN shoal.distributed_table USING (group_id) WHERE table_name = 't'::regclass AND p.role = 'primary' AND r.role = 'replica'");
	my $shard = $on{ ($primary + 1) . ' ' . ($replica + 1) } // return;
	return $cluster->sql(0, "SELECT a FROM t WHERE shoal.shard_of('t', a) = $shard");
}

# The coordinator, which has the primary, has committed, and somebody has read that there;
# the replica's node has not heard of it when a read comes, waits for what becomes
# of the coordinator, and is the primary itself then.
sub read_case
{
	my $name = 'the new primary';
	return if defined $only && $name !~ /$only/;
	my ($coordinator, $replica, $key);
	for my $pair (map { my $p = $_; map { [$p, $_] } grep { $_ != $p } 0 .. 2 } 0 .. 2)
	{
		($coordinator, $replica) = @$pair;
		last if defined($key = key_on(@$pair));
	}
	$n++;
	my @others = grep { $_ != $coordinator } 0 .. 2;
	my ($w, $failed) = hold_commit($cluster, \@proxy, $coordinator, [map { $_ == $replica ? [$messages{commit}, 'before'] : undef } @others],
		"UPDATE t SET c = $n WHERE a = $key");
	return fail("$name: $failed") if !$w;
	is($cluster->sql($coordinator, "SELECT c FROM t WHERE a = $key"), $n, "$name: the old one shows the new row");
	$cluster->freeze($coordinator);
	sleep 1.6;
	is(seen("SELECT c FROM t WHERE a = $key", $replica, @others), "$n $n $n", "$name: shows it, too, to whoever has asked before it was the primary");
	$_->heal for @proxy;
	$cluster->thaw($coordinator);
	$w->close;
	whole_again($cluster, $name);
}

read_case();
restart_case(0, 1);
restart_case(2, 0);
doubt_case(1, 'rows of a table without replicas', 'prepare', 'answer', 'SIGKILL', 0);
doubt_case(2, 'rows of a table without replicas', 'commit', 'before', 'SIGSTOP', 1);
doubt_case(0, 'rows of a local table', 'prepare', 'answer', 'SIGSTOP', 0);
doubt_case(1, 'a schema change and rows', 'commit', 'before', 'SIGKILL', 1);
doubt_case(2, 'a schema change and rows', 'prepare', 'answer', 'SIGKILL', 0);
doubt_case(2, 'a table that is distributed', 'prepare', 'answer', 'SIGKILL', 0);
doubt_case(1, 'a table that is distributed', 'commit', 'before', 'SIGKILL', 1);
# sessions that have ended leave nothing
ok($cluster->wait_for($_, 'SELECT shoal.recover_prepared_transactions() >= 0 AND count(*) = 0 FROM shoal.last_commit'),
	"server $_ forgets what is over everywhere") for 0 .. 2;

# A node that comes back while another one is still away has to know, too, what that one
# has missed: it may be the one that tells it.
sub away_case
{
	my $name = 'of two that are away, the lowest comes back first';
	return if defined $only && $name !~ /$only/;
	my $four = ShoalTest->new(nodes => 3);
	make_probed($four, 't', 6, 1);
	for my $server (3, 0)
	{
		$four->kill($server);
		ok($four->wait_for(1, "SELECT state = 'down' FROM shoal.node WHERE node_id = $server + 1"), "$name: server $server is given up");
	}
	$four->sql(1, 'CREATE TABLE late (a int); CREATE ROLE late_role');
	$four->start(0);
	ok($four->wait_for(1, "SELECT state = 'active' FROM shoal.node WHERE node_id = 1"), "$name: the lowest is back");
	ok($four->wait_for(2, 'ALTER TABLE late ADD COLUMN IF NOT EXISTS b int', ''), "$name: the schema is changed again");
	$four->start(3);
	whole_again($four, $name);
	is($four->sql(3, "SELECT count(*) FROM pg_roles WHERE rolname = 'late_role'"), 1, "$name: it has the new role");
}

away_case();
done_testing();
