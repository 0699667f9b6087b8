# A fault at every message between a coordinator and its nodes: the request is
# lost or the answer is, the connection is cut, reset, late or silent, or the
# coordinator dies.  Whatever happens, a transaction is on all nodes or on none, the
# client was told which, and nothing is left.
#
# Both nodes are behind proxies (ShoalProxy.pm).  Each case is one run of a
# small program (a transaction of a client) with one fault, and one assertion:
# what is wrong afterwards is nothing.
#
# Prepared transactions that a fault leaves behind have to be settled without
# being asked, in 15 seconds (RECOVER_BY_HAND=1: by a call, for while Shoal has
# nobody to do it).  CASES=regex runs the cases whose name matches.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;
use ShoalWire;
use ShoalProxy;

my $cluster = ShoalTest->new(nodes => 2);
my @proxy = map { $_ ? ShoalProxy->new($cluster->port($_), user => 'app') : undef } 0 .. 2;
my $only = $ENV{CASES};

# ---- the cluster: its nodes want a password ----

$cluster->sql(0, "CREATE ROLE app LOGIN PASSWORD 'secret'; GRANT CREATE ON SCHEMA public TO app");
for my $node (1, 2)
{
	$cluster->sql(0, 'SELECT shoal.alter_node(' . ($node + 1) . ', port => ' . $proxy[$node]->port . ')');
	$cluster->sql(0, 'CREATE USER MAPPING FOR app SERVER shoal_node_' . ($node + 1) . " OPTIONS (password 'secret')");
	my $hba = "$cluster->{dir}/node$node/pg_hba.conf";
	open my $in, '<', $hba or die "$hba: $!";
	my $text = join '', <$in>;
	open my $out, '>', $hba or die "$hba: $!";
	print $out "host all app 127.0.0.1/32 scram-sha-256\n$text";
	close $out;
	$cluster->sql($node, 'SELECT pg_reload_conf()');
}
$cluster->sql(0, q{
	SET SESSION AUTHORIZATION app;
	CREATE TABLE t (a int PRIMARY KEY, c int);
	SELECT shoal.create_distributed_table('t', 'a', shard_count => 4);
	CREATE TABLE r (a int PRIMARY KEY, c int);
	SELECT shoal.create_reference_table('r');
	INSERT INTO t SELECT i, 0 FROM generate_series(1, 40) i;
	INSERT INTO r VALUES (1, 0);
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		-- the other node is prepared by then
		PERFORM pg_sleep(0.2);
		RAISE 'refused';
	END $$;
	CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.c < 0) EXECUTE FUNCTION refuse();
});

# Superuser's sessions that look at things, one on each node.
my @look;
sub look
{
	my ($node, $sql) = @_;
	for (1, 2)
	{
		$look[$node] //= ShoalWire->new($cluster->port($node));
		my $text = $look[$node]->run(['Q', $sql]);
		return join ' ', $text =~ /D\((.*?)\)(?= [DCE]\()/g if $text !~ /EOF/ && $text !~ /E\(/;
		die "node $node: $look[$node]{error}: $sql" if $text =~ /E\(/ && $text !~ /EOF/;
		$look[$node] = undef;
	}
	die "node $node is not there";
}

# Keys: one for each node that is there, and more for each that are not.
my (@key, @new, @rows);
for my $node (1, 2)
{
	my @keys = split / /, look(0, "SELECT i FROM generate_series(1, 5000) i WHERE shoal.shard_of('t', i) IN
		(SELECT shard FROM shoal.shards WHERE table_name = 't'::regclass AND node_id = $node + 1) ORDER BY i");
	$key[$node] = $keys[0];
	$new[$node] = [grep { $_ > 1000 } @keys];
	# a node's own rows, without any Shoal in between
	$rows[$node] = join ' UNION ALL ', map { "SELECT a, c FROM $_" }
		split / /, look(0, "SELECT partition_name FROM shoal.shards WHERE table_name = 't'::regclass AND node_id = $node + 1");
}

# ---- programs ----

# A program gives the messages of a client for a number that it writes: a list of
# [what ends the answer, messages]; and which rows have it then, by node.
sub query { return ['Z', ['Q', $_[0]]]; }
sub copy
{
	my ($n, @a) = @_;
	return (['GZ', ['Q', 'COPY t FROM STDIN']], ['Z', ['d', join '', map { "$_\t$n\n" } @a], ['c']]);
}

my %program = (
	transaction => sub {
		my ($n) = @_;
		return query('BEGIN'),
			query("UPDATE t SET c = $n WHERE a = $key[1]"), query("UPDATE t SET c = $n WHERE a = $key[2]"),
			query("UPDATE t SET c = $n WHERE a IN ($key[1], $key[2])"),
			copy($n, $new[1][$n], $new[2][$n]), query('COMMIT');
	},
	'statement' => sub { my ($n) = @_; return query("UPDATE t SET c = $n WHERE a IN ($key[1], $key[2])"); },
	'copy' => sub { my ($n) = @_; return copy($n, $new[1][$n], $new[2][$n]); },
	'insert' => sub { my ($n) = @_; return query("INSERT INTO t VALUES ($new[1][$n], $n), ($new[2][$n], $n)"); },
	'reference' => sub { my ($n) = @_; return query("UPDATE r SET c = $n"); },
	'all' => sub {
		my ($n) = @_;
		return query('BEGIN'), query("UPDATE r SET c = $n"), query("UPDATE t SET c = $n WHERE a IN ($key[1], $key[2])"),
			query('COMMIT');
	},
	# PREPARE fails on one node
	'refused by 1' => sub { my ($n) = @_; return refused($n, 1); },
	'refused by 2' => sub { my ($n) = @_; return refused($n, 2); },
	'rollback' => sub {
		my ($n) = @_;
		return query('BEGIN'), query("UPDATE t SET c = $n WHERE a IN ($key[1], $key[2])"), query('ROLLBACK');
	},
	'savepoint' => sub {
		my ($n) = @_;
		return query('BEGIN'), query("UPDATE t SET c = $n WHERE a IN ($key[1], $key[2])"), query('SAVEPOINT s'),
			query("UPDATE t SET c = -1 WHERE a IN ($key[1], $key[2])"), query('ROLLBACK TO s'),
			query("UPDATE t SET c = $n WHERE a IN ($key[1], $key[2])"), query('COMMIT');
	},
	# one node writes: one phase
	'one' => sub { my ($n) = @_; return query("UPDATE t SET c = $n WHERE a = $key[1]"); },
	'one in block' => sub { my ($n) = @_; return query('BEGIN'), query("UPDATE t SET c = $n WHERE a = $key[1]"), query('COMMIT'); },
);
# what of it is committed: how many rows have the number, on node 1, on node 2,
# in the copies of the reference table
my %rows = (transaction => [2, 2, 0], statement => [1, 1, 0], copy => [1, 1, 0], insert => [1, 1, 0],
	reference => [0, 0, 3], all => [1, 1, 3], savepoint => [1, 1, 0], one => [1, 0, 0],
	'one in block' => [1, 0, 0], 'refused by 1' => undef, 'refused by 2' => undef, rollback => undef);

sub refused
{
	my ($n, $node) = @_;
	return query('BEGIN'), query("UPDATE t SET c = $n WHERE a IN ($key[1], $key[2])"),
		query("INSERT INTO t VALUES ($new[$node][$n], -1)"), query('COMMIT');
}

# Runs it in a session, until an error, or until the fault has happened if that
# is waited for.  Returns "done", an error's SQLSTATE, "EOF" or "fault".
sub run_program
{
	my ($w, $steps, $proxy) = @_;
	for my $step (@$steps)
	{
		my ($until, @messages) = @$step;
		$w->{error} = '';
		$w->send(@messages);
		while ($proxy && !$w->has($until))
		{
			return 'fault' if defined $proxy->fired;
			sleep 0.01;
		}
		my $text = $w->answer($until);
		return 'EOF' if $text =~ /EOF/;
		return $1 if $text =~ /E\((.*?)\)/;
	}
	return 'done';
}

# ---- cases ----

# Where the number is after all: [node 1, node 2, copies of the reference table].
sub where_is
{
	my ($n) = @_;
	return [(map { look($_, "SELECT count(*) FROM ($rows[$_]) t WHERE c = $n") } 1, 2),
		eval(join '+', map { look($_, "SELECT count(*) FROM r WHERE c = $n") } 0 .. 2)];
}

my $n = 0;
my ($cases, $hits) = (0, 0);

# One case.  Options: proxy (1 or 2), also (a second rule: [proxy, rule]),
# kill (the node that dies at the fault), expect (what the client is told).
sub case
{
	my ($name, $program, $at, $rule, %arg) = @_;
	return if defined $only && $name !~ /$only/;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$n++;
	$cases++;
	my @wrong;
	my $proxy = $proxy[$at];
	my $w = ShoalWire->new($cluster->port(0), user => 'app');
	$w->q($_) for @{ $arg{before} // [] };
	$proxy->arm(%$rule) if $rule->{from};
	$proxy->refuse if $rule->{do} eq 'refuse';
	my $start = time;
	my $told = run_program($w, [$program{$program}->($n)], defined $arg{kill} ? $proxy : undef);
	my $took = time - $start;
	my $fired = $rule->{do} eq 'refuse' ? 'refused' : $proxy->fired;
	if (defined $arg{kill})
	{
		$cluster->kill($arg{kill});
		$cluster->start($arg{kill});
		# what is still under way arrives when the others have settled all
		sleep 0.3 if $rule->{do} eq 'delay';
	}
	my @messages = $proxy->messages;
	$proxy->heal;
	$hits++ if defined $fired;
	push @wrong, 'the fault did not happen' if !defined $fired && !$arg{may_miss};
	push @wrong, sprintf 'took %.1f s', $took if $took > ($arg{soon} // 5);
	if ($told ne 'done' && $told ne 'EOF' && $told ne 'fault')
	{
		# as a client does
		my $text = $w->run(['Q', 'ROLLBACK']);
		push @wrong, "ROLLBACK: $text" if $text !~ /C\(ROLLBACK\) Z\(I\)/;
	}
	push @wrong, 'the coordinator ended the session' if $told eq 'EOF' && !defined $arg{kill};

	my $leaks = $cluster->leaks($ENV{PATIENCE} // 15, \&look);
	push @wrong, "left: $leaks" if $leaks ne '';

	my $is = join ' ', @{ where_is($n) };
	my $all = join ' ', @{ $rows{$program} // [0, 0, 0] };
	push @wrong, "the transaction is in parts: $is" if $is ne $all && $is ne '0 0 0';
	push @wrong, "told $told, but nothing is there" if $told eq 'done' && $is ne $all;
	# where one node commits alone, nobody knows what became of it
	push @wrong, "told $told, but it is there" if $told !~ /^(?:done|fault|EOF|08007)$/ && $is ne '0 0 0';
	push @wrong, "told that it is not known" if $told eq '08007' && $program !~ /^one/;
	push @wrong, "told $told: $w->{error}" if defined $arg{expect} && $told !~ $arg{expect};

	# the same rows can be written, in the same session if there is one
	$w = ShoalWire->new($cluster->port(0), user => 'app') if defined $arg{kill} || $told eq 'EOF';
	for my $sql ("SET statement_timeout = '10s'", "UPDATE t SET c = 0 WHERE a IN ($key[1], $key[2])",
		"DELETE FROM t WHERE a IN ($new[1][$n], $new[2][$n])", 'UPDATE r SET c = 0')
	{
		my $text = $w->run(['Q', $sql]);
		push @wrong, "then $sql: $text $w->{error}" if $text =~ /E\(|EOF/;
	}
	$w->close;
	push @wrong, "at: $fired" if @wrong && defined $fired;
	is(join("\n", @wrong), '', $name);
	diag("told $told\n", join "\n", @messages) if $ENV{MESSAGES};
	return @messages;
}

# ---- what can happen at every step ----

# name of the step, its program, who sends the message, the message; which
# of them (default 1)
my @steps = (
	['connect', 'transaction', 'coordinator', '^Startup'],
	['authentication', 'transaction', 'coordinator', '^p '],
	['authentication, second message', 'transaction', 'coordinator', '^p ', 2],
	['BEGIN', 'transaction', 'coordinator', '^P .*BEGIN'],
	['first statement', 'transaction', 'coordinator', '^P .*UPDATE'],
	['second statement', 'transaction', 'coordinator', '^P .*UPDATE', 2],
	['COPY', 'transaction', 'coordinator', '^Q .*COPY'],
	['COPY data', 'transaction', 'coordinator', '^d '],
	['end of COPY', 'transaction', 'coordinator', '^c '],
	['PREPARE TRANSACTION', 'transaction', 'coordinator', '^P .*PREPARE TRANSACTION'],
	['COMMIT PREPARED', 'transaction', 'coordinator', '^P .*COMMIT PREPARED'],
	['ROLLBACK PREPARED', 'refused', 'coordinator', '^P .*ROLLBACK PREPARED'],
	['ROLLBACK', 'rollback', 'coordinator', '^P ,ROLLBACK,'],
	['ROLLBACK TO SAVEPOINT', 'savepoint', 'coordinator', '^P .*ROLLBACK TO'],
	['COMMIT of one node', 'one in block', 'coordinator', '^P ,COMMIT,'],
	['statement of one node', 'one', 'coordinator', '^P .*UPDATE'],
	['statement that is a transaction', 'statement', 'coordinator', '^P .*UPDATE'],
	['its PREPARE TRANSACTION', 'statement', 'coordinator', '^P .*PREPARE TRANSACTION'],
	['INSERT that is a transaction', 'insert', 'coordinator', '^[PQ] .*(?:INSERT|COPY)'],
	['COPY that is a transaction', 'copy', 'coordinator', '^d '],
	['reference table', 'reference', 'coordinator', '^P .*UPDATE'],
	['reference table, COMMIT PREPARED', 'reference', 'coordinator', '^P .*COMMIT PREPARED'],
);

# Which node has the fault: each in turn, where both are used alike.
my $turn = 0;
sub step_case
{
	my ($step, $do, $at, $seconds, %arg) = @_;
	my ($name, $program, $from, $message, $nth) = @$step;
	my $node = $program =~ /^one/ ? 1 : 1 + $turn++ % 2;
	my $run = $program eq 'refused' ? 'refused by ' . (3 - $node) : $program;
	my $what = $at eq 'answer' ? 'answer' : 'request';
	case("$name, $what $do, node $node" . (defined $arg{kill} ? ', coordinator dies' : ''), $run, $node,
		{ from => $from, message => $message, nth => $nth // 1, at => $at, do => $do, seconds => $seconds }, %arg);
}

for my $step (@steps)
{
	my ($name, $program) = @$step;
	for my $fault ([cut => 'before'], [cut => 'answer'], [reset => 'answer'], [reset => 'before'],
		[delay => 'before'], [delay => 'answer'])
	{
		my ($do, $at) = @$fault;
		my $expect = $do ne 'delay' ? undef : $program eq 'refused' ? qr/^P0001$/ : qr/^done$/;
		# a rollback has nothing to tell, and a commit that is decided is one
		$expect = qr/^done$/ if $name =~ /COMMIT PREPARED/ || $name eq 'ROLLBACK';
		step_case($step, $do, $at, 0.15, expect => $expect);
	}
	$turn++;
}
case("no connection is taken, node $_", 'transaction', $_, { do => 'refuse' }, expect => qr/^08001$/) for 1, 2;

# ---- every message ----

for my $node (1, 2)
{
	my @messages = case("no fault, node $node", 'transaction', $node,
		{ from => 'node', message => '^never$', do => 'cut' }, may_miss => 1, expect => qr/^done$/);
	for my $side ('> ', '< ')
	{
		my @one = grep { index($_, $side) == 0 } @messages;
		my $from = $side eq '> ' ? 'coordinator' : 'node';
		for my $k (1 .. @one)
		{
			# what a node tells of itself at the start is one message to us
			next if $one[$k - 1] =~ /^< S / && $k > 5 && $one[$k - 2] =~ /^< S /;
			my $do = ($k + $node) % 2 ? 'cut' : 'reset';
			case("message $k of $from $node, " . substr($one[$k - 1], 2, 30) . ": $do", 'transaction', $node,
				{ from => $from, nth => $k, do => $do }, may_miss => $k > @one - 5);
		}
	}
}

# ---- the coordinator dies ----

for my $step (@steps[0 .. 13])
{
	my ($name) = @$step;
	step_case($step, 'hold', 'before', 0, kill => 0);
	step_case($step, 'hold', 'answer', 0, kill => 0);
	# the message arrives all the same, later
	step_case($step, 'delay', 'before', 60, kill => 0) if $name =~ /PREPARE/;
	$turn++;
}

done_testing();
diag(sprintf '%d cases, %.0f s', $cases, time - $^T);
