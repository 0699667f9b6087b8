/*
 * plan_expr.c
 *		Where an expression may be evaluated.
 *
 * One server evaluates a stable function once per statement, and a function
 * of a user on the one database there is.  So that the same holds for a
 * statement that runs in pieces, expressions without columns are evaluated
 * by the coordinator and travel as parameters, and functions that could read
 * tables or sequences never run inside a fragment.  Builtin volatile functions
 * of a row (random(), gen_random_uuid()) run where the row is.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/heap.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "plan/plan_expr.h"
#include "plan/plan_stuck.h"

/* Numbers of slots begin here: above those of a subquery's columns. */
#define SLOT_BASE	1000000
#define STEP_BASE	2000000

/* A parameter that has one value while the fragment runs. */
static bool
is_value(Param *param)
{
	return param->paramkind == PARAM_EXTERN || param->paramkind == PARAM_EXEC ||
		shoal_expr_is_slot((Node *) param);
}

Node *
shoal_expr_make_slot(int number)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_SUBLINK;
	param->paramid = SLOT_BASE + number;
	param->paramtype = TEXTOID;
	param->paramtypmod = -1;
	param->paramcollid = DEFAULT_COLLATION_OID;
	param->location = -1;
	return (Node *) param;
}

Node *
shoal_expr_make_step(int number, Node *expr)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_SUBLINK;
	param->paramid = STEP_BASE + number;
	param->paramtype = exprType(expr);
	param->paramtypmod = exprTypmod(expr);
	param->paramcollid = exprCollation(expr);
	param->location = -1;
	return (Node *) param;
}

bool
shoal_expr_is_step(Node *node)
{
	return shoal_expr_is_slot(node) && ((Param *) node)->paramid >= STEP_BASE;
}

int
shoal_expr_step_number(Node *step)
{
	return ((Param *) step)->paramid - STEP_BASE;
}

bool
shoal_expr_is_slot(Node *node)
{
	return IsA(node, Param) && ((Param *) node)->paramkind == PARAM_SUBLINK &&
		((Param *) node)->paramid >= SLOT_BASE;
}

int
shoal_expr_slot_number(Node *slot)
{
	return ((Param *) slot)->paramid - SLOT_BASE;
}

static bool
not_closed_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
		case T_SubLink:
		case T_Query:
		case T_Aggref:
		case T_WindowFunc:
		case T_GroupingFunc:
		case T_CurrentOfExpr:
		case T_SetToDefault:
		case T_PlaceHolderVar:
		case T_CaseTestExpr:
		case T_CoerceToDomainValue:
			return true;
		case T_Param:
			return !is_value((Param *) node);
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcretset)
				return true;
			break;
		case T_OpExpr:
			if (((OpExpr *) node)->opretset)
				return true;
			break;
		default:
			break;
	}
	return expression_tree_walker(node, not_closed_walker, context);
}

bool
shoal_expr_is_closed(Node *node)
{
	/*
	 * The placeholders of CASE and domain checks are fine inside the
	 * expression that supplies their value.
	 */
	if (node != NULL && (IsA(node, CaseExpr) || IsA(node, ArrayCoerceExpr)))
		return false;
	return !not_closed_walker(node, NULL);
}

static bool
is_not_immutable(Oid funcid, void *context)
{
	return func_volatile(funcid) != PROVOLATILE_IMMUTABLE;
}

/* Is it the node itself, not something below it, that is not immutable? */
static bool
is_own_not_immutable(Node *node)
{
	if (IsA(node, SQLValueFunction) || IsA(node, NextValueExpr))
		return true;
	return check_functions_in_node(node, is_not_immutable, NULL);
}

bool
shoal_expr_is_here(Node *node, bool volatile_too)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return is_value((Param *) node);
	if (!is_own_not_immutable(node) || !shoal_expr_is_closed(node))
		return false;
	/* no parameter can have such a type */
	if (exprType(node) == RECORDOID || exprType(node) == RECORDARRAYOID)
		return false;
	return volatile_too || !contain_volatile_functions(node);
}

static bool
is_volatile_function(Oid funcid, void *context)
{
	return func_volatile(funcid) == PROVOLATILE_VOLATILE;
}

/*
 * A row whose columns have names that its text would lose: that of an alias of
 * JOIN ... USING.
 */
static bool
is_named_row(Node *node)
{
	RowExpr    *row = (RowExpr *) node;
	ListCell   *lc;

	if (!IsA(node, RowExpr) || row->row_typeid != RECORDOID)
		return false;
	foreach(lc, row->colnames)
	{
		if (strcmp(strVal(lfirst(lc)),
				   psprintf("f%d", foreach_current_index(lc) + 1)) != 0)
			return true;
	}
	return false;
}

static bool
is_user_function(Oid funcid, void *context)
{
	return funcid == F_CURRENT_USER || funcid == F_SESSION_USER ||
		funcid == F_GETPGUSERNAME;
}

static bool
names_user_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SQLValueFunction))
	{
		switch (((SQLValueFunction *) node)->op)
		{
			case SVFOP_CURRENT_ROLE:
			case SVFOP_CURRENT_USER:
			case SVFOP_USER:
			case SVFOP_SESSION_USER:
				return true;
			default:
				return false;
		}
	}
	if (check_functions_in_node(node, is_user_function, NULL))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, names_user_walker, context, 0);
	return expression_tree_walker(node, names_user_walker, context);
}

bool
shoal_expr_names_user(Node *node)
{
	return names_user_walker(node, NULL);
}

Oid
shoal_expr_own_function(const char *name, int nargs, const Oid *argtypes)
{
	return LookupFuncName(list_make2(makeString("shoal"),
									 makeString(pstrdup(name))),
						  nargs, argtypes, false);
}

Expr *
shoal_expr_text_of(Expr *value)
{
	static const Oid any = ANYOID;

	return (Expr *) makeFuncExpr(shoal_expr_own_function("text_of", 1, &any),
								 TEXTOID, list_make1(value),
								 DEFAULT_COLLATION_OID, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

Var *
shoal_expr_column(Oid relid, int varno, AttrNumber attno)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (attno < 0)
		return makeVar(varno, attno, SystemAttributeDefinition(attno)->atttypid,
					   -1, InvalidOid, 0);
	get_atttypetypmodcoll(relid, attno, &type, &typmod, &collation);
	return makeVar(varno, attno, type, typmod, collation, 0);
}

static bool
is_own_function(Node *node, const char *name)
{
	FuncExpr   *func = (FuncExpr *) node;

	return IsA(node, FuncExpr) && func->funcid >= FirstNormalObjectId &&
		strcmp(get_func_name(func->funcid), name) == 0 &&
		get_func_namespace(func->funcid) == get_namespace_oid("shoal", true);
}

bool
shoal_expr_is_text_of(Node *node)
{
	return is_own_function(node, "text_of");
}

bool
shoal_expr_is_of_row(Node *node)
{
	return is_own_function(node, "table_of") || is_own_function(node, "has_left") ||
		is_own_function(node, "ctid_of");
}

bool
shoal_expr_is_ctid_of(Node *node)
{
	return is_own_function(node, "ctid_of");
}

bool
shoal_expr_numbers_table(Node *node)
{
	RelabelType *relabel = (RelabelType *) node;

	return IsA(node, RelabelType) && relabel->resulttype == OIDOID &&
		is_own_function((Node *) relabel->arg, "table_of");
}

static bool
has_checked_type(List *types)
{
	ListCell   *lc;

	foreach(lc, types)
	{
		if (shoal_types_checks_values(lfirst_oid(lc)))
			return true;
	}
	return false;
}

bool
shoal_expr_is_checked(Node *node)
{
	switch (nodeTag(node))
	{
		case T_CoerceToDomain:
			return true;
		case T_Const:
		case T_Param:
		case T_CoerceViaIO:
		case T_FuncExpr:
			return shoal_types_checks_values(exprType(node));
		case T_RangeTblFunction:
			return has_checked_type(((RangeTblFunction *) node)->funccoltypes);
		default:
			return shoal_is_json_expr(node) &&
				shoal_types_checks_values(exprType(node));
	}
}

/* Which functions are looked for, apart from what becomes a parameter. */
typedef struct FunctionSearch
{
	check_function_callback is_wanted;
	bool		volatile_too;	/* as for shoal_expr_is_here */
} FunctionSearch;

static bool
function_walker(Node *node, FunctionSearch *search)
{
	List	   *names;

	if (node == NULL)
		return false;
	if (shoal_expr_is_here(node, search->volatile_too))
		return false;
	/* rows that are moved to where they are needed */
	if (IsA(node, FuncExpr) && list_length(((FuncExpr *) node)->args) == 1 &&
		shoal_expr_is_slot(linitial(((FuncExpr *) node)->args)))
		return false;
	if (IsA(node, NextValueExpr) || is_named_row(node) ||
		shoal_expr_numbers_table(node))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, function_walker,
								 (void *) search, 0);
	if (check_functions_in_node(node, search->is_wanted, NULL))
		return true;
	if (search->is_wanted == shoal_stuck_function)
	{
		names = shoal_stuck_compared_names(node);
		if (names != NIL)
			return function_walker((Node *) names, search);
		if (shoal_stuck_numbers_object(node) || shoal_stuck_in_temp(node))
			return true;
	}
	return expression_tree_walker(node, function_walker, (void *) search);
}

typedef struct CallSearch
{
	check_function_callback is_wanted;
	void	   *context;
} CallSearch;

static bool
call_walker(Node *node, CallSearch *search)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, search->is_wanted, search->context) ||
		expression_tree_walker(node, call_walker, (void *) search);
}

bool
shoal_expr_calls(Node *node, check_function_callback is_wanted, void *context)
{
	CallSearch	search = {is_wanted, context};

	return call_walker(node, &search);
}

static bool
is_not_built_in(Oid funcid, void *context)
{
	return funcid >= FirstNormalObjectId;
}

bool
shoal_expr_calls_users(Node *node)
{
	return shoal_expr_calls(node, is_not_built_in, NULL);
}

static bool
exec_param_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXEC;
	return expression_tree_walker(node, exec_param_walker, context);
}

bool
shoal_expr_has_exec_param(Node *node)
{
	return exec_param_walker(node, NULL);
}

bool
shoal_expr_is_stuck(Node *node, bool volatile_too)
{
	FunctionSearch search = {shoal_stuck_function, volatile_too};

	return function_walker(node, &search);
}

bool
shoal_expr_is_volatile(Node *node, bool volatile_too)
{
	FunctionSearch search = {is_volatile_function, volatile_too};

	return function_walker(node, &search);
}

Node *
shoal_expr_strip(Node *node)
{
	while (node && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

typedef struct ReachContext
{
	int			depth;
	int			merges;			/* MERGEs around, of which merge_action() may be */
} ReachContext;

static bool
reaches_out_walker(Node *node, ReachContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup > context->depth;
	if (IsA(node, Aggref) && ((Aggref *) node)->agglevelsup > context->depth)
		return true;
	if (IsA(node, GroupingFunc) && ((GroupingFunc *) node)->agglevelsup > context->depth)
		return true;
	if (shoal_is_merge_function(node))
		return context->merges == 0;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		return rte->rtekind == RTE_CTE && rte->ctelevelsup > context->depth;
	}
	if (IsA(node, Query))
	{
		bool		is_merge = ((Query *) node)->commandType == CMD_MERGE;
		bool		result;

		context->depth++;
		context->merges += is_merge;
		result = query_tree_walker((Query *) node, reaches_out_walker,
								   (void *) context, QTW_EXAMINE_RTES_BEFORE);
		context->merges -= is_merge;
		context->depth--;
		return result;
	}
	return expression_tree_walker(node, reaches_out_walker, (void *) context);
}

bool
shoal_expr_reaches_out(Query *query)
{
	ReachContext context = {-1, 0};

	return reaches_out_walker((Node *) query, &context);
}

static bool
reads_transition_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
		return ((RangeTblEntry *) node)->rtekind == RTE_NAMEDTUPLESTORE;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_transition_walker,
								 context, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, reads_transition_walker, context);
}

bool
shoal_expr_reads_transition(Query *query)
{
	return reads_transition_walker((Node *) query, NULL);
}

bool
shoal_expr_are_sendable(List *types)
{
	ListCell   *lc;

	foreach(lc, types)
	{
		Oid			type = lfirst_oid(lc);

		if (type == RECORDOID || type == RECORDARRAYOID ||
			get_typtype(type) == TYPTYPE_PSEUDO)
			return false;
	}
	return true;
}

static bool
locks_rows_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return ((Query *) node)->rowMarks != NIL ||
			query_tree_walker((Query *) node, locks_rows_walker, context, 0);
	return expression_tree_walker(node, locks_rows_walker, context);
}

bool
shoal_expr_locks_rows(Node *node)
{
	return locks_rows_walker(node, NULL);
}

static bool
has_policies_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
		return ((RangeTblEntry *) node)->securityQuals != NIL;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_policies_walker, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, has_policies_walker, context);
}

bool
shoal_expr_has_policies(Query *query)
{
	return has_policies_walker((Node *) query, NULL);
}

static bool
params_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, Param) || expression_tree_walker(node, params_walker, context);
}

bool
shoal_expr_has_params(Node *node)
{
	return params_walker(node, NULL);
}

static bool
reads_tables_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		return rte->rtekind == RTE_RELATION || rte->rtekind == RTE_FUNCTION;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, reads_tables_walker, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, reads_tables_walker, context);
}

bool
shoal_expr_limits(Query *query)
{
	Const	   *offset = (Const *) query->limitOffset;

	return query->limitCount ||
		(offset && !(IsA(offset, Const) && !offset->constisnull &&
					 DatumGetInt64(offset->constvalue) == 0));
}

bool
shoal_expr_chooses_rows(Query *query)
{
	return (shoal_expr_limits(query) || query->hasDistinctOn ||
			query->hasWindowFuncs) &&
		reads_tables_walker((Node *) query, NULL) &&
		!shoal_expr_reaches_out(query);
}
