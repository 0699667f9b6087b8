-- Tables with replicas: triggers.  After replicas.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, MDY';
SET search_path = repl, public;

-- triggers
CREATE FUNCTION public.change_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.v := coalesce(NEW.v, '') || '+' || TG_OP; NEW.r := random(); RETURN NEW;
END $$;
SELECT public.make('own (k int PRIMARY KEY, v text, r float8)', 'k');
CREATE TRIGGER a BEFORE INSERT OR UPDATE ON repl.own FOR EACH ROW EXECUTE FUNCTION public.change_row();
INSERT INTO own VALUES (1, 'x'), (2, 'y');
INSERT INTO own SELECT i, 'i' FROM generate_series(3, 30) i;
COPY own (k, v) FROM stdin;
101	c
102	c
103	c
104	c
\.
UPDATE own SET v = 'u' WHERE k < 5;
UPDATE own SET v = 'one' WHERE k = 6;
INSERT INTO own VALUES (1, 'again') ON CONFLICT (k) DO UPDATE SET v = 'conflict';
DELETE FROM own WHERE k = 8;
SELECT * FROM shoal.verify_table('own');
SELECT k, v FROM own ORDER BY k LIMIT 12;
-- triggers that suppress
CREATE FUNCTION public.skip_odd() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN RETURN CASE WHEN OLD.k % 2 = 0 THEN OLD END; END IF;
	RETURN CASE WHEN NEW.k % 2 = 0 THEN NEW END;
END $$;
CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON repl.own FOR EACH ROW EXECUTE FUNCTION public.skip_odd();
INSERT INTO own SELECT i FROM generate_series(200, 220) i;
COPY own (k, v) FROM stdin;
301	c
302	c
303	c
\.
UPDATE own SET v = 'skip';
DELETE FROM own WHERE k > 200;
SELECT * FROM shoal.verify_table('own');
DROP TABLE own, twin.own;
-- here: all primaries of a table are on the node that the session is connected to
CREATE FUNCTION public.make_here(definition text, key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	name text = substring(definition from '^(\w+)');
	s record;
BEGIN
	EXECUTE format('CREATE TABLE twin.%s', definition);
	EXECUTE format('CREATE TABLE repl.%s', definition);
	PERFORM shoal.create_distributed_table(format('repl.%s', name), key, shard_count => 2, replicas => 2, colocate_with => CASE WHEN to_regclass('repl.tr') IS NULL OR name = 'tr' THEN 'none' ELSE 'repl.tr' END);
	FOR s IN SELECT group_id, shard FROM shoal.shards WHERE table_name = format('repl.%s', name)::regclass AND role = 'replica' AND node_id = 1 LOOP
		PERFORM shoal.promote(s.group_id, s.shard, 1);
	END LOOP;
END $$;
SELECT public.make_here('tr (k int PRIMARY KEY, v text, n int DEFAULT 0)', 'k');
SELECT public.make_here('log (k int, what text)', 'k');
CREATE FUNCTION public.log_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %I.log VALUES ($1, $2)', TG_ARGV[0]) USING CASE WHEN TG_OP = 'DELETE' THEN OLD.k ELSE NEW.k END, TG_OP || TG_WHEN;
	RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
SELECT public.both_ddl('CREATE TRIGGER l AFTER INSERT OR UPDATE OR DELETE ON @@.tr FOR EACH ROW EXECUTE FUNCTION public.log_it(@@)');
SELECT public.both_ddl('CREATE TRIGGER lb BEFORE INSERT OR UPDATE OR DELETE ON @@.tr FOR EACH ROW EXECUTE FUNCTION public.log_it(@@)');
\set writes 'SELECT public.both(q) FROM unnest(ARRAY[''INSERT INTO tr SELECT i, ''''v'''' FROM generate_series(1, 50) i'', ''UPDATE tr SET v = v || 1 WHERE k < 20'', ''UPDATE tr SET v = v || 2 WHERE k = 20'', ''INSERT INTO tr VALUES (60, ''''x'''')'', ''INSERT INTO tr SELECT i, ''''c'''' FROM generate_series(40, 55) i ON CONFLICT (k) DO UPDATE SET v = tr.v || excluded.v'', ''DELETE FROM tr WHERE k % 3 = 0'', ''DELETE FROM tr WHERE k = 1'', ''MERGE INTO tr USING generate_series(1, 10) i ON k = i WHEN MATCHED AND k % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET v = ''''m'''' WHEN NOT MATCHED THEN INSERT (k, v) VALUES (i, ''''n'''')'', ''DELETE FROM tr'']) q;'
:writes
SELECT public.wrong();
-- AFTER trigger that changes the row again
CREATE FUNCTION public.again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %I.tr SET n = n + 1, v = v || ''a'' WHERE k = $1 AND n < 3', TG_ARGV[0]) USING NEW.k;
	RETURN NULL;
END $$;
SELECT public.both_ddl('CREATE TRIGGER again AFTER INSERT OR UPDATE ON @@.tr FOR EACH ROW EXECUTE FUNCTION public.again(@@)');
:writes
SELECT public.wrong();
-- BEFORE INSERT that deletes the row of the same key; AFTER that deletes the row, that inserts other rows
CREATE FUNCTION public.replace_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('DELETE FROM %I.tr WHERE k = $1', TG_ARGV[0]) USING NEW.k;
	RETURN NEW;
END $$;
SELECT public.both_ddl('CREATE TRIGGER replace_row BEFORE INSERT ON @@.tr FOR EACH ROW EXECUTE FUNCTION public.replace_row(@@)');
SELECT public.both('INSERT INTO tr SELECT i, ''first'' FROM generate_series(1, 20) i');
SELECT public.both('INSERT INTO tr SELECT i, ''second'' FROM generate_series(10, 30) i');
SELECT public.both('INSERT INTO tr SELECT i % 5, ''rep'' || i FROM generate_series(10, 30) i');
SELECT public.both('INSERT INTO tr VALUES (7, ''third'')');
SELECT public.wrong();
:writes
SELECT public.wrong();
SELECT public.both_ddl('DROP TRIGGER replace_row ON @@.tr');
CREATE FUNCTION public.neighbours() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %I.tr SET n = n + 10 WHERE k IN ($1 - 1, $1 + 1) AND n < 40', TG_ARGV[0]) USING NEW.k;
	IF NEW.k % 7 = 0 THEN EXECUTE format('DELETE FROM %I.tr WHERE k = $1', TG_ARGV[0]) USING NEW.k; END IF;
	IF NEW.k % 5 = 0 AND NEW.k < 1000 THEN EXECUTE format('INSERT INTO %I.tr VALUES ($1 + 1000, ''made'') ON CONFLICT DO NOTHING', TG_ARGV[0]) USING NEW.k; END IF;
	IF NEW.k % 4 = 0 THEN
		BEGIN
			EXECUTE format('UPDATE %I.tr SET v = ''lost'' WHERE k = $1', TG_ARGV[0]) USING NEW.k - 1;
			EXECUTE format('INSERT INTO %I.tr VALUES ($1 + 2000, ''lost'')', TG_ARGV[0]) USING NEW.k;
			RAISE EXCEPTION 'x';
		EXCEPTION WHEN raise_exception THEN
			EXECUTE format('INSERT INTO %I.log VALUES ($1, ''exception'')', TG_ARGV[0]) USING NEW.k;
		END;
	END IF;
	RETURN NULL;
END $$;
SELECT public.both_ddl('CREATE TRIGGER neighbours AFTER INSERT OR UPDATE ON @@.tr FOR EACH ROW WHEN (pg_trigger_depth() < 2) EXECUTE FUNCTION public.neighbours(@@)');
-- in which order rows are looked at makes a difference here
INSERT INTO tr SELECT i, 'first' FROM generate_series(1, 20) i;
UPDATE tr SET v = 'u', n = 0;
INSERT INTO tr SELECT i, 'cf' FROM generate_series(15, 40) i ON CONFLICT (k) DO UPDATE SET v = excluded.v;
SELECT * FROM shoal.verify_table('tr');
SELECT * FROM shoal.verify_table('log');
TRUNCATE tr, log, twin.tr, twin.log;
-- key changes in triggers
CREATE FUNCTION public.shift() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('UPDATE %I.keyed SET i = i + 100 WHERE k = $1 AND i = $2', TG_ARGV[0]) USING NEW.k, NEW.i;
	RETURN NULL;
END $$;
SELECT public.make_here('keyed (k int, i int, v text, PRIMARY KEY (k, i))', 'k');
SELECT public.both_ddl('CREATE TRIGGER shift AFTER INSERT ON @@.keyed FOR EACH ROW EXECUTE FUNCTION public.shift(@@)');
SELECT public.both('INSERT INTO keyed SELECT i % 4, i, ''v'' FROM generate_series(1, 100) i');
SELECT public.wrong();
SELECT public.both('INSERT INTO keyed SELECT i % 4, i, ''v'' FROM generate_series(1, 120) i');
SELECT public.both('UPDATE keyed SET i = i - 1');
SELECT public.wrong();
DROP TABLE tr, twin.tr, log, twin.log, keyed, twin.keyed;
DROP FUNCTION public.change_row, public.skip_odd, public.make_here, public.log_it, public.again, public.replace_row, public.neighbours, public.shift;
