/*
 * plan_action.c
 *		Foreign keys' actions that the coordinator takes.
 *
 * What an UPDATE or DELETE means for rows that refer to a row is seen to where
 * the row is: those of its own shard are there as well.  This does not do if rows
 * move.  To a node a row that moves is deleted, and one that refers to it and
 * whose distribution column is changed along belongs elsewhere.  Then all
 * foreign keys that refer to the table are left out on the nodes, and the coordinator
 * does what they say when the rows have been written (exec_action.c).  So it is if
 * rows would have to move that refer to rows which an action changes or deletes.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "plan/plan_action.h"
#include "plan/plan_move.h"

/* Is the trigger one that takes an action when the command changes a row? */
static bool
takes_action(const Trigger *trigger, CmdType command)
{
	char		off = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ?
		TRIGGER_FIRES_ON_ORIGIN : TRIGGER_FIRES_ON_REPLICA;

	return RI_FKey_trigger_type(trigger->tgfoid) == RI_TRIGGER_PK &&
		trigger->tgenabled != TRIGGER_DISABLED && trigger->tgenabled != off &&
		(command == CMD_UPDATE ? TRIGGER_FOR_UPDATE(trigger->tgtype) :
		 command == CMD_DELETE && TRIGGER_FOR_DELETE(trigger->tgtype));
}

static ShoalAction *
load_action(Oid constraint, CmdType command)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	ShoalAction *action = palloc0(sizeof(ShoalAction));
	Form_pg_constraint form;
	Oid			pk_equals[INDEX_MAX_KEYS];
	Oid			fk_equals[INDEX_MAX_KEYS];

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	form = (Form_pg_constraint) GETSTRUCT(tuple);
	action->constraint = constraint;
	action->child = form->conrelid;
	action->type = command == CMD_UPDATE ? form->confupdtype : form->confdeltype;
	action->deferrable = form->condeferrable;
	DeconstructFkConstraintRow(tuple, &action->nkeys, action->fk, action->pk,
							   action->equals, pk_equals, fk_equals,
							   &action->nset, action->set);
	if (action->nset == 0 || command == CMD_UPDATE)
	{
		action->nset = action->nkeys;
		memcpy(action->set, action->fk, sizeof(action->fk));
	}
	ReleaseSysCache(tuple);
	return action;
}

List *
shoal_action_list(Relation rel, CmdType command)
{
	TriggerDesc *triggers = rel->trigdesc;
	List	   *result = NIL;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		if (takes_action(&triggers->triggers[i], command))
			result = lappend(result, load_action(triggers->triggers[i].tgconstraint,
												 command));
	}
	return result;
}

/* Does it set a distribution column of the table that refers? */
static bool
moves_children(const ShoalAction *action, const ShoalTable *child)
{
	if (action->type != FKCONSTR_ACTION_SETNULL &&
		action->type != FKCONSTR_ACTION_SETDEFAULT &&
		action->type != FKCONSTR_ACTION_CASCADE)
		return false;
	for (int i = 0; i < child->nkeys; i++)
	{
		for (int j = 0; j < action->nset; j++)
		{
			if (action->set[j] == child->keyattr[i])
				return true;
		}
	}
	return false;
}

static bool
is_referred_to(const ShoalAction *action, const Bitmapset *set)
{
	for (int i = 0; i < action->nkeys; i++)
	{
		if (bms_is_member(action->pk[i], set))
			return true;
	}
	return false;
}

static Bitmapset *
columns_set_by(const Query *query)
{
	Bitmapset  *set = NULL;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (!tle->resjunk)
			set = bms_add_member(set, tle->resno);
	}
	return set;
}

static bool moves_any(Relation rel, CmdType command, const Bitmapset *set, List *path);

/* Does what an action does to the rows that refer have an action in turn that moves rows? */
static bool
moves_grandchildren(const ShoalAction *action, CmdType command, List *path)
{
	Bitmapset  *set = NULL;
	CmdType		next = CMD_UPDATE;
	Relation	rel;
	bool		result;

	if (action->type == FKCONSTR_ACTION_CASCADE && command == CMD_DELETE)
		next = CMD_DELETE;
	else if (action->type != FKCONSTR_ACTION_CASCADE &&
			 action->type != FKCONSTR_ACTION_SETNULL &&
			 action->type != FKCONSTR_ACTION_SETDEFAULT)
		return false;
	/*
	 * Once around a circle.  Where the coordinator can take no actions it is better
	 * left to nodes, most of whose rows will have nobody that far away.
	 */
	if (list_member_oid(path, action->constraint) || IsolationUsesXactSnapshot())
		return false;
	for (int i = 0; i < action->nset; i++)
		set = bms_add_member(set, action->set[i]);
	rel = table_open(action->child, AccessShareLock);
	result = moves_any(rel, next, set, lappend_oid(list_copy(path), action->constraint));
	table_close(rel, NoLock);
	return result;
}

/*
 * Do actions move rows that refer, directly or not, to those that the command
 * deletes, or in which it sets the columns?
 */
static bool
moves_any(Relation rel, CmdType command, const Bitmapset *set, List *path)
{
	bool		result = false;
	ListCell   *lc;

	foreach(lc, shoal_action_list(rel, command))
	{
		const ShoalAction *action = (const ShoalAction *) lfirst(lc);
		const ShoalTable *child = shoal_meta_table(action->child);

		/* each node has rows of its own in a local table */
		if (child == NULL)
			return false;
		if (command == CMD_UPDATE && !is_referred_to(action, set))
			continue;
		if ((moves_children(action, child) &&
			 (command == CMD_UPDATE || action->type != FKCONSTR_ACTION_CASCADE)) ||
			moves_grandchildren(action, command, path))
			result = true;
	}
	return result;
}

bool
shoal_action_is_needed(Query *query, const ShoalTable *table, Relation rel)
{
	CmdType		command = query->commandType;
	List	   *actions;
	ListCell   *lc;

	if ((command != CMD_UPDATE && command != CMD_DELETE) || rel->trigdesc == NULL)
		return false;
	actions = shoal_action_list(rel, command);
	foreach(lc, actions)
	{
		if (shoal_meta_table(((ShoalAction *) lfirst(lc))->child) == NULL)
			return false;
	}
	if (actions != NIL && command == CMD_UPDATE &&
		shoal_move_is_needed(query, query->targetList, table))
		return true;
	return actions != NIL &&
		moves_any(rel, command, command == CMD_UPDATE ? columns_set_by(query) : NULL, NIL);
}
