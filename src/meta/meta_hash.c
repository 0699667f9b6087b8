/*
 * meta_hash.c
 *		From a distribution key to its shard.
 *
 * The hash is core's own partition hash: shard n is the partition with
 * remainder n, so a row is always where Postgres itself would put it.  Values
 * of another type of the key's operator family hash alike by the family's
 * contract, which lets "int key = bigint value" find its shard.
 *
 * Hash functions are looked up once per (operator family, type) and kept for
 * the life of the backend; a change of any operator family drops them.
 */
#include "postgres.h"

#include "access/hash.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "partitioning/partbounds.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "meta/meta_tables.h"

typedef struct HashKey
{
	Oid			opfamily;
	Oid			input;
	Oid			type;
} HashKey;

typedef struct HashEntry
{
	HashKey		key;			/* hash key */
	FmgrInfo	function;		/* fn_oid is 0 if there is none */
} HashEntry;

static HTAB *functions = NULL;
static bool functions_stale = false;

PG_FUNCTION_INFO_V1(shoal_shard_of);
PG_FUNCTION_INFO_V1(shoal_is_here);

static void
on_opfamily_change(Datum arg, int cacheid, uint32 hashvalue)
{
	functions_stale = true;
}

static void
prepare_functions(void)
{
	HASHCTL		ctl;

	if (functions == NULL)
	{
		CacheRegisterSyscacheCallback(AMPROCNUM, on_opfamily_change,
									  (Datum) 0);
		CacheRegisterSyscacheCallback(TYPEOID, on_opfamily_change, (Datum) 0);
	}
	else if (functions_stale)
		hash_destroy(functions);
	else
		return;

	functions_stale = false;
	ctl.keysize = sizeof(HashKey);
	ctl.entrysize = sizeof(HashEntry);
	ctl.hcxt = TopMemoryContext;
	functions = hash_create("shoal hash functions", 32, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * The family's hash function that takes values of the type: directly, as its
 * base type or as a type that the value already is in binary form (varchar is
 * text, any enum is anyenum).
 */
static Oid
find_function(const ShoalTable *table, int key, Oid type)
{
	Oid			family = table->keyopfamily[key];
	Oid			input = table->keyinput[key];
	Oid			proc;

	type = getBaseType(type);
	proc = get_opfamily_proc(family, type, type, HASHEXTENDED_PROC);
	if (OidIsValid(proc))
		return proc;
	if (!IsBinaryCoercible(type, input))
		return InvalidOid;
	return get_opfamily_proc(family, input, input, HASHEXTENDED_PROC);
}

static FmgrInfo *
get_function(const ShoalTable *table, int key, Oid type)
{
	HashKey		id = {table->keyopfamily[key], table->keyinput[key], type};
	HashEntry  *entry;

	entry = hash_search(functions, &id, HASH_FIND, NULL);
	if (entry == NULL)
	{
		FmgrInfo	function = {0};
		Oid			proc = find_function(table, key, type);

		if (OidIsValid(proc))
			fmgr_info_cxt(proc, &function, TopMemoryContext);
		entry = hash_search(functions, &id, HASH_ENTER, NULL);
		entry->function = function;
	}
	return &entry->function;
}

bool
shoal_meta_hashable_as(const ShoalTable *table, int key, Oid type)
{
	if (table->kind != SHOAL_KIND_DISTRIBUTED)
		return true;
	if (key < 0 || key >= table->nkeys || !OidIsValid(type))
		return false;
	prepare_functions();
	return OidIsValid(get_function(table, key, type)->fn_oid);
}

/* A table partitioned by range has its key in its partitions. */
static void
check_key(const ShoalTable *table)
{
	if (table->nkeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no hash partitions yet",
						get_rel_name(table->relid)),
				 errhint("Create a partition of it first.")));
}

int
shoal_meta_shard_of(const ShoalTable *table, const Datum *values,
					const bool *nulls, const Oid *types)
{
	FmgrInfo   *found[PARTITION_MAX_KEYS] = {NULL};
	FmgrInfo	array[PARTITION_MAX_KEYS];
	FmgrInfo   *funcs;
	uint64		hash;

	if (table->kind != SHOAL_KIND_DISTRIBUTED)
		return 0;
	check_key(table);

	prepare_functions();
	for (int i = 0; i < table->nkeys; i++)
	{
		found[i] = get_function(table, i, types[i]);
		if (!OidIsValid(found[i]->fn_oid))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("values of type %s cannot be hashed like distribution column \"%s\" of table \"%s\"",
							format_type_be(types[i]),
							get_attname(table->relid, table->keyattr[i], false),
							get_rel_name(table->relid)),
					 errhint("Cast the value to type %s.",
							 format_type_be(table->keytype[i]))));
	}

	/*
	 * Core wants an array.  What a hash function remembers in its FmgrInfo has
	 * to be kept, or it would be allocated again for each row.
	 */
	funcs = found[0];
	if (table->nkeys > 1)
	{
		for (int i = 0; i < table->nkeys; i++)
			array[i] = *found[i];
		funcs = array;
	}
	hash = compute_partition_hash_value(table->nkeys, funcs,
										(Oid *) table->keycollation,
										(Datum *) values,
										(bool *) nulls);
	if (table->nkeys > 1)
	{
		for (int i = 0; i < table->nkeys; i++)
			*found[i] = array[i];
	}
	return (int) (hash % (uint64) table->shard_count);
}

/*
 * Converts a value that the family cannot hash (an untyped literal, an integer
 * for a numeric key) to the key's type, as an assignment would.
 */
static void
convert_key(const ShoalTable *table, int key, Oid type, Datum *value,
			bool *isnull)
{
	Oid			keytype;
	int32		typmod;
	Oid			collation;
	Node	   *expr;
	EState	   *estate;
	ExprState  *state;

	get_atttypetypmodcoll(table->relid, table->keyattr[key], &keytype,
						  &typmod, &collation);
	expr = (Node *) makeConst(type, -1, InvalidOid, get_typlen(type), *value,
							  *isnull, get_typbyval(type));
	expr = coerce_to_target_type(NULL, expr, type, keytype, typmod,
								 COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (expr == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("distribution column \"%s\" is of type %s but the value is of type %s",
						get_attname(table->relid, table->keyattr[key], false),
						format_type_be(keytype), format_type_be(type)),
				 errhint("Cast the value to type %s.",
						 format_type_be(keytype))));

	/* the executor state goes with the memory context of the call */
	estate = CreateExecutorState();
	state = ExecPrepareExpr((Expr *) expr, estate);
	*value = ExecEvalExpr(state, GetPerTupleExprContext(estate), isnull);
}

/*
 * shoal.shard_of(table_name regclass, VARIADIC key "any"): the shard that rows
 * with this key are in.
 */
Datum
shoal_shard_of(PG_FUNCTION_ARGS)
{
	const ShoalTable *table;
	Datum	   *values;
	Oid		   *types;
	bool	   *nulls;
	int			nargs;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	table = shoal_meta_table(PG_GETARG_OID(0));
	if (table == NULL)
	{
		char	   *name = get_rel_name(PG_GETARG_OID(0));

		if (name == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("relation with OID %u does not exist",
							PG_GETARG_OID(0))));
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not known to Shoal", name),
				 errhint("Make it one with shoal.create_distributed_table().")));
	}
	if (table->kind != SHOAL_KIND_DISTRIBUTED)
		PG_RETURN_INT32(0);

	check_key(table);
	nargs = extract_variadic_args(fcinfo, 1, false, &values, &types, &nulls);
	if (nargs < 0)
		PG_RETURN_NULL();		/* VARIADIC NULL */
	if (nargs != table->nkeys)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has %d distribution columns, but %d values are given",
						get_rel_name(table->relid), table->nkeys, nargs)));
	for (int i = 0; i < nargs; i++)
	{
		if (!shoal_meta_hashable_as(table, i, types[i]))
		{
			convert_key(table, i, types[i], &values[i], &nulls[i]);
			types[i] = table->keytype[i];
		}
	}
	PG_RETURN_INT32(shoal_meta_shard_of(table, values, nulls, types));
}

/* The shards of an array, as they are the same in all calls. */
static Bitmapset *
shards_of_array(FunctionCallInfo fcinfo, ArrayType *array)
{
	MemoryContext old;
	Bitmapset  *shards = fcinfo->flinfo->fn_extra;
	Datum	   *elements;
	int			n;

	if (shards != NULL)
		return shards;
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		shards = bms_add_member(shards, DatumGetInt32(elements[i]));
	MemoryContextSwitchTo(old);
	fcinfo->flinfo->fn_extra = shards;
	return shards;
}

/*
 * shoal.is_here(table, key, shards): is the shard of the key of a table with one
 * key column one of these?  They are those of the fragment's scope
 * (scope_substitute.c), not those that are on this node by now: each shard is in the
 * scope of one fragment, and if it has moved meanwhile the row that is inserted
 * raises an error here, and nobody else would insert it.
 */
Datum
shoal_is_here(PG_FUNCTION_ARGS)
{
	const ShoalTable *table = PG_ARGISNULL(0) ? NULL :
		shoal_meta_table(PG_GETARG_OID(0));
	Datum		value = PG_GETARG_DATUM(1);
	bool		isnull = PG_ARGISNULL(1);
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	int			shard;

	if (table == NULL || table->kind != SHOAL_KIND_DISTRIBUTED ||
		table->nkeys != 1)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("not a table with one distribution column")));
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("shards must not be null")));
	shard = shoal_meta_shard_of(table, &value, &isnull, &type);
	PG_RETURN_BOOL(bms_is_member(shard,
								 shards_of_array(fcinfo, PG_GETARG_ARRAYTYPE_P(2))));
}
