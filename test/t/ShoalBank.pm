# ShoalBank.pm: a bank: transfers over all shards, from all nodes, while others read the
# total in several ways.  No wrong total, each transfer that was acknowledged is
# there once and whole, nothing is left behind.
#
#   use ShoalBank;
#   make_bank($cluster);
#   check_bank($cluster, 'peace', run_bank($cluster, 8));
#   check_bank($cluster, 'faults', run_bank($cluster, 8, sub { my ($until) = @_; ... }));
#
# A transfer is two or three statements in one transaction; the last one puts it
# into a log, which tells afterwards what must be in the accounts.  A client is told
# whether a transaction is committed: every error says that it is not, but for 08007
# and one with which the session ends.

package ShoalBank;

use strict;
use warnings;
use Exporter 'import';
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;
use ShoalWire;

our @EXPORT = qw(make_bank run_bank check_bank);

my $accounts = 600;
my $total = $accounts * 100;
my $seed = 0;
my $round = 0;

sub make_bank
{
	my ($cluster, %arg) = @_;
	$seed = $arg{seed} // int(rand(1_000_000));
	$cluster->sql(0, "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);
		SELECT shoal.create_distributed_table('account', 'id', shard_count => 12);
		CREATE TABLE transfer (id text PRIMARY KEY, debit int, credit int, amount int);
		SELECT shoal.create_distributed_table('transfer', 'id', shard_count => 12);
		INSERT INTO account SELECT i, 100 FROM generate_series(1, $accounts) i");
	return if !$arg{replicas};
	$cluster->sql(0, "SELECT shoal.set_replicas('$_', $arg{replicas})") for 'account', 'transfer';
}

# Ways to read the total; each gives it once or more.
my @reads = (
	'SELECT sum(balance) FROM account',
	'SELECT (SELECT sum(balance) FROM account WHERE id % 2 = 0) + (SELECT sum(balance) FROM account WHERE id % 2 = 1)',
	'SELECT sum(n) FROM (SELECT sum(balance) AS n FROM account WHERE id <= 300 UNION ALL SELECT sum(balance) FROM account WHERE id > 300) x',
	'SELECT sum(a.balance) FROM account a JOIN account b ON a.id = b.id',
	'WITH lowest AS (SELECT min(id) AS id FROM account) SELECT sum(balance) FROM account WHERE id >= (SELECT id FROM lowest)',
	'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT sum(balance) FROM account; SELECT sum(balance) FROM account WHERE id % 3 >= 0; COMMIT',
	'BEGIN; SELECT sum(balance) FROM account; SELECT sum(balance) FROM account; COMMIT',
);

# A session, made again when it is lost.
sub run
{
	my ($cluster, $w, $node, $sql) = @_;
	if (!$$w || !$$w->alive)
	{
		$$w = eval { ShoalWire->new($cluster->port($node)) };
		sleep 0.02 if !$$w || !$$w->alive;
		return (0, 'E(08001)') if !$$w || !$$w->alive;
	}
	my $answer = $$w->run(['Q', $sql]);
	sleep 0.02 if $answer =~ /E\(57P03/;
	return ($answer =~ /Z\(/ && $answer !~ /E\(/, $answer);
}

# Reads until time is up; a line for each wrong total.
sub reader
{
	my ($cluster, $n, $until, $out) = @_;
	my $w;
	for (my $i = $n; time < $until; $i++)
	{
		my $sql = $reads[$i % @reads];
		my ($ok, $answer) = run($cluster, \$w, $n % 3, $sql);
		run($cluster, \$w, $n % 3, 'ROLLBACK') if !$ok && $w && $w->alive;
		my @sums = $answer =~ /D\((-?\d+)\)/g;
		print $out "read\n" if $ok;
		print $out "wrong: $sql: $answer\n" if grep { $_ != $total } @sums;
	}
}

# Transfers until time is up; a line for each: how it ended.
sub writer
{
	my ($cluster, $n, $until, $out, $pause) = @_;
	my $w;
	for (my $i = 0; time < $until; $i++)
	{
		sleep rand($pause) if $pause;
		my $id = "$round-$n-$i";
		my ($debit, $credit) = sort { $a <=> $b } 1 + int(rand($accounts / 2)), 1 + int($accounts / 2 + rand($accounts / 2));
		my $amount = 1 + int(rand(9));
		my $updates = rand() < 0.7 ?
			"UPDATE account SET balance = balance - $amount WHERE id = $debit; UPDATE account SET balance = balance + $amount WHERE id = $credit;" :
			"UPDATE account SET balance = balance + CASE WHEN id = $debit THEN -$amount ELSE $amount END WHERE id IN ($debit, $credit);";
		my $node = $n % 3;
		my ($ok) = run($cluster, \$w, $node, "BEGIN; $updates INSERT INTO transfer VALUES ('$id', $debit, $credit, $amount)");
		if (!$ok)
		{
			run($cluster, \$w, $node, 'ROLLBACK') if $w && $w->alive;
			print $out "failed $id\n";
			next;
		}
		my ($done, $answer) = run($cluster, \$w, $node, 'COMMIT');
		print $out $done && $answer =~ /C\(COMMIT\)/ ? "done $id\n" :
			$answer =~ /E\(08007|EOF/ ? "unknown $id $answer\n" : "failed $id $answer\n";
		# whoever has seen a commit finds it everywhere, at once
		my ($seen, $there) = (0, '');
		if ($done && $i % 5 == 0)
		{
			my $other = eval { ShoalWire->new($cluster->port(($n + 1) % 3)) };
			($seen, $there) = run($cluster, \$other, ($n + 1) % 3, "SELECT count(*), (SELECT count(*) FROM account) FROM transfer WHERE id = '$id'") if $other;
			print $out "wrong: $id is not seen: $there\n" if $seen && $there !~ /D\(1,$accounts\)/;
			$other->close if $other;
		}
	}
}

# Runs both kinds for some seconds, and a function meanwhile; returns all their lines.
# Before each transfer a client pauses for up to some seconds; without pauses snapshots
# are hardly ever calm.
sub run_bank
{
	my ($cluster, $seconds, $meanwhile, $pause) = @_;
	my $until = time + $seconds;
	my @files;
	my @pids;
	$round++;
	for my $n (0 .. 11)
	{
		my $file = "$cluster->{dir}/bank.$n";
		push @files, $file;
		my $pid = fork;
		if (!$pid)
		{
			srand($seed + $n);
			open(my $out, '>', $file) or die;
			$out->autoflush(1);
			$n < 8 ? writer($cluster, $n, $until, $out, $pause) : reader($cluster, $n, $until, $out);
			POSIX::_exit(0);
		}
		push @pids, $pid;
	}
	$meanwhile->($until) if $meanwhile;
	waitpid $_, 0 for @pids;
	return map { open(my $in, '<', $_) or die; <$in> } @files;
}

# What must be true afterwards.
sub check_bank
{
	my ($cluster, $name, @lines) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @wrong = grep { /^wrong/ } @lines;
	is(scalar @wrong, 0, "$name: no wrong total") or diag(@wrong[0 .. ($#wrong > 5 ? 5 : $#wrong)]);
	my $reads = grep { /^read/ } @lines;
	my %end = map { /^(done|failed|unknown) (\S+)/ ? ($2 => $1) : () } @lines;
	my $done = grep { $_ eq 'done' } values %end;
	ok($reads > 10 && $done > 50, "$name: $reads reads, $done transfers");
	my $start = time;
	ok($cluster->wait_for($_, 'SELECT count(*) = 0 FROM pg_prepared_xacts'), "$name: nothing is prepared on node $_") for 0 .. 2;
	cmp_ok(time - $start, '<', 10, "$name: in less than 10 seconds");
	my %there = map { $_ => 1 } split /\n/, $cluster->sql(0, 'SELECT id FROM transfer');
	is(join(' ', grep { $end{$_} eq 'done' && !$there{$_} } keys %end), '', "$name: what was acknowledged is there");
	is(join(' ', grep { $end{$_} eq 'failed' && $there{$_} } keys %end), '', "$name: what failed is not");
	is($cluster->sql(0, 'SELECT sum(balance) FROM account'), $total, "$name: the total");
	is($cluster->sql(0, "SELECT count(*) FROM account a JOIN (
		SELECT i, 100 - coalesce((SELECT sum(amount) FROM transfer WHERE debit = i), 0)
			+ coalesce((SELECT sum(amount) FROM transfer WHERE credit = i), 0) AS balance
		FROM generate_series(1, $accounts) i) x ON a.id = x.i AND a.balance <> x.balance"), '0', "$name: each account");
	ok($cluster->wait_for($_, 'SELECT count(*) = 0 FROM shoal.commit_record'), "$name: no records on node $_") for 0 .. 2;
	is($cluster->sql($_, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shoal' AND state <> 'idle'"), '0', "$name: no session of a coordinator is busy on node $_") for 0 .. 2;
}

1;
