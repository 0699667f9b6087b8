-- Sequences are the same by way of any node: values, and what they are set to.
\set SHOW_CONTEXT never
CREATE SCHEMA sequences;
SET search_path = sequences;
CREATE SEQUENCE s;
CREATE SEQUENCE down INCREMENT -1 MAXVALUE 1000 START 1000;
CREATE TABLE t (id serial PRIMARY KEY, v text);
SELECT shoal.create_distributed_table('t', 'id');
INSERT INTO t (v) SELECT 'row' FROM generate_series(1, 5);
\c shoal_n3
SET search_path = sequences;
SELECT setval('s', 100), nextval('s');
SELECT setval('s', 200, false);
\c shoal_n1
SET search_path = sequences;
SELECT nextval('s'), nextval('s');
SELECT setval('s', 10);
\c shoal_n2
SET search_path = sequences;
SELECT nextval('s');
-- as restores and imports do
INSERT INTO t VALUES (50, 'with an id');
SELECT setval(pg_get_serial_sequence('t', 'id'), max(id)) FROM t;
SELECT setval('t_id_seq', (SELECT max(id) FROM t) + 1, true);
INSERT INTO t (v) VALUES ('next') RETURNING id;
DO $$ BEGIN PERFORM setval('down', 500); END $$;
\c shoal_n3
SET search_path = sequences;
SELECT nextval('down');
INSERT INTO t (v) VALUES ('next') RETURNING id;
-- in the transaction that makes it; a sequence is not rolled back
BEGIN;
CREATE SEQUENCE fresh;
SELECT setval('fresh', 7), nextval('fresh');
COMMIT;
SELECT nextval('fresh');
BEGIN;
SELECT setval('fresh', 70);
ROLLBACK;
\c shoal_n2
SET search_path = sequences;
SELECT nextval('fresh');
-- errors
SELECT setval('s', 0);
SELECT setval('s', NULL);
SELECT setval('t', 1);
BEGIN READ ONLY;
SELECT setval('s', 1);
ROLLBACK;
CREATE ROLE sequences_reader;
GRANT USAGE ON SCHEMA sequences TO sequences_reader;
GRANT SELECT ON s TO sequences_reader;
SET ROLE sequences_reader;
SELECT setval('s', 1);
RESET ROLE;
-- one that is this session's own
CREATE TEMP SEQUENCE own;
SELECT setval('own', 5), nextval('own');
\c shoal_n1
SET client_min_messages = warning;
DROP SCHEMA sequences CASCADE;
DROP ROLE sequences_reader;
