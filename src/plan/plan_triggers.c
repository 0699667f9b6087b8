/*
 * plan_triggers.c
 *		Statement triggers that the coordinator has to fire.
 *
 * Nodes run their parts of a statement without them (scope_triggers.c says which),
 * so a plan tells its executor which tables have some.  A trigger that is created
 * later invalidates the plan.
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "plan/plan_triggers.h"
#include "scope/scope.h"

int
shoal_triggers_events(Query *query)
{
	return shoal_scope_events(query->commandType,
							  query->onConflict &&
							  query->onConflict->action == ONCONFLICT_UPDATE,
							  query->mergeActionList);
}

typedef struct FindContext
{
	bool		whole;
	List	   *found;
} FindContext;

static void
look_at_target(Query *query, FindContext *context)
{
	Oid			relid = rt_fetch(query->resultRelation, query->rtable)->relid;
	int			events = shoal_triggers_events(query);
	Relation	rel;
	bool		transitional;
	bool		any;

	if (shoal_meta_table(relid) == NULL)
		return;
	rel = RelationIdGetRelation(relid);
	transitional = shoal_scope_is_transitional(rel->trigdesc, events);
	any = shoal_scope_has_triggers(rel->trigdesc, events);
	if (transitional && !context->whole)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("statement triggers with transition tables are not supported over several shards"),
				 errdetail("Table \"%s\" has one, which would not see all rows.",
						   RelationGetRelationName(rel)),
				 errhint("Write the rows of one distribution key at a time, or use a row trigger.")));
	RelationClose(rel);
	if (any && !transitional)
		context->found = lappend_oid(lappend_oid(context->found, relid),
									 (Oid) events);
}

static bool
find_walker(Node *node, FindContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		if (query->resultRelation > 0 && query->commandType != CMD_SELECT)
			look_at_target(query, context);
		return query_tree_walker(query, find_walker, (void *) context, 0);
	}
	return expression_tree_walker(node, find_walker, (void *) context);
}

List *
shoal_triggers_find(Query *query, bool whole)
{
	FindContext context = {whole};

	if (query->commandType == CMD_SELECT && !query->hasModifyingCTE)
		return NIL;
	find_walker((Node *) query, &context);
	return context.found;
}

List *
shoal_triggers_of_target(Query *query)
{
	Oid			relid = rt_fetch(query->resultRelation, query->rtable)->relid;
	int			events = shoal_triggers_events(query);
	Relation	rel = RelationIdGetRelation(relid);
	bool		any = shoal_scope_has_triggers(rel->trigdesc, events);

	RelationClose(rel);
	return any ? list_make2_oid(relid, (Oid) events) : NIL;
}
