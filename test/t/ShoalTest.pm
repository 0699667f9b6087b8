# ShoalTest.pm: TAP tests against a cluster of real servers (test/cluster).
#
#   use FindBin; use lib $FindBin::Bin; use ShoalTest; use Test::More;
#   my $cluster = ShoalTest->new(nodes => 2, conf => ['work_mem=1MB']);
#   is($cluster->sql(0, 'SELECT 1'), '1');            # dies on an error
#   my ($ok, $out, $err) = $cluster->try(1, 'SELEC'); # doesn't
#   my $s = $cluster->session(0);                     # a session that stays
#   $s->query('BEGIN'); $s->send('...'); ... $s->wait;
#   $cluster->kill(2); $cluster->start(2);
#   $cluster->stop(2); $cluster->upgrade(2);          # pg_upgrade to a new server
#   $cluster->freeze(2); $cluster->thaw(2);           # SIGSTOP, SIGCONT
#   $cluster->no_leaks('at the end');                 # an assertion
#   done_testing();
#
# Node 0 is the coordinator.  The cluster goes away with the test; KEEP=1 keeps
# it.

package ShoalTest;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use File::Temp;
use IPC::Open3;
use Symbol;
use Test::More ();
use Time::HiRes qw(time);

my $top = dirname(dirname(dirname(abs_path(__FILE__))));
my @all;

# A port below the range of outgoing connections, different for each test file
# that runs at the same time.
sub free_base
{
	my ($n) = @_;
	my $base = `bash -c '. "$top/test/lib.sh"; free_ports $n'`;
	chomp $base;
	return $base;
}

# new(nodes => N, conf => [...], base => PORT, extension => 0, plain => 1, dir => DIR)
sub new
{
	my ($class, %arg) = @_;
	my $nodes = $arg{nodes} // 2;
	my $base = $arg{base} // $ENV{PORT} // free_base($nodes + 2);
	my $dir = $arg{dir} // File::Temp::tempdir('/tmp/shoal-tap.XXXXXX');
	my $self = bless { dir => $dir, base => $base, nodes => $nodes, pid => $$ }, $class;
	chmod 0755, $dir if !$arg{dir};
	push @all, $self;
	$self->command('up', '--port', $base, '--nodes', $nodes,
		(map { ('--conf', $_) } @{ $arg{conf} // [] }),
		defined $arg{extension} && !$arg{extension} ? '--no-extension' : (),
		$arg{plain} ? '--plain' : ());
	chomp($self->{bindir} = `. $dir/cluster; echo \$bindir`);
	return $self;
}

# Runs test/cluster; dies if it fails.
sub command
{
	my ($self, $command, @arg) = @_;
	my @run = ("$top/test/cluster", $command, '--dir', $self->{dir}, @arg);
	my $pid = open3(my $in, my $out, undef, @run);
	close $in;
	my $text = join '', <$out>;
	waitpid $pid, 0;
	die "@run failed: $text" if $?;
	return $text;
}

sub kill  { my ($self, $node) = @_; return $self->command('kill', $node); }
sub start { my ($self, @node) = @_; return $self->command('start', @node); }
sub upgrade { my ($self, $node) = @_; return $self->command('upgrade', $node); }
sub stop  { my ($self, @node) = @_; return $self->command('stop', @node); }

# The processes of a node's server.
sub processes
{
	my ($self, $node) = @_;
	open(my $in, '<', "$self->{dir}/node$node/postmaster.pid") or die "node $node: $!";
	chomp(my $postmaster = <$in>);
	my @pids = ($postmaster);
	for my $dir (glob '/proc/[0-9]*')
	{
		open(my $stat, '<', "$dir/stat") or next;
		my $line = <$stat> // '';
		push @pids, $dir =~ s/.*\///r if $line =~ /.*\) \S (\d+) / && $1 == $postmaster;
	}
	return @pids;
}

# Stops all processes of a node's server where they are, and lets them go on.
sub freeze
{
	my ($self, $node) = @_;
	my ($postmaster) = $self->processes($node);
	# first the one that makes new ones
	CORE::kill 'STOP', $postmaster;
	CORE::kill 'STOP', $self->processes($node);
}

sub thaw { my ($self, $node) = @_; CORE::kill 'CONT', reverse $self->processes($node); }

# The plain server (without Shoal) is node "plain".
sub port
{
	my ($self, $node) = @_;
	return $self->{base} + ($node eq 'plain' ? $self->{nodes} + 1 : $node);
}

# The psql command line for a node: arguments after it are psql's.
sub psql
{
	my ($self, $node, %arg) = @_;
	return ("$self->{bindir}/psql", '-X', '-q', '-A', '-t', '-h', '127.0.0.1',
		'-p', $self->port($node), '-U', $arg{user} // 'postgres',
		'-d', $arg{dbname} // 'shoal');
}

# One psql run, ending at the first error: (succeeded, output, errors).
sub try
{
	my ($self, $node, $sql, %arg) = @_;
	my $errfile = File::Temp->new;
	my $err = gensym;
	my $pid = open3(my $in, my $out, '>&' . fileno($errfile),
		$self->psql($node, %arg), '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose',
		'-f', '-');
	local $SIG{PIPE} = 'IGNORE';
	print $in $sql, "\n";
	close $in;
	my $text = join '', <$out>;
	waitpid $pid, 0;
	my $ok = $? == 0;
	seek $errfile, 0, 0;
	my $errors = join '', <$errfile>;
	chomp($text, $errors);
	return ($ok, $text, $errors);
}

# The output of a statement; dies on an error.
sub sql
{
	my ($self, $node, $sql, %arg) = @_;
	my ($ok, $out, $err) = $self->try($node, $sql, %arg);
	die "on node $node: $err\nin: $sql\n" if !$ok;
	return $out;
}

# The errors of a statement that must fail; '' if it did not.
sub error
{
	my ($self, $node, $sql, %arg) = @_;
	my ($ok, $out, $err) = $self->try($node, $sql, %arg);
	return $ok ? '' : $err;
}

# Repeats a query until it gives what is expected, for a minute at most.
sub wait_for
{
	my ($self, $node, $sql, $expected) = @_;
	for (1 .. 600)
	{
		my ($ok, $out) = $self->try($node, $sql);
		return 1 if $ok && $out eq ($expected // 't');
		select undef, undef, undef, 0.1;
	}
	return 0;
}

# What a session that has ended, or that is idle, must not leave on a node: one
# text, '' if all is well.  What is idle may be connected.
my $leaks = q{
SELECT coalesce(string_agg(leak, '; ' ORDER BY leak), '') FROM (
	SELECT format('session %s of %s is %s: %s', pid, nullif(application_name, ''), state,
			translate(left(query, 100), E'\n\t', '  ')) AS leak
		FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'
	UNION ALL SELECT format('%s is prepared', gid) FROM pg_prepared_xacts
	UNION ALL SELECT format('advisory lock of process %s', pid) FROM pg_locks WHERE locktype = 'advisory'
	UNION ALL SELECT format('%s of a session that has ended', c.oid::regclass)
		FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind = 'r' AND nspname ~ '^pg_temp_[0-9]+$'
		AND n.oid <> pg_my_temp_schema() AND substr(nspname, 9)::int NOT IN (
			SELECT id FROM pg_stat_get_backend_idset() id WHERE pg_stat_get_backend_pid(id) <> pg_backend_pid())
	UNION ALL SELECT format('%s is not the extension''s', c.oid::regclass) FROM pg_class c
		WHERE relnamespace = to_regnamespace('shoal') AND relkind <> 'i' AND NOT EXISTS (
			SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
	UNION ALL SELECT format('temporary file %s', name) FROM pg_ls_dir('base/pgsql_tmp', true, false) name) l};

# leaks(timeout, run): what is left on the nodes, '' if all of it goes away
# within that many seconds (default 15).  "run" runs a query on a node in some
# better way than by a new psql.  With RECOVER_BY_HAND in the environment,
# prepared transactions are settled by a call here; else Shoal has to do it.
sub leaks
{
	my ($self, $timeout, $run) = @_;
	my $until = time() + ($timeout // 15);
	$run //= sub { my ($node, $sql) = @_; return $self->sql($node, $sql) };
	while (1)
	{
		my @left;
		for my $node (0 .. $self->{nodes})
		{
			my $text = $run->($node, $leaks);
			push @left, "node $node: $text" if $text ne '';
		}
		return join "\n", @left if !@left || time() > $until;
		if ($ENV{RECOVER_BY_HAND} && grep { /prepared/ } @left)
		{
			$run->($_, 'SELECT shoal.recover_prepared_transactions()') for 0 .. $self->{nodes};
		}
		select undef, undef, undef, 0.02;
	}
}

sub no_leaks
{
	my ($self, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return Test::More::is($self->leaks, '', ($name ? "$name: " : '') . 'nothing is left on the nodes');
}

sub session { my ($self, $node, %arg) = @_; return ShoalTest::Session->new($self->psql($node, %arg)); }

sub down
{
	my ($self) = @_;
	return if $self->{down} || $self->{pid} != $$;
	$self->{down} = 1;
	if ($ENV{KEEP})
	{
		print "# kept: $self->{dir}\n";
		return;
	}
	eval { $self->command('down') } if -e "$self->{dir}/cluster";
	rmdir $self->{dir};
}

END
{
	my $status = $?;
	$_->down for @all;
	$? = $status;
}

package ShoalTest::Session;

use IPC::Open3;
use Time::HiRes qw(time);

# A psql that stays open; errors are part of the output.
sub new
{
	my ($class, @psql) = @_;
	my $self = bless { n => 0, buffer => '' }, $class;
	$self->{pid} = open3($self->{in}, $self->{out}, undef, @psql, '-f', '-');
	$self->{in}->autoflush(1);
	return $self;
}

# Starts statements without waiting for them.
sub send
{
	my ($self, $sql) = @_;
	$self->{n}++;
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{in} } "$sql\n;\n\\echo done $self->{n} $$\n";
}

# Waits for the statements sent last; returns their output, undef if they are
# not done after that many seconds (default 60; 0 just looks).
sub wait
{
	my ($self, $timeout) = @_;
	my $until = time() + ($timeout // 60);
	my $mark = "done $self->{n} $$\n";
	while ($self->{buffer} !~ /\Q$mark\E/)
	{
		my $set = '';
		vec($set, fileno($self->{out}), 1) = 1;
		my $left = $until - time();
		return undef if select($set, undef, undef, $left > 0 ? $left : 0) < 1;
		if (!sysread $self->{out}, $self->{buffer}, 65536, length $self->{buffer})
		{
			# psql ended
			my $rest = $self->{buffer};
			$self->{buffer} = '';
			return $rest;
		}
	}
	$self->{buffer} =~ s/^(.*?)\Q$mark\E//s;
	my $text = $1;
	$text =~ s/^done \d+ $$\n//mg;
	chomp $text;
	return $text;
}

sub query
{
	my ($self, $sql) = @_;
	$self->send($sql);
	return $self->wait(180);
}

sub close
{
	my ($self) = @_;
	return if !$self->{pid};
	# what psql has not read is still to be written
	local $SIG{PIPE} = 'IGNORE';
	close $self->{in};
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	$self->{pid} = undef;
}

sub DESTROY
{
	my ($self) = @_;
	local $?;
	$self->close;
}

1;
