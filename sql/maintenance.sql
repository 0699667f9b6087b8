--
-- VACUUM, ANALYZE, REINDEX, CLUSTER: on all nodes.
--
CREATE SCHEMA maintenance;
\set SHOW_CONTEXT never
SET search_path = maintenance, public;
CREATE TABLE d (a int PRIMARY KEY, b text);
CREATE TABLE r (a int PRIMARY KEY, b text);
CREATE TABLE l (a int PRIMARY KEY, b text);
SELECT shoal.create_distributed_table('d', 'a', shard_count => 6);
SELECT shoal.create_reference_table('r');
INSERT INTO d SELECT i, 'b' || i FROM generate_series(1, 600) i;
INSERT INTO r SELECT i, 'b' || i FROM generate_series(1, 50) i;
INSERT INTO l SELECT i, 'b' || i FROM generate_series(1, 50) i;
CREATE INDEX d_b ON d (b);

-- relfilenodes of what a table consists of tell what was rewritten
CREATE FUNCTION files(name text) RETURNS text LANGUAGE sql AS $$
SELECT string_agg(result, ' ' ORDER BY node_id) FROM shoal.run_on_nodes(format(
	'SELECT md5(string_agg(relfilenode::text, '','' ORDER BY oid)) FROM pg_class WHERE relname = %L AND relkind IN (''r'', ''i'')', name)) $$;
CREATE FUNCTION rewritten(before text, after text) RETURNS text LANGUAGE sql AS $$
SELECT string_agg((b <> a)::text, ' ') FROM unnest(string_to_array(before, ' '), string_to_array(after, ' ')) AS u (b, a) $$;

ANALYZE d, r (a), l;
SELECT everywhere('SELECT sum(reltuples) FROM pg_class WHERE relname = ''r'' AND relkind = ''r''');
SELECT sum(result::int) FROM shoal.run_on_nodes('SELECT sum(reltuples) FROM pg_class WHERE relname = ''d'' AND relkind = ''r''');
SELECT everywhere('SELECT count(*) FROM pg_stats WHERE schemaname = ''maintenance'' AND tablename = ''r''');
VACUUM (ANALYZE, TRUNCATE off, PARALLEL 0) d, r;

-- statistics of all rows of a distributed table, on all nodes, like a plain table's
CREATE DOMAIN small AS int;
CREATE TYPE state AS ENUM ('new', 'old');
CREATE TABLE counted (id int, gone int, few small, texts text, feels state, tags text[], span int4range, nothing date);
CREATE STATISTICS pairs (ndistinct) ON few, texts FROM counted;
ALTER TABLE counted DROP COLUMN gone;
ALTER TABLE counted ALTER COLUMN span SET STATISTICS 0;
INSERT INTO counted SELECT i, i % 7, CASE WHEN i % 4 > 0 THEN 'text ' || i % 21 END, (ARRAY['new', 'old'])[1 + (i % 10) / 9]::state,
	ARRAY['a', 'b' || i % 2], int4range(i, i + 3) FROM generate_series(1, 3000) i;
CREATE TABLE counted_twin (LIKE counted);
CREATE STATISTICS twin_pairs (ndistinct) ON few, texts FROM counted_twin;
ALTER TABLE counted_twin ALTER COLUMN span SET STATISTICS 0;
INSERT INTO counted_twin SELECT * FROM counted;
SELECT shoal.create_distributed_table('counted', 'id', colocate_with => 'none', shard_count => 5);
ALTER DOMAIN small ADD CHECK (value < 6) NOT VALID;
SET DateStyle = 'German';
ANALYZE counted;
ANALYZE counted_twin;
RESET DateStyle;
CREATE VIEW counted_stats AS SELECT tablename, attname, null_frac, avg_width, n_distinct,
	(SELECT array_agg(x ORDER BY x) FROM unnest(most_common_vals::text::text[]) x) AS mcv,
	(SELECT array_agg(x ORDER BY x) FROM unnest(most_common_elems::text::text[]) x) AS elements, histogram_bounds IS NULL AS no_histogram
	FROM pg_stats WHERE schemaname = 'maintenance' AND NOT inherited;
SELECT everywhere($$SELECT count(*) || ' ' || max(reltuples) FROM pg_class c JOIN pg_stats ON tablename = relname AND schemaname = 'maintenance' AND NOT inherited
	WHERE c.oid = 'maintenance.counted'::regclass$$);
SELECT attname, null_frac, avg_width, n_distinct, mcv, elements, no_histogram FROM counted_stats WHERE tablename = 'counted' ORDER BY attname COLLATE "C";
SELECT attname, null_frac, avg_width, n_distinct, mcv, elements, no_histogram FROM counted_stats WHERE tablename = 'counted'
EXCEPT SELECT attname, null_frac, avg_width, n_distinct, mcv, elements, no_histogram FROM counted_stats WHERE tablename = 'counted_twin';
SELECT statistics_name, inherited, substring(n_distinct::text FROM ': (\d+)') FROM pg_stats_ext WHERE NOT inherited AND statistics_name ~ 'pairs' ORDER BY 1;

-- what the coordinator expects of parts of a query, if it has to choose
CREATE FUNCTION expected(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	below bool := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		below := below OR line ~ 'Node Plan';
		CONTINUE WHEN line !~ 'cost=' OR below AND line !~ 'Shoal Scan';
		below := false;
		RETURN NEXT format('%s: %s', trim(split_part(line, ' (cost', 1), ' ->'), substring(line FROM 'rows=(\d+)'));
	END LOOP;
END $$;
SELECT expected('SELECT * FROM (SELECT few, count(*) FROM counted GROUP BY few) g, generate_series(1, 1) one');
CREATE TEMP TABLE one (i int);
SET shoal.enable_move = off;
SELECT expected('SELECT * FROM counted, one');
SELECT expected('SELECT * FROM counted, one WHERE texts = ''text 1''');
SELECT expected('SELECT * FROM counted a JOIN counted b ON a.id = b.few AND a.few = 3');
RESET shoal.enable_move;

DROP STATISTICS pairs;
-- some columns; in a transaction, with rows that are not there afterwards
ANALYZE counted (few);
BEGIN;
UPDATE counted SET texts = 'same';
ANALYZE counted (texts);
SELECT attname, n_distinct FROM counted_stats WHERE tablename = 'counted' AND attname IN ('few', 'texts') ORDER BY 1;
ROLLBACK;
SELECT attname, n_distinct FROM counted_stats WHERE tablename = 'counted' AND attname IN ('few', 'texts') ORDER BY 1;
-- without the right to read the rows, and with it
CREATE ROLE maintenance_user LOGIN;
GRANT ALL ON SCHEMA maintenance TO maintenance_user;
ALTER TABLE counted OWNER TO maintenance_user;
REVOKE SELECT ON counted FROM maintenance_user;
DELETE FROM counted WHERE few = 5;
SET ROLE maintenance_user;
ANALYZE counted;
RESET ROLE;
SELECT attname, n_distinct FROM counted_stats WHERE tablename = 'counted' AND attname = 'few';
GRANT SELECT ON counted TO maintenance_user;
SET ROLE maintenance_user;
ANALYZE counted;
SELECT shoal.internal_statistics('d', ARRAY['b'], 1, 1, ARRAY['x']);
SELECT shoal.internal_statistics('counted', ARRAY['few', 'no'], 1, 1, ARRAY['1', '2']);
SELECT shoal.internal_statistics('counted', ARRAY['few', 'texts'], 1, 1, ARRAY['1']);
RESET ROLE;
SELECT attname, n_distinct FROM counted_stats WHERE tablename = 'counted' AND attname = 'few';
DROP VIEW counted_stats;
DROP TABLE counted, counted_twin;
DROP OWNED BY maintenance_user;
DROP ROLE maintenance_user;

VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) r;
SELECT everywhere('SELECT relallvisible > 0 FROM pg_class WHERE oid = ''maintenance.r''::regclass');
SELECT files('d') AS d, files('r') AS r \gset
VACUUM FULL d;
SELECT rewritten(:'d', files('d')), rewritten(:'r', files('r'));
SELECT files('d_pkey') AS d, files('r_pkey') AS r, files('l_pkey') AS l \gset
REINDEX TABLE d;
REINDEX (VERBOSE off) INDEX r_pkey;
REINDEX TABLE CONCURRENTLY l;
SELECT rewritten(:'d', files('d_pkey')), rewritten(:'r', files('r_pkey')), rewritten(:'l', files('l_pkey'));
REINDEX INDEX CONCURRENTLY d_b;
REINDEX TABLE CONCURRENTLY r;
REINDEX SCHEMA maintenance;
REINDEX DATABASE shoal_n1;
REINDEX DATABASE no_such;
SELECT files('d') AS d, files('r') AS r, files('l') AS l \gset
CLUSTER d USING d_b;
CLUSTER r USING r_pkey;
CLUSTER l USING l_pkey;
SELECT rewritten(:'d', files('d')), rewritten(:'r', files('r')), rewritten(:'l', files('l'));
SELECT count(*), sum(a) FROM d;

-- in transaction blocks
BEGIN;
INSERT INTO d VALUES (1001, 'new');
ANALYZE d;
REINDEX TABLE r;
ROLLBACK;
BEGIN;
VACUUM d;
ROLLBACK;
BEGIN;
REINDEX TABLE d;
ROLLBACK;
DO $$ BEGIN EXECUTE 'VACUUM maintenance.d'; END $$;
DO $$ BEGIN EXECUTE 'ANALYZE maintenance.d'; END $$;
VACUUM no_such;
VACUUM (no_such) d;
ANALYZE;

-- what fails on one node goes on on no other
CREATE FUNCTION slow_or_failing(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF current_database() = 'shoal_n2' THEN RAISE 'fails'; END IF;
    IF current_database() = 'shoal_n3' THEN PERFORM pg_sleep(1); END IF;
    RETURN $1;
END $$;
CREATE TABLE failing (a int, b int);
SELECT shoal.create_distributed_table('failing', 'a');
INSERT INTO failing SELECT i, i FROM generate_series(1, 100) i;
\set VERBOSITY sqlstate
CREATE INDEX CONCURRENTLY failing_b ON failing (slow_or_failing(b));
\set VERBOSITY default
SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query ~ 'INDEX.*failing_b' AND pid <> pg_backend_pid();
DROP TABLE failing;

-- tables of one shard, which is not here or is
CREATE TABLE single1 (a int, b int);
CREATE TABLE single2 (a int, b int);
CREATE TABLE single3 (a int, b int);
SELECT shoal.create_distributed_table('single1', 'a', 'none', 1);
SELECT shoal.create_distributed_table('single2', 'a', 'none', 1);
SELECT shoal.create_distributed_table('single3', 'a', 'none', 1);
ANALYZE single1;
ANALYZE single2;
ANALYZE single3;
CREATE INDEX CONCURRENTLY single1_b ON single1 (b);
CREATE INDEX CONCURRENTLY single2_b ON single2 (b);
CREATE INDEX CONCURRENTLY single3_b ON single3 (b);
REINDEX TABLE CONCURRENTLY single1;
REINDEX TABLE CONCURRENTLY single2;
REINDEX TABLE CONCURRENTLY single3;
DROP TABLE single1, single2, single3;

-- the schema of temporary tables is the session's
CREATE TEMP TABLE tmp (a int PRIMARY KEY);
SELECT nspname AS temp_schema FROM pg_namespace WHERE oid = pg_my_temp_schema() \gset
REINDEX SCHEMA :temp_schema;
REINDEX SCHEMA CONCURRENTLY :temp_schema;

-- functions of an index are called as the table's owner, concurrently too
CREATE ROLE maintenance_owner LOGIN;
GRANT USAGE ON SCHEMA maintenance TO maintenance_owner;
CREATE FUNCTION by_owner(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    ASSERT current_user = 'maintenance_owner', 'called by ' || current_user;
    RETURN $1;
END $$;
CREATE TABLE owned (a int, b int);
SELECT shoal.create_distributed_table('owned', 'a');
ALTER TABLE owned OWNER TO maintenance_owner;
INSERT INTO owned SELECT i, i FROM generate_series(1, 100) i;
CREATE INDEX CONCURRENTLY owned_b ON owned ((by_owner(b) + by_owner(0)))
    WHERE by_owner(b + 10) > by_owner(10);
SELECT count(*) = 3 AS everywhere, bool_and(result::bool) AS valid
    FROM shoal.run_on_nodes($$SELECT indisvalid FROM pg_index WHERE indexrelid = 'maintenance.owned_b'::regclass$$);
DROP TABLE owned;
\set VERBOSITY terse
DROP SCHEMA maintenance CASCADE;
DROP ROLE maintenance_owner;
