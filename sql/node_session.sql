--
-- Functions that run on nodes and do something to the session, which is the client's:
-- they notify, and change settings.  Compared with a plain table that has the same triggers.
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE EXTENSION dblink;
CREATE SCHEMA ns_p;
CREATE SCHEMA ns_d;
CREATE FUNCTION public.ns_do() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE NEW.what
        WHEN 'pg_notify' THEN PERFORM pg_notify('ns', tg_op || NEW.k);
        WHEN 'assign' THEN NEW.what := pg_notify('ns', 'a' || NEW.k);
        WHEN 'sql' THEN PERFORM public.ns_say('sql' || NEW.k);
        WHEN 'notify' THEN NOTIFY ns;
        WHEN 'execute' THEN EXECUTE format('NOTIFY ns, %L', 'e' || NEW.k);
        WHEN 'same' THEN PERFORM pg_notify('ns', 'same');
        WHEN 'null' THEN PERFORM pg_notify('ns', NULL);
        WHEN 'no channel' THEN PERFORM pg_notify('', 'x');
        WHEN 'long channel' THEN PERFORM pg_notify(repeat('x', 64), 'x');
        WHEN 'long payload' THEN PERFORM pg_notify('ns', repeat('x', 8000));
        WHEN 'catch' THEN
            BEGIN
                PERFORM pg_notify('ns', 'lost' || NEW.k), set_config('ns.a', 'lost', false);
                RAISE EXCEPTION 'error';
            EXCEPTION WHEN raise_exception THEN
                PERFORM pg_notify('ns', 'caught' || NEW.k);
            END;
        WHEN 'set' THEN SET ns.a = 'set';
        WHEN 'local' THEN SET LOCAL ns.a = 'local';
        WHEN 'config' THEN PERFORM set_config('ns.a', 'row' || NEW.k, false);
        WHEN 'config_local' THEN PERFORM set_config('ns.a', 'row' || NEW.k, true);
        WHEN 'add' THEN PERFORM set_config('ns.a', coalesce(current_setting('ns.a', true), '') || '+', false);
        WHEN 'reset' THEN RESET ns.a;
        WHEN 'core' THEN SET IntervalStyle = 'iso_8601';
        WHEN 'no name' THEN PERFORM set_config(NULL, 'x', false);
        WHEN 'role' THEN SET ROLE pg_monitor;
        WHEN 'listen' THEN LISTEN ns_other;
        WHEN 'reset all' THEN RESET ALL;
        WHEN 'isolation' THEN SET TRANSACTION READ ONLY;
        WHEN 'show' THEN PERFORM pg_notify('ns', current_setting('ns.a'));
    END CASE;
    RETURN NULL;
END $$;
CREATE FUNCTION public.ns_say(text) RETURNS void LANGUAGE sql AS 'SELECT pg_notify(''ns'', $1)';
CREATE TABLE ns_p.t (k int, what text);
CREATE TABLE ns_d.t (k int, what text);
CREATE TABLE ns_p.later (k int, what text);
CREATE TABLE ns_d.later (k int, what text);
CREATE TABLE ns_d.ref (k int PRIMARY KEY, what text);
CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE ON ns_p.t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION ns_do();
CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE ON ns_d.t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION ns_do();
CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE ON ns_p.later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ns_do();
CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE ON ns_d.later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ns_do();
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON ns_d.ref DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ns_do();
SELECT shoal.create_distributed_table('ns_d.t', 'k', shard_count => 12, colocate_with => 'none');
SELECT shoal.create_distributed_table('ns_d.later', 'k', colocate_with => 'ns_d.t');
SELECT shoal.create_reference_table('ns_d.ref');

-- someone listens
SELECT dblink_connect('listener', format('host=127.0.0.1 port=%s dbname=%s user=%s', inet_server_port(), current_database(), current_user));
SELECT dblink_exec('listener', 'LISTEN ns');
CREATE FUNCTION public.ns_heard() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM * FROM dblink('listener', 'SELECT 1') AS x(i int);
    RETURN (SELECT coalesce(string_agg(extra, ' ' ORDER BY extra COLLATE "C"), 'nothing') FROM dblink_get_notify('listener'));
END $$;
-- a statement for both; what it has done to the session
CREATE PROCEDURE public.ns_both(statement text) LANGUAGE plpgsql AS $$
DECLARE
    result text[] := '{}';
    told text;
BEGIN
    FOR i IN 1..2 LOOP
        PERFORM set_config('search_path', (ARRAY['ns_p', 'ns_d'])[i] || ', public', false);
        PERFORM set_config('ns.a', 'old', false), set_config('IntervalStyle', 'postgres', false);
        COMMIT;
        BEGIN
            EXECUTE statement;
            told := 'then ' || current_setting('ns.a');
        EXCEPTION WHEN OTHERS THEN
            told := SQLSTATE || ': ' || SQLERRM;
        END;
        COMMIT;
        told := told || ', then ' || current_setting('ns.a') || ', ' || current_setting('IntervalStyle');
        result := result || (told || ', heard ' || ns_heard());
    END LOOP;
    IF result[1] = result[2] THEN
        RAISE WARNING '%', result[1];
    ELSE
        RAISE WARNING 'plain: %, distributed: %', result[1], result[2];
    END IF;
END $$;
\set VERBOSITY terse
-- rows on all nodes
CALL ns_both('INSERT INTO t SELECT i, ''pg_notify'' FROM generate_series(1, 9) i');
CALL ns_both('INSERT INTO later SELECT i, ''pg_notify'' FROM generate_series(1, 9) i');
CALL ns_both('INSERT INTO t SELECT i, (ARRAY[''sql'', ''notify'', ''execute'', ''same'', ''null'', ''catch'', ''set''])[i % 7 + 1] FROM generate_series(1, 30) i');
CALL ns_both('INSERT INTO later SELECT i, (ARRAY[''sql'', ''notify'', ''execute'', ''same'', ''null'', ''catch'', ''set''])[i % 7 + 1] FROM generate_series(1, 30) i');
CALL ns_both('UPDATE t SET what = ''pg_notify'' WHERE k < 4');
CALL ns_both('UPDATE later SET what = ''pg_notify''');
-- rows of several nodes, one by one
CREATE PROCEDURE public.ns_each(what text, name text DEFAULT 't') LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..5 LOOP
        CALL ns_both(format('INSERT INTO %I VALUES (%s, %L)', name, i, what));
    END LOOP;
END $$;
SELECT count(DISTINCT node_id) FROM shoal.shards, generate_series(1, 5) i
    WHERE table_name = 'ns_d.t'::regclass AND role = 'primary' AND shard = shoal.shard_of('ns_d.t', i);
CALL ns_each('set');
CALL ns_each('local');
CALL ns_each('config');
CALL ns_each('config_local');
CALL ns_each('add');
CALL ns_each('reset');
CALL ns_each('core');
CALL ns_each('catch');
CALL ns_each('null');
CALL ns_each('assign');
CALL ns_each('no channel');
CALL ns_each('long channel');
CALL ns_each('long payload');
CALL ns_each('no name');
CALL ns_each('set', 'later');
CALL ns_each('config_local', 'later');
CALL ns_each('add', 'later');
CALL ns_each('reset', 'later');

-- transactions
CREATE PROCEDURE public.ns_scripts(script text) LANGUAGE plpgsql AS $$
DECLARE
    result text[] := '{}';
    part text;
BEGIN
    PERFORM dblink_connect('writer', format('host=127.0.0.1 port=%s dbname=%s user=%s', inet_server_port(), current_database(), current_user));
    FOR i IN 1..2 LOOP
        PERFORM dblink_exec('writer', 'SET ns.a = ''old''; SET client_min_messages = error; SET search_path = public, ' || (ARRAY['ns_p', 'ns_d'])[i]);
        FOR part IN SELECT trim(s) FROM regexp_split_to_table(script, ';') s LOOP
            PERFORM dblink_exec('writer', part, false);
        END LOOP;
        result := result || (ns_heard() || ', ' || (SELECT a FROM dblink('writer', 'SHOW ns.a') AS x(a text)));
    END LOOP;
    PERFORM dblink_disconnect('writer');
    IF result[1] = result[2] THEN
        RAISE WARNING '%', result[1];
    ELSE
        RAISE WARNING 'plain: %, distributed: %', result[1], result[2];
    END IF;
END $$;
CALL ns_scripts('BEGIN; INSERT INTO t SELECT i, ''pg_notify'' FROM generate_series(1, 9) i; ROLLBACK');
CALL ns_scripts('BEGIN; INSERT INTO t SELECT i, ''pg_notify'' FROM generate_series(1, 9) i; NOTIFY ns, ''mine''; COMMIT');
CALL ns_scripts('BEGIN; INSERT INTO t VALUES (1, ''same''); NOTIFY ns, ''same''; INSERT INTO later VALUES (2, ''same''), (3, ''same''); COMMIT');
CALL ns_scripts('BEGIN; INSERT INTO t VALUES (1, ''set''), (2, ''set''), (3, ''set''), (4, ''pg_notify''); SAVEPOINT a; INSERT INTO t SELECT i, ''pg_notify'' FROM generate_series(5, 9) i; ROLLBACK TO a; INSERT INTO later VALUES (10, ''pg_notify''), (11, ''pg_notify''); COMMIT');
CALL ns_scripts('BEGIN; SAVEPOINT a; INSERT INTO t SELECT i, ''set'' FROM generate_series(5, 9) i; ROLLBACK TO a; COMMIT');
CALL ns_scripts('BEGIN; SAVEPOINT a; INSERT INTO t SELECT i, ''set'' FROM generate_series(5, 9) i; RELEASE a; SAVEPOINT b; INSERT INTO later SELECT i, ''pg_notify'' FROM generate_series(5, 9) i; RELEASE b; SAVEPOINT c; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO c; COMMIT');
CALL ns_scripts('BEGIN; INSERT INTO later SELECT i, ''pg_notify'' FROM generate_series(5, 9) i; SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT a; INSERT INTO later SELECT 2 * i, ''pg_notify'' FROM generate_series(5, 9) i; ROLLBACK TO a; COMMIT');
CALL ns_scripts('BEGIN; SET LOCAL ns.a = ''before''; INSERT INTO t SELECT i, ''config_local'' FROM generate_series(3, 3) i; COMMIT');
-- what triggers that are put off read is what the session has at its end
CALL ns_scripts('BEGIN; INSERT INTO later SELECT i, ''show'' FROM generate_series(1, 9) i; SET ns.a = ''new''; COMMIT');
CALL ns_scripts('BEGIN; INSERT INTO later VALUES (1, ''show''); SET ns.a = ''new''; COMMIT; BEGIN; INSERT INTO later VALUES (2, ''show''); SET LOCAL ns.a = ''newer''; COMMIT; INSERT INTO later VALUES (2, ''show'')');
CALL ns_scripts('BEGIN; SET LOCAL ns.a = ''gone''; INSERT INTO later VALUES (1, ''show''), (2, ''show''), (3, ''show''), (4, ''show''); SET ns.a TO DEFAULT; COMMIT');
-- of a reference table they run on each node
INSERT INTO ns_d.ref VALUES (1, 'same'), (2, 'pg_notify'), (3, 'set');
SELECT ns_heard();
SHOW ns.a;

-- what is not told
SET search_path = ns_d, public;
CREATE FUNCTION public.ns_try(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    elsewhere int := (SELECT min(i) FROM generate_series(1, 100) i, shoal.shards p, shoal.local_node l
        WHERE p.table_name = 'ns_d.t'::regclass AND p.role = 'primary' AND p.shard = shoal.shard_of('ns_d.t', i) AND p.node_id <> l.node_id);
BEGIN
    INSERT INTO ns_d.t VALUES (elsewhere, what);
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT ns_try('role');
SELECT ns_try('listen');
SELECT ns_try('reset all');
SELECT ns_try('isolation');
SET ns.a = '';
INSERT INTO t SELECT i, 'add' FROM generate_series(1, 30) i;
INSERT INTO t SELECT i, 'config' FROM generate_series(1, 30) i;
-- the nodes go on
CALL ns_both('INSERT INTO t SELECT i, ''pg_notify'' FROM generate_series(1, 9) i');

-- what they are told of their table; by that they find the row, but no other shard's
CREATE FUNCTION public.ns_table() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n int;
BEGIN
    EXECUTE format('SELECT count(*) FROM %s WHERE k = $1', tg_relid::regclass) INTO n USING NEW.k;
    PERFORM pg_notify('ns', concat_ws('.', tg_table_schema LIKE 'ns\__', tg_table_name, tg_relid::regclass, n));
    RETURN NULL;
END $$;
CREATE FUNCTION public.ns_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT count(*) FROM %I.%I', tg_table_schema, tg_table_name);
    RETURN NULL;
END $$;
CREATE TABLE ns_p.told (k int, v int);
CREATE TABLE ns_d.told (k int, v int);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON ns_p.told DEFERRABLE FOR EACH ROW EXECUTE FUNCTION ns_table();
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON ns_d.told DEFERRABLE FOR EACH ROW EXECUTE FUNCTION ns_table();
SELECT shoal.create_distributed_table('ns_d.told', 'k', colocate_with => 'ns_d.t');
CALL ns_both('INSERT INTO told SELECT i, i FROM generate_series(1, 9) i');
DROP TRIGGER t ON ns_d.told;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON ns_d.told DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ns_count();
INSERT INTO ns_d.told SELECT i, i FROM generate_series(1, 9) i;

-- values of sequences: what was given to the client they do not know
CREATE SEQUENCE public.ns_seq;
CREATE FUNCTION public.ns_latest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.v = 1 THEN PERFORM nextval('public.ns_seq'); END IF;
    IF NEW.v < 2 THEN PERFORM currval('public.ns_seq'); ELSE PERFORM lastval(); END IF;
    RETURN NULL;
END $$;
CREATE TABLE ns_d.latest (k int, v int);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON ns_d.latest DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ns_latest();
SELECT shoal.create_distributed_table('ns_d.latest', 'k', colocate_with => 'ns_d.t');
SELECT nextval('public.ns_seq');
INSERT INTO ns_d.latest SELECT i, 1 FROM generate_series(1, 9) i;
\set VERBOSITY terse
INSERT INTO ns_d.latest SELECT i, 0 FROM generate_series(1, 9) i;
INSERT INTO ns_d.latest SELECT i, 2 FROM generate_series(1, 9) i;
\set VERBOSITY default
SELECT count(*) FROM ns_d.latest;
DROP SEQUENCE public.ns_seq;

SELECT dblink_disconnect('listener');
RESET search_path;
DROP SCHEMA ns_p, ns_d CASCADE;
DROP FUNCTION ns_do, ns_say, ns_heard, ns_try, ns_table, ns_count, ns_latest;
DROP PROCEDURE ns_both, ns_each, ns_scripts;
DROP EXTENSION dblink;
