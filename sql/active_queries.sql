-- Tables that an open cursor or a loop reads can't be emptied, changed or dropped in the
-- same session; plain twins say the same.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA active_queries;
SET search_path = active_queries;
CREATE FUNCTION make(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (k int PRIMARY KEY, v int)', name);
	EXECUTE format('INSERT INTO %I SELECT i, i FROM generate_series(1, 50) i', name);
END $$;
-- what each statement says while a query is open
CREATE FUNCTION say(query text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	c refcursor;
BEGIN
	BEGIN
		OPEN c FOR EXECUTE query;
		FETCH c INTO r;
		EXECUTE command;
		CLOSE c;
	EXCEPTION WHEN object_in_use THEN
		RETURN sqlstate || ' ' || sqlerrm;
	END;
	RETURN 'done';
END $$;
CREATE TEMP TABLE queries (query text);
INSERT INTO queries VALUES ('SELECT * FROM %1$I WHERE k = 7'), ('SELECT * FROM %1$I'), ('SELECT count(*) FROM %1$I'),
	('SELECT * FROM %1$I ORDER BY v, k LIMIT 3'), ('SELECT a.k FROM %1$I a JOIN %1$I b ON a.v = b.k + 1'),
	('SELECT k, row_number() OVER (ORDER BY v) FROM %1$I'), ('SELECT (SELECT max(v) FROM %1$I)'),
	('WITH x AS (SELECT v FROM %1$I LIMIT 5) SELECT * FROM x');
CREATE TEMP TABLE commands (command text);
INSERT INTO commands VALUES ('TRUNCATE %1$I'), ('ALTER TABLE %1$I ADD COLUMN w int'), ('DROP TABLE %1$I');

SELECT make('p'), make('t');
SELECT shoal.create_distributed_table('t', 'k', colocate_with => 'none');
SELECT make('r'), make('s');
SELECT shoal.create_reference_table('r');
SELECT shoal.create_distributed_table('s', NULL, colocate_with => 'none');

CREATE FUNCTION all_of(name text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	q record;
	result text[];
BEGIN
	FOR q IN SELECT query, command FROM queries, commands ORDER BY query, command LOOP
		-- plain tables' indexes are open, too
		result := result || replace(regexp_replace(say(format(q.query, name), format(q.command, name)),
			'INDEX "[^"]*"', 'TABLE it'), format('"%s"', name), 'it');
	END LOOP;
	RETURN result;
END $$;
SELECT DISTINCT unnest(all_of('p')) ORDER BY 1;
SELECT name, n, said FROM (VALUES ('t'), ('r'), ('s')) x (name), unnest(all_of(name), all_of('p')) WITH ORDINALITY y (said, expected, n)
	WHERE said <> expected ORDER BY 1, 2;

-- a cursor of the client's, and a loop
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM t;
FETCH 1 FROM c \g /dev/null
TRUNCATE t;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM t WHERE k = 3;
DROP TABLE t;
ROLLBACK;
DO $$
DECLARE r record;
BEGIN
	FOR r IN SELECT * FROM t LOOP
		ALTER TABLE t ADD COLUMN w int;
	END LOOP;
END $$;
-- closed again, and WITH HOLD
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT k FROM t ORDER BY k;
COMMIT;
TRUNCATE t;
FETCH 2 FROM c;
CLOSE c;
INSERT INTO t VALUES (1, 1);
BEGIN;
DECLARE c CURSOR FOR SELECT k FROM t ORDER BY k;
FETCH 2 FROM c;
CLOSE c;
ALTER TABLE t ADD COLUMN w int;
COMMIT;
SELECT * FROM t;
DROP TABLE t, p, r, s;
SET client_min_messages = error;
DROP SCHEMA active_queries CASCADE;
