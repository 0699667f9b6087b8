/*
 * ops_missed.c
 *		What nodes that were given up have missed.
 *
 * A statement that is sent to all nodes is noted for those that are given up, in
 * shoal.missed_statement of all others, with the role and search_path that it
 * runs with; ops_rejoin.c tells them.  Schema changes run under the cluster lock,
 * so their numbers are in their order.  TRUNCATE does not: several may be under way, also
 * with a schema change, and nobody waits for anybody's notes.  A number tells which node
 * has given it, so it is given once; the tables' locks see to it that it is the higher one
 * where the order counts.  Rows are written without looking at the rights of the user,
 * who changes what is his.
 *
 * A coordinator that may be given up notes its statements for itself, too: should
 * it be lost when all others have prepared, these commit, and it may have not.
 * When it comes back it has the notes itself, then, or not: it has missed what
 * comes after the last of its own.  The notes of its next transaction take the
 * place of these.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "ops/ops.h"
#include "xact/xact.h"

PG_FUNCTION_INFO_V1(shoal_internal_note_missed);

/* numbers are that far apart, so that there is one for each node in between */
#define SEQ_STEP 1024

enum
{
	MISSED_NODE = 1,
	MISSED_SEQ,
	MISSED_ROLE,
	MISSED_PATH,
	MISSED_STATEMENT,
	MISSED_NATTS = MISSED_STATEMENT
};

/* the transaction in which this node has begun to note its own statements */
static TransactionId noting = InvalidTransactionId;

static Relation
open_missed(void)
{
	return table_open(get_relname_relid("missed_statement",
										get_namespace_oid("shoal", false)),
					  RowExclusiveLock);
}

static void
insert_missed(Relation rel, int node_id, int64 seq, const char *role,
			  const char *path, const char *statement)
{
	Datum		values[MISSED_NATTS];
	bool		nulls[MISSED_NATTS] = {false};
	NameData	name;
	HeapTuple	tuple;

	namestrcpy(&name, role);
	values[MISSED_NODE - 1] = Int32GetDatum(node_id);
	values[MISSED_SEQ - 1] = Int64GetDatum(seq);
	values[MISSED_ROLE - 1] = NameGetDatum(&name);
	values[MISSED_PATH - 1] = CStringGetTextDatum(path);
	values[MISSED_STATEMENT - 1] = CStringGetTextDatum(statement);
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	CommandCounterIncrement();
}

/* Higher than all that are there, whether or not they are committed. */
static int64
next_seq(Relation rel)
{
	SnapshotData dirty;
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		last = 0;

	InitDirtySnapshot(dirty);
	scan = systable_beginscan(rel, InvalidOid, false, &dirty, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		int64		seq = DatumGetInt64(heap_getattr(tuple, MISSED_SEQ,
													 RelationGetDescr(rel),
													 &isnull));

		last = Max(last, seq);
	}
	systable_endscan(scan);
	return (last / SEQ_STEP + 1) * SEQ_STEP + shoal_meta_local_node_id() % SEQ_STEP;
}

/* All that was noted for a node before, but for what others are deleting. */
static void
delete_missed(Relation rel, int node_id)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, MISSED_NODE, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(node_id));
	scan = systable_beginscan(rel, shoal_primary_key_index(rel), true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TM_FailureData failure;

		(void) heap_delete(rel, &tuple->t_self, GetCurrentCommandId(true),
						   InvalidSnapshot, false, &failure, false);
	}
	systable_endscan(scan);
	CommandCounterIncrement();
}

/* shoal.internal_note_missed(node_id, seq, role, search_path, statement, first) */
Datum
shoal_internal_note_missed(PG_FUNCTION_ARGS)
{
	Relation	rel;

	shoal_xact_check_internal();
	rel = open_missed();
	if (PG_GETARG_BOOL(5))
		delete_missed(rel, PG_GETARG_INT32(0));
	insert_missed(rel, PG_GETARG_INT32(0), PG_GETARG_INT64(1),
				  NameStr(*PG_GETARG_NAME(2)),
				  text_to_cstring(PG_GETARG_TEXT_PP(3)),
				  text_to_cstring(PG_GETARG_TEXT_PP(4)));
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* Metadata are copied as a whole to a node that comes back; locks are over then. */
static bool
is_never_missed(const char *sql)
{
	return strstr(sql, "*/ LOCK TABLE ") != NULL ||
		strstr(sql, "*/ INSERT INTO shoal.") != NULL ||
		strstr(sql, "*/ UPDATE shoal.") != NULL ||
		strstr(sql, "*/ DELETE FROM shoal.") != NULL;
}

static void
note_missed(int node_id, const char *sql)
{
	const char *role = GetUserNameFromId(GetUserId(), false);
	const char *path = GetConfigOption("search_path", false, false);
	Relation	rel;
	int64		seq;
	List	   *others = NIL;
	ListCell   *lc;
	bool		first = false;

	if (is_never_missed(sql))
		return;
	rel = open_missed();
	/* until the number is taken */
	LockRelation(rel, ShareUpdateExclusiveLock);
	seq = next_seq(rel);
	if (node_id == shoal_meta_local_node_id())
	{
		first = noting != GetTopTransactionId();
		noting = GetTopTransactionId();
	}
	if (first)
		delete_missed(rel, node_id);
	insert_missed(rel, node_id, seq, role, path, sql);
	UnlockRelation(rel, ShareUpdateExclusiveLock);
	table_close(rel, NoLock);
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (!node->is_local)
			others = lappend_int(others, node->node_id);
	}
	if (others != NIL)
		shoal_xact_run(psprintf("/*shoal local*/ SELECT shoal.internal_note_missed(%d, " INT64_FORMAT ", %s, %s, %s, %s)",
								node_id, seq, quote_literal_cstr(role),
								quote_literal_cstr(path),
								quote_literal_cstr(sql),
								first ? "true" : "false"), others);
}

void
ops_missed_init(void)
{
	shoal_xact_on_missed = note_missed;
}
