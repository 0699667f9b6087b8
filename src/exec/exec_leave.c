/*
 * exec_leave.c
 *		Rows that have left for another shard.
 *
 * An UPDATE of the distribution column deletes a row and inserts it elsewhere.
 * Whoever waits for the row, to change or lock it, would take it for deleted and
 * do nothing, and his change would be lost.  Core has the same when a row moves
 * to another partition, and leaves a mark in the old version, by which others are
 * told (40001) that the row has moved.  A plain DELETE does not leave it, so it
 * is set here, by a function that the DELETE calls for each row in RETURNING:
 * the version is this transaction's by then, and nobody else touches it.
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "base/base_compat.h"

PG_FUNCTION_INFO_V1(shoal_has_left);

/* Whether this transaction has deleted the row, and nothing more. */
static bool
is_deleted_here(HeapTupleHeader tuple, ItemPointer tid)
{
	return !(tuple->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_COMMITTED)) &&
		!HEAP_XMAX_IS_LOCKED_ONLY(tuple->t_infomask) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(tuple)) &&
		ItemPointerEquals(&tuple->t_ctid, tid);
}

static void
set_mark(Relation rel, ItemPointer tid)
{
	Buffer		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(tid));
	GenericXLogState *state;
	Page		page;
	ItemId		item;
	HeapTupleHeader tuple = NULL;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	state = GenericXLogStart(rel);
	page = GenericXLogRegisterBuffer(state, buffer, 0);
	if (ItemPointerGetOffsetNumber(tid) <= PageGetMaxOffsetNumber(page))
	{
		item = PageGetItemId(page, ItemPointerGetOffsetNumber(tid));
		if (ItemIdIsNormal(item))
			tuple = (HeapTupleHeader) PageGetItem(page, item);
	}
	if (tuple && is_deleted_here(tuple, tid))
	{
		HeapTupleHeaderSetMovedPartitions(tuple);
		GenericXLogFinish(state);
	}
	else
		GenericXLogAbort(state);
	UnlockReleaseBuffer(buffer);
}

/* shoal.has_left(tableoid, ctid): always true */
Datum
shoal_has_left(PG_FUNCTION_ARGS)
{
	Relation	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	ItemPointer tid = (ItemPointer) PG_GETARG_POINTER(1);

	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_tableam == GetHeapamTableAmRoutine() &&
		ItemPointerIsValid(tid) &&
		ItemPointerGetBlockNumber(tid) < RelationGetNumberOfBlocks(rel))
		set_mark(rel, tid);
	table_close(rel, NoLock);
	PG_RETURN_BOOL(true);
}
