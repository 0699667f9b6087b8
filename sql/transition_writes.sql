--
-- Triggers that write what their transition tables say, into distributed tables and
-- the table itself.  "twin" has the same tables, plain, and gets the same statements.
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE SCHEMA tw;
CREATE SCHEMA twin_tw;
CREATE TABLE twin_tw.p (id int PRIMARY KEY, v int DEFAULT 0, t text);
CREATE TABLE twin_tw.k (id int, v int, w text);
CREATE TABLE tw.p (LIKE twin_tw.p INCLUDING ALL);
CREATE TABLE tw.k (LIKE twin_tw.k INCLUDING ALL);
SELECT shoal.create_distributed_table('tw.p', 'id', 'none', 8, replicas => 1), shoal.create_distributed_table('tw.k', 'id', 'tw.p');
CREATE FUNCTION tw_fired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE current_setting('tw.command');
	RETURN NULL;
END $$;
CREATE TRIGGER t AFTER INSERT ON tw.p REFERENCING NEW TABLE AS new_t FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION tw_fired();
CREATE TRIGGER t AFTER INSERT ON twin_tw.p REFERENCING NEW TABLE AS new_t FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION tw_fired();
CREATE SEQUENCE tw_round;
-- four rows, and one, with a trigger that runs the command; what differs then
CREATE FUNCTION tw_try(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	ns text;
	t text;
	n int = nextval('tw_round') * 10;
BEGIN
	PERFORM set_config('tw.command', command, true);
	FOREACH ns IN ARRAY '{twin_tw,tw}'::text[] LOOP
		PERFORM set_config('search_path', ns || ',public', true);
		BEGIN
			EXECUTE 'INSERT INTO p SELECT $1 + i, i FROM generate_series(1, 4) i' USING n;
			EXECUTE 'INSERT INTO p VALUES ($1, 5)' USING n;
		EXCEPTION WHEN OTHERS THEN
			RETURN NEXT format('%s: %s %s', ns, SQLSTATE, SQLERRM);
		END;
	END LOOP;
	FOREACH t IN ARRAY '{p,k}'::text[] LOOP
		RETURN QUERY EXECUTE format('SELECT %1$L || x FROM (TABLE tw.%2$I EXCEPT ALL TABLE twin_tw.%2$I LIMIT 3) x', 'more in ' || t || ' ', t);
		RETURN QUERY EXECUTE format('SELECT %1$L || x FROM (TABLE twin_tw.%2$I EXCEPT ALL TABLE tw.%2$I LIMIT 3) x', 'less in ' || t || ' ', t);
		RETURN QUERY SELECT DISTINCT 'copies of ' || t || ': ' || v.problem FROM shoal.verify_table(('tw.' || t)::regclass) v;
	END LOOP;
END $$;
SELECT tw_try('INSERT INTO k SELECT id, v, ''new'' FROM new_t ORDER BY id LIMIT 3');
SELECT tw_try('INSERT INTO k SELECT p.id, new_t.v, ''join'' FROM p JOIN new_t USING (id)');
SELECT tw_try('INSERT INTO k SELECT p.id, new_t.v, ''left'' FROM p LEFT JOIN new_t ON p.v = new_t.v ORDER BY p.id, new_t.id LIMIT 3');
SELECT tw_try('UPDATE p SET v = v + 1 WHERE id IN (SELECT id FROM new_t)');
SELECT tw_try('UPDATE p SET v = p.v + new_t.v FROM new_t WHERE p.id = new_t.id');
SELECT tw_try('UPDATE p SET v = (SELECT max(v) FROM new_t)');
SELECT tw_try('UPDATE p SET (v, t) = (SELECT sum(v), max(''x'' || id) FROM new_t WHERE new_t.id = p.id) WHERE EXISTS (SELECT FROM new_t n WHERE n.id = p.id)');
SELECT tw_try('WITH s AS (SELECT id, sum(v) v FROM new_t GROUP BY id) UPDATE p SET v = p.v + s.v FROM s WHERE s.id = p.id');
SELECT tw_try('UPDATE p SET id = id + 1000 WHERE id IN (SELECT id FROM new_t WHERE id % 2 = 0)');
SELECT tw_try('UPDATE k SET v = v + (SELECT count(*) FROM new_t) WHERE id < 310');
SELECT tw_try('UPDATE p SET v = v + 1 WHERE id IN (SELECT k.id FROM new_t JOIN k ON k.id < new_t.id)');
SELECT tw_try('DELETE FROM p WHERE v >= ALL (SELECT v FROM new_t) AND id < 50');
SELECT tw_try('DELETE FROM k WHERE id IN (SELECT id FROM new_t) OR id = (SELECT min(id) FROM k)');
SELECT tw_try('WITH q AS (UPDATE p SET v = v + 5 WHERE id IN (SELECT id FROM new_t) RETURNING *) INSERT INTO k SELECT id, v, ''with'' FROM q');
SELECT tw_try('WITH d AS (DELETE FROM k WHERE id NOT IN (SELECT id FROM new_t) RETURNING *) INSERT INTO k SELECT d.id, n.v, ''moved'' FROM d, new_t n');
SELECT tw_try('MERGE INTO k USING new_t ON k.id = new_t.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (new_t.id, new_t.v, ''m'')');
SELECT tw_try('INSERT INTO p SELECT -id, v FROM new_t WHERE id > 0 ON CONFLICT (id) DO UPDATE SET v = p.v + (SELECT count(*) FROM new_t)');
SELECT tw_try('SELECT count(*) FROM p JOIN k USING (id) WHERE p.v < (SELECT max(v) FROM new_t) AND EXISTS (SELECT FROM new_t n WHERE n.id = k.id)');
SELECT tw_try('SELECT * FROM p WHERE id IN (SELECT id FROM new_t) FOR UPDATE');
\c -
SET client_min_messages = warning;
DROP SCHEMA tw CASCADE;
DROP SCHEMA twin_tw CASCADE;
DROP FUNCTION tw_try, tw_fired;
DROP SEQUENCE tw_round;
