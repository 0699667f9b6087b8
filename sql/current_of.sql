--
-- WHERE CURRENT OF a cursor on distributed and single-shard tables, compared
-- with plain tables.
--
SET client_min_messages = warning;
CREATE TABLE cur_d (k int, sub int, v text, n int DEFAULT 0, PRIMARY KEY (k, sub));
CREATE TABLE cur_p (LIKE cur_d INCLUDING ALL);
CREATE TABLE cur_text_d (k varchar(10) COLLATE "C", n int);
CREATE TABLE cur_text_p (LIKE cur_text_d);
CREATE TABLE cur_single_d (a int, b text);
CREATE TABLE cur_single_p (LIKE cur_single_d);
SELECT shoal.create_distributed_table('cur_d', 'k', shard_count => 8);
SELECT shoal.create_distributed_table('cur_text_d', 'k', shard_count => 4);
SELECT shoal.create_distributed_table('cur_single_d', NULL);
INSERT INTO cur_p SELECT i % 20, i, 'v' || i FROM generate_series(1, 200) i;
INSERT INTO cur_text_p SELECT 'k' || i % 5, i FROM generate_series(1, 50) i;
INSERT INTO cur_single_p SELECT i, 'b' || i FROM generate_series(1, 10) i;
INSERT INTO cur_d TABLE cur_p;
INSERT INTO cur_text_d TABLE cur_text_p;
INSERT INTO cur_single_d TABLE cur_single_p;
CREATE FUNCTION cur_same() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    t text;
    n bigint;
BEGIN
    FOREACH t IN ARRAY ARRAY['cur', 'cur_text', 'cur_single'] LOOP
        EXECUTE format('SELECT count(*) FROM ((TABLE %1$s_d EXCEPT ALL TABLE %1$s_p) UNION ALL (TABLE %1$s_p EXCEPT ALL TABLE %1$s_d)) x', t) INTO n;
        RETURN NEXT t || CASE n WHEN 0 THEN ': same' ELSE ': DIFFERENT' END;
    END LOOP;
END $$;

-- every row, as a function goes through a cursor
CREATE FUNCTION cur_loop(suffix text, locks bool) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c refcursor;
    r record;
    n int;
    written int := 0;
BEGIN
    OPEN c FOR EXECUTE 'SELECT k, sub FROM cur' || suffix || ' WHERE sub % 3 = 0' || CASE WHEN locks THEN ' FOR UPDATE' ELSE '' END;
    LOOP
        FETCH c INTO r;
        EXIT WHEN NOT FOUND;
        IF r.sub % 2 = 0 THEN
            EXECUTE format('UPDATE cur%s SET v = v || ''.'', n = %s WHERE CURRENT OF %I', suffix, r.sub, c);
            EXECUTE format('UPDATE cur%s SET v = v || ''!'' WHERE CURRENT OF %I', suffix, c);
        ELSIF r.sub % 5 = 0 THEN
            EXECUTE format('DELETE FROM cur%s WHERE CURRENT OF %I', suffix, c);
        END IF;
        GET DIAGNOSTICS n = ROW_COUNT;
        written := written + n;
    END LOOP;
    CLOSE c;
    RETURN written;
END $$;
SELECT cur_loop('_d', true), cur_loop('_p', true);
SELECT * FROM cur_same();
SELECT cur_loop('_d', false), cur_loop('_p', false);
SELECT * FROM cur_same();
DO $$
DECLARE
    c CURSOR FOR SELECT n FROM cur_text_d WHERE n % 2 = 0 FOR NO KEY UPDATE;
    p CURSOR FOR SELECT n FROM cur_text_p WHERE n % 2 = 0 FOR NO KEY UPDATE;
BEGIN
    FOR r IN c LOOP UPDATE cur_text_d SET n = -r.n WHERE CURRENT OF c; END LOOP;
    FOR r IN p LOOP UPDATE cur_text_p SET n = -r.n WHERE CURRENT OF p; END LOOP;
END $$;
SELECT * FROM cur_same();

-- in order, also by what is not asked for
CREATE FUNCTION cur_ordered(suffix text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c refcursor;
    r record;
    seen text = '';
BEGIN
    OPEN c FOR EXECUTE 'SELECT v, n FROM cur' || suffix || ' WHERE sub > 50 ORDER BY n % 3 DESC NULLS FIRST, length(v), v DESC, sub FOR UPDATE';
    FOR i IN 1 .. 60 LOOP
        FETCH c INTO r;
        seen = seen || r.v || ' ';
        IF i % 7 = 0 THEN
            EXECUTE format('UPDATE cur%s SET v = v || %L, n = n + 1 WHERE CURRENT OF %I', suffix, i, c);
        ELSIF i % 11 = 0 THEN
            EXECUTE format('DELETE FROM cur%s WHERE CURRENT OF %I', suffix, c);
        END IF;
    END LOOP;
    MOVE 3 IN c;
    EXECUTE format('UPDATE cur%s SET v = ''moved to'' WHERE CURRENT OF %I', suffix, c);
    CLOSE c;
    RETURN md5(seen);
END $$;
SELECT cur_ordered('_d') = cur_ordered('_p') AS same;
SELECT * FROM cur_same();

-- by hand: any place in the cursor, forward and backward, and again
BEGIN;
DECLARE d CURSOR FOR SELECT v FROM cur_d WHERE k = 7 AND sub < 100 ORDER BY sub;
DECLARE s SCROLL CURSOR FOR SELECT b FROM cur_single_d;
FETCH 2 FROM d;
UPDATE cur_d SET n = 70 WHERE CURRENT OF d RETURNING *;
UPDATE cur_d SET n = n + 1 WHERE CURRENT OF d RETURNING n;
FETCH BACKWARD 1 FROM d;
UPDATE cur_d SET n = n + 1 WHERE CURRENT OF d RETURNING *;
MOVE 3 IN d;
SAVEPOINT a;
DELETE FROM cur_d WHERE CURRENT OF d RETURNING sub;
DELETE FROM cur_d WHERE CURRENT OF d RETURNING sub;
UPDATE cur_d SET n = 1 WHERE CURRENT OF d;
ROLLBACK TO a;
UPDATE cur_d SET n = 1 WHERE CURRENT OF d RETURNING sub;
FETCH LAST FROM s;
UPDATE cur_single_d SET b = 'last' WHERE CURRENT OF s RETURNING *;
FETCH ABSOLUTE 3 FROM s;
DELETE FROM cur_single_d WHERE CURRENT OF s RETURNING *;
FETCH RELATIVE -1 FROM s;
DELETE FROM cur_single_d t USING cur_single_p p WHERE CURRENT OF s;
-- its distribution column
FETCH FIRST FROM d;
UPDATE cur_d SET k = 1000 WHERE CURRENT OF d;
UPDATE cur_d SET n = 5 WHERE CURRENT OF d;
SELECT k, sub FROM cur_d WHERE k = 1000;
ROLLBACK;
SELECT * FROM cur_same();
BEGIN ISOLATION LEVEL REPEATABLE READ;
DECLARE d CURSOR FOR SELECT * FROM cur_d WHERE sub = 1;
FETCH d;
UPDATE cur_d SET n = n + 1 WHERE CURRENT OF d RETURNING n;
UPDATE cur_d SET n = n + 1 WHERE CURRENT OF d RETURNING n;
ROLLBACK;

-- errors
CREATE FUNCTION cur_error(cursor_query text, write text, step text DEFAULT 'FETCH NEXT FROM e') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'DECLARE e CURSOR FOR ' || cursor_query;
    EXECUTE step;
    EXECUTE write;
    EXECUTE 'CLOSE e';
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT cur_error('SELECT * FROM cur_p', 'DELETE FROM cur_p WHERE CURRENT OF nothing'), cur_error('SELECT * FROM cur_d', 'DELETE FROM cur_d WHERE CURRENT OF nothing');
SELECT cur_error('SELECT * FROM cur_p', 'DELETE FROM cur_p WHERE CURRENT OF e', 'MOVE 0 IN e'), cur_error('SELECT * FROM cur_d', 'DELETE FROM cur_d WHERE CURRENT OF e', 'MOVE 0 IN e');
SELECT cur_error('SELECT * FROM cur_p', 'DELETE FROM cur_p WHERE CURRENT OF e', 'MOVE ALL IN e'), cur_error('SELECT * FROM cur_d', 'DELETE FROM cur_d WHERE CURRENT OF e', 'MOVE ALL IN e');
SELECT cur_error('SELECT count(*) FROM cur_p', 'DELETE FROM cur_p WHERE CURRENT OF e'), cur_error('SELECT count(*) FROM cur_d', 'DELETE FROM cur_d WHERE CURRENT OF e');
SELECT cur_error('SELECT * FROM cur_text_d', 'DELETE FROM cur_d WHERE CURRENT OF e'), cur_error('SELECT * FROM cur_p', 'DELETE FROM cur_d WHERE CURRENT OF e');
SELECT cur_error('SELECT * FROM cur_p ORDER BY sub', 'DELETE FROM cur_p WHERE CURRENT OF e');
SELECT cur_error('SELECT * FROM cur_d ORDER BY sub', 'DELETE FROM cur_d WHERE CURRENT OF e');
SELECT cur_error('SELECT * FROM cur_text_d WHERE k IS NULL', 'DELETE FROM cur_text_d WHERE CURRENT OF e');
INSERT INTO cur_text_d VALUES (NULL, 1);
SELECT cur_error('SELECT * FROM cur_text_d WHERE k IS NULL', 'DELETE FROM cur_text_d WHERE CURRENT OF e');
SELECT shoal.is_row('cur_p'::regclass, '(0,1)', 'x');
SELECT shoal.is_row(c, '(0,1)', format('%s %s 0,2', node_id, c::oid)) FROM shoal.local_node, unnest('{cur_d,cur_d_pkey}'::regclass[]) c LIMIT 1;
SELECT shoal.is_row('cur_p'::regclass, '(0,1)', '99 1 0,2');
SELECT * FROM cur_same() WHERE cur_same !~ 'text';

-- a replica's rows are elsewhere: those of the primary are read
SELECT shoal.set_replicas('cur_d', 1);
SET shoal.read_from = 'any';
SELECT cur_loop('_d', false), cur_loop('_p', false);
RESET shoal.read_from;
SELECT * FROM shoal.verify_table('cur_d');
SELECT * FROM cur_same() WHERE cur_same !~ 'text';

-- policies hold
CREATE ROLE shoal_cur_user;
GRANT SELECT, UPDATE, DELETE ON cur_d TO shoal_cur_user;
ALTER TABLE cur_d ENABLE ROW LEVEL SECURITY;
CREATE POLICY reads ON cur_d FOR SELECT USING (sub < 50);
CREATE POLICY writes ON cur_d FOR UPDATE USING (sub < 20);
SET ROLE shoal_cur_user;
BEGIN;
DECLARE c CURSOR FOR SELECT sub FROM cur_d WHERE k = 3 ORDER BY sub;
FETCH c;
UPDATE cur_d SET n = 100 WHERE CURRENT OF c RETURNING sub;
MOVE LAST IN c;
UPDATE cur_d SET n = 100 WHERE CURRENT OF c RETURNING sub;
ROLLBACK;
RESET ROLE;
DROP TABLE cur_d, cur_p, cur_text_d, cur_text_p, cur_single_d, cur_single_p;
DROP FUNCTION cur_same, cur_loop, cur_error;
DROP ROLE shoal_cur_user;
