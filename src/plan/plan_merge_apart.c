/*
 * plan_merge_apart.c
 *		MERGE that is taken apart into one statement for each of its actions.
 *
 * This is the last way, for what shards can't do by themselves: conditions or
 * values with functions that run on the coordinator, rows that are inserted with
 * another key than the one that is compared, joins on other columns.  The MERGE
 * becomes a WITH query,
 *
 *		WITH merge (c1, c2, ...) AS (
 *			SELECT number of the action, place of the target's row,
 *				columns that the actions read
 *			FROM source LEFT JOIN target ON condition),
 *		action 1 AS (UPDATE target SET ... FROM merge
 *			WHERE target.key = c3 AND place of the row = c2 AND c1 = 1),
 *		action 2 AS (INSERT INTO target SELECT ... FROM merge WHERE c1 = 2)
 *
 * (or RIGHT or FULL JOIN, with WHEN NOT MATCHED BY SOURCE), whose parts run one after the other and read with the same snapshots
 * (plan_with.c), each by whichever way it has.
 *
 * The place is the text of the row's key and ctid (of a reference table, whose
 * ctids differ by node, of the whole row), so a row that somebody else changes
 * meanwhile is not found again.  Shoal With (exec_with.c) counts: it raises an
 * error if two rows of the source want to change the same row of the target, or
 * if an action has changed fewer rows than it should.  One server would have
 * decided anew with the changed row.
 *
 * An INSERT with ON CONFLICT DO UPDATE that nodes can't do with each row by itself
 * goes the same way (plan_upsert.c).
 *
 * Actions run in the order DELETE, UPDATE, INSERT, so that what is inserted does
 * not collide with what is on its way out.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type_d.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "base/base_compat.h"
#include "plan/plan_assign.h"
#include "plan/plan_expr.h"
#include "plan/plan_merge_apart.h"
#include "plan/plan_merge_source.h"
#include "plan/plan_place.h"
#include "plan/plan_policy.h"
#include "plan/plan_query.h"
#include "plan/plan_rights.h"
#include "plan/plan_with.h"
#include "scope/scope.h"

/* columns of the WITH query; others follow */
#define ACTION_COLUMN	1
#define PLACE_COLUMN	2

/* a MERGE may be a part of a WITH query, but not of another MERGE */
#define BASE_NUMBER		1000000

typedef struct MergeApart
{
	Query	   *query;
	Index		target;			/* its entry */
	const ShoalTable *table;
	Relation	rel;
	const ShoalUpsert *upsert;	/* or NULL */
	Index		source;			/* its entry, if it tells of its rows ... */
	AttrNumber	present;		/* ... by this column; else 0 */
	CommonTableExpr *cte;		/* the WITH query, once it is made */
	List	   *columns;		/* its expressions */
} MergeApart;

/* ---- what can be done ---- */

static bool
check_actions(MergeApart *apart, const char **why)
{
	ListCell   *lc;

	foreach(lc, apart->query->mergeActionList)
	{
		MergeAction *action = (MergeAction *) lfirst(lc);

		if (shoal_assign_single(action->targetList) == NIL &&
			action->targetList != NIL)
			*why = "several columns are set by one subquery with volatile functions";
	}
	return *why == NULL;
}

static bool
inserts(const Query *query)
{
	ListCell   *lc;

	foreach(lc, query->mergeActionList)
	{
		if (((MergeAction *) lfirst(lc))->commandType == CMD_INSERT)
			return true;
	}
	return false;
}

static bool
is_possible(MergeApart *apart, const char **why)
{
	Query	   *query = apart->query;

	*why = NULL;
	if (apart->upsert == NULL && inserts(query) &&
		shoal_merge_reads_source((Node *) query->returningList, apart->target))
		*why = "RETURNING of a MERGE that inserts has columns of the source";
	else if (list_length(query->jointree->fromlist) != 1)
		*why = "an unexpected source";
	else if (shoal_policy_reads_moved((Node *) query->withCheckOptions))
		*why = "a policy of the table reads rows of other shards";
	return *why == NULL && check_actions(apart, why);
}

/* ---- columns of the rows that are merged ---- */

static Expr *
make_place(MergeApart *apart, Index varno)
{
	return shoal_place_make(apart->table, apart->rel, varno);
}

/* "CASE WHEN a IS NOT NULL AND ... THEN text of ROW(a, ...) END" */
static Expr *
make_proposed_place(MergeApart *apart)
{
	CaseExpr   *result = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);
	List	   *tests = NIL;
	ListCell   *lc;

	foreach(lc, apart->upsert->keys)
	{
		NullTest   *test = makeNode(NullTest);

		test->arg = copyObject(lfirst(lc));
		test->nulltesttype = IS_NOT_NULL;
		test->location = -1;
		tests = lappend(tests, test);
	}
	when->expr = make_ands_explicit(tests);
	when->result = shoal_place_text(copyObject(apart->upsert->keys));
	when->location = -1;
	result->casetype = TEXTOID;
	result->casecollid = DEFAULT_COLLATION_OID;
	result->args = list_make1(when);
	result->defresult = (Expr *) makeNullConst(TEXTOID, -1, DEFAULT_COLLATION_OID);
	result->location = -1;
	return (Expr *) result;
}

/*
 * What must not be there twice: the rows that are changed.  Rows that are to be
 * inserted, as they do not conflict with others, must not do so with each other.
 */
static Expr *
make_places(MergeApart *apart)
{
	CaseExpr   *result = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);
	NullTest   *test = makeNode(NullTest);

	if (apart->upsert == NULL)
		return make_place(apart, apart->target);
	test->arg = (Expr *) shoal_expr_column(InvalidOid, apart->target,
										   SelfItemPointerAttributeNumber);
	test->nulltesttype = IS_NULL;
	test->location = -1;
	when->expr = (Expr *) test;
	when->result = make_proposed_place(apart);
	when->location = -1;
	result->casetype = TEXTOID;
	result->casecollid = DEFAULT_COLLATION_OID;
	result->args = list_make1(when);
	result->defresult = make_place(apart, apart->target);
	result->location = -1;
	return (Expr *) result;
}

/* The key columns that nodes can be told to join on. */
static List *
joined_keys(MergeApart *apart)
{
	List	   *attnos = NIL;

	if (apart->table->kind == SHOAL_KIND_REFERENCE)
	{
		Bitmapset  *key = RelationGetIndexAttrBitmap(apart->rel,
													 INDEX_ATTR_BITMAP_PRIMARY_KEY);
		int			i = -1;

		while ((i = bms_next_member(key, i)) >= 0)
			attnos = lappend_int(attnos, i + FirstLowInvalidHeapAttributeNumber);
		return attnos;
	}
	for (int i = 0; i < apart->table->nkeys; i++)
	{
		AttrNumber	attno = apart->table->keyattr[i];

		if (TupleDescAttr(RelationGetDescr(apart->rel), attno - 1)->attnotnull)
			attnos = lappend_int(attnos, attno);
	}
	return attnos;
}

/* The number of a column among the merged rows, which gets it if need be. */
static int
column_number(MergeApart *apart, Expr *column)
{
	ListCell   *lc;

	foreach(lc, apart->columns)
	{
		if (equal(lfirst(lc), column))
			return foreach_current_index(lc) + 1;
	}
	if (apart->cte != NULL)
		elog(ERROR, "a column of MERGE is missing");
	apart->columns = lappend(apart->columns, column);
	return list_length(apart->columns);
}

/* Is there a row of the target, and of the source as far as that matters? */
static Node *
make_match(MergeApart *apart, MergeAction *action)
{
	NullTest   *test = makeNode(NullTest);
	NullTest   *other = makeNode(NullTest);

	test->arg = (Expr *) shoal_expr_column(InvalidOid, apart->target,
										   SelfItemPointerAttributeNumber);
	test->nulltesttype = shoal_merge_is_not_matched(action) ? IS_NULL :
		IS_NOT_NULL;
	test->location = -1;
	if (apart->present == 0 || shoal_merge_is_not_matched(action))
		return (Node *) test;
	other->arg = (Expr *) makeVar(apart->source, apart->present, BOOLOID, -1,
								  InvalidOid, 0);
	other->nulltesttype = shoal_merge_is_by_source(action) ? IS_NULL : IS_NOT_NULL;
	other->location = -1;
	return make_and_qual((Node *) test, (Node *) other);
}

static Expr *
make_number(int number)
{
	return (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
							  Int32GetDatum(number), false, true);
}

/*
 * The number of an action; but where a policy does not let it change the row, that of
 * the policy among query's withCheckOptions, below zero.  Then it is an error.
 */
static Expr *
make_allowed(MergeApart *apart, MergeAction *action, int number)
{
	CaseExpr   *result = makeNode(CaseExpr);
	WCOKind		kind = action->commandType == CMD_UPDATE ? WCO_RLS_MERGE_UPDATE_CHECK :
		WCO_RLS_MERGE_DELETE_CHECK;
	ListCell   *lc;

	foreach(lc, apart->query->withCheckOptions)
	{
		WithCheckOption *check = (WithCheckOption *) lfirst(lc);
		BooleanTest *test = makeNode(BooleanTest);
		CaseWhen   *when = makeNode(CaseWhen);

		if (check->kind != kind || action->commandType == CMD_INSERT ||
			action->commandType == CMD_NOTHING)
			continue;
		test->arg = copyObject((Expr *) check->qual);
		test->booltesttype = IS_NOT_TRUE;
		test->location = -1;
		when->expr = (Expr *) test;
		when->result = make_number(-foreach_current_index(lc) - 1);
		when->location = -1;
		result->args = lappend(result->args, when);
	}
	if (result->args == NIL)
		return make_number(number);
	result->casetype = INT4OID;
	result->defresult = make_number(number);
	result->location = -1;
	return (Expr *) result;
}

/* What the policies' errors say, in the order of their numbers. */
static List *
policy_errors(Query *query)
{
	List	   *errors = NIL;
	ListCell   *lc;

	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *check = (WithCheckOption *) lfirst(lc);
		char	   *error = check->polname ?
			psprintf(_("target row violates row-level security policy \"%s\" (USING expression) for table \"%s\""),
					 check->polname, check->relname) :
			psprintf(_("target row violates row-level security policy (USING expression) for table \"%s\""),
					 check->relname);

		errors = lappend(errors, makeString(error));
	}
	return errors;
}

/* "CASE WHEN t.ctid IS [NOT] NULL AND condition THEN number ... ELSE 0 END" */
static Expr *
make_action(MergeApart *apart)
{
	CaseExpr   *result = makeNode(CaseExpr);
	ListCell   *lc;

	foreach(lc, apart->query->mergeActionList)
	{
		MergeAction *action = (MergeAction *) lfirst(lc);
		CaseWhen   *when = makeNode(CaseWhen);
		int			number = action->commandType == CMD_NOTHING ? 0 :
			foreach_current_index(lc) + 1;

		when->expr = (Expr *) make_and_qual(make_match(apart, action),
											copyObject(action->qual));
		when->result = make_allowed(apart, action, number);
		when->location = -1;
		result->args = lappend(result->args, when);
	}
	result->casetype = INT4OID;
	result->defresult = make_number(0);
	result->location = -1;
	return (Expr *) result;
}

/* ---- expressions of actions ---- */

typedef struct ActionContext
{
	MergeApart *apart;
	const char *name;			/* of the action, for merge_action() */
	int			depth;
} ActionContext;

/*
 * In an action's statement the target is entry 1, and the merged rows are entry
 * 2.  Where the columns of these are still being collected, the result is of no
 * use.
 */
static Node *
action_mutator(Node *node, ActionContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == context->depth)
	{
		Var		   *var = copyObject((Var *) node);

		if (var->varno == context->apart->target)
			var->varno = 1;
		else
		{
			var->varlevelsup = 0;
			var->varattno = column_number(context->apart, copyObject((Expr *) var));
			var->varno = 2;
			var->varlevelsup = context->depth;
		}
		var->varnosyn = 0;
		return (Node *) var;
	}
	if (shoal_is_merge_action(node))
		return (Node *) makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
								  CStringGetTextDatum(context->name), false, false);
	if (IsA(node, Query))
	{
		Node	   *result;

		context->depth++;
		result = (Node *) query_tree_mutator((Query *) node, action_mutator,
											 (void *) context, 0);
		context->depth--;
		return result;
	}
	return expression_tree_mutator(node, action_mutator, (void *) context);
}

static Node *
adapt_to_action(MergeApart *apart, Node *node, CmdType command)
{
	ActionContext context = {apart, command == CMD_INSERT ? "INSERT" :
	command == CMD_UPDATE ? "UPDATE" : "DELETE", 0};

	node = action_mutator(node, &context);
	shoal_with_lift(node, 0);
	return node;
}

static List *
values_of_action(MergeApart *apart, MergeAction *action)
{
	return (List *) adapt_to_action(apart,
									(Node *) shoal_assign_single(action->targetList),
									action->commandType);
}

/* ---- the statements ---- */

/* Tells a join's entry of the columns of one of its sides. */
static void
add_join_columns(Query *query, RangeTblEntry *join, Node *side, List **numbers)
{
	Index		varno = IsA(side, RangeTblRef) ? ((RangeTblRef *) side)->rtindex :
		((JoinExpr *) side)->rtindex;
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);
	List	   *names;
	List	   *vars;
	ListCell   *lcn;
	ListCell   *lcv;

	shoal_expand_rte(rte, varno, true, &names, &vars);
	forboth(lcn, names, lcv, vars)
	{
		AttrNumber	attno = foreach_current_index(lcn) + 1;

		if (get_rte_attribute_is_dropped(rte, attno))
			continue;
		join->joinaliasvars = lappend(join->joinaliasvars, lfirst(lcv));
		join->eref->colnames = lappend(join->eref->colnames, lfirst(lcn));
		*numbers = lappend_int(*numbers, attno);
	}
}

/* The rows that are merged, as a WITH query. */
static CommonTableExpr *
make_rows(MergeApart *apart)
{
	Query	   *rows = copyObject(apart->query);
	CommonTableExpr *cte = makeNode(CommonTableExpr);
	JoinExpr   *join = makeNode(JoinExpr);
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell   *lc;

	ref->rtindex = apart->target;
	join->jointype = apart->present ? JOIN_RIGHT : JOIN_INNER;
	foreach(lc, apart->query->mergeActionList)
	{
		MergeAction *action = (MergeAction *) lfirst(lc);

		if (shoal_merge_is_not_matched(action) && action->commandType != CMD_NOTHING)
			join->jointype = apart->present ? JOIN_FULL : JOIN_LEFT;
	}
	join->larg = linitial(rows->jointree->fromlist);
	join->rarg = (Node *) ref;
	join->quals = shoal_merge_condition(rows);
	rte->rtekind = RTE_JOIN;
	rte->jointype = join->jointype;
	rte->eref = makeAlias("shoal_merge", NIL);
	rte->inFromCl = true;
	add_join_columns(rows, rte, join->larg, &rte->joinleftcols);
	add_join_columns(rows, rte, join->rarg, &rte->joinrightcols);
	rows->rtable = lappend(rows->rtable, rte);
	join->rtindex = list_length(rows->rtable);

	rt_fetch(apart->target, rows->rtable)->inFromCl = true;
	shoal_merge_forget(rows);
	rows->commandType = CMD_SELECT;
	rows->returningList = NIL;
	rows->resultRelation = 0;
	rows->withCheckOptions = NIL;
	rows->canSetTag = true;
	rows->jointree = makeFromExpr(list_make1(join), NULL);
	cte->ctename = pstrdup(SHOAL_MERGE_ROWS);
	foreach(lc, apart->columns)
	{
		Expr	   *expr = copyObject(lfirst(lc));
		int			n = foreach_current_index(lc) + 1;
		char	   *name = psprintf("c%d", n);

		if (join->jointype == JOIN_LEFT || join->jointype == JOIN_FULL)
			expr = shoal_null_by_join(expr, apart->target, join->rtindex);
		if (apart->present)
			expr = shoal_null_by_join(expr, apart->source, join->rtindex);
		rows->targetList = lappend(rows->targetList,
								   makeTargetEntry(expr, n, name, false));
		cte->ctecolnames = lappend(cte->ctecolnames, makeString(pstrdup(name)));
		cte->ctecoltypes = lappend_oid(cte->ctecoltypes, exprType((Node *) expr));
		cte->ctecoltypmods = lappend_int(cte->ctecoltypmods,
										 exprTypmod((Node *) expr));
		cte->ctecolcollations = lappend_oid(cte->ctecolcollations,
											exprCollation((Node *) expr));
	}
	rows->hasSubLinks = checkExprHasSubLink((Node *) rows->targetList) ||
		checkExprHasSubLink((Node *) rows->jointree);
	rows->cteList = NIL;
	shoal_with_lift((Node *) rows, -1);
	cte->ctematerialized = CTEMaterializeAlways;
	cte->ctequery = (Node *) rows;
	cte->cterefcount = list_length(apart->query->mergeActionList) + 1;
	cte->location = -1;
	return cte;
}

static Var *
rows_column(MergeApart *apart, int n)
{
	Node	   *expr = list_nth(apart->columns, n - 1);

	return makeVar(2, n, exprType(expr), exprTypmod(expr), exprCollation(expr), 0);
}

static Node *
make_equal(Oid operator, Expr *left, Expr *right, Oid collation)
{
	return (Node *) make_opclause(operator, BOOLOID, false, left, right,
								  InvalidOid, collation);
}

/* What an action's statement finds the rows by. */
static Node *
make_condition(MergeApart *apart, int number, bool matched)
{
	List	   *quals = NIL;
	ListCell   *lc;

	if (matched)
	{
		foreach(lc, joined_keys(apart))
		{
			Var		   *own = shoal_expr_column(apart->table->relid, 1, lfirst_int(lc));
			Var		   *there = shoal_expr_column(apart->table->relid, apart->target,
												  lfirst_int(lc));

			quals = lappend(quals,
							make_equal(lookup_type_cache(own->vartype,
														 TYPECACHE_EQ_OPR)->eq_opr,
									   (Expr *) own,
									   (Expr *) rows_column(apart, column_number(apart, (Expr *) there)),
									   own->varcollid));
		}
		quals = lappend(quals,
						make_equal(TextEqualOperator, make_place(apart, 1),
								   (Expr *) rows_column(apart, PLACE_COLUMN),
								   C_COLLATION_OID));
	}
	quals = lappend(quals,
					make_equal(Int4EqualOperator,
							   (Expr *) rows_column(apart, ACTION_COLUMN),
							   make_number(number),
							   InvalidOid));
	return (Node *) make_ands_explicit(quals);
}

/* An INSERT that gives no column a value still has to have one to be given. */
static List *
null_for_column(MergeApart *apart)
{
	for (int i = 0; i < RelationGetNumberOfAttributes(apart->rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(apart->rel), i);

		if (!att->attisdropped && !att->attgenerated)
			return list_make1(makeTargetEntry((Expr *) makeNullConst(att->atttypid,
																	 att->atttypmod,
																	 att->attcollation),
											  att->attnum,
											  pstrdup(NameStr(att->attname)), false));
	}
	return NIL;
}

/* The checks of a view that hold for rows that an action writes. */
static List *
checks_of_action(MergeApart *apart, MergeAction *action)
{
	List	   *checks = NIL;
	ListCell   *lc;

	if (action->commandType == CMD_DELETE)
		return NIL;
	foreach(lc, apart->query->withCheckOptions)
	{
		WithCheckOption *check = copyObject(lfirst_node(WithCheckOption, lc));

		if (check->kind == WCO_VIEW_CHECK)
			checks = lappend(checks, check);
	}
	ChangeVarNodes((Node *) checks, apart->target, 1, 0);
	return checks;
}

static CommonTableExpr *
make_statement(MergeApart *apart, MergeAction *action, int number)
{
	Query	   *query = makeNode(Query);
	CommonTableExpr *cte = makeNode(CommonTableExpr);
	RangeTblEntry *target = copyObject(rt_fetch(apart->target,
												apart->query->rtable));
	bool		insert = action->commandType == CMD_INSERT;

	query->commandType = action->commandType;
	query->override = action->override;
	query->hasRowSecurity = apart->query->hasRowSecurity;
	target->inFromCl = !insert;
	query->rtable = list_make2(target, shoal_with_entry(apart->cte, 1));
	shoal_query_copy_permissions(query, apart->query, target);
	ChangeVarNodes((Node *) target->securityQuals, apart->target, 1, 0);
	query->resultRelation = 1;
	query->targetList = values_of_action(apart, action);
	if (insert && query->targetList == NIL)
		query->targetList = null_for_column(apart);
	query->returningList = (List *)
		adapt_to_action(apart, (Node *) apart->query->returningList,
						action->commandType);
	shoal_query_copy_old_and_new(query, apart->query);
	query->hasSubLinks = checkExprHasSubLink((Node *) query->targetList) ||
		checkExprHasSubLink((Node *) query->returningList);
	/* somebody may have inserted such a row meanwhile: that is found out */
	if (insert && apart->upsert)
		query->onConflict = copyObject(apart->upsert->inference);
	query->jointree = makeFromExpr(NIL, make_condition(apart, number, !insert));
	for (int i = insert ? 2 : 1; i <= 2; i++)
	{
		RangeTblRef *ref = makeNode(RangeTblRef);

		ref->rtindex = i;
		query->jointree->fromlist = lappend(query->jointree->fromlist, ref);
	}
	shoal_rights_secure(query);
	query->withCheckOptions = list_concat(query->withCheckOptions,
										  checks_of_action(apart, action));
	cte->ctename = psprintf("%s%d", SHOAL_MERGE_ACTION, number);
	cte->ctequery = (Node *) query;
	cte->location = -1;
	return cte;
}

/*
 * "SELECT columns of RETURNING FROM merged rows WHERE false": the part that all
 * others go with.
 */
static Query *
make_whole(MergeApart *apart)
{
	Query	   *whole = shoal_query_from(shoal_with_entry(apart->cte, 0));
	ListCell   *lc;

	whole->hasModifyingCTE = true;
	whole->queryId = apart->query->queryId;
	whole->stmt_location = apart->query->stmt_location;
	whole->stmt_len = apart->query->stmt_len;
	whole->jointree->quals = makeBoolConst(false, false);
	foreach(lc, apart->query->returningList)
	{
		TargetEntry *tle = flatCopyTargetEntry(lfirst_node(TargetEntry, lc));
		Node	   *expr = (Node *) tle->expr;

		tle->expr = (Expr *) makeNullConst(exprType(expr), exprTypmod(expr),
										   exprCollation(expr));
		whole->targetList = lappend(whole->targetList, tle);
	}
	whole->hasRecursive = apart->query->hasRecursive;
	return whole;
}

/* The parts are run from the end of the list. */
static List *
make_statements(MergeApart *apart)
{
	static const CmdType order[] = {CMD_INSERT, CMD_UPDATE, CMD_DELETE};
	List	   *result = lappend(copyObject(apart->query->cteList), apart->cte);
	ListCell   *lc;

	for (int i = 0; i < lengthof(order); i++)
	{
		foreach(lc, apart->query->mergeActionList)
		{
			MergeAction *action = (MergeAction *) lfirst(lc);

			if (action->commandType == order[i])
				result = lappend(result,
								 make_statement(apart, action,
												foreach_current_index(lc) + 1));
		}
	}
	return result;
}

static Query *
take_apart(MergeApart *apart)
{
	Query	   *whole;
	ListCell   *lc;

	apart->columns = list_make2(make_action(apart), make_places(apart));
	foreach(lc, joined_keys(apart))
		(void) column_number(apart, (Expr *) shoal_expr_column(apart->table->relid,
															   apart->target,
															   lfirst_int(lc)));
	foreach(lc, apart->query->mergeActionList)
		(void) values_of_action(apart, (MergeAction *) lfirst(lc));
	(void) adapt_to_action(apart, (Node *) apart->query->returningList, CMD_UPDATE);
	apart->cte = make_rows(apart);
	whole = make_whole(apart);
	whole->cteList = make_statements(apart);
	return whole;
}

PlannedStmt *
shoal_merge_plan_apart(Query *query, const ShoalTable *table,
					   const ShoalUpsert *upsert, const char *query_string,
					   int cursor_options, ParamListInfo params,
					   const char **why)
{
	MergeApart	apart = {query, query->resultRelation, table};
	Query	   *whole = NULL;
	PlannedStmt *stmt;

	apart.upsert = upsert;
	apart.rel = RelationIdGetRelation(table->relid);
	if (is_possible(&apart, why))
	{
		if (shoal_merge_has_by_source(query))
			apart.query = shoal_merge_wrap_source(query, &apart.source,
												  &apart.present);
		else
			apart.query = copyObject(query);
		whole = take_apart(&apart);
	}
	RelationClose(apart.rel);
	if (whole == NULL)
		return NULL;
	stmt = shoal_with_plan(whole, query_string, cursor_options, params,
						   BASE_NUMBER);
	((CustomScan *) stmt->planTree)->custom_private =
		list_concat(((CustomScan *) stmt->planTree)->custom_private,
					list_make3(list_make1_int(upsert != NULL),
							   policy_errors(query),
							   list_make1_oid(table->relid)));
	stmt->commandType = upsert ? CMD_INSERT : CMD_MERGE;
	stmt->hasReturning = (query->returningList != NIL);
	stmt->canSetTag = query->canSetTag;
	return stmt;
}
