/*
 * mirror_fill.c
 *		The primary's side of making a copy: its rows, some blocks at a time.
 *
 * The new copy gets all writes already.  What it lacks are rows that have been
 * there before, and that nobody has changed since.  Such a row is locked against
 * changes (a weaker lock would let an update and this store the same key in the
 * copy at the same time), and sent in the same transaction; so a change of it
 * comes either before, and then the copy has the row and keeps it, or after.
 *
 * A row that moves to a block which has been read was changed, and so sent.  But where
 * the table gets another file (VACUUM FULL), or another node becomes the primary, rows
 * are in other blocks, and all have to be read again.
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

/* ---- sending ---- */

void
mirror_send_init(MirrorSender *sender, Relation rel, int node_id)
{
	memset(sender, 0, sizeof(*sender));
	sender->target = mirror_rel_find(rel, true);
	sender->node_id = node_id;
	sender->len_at = -1;
	initStringInfo(&sender->buf);
}

static void
begin_segment(MirrorSender *sender)
{
	StringInfo	buf = &sender->buf;

	resetStringInfo(buf);
	mirror_put_int(buf, sender->target->group_id);
	mirror_put_int(buf, sender->target->shard);
	mirror_put_int(buf, 1);
	mirror_put_int(buf, sender->node_id);
	sender->len_at = buf->len;
	mirror_put_int(buf, 0);
	appendBinaryStringInfo(buf, sender->target->head.data,
						   sender->target->head.len);
}

void
mirror_send_end(MirrorSender *sender)
{
	uint32		len;

	if (sender->len_at < 0)
		return;
	len = pg_hton32(sender->buf.len - sender->len_at - 4);
	memcpy(sender->buf.data + sender->len_at, &len, sizeof(len));
	mirror_hand_on(sender->buf.data, sender->buf.len);
	sender->bytes += sender->buf.len;
	sender->len_at = -1;
}

void
mirror_send(MirrorSender *sender, char op, StringInfo values)
{
	if (sender->len_at < 0)
		begin_segment(sender);
	appendStringInfoChar(&sender->buf, op);
	if (values)
		appendBinaryStringInfo(&sender->buf, values->data, values->len);
	if (sender->buf.len >= FILL_SIZE)
		mirror_send_end(sender);
}

/* ---- rows ---- */

static void
send_row(MirrorSender *sender, TupleTableSlot *slot)
{
	mirror_send(sender, 'F',
				mirror_encode_row(sender->target->encoder, sender->target->ncols,
								  sender->target->attnums, slot));
	sender->rows++;
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
							GetCurrentCommandId(true), LockTupleShare,
							LockWaitBlock, 0, &failure) == TM_Ok;
}

static void
send_blocks(MirrorSender *sender, Relation rel, uint64 block, uint64 nblocks,
			bool lock)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TupleTableSlot *locked = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan_strat(rel, snapshot, 0, NULL,
											   true, false);

	heap_setscanlimits(scan, (BlockNumber) block, (BlockNumber) nblocks);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!lock)
		{
			send_row(sender, slot);
			continue;
		}
		locked->tts_tid = slot->tts_tid;
		if (lock_row(rel, snapshot, locked))
			send_row(sender, locked);
		ExecClearTuple(locked);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(locked);
	UnregisterSnapshot(snapshot);
}

Relation
mirror_open_primary(Oid relid, int shard)
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
				  uint64 nblocks, Oid file)
{
	MirrorSender sender;
	ShoalFill	done = {0};
	Relation	rel = mirror_open_primary(relid, shard);
	uint64		all;
	bool		whole;

	mirror_send_init(&sender, rel, node_id);
	whole = sender.target->nkeys == 0;
	done.file = rel->rd_rel->relfilenode;
	if (whole || done.file != file)
		block = 0;
	if (whole)
	{
		LockRelationOid(RelationGetRelid(rel), ShareLock);
		mirror_send(&sender, 'X', NULL);
	}
	all = RelationGetNumberOfBlocks(rel);
	done.blocks = all - Min(block, all);
	if (!whole)
		done.blocks = Min(done.blocks, nblocks);
	done.next = block + done.blocks;
	done.more = done.next < all;
	if (done.blocks > 0)
		send_blocks(&sender, rel, block, done.blocks, !whole);
	mirror_send_end(&sender);
	table_close(rel, NoLock);
	done.rows = sender.rows;
	done.bytes = sender.bytes;
	return done;
}

/* shoal.internal_fill(table, shard, node, block, nblocks, file) */
Datum
shoal_internal_fill(PG_FUNCTION_ARGS)
{
	ShoalFill	done;

	shoal_xact_check_internal();
	done = shoal_mirror_fill(PG_GETARG_OID(0), PG_GETARG_INT32(1),
							 PG_GETARG_INT32(2), PG_GETARG_INT64(3),
							 PG_GETARG_INT64(4), PG_GETARG_OID(5));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " %d " UINT64_FORMAT " %u",
											  done.blocks, done.rows,
											  done.bytes, done.more,
											  done.next, done.file)));
}
