# Adding nodes of other servers: what comes along, and who has to wait.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use ShoalTest;
use Test::More;

my $cluster = ShoalTest->new(nodes => 2, extension => 0);
my ($one, $two) = map { $cluster->port($_) } 1, 2;

$cluster->sql(0, q{
	CREATE ROLE alice LOGIN PASSWORD 'secret' VALID UNTIL '2040-01-01' CONNECTION LIMIT 5;
	CREATE ROLE crew NOINHERIT;
	GRANT crew TO alice WITH ADMIN OPTION;
	ALTER ROLE alice SET search_path = "$user", app;
	ALTER ROLE crew SET work_mem = '5MB';
	ALTER ROLE alice IN DATABASE shoal SET work_mem = '8MB';
	ALTER DATABASE shoal SET DateStyle = 'ISO, DMY';
	GRANT CREATE ON DATABASE shoal TO alice;
	CREATE EXTENSION shoal;
	CREATE SCHEMA app AUTHORIZATION alice;
	SET ROLE alice;
	CREATE TABLE app.item (id int PRIMARY KEY, name text COLLATE "C");
	CREATE TABLE app.kind (id int PRIMARY KEY);
	CREATE TABLE app.unit (id int PRIMARY KEY);
	SELECT shoal.create_distributed_table('app.item', 'id');
	SELECT shoal.create_reference_table('app.kind');
	SELECT shoal.create_reference_table('app.unit');
	INSERT INTO app.item SELECT i, i FROM generate_series(1, 100) i;
	INSERT INTO app.kind SELECT i FROM generate_series(1, 10) i;
});

# somebody is changing the schema and a reference table
my $ddl = $cluster->session(0);
my $writer = $cluster->session(0);
my $adder = $cluster->session(0);
my $waiting = $cluster->session(0);
$ddl->query('BEGIN; CREATE TABLE app.late (a int)');
$writer->query('BEGIN; INSERT INTO app.unit VALUES (1)');
$adder->send("SELECT shoal.add_node('127.0.0.1', $one)");
is($adder->wait(1), undef, 'add_node waits for a schema change');
$ddl->query('COMMIT');
is($adder->wait(1), undef, 'and for a writer of a reference table');
$waiting->send('INSERT INTO app.kind VALUES (77); INSERT INTO app.unit VALUES (2)');
ok(defined $waiting->wait(10), 'while others go on writing');
$writer->query('COMMIT');
like($adder->wait, qr/\b2\b/, 'then the node is added');
is($cluster->sql(1, q{SELECT count(*) FROM app.unit}), 2, 'with the rows of the one');
is($cluster->sql(1, q{SELECT count(*), max(id) FROM app.kind}), '11|77', 'and of the other');
is($cluster->sql(1, q{SELECT to_regclass('app.late') IS NOT NULL}), 't', 'and the schema change');

for my $query (
	q{SELECT rolname, rolcanlogin, rolinherit, rolvaliduntil, rolconnlimit, rolpassword
		FROM pg_authid WHERE rolname IN ('alice', 'crew') ORDER BY 1},
	q{SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members WHERE roleid >= 16384},
	q{SELECT setrole::regrole, setdatabase > 0, setconfig FROM pg_db_role_setting ORDER BY 1, 2},
	q{SELECT a::text FROM pg_database, unnest(datacl) a WHERE datname = current_database() ORDER BY 1},
	q{SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'app'::regnamespace ORDER BY 1},
	q{SELECT * FROM shoal.node ORDER BY 1},
	q{SELECT * FROM shoal.placement ORDER BY 1, 2, 3})
{
	my $here = $cluster->sql(0, $query);
	isnt($here, '', 'something to compare');
	(my $name = $query) =~ s/\s+/ /g;
	is($cluster->sql(1, $query), $here, $name);
}
is($cluster->sql(1, 'SELECT count(*) FROM app.item'), 100, 'the new node is a coordinator');

# roles belong to servers
$cluster->sql(1, 'CREATE ROLE bob LOGIN; GRANT crew TO bob; GRANT SELECT ON app.item TO bob');
is($cluster->sql(0, 'SELECT count(*) FROM item', user => 'alice'), 100, 'as its owner');
like($cluster->error(0, 'SELECT count(*) FROM app.item', user => 'bob'), qr/42501/, 'no right to the schema yet');
$cluster->sql(0, 'GRANT USAGE ON SCHEMA app TO bob; ALTER ROLE bob CONNECTION LIMIT 7');
is($cluster->sql($_, 'SELECT count(*) FROM app.item', user => 'bob'), 100, "with rights, from node $_") for 0, 1;
is($cluster->sql($_, q{SELECT rolconnlimit FROM pg_roles WHERE rolname = 'bob'}), 7, "altered on node $_") for 0, 1;

# a role that is made in a transaction may do things in it, by functions of its own, too
$cluster->sql(1, q{
	BEGIN;
	CREATE ROLE carol;
	CREATE SCHEMA carol AUTHORIZATION carol;
	SET LOCAL ROLE carol;
	CREATE TABLE carol.t (k int PRIMARY KEY);
	SELECT shoal.create_distributed_table('carol.t', 'k');
	INSERT INTO carol.t SELECT generate_series(1, 10);
	CREATE FUNCTION carol.f() RETURNS bigint SECURITY DEFINER LANGUAGE sql AS 'SELECT count(*) FROM carol.t';
	CREATE FUNCTION carol.g() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS $$
	BEGIN
		CREATE TABLE carol.u (k int PRIMARY KEY);
		PERFORM shoal.create_distributed_table('carol.u', 'k');
		ALTER TABLE carol.u ADD n int;
		INSERT INTO carol.u SELECT generate_series(1, 5);
	END $$;
	GRANT USAGE ON SCHEMA carol TO bob;
	RESET ROLE;
	SELECT carol.f(), carol.g();
	COMMIT;
});
is($cluster->sql($_, 'SELECT carol.f()', user => 'bob'), 10, "a new role's rows, by its function, from node $_") for 0, 1;
like($cluster->error($_, 'SELECT count(*) FROM carol.u', user => 'bob'), qr/42501/, "and no other way, from node $_") for 0, 1;
is($cluster->sql($_, q{SELECT string_agg(DISTINCT relname || ' ' || relowner::regrole, ', ') FROM pg_class WHERE relname IN ('t', 'u')}),
	't carol, u carol', "it owns what it has made on node $_") for 0, 1;

# a node that does not answer, and one that is not ready
$cluster->stop(2);
like($cluster->error(0, "SELECT shoal.add_node('127.0.0.1', $two)"), qr/ERROR:  08001/, 'unreachable');
my $conf = "$cluster->{dir}/n2/postgresql.conf";
$conf = (glob "$cluster->{dir}/*2/postgresql.conf")[0] if !-e $conf;
open my $file, '>>', $conf or die "$conf: $!";
print $file "max_prepared_transactions = 0\n";
close $file;
$cluster->start(2);
like($cluster->error(0, "SELECT shoal.add_node('127.0.0.1', $two)"), qr/ERROR:  55000.*max_prepared/, 'without prepared transactions');
open $file, '>>', $conf or die;
print $file "max_prepared_transactions = 10\nshared_preload_libraries = ''\n";
close $file;
$cluster->stop(2);
$cluster->start(2);
like($cluster->error(0, "SELECT shoal.add_node('127.0.0.1', $two)"), qr/ERROR:  55000.*shared_preload/, 'without the library');
open $file, '>>', $conf or die;
print $file "shared_preload_libraries = 'shoal'\n";
close $file;
$cluster->stop(2);
$cluster->start(2);
is($cluster->sql(1, "SELECT shoal.add_node('127.0.0.1', $two)"), 3, 'added by another node');
is($cluster->sql($_, 'SELECT count(*), count(DISTINCT port) FROM shoal.nodes'), '3|3', "known to node $_") for 0 .. 2;
is($cluster->sql(2, 'SELECT count(*) FROM app.item'), 100, 'a coordinator, too');

# a node that is gone for good
$cluster->kill(2);
my ($ok, $out, $err) = $cluster->try(0, 'SELECT shoal.remove_node(3)');
ok($ok, 'removed');
like($err, qr/WARNING.*could not be reset/, 'with a warning');
is($cluster->sql($_, 'SELECT count(*) FROM shoal.nodes'), 2, "forgotten by node $_") for 0, 1;
$cluster->sql(0, 'CREATE TABLE app.afterwards (a int)');

$cluster->start(2);
$cluster->no_leaks('at the end');
done_testing();
