/* ---- replicas ---- */

CREATE FUNCTION shoal.mirror_change() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_mirror_change';
COMMENT ON FUNCTION shoal.mirror_change() IS
'trigger function: repeats a change of a shard''s primary on its replicas';
REVOKE ALL ON FUNCTION shoal.mirror_change() FROM PUBLIC;

CREATE FUNCTION shoal.internal_mirror(changes bytea) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_internal_mirror';
COMMENT ON FUNCTION shoal.internal_mirror(bytea) IS
'internal: makes a primary''s changes in the replicas of this node';
