/*
 * exec_moved.c
 *		Shoal Moved Rows: the plan node that reads rows moved to this node.
 *
 * It stands where a fragment says "FROM shoal.moved_rows(spec) AS x(columns)"
 * (plan_moved.c makes the path).  The spec, the value of a parameter, tells the
 * token of the rows and which nodes have sent some; each has left a file here.
 *
 * The files are removed when the plan ends, even if the scan was never begun, or is not in
 * the plan since a condition is never true: that is what "Shoal Moved Files" is
 * for, a subplan which nobody runs.
 *
 * A scan that is begun again and again with another value for a column looks the
 * rows up: when it is begun first, all files are read and the places of the rows
 * put into a hash table in memory, 20 bytes a row; the rows stay in the files.
 */
#include "postgres.h"

#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"
#include "exec/exec_rowfile.h"
#include "exec/exec_scatter.h"

/* bytes read at once to get one row */
#define LOOKUP_CHUNK		8192

/* of a row's place, so many bits tell whose file it is in */
#define SENDER_BITS			12

#define NO_ENTRY			PG_UINT32_MAX

/* A row's place, by the hash of the column that is looked up. */
typedef struct LookupEntry
{
	uint32		hash;
	uint32		next;			/* entry of the same bucket, or NO_ENTRY */
	int64		place;			/* offset in a file, and whose */
} LookupEntry;

typedef struct Lookup
{
	AttrNumber	column;
	FmgrInfo	column_hash;
	FmgrInfo	value_hash;
	Oid			collation;
	ExprState  *value;			/* that the column is to equal */
	ShoalRowReader *readers;	/* by sender; NULL: rows are not read yet */
	LookupEntry *entries;
	uint32		nentries;
	uint32	   *buckets;
	uint32		mask;
	bool		begun;			/* the value is known */
	uint32		hash;			/* of the value */
	uint32		current;		/* the entry to look at next */
} Lookup;

typedef struct MovedState
{
	CustomScanState css;		/* must be first */
	ExprState  *spec;
	char	   *token;			/* NULL: spec not evaluated yet */
	int		   *senders;
	int			nsenders;
	int			current;		/* index of the sender being read */
	ShoalRowReader reader;
	TupleTableSlot *row;		/* as it is in the file */
	Lookup	   *lookup;			/* NULL: all rows are read each time */
} MovedState;

PG_FUNCTION_INFO_V1(shoal_moved_rows);

/*
 * shoal.moved_rows(spec).  A call that is planned becomes the scan below, so
 * this one comes from elsewhere.
 */
Datum
shoal_moved_rows(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("shoal.moved_rows can only be called by Shoal itself")));
	PG_RETURN_NULL();
}

char *
shoal_moved_spec(const char *token, double rows, const int *senders,
				 int nsenders)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%.0f %d %s", rows, shoal_scatter_layout(), token);
	for (int i = 0; i < nsenders; i++)
		appendStringInfo(&buf, " %d", senders[i]);
	return buf.data;
}

static void
bad_spec(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid specification of moved rows")));
}

/* The token of a spec, in the current context; *senders is what comes after it. */
static char *
read_token(ExprState *expr, PlanState *ps, char **senders)
{
	bool		isnull;
	Datum		value = ExecEvalExpr(expr, ps->ps_ExprContext, &isnull);
	char	   *spec = isnull ? NULL : text_to_cstring(DatumGetTextPP(value));
	char		token[SHOAL_TOKEN_LEN + 1];
	double		rows;
	int			layout;
	int			len;

	if (spec == NULL ||
		sscanf(spec, "%lf %d %32s%n", &rows, &layout, token, &len) != 3)
		bad_spec();
	shoal_scatter_check_layout(layout);
	*senders = spec + len;
	return pstrdup(token);
}

static void
read_spec(MovedState *state)
{
	PlanState  *ps = &state->css.ss.ps;
	MemoryContext old = MemoryContextSwitchTo(ps->state->es_query_cxt);
	char	   *spec;
	char	   *token = read_token(state->spec, ps, &spec);
	int			len;

	state->senders = palloc(sizeof(int) * (strlen(spec) / 2 + 1));
	while (*spec != '\0')
	{
		if (sscanf(spec, " %d%n", &state->senders[state->nsenders], &len) != 1)
			bad_spec();
		state->nsenders++;
		spec += len;
	}
	state->token = token;
	MemoryContextSwitchTo(old);
}

/* ---- looking rows up ---- */

static void
add_entry(Lookup *lookup, uint32 *size, uint32 hash, off_t offset, int sender)
{
	LookupEntry *entry;

	if (lookup->nentries == NO_ENTRY - 1)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows were moved to a node"),
				 errhint("Set shoal.enable_move to off.")));
	if (lookup->nentries == *size)
	{
		*size *= 2;
		lookup->entries = repalloc_huge(lookup->entries,
										(Size) *size * sizeof(LookupEntry));
	}
	entry = &lookup->entries[lookup->nentries++];
	entry->hash = hash;
	entry->place = ((int64) offset << SENDER_BITS) | sender;
}

static void
fill_buckets(Lookup *lookup)
{
	Size		n = pg_nextpower2_64(Max(lookup->nentries, 16));

	lookup->mask = n - 1;
	lookup->buckets = MemoryContextAllocHuge(CurrentMemoryContext,
											 n * sizeof(uint32));
	memset(lookup->buckets, 0xff, n * sizeof(uint32));
	for (uint32 i = 0; i < lookup->nentries; i++)
	{
		uint32	   *bucket = &lookup->buckets[lookup->entries[i].hash & lookup->mask];

		lookup->entries[i].next = *bucket;
		*bucket = i;
	}
}

/* Reads all rows and notes where they are. */
static void
build_lookup(MovedState *state)
{
	Lookup	   *lookup = state->lookup;
	MemoryContext old = MemoryContextSwitchTo(state->css.ss.ps.state->es_query_cxt);
	uint32		size = 1024;

	lookup->entries = palloc(size * sizeof(LookupEntry));
	lookup->readers = palloc0(sizeof(ShoalRowReader) * Max(state->nsenders, 1));
	for (int i = 0; i < state->nsenders; i++)
	{
		ShoalRowReader *reader = &state->reader;
		off_t		offset = 0;
		MinimalTuple tuple;

		shoal_rowfile_open(reader, state->token, shoal_meta_local_node_id(),
						   state->senders[i], SHOAL_ROWS_CHUNK);
		while ((tuple = shoal_rowfile_next(reader)) != NULL)
		{
			bool		isnull;
			Datum		value;

			CHECK_FOR_INTERRUPTS();
			ExecStoreMinimalTuple(tuple, state->row, false);
			value = slot_getattr(state->row, lookup->column, &isnull);
			if (!isnull)
				add_entry(lookup, &size,
						  DatumGetUInt32(FunctionCall1Coll(&lookup->column_hash,
														   lookup->collation,
														   value)),
						  offset, i);
			offset = shoal_rowfile_tell(reader);
		}
		shoal_rowfile_close(reader);
		shoal_rowfile_open(&lookup->readers[i], state->token,
						   shoal_meta_local_node_id(), state->senders[i],
						   LOOKUP_CHUNK);
	}
	fill_buckets(lookup);
	MemoryContextSwitchTo(old);
}

/* Finds the first entry for the value as it is now. */
static void
begin_lookup(MovedState *state)
{
	Lookup	   *lookup = state->lookup;
	PlanState  *ps = &state->css.ss.ps;
	bool		isnull;
	Datum		value;

	if (lookup->readers == NULL)
		build_lookup(state);
	value = ExecEvalExprSwitchContext(lookup->value, ps->ps_ExprContext, &isnull);
	lookup->begun = true;
	lookup->current = NO_ENTRY;
	if (isnull)
		return;
	lookup->hash = DatumGetUInt32(FunctionCall1Coll(&lookup->value_hash,
													lookup->collation, value));
	lookup->current = lookup->buckets[lookup->hash & lookup->mask];
}

/* The conditions of the scan tell rows from others with the same hash. */
static TupleTableSlot *
next_found(MovedState *state, TupleTableSlot *slot)
{
	Lookup	   *lookup = state->lookup;

	if (!lookup->begun)
		begin_lookup(state);
	while (lookup->current != NO_ENTRY)
	{
		LookupEntry *entry = &lookup->entries[lookup->current];
		ShoalRowReader *reader =
			&lookup->readers[entry->place & ((1 << SENDER_BITS) - 1)];

		lookup->current = entry->next;
		if (entry->hash != lookup->hash)
			continue;
		shoal_rowfile_seek(reader, entry->place >> SENDER_BITS);
		ExecStoreMinimalTuple(shoal_rowfile_next(reader), state->row, false);
		shoal_task_borrow(slot, state->row);
		return slot;
	}
	return ExecClearTuple(slot);
}

static void
init_lookup(MovedState *state, CustomScan *cscan)
{
	Lookup	   *lookup;
	List	   *functions;

	if (cscan->custom_private == NIL)
		return;
	functions = (List *) lsecond(cscan->custom_private);
	lookup = palloc0(sizeof(Lookup));
	lookup->column = linitial_int((List *) linitial(cscan->custom_private));
	fmgr_info(linitial_oid(functions), &lookup->column_hash);
	fmgr_info(lsecond_oid(functions), &lookup->value_hash);
	lookup->collation = lthird_oid(functions);
	lookup->value = ExecInitExpr(lsecond(cscan->custom_exprs), &state->css.ss.ps);
	state->lookup = lookup;
}

static void
end_lookup(MovedState *state)
{
	Lookup	   *lookup = state->lookup;

	if (lookup == NULL || lookup->readers == NULL)
		return;
	for (int i = 0; i < state->nsenders; i++)
		shoal_rowfile_close(&lookup->readers[i]);
}

/* ---- the scan ---- */

static TupleTableSlot *
moved_next(ScanState *ss)
{
	MovedState *state = (MovedState *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	MinimalTuple tuple;

	if (state->token == NULL)
		read_spec(state);
	if (state->lookup && state->nsenders <= 1 << SENDER_BITS)
		return next_found(state, slot);
	while (state->current < state->nsenders)
	{
		if (state->reader.file == 0)
		{
			MemoryContext old = MemoryContextSwitchTo(ss->ps.state->es_query_cxt);

			shoal_rowfile_open(&state->reader, state->token,
							   shoal_meta_local_node_id(),
							   state->senders[state->current],
							   SHOAL_ROWS_CHUNK);
			MemoryContextSwitchTo(old);
		}
		tuple = shoal_rowfile_next(&state->reader);
		if (tuple != NULL)
		{
			ExecStoreMinimalTuple(tuple, state->row, false);
			shoal_task_borrow(slot, state->row);
			return slot;
		}
		shoal_rowfile_close(&state->reader);
		state->current++;
	}
	return ExecClearTuple(slot);
}

static bool
moved_recheck(ScanState *ss, TupleTableSlot *slot)
{
	/* rows that were moved don't change */
	return true;
}

static void
begin_moved(CustomScanState *node, EState *estate, int eflags)
{
	MovedState *state = (MovedState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;

	state->spec = ExecInitExpr(linitial(cscan->custom_exprs), &node->ss.ps);
	state->row = MakeSingleTupleTableSlot(node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
										  &TTSOpsMinimalTuple);
	init_lookup(state, cscan);
}

static TupleTableSlot *
exec_moved(CustomScanState *node)
{
	return ExecScan(&node->ss, moved_next, moved_recheck);
}

static void
rescan_moved(CustomScanState *node)
{
	MovedState *state = (MovedState *) node;

	ExecScanReScan(&node->ss);
	shoal_rowfile_close(&state->reader);
	state->current = 0;
	if (state->lookup)
		state->lookup->begun = false;
}

static void
end_moved(CustomScanState *node)
{
	MovedState *state = (MovedState *) node;

	shoal_rowfile_close(&state->reader);
	end_lookup(state);
	ExecDropSingleTupleTableSlot(state->row);
}

static void
explain_moved(CustomScanState *node, List *ancestors, ExplainState *es)
{
	MovedState *state = (MovedState *) node;

	if (state->lookup)
		ExplainPropertyText("Lookup", psprintf("c%d", state->lookup->column), es);
}

static const CustomExecMethods moved_exec_methods = {
	.CustomName = SHOAL_MOVED,
	.BeginCustomScan = begin_moved,
	.ExecCustomScan = exec_moved,
	.EndCustomScan = end_moved,
	.ReScanCustomScan = rescan_moved,
	.ExplainCustomScan = explain_moved,
};

static Node *
create_moved_state(CustomScan *cscan)
{
	MovedState *state = palloc0(sizeof(MovedState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &moved_exec_methods;
	return (Node *) state;
}

const CustomScanMethods shoal_moved_methods = {
	.CustomName = SHOAL_MOVED,
	.CreateCustomScanState = create_moved_state,
};

/* ---- the end of the files ---- */

typedef struct FilesState
{
	CustomScanState css;		/* must be first */
	List	   *tokens;
} FilesState;

static void
begin_files(CustomScanState *node, EState *estate, int eflags)
{
	FilesState *state = (FilesState *) node;
	PlanState  *ps = &node->ss.ps;
	ListCell   *lc;

	/* rows are not read to the end yet when a row of the plan is tested again */
	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) || estate->es_epq_active != NULL)
		return;
	foreach(lc, ((CustomScan *) ps->plan)->custom_exprs)
	{
		char	   *senders;
		char	   *token = read_token(ExecInitExpr(lfirst(lc), ps), ps, &senders);

		state->tokens = lappend(state->tokens, token);
		/* removed in any case, even if this node has sent none */
		shoal_rowfile_guard(token, shoal_meta_local_node_id());
	}
}

static TupleTableSlot *
exec_files(CustomScanState *node)
{
	return NULL;
}

static void
rescan_files(CustomScanState *node)
{
}

static void
end_files(CustomScanState *node)
{
	ListCell   *lc;

	foreach(lc, ((FilesState *) node)->tokens)
		shoal_rowfile_drop(lfirst(lc), shoal_meta_local_node_id());
}

static const CustomExecMethods files_exec_methods = {
	.CustomName = SHOAL_MOVED_FILES,
	.BeginCustomScan = begin_files,
	.ExecCustomScan = exec_files,
	.EndCustomScan = end_files,
	.ReScanCustomScan = rescan_files,
};

static Node *
create_files_state(CustomScan *cscan)
{
	FilesState *state = palloc0(sizeof(FilesState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &files_exec_methods;
	return (Node *) state;
}

const CustomScanMethods shoal_moved_files_methods = {
	.CustomName = SHOAL_MOVED_FILES,
	.CreateCustomScanState = create_files_state,
};
