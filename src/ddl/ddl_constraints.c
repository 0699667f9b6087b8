/*
 * ddl_constraints.c
 *		SET CONSTRAINTS.
 *
 * It follows the transaction to its nodes.  Constraint triggers of partitions have
 * constraints of their own, of which core does not know that they come from the
 * table's.  On one server it finds them all the same, as they have one name and are
 * in one schema.  Those of shards are in other schemas; so they are named, too.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "ddl/ddl_utility.h"
#include "meta/meta.h"
#include "xact/xact.h"

/* Adds the constraints of that name that a table's partitions have elsewhere. */
static List *
add_partitions(List *names, Oid relid, const char *conname)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		Oid			schema = get_rel_namespace(lfirst_oid(lc));

		if (schema != get_rel_namespace(relid) &&
			OidIsValid(get_relation_constraint_oid(lfirst_oid(lc), conname, true)))
			names = lappend(names, makeRangeVar(get_namespace_name(schema),
												pstrdup(conname), -1));
	}
	return names;
}

/* The same for all constraint triggers of a schema; sets *found as core would. */
static List *
add_schema(List *names, Oid schema, const char *conname, bool *found)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_constraint_conname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(conname));
	ScanKeyInit(&keys[1], Anum_pg_constraint_connamespace, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(schema));
	scan = systable_beginscan(rel, ConstraintNameNspIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);

		*found |= con->condeferrable;
		if (con->contype == CONSTRAINT_TRIGGER && shoal_meta_table(con->conrelid))
			names = add_partitions(names, con->conrelid, conname);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return names;
}

static List *
names_in_shards(List *constraints)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, constraints)
	{
		RangeVar   *name = (RangeVar *) lfirst(lc);
		List	   *schemas = name->schemaname ?
			list_make1_oid(LookupExplicitNamespace(name->schemaname, false)) :
			fetch_search_path(true);
		bool		found = false;
		ListCell   *lcs;

		foreach(lcs, schemas)
		{
			if (!found)
				names = add_schema(names, lfirst_oid(lcs), name->relname, &found);
		}
	}
	return names;
}

void
shoal_ddl_run_set_constraints(ShoalUtility *call)
{
	ConstraintsSetStmt *stmt = (ConstraintsSetStmt *) call->stmt;
	StringInfoData sql;
	ListCell   *lc;

	shoal_ddl_core(call);
	if (stmt->constraints != NIL && shoal_meta_enabled())
	{
		ConstraintsSetStmt *more = makeNode(ConstraintsSetStmt);

		more->constraints = names_in_shards(stmt->constraints);
		more->deferred = stmt->deferred;
		/* without names it would be for all constraints */
		if (more->constraints != NIL)
			AfterTriggerSetState(more);
	}
	if (shoal_origin > 0)
		return;
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SET CONSTRAINTS");
	foreach(lc, stmt->constraints)
	{
		RangeVar   *name = (RangeVar *) lfirst(lc);

		appendStringInfo(&sql, "%s %s", foreach_current_index(lc) ? "," : "",
						 quote_qualified_identifier(name->schemaname,
													name->relname));
	}
	appendStringInfo(&sql, "%s %s", stmt->constraints ? "" : " ALL",
					 stmt->deferred ? "DEFERRED" : "IMMEDIATE");
	shoal_xact_set_constraints(sql.data);
}
