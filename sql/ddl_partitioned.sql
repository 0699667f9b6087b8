--
-- What core refuses on partitioned tables, but users expect of tables.
--
CREATE SCHEMA ddl_partitioned;
\set SHOW_CONTEXT never
SET search_path = ddl_partitioned, public;
CREATE TABLE t (a int PRIMARY KEY, b text, c int, d int);
SELECT shoal.create_distributed_table('t', 'a', shard_count => 6);
CREATE TABLE p (id int PRIMARY KEY, x text);
SELECT shoal.create_reference_table('p');
CREATE INDEX t_b ON t (b);
INSERT INTO t SELECT i, 'b' || i % 7, i, i % 5 FROM generate_series(1, 60) i;
INSERT INTO p SELECT i FROM generate_series(1, 30) i;

-- storage parameters
ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = off);
ALTER TABLE t SET (toast.autovacuum_enabled = off), ADD COLUMN e int DEFAULT 1;
ALTER INDEX t_b SET (fillfactor = 60);
SELECT * FROM shard_objects('t');
ALTER TABLE t RESET (fillfactor), RESET (autovacuum_enabled);
ALTER INDEX t_b RESET (fillfactor);
SELECT * FROM shard_objects('t');
ALTER TABLE t SET (no_such = 1);
ALTER TABLE t SET (fillfactor = 1);

-- persistence, tablespace, access method, replica identity, column options
ALTER TABLE t SET UNLOGGED;
SELECT * FROM shard_objects('t') WHERE object ~ '^table';
ALTER TABLE t SET LOGGED;
SELECT * FROM shard_objects('t') WHERE object ~ '^table';
-- what foreign keys lead to has to be as persistent, itself and others
CREATE TABLE parent_t (a int, b int, PRIMARY KEY (a, b), FOREIGN KEY (a, b) REFERENCES parent_t);
CREATE TABLE child_t (a int, b int, c int, PRIMARY KEY (a, c));
SELECT shoal.create_distributed_table('parent_t', 'a', colocate_with => 't');
SELECT shoal.create_distributed_table('child_t', 'a', colocate_with => 't');
CREATE TABLE ref_t (c int PRIMARY KEY);
SELECT shoal.create_reference_table('ref_t');
ALTER TABLE child_t ADD FOREIGN KEY (a, b) REFERENCES parent_t, ADD FOREIGN KEY (c) REFERENCES ref_t;
INSERT INTO ref_t VALUES (1);
INSERT INTO parent_t SELECT i, i FROM generate_series(1, 20) i;
INSERT INTO child_t SELECT i, i, 1 FROM generate_series(1, 20) i;
\set VERBOSITY sqlstate
ALTER TABLE parent_t SET UNLOGGED;
ALTER TABLE ref_t SET UNLOGGED;
ALTER TABLE child_t SET UNLOGGED;
ALTER TABLE parent_t SET UNLOGGED;
ALTER TABLE ref_t SET UNLOGGED;
SELECT everywhere($$SELECT string_agg(DISTINCT relpersistence::text, '') FROM pg_class WHERE relname IN ('parent_t', 'child_t', 'ref_t') AND relkind = 'r'$$);
ALTER TABLE child_t SET LOGGED;
ALTER TABLE ref_t SET LOGGED;
ALTER TABLE child_t SET LOGGED;
ALTER TABLE parent_t SET LOGGED;
ALTER TABLE child_t SET LOGGED;
\set VERBOSITY default
SELECT everywhere($$SELECT string_agg(DISTINCT relpersistence::text, '') FROM pg_class WHERE relname IN ('parent_t', 'child_t', 'ref_t')$$);
SELECT count(*) FROM child_t JOIN parent_t USING (a, b) JOIN ref_t USING (c);
DROP TABLE child_t, parent_t, ref_t;
ALTER TABLE t SET TABLESPACE pg_default;
ALTER TABLE t SET ACCESS METHOD heap;
ALTER TABLE t REPLICA IDENTITY FULL;
SELECT everywhere($$SELECT string_agg(DISTINCT relreplident::text, '') FROM pg_class WHERE relname = 't' AND relkind IN ('r', 'p')$$);
ALTER TABLE t REPLICA IDENTITY USING INDEX t_pkey;
SELECT everywhere($$SELECT string_agg(DISTINCT relreplident::text, '') FROM pg_class WHERE relname = 't' AND relkind IN ('r', 'p')$$);
SELECT everywhere($$SELECT count(DISTINCT indisreplident) FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = 't_pkey'$$);
ALTER TABLE t ALTER COLUMN c SET (n_distinct = 12);
SELECT everywhere($$SELECT count(DISTINCT o) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid, unnest(attoptions) o WHERE relname = 't' AND attname = 'c' AND o ~ 'n_distinct'$$);

-- clustering
ALTER TABLE t CLUSTER ON t_b;
SELECT everywhere($$SELECT bool_and(indisclustered) FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = 't_b' AND relkind = 'i'$$);
CLUSTER t;
ALTER TABLE t SET WITHOUT CLUSTER;
CLUSTER t;
CLUSTER t USING t_b;
CLUSTER t;
ALTER TABLE t CLUSTER ON no_such;

-- foreign keys that are not checked yet
ALTER TABLE t ADD CONSTRAINT late FOREIGN KEY (c) REFERENCES p NOT VALID;
SELECT * FROM shard_objects('t') WHERE object ~ 'late';
SELECT everywhere($$SELECT string_agg(DISTINCT convalidated::text, '') FROM pg_constraint WHERE conname = 'late'$$);
INSERT INTO t VALUES (100, 'x', 100);
\set VERBOSITY terse
ALTER TABLE t VALIDATE CONSTRAINT late;
\set VERBOSITY default
INSERT INTO p SELECT i FROM generate_series(31, 60) i;
ALTER TABLE t VALIDATE CONSTRAINT late;
SELECT everywhere($$SELECT string_agg(DISTINCT convalidated::text, '') FROM pg_constraint WHERE conname = 'late'$$);
ALTER TABLE t DROP CONSTRAINT late;
ALTER TABLE t ADD FOREIGN KEY (d) REFERENCES p NOT VALID;
SELECT everywhere($$SELECT string_agg(DISTINCT convalidated::text, '') FROM pg_constraint WHERE conname = 't_d_fkey'$$);
ALTER TABLE t ADD CONSTRAINT chk CHECK (c < 50) NOT VALID;
INSERT INTO t VALUES (100, 'x', 59);
ALTER TABLE t VALIDATE CONSTRAINT chk;
ALTER TABLE t DROP CONSTRAINT chk;

-- constraints from indexes
CREATE UNIQUE INDEX t_a_c ON t (a, c) INCLUDE (d);
ALTER TABLE t ADD CONSTRAINT t_unique UNIQUE USING INDEX t_a_c;
CREATE UNIQUE INDEX t_c_a ON t (c, a);
ALTER TABLE t ADD UNIQUE USING INDEX t_c_a;
ALTER TABLE t DROP CONSTRAINT t_pkey;
CREATE UNIQUE INDEX t_key ON t (a);
ALTER TABLE t ADD PRIMARY KEY USING INDEX t_key;
SELECT * FROM shard_objects('t');
ALTER TABLE t ADD UNIQUE USING INDEX t_b;
ALTER TABLE t ADD UNIQUE USING INDEX no_such;
CREATE UNIQUE INDEX t_part ON t (a, d) WHERE d > 1;
ALTER TABLE t ADD UNIQUE USING INDEX t_part;
CREATE UNIQUE INDEX t_desc ON t (a, d DESC);
ALTER TABLE t ADD UNIQUE USING INDEX t_desc;
CREATE UNIQUE INDEX t_posix ON t (a, b COLLATE "POSIX");
ALTER TABLE t ADD UNIQUE USING INDEX t_posix;
CREATE UNIQUE INDEX t_ops ON t (a, b text_pattern_ops);
ALTER TABLE t ADD UNIQUE USING INDEX t_ops;
ALTER TABLE t ADD UNIQUE USING INDEX t_key;
DROP INDEX t_desc, t_posix, t_ops;

-- indexes built concurrently
CREATE INDEX CONCURRENTLY conc ON t (c DESC) WHERE c > 3;
CREATE INDEX CONCURRENTLY ON t (b, c);
CREATE UNIQUE INDEX CONCURRENTLY ON t (a, b);
CREATE INDEX CONCURRENTLY IF NOT EXISTS conc ON t (c);
CREATE UNIQUE INDEX CONCURRENTLY failing ON t (c);
-- one that was not built to its end is not made valid by building again what there is
CREATE TABLE dups (a int, b int);
SELECT shoal.create_distributed_table('dups', 'a', colocate_with => 't');
INSERT INTO dups SELECT i % 30, 1 FROM generate_series(1, 60) i;
\set VERBOSITY sqlstate
CREATE UNIQUE INDEX CONCURRENTLY dups_key ON dups (a);
REINDEX INDEX dups_key;
REINDEX INDEX CONCURRENTLY dups_key;
\set VERBOSITY default
SELECT indisvalid FROM pg_index WHERE indexrelid = 'dups_key'::regclass;
DELETE FROM dups WHERE a < 29;
REINDEX INDEX dups_key;
DROP TABLE dups;
SELECT * FROM shard_objects('t') WHERE object ~ 'conc|b_c|a_b';
SELECT everywhere($$SELECT string_agg(relname || ' ' || indisvalid, ', ' ORDER BY relname) FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = 'ddl_partitioned.t'::regclass AND relname ~ 'conc|b_c|a_b'$$);
BEGIN;
CREATE INDEX CONCURRENTLY inblock ON t (d);
ROLLBACK;
DROP INDEX CONCURRENTLY conc;
SELECT exists_everywhere('ddl_partitioned.conc');
CREATE INDEX CONCURRENTLY conc_p ON p (x);
SELECT exists_everywhere('ddl_partitioned.conc_p');
DROP INDEX CONCURRENTLY conc_p;
SELECT exists_everywhere('ddl_partitioned.conc_p');
-- one that fails leaves an invalid index, as on one server
INSERT INTO p VALUES (1000, 'twice'), (1001, 'twice');
CREATE UNIQUE INDEX CONCURRENTLY dup ON p (x);
SELECT everywhere($$SELECT string_agg(indisvalid::text, '') FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = 'dup'$$);
DROP INDEX IF EXISTS dup;
SELECT exists_everywhere('ddl_partitioned.dup');
-- in a table of another node, from another node
\c shoal_n3
SET search_path = ddl_partitioned, public;
CREATE INDEX CONCURRENTLY from_n3 ON t (d, b);
ALTER TABLE t SET (fillfactor = 55);
\c shoal_n1
SET search_path = ddl_partitioned, public;
SELECT * FROM shard_objects('t') WHERE object ~ 'from_n3|^table';
SELECT count(*) FROM t WHERE d = 3 AND b = 'b1';

-- ONLY: without its shards it would not be a table
CREATE TABLE o (a int PRIMARY KEY, b text, c int);
SELECT shoal.create_distributed_table('o', 'a', colocate_with => 't');
INSERT INTO o VALUES (1, 'x', 1), (2, 'y', 2);
ALTER TABLE ONLY o ADD COLUMN d int DEFAULT 4, ADD CONSTRAINT o_c CHECK (c > 0), ALTER b SET NOT NULL, ALTER c TYPE bigint;
ALTER TABLE ONLY o RENAME COLUMN d TO e;
ALTER TABLE ONLY o ADD CONSTRAINT o_t FOREIGN KEY (a) REFERENCES t;
ALTER TABLE ONLY o RENAME CONSTRAINT o_t TO o_t2;
CREATE INDEX o_b ON ONLY o (b);
SELECT * FROM shard_objects('o');
SELECT * FROM differences('ddl_partitioned') WHERE object !~ 'REFERENCES shoal_';
SELECT * FROM ONLY o WHERE e = 4 ORDER BY a;
TRUNCATE ONLY o;
SELECT count(*) FROM o;
DROP TABLE o;

-- new shards have it all
SELECT shoal.undistribute_table('t');
SELECT indexdef FROM pg_indexes WHERE tablename = 't' AND schemaname = 'ddl_partitioned' ORDER BY 1;
\set VERBOSITY terse
DROP SCHEMA ddl_partitioned CASCADE;
