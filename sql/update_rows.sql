--
-- UPDATE and DELETE whose rows are worked out on the coordinator, and RETURNING
-- with functions that run there.
--
\set SHOW_CONTEXT never
CREATE SCHEMA rows;
SET search_path = rows;
CREATE TYPE pair AS (a int, b text);
CREATE TABLE t (k int PRIMARY KEY, v int, w text, p pair, arr int[], g int GENERATED ALWAYS AS (v * 2) STORED, "Odd name" char(3) DEFAULT 'abc');
CREATE TABLE r (k int PRIMARY KEY, v int);
CREATE TABLE twin (LIKE t INCLUDING ALL);
CREATE TABLE other (o int, v int);
CREATE TABLE here (h int, v int);
SELECT shoal.create_distributed_table('t', 'k', shard_count => 8, colocate_with => 'none');
SELECT shoal.create_distributed_table('other', 'o', colocate_with => 'none');
SELECT shoal.create_reference_table('r');
INSERT INTO twin SELECT i, i % 7, 'w' || i, (i, 'p')::pair, ARRAY[i, 2] FROM generate_series(1, 200) i;
INSERT INTO t (k, v, w, p, arr) SELECT k, v, w, p, arr FROM twin;
INSERT INTO other SELECT i, i FROM generate_series(1, 50) i;
INSERT INTO r SELECT i, i FROM generate_series(1, 50) i;
INSERT INTO here SELECT i, i * 10 FROM generate_series(1, 5) i;
-- of the user's, so that they may read tables; the last one does
CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1 + $2; END';
CREATE FUNCTION stable_plus(int, int) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1 + $2; END';
CREATE FUNCTION tagged(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''<'' || $1 || ''>''; END';
CREATE FUNCTION others(int) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM rows.other WHERE o <= $1); END';
CREATE FUNCTION broken(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN IF $1 = 9 THEN RAISE division_by_zero; END IF; RETURN $1; END';
CREATE FUNCTION done(query text, name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	row record;
	result text[];
	n bigint;
BEGIN
	BEGIN
		query := replace(query, 'TABLE', 'rows.' || name);
		IF query ~ 'RETURNING' THEN
			FOR row IN EXECUTE query LOOP
				result := result || row::text;
			END LOOP;
			RETURN (SELECT string_agg(x, ' ' ORDER BY x) FROM unnest(result) x);
		END IF;
		EXECUTE query;
		GET DIAGNOSTICS n = ROW_COUNT;
		RETURN n;
	EXCEPTION WHEN OTHERS THEN
		RETURN sqlstate || ' ' || sqlerrm;
	END;
END $$;
CREATE FUNCTION differ() RETURNS TABLE (query text, got text, expected text) LANGUAGE plpgsql AS $$
DECLARE
	q text;
BEGIN
	FOREACH q IN ARRAY ARRAY[
		'UPDATE TABLE SET v = rows.plus(v, 1) WHERE k = 5',
		'UPDATE TABLE SET v = rows.plus(v, k) WHERE k < 40',
		'UPDATE TABLE SET v = rows.stable_plus(v, k)',
		'UPDATE TABLE t SET v = rows.plus(t.v, 1), w = rows.tagged(w) WHERE k % 3 = 0 RETURNING k, v, g, w',
		'UPDATE TABLE SET v = v + 1 WHERE rows.others(k) = 20 RETURNING *',
		'UPDATE TABLE t SET v = 0 WHERE k BETWEEN 10 AND 12 RETURNING t, rows.tagged(w), rows.plus(k, v) AS s',
		'UPDATE TABLE SET v = 0 WHERE k = 10 RETURNING rows.tagged(w), rows.tagged(''x'')',
		'UPDATE TABLE SET v = 0 WHERE k IN (1, 3) RETURNING rows.tagged(''x'')',
		'UPDATE TABLE SET arr[1] = rows.plus(k, 1), p.b = rows.tagged(''q'') WHERE k < 20',
		'UPDATE TABLE SET p = (rows.plus(k, 1), ''r'')::rows.pair WHERE k < 20 RETURNING k, p, (p).b',
		'UPDATE TABLE SET "Odd name" = rows.tagged(''o'') WHERE k = 20 RETURNING "Odd name"',
		'UPDATE TABLE SET "Odd name" = rows.tagged(''too long'') WHERE k = 20',
		'UPDATE TABLE SET v = DEFAULT, w = rows.tagged(NULL) WHERE k = 21 RETURNING *',
		'UPDATE TABLE t SET v = rows.plus(o.v, t.v) FROM rows.other o WHERE o.v = t.k AND rows.plus(o.o, 0) < 30',
		'UPDATE TABLE t SET v = rows.plus(o.v, r.v) FROM rows.other o JOIN rows.r ON r.v = o.v WHERE o.v = t.k RETURNING t.k, o.o, rows.plus(r.v, 0), r',
		'UPDATE TABLE t SET v = rows.plus(h.v, 1) FROM rows.here h WHERE h.h = t.k RETURNING t.k, h.v',
		'UPDATE TABLE t SET w = (SELECT max(rows.tagged(o.v::text)) FROM rows.other o WHERE o.v < t.k) WHERE k < 60',
		'WITH c AS (SELECT rows.plus(o, 0) AS x FROM rows.other) UPDATE TABLE t SET v = x FROM c WHERE c.x = k AND rows.plus(k, 0) > 30',
		'UPDATE TABLE SET v = rows.broken(k) WHERE k < 50',
		'UPDATE TABLE SET k = rows.plus(k, 0) WHERE k = 8 RETURNING k',
		'UPDATE TABLE SET k = rows.plus(k, 1000) WHERE k IN (15, 16) RETURNING k, rows.tagged(w)',
		'UPDATE TABLE SET v = rows.plus(v, 1) WHERE false',
		'DELETE FROM TABLE WHERE rows.plus(k, 0) = 30 RETURNING *',
		'DELETE FROM TABLE WHERE rows.others(k) < 8',
		'DELETE FROM TABLE t USING rows.other o WHERE o.v = t.k AND rows.plus(t.k, 0) > 47 RETURNING t.k, o.v, rows.tagged(t.w)',
		'DELETE FROM TABLE WHERE k = 60 RETURNING rows.tagged(w)',
		'INSERT INTO TABLE (k, v, w) VALUES (500, 1, ''x'') RETURNING rows.tagged(w), k',
		'INSERT INTO TABLE (k, v, w) SELECT 500 + i, i, ''y'' FROM generate_series(1, 20) i RETURNING rows.tagged(w), rows.plus(v, k)',
		'INSERT INTO TABLE (k, v, w) VALUES (500, 1, ''x'') ON CONFLICT (k) DO UPDATE SET v = 7 RETURNING rows.plus(v, 0)',
		'INSERT INTO TABLE (k, v, w) VALUES (500, 1, ''x'') RETURNING rows.tagged(w)']
	LOOP
		query := q;
		expected := rows.done(q, 'twin');
		got := replace(replace(rows.done(q, 't'), '"t_pkey"', '"twin_pkey"'), '"t"', '"twin"');
		IF got IS DISTINCT FROM expected OR EXISTS ((SELECT * FROM rows.t EXCEPT SELECT * FROM rows.twin)
				UNION ALL (SELECT * FROM rows.twin EXCEPT SELECT * FROM rows.t)) THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
SELECT * FROM differ();
SELECT done('UPDATE TABLE SET v = rows.broken(k) WHERE k < 20 AND k > 8', 't');
-- each row is worked out once
CREATE SEQUENCE calls;
UPDATE t SET v = nextval('calls');
SELECT count(DISTINCT v) = count(*), max(v) = count(*) FROM t;
UPDATE t SET v = plus(v, 1) WHERE ctid = '(0,1)';
-- in portions, by ctids
CREATE TABLE portions (k int, n int);
SELECT shoal.create_distributed_table('portions', 'k');
INSERT INTO portions SELECT i % 50, i FROM generate_series(1, 500) i;
INSERT INTO portions VALUES (NULL, 501), (NULL, 502);
DELETE FROM portions WHERE ctid IN (SELECT ctid FROM portions WHERE n > 10 ORDER BY n LIMIT 100);
SELECT count(*), sum(n) FROM portions;
DELETE FROM portions WHERE ctid = ANY (ARRAY(SELECT ctid FROM portions WHERE n > 10 ORDER BY n LIMIT 50));
SELECT count(*), sum(n) FROM portions;
WITH gone AS (DELETE FROM portions WHERE ctid IN (SELECT ctid FROM portions ORDER BY n DESC LIMIT 3 FOR UPDATE SKIP LOCKED) RETURNING n) SELECT array_agg(n ORDER BY n) FROM gone;
UPDATE portions SET n = -n WHERE ctid IN (SELECT ctid FROM portions WHERE k IS NULL) RETURNING *;
UPDATE portions SET n = plus(n, 1000) WHERE NOT ctid IN (SELECT ctid FROM portions WHERE n < 400 ORDER BY k, n);
SELECT count(*), sum(n), count(*) FILTER (WHERE n > 1000) FROM portions;
DELETE FROM portions WHERE k = 5 AND ctid IN (SELECT ctid FROM portions WHERE k = 5 LIMIT 1);
SELECT count(*) FROM portions;
DELETE FROM portions WHERE ctid NOT IN (SELECT min(ctid) FROM portions GROUP BY k);
SELECT count(*), count(DISTINCT k) FROM portions;
DROP TABLE portions;

-- prepared, in a transaction, with an error in it
PREPARE p AS UPDATE t SET v = plus($2, 1) WHERE k = $1 RETURNING k, v;
EXECUTE p (70, 5);
EXECUTE p (71, 6);
BEGIN;
EXECUTE p (70, 7);
SAVEPOINT s;
UPDATE t SET v = broken(9) WHERE k = 70;
ROLLBACK TO s;
EXECUTE p (70, plus(1, 1));
COMMIT;
SELECT k, v FROM t WHERE k IN (70, 71) ORDER BY k;

-- triggers, rights and policies are the nodes'
CREATE FUNCTION upper_w() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.w := upper(NEW.w); RETURN NEW; END';
CREATE TRIGGER up BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION upper_w();
UPDATE t SET w = tagged('low') WHERE k = 72 RETURNING w;
DROP TRIGGER up ON t;
CREATE ROLE regress_rows;
GRANT USAGE ON SCHEMA rows TO regress_rows;
GRANT SELECT ON t TO regress_rows;
SET ROLE regress_rows;
UPDATE t SET v = plus(v, 1) WHERE k = 72;
RESET ROLE;
GRANT UPDATE (v) ON t TO regress_rows;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY see ON t FOR SELECT USING (k < 100);
CREATE POLICY change ON t FOR UPDATE USING (k < 80) WITH CHECK (v < 1000);
SET ROLE regress_rows;
UPDATE t SET v = plus(1, 1) WHERE plus(k, 0) > 78 RETURNING k;
UPDATE t SET v = plus(1, 1000) WHERE plus(k, 0) = 75;
UPDATE t SET w = tagged(w) WHERE k = 75;
RESET ROLE;
ALTER TABLE t DISABLE ROW LEVEL SECURITY;

-- reference tables: the same on every node
SELECT done('UPDATE TABLE r SET v = rows.plus(v, 1) WHERE k < 4 RETURNING k, v, rows.tagged(v::text)', 'r');
SELECT done('UPDATE TABLE r SET v = rows.plus(r.v, o.v) FROM rows.other o WHERE o.v = r.k AND rows.plus(o.o, 0) < 6 RETURNING r.*, o.v', 'r');
UPDATE r SET v = random() * 1000000 WHERE k > 10;
UPDATE r SET v = nextval('calls') WHERE k > 20;
SELECT done('UPDATE TABLE r SET k = rows.plus(k, 100) WHERE k > 45 RETURNING k', 'r');
SELECT done('DELETE FROM TABLE r WHERE rows.others(k) = 7 OR k = (SELECT k FROM rows.r ORDER BY v LIMIT 1) RETURNING k', 'r');
SELECT count(DISTINCT result) FROM shoal.run_on_nodes('SELECT md5(string_agg(k || '' '' || v, '','' ORDER BY k)) FROM rows.r');
SELECT k, v FROM r WHERE k < 10 ORDER BY k;

-- a table that is partitioned itself: ctids are not unique in a shard; tableoid
CREATE TABLE parts (k int, d int) PARTITION BY RANGE (d);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
SELECT shoal.create_distributed_table('parts', 'k', shard_count => 4, colocate_with => 'none');
INSERT INTO parts SELECT i, i FROM generate_series(1, 18) i;
UPDATE parts SET d = plus(d, 1) WHERE plus(k, 0) % 2 = 1;
SELECT d - k AS added, tableoid::regclass, count(*) FROM parts GROUP BY 1, 2 ORDER BY 1, 2;
SELECT done('UPDATE TABLE SET d = rows.plus(0, 0) WHERE tableoid = ''rows.parts2''::regclass AND k > 14 RETURNING k, d, tableoid::regclass, tableoid = ''rows.parts1''::regclass', 'parts');
SELECT done('UPDATE TABLE SET d = 1 WHERE k > 16 RETURNING tableoid::regclass, tableoid = ''rows.parts1''::regclass', 'parts');
SELECT done('DELETE FROM TABLE WHERE tableoid = ''rows.parts1''::regclass AND k > 4 RETURNING k, tableoid::regclass', 'parts');
SELECT tableoid::regclass, count(*), min(k), max(k) FROM parts GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM parts WHERE tableoid = 'parts2'::regclass AND plus(k, 0) > 0;
SELECT DISTINCT tableoid = 'parts1'::regclass OR tableoid = 'parts2'::regclass FROM parts;
SELECT DISTINCT tableoid = 't'::regclass::oid, tableoid::regclass FROM t;
SELECT p.k, p.tableoid::regclass, o.tableoid::regclass FROM parts p LEFT JOIN other o ON o.v = p.d AND o.v = 2 WHERE p.k < 4 ORDER BY 1;
SELECT tableoid::regclass, k FROM parts1 WHERE k = 3;
INSERT INTO parts VALUES (20, 4) RETURNING tableoid::regclass;

-- what is left
CREATE TABLE ident (k int PRIMARY KEY, i int GENERATED ALWAYS AS IDENTITY);
SELECT shoal.create_distributed_table('ident', 'k');
UPDATE ident SET i = DEFAULT;
CREATE TABLE nokey (a int);
SELECT shoal.create_reference_table('nokey');
UPDATE nokey SET a = plus(a, 1);
INSERT INTO nokey VALUES (1), (2), (2), (3), (NULL), (NULL);
UPDATE nokey SET a = stable_plus(a, 1) WHERE a < 3 RETURNING a;
DELETE FROM nokey USING other WHERE other.o = nokey.a AND other.v = 3;
UPDATE nokey SET a = 7 WHERE a IS NULL AND EXISTS (SELECT FROM other WHERE o > 49);
SELECT DISTINCT result FROM shoal.run_on_nodes('SELECT array_agg(a ORDER BY a) FROM rows.nokey');
UPDATE t SET (v, w) = (SELECT plus(v, 1), 'x') WHERE k = 70;
-- a trigger that changes a row which is to be changed by the same statement
CREATE TABLE tangled (k int, id int, v int, PRIMARY KEY (k, id));
SELECT shoal.create_distributed_table('tangled', 'k', colocate_with => 'none');
INSERT INTO tangled SELECT 1, i, 0 FROM generate_series(1, 3) i;
CREATE FUNCTION tangle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id = 1 OR OLD.id = 1 THEN
		UPDATE rows.tangled SET v = 100 WHERE k = OLD.k AND id = 3;
	END IF;
	RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER tangle BEFORE UPDATE OR DELETE ON tangled FOR EACH ROW WHEN (pg_trigger_depth() < 1) EXECUTE FUNCTION tangle();
SET shoal.batch_size = 1;
UPDATE tangled SET v = plus(v, 1);
DELETE FROM tangled WHERE plus(v, 1) = 1;
SET shoal.row_triggers = 'node';
UPDATE tangled SET v = plus(v, 1);
RESET shoal.row_triggers;
UPDATE tangled SET v = plus(v, 1) WHERE id < 3;
RESET shoal.batch_size;
SELECT * FROM tangled ORDER BY id;
DROP SCHEMA rows CASCADE;
DROP ROLE regress_rows;
