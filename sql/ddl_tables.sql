--
-- ALTER TABLE and the like on Shoal tables.
--
CREATE SCHEMA ddl_tables;
\set SHOW_CONTEXT never
SET search_path = ddl_tables, public;
CREATE TABLE d (a int PRIMARY KEY, b text, c numeric);
CREATE TABLE d_twin (LIKE d INCLUDING ALL);
CREATE TABLE r (id int PRIMARY KEY, name text);
CREATE TABLE r_twin (LIKE r INCLUDING ALL);
SELECT shoal.create_distributed_table('d', 'a', shard_count => 6);
SELECT shoal.create_reference_table('r');
INSERT INTO d SELECT i, 'b' || i, i / 3.0 FROM generate_series(1, 100) i;
INSERT INTO r SELECT i, 'r' || i FROM generate_series(1, 10) i;
INSERT INTO d_twin SELECT * FROM d;
INSERT INTO r_twin SELECT * FROM r;

-- columns
ALTER TABLE d ADD COLUMN d int DEFAULT 5 NOT NULL, ADD COLUMN e text COLLATE "C";
ALTER TABLE d_twin ADD COLUMN d int DEFAULT 5 NOT NULL, ADD COLUMN e text COLLATE "C";
ALTER TABLE d ADD f int GENERATED ALWAYS AS (a * 2) STORED;
ALTER TABLE d_twin ADD f int GENERATED ALWAYS AS (a * 2) STORED;
ALTER TABLE d ALTER COLUMN c TYPE float8 USING c * 2, ALTER b SET DEFAULT 'none';
ALTER TABLE d_twin ALTER COLUMN c TYPE float8 USING c * 2, ALTER b SET DEFAULT 'none';
ALTER TABLE d RENAME COLUMN e TO ee;
ALTER TABLE d_twin RENAME COLUMN e TO ee;
ALTER TABLE d ALTER ee SET STATISTICS 10, ALTER ee SET STORAGE external, ALTER b SET (n_distinct = 50);
INSERT INTO d (a) VALUES (1000);
INSERT INTO d_twin (a) VALUES (1000);
ALTER TABLE d DROP COLUMN d;
ALTER TABLE d_twin DROP COLUMN d;
INSERT INTO d (a, ee) VALUES (1001, 'x');
INSERT INTO d_twin (a, ee) VALUES (1001, 'x');
SELECT count(*) FROM d;
(TABLE d EXCEPT ALL TABLE d_twin) UNION ALL (TABLE d_twin EXCEPT ALL TABLE d);
ALTER TABLE r ADD COLUMN added int DEFAULT 3, ALTER name TYPE varchar(20);
ALTER TABLE r_twin ADD COLUMN added int DEFAULT 3, ALTER name TYPE varchar(20);
(TABLE r EXCEPT ALL TABLE r_twin) UNION ALL (TABLE r_twin EXCEPT ALL TABLE r);
SELECT everywhere('SELECT md5(string_agg(r::text, '','' ORDER BY id)) FROM ddl_tables.r') ~ '^(\w+) \1 \1$' AS same;

-- what the time is
ALTER TABLE r ADD COLUMN at timestamptz DEFAULT now();
ALTER TABLE d ADD COLUMN at timestamptz DEFAULT now();
SELECT everywhere('SELECT md5(string_agg(r::text, '','' ORDER BY id)) FROM ddl_tables.r') ~ '^(\w+) \1 \1$' AS same;
SELECT count(DISTINCT at) FROM d;
ALTER TABLE d DROP COLUMN at;
-- values that every node would make for itself
ALTER TABLE r ADD COLUMN u uuid DEFAULT gen_random_uuid();
ALTER TABLE d ADD COLUMN s serial;
ALTER TABLE d ADD COLUMN u uuid DEFAULT gen_random_uuid();
SELECT count(DISTINCT u) FROM d;
ALTER TABLE d DROP COLUMN u;
ALTER TABLE r ADD COLUMN at2 timestamptz DEFAULT clock_timestamp();
UPDATE r SET at = now();
SELECT everywhere('SELECT md5(string_agg(r::text, '','' ORDER BY id)) FROM ddl_tables.r') ~ '^(\w+) \1 \1$' AS same;
CREATE TABLE empty_ref (id int PRIMARY KEY);
SELECT shoal.create_reference_table('empty_ref');
ALTER TABLE empty_ref ADD COLUMN at timestamptz DEFAULT now();

-- the key
ALTER TABLE d DROP COLUMN a;
ALTER TABLE d RENAME COLUMN a TO key;
INSERT INTO d (key) VALUES (2000);
SELECT count(*) FROM d WHERE key = 2000;
ALTER TABLE d RENAME COLUMN key TO a;
DELETE FROM d WHERE a >= 2000;

-- constraints and indexes have the names that the user gave
ALTER TABLE d ADD CONSTRAINT positive CHECK (a > 0), ADD UNIQUE (a, b);
\set VERBOSITY terse
ALTER TABLE d ADD CONSTRAINT to_r FOREIGN KEY (c) REFERENCES r;
\set VERBOSITY default
ALTER TABLE d ADD COLUMN rid int;
ALTER TABLE d ADD CONSTRAINT to_r FOREIGN KEY (rid) REFERENCES r ON DELETE CASCADE;
CREATE INDEX ON d (b);
CREATE INDEX IF NOT EXISTS expr ON d (lower(b), (a + 1)) INCLUDE (c) WHERE a > 5;
CREATE UNIQUE INDEX uniq ON d (a, ee);
CREATE UNIQUE INDEX ON d (b);
SELECT * FROM shard_objects('d');
INSERT INTO d (a) VALUES (-1);
INSERT INTO d (a, rid) VALUES (3000, 77);
INSERT INTO d (a) VALUES (5);
ALTER INDEX expr RENAME TO expression;
ALTER TABLE d RENAME CONSTRAINT to_r TO ref_r;
ALTER TABLE d RENAME CONSTRAINT positive TO pos;
ALTER TABLE d RENAME TO dd;
SELECT * FROM shard_objects('dd');
INSERT INTO dd (a, rid) VALUES (3000, 77);
ALTER TABLE dd DROP CONSTRAINT ref_r, DROP CONSTRAINT d_a_b_key;
DROP INDEX expression, uniq;
ALTER TABLE dd RENAME TO d;
CREATE SCHEMA ddl_tables2;
ALTER TABLE d SET SCHEMA ddl_tables2;
SELECT count(*) FROM ddl_tables2.d;
ALTER TABLE ddl_tables2.d SET SCHEMA ddl_tables;
SELECT * FROM shard_objects('d');

-- triggers
CREATE FUNCTION upper_b() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.b := upper(NEW.b); RETURN NEW; END $$;
CREATE TRIGGER up BEFORE INSERT OR UPDATE ON d FOR EACH ROW EXECUTE FUNCTION upper_b();
INSERT INTO d (a, b) VALUES (4000, 'shout') RETURNING b;
ALTER TABLE d DISABLE TRIGGER up;
INSERT INTO d (a, b) VALUES (4001, 'quiet') RETURNING b;
ALTER TRIGGER up ON d RENAME TO upp;
SELECT * FROM shard_objects('d') WHERE object ~ '^trigger';
DROP TRIGGER upp ON d;

-- foreign keys that could not be enforced
CREATE TABLE local (id int PRIMARY KEY, a int REFERENCES d);
CREATE TABLE local (id int PRIMARY KEY, rid int REFERENCES r);
ALTER TABLE local ADD COLUMN a int REFERENCES d;
ALTER TABLE local ADD FOREIGN KEY (rid) REFERENCES d (a);
ALTER TABLE d ADD FOREIGN KEY (rid) REFERENCES local (id);
INSERT INTO local (id) SELECT id FROM r;
ALTER TABLE r ADD FOREIGN KEY (id) REFERENCES local (id);
CREATE TABLE d2 (a int PRIMARY KEY, other int);
SELECT shoal.create_distributed_table('d2', 'a', colocate_with => 'd');
ALTER TABLE d2 ADD CONSTRAINT good FOREIGN KEY (a) REFERENCES d;
ALTER TABLE d2 ADD CONSTRAINT good FOREIGN KEY (a) REFERENCES d;
ALTER TABLE d2 ADD CONSTRAINT bad FOREIGN KEY (other) REFERENCES d;
CREATE TABLE d3 (a int PRIMARY KEY);
SELECT shoal.create_distributed_table('d3', 'a', colocate_with => 'none', shard_count => 3);
ALTER TABLE d3 ADD FOREIGN KEY (a) REFERENCES d;
INSERT INTO d2 VALUES (1, 1);
INSERT INTO d2 VALUES (-5, 1);
\set VERBOSITY sqlstate
DELETE FROM d WHERE a = 1;
\set VERBOSITY default

-- partitions and inheritance
CREATE TABLE part PARTITION OF d FOR VALUES WITH (MODULUS 6, REMAINDER 0);
CREATE TABLE child () INHERITS (d);
CREATE TABLE child () INHERITS (r);
CREATE TABLE child (LIKE r);
ALTER TABLE child INHERIT r;
ALTER TABLE d ATTACH PARTITION child FOR VALUES WITH (MODULUS 6, REMAINDER 0);
CREATE TABLE ranges (a int, b int) PARTITION BY RANGE (a);
ALTER TABLE ranges ATTACH PARTITION d3 FOR VALUES FROM (1) TO (2);
DO $$
DECLARE
	shard text := (SELECT partition_name FROM shoal.shards WHERE table_name = 'd'::regclass AND node_id = 1 ORDER BY shard LIMIT 1);
	command text;
BEGIN
	FOREACH command IN ARRAY ARRAY['ALTER TABLE d DETACH PARTITION %s', 'DROP TABLE %s', 'ALTER TABLE %s ADD COLUMN x int',
		'CREATE INDEX ON %s (a)', 'TRUNCATE %s', 'ALTER TABLE %s RENAME TO x', 'GRANT SELECT ON %s TO PUBLIC'] LOOP
		BEGIN
			EXECUTE format(command, shard);
			RAISE NOTICE 'not refused: %', command;
		EXCEPTION WHEN wrong_object_type THEN
			RAISE NOTICE '%', SQLERRM;
		END;
	END LOOP;
END $$;

\set VERBOSITY terse
DROP SCHEMA ddl_tables, ddl_tables2 CASCADE;
SELECT everywhere($$SELECT count(*) FROM pg_namespace WHERE nspname ~ '^shoal_\d' AND NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_namespace.oid)$$);
