/*
 * mirror_apply.c
 *		The replica's side: making the changes that a primary tells of.
 *
 * Rows are stored by the functions that core has for logical replication,
 * without any trigger, constraint or foreign-key check: those had their say on the
 * primary.
 * Rows are found by the key's index; without a key all rows of the partition
 * are compared, in the form in which they were sent, once per segment.
 *
 * While a replica is being filled or repaired it may lack rows, have new ones
 * already, or still have old ones.  Then the outcome counts: a row that is not
 * there need not be deleted, one that has the same key is replaced, and others
 * that a unique or exclusion constraint does not allow next to a new one are
 * old: the primary has nothing like them any more, and what it has instead
 * will be sent.  A replica that is complete must have what is deleted or
 * updated; if not, the copies differ, which is an error.
 *
 * The transaction is the coordinator's, and so is the decision about it.  A row
 * that another transaction has changed here and not finished is waited for, as
 * the primary has finished that one.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "port/pg_bswap.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "common/hashfn.h"
#include "ddl/ddl.h"
#include "exec/exec_wire.h"
#include "meta/meta.h"
#include "mirror/mirror_private.h"
#include "scope/scope.h"
#include "xact/xact.h"

PG_FUNCTION_INFO_V1(shoal_internal_mirror);

/* milliseconds for which this node may know less of copies than a primary's, and between looks */
#define COPY_PATIENCE	2000
#define COPY_PAUSE		5

/* Bytes that are being read. */
typedef struct Reader
{
	char	   *data;
	char	   *end;
} Reader;

/* A copy of a shard's table that changes are made in. */
typedef struct Target
{
	Relation	rel;
	ResultRelInfo *result;
	EState	   *estate;
	EPQState	epq;
	bool		lenient;		/* it is being filled or repaired */
	List	   *constraints;	/* if so: indexes that may mind a row, but for
								 * the key's */
	int			ncols;			/* that are sent */
	AttrNumber *attnums;
	bool	   *binary;
	FmgrInfo   *functions;
	Oid		   *ioparams;
	int32	   *typmods;
	int			nkeys;			/* 0: no index, rows are compared */
	int		   *keys;			/* their positions in what is sent */
	Oid			index;
	TupleTableSlot *search;		/* the key */
	TupleTableSlot *found;		/* the row with that key */
	TupleTableSlot *row;		/* the new row */
	HTAB	   *wanted;			/* without a key: WantedRow */
	bool		changed;		/* since the command counter was incremented */
	bool		occupied;		/* a row of the segment was there already */
} Target;

/* Rows without a key that are to be deleted or updated. */
typedef struct WantedRow
{
	uint64		hash;			/* hash key: of the row's bytes */
	int			wanted;			/* how many */
	int			found;			/* how many places are known */
	int			used;
	ItemPointerData *tids;
} WantedRow;

/* ---- reading ---- */

static void
raise_malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("malformed changes of rows")));
}

static char *
take(Reader *reader, int len)
{
	char	   *at = reader->data;

	if (len < 0 || reader->end - at < len)
		raise_malformed();
	reader->data += len;
	return at;
}

static int
take_int(Reader *reader)
{
	uint32		net;

	memcpy(&net, take(reader, sizeof(net)), sizeof(net));
	return (int) pg_ntoh32(net);
}

static char *
take_string(Reader *reader)
{
	char	   *end = memchr(reader->data, '\0', reader->end - reader->data);

	if (end == NULL)
		raise_malformed();
	return take(reader, end + 1 - reader->data);
}

/* n values, each with its length. */
static Reader
take_values(Reader *reader, int n)
{
	Reader		values = *reader;

	for (int i = 0; i < n; i++)
	{
		int			len = take_int(reader);

		if (len >= 0)
			(void) take(reader, len);
	}
	values.end = reader->data;
	return values;
}

/* Puts the i-th of the values that are sent into its column. */
static void
put_value(Target *target, int i, Reader *reader, TupleTableSlot *slot)
{
	int			att = target->attnums[i] - 1;
	int			len = take_int(reader);
	char	   *bytes = len >= 0 ? take(reader, len) : NULL;

	slot->tts_isnull[att] = len < 0;
	slot->tts_values[att] =
		shoal_wire_decode_value(&target->functions[i], target->binary[i],
								target->ioparams[i], target->typmods[i], bytes, len);
}

static void
clear_slot(TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true,
		   slot->tts_tupleDescriptor->natts * sizeof(bool));
	memset(slot->tts_values, 0,
		   slot->tts_tupleDescriptor->natts * sizeof(Datum));
}

static void
fill_row(Target *target, Reader values, TupleTableSlot *slot)
{
	clear_slot(slot);
	for (int i = 0; i < target->ncols; i++)
		put_value(target, i, &values, slot);
	ExecStoreVirtualTuple(slot);
}

static void
fill_key(Target *target, Reader values, TupleTableSlot *slot)
{
	clear_slot(slot);
	for (int i = 0; i < target->nkeys; i++)
		put_value(target, target->keys[i], &values, slot);
	ExecStoreVirtualTuple(slot);
}

/* ---- opening the target ---- */

static Oid
find_relation(const char *schema, const char *name, int group_id, int shard)
{
	Oid			relid = get_relname_relid(name,
										  get_namespace_oid(schema, true));
	const ShoalTable *table;
	bool		same_row;

	if (OidIsValid(relid))
		LockRelationOid(relid, RowExclusiveLock);
	table = OidIsValid(relid) ? shoal_meta_table(relid) : NULL;
	if (table != NULL && table->group_id == group_id)
		relid = table->kind == SHOAL_KIND_SINGLE ? relid :
			shoal_scope_lock_child(relid, shard, RowExclusiveLock, &same_row);
	else
		relid = InvalidOid;
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
				 errmsg("shard %d of table \"%s\" is not on this node", shard,
						name),
				 errhint("The placement may have just changed; try the transaction again.")));
	return relid;
}

/* This node's copy, if it takes changes. */
static const ShoalCopy *
find_copy(int group_id, int shard)
{
	const ShoalCopy *copy = shoal_meta_copy(shoal_meta_group(group_id), shard,
											shoal_meta_local_node_id());

	return copy && !copy->is_primary && SHOAL_COPY_IS_KEPT(copy) ? copy : NULL;
}

/*
 * Whether this node's copy takes changes; sets lenient.  What has made it a replica is
 * committed on one node after the other: the primary's may know of it a moment before this one.
 */
static void
check_copy(Target *target, int group_id, int shard)
{
	const ShoalCopy *copy;

	for (int waited = 0; (copy = find_copy(group_id, shard)) == NULL &&
		 waited < COPY_PATIENCE; waited += COPY_PAUSE)
	{
		shoal_server_pause(COPY_PAUSE);
		AcceptInvalidationMessages();
	}
	if (copy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
				 errmsg("this node has no replica of shard %d of group %d that takes changes",
						shard, group_id),
				 errhint("The placement may have just changed; try the transaction again.")));
	target->lenient = copy->state == SHOAL_COPY_COPYING;
}

static void
read_columns(Target *target, Reader *reader)
{
	int			n = take_int(reader);

	if (n < 0 || n > MaxHeapAttributeNumber)
		raise_malformed();
	target->ncols = n;
	target->attnums = palloc(sizeof(AttrNumber) * (n + 1));
	target->binary = palloc(sizeof(bool) * (n + 1));
	target->functions = palloc0(sizeof(FmgrInfo) * (n + 1));
	target->ioparams = palloc(sizeof(Oid) * (n + 1));
	target->typmods = palloc(sizeof(int32) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		char	   *name = take_string(reader);
		AttrNumber	attnum = get_attnum(RelationGetRelid(target->rel), name);
		Form_pg_attribute att;
		Oid			function;

		target->binary[i] = *take(reader, 1) != 0;
		if (attnum <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("column \"%s\" of table \"%s\" is not on this node",
							name, RelationGetRelationName(target->rel))));
		att = TupleDescAttr(RelationGetDescr(target->rel), attnum - 1);
		target->attnums[i] = attnum;
		target->typmods[i] = att->atttypmod;
		if (target->binary[i])
			getTypeBinaryInputInfo(att->atttypid, &function,
								   &target->ioparams[i]);
		else
			getTypeInputInfo(att->atttypid, &function, &target->ioparams[i]);
		fmgr_info(function, &target->functions[i]);
	}
	n = take_int(reader);
	if (n < 0 || n > target->ncols)
		raise_malformed();
	target->nkeys = n;
	target->keys = palloc(sizeof(int) * (n + 1));
	for (int i = 0; i < n; i++)
	{
		target->keys[i] = take_int(reader);
		if (target->keys[i] < 0 || target->keys[i] >= target->ncols)
			raise_malformed();
	}
}

/* The primary has told which columns are the key; here is its index. */
static void
find_key_index(Target *target)
{
	AttrNumber	attnums[INDEX_MAX_KEYS];
	int			n = mirror_identity(target->rel, &target->index, attnums);
	bool		same = n == target->nkeys;

	for (int i = 0; same && i < n; i++)
		same = attnums[i] == target->attnums[target->keys[i]];
	if (target->nkeys > 0 && !same)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table \"%s\" does not have the same key on this node",
						RelationGetRelationName(target->rel))));
}

/*
 * Indexes of other constraints.  Deferrable ones are not enforced here, as
 * their triggers are not fired.
 */
static void
find_constraints(Target *target)
{
	for (int i = 0; i < target->result->ri_NumIndices; i++)
	{
		Form_pg_index index = target->result->ri_IndexRelationDescs[i]->rd_index;

		if ((index->indisunique || index->indisexclusion) && index->indimmediate &&
			(target->nkeys == 0 || index->indexrelid != target->index))
			target->constraints = lappend_oid(target->constraints,
											  index->indexrelid);
	}
}

static Target *
open_target(Reader *reader, int group_id, int shard)
{
	Target	   *target = palloc0(sizeof(Target));
	char	   *schema = take_string(reader);
	char	   *name = take_string(reader);
	Oid			relid = find_relation(schema, name, group_id, shard);

	check_copy(target, group_id, shard);
	target->rel = table_open(relid, NoLock);
	read_columns(target, reader);
	find_key_index(target);
	if (target->lenient && reader->data < reader->end && *reader->data == 'X')
	{
		(void) take(reader, 1);
		shoal_ddl_empty_table(relid);
		UpdateActiveSnapshotCommandId();
	}

	target->estate = CreateExecutorState();
	target->estate->es_snapshot = GetActiveSnapshot();
	target->result = makeNode(ResultRelInfo);
	InitResultRelInfo(target->result, target->rel, 0, NULL, 0);
	target->result->ri_TrigDesc = NULL;
	/* the primary has looked whether rows belong here */
	target->result->ri_PartitionCheckExpr =
		ExecPrepareCheck(list_make1(makeBoolConst(true, false)), target->estate);
	/* and what constraints say, for whoever has written them; none is tested again */
	if (RelationGetDescr(target->rel)->constr)
		shoal_result_checks(target->result) =
			palloc0(sizeof(ExprState *) * (RelationGetDescr(target->rel)->constr->num_check + 1));
	ExecOpenIndices(target->result, target->lenient);
	if (target->lenient)
		find_constraints(target);
	shoal_epq_init(&target->epq, target->estate);
	target->search = MakeSingleTupleTableSlot(RelationGetDescr(target->rel),
											  &TTSOpsVirtual);
	target->found = table_slot_create(target->rel, NULL);
	target->row = MakeSingleTupleTableSlot(RelationGetDescr(target->rel),
										   &TTSOpsVirtual);
	return target;
}

static void
close_target(Target *target)
{
	EvalPlanQualEnd(&target->epq);
	ExecDropSingleTupleTableSlot(target->search);
	ExecDropSingleTupleTableSlot(target->found);
	ExecDropSingleTupleTableSlot(target->row);
	ExecCloseIndices(target->result);
	FreeExecutorState(target->estate);
	table_close(target->rel, NoLock);
	CommandCounterIncrement();
}

/* ---- rows without a key ---- */

static uint64
hash_values(Reader values)
{
	return DatumGetUInt64(hash_any_extended((unsigned char *) values.data,
											values.end - values.data, 0));
}

/* Counts the rows that the segment wants to find. */
static void
want_rows(Target *target, Reader reader)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(uint64);
	ctl.entrysize = sizeof(WantedRow);
	ctl.hcxt = CurrentMemoryContext;
	target->wanted = hash_create("shoal wanted rows", 64, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	while (reader.data < reader.end)
	{
		char		op = *take(&reader, 1);
		Reader		values = take_values(&reader, target->ncols);
		WantedRow  *wanted;
		uint64		hash = hash_values(values);
		bool		found;

		if (op == 'U')
			(void) take_values(&reader, target->ncols);
		if (op == 'I' || op == 'F')
			continue;
		wanted = hash_search(target->wanted, &hash, HASH_ENTER, &found);
		if (!found)
			memset((char *) wanted + sizeof(uint64), 0,
				   sizeof(WantedRow) - sizeof(uint64));
		wanted->wanted++;
	}
}

static WantedRow *
wanted_by_row(Target *target, ShoalEncoder *encoder, TupleTableSlot *slot)
{
	StringInfo	row = mirror_encode_row(encoder, target->ncols, target->attnums, slot);
	uint64		hash = hash_values((Reader) {row->data, row->data + row->len});

	return hash_search(target->wanted, &hash, HASH_FIND, NULL);
}

/* The encoder that the primary used. */
static ShoalEncoder *
encoder_of(Target *target)
{
	Oid		   *types = palloc(sizeof(Oid) * (target->ncols + 1));
	ShoalEncoder *encoder;

	for (int i = 0; i < target->ncols; i++)
		types[i] = TupleDescAttr(RelationGetDescr(target->rel),
								 target->attnums[i] - 1)->atttypid;
	encoder = shoal_wire_encoder(target->ncols, types, false);
	for (int i = 0; i < target->ncols; i++)
		shoal_wire_encode_as(encoder, i, target->binary[i]);
	return encoder;
}

/* Forgets what was found. */
static void
reset_wanted(Target *target)
{
	HASH_SEQ_STATUS status;
	WantedRow  *wanted;

	hash_seq_init(&status, target->wanted);
	while ((wanted = hash_seq_search(&status)) != NULL)
		wanted->found = 0;
}

/*
 * Looks through the table for them.  Returns the transaction to be waited for
 * before it is done again, if any.
 */
static TransactionId
scan_for_rows(Target *target, ShoalEncoder *encoder)
{
	SnapshotData dirty;
	TableScanDesc scan;
	TransactionId wait_for = InvalidTransactionId;

	InitDirtySnapshot(dirty);
	scan = table_beginscan(target->rel, &dirty, 0, NULL);
	while (!TransactionIdIsValid(wait_for) &&
		   table_scan_getnextslot(scan, ForwardScanDirection, target->found))
	{
		WantedRow  *wanted = wanted_by_row(target, encoder, target->found);

		CHECK_FOR_INTERRUPTS();
		if (wanted == NULL || wanted->found >= wanted->wanted)
			continue;
		wait_for = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
		if (wanted->tids == NULL)
			wanted->tids = palloc(sizeof(ItemPointerData) * wanted->wanted);
		wanted->tids[wanted->found++] = target->found->tts_tid;
	}
	table_endscan(scan);
	ExecClearTuple(target->found);
	return wait_for;
}

static void
find_rows_without_key(Target *target, Reader reader)
{
	ShoalEncoder *encoder;
	TransactionId wait_for;

	want_rows(target, reader);
	if (hash_get_num_entries(target->wanted) == 0)
		return;
	encoder = encoder_of(target);
	while (TransactionIdIsValid(wait_for = scan_for_rows(target, encoder)))
	{
		XactLockTableWait(wait_for, NULL, NULL, XLTW_None);
		reset_wanted(target);
	}
}

/* ---- changes ---- */

static void
see_changes(Target *target)
{
	if (!target->changed)
		return;
	target->changed = false;
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
}

/* Finds an old row, into target->found. */
static bool
find_old(Target *target, Reader old)
{
	uint64		hash;
	WantedRow  *wanted;

	see_changes(target);
	if (target->nkeys > 0)
	{
		fill_key(target, old, target->search);
		return RelationFindReplTupleByIndex(target->rel, target->index,
											LockTupleExclusive,
											target->search, target->found);
	}
	hash = hash_values(old);
	wanted = hash_search(target->wanted, &hash, HASH_FIND, NULL);
	return wanted && wanted->used < wanted->found &&
		table_tuple_fetch_row_version(target->rel,
									  &wanted->tids[wanted->used++],
									  SnapshotAny, target->found);
}

static void
insert_row(Target *target, Reader row)
{
	fill_row(target, row, target->row);
	ExecSimpleRelationInsert(target->result, target->estate, target->row);
}

static void
update_row(Target *target, Reader row)
{
	fill_row(target, row, target->row);
	ExecSimpleRelationUpdate(target->result, target->estate, &target->epq,
							 target->found, target->row);
}

static void
delete_row(Target *target)
{
	ExecSimpleRelationDelete(target->result, target->estate, &target->epq,
							 target->found);
	target->changed = true;
}

/* The new row with its generated columns. */
static void
fill_whole_row(Target *target, Reader row)
{
	TupleConstr *constr = RelationGetDescr(target->rel)->constr;

	fill_row(target, row, target->row);
	if (constr && constr->has_generated_stored)
		ExecComputeStoredGenerated(target->result, target->estate, target->row,
								   CMD_INSERT);
}

/* Deletes what a constraint does not allow next to the row, if it is there. */
static void
delete_conflicting(Target *target, Reader row)
{
	ItemPointerData tid;

	fill_whole_row(target, row);
	while (!shoal_check_index_constraints(target->result, target->row,
										  target->estate, &tid,
										  target->constraints))
	{
		TM_FailureData failure;
		TM_Result	result;

		see_changes(target);
		PushActiveSnapshot(GetLatestSnapshot());
		result = table_tuple_lock(target->rel, &tid, GetActiveSnapshot(),
								  target->found, GetCurrentCommandId(false),
								  LockTupleExclusive, LockWaitBlock, 0,
								  &failure);
		PopActiveSnapshot();
		if (result == TM_Ok)
			delete_row(target);
		else if (result != TM_Updated && result != TM_Deleted)
			elog(ERROR, "unexpected table_tuple_lock status: %u", result);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Stores a row of a copy that is being filled, without looking whether there is one with
 * its key: mostly there is none.  If a constraint does not allow it, it is taken
 * back.
 */
static bool
try_to_insert(Target *target, Reader row)
{
	TupleTableSlot *slot = target->row;

	fill_whole_row(target, row);
	if (RelationGetDescr(target->rel)->constr)
		ExecConstraints(target->result, slot, target->estate);
	simple_table_tuple_insert(target->rel, slot);
	if (target->result->ri_NumIndices == 0 ||
		!shoal_insert_index_tuples(target->result, slot, target->estate))
		return true;
	target->changed = true;
	see_changes(target);
	simple_table_tuple_delete(target->rel, &slot->tts_tid, target->estate->es_snapshot);
	target->changed = true;
	return false;
}

/*
 * A row that a copy which is being filled or repaired may have already.  One
 * that comes from filling may be older than that, any other is newer.
 */
static void
put_row(Target *target, Reader row, bool replace)
{
	if (target->nkeys > 0)
	{
		see_changes(target);
		fill_row(target, row, target->search);
		if (RelationFindReplTupleByIndex(target->rel, target->index,
										 LockTupleExclusive, target->search,
										 target->found))
		{
			if (!replace)
				return;
			if (target->constraints == NIL)
			{
				update_row(target, row);
				return;
			}
			delete_row(target);
		}
	}
	if (replace && target->constraints != NIL)
		delete_conflicting(target, row);
	insert_row(target, row);
}

/* Whether the row has that key, byte for byte. */
static bool
has_key(Target *target, Reader key, Reader row)
{
	for (int i = 0; i < target->nkeys; i++)
	{
		Reader		values = row;
		Reader		value;
		Reader		wanted = take_values(&key, 1);

		(void) take_values(&values, target->keys[i]);
		value = take_values(&values, 1);
		if (value.end - value.data != wanted.end - wanted.data ||
			memcmp(value.data, wanted.data, wanted.end - wanted.data) != 0)
			return false;
	}
	return true;
}

/* Deletes a row if it is the version that was made by that transaction. */
static void
erase_version(Target *target, Reader key, TransactionId xid)
{
	bool		isnull;
	Datum		xmin;

	see_changes(target);
	fill_key(target, key, target->search);
	if (mirror_lock_by_key(target->rel, target->index, target->search,
						   LockTupleExclusive, LockWaitSkip,
						   target->found) != MIRROR_ROW_LOCKED)
		return;
	xmin = slot_getsysattr(target->found, MinTransactionIdAttributeNumber,
						   &isnull);
	if (DatumGetTransactionId(xmin) == xid)
		delete_row(target);
}

/* In a copy that is being filled or repaired. */
static void
change_leniently(Target *target, char op, Reader old, Reader row)
{
	bool		found = (op == 'U' || op == 'D') && find_old(target, old);

	if (op == 'U' && found && target->constraints == NIL &&
		has_key(target, old, row))
	{
		update_row(target, row);
		return;
	}
	/* the new key may be an old row's, too */
	if (found)
		delete_row(target);
	/* where some rows are there, there will be more */
	if (op == 'F' && target->nkeys > 0 && !target->occupied)
	{
		if (try_to_insert(target, row))
			return;
		target->occupied = true;
	}
	if (op != 'D')
		put_row(target, row, op != 'F');
	target->changed = true;
}

static void
raise_missing(Target *target)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("replica of table \"%s\" on node %d lacks a row that the primary has",
					RelationGetRelationName(target->rel),
					shoal_meta_local_node_id()),
			 errhint("Compare the copies with shoal.verify_table() and repair them with shoal.repair_placements().")));
}

/* In a copy that is complete. */
static void
change(Target *target, char op, Reader old, Reader row)
{
	if (op == 'I')
	{
		insert_row(target, row);
		return;
	}
	if (!find_old(target, old))
		raise_missing(target);
	if (op == 'U')
		update_row(target, row);
	else
		delete_row(target);
}

/* Whether that kind of a change is made in copies such as this one. */
static bool
is_legal(Target *target, char op)
{
	if (op == 'F')
		return target->lenient;
	if (op == 'R' || op == 'E')
		return target->lenient && target->nkeys > 0;
	return op == 'I' || op == 'U' || op == 'D';
}

static void
apply_segment(Reader *reader, int group_id, int shard)
{
	Target	   *target = open_target(reader, group_id, shard);
	int			nkeys = target->nkeys > 0 ? target->nkeys : target->ncols;
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "Shoal change",
											  ALLOCSET_DEFAULT_SIZES);
	Oid			userid;
	int			context;

	/* functions of indexes and generated columns must not get a superuser's rights */
	GetUserIdAndSecContext(&userid, &context);
	SetUserIdAndSecContext(target->rel->rd_rel->relowner,
						   context | SECURITY_RESTRICTED_OPERATION);
	if (target->nkeys == 0)
		find_rows_without_key(target, *reader);
	while (reader->data < reader->end)
	{
		char		op = *take(reader, 1);
		Reader		old = {NULL, NULL};
		Reader		row = {NULL, NULL};
		TransactionId xid = InvalidTransactionId;
		MemoryContext caller;

		CHECK_FOR_INTERRUPTS();
		if (!is_legal(target, op))
			raise_malformed();
		if (op == 'U' || op == 'D' || op == 'E')
			old = take_values(reader, nkeys);
		if (op == 'E')
			xid = (TransactionId) take_int(reader);
		else if (op != 'D')
			row = take_values(reader, target->ncols);
		caller = MemoryContextSwitchTo(cxt);
		if (op == 'E')
			erase_version(target, old, xid);
		else if (target->lenient)
			change_leniently(target, op, old, row);
		else
			change(target, op, old, row);
		if (op != 'F')
			target->changed = true;
		MemoryContextSwitchTo(caller);
		ExecClearTuple(target->row);
		ExecClearTuple(target->search);
		MemoryContextReset(cxt);
		ResetPerTupleExprContext(target->estate);
	}
	SetUserIdAndSecContext(userid, context);
	MemoryContextDelete(cxt);
	close_target(target);
}

/* The byte behind the data is written to. */
void
mirror_apply(char *data, int data_len)
{
	Reader		reader = {data, data + data_len};

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	while (reader.data < reader.end)
	{
		int			group_id = take_int(&reader);
		int			shard = take_int(&reader);
		int			n = take_int(&reader);
		int			len;
		Reader		segment;

		if (n < 0)
			raise_malformed();
		(void) take(&reader, n * sizeof(int32));
		len = take_int(&reader);
		segment.data = take(&reader, len);
		segment.end = reader.data;
		apply_segment(&segment, group_id, shard);
	}
	PopActiveSnapshot();
}

/* shoal.internal_mirror(changes) */
Datum
shoal_internal_mirror(PG_FUNCTION_ARGS)
{
	bytea	   *changes;
	char	   *data;
	int			len;

	shoal_xact_check_internal();
	changes = PG_GETARG_BYTEA_PP(0);
	len = VARSIZE_ANY_EXHDR(changes);
	/* with a byte behind the last value */
	data = MemoryContextAllocHuge(CurrentMemoryContext, (Size) len + 1);
	memcpy(data, VARDATA_ANY(changes), len);
	mirror_apply(data, len);
	pfree(data);
	PG_RETURN_VOID();
}
