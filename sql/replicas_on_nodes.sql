-- Tables with replicas: triggers that fire on the nodes of the rows, some of them in
-- COMMIT.  After replicas.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET search_path = repl, public;
SELECT public.make('dt (k int PRIMARY KEY, v text, n int DEFAULT 0)', 'k');
CREATE FUNCTION public.make_with_dt(definition text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	name text = substring(definition from '^(\w+)');
BEGIN
	EXECUTE format('CREATE TABLE twin.%s', definition);
	EXECUTE format('CREATE TABLE repl.%s', definition);
	PERFORM shoal.create_distributed_table(format('repl.%s', name), 'k', 'repl.dt');
END $$;
SELECT public.make_with_dt('dc (k int, i int, v text, n int DEFAULT 0, PRIMARY KEY (k, i))');
SELECT public.make_with_dt('dg (k int, i int, j int, big text, PRIMARY KEY (k, i, j))');
SELECT public.make_with_dt('dlog (k int, what text)');
SELECT public.both_ddl('ALTER TABLE @@.dc ADD FOREIGN KEY (k) REFERENCES @@.dt ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED');
SELECT public.both_ddl('ALTER TABLE @@.dg ADD FOREIGN KEY (k, i) REFERENCES @@.dc ON UPDATE CASCADE ON DELETE CASCADE');
-- writes a log, and changes the row's parent
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	r record = CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
	EXECUTE format('INSERT INTO %I.dlog VALUES ($1, $2)', TG_ARGV[0]) USING r.k, TG_OP || ' ' || TG_TABLE_NAME;
	EXECUTE format('UPDATE %I.dt SET n = n + 1 WHERE k = $1 AND n < 3', TG_ARGV[0]) USING r.k;
	RETURN NULL;
END $$;
SELECT public.both_ddl('CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE OR DELETE ON @@.dt DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.note(@@)');
SELECT public.both_ddl('CREATE TRIGGER early AFTER INSERT OR UPDATE OR DELETE ON @@.dc FOR EACH ROW EXECUTE FUNCTION public.note(@@)');
SELECT public.both_ddl('CREATE TRIGGER early AFTER INSERT OR UPDATE OR DELETE ON @@.dg FOR EACH ROW EXECUTE FUNCTION public.note(@@)');
-- statements with semicolons between them, in one transaction or each in its own
CREATE PROCEDURE public.both_run(queries text, alone bool DEFAULT false) LANGUAGE plpgsql AS $$
DECLARE
	q text;
	s text;
BEGIN
	FOREACH s IN ARRAY ARRAY['twin', 'repl'] LOOP
		FOREACH q IN ARRAY string_to_array(queries, ';') LOOP
			PERFORM set_config('search_path', s || ', public', false);
			EXECUTE q;
			IF alone THEN
				COMMIT;
			END IF;
		END LOOP;
		COMMIT;
	END LOOP;
END $$;
CALL public.both_run('INSERT INTO dt VALUES (1, ''one'')');
CALL public.both_run('INSERT INTO dt SELECT i, ''v'' FROM generate_series(2, 30) i; UPDATE dt SET v = v || ''u'' WHERE k < 10');
CALL public.both_run('UPDATE dt SET v = ''all''; DELETE FROM dt WHERE k = 1; INSERT INTO dt VALUES (1, ''again''); UPDATE dt SET v = v || 1 WHERE k = 1', true);
SELECT * FROM public.wrong();
-- children that come before their parents; cascades
CALL public.both_run('INSERT INTO dc SELECT k, i, ''c'' FROM generate_series(31, 36) k, generate_series(1, 3) i; INSERT INTO dt SELECT i, ''p'' FROM generate_series(31, 36) i');
CALL public.both_run('INSERT INTO dc SELECT k, i, ''c'' FROM generate_series(1, 12) k, generate_series(1, 3) i; INSERT INTO dg SELECT k, i, j, repeat(md5(k::text), 300) FROM dc, generate_series(1, 2) j', true);
SELECT * FROM public.wrong();
CALL public.both_run('UPDATE dc SET i = i + 10 WHERE k % 3 = 0; DELETE FROM dc WHERE i = 11; DELETE FROM dt WHERE k IN (2, 33); DELETE FROM dt WHERE k = 4');
CALL public.both_run('UPDATE dc SET i = i + 10 WHERE k = 5; DELETE FROM dc WHERE k = 6 AND i = 12; DELETE FROM dt WHERE k IN (5, 34); DELETE FROM dt WHERE k = 7', true);
SELECT * FROM public.wrong();
CALL public.both_run('MERGE INTO dt USING generate_series(8, 45) i ON k = i WHEN MATCHED AND k % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = ''m'' WHEN NOT MATCHED THEN INSERT (k, v) VALUES (i, ''n'')');
CALL public.both_run('MERGE INTO dc USING generate_series(8, 45) x ON k = x AND i = 1 WHEN MATCHED THEN UPDATE SET v = ''m'' WHEN NOT MATCHED AND x % 2 = 1 THEN INSERT (k, i, v) VALUES (x, 1, ''n'')', true);
SELECT * FROM public.wrong();
-- what is rolled back
SET search_path = twin, public;
BEGIN; INSERT INTO dt VALUES (50, 'x'); SAVEPOINT s; INSERT INTO dt SELECT i, 'x' FROM generate_series(51, 60) i; ROLLBACK TO s; UPDATE dt SET v = 'y' WHERE k = 50; COMMIT;
SET search_path = repl, public;
BEGIN; INSERT INTO dt VALUES (50, 'x'); SAVEPOINT s; INSERT INTO dt SELECT i, 'x' FROM generate_series(51, 60) i; ROLLBACK TO s; UPDATE dt SET v = 'y' WHERE k = 50; COMMIT;
SET search_path = twin, public;
BEGIN; SAVEPOINT s; INSERT INTO dt VALUES (61, 'x'); RELEASE s; INSERT INTO dc VALUES (61, 1); INSERT INTO dc VALUES (62, 1); COMMIT;
SET search_path = repl, public;
BEGIN; SAVEPOINT s; INSERT INTO dt VALUES (61, 'x'); RELEASE s; INSERT INTO dc VALUES (61, 1); INSERT INTO dc VALUES (62, 1); COMMIT;
SELECT * FROM public.wrong();
-- COPY
COPY twin.dt (k, v) FROM stdin;
70	copied
71	copied
72	copied
\.
COPY repl.dt (k, v) FROM stdin;
70	copied
71	copied
72	copied
\.
SELECT * FROM public.wrong();
DROP TABLE dg, dc, dlog, dt, twin.dg, twin.dc, twin.dlog, twin.dt;
DROP PROCEDURE public.both_run;
DROP FUNCTION public.make_with_dt, public.note;
