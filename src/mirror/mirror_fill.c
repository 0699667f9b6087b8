/*
 * mirror_fill.c
 *		The primary's side of making a copy: its rows, some blocks at a time.
 *
 * The new copy gets all writes already.  What it lacks are rows that have been
 * there before, and that nobody has changed since.  Such a row is locked against
 * being deleted or getting another key, and sent in the same transaction; so
 * a change of it comes either before, and then the copy has the row and keeps
 * it, or after.  A row that moves to a block which has been read was changed, and
 * so sent.
 *
 * Without a key the copy could not tell a row that it has from another that
 * looks the same.  Then the table is locked against writers, and the copy
 * emptied and filled in one transaction.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "mirror/mirror.h"
#include "mirror/mirror_private.h"
#include "scope/scope.h"
#include "xact/xact.h"

PG_FUNCTION_INFO_V1(shoal_internal_fill);

/* bytes that are sent at once */
#define FILL_SIZE (256 * 1024)

typedef struct Filling
{
	Relation	rel;
	MirrorRel  *target;
	int			node_id;
	StringInfoData buf;
	int			len_at;			/* where the segment's length belongs; -1: none
								 * has been begun */
	ShoalFill	done;
} Filling;

static void
begin_segment(Filling *filling)
{
	StringInfo	buf = &filling->buf;

	resetStringInfo(buf);
	mirror_put_int(buf, filling->target->group_id);
	mirror_put_int(buf, filling->target->shard);
	mirror_put_int(buf, 1);
	mirror_put_int(buf, filling->node_id);
	filling->len_at = buf->len;
	mirror_put_int(buf, 0);
	appendBinaryStringInfo(buf, filling->target->head.data,
						   filling->target->head.len);
}

static void
end_segment(Filling *filling)
{
	uint32		len;

	if (filling->len_at < 0)
		return;
	len = pg_hton32(filling->buf.len - filling->len_at - 4);
	memcpy(filling->buf.data + filling->len_at, &len, sizeof(len));
	mirror_hand_on(filling->buf.data, filling->buf.len);
	filling->done.bytes += filling->buf.len;
	filling->len_at = -1;
}

static void
send_row(Filling *filling, TupleTableSlot *slot)
{
	StringInfo	row = mirror_encode_row(filling->target->encoder,
										filling->target->ncols,
										filling->target->attnums, slot);

	if (filling->len_at < 0)
		begin_segment(filling);
	appendStringInfoChar(&filling->buf, 'F');
	appendBinaryStringInfo(&filling->buf, row->data, row->len);
	filling->done.rows++;
	if (filling->buf.len >= FILL_SIZE)
		end_segment(filling);
}

/*
 * False if the row has been deleted or changed meanwhile: by somebody who has
 * told the copy.
 */
static bool
lock_row(Relation rel, Snapshot snapshot, TupleTableSlot *slot)
{
	TM_FailureData failure;
	ItemPointerData tid = slot->tts_tid;

	return table_tuple_lock(rel, &tid, snapshot, slot,
							GetCurrentCommandId(true), LockTupleKeyShare,
							LockWaitBlock, 0, &failure) == TM_Ok;
}

static void
send_blocks(Filling *filling, uint64 block, uint64 nblocks, bool lock)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(filling->rel, NULL);
	TupleTableSlot *locked = table_slot_create(filling->rel, NULL);
	TableScanDesc scan = table_beginscan_strat(filling->rel, snapshot, 0, NULL,
											   true, false);

	heap_setscanlimits(scan, (BlockNumber) block, (BlockNumber) nblocks);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!lock)
		{
			send_row(filling, slot);
			continue;
		}
		locked->tts_tid = slot->tts_tid;
		if (lock_row(filling->rel, snapshot, locked))
			send_row(filling, locked);
		ExecClearTuple(locked);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(locked);
	UnregisterSnapshot(snapshot);
}

/* The primary's partition, or single-shard table, locked. */
static Relation
open_primary(Oid relid, int shard)
{
	const ShoalTable *table = shoal_meta_table(relid);
	bool		same_row;
	Oid			child = relid;

	LockRelationOid(relid, RowShareLock);
	if (table != NULL && table->kind == SHOAL_KIND_DISTRIBUTED)
		child = shoal_scope_lock_child(relid, shard, RowShareLock, &same_row);
	else
		LockRelationOid(relid, RowShareLock);
	if (table == NULL || !OidIsValid(child) ||
		shoal_meta_group(table->group_id)->primary[shard] !=
		shoal_meta_local_node_id())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the primary of shard %d of table \"%s\" is not on this node",
						shard, get_rel_name(relid))));
	return table_open(child, NoLock);
}

ShoalFill
shoal_mirror_fill(Oid relid, int shard, int node_id, uint64 block,
				  uint64 nblocks)
{
	Filling		filling = {0};
	uint64		end;

	filling.rel = open_primary(relid, shard);
	filling.target = mirror_rel_find(filling.rel, true);
	filling.node_id = node_id;
	filling.len_at = -1;
	initStringInfo(&filling.buf);
	if (filling.target->nkeys == 0)
	{
		LockRelationOid(RelationGetRelid(filling.rel), ShareLock);
		filling.done.whole = true;
		begin_segment(&filling);
		appendStringInfoChar(&filling.buf, 'X');
	}
	filling.done.blocks = RelationGetNumberOfBlocks(filling.rel);
	end = filling.done.whole ? filling.done.blocks :
		Min(block + nblocks, filling.done.blocks);
	if (block < end)
		send_blocks(&filling, block, end - block, !filling.done.whole);
	end_segment(&filling);
	table_close(filling.rel, NoLock);
	return filling.done;
}

/* shoal.internal_fill(table, shard, node, block, nblocks) */
Datum
shoal_internal_fill(PG_FUNCTION_ARGS)
{
	ShoalFill	done;

	shoal_xact_check_internal();
	done = shoal_mirror_fill(PG_GETARG_OID(0), PG_GETARG_INT32(1),
							 PG_GETARG_INT32(2), PG_GETARG_INT64(3),
							 PG_GETARG_INT64(4));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " %d",
											  done.blocks, done.rows,
											  done.bytes, done.whole)));
}
