# A node has no prepared transaction, no connection or no disk space left: the
# error says so (for a connection clients wait), nothing is half done, and it works
# again afterwards.  See ShoalCases.pm for what must be so in each case.
#
# Disks are small file systems in memory, which only root can mount; otherwise
# that part is skipped.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use ShoalCases;
use ShoalWire;

sub configure
{
	my ($node, @settings) = @_;
	$cluster->sql($node, 'ALTER SYSTEM RESET ALL');
	$cluster->sql($node, "ALTER SYSTEM SET $_") for @settings;
	$cluster->stop($node);
	$cluster->start($node);
}

# what a client may do that is on several nodes
my @programs = ('transaction', 'statement', 'copy', 'insert', 'reference', 'all', 'savepoint', 'table');

# ---- prepared transactions ----

for my $node (1, 2)
{
	configure($node, 'max_prepared_transactions = 2');
	my $hold = sub { my $s = ShoalWire->new($cluster->port($node));
		$s->q("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'held $_'") for 1, 2; };
	my $free = sub { my $s = ShoalWire->new($cluster->port($node)); $s->q("ROLLBACK PREPARED 'held $_'") for 1, 2; };
	for my $program (@programs)
	{
		case("no prepared transaction left on node $node: $program", $program, $node, undef, limit => [$hold, $free],
			expect => qr/^53200$/, says => qr/maximum number of prepared transactions/);
	}
	case("one node alone needs none on node $node", 'one in block', $node, undef, limit => [$hold, $free],
		expect => qr/^done$/);
	case("one is enough for one on node $node", 'transaction', $node, undef, expect => qr/^done$/);

	# more clients than there can be: each is told what became of it
	my @clients = map { ShoalWire->new($cluster->port(0), user => 'app') } 1 .. 8;
	$_->run(['Q', 'CREATE TEMP TABLE x (a int)']) for $clients[0];
	look(0, "SET SESSION AUTHORIZATION app; INSERT INTO t SELECT 2000 + i, 0 FROM generate_series(1, 400) i; RESET SESSION AUTHORIZATION");
	my (%told, %wrong);
	for my $round (1 .. 10)
	{
		# eight clients, each with its own rows, on all nodes
		$clients[$_]->send(['Q', "UPDATE t SET c = $round WHERE a BETWEEN " . (2001 + 50 * $_) . ' AND ' . (2050 + 50 * $_)]) for 0 .. 7;
		for my $i (0 .. 7)
		{
			my $answer = $clients[$i]->answer('Z');
			my $told = $answer =~ /C\(UPDATE 50\) Z\(I\)/ ? 'done' : $answer =~ /E\((.*?)\)/ ? $1 : $answer;
			$told{$told}++;
			my $is = look(0, 'SELECT count(*) FILTER (WHERE c = ' . $round . ') FROM t WHERE a BETWEEN ' . (2001 + 50 * $i) . ' AND ' . (2050 + 50 * $i));
			$wrong{"told $told, $is rows"}++ if $is ne ($told eq 'done' ? 50 : 0);
		}
	}
	is_deeply([sort keys %wrong], [], "clients that compete for prepared transactions of node $node");
	ok($told{done} && !(grep { !/^(?:done|53200)$/ } keys %told), '... get one, or the error') or diag explain \%told;
	diag("of 80, $told{done} were done");
	$_->close for @clients;
	look(0, 'DELETE FROM t WHERE a > 1000');
	configure($node);
}

# ---- connections ----

for my $node (1, 2)
{
	configure($node, 'max_connections = 12', 'superuser_reserved_connections = 1');
	my @others;
	my $fill = sub {
		for (1 .. 20)
		{
			push @others, ShoalWire->new($cluster->port($node));
			last if $others[-1]{startup} =~ /E\(53300\)/;
		}
	};
	# they end by themselves
	my $fill_for_a_while = sub { $fill->(); $_->q("SET idle_session_timeout = '1s'") for @others[0 .. $#others - 1]; };
	my $free = sub { $_->close for @others; @others = (); };
	for my $program (@programs, $node == 1 ? 'one' : ())
	{
		case("no connection left on node $node, waiting in vain: $program", $program, $node, undef, limit => [$fill, $free],
			set => "SET shoal.connection_wait = '200ms'", expect => qr/^53300$/, says => qr/connect(?:ions)? to node "shoal_node_/);
		case("no connection left on node $node for a while: $program", $program, $node, undef,
			limit => [$fill_for_a_while, $free], expect => qr/^done$/);
	}
	case("no connection left on node $node: statement_timeout", 'all', $node, undef, limit => [$fill, $free],
		set => "SET statement_timeout = '300ms'", expect => qr/^57014$/);
	# a cancel request needs one, too
	my $sleep = sub {
		my ($n) = @_;
		return both($n), query("UPDATE t SET c = 0 WHERE c = $n"), $fill,
			query("UPDATE t SET c = $n WHERE a < 40 AND pg_sleep(0.3) IS NOT NULL");
	};
	case("cancelled when no connection is left on node $node", [[20, 20, 0], $sleep], $node,
		{ from => 'coordinator', message => '^P .*pg_sleep', at => 'after', do => 'delay', seconds => 0 },
		meanwhile => sub { my ($w) = @_; $w->cancel; }, limit => [sub {}, $free], expect => qr/^57014$/);
	# connections that a session has are its own
	case("a session keeps its connections when no more are left on node $node",
		[[1, 1, 0], sub { my ($n) = @_; return both(0), $fill, query('BEGIN'), both($n), query('COMMIT'); }], $node, undef,
		limit => [sub {}, $free], expect => qr/^done$/);
	configure($node);
}

# ---- disk space ----

my $mount;
sub disk { return system("{ @_; } >/dev/null 2>&1") == 0; }

# Moves a directory to a disk of that size.
sub small_disk
{
	my ($dir, $size) = @_;
	disk("mount -t tmpfs -o size=$size,mode=700 tmpfs $cluster->{dir}/disk") or return 0;
	$mount = "$cluster->{dir}/disk";
	disk("chown --reference=$dir $mount && cp -a $dir/. $mount/ && rm -rf $dir && ln -s $mount $dir") or die "can't move $dir";
	return 1;
}
sub unmount
{
	return if !defined $mount;
	disk("umount -l $mount");
	$mount = undef;
}
# Fills it but for so many kB.  Files that were removed may be open for a while.
sub fill
{
	my ($left) = @_;
	for (1 .. 5)
	{
		my ($free) = `df -k --output=avail $mount` =~ /(\d+)/;
		my $n = $free - $left;
		next if $n <= 0;
		disk("dd if=/dev/zero bs=1k count=$n >>$mount/ballast") or die "can't fill the disk";
	}
	continue { sleep 0.15; }
}
sub empty { unlink "$mount/ballast"; }

END
{
	my $status = $?;
	if (defined $mount)
	{
		eval { $cluster->command('stop', $_) for 0 .. 2 };
		unmount();
	}
	$? = $status;
}

# Rows for a table that grows, in one transaction with those that tell; a quarter is
# on each of the two nodes, more than what a segment of WAL has room for.
my $rows = 80_000;
my $x = 'x' x 1000;
my %big = (
	'INSERT ... SELECT' => sub { my ($n) = @_; return query("INSERT INTO big SELECT i, $n, repeat('x', 1000) FROM generate_series(1, $rows) i"); },
	'COPY' => sub {
		my ($n) = @_;
		my @lines = map { join '', map { "$_\t$n\t$x\n" } $_ * 1000 + 1 .. $_ * 1000 + 1000 } 0 .. $rows / 1000 - 1;
		return ['GZ', ['Q', 'COPY big FROM STDIN']], ['Z', (map { ['d', $_] } @lines), ['c']];
	},
	'UPDATE' => sub { my ($n) = @_; return query("UPDATE big SET c = $n, x = x || 'y'"); },
);
my $check = sub {
	my ($n, $done) = @_;
	my $is = look(0, "SELECT count(*) FROM big WHERE c = $n");
	return ($is > 0) == !!$done ? () : "$is rows are there";
};
sub grow
{
	my ($how) = @_;
	return [[1, 1, 0], sub { my ($n) = @_; return query('BEGIN'), both($n), $big{$how}->($n), query('COMMIT'); }];
}

SKIP:
{
	skip 'a disk that is full: only root can mount one', 1 if $> != 0;
	my $data = "$cluster->{dir}/node1";
	mkdir "$cluster->{dir}/disk";

	# a tablespace: an error of the statement
	for my $node (0 .. 2)
	{
		mkdir "$cluster->{dir}/space$node";
		disk("chown --reference=$data $cluster->{dir}/space$node");
	}
	skip 'a disk that is full: mount is not permitted', 1 if !small_disk("$cluster->{dir}/space1", '48m');
	$cluster->sql($_, "SET shoal.forward_ddl = off; CREATE TABLESPACE space LOCATION '$cluster->{dir}/space$_';
		GRANT CREATE ON TABLESPACE space TO app") for 0 .. 2;
	$cluster->sql(0, "SET SESSION AUTHORIZATION app; SET default_tablespace = space;
		CREATE TABLE big (a int, c int, x text); SELECT shoal.create_distributed_table('big', 'a', colocate_with => 't')");
	for my $how ('INSERT ... SELECT', 'COPY')
	{
		case("a tablespace is full: $how", grow($how), 1, undef, limit => [sub { fill(2000) }, \&empty],
			expect => qr/^53100$/, says => qr/No space left/, check => $check, soon => 30);
		$cluster->sql(1, 'CHECKPOINT');
	}
	case('there is room', grow('COPY'), 1, undef, expect => qr/^done$/, check => $check, soon => 30);
	case('a tablespace is full: UPDATE', grow('UPDATE'), 1, undef, limit => [sub { fill(2000) }, \&empty],
		expect => qr/^53100$/, says => qr/No space left/, check => $check, soon => 30);
	$cluster->sql(0, 'DROP TABLE big');
	$cluster->sql($_, 'SET shoal.forward_ddl = off; DROP TABLESPACE space') for 0 .. 2;
	unmount();

	# where the server writes its log: it may go down, and come back
	# without segments that wait for their use
	$cluster->sql(1, 'ALTER SYSTEM SET wal_recycle = off');
	$cluster->stop(1);
	my ($used) = `$cluster->{bindir}/pg_controldata $data` =~ /REDO WAL file:\s+(\S+)/;
	unlink grep { /\b[0-9A-F]{24}$/ && !/$used/ } glob "$data/pg_wal/*";
	die 'mount' if !small_disk("$data/pg_wal", '96m');
	$cluster->start(1);
	$cluster->sql(0, "SET SESSION AUTHORIZATION app;
		CREATE TABLE big (a int, c int, x text); SELECT shoal.create_distributed_table('big', 'a', colocate_with => 't')");
	my $fill = sub { $cluster->sql(1, 'SELECT pg_switch_wal()'); $cluster->sql(1, 'CHECKPOINT'); fill(100); };
	my $again = sub {
		empty();
		# a server that does not come back by itself
		$cluster->start(1);
		$cluster->wait_for(1, 'SELECT true');
	};
	for my $how ('INSERT ... SELECT', 'COPY')
	{
		case("no room for WAL: $how", grow($how), 1, undef, limit => [$fill, $again],
			expect => qr/^(?:53100|08...)$/, check => $check, soon => 30);
	}
	case('there is room', grow('COPY'), 1, undef, expect => qr/^done$/, check => $check, soon => 30);
	$cluster->sql(0, 'DROP TABLE big');
}

end_of_cases();
