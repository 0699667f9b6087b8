/*
 * exec_rowtriggers.c
 *		Row triggers of a Shoal table, fired in this session.
 *
 * Core does it, as if the table were a foreign one: of those it keeps the rows
 * that AFTER triggers and transition tables are to have in tuplestores, as it
 * could not read them again.  So it is given a copy of the relation that says
 * so, with a copy of its triggers without those that fire on nodes
 * (scope_triggers.c).  Core finds it among the relations of the statement when
 * it fires what it has queued, at the statement's end.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"
#include "plan/plan_quiet.h"
#include "scope/scope.h"

struct ShoalRowTriggers
{
	EState	   *estate;
	CmdType		command;
	ResultRelInfo *relinfo;
	TransitionCaptureState *capture;
};

/* What core takes for a foreign table.  Nothing of it is kept elsewhere. */
static Relation
make_foreign(Relation rel)
{
	Relation	copy = palloc(sizeof(RelationData));

	*copy = *rel;
	copy->rd_rel = palloc(CLASS_TUPLE_SIZE);
	memcpy(copy->rd_rel, rel->rd_rel, CLASS_TUPLE_SIZE);
	copy->rd_rel->relkind = RELKIND_FOREIGN_TABLE;
	/* it would look its columns up and remember them here */
	copy->rd_rel->relhasindex = false;
	copy->rd_tableam = NULL;
	return copy;
}

ShoalRowTriggers *
shoal_rowtriggers_begin(EState *estate, Relation rel, CmdType command)
{
	EState	   *whole = shoal_with_whole(estate);
	MemoryContext old = MemoryContextSwitchTo(whole->es_query_cxt);
	ShoalRowTriggers *triggers = palloc0(sizeof(ShoalRowTriggers));
	ResultRelInfo *relinfo = makeNode(ResultRelInfo);

	triggers->estate = estate;
	triggers->command = command;
	triggers->relinfo = relinfo;
	InitResultRelInfo(relinfo, rel,
					  shoal_triggers_target(estate, RelationGetRelid(rel)), NULL,
					  estate->es_instrument);
	relinfo->ri_RelationDesc = make_foreign(rel);
	if (relinfo->ri_TrigDesc)
		shoal_scope_keep_triggers(relinfo->ri_TrigDesc, true);
	whole->es_opened_result_relations =
		lappend(whole->es_opened_result_relations, relinfo);
	triggers->capture = MakeTransitionCaptureState(relinfo->ri_TrigDesc,
												   RelationGetRelid(rel), command);
	MemoryContextSwitchTo(old);
	return triggers;
}

static bool
is_for(const Trigger *trigger, CmdType command)
{
	return TRIGGER_FOR_ROW(trigger->tgtype) &&
		(command == CMD_INSERT ? TRIGGER_FOR_INSERT(trigger->tgtype) :
		 command == CMD_UPDATE ? TRIGGER_FOR_UPDATE(trigger->tgtype) :
		 TRIGGER_FOR_DELETE(trigger->tgtype));
}

/* Conditions of domains are tested when a column is set. */
static bool
has_domains(Relation rel)
{
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped && get_typtype(att->atttypid) == TYPTYPE_DOMAIN)
			return true;
	}
	return false;
}

bool
shoal_rowtriggers_look(const ShoalRowTriggers *triggers)
{
	TriggerDesc *desc = triggers->relinfo->ri_TrigDesc;

	for (int i = 0; desc && i < desc->numtriggers; i++)
	{
		Trigger    *trigger = &desc->triggers[i];

		if (is_for(trigger, triggers->command) &&
			TRIGGER_FOR_BEFORE(trigger->tgtype) &&
			(!shoal_quiet_is_trigger(trigger) ||
			 has_domains(triggers->relinfo->ri_RelationDesc)))
			return true;
	}
	return false;
}

bool
shoal_rowtriggers_follow(const ShoalRowTriggers *triggers)
{
	TriggerDesc *desc = triggers->relinfo->ri_TrigDesc;

	for (int i = 0; desc && i < desc->numtriggers; i++)
	{
		if (is_for(&desc->triggers[i], triggers->command) &&
			TRIGGER_FOR_AFTER(desc->triggers[i].tgtype))
			return true;
	}
	return triggers->capture != NULL;
}

/* What core remembers of functions lives as long as the statement. */
bool
shoal_rowtriggers_before(ShoalRowTriggers *triggers, HeapTuple old,
						 TupleTableSlot *slot)
{
	EState	   *estate = triggers->estate;
	ResultRelInfo *relinfo = triggers->relinfo;
	TriggerDesc *desc = relinfo->ri_TrigDesc;
	MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);
	bool		result = true;

	if (triggers->command == CMD_INSERT && desc && desc->trig_insert_before_row)
		result = ExecBRInsertTriggers(estate, relinfo, slot);
	else if (triggers->command == CMD_UPDATE && desc && desc->trig_update_before_row)
		result = shoal_fire_before_update(estate, relinfo, old, slot);
	else if (triggers->command == CMD_DELETE && desc && desc->trig_delete_before_row)
		result = shoal_fire_before_delete(estate, relinfo, old);
	MemoryContextSwitchTo(caller);
	return result;
}

void
shoal_rowtriggers_after(ShoalRowTriggers *triggers, HeapTuple old,
						TupleTableSlot *slot)
{
	EState	   *estate = triggers->estate;
	ResultRelInfo *relinfo = triggers->relinfo;
	MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);

	if (triggers->command == CMD_INSERT)
		ExecARInsertTriggers(estate, relinfo, slot, NIL, triggers->capture);
	else if (triggers->command == CMD_UPDATE)
		ExecARUpdateTriggers(estate, relinfo, NULL, NULL, NULL, old, slot, NIL,
							 triggers->capture, false);
	else
		ExecARDeleteTriggers(estate, relinfo, NULL, old, triggers->capture, false);
	MemoryContextSwitchTo(caller);
}

TransitionCaptureState *
shoal_rowtriggers_capture(const ShoalRowTriggers *triggers)
{
	return triggers->capture;
}
