-- Collations that a condition has by COLLATE or by a variable hold on nodes, too.
CREATE SCHEMA collations;
SET search_path = collations;
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE words (word text COLLATE nocase, n int, plain text);
CREATE TABLE twin (LIKE words);
SELECT shoal.create_distributed_table('words', 'n', 'none', 4);
INSERT INTO twin SELECT CASE i % 3 WHEN 0 THEN 'A' WHEN 1 THEN 'a' ELSE 'b' END, i, CASE i % 2 WHEN 0 THEN 'A' ELSE 'a' END
    FROM generate_series(1, 12) i;
INSERT INTO words SELECT * FROM twin;

-- in_ways(condition): the numbers of the rows for which it holds, in each table and way
CREATE FUNCTION in_ways(condition text) RETURNS TABLE (way text, twin text, words text)
LANGUAGE plpgsql AS $$
DECLARE
    query text := format('SELECT string_agg(n::text, '' '' ORDER BY n) FROM %%s t WHERE %s', condition);
BEGIN
    FOREACH way IN ARRAY ARRAY['push', 'pull'] LOOP
        PERFORM set_config('shoal.enable_push', CASE way WHEN 'push' THEN 'on' ELSE 'off' END, true);
        EXECUTE format(query, 'twin') INTO twin;
        EXECUTE format(query, 'words') INTO words;
        RETURN NEXT;
    END LOOP;
END $$;

SELECT * FROM in_ways($$word = 'a'$$);
SELECT * FROM in_ways($$word = 'a' COLLATE "C"$$);
SELECT * FROM in_ways($$plain = 'a' COLLATE nocase$$);
SELECT * FROM in_ways($$word LIKE 'a%%' COLLATE "C"$$);
SELECT * FROM in_ways($$word COLLATE "C" = ANY (ARRAY['a', 'x'])$$);
SELECT * FROM in_ways($$(word || plain) COLLATE "C" < 'Aa'$$);
SELECT * FROM in_ways($$(word COLLATE "C", n) >= ('a', 2)$$);
SELECT * FROM in_ways($$coalesce(NULL COLLATE "C", word) = 'a'$$);
SELECT * FROM in_ways($$CASE WHEN n > 3 THEN 'a' COLLATE "C" ELSE 'A' END = word$$);
SELECT * FROM in_ways($$word IN ('a' COLLATE "C", 'B')$$);
-- computed before, or read from elsewhere
SELECT * FROM in_ways($$plain = (SELECT 'a' COLLATE nocase FROM pg_class WHERE relname = 'pg_class') AND n < 5$$);
SELECT * FROM in_ways($$plain = ANY (ARRAY(SELECT 'a' COLLATE nocase FROM pg_class WHERE relname = 'pg_class')) AND n < 5$$);
SELECT * FROM in_ways($$plain IN (SELECT 'a' COLLATE nocase FROM pg_class WHERE relname = 'pg_class') AND n < 5$$);
SELECT * FROM in_ways($$EXISTS (SELECT FROM words w WHERE w.n <> t.n AND w.n < 4 AND w.word = t.word COLLATE "C")$$);
SELECT * FROM in_ways($$(SELECT count(DISTINCT w.word COLLATE "C") FROM words w WHERE w.plain = t.word COLLATE nocase) = 3$$);

-- variables, and what a function is called with
CREATE FUNCTION equal_to(value text, OUT twin bigint, OUT words bigint) LANGUAGE plpgsql AS $$
BEGIN
    SELECT count(*) INTO equal_to.twin FROM twin WHERE plain = value;
    SELECT count(*) INTO equal_to.words FROM words WHERE plain = value;
END $$;
SELECT * FROM equal_to('a');
SELECT * FROM equal_to('a' COLLATE nocase);
DO $$
DECLARE
    variable text COLLATE "C" := 'a';
    a bigint; b bigint;
BEGIN
    SELECT count(*) INTO a FROM twin WHERE plain < variable;
    SELECT count(*) INTO b FROM words WHERE plain < variable;
    RAISE NOTICE '% %', a, b;
    UPDATE twin SET n = n + 100 WHERE coalesce(plain, variable) > variable || '';
    UPDATE words SET n = n + 100 WHERE coalesce(plain, variable) > variable || '';
END $$;
SELECT count(*) FROM (TABLE twin EXCEPT ALL TABLE words) d;
-- rows of VALUES, and results of a query
SELECT count(*) FROM twin, (VALUES ('a' COLLATE "C"), ('B')) v (w) WHERE plain >= w;
SELECT count(*) FROM words, (VALUES ('a' COLLATE "C"), ('B')) v (w) WHERE plain >= w;
SELECT word COLLATE "C", count(*) FROM twin GROUP BY 1 ORDER BY 1;
SELECT word COLLATE "C", count(*) FROM words GROUP BY 1 ORDER BY 1;
SET shoal.enable_push = off;
SELECT word COLLATE "C", count(*) FROM words GROUP BY 1 ORDER BY 1;

SET client_min_messages = warning;
DROP SCHEMA collations CASCADE;
