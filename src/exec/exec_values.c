/*
 * exec_values.c
 *		Rows as parameters of a statement.
 *
 * A single row is sent with a VALUES list; several as array parameters of
 * unnest(), whose text does not depend on their number, so that nodes keep it
 * prepared.  (A VALUES list again where a column's type can't be an array's
 * element.)
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"

Oid *
shoal_values_array_types(const Oid *types, int n)
{
	Oid		   *array_types = palloc(sizeof(Oid) * Max(n, 1));

	if (n == 0)
		return NULL;
	for (int col = 0; col < n; col++)
	{
		/* unnest() would take arrays and rows apart further */
		Oid			base = getBaseType(types[col]);

		array_types[col] = get_array_type(types[col]);
		if (!OidIsValid(array_types[col]) || type_is_rowtype(base) ||
			OidIsValid(get_element_type(base)))
			return NULL;
	}
	return array_types;
}

void
shoal_values_evaluate(ShoalValues *shape, List *states, ExprContext *econtext)
{
	int			n = list_length(states);
	ListCell   *lc;

	shape->tail_values = palloc0(sizeof(Datum) * Max(n, 1));
	shape->tail_nulls = palloc0(sizeof(bool) * Max(n, 1));
	foreach(lc, states)
	{
		int			i = foreach_current_index(lc);

		shape->tail_values[i] = ExecEvalExpr((ExprState *) lfirst(lc), econtext,
											 &shape->tail_nulls[i]);
	}
}

/* character without a length would mean character(1) */
static char *
type_name(Oid type)
{
	return format_type_extended(type, -1,
								FORMAT_TYPE_TYPEMOD_GIVEN |
								FORMAT_TYPE_FORCE_QUALIFY);
}

/* Parameters of the tail come first. */
static char *
make_text(const ShoalValues *shape, int nrows, bool arrays)
{
	int			param = list_length(shape->tail_params);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, shape->head);
	if (arrays)
	{
		appendStringInfoString(&sql, "SELECT * FROM ROWS FROM (");
		for (int col = 0; col < shape->ncolumns; col++)
			appendStringInfo(&sql, "%spg_catalog.unnest($%d::%s)",
							 col > 0 ? ", " : "", ++param,
							 type_name(shape->array_types[col]));
		appendStringInfoString(&sql, ") shoal_rows");
	}
	else
	{
		appendStringInfoString(&sql, "VALUES ");
		for (int row = 0; row < nrows; row++)
		{
			appendStringInfoString(&sql, row > 0 ? ", (" : "(");
			for (int col = 0; col < shape->ncolumns; col++)
			{
				appendStringInfo(&sql, "%s$%d", col > 0 ? ", " : "", ++param);
				if (shape->typed)
					appendStringInfo(&sql, "::%s",
									 type_name(shape->types[col]));
			}
			appendStringInfoChar(&sql, ')');
		}
	}
	if (shape->tail)
		appendStringInfoString(&sql, shape->tail);
	return sql.data;
}

/* A column of the rows as an array. */
static Datum
make_array(const ShoalValues *shape, int col, int nrows, const Datum *values,
		   const bool *nulls)
{
	Datum	   *elements = palloc(sizeof(Datum) * nrows);
	bool	   *isnull = palloc(sizeof(bool) * nrows);
	int			dims[1] = {nrows};
	int			lbs[1] = {1};
	int16		len;
	bool		byval;
	char		align;

	for (int row = 0; row < nrows; row++)
	{
		elements[row] = values[row * shape->ncolumns + col];
		isnull[row] = nulls[row * shape->ncolumns + col];
	}
	get_typlenbyvalalign(shape->types[col], &len, &byval, &align);
	return PointerGetDatum(construct_md_array(elements, isnull, 1, dims, lbs,
											  shape->types[col], len, byval,
											  align));
}

void
shoal_values_fill(ShoalCall *call, const ShoalValues *shape, int nrows,
				  const Datum *values, const bool *nulls)
{
	bool		arrays = nrows > 1 && shape->array_types != NULL;
	int			ntail = list_length(shape->tail_params);
	int			nvalues = shape->ncolumns * (arrays ? 1 : nrows);
	int			n = ntail + nvalues;
	ListCell   *lc;

	call->text = make_text(shape, nrows, arrays);
	call->cache = arrays || nrows == 1;
	call->nparams = n;
	call->types = palloc(sizeof(Oid) * Max(n, 1));
	call->values = palloc(sizeof(Datum) * Max(n, 1));
	call->nulls = palloc0(sizeof(bool) * Max(n, 1));
	foreach(lc, shape->tail_params)
	{
		int			i = foreach_current_index(lc);

		call->types[i] = exprType(lfirst(lc));
		call->values[i] = shape->tail_values[i];
		call->nulls[i] = shape->tail_nulls[i];
	}
	for (int i = 0; i < nvalues; i++)
	{
		call->types[ntail + i] = arrays ? shape->array_types[i] :
			shape->types[i % shape->ncolumns];
		call->values[ntail + i] = arrays ?
			make_array(shape, i, nrows, values, nulls) : values[i];
		call->nulls[ntail + i] = !arrays && nulls[i];
	}
}

void
shoal_values_encode(ShoalCall *call)
{
	if (call->wire == NULL && call->nparams > 0)
		call->wire = shoal_wire_params(shoal_wire_encoder(call->nparams,
														  call->types, false),
									   call->values, call->nulls);
}
