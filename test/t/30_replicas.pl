# Random writes on tables with replicas: do all copies of a shard stay equal, and
# do the tables have the rows that plain tables would have?
#
#   1. one transaction after the other, each also run on plain twin tables;
#   2. the same while copies are made, promoted, moved and dropped;
#   3. several sessions at once, through all nodes, meanwhile as well.
#
# SEED=n makes other statements, TRANSACTIONS=n more of them (default 150 in each
# part).  The same seed makes the same statements; what the third part's
# sessions do to each other is up to the machine.

use strict;
use warnings;
use File::Temp;
use FindBin;
use lib $FindBin::Bin;
use ShoalTest;
use Test::More;

my $seed = $ENV{SEED} // 1;
my $transactions = $ENV{TRANSACTIONS} // 150;
my $cluster = ShoalTest->new(nodes => 2, conf => ['max_worker_processes=40']);
my ($files, $nfiles) = (File::Temp::tempdir(CLEANUP => 1), 0);
my @tables = qw(t nk tr p c cl one);
srand($seed);
note("SEED=$seed TRANSACTIONS=$transactions");

# ---- tables ----

my $definitions = q{
	CREATE TABLE t (k int PRIMARY KEY, v text, n int DEFAULT 0, big text);
	CREATE TABLE nk (k int, v text, n int, p point);
	CREATE TABLE tr (k int PRIMARY KEY, v text, n int DEFAULT 0);
	CREATE TABLE p (k int PRIMARY KEY, v text);
	CREATE TABLE c (k int, i int, v text, PRIMARY KEY (k, i));
	CREATE TABLE cl (k int, v text);
	CREATE TABLE one (k int PRIMARY KEY, v text, n int DEFAULT 0);
	ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
	CREATE TRIGGER log AFTER INSERT OR UPDATE OR DELETE ON c FOR EACH ROW EXECUTE FUNCTION public.log(SCHEMA);
	CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON p DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION public.late(SCHEMA);
	CREATE TRIGGER change BEFORE INSERT OR UPDATE ON tr FOR EACH ROW EXECUTE FUNCTION public.change();
};
$cluster->sql(0, q{
	CREATE FUNCTION public.change() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.n % 11 = 7 THEN RETURN NULL; END IF;
		NEW.v := left(NEW.v || TG_OP, 40);
		NEW.n := NEW.n + 1;
		RETURN NEW;
	END $$;
	-- cascades and MERGE fire these on the nodes of the rows
	CREATE FUNCTION public.log() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('INSERT INTO %I.cl VALUES ($1, $2)', TG_ARGV[0]) USING CASE WHEN TG_OP = 'DELETE' THEN OLD.k ELSE NEW.k END, TG_OP;
		RETURN NULL;
	END $$;
	-- and this in COMMIT
	CREATE FUNCTION public.late() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('UPDATE %I.c SET v = left(coalesce(v, $1) || $2, 50) WHERE k = $3', TG_ARGV[0]) USING '', 'L', NEW.k;
		RETURN NULL;
	END $$;
	CREATE SCHEMA repl;
	CREATE SCHEMA twin;
	SET search_path = twin;} . $definitions =~ s/SCHEMA/twin/gr . 'SET search_path = repl;' . $definitions =~ s/SCHEMA/repl/gr . q{
	SELECT shoal.create_distributed_table('t', 'k', 'none', 4, 1);
	SELECT shoal.create_distributed_table('nk', 'k', 't');
	SELECT shoal.create_distributed_table('tr', 'k', 't');
	SELECT shoal.create_distributed_table('p', 'k', 'none', 3, 1);
	SELECT shoal.create_distributed_table('c', 'k', 'p');
	SELECT shoal.create_distributed_table('cl', 'k', 'p');
	SELECT shoal.create_distributed_table('one', NULL, replicas => 1);
	ALTER TABLE twin.c ADD FOREIGN KEY (k) REFERENCES twin.p ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
	ALTER TABLE repl.c ADD FOREIGN KEY (k) REFERENCES repl.p ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
});

# ---- statements ----

sub any { return $_[int rand @_] }

sub key { return int rand 120 }

sub range
{
	my $from = key();
	return "k BETWEEN $from AND " . ($from + int rand(rand() < 0.2 ? 100 : 8));
}

sub text { return any("'a'", "'b'", 'NULL', "'" . ('x' x int rand 60) . "'", "'v" . int(rand 1000) . "'") }

sub condition
{
	return any('k = ' . key(), 'k = ' . key(), range(), range(), 'k % 7 = ' . int(rand 7), "v = 'a'");
}

# What a table is given for a key, as the columns (k, v[, i]).
sub row
{
	my ($table, $key) = @_;
	return $table eq 'c' ? "($key, " . text() . ', ' . int(rand 5) . ')' : "($key, " . text() . ')';
}

sub columns { return $_[0] eq 'c' ? '(k, v, i)' : '(k, v)' }

sub insert
{
	my ($table) = @_;
	my $sql = "INSERT INTO $table " . columns($table);
	my $kind = int rand 6;
	my $from = key();

	return "$sql VALUES " . row($table, key()) if $kind == 0;
	return "$sql VALUES " . join(', ', map { row($table, key()) } 1 .. 1 + int rand 6) if $kind == 1;
	return "$sql SELECT i, 'row ' || i" . ($table eq 'c' ? ', 9' : '') . " FROM generate_series($from, " . ($from + int rand 30) . ') i'
		if $kind == 2;
	return "$sql SELECT k + 1, v" . ($table eq 'c' ? ', i + 1' : '') . " FROM $table WHERE " . condition() if $kind == 3;
	return "$sql SELECT k + " . int(rand 100) . ', v' . ($table eq 'c' ? ', 7' : '') . ' FROM p WHERE ' . condition() if $kind == 4;
	my @lines = map { join("\t", key(), any('\N', 'copied', 'c' . int rand 9), $table eq 'c' ? int rand 5 : ()) } 1 .. 1 + int rand 20;
	# if a COPY with its data fails, psql takes the data for statements
	my $file = "$files/" . ++$nfiles;
	open my $out, '>', $file or die "$file: $!";
	print $out map { "$_\n" } @lines;
	close $out;
	return "\\copy $table " . columns($table) . " FROM '$file'";
}

sub conflict
{
	my ($table) = @_;
	return insert($table) if $table =~ /^(nk|cl)$/;
	my $target = $table eq 'c' ? '(k, i)' : '(k)';
	my $from = key();
	my $rows = any('VALUES ' . row($table, $from), "SELECT i, 'conflict'" . ($table eq 'c' ? ', 3' : '') .
		" FROM generate_series($from, " . ($from + int rand 20) . ') i');
	return "INSERT INTO $table " . columns($table) . " $rows ON CONFLICT $target " .
		any('DO NOTHING', "DO UPDATE SET v = left(excluded.v || coalesce($table.v, '-'), 20)",
			"DO UPDATE SET v = 'only some' WHERE $table.k % 2 = 0");
}

sub update
{
	my ($table) = @_;
	my $where = condition();
	my @set = ('v = ' . text(), "v = left(v || 'u', 30)", "v = CASE v WHEN 'a' THEN 'b' WHEN 'b' THEN 'a' ELSE v END");
	push @set, 'n = n + ' . int rand 5 if $table =~ /^(t|nk|tr|one)$/;
	push @set, "big = repeat(md5(k::text), 200)", "big = NULL" if $table eq 't';
	push @set, 'p = point(k, 1)' if $table eq 'nk';
	push @set, 'i = i + 10', 'i = -i' if $table eq 'c';
	# rows that take each other's keys in turn collide or not, by the order in which they are looked at
	return "UPDATE $table SET k = " . any('k + 1', 'k + ' . (200 + int rand 50), key()) . ' WHERE k = ' . key()
		if rand() < 0.1 && $table =~ /^(t|nk|one)$/;
	return "UPDATE $table SET k = k + 10000 WHERE k < 5000 AND ($where)" if rand() < 0.05 && $table =~ /^(t|nk|one)$/;
	return "UPDATE $table SET " . any(@set) . " WHERE $where";
}

sub merge
{
	my ($table) = @_;
	my $from = key();
	return update($table) if $table =~ /^(nk|c|cl)$/;
	return "MERGE INTO $table USING (SELECT i FROM generate_series($from, " . ($from + int rand 20) . ") i) s ON $table.k = s.i " .
		"WHEN MATCHED AND s.i % 3 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = 'merged' " .
		"WHEN NOT MATCHED AND s.i % 2 = 0 THEN INSERT (k, v) VALUES (s.i, 'merge')";
}

sub block
{
	my ($table) = @_;
	my @inner = map { my $s = plain($table, \&insert, \&update, \&remove, \&conflict); "$s;" } 1 .. 2;
	return "DO \$\$ BEGIN\n$inner[0]\nBEGIN $inner[1] IF " . int(rand 2) .
		" = 0 THEN RAISE EXCEPTION 'x'; END IF; EXCEPTION WHEN raise_exception OR integrity_constraint_violation OR data_exception THEN NULL; END;\nEND \$\$";
}

# One that is no COPY.
sub plain
{
	my ($table, @kinds) = @_;
	my $sql;
	do { $sql = any(@kinds)->($table) } while $sql =~ /copy/;
	return $sql;
}

sub remove { my ($table) = @_; return "DELETE FROM $table WHERE " . condition() }

sub statement
{
	my $table = any(@tables);
	my $x = rand;
	my $sql = $x < 0.35 ? insert($table) : $x < 0.5 ? conflict($table) : $x < 0.75 ? update($table) :
		$x < 0.88 ? remove($table) : $x < 0.93 ? merge($table) : $x < 0.97 ? block($table) :
		$x < 0.975 ? ($table =~ /^(p|c)$/ ? 'TRUNCATE p, c, cl' : "TRUNCATE $table") :
		any("UPDATE $table SET v = (1 / (k - k))::text WHERE " . range(), "SELECT nothing", "INSERT INTO $table " . columns($table) . " SELECT i, 'x'" . ($table eq 'c' ? ', 1 / (i - i)' : ' || 1 / (i - i)') . ' FROM generate_series(1, 3) i');
	$sql .= ' RETURNING k, v' if rand() < 0.15 && $sql =~ /^(INSERT|UPDATE|DELETE)/;
	return $sql;
}

# The statements of a transaction.
sub transaction
{
	return (statement()) if rand() < 0.4;
	my @list = ('BEGIN');
	my $open = 0;
	for (1 .. 2 + int rand 6)
	{
		my $x = rand;
		push @list, 'SAVEPOINT s' . ++$open if $x < 0.15;
		push @list, 'ROLLBACK TO s' . $open if $open && $x > 0.85;
		push @list, 'RELEASE s' . $open-- if $open && $x > 0.75 && $x < 0.8;
		push @list, 'SET CONSTRAINTS ALL ' . any('IMMEDIATE', 'DEFERRED') if rand() < 0.05;
		push @list, statement();
	}
	push @list, 'ROLLBACK TO s1' if $open && rand() < 0.3;
	push @list, rand() < 0.9 ? 'COMMIT' : 'ROLLBACK';
	return @list;
}

# ---- running them ----

sub open_session
{
	my ($node, $schema) = @_;
	my $session = $cluster->session($node);
	$session->query("\\set VERBOSITY sqlstate\n\\set QUIET off\nSET search_path = $schema");
	$session->{node} = $node;
	return $session;
}

# What a statement prints, rows in an order of their own.  If several of its rows
# raise errors, which one comes first depends on their order.
sub outcome
{
	my ($session, $sql) = @_;
	my $text = $session->query($sql) // 'timeout';
	$text =~ s/^psql:<stdin>:\d+: //mg;
	$text =~ s/ERROR: +2[23]\w+/ERROR:  22 or 23/;
	return join "\n", sort split /\n/, $text;
}

# What is wrong, on the nodes and between the tables and their twins.
# The rows of a query; copies may be moving.
sub rows_meanwhile
{
	my ($query) = @_;
	my ($ok, $out, $err);
	for (1 .. 20)
	{
		($ok, $out, $err) = $cluster->try(0, $query);
		last if $ok || $err !~ /40001/;
	}
	return $ok ? $out : "failed: $err";
}

sub wrong
{
	my ($twins) = @_;
	my @wrong;
	for my $table (@tables)
	{
		my $out = rows_meanwhile("SELECT * FROM shoal.verify_table('repl.$table')");
		push @wrong, "$table: $out" if $out ne '';
		next if !$twins;
		my $columns = $cluster->sql(0, "SELECT string_agg(attname || '::text', ', ') FROM pg_attribute WHERE attrelid = 'repl.$table'::regclass AND attnum > 0");
		$out = rows_meanwhile("SELECT 'lacks', * FROM (SELECT $columns FROM twin.$table EXCEPT ALL SELECT $columns FROM repl.$table) x
			UNION ALL SELECT 'too much', * FROM (SELECT $columns FROM repl.$table EXCEPT ALL SELECT $columns FROM twin.$table) x LIMIT 10");
		push @wrong, "$table: $out" if $out ne '';
	}
	return join "\n", @wrong;
}

# ---- copies that come and go ----

my ($mover, $moves, $moving, @move_errors);
my %moved;

sub next_move
{
	my @rows = split /\n/, $cluster->sql(0, q{SELECT concat_ws(' ', group_id, shard,
		(SELECT node_id FROM shoal.placement q WHERE (q.group_id, q.shard, role) = (p.group_id, p.shard, 'primary')),
		string_agg(node_id::text, ',' ORDER BY node_id) FILTER (WHERE role = 'replica'),
		'|' || (SELECT string_agg(node_id::text, ',' ORDER BY node_id) FROM shoal.node n WHERE NOT EXISTS (
			SELECT FROM shoal.placement q WHERE (q.group_id, q.shard, q.node_id) = (p.group_id, p.shard, n.node_id))))
		FROM shoal.placement p WHERE group_id IN (SELECT group_id FROM shoal.colocation_group WHERE replicas = 1)
		GROUP BY group_id, shard ORDER BY 1});
	my ($place, $free) = split /\|/, any(@rows);
	my ($group, $shard, $primary, $replicas) = split / /, $place;
	my @replicas = split /,/, $replicas // '';
	my @free = split /,/, $free // '';
	my @choice;
	push @choice, ["shoal.promote($group, $shard, " . any(@replicas) . ')', 'promote'] if @replicas;
	push @choice, ["shoal.move_shard($group, $shard, " . any($primary, @replicas) . ', ' . any(@free) . ')', 'move'],
		["shoal.add_replica($group, $shard, " . any(@free) . ')', 'add'] if @free;
	push @choice, ["shoal.drop_placement($group, $shard, " . any(@replicas) . ')', 'drop'] if @replicas > 1;
	return @{ any(@choice) };
}

# Starts the next one when the last one is done.
sub keep_moving
{
	return if !$mover;
	if ($moving)
	{
		my $out = $mover->wait(0);
		return if !defined $out;
		push @move_errors, "$moving: $out" if $out =~ /ERROR/ && $out !~ /ERROR: +(40001|40P01|55P03)/;
		$moves++ if $out !~ /ERROR/;
	}
	my ($call, $kind) = next_move();
	$moved{$kind}++;
	$moving = $call;
	$mover->send("SELECT $call");
}

sub stop_moving
{
	return if !$mover;
	push @move_errors, "$moving: timeout" if $moving && !defined $mover->wait(120);
	$mover->close;
	$mover = $moving = undef;
}

# ---- 1 and 2: one after the other ----

sub sequential
{
	my ($name) = @_;
	my @sessions = map { open_session($_, 'repl') } 0 .. 2;
	my $plain = open_session(0, 'twin');
	my ($count, $retries, $checked) = (0, 0, 0);
	my @wrong;

	for my $n (1 .. $transactions)
	{
		my @list = transaction();
		my $session = any(@sessions);
		my @got;
		keep_moving();
		for my $try (1 .. 50)
		{
			my $again = 0;
			@got = ();
			for my $sql (@list)
			{
				push @got, outcome($session, $sql);
				$again = $got[-1] =~ /ERROR: +(40001|40P01)/;
				last if $again;
			}
			last if !$again;
			$session->query('ROLLBACK') if @list > 1;
			$retries++;
			select undef, undef, undef, 0.02;
		}
		my @want = map { outcome($plain, $_) } @list;
		for my $i (0 .. $#list)
		{
			push @wrong, "on node $session->{node}: $list[$i]\n--- plain:\n$want[$i]\n--- replicated:\n$got[$i]"
				if $want[$i] ne $got[$i];
		}
		$count += @list;
		if ($n == $transactions || $count - $checked >= 100 || @wrong)
		{
			$checked = $count;
			my $differ = wrong(1);
			push @wrong, "after $n transactions: $differ\nlast: " . join(";\n", @list) if $differ ne '';
		}
		last if @wrong;
	}
	$_->close for @sessions, $plain;
	is(join("\n", @wrong), '', "$name: like plain tables, and all copies are equal");
	note("$count statements, $retries times a transaction again");
}

sequential('one session');
$mover = $cluster->session(1);
$mover->query('\set VERBOSITY verbose');
sequential('one session, while copies move');
stop_moving();

# ---- 3: all at once ----

sub concurrent
{
	my ($name) = @_;
	my @sessions = map { open_session($_ % 3, 'repl') } 0 .. 5;
	my %errors;
	my @wrong;
	my $left = $transactions * 2;
	my $count = 0;

	for my $round (1 .. 4)
	{
		my $until = $left * (4 - $round) / 4;
		my @busy = @sessions;
		while (@busy)
		{
			keep_moving();
			my @still;
			for my $session (@busy)
			{
				if ($session->{list})
				{
					my $out = $session->wait(0.005);
					if (!defined $out)
					{
						push @still, $session;
						next;
					}
					$errors{$1}{$session->{last}} = 1 while $out =~ /ERROR: +(\w+)/g;
					$count++;
				}
				if (!@{ $session->{list} // [] })
				{
					$session->{list} = undef;
					next if $left <= $until;
					$left--;
					$session->{list} = [transaction()];
				}
				$session->{last} = shift @{ $session->{list} };
				$session->send($session->{last});
				push @still, $session;
			}
			@busy = @still;
		}
		my $differ = wrong(0);
		push @wrong, "in round $round: $differ" if $differ ne '';
	}
	$_->close for @sessions;
	is(join("\n", @wrong), '', "$name: all copies are equal");
	# a replica that comes in the middle is not known to the deferred trigger of p
	delete $errors{'0A000'} if !grep { !/\bp\b|COMMIT/ } keys %{ $errors{'0A000'} };
	# those that a single server would raise, too, or that call for another try
	my @odd = grep { !/^(22012|23503|23505|21000|25P02|3B001|42703|40001|40P01|55006|55P03)$/ } sort keys %errors;
	is(join("\n", map { my $e = $_; map { "$e: $_" } (sort keys %{ $errors{$e} })[0] } @odd), '', "$name: errors that can happen");
	note("$count statements; errors: " . join ', ', map { "$_: " . keys %{ $errors{$_} } } sort keys %errors);
}

# ---- what coordinators note of their schema changes (ops_missed.c) ----

# Changes at once, through one coordinator, are not in each other's way.
{
	my ($first, $second) = map { open_session(1, 'repl') } 1, 2;
	$second->query('CREATE TABLE noted (k int)');
	$first->query('BEGIN; TRUNCATE one');
	is($second->query('TRUNCATE nk; CREATE TABLE noted_too (k int); DROP TABLE noted, noted_too; SELECT 1') // 'timeout', "TRUNCATE TABLE\nCREATE TABLE\nDROP TABLE\n1",
		'changes of the schema, while a TRUNCATE is not committed') or diag('notes are waited for');
	is($first->query('COMMIT'), 'COMMIT', 'which is committed then');
	$_->close for $first, $second;
	is($cluster->sql(0, 'SELECT (SELECT count(*) FROM repl.one), (SELECT count(*) FROM repl.nk)'), '0|0', 'both tables are empty');
}

$mover = $cluster->session(2);
$mover->query('\set VERBOSITY verbose');
concurrent('several sessions, while copies move');
stop_moving();
is(join("\n", @move_errors), '', 'copies were moved without errors');
note("moved $moves times: " . join ', ', map { "$_ $moved{$_}" } sort keys %moved);
is($cluster->sql(0, q{SELECT state, count(*) FROM shoal.placement WHERE state <> 'active' GROUP BY 1}), '', 'all copies are active');
$cluster->no_leaks('at the end');
done_testing();
