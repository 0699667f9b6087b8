/*
 * scope_triggers.c
 *		Triggers that are left to the coordinator.
 *
 * Of some statements the coordinator fires all triggers, row by row
 * (exec_fire.c); their marker says so.  Then a node's part runs without the
 * user's triggers.  For the rest of statements row triggers fire where the row is.
 *
 * If it takes foreign keys' actions itself (plan_action.c), those that refer to the
 * table are left out, too.
 *
 * Statement triggers are always left to the coordinator.
 * They fire once for a statement, on the node where its client is, however
 * many nodes have a part in it.  So a part that Shoal has sent runs without
 * those of the tables that it changes; the coordinator fires them
 * (exec_triggers.c).
 *
 * Triggers with transition tables want to see all rows of the statement, which
 * no coordinator has.  A fragment of a single shard has them all: then all of the
 * statement's triggers fire on the shard's node, and otherwise the coordinator
 * refuses the statement.  Coordinator and node must agree on which case it is:
 * shoal_scope_is_transitional says so for both.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"

int
shoal_scope_events(CmdType command, bool updates_conflicts, List *actions)
{
	int			events = 0;
	ListCell   *lc;

	switch (command)
	{
		case CMD_INSERT:
			return SHOAL_EVENT_INSERT |
				(updates_conflicts ? SHOAL_EVENT_UPDATE : 0);
		case CMD_UPDATE:
			return SHOAL_EVENT_UPDATE;
		case CMD_DELETE:
			return SHOAL_EVENT_DELETE;
		case CMD_MERGE:
			foreach(lc, actions)
				events |= shoal_scope_events(((MergeAction *) lfirst(lc))->commandType,
											 false, NIL);
			return events;
		default:
			return 0;
	}
}

bool
shoal_scope_has_triggers(const TriggerDesc *triggers, int events)
{
	if (triggers == NULL)
		return false;
	return ((events & SHOAL_EVENT_INSERT) &&
			(triggers->trig_insert_before_statement ||
			 triggers->trig_insert_after_statement)) ||
		((events & SHOAL_EVENT_UPDATE) &&
		 (triggers->trig_update_before_statement ||
		  triggers->trig_update_after_statement)) ||
		((events & SHOAL_EVENT_DELETE) &&
		 (triggers->trig_delete_before_statement ||
		  triggers->trig_delete_after_statement));
}

bool
shoal_scope_is_transitional(const TriggerDesc *triggers, int events)
{
	if (triggers == NULL)
		return false;
	return ((events & SHOAL_EVENT_INSERT) && triggers->trig_insert_new_table) ||
		((events & SHOAL_EVENT_UPDATE) &&
		 (triggers->trig_update_old_table || triggers->trig_update_new_table)) ||
		((events & SHOAL_EVENT_DELETE) && triggers->trig_delete_old_table);
}

static void
mute(TriggerDesc *triggers)
{
	triggers->trig_insert_before_statement = false;
	triggers->trig_insert_after_statement = false;
	triggers->trig_update_before_statement = false;
	triggers->trig_update_after_statement = false;
	triggers->trig_delete_before_statement = false;
	triggers->trig_delete_after_statement = false;
}

bool
shoal_scope_is_movable(const Trigger *trigger)
{
	return TRIGGER_FOR_ROW(trigger->tgtype) && !trigger->tgisinternal &&
		!trigger->tgdeferrable;
}

void
shoal_scope_keep_triggers(TriggerDesc *triggers, bool movable)
{
	int			n = 0;

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (shoal_scope_is_movable(trigger) == movable ||
			(movable && !TRIGGER_FOR_ROW(trigger->tgtype)))
			triggers->triggers[n++] = *trigger;
	}
	triggers->numtriggers = n;
}

/* Leaves out what foreign keys do that refer to the table. */
static void
drop_actions(TriggerDesc *triggers)
{
	int			n = 0;

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		if (RI_FKey_trigger_type(triggers->triggers[i].tgfoid) != RI_TRIGGER_PK)
			triggers->triggers[n++] = triggers->triggers[i];
	}
	triggers->numtriggers = n;
}

static bool
has_movable(const TriggerDesc *triggers)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		if (shoal_scope_is_movable(&triggers->triggers[i]))
			return true;
	}
	return false;
}

static bool
has_actions(const TriggerDesc *triggers)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		if (RI_FKey_trigger_type(triggers->triggers[i].tgfoid) == RI_TRIGGER_PK)
			return true;
	}
	return false;
}

/*
 * The partition that a row of an INSERT goes to would be found later, and its
 * triggers with it; so it has taken the table's place (scope_substitute.c).
 */
static void
check_fired(QueryDesc *desc, Relation rel)
{
	if (desc->operation == CMD_INSERT &&
		rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		elog(ERROR, "row triggers of table \"%s\" cannot be left to the coordinator",
			 RelationGetRelationName(rel));
}

/* What the plan does to its target; a WITH query's is looked at as if it were it. */
static int
events_of_plan(QueryDesc *desc)
{
	ModifyTable *plan = (ModifyTable *) desc->plannedstmt->planTree;

	if (!IsA(plan, ModifyTable))
		return shoal_scope_events(desc->operation, false, NIL);
	return shoal_scope_events(desc->operation,
							  plan->onConflictAction == ONCONFLICT_UPDATE,
							  plan->mergeActionLists ?
							  linitial(plan->mergeActionLists) : NIL);
}

void
shoal_scope_mute_fragment(QueryDesc *desc)
{
	ShoalScope	scope;
	bool		whole;
	bool		any = false;
	ListCell   *lc;

	foreach(lc, desc->estate->es_opened_result_relations)
	{
		TriggerDesc *triggers = ((ResultRelInfo *) lfirst(lc))->ri_TrigDesc;

		any |= shoal_scope_has_triggers(triggers, SHOAL_EVENT_INSERT |
										SHOAL_EVENT_UPDATE | SHOAL_EVENT_DELETE) ||
			has_movable(triggers) || has_actions(triggers);
	}
	if (!any || !shoal_scope_parse(desc->sourceText, &scope))
		return;
	/* of a reference table: on the statement's own node */
	whole = scope.local ? shoal_origin == 0 :
		bms_membership(scope.shards) == BMS_SINGLETON;
	foreach(lc, desc->estate->es_opened_result_relations)
	{
		ResultRelInfo *relinfo = lfirst(lc);
		TriggerDesc *triggers = relinfo->ri_TrigDesc;	/* its own copy */

		if (triggers == NULL)
			continue;
		if (scope.fired)
		{
			check_fired(desc, relinfo->ri_RelationDesc);
			shoal_scope_keep_triggers(triggers, false);
			if (scope.acted)
				drop_actions(triggers);
		}
		if (shoal_meta_table(RelationGetRelid(relinfo->ri_RelationDesc)) &&
			(scope.fired ||
			 !(whole && shoal_scope_is_transitional(triggers, events_of_plan(desc)))))
			mute(triggers);
	}
}

TriggerDesc
shoal_scope_mute_relation(Relation rel)
{
	TriggerDesc saved = {0};

	if (rel->trigdesc)
	{
		saved = *rel->trigdesc;
		mute(rel->trigdesc);
	}
	return saved;
}

void
shoal_scope_unmute_relation(Relation rel, const TriggerDesc *saved)
{
	TriggerDesc *triggers = rel->trigdesc;

	if (triggers == NULL)
		return;
	triggers->trig_insert_before_statement = saved->trig_insert_before_statement;
	triggers->trig_insert_after_statement = saved->trig_insert_after_statement;
	triggers->trig_update_before_statement = saved->trig_update_before_statement;
	triggers->trig_update_after_statement = saved->trig_update_after_statement;
	triggers->trig_delete_before_statement = saved->trig_delete_before_statement;
	triggers->trig_delete_after_statement = saved->trig_delete_after_statement;
}
