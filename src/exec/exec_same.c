/*
 * exec_same.c
 *		Have row triggers of a reference table done the same on all nodes?
 *
 * A reference table is written by the statement, or with the rows, on every node.  So
 * where its row triggers are not fired by the coordinator (plan_fire.c), they fire on
 * every node.  One that fires BEFORE may change the row, or keep it from being written
 * or deleted, and depend on something
 * that is not the same everywhere: the time, chance, a sequence, the order of rows.
 * Then the copies would differ.  So before a transaction that has written such a table
 * is prepared, all nodes add up hashes of the rows that they have written in it, and
 * of those that they have deleted or replaced, and if the sums differ it fails.
 *
 * That reads the table once, on each node, for a transaction that writes to it.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "exec/exec.h"
#include "exec/exec_internal.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "xact/xact.h"

PG_FUNCTION_INFO_V1(shoal_internal_written_rows);

/* tables that this transaction has written, an OID list in TopTransactionContext */
static List *written = NIL;

void
shoal_same_note(Oid relid, CmdType command)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TriggerDesc *triggers = rel->trigdesc;
	MemoryContext old;

	if (triggers &&
		((triggers->trig_delete_before_row &&
		  (command == CMD_DELETE || command == CMD_MERGE)) ||
		 (command != CMD_DELETE && (triggers->trig_insert_before_row ||
									triggers->trig_update_before_row))))
	{
		old = MemoryContextSwitchTo(TopTransactionContext);
		written = list_append_unique_oid(written, relid);
		MemoryContextSwitchTo(old);
	}
	table_close(rel, NoLock);
}

/* Whether this session's transaction has deleted the row, or this version of it. */
static bool
is_deleted(HeapTupleHeader tuple)
{
	return !(tuple->t_infomask & HEAP_XMAX_INVALID) &&
		!HEAP_XMAX_IS_LOCKED_ONLY(tuple->t_infomask) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(tuple));
}

/*
 * The sum for what this session's transaction has done: rows that were there and are
 * not any more, and such that are there and were not.
 */
static uint64
add_up(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, SnapshotAny, 0, NULL);
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "Shoal written row",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	uint64		sum = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		should_free;
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
		bool		deleted = is_deleted(tuple->t_data);
		char	   *text;

		CHECK_FOR_INTERRUPTS();
		/* neither, or both */
		if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)) == deleted)
			continue;
		text = OidOutputFunctionCall(F_RECORD_OUT,
									 ExecFetchSlotHeapTupleDatum(slot));
		sum += hash_bytes_extended((unsigned char *) text, strlen(text), deleted);
		MemoryContextReset(cxt);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return sum;
}

/* shoal.internal_written_rows(table) */
Datum
shoal_internal_written_rows(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	PG_RETURN_INT64((int64) add_up(PG_GETARG_OID(0)));
}

/* The same on another node, in all sessions that the transaction has there. */
static uint64
ask(int node_id, const char *sql)
{
	uint64		sum = 0;
	ListCell   *lc;

	foreach(lc, shoal_remote_all())
	{
		ShoalConn  *conn = lfirst(lc);
		PGresult   *res;

		if (conn->node_id != node_id || conn->xact_level == 0)
			continue;
		res = shoal_remote_query(conn, sql, NULL);
		if (PQntuples(res) == 1)
			sum += (uint64) strtoll(PQgetvalue(res, 0, 0), NULL, 10);
		PQclear(res);
	}
	return sum;
}

static void
check_table(Oid relid)
{
	const ShoalTable *table = shoal_meta_table(relid);
	char	   *name;
	char	   *sql;
	uint64		sum;
	ListCell   *lc;

	/* gone, or not a reference table any more */
	if (table == NULL || table->kind != SHOAL_KIND_REFERENCE)
		return;
	name = shoal_objects_relation_name(relid);
	sql = psprintf("%swritten_rows(%s::pg_catalog.regclass)", XACT_INTERNAL_CALL,
				   quote_literal_cstr(name));
	sum = add_up(relid);
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (!node->is_local && ask(node->node_id, sql) != sum)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("rows of reference table \"%s\" would differ from node to node",
							get_rel_name(relid)),
					 errdetail("Its row triggers fire on each node, and have not given the same rows on node %d as on node %d.",
							   node->node_id, shoal_meta_local_node_id()),
					 errhint("Compute times, random values and the like in the statement or in column defaults.")));
	}
}

void
shoal_same_check(void)
{
	List	   *relids = written;
	ListCell   *lc;

	written = NIL;
	foreach(lc, relids)
		check_table(lfirst_oid(lc));
}

static void
on_xact(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		written = NIL;
}

void
shoal_same_init(void)
{
	RegisterXactCallback(on_xact, NULL);
}
