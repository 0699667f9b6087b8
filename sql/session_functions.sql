--
-- Functions that look at the session or the server, or do something to them: those are the
-- client's, not a node's.
--
SET client_min_messages = warning;
CREATE TABLE sf_d (id int PRIMARY KEY, v int, o oid, name text);
CREATE TABLE sf_p (LIKE sf_d INCLUDING ALL);
SELECT shoal.create_distributed_table('sf_d', 'id', shard_count => 6);
INSERT INTO sf_p SELECT i, i * 2, NULL, 'n' || i FROM generate_series(1, 30) i;
INSERT INTO sf_d TABLE sf_p;

-- functions that do something to the session or its server
SELECT id FROM sf_d WHERE pg_try_advisory_lock(id) AND id IN (1, 2, 3, 11, 12) ORDER BY id;
SELECT id, pg_advisory_unlock(id) FROM sf_p WHERE id IN (1, 2, 3, 11, 12) ORDER BY id;
UPDATE sf_d SET o = 1 WHERE id IN (1, 3, 13) AND pg_try_advisory_lock(id);
SELECT id, pg_advisory_unlock(id) FROM sf_p WHERE id IN (1, 3, 13) ORDER BY id;
SELECT id FROM sf_d WHERE id IN (11, 12, 13) AND set_config('sf.x', id::text, false) = '13';
SELECT id FROM sf_d WHERE id = 3 AND set_config('sf.x', id::text, false) = '3';
SELECT current_setting('sf.x');
SELECT lo_create(424242) > 0;
UPDATE sf_d SET o = 424242 WHERE id > 10;
SELECT lo_put(o, 0, 'large') FROM sf_d WHERE id = 12;
SELECT id, lo_get(o) FROM sf_d WHERE id IN (11, 12, 13) ORDER BY id;
SELECT count(*) FROM sf_d WHERE id > 10 AND lo_get(o) = 'large';
SELECT lo_unlink(o) FROM sf_d WHERE id = 12;
SELECT count(*) FROM sf_d WHERE current_query() LIKE 'SELECT count%';
SELECT query_to_xml('SELECT count(*) FROM sf_d WHERE id = ' || id, true, true, '') FROM sf_d WHERE id = 12;

-- rows that tell of the session
PREPARE sf_prepared AS SELECT 1;
SELECT count(*) FROM sf_d, pg_prepared_statements p WHERE p.name = 'sf_prepared';
SELECT id FROM sf_d, pg_prepared_statements p WHERE p.name = 'sf_prepared' AND id IN (1, 2, 3, 4) ORDER BY id;
SELECT id FROM sf_d WHERE id = 4 AND EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'sf_prepared');
SELECT id FROM sf_d WHERE id = 3 AND EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'sf_prepared');
BEGIN;
DECLARE sf_cursor CURSOR FOR SELECT 1;
SELECT count(*) FROM sf_d, pg_cursors WHERE pg_cursors.name = 'sf_cursor';
COMMIT;
SET application_name = 'sf';
SELECT count(*) FROM sf_d, pg_settings s WHERE s.name = 'application_name' AND setting = 'sf';
SELECT count(*) FROM sf_d WHERE current_setting(left('application_name', id + 20)) = 'sf';
RESET application_name;
LISTEN sf_channel;
SELECT count(*) FROM sf_d, pg_listening_channels() c WHERE c = 'sf_channel';
SELECT id, (SELECT count(*) FROM pg_listening_channels()) FROM sf_d WHERE id IN (1, 2, 3) ORDER BY id;
UNLISTEN sf_channel;
SELECT count(*) FROM sf_d, pg_stat_activity s WHERE s.pid = pg_backend_pid();
SELECT count(DISTINCT pg_backend_pid() + id - id) FROM sf_d;
SELECT count(*) FROM sf_d, generate_series(now(), now() + interval '1 hour', interval '1 hour'), json_each('{"a": 1}') WHERE id < 3;
SET quote_all_identifiers = on;
SELECT count(*) FROM sf_d WHERE format('%I', name) = '"n' || id || '"';
RESET quote_all_identifiers;

-- types and operators of the session
CREATE TYPE pg_temp.sf_mood AS ENUM ('sad', 'ok');
CREATE TYPE pg_temp.sf_pair AS (a int, b int);
CREATE DOMAIN pg_temp.sf_pos AS int CHECK (VALUE > 0);
CREATE OPERATOR pg_temp.=== (leftarg = int, rightarg = int, function = int4eq);
SELECT count(*) FROM sf_d WHERE (CASE WHEN id > 10 THEN 'ok' ELSE 'sad' END)::pg_temp.sf_mood = 'ok';
SELECT DISTINCT (CASE WHEN id > 10 THEN 'ok' ELSE 'sad' END)::pg_temp.sf_mood AS mood FROM sf_d ORDER BY 1;
SELECT (ROW(id, v)::pg_temp.sf_pair).b FROM sf_d WHERE id = 3;
SELECT max((ROW(id, v)::pg_temp.sf_pair)::text) FROM sf_d;
SELECT count(id::pg_temp.sf_pos), count(DISTINCT ARRAY[id::pg_temp.sf_pos]) FROM sf_d;
SELECT id FROM sf_d WHERE id OPERATOR(pg_temp.===) 3;
UPDATE sf_d SET v = v + 1 WHERE id OPERATOR(pg_temp.===) ANY (ARRAY[3, 4]);
DISCARD TEMP;

-- extensions' functions that run queries, or keep something
CREATE EXTENSION tablefunc;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION pgcrypto;
SELECT id, c.v FROM sf_d JOIN crosstab('SELECT id, ''a'', v FROM sf_d WHERE id < 4 ORDER BY 1') c(id int, v int) USING (id) ORDER BY 1;
SELECT id, c.v FROM sf_d JOIN crosstab('SELECT id, ''a'', v FROM sf_d WHERE id < 4 ORDER BY 1') c(id int, v int) USING (id) WHERE id = 2;
SELECT set_limit(0.9::real) FROM sf_d WHERE id = 2;
SELECT show_limit();
UPDATE sf_d SET name = encode(gen_random_bytes(8), 'hex');
SELECT count(DISTINCT name) FROM sf_d;
DROP EXTENSION tablefunc, pg_trgm, pgcrypto;
DROP TABLE sf_d, sf_p;

-- triggers of a MERGE, which fire on nodes if they ask for nothing of the session
CREATE TABLE bound_m (k int PRIMARY KEY, v int, told text);
SELECT shoal.create_distributed_table('bound_m', 'k', shard_count => 6);
CREATE FUNCTION bound_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.told := concat_ws(' ', pg_backend_pid() = current_setting('bound.pid')::int, current_setting('application_name'),
		TG_TABLE_SCHEMA, TG_RELID::regclass, left(current_query(), 20));
	RETURN NEW;
END $$;
CREATE TRIGGER tell BEFORE INSERT OR UPDATE ON bound_m FOR EACH ROW EXECUTE FUNCTION bound_tell();
SELECT set_config('bound.pid', pg_backend_pid()::text, false) IS NULL;
SET application_name = 'bound';
INSERT INTO bound_m SELECT i FROM generate_series(1, 3) i;
MERGE INTO bound_m m USING (VALUES (2), (3), (4), (5)) s (k) ON m.k = s.k
	WHEN MATCHED THEN UPDATE SET v = 1 WHEN NOT MATCHED THEN INSERT (k) VALUES (s.k);
SELECT * FROM bound_m ORDER BY k;
DROP TABLE bound_m;
DROP FUNCTION bound_tell;
