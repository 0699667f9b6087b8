--
-- How statements that change the schema reach the other nodes.
--
CREATE SCHEMA ddl;
\set SHOW_CONTEXT never
SET search_path = ddl;

-- search_path decides where things are made
CREATE TABLE plain (a int PRIMARY KEY, b text);
SELECT public.exists_everywhere('ddl.plain');
SET search_path = ddl, public;

-- several statements in one message, comments, odd spacing
SELECT 1 AS one\; CREATE TABLE multi1 (a int) /* tail */\; /* head */ CREATE TABLE multi2 (a int)
	-- the end
;
SELECT exists_everywhere('ddl.multi1'), exists_everywhere('ddl.multi2');
DROP TABLE multi1, multi2;
SELECT exists_everywhere('ddl.multi1'), exists_everywhere('ddl.multi2');

-- transactions and savepoints
BEGIN;
CREATE TABLE tx1 (a int);
SAVEPOINT s;
CREATE TABLE tx2 (a int);
SELECT exists_everywhere('ddl.tx1'), exists_everywhere('ddl.tx2');
ROLLBACK TO s;
SELECT exists_everywhere('ddl.tx1'), exists_everywhere('ddl.tx2');
COMMIT;
SELECT exists_everywhere('ddl.tx1'), exists_everywhere('ddl.tx2');
BEGIN;
DROP TABLE tx1;
ROLLBACK;
SELECT exists_everywhere('ddl.tx1');

-- an error on one node undoes it on all
\c shoal_n3
SET shoal.forward_ddl = off;
CREATE TABLE ddl.only_on_n3 (a int);
\c shoal_n1
SET search_path = ddl, public;
SELECT exists_everywhere('ddl.only_on_n3');
\set VERBOSITY terse
CREATE TABLE only_on_n3 (a int);
\set VERBOSITY default
SELECT exists_everywhere('ddl.only_on_n3');
SET shoal.forward_ddl = off;
CREATE TABLE only_on_n3 (a int);
RESET shoal.forward_ddl;
SELECT exists_everywhere('ddl.only_on_n3');

-- from another node
\c shoal_n2
CREATE TABLE ddl.from_n2 (a int PRIMARY KEY);
SELECT shoal.create_distributed_table('ddl.from_n2', 'a', shard_count => 4);
ALTER TABLE ddl.from_n2 ADD COLUMN b int DEFAULT 7;
\c shoal_n1
SET search_path = ddl, public;
INSERT INTO from_n2 (a) VALUES (1), (2), (3);
SELECT count(*), sum(b) FROM from_n2;
SELECT everywhere($$SELECT count(*) FROM pg_attribute WHERE attrelid = 'ddl.from_n2'::regclass AND attname = 'b'$$);

-- functions, procedures, DO blocks, EXECUTE, parameters
CREATE FUNCTION make_table(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	n int := 3;
BEGIN
	EXECUTE format('CREATE TABLE %I (a int)', name);
	CREATE TABLE IF NOT EXISTS fixed (a int, b text DEFAULT 'it''s');
	ALTER TABLE fixed ADD COLUMN c int;
	CREATE TABLE as_of AS SELECT g, n AS n FROM generate_series(1, n) g WHERE g <= n;
END $$;
SELECT make_table('Made');
SELECT exists_everywhere('ddl."Made"'), exists_everywhere('ddl.fixed'), exists_everywhere('ddl.as_of');
SELECT everywhere('SELECT count(*) FROM ddl.as_of');
DO $$ BEGIN
	FOR i IN 1..3 LOOP
		EXECUTE 'CREATE INDEX ON ddl.fixed (a)';
	END LOOP;
	RAISE EXCEPTION 'never mind';
EXCEPTION WHEN raise_exception THEN
	CREATE INDEX kept ON ddl.fixed (b);
END $$;
SELECT everywhere($$SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'ddl' AND tablename = 'fixed'$$);
CREATE PROCEDURE proc() LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE proc1 (a int);
	COMMIT;
	CREATE TABLE proc2 (a int);
	ROLLBACK;
END $$;
CALL proc();
SELECT exists_everywhere('ddl.proc1'), exists_everywhere('ddl.proc2');
CREATE FUNCTION sqlfunc() RETURNS void LANGUAGE sql AS 'CREATE TABLE ddl.sqlfunc1 (a int); CREATE TABLE ddl.sqlfunc2 (a int)';
SELECT sqlfunc();
SELECT exists_everywhere('ddl.sqlfunc1'), exists_everywhere('ddl.sqlfunc2');

-- rows of CREATE TABLE AS and SELECT INTO are made once
CREATE TABLE ctas (x, y) WITH (fillfactor = 70) AS SELECT a, 'text'::varchar(10) COLLATE "C" FROM generate_series(1, 5) a;
SELECT a AS id, 1.5::numeric(5, 2) AS amount INTO UNLOGGED selected FROM generate_series(1, 4) a;
CREATE TABLE nothing AS SELECT 1 AS a WITH NO DATA;
CREATE TABLE IF NOT EXISTS ctas AS SELECT 1 AS other;
CREATE TABLE of_distributed AS SELECT a, b FROM from_n2;
PREPARE query AS SELECT 1 AS p, now() AS q;
CREATE TABLE executed AS EXECUTE query;
SELECT everywhere('SELECT count(*) FROM ddl.ctas'), everywhere('SELECT count(*) FROM ddl.selected'),
	everywhere('SELECT count(*) FROM ddl.of_distributed'), everywhere('SELECT count(*) FROM ddl.executed'),
	everywhere('SELECT count(*) FROM ddl.nothing');
SELECT result FROM shoal.run_on_nodes($$SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attcollation::regcollation::text, ', ' ORDER BY attrelid, attnum) || reloptions::text
	FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attrelid = 'ddl.ctas'::regclass AND attnum > 0 GROUP BY reloptions$$) ORDER BY node_id;
SELECT everywhere($$SELECT relpersistence FROM pg_class WHERE oid = 'ddl.selected'::regclass$$);
-- the plans are not what this is about
\o /dev/null
EXPLAIN (ANALYZE, COSTS OFF) CREATE UNLOGGED TABLE explained (x, y) WITH (fillfactor = 70) AS SELECT 1 AS a, 'b' COLLATE "C";
EXPLAIN (ANALYZE, COSTS OFF) CREATE TABLE IF NOT EXISTS explained AS SELECT 2;
EXPLAIN (ANALYZE, COSTS OFF) CREATE TABLE explained AS SELECT 2;
EXPLAIN (ANALYZE, COSTS OFF) CREATE TEMP TABLE explained_here AS SELECT 2;
EXPLAIN (ANALYZE, COSTS OFF) CREATE MATERIALIZED VIEW explained_mv (n) WITH (fillfactor = 80) AS SELECT 1 AS a;
EXPLAIN (COSTS OFF) CREATE TABLE not_made AS SELECT 1;
EXPLAIN (ANALYZE FALSE, COSTS OFF) CREATE TABLE not_made AS SELECT 1;
\o
TABLE explained;
TABLE explained_mv;
SELECT everywhere($$SELECT string_agg(concat_ws(' ', relname, relkind, relpersistence, relispopulated, reloptions::text), ', ' ORDER BY relname) FROM pg_class
	WHERE relname IN ('explained', 'explained_here', 'explained_mv', 'not_made')$$);
SELECT everywhere($$SELECT pg_get_viewdef('ddl.explained_mv'::regclass)$$);
CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n, sum(b) AS s FROM from_n2;
SELECT * FROM mv;
SELECT everywhere($$SELECT relispopulated FROM pg_class WHERE oid = 'ddl.mv'::regclass$$);
INSERT INTO from_n2 VALUES (4, 100);
REFRESH MATERIALIZED VIEW mv;
SELECT * FROM mv;
\c shoal_n2
REFRESH MATERIALIZED VIEW ddl.mv;
SELECT * FROM ddl.mv;
\c shoal_n1
SET search_path = ddl, public;

-- temporary objects stay here
CREATE TEMP TABLE temp1 (a int PRIMARY KEY, b text);
CREATE TEMP VIEW temp2 AS SELECT 1 AS a;
CREATE VIEW temp3 AS SELECT * FROM temp1;
CREATE TABLE pg_temp.temp4 (a serial);
CREATE TEMP TABLE temp5 AS SELECT * FROM from_n2;
SELECT 1 AS a INTO TEMP temp6;
CREATE INDEX ON temp1 (b);
ALTER TABLE temp1 ADD COLUMN c int;
COMMENT ON TABLE temp1 IS 'mine';
COMMENT ON COLUMN temp1.a IS 'mine';
CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER t BEFORE INSERT ON temp1 FOR EACH ROW EXECUTE FUNCTION pg_temp.f();
ALTER TRIGGER t ON temp1 RENAME TO t2;
DROP TRIGGER t2 ON temp1;
GRANT SELECT ON temp1 TO PUBLIC;
ALTER TABLE temp1 RENAME TO temp0;
TRUNCATE temp0;
CLUSTER temp0 USING temp1_pkey;
REINDEX TABLE temp0;
VACUUM temp0;
CREATE TABLE perm (a int);
DROP TABLE perm, temp0, temp6 CASCADE;
SELECT exists_everywhere('ddl.perm');
GRANT SELECT ON temp5, plain TO PUBLIC;
DROP VIEW temp2;
DROP TABLE temp4;
DISCARD TEMP;

-- TRUNCATE and LOCK TABLE
CREATE TABLE ref (a int PRIMARY KEY);
SELECT shoal.create_reference_table('ref');
INSERT INTO ref VALUES (1), (2);
INSERT INTO plain VALUES (1, 'here');
\c shoal_n2
INSERT INTO ddl.plain VALUES (2, 'there'), (3, 'there');
\c shoal_n1
SET search_path = ddl, public;
TRUNCATE plain;
SELECT everywhere('SELECT count(*) FROM ddl.plain');
INSERT INTO plain VALUES (1, 'here');
BEGIN;
TRUNCATE from_n2, plain, ref;
SELECT count(*) FROM from_n2;
ROLLBACK;
SELECT count(*) FROM from_n2;
SELECT everywhere('SELECT count(*) FROM ddl.ref');
TRUNCATE from_n2, plain, ref RESTART IDENTITY CASCADE;
SELECT count(*) FROM from_n2;
SELECT everywhere('SELECT count(*) FROM ddl.plain'), everywhere('SELECT count(*) FROM ddl.ref');
LOCK TABLE from_n2;
BEGIN;
LOCK TABLE from_n2, plain IN SHARE MODE;
LOCK TABLE ref IN EXCLUSIVE MODE NOWAIT;
SELECT everywhere($$SELECT string_agg(mode || ' ' || relation::regclass, ', ' ORDER BY relation::regclass::text COLLATE "C")
	FROM pg_locks WHERE locktype = 'relation' AND relation IN ('ddl.from_n2'::regclass, 'ddl.plain'::regclass, 'ddl.ref'::regclass)
	AND mode IN ('ShareLock', 'ExclusiveLock')$$);
COMMIT;

-- not in a function that runs with a fragment, nor in a read-only transaction
BEGIN READ ONLY;
CREATE TABLE readonly (a int);
ROLLBACK;

-- only here
CREATE TABLESPACE no_such LOCATION '/no/such/directory';
ALTER SYSTEM SET work_mem = '4MB';
ALTER SYSTEM RESET work_mem;

DROP TABLE only_on_n3;
\set VERBOSITY terse
DROP SCHEMA ddl CASCADE;
SELECT everywhere($$SELECT count(*) FROM pg_namespace WHERE nspname = 'ddl'$$);
