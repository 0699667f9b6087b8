/* ---- replicas ---- */

CREATE FUNCTION shoal.mirror_change() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_mirror_change';
COMMENT ON FUNCTION shoal.mirror_change() IS
'trigger function: repeats a change of a shard''s primary on its replicas';
REVOKE ALL ON FUNCTION shoal.mirror_change() FROM PUBLIC;

CREATE FUNCTION shoal.is_mirror_wanted() RETURNS bool
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'shoal_is_mirror_wanted';
COMMENT ON FUNCTION shoal.is_mirror_wanted() IS
'internal: condition of the triggers that call shoal.mirror_change()';

CREATE FUNCTION shoal.internal_mirror(changes bytea) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_mirror';
COMMENT ON FUNCTION shoal.internal_mirror(bytea) IS
'internal: makes a primary''s changes in the replicas of this node';

CREATE FUNCTION shoal.internal_fill(table_name regclass, shard int, node_id int, block bigint, blocks bigint, file oid) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_fill';
COMMENT ON FUNCTION shoal.internal_fill(regclass, int, int, bigint, bigint, oid) IS
'internal: sends rows of a shard to a copy that is being made';

CREATE FUNCTION shoal.internal_repair_key(table_name regclass, shard int) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_repair_key';
COMMENT ON FUNCTION shoal.internal_repair_key(regclass, int) IS
'internal: what a copy of a shard is compared by, to repair it';

CREATE FUNCTION shoal.internal_repair_rows(table_name regclass, shard int, node_id int,
	key_columns text[], entries bytea, wait bool) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_repair_rows';
COMMENT ON FUNCTION shoal.internal_repair_rows(regclass, int, int, text[], bytea, bool) IS
'internal: sends rows of a shard that differ to a copy that is being repaired';

CREATE FUNCTION shoal.internal_make_copy(group_id int, shard int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_make_copy';
COMMENT ON FUNCTION shoal.internal_make_copy(int, int) IS
'internal: makes empty tables for a copy of a shard on this node';

CREATE FUNCTION shoal.internal_drop_copy(group_id int, shard int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_drop_copy';
COMMENT ON FUNCTION shoal.internal_drop_copy(int, int) IS
'internal: drops this node''s copy of a shard';

CREATE FUNCTION shoal.internal_lock_shard(group_id int, shard int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_lock_shard';
COMMENT ON FUNCTION shoal.internal_lock_shard(int, int) IS
'internal: locks this node''s copy of a shard against writers, and those who lock rows';

CREATE FUNCTION shoal.internal_hold_shards(group_id int, shards int[], writes bool) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_hold_shards';
COMMENT ON FUNCTION shoal.internal_hold_shards(int, int[], bool) IS
'internal: whether this node has the primaries of these shards, which stay here then; until the end of the transaction, if they are to be written';

CREATE FUNCTION shoal.internal_mirror_group(group_id int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_mirror_group';
COMMENT ON FUNCTION shoal.internal_mirror_group(int) IS
'internal: makes this node''s copies of shards repeat their writes';

CREATE FUNCTION shoal.internal_empty_copy(group_id int, shard int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_empty_copy';
COMMENT ON FUNCTION shoal.internal_empty_copy(int, int) IS
'internal: empties this node''s copy of a shard';

CREATE FUNCTION shoal.internal_empty_table(table_name regclass, shard int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_empty_table';
COMMENT ON FUNCTION shoal.internal_empty_table(regclass, int) IS
'internal: empties this node''s copy of a shard of one table';

CREATE FUNCTION shoal.internal_shard_size(group_id int, shard int) RETURNS text
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_shard_size';
COMMENT ON FUNCTION shoal.internal_shard_size(int, int) IS
'internal: bytes of this node''s copy of a shard, without indexes, and about how many rows';

CREATE FUNCTION shoal.internal_hold_copy(group_id int, shard int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_hold_copy';
COMMENT ON FUNCTION shoal.internal_hold_copy(int, int) IS
'internal: says that this session works on this node''s copy of a shard';

CREATE FUNCTION shoal.internal_release_copy(group_id int, shard int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_release_copy';
COMMENT ON FUNCTION shoal.internal_release_copy(int, int) IS
'internal: ends what internal_hold_copy() began';

CREATE FUNCTION shoal.internal_is_copy_held(group_id int, shard int) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_is_copy_held';
COMMENT ON FUNCTION shoal.internal_is_copy_held(int, int) IS
'internal: whether a session works on this node''s copy of a shard';

CREATE FUNCTION shoal.add_replica(group_id int, shard int, node_id int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_add_replica'
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION shoal.add_replica(int, int, int) IS
'makes a replica of a shard on a node, while reads and writes go on';
REVOKE ALL ON FUNCTION shoal.add_replica(int, int, int) FROM PUBLIC;

CREATE FUNCTION shoal.promote(group_id int, shard int, node_id int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_promote'
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION shoal.promote(int, int, int) IS
'makes a node''s replica of a shard the primary, and the primary a replica';
REVOKE ALL ON FUNCTION shoal.promote(int, int, int) FROM PUBLIC;

CREATE FUNCTION shoal.drop_placement(group_id int, shard int, node_id int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_drop_placement'
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION shoal.drop_placement(int, int, int) IS
'drops a node''s replica of a shard';
REVOKE ALL ON FUNCTION shoal.drop_placement(int, int, int) FROM PUBLIC;

CREATE FUNCTION shoal.move_shard(group_id int, shard int, from_node int, to_node int) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_move_shard'
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION shoal.move_shard(int, int, int, int) IS
'moves a copy of a shard from one node to another, while reads and writes go on';
REVOKE ALL ON FUNCTION shoal.move_shard(int, int, int, int) FROM PUBLIC;

CREATE FUNCTION shoal.set_replicas(group_id int, replicas int) RETURNS int
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_set_replicas'
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION shoal.set_replicas(int, int) IS
'gives each shard of a colocation group as many replicas; returns how many were made or dropped';
REVOKE ALL ON FUNCTION shoal.set_replicas(int, int) FROM PUBLIC;

CREATE FUNCTION shoal.set_replicas(table_name regclass, replicas int) RETURNS int
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_set_replicas_of_table'
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION shoal.set_replicas(regclass, int) IS
'gives each shard of a table, and of those colocated with it, as many replicas; returns how many were made or dropped';
REVOKE ALL ON FUNCTION shoal.set_replicas(regclass, int) FROM PUBLIC;

CREATE FUNCTION shoal.repair_placements() RETURNS int
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_repair_placements'
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION shoal.repair_placements() IS
'makes stale replicas equal to their primaries again, while reads and writes go on; returns how many there were';
REVOKE ALL ON FUNCTION shoal.repair_placements() FROM PUBLIC;

CREATE FUNCTION shoal.node_jobs()
RETURNS TABLE (job text, group_id int, shard int, from_node int, to_node int, step text,
	bytes_done bigint, bytes_total bigint, rows_done bigint, rows_total bigint, bytes_per_second float8,
	estimated_end timestamptz)
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'shoal_node_jobs';
COMMENT ON FUNCTION shoal.node_jobs() IS
'jobs that this node does, with the progress of the copy being made';

CREATE VIEW shoal.jobs AS SELECT * FROM shoal.node_jobs();
COMMENT ON VIEW shoal.jobs IS
'jobs that make, move or repair copies of shards and run on this node, with their progress; of rows there is an estimate how many they are';
GRANT SELECT ON shoal.jobs TO PUBLIC;

/* what an untyped literal is taken for */
CREATE FUNCTION shoal.set_replicas(table_name text, replicas int) RETURNS int
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_set_replicas_by_name';
COMMENT ON FUNCTION shoal.set_replicas(text, int) IS
'gives each shard of a table, and of those colocated with it, as many replicas; returns how many were made or dropped';
REVOKE ALL ON FUNCTION shoal.set_replicas(text, int) FROM PUBLIC;

/* what nodes that were given up have to be told when they come back */
CREATE TABLE shoal.missed_statement (
	node_id int NOT NULL,
	seq bigint NOT NULL,
	role_name name NOT NULL,
	search_path text NOT NULL,
	statement text NOT NULL,
	PRIMARY KEY (node_id, seq)
);
COMMENT ON TABLE shoal.missed_statement IS
'statements about the schema that nodes have missed while they were given up; of each coordinator, those of its latest transaction';

CREATE FUNCTION shoal.internal_ping(node_id int, times_down int) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_ping';
COMMENT ON FUNCTION shoal.internal_ping(int, int) IS
'internal: answers a node that asks whether it takes part in the cluster';

CREATE FUNCTION shoal.internal_vote_down(node_ids int[], vote text, sealed int[]) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_vote_down';
COMMENT ON FUNCTION shoal.internal_vote_down(int[], text, int[]) IS
'internal: whether this node, too, has not heard of nodes that are to be given up; ends their sessions';

CREATE FUNCTION shoal.internal_take_cluster_lock(patience int) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_take_cluster_lock';
COMMENT ON FUNCTION shoal.internal_take_cluster_lock(int) IS
'internal: serialises schema changes; ends transactions that keep the lock longer than so many milliseconds; false if one in doubt keeps it';

CREATE FUNCTION shoal.internal_saw_commit(gid text) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_saw_commit';
COMMENT ON FUNCTION shoal.internal_saw_commit(text) IS
'internal: whether a part of another node''s transaction has been committed on this node';

CREATE FUNCTION shoal.internal_outcome(gid text) RETURNS bool
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_outcome';
COMMENT ON FUNCTION shoal.internal_outcome(text) IS
'internal: whether a transaction of this coordinator has been committed; null if that is not decided';

CREATE FUNCTION shoal.internal_note_missed(node_id int, seq bigint, role_name name, search_path text, statement text, first bool) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_note_missed';
COMMENT ON FUNCTION shoal.internal_note_missed(int, bigint, name, text, text, bool) IS
'internal: notes a statement for a node that was given up, or may be; in place of all before if it is the first';
