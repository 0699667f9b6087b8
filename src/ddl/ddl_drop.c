/*
 * ddl_drop.c
 *		Forgetting tables that are dropped.
 *
 * Every node drops its own relation (DROP is forwarded as it stands), so each
 * deletes its own metadata when core tells that a relation goes away, whatever
 * statement that was: DROP TABLE, SCHEMA, OWNED, EXTENSION or a cascade.  When
 * the table is dropped its partitions have gone before it, so that the shards'
 * schemas of a group are empty with its last table.
 *
 * For this, and since shards' schemas let everybody create in them (see
 * ddl_partition.c), nothing of users' own may be made there, by whatever way.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_settings.h"

#include "ddl/ddl.h"
#include "meta/meta.h"

static object_access_hook_type next_object_access = NULL;

/*
 * Dropping the extension drops its tables one by one.  Without them rows on
 * other nodes would be out of reach; so not while tables are distributed.
 */
static void
check_drop_of_metadata(Oid relid)
{
	char	   *name = get_rel_name(relid);
	Relation	rel;
	SysScanDesc scan;
	bool		used;

	if (name == NULL || strcmp(name, "distributed_table") != 0 ||
		get_rel_namespace(relid) != get_namespace_oid("shoal", true) ||
		shoal_origin > 0 || !shoal_forward_ddl)
		return;
	rel = table_open(relid, NoLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	used = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, NoLock);
	if (used)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop extension \"%s\" while there are distributed, reference or single-shard tables",
						"shoal"),
				 errhint("Drop them, or call shoal.undistribute_table() for each; the view shoal.tables lists them.")));
}

/* Is a new object of a kind that only comes with a table or an index? */
static bool
comes_with_relation(Oid class_id, HeapTuple tuple)
{
	if (class_id == ConstraintRelationId)
		return true;
	if (class_id == RelationRelationId)
		return ((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_INDEX ||
			((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_PARTITIONED_INDEX;
	if (class_id == TypeRelationId)
		return ((Form_pg_type) GETSTRUCT(tuple))->typtype == TYPTYPE_COMPOSITE ||
			((Form_pg_type) GETSTRUCT(tuple))->typcategory == TYPCATEGORY_ARRAY;
	return false;
}

/* The object is not visible to catalog caches yet. */
static void
check_creation(Oid class_id, Oid object_id)
{
	AttrNumber	attnum;
	Relation	catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!is_objectclass_supported(class_id) ||
		(attnum = get_object_attnum_namespace(class_id)) == InvalidAttrNumber)
		return;
	catalog = table_open(class_id, AccessShareLock);
	ScanKeyInit(&key, get_object_attnum_oid(class_id), BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(object_id));
	scan = systable_beginscan(catalog, get_object_oid_index(class_id), true,
							  SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) && !comes_with_relation(class_id, tuple))
	{
		bool		isnull;
		Oid			nspid = DatumGetObjectId(heap_getattr(tuple, attnum,
														  RelationGetDescr(catalog),
														  &isnull));
		int			group_id;
		int			shard;

		if (shoal_meta_is_shard_schema(nspid, &group_id, &shard))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("schema \"%s\" holds a shard of distributed tables",
							get_namespace_name(nspid)),
					 errhint("Use another schema.")));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}

static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
				 int sub_id, void *arg)
{
	if (next_object_access)
		next_object_access(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0 &&
		shoal_meta_table(object_id) != NULL)
		shoal_meta_drop_table(object_id);

	if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0)
		check_drop_of_metadata(object_id);

	/* partitions are made as the extension's owner, a superuser */
	if (access == OAT_POST_CREATE && sub_id == 0 && !superuser() &&
		!((ObjectAccessPostCreate *) arg)->is_internal && shoal_meta_enabled())
		check_creation(class_id, object_id);
}

void
shoal_ddl_drop_init(void)
{
	next_object_access = object_access_hook;
	object_access_hook = on_object_access;
}
