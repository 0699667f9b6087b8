/* ---- what fragments call on their nodes ---- */

CREATE FUNCTION shoal.check_option(condition bool, view_name text) RETURNS bool
LANGUAGE c AS 'MODULE_PATHNAME', 'shoal_check_option';
COMMENT ON FUNCTION shoal.check_option(bool, text) IS
'internal: raises the error of a view WITH CHECK OPTION';

-- not immutable, strictly; but it is called once for each row that a DELETE returns
CREATE FUNCTION shoal.has_left(relation oid, line tid) RETURNS bool
LANGUAGE c IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'shoal_has_left';
COMMENT ON FUNCTION shoal.has_left(oid, tid) IS
'internal: marks a row that this transaction has deleted as moved elsewhere';

CREATE FUNCTION shoal.row_place(table_oid oid, line tid) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'shoal_row_place';
COMMENT ON FUNCTION shoal.row_place(oid, tid) IS
'internal: where a row of a cursor is';

CREATE FUNCTION shoal.is_row(table_oid oid, line tid, place text) RETURNS bool
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'shoal_is_row';
COMMENT ON FUNCTION shoal.is_row(oid, tid, text) IS
'internal: whether a row is the one at that place, or a later version of it';

CREATE FUNCTION shoal.cursor_row(cursor text, table_name oid, key int, type anyelement) RETURNS anyelement
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'shoal_cursor_row';
COMMENT ON FUNCTION shoal.cursor_row(text, oid, int, anyelement) IS
'internal: key or place of the row that a cursor is positioned on';

CREATE FUNCTION shoal.is_here(table_name regclass, key "any", shards int[]) RETURNS bool
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'shoal_is_here';
COMMENT ON FUNCTION shoal.is_here(regclass, "any", int[]) IS
'internal: whether the shard of a key is one of these';

-- immutable as far as settings go, which is what it is for
CREATE FUNCTION shoal.text_of(value "any") RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'shoal_text_of';
COMMENT ON FUNCTION shoal.text_of("any") IS
'internal: a value as the coordinator reads it, whatever the settings';

CREATE FUNCTION shoal.scatter_row(state internal, spec text, VARIADIC "any") RETURNS internal
LANGUAGE c PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'shoal_scatter_row';
COMMENT ON FUNCTION shoal.scatter_row(internal, text, "any") IS
'internal: a row that is moved to other nodes';

CREATE FUNCTION shoal.scatter_new_row(state internal, spec text, VARIADIC "any") RETURNS internal
LANGUAGE c PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'shoal_scatter_new_row';
COMMENT ON FUNCTION shoal.scatter_new_row(internal, text, "any") IS
'internal: a row that is moved to other nodes unless the like of it has been';

CREATE FUNCTION shoal.scatter_end(state internal) RETURNS text
LANGUAGE c PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'shoal_scatter_end';
COMMENT ON FUNCTION shoal.scatter_end(internal) IS
'internal: waits until moved rows have arrived, returns the node that sent them, and their number';

CREATE AGGREGATE shoal.scatter(spec text, VARIADIC "any")
(SFUNC = shoal.scatter_row, STYPE = internal, FINALFUNC = shoal.scatter_end, PARALLEL = RESTRICTED);
COMMENT ON AGGREGATE shoal.scatter(text, "any") IS
'internal: moves rows to other nodes, returns the node that sent them, and their number';

CREATE AGGREGATE shoal.scatter_distinct(spec text, VARIADIC "any")
(SFUNC = shoal.scatter_new_row, STYPE = internal, FINALFUNC = shoal.scatter_end, PARALLEL = RESTRICTED);
COMMENT ON AGGREGATE shoal.scatter_distinct(text, "any") IS
'internal: like scatter, but leaves most rows out that are the same as another one';

CREATE FUNCTION shoal.store_rows(token text, sender int, first bool, rows bytea) RETURNS void
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'shoal_store_rows';
COMMENT ON FUNCTION shoal.store_rows(text, int, bool, bytea) IS
'internal: stores rows that another node sends for a query';

CREATE FUNCTION shoal.written_rows(part int) RETURNS SETOF record
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'shoal_written_rows';
COMMENT ON FUNCTION shoal.written_rows(int) IS
'internal: rows that a WITH query of the running statement has returned';

CREATE FUNCTION shoal.moved_rows(spec text) RETURNS SETOF record
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'shoal_moved_rows';
COMMENT ON FUNCTION shoal.moved_rows(text) IS
'internal: rows that were moved to this node';
