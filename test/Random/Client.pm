# Random/Client.pm: a PostgreSQL client in plain Perl, for test/random, which
# needs SQLSTATEs, column types and both protocols.  Trust authentication only.
#
#   my $c = Random::Client->new(port => 5500);
#   my $r = $c->query('SELECT ...');              # simple protocol
#   my $r = $c->query('SELECT $1', [1]);          # extended protocol
#   $r->{error}, $r->{message}, $r->{columns}, $r->{rows}, $r->{tag}

package Random::Client;

use strict;
use warnings;
use IO::Socket::INET;

sub new
{
	my ($class, %arg) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $arg{port},
		Proto => 'tcp') or die "cannot connect to port $arg{port}: $!\n";
	my $self = bless { socket => $socket, buffer => '' }, $class;
	my $body = pack('N', 196608) . join("\0", user => $arg{user} // 'postgres',
		database => $arg{dbname} // 'shoal', client_encoding => 'UTF8', jit => 'off', statement_timeout => '20s') . "\0\0";
	$socket->autoflush(1);
	binmode $socket;
	print $socket pack('N', 4 + length $body) . $body;
	my $result = $self->finish;
	die "cannot log in: $result->{message}\n" if $result->{error};
	return $self;
}

sub read_bytes
{
	my ($self, $n) = @_;
	while (length $self->{buffer} < $n)
	{
		die "timeout\n" if !$self->comes($self->{timeout} // 60);
		sysread($self->{socket}, $self->{buffer}, 65536, length $self->{buffer})
			or die "server closed the connection\n";
	}
	return substr $self->{buffer}, 0, $n, '';
}

# Reads messages until the server is ready.
sub finish
{
	my ($self) = @_;
	my %result = (rows => [], columns => [], types => [], tag => '');
	while (1)
	{
		my ($type, $length) = unpack 'a N', $self->read_bytes(5);
		my $body = $self->read_bytes($length - 4);
		if ($type eq 'Z')
		{
			$self->{status} = $body;
			return \%result;
		}
		elsif ($type eq 'E')
		{
			my %field = map { (substr($_, 0, 1) => substr($_, 1)) } grep { length } split /\0/, $body;
			$result{error} //= $field{C};
			$result{message} //= join ' / ', grep { defined } @field{qw(M D H W)};
		}
		elsif ($type eq 'T')
		{
			my ($n, $rest) = unpack 'n a*', $body;
			$result{rows} = [];
			$result{columns} = [];
			$result{types} = [];
			for (1 .. $n)
			{
				(my $name, my ($oid, $attno, $typid), $rest) = unpack 'Z* N n N x2 x4 x2 a*', $rest;
				push @{ $result{columns} }, $name;
				push @{ $result{types} }, $typid;
			}
		}
		elsif ($type eq 'D')
		{
			my ($n, $rest) = unpack 'n a*', $body;
			my @row;
			for (1 .. $n)
			{
				my $len = unpack 'l>', $rest;
				$rest = substr $rest, 4;
				if ($len < 0)
				{
					push @row, undef;
					next;
				}
				push @row, substr $rest, 0, $len, '';
			}
			push @{ $result{rows} }, join '|', map { defined $_ ? $_ : '~' } @row;
		}
		elsif ($type eq 'C')
		{
			$result{tag} = unpack 'Z*', $body;
		}
	}
}

sub message
{
	my ($type, $body) = @_;
	return $type . pack('N', 4 + length $body) . $body;
}

# Starts a statement without waiting for it; finish() has its result.
sub send
{
	my ($self, $sql, $params) = @_;
	my $socket = $self->{socket};
	if (!$params)
	{
		print $socket message('Q', "$sql\0");
	}
	else
	{
		my $values = join '', map { defined $_ ? pack('N', length $_) . $_ : pack('N', 0xffffffff) } @$params;
		print $socket message('P', "\0$sql\0" . pack('n', 0)) .
			message('B', "\0\0" . pack('n n', 0, scalar @$params) . $values . pack('n', 0)) .
			message('D', "P\0") . message('E', "\0" . pack('N', 0)) . message('S', '');
	}
}

sub query
{
	my ($self, @statement) = @_;
	$self->send(@statement);
	return $self->finish;
}

# Does something come within some seconds?
sub comes
{
	my ($self, $seconds) = @_;
	my ($set, $found) = ('');
	# signals are no answer
	do
	{
		vec($set, fileno($self->{socket}), 1) = 1;
		$found = select($set, undef, undef, $seconds);
	} while ($found < 0);
	return $found > 0;
}

# A statement that must work; the rows of the last one.
sub must
{
	my ($self, $sql) = @_;
	my $result = $self->query($sql);
	die "$result->{error}: $result->{message}\nin: $sql\n" if $result->{error};
	return $result->{rows};
}

1;
