--
-- Keys WITHOUT OVERLAPS and foreign keys with a PERIOD (from PostgreSQL 18 on), and exclusion
-- constraints that compare the distribution column for equality.
--
\set SHOW_CONTEXT never
SELECT current_setting('server_version_num')::int >= 180000 AS has_18 \gset
\if :has_18
\else
\quit
\endif
CREATE SCHEMA temporal;
SET search_path = temporal;
CREATE TABLE m (id int4range, valid_at daterange, v int, CONSTRAINT mpk PRIMARY KEY (id, valid_at WITHOUT OVERLAPS));
CREATE TABLE f (id int, pid int4range, valid_at daterange);
INSERT INTO m SELECT int4range(i, i + 1), '[2020-01-01,2021-01-01)', i FROM generate_series(1, 20) i;
SELECT shoal.create_distributed_table('m', 'id', 'none', 6), shoal.create_distributed_table('f', 'pid', 'm');
INSERT INTO m VALUES ('[3,4)', '[2020-05-01,2022-01-01)', 0);
INSERT INTO m VALUES ('[3,4)', '[2021-05-01,2022-01-01)', 0);
INSERT INTO m VALUES ('[3,4)', '[2020-05-01,2022-01-01)', 0) ON CONFLICT DO NOTHING;
INSERT INTO m SELECT int4range(i, i + 1), '[2020-12-31,2022-01-01)', 0 FROM generate_series(20, 22) i;
UPDATE m SET valid_at = '[2020-12-31,2022-01-01)' WHERE v = 0;
UPDATE m SET v = v + 1;
SELECT count(*), sum(v) FROM m;
ALTER TABLE f ADD FOREIGN KEY (pid, PERIOD valid_at) REFERENCES m (id, PERIOD valid_at);
INSERT INTO f VALUES (1, '[3,4)', '[2020-05-01,2020-06-01)');
INSERT INTO f VALUES (1, '[3,4)', '[2020-05-01,2021-06-01)');
\set VERBOSITY sqlstate
DELETE FROM m WHERE id = '[3,4)' AND v > 1;
\set VERBOSITY default
SELECT result, count(*) FROM shoal.run_on_nodes($$SELECT string_agg(DISTINCT pg_get_constraintdef(c.oid), '; ') FROM pg_constraint c
WHERE conrelid IN ('temporal.m'::regclass, 'temporal.f'::regclass) AND contype IN ('p', 'f') AND conparentid = 0$$) GROUP BY 1;
SELECT shoal.set_replicas('m', 1);
UPDATE m SET v = v + 1;
DELETE FROM m WHERE id >= '[15,16)';
SELECT * FROM shoal.verify_table('m');
-- others
CREATE TABLE e (id int4range, w int4range, EXCLUDE USING gist (id WITH =, w WITH &&));
CREATE TABLE e2 (id int4range, w int4range, EXCLUDE USING gist (id WITH &&, w WITH &&));
INSERT INTO e VALUES ('[1,2)', '[7,9)');
SELECT shoal.create_distributed_table('e', 'id', 'none', 6);
SELECT shoal.create_distributed_table('e2', 'id', 'none', 6);
INSERT INTO e VALUES ('[1,2)', '[1,5)'), ('[2,3)', '[1,5)');
INSERT INTO e VALUES ('[1,2)', '[2,6)');
INSERT INTO e VALUES ('[1,2)', '[8,9)');
SELECT shoal.undistribute_table('e');
INSERT INTO e VALUES ('[1,2)', '[2,6)');
INSERT INTO e VALUES ('[1,2)', '[20,60)');
SELECT count(*) FROM e;
SET client_min_messages = warning;
DROP SCHEMA temporal CASCADE;
