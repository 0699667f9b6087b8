/*
 * plan_owner.c
 *		Writing through another role's view.
 *
 * A view that is updatable by itself is replaced by its table, which is then
 * written with the rights of the view's owner.  Nodes see a write to a table;
 * if the user may not do it himself, it is sent as the owner.  What is
 * evaluated with it would run as the owner, too, which must not be a user's
 * function, nor one that does other things for the owner: then the write is refused.
 * (current_user and the like are worked out before, here.)  The policies that count are the owner's, so a table that
 * has some is written as the owner in any case.  That the user may write through
 * the view and read the rest is core's to check, here.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "plan/plan_expr.h"
#include "plan/plan_owner.h"
#include "plan/plan_part.h"
#include "plan/plan_sequence.h"
#include "plan/plan_text.h"
#include "plan/plan_with.h"
#include "scope/scope.h"

typedef struct RightsContext
{
	Oid			as;				/* whose rights */
	bool		enough;
} RightsContext;

/* Whose rights count for an entry. */
static Oid
role_of(Query *query, RangeTblEntry *rte)
{
	Oid			check_as = shoal_rte_check_as(query, rte);

	return OidIsValid(check_as) ? check_as : GetUserId();
}

/* Has a role (InvalidOid: the entry's own) the rights that a query needs? */
static bool
rights_walker(Node *node, RightsContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *lc;

		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);

			/* a view with rights of its own is named to nodes */
			if (OidIsValid(context->as) && shoal_text_is_foreign_view(rte) &&
				shoal_objects_owner(shoal_rte_view(rte)) != context->as)
				context->enough = false;
			/* what is left of an expanded view is not named to nodes */
			if (OidIsValid(context->as) &&
				(rte->rtekind != RTE_RELATION ||
				 get_rel_relkind(rte->relid) == RELKIND_VIEW))
				continue;
			if (!shoal_rte_is_permitted(query, rte, context->as) ||
				(OidIsValid(context->as) &&
				 object_aclcheck(NamespaceRelationId, get_rel_namespace(rte->relid),
								 context->as, ACL_USAGE) != ACLCHECK_OK))
				context->enough = false;
			/* the policies would be those for another role */
			if (OidIsValid(context->as) && shoal_objects_has_policies(rte->relid) &&
				role_of(query, rte) != context->as)
				context->enough = false;
		}
		return query_tree_walker(query, rights_walker, (void *) context, 0);
	}
	return expression_tree_walker(node, rights_walker, (void *) context);
}

static bool
has_rights(Query *query, Oid as)
{
	RightsContext context = {as, true};

	rights_walker((Node *) query, &context);
	return context.enough;
}

static bool
is_users_function(Oid funcid, void *context)
{
	return funcid >= FirstNormalObjectId;
}

/* The checks of a domain may call functions as well. */
static bool
users_function_walker(Node *node, void *context)
{
	if (node == NULL || shoal_expr_is_of_row(node) || shoal_sequence_is_value(node))
		return false;
	if (shoal_expr_is_checked(node) ||
		check_functions_in_node(node, is_users_function, NULL))
		return true;
	if (IsA(node, Query))
		return !shoal_with_is_rows((Query *) node) &&
			query_tree_walker((Query *) node, users_function_walker, context, 0);
	return expression_tree_walker(node, users_function_walker, context);
}

/* A policy of whichever table that the query reads or writes. */
static bool
policy_names_user_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, WithCheckOption) &&
		((WithCheckOption *) node)->kind != WCO_VIEW_CHECK &&
		shoal_expr_names_user(((WithCheckOption *) node)->qual))
		return true;
	if (IsA(node, RangeTblEntry))
		return shoal_expr_names_user((Node *) ((RangeTblEntry *) node)->securityQuals);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, policy_names_user_walker, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, policy_names_user_walker, context);
}

/* Triggers that would fire on nodes; here they run as the user. */
static bool
has_triggers(Oid relid, bool fired)
{
	Relation	rel = table_open(relid, NoLock);
	bool		result = false;

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		result |= !rel->trigdesc->triggers[i].tgisinternal &&
			!(fired && (shoal_scope_is_movable(&rel->trigdesc->triggers[i]) ||
						!TRIGGER_FOR_ROW(rel->trigdesc->triggers[i].tgtype)));
	table_close(rel, NoLock);
	return result;
}

static void
refuse(const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot write to nodes with the rights of a view's owner"),
			 errdetail("%s", why),
			 errhint("%s", hint)));
}

bool
shoal_owner_is_needed(Query *query)
{
	Oid			owner = shoal_rte_check_as(query, rt_fetch(query->resultRelation,
														   query->rtable));

	return OidIsValid(owner) && owner != GetUserId() &&
		!has_rights(query, GetUserId());
}

/* Functions that have to run as the user */
static bool
calls_for_user(Query *query)
{
	return users_function_walker((Node *) query, NULL) ||
		shoal_part_asks_for_user(query);
}

/*
 * Where rows are found before, that is done as the owner, too, as far as it can be, so
 * functions are not called for the user then either.
 */
bool
shoal_owner_is_hindered(Query *query)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);
	bool		calls;

	if (!shoal_owner_is_needed(query))
		return false;
	calls = calls_for_user(query);
	/* an owner who makes no rows calls no functions */
	if (query->commandType == CMD_INSERT && calls)
		return true;
	return !calls && !has_rights(query, shoal_rte_check_as(query, target));
}

Oid
shoal_owner_to_write_as(Query *query, bool fired, bool found)
{
	RangeTblEntry *target = rt_fetch(query->resultRelation, query->rtable);
	Oid			owner = shoal_rte_check_as(query, target);

	if (!shoal_owner_is_needed(query) ||
		!has_rights(query, InvalidOid))	/* core will say so */
		return InvalidOid;
	if (policy_names_user_walker((Node *) query, NULL))
		refuse("A policy of the view's table depends on who the user is.",
			   "Write to the table itself, or through a view WITH (security_invoker).");
	/* rows that have been found are written by their places, and that is all */
	if (!found && !has_rights(query, owner))
		refuse("The owner may not read the other tables.",
			   "Grant rights on the view's table, or let a security-definer function write to it.");
	if (has_triggers(target->relid, fired))
		refuse("The view's table has triggers, which have to run as the user.",
			   "Grant rights on the view's table, or let a security-definer function write to it.");
	if (!found && calls_for_user(query))
		refuse("Functions and domains in the statement or the view have to run as the user.",
			   "Leave the function out, grant rights on the view's table, or let a security-definer function write to it.");
	return owner;
}
