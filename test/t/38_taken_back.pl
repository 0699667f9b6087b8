# A node that was given up and is taken back: in the moment when the others have
# committed that and the node itself has not yet, it has metadata of the time before,
# in which it has primaries that are somewhere else by now.  It must not act on
# them, nor must what has waited there for a lease.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalFaults;
use ShoalProxy;
use ShoalTest;
use ShoalWire;

my $cluster = ShoalTest->new(nodes => 2);
my @proxy = map { ShoalProxy->new($cluster->port($_), user => 'postgres') } 0 .. 2;
$cluster->sql(0, "SELECT shoal.alter_node($_ + 1, port => " . $proxy[$_]->port . ')') for 0 .. 2;
make_probed($cluster, 't', 6, 1);
$cluster->sql(0, "CREATE TABLE ref (a int PRIMARY KEY, c int);
	SELECT shoal.create_reference_table('ref'); INSERT INTO ref VALUES (1, 0)");

my %statements = (
	'one shard' => sub { my ($key) = @_; "SELECT c FROM t WHERE a = $key" },
	'all shards' => sub { 'SELECT min(c) FROM t' },
	'reference table' => sub { 'SELECT c FROM ref' },
	'write' => sub { my ($key) = @_; "UPDATE t SET c = c WHERE a = $key RETURNING c" },
);

# Statements that begin while the server is taken back.  If it is deaf, it does not
# hear meanwhile that it was given up.
my $n = 0;
sub taken_back
{
	my ($server, $deaf) = @_;
	my $id = $server + 1;
	my $case = "server $server" . ($deaf ? ', deaf' : '');
	my @others = grep { $_ != $server } 0 .. 2;
	my $key = $cluster->sql(0, "SELECT min(a) FROM t JOIN shoal.shards ON table_name = 't'::regclass
		AND shard = shoal.shard_of('t', a) WHERE node_id = $id AND role = 'primary'");
	$n++;
	$cluster->freeze($server);
	ok($cluster->wait_for(0, "SELECT state = 'down' FROM shoal.node WHERE node_id = $id"), "$case: it is given up");
	$cluster->sql(0, "UPDATE t SET c = $n; UPDATE ref SET c = $n");
	# which the node makes up by itself, until its rows are replaced
	$cluster->sql(0, "ALTER TABLE $_ ADD COLUMN s$n serial, ADD COLUMN i$n int GENERATED ALWAYS AS IDENTITY CHECK (i$n >= 0)")
		for 't', 'ref';
	$proxy[$server]->arm(from => 'coordinator', message => '^P ,COMMIT PREPARED', at => 'before', do => 'hold');
	if ($deaf)
	{
		$proxy[$_]->arm(from => 'coordinator', message => "internal_ping\\($id", at => 'before', do => 'silence') for @others;
	}
	$cluster->thaw($server);
	ok(defined $proxy[$server]->await(20), "$case: the others have taken it back");
	my %session = map { $_ => ShoalWire->new($cluster->port($server)) } keys %statements;
	$session{$_}->send(['Q', $statements{$_}->($key)]) for keys %statements;
	sleep($deaf ? 0.3 : 2);
	$proxy[$server]->heal;
	sleep 0.3;
	$proxy[$_]->heal for @others;
	for my $name (sort keys %statements)
	{
		my $answer = $session{$name}->answer('Z');
		ok($answer =~ /D\($n\)/ || ($answer =~ /E\((\w+)\)/ && is_retryable($1)), "$case, $name: no old row is read") or diag($answer);
		note("$name: $answer");
		$session{$name}->close;
	}
	my $whole = whole_again($cluster, $case);
	is($cluster->sql(0, "SELECT count(*) = count(DISTINCT s$n) AND count(*) = count(DISTINCT i$n) AND min(i$n) = 1 FROM t"), 't',
		"$case: columns were filled once");
	return $whole;
}

taken_back(1, 0);
taken_back(2, 1);
$cluster->no_leaks('in the end');

done_testing();
