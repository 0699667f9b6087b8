# ShoalHistories.pm: histories: sessions through all nodes append to lists and read
# them, and write and read registers; what each saw, and when, is written down and
# judged by test/histories/ShoalHistory.pm.
#
#   use ShoalHistories;
#   make_histories($cluster, seed => 1, seconds => 40);     # the tables
#   make_histories($cluster, ..., replicas => 1);
#   run_clients('name', 10, $settings);
#   check_histories('name', 'read committed');              # assertions
#   run_clients('name', 10, $settings, sub { my ($until) = @_; ... });  # meanwhile
#
# The lists are those of a distributed table (keys by number) and of a reference
# table (r1, r2, ...).  All write to a few keys for a second, then to the next few, so
# that lists stay short.  A transaction appends to one key or to several, in one
# statement or more, or reads, or both.
#
# What counts: see there.  A client is told whether a transaction is committed: every error
# says that it is not, but for 08007 and one with which the session ends.  KEEP=1
# keeps all histories, not only those in which something is wrong.

package ShoalHistories;

use strict;
use warnings;
use Exporter 'import';
use FindBin;
use lib "$FindBin::Bin/../histories";
use File::Copy;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep clock_gettime CLOCK_MONOTONIC);
use ShoalHistory;
use ShoalTest;
use ShoalWire;

our @EXPORT = qw(make_histories run_clients judge_history check_histories);

my ($cluster, $seed);
my $era_length = 1;
my @era;					# keys of six lists, two of each node in turn
my %name;					# keys in histories, with their nodes

# The tables, for that many seconds of all.  Where they have replicas a shard is on
# one node now and on another one later; it is where it is with all of its keys.
sub make_histories
{
	($cluster, my %arg) = @_;
	$seed = $arg{seed};
	my $eras = $arg{seconds} / $era_length;
	$cluster->sql(0, "
		CREATE TABLE list (k int PRIMARY KEY, era int, other int, v text NOT NULL DEFAULT '');
		SELECT shoal.create_distributed_table('list', 'k', shard_count => 12);
		CREATE TABLE register (k int PRIMARY KEY, v text NOT NULL DEFAULT '');
		SELECT shoal.create_distributed_table('register', 'k', shard_count => 12);
		CREATE TABLE ref (k int PRIMARY KEY, era int, v text NOT NULL DEFAULT '');
		SELECT shoal.create_reference_table('ref')");
	my %on_node;
	push @{ $on_node{ (split /\|/)[1] } }, [split /\|/] for split /\n/, $cluster->sql(0, "
		SELECT k, node_id, shard FROM generate_series(1, $eras * 40) k
			JOIN shoal.shards ON table_name = 'list'::regclass AND shard = shoal.shard_of('list', k) ORDER BY k");
	for my $era (0 .. $eras - 1)
	{
		for my $n (0, 1)
		{
			for my $node (sort keys %on_node)
			{
				my ($k, undef, $shard) = @{ $on_node{$node}[2 * $era + $n] };
				push @{ $era[$era] }, $k;
				$name{$k} = $arg{replicas} ? "$k\@shard$shard" : "$k\@$node";
			}
			$name{"r$_"} = "r$_" for 2 * $era + $n;
		}
	}
	$cluster->sql(0, 'INSERT INTO list VALUES ' . join(', ', map { my $e = $_; my @k = @{ $era[$e] };
		map { "($k[$_], $e, $k[($_ + 1) % 6])" } 0 .. 5 } 0 .. $eras - 1));
	$cluster->sql(0, 'INSERT INTO register SELECT k FROM list');
	$cluster->sql(0, "INSERT INTO ref SELECT i, i / 2 FROM generate_series(0, $eras * 2 - 1) i");
	return if !$arg{replicas};
	$cluster->sql(0, "SELECT shoal.set_replicas('$_', $arg{replicas})") for 'list', 'register';
}

# ---- clients ----

sub now { return clock_gettime(CLOCK_MONOTONIC); }

# A client: { n, node, settings, out, w (its session) }.

# Runs a statement, in a new session if that is lost: (done, answer, its times).
sub run
{
	my ($c, $sql) = @_;
	if (!$c->{w} || !$c->{w}->alive)
	{
		$c->{w} = eval { ShoalWire->new($cluster->port($c->{node})) };
		my $is_good = $c->{w} && $c->{w}->alive && $c->{w}->run(['Q', $c->{settings}]) !~ /E\(|EOF/;
		if (!$is_good)
		{
			$c->{w} = undef;
			sleep 0.05;
			return (0, 'not sent', '');
		}
	}
	my $start = now();
	my $answer = $c->{w}->run(['Q', $sql]);
	return ($answer !~ /E\(|EOF/, $answer, sprintf '@%.6f-%.6f', $start, now());
}

# What has become of something that was to be committed with this answer.
sub outcome
{
	my ($answer) = @_;
	return 'ok' if $answer =~ /C\((COMMIT|UPDATE)/;
	return $answer =~ /E\(08007|EOF/ ? 'unknown' : 'fail';
}

# Says so if an UPDATE did not find all rows.
sub check_update
{
	my ($c, $answer, $rows) = @_;
	my $out = $c->{out};
	my $expected = () = $rows =~ /:/g;
	print $out "# wrong: $answer for $rows\n" if $answer =~ /C\(UPDATE (\d+)/ && $1 != $expected;
}

sub record
{
	my ($c, $start, $outcome, @ops) = @_;
	my $out = $c->{out};
	print $out join("\t", $c->{n}, sprintf('%.6f', $start), sprintf('%.6f', now()), $outcome, @ops), "\n" if @ops;
}

sub note_error
{
	my ($c, $answer) = @_;
	my $out = $c->{out};
	my $code = $answer =~ /E\((\w+)\)/ ? $1 : $answer =~ /EOF/ ? 'EOF' : 'not sent';
	sleep 0.01 if $code =~ /^08001/;
	print $out "# error $code", $c->{w} && $code ne 'EOF' && $code ne 'not sent' ? ": $c->{w}{error}" : '', "\n";
}

# An operation's rows of a SELECT's answer; the lists that must be there.
sub rows_of
{
	my ($answer, @keys) = @_;
	my %there = $answer =~ /D\(([^,()]+),([^()]*)\)/g;
	chop $there{$_} for grep { $there{$_} =~ /,$/ } keys %there;
	return join ' ', map { "$name{$_}:" . ($there{$_} // '') } @keys;
}

# A SELECT of several lists, in one of several ways, or of one: (kind, SQL, keys).
sub some_select
{
	my ($era) = @_;
	my @k = @{ $era[$era] };
	my @ref = (2 * $era, 2 * $era + 1);
	my $way = int rand 10;
	return ('s', "SELECT k, v FROM list WHERE era = $era", @k) if $way == 0;
	return ('s', "SELECT k::text, v FROM list WHERE era = $era UNION ALL SELECT 'r' || k, v FROM ref WHERE era = $era",
		@k, map { "r$_" } @ref) if $way <= 2;
	return ('s', "SELECT a.k, a.v FROM list a JOIN list b ON a.k = b.k WHERE a.era = $era", @k) if $way == 3;
	return ('s', "SELECT b.k, b.v FROM list a JOIN list b ON a.other = b.k WHERE a.era = $era", @k) if $way == 4;
	return ('s', "WITH lowest AS (SELECT min(k) AS k FROM list WHERE era = $era)
		SELECT k, v FROM list WHERE era = $era AND k >= (SELECT k FROM lowest)", @k) if $way == 5;
	my $i = int rand 6;
	my @two = @k[$i, ($i + 1) % 6];
	return ('s', 'SELECT k, v FROM list WHERE k IN (' . join(', ', @two) . ')', @two) if $way == 6;
	return ('s', join(' UNION ALL ', map { "SELECT $_, (SELECT v FROM list WHERE k = $_)" } @two), @two) if $way == 7;
	return ('r', "SELECT k, v FROM list WHERE k = $k[$i]", $k[$i]) if $way == 8;
	return ('r', "SELECT 'r' || k, v FROM ref WHERE k = $ref[$i % 2]", "r$ref[$i % 2]");
}

# UPDATEs that append: [SQL, rows of the operation], those to lower keys first, so that
# there are not too many deadlocks.
sub some_appends
{
	my ($c, $era, $n) = @_;
	my @k = @{ $era[$era] };
	my @appends;
	for (sort { $a <=> $b } map { rand() < 0.15 ? 6 + int rand 2 : int rand 6 } 1 .. $n)
	{
		my $value = ++$c->{values} * 10 + $c->{n};
		my ($table, @of) = $_ > 5 ? ('ref', 2 * $era + $_ - 6) :
			('list', rand() < 0.05 ? @k : rand() < 0.2 && $_ < 5 ? @k[$_, $_ + 1] : $k[$_]);
		push @appends, ["UPDATE $table SET v = v || '$value,' WHERE k IN (" . join(', ', @of) . ')',
			join ' ', map { ($table eq 'ref' ? $name{"r$_"} : $name{$_}) . ":$value" } @of];
	}
	return @appends;
}

# A transaction of several statements.
sub block
{
	my ($c, $era) = @_;
	my $start = now();
	my @ops;
	my ($done, $answer, $times) = run($c, 'BEGIN');
	my $n = 1 + int rand 3;
	my @appends = some_appends($c, $era, $n);
	for (1 .. $n)
	{
		last if !$done;
		if (rand() < 0.35)
		{
			my ($kind, $sql, @keys) = some_select($era);
			($done, $answer, $times) = run($c, $sql);
			push @ops, "$kind$times " . rows_of($answer, @keys) if $done;
			next;
		}
		my $is_undone = rand() < 0.1;
		my ($sql, $rows) = @{ shift @appends };
		($done, $answer) = run($c, 'SAVEPOINT s') if $is_undone;
		($done, $answer, $times) = run($c, $sql) if $done;
		check_update($c, $answer, $rows);
		# known or not
		push @ops, ($is_undone ? 'u' : 'a') . " $rows";
		($done, $answer) = run($c, 'ROLLBACK TO s') if $is_undone && $done;
	}
	if (!$done)
	{
		note_error($c, $answer);
		run($c, 'ROLLBACK') if $c->{w} && $c->{w}->alive;
		record($c, $start, 'fail', @ops);
		return;
	}
	(undef, $answer) = run($c, 'COMMIT');
	my $outcome = outcome($answer);
	note_error($c, $answer) if $outcome ne 'ok';
	record($c, $start, $outcome, @ops);
}

# A statement by itself.
sub single
{
	my ($c, $kind, $sql, @keys) = @_;
	my $start = now();
	my ($done, $answer, $times) = run($c, $sql);
	note_error($c, $answer) if !$done;
	check_update($c, $answer, "@keys");
	if ($kind =~ /[rs]/)
	{
		record($c, $start, 'ok', "$kind$times " . rows_of($answer, @keys)) if $done;
		return;
	}
	record($c, $start, outcome($answer), "$kind @keys");
}

sub list_client
{
	my ($c, $era) = @_;
	my $what = rand;
	return block($c, $era) if $what < 0.5;
	return single($c, some_select($era)) if $what < 0.8;
	return single($c, 'a', @{ (some_appends($c, $era, 1))[0] });
}

sub register_client
{
	my ($c, $era) = @_;
	my @k = @{ $era[$era] }[0 .. 2];
	my $k = $k[rand @k];
	my $what = rand;
	return single($c, 'r', "SELECT k, v FROM register WHERE k = $k", $k) if $what < 0.5;
	my $value = ++$c->{values} * 10 + $c->{n};
	return single($c, 'w', "UPDATE register SET v = '$value' WHERE k = $k", "$name{$k}:$value") if $what < 0.9;
	return single($c, 'w', "UPDATE register SET v = '$value' WHERE k IN (" . join(', ', @k) . ')', map { "$name{$_}:$value" } @k);
}

# ---- rounds ----

my $first_era = 0;

# Clients for some seconds; writes the histories of lists and of registers, with
# what is there in the end.  A function is called meanwhile, with the time when they
# end; afterwards all nodes must answer.
sub run_clients
{
	my ($name, $seconds, $settings, $meanwhile) = @_;
	my $from = now();
	my $until = $from + $seconds;
	my (@files, @pids);
	for my $n (0 .. 7)
	{
		my $file = "$cluster->{dir}/history.$n";
		push @files, $file;
		my $pid = fork;
		if (!$pid)
		{
			srand($seed + $first_era * 10 + $n);
			open(my $out, '>', $file) or die;
			$out->autoflush(1);
			my $c = { n => $n, node => $n % 3, settings => $settings, out => $out };
			while (now() < $until)
			{
				my $era = $first_era + int((now() - $from) / $era_length);
				$n < 5 ? list_client($c, $era) : register_client($c, $era);
			}
			POSIX::_exit(0);
		}
		push @pids, $pid;
	}
	$meanwhile->($until) if $meanwhile;
	waitpid $_, 0 for @pids;
	ok($cluster->wait_for($_, 'SELECT count(*) = 0 FROM pg_prepared_xacts'), "$name: nothing is prepared on node $_") for 0 .. 2;

	# what is there in the end, as each node sees it
	my $last_era = $first_era + int($seconds / $era_length);
	my @lines = map { open(my $in, '<', $_) or die; [<$in>] } @files;
	my @history = ([map { @$_ } @lines[0 .. 4]], [map { @$_ } @lines[5 .. 7]]);
	for my $node (0 .. 2)
	{
		my @ask = ("SELECT k::text || ':' || v FROM list WHERE era BETWEEN $first_era AND $last_era
				UNION ALL SELECT 'r' || k || ':' || v FROM ref WHERE era BETWEEN $first_era AND $last_era",
			"SELECT k || ':' || v FROM register WHERE k IN (SELECT k FROM list WHERE era BETWEEN $first_era AND $last_era)");
		for (0, 1)
		{
			my $start = now();
			my @rows = split /\n/, $cluster->sql($node, $ask[$_]);
			s/,$//, s/^(\w+)/$name{$1}/ for @rows;
			push @{ $history[$_] }, join("\t", "last$node", $start, now(), 'ok', join ' ', 's', @rows) . "\n";
		}
	}
	for (0, 1)
	{
		open(my $out, '>', "$cluster->{dir}/history." . ('lists', 'registers')[$_]) or die;
		print $out @{ $history[$_] };
	}
	$first_era = $last_era + 1;
}

# What the judge says of a history: (anomalies, how much it was, file, was it enough).
sub judge_history
{
	my ($name, $kind, $level) = @_;
	my $file = "$cluster->{dir}/history.$kind";
	open(my $in, '<', $file) or die;
	my @wrong = map { /^# wrong: (.*)/ ? { class => 'UPDATE', text => $1, counts => 1 } : () } <$in>;
	my $history = ShoalHistory::read_history($file);
	my @found = $kind eq 'lists' ? ShoalHistory::check_lists($history, $level) : ShoalHistory::check_registers($history);
	my ($reads, %outcome) = (0, ok => 0);
	for my $txn (@$history)
	{
		$outcome{ $txn->{outcome} }++;
		$reads += grep { $_->{kind} =~ /[rs]/ } @{ $txn->{ops} };
	}
	push @found, @wrong;
	return (\@found, sprintf('%d transactions, %d failed, %d unknown, %d reads', scalar @$history, $outcome{fail} // 0, $outcome{unknown} // 0, $reads),
		$file, $outcome{ok} > 50 && $reads > 50);
}

# A history with something wrong is kept.
sub check_histories
{
	my ($name, $level, $remark) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$name = "$name, $level";
	for my $kind ('lists', 'registers')
	{
		my ($found, $numbers, $file, $enough) = judge_history($name, $kind, $level);
		my @bad = grep { $_->{counts} } @$found;
		is(ShoalHistory::summary(@bad), '', "$name, $kind: $numbers" . ($remark ? ", $remark" : '')) or
			diag(map { "$_->{class}: $_->{text}\n" } @bad[0 .. ($#bad > 9 ? 9 : $#bad)]);
		ok($enough, "$name, $kind: enough of them");
		note("$name, $kind: allowed: ", ShoalHistory::summary(grep { !$_->{counts} } @$found)) if @$found > @bad;
		next if !@bad && !$ENV{KEEP};
		my $keep = "/tmp/shoal-history-$seed-$kind-$name" =~ s/[, ]+/-/gr;
		copy($file, $keep);
		diag("kept: $keep");
	}
}

1;
