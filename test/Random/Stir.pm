# Random/Stir.pm: a process that changes, again and again, all about the tables of
# Random::Schema but their rows, while they are queried and written.
#
#   my $stir = Random::Stir->new(ports => [...], seed => 1, cut => 0);
#   ...;
#   print $stir->stop;		# what went wrong
#
# Copies of shards are made, promoted, moved and dropped; tables are vacuumed and
# analyzed, get indexes, columns and statistics and lose them again.  With
# "cut", sessions of coordinators on nodes are ended and cancelled.

package Random::Stir;

use strict;
use warnings;
use POSIX ();
use Time::HiRes qw(sleep time);
use Random::Client;
use Random::Schema;

sub pick { return $_[ int rand @_ ]; }

# Errors that tell one to try again; others with connections that are cut.
my $again = qr/^(40001|40P01|55P03)$/;
my $lost = qr/^(08\w\w\w|57\w\w\w|40001|40P01|55P03|lost)$/;

sub new
{
	my ($class, %arg) = @_;
	my $parent = $$;
	pipe(my $in, my $out) or die "pipe: $!\n";
	my $pid = fork // die "fork: $!\n";
	if (!$pid)
	{
		my $going = 1;
		$SIG{TERM} = sub { $going = 0 };
		$out->autoflush(1);
		my $self = bless { %arg, out => $out, clients => [], count => {} }, $class;
		srand($arg{seed});
		while ($going && getppid() == $parent)
		{
			eval { $self->step; 1 } or print $out "stir: $@";
			sleep($arg{pause} // 0.02);
		}
		eval { $self->settle; 1 } or print $out "stir: settling: $@";
		print $out 'stirred: ', join(', ', map { "$_: $self->{count}{$_}" } sort keys %{ $self->{count} }), "\n";
		POSIX::_exit(0);
	}
	close $out;
	return bless { pid => $pid, in => $in }, $class;
}

# Ends it; all its lines.
sub stop
{
	my ($self) = @_;
	kill 'TERM', $self->{pid};
	my @lines = readline $self->{in};
	waitpid $self->{pid}, 0;
	return @lines;
}

# ---- in the process ----

# A statement on a node; the rows, undef after an error that may be.
sub try
{
	my ($self, $node, $sql, $may) = @_;
	my $result = eval {
		$self->{clients}[$node] //= Random::Client->new(port => $self->{ports}[$node], timeout => 100);
		$self->{clients}[$node]->query($sql);
	};
	if (!$result)
	{
		$self->{clients}[$node] = undef;
		$result = { error => 'lost', message => $@ };
	}
	return $result->{rows} if !$result->{error};
	$self->{clients}[$node]->query('ROLLBACK') if $self->{clients}[$node] && $self->{clients}[$node]{status} ne 'I';
	my $allowed = $self->{cut} ? $lost : $again;
	$self->{count}{"error $result->{error}"}++;
	print { $self->{out} } "stir: $result->{error} $result->{message}: " . $sql =~ s/\s+/ /gr . "\n"
		if $result->{error} !~ $allowed && (!$may || $result->{error} !~ $may);
	return undef;
}

sub columns { my ($table) = @_; return map { $_->[0] } @{ $Random::Schema::tables{ $table =~ s/^dist\.//r } }; }

sub table { return 'dist.' . pick(grep { $_ ne 'loc' } sort keys %Random::Schema::tables); }

# A shard, its primary's node, and nodes with a replica and with no copy of it.
sub shard
{
	my ($self) = @_;
	my $rows = $self->try(0, q{SELECT group_id, shard, p.node_id,
		(SELECT string_agg(r.node_id::text, ',') FROM shoal.placement r WHERE (r.group_id, r.shard, r.role) = (p.group_id, p.shard, 'replica')),
		(SELECT string_agg(n.node_id::text, ',') FROM shoal.node n WHERE NOT EXISTS (
			SELECT FROM shoal.placement r WHERE (r.group_id, r.shard, r.node_id) = (p.group_id, p.shard, n.node_id)))
		FROM shoal.placement p WHERE role = 'primary' AND group_id IN (SELECT group_id FROM shoal.distributed_table WHERE table_name::oid IN
			(SELECT oid FROM pg_class WHERE relnamespace = 'dist'::regnamespace)) ORDER BY random() LIMIT 1}) or return;
	return map { [grep { $_ ne '~' } split /,/] } split /\|/, $rows->[0] if @$rows;
	return;
}

my @placement = (
	sub { my ($g, $s, $primary, $replicas, $free) = @_; @$free && "shoal.move_shard($g, $s, " . pick($primary, @$replicas) . ', ' . pick(@$free) . ')' },
	sub { my ($g, $s, $primary, $replicas, $free) = @_; @$free && "shoal.move_shard($g, $s, $primary, " . pick(@$free) . ')' },
	sub { my ($g, $s, $primary, $replicas, $free) = @_; @$free && "shoal.add_replica($g, $s, " . pick(@$free) . ')' },
	sub { my ($g, $s, $primary, $replicas, $free) = @_; @$replicas && "shoal.promote($g, $s, " . pick(@$replicas) . ')' },
	sub { my ($g, $s, $primary, $replicas, $free) = @_; @$replicas && "shoal.promote($g, $s, " . pick(@$replicas) . ')' },
	sub { my ($g, $s, $primary, $replicas, $free) = @_; @$replicas && "shoal.drop_placement($g, $s, " . pick(@$replicas) . ')' },
	sub { pick('shoal.repair_placements()', "shoal.set_replicas($_[0], " . int(rand 2) . ')') },
);

my @ddl = (
	sub { 'ANALYZE ' . pick(table(), 'dist.t1, dist.u2') },
	sub { 'VACUUM ' . pick('', '', '(ANALYZE) ', '(FULL) ') . table() },
	sub { 'REINDEX TABLE ' . pick('', 'CONCURRENTLY ') . table() },
	sub { my $t = table(); ("CREATE INDEX stirred ON $t (" . pick(columns($t)) . ')', 'DROP INDEX dist.stirred') },
	sub { my $t = table(); ("CREATE INDEX CONCURRENTLY stirred ON $t (" . pick(columns($t)) . ')', 'DROP INDEX dist.stirred') },
	# queries say "SELECT *", so nobody may see the column; but attribute numbers have gaps
	sub { my $t = table(); ("BEGIN; ALTER TABLE $t ADD COLUMN stirred " . pick('int', "text DEFAULT 'x'", 'numeric NOT NULL DEFAULT random()') . "; ALTER TABLE $t DROP COLUMN stirred; COMMIT") },
	sub { my $t = table(); ("ALTER TABLE $t ADD CONSTRAINT stirred CHECK (true)", "ALTER TABLE $t DROP CONSTRAINT stirred") },
	sub { my $t = table(); ("CREATE STATISTICS dist.stirred ON " . join(', ', (columns($t))[0, 1]) . " FROM $t", "ANALYZE $t", 'DROP STATISTICS dist.stirred') },
	sub { ('CREATE TABLE dist.stirred (a int PRIMARY KEY, b text)', "SELECT shoal.create_distributed_table('dist.stirred', 'a', " . pick("'dist.t1'", "'none'") . ')',
		"INSERT INTO dist.stirred SELECT i, 'x' FROM generate_series(1, 50) i", pick('SELECT 1', 'TRUNCATE dist.stirred'), "SELECT * FROM shoal.verify_table('dist.stirred')", pick("SELECT shoal.undistribute_table('dist.stirred')", 'SELECT 1'), 'DROP TABLE dist.stirred') },
);

sub step
{
	my ($self) = @_;
	my $node = int rand @{ $self->{ports} };
	my @run;
	if ($self->{cut} && rand() < 0.7)
	{
		my $how = pick('pg_terminate_backend', 'pg_cancel_backend');
		@run = ("SELECT $how(pid) FROM pg_stat_activity WHERE application_name = 'shoal' AND backend_type = 'client backend' ORDER BY random() LIMIT 1");
		sleep rand 0.3;
	}
	elsif (rand() < 0.65)
	{
		my ($g, $s, $p, $replicas, $free) = $self->shard;
		return if !$p;
		my $call = pick(@placement)->($g->[0], $s->[0], $p->[0], $replicas // [], $free // []);
		return if !$call;
		@run = ("SELECT $call");
	}
	else
	{
		@run = pick(@ddl)->();
	}
	for my $sql (@run)
	{
		my $kind = $sql =~ /(pg_\w+|shoal\.\w+)\(/ ? $1 : $sql =~ /^(?:BEGIN; )?(\w+ \w+)/ ? $1 : $sql;
		# what a failed step has left is in the way of the next one
		my $done = $self->try($node, $sql, qr/^(0A000|42703|42P07|42710|42704|42P01|55000|42809|22023)$/);
		$self->{count}{ $kind =~ s/(ANALYZE|VACUUM) .*/$1/r }++ if $done;
		print { $self->{out} } "stir: $sql: @$done\n" if $kind eq 'shoal.verify_table' && $done && @$done;
	}
}

# Drops what is left of it.
sub settle
{
	my ($self) = @_;
	for my $sql ('DROP INDEX IF EXISTS dist.stirred', 'DROP STATISTICS IF EXISTS dist.stirred', 'DROP TABLE IF EXISTS dist.stirred', 'SELECT shoal.repair_placements()')
	{
		for (1 .. 20)
		{
			last if $self->try(0, $sql);
			sleep 0.2;
		}
	}
}

1;
