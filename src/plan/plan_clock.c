/*
 * plan_clock.c
 *		What asks on a node for the time at which the transaction began.
 *
 * now() in a statement is worked out where the statement was issued.  But it is called
 * on nodes as well: by CHECK constraints, domains and policies.  BEGIN tells a node what
 * now() is (xact_join.c); so a statement that may ask for it is not left to a node as a
 * transaction of its own, which has no BEGIN.
 *
 * What a function of a user does is not looked at: any that is not immutable may ask.
 * Triggers are not looked for: a time that one gives a row differs by less
 * than the way to the node takes, and nothing in a statement of its own shows that.
 */
#include "postgres.h"

#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/typcache.h"

#include "base/base_compat.h"
#include "plan/plan_clock.h"

static bool asks_walker(Node *node, void *context);

static bool
is_asking_function(Oid funcid, void *context)
{
	switch (funcid)
	{
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
		case F_AGE_TIMESTAMP:
		case F_AGE_TIMESTAMPTZ:
			return true;
		default:
			return funcid >= FirstNormalObjectId &&
				func_volatile(funcid) != PROVOLATILE_IMMUTABLE;
	}
}

static bool
is_asking_domain(Oid type)
{
	DomainConstraintRef *ref;
	Oid			element;
	ListCell   *lc;

	if (type < FirstNormalObjectId)
		return false;
	element = get_element_type(type);
	if (OidIsValid(element))
		return is_asking_domain(element);
	if (get_typtype(type) != TYPTYPE_DOMAIN)
		return false;
	/* the context's end releases it */
	ref = palloc(sizeof(DomainConstraintRef));
	InitDomainConstraintRef(type, ref, CurrentMemoryContext, false);
	foreach(lc, ref->constraints)
	{
		if (asks_walker((Node *) ((DomainConstraintState *) lfirst(lc))->check_expr, NULL))
			return true;
	}
	return false;
}

static bool
asks_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_asking_function, NULL))
		return true;
	switch (nodeTag(node))
	{
		case T_SQLValueFunction:
			return ((SQLValueFunction *) node)->op <= SVFOP_LOCALTIMESTAMP_N;
		case T_Query:
			return query_tree_walker((Query *) node, asks_walker, context, 0);
		default:
			break;
	}
	return expression_tree_walker(node, asks_walker, context);
}

bool
shoal_clock_is_asked_by_table(Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		result = false;

	for (int i = 0; desc->constr && i < desc->constr->num_check && !result; i++)
		result = asks_walker(stringToNode(desc->constr->check[i].ccbin), NULL);
	for (int i = 0; i < desc->natts && !result; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		result = !att->attisdropped && is_asking_domain(att->atttypid);
	}
	RelationClose(rel);
	return result;
}

bool
shoal_clock_is_asked(Query *query)
{
	if (query->hasRowSecurity && asks_walker((Node *) query, NULL))
		return true;
	return query->commandType != CMD_SELECT && query->resultRelation != 0 &&
		shoal_clock_is_asked_by_table(rt_fetch(query->resultRelation, query->rtable)->relid);
}
