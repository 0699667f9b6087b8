/*
 * ddl_keytype.c
 *		ALTER TABLE ... ALTER COLUMN ... TYPE of a distribution column.
 *
 * Core refuses it, as the column is a partition key.  Mostly rows hash as
 * before: int and bigint hash alike, and so do varchar and text.  Then each node
 * takes the columns out of the table's partition key, so that it is one of no
 * columns, lets core alter the table like any other, with its indexes and
 * foreign keys, and puts them back.  The table stays in its colocation group, and
 * rows stay where they are.
 *
 * That is so if the new type is of the same hash operator family, with the same
 * collation, and the values that it makes of the old ones are known to be equal
 * to them: nothing is computed, or integers become integers.
 *
 * Otherwise rows have to go to other shards.  The coordinator makes the table a
 * local one, has it altered everywhere, and distributes it again by the same
 * columns: with the same tables if their keys still match, else in a group of
 * its own or one that goes with the new type.  Views, triggers, policies and so
 * on stay, as they do when a table is distributed; foreign keys that can't be
 * kept are an error.
 *
 * All of it is in the statement's distributed transaction, under the cluster
 * lock and with the table locked ACCESS EXCLUSIVE on all nodes.
 */
#include "postgres.h"

#include "access/hash.h"
#include "access/table.h"
#include "catalog/heap.h"
#include "catalog/pg_am.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

/* Which of the table's key columns a command gives another type; -1: none. */
static int
changed_key(const AlterTableCmd *cmd, const ShoalTable *table)
{
	AttrNumber	attnum;

	if (cmd->subtype != AT_AlterColumnType)
		return -1;
	attnum = get_attnum(table->relid, cmd->name);
	for (int i = 0; i < table->nkeys; i++)
	{
		if (attnum != InvalidAttrNumber && table->keyattr[i] == attnum)
			return i;
	}
	return -1;
}

static bool
changes_key(const AlterTableStmt *stmt, const ShoalTable *table)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		if (changed_key(lfirst_node(AlterTableCmd, lc), table) >= 0)
			return true;
	}
	return false;
}

/* ---- do rows stay where they are? ---- */

/* The expression without conversions that keep values equal. */
static Node *
strip_conversions(Node *expr)
{
	for (;;)
	{
		if (IsA(expr, RelabelType))
			expr = (Node *) ((RelabelType *) expr)->arg;
		else if (IsA(expr, CoerceToDomain))
			expr = (Node *) ((CoerceToDomain *) expr)->arg;
		else if (IsA(expr, FuncExpr))
		{
			switch (((FuncExpr *) expr)->funcid)
			{
				case F_INT2_INT4:
				case F_INT2_INT8:
				case F_INT4_INT2:
				case F_INT4_INT8:
				case F_INT8_INT2:
				case F_INT8_INT4:
					expr = linitial(((FuncExpr *) expr)->args);
					break;
				default:
					return expr;
			}
		}
		else
			return expr;
	}
}

/* What a command makes of the column's values; NULL if core will refuse it. */
static Node *
conversion(Relation rel, const AlterTableCmd *cmd, AttrNumber attnum, Oid type,
		   int32 typmod)
{
	Node	   *raw = ((ColumnDef *) cmd->def)->raw_default;
	ParseState *pstate = make_parsestate(NULL);
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Node	   *expr;

	addNSItemToQuery(pstate,
					 addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
												   NULL, false, true),
					 false, true, true);
	if (raw != NULL)
		expr = transformExpr(pstate, copyObject(raw), EXPR_KIND_ALTER_COL_TRANSFORM);
	else
		expr = (Node *) makeVar(1, attnum, att->atttypid, att->atttypmod,
								att->attcollation, 0);
	expr = coerce_to_target_type(pstate, expr, exprType(expr), type, typmod,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (expr == NULL)
		return NULL;
	assign_expr_collations(pstate, expr);
	return (Node *) expression_planner((Expr *) expr);
}

static bool
keeps_values(Relation rel, const AlterTableCmd *cmd, const ShoalTable *table,
			 int key)
{
	ColumnDef  *column = copyObject((ColumnDef *) cmd->def);
	AttrNumber	attnum = table->keyattr[key];
	Oid			type;
	int32		typmod;
	Oid			collation;
	Oid			opclass;
	Node	   *expr;

	typenameTypeIdAndMod(NULL, column->typeName, &type, &typmod);
	collation = GetColumnDefCollation(NULL, column, type);
	expr = conversion(rel, cmd, attnum, type, typmod);
	if (expr == NULL)
		return true;
	expr = strip_conversions(expr);
	opclass = GetDefaultOpClass(type, HASH_AM_OID);
	return IsA(expr, Var) && ((Var *) expr)->varattno == attnum &&
		OidIsValid(opclass) &&
		get_opclass_family(opclass) == table->keyopfamily[key] &&
		collation == table->keycollation[key];
}

static bool
keeps_shards(const AlterTableStmt *stmt, const ShoalTable *table)
{
	Relation	rel = table_open(table->relid, AccessShareLock);
	bool		result = true;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		const AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		int			key = changed_key(cmd, table);

		if (key >= 0 && !keeps_values(rel, cmd, table, key))
			result = false;
	}
	table_close(rel, AccessShareLock);
	return result;
}

/* ---- on each node: rows stay ---- */

static List *
key_of(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	PartitionKey key = RelationGetPartitionKey(rel);
	List	   *attnums = NIL;

	for (int i = 0; i < key->partnatts; i++)
		attnums = lappend_int(attnums, key->partattrs[i]);
	table_close(rel, NoLock);
	return attnums;
}

bool
shoal_keytype_alter(ShoalUtility *call, Oid relid)
{
	const AlterTableStmt *stmt = (AlterTableStmt *) call->stmt;
	List	   *leaves = NIL;
	List	   *keys = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	/* where it isn't forwarded (shoal.forward_ddl), rows may not stay: core says no */
	if (!shoal_ddl_is_distributed(relid) || get_rel_relispartition(relid) ||
		!shoal_owns_table(relid, GetUserId()) ||
		!changes_key(stmt, shoal_meta_table(relid)) ||
		!keeps_shards(stmt, shoal_meta_table(relid)))
		return false;
	foreach(lc, shoal_ddl_members(relid, AccessExclusiveLock))
	{
		Relation	rel;

		if (!shoal_ddl_has_shards(lfirst_oid(lc)))
			continue;
		/* what has it open would keep the old key */
		rel = table_open(lfirst_oid(lc), NoLock);
		CheckTableNotInUse(rel, "ALTER TABLE");
		table_close(rel, NoLock);
		leaves = lappend_oid(leaves, lfirst_oid(lc));
		keys = lappend(keys, key_of(lfirst_oid(lc)));
		shoal_ddl_replace_key(lfirst_oid(lc), NIL);
	}
	shoal_ddl_core_here(call);
	CommandCounterIncrement();
	forboth(lc, leaves, lc2, keys)
	{
		Relation	rel;

		shoal_ddl_replace_key(lfirst_oid(lc), (List *) lfirst(lc2));
		/* core has not looked at what else the statement has made */
		rel = table_open(lfirst_oid(lc), NoLock);
		shoal_ddl_check_indexes(rel, (List *) lfirst(lc2));
		table_close(rel, NoLock);
	}
	return true;
}

/* ---- the coordinator: rows move ---- */

/* What is to be said of a table when it is distributed again. */
struct ShoalKeyMove
{
	Oid			relid;
	char	   *columns;
	int			shard_count;
	int			replicas;
	bool		closed;
	List	   *others;			/* tables of its group that are no part of it */
};

static char *
key_names(const ShoalTable *table)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < table->nkeys; i++)
		appendStringInfo(&names, "%s%s", i ? ", " : "",
						 quote_identifier(get_attname(table->relid, table->keyattr[i], false)));
	return names.data;
}

ShoalKeyMove *
shoal_keytype_begin_move(const AlterTableStmt *stmt)
{
	Oid			relid = shoal_ddl_relid(stmt->relation);
	const ShoalTable *table;
	const ShoalGroup *group;
	ShoalKeyMove *move;

	if (!OidIsValid(relid) || !shoal_ddl_is_distributed(relid) ||
		get_rel_relispartition(relid) || !shoal_owns_table(relid, GetUserId()))
		return NULL;
	table = shoal_meta_table(relid);
	if (!changes_key(stmt, table) || keeps_shards(stmt, table))
		return NULL;
	group = shoal_meta_group(table->group_id);
	move = palloc0(sizeof(ShoalKeyMove));
	move->relid = relid;
	move->columns = key_names(table);
	move->shard_count = group->shard_count;
	move->replicas = group->replicas;
	move->closed = group->closed;
	move->others = list_difference_oid(shoal_meta_table_oids(table->group_id),
									   shoal_ddl_members(relid, AccessExclusiveLock));
	shoal_ddl_undistribute(relid);
	CommandCounterIncrement();
	return move;
}

/* A table that it was colocated with, and still can be. */
static const char *
find_colocated(const ShoalKeyMove *move)
{
	Relation	rel = table_open(move->relid, NoLock);
	List	   *keyattrs = shoal_ddl_key_columns(rel, move->columns);
	const char *name = NULL;
	ListCell   *lc;

	foreach(lc, move->others)
	{
		const ShoalTable *other = shoal_meta_table(lfirst_oid(lc));

		if (other != NULL && shoal_ddl_keys_match(rel, keyattrs, other))
			name = shoal_objects_relation_name(other->relid);
	}
	table_close(rel, NoLock);
	return name;
}

void
shoal_keytype_end_move(const ShoalKeyMove *move)
{
	const char *colocate;

	CommandCounterIncrement();
	colocate = find_colocated(move);
	if (colocate == NULL)
		colocate = move->closed ? "none" : "default";
	shoal_ddl_distribute(move->relid, move->columns, colocate, move->shard_count,
						 move->replicas);
}
