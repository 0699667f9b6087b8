--
-- Row triggers that run on nodes, and read and write distributed tables: rows of the
-- same shard are where the trigger runs.  Compared with plain tables that have the same
-- triggers.
--
SET shoal.row_triggers = node;
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE SCHEMA trig_d;
CREATE SCHEMA trig_p;
CREATE FUNCTION trig_make(schema_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', schema_name, true);
    CREATE TABLE accounts (account int PRIMARY KEY, balance int NOT NULL DEFAULT 0, bookings int NOT NULL DEFAULT 0, owner int);
    CREATE TABLE bookings (account int, n int, amount int, before int, PRIMARY KEY (account, n));
    CREATE TABLE audit (account int, what text, seen int);
    CREATE TABLE limits (owner int PRIMARY KEY, most int);
    INSERT INTO limits SELECT i, i * 100 FROM generate_series(1, 5) i;
    INSERT INTO accounts SELECT i, 0, 0, i % 5 + 1 FROM generate_series(1, 40) i;
    -- before: looks up rows, and refuses
    EXECUTE format($f$CREATE FUNCTION check_booking() RETURNS trigger LANGUAGE plpgsql SET search_path = %1$I AS $t$
        DECLARE most int; current int;
        BEGIN
            SELECT balance INTO current FROM accounts WHERE account = NEW.account;
            IF NOT FOUND THEN RAISE EXCEPTION 'no account %%', NEW.account; END IF;
            SELECT l.most INTO most FROM limits l, accounts a WHERE a.account = NEW.account AND l.owner = a.owner;
            IF current + NEW.amount > most THEN RETURN NULL; END IF;
            NEW.before := current;
            RETURN NEW;
        END $t$ $f$, schema_name);
    -- after: keeps sums, writes a log, sees all rows of the statement
    EXECUTE format($f$CREATE FUNCTION sum_booking() RETURNS trigger LANGUAGE plpgsql SET search_path = %1$I AS $t$
        DECLARE k int := coalesce(NEW.account, OLD.account);
        BEGIN
            UPDATE accounts SET balance = balance + coalesce(NEW.amount, 0) - coalesce(OLD.amount, 0),
                bookings = (SELECT count(*) FROM bookings WHERE account = k) WHERE account = k;
            INSERT INTO audit VALUES (k, TG_OP, (SELECT count(*) FROM bookings WHERE account = k));
            IF TG_OP = 'DELETE' THEN DELETE FROM audit WHERE account = k AND what = 'INSERT'; END IF;
            RETURN NULL;
        END $t$ $f$, schema_name);
    CREATE TRIGGER check_booking BEFORE INSERT OR UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION check_booking();
    CREATE TRIGGER sum_booking AFTER INSERT OR UPDATE OR DELETE ON bookings FOR EACH ROW EXECUTE FUNCTION sum_booking();
END $$;
SELECT trig_make('trig_p'), trig_make('trig_d');
SELECT shoal.create_reference_table('trig_d.limits');
SELECT shoal.create_distributed_table('trig_d.accounts', 'account', colocate_with => 'none', shard_count => 8);
SELECT shoal.create_distributed_table('trig_d.bookings', 'account', colocate_with => 'trig_d.accounts');
SELECT shoal.create_distributed_table('trig_d.audit', 'account', colocate_with => 'trig_d.accounts');
CREATE FUNCTION trig_run(schema_name text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    PERFORM set_config('search_path', schema_name, true);
    BEGIN
        EXECUTE statement;
        GET DIAGNOSTICS n = ROW_COUNT;
        RETURN n || ' rows';
    EXCEPTION WHEN OTHERS THEN
        RETURN SQLSTATE || ': ' || SQLERRM;
    END;
END $$;
CREATE FUNCTION trig_same() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t text;
    n bigint;
    result text := '';
BEGIN
    FOREACH t IN ARRAY ARRAY['accounts', 'bookings', 'audit'] LOOP
        EXECUTE format('SELECT count(*) FROM ((TABLE trig_d.%1$s EXCEPT ALL TABLE trig_p.%1$s) UNION ALL (TABLE trig_p.%1$s EXCEPT ALL TABLE trig_d.%1$s)) x', t) INTO n;
        result := result || CASE WHEN n > 0 THEN format(' %s differs in %s rows', t, n) ELSE '' END;
    END LOOP;
    RETURN CASE result WHEN '' THEN 'same' ELSE result END;
END $$;
CREATE TABLE trig_results (n int, plain text, dist text, tables text);
DO $$
DECLARE
    statements text[] := ARRAY[
        'INSERT INTO bookings VALUES (1, 1, 10)',
        'INSERT INTO bookings SELECT i % 40 + 1, 100 + i, i % 30 FROM generate_series(1, 400) i',
        'INSERT INTO bookings SELECT i % 3 + 1, 1000 + i, 1 FROM generate_series(1, 30) i RETURNING *',
        'INSERT INTO bookings SELECT i % 40 + 1, 2000 + i, 0 FROM generate_series(1, 3000) i RETURNING n',
        'INSERT INTO bookings SELECT account, 5000, 1 FROM accounts WHERE account % 2 = 0',
        'UPDATE bookings SET amount = amount + 1 WHERE n < 120',
        'UPDATE bookings SET amount = 3 WHERE account = 7 AND n < 500',
        'DELETE FROM bookings WHERE n BETWEEN 150 AND 200',
        'DELETE FROM bookings WHERE account = 9',
        'INSERT INTO bookings VALUES (1000, 1, 1)',
        'INSERT INTO bookings VALUES (3, 6000, 100000), (4, 6000, 1)'];
BEGIN
    FOR i IN 1 .. cardinality(statements) LOOP
        INSERT INTO public.trig_results VALUES (i, public.trig_run('trig_p', statements[i]), public.trig_run('trig_d', statements[i]), public.trig_same());
    END LOOP;
END $$;
SELECT * FROM trig_results ORDER BY n;
SET search_path = trig_d, public;
COPY bookings (account, n, amount) FROM stdin;
11	9001	5
12	9001	5
13	9001	5
14	9001	5
15	9001	5
\.
SET search_path = trig_p, public;
COPY bookings (account, n, amount) FROM stdin;
11	9001	5
12	9001	5
13	9001	5
14	9001	5
15	9001	5
\.
SELECT trig_same();

-- one transaction sees what it has done, on each node
SET search_path = trig_d, public;
BEGIN;
UPDATE accounts SET balance = 0;
INSERT INTO bookings SELECT i, 9100, 1 FROM generate_series(1, 40) i;
SELECT count(*), sum(before), count(DISTINCT before) FROM bookings WHERE n = 9100;
SELECT min(balance), max(balance) FROM accounts;
ROLLBACK;
SELECT trig_same();

-- with replicas, too
SELECT shoal.set_replicas('accounts', 1);
INSERT INTO bookings SELECT i, 9200, 1 FROM generate_series(1, 40) i;
INSERT INTO trig_p.bookings SELECT i, 9200, 1 FROM generate_series(1, 40) i;
SET shoal.read_from = 'any';
SELECT trig_same();
RESET shoal.read_from;
SELECT * FROM shoal.verify_table('accounts');
SELECT * FROM shoal.verify_table('audit');

-- what needs more than the row's shard is refused, and nothing is done
CREATE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql SET search_path = trig_d AS $$ BEGIN NEW.amount := (SELECT count(*) FROM accounts); RETURN NEW; END $$;
CREATE TRIGGER too_much BEFORE INSERT ON bookings FOR EACH ROW EXECUTE FUNCTION too_much();
INSERT INTO bookings SELECT i, 9300, 1 FROM generate_series(1, 40) i;
CREATE OR REPLACE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql SET search_path = trig_d AS $$ BEGIN PERFORM FROM accounts WHERE account = 40 - NEW.account; RETURN NEW; END $$;
INSERT INTO bookings SELECT i, 9300, 1 FROM generate_series(1, 40) i;
CREATE OR REPLACE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql SET search_path = trig_d AS $$ BEGIN INSERT INTO audit VALUES (40 - NEW.account, 'other', 1); RETURN NEW; END $$;
INSERT INTO bookings SELECT i, 9300, 1 FROM generate_series(1, 40) i;
CREATE OR REPLACE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql SET search_path = trig_d AS $$ BEGIN UPDATE limits SET most = most; RETURN NEW; END $$;
INSERT INTO bookings SELECT i, 9300, 1 FROM generate_series(1, 40) i;
CREATE TABLE own (a int);
CREATE OR REPLACE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql SET search_path = trig_d AS $$ BEGIN INSERT INTO own VALUES (1); RETURN NEW; END $$;
INSERT INTO bookings SELECT i, 9300, 1 FROM generate_series(1, 40) i;
CREATE OR REPLACE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql SET search_path = trig_d AS $$ BEGIN NEW.amount := (SELECT count(*) FROM own); RETURN NEW; END $$;
INSERT INTO bookings SELECT i, 9300, 1 FROM generate_series(1, 40) i;
DROP TRIGGER too_much ON bookings;
SELECT trig_same();
RESET search_path;
DROP SCHEMA trig_d, trig_p CASCADE;
DROP FUNCTION trig_make, trig_run, trig_same;
DROP TABLE trig_results;
RESET shoal.row_triggers;
