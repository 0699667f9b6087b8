--
-- Making Shoal tables local again, and tables partitioned by range or list.
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET shoal.shard_count = 4;
SELECT count(*) AS tables FROM shoal.distributed_table \gset
SELECT count(*) AS schemas FROM pg_namespace WHERE nspname LIKE 'shoal\_%' \gset
CREATE SCHEMA undist;
SET search_path = undist, public;

-- what the catalogs say about a table, its indexes and constraints
CREATE FUNCTION facts(tab regclass) RETURNS TABLE (fact text) LANGUAGE sql
SET search_path = pg_catalog, undist AS $$
	SELECT format('%s %s %s %s %s %s %s', relname, relkind, relam::regclass::text IS NULL, reloptions, relhassubclass,
		relreplident, relpersistence)
	FROM pg_class WHERE oid = tab OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = tab)
	UNION ALL
	SELECT format('%s %s %s %s %s %s %s', pg_get_indexdef(indexrelid), indisvalid, indisready, indislive, indisreplident,
		indcheckxmin, indisclustered)
	FROM pg_index WHERE indrelid = tab
	UNION ALL
	SELECT format('%s %s %s %s %s %s', conname, pg_get_constraintdef(oid), connoinherit, conislocal, coninhcount, conparentid)
	FROM pg_constraint WHERE conrelid = tab
	UNION ALL
	SELECT format('%s %s %s', attname, atthasdef, attnotnull) FROM pg_attribute WHERE attrelid = tab
	UNION ALL
	SELECT format('%s %s %s %s %s', classid::regclass, objsubid, refclassid::regclass, refobjsubid, deptype) FROM pg_depend
	WHERE objid = tab OR refobjid = tab
	UNION ALL
	SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = tab AND NOT tgisinternal
$$;

CREATE FUNCTION trig() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TABLE ref (r int PRIMARY KEY);
INSERT INTO ref SELECT generate_series(0, 9);
CREATE TABLE t (junk int, id serial, name text CHECK (name <> ''), wide text, twice int GENERATED ALWAYS AS (r * 2) STORED,
	r int, PRIMARY KEY (id), UNIQUE (id, name)) WITH (fillfactor = 70, toast.autovacuum_enabled = off);
ALTER TABLE t DROP COLUMN junk;
CREATE INDEX t_name ON t (lower(name));
CREATE VIEW t_view AS SELECT id, name FROM t;
CREATE TRIGGER trig BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION trig();
INSERT INTO t (name, wide, r)
	SELECT 'n' || i, CASE WHEN i % 50 = 0 THEN repeat(md5(i::text), 400) END, i % 10 FROM generate_series(1, 200) i;
SELECT shoal.create_reference_table('ref');
ALTER TABLE t ADD CONSTRAINT t_ref FOREIGN KEY (r) REFERENCES ref;
COMMENT ON CONSTRAINT t_ref ON t IS 'a foreign key';
CREATE TABLE twin AS TABLE t;
CREATE TABLE facts_before AS SELECT * FROM facts('t');

SELECT shoal.create_distributed_table('t', 'id');
INSERT INTO t (name, r) VALUES ('while distributed', 1);
INSERT INTO twin SELECT * FROM t WHERE name = 'while distributed';
SELECT shoal.undistribute_table('t');
SELECT 'lost' AS what, * FROM (TABLE facts_before EXCEPT ALL SELECT * FROM facts('t')) x
UNION ALL SELECT 'new', * FROM (SELECT * FROM facts('t') EXCEPT ALL TABLE facts_before) x;
SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 't_ref';
SELECT reloptions FROM pg_class WHERE oid = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass);
(TABLE t EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE t);
SELECT count(*) FROM t_view;
-- the indexes are complete
SET enable_seqscan = off;
SELECT id FROM t WHERE lower(name) = 'n77';
SELECT id FROM t WHERE id = 77;
RESET enable_seqscan;
INSERT INTO t (id, name, r) VALUES (77, 'again', 1);
INSERT INTO t (name, r) VALUES ('x', 99);
SELECT count(*) FROM shoal.distributed_table WHERE table_name = 't'::regclass;

-- there and back again, by another key
ALTER TABLE t DROP CONSTRAINT t_pkey, DROP CONSTRAINT t_id_name_key;
SELECT shoal.create_distributed_table('t', 'name');
SELECT pg_get_partkeydef('t'::regclass);
(TABLE t EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE t);
SELECT shoal.undistribute_table('t');
(TABLE t EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE t);

-- in one transaction, and taken back
BEGIN;
SELECT shoal.create_distributed_table('t', 'name');
SELECT shoal.undistribute_table('t');
SELECT shoal.create_distributed_table('t', 'id');
(TABLE t EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE t);
ROLLBACK;
(TABLE t EXCEPT TABLE twin) UNION ALL (TABLE twin EXCEPT TABLE t);

-- reference, single-shard and empty tables
SELECT shoal.undistribute_table('ref');
SELECT count(*) FROM ref;
CREATE TABLE single (k int PRIMARY KEY, v text);
SELECT shoal.create_distributed_table('single', NULL);
INSERT INTO single SELECT i, 'v' || i FROM generate_series(1, 50) i;
SELECT shoal.undistribute_table('single');
SELECT count(*), min(v), max(v) FROM single;
CREATE UNLOGGED TABLE empty (k int);
SELECT shoal.create_distributed_table('empty', 'k');
SELECT shoal.undistribute_table('empty');
SELECT relkind, relpersistence FROM pg_class WHERE oid = 'empty'::regclass;

-- row security that would hide rows from the owner
CREATE ROLE undist_owner;
GRANT ALL ON SCHEMA undist TO undist_owner;
SET ROLE undist_owner;
CREATE TABLE forced (k int, v text);
INSERT INTO forced SELECT i, 'v' FROM generate_series(1, 20) i;
ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY forced_policy ON forced USING (k > 10);
SELECT shoal.create_distributed_table('forced', 'k');
SELECT count(*) FROM forced;
SELECT shoal.undistribute_table('forced');
ALTER TABLE forced NO FORCE ROW LEVEL SECURITY;
SELECT shoal.undistribute_table('forced');
SELECT count(*) FROM forced;
RESET ROLE;

-- a snapshot from before the table was locked could miss rows
CREATE TABLE old (k int);
SELECT shoal.create_distributed_table('old', 'k');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT shoal.undistribute_table('old');
ROLLBACK;

-- foreign keys between distributed tables keep them distributed
CREATE TABLE parent (k int PRIMARY KEY);
CREATE TABLE child (k int PRIMARY KEY);
SELECT shoal.create_distributed_table('parent', 'k');
SELECT shoal.create_distributed_table('child', 'k');
ALTER TABLE child ADD FOREIGN KEY (k) REFERENCES parent;
SELECT shoal.undistribute_table('parent');
SELECT shoal.undistribute_table('child');
SELECT shoal.undistribute_table('parent');

-- partitions by range and list: each is split into shards
CREATE TABLE ev (tenant int, ts date, v text, r int, PRIMARY KEY (tenant, ts)) PARTITION BY RANGE (ts);
CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') WITH (fillfactor = 70);
CREATE TABLE ev_2 (v text, junk int, ts date NOT NULL, r int, tenant int NOT NULL CHECK (tenant > 0));
ALTER TABLE ev_2 DROP COLUMN junk;
ALTER TABLE ev ATTACH PARTITION ev_2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE ev_3 PARTITION OF ev DEFAULT PARTITION BY LIST (tenant);
CREATE TABLE ev_3a PARTITION OF ev_3 DEFAULT;
CREATE INDEX ev_v ON ev (v);
CREATE INDEX ev_2_r ON ev_2 (r);
INSERT INTO ev SELECT i % 50 + 1, '2020-01-01'::date + i, 'v' || i, i % 10 FROM generate_series(0, 999) i;
CREATE TABLE ev_twin AS TABLE ev;
SELECT shoal.create_distributed_table('ev', 'tenant');
SELECT table_name, kind FROM shoal.distributed_table WHERE table_name::text LIKE 'ev%' ORDER BY table_name::text;
SELECT DISTINCT inhparent::regclass, c.relname, reloptions
FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE c.relname ~ '^ev_' AND relnamespace::regnamespace::text LIKE 'shoal%' AND relkind = 'r' ORDER BY 2;
(TABLE ev EXCEPT TABLE ev_twin) UNION ALL (TABLE ev_twin EXCEPT TABLE ev);
SELECT count(*) FROM ev WHERE tenant = 7;
SELECT count(*) FROM ev_2;
INSERT INTO ev VALUES (7, '2021-12-31', 'new', 1), (8, '2025-12-31', 'new', 1);
INSERT INTO ev VALUES (7, '2021-12-31', 'twice', 1);
SELECT shoal.undistribute_table('ev_2');
SELECT shoal.undistribute_table('ev');
INSERT INTO ev_twin VALUES (7, '2021-12-31', 'new', 1), (8, '2025-12-31', 'new', 1);
(TABLE ev EXCEPT TABLE ev_twin) UNION ALL (TABLE ev_twin EXCEPT TABLE ev);
SELECT c.relname, relkind, reloptions FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE c.relname ~ '^ev_' AND relkind IN ('r', 'p') ORDER BY 1;
SELECT shoal.create_distributed_table('ev', 'tenant');
-- later partitions are split as well
CREATE TABLE ev_4 PARTITION OF ev FOR VALUES FROM ('2030-01-01') TO ('2031-01-01') WITH (fillfactor = 60);
CREATE TABLE IF NOT EXISTS ev_4 PARTITION OF ev FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');
CREATE TABLE ev_5 PARTITION OF ev FOR VALUES FROM ('2031-01-01') TO ('2032-01-01') PARTITION BY LIST (tenant);
CREATE TABLE ev_5a PARTITION OF ev_5 DEFAULT;
CREATE TABLE ev_6 (LIKE ev) PARTITION BY HASH (tenant);
ALTER TABLE ev ATTACH PARTITION ev_6 FOR VALUES FROM ('2032-01-01') TO ('2033-01-01');
CREATE TABLE ev_7 (LIKE ev);
ALTER TABLE ev ATTACH PARTITION ev_7 FOR VALUES FROM ('2033-01-01') TO ('2034-01-01');
ALTER TABLE ev DETACH PARTITION ev_1;
SELECT count(*) FROM ev_1;
ALTER TABLE ev ATTACH PARTITION ev_1 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
INSERT INTO ev SELECT i, ('2030-05-05'::date + i * interval '1 year'), 'later', i FROM generate_series(0, 2) i;
SELECT inhparent::regclass, count(*) > 0 AS here, min(c.reloptions) AS options FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
WHERE c.relname ~ '^ev_[4567]' AND relnamespace::regnamespace::text LIKE 'shoal%' AND relkind = 'r' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM ev;
SELECT count(*) FROM ev_4;
SELECT count(*) FROM ev WHERE ts > '2030-01-01' AND v = 'later';
DROP TABLE ev_1;
SELECT table_name FROM shoal.distributed_table WHERE table_name::text LIKE 'ev%' ORDER BY table_name::text;
DROP TABLE ev;

DROP SCHEMA undist CASCADE;
SELECT count(*) - :tables AS left_over FROM shoal.distributed_table;
SELECT count(*) - :schemas AS left_over FROM pg_namespace WHERE nspname LIKE 'shoal\_%';
DROP ROLE undist_owner;
