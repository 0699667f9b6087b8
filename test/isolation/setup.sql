--
-- What isolation tests need besides sql/cluster.sql: isolationtester asks this
-- function whether a session is blocked.  One that waits for a node, or for a
-- worker, is blocked when a session on a node (another database of this server, or
-- not one of the test's) is; or when a worker has what it waits for, and pauses.
--
SET shoal.forward_ddl = off;

-- replacing it would change nothing: the server calls built-in functions by OID
ALTER FUNCTION pg_catalog.pg_isolation_test_session_is_blocked(int, int[])
	RENAME TO pg_isolation_test_session_is_blocked_here;

CREATE FUNCTION pg_catalog.pg_isolation_test_session_waits(int, int[])
RETURNS bool LANGUAGE sql STRICT AS $$
	SELECT pg_catalog.pg_isolation_test_session_is_blocked_here($1, $2) OR
		(EXISTS (SELECT FROM pg_stat_activity
			WHERE pid = $1 AND state = 'active' AND wait_event_type IN ('Extension', 'Client', 'IPC')) AND
		 EXISTS (SELECT FROM pg_stat_activity n
			WHERE n.datname LIKE 'shoal\_n%' AND
				(n.datname <> current_database() OR n.application_name NOT LIKE 'isolation/%') AND
				n.wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(n.pid)) > 0))
		OR EXISTS (SELECT FROM pg_stat_activity w
			WHERE w.pid = ANY (pg_blocking_pids($1)) AND w.application_name NOT LIKE 'isolation/%' AND
				w.wait_event_type = 'Lock' AND w.wait_event = 'advisory')
$$;

-- for a while, at least: one that ends its transaction on nodes is waited for by others
-- there until it has
CREATE FUNCTION pg_catalog.pg_isolation_test_session_is_blocked(int, int[])
RETURNS bool LANGUAGE plpgsql STRICT AS $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		IF NOT pg_catalog.pg_isolation_test_session_waits($1, $2) THEN
			RETURN false;
		END IF;
		PERFORM pg_sleep(0.03);
		PERFORM pg_stat_clear_snapshot();
	END LOOP;
	RETURN true;
END $$;

-- statements through another coordinator, sent and waited for in two steps
CREATE EXTENSION dblink;
