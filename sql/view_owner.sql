-- Writing through another role's view: the owner's rights on the table count, not
-- the user's.  Each statement is done to a local twin as well.
\set VERBOSITY terse
\set SHOW_CONTEXT never
CREATE ROLE vo_owner LOGIN;
CREATE ROLE vo_user LOGIN;
CREATE SCHEMA vo AUTHORIZATION vo_owner;
CREATE SCHEMA vo_twin AUTHORIZATION vo_owner;
SET ROLE vo_owner;
SET search_path = vo;
CREATE TABLE vo.t (id int PRIMARY KEY, n int DEFAULT 7, s text, at text DEFAULT current_user);
CREATE TABLE vo.r (id int PRIMARY KEY, s text);
CREATE TABLE vo_twin.t (LIKE vo.t INCLUDING ALL);
CREATE TABLE vo_twin.r (LIKE vo.r INCLUDING ALL);
SELECT shoal.create_distributed_table('vo.t', 'id', shard_count => 6);
SELECT shoal.create_reference_table('vo.r');
CREATE VIEW vo.v AS SELECT s AS text, n AS num, id AS key FROM vo.t WHERE n < 1000;
CREATE VIEW vo_twin.v AS SELECT s AS text, n AS num, id AS key FROM vo_twin.t WHERE n < 1000;
CREATE VIEW vo.checked AS SELECT id, s, at FROM vo.t WHERE id < 500 WITH CHECK OPTION;
CREATE VIEW vo_twin.checked AS SELECT id, s, at FROM vo_twin.t WHERE id < 500 WITH CHECK OPTION;
CREATE VIEW vo.rv AS SELECT * FROM vo.r;
CREATE VIEW vo_twin.rv AS SELECT * FROM vo_twin.r;
GRANT ALL ON vo.v, vo_twin.v, vo.checked, vo_twin.checked, vo.rv, vo_twin.rv TO vo_user;
GRANT USAGE ON SCHEMA vo, vo_twin TO vo_user;
RESET ROLE;

RESET search_path;
-- rows that differ from the twin's
CREATE FUNCTION differ() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$
	SELECT count(*) FROM ((TABLE vo.t EXCEPT ALL TABLE vo_twin.t) UNION ALL (TABLE vo_twin.t EXCEPT ALL TABLE vo.t)) d $$;
CREATE FUNCTION differ_r() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$
	SELECT count(*) FROM ((TABLE vo.r EXCEPT ALL TABLE vo_twin.r) UNION ALL (TABLE vo_twin.r EXCEPT ALL TABLE vo.r)) d $$;
SET ROLE vo_user;
SET search_path = vo;
INSERT INTO v (key, text) VALUES (1, 'one');
INSERT INTO v (key, text) VALUES (2, 'two'), (3, 'three') RETURNING key, num;
INSERT INTO v SELECT 'i' || i, i, i FROM generate_series(4, 60) i;
INSERT INTO v SELECT text, num, key + 100 FROM v;
INSERT INTO v SELECT text, num, 1001 - key FROM v WHERE num > 20;
UPDATE v SET text = text || key WHERE num > 5 AND key % 3 = 0;
UPDATE v SET num = 3 WHERE key = 5 RETURNING text, key;
UPDATE v SET key = key + 2000 WHERE key = 7;
UPDATE v SET text = current_user WHERE key = 8;
DELETE FROM v WHERE num = 9;
INSERT INTO v VALUES ('again', 1, 10), ('new', 1, 11000) ON CONFLICT (key) DO UPDATE SET text = excluded.text || v.text;
INSERT INTO checked VALUES (300, 'c') RETURNING at;
INSERT INTO checked VALUES (501, 'c');
UPDATE checked SET s = 'set' WHERE id = 300;
INSERT INTO rv SELECT i, 'r' || i FROM generate_series(1, 5) i;
UPDATE rv SET s = s || '!' WHERE id < 3;
DELETE FROM rv WHERE id = 5;
-- the twin
SET search_path = vo_twin;
INSERT INTO v (key, text) VALUES (1, 'one');
INSERT INTO v (key, text) VALUES (2, 'two'), (3, 'three');
INSERT INTO v SELECT 'i' || i, i, i FROM generate_series(4, 60) i;
INSERT INTO v SELECT text, num, key + 100 FROM v;
INSERT INTO v SELECT text, num, 1001 - key FROM v WHERE num > 20;
UPDATE v SET text = text || key WHERE num > 5 AND key % 3 = 0;
UPDATE v SET num = 3 WHERE key = 5 RETURNING text, key;
UPDATE v SET key = key + 2000 WHERE key = 7;
UPDATE v SET text = current_user WHERE key = 8;
DELETE FROM v WHERE num = 9;
INSERT INTO v VALUES ('again', 1, 10), ('new', 1, 11000) ON CONFLICT (key) DO UPDATE SET text = excluded.text || v.text;
INSERT INTO checked VALUES (300, 'c') RETURNING at;
INSERT INTO checked VALUES (501, 'c');
UPDATE checked SET s = 'set' WHERE id = 300;
INSERT INTO rv SELECT i, 'r' || i FROM generate_series(1, 5) i;
UPDATE rv SET s = s || '!' WHERE id < 3;
DELETE FROM rv WHERE id = 5;
RESET ROLE;
RESET search_path;
SELECT count(*), count(DISTINCT s), differ(), differ_r() FROM vo.t;
SELECT everywhere('SELECT md5(string_agg(r::text, '','' ORDER BY id)) FROM vo.r') ~ '^(\w+) \1 \1$' AS same;

-- a view of a view, of a third role
CREATE ROLE vo_middle LOGIN;
GRANT ALL ON SCHEMA vo TO vo_middle;
GRANT ALL ON vo.v TO vo_middle;
SET ROLE vo_middle;
CREATE VIEW vo.vv AS SELECT key, text FROM vo.v;
GRANT ALL ON vo.vv TO vo_user;
SET ROLE vo_user;
INSERT INTO vo.vv VALUES (10, 'middle'), (900, 'made') ON CONFLICT (key) DO UPDATE SET text = vv.text || excluded.text;
UPDATE vo.vv SET text = text || '!' WHERE key IN (10, 900) RETURNING *;
DELETE FROM vo.vv WHERE key = 900;
RESET ROLE;
REVOKE UPDATE ON vo.v FROM vo_middle;
SET ROLE vo_user;
UPDATE vo.vv SET text = 'no';
RESET ROLE;

-- what the user has no right to stays so
SET search_path = vo;
SET ROLE vo_user;
UPDATE t SET s = 'direct';
UPDATE v SET text = (SELECT max(s) FROM t);
RESET ROLE;
REVOKE INSERT, DELETE ON v FROM vo_user;
REVOKE UPDATE ON v FROM vo_user;
GRANT UPDATE (text) ON v TO vo_user;
REVOKE UPDATE ON t FROM vo_owner;
SET ROLE vo_user;
DELETE FROM v;
INSERT INTO v (key) VALUES (77);
UPDATE v SET num = 1;
UPDATE v SET text = 'no';
RESET ROLE;
GRANT UPDATE ON t TO vo_owner;

-- a function must not run as the owner
GRANT CREATE ON SCHEMA public TO vo_user;
SET ROLE vo_user;
CREATE FUNCTION public.spy(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN current_user; END';
CREATE DOMAIN public.spied AS text CHECK (public.spy(1) = 'vo_user');
UPDATE v SET text = public.spy(key) WHERE key = 20;
UPDATE v SET text = 'spied'::public.spied WHERE key < 20 AND key > 18;
DROP DOMAIN public.spied;
DROP FUNCTION public.spy;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM vo_user;
CREATE FUNCTION vo.who() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := current_user; RETURN NEW; END';
CREATE TRIGGER who BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION vo.who();
GRANT INSERT ON v TO vo_user;
SET ROLE vo_user;
UPDATE v SET text = 'triggered' WHERE key = 20;
INSERT INTO v (key, text) VALUES (900, 'a'), (901, 'b') RETURNING *;
RESET ROLE;
SELECT id, at FROM t WHERE id IN (900, 901) ORDER BY id;
DELETE FROM t WHERE id IN (900, 901);
SET shoal.row_triggers = node;
SET ROLE vo_user;
INSERT INTO v (key, text) VALUES (900, 'a'), (901, 'b');
RESET ROLE;
RESET shoal.row_triggers;
-- with rights of his own the user writes himself
GRANT SELECT, UPDATE ON t TO vo_user;
SET ROLE vo_user;
UPDATE v SET text = 'triggered' WHERE key = 20;
SELECT s, at FROM t WHERE id = 20;
-- a prepared statement follows the rights
PREPARE set_text(int, text) AS UPDATE v SET text = $2 WHERE key = $1;
EXECUTE set_text(21, 'own');
RESET ROLE;
DROP TRIGGER who ON t;
REVOKE ALL ON t FROM vo_user;
SET ROLE vo_user;
EXECUTE set_text(21, 'owner');
SELECT text FROM v WHERE key = 21;
RESET ROLE;
-- what the owner may not do, the user does
GRANT ALL ON v TO vo_user;
GRANT CREATE ON SCHEMA public TO vo_user;
SET ROLE vo_user;
CREATE FUNCTION public.spy(int) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN current_user; END';
CREATE TEMP TABLE mine AS SELECT key, num FROM v WHERE key BETWEEN 20 AND 30;
SELECT count(*), min(public.spy(key)), max(public.spy(key)) FROM v;
INSERT INTO v (key, text) VALUES (700, public.spy(1)) RETURNING text;
INSERT INTO v (key, text) SELECT i, public.spy(i) FROM generate_series(701, 710) i;
INSERT INTO v (key, text) SELECT key + 700, public.spy(key) FROM v WHERE key BETWEEN 11 AND 29;
INSERT INTO v (key, text) SELECT key + 750, 'mine' FROM mine;
SELECT text, count(*) FROM v WHERE key BETWEEN 700 AND 790 GROUP BY text ORDER BY text;
INSERT INTO v (key) VALUES (795) RETURNING public.spy(key);
UPDATE v SET num = mine.num + 1 FROM mine WHERE mine.key = v.key;
UPDATE v SET text = 'mine' WHERE key IN (SELECT key FROM mine WHERE num > 25);
UPDATE v SET text = public.spy(mine.key) FROM mine WHERE mine.key = v.key;
DELETE FROM v USING mine WHERE mine.key = v.key - 1 RETURNING v.key - mine.key;
WITH w AS (UPDATE v SET text = 'with' WHERE key = 20 RETURNING key, text) SELECT * FROM w;
WITH w AS (UPDATE v SET text = 'with' WHERE key < 25 RETURNING key) SELECT count(*) FROM w, mine WHERE w.key = mine.key;
WITH w AS (UPDATE v SET text = 'with' WHERE key = 20 RETURNING key) SELECT count(*) FROM w, v;
WITH w AS (UPDATE v SET text = 'with' WHERE key = 20 RETURNING key) DELETE FROM v WHERE key = 21;
DROP FUNCTION public.spy;
DROP TABLE mine;
RESET ROLE;
-- how many rows come of a view may be asked of core's planner
SET ROLE vo_owner;
CREATE TABLE vo.many AS SELECT i AS a, 5001 - i AS b FROM generate_series(1, 5000) i;
SELECT shoal.create_distributed_table('vo.many', 'a');
ANALYZE vo.many;
CREATE VIEW vo.few AS SELECT * FROM vo.many WHERE b < 5;
GRANT SELECT ON vo.few TO vo_user;
RESET ROLE;
SET ROLE vo_user;
SELECT count(*) FROM vo.few x, vo.few y WHERE x.a = y.b + 4996;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM vo_user;
SET client_min_messages = warning;
RESET search_path;
DROP FUNCTION differ, differ_r;
DROP SCHEMA vo CASCADE;
DROP SCHEMA vo_twin CASCADE;
DROP ROLE vo_owner, vo_user, vo_middle;
