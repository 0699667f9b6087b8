/*
 * ddl_moments.c
 *		Defaults that name the current time by a word, like DEFAULT 'now'.
 *
 * The word becomes a constant when the statement is parsed, which each node does
 * at a time of its own.  So the other nodes are told this node's constant after
 * they have run the statement.
 */
#include "postgres.h"

#include "access/table.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "ddl/ddl_utility.h"

static bool
says_now(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, A_Const) && !((A_Const *) node)->isnull &&
		IsA(&((A_Const *) node)->val, String))
	{
		const char *text = strVal(&((A_Const *) node)->val);

		return shoal_types_may_say_now(text, strlen(text));
	}
	return raw_expression_tree_walker(node, says_now, context);
}

static bool
has_time(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Const) && !((Const *) node)->constisnull)
		return shoal_types_knows_now(((Const *) node)->consttype);
	return expression_tree_walker(node, has_time, context);
}

/* The default that a column is defined with; NULL if none is given. */
static Node *
given_default(ColumnDef *column)
{
	ListCell   *lc;

	foreach(lc, column->constraints)
	{
		Constraint *constraint = lfirst_node(Constraint, lc);

		if (constraint->contype == CONSTR_DEFAULT)
			return constraint->raw_expr;
	}
	return column->raw_default;
}

bool
shoal_ddl_is_moment(ColumnDef *column, Node *expr)
{
	return says_now(given_default(column), NULL) && has_time(expr, NULL);
}

/* Appends the statement for a column whose default was given, if it takes one. */
static List *
add_default(List *result, Oid relid, const char *column, Node *raw)
{
	Relation	rel;
	AttrNumber	attnum = get_attnum(relid, column);
	Node	   *expr;

	if (attnum <= 0 || !says_now(raw, NULL))
		return result;
	rel = table_open(relid, AccessShareLock);
	expr = TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated ? NULL :
		build_column_default(rel, attnum);
	table_close(rel, NoLock);
	if (expr == NULL || !has_time(expr, NULL))
		return result;
	return lappend(result,
				   psprintf("ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s",
							shoal_ddl_relation_name(relid),
							quote_identifier(column),
							deparse_expression(expr, NIL, false, false)));
}

List *
shoal_ddl_moments(Node *stmt)
{
	RangeVar   *name = IsA(stmt, CreateStmt) ? ((CreateStmt *) stmt)->relation :
		IsA(stmt, AlterTableStmt) ? ((AlterTableStmt *) stmt)->relation : NULL;
	Oid			relid = name ? shoal_ddl_relid(name) : InvalidOid;
	List	   *result = NIL;
	ListCell   *lc;

	if (!OidIsValid(relid))
		return NIL;
	foreach(lc, IsA(stmt, CreateStmt) ? ((CreateStmt *) stmt)->tableElts : NIL)
	{
		if (IsA(lfirst(lc), ColumnDef))
			result = add_default(result, relid, ((ColumnDef *) lfirst(lc))->colname,
								 given_default(lfirst(lc)));
	}
	foreach(lc, IsA(stmt, AlterTableStmt) ? ((AlterTableStmt *) stmt)->cmds : NIL)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddColumn)
			result = add_default(result, relid, ((ColumnDef *) cmd->def)->colname,
								 given_default((ColumnDef *) cmd->def));
		else if (cmd->subtype == AT_ColumnDefault && cmd->def)
			result = add_default(result, relid, cmd->name, cmd->def);
	}
	return result;
}
