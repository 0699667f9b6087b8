/* ---- making tables distributed ---- */

/* whoever owns a table may distribute it */
CREATE FUNCTION shoal.create_distributed_table(
	table_name regclass,
	distribution_column text,
	colocate_with text DEFAULT 'default',
	shard_count int DEFAULT NULL,
	replicas int DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_create_distributed_table';
COMMENT ON FUNCTION shoal.create_distributed_table(regclass, text, text, int, int) IS
'spreads a table over the nodes by a hash of the distribution column(s); without one the whole table lies on one node';

CREATE FUNCTION shoal.create_reference_table(table_name regclass)
RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_create_reference_table';
COMMENT ON FUNCTION shoal.create_reference_table(regclass) IS
'gives every node a full copy of a table';

CREATE FUNCTION shoal.undistribute_table(table_name regclass)
RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_undistribute_table';
COMMENT ON FUNCTION shoal.undistribute_table(regclass) IS
'makes a table a local one again, with all of its rows on this node';

/*
 * What a coordinator calls on the other nodes, as the owner of the table: so
 * these cannot be revoked from anybody, they check who calls.
 */
CREATE FUNCTION shoal.internal_distribute(
	table_name regclass,
	kind "char",
	key_columns text[],
	group_id int,
	new_group bool,
	shard_count int,
	replicas int,
	closed bool,
	nodes int[],
	quiet bool)
RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_distribute';
COMMENT ON FUNCTION shoal.internal_distribute(regclass, "char", text[], int, bool, int, int, bool, int[], bool) IS
'internal: the part of create_distributed_table() that is done on each node';

CREATE FUNCTION shoal.internal_distributed(table_name regclass, row_security regclass[])
RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_distributed';
COMMENT ON FUNCTION shoal.internal_distributed(regclass, regclass[]) IS
'internal: the end of create_distributed_table() on each node, after the rows';

CREATE FUNCTION shoal.internal_undistribute(table_name regclass)
RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_undistribute';
COMMENT ON FUNCTION shoal.internal_undistribute(regclass) IS
'internal: the part of undistribute_table() that is done on each node';

CREATE FUNCTION shoal.internal_statistics(table_name regclass, columns text[], row_count float8, pages float8, sample text[])
RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_statistics';
COMMENT ON FUNCTION shoal.internal_statistics(regclass, text[], float8, float8, text[]) IS
'internal: makes statistics of a distributed table from a sample of all of its rows';
