-- TRUNCATE ... CASCADE goes on from table to table, as on plain ones: each is named once, and
-- the rights are those of the tables.
SET client_min_messages = warning;
CREATE SCHEMA trc;
SET search_path = trc;
CREATE TABLE p_top (k int PRIMARY KEY);
CREATE TABLE p_mid (k int PRIMARY KEY REFERENCES p_top, v int);
CREATE TABLE p_low (k int REFERENCES p_mid, v int);
CREATE TABLE p_self (k int PRIMARY KEY REFERENCES p_top REFERENCES p_self, v int);
CREATE TABLE d_top (LIKE p_top INCLUDING ALL);
CREATE TABLE d_mid (LIKE p_mid INCLUDING ALL);
CREATE TABLE d_low (LIKE p_low INCLUDING ALL);
CREATE TABLE d_self (LIKE p_self INCLUDING ALL);
SELECT shoal.create_distributed_table('d_top', 'k', 'none');
SELECT shoal.create_distributed_table('d_mid', 'k', 'd_top');
SELECT shoal.create_distributed_table('d_low', 'k', 'd_top');
SELECT shoal.create_distributed_table('d_self', 'k', 'd_top');
ALTER TABLE d_mid ADD FOREIGN KEY (k) REFERENCES d_top;
ALTER TABLE d_low ADD FOREIGN KEY (k) REFERENCES d_mid;
ALTER TABLE d_self ADD FOREIGN KEY (k) REFERENCES d_top;
ALTER TABLE d_self ADD FOREIGN KEY (k) REFERENCES d_self;
CREATE FUNCTION fill() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR t IN 0 .. 1 LOOP
		EXECUTE format('INSERT INTO %s SELECT generate_series(1, 20)', (ARRAY['p_top', 'd_top'])[t + 1]);
		EXECUTE format('INSERT INTO %s SELECT i, i FROM generate_series(1, 20) i', (ARRAY['p_mid', 'd_mid'])[t + 1]);
		EXECUTE format('INSERT INTO %s SELECT i, i FROM generate_series(1, 20) i', (ARRAY['p_low', 'd_low'])[t + 1]);
		EXECUTE format('INSERT INTO %s SELECT i, i FROM generate_series(1, 20) i', (ARRAY['p_self', 'd_self'])[t + 1]);
	END LOOP;
END $$;
CREATE VIEW counts AS SELECT (SELECT count(*) FROM p_top) AS p_top, (SELECT count(*) FROM d_top) AS d_top,
	(SELECT count(*) FROM p_mid) AS p_mid, (SELECT count(*) FROM d_mid) AS d_mid,
	(SELECT count(*) FROM p_low) AS p_low, (SELECT count(*) FROM d_low) AS d_low,
	(SELECT count(*) FROM p_self) AS p_self, (SELECT count(*) FROM d_self) AS d_self;
SET client_min_messages = notice;
SELECT fill();
TRUNCATE p_mid CASCADE;
TRUNCATE d_mid CASCADE;
SELECT * FROM counts;
TRUNCATE p_top CASCADE;
TRUNCATE d_top CASCADE;
SELECT * FROM counts;
SELECT fill();
TRUNCATE p_top, p_mid CASCADE;
TRUNCATE d_top, d_mid CASCADE;
SELECT * FROM counts;
\set VERBOSITY terse
TRUNCATE p_top;
TRUNCATE d_top;
-- whoever may empty all of them, and whoever may not
CREATE ROLE trc_user;
GRANT USAGE ON SCHEMA trc TO trc_user;
GRANT TRUNCATE ON p_top, p_mid, d_top, d_mid, d_self, p_self TO trc_user;
SELECT fill();
SET ROLE trc_user;
TRUNCATE p_low CASCADE;
TRUNCATE d_low CASCADE;
TRUNCATE p_top CASCADE;
TRUNCATE d_top CASCADE;
RESET ROLE;
SELECT * FROM counts;
GRANT TRUNCATE ON p_low, d_low TO trc_user;
SET ROLE trc_user;
TRUNCATE p_top CASCADE;
TRUNCATE d_top CASCADE;
RESET ROLE;
SELECT * FROM counts;
-- triggers are fired once for each table
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% %', tg_when, tg_table_name;
	RETURN NULL;
END $$;
CREATE TRIGGER a AFTER TRUNCATE ON p_low EXECUTE FUNCTION tell();
CREATE TRIGGER a AFTER TRUNCATE ON d_low EXECUTE FUNCTION tell();
CREATE TRIGGER b BEFORE TRUNCATE ON p_mid EXECUTE FUNCTION tell();
CREATE TRIGGER b BEFORE TRUNCATE ON d_mid EXECUTE FUNCTION tell();
TRUNCATE p_mid CASCADE;
TRUNCATE d_mid CASCADE;
SET client_min_messages = warning;
DROP SCHEMA trc CASCADE;
DROP OWNED BY trc_user;
DROP ROLE trc_user;
