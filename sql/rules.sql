--
-- Rules: each is applied once, by the coordinator, whichever tables it writes.
-- Compared with plain tables that have the same rules.
--
CREATE FUNCTION public.make_ruled(suffix text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE replace($sql$
    CREATE TABLE ruled# (a int PRIMARY KEY, b text);
    CREATE TABLE ruled_log# (a int, b text, op text);
    CREATE TABLE ruled_names# (b text, n int);
    CREATE VIEW ruled_view# AS SELECT a, upper(b) AS b FROM ruled#;
    $sql$, '#', suffix);
    IF suffix = '_d' THEN
        PERFORM shoal.create_distributed_table('ruled_d', 'a'), shoal.create_distributed_table('ruled_log_d', 'a'),
            shoal.create_distributed_table('ruled_names_d', 'b');
    END IF;
    EXECUTE replace($sql$
    CREATE RULE ins AS ON INSERT TO ruled# DO ALSO INSERT INTO ruled_log# VALUES (new.a, new.b, 'ins');
    CREATE RULE moved AS ON INSERT TO ruled# WHERE new.b = 'away' DO INSTEAD
        INSERT INTO ruled_names# VALUES (new.b, new.a), ('second', new.a);
    CREATE RULE upd AS ON UPDATE TO ruled# DO ALSO (
        INSERT INTO ruled_log# VALUES (old.a, new.b, 'upd ' || old.b);
        UPDATE ruled_names# SET n = n + 1 WHERE b = old.b);
    CREATE RULE both_rows AS ON UPDATE TO ruled# DO ALSO
        INSERT INTO ruled_log# VALUES (old.a, old.b, 'old'), (new.a, new.b, 'new');
    CREATE RULE del AS ON DELETE TO ruled# DO ALSO INSERT INTO ruled_log# SELECT old.a, n.b, 'del'
        FROM ruled_names# n WHERE n.n = old.a;
    CREATE RULE view_ins AS ON INSERT TO ruled_view# DO INSTEAD (
        INSERT INTO ruled# VALUES (new.a, new.b);
        INSERT INTO ruled_log# SELECT a + 100, b, 'view' FROM ruled# WHERE a = new.a);
    CREATE RULE view_upd AS ON UPDATE TO ruled_view# DO INSTEAD UPDATE ruled# SET b = new.b WHERE a = old.a
        RETURNING ruled#.*;
    CREATE RULE view_del AS ON DELETE TO ruled_view# DO INSTEAD NOTHING;
    $sql$, '#', suffix);
END $$;
SET client_min_messages = warning;
SELECT public.make_ruled('_d'), public.make_ruled('_l');

CREATE FUNCTION public.ruled_same(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    counts bigint[] := '{0,0}';
    tables text := '';
    differ bigint;
    t text;
BEGIN
    EXECUTE replace(statement, '#', '_d');
    GET DIAGNOSTICS differ = ROW_COUNT;
    counts[1] := differ;
    EXECUTE replace(statement, '#', '_l');
    GET DIAGNOSTICS differ = ROW_COUNT;
    counts[2] := differ;
    FOREACH t IN ARRAY ARRAY['ruled', 'ruled_log', 'ruled_names'] LOOP
        EXECUTE format('SELECT count(*) FROM ((TABLE %1$s_d EXCEPT ALL TABLE %1$s_l) UNION ALL (TABLE %1$s_l EXCEPT ALL TABLE %1$s_d)) d', t)
            INTO differ;
        tables := tables || CASE WHEN differ > 0 THEN format(' %s differs in %s rows', t, differ) ELSE '' END;
    END LOOP;
    RETURN CASE WHEN counts[1] = counts[2] THEN counts[1] || ' rows' ELSE counts::text END || tables;
END $$;

SELECT n, s, public.ruled_same(s) FROM unnest(ARRAY[
'INSERT INTO ruled# VALUES (1, ''one'')',
'INSERT INTO ruled# SELECT i, ''row '' || i % 7 FROM generate_series(2, 60) i',
'INSERT INTO ruled# VALUES (61, ''away'')',
'INSERT INTO ruled# SELECT i, CASE WHEN i % 2 = 0 THEN ''away'' ELSE ''row 1'' END FROM generate_series(62, 70) i',
'INSERT INTO ruled_names# SELECT ''row '' || i, i FROM generate_series(1, 9) i',
'UPDATE ruled# SET b = b || ''!'' WHERE a = 5',
'UPDATE ruled# SET b = ''changed'' WHERE a % 10 = 3',
'UPDATE ruled# r SET b = n.b || n.n FROM ruled_names# n WHERE n.b = r.b AND n.n < 8',
'DELETE FROM ruled# WHERE a = 7',
'DELETE FROM ruled# WHERE a < 20 AND b LIKE ''row%''',
'INSERT INTO ruled_view# VALUES (71, ''by view'')',
'INSERT INTO ruled_view# SELECT i, ''view '' || i FROM generate_series(72, 80) i',
'UPDATE ruled_view# SET b = b || ''?'' WHERE a > 75',
'DELETE FROM ruled_view# WHERE a > 75']) WITH ORDINALITY AS x(s, n) ORDER BY n;

-- what a rule writes into a local table is written here, and nowhere else
CREATE TABLE ruled_here (a int);
CREATE RULE here AS ON INSERT TO ruled_d DO ALSO INSERT INTO ruled_here VALUES (new.a);
INSERT INTO ruled_d SELECT i, 'here' FROM generate_series(101, 120) i;
INSERT INTO ruled_d VALUES (121, 'one row');
SELECT count(*), min(a), max(a) FROM ruled_here;
SELECT result FROM shoal.run_on_nodes('SELECT count(*) FROM public.ruled_here', '{2,3}');

-- triggers fire as ever, also with what a fragment is analysed for but not run
CREATE FUNCTION ruled_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.b := new.b || '' triggered''; RETURN new; END';
CREATE TRIGGER t BEFORE INSERT ON ruled_log_d FOR EACH ROW EXECUTE FUNCTION ruled_trigger();
INSERT INTO ruled_d VALUES (130, 'a');
SELECT * FROM ruled_log_d WHERE a = 130;
EXPLAIN (COSTS OFF, VERBOSE OFF) DELETE FROM ruled_view_d WHERE a = 1;
PREPARE p(int) AS UPDATE ruled_d SET b = b || '.' WHERE a = $1;
EXECUTE p(130); EXECUTE p(130); EXECUTE p(130); EXECUTE p(130); EXECUTE p(130); EXECUTE p(130); EXECUTE p(130);
SELECT * FROM ruled_d WHERE a = 130;
SELECT op, count(*) FROM ruled_log_d WHERE a = 130 AND op IN ('old', 'new') GROUP BY op ORDER BY op;

-- in a reference table, which is written everywhere
CREATE TABLE ruled_ref (a int PRIMARY KEY, b text);
SELECT shoal.create_reference_table('ruled_ref');
CREATE RULE r AS ON INSERT TO ruled_ref DO ALSO INSERT INTO ruled_here VALUES (new.a * 1000);
INSERT INTO ruled_ref VALUES (1, 'x'), (2, 'y');
SELECT a FROM ruled_here WHERE a >= 1000 ORDER BY a;

-- nodes cannot leave out such rules
ALTER TABLE ruled_ref ENABLE ALWAYS RULE r;
INSERT INTO ruled_ref VALUES (3, 'z');
ALTER TABLE ruled_ref ENABLE RULE r;
INSERT INTO ruled_ref VALUES (3, 'z');

DROP TABLE ruled_d, ruled_log_d, ruled_names_d, ruled_l, ruled_log_l, ruled_names_l, ruled_here, ruled_ref CASCADE;
DROP FUNCTION public.make_ruled, public.ruled_same, ruled_trigger;
