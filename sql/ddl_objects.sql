--
-- Objects of every kind, made and changed on all nodes.
--
CREATE SCHEMA ddl_objects;
SET search_path = ddl_objects, public;

SELECT * FROM differences('ddl_objects');

-- roles: the nodes share a server here, so they are made once
CREATE ROLE objects_owner;
CREATE ROLE objects_user LOGIN;
GRANT objects_owner TO objects_user;
ALTER ROLE objects_user SET work_mem = '5MB';
ALTER ROLE objects_user IN DATABASE shoal_n1 SET work_mem = '6MB';
ALTER DATABASE shoal_n1 SET DateStyle = 'ISO, MDY';
GRANT CREATE, TEMP ON DATABASE shoal_n1 TO objects_owner WITH GRANT OPTION;
COMMENT ON ROLE objects_owner IS 'owns objects';
ALTER ROLE objects_owner RENAME TO objects_boss;
ALTER ROLE objects_boss RENAME TO objects_owner;
GRANT SET ON PARAMETER log_min_messages TO objects_user;
GRANT CREATE, USAGE ON SCHEMA ddl_objects TO objects_owner;

-- types
CREATE TYPE color AS ENUM ('red', 'green');
ALTER TYPE color ADD VALUE 'blue' AFTER 'red';
ALTER TYPE color RENAME VALUE 'green' TO 'verde';
CREATE TYPE pair AS (x int, y text);
ALTER TYPE pair ADD ATTRIBUTE z numeric(5, 2);
ALTER TYPE pair RENAME ATTRIBUTE y TO why;
CREATE TYPE textrange AS RANGE (subtype = text, collation = "C");
CREATE DOMAIN posint AS int CHECK (VALUE > 0) DEFAULT 3;
ALTER DOMAIN posint ADD CONSTRAINT small CHECK (VALUE < 1000);
ALTER DOMAIN posint SET NOT NULL;
COMMENT ON CONSTRAINT small ON DOMAIN posint IS 'small';
CREATE TYPE shelltype;
DROP TYPE shelltype;
ALTER TYPE color OWNER TO objects_owner;
GRANT USAGE ON TYPE color TO objects_user;
COMMENT ON TYPE color IS 'it''s a color';

-- functions and what is built on them
CREATE FUNCTION add_them(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE OR REPLACE FUNCTION add_them(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT a + b';
CREATE FUNCTION atomic(a int) RETURNS int BEGIN ATOMIC SELECT a * 2; END;
ALTER FUNCTION add_them(int, int) SET search_path = pg_catalog;
ALTER FUNCTION add_them(int, int) COST 7 PARALLEL SAFE;
CREATE PROCEDURE do_it(INOUT x int) LANGUAGE plpgsql AS $$ BEGIN x := x + 1; END $$;
GRANT EXECUTE ON FUNCTION add_them(int, int) TO objects_user;
REVOKE EXECUTE ON PROCEDURE do_it(int) FROM PUBLIC;
ALTER PROCEDURE do_it(int) RENAME TO did_it;
COMMENT ON FUNCTION add_them(int, int) IS 'adds';
CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int, initcond = '0');
ALTER AGGREGATE total(int) RENAME TO sum_up;
CREATE OPERATOR @+@ (leftarg = int, rightarg = int, function = add_them);
ALTER OPERATOR @+@ (int, int) SET (restrict = none);
CREATE OPERATOR FAMILY ints USING btree;
CREATE OPERATOR CLASS int_ops FOR TYPE int USING btree FAMILY ints AS
	OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
ALTER OPERATOR FAMILY ints USING btree ADD OPERATOR 1 < (int8, int4), FUNCTION 1 (int8, int4) btint84cmp(int8, int4);
CREATE FUNCTION to_color(int) RETURNS color LANGUAGE sql IMMUTABLE AS $$ SELECT 'red'::ddl_objects.color $$;
CREATE CAST (int AS color) WITH FUNCTION to_color(int) AS ASSIGNMENT;
COMMENT ON CAST (int AS color) IS 'always red';
CREATE COLLATION c_like (locale = 'C');
ALTER COLLATION c_like RENAME TO like_c;
CREATE DEFAULT CONVERSION conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH DICTIONARY dict (TEMPLATE = simple, stopwords = english);
ALTER TEXT SEARCH DICTIONARY dict (Accept = false);
CREATE TEXT SEARCH CONFIGURATION conf (COPY = english);
ALTER TEXT SEARCH CONFIGURATION conf ALTER MAPPING FOR asciiword WITH dict;
CREATE TEXT SEARCH TEMPLATE tmpl (lexize = dsimple_lexize);
CREATE TEXT SEARCH PARSER pars (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype);
CREATE LANGUAGE plsample HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler;
GRANT USAGE ON LANGUAGE sql TO objects_user;
CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal));
CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler;
CREATE EXTENSION hstore SCHEMA ddl_objects;
ALTER EXTENSION hstore SET SCHEMA public;
SELECT * FROM differences('ddl_objects');

-- sequences, views, rules, triggers, policies, statistics, publications
CREATE SEQUENCE seq AS smallint START 5 INCREMENT 3 CYCLE;
ALTER SEQUENCE seq MAXVALUE 100 RESTART 7 OWNED BY NONE;
CREATE TABLE base (id serial PRIMARY KEY, c color, n int GENERATED ALWAYS AS IDENTITY, owner name DEFAULT CURRENT_USER,
	twice int GENERATED ALWAYS AS (add_them(1)) STORED, p pair, UNIQUE (id, n));
SELECT shoal.create_distributed_table('base', 'id', shard_count => 4);
\set VERBOSITY terse
CREATE VIEW v WITH (security_barrier) AS SELECT id, c FROM base WHERE id > 0 WITH LOCAL CHECK OPTION;
CREATE OR REPLACE VIEW v AS SELECT id, c, n FROM base;
ALTER VIEW v ALTER COLUMN c SET DEFAULT 'red';
ALTER VIEW v RENAME COLUMN n TO en;
CREATE RECURSIVE VIEW r (i) AS SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 5;
CREATE RULE ins AS ON INSERT TO v DO INSTEAD INSERT INTO base (id, c) VALUES (NEW.id, NEW.c);
CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER row_trigger BEFORE INSERT OR UPDATE OF c ON base FOR EACH ROW WHEN (NEW.id > 5) EXECUTE FUNCTION trig('x');
CREATE TRIGGER stmt_trigger AFTER DELETE ON base FOR EACH STATEMENT EXECUTE FUNCTION trig();
CREATE CONSTRAINT TRIGGER con_trigger AFTER INSERT ON base DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trig();
ALTER TABLE base DISABLE TRIGGER row_trigger;
ALTER TABLE base ENABLE ALWAYS TRIGGER stmt_trigger;
ALTER TRIGGER row_trigger ON base RENAME TO row_trigger2;
COMMENT ON TRIGGER row_trigger2 ON base IS 'a trigger';
ALTER TABLE base ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON base FOR SELECT TO objects_user, objects_owner USING (owner = CURRENT_USER);
ALTER POLICY mine ON base USING (owner = CURRENT_USER OR id = 1);
ALTER POLICY mine ON base RENAME TO ours;
CREATE POLICY strict ON base AS RESTRICTIVE WITH CHECK (id < 1000000);
CREATE STATISTICS stat (dependencies, mcv) ON id, c FROM base;
ALTER STATISTICS stat SET STATISTICS 50;
COMMENT ON STATISTICS stat IS 'statistics';
SET client_min_messages = error;
CREATE PUBLICATION pub FOR TABLE base WITH (publish = 'insert', publish_via_partition_root);
RESET client_min_messages;
ALTER PUBLICATION pub SET (publish = 'insert, update');
CREATE MATERIALIZED VIEW mat AS SELECT count(*) FROM base WITH NO DATA;
CREATE UNIQUE INDEX ON mat (count);
CREATE FOREIGN DATA WRAPPER fdw;
CREATE SERVER srv TYPE 't' FOREIGN DATA WRAPPER fdw OPTIONS (a '1');
ALTER SERVER srv OPTIONS (SET a '2', ADD b '3');
CREATE USER MAPPING FOR objects_user SERVER srv OPTIONS (password 'x');
ALTER USER MAPPING FOR objects_user SERVER srv OPTIONS (SET password 'y');
CREATE FOREIGN TABLE ft (a int OPTIONS (o '1')) SERVER srv;
ALTER FOREIGN TABLE ft ADD COLUMN b text;
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
CREATE EVENT TRIGGER evt ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION on_ddl();
ALTER EVENT TRIGGER evt DISABLE;
CREATE SCHEMA made_whole AUTHORIZATION objects_owner
	CREATE TABLE inside (a int PRIMARY KEY, b text)
	CREATE INDEX inside_b ON inside (b)
	CREATE VIEW inside_view AS SELECT a FROM inside
	GRANT SELECT ON inside TO objects_user;
SELECT * FROM differences('ddl_objects');
SELECT * FROM differences('made_whole');

-- rights, owners, comments, labels, defaults
GRANT SELECT (id, c), UPDATE (c) ON base TO objects_user;
GRANT ALL ON ALL TABLES IN SCHEMA ddl_objects TO objects_owner;
REVOKE DELETE ON base FROM objects_owner;
GRANT USAGE ON SEQUENCE seq TO objects_user;
GRANT USAGE ON FOREIGN SERVER srv TO objects_user;
ALTER DEFAULT PRIVILEGES FOR ROLE objects_owner IN SCHEMA ddl_objects GRANT SELECT ON TABLES TO objects_user;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
COMMENT ON SCHEMA ddl_objects IS 'for the test';
COMMENT ON TABLE base IS 'basis';
COMMENT ON COLUMN base.c IS 'color';
COMMENT ON INDEX base_pkey IS 'key';
COMMENT ON CONSTRAINT base_id_n_key ON base IS 'unique';
ALTER VIEW v OWNER TO objects_owner;
ALTER SCHEMA made_whole RENAME TO made_again;
ALTER TABLE made_again.inside SET SCHEMA ddl_objects;
SELECT * FROM differences('ddl_objects');

-- as another role
SET ROLE objects_user;
ALTER TABLE base ADD COLUMN by_user int;
RESET ROLE;
SET ROLE objects_owner;
CREATE TABLE by_owner (a int PRIMARY KEY, b text);
SELECT shoal.create_distributed_table('by_owner', 'a', shard_count => 4);
CREATE INDEX ON by_owner (b);
ALTER TABLE by_owner ADD COLUMN d int CHECK (d > 0);
ALTER TABLE base ADD COLUMN d int;
RESET ROLE;
SET SESSION AUTHORIZATION objects_user;
ALTER TABLE by_owner RENAME COLUMN d TO dd;
RESET SESSION AUTHORIZATION;
SELECT * FROM differences('ddl_objects');
REASSIGN OWNED BY objects_owner TO CURRENT_USER;
SELECT everywhere($$SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relname = 'by_owner'$$);
ALTER TABLE by_owner OWNER TO objects_owner;
SELECT everywhere($$SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relname = 'by_owner'$$);
DROP OWNED BY objects_owner CASCADE;
SELECT exists_everywhere('ddl_objects.by_owner');
SELECT * FROM differences('ddl_objects');

-- dropping all of it, one by one or with the schema
DROP EVENT TRIGGER evt;
DROP FOREIGN TABLE ft;
DROP USER MAPPING FOR objects_user SERVER srv;
DROP SERVER srv;
DROP FOREIGN DATA WRAPPER fdw;
DROP PUBLICATION pub;
DROP STATISTICS stat;
DROP POLICY strict ON base;
DROP TRIGGER row_trigger2 ON base;
DROP VIEW v, r;
DROP MATERIALIZED VIEW mat;
DROP ACCESS METHOD heap2;
DROP TRANSFORM FOR int LANGUAGE sql;
DROP LANGUAGE plsample;
DROP EXTENSION hstore;
DROP TEXT SEARCH CONFIGURATION conf;
DROP CONVERSION conv;
DROP COLLATION like_c;
DROP CAST (int AS color);
DROP OPERATOR CLASS int_ops USING btree;
DROP OPERATOR FAMILY ints USING btree;
DROP OPERATOR @+@ (int, int);
DROP AGGREGATE sum_up(int);
DROP DOMAIN posint;

-- functions of temporary tables' rows stay where these are
CREATE TEMP TABLE passing (a int, b text);
CREATE DOMAIN passing_rows AS passing[] CHECK (cardinality(VALUE) < 3);
ALTER DOMAIN passing_rows SET NOT NULL;
SELECT ARRAY[ROW(1, 'x')]::passing[]::passing_rows;
SELECT everywhere('SELECT count(*) FROM pg_type WHERE typname = ''passing_rows''');
DROP DOMAIN passing_rows;
CREATE FUNCTION of_row(passing) RETURNS text LANGUAGE sql AS 'SELECT $1.b';
CREATE FUNCTION rows_of() RETURNS SETOF passing LANGUAGE sql AS 'SELECT * FROM passing';
INSERT INTO passing VALUES (1, 'one');
SELECT of_row(p), p.of_row, r.* FROM passing p, rows_of() r;
COMMENT ON FUNCTION of_row(passing) IS 'here only';
DROP FUNCTION of_row(passing);
DROP FUNCTION rows_of();
DROP TABLE passing;
-- things are made in the first schema that is named, wherever pg_catalog is
SET search_path = ddl_objects, pg_catalog, public;
CREATE TABLE path_first (k serial PRIMARY KEY, v text);
CREATE VIEW path_view AS SELECT count(*) FROM path_first;
CREATE FUNCTION path_function() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TYPE path_type AS (a int);
SELECT shoal.create_distributed_table('path_first', 'k', shard_count => 4);
INSERT INTO path_first (v) SELECT 'x' FROM generate_series(1, 10);
SELECT * FROM path_view;
SET search_path = ddl_objects, public;
SELECT * FROM differences('ddl_objects');
DROP SCHEMA ddl_objects, made_again CASCADE;
ALTER DATABASE shoal_n1 RESET DateStyle;
DROP OWNED BY objects_user;
REVOKE USAGE ON LANGUAGE sql FROM objects_user;
SELECT * FROM differences('ddl_objects');
SET search_path = public;
DROP ROLE objects_user, objects_owner;
SELECT * FROM differences('ddl_objects');
