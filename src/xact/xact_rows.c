/*
 * xact_rows.c
 *		Tables of transactions' names, of which each session overwrites its own.
 *
 * shoal.commit_record (xact_record.c) and shoal.last_commit (xact_seen.c) get a
 * row with each distributed transaction, which is of no use when the session has
 * its next one.  So that costs as little as can be: the tables have no index, a
 * session remembers where its rows are and updates them, and there is much room
 * in the pages, so that old versions can be removed by the next look at the page.
 *
 * A row may be deleted by recovery (xact_recover.c) while its session remembers
 * it; then there is another one in its place, or none, and a new one is made.
 * Nobody waits for anybody who changes the same row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "xact/xact_private.h"

Relation
xact_rows_open(const char *table, LOCKMODE mode)
{
	return table_open(get_relname_relid(table,
										get_namespace_oid("shoal", false)),
					  mode);
}

static char *
gid_of(Relation rel, HeapTuple tuple)
{
	bool		isnull;

	return TextDatumGetCString(heap_getattr(tuple, 1, RelationGetDescr(rel),
											&isnull));
}

/* Whether the row is where it was. */
static bool
is_there(Relation rel, const XactRow *row)
{
	HeapTupleData tuple;
	Buffer		buffer;
	bool		found;

	if (ItemPointerGetBlockNumber(&row->tid) >= RelationGetNumberOfBlocks(rel))
		return false;
	buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(&row->tid));
	heap_page_prune_opt(rel, buffer);
	ReleaseBuffer(buffer);
	tuple.t_self = row->tid;
	if (!heap_fetch(rel, SnapshotSelf, &tuple, &buffer, false))
		return false;
	found = strcmp(gid_of(rel, &tuple), row->gid) == 0;
	ReleaseBuffer(buffer);
	return found;
}

void
xact_row_put(Relation rel, const XactRow *old, const char *gid, XactRow *row)
{
	Datum		value = CStringGetTextDatum(gid);
	bool		null = false;
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), &value, &null);
	ItemPointerData tid;
	TM_FailureData failure;

	if (old)
		tid = old->tid;
	if (old == NULL || !is_there(rel, old) ||
		shoal_heap_update(rel, &tid, tuple, &failure) != TM_Ok)
		simple_heap_insert(rel, tuple);
	row->tid = tuple->t_self;
	strlcpy(row->gid, gid, sizeof(row->gid));
}

List *
xact_rows_list(const char *table)
{
	Relation	rel = xact_rows_open(table, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *result = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = lappend(result, gid_of(rel, tuple));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

void
xact_rows_delete(const char *table, List *gids)
{
	int			n = list_length(gids);
	char	  **names = palloc(sizeof(char *) * (n + 1));
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;

	if (n == 0)
		return;
	foreach(lc, gids)
		names[foreach_current_index(lc)] = lfirst(lc);
	qsort(names, n, sizeof(char *), compare_names);
	rel = xact_rows_open(table, RowExclusiveLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		char	   *gid = gid_of(rel, tuple);
		TM_FailureData failure;

		if (bsearch(&gid, names, n, sizeof(char *), compare_names))
			(void) heap_delete(rel, &tuple->t_self, GetCurrentCommandId(true),
							   InvalidSnapshot, false, &failure, false);
		pfree(gid);
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
}
