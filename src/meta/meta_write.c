/*
 * meta_write.c
 *		Changing this node's copy of the metadata.
 *
 * Rows are written with the functions that core uses for its catalogs, which
 * need no rights of the current user and fire no triggers.  Callers check
 * rights and hold the cluster lock, so there is one writer at a time.  Each
 * function sends its invalidations first and ends with a command counter
 * increment, at which they take effect in this backend; others get them at
 * commit.  An error undoes everything with its transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_user_mapping.h"
#include "access/reloptions.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "meta/meta_tables.h"

PG_FUNCTION_INFO_V1(shoal_meta_changed);
PG_FUNCTION_INFO_V1(shoal_fdw_validator);

/* ---- rows ---- */

static Relation
open_for_write(ShoalMetaRel which)
{
	if (!shoal_meta_enabled())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"shoal\" is not created in this database"),
				 errhint("Use CREATE EXTENSION shoal.")));
	return table_open(shoal_meta_relid(which), RowExclusiveLock);
}

static void
insert_row(ShoalMetaRel which, Datum *values)
{
	Relation	rel = open_for_write(which);
	bool		nulls[SHOAL_PLACEMENT_NATTS] = {false};
	HeapTuple	tuple;

	/* only a move of a shard sets it, by SQL */
	nulls[SHOAL_PLACEMENT_REPLACES - 1] = which == SHOAL_REL_PLACEMENT;
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);

	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
}

/* Deletes the rows whose primary key begins with these integers. */
static void
delete_rows(ShoalMetaRel which, int nkeys, const int *keys)
{
	Relation	rel = open_for_write(which);
	ScanKeyData scankeys[3];
	SysScanDesc scan;
	HeapTuple	tuple;

	Assert(nkeys <= lengthof(scankeys));
	for (int i = 0; i < nkeys; i++)
		ScanKeyInit(&scankeys[i], i + 1, BTEqualStrategyNumber, F_INT4EQ,
					Int32GetDatum(keys[i]));
	scan = systable_beginscan(rel, shoal_primary_key_index(rel), true, NULL,
							  nkeys, scankeys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(rel, &tuple->t_self);
	systable_endscan(scan);
	CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
}

/* Plans made for the tables of the group are to be made again. */
static void
invalidate_group(int group_id)
{
	ListCell   *lc;
	List	   *oids = shoal_meta_table_oids(group_id);

	foreach(lc, oids)
		shoal_meta_invalidate_table(lfirst_oid(lc));
	list_free(oids);
}

/* ---- groups ---- */

void
shoal_meta_add_group(int group_id, char kind, int shard_count, int replicas,
					 bool closed)
{
	Datum		values[SHOAL_GROUP_NATTS];

	values[SHOAL_GROUP_ID - 1] = Int32GetDatum(group_id);
	values[SHOAL_GROUP_KIND - 1] = CharGetDatum(kind);
	values[SHOAL_GROUP_SHARD_COUNT - 1] = Int32GetDatum(shard_count);
	values[SHOAL_GROUP_REPLICAS - 1] = Int32GetDatum(replicas);
	values[SHOAL_GROUP_CLOSED - 1] = BoolGetDatum(closed);
	insert_row(SHOAL_REL_GROUP, values);
	CommandCounterIncrement();
}

/*
 * Shard schemas are dropped only if they are empty: what a user has put there
 * must not vanish with a table of ours.
 */
static void
drop_shard_schemas(const ShoalGroup *group)
{
	ObjectAddresses *schemas = new_object_addresses();

	for (int shard = 0; shard < group->shard_count; shard++)
	{
		char	   *name = shoal_meta_shard_schema(group->group_id, shard);
		ObjectAddress address;
		Oid			nspid = get_namespace_oid(name, true);

		pfree(name);
		if (!OidIsValid(nspid))
			continue;
		ObjectAddressSet(address, NamespaceRelationId, nspid);
		add_exact_object_address(&address, schemas);
	}
	performMultipleDeletions(schemas, DROP_RESTRICT,
							 PERFORM_DELETION_INTERNAL |
							 PERFORM_DELETION_QUIETLY);
	free_object_addresses(schemas);
}

void
shoal_meta_drop_group(int group_id)
{
	const ShoalGroup *group = shoal_meta_find_group(group_id);

	if (group == NULL)
		return;
	invalidate_group(group_id);
	if (group->kind == SHOAL_KIND_DISTRIBUTED)
		drop_shard_schemas(group);
	delete_rows(SHOAL_REL_PLACEMENT, 1, &group_id);
	delete_rows(SHOAL_REL_GROUP, 1, &group_id);
	CommandCounterIncrement();
}

int
shoal_meta_next_group_id(void)
{
	Relation	rel = open_for_write(SHOAL_REL_GROUP);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0,
										  NULL);
	HeapTuple	tuple;
	int			last = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		int			group_id;

		group_id = DatumGetInt32(heap_getattr(tuple, SHOAL_GROUP_ID,
											  RelationGetDescr(rel), &isnull));
		last = Max(last, group_id);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	return last + 1;
}

void
shoal_meta_set_replicas(int group_id, int replicas)
{
	const ShoalGroup *group = shoal_meta_group(group_id);
	char		kind = group->kind;
	int			shard_count = group->shard_count;
	bool		closed = group->closed;

	delete_rows(SHOAL_REL_GROUP, 1, &group_id);
	invalidate_group(group_id);
	shoal_meta_add_group(group_id, kind, shard_count, replicas, closed);
}

/* ---- tables ---- */

void
shoal_meta_add_table(Oid relid, char kind, int group_id)
{
	Datum		values[SHOAL_TABLE_NATTS];

	values[SHOAL_TABLE_RELID - 1] = ObjectIdGetDatum(relid);
	values[SHOAL_TABLE_KIND - 1] = CharGetDatum(kind);
	values[SHOAL_TABLE_GROUP - 1] = Int32GetDatum(group_id);
	insert_row(SHOAL_REL_TABLE, values);
	shoal_meta_invalidate_table(relid);
	CommandCounterIncrement();
}

/* Deletes a table's row; returns its group, 0 if there was no row. */
static int
delete_table_row(Oid relid)
{
	Relation	rel = open_for_write(SHOAL_REL_TABLE);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			group_id = 0;
	bool		isnull;

	ScanKeyInit(&key, SHOAL_TABLE_RELID, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, shoal_primary_key_index(rel), true, NULL,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		group_id = DatumGetInt32(heap_getattr(tuple, SHOAL_TABLE_GROUP,
											  RelationGetDescr(rel), &isnull));
		CatalogTupleDelete(rel, &tuple->t_self);
		CacheInvalidateRelcache(rel);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	return group_id;
}

void
shoal_meta_drop_table(Oid relid)
{
	int			group_id = delete_table_row(relid);
	List	   *others;

	if (group_id == 0)
		return;
	shoal_meta_invalidate_table(relid);
	CommandCounterIncrement();
	others = shoal_meta_table_oids(group_id);
	if (others == NIL)
		shoal_meta_drop_group(group_id);
	list_free(others);
}

/* ---- placements ---- */

void
shoal_meta_add_placement(int group_id, int shard, int node_id,
						 const char *role, const char *state)
{
	Datum		values[SHOAL_PLACEMENT_NATTS];

	values[SHOAL_PLACEMENT_GROUP - 1] = Int32GetDatum(group_id);
	values[SHOAL_PLACEMENT_SHARD - 1] = Int32GetDatum(shard);
	values[SHOAL_PLACEMENT_NODE - 1] = Int32GetDatum(node_id);
	values[SHOAL_PLACEMENT_ROLE - 1] = CStringGetTextDatum(role);
	values[SHOAL_PLACEMENT_STATE - 1] = CStringGetTextDatum(state);
	insert_row(SHOAL_REL_PLACEMENT, values);
	invalidate_group(group_id);
	CommandCounterIncrement();
}

void
shoal_meta_set_placement(int group_id, int shard, int node_id,
						 const char *role, const char *state)
{
	int			keys[] = {group_id, shard, node_id};

	delete_rows(SHOAL_REL_PLACEMENT, 3, keys);
	shoal_meta_add_placement(group_id, shard, node_id, role, state);
}

void
shoal_meta_drop_placement(int group_id, int shard, int node_id)
{
	int			keys[] = {group_id, shard, node_id};

	delete_rows(SHOAL_REL_PLACEMENT, 3, keys);
	invalidate_group(group_id);
	CommandCounterIncrement();
}

/* ---- invalidation ---- */

void
shoal_meta_invalidate_table(Oid relid)
{
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		CacheInvalidateRelcacheByRelid(relid);
}

/*
 * Everything: which tables were Shoal's before the change cannot be told
 * afterwards, and plans on those have to go, too.
 */
void
shoal_meta_invalidate_all(void)
{
	CacheInvalidateRelcacheAll();
}

/* Statement trigger on the metadata tables, for changes made by hand. */
Datum
shoal_meta_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager",
						"shoal.meta_changed")));
	shoal_meta_invalidate_all();
	return PointerGetDatum(NULL);
}

/* ---- options of servers and user mappings ---- */

/*
 * Only a superuser may say which role a connection is for: Shoal relies on
 * connecting as the role that runs the statement.
 */
Datum
shoal_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);
		bool		known = false;

		if (catalog == ForeignServerRelationId)
			known = strcmp(def->defname, "host") == 0 ||
				strcmp(def->defname, "port") == 0 ||
				strcmp(def->defname, "dbname") == 0;
		else if (catalog == UserMappingRelationId)
			known = strcmp(def->defname, "user") == 0 ||
				strcmp(def->defname, "password") == 0;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("invalid option \"%s\"", def->defname),
					 errhint("A node's server has the options host, port and dbname, a user mapping user and password.")));

		if (strcmp(def->defname, "port") == 0)
		{
			int32		port = pg_strtoint32(defGetString(def));

			if (port < 1 || port > 65535)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("port %d is out of range", port)));
		}
		if (strcmp(def->defname, "user") == 0 && !superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be superuser to set option \"user\" of a user mapping"),
					 errhint("Without it, connections are made as the mapping's own role.")));
	}
	PG_RETURN_VOID();
}

Oid
shoal_meta_owner(void)
{
	Relation	pg_extension = table_open(ExtensionRelationId, AccessShareLock);
	Oid			owner = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("shoal"));
	scan = systable_beginscan(pg_extension, ExtensionNameIndexId, true, NULL,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(pg_extension, AccessShareLock);
	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" does not exist", "shoal")));
	return owner;
}
