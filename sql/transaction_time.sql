--
-- now() is the same wherever it is called in a transaction: in constraints, domains,
-- policies, and functions that run on nodes.
--
SET client_min_messages = warning;
\set VERBOSITY terse
CREATE FUNCTION time_now(int) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS 'BEGIN RETURN now(); END';
CREATE FUNCTION time_stamp() RETURNS trigger
LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
CREATE DOMAIN time_fresh AS timestamptz CHECK (VALUE >= now());
CREATE DOMAIN time_fresh_too AS time_fresh;

-- a CHECK constraint
CREATE TABLE time_d (k int PRIMARY KEY, v int, at timestamptz DEFAULT now() CHECK (at >= now()));
SELECT shoal.create_distributed_table('time_d', 'k', shard_count => 6);
INSERT INTO time_d SELECT i FROM generate_series(1, 50) i;
INSERT INTO time_d VALUES (51);
INSERT INTO time_d VALUES (52), (53);
INSERT INTO time_d VALUES (54) RETURNING at = now();
COPY time_d (k) FROM stdin;
55
56
57
\.
SELECT count(*) FROM time_d;
UPDATE time_d SET at = now() WHERE k < 10;
UPDATE time_d SET at = current_timestamp WHERE k = 1;
UPDATE time_d SET v = 1 WHERE k = 2;
INSERT INTO time_d VALUES (3) ON CONFLICT (k) DO UPDATE SET at = now();

-- a domain
CREATE TABLE time_domain (k int PRIMARY KEY, at time_fresh_too DEFAULT now(), more time_fresh[]);
SELECT shoal.create_distributed_table('time_domain', 'k', shard_count => 6);
INSERT INTO time_domain SELECT i FROM generate_series(1, 20) i;
INSERT INTO time_domain VALUES (21);
INSERT INTO time_domain VALUES (22, now(), ARRAY[now()]);
INSERT INTO time_domain VALUES (23, now(), ARRAY[now() - interval '1 hour']);
UPDATE time_domain SET at = now();
UPDATE time_domain SET more = ARRAY[now()::time_fresh] WHERE k = 4;

-- functions
SELECT count(DISTINCT time_now(k)), bool_and(time_now(k) = now()) FROM time_d;
SELECT count(*) FROM time_d WHERE time_now(k) = now() AND k = 5;
BEGIN;
SELECT count(*) FROM time_d WHERE k = 5;
SELECT count(DISTINCT time_now(k)), bool_and(time_now(k) = now()) FROM time_d;
SAVEPOINT a;
SELECT count(*) FROM time_d WHERE time_now(k) = now() AND k IN (1, 2, 3, 4, 5, 6);
ROLLBACK TO a;
SELECT count(*) FROM time_d a JOIN time_domain b ON a.k = b.k + 1 WHERE time_now(b.k) = time_now(a.k);
COMMIT;

-- triggers, also those of reference tables, whose copies are to be the same
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON time_d FOR EACH ROW EXECUTE FUNCTION time_stamp();
CREATE TABLE time_ref (k int PRIMARY KEY, v int, at timestamptz);
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON time_ref FOR EACH ROW EXECUTE FUNCTION time_stamp();
SELECT shoal.create_reference_table('time_ref');
BEGIN;
UPDATE time_d SET v = 2;
INSERT INTO time_ref SELECT k FROM time_d;
MERGE INTO time_ref r USING time_d d ON r.k = d.k AND d.k < 9 WHEN MATCHED THEN UPDATE SET v = d.v;
SELECT count(*) FROM time_d WHERE at = now();
SELECT count(*) FROM time_ref WHERE at = now();
COMMIT;
SELECT * FROM shoal.verify_table('time_ref');

-- policies
CREATE TABLE time_policy (k int PRIMARY KEY, until timestamptz);
SELECT shoal.create_distributed_table('time_policy', 'k', shard_count => 6);
ALTER TABLE time_policy ENABLE ROW LEVEL SECURITY;
ALTER TABLE time_policy FORCE ROW LEVEL SECURITY;
CREATE POLICY valid ON time_policy USING (until >= now());
CREATE ROLE time_user;
GRANT ALL ON time_policy TO time_user;
SET ROLE time_user;
INSERT INTO time_policy VALUES (1, now());
BEGIN;
INSERT INTO time_policy SELECT i, now() FROM generate_series(2, 10) i;
SELECT count(*) FROM time_policy;
UPDATE time_policy SET until = now() WHERE k = 4;
COMMIT;
SELECT count(*) FROM time_policy;
RESET ROLE;
DROP TABLE time_d, time_domain, time_ref, time_policy;
DROP FUNCTION time_now, time_stamp;
DROP DOMAIN time_fresh_too, time_fresh;
DROP ROLE time_user;
