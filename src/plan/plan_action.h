/*
 * plan_action.h
 *		Foreign keys' actions that the coordinator takes.
 */
#ifndef PLAN_ACTION_H
#define PLAN_ACTION_H

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

#include "meta/meta.h"

/* A foreign key that refers to a table, and what an UPDATE or DELETE there does. */
typedef struct ShoalAction
{
	Oid			constraint;
	Oid			child;			/* the table that refers */
	char		type;			/* FKCONSTR_ACTION_... */
	bool		deferrable;
	int			nkeys;
	AttrNumber	pk[INDEX_MAX_KEYS]; /* columns that are referred to */
	AttrNumber	fk[INDEX_MAX_KEYS]; /* and those that refer */
	Oid			equals[INDEX_MAX_KEYS]; /* operators: pk = fk */
	int			nset;			/* columns that SET NULL or DEFAULT sets */
	AttrNumber	set[INDEX_MAX_KEYS];
} ShoalAction;

/*
 * Those that are to be taken, a list of ShoalAction * in this memory context.  The
 * caller holds a lock on rel.
 */
extern List *shoal_action_list(Relation rel, CmdType command);

/*
 * Does the query something that nodes can't take the actions of by themselves: it
 * moves rows that others refer to, or changes a key to which the distribution
 * columns of others refer?
 */
extern bool shoal_action_is_needed(Query *query, const ShoalTable *table,
								   Relation rel);

#endif							/* PLAN_ACTION_H */
