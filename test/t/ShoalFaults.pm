# ShoalFaults.pm: faults, what clients notice of them, and what must be so afterwards,
# in clusters whose shards have replicas.
#
#   my %faults = faults_of($cluster, $net, 1);  # what can happen to server 1
#   $faults{mute}[0]->(); ...; $faults{mute}[1]->();
#   use ShoalFaults;
#   my $probe = probe($cluster, 'probed', [0, 2]);  # clients at servers 0 and 2
#   sleep 1; my $fault = now(); $cluster->kill(1); sleep 6;
#   my $seen = $probe->stop;                # what they have seen
#   $seen->{longest}                        # without a write, by client and shard
#   whole_again($cluster, 'name');          # assertions
#
# Each client of a probe counts up one row of one shard and reads it, again and
# again, each statement by itself.  As each count comes back, it is known whether
# anything was lost, done twice, or read from an old copy: what was
# acknowledged before a statement began is in its answer, and no two statements
# have the same answer.

package ShoalFaults;

use strict;
use warnings;
use Exporter 'import';
use List::Util qw(max min);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep clock_gettime CLOCK_MONOTONIC);
use ShoalTest;
use ShoalWire;

our @EXPORT = qw(now faults_of make_probed probe whole_again settled_in is_retryable hold_commit);

sub now { return clock_gettime(CLOCK_MONOTONIC); }

# Whether an error tells a client to try again.
sub is_retryable { return $_[0] =~ /^(?:08...|40001|40P01|57P0[123]|EOF|none)$/; }

# What can happen to a server: name => [how it begins, how it ends].
sub faults_of
{
	my ($cluster, $net, $server) = @_;
	my @others = grep { $_ != $server } 0 .. $cluster->{nodes};
	return (
		'kill -9' => [sub { $cluster->kill($server) }, sub { $cluster->start($server) }],
		'SIGSTOP' => [sub { $cluster->freeze($server) }, sub { $cluster->thaw($server) }],
		'cut, lost' => [sub { $net->cut_off($server) }, sub { $net->heal }],
		'cut, late' => [sub { $net->cut_off($server) }, sub { $net->heal(deliver => 1) }],
		'deaf' => [sub { $net->cut(map { [$_, $server] } @others) }, sub { $net->heal }],
		'mute' => [sub { $net->cut(map { [$server, $_] } @others) }, sub { $net->heal }],
		'refused' => [sub { $net->cut_off($server, reset => 1) }, sub { $net->heal }],
	);
}

# The table for probes: a row in each shard.
sub make_probed
{
	my ($cluster, $table, $shards, $replicas) = @_;
	$cluster->sql(0, "CREATE TABLE $table (a int PRIMARY KEY, c int NOT NULL DEFAULT 0);
		SELECT shoal.create_distributed_table('$table', 'a', shard_count => $shards);
		INSERT INTO $table SELECT min(i) FROM generate_series(1, 1000) i GROUP BY shoal.shard_of('$table', i)");
	$cluster->sql(0, "SELECT shoal.set_replicas('$table', $replicas)") if $replicas;
}

# ---- commits ----

# Runs a transaction at a coordinator up to COMMIT, and holds the messages to the other
# servers that the rules name: [message, "before" (its arrival) or "answer" (in
# place of it)], undef for none.  @$proxy are the proxies that the servers are behind.
# Returns the client's connection, or undef and what went wrong.
sub hold_commit
{
	my ($cluster, $proxy, $coordinator, $rules, $sql) = @_;
	my @others = grep { $_ != $coordinator } 0 .. $cluster->{nodes};
	my $w = ShoalWire->new($cluster->port($coordinator), user => 'app');
	$w->run(['Q', 'BEGIN']);
	my $answer = $w->run(['Q', $sql]);
	return (undef, "$answer $w->{error}") if $answer =~ /E\(/;
	for (0 .. $#others)
	{
		my ($message, $at) = @{ $rules->[$_] // next };
		$proxy->[$others[$_]]->arm(from => 'coordinator', message => $message, at => $at, do => 'hold');
	}
	$w->send(['Q', 'COMMIT']);
	for (0 .. $#others)
	{
		return (undef, "no message to server $others[$_]") if $rules->[$_] && !defined $proxy->[$others[$_]]->await(10);
	}
	sleep 0.5;
	return $w;
}

# ---- probes ----

sub probe
{
	my ($cluster, $table, $servers) = @_;
	my @keys = split /\n/, $cluster->sql(0, "SELECT a FROM $table ORDER BY shoal.shard_of('$table', a)");
	my $self = bless { cluster => $cluster, clients => [], stop => "$cluster->{dir}/stop.$table", from => now() };
	unlink $self->{stop};
	for my $server (@$servers)
	{
		for my $key (@keys)
		{
			my $file = "$cluster->{dir}/probe.$table.$server.$key";
			my $pid = fork() // die "fork: $!";
			if ($pid == 0)
			{
				open(my $out, '>', $file) or die;
				$out->autoflush(1);
				client($cluster->port($server), $table, $key, $out, $self->{stop});
				close $out;
				POSIX::_exit(0);
			}
			push @{ $self->{clients} }, { pid => $pid, file => $file, server => $server, key => $key };
		}
	}
	$self->{watcher} = fork() // die "fork: $!";
	if ($self->{watcher} == 0)
	{
		watch($self);
		POSIX::_exit(0);
	}
	return $self;
}

# What a server is at, where clients wait for long.
my @look = ("SELECT pid, now() - xact_start AS age, state, wait_event, pg_blocking_pids(pid), left(query, 150) FROM pg_stat_activity
	WHERE pid <> pg_backend_pid() AND (state <> 'idle' OR backend_type LIKE '%shoal%') ORDER BY 2 DESC NULLS LAST LIMIT 30",
	'SELECT pid, locktype, relation::regclass, transactionid, mode, granted FROM pg_locks l WHERE NOT granted',
	'SELECT now() - prepared, gid FROM pg_prepared_xacts', 'SELECT * FROM shoal.health', 'SELECT * FROM shoal.node',
	"SELECT * FROM shoal.placement WHERE state <> 'active'", 'SELECT * FROM shoal.activity', 'SELECT * FROM shoal.transactions_in_doubt');

# Looks whether a shard could not be written to for longer than any failover takes, or a
# server not be used for longer than any fault and what it takes to bring it back, and then
# at all servers.
sub watch
{
	my ($self) = @_;
	my $cluster = $self->{cluster};
	my ($patience_shard, $patience_server) = (7, 25);
	local $ENV{PGCONNECT_TIMEOUT} = 3;
	for (my $looks = 0; !-e $self->{stop} && $looks < 3; sleep 1)
	{
		my (%of_key, $stuck);
		for my $client (@{ $self->{clients} })
		{
			my $last = last_write($client->{file});
			$of_key{ $client->{key} } = max($last, $of_key{ $client->{key} } // 0);
			$stuck = "by way of server $client->{server} nothing can be written to $client->{key}" if $last < now() - $patience_server;
		}
		my ($key) = grep { $of_key{$_} < now() - $patience_shard } keys %of_key;
		$stuck = "nobody can write to $key" if defined $key;
		next if !$stuck;
		$looks++;
		open(my $out, '>>', "$self->{stop}.stuck") or die;
		printf $out "%.1f s: %s\n", now() - $self->{from}, $stuck;
		for my $server (0 .. $cluster->{nodes})
		{
			for my $sql (@look)
			{
				my ($ok, $text, $error) = $cluster->try($server, "SET statement_timeout = '3s'; $sql");
				print $out "server $server: $sql\n", $ok ? $text : $error, "\n";
				last if !$ok && $error =~ /connect|startup/;
			}
		}
		close $out;
		sleep $patience_shard;
	}
}

sub last_write
{
	my ($file) = @_;
	my ($last) = grep { /^w/ } reverse split /\n/, -e $file ? `tail -n 1000 $file` : '';
	return $last ? (split / /, $last)[2] : now();
}

# Lines: kind, start, end, and the count or what went wrong.
sub client
{
	my ($port, $table, $key, $out, $stop) = @_;
	my $w;
	while (!-e $stop)
	{
		for my $op (['w', "UPDATE $table SET c = c + 1 WHERE a = $key RETURNING c"], ['r', "SELECT c FROM $table WHERE a = $key"])
		{
			my ($kind, $sql) = @$op;
			my $start = now();
			if (!$w || !$w->alive)
			{
				$w = eval { ShoalWire->new($port) };
				if (!$w || !$w->alive)
				{
					my $code = $w && $w->{startup} =~ /E\((\w+)\)/ ? $1 : 'none';
					printf $out "x %.4f %.4f %s\n", $start, now(), $code;
					sleep 0.05;
					last;
				}
			}
			$w->{error} = '';
			my $answer = $w->run(['Q', $sql]);
			my $result = $answer =~ /E\((\w+)\)/ ? $1 : $answer =~ /D\((\d+)\).*Z/ ? $1 : $answer =~ /EOF/ ? 'EOF' : $answer;
			printf $out "%s %.4f %.4f %s%s\n", $answer =~ /E\(|EOF/ ? uc $kind : $kind, $start, now(), $result,
				$w->{error} ? " $w->{error}" : '';
			sleep($answer =~ /E\(|EOF/ ? 0.05 : 0.02);
		}
	}
	$w->close if $w;
}

# Ends the clients.  Returns { wrong => [text], errors => { code => number },
# lines => [client's], acknowledged, unknown }.
sub stop
{
	my ($self) = @_;
	open(my $stop, '>', $self->{stop});
	for my $client (@{ $self->{clients} })
	{
		waitpid $client->{pid}, 0;
		open(my $in, '<', $client->{file}) or die;
		$client->{ops} = [map { chomp; my ($kind, $start, $end, $what, $text) = split / /, $_, 5;
			{ kind => $kind, start => $start, end => $end, what => $what, text => $text // '', by => "$client->{server}/$client->{key}" } } <$in>];
	}
	waitpid $self->{watcher}, 0;
	if (open(my $in, '<', "$self->{stop}.stuck"))
	{
		note(<$in>);
		unlink "$self->{stop}.stuck";
	}
	$self->{until} = now();
	$self->judge;
	return $self;
}

# What is wrong in what the clients of one row have seen.
sub judge
{
	my ($self) = @_;
	my %of_key;
	$self->{errors} = {};
	$self->{texts} = {};
	$self->{acknowledged} = $self->{reads} = 0;
	for my $client (@{ $self->{clients} })
	{
		push @{ $of_key{ $client->{key} } }, @{ $client->{ops} };
		for (grep { $_->{kind} =~ /[A-Zx]/ } @{ $client->{ops} })
		{
			$self->{errors}{ $_->{what} }++;
			$self->{texts}{"$_->{what} $_->{text}"}++;
		}
	}
	my @wrong;
	for my $key (sort { $a <=> $b } keys %of_key)
	{
		my @ends = sort { $a->{end} <=> $b->{end} } grep { $_->{kind} =~ /[wr]/ } @{ $of_key{$key} };
		my ($i, $known, %by) = (0, 0);
		for my $op (sort { $a->{start} <=> $b->{start} } grep { $_->{kind} =~ /[wr]/ } @{ $of_key{$key} })
		{
			for (; $i < @ends && $ends[$i]{end} < $op->{start}; $i++)
			{
				$known = $ends[$i]{what} if $ends[$i]{what} > $known;
			}
			my $name = sprintf '%s of %s by %s at %.3f', $op->{kind} eq 'w' ? 'write' : 'read', $key, $op->{by}, $op->{start} - $self->{from};
			push @wrong, "$name gives $op->{what}, which was given at " . sprintf('%.3f to %s', $by{ $op->{what} }{start} - $self->{from}, $by{ $op->{what} }{by})
				if $op->{kind} eq 'w' && $by{ $op->{what} };
			push @wrong, "$name gives $op->{what} after $known" if $op->{what} < $known + ($op->{kind} eq 'w' ? 1 : 0);
			$by{ $op->{what} } = $op if $op->{kind} eq 'w';
			$self->{ $op->{kind} eq 'w' ? 'acknowledged' : 'reads' }++;
		}
	}
	$self->{wrong} = \@wrong;
}

# The time from a fault until each of these servers has written to each shard:
# the longest of them.  The statement must have begun after $since, when the fault
# was there.
sub writable_after
{
	my ($self, $fault, $since, @servers) = @_;
	my $longest = 0;
	for my $client (@{ $self->{clients} })
	{
		next if @servers && !grep { $_ == $client->{server} } @servers;
		my ($first) = grep { $_->{kind} eq 'w' && $_->{start} > $since } @{ $client->{ops} };
		my $time = $first ? $first->{end} - $fault : 999;
		$longest = $time if $time > $longest;
	}
	return $longest;
}

# The longest time without a write, of any shard by way of any of the servers;
# what of it is in these windows ([from, until]) does not count.
sub longest_gap
{
	my ($self, @windows) = @_;
	my %ends;
	for my $client (@{ $self->{clients} })
	{
		push @{ $ends{ $client->{key} } }, map { $_->{end} } grep { $_->{kind} eq 'w' } @{ $client->{ops} };
	}
	my ($longest, $at) = (0, 0);
	for my $key (keys %ends)
	{
		my $last = $self->{from};
		for my $end ((sort { $a <=> $b } @{ $ends{$key} }), $self->{until})
		{
			my $gap = $end - $last;
			for my $window (@windows)
			{
				my $inside = min($end, $window->[1]) - max($last, $window->[0]);
				$gap -= $inside if $inside > 0;
			}
			($longest, $at) = ($gap, $last - $self->{from}) if $gap > $longest;
			$last = $end;
		}
	}
	return wantarray ? ($longest, $at) : $longest;
}

# ---- afterwards ----

my $unfinished = "SELECT concat_ws(', ', (SELECT string_agg('node ' || node_id || ' is ' || state, ', ') FROM shoal.node WHERE state <> 'active'),
	(SELECT count(*) || ' placements are not active' FROM shoal.placement WHERE state <> 'active' HAVING count(*) > 0),
	(SELECT string_agg('node ' || node_id || ' ' || state || coalesce(', vote ' || vote, ''), ', ') FROM shoal.health
		WHERE state NOT IN ('has a lease', 'answers', 'not watched') OR vote IS NOT NULL))";

# All metadata but that of the node itself, as text.
my $metadata = "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
	SELECT 'node ' || n::text FROM shoal.node n
	UNION ALL SELECT 'group ' || g::text FROM shoal.colocation_group g
	UNION ALL SELECT 'table ' || t::text FROM shoal.distributed_table t
	UNION ALL SELECT 'placement ' || p::text FROM shoal.placement p
	UNION ALL SELECT 'server ' || srvname || (SELECT array_agg(o ORDER BY o)::text FROM unnest(srvoptions) o) FROM pg_foreign_server
	UNION ALL SELECT 'missed ' || m::text FROM shoal.missed_statement m) x (line)";

# Seconds until all nodes take part and can act, and all copies are complete, as every node sees it;
# undef if that takes too long.
sub settled_in
{
	my ($cluster, $timeout) = @_;
	my $start = now();
	my $before = 0;
	while (now() < $start + ($timeout // 60))
	{
		my @left = grep { $_ ne '' } map { my ($ok, $out) = $cluster->try($_, $unfinished); $ok ? $out : 'no answer' } 0 .. $cluster->{nodes};
		# monitors look at the metadata a few times in a second
		return now() - $start if !@left && $before;
		$before = !@left;
		sleep($before ? 0.3 : 0.2);
	}
	return undef;
}

# All nodes are there, with the same schema, metadata and rows; each can be written to.
sub whole_again
{
	my ($cluster, $name, %arg) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $time = settled_in($cluster, $arg{timeout});
	if (!ok(defined $time, "$name: all nodes take part again, all copies are complete" . (defined $time ? sprintf(' after %.1f s', $time) : '')))
	{
		diag("server $_: ", ($cluster->try($_, $unfinished))[1, 2]) for 0 .. $cluster->{nodes};
		return 0;
	}
	my $good = 1;
	my @tables = split /\n/, $cluster->sql(0, 'SELECT table_name FROM shoal.distributed_table ORDER BY 1');
	my $differences = join "\n", map { $cluster->sql(0, "SELECT '$_', v FROM shoal.verify_table('$_') v") || () } @tables;
	$good &= is($differences, '', "$name: " . @tables . ' tables have equal copies');
	my @metadata = map { $cluster->sql($_, $metadata) } 0 .. $cluster->{nodes};
	$good &= is($metadata[$_], $metadata[0], "$name: server $_ has the same metadata") for 1 .. $cluster->{nodes};
	my @schema = map { schema($cluster, $_) } 0 .. $cluster->{nodes};
	$good &= is($schema[$_], $schema[0], "$name: server $_ has the same schema") for 1 .. $cluster->{nodes};
	return $good;
}

# The schema without shards, as pg_dump writes it.
sub schema
{
	my ($cluster, $node) = @_;
	my $text = `$cluster->{bindir}/pg_dump -s -h 127.0.0.1 -p @{[$cluster->port($node)]} -U postgres -N 'shoal*' shoal 2>&1`;
	$text =~ s/^\\(un)?restrict .*\n//mg;
	return $text;
}

1;
