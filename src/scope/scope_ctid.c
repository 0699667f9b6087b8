/*
 * scope_ctid.c
 *		The system column ctid of distributed tables.
 *
 * Rows of several shards have the same ctid, but what is made for one server takes
 * it for the place of one row: it removes duplicates by comparing ctids, writes in
 * portions by them, reads a table in ranges of them.  So users see one that is a
 * table's: block b of shard s of n is block b * n + s there.  The order of a
 * shard's rows stays, and if shards are of like size the highest block is about the
 * number of the table's pages.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "storage/itemptr.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"

PG_FUNCTION_INFO_V1(shoal_ctid_of);
PG_FUNCTION_INFO_V1(shoal_ctid_in_shard);
PG_FUNCTION_INFO_V1(shoal_ctids_in_shard);

/* What is known of a relation, in fn_extra. */
typedef struct CtidTable
{
	Oid			relid;
	int			shard;
	int			shard_count;	/* 1: its rows' ctids are left alone */
} CtidTable;

static void
look_up(CtidTable *table, Oid relid)
{
	int			group_id;

	table->relid = relid;
	table->shard = 0;
	table->shard_count = 1;
	if (!shoal_meta_is_shard_schema(get_rel_namespace(relid), &group_id, &table->shard))
		return;
	table->shard_count = Max(1, shoal_meta_group(group_id)->shard_count);
	if (table->shard >= table->shard_count)
		table->shard_count = 1;
}

/* shoal.ctid_of(tableoid, ctid) */
Datum
shoal_ctid_of(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	ItemPointer ctid = (ItemPointer) PG_GETARG_POINTER(1);
	CtidTable  *table = fcinfo->flinfo->fn_extra;
	ItemPointer result;
	uint64		block;

	if (table == NULL)
		table = fcinfo->flinfo->fn_extra =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(CtidTable));
	if (table->relid != relid)
		look_up(table, relid);
	if (table->shard_count == 1)
		PG_RETURN_POINTER(ctid);
	block = (uint64) ItemPointerGetBlockNumberNoCheck(ctid) * table->shard_count +
		table->shard;
	if (block > MaxBlockNumber)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("table \"%s\" has too many pages for the ctids of its rows to be told apart",
						get_rel_name(relid))));
	result = palloc(sizeof(ItemPointerData));
	ItemPointerSet(result, (BlockNumber) block, ItemPointerGetOffsetNumberNoCheck(ctid));
	PG_RETURN_POINTER(result);
}

static ItemPointer
in_shard(ItemPointer ctid, int shard_count)
{
	ItemPointer result = palloc(sizeof(ItemPointerData));

	ItemPointerSet(result, ItemPointerGetBlockNumberNoCheck(ctid) / Max(1, shard_count),
				   ItemPointerGetOffsetNumberNoCheck(ctid));
	return result;
}

/* shoal.ctid_in_shard(ctid, shard_count) */
Datum
shoal_ctid_in_shard(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(in_shard((ItemPointer) PG_GETARG_POINTER(0), PG_GETARG_INT32(1)));
}

/* shoal.ctid_in_shard(ctids, shard_count) */
Datum
shoal_ctids_in_shard(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *values;
	bool	   *nulls;
	int			n;
	int			lbound = 1;

	deconstruct_array(array, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT,
					  &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			values[i] = PointerGetDatum(in_shard((ItemPointer) DatumGetPointer(values[i]),
												 PG_GETARG_INT32(1)));
	}
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, &n, &lbound, TIDOID,
											 sizeof(ItemPointerData), false,
											 TYPALIGN_SHORT));
}
