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
#include "catalog/objectaddress.h"
#include "catalog/pg_language.h"
#include "catalog/pg_operator.h"
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

/* A name, or the beginning of one if it ends with *. */
static bool
is_listed(const char *name, const char *const *list)
{
	for (; *list; list++)
	{
		size_t		len = strlen(*list);

		if ((*list)[len - 1] == '*' ? strncmp(name, *list, len - 1) == 0 :
			strcmp(name, *list) == 0)
			return true;
	}
	return false;
}

/*
 * Functions of core's and in C are known by name, as versions have more and more of them.  Of the
 * volatile ones those may run wherever the row is that do nothing but tell a value.
 */
static const char *const free_if_volatile[] = {
	"clock_timestamp", "gen_random_bytes", "gen_random_uuid", "gen_salt", "pg_sleep*",
	"pgp_*", "random*", "timeofday", "uuid*", NULL
};

/* Of the stable ones of core's, those that look at the session or the server may not. */
static const char *const bound_if_stable[] = {"current_setting", "pg_*", NULL};
static const char *const free_if_stable[] = {
	"pg_collation_for", "pg_column_*", "pg_input_*", "pg_typeof", NULL
};

/* Rows are the result of such a look, or of a query, but for these. */
static const char *const free_rows[] = {"generate_series", "json*", "ts_*", NULL};

/* Whether a function of core's, or in C, that is not immutable is bound to this session. */
static bool
is_bound_known(Form_pg_proc proc)
{
	const char *name = NameStr(proc->proname);

	if (proc->proretset && proc->provolatile == PROVOLATILE_STABLE)
		return proc->oid >= FirstNormalObjectId || !is_listed(name, free_rows);
	if (proc->provolatile == PROVOLATILE_VOLATILE)
		return !is_listed(name, free_if_volatile);
	return proc->oid < FirstNormalObjectId && is_listed(name, bound_if_stable) &&
		!is_listed(name, free_if_stable);
}

static bool
is_bound(Form_pg_proc proc)
{
	/* those in pg_temp are this session's only */
	if (isTempNamespace(proc->pronamespace))
		return true;
	if (proc->provolatile == PROVOLATILE_IMMUTABLE || proc->prokind == PROKIND_AGGREGATE)
		return false;
	if (proc->oid >= FirstNormalObjectId &&
		proc->prolang != INTERNALlanguageId && proc->prolang != ClanguageId)
		return true;
	if (proc->pronamespace == get_namespace_oid("shoal", true))
		return strcmp(NameStr(proc->proname), "is_row") != 0;
	return is_bound_known(proc);
}

/* context is not used: a check_function_callback */
bool
shoal_stuck_function(Oid funcid, void *context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	bool		bound;

	if (!HeapTupleIsValid(tuple))
		return true;
	bound = is_bound((Form_pg_proc) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	return bound;
}

/* ---- objects of the session ---- */

/* An object of users', of a catalog with namespaces. */
static bool
is_temp(Oid catalog, Oid object)
{
	ObjectAddress address = {catalog, object, 0};

	return object >= FirstNormalObjectId && isTempNamespace(get_object_namespace(&address));
}

bool
shoal_stuck_in_temp(Node *node)
{
	switch (nodeTag(node))
	{
		case T_Const:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_CoerceToDomain:
		case T_ConvertRowtypeExpr:
		case T_RowExpr:
			return is_temp(TypeRelationId, exprType(node));
		case T_ArrayExpr:
			return is_temp(TypeRelationId, ((ArrayExpr *) node)->element_typeid);
		case T_ArrayCoerceExpr:
			return is_temp(TypeRelationId, get_element_type(exprType(node)));
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			return is_temp(OperatorRelationId, ((OpExpr *) node)->opno);
		case T_ScalarArrayOpExpr:
			return is_temp(OperatorRelationId, ((ScalarArrayOpExpr *) node)->opno);
		default:
			return false;
	}
}

/* ---- numbers of objects ---- */

static bool
is_name(Oid type)
{
	return shoal_types_names_object(type < FirstGenbkiObjectId ? type : getBaseType(type));
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

				return is_name(exprType((Node *) relabel->arg)) != is_name(relabel->resulttype);
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
	if (IsA(node, RelabelType) && is_name(exprType((Node *) ((RelabelType *) node)->arg)))
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
