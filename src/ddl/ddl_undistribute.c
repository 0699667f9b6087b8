/*
 * ddl_undistribute.c
 *		Making a Shoal table a plain local one again.
 *
 * The coordinator reads the table with an ordinary query into a new heap.
 * Then each node drops its partitions and metadata and turns its relation back
 * into a plain table in place (ddl_convert.c): on the coordinator that heap
 * becomes its storage, elsewhere an empty one.  So what hangs on the table
 * stays, and the other nodes keep an empty table, as they have for any local
 * one.
 *
 * One distributed transaction under the cluster lock, with the table locked
 * ACCESS EXCLUSIVE on all nodes before it is read.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "ddl/ddl.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "scope/scope.h"
#include "xact/xact.h"

/* rows fetched at a time */
#define FETCH_ROWS 1000

extern PGDLLEXPORT Datum shoal_undistribute_table(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_internal_undistribute(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(shoal_undistribute_table);
PG_FUNCTION_INFO_V1(shoal_internal_undistribute);

/* ---- rows ---- */

/* The columns that are stored, as an int list and a select list. */
static List *
stored_columns(Relation rel, StringInfo names)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *attnums = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped ||
			(att->attgenerated && att->attgenerated != ATTRIBUTE_GENERATED_STORED))
			continue;
		appendStringInfo(names, "%s%s", attnums == NIL ? "" : ", ",
						 quote_identifier(NameStr(att->attname)));
		attnums = lappend_int(attnums, i + 1);
	}
	return attnums;
}

/* Puts a row of the query into the heap; slot is one of the heap's. */
static void
store_row(Relation heap, TupleTableSlot *slot, HeapTuple row, TupleDesc desc,
		  List *attnums, BulkInsertState bulk)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(desc->natts, 1));
	int			i = 0;
	ListCell   *lc;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true,
		   sizeof(bool) * slot->tts_tupleDescriptor->natts);
	heap_deform_tuple(row, desc, values, nulls);
	foreach(lc, attnums)
	{
		slot->tts_values[lfirst_int(lc) - 1] = values[i];
		slot->tts_isnull[lfirst_int(lc) - 1] = nulls[i];
		i++;
	}
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(heap, slot, GetCurrentCommandId(true), 0, bulk);
	pfree(values);
	pfree(nulls);
}

/*
 * Reads all rows of the table, wherever they are, into the heap.  If row
 * security would hide some from the owner, that is an error.
 */
static void
fill_heap(Relation rel, Oid heapid)
{
	Relation	heap = table_open(heapid, AccessExclusiveLock);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(heap),
													&TTSOpsVirtual);
	BulkInsertState bulk = GetBulkInsertState();
	int			save_nestlevel = NewGUCNestLevel();
	StringInfoData sql;
	List	   *attnums;
	Portal		portal;

	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	attnums = stored_columns(rel, &sql);
	appendStringInfo(&sql, " FROM %s", shoal_objects_relation_name(RelationGetRelid(rel)));

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	portal = SPI_cursor_open_with_args(NULL, sql.data, 0, NULL, NULL, NULL,
									   false, CURSOR_OPT_NO_SCROLL);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			CHECK_FOR_INTERRUPTS();
			store_row(heap, slot, SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
					  attnums, bulk);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();

	AtEOXact_GUC(true, save_nestlevel);
	FreeBulkInsertState(bulk);
	ExecDropSingleTupleTableSlot(slot);
	table_finish_bulk_insert(heap, 0);
	table_close(heap, NoLock);
	CommandCounterIncrement();
}

/* ---- on each node ---- */

static void
drop_partitions(Oid relid)
{
	ObjectAddresses *partitions = new_object_addresses();
	ListCell   *lc;

	foreach(lc, find_inheritance_children(relid, AccessExclusiveLock))
	{
		ObjectAddress address;

		ObjectAddressSet(address, RelationRelationId, lfirst_oid(lc));
		add_exact_object_address(&address, partitions);
	}
	performMultipleDeletions(partitions, DROP_RESTRICT,
							 PERFORM_DELETION_INTERNAL);
	free_object_addresses(partitions);
}

static void
set_options(Oid relid, List *options)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	if (options == NIL)
		return;
	cmd->subtype = AT_SetRelOptions;
	cmd->def = (Node *) options;
	AlterTableInternal(relid, list_make1(cmd), false);
	CommandCounterIncrement();
}

/*
 * Turns a table, or a partition by range or list, into a plain one with the
 * rows of a heap; InvalidOid stands for an empty one.
 */
static void
undistribute_leaf(Oid relid, Oid heap)
{
	ShoalStorage *storage = shoal_ddl_storage_of(relid);
	bool		partitioned = get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;

	if (!OidIsValid(heap))
		heap = shoal_ddl_make_heap(relid, storage->persistence);
	if (partitioned)
		drop_partitions(relid);
	shoal_meta_drop_table(relid);
	if (partitioned)
	{
		shoal_ddl_convert_back(relid, heap);
		set_options(relid, storage->options);
	}
	else
		shoal_ddl_replace_heap(relid, heap);
}

/*
 * The work of one node.  heaps are those that the rows of the leaves are in,
 * in the order of the members; NIL if they are all empty.
 */
static void
undistribute_here(Oid relid, List *heaps)
{
	List	   *members = shoal_ddl_members(relid, AccessExclusiveLock);
	List	   *saved;
	int			i = 0;
	ListCell   *lc;

	shoal_scope_enter_local();
	saved = shoal_ddl_drop_foreign_keys(members);
	foreach(lc, members)
	{
		if (shoal_ddl_is_leaf(lfirst_oid(lc)))
			undistribute_leaf(lfirst_oid(lc),
							  heaps ? list_nth_oid(heaps, i++) : InvalidOid);
		else
			shoal_meta_drop_table(lfirst_oid(lc));
	}
	shoal_ddl_add_foreign_keys(saved);
	shoal_scope_leave_local();
}

/* Reads the rows of each leaf into a heap. */
static List *
gather_rows(Oid relid)
{
	List	   *heaps = NIL;
	ListCell   *lc;

	foreach(lc, shoal_ddl_members(relid, AccessExclusiveLock))
	{
		Oid			leaf = lfirst_oid(lc);
		Relation	rel;
		Oid			heap;

		if (!shoal_ddl_is_leaf(leaf))
			continue;
		heap = shoal_ddl_make_heap(leaf,
								   shoal_ddl_storage_of(leaf)->persistence);
		rel = table_open(leaf, NoLock);
		fill_heap(rel, heap);
		table_close(rel, NoLock);
		heaps = lappend_oid(heaps, heap);
	}
	return heaps;
}

/* ---- the coordinator ---- */

static void
check_member(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	ListCell   *lc;

	CheckTableNotInUse(rel, "undistribute");
	foreach(lc, shoal_ddl_foreign_keys(RelationGetRelid(rel)))
	{
		ShoalForeignKey *fk = lfirst(lc);
		bool		outgoing = fk->from == RelationGetRelid(rel);
		const ShoalTable *other;

		/* references to what every node has are fine, and so are local ones */
		if (fk->from == fk->to)
			continue;
		other = shoal_meta_table(outgoing ? fk->to : fk->from);
		if (other == NULL ||
			(outgoing && other->kind == SHOAL_KIND_REFERENCE))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("foreign key \"%s\" from \"%s\" to \"%s\" could not be enforced",
						fk->name, get_rel_name(fk->from), get_rel_name(fk->to)),
				 errdetail("Table \"%s\" would be local and the other one is not.",
						   RelationGetRelationName(rel)),
				 errhint("Drop the foreign key first.")));
	}
	table_close(rel, NoLock);
}

void
shoal_ddl_undistribute(Oid relid)
{
	const char *name;
	Relation	rel;
	const ShoalTable *table;
	bool		rows_are_here;
	ListCell   *lc;
	List	   *heaps = NIL;

	shoal_ddl_begin_change("shoal.undistribute_table()");
	shoal_xact_note_sole();
	if (shoal_meta_table(relid) != NULL && shoal_owns_table(relid, GetUserId()))
		shoal_ddl_lock_tables(list_make1_oid(relid), AccessExclusiveLock);
	rel = shoal_ddl_open_own_table(relid);
	table = shoal_meta_table(relid);
	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not a distributed, reference or single-shard table",
						RelationGetRelationName(rel))));
	if (rel->rd_rel->relispartition)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" is a partition of a distributed table",
						RelationGetRelationName(rel)),
				 errhint("Detach it first, or undistribute the partitioned table.")));
	table_close(rel, NoLock);
	foreach(lc, shoal_ddl_members(relid, AccessExclusiveLock))
		check_member(lfirst_oid(lc));

	/* rows that came after the snapshot and before the lock would be lost */
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot undistribute a table in a %s transaction",
						XactIsoLevel == XACT_SERIALIZABLE ? "SERIALIZABLE" :
						"REPEATABLE READ"),
				 errhint("Use a READ COMMITTED transaction.")));

	name = shoal_objects_relation_name(relid);
	if (!shoal_meta_is_alone())
		shoal_xact_run(psprintf("/*shoal local*/ LOCK TABLE %s IN ACCESS EXCLUSIVE MODE",
								name), NIL);
	rows_are_here = table->kind == SHOAL_KIND_REFERENCE ||
		(table->kind == SHOAL_KIND_SINGLE &&
		 shoal_meta_group(table->group_id)->all_local);
	if (rows_are_here)
		shoal_meta_drop_table(relid);
	else
	{
		heaps = gather_rows(relid);
		undistribute_here(relid, heaps);
	}
	if (!shoal_meta_is_alone())
	{
		shoal_xact_run(psprintf("/*shoal local*/ SELECT shoal.internal_undistribute(%s::pg_catalog.regclass)",
								quote_literal_cstr(name)), NIL);
		shoal_remote_forget_statements();
	}
}

Datum
shoal_undistribute_table(PG_FUNCTION_ARGS)
{
	shoal_ddl_undistribute(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}

Datum
shoal_internal_undistribute(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	shoal_ddl_begin_internal();
	table_close(shoal_ddl_open_own_table(relid), NoLock);
	undistribute_here(relid, NIL);
	PG_RETURN_VOID();
}
