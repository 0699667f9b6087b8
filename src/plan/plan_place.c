/*
 * plan_place.c
 *		What tells a row of a distributed table from all others.
 *
 * A ctid alone does not, as rows of several shards have the same.  With the
 * distribution key it does.  The text of both can be compared anywhere.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "plan/plan_expr.h"
#include "plan/plan_place.h"
#include "plan/plan_tableoid.h"
#include "plan/plan_text.h"

Expr *
shoal_place_text(List *args)
{
	RowExpr    *row = makeNode(RowExpr);

	row->args = args;
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_EXPLICIT_CALL;
	for (int i = 0; i < list_length(args); i++)
		row->colnames = lappend(row->colnames,
								makeString(psprintf("f%d", i + 1)));
	row->location = -1;
	return shoal_expr_text_of((Expr *) row);
}

Expr *
shoal_place_make(const ShoalTable *table, Relation rel, Index varno)
{
	Oid			relid = table->relid;
	List	   *args = NIL;

	if (table->kind == SHOAL_KIND_REFERENCE)
		return shoal_expr_text_of((Expr *)
								  makeVar(varno, 0, get_rel_type_id(relid), -1,
										  InvalidOid, 0));
	for (int i = 0; i < table->nkeys; i++)
		args = lappend(args, shoal_expr_column(relid, varno, table->keyattr[i]));
	args = lappend(args, shoal_expr_column(relid, varno,
										   SelfItemPointerAttributeNumber));
	/* in one shard of a table that is partitioned itself, ctids are not unique */
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		!shoal_text_is_hashed(relid))
		args = lappend(args,
					   shoal_tableoid_column(shoal_expr_column(relid, varno,
															   TableOidAttributeNumber)));
	return shoal_place_text(args);
}
