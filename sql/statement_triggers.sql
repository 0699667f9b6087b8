--
-- Statement triggers: once for each statement, in the session that sent it.
--
\set SHOW_CONTEXT never
CREATE SCHEMA stmt;
SET search_path = stmt;
CREATE TABLE t (k int PRIMARY KEY, v int, w text);
CREATE TABLE r (k int PRIMARY KEY, v int, w text);
CREATE TABLE twin (k int PRIMARY KEY, v int, w text);
SELECT shoal.create_distributed_table('t', 'k', shard_count => 8, colocate_with => 'none');
SELECT shoal.create_reference_table('r');
-- of this node only, so that triggers elsewhere would write to another one
CREATE TABLE log (n serial, what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	-- whole tables are seen
	INSERT INTO stmt.log (what) SELECT concat_ws(' ', TG_NAME, TG_WHEN, TG_OP, (SELECT count(*) FROM stmt.t), pg_trigger_depth());
	RETURN NULL;
END $$;
CREATE FUNCTION watch(name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER a BEFORE INSERT OR UPDATE OR DELETE ON %s EXECUTE FUNCTION stmt.note()', name);
	EXECUTE format('CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON %s EXECUTE FUNCTION stmt.note()', name);
	EXECUTE format('CREATE TRIGGER c AFTER UPDATE OF w ON %s EXECUTE FUNCTION stmt.note()', name);
END $$;
SELECT watch('twin');
-- what a statement's triggers have noted, and how many rows it says it has changed
CREATE FUNCTION noted(query text, name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	changed bigint;
	result text;
BEGIN
	DELETE FROM stmt.log;
	BEGIN
		EXECUTE replace(query, 'TABLE', 'stmt.' || name);
		GET DIAGNOSTICS changed = ROW_COUNT;
		-- how many rows there are is another matter for triggers of the twin
		SELECT changed || ': ' || string_agg(regexp_replace(what, '\d+ (\d)$', '\1'), ', ' ORDER BY l.n) INTO result FROM stmt.log l;
		RETURN result;
	EXCEPTION WHEN OTHERS THEN
		RETURN sqlstate || ' ' || sqlerrm;
	END;
END $$;
CREATE TABLE queries (n serial, query text);
INSERT INTO queries (query) VALUES
	('INSERT INTO TABLE VALUES (1, 1, ''x'')'),
	('INSERT INTO TABLE SELECT i, i, ''y'' FROM generate_series(2, 100) i'),
	('INSERT INTO TABLE VALUES (1, 1, ''x'') ON CONFLICT DO NOTHING'),
	('INSERT INTO TABLE VALUES (1, 5, ''x''), (101, 5, ''x'') ON CONFLICT (k) DO UPDATE SET v = 7'),
	('INSERT INTO TABLE VALUES (1, 5, ''x'') ON CONFLICT (k) DO UPDATE SET w = ''z'''),
	('UPDATE TABLE SET v = v + 1'),
	('UPDATE TABLE SET w = ''a'' WHERE k = 7'),
	('UPDATE TABLE SET w = ''a'' WHERE k < 7'),
	('UPDATE TABLE SET v = 1 WHERE k = -1'),
	('DELETE FROM TABLE WHERE k IN (3, 4, 5)'),
	('DELETE FROM TABLE WHERE false'),
	('DELETE FROM TABLE WHERE k = 8'),
	('MERGE INTO TABLE t USING (VALUES (200)) s (k) ON t.k = s.k AND t.k = 200 WHEN MATCHED THEN DELETE'),
	('INSERT INTO TABLE VALUES (1, 1, ''x'')');

SELECT watch('t'), watch('r');
DO $$
DECLARE
	q record;
	expected text;
	got text;
BEGIN
	FOR q IN SELECT * FROM stmt.queries ORDER BY n LOOP
		expected := stmt.noted(q.query, 'twin');
		FOR i IN 1..2 LOOP
			got := stmt.noted(q.query, (ARRAY['t', 'r'])[i]);
			got := replace(replace(got, '"t_pkey"', '"twin_pkey"'), '"r_pkey"', '"twin_pkey"');
			IF got IS DISTINCT FROM expected THEN
				RAISE NOTICE '%: % instead of %', q.query, got, expected;
			END IF;
		END LOOP;
	END LOOP;
END $$;
SELECT (SELECT count(*) FROM (SELECT * FROM t EXCEPT SELECT * FROM twin) d), (SELECT count(*) FROM (SELECT * FROM r EXCEPT SELECT * FROM twin) d);

SELECT noted('WITH d AS (DELETE FROM TABLE WHERE k = 9 RETURNING k) SELECT count(*) FROM d', name) FROM (VALUES ('t'), ('twin')) n (name);

-- at the top level, also when a node commits by itself; rows are seen as they are then
DELETE FROM log;
UPDATE t SET v = 0 WHERE k = 20;
INSERT INTO t VALUES (300, 1, 'x');
INSERT INTO t SELECT 300 + i FROM generate_series(1, 50) i;
COPY t FROM STDIN;
401	1	x
402	1	x
403	1	x
\.
PREPARE p AS DELETE FROM t WHERE k = $1;
EXECUTE p (401);
EXECUTE p (402);
DELETE FROM t WHERE k > 300;
SELECT what FROM log ORDER BY n;

-- an error in one undoes the statement
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF (SELECT count(*) FROM stmt.t) > 100 THEN RAISE ''too many''; END IF; RETURN NULL; END';
CREATE TRIGGER z AFTER INSERT OR UPDATE ON t EXECUTE FUNCTION refuse();
SELECT count(*) AS n FROM t \gset
INSERT INTO t SELECT i FROM generate_series(1000, 1100) i;
INSERT INTO t VALUES (1000);
SELECT count(*) = :n + 1 FROM t;
DELETE FROM t WHERE k = 1000;
-- disabled ones
ALTER TABLE t DISABLE TRIGGER USER;
DELETE FROM log;
UPDATE t SET v = 1;
SELECT count(*) FROM log;
DROP TRIGGER z ON t;
DROP TRIGGER a ON t;
DROP TRIGGER b ON t;
DROP TRIGGER c ON t;

-- transition tables: of all shards
CREATE FUNCTION sum_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% new rows', (SELECT count(*) FROM new_rows);
	RETURN NULL;
END $$;
CREATE TRIGGER sums AFTER INSERT ON t REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION sum_new();
CREATE TRIGGER sums AFTER INSERT ON r REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION sum_new();
INSERT INTO t VALUES (2000, 1, 'x');
INSERT INTO t VALUES (2001, 1, 'x'), (2002, 1, 'x');
COPY t FROM STDIN;
2003	1	x
2004	1	x
2005	1	x
\.
INSERT INTO r VALUES (2001, 1, 'x'), (2002, 1, 'x');
UPDATE t SET v = 3;
SELECT count(*) FROM t WHERE k >= 2000;
INSERT INTO t VALUES (2000, 1, 'x'), (2010, 1, 'x') ON CONFLICT (k) DO UPDATE SET v = 0;
-- in a MERGE
MERGE INTO t USING (VALUES (2000), (2001)) s (k) ON t.k = s.k WHEN NOT MATCHED THEN INSERT VALUES (s.k);
DROP SCHEMA stmt CASCADE;
