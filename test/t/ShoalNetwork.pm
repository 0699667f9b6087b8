# ShoalNetwork.pm: the network between the nodes of a cluster, which can be cut.
#
#   my $net = ShoalNetwork->new($cluster);  # all nodes reach each other through it
#   $net->cut([0, 2], [2, 0]);              # nothing from server 0 gets to 2, nor back
#   $net->cut_off(2);                       # the same with all others
#   $net->heal;                             # what was on its way is lost
#   $net->heal(deliver => 1);               # it arrives late
#
# A direction that is cut swallows what is sent, without a word, as a dead
# switch does; new connections are accepted (the kernel does that for a stopped
# process, too) and get no answer.  With reset => 1 connections are closed, and
# new ones are, too.  Clients are not affected: they connect to the servers directly.
#
# Who connects is told by shoal.origin in the startup packet.  A process of
# its own with a select loop; it ends when the test does.

package ShoalNetwork;

use strict;
use warnings;
use IO::Handle;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Socket;

my @all;

sub listen_on
{
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0,
		Listen => 200, ReuseAddr => 1) or die "can't listen: $!";
	$listener->blocking(0);
	return $listener;
}

sub new
{
	my ($class, $cluster) = @_;
	my @target = map { $cluster->port($_) } 0 .. $cluster->{nodes};
	my @listener = map { listen_on() } @target;
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!";
	my $self = bless { nodes => $cluster->{nodes}, control => $ours, owner => $$ }, $class;
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		# or other networks and proxies would not see the test end
		my %mine = map { fileno($_) => 1 } $theirs, @listener;
		POSIX::close($_) for grep { $_ > 2 && !$mine{$_} } map { /(\d+)$/ } glob '/proc/self/fd/*';
		eval { ShoalNetwork::Switch->new(\@target, \@listener, $theirs)->run; 1 } or
			print STDERR "ShoalNetwork: $@";
		POSIX::_exit(0);
	}
	close $theirs;
	$ours->autoflush(1);
	$self->{pid} = $pid;
	push @all, $self;
	for my $node (0 .. $#target)
	{
		$cluster->sql(0, "SELECT shoal.alter_node($node + 1, port => " . $listener[$node]->sockport . ')');
	}
	close $_ for @listener;
	return $self;
}

sub ask
{
	my ($self, %command) = @_;
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{control} } encode_json(\%command), "\n";
	defined readline $self->{control} or die "the network has died\n";
}

# cut([from, to], ..., {reset => 1}): servers by number
sub cut
{
	my ($self, @pairs) = @_;
	my $options = ref $pairs[-1] eq 'HASH' ? pop @pairs : {};
	$self->ask(pairs => \@pairs, %$options);
}

sub cut_off
{
	my ($self, $node, %options) = @_;
	$self->cut((map { $_ == $node ? () : ([$node, $_], [$_, $node]) } 0 .. $self->{nodes}), \%options);
}

# Groups of servers that do not hear of each other.
sub split
{
	my ($self, @groups) = @_;
	my @pairs;
	for my $a (@groups)
	{
		for my $b (grep { $_ != $a } @groups)
		{
			for my $from (@$a) { push @pairs, [$from, $_] for @$b; }
		}
	}
	$self->cut(@pairs);
}

sub heal { my ($self, %options) = @_; $self->ask(heal => 1, %options); }

sub stop
{
	my ($self) = @_;
	return if !$self->{pid} || $self->{owner} != $$;
	close $self->{control};
	local $?;
	waitpid $self->{pid}, 0;
	$self->{pid} = undef;
}

END
{
	my $status = $?;
	$_->stop for @all;
	$? = $status;
}

# ---- its process ----

package ShoalNetwork::Switch;

use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(EAGAIN EINTR EWOULDBLOCK);
use Socket qw(TCP_NODELAY IPPROTO_TCP);

# the two sides of a connection, by who sends
use constant { CLIENT => 0, SERVER => 1 };

sub new
{
	my ($class, $targets, $listeners, $control) = @_;
	$SIG{PIPE} = 'IGNORE';
	$SIG{INT} = $SIG{TERM} = 'DEFAULT';
	$control->blocking(0);
	return bless { targets => $targets, listeners => $listeners, control => $control,
		commands => '', conns => {}, next => 1, cut => {}, reset => 0 }, $class;
}

sub run
{
	my ($self) = @_;
	while (!$self->{end})
	{
		my ($read, $write) = ('', '');
		vec($read, fileno $self->{control}, 1) = 1;
		vec($read, fileno $_, 1) = 1 for @{ $self->{listeners} };
		my %by_fd;
		for my $conn (values %{ $self->{conns} })
		{
			for my $side (CLIENT, SERVER)
			{
				my $socket = $conn->{socket}[$side] or next;
				my $fd = fileno $socket;
				$by_fd{$fd} = [$conn, $side];
				# a direction that is cut keeps what has come, up to a point
				vec($read, $fd, 1) = 1 if !$conn->{eof}[$side] &&
					length $conn->{out}[1 - $side] < ($self->is_cut($conn, $side) ? 65536 : 1048576);
				vec($write, $fd, 1) = 1 if length $conn->{out}[$side] && !$self->is_cut($conn, 1 - $side);
			}
		}
		next if select($read, $write, undef, undef) <= 0;
		for my $fd (keys %by_fd)
		{
			my ($conn, $side) = @{ $by_fd{$fd} };
			$self->flush_side($conn, $side) if !$conn->{closed} && vec($write, $fd, 1);
			$self->receive($conn, $side) if !$conn->{closed} && vec($read, $fd, 1);
		}
		for my $n (0 .. $#{ $self->{listeners} })
		{
			$self->accept_one($n) if vec($read, fileno $self->{listeners}[$n], 1);
		}
		$self->control if vec($read, fileno $self->{control}, 1);
	}
}

# Whether what this side sends is lost.
sub is_cut
{
	my ($self, $conn, $side) = @_;
	return 0 if !defined $conn->{from};
	return $self->{cut}{ $side == CLIENT ? "$conn->{from} $conn->{to}" : "$conn->{to} $conn->{from}" };
}

sub control
{
	my ($self) = @_;
	my $n = sysread $self->{control}, $self->{commands}, 65536, length $self->{commands};
	return if !defined $n && ($! == EAGAIN || $! == EINTR);
	$self->{end} = 1 if !$n;
	while ($self->{commands} =~ s/^(.*)\n//)
	{
		my $arg = decode_json($1);
		my @was_cut = grep { $self->is_cut($_, CLIENT) || $self->is_cut($_, SERVER) } values %{ $self->{conns} };
		$self->{cut} = { map { ("$_->[0] $_->[1]" => 1) } @{ $arg->{pairs} // [] } };
		$self->{reset} = $arg->{reset};
		if ($arg->{heal} && !$arg->{deliver})
		{
			$self->close_conn($_) for @was_cut;
		}
		for my $conn (values %{ $self->{conns} })
		{
			my $is_cut = $self->is_cut($conn, CLIENT) || $self->is_cut($conn, SERVER);
			next if $is_cut ? !$arg->{reset} : !$conn->{eof}[CLIENT] && !$conn->{eof}[SERVER];
			# what one side has sent before it ended comes late
			$self->flush_side($conn, $_) for grep { !$is_cut && $conn->{socket}[$_] && !$conn->{eof}[$_] && !$conn->{closed} } CLIENT, SERVER;
			$self->close_conn($conn) if !$conn->{closed};
		}
		syswrite $self->{control}, "done\n";
	}
}

sub accept_one
{
	my ($self, $n) = @_;
	my $client = $self->{listeners}[$n]->accept or return;
	$client->blocking(0);
	binmode $client;
	setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
	my $id = $self->{next}++;
	$self->{conns}{$id} = { id => $id, to => $n, socket => [$client, undef], out => ['', ''], eof => [0, 0] };
}

# Its first packet says who the client is; then the server is connected to.
sub meet
{
	my ($self, $conn) = @_;
	my $first = $conn->{out}[SERVER];
	return if length $first < 8 || length $first < unpack 'N', $first;
	$conn->{from} = $first =~ /shoal\.origin=(\d+)/ ? $1 - 1 : -1;
	return $self->close_conn($conn) if $self->{reset} && ($self->is_cut($conn, CLIENT) || $self->is_cut($conn, SERVER));
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{targets}[$conn->{to}],
		Proto => 'tcp');
	return $self->close_conn($conn) if !$server;
	$server->blocking(0);
	binmode $server;
	setsockopt $server, IPPROTO_TCP, TCP_NODELAY, 1;
	$conn->{socket}[SERVER] = $server;
}

sub close_conn
{
	my ($self, $conn) = @_;
	close $_ for grep { $_ } @{ $conn->{socket} };
	$conn->{closed} = 1;
	delete $self->{conns}{ $conn->{id} };
}

sub receive
{
	my ($self, $conn, $side) = @_;
	my $n = sysread $conn->{socket}[$side], $conn->{out}[1 - $side], 262144, length $conn->{out}[1 - $side];
	return if !defined $n && ($! == EAGAIN || $! == EINTR || $! == EWOULDBLOCK);
	if (!$n)
	{
		$conn->{eof}[$side] = 1;
		# the other side does not hear of it before the network is whole again
		return if $self->is_cut($conn, $side);
		if (length $conn->{out}[1 - $side] && $conn->{socket}[1 - $side])
		{
			$conn->{socket}[1 - $side]->blocking(1) if length $conn->{out}[1 - $side] < 65536;
			syswrite $conn->{socket}[1 - $side], $conn->{out}[1 - $side];
		}
		return $self->close_conn($conn);
	}
	$self->meet($conn) if !$conn->{socket}[SERVER];
	return if $conn->{closed} || $self->is_cut($conn, $side);
	$self->flush_side($conn, 1 - $side) if $conn->{socket}[1 - $side];
}

# Sends what waits for a side.
sub flush_side
{
	my ($self, $conn, $side) = @_;
	return if !length $conn->{out}[$side];
	my $n = syswrite $conn->{socket}[$side], $conn->{out}[$side];
	if (defined $n) { substr $conn->{out}[$side], 0, $n, ''; }
	elsif ($! != EAGAIN && $! != EINTR && $! != EWOULDBLOCK) { $self->close_conn($conn); }
}

1;
