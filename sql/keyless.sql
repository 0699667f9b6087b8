--
-- Reference tables without a primary key: rows are found on the nodes by what is in them.
-- Each statement is done to a local twin as well, from a node that is not the lowest one.
--
\c shoal_n3 postgres
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE SCHEMA keyless;
SET search_path = keyless;
CREATE TABLE d (n int, b text);
SELECT shoal.create_reference_table('d');
CREATE TABLE p (n int, b text);
CREATE TABLE part (k int PRIMARY KEY, v int);
SELECT shoal.create_distributed_table('part', 'k');
INSERT INTO part SELECT i, i FROM generate_series(1, 20) i;
CREATE FUNCTION plus(int, int) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1 + $2; END';
-- rows that each has written, and how many of them differ
CREATE FUNCTION twice(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	result text := '';
BEGIN
	FOR i IN 1 .. 2 LOOP
		BEGIN
			EXECUTE replace(query, '@', (ARRAY['d', 'p'])[i]);
			GET DIAGNOSTICS n = ROW_COUNT;
			result := result || n || ' ';
		EXCEPTION WHEN OTHERS THEN
			result := result || SQLSTATE || ' ';
		END;
	END LOOP;
	SELECT count(*) INTO n FROM ((TABLE d EXCEPT ALL TABLE p) UNION ALL (TABLE p EXCEPT ALL TABLE d)) x;
	RETURN result || n;
END $$;
SELECT twice('INSERT INTO @ SELECT 1 + i / 600, ''x'' FROM generate_series(0, 1799) i');
-- what becomes equal to rows that are still to be written is not written again
SELECT twice('UPDATE @ SET n = plus(n, 1)');
SELECT twice('UPDATE @ SET n = plus(n, 1) WHERE plus(n, 1) < 4');
SELECT twice('UPDATE @ SET b = b WHERE plus(n, 1) > 0');
SELECT twice('DELETE FROM @ WHERE plus(n, 1) = 5');
SELECT twice('UPDATE @ SET n = NULL WHERE plus(n, 1) = 4');
SELECT twice('UPDATE @ SET n = plus(1, 1) WHERE n IS NULL');
SELECT count(*) FROM shoal.verify_table('d');
SET shoal.batch_size = 1;
SELECT twice('DELETE FROM @ WHERE n = 2');
SELECT twice('INSERT INTO @ SELECT i % 5, ''y'' FROM generate_series(1, 20) i');
SELECT twice('UPDATE @ SET n = plus(n, 1)');
-- joined with others, if they do not say what the new values are
SELECT twice('UPDATE @ SET b = ''joined'' FROM part WHERE k = n');
SELECT twice('UPDATE @ SET b = b || n FROM part WHERE k = n + 1 AND v < 5');
SELECT twice('UPDATE @ SET b = ''z'' WHERE n IN (SELECT k FROM part WHERE v > 3)');
SELECT twice('WITH w AS (UPDATE part SET v = v + 1 WHERE k = 4 RETURNING k) UPDATE @ SET b = ''with'' FROM w WHERE w.k = n');
SELECT twice('WITH w AS (INSERT INTO @ VALUES (50, ''new'') RETURNING n) UPDATE @ SET n = @.n + 1 FROM w WHERE w.n = @.n + 48');
SELECT twice('DELETE FROM @ USING part WHERE k = n AND v = 3');
SELECT left(twice('UPDATE @ SET n = v FROM part WHERE k = n'), 5);
SELECT count(*) FROM shoal.verify_table('d');
\c shoal_n1 postgres
SET client_min_messages = warning;
DROP SCHEMA keyless CASCADE;
