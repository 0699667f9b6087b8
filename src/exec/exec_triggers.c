/*
 * exec_triggers.c
 *		Statement triggers of tables that nodes write.
 *
 * Nodes leave them out (scope_triggers.c); they are fired here, those BEFORE
 * when the plan node that writes begins, those AFTER with the end of the
 * statement, as core does with its own plan nodes.  Their functions run in this
 * session, so they may use any table.
 */
#include "postgres.h"

#include "access/table.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "parser/parsetree.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"
#include "scope/scope.h"

/* one table's */
typedef struct TableTriggers
{
	Relation	rel;
	ResultRelInfo *relinfo;
	int			events;
} TableTriggers;

struct ShoalTriggers
{
	EState	   *estate;
	List	   *tables;			/* TableTriggers * */
	/* what transition tables have, or NULL */
	TransitionCaptureState *inserted;
	TransitionCaptureState *updated;
	TransitionCaptureState *deleted;
};

Index
shoal_triggers_target(EState *estate, Oid relid)
{
	for (Index rti = 1; rti <= list_length(estate->es_range_table); rti++)
	{
		RangeTblEntry *rte = exec_rt_fetch(rti, estate);

		if (rte->rtekind == RTE_RELATION && rte->relid == relid &&
			(shoal_estate_required_perms(estate, rte) &
			 (ACL_INSERT | ACL_UPDATE | ACL_DELETE)))
			return rti;
	}
	return 0;
}

static TableTriggers *
open_table(EState *estate, Oid relid, int events)
{
	TableTriggers *table = palloc(sizeof(TableTriggers));

	table->rel = table_open(relid, RowExclusiveLock);
	table->events = events;
	table->relinfo = makeNode(ResultRelInfo);
	InitResultRelInfo(table->relinfo, table->rel,
					  shoal_triggers_target(estate, relid), NULL,
					  estate->es_instrument);
	return table;
}

static void
fire_before(EState *estate, TableTriggers *table)
{
	if (table->events & SHOAL_EVENT_INSERT)
		ExecBSInsertTriggers(estate, table->relinfo);
	if (table->events & SHOAL_EVENT_UPDATE)
		ExecBSUpdateTriggers(estate, table->relinfo);
	if (table->events & SHOAL_EVENT_DELETE)
		ExecBSDeleteTriggers(estate, table->relinfo);
}

void
shoal_triggers_before(EState *estate, Oid relid, int events)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	TableTriggers *table = open_table(estate, relid, events);

	fire_before(estate, table);
	table_close(table->rel, NoLock);
	MemoryContextSwitchTo(old);
}

ShoalTriggers *
shoal_triggers_begin(EState *estate, List *fires)
{
	MemoryContext old;
	ShoalTriggers *result;
	ListCell   *lc;

	if (fires == NIL)
		return NULL;
	old = MemoryContextSwitchTo(estate->es_query_cxt);
	result = palloc0(sizeof(ShoalTriggers));
	result->estate = estate;
	for (lc = list_head(fires); lc; lc = lnext(fires, lnext(fires, lc)))
	{
		TableTriggers *table = open_table(estate, lfirst_oid(lc),
										  (int) lfirst_oid(lnext(fires, lc)));

		result->tables = lappend(result->tables, table);
		fire_before(estate, table);
	}
	MemoryContextSwitchTo(old);
	return result;
}

void
shoal_triggers_capture(ShoalTriggers *triggers, CmdType command,
					   TransitionCaptureState *capture)
{
	if (triggers == NULL)
		return;
	if (command == CMD_INSERT)
		triggers->inserted = capture;
	else if (command == CMD_UPDATE)
		triggers->updated = capture;
	else
		triggers->deleted = capture;
}

void
shoal_triggers_end(ShoalTriggers *triggers, bool complete)
{
	ListCell   *lc;

	if (triggers == NULL)
		return;
	foreach(lc, triggers->tables)
	{
		TableTriggers *table = lfirst(lc);

		/* core's order: the reverse of the one above */
		if (complete && (table->events & SHOAL_EVENT_DELETE))
			ExecASDeleteTriggers(triggers->estate, table->relinfo,
								 triggers->deleted);
		if (complete && (table->events & SHOAL_EVENT_UPDATE))
			ExecASUpdateTriggers(triggers->estate, table->relinfo,
								 triggers->updated);
		if (complete && (table->events & SHOAL_EVENT_INSERT))
			ExecASInsertTriggers(triggers->estate, table->relinfo,
								 triggers->inserted);
		table_close(table->rel, NoLock);
	}
	list_free(triggers->tables);
	triggers->tables = NIL;
}
