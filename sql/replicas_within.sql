--
-- Writes on tables with replicas while another statement is under way: functions of
-- RETURNING with subtransactions that fail, when nodes have not yet told of all that
-- the statement has changed; foreign keys' actions of foreign keys' actions.  "twin" has
-- the same tables, plain, and gets the same statements.
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE SCHEMA rw;
CREATE SCHEMA twin_rw;
CREATE FUNCTION rw_both(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	outcome text[] := '{}';
	ns text;
BEGIN
	FOREACH ns IN ARRAY '{twin_rw,rw}'::text[] LOOP
		PERFORM set_config('search_path', ns || ',public', true);
		BEGIN
			EXECUTE replace(command, '@@', ns);
			outcome := outcome || 'ok'::text;
		EXCEPTION WHEN OTHERS THEN
			outcome := outcome || SQLSTATE;
		END;
	END LOOP;
	RETURN CASE WHEN outcome[1] = outcome[2] THEN outcome[1] ELSE outcome::text END;
END $$;
-- what differs from the twin's rows, and between the copies
CREATE FUNCTION rw_look(VARIADIC tabs text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY tabs LOOP
		RETURN QUERY EXECUTE format('SELECT %1$L || x FROM (TABLE rw.%2$I EXCEPT ALL TABLE twin_rw.%2$I LIMIT 3) x', 'more in ' || t || ' ', t);
		RETURN QUERY EXECUTE format('SELECT %1$L || x FROM (TABLE twin_rw.%2$I EXCEPT ALL TABLE rw.%2$I LIMIT 3) x', 'less in ' || t || ' ', t);
		RETURN QUERY SELECT DISTINCT 'copies of ' || t || ': ' || v.problem FROM shoal.verify_table(('rw.' || t)::regclass) v;
	END LOOP;
END $$;
SELECT rw_both('CREATE TABLE p (id int PRIMARY KEY, v int DEFAULT 0)'),
	rw_both('CREATE TABLE keyless (id int, v int)'),
	rw_both('CREATE TABLE other (id int, v int)');
SELECT shoal.create_distributed_table('rw.p', 'id', 'none', 9, replicas => 1),
	shoal.create_distributed_table('rw.keyless', 'id', 'rw.p'),
	shoal.create_distributed_table('rw.other', 'id', 'rw.p');
SELECT rw_both('INSERT INTO p SELECT i FROM generate_series(1, 300) i'),
	rw_both('INSERT INTO keyless SELECT i % 30, 0 FROM generate_series(1, 300) i');

-- a function that uses all nodes, in a subtransaction that fails, or fails now and then
SELECT rw_both($$CREATE FUNCTION @@.f(k int, often int) RETURNS int LANGUAGE plpgsql AS $f$
BEGIN
	BEGIN
		UPDATE @@.other SET v = 3;
		INSERT INTO @@.other SELECT k, 3 FROM generate_series(1, 2);
		IF k % often = 0 THEN
			PERFORM 1 / 0;
		END IF;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	RETURN k;
END $f$; $$);
SELECT rw_both('UPDATE keyless SET v = v + 1 WHERE id < 5 RETURNING f(id, 1)'),
	rw_both('UPDATE p SET v = v + 1 WHERE id < 40 RETURNING f(id, 2)'),
	rw_both('DELETE FROM p WHERE id > 290 RETURNING f(id, 1)');
SELECT rw_look('p', 'keyless', 'other');
SELECT rw_both('WITH q AS (UPDATE p SET v = v + 1 WHERE id < 20 RETURNING id) SELECT f(id, 1) FROM q'),
	rw_both('INSERT INTO p SELECT i FROM generate_series(301, 320) i RETURNING f(id, 2)');
BEGIN;
SELECT rw_both('UPDATE p SET v = v + 1 WHERE id % 30 = 3 RETURNING f(id, 1)');
SAVEPOINT s;
SELECT rw_both('UPDATE p SET v = v + 1 WHERE id % 30 = 4 RETURNING f(id, 2)');
ROLLBACK TO s;
SELECT rw_both('UPDATE p SET v = v + 1 WHERE id % 30 = 5 RETURNING f(id, 2)');
SAVEPOINT s;
SELECT rw_both('UPDATE keyless SET v = v + 1 WHERE id % 30 = 6 RETURNING f(id, 1)');
RELEASE s;
COMMIT;
SELECT rw_look('p', 'keyless', 'other');

-- triggers that nodes fire at the end of the transaction, with subtransactions of their own
SELECT rw_both('CREATE TABLE late (id int, n int)'), rw_both('CREATE TABLE noted (id int, n int)');
SELECT shoal.create_distributed_table('rw.late', 'id', 'rw.p'), shoal.create_distributed_table('rw.noted', 'id', 'rw.p');
SELECT rw_both('INSERT INTO noted SELECT i, 0 FROM generate_series(1, 40) i');
SELECT rw_both($$CREATE FUNCTION @@.fired() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN
	INSERT INTO @@.noted SELECT new.id, new.n FROM generate_series(1, 600);
	BEGIN
		UPDATE @@.noted SET n = n + 1 WHERE id = new.id;
		INSERT INTO @@.noted SELECT new.id, -i FROM generate_series(1, 3) i;
		BEGIN
			DELETE FROM @@.noted WHERE id = new.id AND n = 1;
			IF new.id % 3 = 0 THEN
				PERFORM 1 / 0;
			END IF;
		EXCEPTION WHEN division_by_zero THEN
			UPDATE @@.noted SET n = n + 10 WHERE id = new.id;
		END;
		IF new.id % 2 = 0 THEN
			RAISE EXCEPTION 'even';
		END IF;
	EXCEPTION WHEN raise_exception THEN
		INSERT INTO @@.noted VALUES (new.id, 100);
	END;
	RETURN NULL;
END $f$; $$), rw_both('CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fired()');
SELECT rw_both('INSERT INTO late SELECT i, i FROM generate_series(1, 12) i');
SELECT rw_look('late', 'noted');
BEGIN;
SELECT rw_both('UPDATE late SET n = n + 50 WHERE id < 8');
SAVEPOINT s;
SELECT rw_both('SET CONSTRAINTS ALL IMMEDIATE');
SELECT rw_both('UPDATE late SET n = n + 50 WHERE id BETWEEN 3 AND 8');
ROLLBACK TO s;
SELECT rw_both('INSERT INTO late VALUES (13, 13), (14, 14)');
COMMIT;
SELECT rw_look('late', 'noted');
-- an error that was caught in a utility statement
BEGIN;
SELECT rw_both('CREATE TABLE late (id int)');
SAVEPOINT s;
SELECT rw_both('INSERT INTO late SELECT i, i FROM generate_series(21, 30) i'), rw_both('UPDATE p SET v = v + 1 WHERE id < 20');
SELECT rw_both('SET CONSTRAINTS ALL IMMEDIATE');
RELEASE s;
COMMIT;
SELECT rw_look('late', 'noted', 'p');

-- an action's action gives rows another key
SELECT rw_both('CREATE TABLE c (id int, n int, PRIMARY KEY (id, n))'),
	rw_both('CREATE TABLE nulled (id int, n int)');
SELECT shoal.create_distributed_table('rw.c', 'id', 'rw.p'), shoal.create_distributed_table('rw.nulled', 'id', 'rw.p');
SELECT rw_both('ALTER TABLE c ADD FOREIGN KEY (id) REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE'),
	rw_both('ALTER TABLE nulled ADD FOREIGN KEY (id, n) REFERENCES c ON UPDATE CASCADE ON DELETE SET NULL');
SELECT rw_both('INSERT INTO c SELECT i, j FROM generate_series(1, 40) i, generate_series(1, 3) j'),
	rw_both('INSERT INTO nulled SELECT id, n FROM c');
SELECT rw_both('DELETE FROM c WHERE n = 2'), rw_both('DELETE FROM p WHERE id % 7 = 0'), rw_both('DELETE FROM p WHERE id = 1');
SELECT rw_look('p', 'c', 'nulled');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT rw_both('DELETE FROM p WHERE id BETWEEN 100 AND 120');
COMMIT;
SELECT rw_look('p', 'c', 'nulled');

-- rows of a reference table that refer to one another, and a default that is looked for
SELECT rw_both('CREATE TABLE r (id int PRIMARY KEY, up int REFERENCES r ON UPDATE CASCADE ON DELETE CASCADE)'),
	rw_both('CREATE TABLE x (id int PRIMARY KEY, rid int DEFAULT 1)'), rw_both('CREATE TABLE y (id int, rid int)');
SELECT shoal.create_reference_table('rw.r'), shoal.create_distributed_table('rw.x', 'id', 'rw.p'), shoal.create_distributed_table('rw.y', 'id', 'rw.p');
SELECT rw_both('ALTER TABLE x ADD FOREIGN KEY (rid) REFERENCES r ON UPDATE CASCADE ON DELETE SET DEFAULT'),
	rw_both('ALTER TABLE y ADD FOREIGN KEY (rid) REFERENCES r');
SELECT rw_both('INSERT INTO r SELECT i, nullif(i - 1, 0) FROM generate_series(1, 10) i'),
	rw_both('INSERT INTO x SELECT i, i % 10 + 1 FROM generate_series(1, 40) i'), rw_both('INSERT INTO y SELECT i, 3 FROM generate_series(1, 40) i');
SELECT rw_both('DELETE FROM r WHERE id = 8'), rw_both('DELETE FROM r WHERE id = 3'), rw_both('DELETE FROM r WHERE id = 1'),
	rw_both('DELETE FROM y'), rw_both('DELETE FROM r WHERE id = 3'), rw_both('UPDATE r SET id = id + 100');
SELECT rw_look('r', 'x', 'y');
-- through the other nodes, which have no rows of the twin
\c shoal_n2
SET client_min_messages = warning;
DO $$ DECLARE n int; BEGIN FOR n IN UPDATE rw.keyless SET v = v + 1 WHERE id < 5 RETURNING rw.f(id, 1) LOOP END LOOP; END $$;
DO $$ DECLARE n int; BEGIN FOR n IN UPDATE rw.p SET v = v + 1 WHERE id BETWEEN 121 AND 160 RETURNING rw.f(id, 1) LOOP END LOOP; END $$;
SELECT * FROM shoal.verify_table('rw.p') UNION ALL SELECT * FROM shoal.verify_table('rw.keyless') UNION ALL SELECT * FROM shoal.verify_table('rw.other');
\c shoal_n3
SET client_min_messages = warning;
DO $$ DECLARE n int; BEGIN FOR n IN UPDATE rw.keyless SET v = v + 1 WHERE id < 5 RETURNING rw.f(id, 1) LOOP END LOOP; END $$;
DO $$ DECLARE n int; BEGIN FOR n IN UPDATE rw.p SET v = v + 1 WHERE id BETWEEN 121 AND 160 RETURNING rw.f(id, 1) LOOP END LOOP; END $$;
SELECT * FROM shoal.verify_table('rw.p') UNION ALL SELECT * FROM shoal.verify_table('rw.keyless') UNION ALL SELECT * FROM shoal.verify_table('rw.other');
\c shoal_n1
SET client_min_messages = warning;
DROP SCHEMA rw CASCADE;
DROP SCHEMA twin_rw CASCADE;
DROP FUNCTION rw_both, rw_look;
