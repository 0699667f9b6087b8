--
-- Event triggers and TRUNCATE triggers fire once, where the statement was
-- issued; those ENABLE ALWAYS on every node.
--
CREATE SCHEMA ddl_triggers;
\set SHOW_CONTEXT never
SET search_path = ddl_triggers, public;
CREATE TABLE audit_ref (n serial PRIMARY KEY, tag text, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE audit_dist (n serial PRIMARY KEY, tag text);
CREATE TABLE audit_local (tag text);
SELECT shoal.create_reference_table('audit_ref');
SELECT shoal.create_distributed_table('audit_dist', 'n', shard_count => 4);
CREATE FUNCTION on_end() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
		INSERT INTO ddl_triggers.audit_ref (tag) VALUES (r.command_tag);
		INSERT INTO ddl_triggers.audit_dist (tag) VALUES (r.command_tag);
		IF r.command_tag = 'CREATE TABLE' THEN
			EXECUTE format('GRANT SELECT ON %s TO PUBLIC', r.object_identity);
			EXECUTE format('COMMENT ON TABLE %s IS %L', r.object_identity, 'made at node ' || (SELECT node_id FROM shoal.local_node));
		END IF;
	END LOOP;
END $$;
CREATE FUNCTION on_drop() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ddl_triggers.audit_ref (tag) SELECT object_identity FROM pg_event_trigger_dropped_objects() WHERE original;
END $$;
CREATE FUNCTION always() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ddl_triggers.audit_local VALUES (tg_tag);
END $$;
CREATE EVENT TRIGGER always ON ddl_command_start EXECUTE FUNCTION always();
ALTER EVENT TRIGGER always ENABLE ALWAYS;
CREATE EVENT TRIGGER on_drop ON sql_drop EXECUTE FUNCTION on_drop();
CREATE EVENT TRIGGER on_end ON ddl_command_end EXECUTE FUNCTION on_end();

CREATE TABLE made (a int PRIMARY KEY, b int);
ALTER TABLE made ADD COLUMN c int;
\c shoal_n2
CREATE TABLE ddl_triggers.made2 (a int PRIMARY KEY);
\c shoal_n1
SET search_path = ddl_triggers, public;
DROP TABLE made2;
SELECT tag FROM audit_ref ORDER BY n;
SELECT tag, count(*) FROM audit_dist GROUP BY tag ORDER BY tag;
SELECT everywhere('SELECT md5(string_agg(r::text, '','' ORDER BY n)) FROM ddl_triggers.audit_ref r') ~ '^(\w+) \1 \1$' AS same;
SELECT everywhere($$SELECT count(*) FROM ddl_triggers.audit_local WHERE tag IN ('CREATE TABLE', 'ALTER TABLE', 'DROP TABLE')$$);
SELECT * FROM differences('ddl_triggers');
SELECT everywhere($$SELECT obj_description('ddl_triggers.made'::regclass)$$);

-- an error in one undoes the statement everywhere
CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no %', tg_tag; END $$;
CREATE EVENT TRIGGER no ON ddl_command_end WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION no();
CREATE VIEW v AS SELECT 1 AS a;
SELECT exists_everywhere('ddl_triggers.v');
DROP EVENT TRIGGER no;
DROP EVENT TRIGGER always;
DROP EVENT TRIGGER on_end;
DROP EVENT TRIGGER on_drop;

-- TRUNCATE triggers
SELECT shoal.create_distributed_table('made', 'a', shard_count => 4);
CREATE FUNCTION on_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ddl_triggers.audit_ref (tag) VALUES (tg_when || ' ' || tg_op || ' ' || (SELECT count(*) FROM ddl_triggers.made));
	RETURN NULL;
END $$;
CREATE TRIGGER before_truncate BEFORE TRUNCATE ON made EXECUTE FUNCTION on_truncate();
CREATE TRIGGER after_truncate AFTER TRUNCATE ON made EXECUTE FUNCTION on_truncate();
INSERT INTO made SELECT i FROM generate_series(1, 20) i;
TRUNCATE audit_ref;
TRUNCATE made;
SELECT tag FROM audit_ref ORDER BY n;
SELECT everywhere('SELECT md5(string_agg(r::text, '','' ORDER BY n)) FROM ddl_triggers.audit_ref r') ~ '^(\w+) \1 \1$' AS same;
SELECT count(*) FROM made;
-- several tables, CASCADE, an error after all are empty, no right to do it
CREATE TABLE parts (a int, b int, PRIMARY KEY (a, b));
SELECT shoal.create_distributed_table('parts', 'a', colocate_with => 'made');
ALTER TABLE parts ADD FOREIGN KEY (a) REFERENCES made;
CREATE TRIGGER after_parts AFTER TRUNCATE ON parts EXECUTE FUNCTION on_truncate();
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''% parts left'', (SELECT count(*) FROM ddl_triggers.parts); END';
INSERT INTO made SELECT i FROM generate_series(1, 20) i;
INSERT INTO parts SELECT a, 1 FROM made;
CREATE ROLE regress_truncater;
GRANT USAGE ON SCHEMA ddl_triggers TO regress_truncater;
TRUNCATE audit_ref;
SET ROLE regress_truncater;
TRUNCATE made CASCADE;
RESET ROLE;
TRUNCATE made;
SELECT tag FROM audit_ref ORDER BY n;
SET client_min_messages = warning;
TRUNCATE made CASCADE;
RESET client_min_messages;
SELECT tag FROM audit_ref ORDER BY n;
INSERT INTO made SELECT i FROM generate_series(1, 20) i;
INSERT INTO parts SELECT a, 1 FROM made;
CREATE TRIGGER z_fail AFTER TRUNCATE ON parts EXECUTE FUNCTION fail();
TRUNCATE parts, made;
SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM parts);
DROP TABLE parts;
TRUNCATE made;
DROP OWNED BY regress_truncater;
DROP ROLE regress_truncater;

-- a statement trigger that reads a distributed table: it runs here
CREATE TABLE counted (a int PRIMARY KEY);
SELECT shoal.create_distributed_table('counted', 'a', colocate_with => 'made');
CREATE FUNCTION count_all() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM count(*) FROM ddl_triggers.made; RETURN NULL; END $$;
CREATE TRIGGER count_all AFTER INSERT ON counted EXECUTE FUNCTION count_all();
INSERT INTO counted SELECT generate_series(1, 1000);
SELECT count(*) FROM counted;

-- a function in a query on shards
CREATE FUNCTION ddl(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE IF NOT EXISTS ddl_triggers.x (a int); RETURN 1; END $$;
INSERT INTO made SELECT i FROM generate_series(1, 20) i;
SET client_min_messages = warning;
SELECT sum(ddl(a)) FROM made;
RESET client_min_messages;
SELECT exists_everywhere('ddl_triggers.x');

\set VERBOSITY terse
DROP SCHEMA ddl_triggers CASCADE;

-- one that distributes tables as they are made, also with rows
CREATE SCHEMA ddl_spread;
CREATE FUNCTION ddl_spread() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table' AND schema_name = 'ddl_spread' LOOP
		PERFORM shoal.create_distributed_table(r.objid::regclass, 'k');
	END LOOP;
END $$;
CREATE EVENT TRIGGER ddl_spread ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO') EXECUTE FUNCTION ddl_spread();
SET search_path = ddl_spread;
CREATE TABLE a (k int PRIMARY KEY, s text);
CREATE TABLE b AS SELECT i AS k, 's' AS s FROM generate_series(1, 20) i;
SELECT k, s INTO c FROM b;
PREPARE p AS SELECT k, s || 'p' AS x FROM b WHERE k < $1;
CREATE TABLE d AS EXECUTE p(5);
CREATE TABLE e WITH (fillfactor = 50) AS SELECT * FROM d WITH NO DATA;
CREATE TABLE IF NOT EXISTS e AS SELECT 1 AS k;
CREATE TABLE e AS SELECT 1 AS k;
CREATE TABLE f AS SELECT 1 AS x;
CREATE TABLE f AS SELECT 1 / 0 AS k;
CREATE TEMP TABLE g AS SELECT 1 AS k;
DO $$ BEGIN CREATE TABLE f AS SELECT 1 AS x; EXCEPTION WHEN undefined_column THEN CREATE TABLE h AS SELECT 1 AS k; END $$;
SELECT table_name, kind FROM shoal.tables WHERE table_name::text ~ '^.$' ORDER BY table_name::text;
SELECT (SELECT count(*) FROM b), (SELECT count(*) FROM c), (SELECT count(*) FROM d), (SELECT count(*) FROM e), (SELECT count(*) FROM h);
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT string_agg(relname, '' '' ORDER BY relname) FROM pg_class WHERE relnamespace = ''ddl_spread''::regnamespace');
DROP EVENT TRIGGER ddl_spread;
RESET search_path;
DROP TABLE pg_temp.g;
DEALLOCATE p;
DROP FUNCTION ddl_spread;
SET client_min_messages = warning;
DROP SCHEMA ddl_spread CASCADE;
