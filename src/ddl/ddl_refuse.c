/*
 * ddl_refuse.c
 *		What may not be done to Shoal tables by ordinary statements.
 *
 * Here is what core would do and what would leave the nodes with something else
 * than the metadata say, and what core refuses in words that don't make sense to
 * somebody who did not ask for a partitioned table.
 * Foreign keys are looked at when they have been made, since only then it is
 * clear what the statement meant; the error takes them back.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "executor/spi.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

static bool
is_shoal_table(RangeVar *relation)
{
	Oid			relid = shoal_ddl_relid(relation);

	return OidIsValid(relid) && shoal_meta_table(relid) != NULL;
}

static bool
is_shard(RangeVar *relation)
{
	Oid			relid = shoal_ddl_relid(relation);
	int			group_id;
	int			shard;

	return OidIsValid(relid) &&
		shoal_meta_is_shard_schema(get_rel_namespace(relid), &group_id, &shard);
}

void
shoal_ddl_refuse_unlogged(const char *name, bool reference)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 reference ? errmsg("reference table \"%s\" cannot be unlogged", name) :
			 errmsg("table \"%s\" cannot be unlogged, as its shards have replicas", name),
			 errdetail("A node that crashes would lose the rows of its copies, and the others would keep theirs."),
			 errhint("Use ALTER TABLE ... SET LOGGED.")));
}

/* Whether rows of a table of Shoal's, or of one that becomes its partition, are on several nodes. */
static bool
has_copies(Oid relid)
{
	const ShoalTable *table = shoal_meta_table(relid);

	return table && (table->kind == SHOAL_KIND_REFERENCE ||
					 shoal_meta_group(table->group_id)->replicas > 0);
}

static void
check_create(CreateStmt *stmt, bool foreign)
{
	ListCell   *lc;

	foreach(lc, stmt->inhRelations)
	{
		RangeVar   *parent = (RangeVar *) lfirst(lc);

		if (is_shard(parent))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" belongs to a shard of a distributed table",
							parent->relname)));
		if (!is_shoal_table(parent))
			continue;
		if (stmt->partbound == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot inherit from table \"%s\", which Shoal distributes",
							parent->relname),
					 errhint("Use CREATE TABLE ... (LIKE ...), or undistribute the table with shoal.undistribute_table() first.")));
		if (shoal_ddl_has_shards(shoal_ddl_relid(parent)))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot make a partition of distributed table \"%s\"",
							parent->relname),
					 errhint("Shoal makes its partitions, one for each shard.")));
		if (stmt->relation->relpersistence == RELPERSISTENCE_UNLOGGED &&
			has_copies(shoal_ddl_relid(parent)))
			shoal_ddl_refuse_unlogged(stmt->relation->relname, false);
		if (foreign)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot add a foreign table to distributed table \"%s\" as a partition",
							parent->relname),
					 errhint("Use an ordinary partition, or undistribute the table with shoal.undistribute_table() first.")));
	}
}

/*
 * What is attached to a table that is distributed below its partitions has to
 * be one of the same group, or is made one (if it can be).
 */
static void
check_attach(RangeVar *parent, RangeVar *child)
{
	Oid			relid = shoal_ddl_relid(parent);
	const ShoalTable *table = OidIsValid(relid) ? shoal_meta_table(relid) : NULL;
	const ShoalTable *other = is_shoal_table(child) ?
		shoal_meta_table(shoal_ddl_relid(child)) : NULL;

	if (table != NULL && shoal_ddl_has_shards(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot attach a partition to distributed table \"%s\"",
						parent->relname),
				 errhint("Shoal makes its partitions, one for each shard.")));
	if (is_shard(child) ||
		(other != NULL && (table == NULL || table->group_id != other->group_id)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot attach table \"%s\", which Shoal distributes, as a partition",
						child->relname),
				 errhint("Undistribute it with shoal.undistribute_table() first.")));
	if (table != NULL && has_copies(relid) && OidIsValid(shoal_ddl_relid(child)) &&
		shoal_ddl_storage_of(shoal_ddl_relid(child))->persistence == RELPERSISTENCE_UNLOGGED)
		shoal_ddl_refuse_unlogged(child->relname, false);
}

static void
check_drop_column(Oid relid, const char *name)
{
	const ShoalTable *table = OidIsValid(relid) ? shoal_meta_table(relid) : NULL;
	AttrNumber	attnum = table ? get_attnum(relid, name) : InvalidAttrNumber;

	for (int i = 0; attnum != InvalidAttrNumber && i < table->nkeys; i++)
	{
		if (table->keyattr[i] == attnum && !get_rel_relispartition(relid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot drop distribution column \"%s\" of table \"%s\"",
							name, get_rel_name(relid)),
					 errhint("Undistribute the table with shoal.undistribute_table() first; it can be distributed by another column then.")));
	}
}

/* Core would make a foreign key of the column anew, and can't if it is not valid. */
static void
check_type_change(Oid relid, const char *name)
{
	AttrNumber	attnum = get_attnum(relid, name);
	ListCell   *lc;

	foreach(lc, shoal_ddl_foreign_keys(relid))
	{
		const ShoalForeignKey *fk = (const ShoalForeignKey *) lfirst(lc);

		if (!fk->validated && shoal_ddl_is_distributed(fk->from) &&
			shoal_ddl_foreign_key_has(fk, relid, attnum))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot alter type of column \"%s\" with foreign key \"%s\", which is not valid",
							name, fk->name),
					 errhint("Use ALTER TABLE ... VALIDATE CONSTRAINT first, or drop the foreign key and add it again.")));
	}
}

static void
check_alter(AlterTableStmt *stmt)
{
	bool		ours = is_shoal_table(stmt->relation);
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		RangeVar   *other = NULL;

		switch (cmd->subtype)
		{
			case AT_AttachPartition:
				check_attach(stmt->relation, ((PartitionCmd *) cmd->def)->name);
				break;
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
				other = ((PartitionCmd *) cmd->def)->name;
				if (is_shard(other))
					ereport(ERROR,
							(errcode(ERRCODE_WRONG_OBJECT_TYPE),
							 errmsg("cannot detach a shard from distributed table \"%s\"",
									stmt->relation->relname),
							 errhint("Use shoal.undistribute_table() to get a plain table.")));
				break;
			case AT_AlterColumnType:
				if (SHOAL_PG_MAJOR < 18 && ours)
					check_type_change(shoal_ddl_relid(stmt->relation), cmd->name);
				break;
			case AT_DropColumn:
				check_drop_column(shoal_ddl_relid(stmt->relation), cmd->name);
				break;
			case AT_SetUnLogged:
				if (ours && has_copies(shoal_ddl_relid(stmt->relation)))
					shoal_ddl_refuse_unlogged(stmt->relation->relname,
											  shoal_meta_table(shoal_ddl_relid(stmt->relation))->kind == SHOAL_KIND_REFERENCE);
				break;
			case AT_AddInherit:
				other = (RangeVar *) cmd->def;
				if (ours || is_shoal_table(other))
					ereport(ERROR,
							(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							 errmsg("cannot use inheritance with table \"%s\", which Shoal distributes",
									ours ? stmt->relation->relname : other->relname),
							 errhint("Undistribute it with shoal.undistribute_table() first.")));
				break;
			default:
				break;
		}
	}
}

/* ---- unique without the distribution column ---- */

static bool
has_primary_key(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		result;

	(void) RelationGetIndexList(rel);
	result = OidIsValid(rel->rd_pkindex);
	table_close(rel, AccessShareLock);
	return result;
}

static bool
has_name(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (lfirst(lc) != NULL && strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/*
 * Columns (char *; NULL for an expression) that are to be unique together.  If
 * there is none of that name, core has the right words.
 */
static void
check_unique(const ShoalTable *table, const char *index, List *names, bool primary)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (lfirst(lc) != NULL && get_attnum(table->relid, lfirst(lc)) == InvalidAttrNumber)
			return;
	}
	for (int i = 0; i < table->nkeys; i++)
	{
		char	   *key = get_attname(table->relid, table->keyattr[i], true);

		if (key != NULL && !has_name(names, key))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 index ?
					 errmsg("unique index \"%s\" does not include distribution column \"%s\"",
							index, key) :
					 errmsg("unique index on table \"%s\" does not include distribution column \"%s\"",
							get_rel_name(table->relid), key),
					 errdetail("Uniqueness is enforced within a shard only."),
					 errhint("Add the column to the %s, or make the table a reference table with shoal.undistribute_table() and shoal.create_reference_table().",
							 primary ? "primary key" : "unique constraint or index")));
	}
}

static List *
names_of_keys(List *keys)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, keys)
		names = lappend(names, strVal(lfirst(lc)));
	return names;
}

static void
check_constraint(const ShoalTable *table, const Constraint *con, List *names)
{
	if (con->indexname != NULL)
		return;
	if (con->contype == CONSTR_UNIQUE ||
		(con->contype == CONSTR_PRIMARY && !has_primary_key(table->relid)))
		check_unique(table, con->conname, names, con->contype == CONSTR_PRIMARY);
	if (con->contype == CONSTR_EXCLUSION && SHOAL_PG_MAJOR < 17)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("exclusion constraints are not supported on a distributed table"),
				 errhint("Make the table a reference table with shoal.undistribute_table() and shoal.create_reference_table().")));
}

static void
check_uniqueness(Node *stmt)
{
	RangeVar   *relation = IsA(stmt, IndexStmt) ? ((IndexStmt *) stmt)->relation :
		((AlterTableStmt *) stmt)->relation;
	Oid			relid = shoal_ddl_relid(relation);
	const ShoalTable *table = OidIsValid(relid) ? shoal_meta_table(relid) : NULL;
	ListCell   *lc;
	ListCell   *lc2;

	if (table == NULL || table->nkeys == 0)
		return;
	if (IsA(stmt, IndexStmt))
	{
		IndexStmt  *index = (IndexStmt *) stmt;
		List	   *names = NIL;

		if (!index->unique ||
			(index->idxname != NULL && OidIsValid(get_relname_relid(index->idxname, get_rel_namespace(relid)))))
			return;
		foreach(lc, index->indexParams)
			names = lappend(names, lfirst_node(IndexElem, lc)->name);
		check_unique(table, index->idxname, names, false);
		return;
	}
	foreach(lc, ((AlterTableStmt *) stmt)->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddConstraint)
			check_constraint(table, (Constraint *) cmd->def,
							 names_of_keys(((Constraint *) cmd->def)->keys));
		else if (cmd->subtype == AT_AddColumn)
		{
			ColumnDef  *column = (ColumnDef *) cmd->def;

			if (get_attnum(relid, column->colname) != InvalidAttrNumber)
				continue;
			foreach(lc2, column->constraints)
				check_constraint(table, lfirst_node(Constraint, lc2), NIL);
		}
	}
}

/* ---- triggers ---- */

static void
check_trigger(CreateTrigStmt *stmt)
{
	Oid			relid = shoal_ddl_relid(stmt->relation);

	if (stmt->row && stmt->transitionRels != NIL && OidIsValid(relid) &&
		shoal_ddl_is_distributed(relid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("row trigger \"%s\" with transition tables is not supported on a distributed table",
						stmt->trigname),
				 errhint("Make it a statement trigger, or a row trigger without REFERENCING.")));
}

/* ---- what a statement has made ---- */

static void
check_expressions(Oid relid)
{
	Relation	rel;

	if (!OidIsValid(relid) || !shoal_ddl_is_distributed(relid))
		return;
	rel = table_open(relid, AccessShareLock);
	shoal_ddl_check_expressions(rel);
	table_close(rel, NoLock);
}

static void
check_table_keys(Oid relid)
{
	const ShoalTable *table = shoal_meta_table(relid);
	List	   *keys = NIL;
	Relation	rel;

	if (table == NULL)
		return;
	for (int i = 0; i < table->nkeys; i++)
		keys = lappend_int(keys, table->keyattr[i]);
	rel = table_open(relid, AccessShareLock);
	shoal_ddl_check_foreign_keys(rel, table->kind, table->group_id, keys);
	table_close(rel, NoLock);
}

/* Foreign keys of the table, from whichever end is a Shoal table. */
static void
check_foreign_keys(Oid relid)
{
	ListCell   *lc;

	if (shoal_meta_table(relid) != NULL)
	{
		check_table_keys(relid);
		return;
	}
	foreach(lc, shoal_ddl_foreign_keys(relid))
	{
		const ShoalForeignKey *fk = (const ShoalForeignKey *) lfirst(lc);

		check_table_keys(fk->from == relid ? fk->to : fk->from);
	}
}

static bool
adds_constraint(AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;

		if (type == AT_AddConstraint || type == AT_AddColumn)
			return true;
	}
	return false;
}

static void
raise_computed_by_nodes(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg_internal("%s", message),
			 errdetail("Each node would compute values for the rows by itself."),
			 errhint("%s", hint)));
}

/*
 * Each node computes what ALTER COLUMN ... TYPE ... USING makes of the rows that
 * are there.  Copies of a row would differ then.
 */
static void
check_using(AlterTableStmt *stmt)
{
	Oid			relid = shoal_ddl_relid(stmt->relation);
	const ShoalTable *table = OidIsValid(relid) ? shoal_meta_table(relid) : NULL;
	ListCell   *lc;

	if (table == NULL || shoal_meta_is_alone() || !shoal_columns_have_copies(table))
		return;
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		Node	   *raw;
		Node	   *expr;
		ParseState *pstate;
		Relation	rel;

		if (cmd->subtype != AT_AlterColumnType)
			continue;
		raw = ((ColumnDef *) cmd->def)->raw_default;
		if (raw == NULL)
			continue;
		rel = table_open(relid, AccessShareLock);
		pstate = make_parsestate(NULL);
		addNSItemToQuery(pstate,
						 addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
													   NULL, false, true),
						 false, true, true);
		expr = transformExpr(pstate, copyObject(raw),
							 EXPR_KIND_ALTER_COL_TRANSFORM);
		table_close(rel, NoLock);
		if (shoal_columns_differ_by_node(expr, NULL) && shoal_columns_has_rows(relid))
			raise_computed_by_nodes(psprintf("cannot convert column \"%s\" of table \"%s\", which has rows, with that expression",
											 cmd->name, get_rel_name(relid)),
									"Add another column, fill it with UPDATE, and let it take the place of this one.");
	}
}

/* ---- all of it ---- */

void
shoal_ddl_check_before(Node *stmt, const ShoalTargets *targets)
{
	if (IsA(stmt, CreateStmt) || IsA(stmt, CreateForeignTableStmt))
		check_create((CreateStmt *) stmt, IsA(stmt, CreateForeignTableStmt));
	else if (IsA(stmt, AlterTableStmt))
	{
		check_alter((AlterTableStmt *) stmt);
		check_using((AlterTableStmt *) stmt);
		check_uniqueness(stmt);
	}
	else if (IsA(stmt, IndexStmt))
		check_uniqueness(stmt);
	else if (IsA(stmt, CreateTrigStmt))
		check_trigger((CreateTrigStmt *) stmt);
}

void
shoal_ddl_check_after(Node *stmt)
{
	Oid			relid;
	int			group_id;
	int			shard;

	if (shoal_ddl_created_relation(stmt) != NULL)
	{
		relid = shoal_ddl_created_relid(stmt);
		if (!OidIsValid(relid))
			return;
		if (shoal_meta_is_shard_schema(get_rel_namespace(relid), &group_id, &shard))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("schema \"%s\" holds a shard of distributed tables",
							get_namespace_name(get_rel_namespace(relid))),
					 errhint("Use another schema.")));
		if (IsA(stmt, CreateStmt))
			check_foreign_keys(relid);
	}
	else if (IsA(stmt, AlterTableStmt) &&
			 ((AlterTableStmt *) stmt)->objtype == OBJECT_TABLE)
	{
		relid = shoal_ddl_relid(((AlterTableStmt *) stmt)->relation);
		check_expressions(relid);
		if (OidIsValid(relid) && adds_constraint((AlterTableStmt *) stmt))
			check_foreign_keys(relid);
	}
}
