-- Writes to reference tables whose outcome depends on the order in which rows lie, which
-- is another one on each node, or on something else that each node has of its own.
CREATE SCHEMA reference_writes;
SET search_path = reference_writes;
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = warning;

CREATE TABLE src (k int, v int);
CREATE TABLE ref (id int PRIMARY KEY, a int, b int, t text);
CREATE TABLE keyless (a int, b int);
SELECT shoal.create_reference_table(t) FROM unnest('{src,ref,keyless}'::regclass[]) t;

-- the same rows on all nodes, each with an order of its own
SELECT count(*) FROM shoal.node n, LATERAL shoal.run_on_nodes(format(
	'INSERT INTO reference_writes.src SELECT i, i %% 5 FROM generate_series(1, 60) i ORDER BY i * %s %% 61', n.node_id * 7), ARRAY[n.node_id]);
SELECT count(*) FROM shoal.node n, LATERAL shoal.run_on_nodes(format(
	'INSERT INTO reference_writes.ref SELECT i, i %% 5 FROM generate_series(1, 30) i ORDER BY i * %s %% 31', n.node_id * 11), ARRAY[n.node_id]);
SELECT count(DISTINCT result) > 1 AS differs FROM shoal.run_on_nodes('SELECT string_agg(k::text, '','') FROM reference_writes.src');
SELECT count(DISTINCT result) > 1 AS differs FROM shoal.run_on_nodes('SELECT string_agg(ctid::text, '','' ORDER BY id) FROM reference_writes.ref');

CREATE FUNCTION same(name regclass) RETURNS bool LANGUAGE sql AS 'SELECT count(*) = 0 FROM shoal.verify_table(name)';
CREATE FUNCTION affected(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE command;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n || ' rows, ' || CASE WHEN same('ref') THEN 'the same' ELSE 'DIFFERENT' END;
END $$;

-- a row that is joined with several is changed once
SELECT affected('UPDATE ref SET b = s.k FROM src s WHERE s.v = ref.a');
SELECT count(*) FROM ref WHERE b % 5 = a;
SELECT affected('UPDATE ref SET b = s.k FROM src s WHERE s.k > ref.id');
SELECT count(*) FROM ref WHERE b > id;
SET shoal.batch_size = 7;
SELECT affected('UPDATE ref SET b = s.k FROM src s JOIN src r USING (v) WHERE v = a');
RESET shoal.batch_size;
WITH u AS (UPDATE ref SET b = s.k FROM src s WHERE s.v = ref.a RETURNING ref.*, s.k) SELECT count(*), count(DISTINCT id), bool_and(k = b) FROM u;
SELECT same('ref');
UPDATE keyless SET b = s.k FROM src s WHERE s.v = keyless.a;

-- aggregates and windows
SELECT affected('UPDATE ref SET t = (SELECT string_agg(k::text, '','') FROM src)');
SELECT affected('UPDATE ref SET t = (SELECT string_agg(k::text, '','') FROM src WHERE v = a)');
SELECT affected('UPDATE ref SET t = array(SELECT k FROM src WHERE v = a)::text');
SELECT affected('UPDATE ref SET t = x.l FROM (SELECT v, json_agg(k) l FROM src GROUP BY v) x WHERE v = a');
SELECT affected('UPDATE ref SET t = (SELECT sum(1.0::float8 / k) FROM src)');
SELECT affected('UPDATE ref SET b = n FROM (SELECT v, k, row_number() OVER (PARTITION BY v) n FROM src) x WHERE v = a AND k < 30');
SELECT affected('UPDATE ref SET b = (SELECT k FROM src WHERE v = a LIMIT 1)');
SELECT affected('DELETE FROM ref WHERE id IN (SELECT k FROM src ORDER BY v LIMIT 3)') ~ 'the same';
INSERT INTO ref SELECT i FROM generate_series(1, 30) i ON CONFLICT DO NOTHING;
UPDATE ref SET a = id % 5;
-- those that don't mind
SELECT affected('UPDATE ref SET b = (SELECT count(*) + sum(k) + max(k) + avg(k) FROM src WHERE v = a)');

-- system columns
SELECT affected('UPDATE ref SET t = ctid::text');
SELECT affected('UPDATE ref SET t = xmin::text');
SELECT affected('UPDATE ref SET t = ''first'' WHERE ctid IN (SELECT min(ctid) FROM ref)');
SELECT affected('DELETE FROM ref WHERE ctid = (SELECT ctid FROM ref WHERE id = 7)');
SELECT affected('UPDATE ref SET t = tableoid::regclass::text');

-- row triggers that are not the same each time
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.t := random(); RETURN NEW; END $$;
CREATE TRIGGER change BEFORE INSERT OR UPDATE ON ref FOR EACH ROW EXECUTE FUNCTION change();
SELECT affected('UPDATE ref SET b = id + 1');
SELECT affected('UPDATE ref SET b = id + 1 WHERE id = 5');
SELECT affected('UPDATE ref SET b = s.k FROM src s WHERE s.v = ref.a');
SELECT affected('INSERT INTO ref SELECT 100 + k, v, k FROM src');
SELECT affected('INSERT INTO ref VALUES (201, 1, 2), (202, 3, 4) ON CONFLICT (id) DO NOTHING');
COPY ref (id, a, b) FROM stdin;
203	1	1
204	1	1
\.
SELECT same('ref');
CREATE OR REPLACE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.b := (SELECT k FROM reference_writes.src WHERE v = NEW.a LIMIT 1); RETURN NEW; END $$;
SELECT affected('UPDATE ref SET t = ''x''');

-- and if they fire on each node
SET shoal.row_triggers = node;
UPDATE ref SET t = 'y';
CREATE OR REPLACE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.b := (SELECT min(k) FROM reference_writes.src WHERE v = NEW.a); RETURN NEW; END $$;
SELECT affected('UPDATE ref SET t = ''z''');
CREATE OR REPLACE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.t := random(); RETURN NEW; END $$;
UPDATE ref SET b = id + 1;
UPDATE ref SET b = id + 1 WHERE id = 5;
INSERT INTO ref VALUES (301, 1, 1);
INSERT INTO ref VALUES (301, 1, 1), (302, 1, 1);
INSERT INTO ref SELECT 300 + k, v, k FROM src;
COPY ref (id, a, b) FROM stdin;
301	1	1
302	1	1
\.
BEGIN;
UPDATE ref SET b = id + 1 WHERE id = 5;
SAVEPOINT s;
DELETE FROM ref WHERE id = 5;
COMMIT;
BEGIN;
SAVEPOINT s;
UPDATE ref SET b = id + 1 WHERE id = 5;
ROLLBACK TO s;
UPDATE ref SET b = id + 1 WHERE id = 1000;
COMMIT;
CREATE OR REPLACE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN current_database() = 'shoal_n1' THEN OLD END; END $$;
CREATE TRIGGER delete_some BEFORE DELETE ON ref FOR EACH ROW EXECUTE FUNCTION change();
DELETE FROM ref WHERE id BETWEEN 10 AND 20;
BEGIN;
DELETE FROM ref WHERE id BETWEEN 10 AND 20;
INSERT INTO ref SELECT 300, 1, 1 WHERE false;
COMMIT;
DROP TRIGGER delete_some ON ref;
RESET shoal.row_triggers;
SELECT affected('DELETE FROM ref WHERE id > 200');
SELECT count(*), count(*) FILTER (WHERE t = 'z') FROM ref;
SELECT same(t) FROM unnest('{src,ref,keyless}'::regclass[]) t;

DROP SCHEMA reference_writes CASCADE;
