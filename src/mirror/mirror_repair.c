/*
 * mirror_repair.c
 *		The primary's side of repairing a copy: sending the rows that differ.
 *
 * The coordinator (ops_repair.c) has compared the copy with the primary as of
 * one moment, at which the copy got all writes already, and says, by their keys,
 * which rows are missing or different, and which the copy has and the primary
 * had not.  Writes go on meanwhile.
 *
 * Missing and different rows are looked up here, as they are now, and sent as 'R'.
 * The row is locked FOR SHARE until that transaction has committed on the copy's
 * node, too.  Whoever changes it later has his change follow ours.  Whoever has
 * changed it before us has committed here, so what he has told the copy is
 * prepared there at least, and 'R' waits for it there.  So what we overwrite there
 * is never newer than what we send.  A lock FOR KEY SHARE would not do: it lets
 * others change the row, and their change might reach the copy before our older
 * row.  A row that is not here any more, or not yet, needs nothing: whoever
 * deletes or inserts it tells the copy.
 *
 * Nor is anything to be found out here about rows that only the copy had: 'E'
 * deletes the row if it is still the version that the comparison saw, told by the
 * key and the transaction that made it.  If somebody has inserted a row with that
 * key since then, be it the very same bytes, the copy has been told before he
 * committed anywhere.  So he has replaced that version; or he is about to, has it
 * locked, and 'E' leaves it alone; or he waits for us to delete it, and then
 * inserts his.
 *
 * Whoever waits while he has locked rows that others want may be part of a
 * deadlock.  So rows that others have locked here are left out, and returned.  The
 * coordinator tries them again one by one, in transactions of their own, which
 * wait.  What 'E' has left alone the next comparison finds, if it still differs.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "mirror/mirror_private.h"
#include "mirror/mirror_verify.h"
#include "xact/xact.h"

PG_FUNCTION_INFO_V1(shoal_internal_repair_key);
PG_FUNCTION_INFO_V1(shoal_internal_repair_rows);

/* a column of the key */
typedef struct KeyColumn
{
	AttrNumber	attno;
	bool		binary;
	FmgrInfo	function;		/* receive or input */
	Oid			ioparam;
	int32		typmod;
} KeyColumn;

typedef struct Repair
{
	Relation	rel;
	MirrorSender sender;
	Oid			index;
	int			nkeys;
	KeyColumn  *columns;
	LockWaitPolicy policy;
	TupleTableSlot *key;
	TupleTableSlot *row;
} Repair;

/* ---- the key ---- */

/* The columns that identify a row, by an index that can be searched; NIL: none. */
static List *
key_columns(Relation rel, Oid *index)
{
	AttrNumber	attnums[INDEX_MAX_KEYS];
	int			n = mirror_identity(rel, index, attnums);
	List	   *names = NIL;
	Relation	index_rel;
	bool		usable;

	if (n == 0 || mirror_rel_find(rel, true)->nkeys == 0)
		return NIL;
	index_rel = index_open(*index, AccessShareLock);
	usable = index_rel->rd_rel->relam == BTREE_AM_OID &&
		index_rel->rd_index->indimmediate && index_rel->rd_index->indisvalid;
	index_close(index_rel, AccessShareLock);
	for (int i = 0; usable && i < n; i++)
		names = lappend(names, get_attname(RelationGetRelid(rel), attnums[i],
										   false));
	return names;
}

/*
 * shoal.internal_repair_key(table, shard): the blocks that the primary has, and
 * the names of the key's columns as an array of SQL.
 */
Datum
shoal_internal_repair_key(PG_FUNCTION_ARGS)
{
	Relation	rel;
	StringInfoData buf;
	Oid			index;
	List	   *names;
	ListCell   *lc;

	shoal_xact_check_internal();
	rel = mirror_open_primary(PG_GETARG_OID(0), PG_GETARG_INT32(1));
	names = key_columns(rel, &index);
	initStringInfo(&buf);
	appendStringInfo(&buf, "%u ARRAY[", RelationGetNumberOfBlocks(rel));
	foreach(lc, names)
		appendStringInfo(&buf, "%s%s", foreach_current_index(lc) > 0 ? ", " : "",
						 quote_literal_cstr(lfirst(lc)));
	appendStringInfoString(&buf, "]::pg_catalog.text[]");
	table_close(rel, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

/* Error 40001 unless the key is what the coordinator has compared by. */
static void
check_key(Repair *repair, ArrayType *wanted)
{
	List	   *names = key_columns(repair->rel, &repair->index);
	Datum	   *elements;
	int			n;
	bool		same;

	deconstruct_array(wanted, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL,
					  &n);
	same = n > 0 && n == list_length(names);
	for (int i = 0; same && i < n; i++)
		same = strcmp(list_nth(names, i), TextDatumGetCString(elements[i])) == 0;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the key of table \"%s\" has changed while a copy of it was being repaired",
						RelationGetRelationName(repair->rel)),
				 errhint("Use shoal.repair_placements() again.")));
	repair->nkeys = n;
}

static void
open_key(Repair *repair)
{
	Relation	index = index_open(repair->index, AccessShareLock);

	repair->columns = palloc0(sizeof(KeyColumn) * repair->nkeys);
	for (int i = 0; i < repair->nkeys; i++)
	{
		KeyColumn  *column = &repair->columns[i];
		Form_pg_attribute att;
		Oid			function;

		column->attno = index->rd_index->indkey.values[i];
		att = TupleDescAttr(RelationGetDescr(repair->rel), column->attno - 1);
		column->binary = shoal_types_is_binary(att->atttypid);
		column->typmod = att->atttypmod;
		if (column->binary)
			getTypeBinaryInputInfo(att->atttypid, &function, &column->ioparam);
		else
			getTypeInputInfo(att->atttypid, &function, &column->ioparam);
		fmgr_info(function, &column->function);
	}
	index_close(index, AccessShareLock);
}

static void
raise_malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("malformed keys of rows")));
}

static int
take_int(StringInfo buf)
{
	uint32		net;

	if (buf->len - buf->cursor < sizeof(net))
		raise_malformed();
	memcpy(&net, buf->data + buf->cursor, sizeof(net));
	buf->cursor += sizeof(net);
	return (int) pg_ntoh32(net);
}

/* Reads a key, as mirror_checksum.c has written it, into the slot. */
static void
take_key(Repair *repair, StringInfo buf)
{
	TupleTableSlot *slot = repair->key;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true,
		   slot->tts_tupleDescriptor->natts * sizeof(bool));
	for (int i = 0; i < repair->nkeys; i++)
	{
		KeyColumn  *column = &repair->columns[i];
		int			len = take_int(buf);
		StringInfoData bytes;
		Datum		value;

		if (len < 0 || len > buf->len - buf->cursor)
			raise_malformed();
		initStringInfo(&bytes);
		appendBinaryStringInfo(&bytes, buf->data + buf->cursor, len);
		buf->cursor += len;
		if (column->binary)
			value = ReceiveFunctionCall(&column->function, &bytes,
										column->ioparam, column->typmod);
		else
			value = InputFunctionCall(&column->function, bytes.data,
									  column->ioparam, column->typmod);
		slot->tts_values[column->attno - 1] = value;
		slot->tts_isnull[column->attno - 1] = false;
	}
	ExecStoreVirtualTuple(slot);
}

/* ---- rows ---- */

/* Conditions of a search for the key that the slot has; returns their number. */
static int
search_keys(Oid index_id, TupleTableSlot *key, ScanKey scankeys)
{
	Relation	index = index_open(index_id, AccessShareLock);
	int			n = IndexRelationGetNumberOfKeyAttributes(index);

	for (int i = 0; i < n; i++)
	{
		AttrNumber	attno = index->rd_index->indkey.values[i];
		Oid			operator = get_opfamily_member(index->rd_opfamily[i],
												   index->rd_opcintype[i],
												   index->rd_opcintype[i],
												   BTEqualStrategyNumber);

		ScanKeyEntryInitialize(&scankeys[i], 0, attno, BTEqualStrategyNumber,
							   index->rd_opcintype[i],
							   index->rd_indcollation[i],
							   get_opcode(operator),
							   key->tts_values[attno - 1]);
	}
	index_close(index, NoLock);
	return n;
}

/* The place of the row that has the key. */
static bool
find_row(Relation rel, Oid index, TupleTableSlot *key, Snapshot snapshot,
		 ItemPointer tid)
{
	ScanKeyData scankeys[INDEX_MAX_KEYS];
	int			n = search_keys(index, key, scankeys);

	/* works with any table, whatever it is called */
	SysScanDesc scan = systable_beginscan(rel, index, true, snapshot, n,
										  scankeys);
	HeapTuple	tuple = systable_getnext(scan);

	if (HeapTupleIsValid(tuple))
		*tid = tuple->t_self;
	systable_endscan(scan);
	return HeapTupleIsValid(tuple);
}

MirrorLock
mirror_lock_by_key(Relation rel, Oid index, TupleTableSlot *key,
				   LockTupleMode mode, LockWaitPolicy policy,
				   TupleTableSlot *row)
{
	for (;;)
	{
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
		ItemPointerData tid;
		TM_Result	result = TM_Deleted;
		TM_FailureData failure;
		bool		found = find_row(rel, index, key, snapshot, &tid);

		CHECK_FOR_INTERRUPTS();
		if (found)
			result = table_tuple_lock(rel, &tid, snapshot, row,
									  GetCurrentCommandId(true), mode, policy,
									  0, &failure);
		UnregisterSnapshot(snapshot);
		if (!found)
			return MIRROR_ROW_GONE;
		if (result == TM_Ok)
			return MIRROR_ROW_LOCKED;
		if (result == TM_WouldBlock)
			return MIRROR_ROW_BUSY;
		if (result != TM_Updated && result != TM_Deleted)
			elog(ERROR, "unexpected table_tuple_lock status: %u", result);
	}
}

/* Sends what is to be done about an entry; false if it has to wait. */
static bool
send_entry(Repair *repair, StringInfo entry)
{
	MirrorSender *sender = &repair->sender;
	MirrorRel  *target = sender->target;
	char		op = entry->data[entry->cursor++];
	int			xid = op == 'E' ? take_int(entry) : 0;
	int			nestlevel = mirror_fix_settings();
	StringInfo	values;
	MirrorLock	outcome;

	take_key(repair, entry);
	AtEOXact_GUC(true, nestlevel);
	if (op == 'E')
	{
		values = mirror_encode_row(target->key_encoder, target->nkeys,
								   target->keyattnums, repair->key);
		mirror_put_int(values, xid);
		mirror_send(sender, 'E', values);
		return true;
	}
	outcome = mirror_lock_by_key(repair->rel, repair->index, repair->key,
								 LockTupleShare, repair->policy, repair->row);
	if (outcome == MIRROR_ROW_LOCKED)
	{
		values = mirror_encode_row(target->encoder, target->ncols,
								   target->attnums, repair->row);
		mirror_send(sender, 'R', values);
		sender->rows++;
	}
	ExecClearTuple(repair->row);
	return outcome != MIRROR_ROW_BUSY;
}

/* Returns those entries that have to wait. */
static StringInfo
send_entries(Repair *repair, char *data, int len)
{
	StringInfo	left = makeStringInfo();
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "Shoal repaired row",
											  ALLOCSET_DEFAULT_SIZES);
	StringInfoData all = {data, len, len, 0};

	while (all.cursor < all.len)
	{
		MemoryContext old;
		StringInfoData entry = {0};
		int			start = all.cursor;
		bool		sent;

		entry.len = take_int(&all);
		if (entry.len < 1 || entry.len > all.len - all.cursor)
			raise_malformed();
		entry.data = all.data + all.cursor;
		all.cursor += entry.len;
		old = MemoryContextSwitchTo(cxt);
		sent = send_entry(repair, &entry);
		MemoryContextSwitchTo(old);
		ExecClearTuple(repair->key);
		MemoryContextReset(cxt);
		if (!sent)
			appendBinaryStringInfo(left, all.data + start, all.cursor - start);
	}
	MemoryContextDelete(cxt);
	return left;
}

/*
 * shoal.internal_repair_rows(table, shard, node, key_columns, entries, wait):
 * rows and bytes sent, and in hexadecimal the entries that have to wait.
 *
 * An entry is an int32 length of the rest, 'R' or 'E', with 'E' an int32
 * transaction id, and a key.
 */
Datum
shoal_internal_repair_rows(PG_FUNCTION_ARGS)
{
	Repair		repair = {0};
	bytea	   *entries;
	StringInfo	left;
	StringInfoData result;
	char	   *hex;

	shoal_xact_check_internal();
	entries = PG_GETARG_BYTEA_PP(4);
	repair.policy = PG_GETARG_BOOL(5) ? LockWaitBlock : LockWaitSkip;
	repair.rel = mirror_open_primary(PG_GETARG_OID(0), PG_GETARG_INT32(1));
	check_key(&repair, PG_GETARG_ARRAYTYPE_P(3));
	open_key(&repair);
	repair.key = MakeSingleTupleTableSlot(RelationGetDescr(repair.rel),
										  &TTSOpsVirtual);
	repair.row = table_slot_create(repair.rel, NULL);
	mirror_send_init(&repair.sender, repair.rel, PG_GETARG_INT32(2));

	left = send_entries(&repair, VARDATA_ANY(entries),
						VARSIZE_ANY_EXHDR(entries));
	mirror_send_end(&repair.sender);
	ExecDropSingleTupleTableSlot(repair.key);
	ExecDropSingleTupleTableSlot(repair.row);
	table_close(repair.rel, NoLock);

	hex = palloc(left->len * 2 + 1);
	hex[hex_encode(left->data, left->len, hex)] = '\0';
	initStringInfo(&result);
	appendStringInfo(&result, UINT64_FORMAT " " UINT64_FORMAT " %s",
					 repair.sender.rows, repair.sender.bytes, hex);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(result.data, result.len));
}
