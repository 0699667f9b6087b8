--
-- The cluster that all other tests use: databases of one server.
--
CREATE EXTENSION shoal;
SELECT shoal.add_node('localhost', current_setting('port')::int, 'shoal_n2') IS NOT NULL AS added;
SELECT shoal.add_node('localhost', current_setting('port')::int, 'shoal_n3') IS NOT NULL AS added;
SELECT node_id, dbname, state FROM shoal.nodes ORDER BY node_id;

-- for tests that run the same on twins: what a statement returns (or how many rows it
-- is about), or its error; path: schemas in which it is to run
CREATE FUNCTION run(query text, path text DEFAULT NULL, OUT answer text) LANGUAGE plpgsql AS $$
DECLARE
	line record;
	lines text[] = '{}';
	n bigint;
	detail text;
	outer_path text = current_setting('search_path');
BEGIN
	IF path IS NOT NULL THEN
		PERFORM set_config('search_path', path, true);
	END IF;
	IF query ~ 'RETURNING|^SELECT|^TABLE' THEN
		FOR line IN EXECUTE query LOOP
			lines = lines || line::text;
		END LOOP;
		answer = (SELECT string_agg(l, ' ' ORDER BY l) FROM unnest(lines) l);
	ELSE
		EXECUTE query;
		GET DIAGNOSTICS n = ROW_COUNT;
		answer = n::text;
	END IF;
	PERFORM set_config('search_path', outer_path, true);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	answer = concat_ws('; ', sqlstate || ' ' || sqlerrm, nullif(detail, ''));
END $$;
