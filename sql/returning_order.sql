--
-- Rows of RETURNING come in the order in which rows are inserted, wherever they go:
-- programs take them for the rows that they have given, one by one.
--
CREATE SCHEMA in_order;
SET search_path = in_order;
CREATE TABLE t (k int PRIMARY KEY, v int, o text);
SELECT shoal.create_distributed_table('t', 'k', shard_count => 6);
INSERT INTO t VALUES (9, 1), (2, 2), (7, 3), (1, 4), (30, 5), (12, 6), (5, 7), (3, 8) RETURNING k, v, o, k + v AS sum;
INSERT INTO t (v, k) VALUES (90, 9), (20, 2), (40, 40), (70, 7), (41, 41), (10, 1), (42, 42) ON CONFLICT (k) DO UPDATE SET v = excluded.v RETURNING *;
-- those of each node, at least, if some are left out
INSERT INTO t VALUES (100, 1), (9, 2), (101, 3), (2, 4) ON CONFLICT DO NOTHING RETURNING v IN (1, 3);
-- many, in several messages to each node, and on disk
CREATE FUNCTION count_disorder(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line record;
	n int = 0;
	wrong int = 0;
BEGIN
	FOR line IN EXECUTE query LOOP
		n = n + 1;
		wrong = wrong + (line.v <> n)::int;
	END LOOP;
	RETURN wrong || ' of ' || n;
END $$;
SELECT count_disorder('INSERT INTO t SELECT 1000 + i, i FROM generate_series(1, 100) i, (SELECT max(v) FROM t) m RETURNING v');
SET shoal.batch_size = 7;
SET work_mem = '64kB';
SELECT count_disorder('INSERT INTO t SELECT 10000 + i, i, repeat(''x'', 100) FROM generate_series(1, 2000) i, (SELECT max(v) FROM t) m RETURNING v, o');
RESET work_mem;
RESET shoal.batch_size;
DROP SCHEMA in_order CASCADE;
