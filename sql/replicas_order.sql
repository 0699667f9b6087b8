--
-- Changes reach replicas in the order in which they were made: statements within
-- statements (foreign keys' actions, functions, triggers), in subtransactions
-- and with rows that go to all copies by COPY.  "twin" has the same tables,
-- plain, and gets the same statements.
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE SCHEMA ro;
CREATE SCHEMA twin_ro;
CREATE FUNCTION ro_both(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	outcome text[] := '{}';
	ns text;
BEGIN
	FOREACH ns IN ARRAY '{twin_ro,ro}'::text[] LOOP
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
CREATE FUNCTION ro_look() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY '{p,c,g,keyless}'::text[] LOOP
		RETURN QUERY EXECUTE format('SELECT %1$L || x FROM (TABLE ro.%2$I EXCEPT ALL TABLE twin_ro.%2$I LIMIT 3) x', 'more in ' || t || ' ', t);
		RETURN QUERY EXECUTE format('SELECT %1$L || x FROM (TABLE twin_ro.%2$I EXCEPT ALL TABLE ro.%2$I LIMIT 3) x', 'less in ' || t || ' ', t);
		RETURN QUERY SELECT 'copies of ' || t || ': ' || v FROM shoal.verify_table(('ro.' || t)::regclass) v;
	END LOOP;
END $$;
SELECT ro_both('CREATE TABLE p (id int PRIMARY KEY, v int DEFAULT 0)'),
	ro_both('CREATE TABLE c (id int, pos int, v int DEFAULT 0, PRIMARY KEY (id, pos))'),
	ro_both('CREATE TABLE g (id int, pos int, UNIQUE (id, pos))'),
	ro_both('CREATE TABLE keyless (id int, v int)');
SELECT shoal.create_distributed_table('ro.p', 'id', 'none', 8, replicas => 1),
	shoal.create_distributed_table('ro.c', 'id', 'ro.p'),
	shoal.create_distributed_table('ro.g', 'id', 'ro.p'),
	shoal.create_distributed_table('ro.keyless', 'id', 'ro.p');
SELECT ro_both('ALTER TABLE c ADD FOREIGN KEY (id) REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE'),
	ro_both('ALTER TABLE g ADD FOREIGN KEY (id, pos) REFERENCES c ON UPDATE CASCADE ON DELETE CASCADE');
SELECT ro_both('INSERT INTO p SELECT generate_series(1, 300)'),
	ro_both('INSERT INTO c SELECT i, j FROM generate_series(1, 300) i, generate_series(1, 3) j'),
	ro_both('INSERT INTO g SELECT i, 2 FROM generate_series(1, 300) i'),
	ro_both('INSERT INTO keyless SELECT i % 40, i % 3 FROM generate_series(1, 300) i');

-- keys that foreign keys follow: few rows, many, into place of one another
SELECT ro_both('UPDATE p SET id = id + 1000 WHERE id <= 4');
SELECT ro_look();
SELECT ro_both('UPDATE p SET id = id + 10000');
SELECT ro_look();
SELECT ro_both('UPDATE p SET id = 1 + (id * 2) % 40000 WHERE id > 10200');
SELECT ro_look();
SELECT ro_both('UPDATE c SET pos = pos + 1 WHERE id % 2 = 0 AND pos = 3');
SELECT ro_both('WITH q AS (UPDATE p SET id = -id RETURNING id) INSERT INTO keyless SELECT id, 9 FROM q');
SELECT ro_look();
-- rows without a foreign key that move
SELECT ro_both('UPDATE keyless SET id = id + 1');
SELECT ro_both('UPDATE keyless SET id = 7 WHERE v = 0');
SELECT ro_look();
-- all of it in one transaction, and some of it taken back
BEGIN;
SELECT ro_both('UPDATE p SET id = -id, v = v + 1');
SAVEPOINT s;
SELECT ro_both('UPDATE p SET id = id + 100000');
SELECT ro_both('DELETE FROM p WHERE id % 5 = 0');
ROLLBACK TO s;
SELECT ro_both('UPDATE p SET id = id + 200000');
COMMIT;
SELECT ro_look();

-- a function that changes the statement's own rows, in subtransactions of its own
SELECT ro_both($$CREATE FUNCTION @@.touch(tab text, k int) RETURNS int LANGUAGE plpgsql AS $f$
BEGIN
	BEGIN
		EXECUTE format('UPDATE @@.%I SET v = v + 1 WHERE id = $1', tab) USING k;
		IF k % 3 = 1 THEN
			PERFORM 1 / 0;
		END IF;
	EXCEPTION WHEN division_by_zero THEN
		EXECUTE format('UPDATE @@.%I SET v = v + 10 WHERE id = $1', tab) USING k;
	END;
	RETURN k;
END $f$; $$);
SELECT ro_both('INSERT INTO p SELECT i FROM generate_series(1, 40) i RETURNING touch($$p$$, id)');
SELECT ro_look();
SELECT ro_both('INSERT INTO c SELECT i, 7 FROM generate_series(1, 40) i RETURNING touch($$c$$, id), touch($$p$$, id)');
SELECT ro_both('UPDATE p SET v = 100 WHERE id <= 20 RETURNING touch($$p$$, id)');
SELECT ro_both('DELETE FROM c WHERE id <= 20 RETURNING touch($$p$$, id)');
SELECT ro_both('INSERT INTO keyless SELECT i, 20 FROM generate_series(1, 40) i RETURNING touch($$keyless$$, id)');
SELECT ro_look();
-- much of it
SELECT ro_both('WITH q AS (INSERT INTO p SELECT i FROM generate_series(50001, 52000) i RETURNING id)
	SELECT touch($$p$$, id) FROM q');
SELECT ro_look();
-- in a trigger
SELECT ro_both($$CREATE FUNCTION @@.fired() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN
	PERFORM @@.touch('p', new.id);
	RETURN NULL;
END $f$; $$), ro_both('CREATE TRIGGER t AFTER INSERT OR UPDATE OF id ON p FOR EACH ROW EXECUTE FUNCTION fired()');
SELECT ro_both('INSERT INTO p SELECT i FROM generate_series(201, 230) i');
SELECT ro_both('UPDATE p SET id = id + 500 WHERE id BETWEEN 1 AND 230');
SELECT ro_look();
SELECT ro_both('DELETE FROM p');
SELECT ro_look();
\c -
SET client_min_messages = warning;
DROP SCHEMA ro CASCADE;
DROP SCHEMA twin_ro CASCADE;
DROP FUNCTION ro_both, ro_look;
