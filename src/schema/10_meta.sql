/* ---- metadata: tables, the same on every node but for local_node ---- */

/* everybody may read the metadata; only the extension's owner may write it */
GRANT USAGE ON SCHEMA shoal TO PUBLIC;

CREATE TABLE shoal.node (
	node_id int PRIMARY KEY CHECK (node_id > 0),
	server_name name NOT NULL UNIQUE,
	holds_shards bool NOT NULL DEFAULT true,
	system_identifier bigint NOT NULL,
	state text NOT NULL DEFAULT 'active',
	times_down int NOT NULL DEFAULT 0
);
COMMENT ON TABLE shoal.node IS
'nodes of the cluster, each a foreign server';

CREATE TABLE shoal.local_node (
	node_id int PRIMARY KEY
);
COMMENT ON TABLE shoal.local_node IS
'which of the nodes this database is; the only metadata that differs between nodes';

CREATE TABLE shoal.colocation_group (
	group_id int PRIMARY KEY CHECK (group_id > 0),
	kind "char" NOT NULL CHECK (kind IN ('d', 'r', 's')),
	shard_count int NOT NULL CHECK (shard_count > 0),
	replicas int NOT NULL DEFAULT 0 CHECK (replicas >= 0),
	closed bool NOT NULL DEFAULT false
);
COMMENT ON TABLE shoal.colocation_group IS
'sets of tables whose rows of one shard are always on the same node';

CREATE TABLE shoal.distributed_table (
	table_name regclass PRIMARY KEY,
	kind "char" NOT NULL CHECK (kind IN ('d', 'r', 's')),
	group_id int NOT NULL
);
COMMENT ON TABLE shoal.distributed_table IS
'tables known to Shoal: distributed (d), reference (r), single-shard (s)';

CREATE TABLE shoal.placement (
	group_id int NOT NULL,
	shard int NOT NULL CHECK (shard >= 0),
	node_id int NOT NULL,
	role text NOT NULL DEFAULT 'primary' CHECK (role IN ('primary', 'replica')),
	state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'copying', 'stale', 'dropping')),
	replaces int,
	PRIMARY KEY (group_id, shard, node_id)
);
COMMENT ON TABLE shoal.placement IS
'which node has a copy of which shard';

/* no index, and free room in its pages: see xact_rows.c */
CREATE TABLE shoal.commit_record (
	gid text NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE shoal.commit_record IS
'distributed transactions that were committed and whose nodes may not all know it yet';

/* likewise */
CREATE TABLE shoal.last_commit (
	gid text NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE shoal.last_commit IS
'of each session of other nodes'' coordinators, the last distributed transaction that was committed here';

/* nobody but superusers sees it: who has it can pass for a coordinator */
CREATE TABLE shoal.secret (
	secret text NOT NULL
);
COMMENT ON TABLE shoal.secret IS
'what nodes prove to each other with that they are of one cluster';
REVOKE ALL ON shoal.secret FROM PUBLIC;
INSERT INTO shoal.secret
	SELECT pg_catalog.gen_random_uuid()::text || pg_catalog.gen_random_uuid()::text;

GRANT SELECT ON shoal.node, shoal.local_node, shoal.colocation_group,
	shoal.distributed_table, shoal.placement, shoal.commit_record, shoal.last_commit TO PUBLIC;

/* manual changes have to reach the caches of all backends */
CREATE FUNCTION shoal.meta_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_meta_changed';
COMMENT ON FUNCTION shoal.meta_changed() IS
'trigger function: makes all sessions read the metadata again';
REVOKE ALL ON FUNCTION shoal.meta_changed() FROM PUBLIC;

CREATE TRIGGER meta_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON shoal.node FOR EACH STATEMENT EXECUTE FUNCTION shoal.meta_changed();
CREATE TRIGGER meta_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON shoal.local_node FOR EACH STATEMENT EXECUTE FUNCTION shoal.meta_changed();
CREATE TRIGGER meta_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON shoal.colocation_group FOR EACH STATEMENT EXECUTE FUNCTION shoal.meta_changed();
CREATE TRIGGER meta_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON shoal.distributed_table FOR EACH STATEMENT EXECUTE FUNCTION shoal.meta_changed();
CREATE TRIGGER meta_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON shoal.placement FOR EACH STATEMENT EXECUTE FUNCTION shoal.meta_changed();
ALTER TABLE shoal.node ENABLE ALWAYS TRIGGER meta_changed;
ALTER TABLE shoal.local_node ENABLE ALWAYS TRIGGER meta_changed;
ALTER TABLE shoal.colocation_group ENABLE ALWAYS TRIGGER meta_changed;
ALTER TABLE shoal.distributed_table ENABLE ALWAYS TRIGGER meta_changed;
ALTER TABLE shoal.placement ENABLE ALWAYS TRIGGER meta_changed;

CREATE FUNCTION shoal.shard_of(table_name regclass, VARIADIC key "any") RETURNS int
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'shoal_shard_of';
COMMENT ON FUNCTION shoal.shard_of(regclass, "any") IS
'shard that holds the rows with a distribution key';

CREATE FUNCTION shoal.shard_of(table_name regclass) RETURNS int
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'shoal_shard_of';
COMMENT ON FUNCTION shoal.shard_of(regclass) IS
'shard that holds the rows of a reference or single-shard table: 0';

-- not immutable, strictly; but what it looks up does not change under a query
CREATE FUNCTION shoal.table_of(relation oid) RETURNS regclass
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'shoal_table_of';
COMMENT ON FUNCTION shoal.table_of(oid) IS
'internal: the table that a shard on this node belongs to; of another relation, that one';

-- likewise
CREATE FUNCTION shoal.ctid_of(relation oid, ctid tid) RETURNS tid
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'shoal_ctid_of';
COMMENT ON FUNCTION shoal.ctid_of(oid, tid) IS
'internal: what users see as the ctid of a shard''s row, which no other row of the table has';

CREATE FUNCTION shoal.ctid_in_shard(ctid tid, shard_count int) RETURNS tid
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'shoal_ctid_in_shard';
COMMENT ON FUNCTION shoal.ctid_in_shard(tid, int) IS
'internal: the ctid in its shard of a row whose ctid is that for users';

CREATE FUNCTION shoal.ctid_in_shard(ctids tid[], shard_count int) RETURNS tid[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'shoal_ctids_in_shard';
COMMENT ON FUNCTION shoal.ctid_in_shard(tid[], int) IS
'internal: the same of several';

/* ---- nodes are foreign servers ---- */

CREATE FUNCTION shoal.fdw_validator(options text[], catalog oid) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_fdw_validator';
COMMENT ON FUNCTION shoal.fdw_validator(text[], oid) IS
'checks the options of foreign servers and user mappings that stand for nodes';

CREATE FOREIGN DATA WRAPPER shoal NO HANDLER VALIDATOR shoal.fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER shoal IS
'nodes of a Shoal cluster are foreign servers of this wrapper';

/*
 * A new extension is a cluster of one node.  Its server is a member of the
 * extension; those of further nodes are not.
 */
DO $$
BEGIN
	EXECUTE format('CREATE SERVER shoal_node_1 FOREIGN DATA WRAPPER shoal '
				   'OPTIONS (host %L, port %L, dbname %L)',
				   'localhost', pg_catalog.current_setting('port'),
				   pg_catalog.current_database());
	INSERT INTO shoal.node (node_id, server_name, system_identifier)
		SELECT 1, 'shoal_node_1', system_identifier
		FROM pg_catalog.pg_control_system();
	INSERT INTO shoal.local_node VALUES (1);
END $$;
