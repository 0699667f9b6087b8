/*
 * ddl_partition.c
 *		Shard partitions: making them, and giving them their parents' names.
 *
 * A partition is made by core's own DefineRelation, which also makes its
 * indexes, clones row triggers and foreign keys.  That runs as the extension's
 * owner, who alone may create something in a shard's schema; the partition
 * itself belongs to the owner of its parent.  Nothing of the user's is run
 * meanwhile: the partition is empty, and core switches to the table's owner to
 * build indexes.
 *
 * A partition, its indexes and constraints have their parents' names, so that
 * errors read as on one server.  Where a name is taken in the shard's schema
 * (two tables of the same name in different schemas) it is qualified by the
 * parent's schema.
 *
 * The caller holds the cluster lock; the parent is locked ACCESS EXCLUSIVE
 * here, as core does for a new partition.  An error leaves nothing to clean up
 * but the transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/toasting.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/scansup.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "ddl/ddl.h"
#include "meta/meta.h"
#include "scope/scope.h"

/* ---- trees of partitions ---- */

bool
shoal_ddl_is_leaf(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	PartitionKey key = RelationGetPartitionKey(rel);
	bool		leaf;

	leaf = key == NULL || key->strategy == PARTITION_STRATEGY_HASH;
	table_close(rel, AccessShareLock);
	return leaf;
}

List *
shoal_ddl_members(Oid relid, LOCKMODE lockmode)
{
	List	   *members;
	ListCell   *lc;

	if (lockmode != NoLock)
		LockRelationOid(relid, lockmode);
	members = list_make1_oid(relid);
	if (shoal_ddl_is_leaf(relid))
		return members;
	foreach(lc, find_inheritance_children(relid, lockmode))
		members = list_concat(members,
							  shoal_ddl_members(lfirst_oid(lc), lockmode));
	return members;
}

/* ---- storage parameters ---- */

static List *
options_of(Oid relid, char *namespace)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Datum		datum;
	bool		isnull;
	List	   *options = NIL;
	ListCell   *lc;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	datum = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	if (!isnull)
		options = untransformRelOptions(datum);
	ReleaseSysCache(tuple);
	foreach(lc, options)
		lfirst_node(DefElem, lc)->defnamespace = namespace;
	return options;
}

ShoalStorage *
shoal_ddl_storage_of(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	ShoalStorage *storage = palloc0(sizeof(ShoalStorage));

	storage->persistence = rel->rd_rel->relpersistence;
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		List	   *children = find_inheritance_children(relid, NoLock);

		if (children != NIL)
			storage = shoal_ddl_storage_of(linitial_oid(children));
	}
	else
	{
		storage->options = options_of(relid, NULL);
		if (OidIsValid(rel->rd_rel->reltoastrelid))
			storage->options =
				list_concat(storage->options,
							options_of(rel->rd_rel->reltoastrelid, "toast"));
	}
	table_close(rel, AccessShareLock);
	return storage;
}

/* ---- names ---- */

/*
 * The name that something in a shard's schema should have: its parent's, or
 * that qualified by the parent's schema if another relation has it.  self is
 * the thing itself, which may have either already.
 */
static char *
pick_name(Oid nspid, Oid self, Oid parent)
{
	char	   *name = get_rel_name(parent);
	Oid			holder = get_relname_relid(name, nspid);
	char	   *schema;

	if (!OidIsValid(holder) || holder == self)
		return name;
	schema = get_namespace_name(get_rel_namespace(parent));
	name = psprintf("%s.%s", schema, name);
	truncate_identifier(name, strlen(name), false);
	holder = get_relname_relid(name, nspid);
	if (!OidIsValid(holder) || holder == self)
		return name;
	return psprintf("%u", parent);
}

/*
 * Names may have to be swapped, so those that are wrong and whose right ones
 * are taken get out of the way first.
 */
static void
align_relations(List *parents, List *children, bool is_index)
{
	for (int pass = 0; pass < 2; pass++)
	{
		ListCell   *lc1;
		ListCell   *lc2;

		forboth(lc1, parents, lc2, children)
		{
			Oid			parent = lfirst_oid(lc1);
			Oid			child = lfirst_oid(lc2);
			char	   *current = get_rel_name(child);
			char	   *name;

			if (strcmp(current, get_rel_name(parent)) == 0)
				continue;
			name = pick_name(get_rel_namespace(child), child, parent);
			if (pass == 0 && strcmp(name, get_rel_name(parent)) != 0)
				name = psprintf("%u", child);
			if (strcmp(current, name) == 0)
				continue;
			RenameRelationInternal(child, name, true, is_index);
			CommandCounterIncrement();
		}
	}
}

/*
 * Index constraints follow their indexes, and core renames inherited check
 * constraints; what is left are foreign keys.
 */
static void
align_foreign_keys(Relation rel, List *children)
{
	Relation	pg_constraint;
	List	   *keys = shoal_ddl_foreign_keys(RelationGetRelid(rel));
	ListCell   *lc;

	if (keys == NIL)
		return;
	pg_constraint = table_open(ConstraintRelationId, AccessShareLock);
	foreach(lc, keys)
	{
		ShoalForeignKey *fk = lfirst(lc);
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		if (fk->from != RelationGetRelid(rel))
			continue;
		ScanKeyInit(&key, Anum_pg_constraint_conparentid,
					BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(fk->oid));
		scan = systable_beginscan(pg_constraint, ConstraintParentIndexId, true,
								  NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

			if (list_member_oid(children, form->conrelid) &&
				strcmp(NameStr(form->conname), fk->name) != 0 &&
				!ConstraintNameIsUsed(CONSTRAINT_RELATION, form->conrelid,
									  fk->name))
				RenameConstraintById(form->oid, fk->name);
		}
		systable_endscan(scan);
	}
	table_close(pg_constraint, AccessShareLock);
	CommandCounterIncrement();
}

/* Aligns these partitions of a table. */
static void
align_partitions(Relation rel, List *partitions)
{
	List	   *parents = NIL;
	List	   *children = NIL;
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, partitions)
		parents = lappend_oid(parents, RelationGetRelid(rel));
	align_relations(parents, partitions, false);

	parents = NIL;
	foreach(lc, indexes)
	{
		Oid			index = lfirst_oid(lc);
		List	   *parts = find_inheritance_children(index, NoLock);
		ListCell   *part;

		foreach(part, parts)
		{
			Oid			table = IndexGetRelation(lfirst_oid(part), false);

			if (!list_member_oid(partitions, table))
				continue;
			parents = lappend_oid(parents, index);
			children = lappend_oid(children, lfirst_oid(part));
		}
	}
	align_relations(parents, children, true);
	align_foreign_keys(rel, partitions);
}

void
shoal_ddl_align_names(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *partitions = NIL;
	ListCell   *lc;

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		List	   *children = find_inheritance_children(relid, NoLock);

		foreach(lc, children)
		{
			Oid			child = lfirst_oid(lc);
			int			group_id;
			int			shard;

			if (shoal_meta_is_shard_schema(get_rel_namespace(child),
										   &group_id, &shard))
				partitions = lappend_oid(partitions, child);
			else
				shoal_ddl_align_names(child);
		}
	}
	if (partitions != NIL)
		align_partitions(rel, partitions);
	table_close(rel, NoLock);
}

/* ---- making partitions ---- */

/*
 * Foreign keys are checked by queries that name partitions, run as the owner
 * of the table, and who builds an index needs the right to create in the
 * schemas of the partitions.  The partitions themselves are granted to
 * nobody, and the utility hook keeps users' own objects out of the schema.
 */
static void
grant_to_everybody(char *schema)
{
	GrantStmt  *stmt = makeNode(GrantStmt);
	AccessPriv *usage = makeNode(AccessPriv);
	AccessPriv *create = makeNode(AccessPriv);
	RoleSpec   *everybody = makeNode(RoleSpec);

	usage->priv_name = "usage";
	create->priv_name = "create";
	everybody->roletype = ROLESPEC_PUBLIC;
	everybody->location = -1;
	stmt->is_grant = true;
	stmt->targtype = ACL_TARGET_OBJECT;
	stmt->objtype = OBJECT_SCHEMA;
	stmt->objects = list_make1(makeString(schema));
	stmt->privileges = list_make2(usage, create);
	stmt->grantees = list_make1(everybody);
	ExecuteGrantStmt(stmt);
}

/*
 * The schema of a shard; made if it does not exist.  The current user is its
 * owner.
 */
static char *
shard_schema(int group_id, int shard, Oid owner)
{
	char	   *name = shoal_meta_shard_schema(group_id, shard);
	HeapTuple	tuple = SearchSysCache1(NAMESPACENAME, CStringGetDatum(name));

	if (!HeapTupleIsValid(tuple))
	{
		NamespaceCreate(name, owner, false);
		CommandCounterIncrement();
		grant_to_everybody(name);
		CommandCounterIncrement();
		return name;
	}

	/* its owner could do what he likes with the partitions */
	if (((Form_pg_namespace) GETSTRUCT(tuple))->nspowner != owner)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_SCHEMA),
				 errmsg("schema \"%s\" exists and does not belong to the owner of extension \"%s\"",
						name, "shoal"),
				 errhint("Shoal keeps shards in schemas of that name; rename or drop yours.")));
	ReleaseSysCache(tuple);
	return name;
}

/* Replica identity is not inherited. */
static void
set_replica_identity(Oid relid, char type, Oid partition)
{
	ReplicaIdentityStmt *identity;
	AlterTableCmd *cmd;

	if (type == REPLICA_IDENTITY_DEFAULT)
		return;
	identity = makeNode(ReplicaIdentityStmt);
	identity->identity_type = type;
	if (type == REPLICA_IDENTITY_INDEX)
	{
		Relation	rel = table_open(relid, NoLock);
		Oid			index = RelationGetReplicaIndex(rel);
		Relation	child;

		table_close(rel, NoLock);
		if (!OidIsValid(index))
			return;
		child = table_open(partition, NoLock);
		index = index_get_partition(child, index);
		table_close(child, NoLock);
		identity->name = get_rel_name(index);
	}
	cmd = makeNode(AlterTableCmd);
	cmd->subtype = AT_ReplicaIdentity;
	cmd->def = (Node *) identity;
	AlterTableInternal(partition, list_make1(cmd), false);
}

/* The parent is not open: core insists on that for a new partition. */
static Oid
create_one(Form_pg_class parent, const char *schema, int shard,
		   int shard_count, const ShoalStorage *storage)
{
	static SHOAL_OPTION_NAMESPACES namespaces[] = HEAP_RELOPT_NAMESPACES;
	CreateStmt *stmt = makeNode(CreateStmt);
	PartitionBoundSpec *bound = makeNode(PartitionBoundSpec);
	Oid			nspid = get_namespace_oid(schema, false);
	Oid			tablespace = parent->reltablespace;
	ObjectAddress address;
	Datum		toast_options;

	bound->strategy = PARTITION_STRATEGY_HASH;
	bound->modulus = shard_count;
	bound->remainder = shard;
	bound->location = -1;

	stmt->relation = makeRangeVar(pstrdup(schema),
								  pick_name(nspid, InvalidOid,
											parent->oid), -1);
	stmt->relation->relpersistence = storage->persistence;
	stmt->inhRelations =
		list_make1(makeRangeVar(get_namespace_name(parent->relnamespace),
								pstrdup(NameStr(parent->relname)), -1));
	stmt->partbound = bound;
	stmt->options = copyObject(storage->options);
	stmt->oncommit = ONCOMMIT_NOOP;
	stmt->accessMethod = "heap";
	if (!OidIsValid(tablespace))
		tablespace = MyDatabaseTableSpace;
	stmt->tablespacename = get_tablespace_name(tablespace);

	address = DefineRelation(stmt, RELKIND_RELATION, parent->relowner, NULL,
							 NULL);
	CommandCounterIncrement();
	toast_options = transformRelOptions((Datum) 0, stmt->options, "toast",
										namespaces, true, false);
	(void) heap_reloptions(RELKIND_TOASTVALUE, toast_options, true);
	NewRelationCreateToastTable(address.objectId, toast_options);
	set_replica_identity(parent->oid, parent->relreplident, address.objectId);
	return address.objectId;
}

void
shoal_ddl_create_partitions(Oid relid, int group_id, List *shards,
							int shard_count, const ShoalStorage *storage)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	FormData_pg_class parent = *rel->rd_rel;
	Oid			owner = shoal_meta_owner();
	Oid			save_userid;
	int			save_context;
	int			save_nestlevel;
	List	   *partitions = NIL;
	ListCell   *lc;

	table_close(rel, NoLock);
	GetUserIdAndSecContext(&save_userid, &save_context);
	SetUserIdAndSecContext(owner, save_context | SECURITY_LOCAL_USERID_CHANGE);
	save_nestlevel = NewGUCNestLevel();
	(void) set_config_option("default_tablespace", "", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	shoal_scope_enter_local();

	foreach(lc, shards)
	{
		int			shard = lfirst_int(lc);
		char	   *schema = shard_schema(group_id, shard, owner);

		CHECK_FOR_INTERRUPTS();
		partitions = lappend_oid(partitions,
								 create_one(&parent, schema, shard, shard_count,
											storage));
	}
	CommandCounterIncrement();
	rel = table_open(relid, NoLock);
	align_partitions(rel, partitions);
	table_close(rel, NoLock);
	shoal_ddl_mirror_table(relid, group_id);

	shoal_scope_leave_local();
	AtEOXact_GUC(true, save_nestlevel);
	SetUserIdAndSecContext(save_userid, save_context);
}

void
shoal_ddl_create_partition(Oid relid, int group_id, int shard, int shard_count)
{
	shoal_ddl_create_partitions(relid, group_id, list_make1_int(shard),
								shard_count, shoal_ddl_storage_of(relid));
}
