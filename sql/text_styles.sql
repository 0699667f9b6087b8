--
-- Rows that travel as texts lose nothing by the session's settings, while what a
-- query computes still depends on them.
--
CREATE SCHEMA styles;
SET search_path = styles;
CREATE TYPE measure AS (f float8, d timestamptz);
CREATE TYPE span AS RANGE (SUBTYPE = float8);
CREATE TABLE t (k int PRIMARY KEY, c regclass, f float8, g real, m measure, s span,
	a measure[], d timestamptz, i interval, b bytea, x xml, cash money);
CREATE TABLE twin (LIKE t);
SELECT shoal.create_distributed_table('t', 'k', shard_count => 8, colocate_with => 'none');
INSERT INTO twin SELECT k, 'pg_class', k / 3.0, k / 7.0, (k / 3.0, now() - k * interval '3.21 days')::measure,
	span(k / 3.0, k), ARRAY[(k / 9.0, NULL)::measure, NULL], '1700-05-06 07:08:09.123456+00'::timestamptz + k * interval '11 years',
	interval '-1 year 2 mons -3 days' + k * interval '1.234567 sec', decode('00ff5c' || '41', 'hex'), '1<a/>', (k / 3.0)::numeric::money
FROM generate_series(1, 40) k;
INSERT INTO t SELECT * FROM twin;
CREATE FUNCTION differ(setting text, value text) RETURNS TABLE (query text) LANGUAGE plpgsql AS $$
DECLARE
	q text;
	found bool;
BEGIN
	PERFORM set_config(setting, value, false);
	FOREACH q IN ARRAY ARRAY[
		'SELECT k, c, f, g, m, s, a, d, i, b, x::text, cash FROM TABLE',
		'SELECT * FROM (SELECT c, m, count(*), avg(f), sum(g) FROM TABLE GROUP BY c, m) u',
		'SELECT f::text, g::text, m::text, d::text, i::text, b::text, cash::text, concat(f, d) FROM TABLE',
		'SELECT a.f, b.s, a.c FROM TABLE a LEFT JOIN TABLE b ON a.k = b.k + 1 ORDER BY a.f LIMIT 7',
		'SELECT f, c FROM TABLE WHERE k = 3'
	] LOOP
		-- a float that has lost digits is another one
		EXECUTE format('CREATE TEMP TABLE on_plain AS %s', replace(q, 'TABLE', 'twin'));
		EXECUTE format('CREATE TEMP TABLE on_shoal AS %s', replace(q, 'TABLE', 't'));
		EXECUTE format('RESET %I', setting);
		SELECT count(*) = 0 FROM (SELECT on_plain::text FROM on_plain EXCEPT ALL SELECT on_shoal::text FROM on_shoal
			UNION ALL (SELECT on_shoal::text FROM on_shoal EXCEPT ALL SELECT on_plain::text FROM on_plain)) x INTO found;
		DROP TABLE on_plain, on_shoal;
		PERFORM set_config(setting, value, false);
		IF found IS NOT TRUE THEN
			query := q;
			RETURN NEXT;
		END IF;
	END LOOP;
	CREATE TEMP TABLE back AS WITH u AS (UPDATE t SET f = f RETURNING t.*) SELECT * FROM u;
	IF EXISTS (SELECT FROM back JOIN twin USING (k)
		WHERE back.f <> twin.f OR back.m::measure <> twin.m OR back.d <> twin.d OR back.s <> twin.s OR back.a <> twin.a OR back.i <> twin.i) THEN
		query := 'returning';
		RETURN NEXT;
	END IF;
	DROP TABLE back;
	EXECUTE format('RESET %I', setting);
END $$;
SET TimeZone = 'Asia/Kolkata';
SELECT * FROM differ('extra_float_digits', '0');
SELECT * FROM differ('extra_float_digits', '-15');
SELECT * FROM differ('DateStyle', 'SQL, DMY');
SELECT * FROM differ('DateStyle', 'Postgres');
SELECT * FROM differ('DateStyle', 'German');
SELECT * FROM differ('IntervalStyle', 'sql_standard');
SELECT * FROM differ('IntervalStyle', 'iso_8601');
SELECT * FROM differ('bytea_output', 'escape');
SELECT * FROM differ('xmloption', 'document');
SELECT * FROM differ('array_nulls', 'off');
-- a client with another encoding gets texts, too
SET client_encoding = 'LATIN1';
SELECT * FROM differ('extra_float_digits', '-5');
RESET client_encoding;
-- rows that go elsewhere keep their digits
SET extra_float_digits = -10;
CREATE TABLE copy (LIKE t);
CREATE TABLE moved (LIKE t);
SELECT shoal.create_distributed_table('moved', 'f', colocate_with => 'none');
INSERT INTO copy SELECT * FROM t;
INSERT INTO moved SELECT * FROM t;
RESET extra_float_digits;
SELECT count(*) FROM copy JOIN twin USING (k, c, f, g, m, s, a, d, i, b, cash);
SELECT count(*) FROM moved JOIN twin USING (k, c, f, g, m, s, a, d, i, b, cash);
RESET TimeZone;
-- what abbreviations of time zones stand for
CREATE TABLE said (k int, at text);
CREATE TABLE said_twin (k int, at text);
SELECT shoal.create_distributed_table('said', 'k', colocate_with => 't');
INSERT INTO said SELECT i, '2020-01-01 00:00 EST' FROM generate_series(1, 20) i;
INSERT INTO said_twin SELECT * FROM said;
SET timezone_abbreviations = 'Australia';
SELECT min(at::timestamptz AT TIME ZONE 'UTC'), max(at::timestamptz AT TIME ZONE 'UTC') FROM said;
SELECT min(at::timestamptz AT TIME ZONE 'UTC'), max(at::timestamptz AT TIME ZONE 'UTC') FROM said_twin;
RESET timezone_abbreviations;
SELECT min(at::timestamptz AT TIME ZONE 'UTC'), max(at::timestamptz AT TIME ZONE 'UTC') FROM said;
RESET search_path;
DROP SCHEMA styles CASCADE;
