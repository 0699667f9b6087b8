--
-- Statements that plain tables take and partitioned ones don't, names that mean two
-- things, and what is refused, with its way out.
--
CREATE SCHEMA ddl_more;
CREATE SCHEMA ddl_more2;
SET search_path = ddl_more, public;
\set SHOW_CONTEXT never
CREATE TABLE t (a int PRIMARY KEY, b int, c text);
CREATE TABLE ddl_more2.t (a int PRIMARY KEY, b int, c text);
CREATE TABLE l (a int PRIMARY KEY, b int);
SELECT shoal.create_distributed_table('t', 'a', shard_count => 6);
SELECT shoal.create_distributed_table('ddl_more2.t', 'a', colocate_with => 't');
INSERT INTO t SELECT i, i, 'c' FROM generate_series(1, 20) i;

-- an object is not its temporary namesake
CREATE TEMP TABLE x1 (a int);
CREATE TABLE x1 (a int);
CREATE TEMP TABLE x2 (a int);
CREATE TABLE x2 AS SELECT 1 AS b;
CREATE TEMP TABLE x3 (a int);
SELECT b INTO x3 FROM t;
CREATE TEMP TABLE x4 (a int);
CREATE TABLE IF NOT EXISTS x4 AS SELECT 1 AS b WITH NO DATA;
CREATE TEMP SEQUENCE x5;
CREATE SEQUENCE x5;
CREATE TEMP TABLE x6 (a int);
CREATE VIEW x6 AS SELECT b FROM t;
CREATE TEMP TABLE x7 (a int, u int);
CREATE TABLE x7 (LIKE x7 INCLUDING ALL);
CREATE TEMP TABLE x8 (a int);
CREATE MATERIALIZED VIEW x8 AS SELECT count(*) FROM t;
CREATE TEMP TABLE x9 (a int);
CREATE TYPE x9 AS (a int);
CREATE TEMP VIEW v1 AS SELECT 1;
CREATE VIEW v2 AS SELECT * FROM x1;
SELECT everywhere($$SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'ddl_more'::regnamespace AND relname ~ '^[xv].$'$$);
SELECT everywhere($$SELECT string_agg(attname, ' ' ORDER BY attrelid::regclass::text, attnum) FROM pg_attribute WHERE attrelid IN ('ddl_more.x2'::regclass, 'ddl_more.x4'::regclass, 'ddl_more.x7'::regclass) AND attnum > 0$$);
DROP VIEW ddl_more.x6, v2, v1;

-- the database's own tablespace
CREATE INDEX ts1 ON t (b) TABLESPACE pg_default;
ALTER TABLE t ADD CONSTRAINT ts2 UNIQUE (a, b) USING INDEX TABLESPACE pg_default, SET TABLESPACE pg_default;
CREATE INDEX CONCURRENTLY ts3 ON t (b, a) TABLESPACE pg_default;
ALTER INDEX ts1 SET TABLESPACE pg_default;
ALTER TABLE t ADD COLUMN d int, ADD UNIQUE (a, d) USING INDEX TABLESPACE pg_default;
SET default_tablespace = 'pg_default';
CREATE INDEX ts4 ON t (c);
RESET default_tablespace;
CREATE TABLE r (a int, b int, PRIMARY KEY (a, b)) PARTITION BY RANGE (b);
CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10) TABLESPACE pg_default;
SELECT shoal.create_distributed_table('r', 'a', colocate_with => 't');
CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (10) TO (20) TABLESPACE pg_default;
SET default_tablespace = 'pg_default';
CREATE TABLE r3 PARTITION OF r FOR VALUES FROM (20) TO (30);
RESET default_tablespace;
CREATE INDEX ts5 ON t (c) TABLESPACE no_such;
SELECT count(DISTINCT object) FROM shard_objects('t') WHERE object ~ ' ts';
SELECT * FROM differences('ddl_more');

-- a table is not one without its shards
ALTER TABLE t ADD CONSTRAINT ni CHECK (b > 0) NO INHERIT;
ALTER TABLE t ADD COLUMN e int CONSTRAINT ni2 CHECK (e > 0) NO INHERIT;
\set VERBOSITY terse
INSERT INTO t VALUES (30, -1);
\set VERBOSITY default
SELECT object FROM shard_objects('t') WHERE object ~ ' ni';

-- shards' indexes that have other names
ALTER TABLE ddl_more2.t REPLICA IDENTITY USING INDEX t_pkey;
ALTER TABLE ddl_more2.t CLUSTER ON t_pkey;
ALTER TABLE r REPLICA IDENTITY USING INDEX r_pkey;
ALTER TABLE t CLUSTER ON no_such;
SELECT everywhere($$SELECT bool_and(indisreplident AND indisclustered) FROM pg_inherits JOIN pg_index ON indrelid = inhrelid WHERE inhparent = 'ddl_more2.t'::regclass$$);
SELECT everywhere($$SELECT relreplident FROM pg_class WHERE oid = 'ddl_more.r'::regclass$$);

-- unique without the distribution column
CREATE UNIQUE INDEX u1 ON t (b);
CREATE UNIQUE INDEX CONCURRENTLY ON t (b);
CREATE UNIQUE INDEX IF NOT EXISTS ts1 ON t (b);
CREATE UNIQUE INDEX u1 ON t (nope);
ALTER TABLE t ADD PRIMARY KEY (b);
ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (b);
ALTER TABLE t ADD CONSTRAINT u2 UNIQUE (b);
ALTER TABLE t ADD COLUMN f int UNIQUE;
ALTER TABLE t ADD COLUMN IF NOT EXISTS b int UNIQUE;
ALTER TABLE r ADD CONSTRAINT u3 UNIQUE (b);
ALTER TABLE t DROP COLUMN a;
CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER tr AFTER INSERT ON t REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION tf();

SET client_min_messages = warning;
DROP SCHEMA ddl_more, ddl_more2 CASCADE;
