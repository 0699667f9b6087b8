--
-- COPY ... ON_ERROR, from PostgreSQL 17 on: rows with values that can't be read are left out.
--
\set SHOW_CONTEXT never
SELECT current_setting('server_version_num')::int >= 170000 AS has_17 \gset
\if :has_17
\else
\quit
\endif
CREATE SCHEMA copy_later;
SET search_path = copy_later;
CREATE DOMAIN short AS text CHECK (length(value) < 4);
CREATE TABLE d (n int, m int[], k int, t short DEFAULT 'abc');
CREATE TABLE r (LIKE d INCLUDING ALL);
CREATE TABLE plain (LIKE d INCLUDING ALL);
CREATE TABLE fired (LIKE d INCLUDING ALL);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.k = new.k + 1000; RETURN new; END $$;
CREATE TRIGGER note BEFORE INSERT ON fired FOR EACH ROW EXECUTE FUNCTION note();
SELECT shoal.create_distributed_table('d', 'n', shard_count => 6), shoal.create_distributed_table('fired', 'n', colocate_with => 'd'),
	shoal.create_reference_table('r');
COPY plain (n, m, k) FROM STDIN (ON_ERROR ignore, LOG_VERBOSITY verbose);
1	{1}	1
a	{2}	2
3	{3}	3333333333
4	{a, 4}	4
5	{5}	5
\.
COPY d (n, m, k) FROM STDIN (ON_ERROR ignore, LOG_VERBOSITY verbose);
1	{1}	1
a	{2}	2
3	{3}	3333333333
4	{a, 4}	4
5	{5}	5
\.
COPY r (n, m, k) FROM STDIN (ON_ERROR ignore);
1	{1}	1
a	{2}	2
5	{5}	5
\.
COPY fired (n, m, k) FROM STDIN (ON_ERROR ignore);
1	{1}	1
3	{3}	3333333333
5	{5}	5
\.
COPY d FROM STDIN (ON_ERROR ignore) WHERE k > 6;
6	{1}	6	abc
7	{2}	7	abcd
8	{2}	8	xyz
9	{2}	x	xyz
\.
COPY d FROM STDIN (ON_ERROR ignore);
10	{1}	6	abc
\.
COPY d (n, m, k) FROM STDIN (ON_ERROR stop, FORMAT csv);
11,{11},11
\.
COPY d (n, k) FROM STDIN (FORMAT csv, ON_ERROR ignore, NULL 'none');
12,none
none,12
13,
\.
TABLE d ORDER BY n;
TABLE r ORDER BY n;
TABLE fired ORDER BY n;
SELECT count(DISTINCT result) FROM shoal.run_on_nodes('SELECT md5(string_agg(r::text, '' '' ORDER BY n)) FROM copy_later.r r');
-- what is not a value's fault is an error
\copy d FROM '/dev/null' (ON_ERROR unknown)
COPY d FROM STDIN (ON_ERROR ignore);
14	{1}
\.
SET client_min_messages = warning;
DROP SCHEMA copy_later CASCADE;
