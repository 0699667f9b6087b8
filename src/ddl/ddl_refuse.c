/*
 * ddl_refuse.c
 *		What may not be done to Shoal tables by ordinary statements.
 *
 * Core refuses by itself what does not go with a partitioned table (altering
 * the key's type, unique keys without it).  Here is what core would do and
 * what would leave the nodes with something else than the metadata say.
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

/* ---- what a statement has made ---- */

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

static bool
is_nextval(Oid funcid, void *context)
{
	return funcid == F_NEXTVAL;
}

static bool
calls_nextval(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, NextValueExpr) || check_functions_in_node(node, is_nextval, NULL))
		return true;
	return expression_tree_walker(node, calls_nextval, context);
}

/* The default of a column; NULL if it has none. */
static Node *
column_default(Oid relid, const char *column)
{
	Relation	rel = table_open(relid, AccessShareLock);
	AttrNumber	attnum = get_attnum(relid, column);
	Node	   *result = NULL;

	if (attnum > 0 && !TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated)
		result = build_column_default(rel, attnum);
	table_close(rel, NoLock);
	return result;
}

static bool
has_rows(Oid relid)
{
	bool		result;

	SPI_connect();
	if (SPI_execute(psprintf("SELECT 1 FROM %s LIMIT 1", shoal_ddl_relation_name(relid)),
					false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"%s\"", get_rel_name(relid));
	result = SPI_processed > 0;
	SPI_finish();
	return result;
}

/* Whether rows of the table are on several nodes. */
static bool
has_copies(const ShoalTable *table)
{
	const ShoalGroup *group = shoal_meta_group(table->group_id);

	return table->kind == SHOAL_KIND_REFERENCE ||
		group->ncopies > group->shard_count;
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
 * Stable functions of arguments depend on settings, which are the same, and so is
 * the time of the transaction.
 */
static bool
is_same_nowhere(Oid funcid, void *context)
{
	char		volatility = func_volatile(funcid);

	return volatility == PROVOLATILE_VOLATILE ||
		(volatility == PROVOLATILE_STABLE && funcid != F_NOW &&
		 funcid != F_TRANSACTION_TIMESTAMP &&
		 (funcid >= FirstNormalObjectId || get_func_nargs(funcid) == 0));
}

static bool
differs_by_node(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SQLValueFunction))
		return ((SQLValueFunction *) node)->op > SVFOP_LOCALTIMESTAMP_N;
	if (IsA(node, NextValueExpr) ||
		check_functions_in_node(node, is_same_nowhere, NULL))
		return true;
	return expression_tree_walker(node, differs_by_node, context);
}

/*
 * Each node computes the value that a new column gets in rows that are there.
 * Copies of a row would differ then, and sequences would give the same number
 * on several nodes.
 */
static void
check_new_columns(Oid relid, AlterTableStmt *stmt)
{
	const ShoalTable *table = shoal_meta_table(relid);
	ListCell   *lc;

	if (table == NULL || shoal_meta_is_alone())
		return;
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		ColumnDef  *column = (ColumnDef *) cmd->def;
		Node	   *expr;

		if (cmd->subtype != AT_AddColumn)
			continue;
		expr = column_default(relid, column->colname);
		if (expr == NULL ||
			!(has_copies(table) ? differs_by_node(expr, NULL) :
			  calls_nextval(expr, NULL)) ||
			!has_rows(relid))
			continue;
		raise_computed_by_nodes(psprintf("cannot add column \"%s\" with that default to table \"%s\", which has rows",
										 column->colname, get_rel_name(relid)),
								"Add the column without a default, fill it with UPDATE, and then use ALTER COLUMN ... SET DEFAULT.");
	}
}

/* The same of ALTER COLUMN ... TYPE ... USING, which is known only before. */
static void
check_using(AlterTableStmt *stmt)
{
	Oid			relid = shoal_ddl_relid(stmt->relation);
	const ShoalTable *table = OidIsValid(relid) ? shoal_meta_table(relid) : NULL;
	ListCell   *lc;

	if (table == NULL || shoal_meta_is_alone() || !has_copies(table))
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
		if (differs_by_node(expr, NULL) && has_rows(relid))
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
	}
}

void
shoal_ddl_check_after(Node *stmt)
{
	RangeVar   *created = shoal_ddl_created_relation(stmt);
	Oid			relid = InvalidOid;
	int			group_id;
	int			shard;

	if (created != NULL)
	{
		relid = shoal_ddl_relid(created);
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
	else if (IsA(stmt, AlterTableStmt) && adds_constraint((AlterTableStmt *) stmt) &&
			 ((AlterTableStmt *) stmt)->objtype == OBJECT_TABLE)
	{
		relid = shoal_ddl_relid(((AlterTableStmt *) stmt)->relation);
		if (!OidIsValid(relid))
			return;
		check_foreign_keys(relid);
		check_new_columns(relid, (AlterTableStmt *) stmt);
	}
}
