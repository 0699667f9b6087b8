/*
 * scope_scan.c
 *		Shard Scan: reading a small table's partitions as if they were one.
 *
 * Core plans a query over n partitions n times, and more than that if they are
 * joined: for tables that fit into a page or so per partition all of it is in
 * vain, as nothing beats reading them from end to end.  Such a table is
 * planned as one plain relation, whose only path is a scan of all partitions
 * in scope, one after the other.  The relation is the parent's range-table
 * entry made to look like one of a plain table, which keeps permissions,
 * row-level security and the plan's dependency on the table.
 *
 * That is done for queries that only read (no row locks, which need the
 * partition's own entry), whose partitions have the parent's column numbers.
 * System columns are not delivered.
 *
 * A plan in a plan cache may outlive the table's being small.  As long as a
 * partition's size is not known to the catalogs (vacuum and analyze make plans
 * anew), the plan is one that core makes anew after each transaction that
 * wrote something, and it is made for no fewer rows than core would guess.  A
 * scan that meets more rows than a small table can have makes cached plans
 * be made anew, too.
 *
 * Locks: each partition's, taken when the plan is made and when it starts,
 * after the parent's, which core takes.
 */
#include "postgres.h"

#include <math.h>

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "storage/bufmgr.h"
#include "utils/plancache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "scope/scope_internal.h"

#define SHARD_SCAN "Shard Scan"

/* rows that a table of unknown size is taken to have at least */
#define GUESSED_ROWS 1000

/* more rows per shard than a page has room for */
#define TOO_MANY_ROWS 1000

/* ---- which tables ---- */

static bool
needs_entries_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varattno < 0;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		return query->commandType != CMD_SELECT || query->rowMarks != NIL ||
			query_tree_walker(query, needs_entries_walker, context, 0);
	}
	return expression_tree_walker(node, needs_entries_walker, context);
}

bool
shoal_scope_only_reads(Query *query)
{
	return !needs_entries_walker((Node *) query, NULL);
}

/* Adds a partition's size; false if that is more than there may be. */
static bool
measure_partition(ShoalSmallTable *small, Oid child, int max_pages)
{
	Relation	rel = table_open(child, NoLock);
	BlockNumber actual = RelationGetNumberOfBlocks(rel);

	if (actual > 0)
	{
		BlockNumber pages;
		double		tuples;
		double		allvisible;

		/* for small ones core guesses more pages than there are */
		estimate_rel_size(rel, NULL, &pages, &tuples, &allvisible);
		small->rows += tuples * actual / Max(pages, 1);
	}
	small->pages += actual;
	if (rel->rd_rel->reltuples < 0)
		small->unsure = true;
	table_close(rel, NoLock);
	return small->pages <= max_pages;
}

ShoalSmallTable *
shoal_scope_measure(Oid relid, const Bitmapset *shards)
{
	ShoalSmallTable *small = palloc0(sizeof(ShoalSmallTable));
	int			max_pages = bms_num_members(shards);
	int			shard = -1;

	small->relid = relid;
	while ((shard = bms_next_member(shards, shard)) >= 0)
	{
		bool		same_row;
		Oid			child = shoal_scope_lock_child(relid, shard,
												   AccessShareLock, &same_row);

		if (!OidIsValid(child) || !same_row ||
			!measure_partition(small, child, max_pages))
			return NULL;
	}
	if (small->unsure)
		small->rows = Max(small->rows, GUESSED_ROWS);
	return small;
}

/* ---- its path and plan ---- */

static Plan *
plan_shard_scan(PlannerInfo *root, RelOptInfo *rel, CustomPath *best_path,
				List *tlist, List *clauses, List *custom_plans)
{
	CustomScan *cscan = makeNode(CustomScan);

	cscan->methods = GetCustomScanMethods(SHARD_SCAN, false);
	cscan->flags = best_path->flags;
	cscan->scan.scanrelid = rel->relid;
	cscan->scan.plan.targetlist = tlist;
	cscan->scan.plan.qual = extract_actual_clauses(clauses, false);
	cscan->custom_private = best_path->custom_private;
	return (Plan *) cscan;
}

static const CustomPathMethods path_methods = {
	.CustomName = SHARD_SCAN,
	.PlanCustomPath = plan_shard_scan,
};

void
shoal_scope_describe_small(const ShoalSmallTable *small, PlannerInfo *root,
						   RelOptInfo *rel)
{
	rel->pages = small->pages;
	rel->tuples = small->rows;
	rel->allvisfrac = 0;
	rel->indexlist = NIL;
	if (small->unsure)
		root->glob->transientPlan = true;
}

void
shoal_scope_small_path(PlannerInfo *root, RelOptInfo *rel,
					   const Bitmapset *shards)
{
	CustomPath *path = makeNode(CustomPath);
	QualCost   *quals = &rel->baserestrictcost;
	QualCost   *target = &rel->reltarget->cost;
	List	   *numbers = NIL;
	int			shard = -1;

	while ((shard = bms_next_member(shards, shard)) >= 0)
		numbers = lappend_int(numbers, shard);

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.param_info = get_baserel_parampathinfo(root, rel,
													  rel->lateral_relids);
	path->path.parallel_safe = rel->consider_parallel;
	path->path.rows = rel->rows;
	path->path.startup_cost = quals->startup + target->startup;
	path->path.total_cost = path->path.startup_cost +
		seq_page_cost * rel->pages +
		(cpu_tuple_cost + quals->per_tuple) * rel->tuples +
		target->per_tuple * rel->rows;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->custom_private = list_make1(numbers);
	path->methods = &path_methods;
	rel->pathlist = NIL;
	rel->partial_pathlist = NIL;
	add_path(rel, (Path *) path);
}

/* ---- running it ---- */

typedef struct ShardScanState
{
	CustomScanState css;		/* must be first */
	int			nrels;			/* the partitions, open and locked */
	Relation   *rels;
	int			current;		/* the one that is being read */
	TableScanDesc scan;			/* NULL: not begun */
	TupleTableSlot *slot;		/* its rows */
	uint64		rows;			/* of this scan so far */
} ShardScanState;

static void
begin_shard_scan(CustomScanState *node, EState *estate, int eflags)
{
	ShardScanState *state = (ShardScanState *) node;
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;
	List	   *shards = linitial(cscan->custom_private);
	Oid			parent = RelationGetRelid(node->ss.ss_currentRelation);
	ListCell   *lc;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	state->rels = palloc(sizeof(Relation) * list_length(shards));
	foreach(lc, shards)
	{
		bool		same_row;
		Oid			child = shoal_scope_lock_child(parent, lfirst_int(lc),
												   AccessShareLock, &same_row);

		/* what changes a partition changes the parent: the plan is new */
		if (!OidIsValid(child) || !same_row)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
					 errmsg("shard %d of table \"%s\" is not on this node",
							lfirst_int(lc),
							RelationGetRelationName(node->ss.ss_currentRelation)),
					 errhint("The placement may have just changed; try the statement again.")));
		state->rels[state->nrels++] = table_open(child, NoLock);
	}
}

static void
end_current(ShardScanState *state)
{
	if (state->scan == NULL)
		return;
	ExecDropSingleTupleTableSlot(state->slot);
	table_endscan(state->scan);
	state->slot = NULL;
	state->scan = NULL;
}

static TupleTableSlot *
shard_scan_next(ScanState *ss)
{
	ShardScanState *state = (ShardScanState *) ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	EState	   *estate = ss->ps.state;

	ExecClearTuple(slot);
	for (; state->current < state->nrels; state->current++)
	{
		Relation	rel = state->rels[state->current];

		if (state->scan == NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);

			state->scan = table_beginscan(rel, estate->es_snapshot, 0, NULL);
			state->slot = table_slot_create(rel, NULL);
			MemoryContextSwitchTo(old);
		}
		if (table_scan_getnextslot(state->scan, ForwardScanDirection,
								   state->slot))
		{
			int			natts = slot->tts_tupleDescriptor->natts;

			state->rows++;
			slot_getallattrs(state->slot);
			memcpy(slot->tts_values, state->slot->tts_values,
				   natts * sizeof(Datum));
			memcpy(slot->tts_isnull, state->slot->tts_isnull,
				   natts * sizeof(bool));
			return ExecStoreVirtualTuple(slot);
		}
		end_current(state);
	}
	return slot;
}

/* No row of it is ever locked or updated. */
static bool
shard_scan_recheck(ScanState *ss, TupleTableSlot *slot)
{
	return true;
}

static TupleTableSlot *
exec_shard_scan(CustomScanState *node)
{
	return ExecScan(&node->ss, shard_scan_next, shard_scan_recheck);
}

static void
rescan_shard_scan(CustomScanState *node)
{
	ShardScanState *state = (ShardScanState *) node;

	end_current(state);
	state->current = 0;
	state->rows = 0;
	ExecScanReScan(&node->ss);
}

static void
end_shard_scan(CustomScanState *node)
{
	ShardScanState *state = (ShardScanState *) node;

	end_current(state);
	if (state->rows > (uint64) state->nrels * TOO_MANY_ROWS)
		ResetPlanCache();
	for (int i = 0; i < state->nrels; i++)
		table_close(state->rels[i], NoLock);
	state->nrels = 0;
}

static void
explain_shard_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
	CustomScan *cscan = (CustomScan *) node->ss.ps.plan;

	ExplainPropertyInteger("Shards", NULL,
						   list_length(linitial(cscan->custom_private)), es);
}

static const CustomExecMethods exec_methods = {
	.CustomName = SHARD_SCAN,
	.BeginCustomScan = begin_shard_scan,
	.ExecCustomScan = exec_shard_scan,
	.EndCustomScan = end_shard_scan,
	.ReScanCustomScan = rescan_shard_scan,
	.ExplainCustomScan = explain_shard_scan,
};

static Node *
create_shard_scan_state(CustomScan *cscan)
{
	ShardScanState *state = palloc0(sizeof(ShardScanState));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &exec_methods;
	return (Node *) state;
}

static const CustomScanMethods scan_methods = {
	.CustomName = SHARD_SCAN,
	.CreateCustomScanState = create_shard_scan_state,
};

void
shoal_scope_scan_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
}
