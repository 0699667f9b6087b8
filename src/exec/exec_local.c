/*
 * exec_local.c
 *		A fragment's part on this node, run in this backend.
 *
 * The marked text is parsed, planned and executed here like a statement of its
 * own inside the one that needs it, with that one's snapshot: what the outer
 * statement may see, and no more, is what the part sees.  The command counter
 * is not moved, so several parts of one statement behave like one statement.
 *
 * Plans are kept in a small cache, keyed by text (with its marker) and
 * parameter types.  A text is only remembered by its hash the first time; the
 * plan is saved when it comes a second time, since most texts with constants
 * in them never do.
 *
 * A plain SELECT delivers its rows one by one as they are asked for; anything
 * else runs to its end at once, its rows kept in a tuplestore.
 *
 * On error the plan's reference count is given back by the resource owner, as
 * are buffers, snapshots and relations; memory goes with the context of the
 * outer query.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"
#include "scope/scope.h"

/* entries of the cache; the least recently used one goes first */
#define LOCAL_CACHE_SIZE 256

typedef struct LocalEntry
{
	uint64		hash;			/* of text and parameter types; hash key */
	CachedPlanSource *source;	/* NULL: text was seen once */
	dlist_node	node;			/* in local_lru, most recent first */
} LocalEntry;

static HTAB *local_cache = NULL;
static dlist_head local_lru = DLIST_STATIC_INIT(local_lru);

/* Keeps the slot of the one row that an ExecutorRun is asked for. */
typedef struct RowReceiver
{
	DestReceiver pub;
	TupleTableSlot *slot;
} RowReceiver;

struct ShoalLocal
{
	QueryDesc  *query_desc;		/* NULL once ended */
	CachedPlan *plan;
	ResourceOwner owner;		/* of plan; NULL if the source is unsaved */
	CachedPlanSource *own_source;	/* unsaved source, ours to drop */
	RowReceiver receiver;
	Tuplestorestate *store;		/* rows, if run to the end */
	TupleTableSlot *store_slot;
	uint64		affected;
};

static bool
row_receive(TupleTableSlot *slot, DestReceiver *self)
{
	((RowReceiver *) self)->slot = slot;
	return true;
}

static void
row_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
row_end(DestReceiver *self)
{
}

/* ---- plans ---- */

static CachedPlanSource *
make_source(const char *sql, int nparams, Oid *types)
{
	List	   *raw = pg_parse_query(sql);
	RawStmt    *stmt;
	List	   *queries;
	CachedPlanSource *source;

	if (list_length(raw) != 1)
		elog(ERROR, "fragment is not one statement: %s", sql);
	stmt = linitial_node(RawStmt, raw);
	source = CreateCachedPlan(stmt, sql, CreateCommandTag(stmt->stmt));
	queries = pg_analyze_and_rewrite_fixedparams(stmt, sql, types, nparams,
												 NULL);
	CompleteCachedPlan(source, queries, NULL, types, nparams, NULL, NULL,
					   CURSOR_OPT_PARALLEL_OK, false);
	return source;
}

static void
cache_evict(void)
{
	LocalEntry *entry = dlist_tail_element(LocalEntry, node, &local_lru);

	dlist_delete(&entry->node);
	if (entry->source)
		DropCachedPlan(entry->source);
	hash_search(local_cache, &entry->hash, HASH_REMOVE, NULL);
}

static bool
source_matches(CachedPlanSource *source, const char *sql, int nparams,
			   const Oid *types)
{
	return strcmp(source->query_string, sql) == 0 &&
		source->num_params == nparams &&
		(nparams == 0 ||
		 memcmp(source->param_types, types, sizeof(Oid) * nparams) == 0);
}

/*
 * The source of a text.  *saved tells whether it is the cache's or the
 * caller's (in the current context).
 */
static CachedPlanSource *
find_source(const char *sql, int nparams, Oid *types, bool *saved)
{
	uint64		hash;
	LocalEntry *entry;
	bool		found;

	if (local_cache == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(uint64);
		ctl.entrysize = sizeof(LocalEntry);
		local_cache = hash_create("Shoal local fragments", LOCAL_CACHE_SIZE,
								  &ctl, HASH_ELEM | HASH_BLOBS);
	}

	hash = hash_bytes_extended((const unsigned char *) sql, strlen(sql), 0);
	if (nparams > 0)
		hash = hash_bytes_extended((const unsigned char *) types,
								   sizeof(Oid) * nparams, hash);
	entry = hash_search(local_cache, &hash, HASH_FIND, NULL);

	if (entry == NULL)
	{
		if (hash_get_num_entries(local_cache) >= LOCAL_CACHE_SIZE)
			cache_evict();
		entry = hash_search(local_cache, &hash, HASH_ENTER, &found);
		entry->source = NULL;
		dlist_push_head(&local_lru, &entry->node);
		*saved = false;
		return make_source(sql, nparams, types);
	}

	dlist_move_head(&local_lru, &entry->node);
	if (entry->source && !source_matches(entry->source, sql, nparams, types))
	{
		DropCachedPlan(entry->source);
		entry->source = NULL;
	}
	if (entry->source == NULL)
	{
		CachedPlanSource *source = make_source(sql, nparams, types);

		/* parsing may have run fragments of its own: look again */
		entry = hash_search(local_cache, &hash, HASH_FIND, NULL);
		if (entry == NULL || entry->source != NULL)
		{
			*saved = false;
			return source;
		}
		SaveCachedPlan(source);
		entry->source = source;
	}
	*saved = true;
	return entry->source;
}

/*
 * Finds or makes the plan.  The marker counts only while the fragment is
 * analysed and planned: what its functions run is not a fragment.
 */
static PlannedStmt *
local_plan(ShoalLocal *local, const char *sql, int nparams, Oid *types,
		   ParamListInfo params)
{
	CachedPlanSource *source;
	const char *trusted;
	bool		saved;

	trusted = shoal_scope_trust(sql);
	PG_TRY();
	{
		source = find_source(sql, nparams, types, &saved);
		local->owner = saved ? CurrentResourceOwner : NULL;
		local->own_source = saved ? NULL : source;
		local->plan = GetCachedPlan(source, params, local->owner, NULL);
	}
	PG_FINALLY();
	{
		(void) shoal_scope_trust(trusted);
	}
	PG_END_TRY();

	if (list_length(local->plan->stmt_list) != 1 ||
		linitial_node(PlannedStmt, local->plan->stmt_list)->utilityStmt)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a fragment became several statements"),
				 errhint("Rules with more than one action are not supported on distributed tables.")));
	return linitial_node(PlannedStmt, local->plan->stmt_list);
}

static ParamListInfo
make_params(int nparams, const Oid *types, const Datum *values,
			const bool *nulls)
{
	ParamListInfo params;

	if (nparams == 0)
		return NULL;
	params = makeParamList(nparams);
	for (int i = 0; i < nparams; i++)
	{
		params->params[i].value = values[i];
		params->params[i].isnull = nulls[i];
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = types[i];
	}
	return params;
}

static void
check_columns(TupleDesc desc, TupleDesc got)
{
	bool		same = desc->natts == got->natts;

	for (int i = 0; same && i < desc->natts; i++)
		same = TupleDescAttr(desc, i)->atttypid ==
			TupleDescAttr(got, i)->atttypid;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a fragment returns other columns than were planned"),
				 errhint("The schema may have changed; run the statement again.")));
}

/* ---- running ---- */

static DestReceiver *
make_receiver(ShoalLocal *local, bool to_end)
{
	DestReceiver *dest;

	if (!to_end)
	{
		local->receiver.pub.receiveSlot = row_receive;
		local->receiver.pub.rStartup = row_startup;
		local->receiver.pub.rShutdown = row_end;
		local->receiver.pub.rDestroy = row_end;
		local->receiver.pub.mydest = DestNone;
		return &local->receiver.pub;
	}
	local->store = tuplestore_begin_heap(false, false, work_mem);
	dest = CreateTuplestoreDestReceiver();
	SetTuplestoreDestReceiverParams(dest, local->store, CurrentMemoryContext,
									false, NULL, NULL);
	return dest;
}

/* The marker counts: it tells which shards the plan reads, and whose triggers fire. */
static void
start_executor(QueryDesc *query_desc, const char *sql, bool mute)
{
	const char *trusted = shoal_scope_trust(sql);

	PG_TRY();
	{
		ExecutorStart(query_desc, 0);
		if (mute)
			shoal_scope_mute_fragment(query_desc);
	}
	PG_FINALLY();
	{
		(void) shoal_scope_trust(trusted);
	}
	PG_END_TRY();
}

ShoalLocal *
shoal_local_start(const char *sql, int nparams, Oid *types,
				  const Datum *values, const bool *nulls, Snapshot snapshot,
				  TupleDesc desc)
{
	ShoalLocal *local = palloc0(sizeof(ShoalLocal));
	ParamListInfo params = make_params(nparams, types, values, nulls);
	PlannedStmt *stmt = local_plan(local, sql, nparams, types, params);
	DestReceiver *dest = None_Receiver;
	bool		to_end;

	/* a parallel plan can only be run in one go */
	to_end = stmt->commandType != CMD_SELECT || stmt->hasModifyingCTE ||
		stmt->parallelModeNeeded;
	if (desc != NULL)
		dest = make_receiver(local, to_end);

	local->query_desc = CreateQueryDesc(stmt, sql, snapshot, InvalidSnapshot,
										dest, params, NULL, 0);
	PushActiveSnapshot(snapshot);
	start_executor(local->query_desc, sql, to_end);
	/* a function may have begun further commands meanwhile */
	if (snapshot->curcid < local->query_desc->estate->es_output_cid)
		local->query_desc->estate->es_output_cid = snapshot->curcid;
	if (desc != NULL)
	{
		check_columns(desc, local->query_desc->tupDesc);
		if (to_end)
			local->store_slot = MakeSingleTupleTableSlot(desc,
														 &TTSOpsMinimalTuple);
	}
	if (to_end || desc == NULL)
	{
		shoal_executor_run(local->query_desc, ForwardScanDirection, 0, true);
		local->affected = local->query_desc->estate->es_processed;
		ExecutorFinish(local->query_desc);
		ExecutorEnd(local->query_desc);
		FreeQueryDesc(local->query_desc);
		local->query_desc = NULL;
	}
	PopActiveSnapshot();
	return local;
}

TupleTableSlot *
shoal_local_next(ShoalLocal *local)
{
	if (local->store)
		return shoal_task_stored(local->store, local->store_slot);
	if (local->query_desc == NULL)
		return NULL;

	local->receiver.slot = NULL;
	PushActiveSnapshot(local->query_desc->snapshot);
	shoal_executor_run(local->query_desc, ForwardScanDirection, 1, false);
	PopActiveSnapshot();
	return local->receiver.slot;
}

uint64
shoal_local_affected(const ShoalLocal *local)
{
	return local->affected;
}

void
shoal_local_end(ShoalLocal *local)
{
	if (local->query_desc)
	{
		ExecutorFinish(local->query_desc);
		ExecutorEnd(local->query_desc);
		FreeQueryDesc(local->query_desc);
		local->query_desc = NULL;
	}
	if (local->store)
		tuplestore_end(local->store);
	local->store = NULL;
	if (local->plan)
		ReleaseCachedPlan(local->plan, local->owner);
	local->plan = NULL;
	if (local->own_source)
		DropCachedPlan(local->own_source);
	local->own_source = NULL;
}

static void
spi_execute_trusted(const char *sql, int nparams, Oid *types,
					const Datum *values, const bool *nulls)
{
	SPIExecuteOptions options = {0};
	const char *trusted;

	trusted = shoal_scope_trust(sql);
	PG_TRY();
	{
		SPIPlanPtr	plan = SPI_prepare(sql, nparams, types);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s",
				 SPI_result_code_string(SPI_result));
		options.params = make_params(nparams, types, values, nulls);
		SPI_execute_plan_extended(plan, &options);
	}
	PG_FINALLY();
	{
		(void) shoal_scope_trust(trusted);
	}
	PG_END_TRY();
}

List *
shoal_local_explain(const char *sql, int nparams, Oid *types,
					const Datum *values, const bool *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	List	   *lines = NIL;

	SPI_connect();
	spi_execute_trusted(sql, nparams, types, values, nulls);
	spi = MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
		lines = lappend(lines, SPI_getvalue(SPI_tuptable->vals[i],
											SPI_tuptable->tupdesc, 1));
	MemoryContextSwitchTo(spi);
	SPI_finish();
	return lines;
}
