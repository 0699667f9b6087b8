/*
 * exec_current.c
 *		WHERE CURRENT OF a cursor on a Shoal table: which row that is.
 *
 * Where a row of a cursor lies is told by a text "node partition block,line",
 * made on the row's node by shoal.row_place() as the row is read, and kept in a
 * hidden column of the cursor's plan (plan_current.c).  On the coordinator
 * shoal.cursor_row() takes it, and the row's key, from the cursor.  On the node
 * shoal.is_row() tells whether a row that is about to be written is that one or
 * a later version of it, as core does: one that the statement's snapshot sees, or
 * that others have made of it since, for which the row is looked at again once
 * it is locked.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"

PG_FUNCTION_INFO_V1(shoal_row_place);
PG_FUNCTION_INFO_V1(shoal_is_row);
PG_FUNCTION_INFO_V1(shoal_cursor_row);

/* ---- on the node ---- */

/* shoal.row_place(tableoid, ctid) */
Datum
shoal_row_place(PG_FUNCTION_ARGS)
{
	ItemPointer tid = (ItemPointer) PG_GETARG_POINTER(1);

	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d %u %u,%u",
											  shoal_meta_local_node_id(),
											  PG_GETARG_OID(0),
											  ItemPointerGetBlockNumberNoCheck(tid),
											  ItemPointerGetOffsetNumberNoCheck(tid))));
}

/* The version of a row that a snapshot sees, found from an older one. */
static ItemPointerData
latest_version(Relation rel, Snapshot snapshot, const ItemPointerData *from)
{
	TableScanDesc scan = table_beginscan_tid(rel, snapshot);
	ItemPointerData tid = *from;

	table_tuple_get_latest_tid(scan, &tid);
	table_endscan(scan);
	return tid;
}

/* shoal.is_row(tableoid, ctid, place) */
Datum
shoal_is_row(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	ItemPointer tid = (ItemPointer) PG_GETARG_POINTER(1);
	char	   *place = text_to_cstring(PG_GETARG_TEXT_PP(2));
	int			node_id;
	Oid			partition;
	BlockNumber block;
	unsigned int line;
	ItemPointerData from;
	ItemPointerData version;
	Relation	rel;
	bool		found;

	if (sscanf(place, "%d %u %u,%u", &node_id, &partition, &block, &line) != 4)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid place of a row: \"%s\"", place)));
	if (node_id != shoal_meta_local_node_id() || partition != relid)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the row that the cursor is positioned on has been moved to another node"),
				 errhint("Run the transaction again.")));
	ItemPointerSet(&from, block, (OffsetNumber) line);
	if (ItemPointerEquals(tid, &from))
		PG_RETURN_BOOL(true);

	rel = table_open(relid, AccessShareLock);
	if (!RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" has no rows of its own",
						RelationGetRelationName(rel))));
	version = latest_version(rel, GetActiveSnapshot(), &from);
	found = ItemPointerEquals(tid, &version);
	if (!found)
	{
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

		version = latest_version(rel, snapshot, &from);
		found = ItemPointerEquals(tid, &version);
		UnregisterSnapshot(snapshot);
	}
	table_close(rel, NoLock);
	PG_RETURN_BOOL(found);
}

/* ---- on the coordinator ---- */

static void
refuse(const char *format, const char *cursor)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_CURSOR_STATE),
			 errmsg(format, cursor)));
}

/* The portal's query, which is positioned on a row. */
static QueryDesc *
query_of_cursor(const char *cursor)
{
	Portal		portal = GetPortalByName(cursor);

	if (!PortalIsValid(portal))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_CURSOR),
				 errmsg("cursor \"%s\" does not exist", cursor)));
	if (portal->strategy != PORTAL_ONE_SELECT)
		refuse("cursor \"%s\" is not a SELECT query", cursor);
	if (portal->queryDesc == NULL || portal->queryDesc->estate == NULL)
		refuse("cursor \"%s\" is held from a previous transaction", cursor);
	if (portal->atStart || portal->atEnd)
		refuse("cursor \"%s\" is not positioned on a row", cursor);
	return portal->queryDesc;
}

/* Position of a hidden column among those of the plan; 0: there is none. */
static int
hidden_column(Plan *plan, Oid relid, int number)
{
	char	   *name = psprintf(SHOAL_CURRENT_NAME "%d", number);
	ListCell   *lc;

	foreach(lc, plan->targetlist)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (tle->resjunk && tle->resorigtbl == relid && tle->resname &&
			strcmp(tle->resname, name) == 0)
			return foreach_current_index(lc) + 1;
	}
	return 0;
}

/* shoal.cursor_row(cursor, table, column, type): column 0: the row's place */
Datum
shoal_cursor_row(PG_FUNCTION_ARGS)
{
	char	   *cursor = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			relid = PG_GETARG_OID(1);
	QueryDesc  *desc = query_of_cursor(cursor);
	PlanState  *ps = desc->planstate;
	int			column = hidden_column(ps->plan, relid, PG_GETARG_INT32(2));
	TupleTableSlot *slot = ps->ps_ResultTupleSlot;
	Form_pg_attribute att;
	Datum		value;
	bool		isnull;

	if (column == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_STATE),
				 errmsg("cursor \"%s\" is not a simply updatable scan of table \"%s\"",
						cursor, get_rel_name(relid)),
				 errhint("Of several nodes, the cursor's query can read nothing but the table, and have an order over several shards only if it is FOR UPDATE.")));
	if (IsA(ps, CustomScanState) && ps->ps_ProjInfo == NULL)
		slot = ((ScanState *) ps)->ss_ScanTupleSlot;
	if (TupIsNull(slot))
		refuse("cursor \"%s\" is not positioned on a row", cursor);
	att = TupleDescAttr(slot->tts_tupleDescriptor, column - 1);
	if (att->atttypid != get_fn_expr_rettype(fcinfo->flinfo))
		elog(ERROR, "unexpected type of a cursor's hidden column");
	value = slot_getattr(slot, column, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("WHERE CURRENT OF is not supported for a row whose distribution column is null"),
				 errhint("Name the row by other columns.")));
	PG_RETURN_DATUM(datumCopy(value, att->attbyval, att->attlen));
}

bool
shoal_current_is_shown(const PlannedStmt *stmt)
{
	TargetEntry *last = stmt->planTree->targetlist ?
		llast(stmt->planTree->targetlist) : NULL;

	return last && last->resjunk && last->resname &&
		strncmp(last->resname, SHOAL_CURRENT_NAME,
				strlen(SHOAL_CURRENT_NAME)) == 0;
}
