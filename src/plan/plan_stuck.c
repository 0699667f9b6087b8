/*
 * plan_stuck.c
 *		What must not run on a node, whatever its arguments are.
 *
 * Functions that read tables or sequences, or that do something to the session or the
 * server that they run in: on a node that would be another one than the client's.
 * And whatever takes an object's number from a name, or a name from a number:
 * objects have other numbers on each node, and travel by name (regclass and its kin).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "plan/plan_expr.h"
#include "plan/plan_stuck.h"

/*
 * Volatile functions of core's that may run wherever the row is: all that they tell is a
 * value.  By name, as versions have more and more of them.
 */
static const char *const free_functions[] = {
	"clock_timestamp", "gen_random_uuid", "pg_sleep", "pg_sleep_for", "pg_sleep_until",
	"random", "random_normal", "timeofday", "uuidv4", "uuidv7"
};

static bool
is_free(Oid funcid)
{
	const char *name = get_func_name(funcid);

	for (int i = 0; name && i < lengthof(free_functions); i++)
		if (strcmp(name, free_functions[i]) == 0)
			return true;
	return false;
}

/* context is not used: a check_function_callback */
bool
shoal_stuck_function(Oid funcid, void *context)
{
	HeapTuple	tuple;
	Form_pg_proc proc;
	bool		stuck;

	if (funcid < FirstNormalObjectId)
		return func_volatile(funcid) == PROVOLATILE_VOLATILE && !is_free(funcid);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(tuple))
		return true;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	/* those in pg_temp are this session's only */
	stuck = isTempNamespace(proc->pronamespace) ||
		(proc->provolatile != PROVOLATILE_IMMUTABLE &&
		 proc->prokind != PROKIND_AGGREGATE &&
		 ((proc->prolang != INTERNALlanguageId && proc->prolang != ClanguageId) ||
		  (proc->pronamespace == get_namespace_oid("shoal", true) &&
		   strcmp(NameStr(proc->proname), "is_row") != 0)));
	ReleaseSysCache(tuple);
	return stuck;
}

/* ---- numbers of objects ---- */

static bool
is_name(Oid type)
{
	return shoal_types_names_object(type < FirstGenbkiObjectId ? type : getBaseType(type));
}

static bool
is_name_expr(Node *node)
{
	return node != NULL && is_name(exprType(node));
}

static bool
is_element_name(Oid arraytype)
{
	Oid			element = get_element_type(arraytype);

	return OidIsValid(element) && is_name(element);
}

/* Whether a function takes a name for a number, gives one for the other, or looks one up. */
static bool
numbers_by_call(FuncExpr *func)
{
	Oid		   *types;
	int			ntypes;
	ListCell   *lc;

	foreach(lc, func->args)
	{
		Oid			type = exprType(lfirst(lc));

		if (type == OIDOID && func->funcid < FirstNormalObjectId &&
			func_volatile(func->funcid) != PROVOLATILE_IMMUTABLE)
			return true;
		if (!is_name(type))
			continue;
		(void) get_func_signature(func->funcid, &types, &ntypes);
		if (foreach_current_index(lc) < ntypes &&
			(types[foreach_current_index(lc)] == OIDOID ||
			 types[foreach_current_index(lc)] == INT4OID))
			return true;
	}
	return is_name(func->funcresulttype) && !is_name(get_func_rettype(func->funcid)) &&
		!IsPolymorphicType(get_func_rettype(func->funcid));
}

bool
shoal_stuck_numbers_object(Node *node)
{
	switch (nodeTag(node))
	{
		case T_RelabelType:
			{
				RelabelType *relabel = (RelabelType *) node;

				return is_name_expr((Node *) relabel->arg) != is_name(relabel->resulttype);
			}
		case T_ArrayCoerceExpr:
			{
				ArrayCoerceExpr *coerce = (ArrayCoerceExpr *) node;

				return is_element_name(exprType((Node *) coerce->arg)) !=
					is_element_name(coerce->resulttype);
			}
		case T_FuncExpr:
			return numbers_by_call((FuncExpr *) node);
		default:
			return false;
	}
}

/* What is compared: without the step from name to number, if there is one. */
static Node *
name_below(Node *node)
{
	if (IsA(node, RelabelType) && is_name_expr((Node *) ((RelabelType *) node)->arg))
		return (Node *) ((RelabelType *) node)->arg;
	if ((IsA(node, RelabelType) || IsA(node, ArrayCoerceExpr)) &&
		exprType(node) == OIDARRAYOID)
	{
		Node	   *arg = IsA(node, RelabelType) ? (Node *) ((RelabelType *) node)->arg :
			(Node *) ((ArrayCoerceExpr *) node)->arg;

		return is_element_name(exprType(arg)) ? arg : NULL;
	}
	return NULL;
}

List *
shoal_stuck_compared_names(Node *node)
{
	List	   *args;
	Oid			funcid;
	Node	   *left;
	Node	   *right;

	if (IsA(node, OpExpr) || IsA(node, DistinctExpr))
	{
		funcid = get_opcode(((OpExpr *) node)->opno);
		args = ((OpExpr *) node)->args;
	}
	else if (IsA(node, ScalarArrayOpExpr))
	{
		funcid = get_opcode(((ScalarArrayOpExpr *) node)->opno);
		args = ((ScalarArrayOpExpr *) node)->args;
	}
	else
		return NIL;
	if ((funcid != F_OIDEQ && funcid != F_OIDNE) || list_length(args) != 2)
		return NIL;
	left = name_below(linitial(args));
	right = name_below(lsecond(args));
	return left && right ? list_make2(left, right) : NIL;
}
