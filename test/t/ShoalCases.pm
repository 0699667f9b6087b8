# ShoalCases.pm: one program, one fault, one assertion: for tests of what becomes
# of transactions when messages are lost and servers die.
#
#   use ShoalCases;                     # makes the cluster: $cluster, @proxy
#   case('COMMIT is lost', 'one in block', 1,
#       { from => 'coordinator', message => '^P ,COMMIT', do => 'cut' }, expect => qr/^08/);
#   end_of_cases();
#
# The cluster has a coordinator and two nodes, which are behind proxies
# (ShoalProxy.pm) and want a password.  Each case is one run of a small program
# (a transaction of a client) with one fault, and one assertion: what is wrong
# afterwards is nothing.  That is: the transaction is on all nodes or on none,
# the client was told which (and only when all nodes that can be reached had it),
# nothing is left (ShoalTest.pm's leaks), and the rows
# can be written again.
#
# Prepared transactions that a fault leaves behind have to be settled without
# being asked, in 15 seconds (RECOVER_BY_HAND=1: by calls).  CASES=regex runs
# the cases whose name matches; MESSAGES=1 shows the messages of each.

package ShoalCases;

use strict;
use warnings;
use Exporter 'import';
use Test::More;
use Time::HiRes qw(sleep time);
use ShoalTest;
use ShoalWire;
use ShoalProxy;

our @EXPORT = qw($cluster @proxy @steps case step_case query copy both look end_of_cases);

my $only = $ENV{CASES};
our $cluster = ShoalTest->new(nodes => 2);
our @proxy = map { $_ ? ShoalProxy->new($cluster->port($_), user => 'app') : undef } 0 .. 2;

# ---- the cluster ----

$cluster->sql(0, "CREATE ROLE app LOGIN PASSWORD 'secret'; GRANT CREATE ON SCHEMA public TO app");
for my $node (1, 2)
{
	my $id = $node + 1;
	$cluster->sql(0, "SELECT shoal.alter_node($id, port => " . $proxy[$node]->port . ");
		CREATE USER MAPPING FOR app SERVER shoal_node_$id OPTIONS (password 'secret')");
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
	CREATE TABLE m (a int, b int);
	SELECT shoal.create_distributed_table('m', 'a', colocate_with => 't');
	INSERT INTO t SELECT i, 0 FROM generate_series(1, 40) i;
	INSERT INTO r VALUES (1, 0);
	INSERT INTO m SELECT i, i FROM generate_series(1, 2000) i;
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

# A program gives the messages of a client for a number that it writes: a list
# of [what ends the answer, messages], or functions, which are called in between.
sub query { return ['Z', ['Q', $_[0]]]; }
sub copy
{
	my ($n, @a) = @_;
	return (['GZ', ['Q', 'COPY t FROM STDIN']], ['Z', ['d', join '', map { "$_\t$n\n" } @a], ['c']]);
}
sub both { my ($c) = @_; return query("UPDATE t SET c = $c WHERE a IN ($key[1], $key[2])"); }
sub refused
{
	my ($n, $node) = @_;
	return query('BEGIN'), both($n), query("INSERT INTO t VALUES ($new[$node][$n], -1)"), query('COMMIT');
}

# And what there is of it when it is committed: how many rows with the number are
# on node 1 and on node 2; how many copies of the reference table and of a new
# table there are.
my %program = (
	'transaction' => [[2, 2, 0], sub {
		my ($n) = @_;
		return query('BEGIN'),
			query("UPDATE t SET c = $n WHERE a = $key[1]"), query("UPDATE t SET c = $n WHERE a = $key[2]"),
			both($n), copy($n, $new[1][$n], $new[2][$n]), query('COMMIT');
	}],
	'statement' => [[1, 1, 0], sub { my ($n) = @_; return both($n); }],
	'copy' => [[1, 1, 0], sub { my ($n) = @_; return copy($n, $new[1][$n], $new[2][$n]); }],
	'insert' => [[1, 1, 0], sub { my ($n) = @_; return query("INSERT INTO t VALUES ($new[1][$n], $n), ($new[2][$n], $n)"); }],
	'reference' => [[0, 0, 3], sub { my ($n) = @_; return query("UPDATE r SET c = $n"); }],
	'all' => [[1, 1, 3], sub { my ($n) = @_; return query('BEGIN'), query("UPDATE r SET c = $n"), both($n), query('COMMIT'); }],
	'table' => [[1, 1, 3], sub {
		my ($n) = @_;
		return query('BEGIN'), both($n), query("CREATE TABLE new_$n (a int)"),
			query("SELECT shoal.create_distributed_table('new_$n', 'a')"), query('COMMIT');
	}],
	# PREPARE fails on one node
	'refused by 1' => [[0, 0, 0], sub { my ($n) = @_; return refused($n, 1); }],
	'refused by 2' => [[0, 0, 0], sub { my ($n) = @_; return refused($n, 2); }],
	'rollback' => [[0, 0, 0], sub { my ($n) = @_; return query('BEGIN'), both($n), query('ROLLBACK'); }],
	'savepoint' => [[1, 1, 0], sub {
		my ($n) = @_;
		return query('BEGIN'), both($n), query('SAVEPOINT s'), both(-1), query('ROLLBACK TO s'), both($n), query('COMMIT');
	}],
	# one node writes: one phase
	'one' => [[1, 0, 0], sub { my ($n) = @_; return query("UPDATE t SET c = $n WHERE a = $key[1]"); }],
	'one in block' => [[1, 0, 0], sub {
		my ($n) = @_;
		return query('BEGIN'), query("UPDATE t SET c = $n WHERE a = $key[1]"), query('COMMIT');
	}],
	# rows go from node to node; wrong ones are a division by zero
	'moved' => [[0, 0, 0], sub {
		return query('SET shoal.move_threshold = 0'),
			query('SELECT 1 / (count(*) = 2000)::int FROM m x JOIN m y ON x.b = y.b');
	}],
);

# Runs it in a session, until an error.  When the fault has happened, $meanwhile
# is called, before the answer is there.  Returns "done", an error's SQLSTATE or "EOF".
sub run_program
{
	my ($w, $steps, $proxy, $meanwhile) = @_;
	for my $step (@$steps)
	{
		if (ref $step eq 'CODE')
		{
			$step->();
			next;
		}
		my ($until, @messages) = @$step;
		$w->{error} = '';
		$w->send(@messages);
		while ($meanwhile && !$w->has($until))
		{
			if (defined $proxy->fired)
			{
				$meanwhile->();
				$meanwhile = undef;
			}
			else { sleep 0.01; }
		}
		my $text = $w->answer($until);
		return 'EOF' if $text =~ /EOF/;
		return $1 if $text =~ /E\((.*?)\)/;
	}
	return 'done';
}

# ---- cases ----

my $n = 0;
my %count = (cases => 0, faults => 0);

# Where the number is: "node1 node2 copies", as in %program.
sub where_is
{
	my $copies = 0;
	$copies += $_ for map { look($_, "SELECT (SELECT count(*) FROM r WHERE c = $n) + (to_regclass('new_$n') IS NOT NULL)::int") } 0 .. 2;
	return join ' ', (map { look($_, "SELECT count(*) FROM ($rows[$_]) t WHERE c = $n") } 1, 2), $copies;
}

# Runs a program, by its name or [what there is of it, function], with a fault
# at a node (as ShoalProxy's arm() takes it; "do" may be 'refuse', too; undef: none).
# Options:
#   expect      what the client must be told
#   says        the text of the error
#   set         a statement that the client issues first
#   soon        seconds that it may take (5)
#   may_miss    the message need not come
#   both        the fault is at the other node as well
#   kill        number of the node that dies at the fault, and is started again
#   meanwhile   what is done at the fault, with the client's session
#   stay        the fault is not mended until all else has been looked at
#   limit       [what is done before the program, what is done after it]
#   check       a function of the number and whether the transaction was committed that
#               returns what else is wrong
# Returns the messages.
sub case
{
	my ($name, $program, $at, $rule, %arg) = @_;
	return if defined $only && $name !~ /$only/;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$n++;
	$count{cases}++;
	my ($rows, $steps) = ref $program ? @$program : @{ $program{$program} };
	my @at = $arg{both} ? ($at, 3 - $at) : $at;
	my @wrong;
	my $w = ShoalWire->new($cluster->port(0), user => 'app');
	$w->run(['Q', $arg{set}]) if $arg{set};
	for my $proxy ($rule ? @proxy[@at] : ())
	{
		$rule->{do} eq 'refuse' ? $proxy->refuse : $proxy->arm(%$rule);
	}
	my $meanwhile = $arg{meanwhile} && sub { $arg{meanwhile}->($w) };
	$meanwhile = sub { $cluster->kill($arg{kill}) } if defined $arg{kill};
	$arg{limit}[0]->() if $arg{limit};
	my $start = time;
	my $told = run_program($w, [$steps->($n)], $proxy[$at], $meanwhile);
	my $took = time - $start;
	# a node that can be reached has it by the time that the client is told
	my $late = $told eq 'done' && $rule && $rule->{do} =~ /^(?:cut|reset|delay)$/ &&
		!$arg{limit} && !defined $arg{kill} ? where_is() : undef;
	my $fired = !$rule ? 'none' : $rule->{do} eq 'refuse' ? 'refused' : $proxy[$at]->fired;
	$arg{limit}[1]->() if $arg{limit};
	if (defined $arg{kill})
	{
		$cluster->start($arg{kill});
		# what is still under way arrives when the others have settled all
		sleep 0.3 if $rule->{do} eq 'delay';
	}
	my @messages;
	if ($rule)
	{
		@messages = $proxy[$at]->messages;
		$_->heal for $arg{stay} ? () : @proxy[@at];
	}

	# what the client was told
	$count{faults}++ if defined $fired;
	push @wrong, 'the fault did not happen' if !defined $fired && !$arg{may_miss};
	push @wrong, sprintf 'took %.1f s', $took if $took > ($arg{soon} // 5);
	push @wrong, "told $told: $w->{error}" if $told !~ ($arg{expect} // qr/^(?:done|08...|P0001)$/) &&
		!($told eq 'EOF' && defined $arg{kill} && $arg{kill} == 0);
	push @wrong, "the error is: $w->{error}" if $arg{says} && $w->{error} !~ $arg{says};
	if ($told !~ /^(?:done|EOF)$/ && !(defined $arg{kill} && $arg{kill} == 0))
	{
		# as a client does
		my $text = $w->run(['Q', 'ROLLBACK']);
		push @wrong, "ROLLBACK: $text" if $text !~ /C\(ROLLBACK\) Z\(I\)/;
	}

	# what is true
	my $leaks = $cluster->leaks($ENV{PATIENCE} // 15, \&look);
	push @wrong, "left: $leaks" if $leaks ne '';
	my $is = where_is();
	my $all = join ' ', @$rows;
	push @wrong, "the transaction is in parts: $is" if $is ne $all && $is ne '0 0 0';
	push @wrong, "told $told, but then it was: $late" if defined $late && $late ne $all;
	push @wrong, "told $told, but nothing is there" if $told eq 'done' && $is ne $all;
	# where one node commits alone, nobody knows what became of it
	push @wrong, "told $told, but it is there" if $told !~ /^(?:done|EOF|08007)$/ && $is ne '0 0 0';
	push @wrong, 'told that it is not known' if $told eq '08007' && $program !~ /^one/;

	push @wrong, $arg{check}->($n, $is eq $all) if $arg{check};

	# the same rows can be written, in the same session if there is one
	$w = ShoalWire->new($cluster->port(0), user => 'app')
		if $told eq 'EOF' || (defined $arg{kill} && $arg{kill} == 0);
	for my $sql ("SET statement_timeout = '10s'", "UPDATE t SET c = 0 WHERE a IN ($key[1], $key[2])",
		"DELETE FROM t WHERE a IN ($new[1][$n], $new[2][$n])", 'UPDATE r SET c = 0',
		$program eq 'table' ? "DROP TABLE IF EXISTS new_$n" : ())
	{
		my $text = $w->run(['Q', $sql]);
		push @wrong, "then $sql: $text $w->{error}" if $text =~ /E\(|EOF/;
	}
	$w->close;
	$_->heal for $arg{stay} ? @proxy[@at] : ();
	push @wrong, "at: $fired" if @wrong && defined $fired;
	is(join("\n", @wrong), '', $name);
	diag("told $told\n", join "\n", @messages) if $ENV{MESSAGES};
	return @messages;
}

# ---- the steps of a transaction ----

# name, program, the message that the coordinator sends, which of them (1)
our @steps = (
	['connect', 'transaction', '^Startup'],
	['authentication', 'transaction', '^p '],
	['authentication, second message', 'transaction', '^p ', 2],
	['BEGIN', 'transaction', '^P ,BEGIN'],
	['first statement', 'transaction', '^P .*UPDATE'],
	['second statement', 'transaction', '^P .*UPDATE', 2],
	['COPY', 'transaction', '^Q .*COPY'],
	['COPY data', 'transaction', '^d '],
	['end of COPY', 'transaction', '^c '],
	['PREPARE TRANSACTION', 'transaction', '^P ,PREPARE TRANSACTION'],
	['COMMIT PREPARED', 'transaction', '^P ,COMMIT PREPARED'],
	['ROLLBACK PREPARED', 'refused', '^P ,ROLLBACK PREPARED'],
	['ROLLBACK', 'rollback', '^P ,ROLLBACK,'],
	['ROLLBACK TO SAVEPOINT', 'savepoint', '^P ,ROLLBACK TO'],
	['COMMIT of one node', 'one in block', '^P ,COMMIT,'],
	['statement of one node', 'one', '^P .*UPDATE'],
	['statement that is a transaction', 'statement', '^P .*UPDATE'],
	['its PREPARE TRANSACTION', 'statement', '^P ,PREPARE TRANSACTION'],
	['INSERT that is a transaction', 'insert', '^[PQ] .*(?:INSERT|COPY)'],
	['COPY that is a transaction', 'copy', '^d '],
	['reference table', 'reference', '^P .*UPDATE'],
	['reference table, COMMIT PREPARED', 'reference', '^P ,COMMIT PREPARED'],
	['CREATE TABLE', 'table', '^P .*CREATE TABLE'],
	['CREATE TABLE, PREPARE TRANSACTION', 'table', '^P ,PREPARE TRANSACTION'],
);

# A case at a step: the request has the fault ("before") or its answer.  Each node
# in turn has it, where both are used alike.
my $turn = 0;
sub step_case
{
	my ($step, $do, $at, $what, %arg) = @_;
	my ($name, $program, $message, $nth) = @$step;
	my $node = $program =~ /^one/ ? 1 : 1 + $turn++ % 2;
	my $run = $program eq 'refused' ? 'refused by ' . (3 - $node) : $program;
	# a commit that is decided is one, and a rollback has nothing to tell
	my $expect = $do eq 'cut' || $do eq 'reset' || exists $arg{kill} ? undef : qr/^done$/;
	$expect = qr/^done$/ if $name =~ /COMMIT PREPARED|^ROLLBACK$/;
	$expect = qr/^P0001$/ if $program eq 'refused';
	my $seconds = $arg{seconds} // 0.15;
	$arg{kill} = $node if ($arg{kill} // '') eq 'node';
	return case("$name, " . ($at eq 'answer' ? 'answer' : 'request') . " $what, node $node", $run, $node,
		{ from => 'coordinator', message => $message, nth => $nth // 1, at => $at, do => $do, seconds => $seconds,
			all => $arg{all} },
		expect => $expect, %arg);
}

# Things that must be so after all, and the end of the test.
sub end_of_cases
{
	$look[0] = undef;
	is(look($_, 'SELECT count(*), sum(c) FROM t'), '40,0', "node $_ sees all rows") for 0 .. 2;
	ok($cluster->wait_for(0, 'SELECT count(*) = 0 FROM shoal.commit_record'), 'records of commits are forgotten');
	$cluster->no_leaks('in the end');
	diag(sprintf '%d cases, %d faults, %.0f s', $count{cases}, $count{faults}, time - $^T);
	done_testing();
}

1;
