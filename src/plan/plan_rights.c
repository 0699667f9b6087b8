/*
 * plan_rights.c
 *		Policies of statements that nodes are sent in another form.
 *
 * Which policies of a table count depends on the command and on whether the user's
 * statement reads the table.  A write that is taken apart (plan_rows.c,
 * plan_fire.c) reaches nodes as a SELECT FOR UPDATE and a statement that finds the
 * rows by their places: a node would apply SELECT's policies to an UPDATE that
 * reads nothing, and those of INSERT to a row that moves.  So the marker says which
 * rights the user's statement needs, and the node asks core for the policies of a
 * statement with these.
 *
 * Of a statement that finds its rows by their places just the checks of new
 * rows count: the rows have been found, and locked, under the others before.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "plan/plan_policy.h"
#include "plan/plan_rights.h"
#include "plan/plan_shape.h"

/* ---- on the coordinator ---- */

static AclMode
right_of(CmdType command)
{
	return command == CMD_INSERT ? ACL_INSERT :
		command == CMD_DELETE ? ACL_DELETE : ACL_UPDATE;
}

/* What a write needs of its table: it may read it, too. */
static AclMode
rights_of_write(Query *query, RangeTblEntry *target)
{
	return right_of(query->commandType) |
		(shoal_rte_required_perms(query, target) & ACL_SELECT);
}

int
shoal_rights_of_write(Query *query)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);

	return shoal_objects_has_policies(target->relid) ?
		(int) rights_of_write(query, target) : 0;
}

void
shoal_rights_note(Query *query)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);

	shoal_rte_require_perms(query, target, rights_of_write(query, target));
}

/* A user's query that locks rows needs the rights to read and to update them. */
int
shoal_rights_of_locking(Query *query)
{
	RangeTblEntry *rte;
	AclMode		rights;

	if (query->commandType != CMD_SELECT || list_length(query->rowMarks) != 1)
		return 0;
	rte = rt_fetch(linitial_node(RowMarkClause, query->rowMarks)->rti,
				   query->rtable);
	if (rte->rtekind != RTE_RELATION || !shoal_objects_has_policies(rte->relid))
		return 0;
	rights = shoal_rte_required_perms(query, rte) &
		(ACL_SELECT | ACL_UPDATE | ACL_DELETE);
	return rights == (ACL_SELECT | ACL_UPDATE) ? 0 : (int) rights;
}

static List *
checks_of_rows(Query *query)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *check = (WithCheckOption *) lfirst(lc);

		if (check->kind != WCO_VIEW_CHECK)
			result = lappend(result, check);
	}
	return result;
}

bool
shoal_rights_check_rows(Query *query)
{
	return checks_of_rows(query) != NIL;
}

bool
shoal_rights_fit_row(Query *query, const char **why)
{
	List	   *checks = checks_of_rows(query);

	if (!checkExprHasSubLink((Node *) checks))
		return true;
	if (!shoal_policy_reads_moved((Node *) checks) &&
		shoal_shape_fits_row(query, (Node *) checks, why))
		return true;
	*why = "a policy of the table reads rows of other shards for a new row";
	return false;
}

/* ---- policies of another statement ---- */

/* Conditions as core's rewriter leaves them: with the policies of what they read. */
static List *
rewrite(List *conditions, bool *has_policies)
{
	Query	   *query = makeNode(Query);
	RangeTblEntry *idle = makeNode(RangeTblEntry);

	if (!checkExprHasSubLink((Node *) conditions))
		return conditions;
	idle->rtekind = RTE_RESULT;
	idle->eref = makeAlias("idle", NIL);
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = list_make1(idle);
	query->jointree = makeFromExpr(NIL, (Node *) conditions);
	query->hasSubLinks = true;
	AcquireRewriteLocks(query, true, false);
	query = linitial_node(Query, QueryRewrite(query));
	*has_policies |= query->hasRowSecurity;
	return (List *) query->jointree->quals;
}

/*
 * The policies of a statement with these rights, for one that is sent instead: all
 * of them, or just the checks of new rows.
 */
static void
put_policies(Query *query, Index varno, int rights, bool all)
{
	Query	   *write = makeNode(Query);
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	RangeTblEntry *copy = copyObject(rte);
	List	   *conditions;
	List	   *checks;
	bool		secured;
	bool		has_sublinks;
	ListCell   *lc;

	write->commandType = rights & ACL_INSERT ? CMD_INSERT :
		rights & ACL_DELETE ? CMD_DELETE : CMD_UPDATE;
	write->resultRelation = varno;
	write->onConflict = query->onConflict;
	shoal_query_copy_permissions(write, query, copy);
	shoal_rte_require_perms(write, copy, rights);
	get_row_security_policies(write, copy, varno, &conditions, &checks,
							  &secured, &has_sublinks);
	query->hasRowSecurity |= secured;
	query->hasSubLinks |= has_sublinks;
	rte->securityQuals = all ? rewrite(conditions, &query->hasRowSecurity) : NIL;
	query->withCheckOptions = NIL;
	if (query->commandType != CMD_INSERT && query->commandType != CMD_UPDATE)
		return;
	foreach(lc, checks)
	{
		WithCheckOption *check = (WithCheckOption *) lfirst(lc);

		check->kind = query->commandType == CMD_INSERT ? WCO_RLS_INSERT_CHECK :
			WCO_RLS_UPDATE_CHECK;
		check->qual = linitial(rewrite(list_make1(check->qual),
									   &query->hasRowSecurity));
		query->withCheckOptions = lappend(query->withCheckOptions, check);
	}
}

void
shoal_rights_apply(Query *query, int rights)
{
	if (query->commandType == CMD_SELECT)
		put_policies(query, linitial_node(RowMarkClause, query->rowMarks)->rti,
					 rights, true);
	else
		put_policies(query, query->resultRelation, rights, false);
}

void
shoal_rights_secure(Query *query)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);
	AclMode		rights = rights_of_write(query, target);

	if (!shoal_objects_has_policies(target->relid))
		return;
	if (query->commandType == CMD_INSERT && query->returningList == NIL)
		rights &= ~ACL_SELECT;
	shoal_rte_require_perms(query, target, rights);
	put_policies(query, query->resultRelation, rights, true);
}
