/*
 * plan_text.c
 *		From a query tree to a fragment: its text, parameters and pins.
 *
 * The text is the user's own query, printed by core's deparser with
 * search_path set so that every name is qualified.  Three things differ from
 * the tree that the rewriter made: a view whose owner's rights count is sent
 * by its name (the node expands it again), expressions that have to be
 * evaluated here become parameters, and ONLY is dropped for distributed
 * tables, which a user need not know to be partitioned.  What the rewriter
 * added for row-level security is not printed; the node's rewriter adds it
 * again for the same role.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "storage/lockdefs.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "meta/meta.h"
#include "plan/plan_assign.h"
#include "plan/plan_clock.h"
#include "plan/plan_collate.h"
#include "plan/plan_ctid.h"
#include "plan/plan_expr.h"
#include "plan/plan_moved.h"
#include "plan/plan_policy.h"
#include "plan/plan_rights.h"
#include "plan/plan_share.h"
#include "plan/plan_step.h"
#include "plan/plan_text.h"
#include "plan/plan_triggers.h"

/*
 * With more parameters constants stay in the text: a long list of them is not the
 * same the next time, and a statement can't have more than 65535.
 */
#define MAX_CONSTANTS	100

typedef struct ExternalizeContext
{
	List	  **params;
	bool		volatile_too;
	bool		constants;		/* constants become parameters, too */
} ExternalizeContext;

/* Index (from 0) of an expression among the params, added if it is new. */
static int
param_index(List **params, Node *expr)
{
	int			pos = 0;
	ListCell   *lc;

	if (!contain_volatile_functions(expr))
	{
		foreach(lc, *params)
		{
			if (equal(lfirst(lc), expr))
				return pos;
			pos++;
		}
	}
	*params = lappend(*params, copyObject(expr));
	return list_length(*params) - 1;
}

Node *
shoal_text_make_param(int n, Oid type, int32 typmod, Oid collation)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = n;
	param->paramtype = type;
	param->paramtypmod = typmod;
	param->paramcollid = collation;
	param->location = -1;

	/* the node knows the type by name only */
	if (!OidIsValid(shoal_types_wire_oid(type)))
		return (Node *) makeRelabelType((Expr *) param, type, typmod, collation,
										COERCE_EXPLICIT_CAST);
	return (Node *) param;
}

/* Can the constant as well be a parameter? */
static bool
is_liftable(Node *node)
{
	Const	   *value = (Const *) node;

	return IsA(value, Const) && !value->constisnull &&
		shoal_types_is_binary(value->consttype);
}

static Node *
externalize_mutator(Node *node, ExternalizeContext *context)
{
	if (node == NULL)
		return NULL;
	if (shoal_expr_is_here(node, context->volatile_too) ||
		(context->constants && is_liftable(node) &&
		 list_length(*context->params) < MAX_CONSTANTS))
		return shoal_text_make_param(param_index(context->params, node) + 1,
									 exprType(node), exprTypmod(node),
									 exprCollation(node));

	/*
	 * Of calls with a syntax of their own (EXTRACT) and of casts to a type
	 * with a length the deparser reads the constants.  With a parameter in it a
	 * condition of a full join is none that can be sorted or hashed by.
	 */
	if (context->constants &&
		((IsA(node, FuncExpr) &&
		  ((FuncExpr *) node)->funcformat != COERCE_EXPLICIT_CALL &&
		  list_length(((FuncExpr *) node)->args) > 1) ||
		 (IsA(node, JoinExpr) && ((JoinExpr *) node)->jointype == JOIN_FULL)))
	{
		ExternalizeContext inner = *context;

		inner.constants = false;
		return expression_tree_mutator(node, externalize_mutator,
									   (void *) &inner);
	}
	if (IsA(node, Query))
	{
		ExternalizeContext inner = *context;

		inner.constants = false;
		return (Node *) query_tree_mutator((Query *) node, externalize_mutator,
										   (void *) &inner, 0);
	}
	return expression_tree_mutator(node, externalize_mutator,
								   (void *) context);
}

static Node *
externalize(Node *node, List **params, bool volatile_too, bool constants)
{
	ExternalizeContext context;

	context.params = params;
	context.volatile_too = volatile_too;
	context.constants = constants;
	return externalize_mutator(node, &context);
}

Node *
shoal_text_externalize(Node *node, List **params, bool volatile_too)
{
	return externalize(node, params, volatile_too, false);
}

/*
 * Externalizes a query.  With constants, those that tell one call of a
 * statement from the next (in conditions and in values to be set) become
 * parameters as well: the text stays the same, and the node parses and plans
 * it once.
 */
static Query *
externalize_query(Query *query, List **params, bool constants)
{
	Query	   *copy = copyObject(query);
	bool		sets = (query->commandType == CMD_UPDATE);
	FromExpr   *jointree;
	List	   *targets = NIL;

	if (!constants)
		return (Query *) externalize((Node *) copy, params, false, false);
	jointree = (FromExpr *) externalize((Node *) copy->jointree, params, false,
										true);
	copy->jointree = makeFromExpr(NIL, NULL);
	if (sets)
	{
		targets = (List *) externalize((Node *) copy->targetList, params, false,
									   true);
		copy->targetList = NIL;
	}
	copy = (Query *) externalize((Node *) copy, params, false, false);
	copy->jointree = jointree;
	if (sets)
		copy->targetList = targets;
	return copy;
}

/* Does the view run with rights other than the current user's? */
static bool
has_foreign_rights(Oid view)
{
	Relation	rel = relation_open(view, AccessShareLock);
	bool		foreign = !RelationHasSecurityInvoker(rel) &&
		rel->rd_rel->relowner != GetUserId();

	relation_close(rel, NoLock);
	return foreign;
}

bool
shoal_text_is_foreign_view(RangeTblEntry *rte)
{
	Oid			view = shoal_rte_view(rte);

	return OidIsValid(view) && has_foreign_rights(view);
}

bool
shoal_text_is_hashed(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		result =
		RelationGetPartitionKey(rel)->strategy == PARTITION_STRATEGY_HASH;

	relation_close(rel, NoLock);
	return result;
}

/* Could the current user do with a table what a query does? */
static bool
has_own_rights(Query *query, Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);

	/* policies may be others for another role */
	result = !form->relrowsecurity &&
		object_aclcheck(NamespaceRelationId, form->relnamespace, GetUserId(),
						ACL_USAGE) == ACLCHECK_OK;
	ReleaseSysCache(tuple);
	return result &&
		pg_class_aclmask(relid, GetUserId(),
						 query->rowMarks ? ACL_SELECT | ACL_UPDATE : ACL_SELECT,
						 ACLMASK_ALL) ==
		(query->rowMarks ? ACL_SELECT | ACL_UPDATE : ACL_SELECT);
}

typedef struct OwnerContext
{
	bool		found;
	bool		mixed;
	Oid			owner;
} OwnerContext;

static bool
owner_walker(Node *node, OwnerContext *context)
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
			Oid			view = shoal_rte_view(rte);
			Oid			owner;

			if (rte->rtekind == RTE_SUBQUERY &&
				!(OidIsValid(view) && has_foreign_rights(view)))
				owner_walker((Node *) rte->subquery, context);
			/*
			 * What is left of an expanded view is not in FROM and not named, nor is
			 * the target of an INSERT that the query makes rows for.
			 */
			if (rte->rtekind != RTE_RELATION || rte->relkind == RELKIND_VIEW ||
				(query->commandType == CMD_SELECT &&
				 (shoal_rte_required_perms(query, rte) & ACL_INSERT)))
				continue;
			owner = shoal_rte_check_as(query, rte);
			if (owner == GetUserId() ||
				(OidIsValid(owner) && has_own_rights(query, rte->relid) &&
				 (query->commandType == CMD_SELECT ||
				  shoal_rte_is_permitted(query, rte, GetUserId()))))
				owner = InvalidOid;
			if (context->found && owner != context->owner)
				context->mixed = true;
			context->found = true;
			context->owner = owner;
		}
		return query_tree_walker(query, owner_walker, (void *) context,
								 QTW_IGNORE_RT_SUBQUERIES);
	}
	return expression_tree_walker(node, owner_walker, (void *) context);
}

Oid
shoal_text_owner(Query *query)
{
	OwnerContext context = {false, false, InvalidOid};

	owner_walker((Node *) query, &context);
	return context.mixed ? InvalidOid : context.owner;
}

bool
shoal_text_is_mixed(Query *query)
{
	OwnerContext context = {false, false, InvalidOid};

	owner_walker((Node *) query, &context);
	return context.mixed;
}

bool
shoal_text_is_for_user(Query *query)
{
	OwnerContext context = {false, false, InvalidOid};

	owner_walker((Node *) query, &context);
	return !context.mixed && !OidIsValid(context.owner);
}

static void
name_view(RangeTblEntry *rte, Oid view)
{
	rte->rtekind = RTE_RELATION;
	rte->relid = view;
	rte->relkind = RELKIND_VIEW;
	rte->rellockmode = AccessShareLock;
	rte->inh = true;
	rte->subquery = NULL;
}

/*
 * Views with a locking clause: expanded, they may hold what cannot be locked
 * (the rewriter does not mind), and their own clauses would not be printed.
 */
static void
name_locked_views(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rowMarks)
	{
		RangeTblEntry *rte = rt_fetch(((RowMarkClause *) lfirst(lc))->rti,
									  query->rtable);
		Oid			view = shoal_rte_view(rte);

		if (OidIsValid(view))
			name_view(rte, view);
	}
}

/*
 * What a rule's action reads is not marked as being in FROM, and entries of the
 * action that refer to it come before it there.
 */
static void
show_sources(Query *query)
{
	List	   *first = NIL;
	List	   *lateral = NIL;
	bool		hidden = false;
	ListCell   *lc;

	foreach(lc, query->jointree->fromlist)
	{
		RangeTblEntry *rte = IsA(lfirst(lc), RangeTblRef) ?
			rt_fetch(((RangeTblRef *) lfirst(lc))->rtindex, query->rtable) : NULL;

		if (rte && rte->lateral)
			lateral = lappend(lateral, lfirst(lc));
		else
			first = lappend(first, lfirst(lc));
		hidden |= rte && !rte->inFromCl;
		if (rte)
			rte->inFromCl = true;
	}
	if (hidden)
		query->jointree->fromlist = list_concat(first, lateral);
}

/*
 * An INSERT through a view has the view's EXCLUDED besides its table's, which
 * alone is referred to and has to have the name.
 */
static void
name_excluded(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);

		if (foreach_current_index(lc) + 1 != query->onConflict->exclRelIndex &&
			rte->alias && strcmp(rte->alias->aliasname, "excluded") == 0)
			rte->alias = makeAlias("view", NIL);
	}
}

static void
order_merge_actions(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->mergeActionList)
	{
		MergeAction *action = lfirst_node(MergeAction, lc);

		if (action->commandType == CMD_UPDATE)
			action->targetList =
				shoal_assign_any_at_all(query,
										shoal_assign_order(shoal_assign_split(action->targetList)));
	}
}

/*
 * A whole row of a view is printed with a cast to the view's type.  Where an outer
 * join has no row, that would make a row of NULLs of it.
 */
static void
keep_null_rows(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		Var		   *var = (Var *) tle->expr;
		NullTest   *test;
		CaseWhen   *when;
		CaseExpr   *result;

		if (!IsA(var, Var) || var->varlevelsup > 0 || var->varattno != 0 ||
			var->vartype == RECORDOID ||
			rt_fetch(var->varno, query->rtable)->rtekind != RTE_SUBQUERY)
			continue;
		test = makeNode(NullTest);
		when = makeNode(CaseWhen);
		result = makeNode(CaseExpr);
		test->arg = (Expr *) var;
		test->nulltesttype = IS_NOT_NULL;
		test->location = -1;
		when->expr = (Expr *) test;
		when->result = (Expr *) makeRelabelType(copyObject((Expr *) var), var->vartype, -1,
												InvalidOid, COERCE_EXPLICIT_CAST);
		when->location = -1;
		result->casetype = var->vartype;
		result->args = list_make1(when);
		result->defresult = (Expr *) makeNullConst(var->vartype, -1, InvalidOid);
		result->location = -1;
		tle->expr = (Expr *) result;
	}
}

/*
 * The deparser names a column as one of the join that it was written as.  It would print
 * NEW where a rule has put something else; and the query may have been taken out of
 * the one that has the join.
 */
static bool
is_named_amiss(const Var *var, const Query *level)
{
	return var->varnosyn > 0 && var->varnosyn != var->varno &&
		(var->varnosyn > list_length(level->rtable) ||
		 rt_fetch(var->varnosyn, level->rtable)->rtekind != RTE_JOIN);
}

/* Prepares range table entries and references to them for printing, in place. */
static bool
fix_rtes_walker(Node *node, void *level)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (level && var->varlevelsup == 0 && !IS_SPECIAL_VARNO(var->varno) &&
			is_named_amiss(var, (Query *) level))
		{
			var->varnosyn = var->varno;
			var->varattnosyn = var->varattno;
		}
		return false;
	}
	/* a table's row that the planner has put together: its columns have names */
	if (IsA(node, RowExpr) && ((RowExpr *) node)->row_typeid != RECORDOID)
		((RowExpr *) node)->row_format = COERCE_EXPLICIT_CAST;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		Oid			view = shoal_rte_view(rte);

		if (OidIsValid(view) && has_foreign_rights(view))
			name_view(rte, view);
		else if (rte->rtekind == RTE_RELATION && !rte->inh &&
				 rte->relkind == RELKIND_PARTITIONED_TABLE &&
				 shoal_text_is_hashed(rte->relid))
			rte->inh = true;
		return false;
	}
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		/* a view's table that became the target is not to be printed twice */
		if (query->commandType != CMD_INSERT && query->commandType != CMD_MERGE)
			show_sources(query);
		if (query->resultRelation > 0)
			rt_fetch(query->resultRelation, query->rtable)->inFromCl = false;
		name_locked_views(query);
		if (query->commandType == CMD_SELECT)
			keep_null_rows(query);
		if (query->commandType == CMD_INSERT || query->commandType == CMD_UPDATE)
			query->targetList = shoal_assign_split(query->targetList);
		if (query->commandType == CMD_UPDATE)
			query->targetList =
				shoal_assign_any_at_all(query, shoal_assign_order(query->targetList));
		if (query->commandType == CMD_MERGE)
			order_merge_actions(query);
		if (query->onConflict)
		{
			List	   *set = shoal_assign_split(query->onConflict->onConflictSet);

			set = shoal_assign_order(set);
			if (query->onConflict->action == ONCONFLICT_UPDATE)
				set = shoal_assign_any_at_all(query, set);
			query->onConflict->onConflictSet = set;
			name_excluded(query);
		}
		return query_tree_walker(query, fix_rtes_walker, (void *) query,
								 QTW_EXAMINE_RTES_BEFORE);
	}
	return expression_tree_walker(node, fix_rtes_walker, level);
}

static bool
is_other_column(TargetEntry *tle, const char *name, Expr *expr)
{
	return !tle->resjunk && tle->resname && strcmp(tle->resname, name) == 0 &&
		!equal(tle->expr, expr);
}

/*
 * Is a query ordered by a column of its table that has the name of another one of
 * the result?  The name by itself would be that one's.
 */
static bool
has_ambiguous_order(Query *query)
{
	ListCell   *lc;
	ListCell   *lct;

	foreach(lc, list_concat_copy(query->sortClause, query->distinctClause))
	{
		Var		   *var = (Var *) get_sortgroupclause_expr(lfirst(lc), query->targetList);
		char	   *name;

		if (!IsA(var, Var) || var->varlevelsup > 0 || var->varattno <= 0)
			continue;
		name = get_rte_attribute_name(rt_fetch(var->varno, query->rtable),
									  var->varattno);
		foreach(lct, query->targetList)
		{
			if (is_other_column(lfirst(lct), name, (Expr *) var))
				return true;
		}
	}
	return false;
}

/* The deparser puts the table before each column if there is another entry. */
static void
qualify_columns(Query *query)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RESULT;
	rte->eref = makeAlias("shoal", NIL);
	query->rtable = lappend(query->rtable, rte);
}

char *
shoal_text_deparse(Query *query)
{
	int			nestlevel = NewGUCNestLevel();
	char	   *text;

	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("datestyle", "ISO", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("intervalstyle", "iso_8601", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("extra_float_digits", "3", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	fix_rtes_walker((Node *) query, NULL);
	shoal_collate_show(query);
	if (query->commandType == CMD_SELECT && list_length(query->rtable) == 1 &&
		has_ambiguous_order(query))
		qualify_columns(query);
	text = pg_get_querydef(query, false);
	AtEOXact_GUC(true, nestlevel);
	return text;
}

static bool
returns_rows(Query *query)
{
	return query->commandType == CMD_SELECT || query->returningList != NIL;
}

/* Plan-time work on the parameters that core's planner would have done. */
static List *
plan_params(List *params)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, params)
		result = lappend(result, expression_planner((Expr *) lfirst(lc)));
	return result;
}

ShoalFragment *
shoal_text_compile(Query *query, const ShoalShape *shape)
{
	ShoalFragment *frag = palloc0(sizeof(ShoalFragment));
	List	   *params = NIL;
	Query	   *copy;

	query = shoal_policy_tell(query, &frag->policies);
	frag->rights = shoal_rights_of_locking(query);
	copy = externalize_query(query, &params, shape->kind == SHOAL_SHAPE_SHARDED);
	copy = shoal_ctid_narrow(copy, shape->kind == SHOAL_SHAPE_SHARDED && shape->single);
	frag->nsent = list_length(params);
	frag->command = query->commandType;
	frag->locks_rows = shoal_expr_locks_rows((Node *) query);
	frag->is_volatile = contain_volatile_functions((Node *) query) ||
		shoal_expr_is_stuck((Node *) query, false);
	frag->is_timed = shoal_clock_is_asked(query);
	frag->returns_rows = returns_rows(query);
	if (shape->kind == SHOAL_SHAPE_SHARDED)
	{
		frag->group_id = shape->group_id;
		frag->single_shard = shape->single;
		frag->pin_relid = shape->relid;
		if (shape->pin)
		{
			List	   *pin = NIL;
			ListCell   *lc;

			foreach(lc, shape->pin)
				pin = lappend_int(pin, param_index(&params, lfirst(lc)));
			frag->pins = list_make1(pin);
			frag->pin_is_array = list_make1_int(shape->pin_is_array);
		}
	}
	params = shoal_step_combine(params);
	frag->params = plan_params(params);
	frag->steps = shoal_step_compile(params);
	frag->moves = shoal_moved_compile(query, params);
	frag->share_tables = shoal_share_tables(query, shape);
	frag->triggers = shoal_triggers_find(query,
										 shape->kind != SHOAL_SHAPE_SHARDED ||
										 shape->single);
	frag->text = shoal_text_deparse(copy);
	return frag;
}

/* Externalizes the values of an INSERT's row, but for keys (done already). */
static List *
externalize_targets(List *targetlist, const ShoalTable *table, List **params)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, targetlist)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);
		bool		is_key = false;

		for (int i = 0; i < table->nkeys; i++)
			is_key |= (table->keyattr[i] == tle->resno);
		if (!is_key)
			tle = (TargetEntry *) externalize((Node *) tle, params, true, true);
		result = lappend(result, tle);
	}
	return result;
}

ShoalFragment *
shoal_text_compile_insert(Query *query, Oid relid)
{
	ShoalFragment *frag = palloc0(sizeof(ShoalFragment));
	const ShoalTable *table = shoal_meta_table(relid);
	Query	   *copy = copyObject(query);
	List	   *params = NIL;
	List	   *targets;
	List	   *pin = NIL;

	/* a key is a constant or a parameter, so that it is evaluated once */
	for (int i = 0; i < table->nkeys; i++)
	{
		TargetEntry *tle = get_tle_by_resno(copy->targetList, table->keyattr[i]);

		if (tle && (!IsA(tle->expr, Const) || is_liftable((Node *) tle->expr)))
			tle->expr = (Expr *)
				shoal_text_make_param(param_index(&params, (Node *) tle->expr) + 1,
									  exprType((Node *) tle->expr),
									  exprTypmod((Node *) tle->expr),
									  exprCollation((Node *) tle->expr));
	}

	/* each expression of the row is evaluated once, so here if it matters */
	targets = externalize_targets(copy->targetList, table, &params);
	copy->targetList = NIL;
	copy = (Query *) shoal_text_externalize((Node *) copy, &params, false);
	copy->targetList = targets;
	/* the rewriter has seen to OVERRIDING USER VALUE; DEFAULT VALUES has none */
	copy->override = copy->targetList ? OVERRIDING_SYSTEM_VALUE :
		OVERRIDING_NOT_SET;

	frag->nsent = list_length(params);
	frag->command = CMD_INSERT;
	frag->is_timed = shoal_clock_is_asked(query);
	frag->returns_rows = returns_rows(query);
	frag->group_id = table->group_id;
	frag->pin_relid = relid;
	frag->single_shard = (table->kind != SHOAL_KIND_REFERENCE);
	frag->triggers = shoal_triggers_find(query, true);
	frag->every_node = (table->kind == SHOAL_KIND_REFERENCE);
	for (int i = 0; i < table->nkeys; i++)
	{
		TargetEntry *tle = get_tle_by_resno(targets, table->keyattr[i]);
		Node	   *value;

		if (tle == NULL)
			value = (Node *) makeNullConst(table->keytype[i], -1, InvalidOid);
		else
			value = shoal_expr_strip((Node *) tle->expr);
		if (IsA(value, Param))
			pin = lappend_int(pin, ((Param *) value)->paramid - 1);
		else
			pin = lappend_int(pin, param_index(&params, value));
	}
	if (table->nkeys > 0)
	{
		frag->pins = list_make1(pin);
		frag->pin_is_array = list_make1_int(false);
	}
	frag->params = plan_params(params);
	frag->text = shoal_text_deparse(copy);
	return frag;
}
