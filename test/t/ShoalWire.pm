# ShoalWire.pm: the frontend/backend protocol by hand, for what psql can't send.
#
#   my $w = ShoalWire->new($cluster->port(0));
#   is($w->run(['P', '', 'SELECT $1::int'], ['B', '', '', [42]], ['E', ''], ['S']),
#      '1 2 D(42) C(SELECT 1) Z(I)');
#
# Messages: P name sql [type oids]; B portal statement [values] {format,
# result}; D 'S'|'P' name; E portal [rows]; C 'S'|'P' name; H; S; Q sql;
# d data; c; f reason; X.  run() sends them and reads until ReadyForQuery (or, after H
# or a COPY's start, until told by a second argument).  Answers are printed in
# one line; values in binary as hex, notices left out; a column that is a table's as
# name:type@number, the tables of the last result are in {tables};
# the last error's schema, table, column and constraint are in {of}.

package ShoalWire;

use strict;
use warnings;
use IO::Socket::INET;
use Socket qw(MSG_PEEK);
use Time::HiRes qw(time);

sub new
{
	my ($class, $port, %arg) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port,
		Proto => 'tcp') or die "can't connect: $!";
	$socket->autoflush(1);
	binmode $socket;
	my $self = bless { socket => $socket, port => $port, formats => [] }, $class;
	my $body = pack('N', 196608);
	my %option = (user => 'postgres', database => 'shoal', %arg);
	$body .= join '', map { "$_\0$option{$_}\0" } sort keys %option;
	print $socket pack('N', 5 + length $body), $body, "\0";
	$self->{startup} = $self->answer('ZE');
	return $self;
}

sub text { return defined $_[0] ? pack('N/a*', $_[0]) : pack('N', 0xffffffff); }

my %pack = (
	P => sub { my ($name, $sql, $types) = @_; $types //= [];
		return "$name\0$sql\0" . pack('n N*', scalar @$types, @$types) },
	B => sub { my ($portal, $name, $values, %arg) = @_; $values //= [];
		return "$portal\0$name\0" . pack('n n', 1, $arg{format} // 0) .
			pack('n', scalar @$values) . join('', map { text($_) } @$values) .
			(ref $arg{result} ? pack('n n*', scalar @{ $arg{result} }, @{ $arg{result} }) : pack('n n', 1, $arg{result} // 0)) },
	D => sub { return "$_[0]$_[1]\0" },
	C => sub { return "$_[0]$_[1]\0" },
	E => sub { return "$_[0]\0" . pack('N', $_[1] // 0) },
	Q => sub { return "$_[0]\0" },
	d => sub { return $_[0] },
	f => sub { return "$_[0]\0" },
	map { $_ => sub { return '' } } qw(H S X c));

sub send
{
	my ($self, @messages) = @_;
	my $buf = '';
	for my $m (@messages)
	{
		my ($type, @arg) = @$m;
		my $body = $pack{$type}->(@arg);
		$buf .= $type . pack('N', 4 + length $body) . $body;
	}
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{socket} } $buf;
}

sub bytes
{
	my ($self, $n) = @_;
	my $buf = '';
	while (length $buf < $n)
	{
		my $set = '';
		vec($set, fileno($self->{socket}), 1) = 1;
		return undef if select($set, undef, undef, 20) < 1 ||
			!sysread $self->{socket}, $buf, $n - length $buf, length $buf;
	}
	return $buf;
}

sub show
{
	my ($self, $type, $body) = @_;
	if ($type eq 'T')
	{
		my ($n, $rest) = unpack 'n a*', $body;
		my @columns;
		$self->{formats} = [];
		$self->{tables} = [];
		for (1 .. $n)
		{
			(my ($name, $oid, $att, $typ, $len, $mod, $format), $rest) =
				unpack 'Z* N n N n N n a*', $rest;
			push @columns, "$name:$typ" . ($oid ? "\@$att" : '');
			push @{ $self->{tables} }, $oid;
			push @{ $self->{formats} }, $format;
		}
		return 'T(' . join(',', @columns) . ')';
	}
	if ($type eq 'D')
	{
		my ($n, $rest) = unpack 'n a*', $body;
		my @values;
		for (1 .. $n)
		{
			my $len;
			($len, $rest) = unpack 'N a*', $rest;
			if ($len == 0xffffffff) { push @values, 'null'; next; }
			my $value = substr $rest, 0, $len, '';
			push @values, $value =~ /[^\x20-\x7e]/ ? unpack('H*', $value) : $value;
		}
		return 'D(' . join(',', @values) . ')';
	}
	return 't(' . join(',', (unpack 'n N*', $body)[1 .. unpack 'n', $body]) . ')' if $type eq 't';
	return 'C(' . unpack('Z*', $body) . ')' if $type eq 'C';
	return "Z($body)" if $type eq 'Z';
	if ($type eq 'E')
	{
		my %field = map { /^(.)(.*)$/s ? ($1, $2) : () } split /\0/, $body;
		$self->{error} = $field{M};
		$self->{of} = join ' ', map { $field{$_} // '-' } qw(s t c n);
		return "E($field{C})";
	}
	return 'A(' . join(',', (unpack 'N Z* Z*', $body)[1, 2]) . ')' if $type eq 'A';
	return "d($body)" if $type eq 'd';
	return $type;
}

# Reads answers up to one of the types in $until; "EOF" if the server is gone.
sub answer
{
	my ($self, $until) = @_;
	my @out;
	while (1)
	{
		my $head = $self->bytes(5);
		push(@out, 'EOF'), last if !defined $head;
		my ($type, $len) = unpack 'a N', $head;
		my $body = $self->bytes($len - 4);
		push(@out, 'EOF'), last if !defined $body;
		$self->{key} = $body if $type eq 'K';
		next if $type =~ /[NSRK]/;
		push @out, $self->show($type, $body);
		last if index($until, $type) >= 0;
	}
	$self->{lost} = 1 if @out && $out[-1] eq 'EOF';
	return join ' ', @out;
}

# False once the session could not be opened, or is lost.
sub alive { my ($self) = @_; return !$self->{lost} && $self->{startup} =~ /Z\(/; }

# Whether answer() would not have to wait.
sub has
{
	my ($self, $until) = @_;
	my $set = '';
	vec($set, fileno($self->{socket}), 1) = 1;
	return 0 if select($set, undef, undef, 0) < 1;
	defined recv $self->{socket}, my $buf, 262144, MSG_PEEK or return 1;
	return 1 if !length $buf;
	while (length $buf >= 5)
	{
		my ($type, $len) = unpack 'a N', $buf;
		return 0 if length $buf < 1 + $len;
		return 1 if index($until, $type) >= 0;
		substr $buf, 0, 1 + $len, '';
	}
	return 0;
}

sub run
{
	my ($self, @messages) = @_;
	my $until = ref $messages[-1] ? 'Z' : pop @messages;
	$self->send(@messages);
	return $self->answer($until);
}

# A simple query; only rows and errors.
sub q
{
	my ($self, $sql) = @_;
	my $text = $self->run(['Q', $sql]);
	return join ' ', $text =~ /([DE]\(.*?\))(?= )|EOF/g;
}

sub pid { my ($self) = @_; return unpack 'N', $self->{key}; }

# Asks the server to cancel what this session does.
sub cancel
{
	my ($self) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port},
		Proto => 'tcp') or die "can't connect: $!";
	print $socket pack('N N', 16, 80877102), $self->{key};
	sysread $socket, my $nothing, 1;
	close $socket;
}

sub close { my ($self) = @_; close $self->{socket}; }

1;
