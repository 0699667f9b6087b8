# Copies of shards are made, moved and dropped, and at each step something
# happens: the worker is ended, its caller cancelled, or a server is killed.
#
# The worker waits at a named step (shoal.debug_job_pause) until the fault has
# happened, so no case depends on speed.  Then the fault's victim is started
# again, and Shoal has to put things right by itself.  What must be so then:
#
#   - each copy is complete, and each shard has one primary, as all nodes say;
#   - the job was done or was undone, and done if its caller was told so;
#   - each node has the tables of its placements, and no others;
#   - all copies are equal;
#   - what writers were told to be committed is there, once; what they were told
#     to have failed is not; and they can write again.
#
# Three writers write all the time, one through each node.
#
# ALL=1 runs all cases, CASES=regex those whose name matches.  The job is called on node 0;
# the shard is on node 1 and goes to node 2.

use strict;
use warnings;
use File::Temp;
use FindBin;
use lib $FindBin::Bin;
use ShoalTest;
use Test::More;
use Time::HiRes qw(time sleep);

my $cluster = ShoalTest->new(nodes => 2,
	conf => [ 'max_worker_processes=40', 'shoal.commit_wait=2s', 'shoal.recovery_interval=1' ]);
my $dir = File::Temp::tempdir(CLEANUP => 1);
my $main = $$;
my $counters = 50;

$cluster->sql(0, q{
	CREATE SCHEMA m;
	CREATE TABLE m.t (k int PRIMARY KEY, v text, n int DEFAULT 0);
	CREATE TABLE m.nk (k int, v text);
	SELECT shoal.create_distributed_table('m.t', 'k', 'none', 3, 0);
	SELECT shoal.create_distributed_table('m.nk', 'k', 'm.t');
	INSERT INTO m.t SELECT i, repeat('x', 700) FROM generate_series(1, 12000) i;
	INSERT INTO m.nk SELECT i, 'row ' || i FROM generate_series(1, 1000) i;
});
my $group = $cluster->sql(0, q{SELECT group_id FROM shoal.colocation_group g WHERE kind = 'd'});
my %home = map { split / / } split /\n/, $cluster->sql(0, "SELECT shard || ' ' || node_id FROM shoal.placement WHERE group_id = $group");
# nodes are numbered from 0 here, from 1 in Shoal
my ($source, $target) = (2, 3);
my ($shard) = grep { $home{$_} == $source } sort keys %home;

# ---- writers ----

sub say_to { my ($file, @words) = @_; open my $out, '>>', $file or die "$file: $!"; print $out "@words\n"; close $out }

# One transaction; true if the session can be used for another.
sub write_once
{
	my ($session, $log, $id) = @_;
	my $counter = 1 + $id % $counters;
	my $both = $id % 2;
	my $sql = $both ? "BEGIN; INSERT INTO m.t VALUES ($id, 'w'); INSERT INTO m.nk VALUES ($id, 'w'); UPDATE m.t SET n = n + 1 WHERE k = $counter; COMMIT" :
		"INSERT INTO m.t VALUES ($id, 'w')";

	say_to($log, 'try', $id, $counter);
	my $out = $session->query($sql);
	my ($error) = ($out // '') =~ /((?:ERROR|FATAL|PANIC): +\w+)/;
	# psql goes on after an error
	$session->query('ROLLBACK') if $both && $error;
	my $text = ($out // '') =~ s/\s+/ /gr;
	my $what = !defined $out ? 'stuck' : $error && $error =~ /ERROR: +(40001|40P01|55P03|42P01|23514|25006)/ ? 'no' :
		!$error && $out =~ ($both ? qr/^COMMIT$/m : qr/^INSERT 0 1$/m) ? 'ok' : 'unknown';
	say_to($log, $what, $id, $what eq 'ok' ? time() : ($error // '', $text));
	return $what eq 'ok' || $what eq 'no';
}

sub writer
{
	my ($n) = @_;
	my $node = $n;
	my $id = 1000000 * ($n + 1);
	my $session;

	while (!-e "$dir/stop" && getppid() == $main)
	{
		if (my ($pause) = glob "$dir/pause.*")
		{
			my $paused = $pause =~ s/pause/paused.$n/r;
			say_to($paused, '') if !-e $paused;
			sleep 0.02;
			next;
		}
		if (!$session)
		{
			$session = $cluster->session($node);
			$session->query("\\set VERBOSITY verbose\n\\set QUIET off");
		}
		if (!write_once($session, "$dir/log.$n", ++$id))
		{
			$session->close;
			undef $session;
			# each has a node of its own, and another while that is down
			$node = $node == $n ? ($n + 1) % 3 : $n;
			sleep 0.2;
		}
		sleep 0.01;
	}
	$session->close if $session;
	# no END blocks
	require POSIX;
	POSIX::_exit(0);
}

# they begin with the first case
say_to("$dir/pause.0", '');
my @writers;
for my $n (0 .. 2)
{
	my $pid = fork // die "fork: $!";
	writer($n) if $pid == 0;
	push @writers, $pid;
}

my $pauses = 0;

sub pause_writers
{
	say_to("$dir/pause." . ++$pauses, '');
	for my $n (0 .. 2)
	{
		for (1 .. 2000) { last if -e "$dir/paused.$n.$pauses"; sleep 0.1 }
		return "writer $n does not end its transaction" if !-e "$dir/paused.$n.$pauses";
	}
	return '';
}

sub resume_writers
{
	unlink glob("$dir/log.* $dir/paused.*");
	unlink glob("$dir/pause.*");
}

sub read_logs
{
	my %writes;
	for my $n (0 .. 2)
	{
		open my $in, '<', "$dir/log.$n" or next;
		while (my $line = <$in>)
		{
			chomp $line;
			my ($what, $id, @rest) = split / /, $line, 4;
			if ($what eq 'try') { $writes{$id} = { writer => $n, counter => $rest[0], what => 'unknown' } }
			else { $writes{$id}{what} = $what; $writes{$id}{text} = join ' ', @rest; }
		}
	}
	return \%writes;
}

my %errors;

# What is wrong with what they have written, while they pause.
sub wrong_writes
{
	my $writes = read_logs();
	my %there = map { split / / } split /\n/, $cluster->sql(0, "SELECT k || ' ' || count(*) FROM m.t WHERE k >= 1000000 GROUP BY k");
	my %there_nk = map { split / / } split /\n/, $cluster->sql(0, "SELECT k || ' ' || count(*) FROM m.nk WHERE k >= 1000000 GROUP BY k");
	my %count = map { split / / } split /\n/, $cluster->sql(0, "SELECT k || ' ' || n FROM m.t WHERE k <= $counters");
	my (@wrong, %least, %most);

	for my $id (sort keys %$writes)
	{
		my ($what, $text, $counter) = @{ $writes->{$id} }{qw(what text counter)};
		my $n = delete $there{$id} // 0;
		my $nk = delete $there_nk{$id} // 0;
		$errors{$1}++ if ($text // '') =~ /(?:ERROR|FATAL): +(\w+)/;
		push @wrong, "$id: $text" if ($text // '') =~ /(?:ERROR|FATAL): +(XX|22|23)/ || $what eq 'stuck';
		push @wrong, "$id is committed and is not there" if $what eq 'ok' && $n == 0;
		push @wrong, "$id has failed and is there ($text)" if $what eq 'no' && ($n || $nk);
		push @wrong, "$id is there $n and $nk times" if $n > 1 || $nk != ($id % 2 ? $n : 0);
		next if $id % 2 == 0;
		$most{$counter}++ if $what ne 'no';
		$least{$counter}++ if $what eq 'ok';
	}
	push @wrong, 'nobody wrote ' . join(', ', sort(keys %there, keys %there_nk)) if %there || %there_nk;
	for my $counter (1 .. $counters)
	{
		my ($from, $to) = ($least{$counter} // 0, $most{$counter} // 0);
		push @wrong, "counter $counter is $count{$counter}, not $from to $to" if $count{$counter} < $from || $count{$counter} > $to;
	}
	$cluster->sql(0, "DELETE FROM m.t WHERE k >= 1000000; DELETE FROM m.nk WHERE k >= 1000000; UPDATE m.t SET n = 0 WHERE n > 0");
	return (scalar(grep { $writes->{$_}{what} eq 'ok' } keys %$writes), @wrong);
}

# ---- what must be so ----

my $placements = "SELECT coalesce(string_agg(concat_ws(' ', shard, node_id, role, state, replaces), ', ' ORDER BY shard, role, node_id), '')
	FROM shoal.placement WHERE group_id = $group";

# Tables without placement and the other way round, on the node where it is asked.
my $odd_tables = "SELECT coalesce(string_agg(format('%s of shard %s', relname, shard), ', '), '') FROM (
	(SELECT p.shard, t.relname FROM shoal.placement p, (VALUES ('t'), ('nk')) t (relname) WHERE group_id = $group
		AND node_id = (SELECT l.node_id FROM shoal.local_node l)
	EXCEPT SELECT substring(nspname FROM '[0-9]+\$')::int, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE nspname LIKE 'shoal\\_${group}\\_%' AND relkind = 'r')
	UNION ALL
	(SELECT substring(nspname FROM '[0-9]+\$')::int, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE nspname LIKE 'shoal\\_${group}\\_%' AND relkind = 'r'
	EXCEPT SELECT p.shard, t.relname FROM shoal.placement p, (VALUES ('t'), ('nk')) t (relname) WHERE group_id = $group
		AND node_id = (SELECT l.node_id FROM shoal.local_node l))) x";

my $not_settled = "SELECT (SELECT count(*) FROM shoal.placement WHERE state <> 'active') + (SELECT count(*) FROM shoal.node WHERE state <> 'active')
	+ (SELECT count(*) FROM pg_prepared_xacts) + (SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('shoal job', 'shoal failover'))";

# Waits until Shoal has put everything right.
sub settle
{
	my $until = time() + 120;
	my @last;
	while (time() < $until)
	{
		@last = map { my ($ok, $out, $err) = $cluster->try($_, $not_settled); $ok ? $out : $err } 0 .. 2;
		return '' if join(' ', @last) eq '0 0 0';
		sleep 0.1;
	}
	return "not settled: @last; " . join '; ', map { ($cluster->try($_, $placements))[1] } 0 .. 2;
}

sub wrong
{
	my @wrong;
	my $unsettled = settle();
	return ($unsettled) if $unsettled ne '';
	my @said = map { $cluster->sql($_, $placements) } 0 .. 2;
	push @wrong, "nodes know different placements: @said" if $said[0] ne $said[1] || $said[1] ne $said[2];
	push @wrong, "more or less than one primary: $said[0]" if (() = $said[0] =~ / primary /g) != keys %home;
	for my $node (0 .. 2)
	{
		my $odd = $cluster->sql($node, $odd_tables);
		push @wrong, "node $node has or lacks $odd; placements: $said[0]" if $odd ne '';
	}
	for my $table ('m.t', 'm.nk')
	{
		my $differ = $cluster->sql(0, "SELECT * FROM shoal.verify_table('$table') LIMIT 5");
		push @wrong, "$table: $differ" if $differ ne '';
	}
	return @wrong;
}

# ---- as it was before ----

sub again
{
	my ($sql) = @_;
	my $err;
	for (1 .. 50)
	{
		$err = $cluster->error(0, $sql);
		return if $err eq '';
		last if $err !~ /ERROR: +(40001|40P01|55P03)/;
		sleep 0.1;
	}
	die "$sql: $err\n";
}

sub reset_placements
{
	for my $n (sort keys %home)
	{
		my %copies = map { split / / } split /\n/, $cluster->sql(0, "SELECT node_id || ' ' || role FROM shoal.placement WHERE group_id = $group AND shard = $n");
		my ($primary) = grep { $copies{$_} eq 'primary' } keys %copies;
		if (!$copies{$home{$n}}) { again("SELECT shoal.move_shard($group, $n, $primary, $home{$n})"); delete $copies{$primary}; }
		elsif ($primary != $home{$n}) { again("SELECT shoal.promote($group, $n, $home{$n})") }
		again("SELECT shoal.drop_placement($group, $n, $_)") for grep { $_ != $home{$n} } sort keys %copies;
	}
	again("SELECT shoal.set_replicas($group, 0)");
}

# ---- verbs ----

# before: SQL that prepares; call: what is done; points: where it can be
# stopped; done: how placements look after it (a regex)
my $alone = join ', ', map { "$_ $home{$_} primary active" } sort keys %home;
my $moved = $alone =~ s/\b$shard $source primary/$shard $target primary/r;
my $added = $alone =~ s/\b$shard $source primary active/$shard $source primary active, $shard $target replica active/r;
my @filling = ('waiting for writers', 'writers stopped', 'copying', 'some rows sent', 'completing', 'completed');
my %verbs = (
	'add replica' => { call => "shoal.add_replica($group, $shard, $target)",
		points => [ 'making tables', 'tables made', @filling ], undone => $alone, done => $added },
	'move' => { call => "shoal.move_shard($group, $shard, $source, $target)",
		points => [ 'making tables', 'tables made', @filling, 'dropping the old copy', 'dropped' ], undone => $alone, done => $moved },
	'move replica' => { before => "SELECT shoal.add_replica($group, $shard, 1)",
		call => "shoal.move_shard($group, $shard, 1, $target)", points => [ 'copying', 'completed', 'dropping the old copy', 'dropped' ] },
	'more replicas' => { call => "shoal.set_replicas($group, 1)", points => [ 'making tables', 'some rows sent', 'completed' ] },
	'less replicas' => { before => "SELECT shoal.set_replicas($group, 1)", call => "shoal.set_replicas($group, 0)", points => [ 'dropping', 'dropped' ] },
	'repair' => { before => "SELECT shoal.add_replica($group, $shard, $target)", stale => 1, call => 'shoal.repair_placements()',
		points => [ 'emptied', map { $_ eq 'copying' ? 'repairing' : $_ } @filling ], undone => $added, done => $added },
);
my @faults = ('worker ends', 'caller cancelled', 'caller ends', 'coordinator dies', 'source dies', 'target dies');

# By hand, so that the background does not come first.
sub auto_repair
{
	my ($value) = @_;
	$cluster->sql($_, "ALTER SYSTEM SET shoal.auto_repair = $value; SELECT pg_reload_conf()") for 0 .. 2;
}

sub make_stale
{
	auto_repair('off');
	$cluster->sql($_, "UPDATE shoal.placement SET state = 'stale' WHERE group_id = $group AND role = 'replica'") for 0 .. 2;
}

my $waits = q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND (classid, objid, objsubid) = (0, 0, 1) AND NOT granted};

# Starts the call; returns when its worker waits at the point.
sub start_call
{
	my ($call, $point) = @_;
	my $locker = $cluster->session(0);
	my $caller = $cluster->session(0);
	$locker->query('SELECT pg_advisory_lock(0)');
	my $pid = $caller->query("\\set VERBOSITY verbose\nSET shoal.debug_job_pause = '$point'; SELECT pg_backend_pid()");
	$caller->send("SELECT $call");
	for (1 .. 1200)
	{
		return ($locker, $caller, $pid) if $cluster->sql(0, $waits) ne '0';
		my $out = $caller->wait(0.05);
		die "$call did not stop at \"$point\": $out\n" if defined $out;
	}
	die "$call does not come to \"$point\"\n";
}

sub do_fault
{
	my ($fault, $pid) = @_;
	my %victim = ('coordinator dies' => 0, 'source dies' => $source - 1, 'target dies' => $target - 1);
	$cluster->sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'shoal job'") if $fault eq 'worker ends';
	$cluster->sql(0, "SELECT pg_cancel_backend($pid)") if $fault eq 'caller cancelled';
	$cluster->sql(0, "SELECT pg_terminate_backend($pid)") if $fault eq 'caller ends';
	$cluster->kill($victim{$fault}) if defined $victim{$fault};
	return $victim{$fault};
}

sub run_case
{
	my ($verb, $point, $fault) = @_;
	my $name = "$verb, $point: $fault";
	return if defined $ENV{CASES} && $name !~ /$ENV{CASES}/;
	my $v = $verbs{$verb};
	my $began = time();
	my @wrong;

	eval {
		resume_writers();
		again($v->{before}) if $v->{before};
		make_stale() if $v->{stale};
		my ($locker, $caller, $pid) = start_call($v->{call}, $point);
		my $victim = do_fault($fault, $pid);
		# the worker goes on; if it is not ended, that is
		$locker->close;
		my $out = $caller->wait(100);
		push @wrong, 'the caller waits' if !defined $out;
		$caller->close;
		$cluster->start($victim) if defined $victim;
		auto_repair('on') if $v->{stale};
		push @wrong, wrong();
		my $now = $cluster->sql(0, $placements);
		push @wrong, "neither done nor undone: $now" if $v->{done} && $now ne $v->{done} && $now ne $v->{undone};
		push @wrong, "the caller was told that it is done" if $v->{done} && defined $out && $out !~ /ERROR|FATAL|server|connection/ && $now ne $v->{done};
		push @wrong, "told: $out" if ($out // '') =~ /ERROR: +(XX|22|23)/;
		push @wrong, pause_writers();
		my ($count, @more) = wrong_writes();
		push @wrong, @more;
		reset_placements();
		note(sprintf '%s: %d writes, %.1f s, %s; told: %s', $name, $count, time() - $began, $v->{done} ? $now eq $v->{done} ? 'done' : 'undone' : $now,
			($out // '') =~ s/\s+/ /gr =~ s/^(.{100}).*/$1/r);
	};
	if ($@)
	{
		push @wrong, "failed: $@";
		# so that the next case can begin
		eval { auto_repair('on'); settle(); pause_writers(); wrong_writes(); reset_placements() };
	}
	is(join("\n", grep { $_ ne '' } @wrong), '', $name);
}

# ---- without faults ----

sub peace
{
	my @wrong;
	my %from;
	resume_writers();
	sleep 1;
	my $start = time();
	again("SELECT shoal.move_shard($group, $shard, $source, $target)");
	my $time = time() - $start;
	again("SELECT shoal.move_shard($group, $shard, $target, $source)");
	my $unpaused = time();
	sleep 1;
	push @wrong, pause_writers(), wrong();
	my $writes = read_logs();
	my ($longest, $last) = (0, undef);
	for my $n (0 .. 2)
	{
		$last = $start;
		for my $at (sort { $a <=> $b } grep { $_ > $start && $_ < $unpaused + 1 } map { $writes->{$_}{text} } grep { $writes->{$_}{writer} == $n && $writes->{$_}{what} eq 'ok' } keys %$writes)
		{
			$longest = $at - $last if $at - $last > $longest;
			$last = $at;
		}
	}
	my ($count, @more) = wrong_writes();
	push @wrong, @more;
	diag(sprintf 'a move without faults took %.2f s; %d writes, longest pause of a writer %.2f s', $time, $count, $longest);
	is(join("\n", grep { $_ ne '' } @wrong), '', 'moves without faults');
}

# ---- progress ----

sub progress_is_shown
{
	$cluster->sql(0, 'ANALYZE m.t; ANALYZE m.nk');
	my ($locker, $caller) = start_call("shoal.add_replica($group, $shard, $target)", 'some rows sent');
	# not the first time that it comes there
	$locker->query('SELECT pg_advisory_unlock(0); SELECT pg_advisory_lock(0)');
	$cluster->wait_for(0, $waits, '1');
	is($cluster->sql(0, "SELECT job, shard, to_node, step, bytes_done > 0, bytes_done <= bytes_total, rows_done > 0, rows_total BETWEEN 3000 AND 7000,
		bytes_per_second > 0, estimated_end > now() - interval '1 min' FROM shoal.jobs"),
		"add replica|$shard|$target|copying|t|t|t|t|t|t", 'the progress of a copy is shown');
	$locker->close;
	ok(defined $caller->wait(60), 'and it is made');
	$caller->close;
	# one that nobody has called for; it has to wait for a writer
	my $key = $cluster->sql(0, "SELECT min(k) FROM m.t WHERE shoal.shard_of('m.t', k) = $shard");
	make_stale();
	my $writer = $cluster->session(0);
	$writer->query("BEGIN; UPDATE m.t SET n = n WHERE k = $key");
	auto_repair('on');
	ok($cluster->wait_for(0, 'SELECT job, shard, to_node, step FROM shoal.jobs', "repair|$shard|$target|waiting for writers"),
		'that of a repair which nobody has called for is shown, too');
	$writer->query('COMMIT');
	$writer->close;
	is(join(', ', wrong()), '', 'it is repaired');
	is($cluster->sql(0, 'SELECT count(*) FROM shoal.jobs'), 0, 'then nothing is shown');
	reset_placements();
}

# ---- a table that is written anew while it is copied ----

# Rows that have not been sent yet come to lie in blocks that have been read.
sub written_anew
{
	my $deleted = 'k BETWEEN 100 AND 6000';
	$cluster->sql(0, "DELETE FROM m.t WHERE $deleted");
	my ($locker, $caller) = start_call("shoal.add_replica($group, $shard, $target)", 'some rows sent');
	my $vacuum = $cluster->session(0);
	$vacuum->send('VACUUM FULL m.t');
	# it waits for those who read the blocks, and the next ones wait for it
	ok($cluster->wait_for($source - 1, q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'}),
		'VACUUM FULL comes between blocks that are sent');
	$locker->close;
	ok(defined $caller->wait(60) && defined $vacuum->wait(60), 'both are done');
	$caller->close;
	$vacuum->close;
	is(join(', ', wrong()), '', 'the copy has all rows');
	$cluster->sql(0, "INSERT INTO m.t SELECT i, repeat('x', 700) FROM generate_series(1, 12000) i WHERE i BETWEEN 100 AND 6000");
	reset_placements();
}

eval { peace(); 1 } or fail("moves without faults: $@");
eval { progress_is_shown(); 1 } or fail("progress: $@");
eval { written_anew(); 1 } or fail("written anew: $@");
my $n = 0;
for my $verb (sort keys %verbs)
{
	for my $point (@{ $verbs{$verb}{points} })
	{
		for my $fault (@faults)
		{
			# each point with some, each fault at some
			run_case($verb, $point, $fault) if $ENV{ALL} || defined $ENV{CASES} || $n++ % 8 == 0;
		}
		$n++;
	}
}
note('errors that writers got: ' . join ', ', map { "$_: $errors{$_}" } sort keys %errors);
say_to("$dir/stop", '');
waitpid $_, 0 for @writers;
$cluster->no_leaks('at the end');
done_testing();
