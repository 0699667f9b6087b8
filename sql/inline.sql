--
-- SQL functions in FROM, whose bodies core's planner puts in their place: they read whole
-- tables.  Compared with plain tables.
--
SET client_min_messages = warning;
CREATE TABLE inl_d (id int PRIMARY KEY, v int, k int);
CREATE TABLE inl_p (LIKE inl_d INCLUDING ALL);
CREATE TABLE inl_ref (k int PRIMARY KEY, name text);
SELECT shoal.create_distributed_table('inl_d', 'id', shard_count => 6);
SELECT shoal.create_reference_table('inl_ref');
INSERT INTO inl_p SELECT i, i * 7919 % 1009, i % 4 FROM generate_series(1, 200) i;
INSERT INTO inl_d TABLE inl_p;
INSERT INTO inl_ref SELECT i, 'n' || i FROM generate_series(0, 3) i;
-- each function for both tables
DO $$
DECLARE s text;
BEGIN
    FOREACH s IN ARRAY ARRAY['d', 'p'] LOOP
        EXECUTE replace($q$
            CREATE FUNCTION inl_rows_?() RETURNS SETOF inl_? LANGUAGE sql STABLE AS 'SELECT * FROM inl_?';
            CREATE FUNCTION inl_first_?(n int DEFAULT 3) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT id FROM inl_? ORDER BY v LIMIT n';
            CREATE FUNCTION inl_of_?(wanted int, atleast int) RETURNS TABLE (id int, v int) LANGUAGE sql STABLE AS 'SELECT id, v FROM inl_? WHERE k = wanted AND v >= atleast';
            CREATE FUNCTION inl_nested_?(wanted int) RETURNS TABLE (id int, name text) LANGUAGE sql STABLE AS 'SELECT f.id, r.name FROM inl_of_?(wanted, 100) f JOIN inl_ref r ON r.k = wanted';
            CREATE FUNCTION inl_atomic_?(wanted int) RETURNS TABLE (id int) LANGUAGE sql STABLE BEGIN ATOMIC SELECT x.id FROM inl_? x WHERE x.k = wanted; END;
            CREATE FUNCTION inl_immutable_?() RETURNS SETOF inl_? LANGUAGE sql IMMUTABLE AS 'SELECT * FROM inl_?';
            CREATE FUNCTION inl_strict_?(int) RETURNS SETOF inl_? LANGUAGE sql STABLE STRICT AS 'SELECT * FROM inl_? WHERE k = $1';
            CREATE FUNCTION inl_volatile_?() RETURNS SETOF inl_? LANGUAGE sql AS 'SELECT * FROM inl_?';
            CREATE FUNCTION inl_plpgsql_?() RETURNS SETOF inl_? LANGUAGE plpgsql STABLE AS 'BEGIN RETURN QUERY SELECT * FROM inl_?; END';
            CREATE FUNCTION inl_definer_?() RETURNS SETOF inl_? LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT * FROM inl_?';
            CREATE VIEW inl_view_? AS SELECT f.id, f.v FROM inl_of_?(2, 0) f;
        $q$, '?', s);
    END LOOP;
END $$;
CREATE FUNCTION inl_same(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d text;
    p text;
BEGIN
    EXECUTE format('SELECT string_agg(x::text, '' '' ORDER BY x::text COLLATE "C") FROM (%s) x', replace(query, '?', 'd')) INTO d;
    EXECUTE format('SELECT string_agg(x::text, '' '' ORDER BY x::text COLLATE "C") FROM (%s) x', replace(query, '?', 'p')) INTO p;
    RETURN CASE WHEN d = p THEN 'same' ELSE 'DIFFERENT: ' || coalesce(left(d, 100), 'null') || ' instead of ' || coalesce(left(p, 100), 'null') END;
END $$;
CREATE TABLE inl_query (number serial, query text);
INSERT INTO inl_query (query) VALUES
    ('SELECT count(*), sum(v) FROM inl_rows_?()'),
    ('SELECT * FROM inl_first_?()'),
    ('SELECT * FROM inl_first_?(n => 7) WITH ORDINALITY'),
    ('SELECT * FROM inl_of_?(2, 500)'),
    ('SELECT r.name, f.id FROM inl_ref r, inl_of_?(r.k, 900) f'),
    ('SELECT r.name, f.id FROM inl_ref r LEFT JOIN LATERAL inl_of_?(r.k, 1000) f ON true'),
    ('SELECT x.id, f.v FROM inl_? x JOIN inl_of_?(1, 0) f USING (id)'),
    ('SELECT x.id, f.id FROM inl_? x, LATERAL inl_of_?(x.k, 990) f WHERE x.id < 5'),
    ('SELECT * FROM inl_nested_?(3)'),
    ('SELECT * FROM inl_atomic_?(3)'),
    ('SELECT count(*) FROM inl_immutable_?()'),
    ('SELECT count(*) FROM inl_strict_?(1)'),
    ('SELECT count(*) FROM inl_volatile_?()'),
    ('SELECT count(*) FROM inl_plpgsql_?()'),
    ('SELECT count(*) FROM inl_definer_?()'),
    ('SELECT count(*), sum(v) FROM inl_view_?'),
    ('SELECT id, (SELECT count(*) FROM inl_of_?(x.k, 800)) FROM inl_? x WHERE id < 9'),
    ('SELECT id FROM inl_? WHERE id IN (SELECT f.id FROM inl_of_?(0, 0) f) AND v < 300'),
    ('WITH w AS (SELECT * FROM inl_rows_?()) SELECT k, count(*) FROM w GROUP BY k'),
    ('SELECT id FROM inl_first_?(2) id UNION ALL SELECT id FROM inl_rows_?() WHERE id < 3'),
    ('SELECT generate_series(1, 2), f FROM inl_first_?() f'),
    ('SELECT f FROM inl_rows_?() f WHERE f.id = 7'),
    ('SELECT max(f::text), count(f) FROM inl_rows_?() f'),
    ('SELECT f, g, g.v FROM inl_rows_?() f JOIN inl_rows_?() g ON g.id = f.v WHERE f.v < 200'),
    ('SELECT count(f), sum(h) FROM inl_rows_?() f, inl_first_?(4) h'),
    ('SELECT x.id, f, f IS NULL FROM inl_? x LEFT JOIN inl_rows_?() f ON f.id = x.id AND f.k = 1'),
    ('SELECT x.id, (SELECT to_jsonb(f) FROM inl_? y WHERE y.id = f.id) FROM inl_? x JOIN inl_rows_?() f USING (id)'),
    ('SELECT count(*) FROM ROWS FROM (inl_first_?(4), generate_series(1, 6)) x'),
    ('SELECT a.id FROM inl_rows_?() a LEFT JOIN inl_of_?(1, 500) b ON a.id = b.id WHERE b.id IS NULL'),
    -- order that is there by itself
    ('SELECT row_number() OVER () AS r, id FROM (SELECT id FROM inl_? ORDER BY v) x'),
    ('SELECT array_agg(id) FROM (SELECT id FROM (SELECT id FROM inl_? ORDER BY v) x WHERE id % 2 = 1) y'),
    ('SELECT DISTINCT ON (k) k, id FROM (SELECT k, id FROM inl_? ORDER BY k, v) x'),
    ('SELECT array_agg(id) FROM (SELECT id FROM (SELECT id FROM inl_? ORDER BY v DESC) x LIMIT 4) y'),
    ('SELECT id, lead(id) OVER () FROM (SELECT id FROM inl_? ORDER BY v) x'),
    ('SELECT array_agg(f) FROM inl_first_?(9) f');
SELECT number, inl_same(query) FROM inl_query WHERE inl_same(query) <> 'same' ORDER BY 1;
SELECT count(*) FROM inl_query WHERE inl_same(query) = 'same';
-- writes
CREATE TABLE inl_to_d (LIKE inl_d INCLUDING ALL);
SELECT shoal.create_distributed_table('inl_to_d', 'id', colocate_with => 'inl_d');
INSERT INTO inl_to_d SELECT * FROM inl_rows_d();
SELECT count(*) FROM inl_to_d;
UPDATE inl_to_d t SET v = -1 FROM inl_of_d(1, 0) f WHERE f.id = t.id;
UPDATE inl_to_d t SET v = f.v FROM inl_rows_d() f WHERE f.id = t.id AND t.id = 9 RETURNING f, f IS NULL, (f).k;
DELETE FROM inl_to_d WHERE id IN (SELECT 1 FROM inl_first_d() f(x) WHERE x = 1);
DELETE FROM inl_to_d USING inl_of_d(2, 900) f(one, two) WHERE f.one = inl_to_d.id AND two < 950;
DELETE FROM inl_to_d WHERE id IN (SELECT * FROM inl_first_d(5));
SELECT count(*), count(*) FILTER (WHERE v = -1) FROM inl_to_d;
-- a plan is made anew when the function is another one, or the role
PREPARE inl_prepared AS SELECT count(*) FROM inl_of_d(1, 0);
EXECUTE inl_prepared;
CREATE OR REPLACE FUNCTION inl_of_d(wanted int, atleast int) RETURNS TABLE (id int, v int) LANGUAGE sql STABLE AS 'SELECT id, v FROM inl_d WHERE id < 12';
EXECUTE inl_prepared;
CREATE ROLE inl_user;
GRANT SELECT ON inl_d TO inl_user;
ALTER TABLE inl_d ENABLE ROW LEVEL SECURITY;
CREATE POLICY inl_policy ON inl_d USING (id < 4);
EXECUTE inl_prepared;
SET ROLE inl_user;
EXECUTE inl_prepared;
SELECT count(*) FROM inl_rows_d();
SELECT count(*) FROM inl_definer_d();
RESET ROLE;
REVOKE EXECUTE ON FUNCTION inl_rows_d() FROM public;
SET ROLE inl_user;
SELECT count(*) FROM inl_rows_d();
EXECUTE inl_prepared;
RESET ROLE;
EXECUTE inl_prepared;
DEALLOCATE inl_prepared;
-- in policies, which nodes apply
DROP POLICY inl_policy ON inl_d;
CREATE FUNCTION inl_allowed_d() RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT v FROM inl_to_d WHERE v > 500';
CREATE POLICY inl_policy ON inl_d USING (EXISTS (SELECT FROM inl_allowed_d() a WHERE a = inl_d.v));
GRANT ALL ON inl_d, inl_to_d TO inl_user;
SELECT count(*) FROM inl_d WHERE v IN (SELECT v FROM inl_to_d WHERE v > 500);
SET ROLE inl_user;
SELECT count(*) FROM inl_d;
UPDATE inl_d SET k = 9;
DELETE FROM inl_d WHERE id < 100;
RESET ROLE;
SELECT count(*), count(*) FILTER (WHERE k = 9) FROM inl_d;
DROP POLICY inl_policy ON inl_d;
DROP FUNCTION inl_allowed_d;
DROP VIEW inl_view_d, inl_view_p;
DROP TABLE inl_d, inl_p, inl_to_d CASCADE;
DROP TABLE inl_ref, inl_query CASCADE;
DROP FUNCTION inl_same, inl_first_d, inl_first_p, inl_of_d, inl_of_p, inl_nested_d, inl_nested_p;
DROP ROLE inl_user;
