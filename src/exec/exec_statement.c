/*
 * exec_statement.c
 *		One snapshot for all that a statement reads, on whichever nodes.
 *
 * A plan that reads nothing but the rows of one fragment, once, needs no care
 * here: the fragment's snapshots are taken as it starts (exec_fragment.c).  Any
 * other plan with a Shoal Scan has them taken on all nodes before it starts, or along with
 * a fragment that is started at once (exec_first.c), to
 * be used whenever one of its fragments runs, and its own snapshot is made one
 * of that moment.  What it works out first, or by a statement of its own in
 * this backend, belongs to it and reads with the same ones.
 *
 * A statement that a function executes within another one keeps the snapshot
 * that core gave it for what core reads here, since that may be the outer
 * one's; its fragments, local ones too, use new ones.  Unless it is the outer one's, as
 * in functions that are stable: these see nothing of what the outer statement, or functions
 * that it calls, have written meanwhile, so its snapshots are taken on all nodes before
 * it starts, and used by its functions as well.
 *
 * In REPEATABLE READ all of a transaction's snapshots are taken before its
 * first statement.
 *
 * A cursor reads as of the time when it is opened.
 *
 * On a node, held fragments get the snapshot that was taken for them, and
 * fragments that write leave statement triggers to the coordinator.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "tcop/pquery.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "exec/exec_internal.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_quiet.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

/* a statement whose snapshots are held */
typedef struct HeldStatement
{
	EState	   *estate;
	uint64		moment;
	Snapshot	snapshot;		/* of its local fragments, NULL: core's; with
								 * its owner */
	ResourceOwner owner;
	int			level;			/* nesting level of its transaction */
	struct HeldStatement *next;
} HeldStatement;

static ExecutorStart_hook_type previous_start = NULL;
static ExecutorEnd_hook_type previous_end = NULL;

/* those that run, in TopTransactionContext */
static HeldStatement *held_statements = NULL;

/* what the runs that are being made read with */
static ShoalReading reading = {0};

ShoalReading
shoal_statement_reading(void)
{
	return reading;
}

void
shoal_statement_set_reading(ShoalReading now)
{
	reading = now;
}

/* ---- what a plan reads ---- */

typedef struct PlanUse
{
	int			fragments;		/* Shoal Scans */
	CustomScan *scan;			/* one of them */
	int			others;			/* that read something else, or may */
	bool		look_at_calls;	/* of functions; so find ... */
	List	   *stable;			/* ... those that are */
	bool		changes;		/* ... one that is volatile */
} PlanUse;

static void look_at(Plan *plan, PlanUse *use);

static void
look_at_list(List *plans, PlanUse *use)
{
	ListCell   *lc;

	foreach(lc, plans)
		look_at(lfirst(lc), use);
}

static bool
note_call(Oid funcid, void *context)
{
	PlanUse    *use = context;
	char		kind = funcid < FirstNormalObjectId ? PROVOLATILE_IMMUTABLE :
		func_volatile(funcid);

	if (kind == PROVOLATILE_VOLATILE)
		use->changes = true;
	if (kind == PROVOLATILE_STABLE)
		use->stable = list_append_unique_oid(use->stable, funcid);
	return false;
}

static void
look_at_calls(Plan *plan, PlanUse *use)
{
	(void) shoal_expr_calls((Node *) plan->targetlist, note_call, use);
	(void) shoal_expr_calls((Node *) plan->qual, note_call, use);
	if (IsA(plan, ValuesScan))
		(void) shoal_expr_calls((Node *) ((ValuesScan *) plan)->values_lists,
								note_call, use);
	if (IsA(plan, ModifyTable))
		(void) shoal_expr_calls((Node *) ((ModifyTable *) plan)->returningLists,
								note_call, use);
}

static void
look_at(Plan *plan, PlanUse *use)
{
	if (plan == NULL)
		return;
	if (use->look_at_calls)
		look_at_calls(plan, use);
	switch (nodeTag(plan))
	{
		case T_CustomScan:
			if (((CustomScan *) plan)->methods == &shoal_scan_methods)
			{
				use->fragments++;
				use->scan = (CustomScan *) plan;
			}
			else if (((CustomScan *) plan)->methods != &shoal_insert_methods)
				use->others++;
			look_at_list(((CustomScan *) plan)->custom_plans, use);
			break;
		case T_Append:
			look_at_list(((Append *) plan)->appendplans, use);
			break;
		case T_MergeAppend:
			look_at_list(((MergeAppend *) plan)->mergeplans, use);
			break;
		case T_SubqueryScan:
			look_at(((SubqueryScan *) plan)->subplan, use);
			break;
		case T_Agg:
		case T_Group:
		case T_Hash:
		case T_Limit:
		case T_LockRows:
		case T_Material:
		case T_ModifyTable:
		case T_ProjectSet:
		case T_Result:
		case T_SetOp:
		case T_Sort:
		case T_IncrementalSort:
		case T_Unique:
		case T_WindowAgg:
			break;
		default:
			/* scans, and joins: their inner side may run more than once */
			use->others++;
			break;
	}
	look_at(plan->lefttree, use);
	look_at(plan->righttree, use);
}

/* Whether it is made of parts that write and don't see each other's rows. */
static bool
has_parts(PlannedStmt *stmt)
{
	return IsA(stmt->planTree, CustomScan) &&
		((CustomScan *) stmt->planTree)->methods == &shoal_with_methods;
}

/* Whether all snapshots have to be taken before the plan starts. */
static bool
needs_hold(PlannedStmt *stmt)
{
	PlanUse		use = {0};

	/* the quick way for the most frequent plans */
	if (stmt->subplans == NIL && IsA(stmt->planTree, CustomScan) &&
		((CustomScan *) stmt->planTree)->methods == &shoal_scan_methods)
		return false;
	look_at(stmt->planTree, &use);
	look_at_list(stmt->subplans, &use);
	return use.fragments > 1 ||
		(use.fragments == 1 && (use.others > 0 || stmt->subplans != NIL));
}

/*
 * Whether functions that it calls have to read with its snapshots: it writes, or reads
 * something, and there is a stable one.
 */
static bool
is_read_again(PlannedStmt *stmt)
{
	PlanUse		use = {.look_at_calls = true};
	ListCell   *lc;

	/* the planner notes all functions that are not built in */
	foreach(lc, stmt->invalItems)
	{
		if (((PlanInvalItem *) lfirst(lc))->cacheId == PROCOID)
			break;
	}
	if (lc == NULL)
		return false;
	look_at(stmt->planTree, &use);
	look_at_list(stmt->subplans, &use);
	if (!use.changes && use.fragments + use.others == 0 &&
		stmt->commandType == CMD_SELECT && !stmt->hasModifyingCTE)
		return false;
	/* what takes longest comes last */
	foreach(lc, use.stable)
	{
		if (!shoal_quiet_is_function(lfirst_oid(lc), InvalidOid))
			return true;
	}
	return false;
}

/* Whether the statement that is about to start is a cursor's, or a named portal's. */
static bool
is_cursor(void)
{
	return ActivePortal != NULL && ActivePortal->status == PORTAL_DEFINED &&
		ActivePortal->name[0] != '\0';
}

/*
 * A cursor's rows are those of the time when it was opened, not of its first FETCH.  Its
 * only fragment is started at once (CURSOR_SEND), if nothing is lost should no row
 * ever be fetched; otherwise the plan's snapshots are taken (CURSOR_HOLD).
 */
typedef enum CursorWay
{
	CURSOR_NONE,
	CURSOR_SEND,
	CURSOR_HOLD
} CursorWay;

static CursorWay
cursor_way(PlannedStmt *stmt)
{
	PlanUse		use = {0};
	const ShoalFragment *frag;

	if (!is_cursor())
		return CURSOR_NONE;
	if (needs_hold(stmt))
		return CURSOR_HOLD;
	look_at(stmt->planTree, &use);
	if (use.fragments == 0)
		return CURSOR_NONE;
	frag = shoal_fragment_load(use.scan);
	if (frag->command != CMD_SELECT || frag->is_volatile || frag->moves || frag->steps)
		return CURSOR_HOLD;
	/* a function's loop fetches at once, a client may wait for long, and keep no locks */
	return frag->locks_rows && shoal_xact_depth() == 0 ? CURSOR_HOLD : CURSOR_SEND;
}

/* Starts the Shoal Scan; a client is not told before it has been. */
static bool
start_scan(PlanState *ps, void *context)
{
	if (ps == NULL || shoal_scan_start(ps, shoal_xact_depth() == 0))
		return false;
	return planstate_tree_walker(ps, start_scan, context);
}

/* Starts that one. */
static bool
start_first(PlanState *ps, void *scan)
{
	if (ps == NULL)
		return false;
	if (ps->plan == scan)
		return shoal_scan_start(ps, false);
	return planstate_tree_walker(ps, start_first, scan);
}

/* Whether a statement reads catalogs and nothing else. */
static bool
reads_only_catalogs(PlannedStmt *stmt)
{
	bool		any = false;
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind != RTE_RELATION)
			continue;
		if (rte->relid >= FirstNormalObjectId)
			return false;
		any = true;
	}
	return any;
}

/* Whether core reads several shards of a table here. */
static bool
reads_shards_here(PlannedStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->relationOids)
	{
		const ShoalTable *table = shoal_meta_table(lfirst_oid(lc));

		if (table && table->kind == SHOAL_KIND_DISTRIBUTED)
		{
			const ShoalGroup *group = shoal_meta_group(table->group_id);

			if (group->all_local && group->shard_count > 1)
				return true;
		}
	}
	return false;
}

/*
 * What another node has written here over several connections is not to be seen by
 * half.
 */
static void
renew_unless_calm(QueryDesc *desc)
{
	if (shoal_calm_is(desc->snapshot))
		return;
	(void) shoal_moment_open(list_make1_int(shoal_meta_local_node_id()));
	shoal_snapshot_renew(desc);
	shoal_moment_close();
}

/*
 * Other commands may run while a cursor is open.  Core refuses those that would change a
 * table which is open in this session, as it is where core's own scans read it.
 */
static void
open_tables(EState *estate)
{
	ListCell   *lc;

	foreach(lc, estate->es_range_table)
	{
		RangeTblEntry *rte = (RangeTblEntry *) lfirst(lc);
		Relation   *rel = &estate->es_relations[foreach_current_index(lc)];

		/* closed at its end, like those that scans have opened */
		if (*rel == NULL && rte->rtekind == RTE_RELATION &&
			shoal_meta_table(rte->relid) != NULL)
			*rel = table_open(rte->relid, NoLock);
	}
}

/* ---- the hooks ---- */

static void
start_statement(QueryDesc *desc, int eflags)
{
	if (desc->snapshot != InvalidSnapshot && !IsParallelWorker() &&
		!(eflags & EXEC_FLAG_EXPLAIN_ONLY) && shoal_meta_enabled())
		shoal_scope_check_snapshot(desc->plannedstmt, desc->sourceText,
								   desc->snapshot);
	if (previous_start)
		previous_start(desc, eflags);
	else
		standard_ExecutorStart(desc, eflags);
	if (shoal_xact_writes(desc))
		shoal_scope_mute_fragment(desc);
}

/*
 * The statement's own snapshot, or, if that may be an outer one's, one for its local
 * fragments (reading.snapshot).
 */
static Snapshot
take_own_snapshot(void *arg)
{
	QueryDesc  *desc = arg;

	if (shoal_xact_depth() == 0)
	{
		shoal_snapshot_renew(desc);
		return desc->snapshot;
	}
	if (reading.snapshot)
		UnregisterSnapshot(reading.snapshot);
	reading.snapshot = shoal_snapshot_now(CurrentResourceOwner);
	return reading.snapshot;
}

/*
 * Starts the statement, and its first fragment with it, along with which the
 * snapshots are taken, in the hope that they agree.  If they don't (false), nothing has been
 * started: core has not read a row yet.
 */
static bool
start_hopefully(QueryDesc *desc, int eflags)
{
	CustomScan *first = shoal_xact_writers() == 0 ?
		shoal_first_scan(desc->plannedstmt) : NULL;
	ShoalHope  *hope = first ? shoal_hope_begin(take_own_snapshot, desc) : NULL;

	if (hope == NULL)
		return false;
	reading.moment = shoal_hope_moment(hope);
	start_statement(desc, eflags);
	(void) start_first(desc->planstate, first);
	if (shoal_hope_holds(hope))
		return true;
	shoal_moment_drop(reading.moment);
	standard_ExecutorFinish(desc);
	standard_ExecutorEnd(desc);
	return false;
}

/* Notes what the statement that starts reads with. */
static HeldStatement *
note_held(void)
{
	HeldStatement *entry = MemoryContextAlloc(TopTransactionContext,
											  sizeof(HeldStatement));

	entry->moment = reading.moment;
	entry->snapshot = reading.snapshot;
	entry->owner = CurrentResourceOwner;
	entry->level = GetCurrentTransactionNestLevel();
	entry->estate = NULL;
	entry->next = held_statements;
	held_statements = entry;
	return entry;
}

static bool
is_moment_in_use(uint64 moment)
{
	for (HeldStatement *entry = held_statements; entry; entry = entry->next)
	{
		if (entry->moment == moment)
			return true;
	}
	return false;
}

/*
 * The statement reads with the snapshots of one moment.  One that has parts needs
 * them anyhow, if need be not of one moment.
 */
static void
start_held(QueryDesc *desc, int eflags)
{
	HeldStatement *entry;
	ShoalReading saved = reading;
	bool		started = false;

	shoal_hold_tables(desc->plannedstmt->relationOids,
					  desc->plannedstmt->commandType != CMD_SELECT ||
					  desc->plannedstmt->hasModifyingCTE);
	reading.snapshot = NULL;
	reading.parts = has_parts(desc->plannedstmt);
	if (!shoal_moment_wanted())
	{
		if (!shoal_meta_is_alone())
			reading.moment = shoal_moment_hold_apart();
		(void) take_own_snapshot(desc);
	}
	else if (start_hopefully(desc, eflags))
		started = true;
	else
		reading.moment = shoal_moment_hold(take_own_snapshot, desc);

	entry = note_held();
	if (!started)
		start_statement(desc, eflags);
	entry->estate = desc->estate;
	reading = saved;
}

/* The statement around the one that is about to start, if it gave that its snapshot. */
static HeldStatement *
statement_around(const QueryDesc *desc)
{
	if (desc->operation != CMD_SELECT || shoal_xact_depth() == 0)
		return NULL;
	for (HeldStatement *entry = held_statements; entry; entry = entry->next)
	{
		if (entry->estate && (entry->estate->es_snapshot == desc->snapshot ||
							  entry->snapshot == desc->snapshot))
			return entry;
	}
	return NULL;
}

/* The statement, if a cursor's, may end after the one whose snapshots it uses. */
static void
start_within(QueryDesc *desc, int eflags, const HeldStatement *outer)
{
	HeldStatement *entry;

	shoal_hold_tables(desc->plannedstmt->relationOids, false);
	reading.moment = outer->moment;
	if (outer->snapshot)
		reading.snapshot = RegisterSnapshot(outer->snapshot);
	entry = note_held();
	start_statement(desc, eflags);
	entry->estate = desc->estate;
}

static void
start_as_needed(QueryDesc *desc, int eflags, CursorWay cursor)
{
	if (has_parts(desc->plannedstmt) || cursor == CURSOR_HOLD ||
		is_read_again(desc->plannedstmt) ||
		(shoal_current_is_shown(desc->plannedstmt) && !IsolationUsesXactSnapshot()) ||
		(needs_hold(desc->plannedstmt) && shoal_moment_wanted()))
	{
		start_held(desc, eflags);
		return;
	}
	if (shoal_xact_depth() == 0 && shoal_moment_wanted() &&
		reads_shards_here(desc->plannedstmt))
		renew_unless_calm(desc);
	start_statement(desc, eflags);
	if (cursor == CURSOR_SEND)
		(void) start_scan(desc->planstate, NULL);
}

static void
executor_start(QueryDesc *desc, int eflags)
{
	ShoalReading saved = reading;
	const HeldStatement *outer;
	bool		held = false;

	shoal_scope_resume_rules();
	if (shoal_meta_enabled())
		shoal_health_note_metadata();
	if (shoal_origin > 0)
		held = shoal_snapshot_for_fragment(desc);
	if (shoal_origin > 0 || IsParallelWorker() || (eflags & EXEC_FLAG_EXPLAIN_ONLY) ||
		!shoal_meta_enabled() || desc->snapshot == InvalidSnapshot)
	{
		start_statement(desc, eflags);
		/* what it writes is of the command that the snapshot was taken for */
		if (held && desc->snapshot->curcid < desc->estate->es_output_cid)
			desc->estate->es_output_cid = desc->snapshot->curcid;
		return;
	}
	if (XactIsoLevel == XACT_REPEATABLE_READ &&
		!reads_only_catalogs(desc->plannedstmt) &&
		shoal_moment_of_transaction())
		shoal_snapshot_renew(desc);

	/* part of another statement, whose snapshots it shares */
	if (reading.inside)
	{
		/* what its functions execute is not */
		reading.inside = false;
		start_statement(desc, eflags);
		return;
	}
	memset(&reading, 0, sizeof(reading));
	outer = statement_around(desc);
	if (outer)
		start_within(desc, eflags, outer);
	else
		start_as_needed(desc, eflags, cursor_way(desc->plannedstmt));
	if (is_cursor())
		open_tables(desc->estate);
	reading = saved;
}

static void
executor_end(QueryDesc *desc)
{
	HeldStatement *entry = NULL;

	for (HeldStatement **link = &held_statements; *link; link = &(*link)->next)
	{
		if ((*link)->estate == desc->estate)
		{
			entry = *link;
			*link = entry->next;
			break;
		}
	}
	/* before the end: what is unread need not be read any more */
	if (entry && !is_moment_in_use(entry->moment))
		shoal_moment_drop(entry->moment);
	if (previous_end)
		previous_end(desc);
	else
		standard_ExecutorEnd(desc);
	if (entry && entry->snapshot)
		UnregisterSnapshotFromOwner(entry->snapshot, entry->owner);
	if (entry)
		pfree(entry);
}

static void
forget(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT ||
		event == XACT_EVENT_PREPARE)
	{
		held_statements = NULL;
		memset(&reading, 0, sizeof(reading));
	}
}

static void
forget_sub(SubXactEvent event, SubTransactionId subid,
		   SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	HeldStatement **link = &held_statements;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	while (*link)
	{
		if (event == SUBXACT_EVENT_ABORT_SUB && (*link)->level >= level)
			*link = (*link)->next;
		else
		{
			if (event == SUBXACT_EVENT_COMMIT_SUB)
				(*link)->level = Min((*link)->level, level - 1);
			link = &(*link)->next;
		}
	}
	if (event == SUBXACT_EVENT_ABORT_SUB)
		memset(&reading, 0, sizeof(reading));
}

void
shoal_statement_init(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	previous_end = ExecutorEnd_hook;
	ExecutorEnd_hook = executor_end;
	RegisterXactCallback(forget, NULL);
	RegisterSubXactCallback(forget_sub, NULL);
}
