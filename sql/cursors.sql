--
-- Cursors show the rows of the time when they were opened, whatever the same
-- transaction writes before the first FETCH; compared with plain tables.
--
SET client_min_messages = warning;
CREATE TABLE cu_d (k int PRIMARY KEY, n int, v text);
CREATE TABLE cu_p (LIKE cu_d INCLUDING ALL);
CREATE TABLE cu_other_d (id int PRIMARY KEY, k int);
CREATE TABLE cu_other_p (LIKE cu_other_d INCLUDING ALL);
CREATE TABLE cu_ref_d (n int PRIMARY KEY);
CREATE TABLE cu_ref_p (LIKE cu_ref_d INCLUDING ALL);
SELECT shoal.create_distributed_table('cu_d', 'k', shard_count => 6);
SELECT shoal.create_distributed_table('cu_other_d', 'id', shard_count => 6);
SELECT shoal.create_reference_table('cu_ref_d');
CREATE FUNCTION cu_fill() RETURNS void LANGUAGE plpgsql AS $$
DECLARE suffix text;
BEGIN
    FOREACH suffix IN ARRAY ARRAY['d', 'p'] LOOP
        EXECUTE replace('DELETE FROM cu_?; DELETE FROM cu_other_?; DELETE FROM cu_ref_?;
            INSERT INTO cu_? SELECT i, i % 5, ''v'' || i FROM generate_series(1, 60) i;
            INSERT INTO cu_other_? SELECT i, i * 2 % 70 FROM generate_series(1, 60) i;
            INSERT INTO cu_ref_? VALUES (1), (2)', '?', suffix);
    END LOOP;
END $$;
CREATE FUNCTION cu_write(suffix text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE replace('INSERT INTO cu_? SELECT i, i % 5, ''new'' FROM generate_series(61, 90) i;
        UPDATE cu_? SET n = n + 10, v = ''changed'' WHERE k % 3 = 0;
        DELETE FROM cu_? WHERE k % 7 = 1;
        UPDATE cu_other_? SET k = k + 1;
        INSERT INTO cu_ref_? VALUES (3), (4)', '?', suffix);
END $$;
-- the queries; ? stands for the suffix
CREATE TABLE cu_query (number int, query text);
INSERT INTO cu_query VALUES
    (1, 'SELECT * FROM cu_? ORDER BY k'),
    (2, 'SELECT k, n FROM cu_?'),
    (3, 'SELECT count(*), sum(n) FROM cu_?'),
    (4, 'SELECT n, count(*) FROM cu_? GROUP BY n ORDER BY n LIMIT 4'),
    (5, 'SELECT * FROM cu_? WHERE k = 3'),
    (6, 'SELECT * FROM cu_? WHERE k = 63'),
    (7, 'SELECT count(*) FROM cu_? WHERE k = 15 AND n < 10'),
    (8, 'SELECT a.k, b.id FROM cu_? a JOIN cu_other_? b ON a.k = b.k'),
    (9, 'SELECT k FROM cu_? UNION ALL SELECT k FROM cu_other_?'),
    (10, 'SELECT k, (SELECT count(*) FROM cu_other_?) FROM cu_? WHERE n IN (SELECT max(n) FROM cu_?)'),
    (11, 'SELECT k FROM cu_? WHERE k = (SELECT max(k) FROM cu_other_? WHERE id < 30)'),
    (12, 'WITH w AS MATERIALIZED (SELECT n, max(k) AS m FROM cu_? GROUP BY n) SELECT * FROM w JOIN cu_? USING (n)'),
    (13, 'SELECT k, n FROM cu_? WHERE random() < 2'),
    (14, 'SELECT k, n FROM cu_? WHERE k < 20 ORDER BY k FOR SHARE'),
    (15, 'SELECT * FROM cu_ref_?'),
    (16, 'SELECT r.n, count(k) FROM cu_ref_? r LEFT JOIN cu_? USING (n) GROUP BY r.n'),
    (17, 'SELECT k, g FROM cu_?, generate_series(1, 2) g WHERE k IN (1, 2, 61)'),
    (18, 'SELECT k, row_number() OVER (PARTITION BY n ORDER BY k) FROM cu_?');
-- what cursors over the queries return which are opened first, with a write
-- before the first FETCH, or after it
CREATE FUNCTION cu_rows(suffix text, way text, late bool) RETURNS TABLE (number int, result text) LANGUAGE plpgsql AS $$
DECLARE
    q record;
    c refcursor;
    row text;
    cursors text[];
BEGIN
    FOR q IN SELECT * FROM cu_query ORDER BY 1 LOOP
        CONTINUE WHEN late AND q.query ~ 'FOR SHARE';
        c := 'cu_c' || q.number;
        IF way = 'open' THEN
            OPEN c FOR EXECUTE replace(q.query, '?', suffix);
        ELSE
            EXECUTE format('DECLARE %I %s FOR %s', c, way, replace(q.query, '?', suffix));
        END IF;
        IF late THEN
            FETCH c INTO row;
            number := q.number;
            result := row;
            RETURN NEXT;
        END IF;
    END LOOP;
    PERFORM cu_write(suffix);
    FOR q IN SELECT * FROM cu_query ORDER BY 1 LOOP
        CONTINUE WHEN late AND q.query ~ 'FOR SHARE';
        c := 'cu_c' || q.number;
        LOOP
            FETCH c INTO row;
            EXIT WHEN NOT FOUND;
            number := q.number;
            result := row;
            RETURN NEXT;
        END LOOP;
        CLOSE c;
    END LOOP;
END $$;
-- text of whole rows, so that FETCH INTO gets all of it
UPDATE cu_query SET query = regexp_replace(query, '^(.*?)( FOR SHARE)?$', 'SELECT x::text FROM (\1) x\2') WHERE query !~ 'FOR SHARE';
UPDATE cu_query SET query = 'SELECT (k, n)::text FROM cu_? WHERE k < 20 ORDER BY k FOR SHARE' WHERE query ~ 'FOR SHARE';
CREATE FUNCTION cu_compare(way text, late bool DEFAULT false) RETURNS TABLE (number int, d bigint, p bigint) LANGUAGE sql AS $$
    WITH d AS MATERIALIZED (SELECT * FROM cu_rows('d', way, late)), p AS MATERIALIZED (SELECT * FROM cu_rows('p', way, late)),
        differ AS ((TABLE d EXCEPT ALL TABLE p) UNION (TABLE p EXCEPT ALL TABLE d))
    SELECT number, (SELECT count(*) FROM d WHERE d.number = x.number), (SELECT count(*) FROM p WHERE p.number = x.number)
    FROM (SELECT DISTINCT number FROM differ) x
    UNION ALL SELECT -1, count(*), NULL FROM d ORDER BY 1
$$;
-- only the number of rows
SELECT cu_fill();
BEGIN;
SELECT * FROM cu_compare('CURSOR');
ROLLBACK;
BEGIN;
SELECT * FROM cu_compare('CURSOR', true);
ROLLBACK;
BEGIN;
SELECT * FROM cu_compare('open');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM cu_compare('CURSOR');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM cu_compare('open');
ROLLBACK;
SET shoal.consistent_reads = off;
BEGIN;
SELECT * FROM cu_compare('CURSOR');
ROLLBACK;
RESET shoal.consistent_reads;
BEGIN;
SAVEPOINT s;
SELECT * FROM cu_compare('CURSOR');
ROLLBACK TO s;
SELECT * FROM cu_compare('open');
COMMIT;
SELECT cu_fill();

-- at top level, through savepoints; SCROLL; WITH HOLD
BEGIN;
DECLARE a CURSOR FOR SELECT count(*) FROM cu_d WHERE k = 3;
DECLARE b SCROLL CURSOR FOR SELECT count(*), max(k) FROM cu_d;
DECLARE c CURSOR WITH HOLD FOR SELECT count(*), max(k) FROM cu_d;
DECLARE d CURSOR FOR SELECT k FROM cu_d WHERE k > 58 ORDER BY k FOR UPDATE;
DECLARE e CURSOR FOR SELECT count(*), (SELECT count(*) FROM cu_other_d) FROM cu_d;
SAVEPOINT s;
DELETE FROM cu_d WHERE k = 3;
INSERT INTO cu_d VALUES (61, 1, 'new');
FETCH a;
FETCH b;
ROLLBACK TO s;
DELETE FROM cu_d WHERE k < 10;
INSERT INTO cu_d VALUES (62, 1, 'new');
FETCH FIRST FROM b;
FETCH FROM d;
UPDATE cu_d SET v = 'current' WHERE CURRENT OF d;
FETCH e;
COMMIT;
FETCH c;
CLOSE c;
-- one that is never read
BEGIN;
DECLARE a CURSOR FOR SELECT k, 1 / (k - k) FROM cu_d ORDER BY 2;
CLOSE a;
SELECT count(*) FROM cu_d;
COMMIT;
-- the cursor of a function that has ended
CREATE FUNCTION cu_open() RETURNS refcursor LANGUAGE plpgsql AS $$
DECLARE c refcursor := 'cu_opened';
BEGIN
    OPEN c FOR SELECT count(*), max(k) FROM cu_d;
    INSERT INTO cu_d VALUES (70, 1, 'new');
    RETURN c;
END $$;
BEGIN;
SELECT cu_open();
INSERT INTO cu_d VALUES (71, 1, 'new');
FETCH ALL FROM cu_opened;
ROLLBACK;
DROP TABLE cu_d, cu_p, cu_other_d, cu_other_p, cu_ref_d, cu_ref_p, cu_query;
DROP FUNCTION cu_fill, cu_write, cu_rows, cu_compare, cu_open;
