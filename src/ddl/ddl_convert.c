/*
 * ddl_convert.c
 *		Turning a plain table into a partitioned one in place, and back.
 *
 * A table keeps its OID, so everything that hangs on it (views, grants,
 * policies, triggers, sequences, comments, statistics objects) stays as it is.
 * What changes is what the catalogs say about storage: a partitioned table and
 * its indexes have none.
 *
 * Rows are not touched here.  The table's heap, with its toast table, is first
 * handed to a new plain table that looks the same (the remnant), by swapping
 * the storage columns of the two pg_class rows, as CLUSTER does.  The caller
 * reads the remnant and drops it.  On the way back the caller fills a new heap
 * (shoal_ddl_make_heap) which then becomes the table's storage.
 *
 * All of this is ordinary catalog updates; storage is dropped at commit by
 * core.  The caller holds an ACCESS EXCLUSIVE lock, has seen to it that nothing
 * of this session uses the table (CheckTableNotInUse) and has dropped the
 * foreign keys on and to the table.  An error in the middle needs no cleaning
 * up but the transaction's abort.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/catalog.h"
#include "catalog/heap.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_shdepend.h"
#include "catalog/storage.h"
#include "catalog/toasting.h"
#include "commands/cluster.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "ddl/ddl.h"

/* A copy of a pg_class row that may be changed. */
static HeapTuple
class_tuple(Oid relid)
{
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	return tuple;
}

static void
class_update(HeapTuple tuple)
{
	Relation	pg_class = table_open(RelationRelationId, RowExclusiveLock);

	CatalogTupleUpdate(pg_class, &tuple->t_self, tuple);
	table_close(pg_class, RowExclusiveLock);
	heap_freetuple(tuple);
}

/* ---- handing the rows to another table ---- */

/*
 * Columns that were added with a default have it in pg_attribute for rows
 * that were there before; the other table needs it to read them.
 */
static void
copy_missing_values(Relation from, Oid to)
{
	TupleDesc	desc = RelationGetDescr(from);
	Relation	pg_attribute = NULL;

	for (int i = 0; i < desc->natts; i++)
	{
		HeapTuple	source;
		HeapTuple	target;
		HeapTuple	changed;
		Datum		values[Natts_pg_attribute] = {0};
		bool		nulls[Natts_pg_attribute] = {0};
		bool		replaces[Natts_pg_attribute] = {0};
		Datum		missing;
		bool		isnull;

		if (!TupleDescAttr(desc, i)->atthasmissing)
			continue;
		if (pg_attribute == NULL)
			pg_attribute = table_open(AttributeRelationId, RowExclusiveLock);
		source = SearchSysCache2(ATTNUM, ObjectIdGetDatum(RelationGetRelid(from)),
								 Int16GetDatum(i + 1));
		target = SearchSysCache2(ATTNUM, ObjectIdGetDatum(to),
								 Int16GetDatum(i + 1));
		if (!HeapTupleIsValid(source) || !HeapTupleIsValid(target))
			elog(ERROR, "cache lookup failed for column %d of relation %u",
				 i + 1, RelationGetRelid(from));
		missing = SysCacheGetAttr(ATTNUM, source,
								  Anum_pg_attribute_attmissingval, &isnull);

		values[Anum_pg_attribute_atthasmissing - 1] = BoolGetDatum(true);
		replaces[Anum_pg_attribute_atthasmissing - 1] = true;
		values[Anum_pg_attribute_attmissingval - 1] = missing;
		nulls[Anum_pg_attribute_attmissingval - 1] = isnull;
		replaces[Anum_pg_attribute_attmissingval - 1] = true;
		changed = heap_modify_tuple(target, RelationGetDescr(pg_attribute),
									values, nulls, replaces);
		CatalogTupleUpdate(pg_attribute, &changed->t_self, changed);
		ReleaseSysCache(source);
		ReleaseSysCache(target);
	}
	if (pg_attribute != NULL)
		table_close(pg_attribute, RowExclusiveLock);
}

/* A toast table's only dependency is the one on its table. */
static void
move_toast_dependency(Oid toastid, Oid relid)
{
	ObjectAddress toast;
	ObjectAddress owner;

	if (!OidIsValid(toastid))
		return;
	deleteDependencyRecordsFor(RelationRelationId, toastid, false);
	ObjectAddressSet(toast, RelationRelationId, toastid);
	ObjectAddressSet(owner, RelationRelationId, relid);
	recordDependencyOn(&toast, &owner, DEPENDENCY_INTERNAL);
}

#define SWAP_FIELD(type, a, b, field) \
	do { type tmp_ = (a)->field; (a)->field = (b)->field; (b)->field = tmp_; } while (0)

static void
swap_storage(Oid relid, Oid other)
{
	HeapTuple	tuple1 = class_tuple(relid);
	HeapTuple	tuple2 = class_tuple(other);
	Form_pg_class form1 = (Form_pg_class) GETSTRUCT(tuple1);
	Form_pg_class form2 = (Form_pg_class) GETSTRUCT(tuple2);
	Relation	rel1;
	Relation	rel2;

	SWAP_FIELD(Oid, form1, form2, relfilenode);
	SWAP_FIELD(Oid, form1, form2, reltoastrelid);
	SWAP_FIELD(TransactionId, form1, form2, relfrozenxid);
	SWAP_FIELD(TransactionId, form1, form2, relminmxid);
	SWAP_FIELD(int32, form1, form2, relpages);
	SWAP_FIELD(float4, form1, form2, reltuples);
	SWAP_FIELD(int32, form1, form2, relallvisible);

	shoal_clear_allfrozen(form1);
	shoal_clear_allfrozen(form2);

	/* the relcache must know which storage is new in this transaction */
	rel1 = relation_open(relid, NoLock);
	rel2 = relation_open(other, NoLock);
	rel2->rd_createSubid = rel1->rd_createSubid;
	rel2->rd_newRelfilelocatorSubid = rel1->rd_newRelfilelocatorSubid;
	rel2->rd_firstRelfilelocatorSubid = rel1->rd_firstRelfilelocatorSubid;
	RelationAssumeNewRelfilelocator(rel1);
	relation_close(rel1, NoLock);
	relation_close(rel2, NoLock);

	move_toast_dependency(form1->reltoastrelid, relid);
	move_toast_dependency(form2->reltoastrelid, other);
	class_update(tuple1);
	class_update(tuple2);
	CommandCounterIncrement();
}

/*
 * Hands the table's heap to a new table and returns that; the table itself is
 * left with an empty heap and with indexes that match the old one.
 */
static Oid
hand_over_heap(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	Oid			remnant;

	remnant = make_new_heap(relid, rel->rd_rel->reltablespace,
							rel->rd_rel->relam, rel->rd_rel->relpersistence,
							AccessExclusiveLock);
	copy_missing_values(rel, remnant);
	CommandCounterIncrement();
	swap_storage(relid, remnant);
	return remnant;
}

Oid
shoal_ddl_detach_rows(Oid relid)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	Oid			remnant = InvalidOid;

	if (RelationGetNumberOfBlocks(rel) > 0)
	{
		CheckTableForSerializableConflictIn(rel);
		remnant = hand_over_heap(rel);
	}
	table_close(rel, NoLock);
	if (OidIsValid(remnant))
	{
		ReindexParams params = {0};

		shoal_reindex_relation(relid, 0, &params);
		CommandCounterIncrement();
	}
	return remnant;
}

/* ---- plain to partitioned ---- */

static void
drop_toast(Oid relid)
{
	HeapTuple	tuple = class_tuple(relid);
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	ObjectAddress toast;

	if (!OidIsValid(form->reltoastrelid))
	{
		heap_freetuple(tuple);
		return;
	}
	ObjectAddressSet(toast, RelationRelationId, form->reltoastrelid);
	deleteDependencyRecordsFor(RelationRelationId, form->reltoastrelid, false);
	form->reltoastrelid = InvalidOid;
	class_update(tuple);
	CommandCounterIncrement();
	performDeletion(&toast, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/*
 * Gives a pg_class row the form it has for a partitioned table or index.
 * While a relation has storage, that keeps its tablespace from being dropped;
 * without, pg_shdepend has to.
 */
static void
class_without_storage(Oid relid, char relkind)
{
	HeapTuple	tuple = class_tuple(relid);
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	Relation	pg_class;

	form->relkind = relkind;
	form->relfilenode = InvalidOid;
	form->relpages = 0;
	form->relallvisible = 0;
	shoal_clear_allfrozen(form);
	form->relhassubclass = false;
	if (relkind == RELKIND_PARTITIONED_TABLE)
	{
		form->relam = InvalidOid;
		form->reltuples = -1;
		form->relfrozenxid = InvalidTransactionId;
		form->relminmxid = InvalidMultiXactId;
		if (SHOAL_PARTITIONED_ONLY_PERMANENT)
			form->relpersistence = RELPERSISTENCE_PERMANENT;
	}
	else
		form->reltuples = 0;

	pg_class = table_open(RelationRelationId, RowExclusiveLock);
	if (relkind == RELKIND_PARTITIONED_TABLE)
	{
		Datum		values[Natts_pg_class] = {0};
		bool		nulls[Natts_pg_class] = {0};
		bool		replaces[Natts_pg_class] = {0};

		nulls[Anum_pg_class_reloptions - 1] = true;
		replaces[Anum_pg_class_reloptions - 1] = true;
		tuple = heap_modify_tuple(tuple, RelationGetDescr(pg_class),
								  values, nulls, replaces);
		form = (Form_pg_class) GETSTRUCT(tuple);
	}
	CatalogTupleUpdate(pg_class, &tuple->t_self, tuple);
	table_close(pg_class, RowExclusiveLock);
	if (OidIsValid(form->reltablespace))
		recordDependencyOnTablespace(RelationRelationId, relid,
									 form->reltablespace);
}

static void
convert_index(Oid indexid)
{
	Relation	index = index_open(indexid, AccessExclusiveLock);
	Relation	pg_index;
	HeapTuple	tuple;
	Form_pg_index form;

	RelationDropStorage(index);
	/* a partitioned index is not counted: core would forget that it points here */
	pgstat_unlink_relation(index);
	index_close(index, NoLock);
	class_without_storage(indexid, RELKIND_PARTITIONED_INDEX);
	RemoveStatistics(indexid, 0);

	/* a partitioned table cannot be clustered; the rest is about heap rows */
	pg_index = table_open(IndexRelationId, RowExclusiveLock);
	tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(indexid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	form = (Form_pg_index) GETSTRUCT(tuple);
	form->indisclustered = false;
	form->indcheckxmin = false;
	CatalogTupleUpdate(pg_index, &tuple->t_self, tuple);
	table_close(pg_index, RowExclusiveLock);
	heap_freetuple(tuple);
}

/*
 * Check constraints of a partitioned table have to be inherited by its
 * partitions.  (Those that are made of indexes look the same on a plain and
 * on a partitioned table.)
 */
static void
inherit_check_constraints(Oid relid)
{
	Relation	pg_constraint = table_open(ConstraintRelationId,
										   RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_constraint,
							  ConstraintRelidTypidNameIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
		HeapTuple	copy;

		if (!form->connoinherit || form->contype == CONSTRAINT_PRIMARY ||
			form->contype == CONSTRAINT_UNIQUE ||
			form->contype == CONSTRAINT_TRIGGER)
			continue;
		copy = heap_copytuple(tuple);
		((Form_pg_constraint) GETSTRUCT(copy))->connoinherit = false;
		CatalogTupleUpdate(pg_constraint, &copy->t_self, copy);
		heap_freetuple(copy);
	}
	systable_endscan(scan);
	table_close(pg_constraint, RowExclusiveLock);
}

/* What ANALYZE found out about the table's own rows (or its partitions'). */
static void
remove_statistics(Relation rel, bool inherited)
{
	ListCell   *lc;

	RemoveStatistics(RelationGetRelid(rel), 0);
	foreach(lc, RelationGetStatExtList(rel))
		RemoveStatisticsDataById(lfirst_oid(lc), inherited);
}

/* A parent's partition descriptor says which partitions have partitions. */
static void
invalidate_parent(Relation rel)
{
	if (rel->rd_rel->relispartition)
		CacheInvalidateRelcacheByRelid(get_partition_parent(RelationGetRelid(rel),
															false));
}

static void
store_key(Oid relid, List *keyattrs)
{
	Relation	rel = table_open(relid, NoLock);
	AttrNumber	attrs[PARTITION_MAX_KEYS];
	Oid			opclass[PARTITION_MAX_KEYS];
	Oid			collation[PARTITION_MAX_KEYS];
	int			n = 0;
	ListCell   *lc;

	foreach(lc, keyattrs)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  lfirst_int(lc) - 1);

		attrs[n] = att->attnum;
		opclass[n] = GetDefaultOpClass(att->atttypid, HASH_AM_OID);
		collation[n] = att->attcollation;
		n++;
	}
	StorePartitionKey(rel, PARTITION_STRATEGY_HASH, n, attrs, NIL, opclass,
					  collation);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

Oid
shoal_ddl_convert(Oid relid, List *keyattrs)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	Oid			remnant = InvalidOid;
	List	   *indexes;
	ListCell   *lc;

	Assert(rel->rd_rel->relkind == RELKIND_RELATION);
	CheckTableForSerializableConflictIn(rel);
	if (RelationGetNumberOfBlocks(rel) > 0)
		remnant = hand_over_heap(rel);

	remove_statistics(rel, false);
	RelationClearMissing(rel);
	CommandCounterIncrement();

	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
		convert_index(lfirst_oid(lc));
	inherit_check_constraints(relid);
	RelationDropStorage(rel);
	invalidate_parent(rel);
	table_close(rel, NoLock);
	drop_toast(relid);
	class_without_storage(relid, RELKIND_PARTITIONED_TABLE);
	CommandCounterIncrement();
	store_key(relid, keyattrs);
	return remnant;
}

/* ---- partitioned to plain ---- */

Oid
shoal_ddl_make_heap(Oid relid, char persistence)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	Oid			heap;

	heap = make_new_heap(relid, rel->rd_rel->reltablespace, HEAP_TABLE_AM_OID,
						 persistence, AccessExclusiveLock);
	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		NewHeapCreateToastTable(heap, (Datum) 0, AccessExclusiveLock,
								InvalidOid);
	table_close(rel, NoLock);
	return heap;
}

static void
drop_key(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	HeapTuple	tuple;
	oidvector  *opclasses;
	Datum		datum;
	bool		isnull;

	/* its columns belonged to it, and it used operator classes */
	deleteDependencyRecordsForSpecific(RelationRelationId, relid,
									   DEPENDENCY_INTERNAL,
									   RelationRelationId, relid);
	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for partition key of relation %u",
			 relid);
	datum = SysCacheGetAttr(PARTRELID, tuple,
							Anum_pg_partitioned_table_partclass, &isnull);
	opclasses = (oidvector *) DatumGetPointer(datum);
	for (int i = 0; i < opclasses->dim1; i++)
		deleteDependencyRecordsForSpecific(RelationRelationId, relid,
										   DEPENDENCY_NORMAL,
										   OperatorClassRelationId,
										   opclasses->values[i]);
	ReleaseSysCache(tuple);
	RemovePartitionKeyByRelId(relid);

	/* core takes it that a table's key never changes, and keeps it */
	if (rel->rd_partkeycxt != NULL)
		MemoryContextDelete(rel->rd_partkeycxt);
	rel->rd_partkeycxt = NULL;
	rel->rd_partkey = NULL;
	CacheInvalidateRelcache(rel);
	table_close(rel, NoLock);
}

/* The partitions' constraints follow from the key, and are kept with them. */
static void
invalidate_partitions(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_inheritance_children(relid, NoLock))
		CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
}

void
shoal_ddl_replace_key(Oid relid, List *keyattrs)
{
	drop_key(relid);
	store_key(relid, keyattrs);
	invalidate_partitions(relid);
	CommandCounterIncrement();
}

/* A new and empty file; removed again if the transaction aborts. */
static RelFileNumber
create_storage(Oid tablespace, char persistence)
{
	Relation	pg_class = table_open(RelationRelationId, RowExclusiveLock);
	RelFileNumber number;

	number = GetNewRelFileNumber(tablespace, pg_class, persistence);
	table_close(pg_class, RowExclusiveLock);
	{
		RelFileLocator locator = {
			OidIsValid(tablespace) ? tablespace : MyDatabaseTableSpace,
			MyDatabaseId, number
		};

		smgrclose(RelationCreateStorage(locator, persistence, true));
	}
	return number;
}

/*
 * With storage the dependency on the tablespace is not needed any more.
 * (changeDependencyOnTablespace would delete those on the owner and on
 * grantees too.)
 */
static void
forget_tablespace(Oid relid)
{
	Relation	pg_shdepend = table_open(SharedDependRelationId,
										 RowExclusiveLock);
	ScanKeyData key[3];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_shdepend_dbid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(MyDatabaseId));
	ScanKeyInit(&key[1], Anum_pg_shdepend_classid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[2], Anum_pg_shdepend_objid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_shdepend, SharedDependDependerIndexId, true,
							  NULL, 3, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		if (form->deptype == SHARED_DEPENDENCY_TABLESPACE)
			CatalogTupleDelete(pg_shdepend, &tuple->t_self);
	}
	systable_endscan(scan);
	table_close(pg_shdepend, RowExclusiveLock);
}

/* The other way than class_without_storage; the storage is empty. */
static void
class_with_storage(Oid relid, char relkind, char persistence)
{
	HeapTuple	tuple = class_tuple(relid);
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

	form->relkind = relkind;
	form->relpersistence = persistence;
	form->relhassubclass = false;
	form->relfilenode = create_storage(form->reltablespace, persistence);
	if (OidIsValid(form->reltablespace))
		forget_tablespace(relid);
	if (relkind == RELKIND_RELATION)
		form->relam = HEAP_TABLE_AM_OID;
	class_update(tuple);
}

void
shoal_ddl_convert_back(Oid relid, Oid heap)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	HeapTuple	tuple = class_tuple(heap);
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	Assert(rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE);
	remove_statistics(rel, true);
	invalidate_parent(rel);
	table_close(rel, NoLock);

	drop_key(relid);
	foreach(lc, indexes)
	{
		LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
		class_with_storage(lfirst_oid(lc), RELKIND_INDEX,
						   form->relpersistence);
	}
	class_with_storage(relid, RELKIND_RELATION, form->relpersistence);
	CommandCounterIncrement();

	heap_freetuple(tuple);
	shoal_ddl_replace_heap(relid, heap);
}

void
shoal_ddl_replace_heap(Oid relid, Oid heap)
{
	HeapTuple	tuple = class_tuple(heap);
	Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

	/* gives the table the new heap, builds the indexes, drops the rest */
	finish_heap_swap(relid, heap, false, false, false, true,
					 form->relfrozenxid, form->relminmxid,
					 form->relpersistence);
	heap_freetuple(tuple);
	CommandCounterIncrement();
}
