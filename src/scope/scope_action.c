/*
 * scope_action.c
 *		Actions of foreign keys that change the distribution column.
 *
 * ON UPDATE CASCADE and the like run on the node of the row, within the
 * statement that they are a consequence of.  A row whose key they change belongs
 * to another shard; if that one is not on the node core finds no partition for
 * it, and its error would tell the user nothing.
 */
#include "postgres.h"

#include "executor/execdesc.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "meta/meta.h"
#include "scope/scope.h"

/* The distributed table that the statement changes, or InvalidOid. */
static Oid
target_of(const PlannedStmt *stmt)
{
	RangeTblEntry *rte;
	const ShoalTable *table;

	if (stmt->commandType != CMD_UPDATE || stmt->resultRelations == NIL)
		return InvalidOid;
	for (int rti = 1; rti <= list_length(stmt->rtable); rti++)
	{
		rte = rt_fetch(rti, stmt->rtable);
		if (rte->rtekind != RTE_RELATION)
			continue;
		table = shoal_meta_table(rte->relid);
		if (table && table->kind == SHOAL_KIND_DISTRIBUTED)
			return rte->relid;
	}
	return InvalidOid;
}

void
shoal_scope_explain_action(const QueryDesc *desc, MemoryContext context)
{
	ErrorData  *error;
	Oid			relid;

	if (geterrcode() != ERRCODE_CHECK_VIOLATION ||
		!shoal_scope_is_foreign_key_check(desc->sourceText) ||
		!OidIsValid(relid = target_of(desc->plannedstmt)))
		return;
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	/* a constraint's or a domain's has a name */
	if (error->constraint_name || error->datatype_name || error->table_name == NULL)
	{
		FreeErrorData(error);
		return;
	}
	FlushErrorState();
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a foreign key's action cannot change the distribution column of table \"%s\"",
					get_rel_name(relid)),
			 errdetail("The row would belong to a shard on another node."),
			 errhint("Change or delete the rows that refer to the key first.")));
}
