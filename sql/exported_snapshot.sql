--
-- pg_export_snapshot() and SET TRANSACTION SNAPSHOT: sessions that see the same rows on all
-- nodes, as pg_dump's do.
--
SET client_min_messages = warning;
CREATE EXTENSION dblink;
CREATE TABLE es_d (id int PRIMARY KEY, v int);
CREATE TABLE es_local (id int PRIMARY KEY);
CREATE TABLE es_ref (id int PRIMARY KEY);
SELECT shoal.create_distributed_table('es_d', 'id', shard_count => 6);
SELECT shoal.create_reference_table('es_ref');
INSERT INTO es_d SELECT i, 0 FROM generate_series(1, 100) i;
INSERT INTO es_local VALUES (1);
INSERT INTO es_ref VALUES (1);
CREATE FUNCTION es_connect(name text) RETURNS text LANGUAGE sql AS $$
    SELECT dblink_connect(name, format('host=127.0.0.1 port=%s dbname=%s user=%s', current_setting('port'), current_database(), current_user))
$$;
-- what another session sees that has imported a snapshot, after which it may change something
CREATE FUNCTION es_seen(snapshot text) RETURNS TABLE (d bigint, one bigint, v bigint, local bigint, ref bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM es_connect('es_reader');
    PERFORM dblink_exec('es_reader', 'BEGIN ISOLATION LEVEL REPEATABLE READ');
    PERFORM dblink_exec('es_reader', format('SET TRANSACTION SNAPSHOT %L', snapshot));
    RETURN QUERY SELECT * FROM dblink('es_reader', 'SELECT (SELECT count(*) FROM es_d), (SELECT count(*) FROM es_d WHERE id = 150), (SELECT sum(v) FROM es_d),
        (SELECT count(*) FROM es_local), (SELECT count(*) FROM es_ref)') AS x(d bigint, one bigint, v bigint, local bigint, ref bigint);
    PERFORM dblink_exec('es_reader', 'COMMIT');
    RETURN QUERY SELECT * FROM dblink('es_reader', 'SELECT (SELECT count(*) FROM es_d), (SELECT count(*) FROM es_d WHERE id = 150), (SELECT sum(v) FROM es_d),
        (SELECT count(*) FROM es_local), (SELECT count(*) FROM es_ref)') AS x(d bigint, one bigint, v bigint, local bigint, ref bigint);
    PERFORM dblink_disconnect('es_reader');
END $$;
CREATE FUNCTION es_change() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM es_connect('es_writer');
    PERFORM dblink_exec('es_writer', 'INSERT INTO es_d SELECT i, 0 FROM generate_series(101, 200) i');
    PERFORM dblink_exec('es_writer', 'UPDATE es_d SET v = v + 1');
    PERFORM dblink_exec('es_writer', 'INSERT INTO es_local VALUES (2); INSERT INTO es_ref VALUES (2)');
    PERFORM dblink_disconnect('es_writer');
END $$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_export_snapshot() AS snapshot \gset
SELECT pg_export_snapshot() AS snapshot2 \gset
SELECT es_change();
SELECT * FROM es_seen(:'snapshot');
SELECT * FROM es_seen(:'snapshot2');
SELECT count(*), sum(v) FROM es_d;
COMMIT;
-- exported once something has been read
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM es_d WHERE id = 3;
DELETE FROM es_ref WHERE id = 1;
SELECT pg_export_snapshot() AS snapshot \gset
SELECT * FROM es_seen(:'snapshot');
ROLLBACK;
-- the nodes' snapshots are not known: local tables can be read
BEGIN;
SELECT pg_export_snapshot() AS snapshot \gset
SELECT es_connect('es_reader');
SELECT dblink_exec('es_reader', 'BEGIN ISOLATION LEVEL REPEATABLE READ');
SELECT dblink_exec('es_reader', format('SET TRANSACTION SNAPSHOT %L', :'snapshot'));
SELECT * FROM dblink('es_reader', 'SELECT count(*) FROM es_local') AS x(n bigint);
SELECT * FROM dblink('es_reader', 'SELECT count(*) FROM es_d') AS x(n bigint);
SELECT dblink_disconnect('es_reader');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SAVEPOINT s;
SELECT pg_export_snapshot();
ROLLBACK;
DROP TABLE es_d, es_local, es_ref;
DROP FUNCTION es_connect, es_seen, es_change;
DROP EXTENSION dblink;
