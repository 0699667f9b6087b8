-- Tables with replicas: all kinds of writes.  The tables of schema repl have one
-- replica of each shard, those of schema twin are plain.
CREATE SCHEMA repl;
CREATE SCHEMA twin;
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';

-- runs a statement in both schemas and compares what comes back
CREATE FUNCTION public.both(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	sorted bool = query ~* 'order by [^()]*$';
	want text[] = public.rows_of('twin', query, sorted);
	got text[] = public.rows_of('repl', query, sorted);
BEGIN
	IF want = got THEN
		RETURN CASE WHEN want[1] ~ '^([0-9A-Z]{5}:|count) ' THEN want[1] ELSE cardinality(want) || ' rows' END;
	END IF;
	RETURN format(E'DIFFERENT\n plain: %s\n replicated: %s', left(want::text, 500), left(got::text, 500));
END $$;
-- what is wrong with the tables of schema repl: nothing if their copies are
-- equal and they have their twins' rows
CREATE FUNCTION public.wrong() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t name;
	columns text;
BEGIN
	FOR t IN SELECT relname FROM pg_class JOIN shoal.distributed_table ON table_name = oid
			WHERE relnamespace = 'repl'::regnamespace ORDER BY 1 LOOP
		RETURN QUERY SELECT format('%s: shard %s, key %s: %s', t, v.shard, v.key, v.problem)
			FROM shoal.verify_table(format('repl.%I', t)::regclass) v ORDER BY 1;
		SELECT string_agg(format('%I::text', attname), ',' ORDER BY attname) INTO columns FROM pg_attribute
			WHERE attrelid = format('repl.%I', t)::regclass AND attnum > 0 AND NOT attisdropped;
		RETURN QUERY EXECUTE format('(SELECT %2$L || row_::text FROM (SELECT %1$s FROM twin.%3$I EXCEPT ALL SELECT %1$s FROM repl.%3$I) row_)
			UNION ALL (SELECT %4$L || row_::text FROM (SELECT %1$s FROM repl.%3$I EXCEPT ALL SELECT %1$s FROM twin.%3$I) row_) LIMIT 10',
			columns, t || ' lacks ', t, t || ' has too much: ');
	END LOOP;
END $$;
-- the same tables in both
CREATE FUNCTION public.make(definition text, key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	name text = substring(definition from '^(\w+)');
BEGIN
	EXECUTE format('CREATE TABLE twin.%s', definition);
	EXECUTE format('CREATE TABLE repl.%s', definition);
	PERFORM shoal.create_distributed_table(format('repl.%s', name), key,
		shard_count => CASE WHEN key IS NULL THEN NULL ELSE 4 END, replicas => 1);
END $$;

-- a statement with @@ for the schema
CREATE FUNCTION public.both_ddl(query text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE replace(query, '@@', 'twin');
	EXECUTE replace(query, '@@', 'repl');
END $$;

SELECT public.make('t (k int PRIMARY KEY, v text, n numeric DEFAULT 1.50, w timestamptz DEFAULT ''2024-01-01 UTC'')', 'k');
SELECT count(*), count(DISTINCT node_id) FROM shoal.shards WHERE table_name = 'repl.t'::regclass GROUP BY role, shard ORDER BY 1, 2;
SELECT role, state, count(*) FROM shoal.shards WHERE table_name = 'repl.t'::regclass GROUP BY 1, 2 ORDER BY 1, 2;

-- single statements
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO t VALUES (1, ''a'')',
	'INSERT INTO t VALUES (2, ''b'', NULL, NULL), (3, ''c'', 3, ''2024-02-03 UTC''), (4, NULL, 4, NULL)',
	'INSERT INTO t VALUES (5, ''e''), (6, ''f'') RETURNING *',
	'INSERT INTO t SELECT i, ''row '' || i, i FROM generate_series(10, 200) i',
	'INSERT INTO t SELECT k + 1000, v, n FROM t WHERE k < 100',
	'INSERT INTO t (k) SELECT k + 2000 FROM t WHERE k < 50 RETURNING k, v, n',
	'INSERT INTO t VALUES (1, ''conflict'') ON CONFLICT DO NOTHING',
	'INSERT INTO t VALUES (1, ''conflict''), (7, ''new'') ON CONFLICT (k) DO UPDATE SET v = t.v || excluded.v RETURNING *',
	'INSERT INTO t SELECT i, ''again'' FROM generate_series(1, 20) i ON CONFLICT (k) DO UPDATE SET v = excluded.v WHERE t.k % 2 = 0',
	'INSERT INTO t VALUES (1, ''error'')',
	'INSERT INTO t SELECT i FROM generate_series(300, 100, -1) i',
	'UPDATE t SET v = ''one'' WHERE k = 1',
	'UPDATE t SET v = ''none'' WHERE k = -1',
	'UPDATE t SET n = n + 1 WHERE k BETWEEN 50 AND 90',
	'UPDATE t SET v = v WHERE k > 1000',
	'UPDATE t SET n = t.n + s.n FROM t s WHERE s.k = t.k AND t.k % 3 = 0 RETURNING t.k, t.n',
	'UPDATE t SET n = 1 / (k - 70)',
	'UPDATE t SET k = k + 5000 WHERE k BETWEEN 1 AND 40',
	'UPDATE t SET k = -k, v = ''moved'' WHERE k = 50 RETURNING *',
	'UPDATE t SET k = 51 WHERE k = 52',
	'DELETE FROM t WHERE k = 60',
	'DELETE FROM t WHERE k BETWEEN 61 AND 70 RETURNING k, v',
	'DELETE FROM t USING t s WHERE s.k = t.k AND s.n > 100 AND t.k % 5 = 0',
	'MERGE INTO t USING (SELECT i FROM generate_series(70, 90) i) s ON t.k = s.i
		WHEN MATCHED AND i % 3 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = ''merged'', n = i WHEN NOT MATCHED THEN INSERT (k, v) VALUES (i, ''from merge'')']) q;
SELECT public.wrong();
SELECT public.both('SELECT * FROM t ORDER BY k');

-- at the top level, without any subtransaction
SET search_path = repl, public;
INSERT INTO t VALUES (20001, 'x'), (20002, 'y') RETURNING k;
INSERT INTO t VALUES (20001, 'x') ON CONFLICT (k) DO UPDATE SET v = 'z' RETURNING v;
UPDATE t SET v = 'u' WHERE k = 20002;
UPDATE t SET k = 20003 WHERE k = 20001 RETURNING *;
DELETE FROM t WHERE k = 20002 RETURNING v;
DELETE FROM t WHERE k > 20000;
PREPARE ins (int, text) AS INSERT INTO t VALUES ($1, $2);
PREPARE upd (int, text) AS UPDATE t SET v = $2 WHERE k = $1;
EXECUTE ins (20010, 'p');
EXECUTE ins (20011, 'p');
EXECUTE upd (20010, 'q');
EXECUTE upd (20011, 'r');
EXECUTE ins (20012, 'p'); EXECUTE ins (20013, 'p'); EXECUTE ins (20014, 'p'); EXECUTE ins (20015, 'p'); EXECUTE ins (20016, 'p');
EXECUTE upd (20012, 'q'); EXECUTE upd (20013, 'q'); EXECUTE upd (20014, 'q'); EXECUTE upd (20015, 'q'); EXECUTE upd (20016, 'q');
SELECT * FROM shoal.verify_table('t');
DELETE FROM t WHERE k > 20000;
SELECT public.wrong();

-- COPY
COPY t FROM stdin;
30001	copied	1	2024-05-05 00:00:00+00
30002	\N	\N	\N
30003	tab\there	2.500	2024-05-06 00:00:00+00
\.
COPY t (v, k) FROM stdin WITH (FORMAT csv);
"a, b",30004
c,30005
d,30006
e,30007
\.
COPY t (k, v) FROM stdin WHERE k % 2 = 0;
30008	x
30009	y
30010	z
\.
SELECT count(*), sum(k) FROM t WHERE k > 30000;
SELECT * FROM shoal.verify_table('t');
DELETE FROM t WHERE k > 30000;
BEGIN;
COPY t (k, v) FROM stdin;
30001	x
30002	y
30003	z
\.
UPDATE t SET v = 'changed' WHERE k > 30000;
SAVEPOINT a;
COPY t (k, v) FROM stdin;
30004	x
30005	y
30006	x
30007	y
\.
SELECT count(*) FROM t WHERE k > 30000;
ROLLBACK TO a;
COMMIT;
SELECT * FROM t WHERE k > 30000 ORDER BY k;
SELECT * FROM shoal.verify_table('t');
DELETE FROM t WHERE k > 30000;

-- subtransactions
BEGIN;
INSERT INTO t VALUES (40001, 'kept');
SAVEPOINT a;
INSERT INTO t VALUES (40002, 'lost');
UPDATE t SET v = 'lost' WHERE k < 20 OR k = 40001;
SAVEPOINT b;
DELETE FROM t WHERE k > 100;
RELEASE b;
ROLLBACK TO a;
INSERT INTO t VALUES (40003, 'kept');
SAVEPOINT c;
UPDATE t SET v = 'kept, too' WHERE k = 40001;
INSERT INTO t VALUES (40001, 'error');
ROLLBACK TO c;
UPDATE t SET v = v || '!' WHERE k = 40001;
RELEASE c;
COMMIT;
SELECT * FROM t WHERE k > 40000 ORDER BY k;
SELECT * FROM shoal.verify_table('t');
DO $$
BEGIN
	FOR i IN 1..10 LOOP
		BEGIN
			INSERT INTO t VALUES (40100 + i, 'block');
			UPDATE t SET n = i WHERE k = 40001;
			IF i % 3 = 0 THEN
				DELETE FROM t WHERE k > 40000;
				RAISE EXCEPTION 'undone';
			END IF;
			IF i % 4 = 0 THEN
				PERFORM 1 / 0;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO t VALUES (40200 + i, SQLERRM);
		END;
	END LOOP;
END $$;
SELECT * FROM t WHERE k > 40000 ORDER BY k;
SELECT * FROM shoal.verify_table('t');
BEGIN;
DELETE FROM t WHERE k > 40000;
INSERT INTO t VALUES (40001), (40002);
TRUNCATE t;
INSERT INTO t VALUES (1, 'after truncate');
SELECT * FROM t;
ROLLBACK;
DELETE FROM t WHERE k > 40000;
SELECT public.wrong();

-- TRUNCATE
SELECT public.both('TRUNCATE t');
SELECT public.both('INSERT INTO t SELECT i, ''row '' || i FROM generate_series(1, 100) i');
SELECT public.wrong();

-- functions called by queries
CREATE FUNCTION repl.add(a int, b text) RETURNS int LANGUAGE sql AS 'INSERT INTO repl.t VALUES (a, b) RETURNING k';
CREATE FUNCTION repl.add_all(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP PERFORM repl.add(50000 + i, 'n ' || i); UPDATE repl.t SET v = v || '.' WHERE k = 50000 + i; END LOOP;
	RETURN n;
END $$;
SELECT repl.add(60000 + i, 'from function') FROM generate_series(1, 3) i;
SELECT repl.add_all(5);
SELECT k, v FROM t WHERE k > 50000 ORDER BY k;
SELECT * FROM shoal.verify_table('t');

-- one shard, on one node
SELECT public.make('s (k int PRIMARY KEY, v text)', NULL);
SELECT role, state FROM shoal.shards WHERE table_name = 's'::regclass ORDER BY 1;
SELECT public.both(q) FROM unnest(ARRAY[
	'INSERT INTO s SELECT i, ''v'' || i FROM generate_series(1, 30) i',
	'UPDATE s SET k = k + 100 WHERE k > 20',
	'UPDATE s SET v = v || ''.'' WHERE k = 1',
	'DELETE FROM s WHERE k = 2',
	'INSERT INTO s VALUES (1, ''x'') ON CONFLICT (k) DO UPDATE SET v = excluded.v RETURNING *',
	'TRUNCATE s',
	'INSERT INTO s SELECT i, ''v'' || i FROM generate_series(1, 30) i']) q;
COPY s FROM stdin;
50	copied
51	copied
\.
SELECT * FROM shoal.verify_table('s');
DROP TABLE repl.t, repl.s, twin.t, twin.s;
DROP FUNCTION repl.add, repl.add_all;
