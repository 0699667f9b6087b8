# Nodes that do not answer are given up, and others go on with their replicas: by
# SIGKILL, SIGSTOP and cut networks, each node in turn, while clients write to all
# shards through all nodes.  Then the node comes back.  See ShoalFaults.pm for what
# must be so.
#
# ALL=1 runs all cases, which takes some ten minutes; NODES=3,4 and CASES=regex
# choose some.
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
use ShoalNetwork;

# seconds that the promise allows from a fault to the first write, at default settings
my $promised = 5;

my $only = $ENV{CASES};

# What servers say of one.
sub seen_by
{
	my ($cluster, $server, @by) = @_;
	return join ' ', map { $cluster->sql($_, 'SELECT state FROM shoal.health WHERE node_id = ' . ($server + 1)) } @by;
}

# One fault at a server, with clients at all.  What the fault is: [name, how it begins,
# how it ends].
sub fault_case
{
	my ($cluster, $server, $name, $begin, $end, %arg) = @_;
	$name = ($cluster->{nodes} + 1) . " nodes, $name of server $server";
	return if defined $only && $name !~ /$only/;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @all = 0 .. $cluster->{nodes};
	my @others = grep { $_ != $server } @all;
	my $probe = probe($cluster, 'probed', \@all);
	sleep 0.5;
	is(seen_by($cluster, $server, @all), join(' ', map { $_ == $server ? 'has a lease' : 'answers' } @all), "$name: shoal.health says that it is there");
	my $fault = now();
	$begin->();
	my $since = now();
	sleep($arg{hold} // 6);
	is(seen_by($cluster, $server, @others), join(' ', map { 'given up' } @others), "$name: and then that it is given up");
	$arg{meanwhile}->($name, @others) if $arg{meanwhile};
	my $mended = now();
	$end->();
	my @failed;
	while (now() < $mended + 2)
	{
		my ($ok, undef, $error) = $cluster->try($others[0], 'SELECT count(*) FROM probed');
		push @failed, $error if !$ok;
	}
	is(join('', @failed), '', "$name: queries of all shards don't fail as it comes back");
	my $whole = settled_in($cluster, 60);
	sleep 0.5;
	my $seen = $probe->stop;
	my $time = $probe->writable_after($fault, $since, @others);
	cmp_ok($time, '<', $promised, sprintf('%s: the others write to all shards after %.2f s', $name, $time)) or
		diag(map { "$seen->{texts}{$_} times $_\n" } sort keys %{ $seen->{texts} });
	note(sprintf '%s: server %d writes to all shards %.2f s after it is back', $name, $server, $probe->writable_after($mended, $mended, $server));
	is(join("\n", @{ $seen->{wrong} }[0 .. ($#{ $seen->{wrong} } > 9 ? 9 : $#{ $seen->{wrong} })]), '',
		"$name: nothing is lost, nothing old is read ($seen->{acknowledged} writes, $seen->{reads} reads)");
	my @codes = sort keys %{ $seen->{errors} };
	is(join(' ', grep { !is_retryable($_) } @codes), '', "$name: errors say that one can try again: " .
		join(', ', map { "$seen->{errors}{$_} $_" } @codes)) or
		diag(map { "$seen->{texts}{$_} times $_\n" } sort keys %{ $seen->{texts} });
	return whole_again($cluster, $name);
}

# What is done while a server is down, by way of the others, besides reads and writes.
my $round = 0;
my %given;					# values of a sequence, by whom
sub changes
{
	my ($cluster, $name, @servers) = @_;
	$round++;
	my ($first, $last) = @servers[0, -1];
	my @wrong;
	for (
		[$first, "CREATE TABLE d$round (a int PRIMARY KEY, b serial, t text)"],
		[$last, "SELECT shoal.create_distributed_table('d$round', 'a', 'none', 4)"],
		[$first, "INSERT INTO d$round (a, t) SELECT i, 'first' FROM generate_series(1, 50) i"],
		[$last, "INSERT INTO d$round (a, t) SELECT i, 'last' FROM generate_series(51, 100) i"],
		[$first, "UPDATE d$round SET t = t || a WHERE a % 10 = 0; DELETE FROM d$round WHERE a % 10 = 1"],
		[$last, "CREATE TABLE r$round (a int PRIMARY KEY, t text); SELECT shoal.create_reference_table('r$round')"],
		[$first, "INSERT INTO r$round SELECT i, 'x' FROM generate_series(1, 10) i"],
		[$last, 'UPDATE ref SET t = t || a; INSERT INTO ref VALUES (' . (100 + $round) . ", 'new'); DELETE FROM ref WHERE a = $round"],
		[$first, "ALTER TABLE probed ADD COLUMN x$round int DEFAULT $round; CREATE INDEX ON probed (x$round)"],
		[$last, "CREATE FUNCTION f$round() RETURNS int LANGUAGE sql AS 'SELECT $round'; CREATE VIEW v$round AS SELECT a FROM probed"],
		[$first, "CREATE SCHEMA s$round; CREATE TYPE s$round.color AS ENUM ('red'); DROP VIEW v$round"],
		[$last, "CREATE TABLE plain$round (a int); COMMENT ON TABLE plain$round IS 'a table'; GRANT SELECT ON ref TO public"])
	{
		my ($server, $sql) = @$_;
		my $error = $cluster->error($server, $sql);
		push @wrong, "$sql\n$error" if $error ne '';
	}
	is(join("\n", @wrong), '', "$name: the schema can be changed, tables distributed, reference tables written to");
	draw_values($cluster, @servers);
}

# Values of sequences, from each of the servers.
sub draw_values
{
	my ($cluster, @servers) = @_;
	for my $server (@servers)
	{
		for my $sql ('SELECT nextval(\'seq\')', 'SELECT nextval(\'made\')', 'SELECT nextval(\'seq\') FROM generate_series(1, 1500) i',
			"INSERT INTO numbered (t) SELECT 'x' FROM generate_series(1, 30) RETURNING id + 1000000000")
		{
			my ($ok, $out, $err) = $cluster->try($server, $sql);
			diag("server $server: $err") if !$ok;
			$given{$_} .= " $server" . (@servers == $cluster->{nodes} + 1 ? '' : "-$round") for split /\n/, $out;
		}
	}
}

sub check_values
{
	my ($name) = @_;
	my @twice = grep { $given{$_} =~ / .* / } sort { $a <=> $b } keys %given;
	is(join(', ', map { "$_ by$given{$_}" } @twice[0 .. ($#twice > 9 ? 9 : $#twice)]), '',
		"$name: no value of a sequence was given twice, of " . keys %given);
}

for my $n (split /,/, $ENV{NODES} // ($ENV{ALL} ? '2,3,4' : '3'))
{
	my $cluster = ShoalTest->new(nodes => $n - 1);
	my $net = ShoalNetwork->new($cluster);
	make_probed($cluster, 'probed', 6, 1);
	$cluster->sql(0, "CREATE TABLE ref (a int PRIMARY KEY, t text);
		SELECT shoal.create_reference_table('ref');
		INSERT INTO ref SELECT i, 'row ' FROM generate_series(1, 30) i;
		CREATE SEQUENCE seq;
		CREATE TABLE numbered (id bigserial PRIMARY KEY, t text);
		SELECT shoal.create_distributed_table('numbered', 'id')");
	$cluster->sql(0, "SELECT shoal.set_replicas('numbered', 1)");
	%given = ();
	# one that is used where it is made, not by the server that gives its values
	my ($ok, $out, $err) = $cluster->try(1, q(BEGIN; CREATE SEQUENCE made START 3000000000; SELECT nextval('made');
		SELECT setval('made', 3000005000); SELECT nextval('made') FROM generate_series(1, 3); COMMIT));
	is($err, '', "$n nodes: a sequence is used where it is made");
	$given{$_} .= ' 1' for grep { !/000$/ } split /\n/, $out;
	draw_values($cluster, 0 .. $n - 1);
	# of two nodes the lowest goes on alone, the other one does not
	my @servers = $n == 2 ? 1 : 0 .. $n - 1;
	for my $server (@servers)
	{
		my %faults = faults_of($cluster, $net, $server);
		# all of them with three nodes; one for each server if there is little time
		my @main = ('kill -9', 'SIGSTOP', 'cut, lost');
		my @names = $n == 3 ? sort keys %faults : @main;
		@names = $main[$server % 3] if !$ENV{ALL} && !defined $only;
		for my $fault (@names)
		{
			fault_case($cluster, $server, $fault, @{ $faults{$fault} },
				meanwhile => sub { my ($name, @servers) = @_; changes($cluster, $name, @servers) });
			draw_values($cluster, 0 .. $n - 1);
		}
	}
	check_values("$n nodes") if keys %given;
	$cluster->no_leaks("$n nodes");
}

done_testing();
