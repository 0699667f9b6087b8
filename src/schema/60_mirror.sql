/* ---- copies of shards: are they equal? ---- */

/* whoever may read all of a table may have its copies compared */
CREATE FUNCTION shoal.verify_table(table_name regclass, max_rows int DEFAULT 100)
RETURNS TABLE (shard int, node_id int, problem text, key text)
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_verify_table';
COMMENT ON FUNCTION shoal.verify_table(regclass, int) IS
'compares all copies of a table, as of one moment: rows that differ from the primary''s or lie in a wrong shard, no rows if all is well; copies that are being made or are stale are not looked at';

/*
 * What a coordinator calls on the nodes, as the user: so these cannot be
 * revoked from anybody, they check who calls, and what he may read.
 */
CREATE FUNCTION shoal.internal_written_rows(table_name regclass) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_written_rows';
COMMENT ON FUNCTION shoal.internal_written_rows(regclass) IS
'internal: what the rows add up to that this transaction has written to a reference table on this node';

CREATE FUNCTION shoal.internal_verify_sums(table_name regclass, key_columns text[],
	shards int[], max_wrong int)
RETURNS TABLE (leaf text, shard int, wrong_key text, row_count bigint, sum_1 bigint, sum_2 bigint)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_verify_sums';
COMMENT ON FUNCTION shoal.internal_verify_sums(regclass, text[], int[], int) IS
'internal: what the rows of each partition of some shards add up to, and keys of rows in a wrong shard';

CREATE FUNCTION shoal.internal_verify_buckets(table_name regclass, key_columns text[],
	leaf text, shard int, buckets int)
RETURNS TABLE (bucket int, row_count bigint, sum_1 bigint, sum_2 bigint)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_verify_buckets';
COMMENT ON FUNCTION shoal.internal_verify_buckets(regclass, text[], text, int, int) IS
'internal: what the rows of a partition add up to, by hash of their keys';

CREATE FUNCTION shoal.internal_verify_rows(table_name regclass, key_columns text[],
	leaf text, shard int, buckets int, wanted int[])
RETURNS TABLE (key_hash bigint, key text, hash_1 bigint, hash_2 bigint)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_verify_rows';
COMMENT ON FUNCTION shoal.internal_verify_rows(regclass, text[], text, int, int, int[]) IS
'internal: keys and hashes of the rows in some of those';

CREATE FUNCTION shoal.internal_verify_keys(table_name regclass, key_columns text[],
	leaf text, shard int, buckets int, wanted int[])
RETURNS TABLE (key_hash bigint, key text, hash_1 bigint, hash_2 bigint, made_by bigint)
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_verify_keys';
COMMENT ON FUNCTION shoal.internal_verify_keys(regclass, text[], text, int, int, int[]) IS
'internal: the same, with keys as they travel and the transactions that made the rows';
