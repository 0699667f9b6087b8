--
-- Numbers of objects, which nodes have others of: they travel by name.  Compared with plain
-- tables.
--
SET client_min_messages = warning;
-- tables have other numbers on each node
SELECT count(*) FROM shoal.run_on_nodes('CREATE TABLE on_other (a int)', ARRAY[2, 3]);
CREATE TABLE on_a (a int);
CREATE TABLE on_b (a int);
CREATE TABLE on_d (id int PRIMARY KEY, tab regclass, typ regtype, tabs regclass[], o oid);
CREATE TABLE on_p (LIKE on_d INCLUDING ALL);
SELECT shoal.create_distributed_table('on_d', 'id', shard_count => 6);
INSERT INTO on_p SELECT i, CASE WHEN i % 2 = 0 THEN 'on_a' ELSE 'on_b' END::regclass, CASE WHEN i % 3 = 0 THEN 'int4' ELSE 'on_a' END::regtype,
    ARRAY['on_a', 'on_b']::regclass[] FROM generate_series(1, 30) i;
INSERT INTO on_p VALUES (31, NULL, 'date');
INSERT INTO on_d TABLE on_p;
-- runs a query on both tables; ? stands for d or p
CREATE FUNCTION on_same(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    d text;
    p text;
BEGIN
    EXECUTE format('SELECT string_agg(x::text, '' '' ORDER BY x::text COLLATE "C") FROM (%s) x', replace(query, '?', 'on_d')) INTO d;
    EXECUTE format('SELECT string_agg(x::text, '' '' ORDER BY x::text COLLATE "C") FROM (%s) x', replace(query, '?', 'on_p')) INTO p;
    RETURN CASE WHEN d IS NOT DISTINCT FROM p THEN 'same' ELSE 'DIFFERENT: ' || coalesce(d, 'null') || ' instead of ' || coalesce(p, 'null') END;
END $$;
CREATE TABLE on_query (number serial, query text);
INSERT INTO on_query (query) VALUES
    ('SELECT * FROM ?'),
    ('SELECT id, tab::oid FROM ?'),
    ('SELECT count(*) FROM ? WHERE tab = ''on_a''::regclass'),
    ('SELECT count(*) FROM ? WHERE tab = ''on_a''::regclass::oid'),
    ('SELECT count(*) FROM ? WHERE tab <> ''on_a''::regclass'),
    ('SELECT count(*) FROM ? WHERE tab IS DISTINCT FROM ''on_a''::regclass'),
    ('SELECT count(*) FROM ? WHERE tab IN (''on_a''::regclass, ''on_b''::regclass)'),
    ('SELECT count(*) FROM ? WHERE tab = ANY (tabs)'),
    ('SELECT count(*) FROM ? WHERE tab::oid = ANY (tabs::oid[])'),
    ('SELECT count(*) FROM ? WHERE tab IN (SELECT tab FROM ? WHERE id < 2)'),
    ('SELECT count(*) FROM ? WHERE tab::oid::bigint = (SELECT oid::bigint FROM pg_class WHERE relname = ''on_a'')'),
    ('SELECT c.relname, count(*) FROM ? JOIN pg_class c ON c.oid = tab GROUP BY 1'),
    ('SELECT id, c.relname FROM ? LEFT JOIN pg_class c ON c.oid = tab'),
    ('SELECT x.id, y.id FROM ? x JOIN ? y USING (tab) WHERE x.id < 9 AND y.id < 9'),
    ('SELECT tab, typ, count(*) FROM ? GROUP BY tab, typ'),
    ('SELECT tab FROM ? WHERE tab IS NOT NULL ORDER BY tab LIMIT 1'),
    ('SELECT DISTINCT tab FROM ? ORDER BY tab'),
    ('SELECT DISTINCT ON (tab) tab, id FROM ? ORDER BY tab, id'),
    ('SELECT min(tab::oid), max(typ::oid) FROM ?'),
    ('SELECT format_type(typ, -1), count(*) FROM ? GROUP BY 1'),
    ('SELECT id, o::regclass FROM ?'),
    ('SELECT count(*) FROM ? WHERE o = tab AND o::regclass = tab'),
    ('SELECT id, CASE tab WHEN ''on_a''::regclass THEN 1 ELSE 2 END, nullif(tab, ''on_b''::regclass) FROM ?'),
    ('SELECT id, tab::text, tabs::text, to_regclass(tab::text) = tab FROM ?'),
    ('SELECT json_agg(x ORDER BY id) FROM (SELECT id, tab, typ FROM ?) x');
SELECT number, on_same(query) FROM on_query WHERE on_same(query) <> 'same' ORDER BY 1;
UPDATE on_d SET o = tab::oid;
UPDATE on_p SET o = tab::oid;
SELECT number, on_same(query) FROM on_query WHERE on_same(query) <> 'same' ORDER BY 1;
UPDATE on_d SET tab = o, typ = 'date' WHERE id % 4 = 0;
UPDATE on_p SET tab = o, typ = 'date' WHERE id % 4 = 0;
DELETE FROM on_d WHERE tab::oid::bigint = (SELECT oid FROM pg_class WHERE relname = 'on_a') AND id < 10;
DELETE FROM on_p WHERE tab::oid::bigint = (SELECT oid FROM pg_class WHERE relname = 'on_a') AND id < 10;
SELECT number, on_same(query) FROM on_query WHERE on_same(query) <> 'same' ORDER BY 1;
PREPARE on_number (oid) AS SELECT count(*) FROM on_d WHERE tab = $1;
PREPARE on_name (regclass) AS SELECT count(*) FROM on_d WHERE tab = $1;
EXECUTE on_number('on_a'::regclass);
EXECUTE on_name('on_a');
-- names that are compared stay where they are
DO $$
DECLARE line text;
BEGIN
    FOR line IN EXPLAIN (COSTS OFF) SELECT id FROM on_d WHERE tab = 'on_a'::regclass LOOP
        IF line ~ 'Way|Query' THEN
            RAISE WARNING '%', line;
        END IF;
    END LOOP;
END $$;

DROP TABLE on_a, on_b, on_d, on_p, on_query;
DROP FUNCTION on_same;
SELECT count(*) FROM shoal.run_on_nodes('DROP TABLE on_other', ARRAY[2, 3]);
