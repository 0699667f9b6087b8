# ShoalProxy.pm: a TCP proxy in front of a node that understands the
# frontend/backend protocol, and makes one fault at one message.
#
#   my $proxy = ShoalProxy->new($cluster->port(1), user => 'app');
#   $cluster->sql(0, 'SELECT shoal.alter_node(2, port => ' . $proxy->port . ')');
#   $proxy->arm(from => 'coordinator', message => '^P .*PREPARE TRANSACTION', at => 'answer', do => 'cut');
#   ... statements ...
#   my $label = $proxy->fired;          # the message, undef if it didn't come
#   $proxy->heal;                       # disarmed, nothing is held any more
#
# A message is known by a label, its type and its text: "P PREPARE ...",
# "d 1,2", "C COMMIT PREPARED".  What has no type byte is called "Startup",
# "SSLRequest", "GSSENCRequest", "CancelRequest", and "Answer" for the byte
# that answers the middle ones.  arm() takes
#
#   from      'coordinator' or 'node': who sends the message
#   message   a regular expression for its label (default: any message)
#   nth       of the messages that match, the one that is meant (default 1)
#   at        'before' it is forwarded (default), 'after', or 'answer': it is
#             forwarded and acted upon, and the fault takes the place of
#             the answer (the messages up to the next ReadyForQuery or whatever
#             else hands over to the coordinator)
#   do        'cut'      close both sides (FIN)
#             'reset'    close both sides (RST)
#             'delay'    hold it and all that follows for that many "seconds"
#             'hold'     the same until it is released; lost if its sender ends
#             'silence'  forward nothing any more, in both directions
#             'drop'     the same, and the kernel does not acknowledge it either,
#                        as if the cable had been cut
#   all       1: silence and drop are for all connections, and for new ones
#
# and counts from there on.  Only connections of the given user are looked at;
# others (of background workers, say) pass.  A fault happens once.
#
# The proxy is a process of its own with a select loop; the test talks to it
# in lines of JSON over a socket pair, and it ends when the test does.

package ShoalProxy;

use strict;
use warnings;
use IO::Handle;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use Socket;
use Time::HiRes qw(time sleep);

# ---- the test's side ----

my @all;

sub new
{
	my ($class, $target, %arg) = @_;
	my $listener = listen_on(0);
	socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die "socketpair: $!";
	my $self = bless { port => $listener->sockport, target => $target, control => $ours,
		owner => $$ }, $class;
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		close $ours;
		close $_->{control} for @all;
		eval { ShoalProxy::Server->new($listener, $target, $arg{user}, $theirs)->run; 1 } or
			print STDERR "ShoalProxy: $@";
		POSIX::_exit(0);
	}
	close $theirs;
	close $listener;
	$ours->autoflush(1);
	$self->{pid} = $pid;
	push @all, $self;
	return $self;
}

sub listen_on
{
	my ($port) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port,
		Listen => 100, ReuseAddr => 1) or die "can't listen: $!";
	$listener->blocking(0);
	return $listener;
}

sub port { return $_[0]{port}; }

sub ask
{
	my ($self, $command, %arg) = @_;
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{control} } encode_json({ %arg, command => $command }), "\n";
	my $line = readline $self->{control};
	die "the proxy of port $self->{target} has died\n" if !defined $line;
	my $answer = decode_json($line);
	die "ShoalProxy: $answer->{error}" if defined $answer->{error};
	return $answer->{value};
}

sub arm { my ($self, %rule) = @_; return $self->ask('arm', %rule); }

# The label of the message that the fault happened at.
sub fired { my ($self) = @_; return $self->ask('fired'); }

# Waits for it; undef if it does not come.
sub await
{
	my ($self, $timeout) = @_;
	my $until = time + ($timeout // 10);
	while (1)
	{
		my $label = $self->fired;
		return $label if defined $label || time > $until;
		sleep 0.01;
	}
}

# Labels of all messages since arm() or heal(), each behind "> " (from the
# coordinator) or "< ".
sub messages { my ($self) = @_; return @{ $self->ask('messages') }; }

# Lets through what is held, takes connections again, forgets the rule.
# Connections that were silent are reset.
sub heal { my ($self) = @_; return $self->ask('heal'); }

# No connections are taken any more, as if no server were there.
sub refuse { my ($self) = @_; return $self->ask('refuse'); }

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

# ---- the proxy's process ----

package ShoalProxy::Server;

use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(EAGAIN EINTR EWOULDBLOCK);
use Socket qw(:DEFAULT TCP_NODELAY IPPROTO_TCP SO_LINGER);
use Time::HiRes qw(time);

# the two sides of a connection, by who sends
use constant { COORDINATOR => 0, NODE => 1 };

my %code = (80877102 => 'CancelRequest', 80877103 => 'SSLRequest', 80877104 => 'GSSENCRequest',
	196608 => 'Startup');

# how long a message that asks for no answer is given (seconds)
my $no_answer = 0.3;

sub new
{
	my ($class, $listener, $target, $user, $control) = @_;
	$SIG{PIPE} = 'IGNORE';
	$SIG{INT} = $SIG{TERM} = 'DEFAULT';
	$control->blocking(0);
	return bless { listener => $listener, port => $listener->sockport, target => $target,
		user => $user, control => $control, commands => '', conns => {}, next => 1, log => [] }, $class;
}

sub run
{
	my ($self) = @_;
	while (!$self->{end})
	{
		my ($read, $write) = ('', '');
		vec($read, fileno $self->{control}, 1) = 1;
		vec($read, fileno $self->{listener}, 1) = 1 if $self->{listener};
		my %by_fd;
		for my $conn (values %{ $self->{conns} })
		{
			for my $side (COORDINATOR, NODE)
			{
				my $fd = fileno $conn->{socket}[$side];
				$by_fd{$fd} = [$conn, $side];
				vec($read, $fd, 1) = 1 if !$conn->{eof}[$side] && !$conn->{silent};
				vec($write, $fd, 1) = 1 if length $conn->{out}[$side] && !$conn->{silent};
			}
		}
		my $n = select $read, $write, undef, $self->timeout;
		next if $n < 0;
		$self->timers;
		next if $n == 0;
		for my $fd (keys %by_fd)
		{
			my ($conn, $side) = @{ $by_fd{$fd} };
			$self->flush_side($conn, $side) if vec($write, $fd, 1) && !$conn->{closed};
			$self->receive($conn, $side) if vec($read, $fd, 1) && !$conn->{closed};
		}
		$self->accept_one if $self->{listener} && vec($read, fileno $self->{listener}, 1);
		$self->control if vec($read, fileno $self->{control}, 1);
	}
}

# ---- commands of the test ----

sub control
{
	my ($self) = @_;
	my $n = sysread $self->{control}, $self->{commands}, 65536, length $self->{commands};
	return if !defined $n && ($! == EAGAIN || $! == EINTR);
	$self->{end} = 1 if !$n;
	while ($self->{commands} =~ s/^(.*)\n//)
	{
		my $arg = decode_json($1);
		my $call = $self->can("do_$arg->{command}");
		my %answer = (value => undef);
		eval { $answer{value} = $call->($self, $arg); 1 } or %answer = (error => "$@");
		my $text = encode_json(\%answer) . "\n";
		$self->{control}->blocking(1);
		substr $text, 0, syswrite($self->{control}, $text) // length $text, '' while length $text;
		$self->{control}->blocking(0);
	}
}

sub do_arm
{
	my ($self, $arg) = @_;
	$self->{rule} = { nth => 1, at => 'before', message => '', %$arg };
	$self->{rule}{side} = $arg->{from} eq 'node' ? NODE : COORDINATOR;
	$self->{rule}{message} = qr/$self->{rule}{message}/s;
	$self->{fired} = undef;
	$self->{log} = [];
	return 1;
}

sub do_fired { my ($self) = @_; return $self->{fired}; }
sub do_messages { my ($self) = @_; return $self->{log}; }

sub do_heal
{
	my ($self) = @_;
	$self->{rule} = $self->{fired} = $self->{silent_for_all} = undef;
	$self->{log} = [];
	for my $conn (my @copy = values %{ $self->{conns} })
	{
		# FIN might wait behind what was not acknowledged
		if ($conn->{silent}) { $self->close_conn($conn, 1); next; }
		$conn->{until} = [0, 0];
		$conn->{answer} = undef;
	}
	$self->timers;
	if ($self->{listener}) { drop_packets($self->{listener}, 0); }
	else { $self->{listener} = ShoalProxy::listen_on($self->{port}); }
	return 1;
}

sub do_refuse
{
	my ($self) = @_;
	close $self->{listener};
	$self->{listener} = undef;
	return 1;
}

# ---- connections ----

sub accept_one
{
	my ($self) = @_;
	my $client = $self->{listener}->accept or return;
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{target},
		Proto => 'tcp');
	# nobody is there: so it looks to the coordinator, nearly
	return if !$server;
	for my $socket ($client, $server)
	{
		$socket->blocking(0);
		binmode $socket;
		setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
	}
	my $id = $self->{next}++;
	# until: when what a side sends is forwarded again (0: at once)
	$self->{conns}{$id} = { id => $id, socket => [$client, $server], in => ['', ''],
		out => ['', ''], held => ['', ''], until => [0, 0], eof => [0, 0], stage => 'start',
		silent => $self->{silent_for_all} };
}

# Discards what comes from a socket, in the kernel: the peer gets no
# acknowledgement.  (A packet filter, "return 0".)
sub drop_packets
{
	my ($socket, $on) = @_;
	my $program = pack 'S C C L', 6, 0, 0, 0;
	my $filter = pack 'S x![P] P', 1, $program;
	if ($on) { setsockopt $socket, SOL_SOCKET, 26, $filter or die "SO_ATTACH_FILTER: $!"; }
	else { setsockopt $socket, SOL_SOCKET, 27, pack('i', 0); }
}

# FIN to both, after what was forwarded before; RST if so wanted.
sub close_conn
{
	my ($self, $conn, $reset) = @_;
	for my $side (COORDINATOR, NODE)
	{
		my $socket = $conn->{socket}[$side];
		if (!$conn->{silent})
		{
			$socket->blocking(1);
			syswrite $socket, $conn->{out}[$side] if length $conn->{out}[$side] && !$conn->{eof}[$side];
			$socket->blocking(0);
			# what was not read would make it a RST
			1 while sysread $socket, my $nothing, 65536;
		}
		setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $reset;
		close $socket;
	}
	$conn->{closed} = 1;
	delete $self->{conns}{ $conn->{id} };
}

sub receive
{
	my ($self, $conn, $side) = @_;
	my $n = sysread $conn->{socket}[$side], $conn->{in}[$side], 262144, length $conn->{in}[$side];
	return if !defined $n && ($! == EAGAIN || $! == EINTR || $! == EWOULDBLOCK);
	if ($n)
	{
		$self->take_messages($conn, $side);
	}
	else
	{
		$conn->{eof}[$side] = 1;
		$self->close_conn($conn) if !$conn->{until}[$side] || $conn->{lose};
	}
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

# ---- messages ----

# The next message of a side as (label, bytes); nothing if it is not complete.
sub next_message
{
	my ($conn, $side) = @_;
	my $in = \$conn->{in}[$side];
	if ($conn->{stage} eq 'opaque')
	{
		return if !length $$in;
		return ('opaque', substr $$in, 0, length $$in, '');
	}
	if ($side == NODE && $conn->{stage} eq 'negotiate')
	{
		return if !length $$in;
		my $byte = substr $$in, 0, 1, '';
		$conn->{stage} = $byte eq 'S' || $byte eq 'G' ? 'opaque' : 'start';
		return ("Answer $byte", $byte);
	}
	if ($side == COORDINATOR && $conn->{stage} ne 'on')
	{
		return if length $$in < 8 || $conn->{stage} ne 'start';
		my ($len, $code) = unpack 'N N', $$in;
		return if length $$in < $len;
		my $bytes = substr $$in, 0, $len, '';
		my $label = $code{$code} // "code $code";
		$conn->{stage} = $label =~ /^(SSL|GSS)/ ? 'negotiate' : $label eq 'Startup' ? 'on' : 'opaque';
		$conn->{user} = $1 if $label eq 'Startup' && $bytes =~ /\0?user\0([^\0]*)\0/;
		return ($label . ' ' . readable(substr $bytes, 8), $bytes);
	}
	return if length $$in < 5;
	my ($type, $len) = unpack 'a N', $$in;
	return if length $$in < 1 + $len;
	my $bytes = substr $$in, 0, 1 + $len, '';
	return ("$type " . readable(substr $bytes, 5, 1000), $bytes);
}

sub readable { my ($text) = @_; $text =~ s/\0+/,/g; $text =~ s/[^\x20-\x7e]/./g; return $text; }

# What hands over to the coordinator: it would go on from here.
sub is_answer { my ($label) = @_; return $label =~ /^(?:[ZGR] |Answer|E .*(?:FATAL|PANIC))/; }

sub take_messages
{
	my ($self, $conn, $side) = @_;
	while (my ($label, $bytes) = next_message($conn, $side))
	{
		my $rule = $self->{rule};
		my $ours = !defined $self->{user} || !defined $conn->{user} || $conn->{user} eq $self->{user};
		push @{ $self->{log} }, ($side == NODE ? '< ' : '> ') . substr $label, 0, 120
			if $ours && @{ $self->{log} } < 10000;
		if ($conn->{answer} && $side == NODE)
		{
			# not to be told
			$conn->{held}[NODE] .= $bytes;
			$conn->{until}[NODE] ||= 9e9;
			next if !is_answer($label);
			$self->fault($conn, NODE);
			return if $conn->{closed} || $conn->{silent};
			next;
		}
		my $hit = $rule && $ours && $side == $rule->{side} && $label =~ $rule->{message} &&
			--$rule->{nth} == 0;
		if ($hit)
		{
			$self->{fired} = $label;
			$self->{rule} = undef;
			$conn->{fault} = $rule;
			if ($rule->{at} eq 'before')
			{
				# a fault that holds holds this message, too
				$self->fault($conn, $side);
				return if $conn->{closed} || $conn->{silent};
			}
		}
		$conn->{until}[$side] ? $conn->{held}[$side] : $conn->{out}[1 - $side] .= $bytes;
		if ($hit && $rule->{at} eq 'after')
		{
			$self->flush_side($conn, 1 - $side);
			$self->fault($conn, $side);
			return if $conn->{closed} || $conn->{silent};
		}
		$conn->{answer} = time + $no_answer if $hit && $rule->{at} eq 'answer';
	}
	$self->flush_side($conn, 1 - $side);
}

# The fault happens, to the stream of a side where it is one of a side.
sub fault
{
	my ($self, $conn, $side) = @_;
	my $rule = $conn->{fault};
	my $do = $rule->{do};
	$conn->{answer} = undef;
	if ($do eq 'cut' || $do eq 'reset')
	{
		$self->close_conn($conn, $do eq 'reset');
	}
	elsif ($do eq 'delay' || $do eq 'hold')
	{
		$conn->{until}[$side] = $do eq 'delay' ? time + $rule->{seconds} : 9e9;
		$conn->{lose} = $do eq 'hold';
	}
	elsif ($do eq 'silence' || $do eq 'drop')
	{
		my @silent = $rule->{all} ? values %{ $self->{conns} } : $conn;
		for my $c (@silent)
		{
			$self->flush_side($c, $_) for COORDINATOR, NODE;
			$c->{silent} = 1;
			drop_packets($_, 1) for $do eq 'drop' ? @{ $c->{socket} } : ();
		}
		$self->{silent_for_all} = $rule->{all};
		drop_packets($self->{listener}, 1) if $rule->{all} && $do eq 'drop' && $self->{listener};
	}
	else { die "no such fault: $do"; }
}

# ---- time ----

sub timeout
{
	my ($self) = @_;
	my $first = 9e9;
	for my $conn (values %{ $self->{conns} })
	{
		for my $at (@{ $conn->{until} }, $conn->{answer})
		{
			$first = $at if $at && $at < $first;
		}
	}
	return undef if $first == 9e9;
	my $left = $first - time;
	return $left > 0 ? $left : 0;
}

# Lets go what has been held long enough; gives up waiting for answers.
sub timers
{
	my ($self) = @_;
	my $now = time;
	for my $conn (my @copy = values %{ $self->{conns} })
	{
		if ($conn->{answer} && $conn->{answer} <= $now)
		{
			$self->fault($conn, NODE);
			next if $conn->{closed};
		}
		for my $side (COORDINATOR, NODE)
		{
			next if $conn->{closed} || $conn->{until}[$side] > $now;
			next if !length $conn->{held}[$side] && !$conn->{until}[$side];
			$conn->{until}[$side] = 0;
			$conn->{out}[1 - $side] .= $conn->{held}[$side];
			$conn->{held}[$side] = '';
			$self->flush_side($conn, 1 - $side);
			$self->close_conn($conn) if $conn->{eof}[$side] && !$conn->{closed};
		}
	}
}

1;
