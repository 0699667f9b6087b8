/*
 * ddl_partitioned.c
 *		What core refuses on a partitioned table but takes on a plain one.
 *
 * A user of a distributed table need not know that it is partitioned.  The
 * parts of an ALTER TABLE that core does not take for it are taken out of the
 * statement and done to the shard partitions that are on this node, as every
 * node does:
 *
 *	storage parameters, SET ACCESS METHOD, CLUSTER ON and SET WITHOUT CLUSTER:
 *	on the partitions only;
 *
 *	SET LOGGED and UNLOGGED: on the partitions, and marked on the table;
 *
 *	SET TABLESPACE, REPLICA IDENTITY, column options: on the table and the
 *	partitions, which core leaves alone;
 *
 *	ADD FOREIGN KEY ... NOT VALID (core can from 18 on): core adds it as valid
 *	without looking at the rows, then it is marked as not valid; VALIDATE
 *	CONSTRAINT goes to the partitions;
 *
 *	ADD UNIQUE or PRIMARY KEY ... USING INDEX: the index is dropped and built
 *	again for the constraint;
 *
 *	ALTER INDEX SET and RESET: on the partitions' indexes;
 *
 *	DROP INDEX CONCURRENTLY: not concurrently;
 *
 *	TABLESPACE pg_default, or whichever is the database's: left out, which is the
 *	same;
 *
 *	CHECK ... NO INHERIT: on the partitions, too.
 *
 *	ONLY means the table with its shards, as without them there is no table.
 *
 * Identity columns by ADD COLUMN (core can from 17 on) are made by ddl_columns.c.
 * Left are exclusion constraints (core can from 17 on), row triggers with
 * transition tables, CREATE STATISTICS for single partitions.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

/* ---- partitions ---- */

bool
shoal_ddl_is_distributed(Oid relid)
{
	const ShoalTable *table = shoal_meta_table(relid);

	return table != NULL && table->kind == SHOAL_KIND_DISTRIBUTED;
}

bool
shoal_ddl_has_shards(Oid relid)
{
	Relation	rel;
	bool		result;

	if (!shoal_ddl_is_distributed(relid))
		return false;
	rel = table_open(relid, AccessShareLock);
	result = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		RelationGetPartitionKey(rel)->strategy == PARTITION_STRATEGY_HASH;
	table_close(rel, NoLock);
	return result;
}

List *
shoal_ddl_local_partitions(Oid relid)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		Oid			child = lfirst_oid(lc);
		int			group_id;
		int			shard;

		if (shoal_meta_is_shard_schema(get_rel_namespace(child), &group_id, &shard))
			result = lappend_oid(result, child);
		else
			result = list_concat(result, shoal_ddl_local_partitions(child));
	}
	return result;
}

static void
require_owner(Oid relid)
{
	if (!shoal_owns_table(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}

/*
 * Commands for a partition: it has an index for the one that they name, mostly of
 * the same name.
 */
static List *
commands_for(Oid relid, List *cmds)
{
	Relation	rel = relation_open(relid, NoLock);
	ListCell   *lc;

	cmds = copyObject(cmds);
	foreach(lc, cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		char	  **name = NULL;
		Oid			index;

		if (!rel->rd_rel->relispartition)
			break;
		if (cmd->subtype == AT_ClusterOn)
			name = &cmd->name;
		else if (cmd->subtype == AT_ReplicaIdentity)
			name = &((ReplicaIdentityStmt *) cmd->def)->name;
		if (name == NULL || *name == NULL)
			continue;
		index = get_relname_relid(*name, get_rel_namespace(get_partition_parent(relid, false)));
		if (OidIsValid(index) && get_rel_relkind(index) == RELKIND_PARTITIONED_INDEX)
			index = index_get_partition(rel, index);
		if (OidIsValid(index))
			*name = get_rel_name(index);
	}
	relation_close(rel, NoLock);
	return cmds;
}

static void
alter_each(List *relids, List *cmds)
{
	ListCell   *lc;

	shoal_scope_enter_local();
	foreach(lc, relids)
	{
		CHECK_FOR_INTERRUPTS();
		LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
		AlterTableInternal(lfirst_oid(lc), commands_for(lfirst_oid(lc), cmds), false);
		CommandCounterIncrement();
	}
	shoal_scope_leave_local();
}

/* ---- NOT VALID foreign keys ---- */

/* Sets convalidated of a constraint and of those made from it. */
static void
set_validated(Oid constraint, bool validated)
{
	Relation	pg_constraint = table_open(ConstraintRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(constraint));
	List	   *children = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	child;
	ListCell   *lc;

	if (HeapTupleIsValid(tuple))
	{
		((Form_pg_constraint) GETSTRUCT(tuple))->convalidated = validated;
		CatalogTupleUpdate(pg_constraint, &tuple->t_self, tuple);
	}
	ScanKeyInit(&key, Anum_pg_constraint_conparentid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(constraint));
	scan = systable_beginscan(pg_constraint, ConstraintParentIndexId, true,
							  NULL, 1, &key);
	while (HeapTupleIsValid(child = systable_getnext(scan)))
		children = lappend_oid(children, ((Form_pg_constraint) GETSTRUCT(child))->oid);
	systable_endscan(scan);
	table_close(pg_constraint, NoLock);
	foreach(lc, children)
		set_validated(lfirst_oid(lc), validated);
}

static List *
foreign_key_oids(Oid relid)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, shoal_ddl_foreign_keys(relid))
	{
		ShoalForeignKey *fk = (ShoalForeignKey *) lfirst(lc);

		if (fk->from == relid)
			result = lappend_oid(result, fk->oid);
	}
	return result;
}

static bool
is_not_valid_foreign_key(AlterTableCmd *cmd)
{
	Constraint *con = (Constraint *) cmd->def;

	return SHOAL_PG_MAJOR < 18 && cmd->subtype == AT_AddConstraint &&
		IsA(con, Constraint) && con->contype == CONSTR_FOREIGN &&
		con->skip_validation;
}

/* The constraint that a partition has for one of its parent's. */
static Oid
child_constraint(Oid constraint, Oid partition)
{
	Relation	pg_constraint = table_open(ConstraintRelationId, AccessShareLock);
	Oid			result = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_conparentid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(constraint));
	scan = systable_beginscan(pg_constraint, ConstraintParentIndexId, true,
							  NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->conrelid == partition)
			result = form->oid;
	}
	systable_endscan(scan);
	table_close(pg_constraint, AccessShareLock);
	return result;
}

/*
 * Core has marked the table's foreign key as valid, without a look at the
 * partitions.
 */
static void
validate_partitions(Oid relid, Oid constraint)
{
	ListCell   *lc;

	foreach(lc, find_inheritance_children(relid, NoLock))
	{
		Oid			child = child_constraint(constraint, lfirst_oid(lc));
		AlterTableCmd *cmd = makeNode(AlterTableCmd);

		if (!OidIsValid(child))
			continue;
		cmd->subtype = AT_ValidateConstraint;
		cmd->name = get_constraint_name(child);
		alter_each(list_make1_oid(lfirst_oid(lc)), list_make1(cmd));
		validate_partitions(lfirst_oid(lc), child);
	}
}

static void
validate_foreign_key(Oid relid, const char *name)
{
	Oid			constraint = get_relation_constraint_oid(relid, name, true);

	if (list_member_oid(foreign_key_oids(relid), constraint))
		validate_partitions(relid, constraint);
}

/* ---- USING INDEX ---- */

static void
refuse_index(Relation index, int code, const char *why)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("index \"%s\" cannot become a constraint",
					RelationGetRelationName(index)),
			 errdetail("It %s.", why)));
}

/* Is a key of the index what a constraint would make of the column? */
static bool
is_plain_key(Relation index, int key)
{
	Oid			relid = index->rd_index->indrelid;
	AttrNumber	attno = index->rd_index->indkey.values[key];
	bool		isnull;
	Datum		classes = SysCacheGetAttr(INDEXRELID, index->rd_indextuple,
										  Anum_pg_index_indclass, &isnull);
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(relid, attno, &type, &typmod, &collation);
	return index->rd_indoption[key] == 0 &&
		index->rd_indcollation[key] == collation &&
		((oidvector *) DatumGetPointer(classes))->values[key] ==
		GetDefaultOpClass(type, BTREE_AM_OID) &&
		get_attoptions(RelationGetRelid(index), key + 1) == (Datum) 0;
}

/* Fills in the constraint's columns; raises what core would. */
static void
index_columns(Oid index, Constraint *con)
{
	Relation	rel = index_open(index, AccessShareLock);

	if (OidIsValid(get_index_constraint(index)))
		refuse_index(rel, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					 "belongs to a constraint already");
	if (!rel->rd_index->indisvalid)
		refuse_index(rel, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "is not valid");
	if (!rel->rd_index->indisunique)
		refuse_index(rel, ERRCODE_WRONG_OBJECT_TYPE, "is not unique");
	if (RelationGetIndexExpressions(rel) != NIL || RelationGetIndexPredicate(rel) != NIL)
		refuse_index(rel, ERRCODE_WRONG_OBJECT_TYPE,
					 "contains expressions or is partial");
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
	{
		char	   *name = get_attname(rel->rd_index->indrelid,
									   rel->rd_index->indkey.values[i], false);

		if (i >= rel->rd_index->indnkeyatts)
			con->including = lappend(con->including, makeString(name));
		else if (is_plain_key(rel, i))
			con->keys = lappend(con->keys, makeString(name));
		else
			refuse_index(rel, ERRCODE_WRONG_OBJECT_TYPE,
						 psprintf("does not sort by column \"%s\" in the default way", name));
	}
	con->nulls_not_distinct = rel->rd_index->indnullsnotdistinct;
	index_close(rel, NoLock);
}

static void
drop_index(ShoalUtility *call, Oid index)
{
	DropStmt   *drop = makeNode(DropStmt);

	drop->removeType = OBJECT_INDEX;
	drop->objects = list_make1(list_make2(makeString(get_namespace_name(get_rel_namespace(index))),
										  makeString(get_rel_name(index))));
	drop->behavior = DROP_RESTRICT;
	shoal_ddl_core_statement(call, (Node *) drop);
}

static void
replace_using_index(ShoalUtility *call, Oid relid, Constraint *con)
{
	Oid			index = get_relname_relid(con->indexname, get_rel_namespace(relid));

	if (!OidIsValid(index) || get_rel_relkind(index) != RELKIND_PARTITIONED_INDEX ||
		IndexGetRelation(index, true) != relid)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("index \"%s\" does not exist", con->indexname)));
	require_owner(relid);
	index_columns(index, con);
	if (con->conname == NULL)
		con->conname = con->indexname;
	con->indexname = NULL;
	drop_index(call, index);
}

/* ---- SET LOGGED and UNLOGGED ---- */

/*
 * Core compares the persistence of tables with foreign keys to each other, and
 * finds the partitioned tables, whose own means nothing otherwise.  Before 18
 * it is kept as it is for the partitions; since then partitioned tables have
 * to be permanent and show what they are just while core compares.
 */
static List *
show_persistence(List *shown, Oid relid, char persistence)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		if (form->relkind == RELKIND_PARTITIONED_TABLE &&
			form->relpersistence != persistence)
		{
			Relation	pg_class = table_open(RelationRelationId, RowExclusiveLock);

			form->relpersistence = persistence;
			CatalogTupleUpdate(pg_class, &tuple->t_self, tuple);
			table_close(pg_class, RowExclusiveLock);
			if (SHOAL_PARTITIONED_ONLY_PERMANENT)
				shown = lappend_oid(shown, lfirst_oid(lc));
		}
		heap_freetuple(tuple);
	}
	CommandCounterIncrement();
	return shown;
}

/* All that a table's foreign keys lead to, and the table as it is going to be. */
static List *
show_all_persistence(AlterTableStmt *stmt, Oid relid)
{
	List	   *shown = NIL;
	ListCell   *lc;

	foreach(lc, shoal_ddl_foreign_keys(relid))
	{
		ShoalForeignKey *fk = (ShoalForeignKey *) lfirst(lc);
		Oid			other = fk->from == relid ? fk->to : fk->from;

		if (SHOAL_PARTITIONED_ONLY_PERMANENT && shoal_ddl_is_distributed(other))
			shown = show_persistence(shown, other,
									 shoal_ddl_storage_of(other)->persistence);
	}
	foreach(lc, stmt->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;

		if (shoal_ddl_is_distributed(relid) &&
			(type == AT_SetLogged || type == AT_SetUnLogged))
			shown = show_persistence(shown, relid, type == AT_SetLogged ?
									 RELPERSISTENCE_PERMANENT : RELPERSISTENCE_UNLOGGED);
	}
	return shown;
}

static void
hide_persistence(List *shown)
{
	ListCell   *lc;

	foreach(lc, shown)
		(void) show_persistence(NIL, lfirst_oid(lc), RELPERSISTENCE_PERMANENT);
}

static bool
sets_persistence(AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;

		if (type == AT_SetLogged || type == AT_SetUnLogged)
			return true;
	}
	return false;
}

/* ---- ALTER TABLE ---- */

typedef enum Share
{
	SHARE_CORE,					/* core does it all */
	SHARE_PARTITIONS,			/* only the partitions' */
	SHARE_BOTH
} Share;

static Share
share_of(AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_ResetRelOptions:
		case AT_SetAccessMethod:
		case AT_SetLogged:
		case AT_SetRelOptions:
		case AT_SetUnLogged:
			return SHARE_PARTITIONS;
		case AT_ReplicaIdentity:
		case AT_ResetOptions:
		case AT_SetOptions:
		case AT_SetTableSpace:
			return SHARE_BOTH;
		default:
			return SHARE_CORE;
	}
}

/* The parts that core has to do; returns those for the partitions. */
static List *
split_commands(AlterTableStmt *stmt, bool shards)
{
	List	   *core = NIL;
	List	   *partitions = NIL;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		Share		share = share_of(cmd);

		/* partitions by range or list have their own */
		if (cmd->subtype == AT_ReplicaIdentity && !shards)
			share = SHARE_CORE;
		if (share != SHARE_PARTITIONS)
			core = lappend(core, cmd);
		if (share != SHARE_CORE)
			partitions = lappend(partitions, copyObject(cmd));
	}
	stmt->cmds = core;
	return partitions;
}

/* A table is not one without its shards. */
static void
let_inherit(AlterTableCmd *cmd)
{
	List	   *constraints = NIL;
	ListCell   *lc;

	if (cmd->subtype == AT_AddConstraint)
		constraints = list_make1(cmd->def);
	else if (cmd->subtype == AT_AddColumn)
		constraints = ((ColumnDef *) cmd->def)->constraints;
	foreach(lc, constraints)
	{
		if (IsA(lfirst(lc), Constraint))
			lfirst_node(Constraint, lc)->is_no_inherit = false;
	}
}

static void
alter_table(ShoalUtility *call, Oid relid)
{
	AlterTableStmt *stmt;
	List	   *for_partitions;
	List	   *validated = NIL;
	List	   *keys_before = NIL;
	List	   *shown = NIL;
	bool		not_valid = false;
	ListCell   *lc;

	shoal_ddl_own_statement(call);
	stmt = (AlterTableStmt *) call->stmt;
	if (sets_persistence(stmt))
	{
		require_owner(relid);
		shown = show_all_persistence(stmt, relid);
	}
	for_partitions = split_commands(stmt, shoal_ddl_has_shards(relid));
	if (for_partitions != NIL)
		require_owner(relid);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		Constraint *con = (Constraint *) cmd->def;

		if (shoal_ddl_has_shards(relid))
			let_inherit(cmd);
		if (is_not_valid_foreign_key(cmd))
		{
			con->initially_valid = true;
			not_valid = true;
		}
		else if (cmd->subtype == AT_AddConstraint && IsA(con, Constraint) &&
				 con->indexname != NULL)
			replace_using_index(call, relid, con);
		else if (cmd->subtype == AT_ValidateConstraint)
			validated = lappend(validated, pstrdup(cmd->name));
	}

	if (not_valid)
		keys_before = foreign_key_oids(relid);
	if (stmt->cmds != NIL && !shoal_keytype_alter(call, relid))
		shoal_ddl_core_here(call);
	if (not_valid)
	{
		foreach(lc, list_difference_oid(foreign_key_oids(relid), keys_before))
			set_validated(lfirst_oid(lc), false);
	}
	if (SHOAL_PG_MAJOR < 18)
	{
		foreach(lc, validated)
			validate_foreign_key(relid, (char *) lfirst(lc));
	}
	if (for_partitions != NIL)
		alter_each(shoal_ddl_local_partitions(relid), for_partitions);
	hide_persistence(shown);
	CommandCounterIncrement();
}

/* A table that is not partitioned, with foreign keys of those that are. */
static void
set_persistence(ShoalUtility *call, Oid relid)
{
	List	   *shown = show_all_persistence((AlterTableStmt *) call->stmt, relid);

	shoal_ddl_core_here(call);
	hide_persistence(shown);
}

/* ALTER INDEX on an index of a distributed table. */
static bool
alter_index(ShoalUtility *call, Oid index)
{
	List	   *for_partitions = NIL;
	List	   *core = NIL;
	AlterTableStmt *stmt;
	ListCell   *lc;

	shoal_ddl_own_statement(call);
	stmt = (AlterTableStmt *) call->stmt;
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype != AT_SetRelOptions && cmd->subtype != AT_ResetRelOptions)
			core = lappend(core, cmd);
		if (cmd->subtype == AT_SetRelOptions || cmd->subtype == AT_ResetRelOptions ||
			cmd->subtype == AT_SetTableSpace || cmd->subtype == AT_SetStatistics)
			for_partitions = lappend(for_partitions, copyObject(cmd));
	}
	if (for_partitions == NIL)
		return false;
	require_owner(index);
	stmt->cmds = core;
	if (core != NIL)
		shoal_ddl_core_here(call);
	alter_each(find_inheritance_children(index, NoLock), for_partitions);
	return true;
}

/* ---- ONLY ---- */

/* True if ONLY is said of a table that would not be one without its shards. */
static bool
leaves_out_shards(RangeVar *relation)
{
	Oid			relid = relation && !relation->inh ? shoal_ddl_relid(relation) :
		InvalidOid;

	return OidIsValid(relid) && shoal_ddl_has_shards(relid);
}

/* The relations of a statement that may say ONLY of them. */
static List *
relations_of(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
			return list_make1(((AlterTableStmt *) stmt)->relation);
		case T_IndexStmt:
			return list_make1(((IndexStmt *) stmt)->relation);
		case T_RenameStmt:
			return list_make1(((RenameStmt *) stmt)->relation);
		case T_TruncateStmt:
			return ((TruncateStmt *) stmt)->relations;
		default:
			return NIL;
	}
}

void
shoal_ddl_forget_only(ShoalUtility *call)
{
	bool		any = false;
	ListCell   *lc;

	foreach(lc, relations_of(call->stmt))
		any |= leaves_out_shards((RangeVar *) lfirst(lc));
	if (!any)
		return;
	shoal_ddl_own_statement(call);
	foreach(lc, relations_of(call->stmt))
	{
		if (leaves_out_shards((RangeVar *) lfirst(lc)))
			((RangeVar *) lfirst(lc))->inh = true;
	}
}

/* ---- the database's own tablespace ---- */

static bool
is_database_tablespace(const char *name)
{
	return name != NULL && name[0] != '\0' &&
		get_tablespace_oid(name, true) == MyDatabaseTableSpace;
}

static void
forget_if_database(char **name, bool *any)
{
	if (is_database_tablespace(*name))
	{
		*name = NULL;
		*any = true;
	}
}

static void
forget_of_constraints(List *constraints, bool *any)
{
	ListCell   *lc;

	foreach(lc, constraints)
	{
		if (IsA(lfirst(lc), Constraint))
			forget_if_database(&lfirst_node(Constraint, lc)->indexspace, any);
	}
}

/* Those that the statement names; it is the caller's to change. */
static bool
forget_tablespaces(Node *stmt)
{
	bool		any = false;
	ListCell   *lc;

	if (IsA(stmt, IndexStmt))
		forget_if_database(&((IndexStmt *) stmt)->tableSpace, &any);
	else if (IsA(stmt, CreateStmt))
	{
		forget_if_database(&((CreateStmt *) stmt)->tablespacename, &any);
		forget_of_constraints(((CreateStmt *) stmt)->tableElts, &any);
	}
	else if (IsA(stmt, AlterTableStmt))
	{
		foreach(lc, ((AlterTableStmt *) stmt)->cmds)
		{
			AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

			if (cmd->subtype == AT_AddConstraint)
				forget_of_constraints(list_make1(cmd->def), &any);
			else if (cmd->subtype == AT_AddColumn)
				forget_of_constraints(((ColumnDef *) cmd->def)->constraints, &any);
		}
	}
	return any;
}

int
shoal_ddl_forget_tablespace(ShoalUtility *call)
{
	RangeVar   *relation = NULL;
	int			nestlevel;

	if (IsA(call->stmt, IndexStmt))
		relation = ((IndexStmt *) call->stmt)->relation;
	else if (IsA(call->stmt, AlterTableStmt))
		relation = ((AlterTableStmt *) call->stmt)->relation;
	else if (IsA(call->stmt, CreateStmt) && ((CreateStmt *) call->stmt)->partbound)
		relation = linitial(((CreateStmt *) call->stmt)->inhRelations);
	if (relation == NULL || !OidIsValid(shoal_ddl_relid(relation)) ||
		!shoal_ddl_is_distributed(shoal_ddl_relid(relation)))
		return 0;
	shoal_ddl_own_statement(call);
	if (!forget_tablespaces(call->stmt) &&
		!is_database_tablespace(GetConfigOption("default_tablespace", true, false)))
		return 0;
	nestlevel = NewGUCNestLevel();
	(void) set_config_option("default_tablespace", "", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return nestlevel;
}

/* ---- all of it ---- */

/* CREATE UNIQUE INDEX IF NOT EXISTS with one that exists: core looks at it too late. */
static bool
index_exists(const IndexStmt *stmt, Oid relid)
{
	if (!stmt->if_not_exists || !stmt->unique ||
		!OidIsValid(get_relname_relid(stmt->idxname, get_rel_namespace(relid))))
		return false;
	ereport(NOTICE,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("relation \"%s\" already exists, skipping", stmt->idxname)));
	return true;
}

/* Whether a plain partitioned table is being given such a foreign key. */
static bool
is_restored_foreign_key(AlterTableStmt *stmt, Oid relid)
{
	return shoal_origin > 0 && get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE &&
		list_length(stmt->cmds) == 1 &&
		is_not_valid_foreign_key(linitial_node(AlterTableCmd, stmt->cmds));
}

bool
shoal_ddl_partitioned(ShoalUtility *call, const ShoalTargets *targets)
{
	Oid			relid;

	if (list_length(targets->relids) != 1)
		return false;
	relid = linitial_oid(targets->relids);

	if (IsA(call->stmt, AlterTableStmt))
	{
		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_INDEX)
			return shoal_ddl_is_distributed(IndexGetRelation(relid, false)) &&
				alter_index(call, relid);
		if (shoal_ddl_is_distributed(relid) ||
			is_restored_foreign_key((AlterTableStmt *) call->stmt, relid))
		{
			alter_table(call, relid);
			return true;
		}
		if (sets_persistence((AlterTableStmt *) call->stmt) &&
			SHOAL_PARTITIONED_ONLY_PERMANENT && shoal_meta_table(relid) != NULL)
		{
			set_persistence(call, relid);
			return true;
		}
	}
	else if (IsA(call->stmt, IndexStmt) && shoal_ddl_is_distributed(relid))
	{
		if (index_exists((IndexStmt *) call->stmt, relid))
			return true;
		if (((IndexStmt *) call->stmt)->concurrent)
		{
			shoal_ddl_index_concurrently(call, relid);
			return true;
		}
	}
	else if (IsA(call->stmt, DropStmt) &&
			 ((DropStmt *) call->stmt)->concurrent &&
			 !shoal_ddl_is_concurrent(call->stmt))
	{
		shoal_ddl_own_statement(call);
		((DropStmt *) call->stmt)->concurrent = false;
	}
	return false;
}
