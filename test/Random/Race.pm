# Random/Race.pm: two transactions on the same few rows, of which the second one
# waits for the first one.
#
# What PostgreSQL does then (it looks at a row's newest version again, or says that
# it can't be done) is what distributed tables are to do.

package Random::Race;

use strict;
use warnings;
use Random::Select;
use Random::Write;
use Random::Schema;

sub pick { return $_[ int rand @_ ]; }
sub chance { return rand() < $_[0]; }

my @targets = qw(t1 t1 t2 u1 s1 p1 p1 p2 one ref1 mono t3);

# Writes that Random::Write hardly ever makes.
sub other_write
{
	my ($generator, $table) = @_;
	my $alias = $generator->alias('m');
	my $scope = [map { ["$alias.$_->[0]", $_->[1]] } @{ $Random::Schema::tables{$table} }];
	my $where = $generator->condition($scope, [], pick(0, 0, 2));
	my ($key, $type) = @{ $Random::Schema::tables{$table}[0] };
	my ($second, $kind) = @{ $Random::Schema::tables{$table}[1] };
	return "SELECT * FROM $table $alias WHERE $where FOR " . pick('UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE') if chance(0.35);
	return "UPDATE $table $alias SET $key = " . ($type eq 'text' ? "$key || 'z'" : "$key + 100") . " WHERE $where" if chance(0.35);
	return "UPDATE $table $alias SET $second = plus($second, 1) WHERE $where" if $kind eq 'int' && chance(0.4);
	return "UPDATE $table $alias SET $second = $second + 1 WHERE $where" if $kind eq 'int';
	return "DELETE FROM $table $alias WHERE $where";
}

sub one_write
{
	my ($generator, $touched) = @_;
	my $table = $generator->{targets}[0];
	my ($sql, @tables);
	if (chance(0.5))
	{
		($sql, @tables) = (other_write($generator, $table), $table);
	}
	else
	{
		do { ($sql, @tables) = Random::Write::statement($generator) } while $sql =~ /^(SELECT|TRUNCATE)/;
	}
	$touched->{$_} = 1 for @tables;
	return $sql;
}

# { first => [...], end, second, level, touched }
sub new
{
	my ($class) = @_;
	my $generator = Random::Select->new(tables => undef, targets => [pick(@targets)]);
	my %touched;
	return bless { first => [map { one_write($generator, \%touched) } 1 .. pick(1, 1, 2)], end => pick('COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK'),
		level => pick('READ COMMITTED', 'READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ'),
		second => one_write($generator, \%touched), touched => \%touched }, $class;
}

1;
