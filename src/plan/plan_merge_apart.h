/*
 * plan_merge_apart.h
 *		MERGE that is taken apart into one statement for each of its actions.
 */
#ifndef PLAN_MERGE_APART_H
#define PLAN_MERGE_APART_H

#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "meta/meta.h"

/* An INSERT with ON CONFLICT DO UPDATE that a MERGE stands for. */
typedef struct ShoalUpsert
{
	OnConflictExpr *inference;	/* what conflicts; does nothing then */
	List	   *keys;			/* what is proposed for these columns, in terms of
								 * the MERGE's source */
} ShoalUpsert;

/*
 * Plans a MERGE that nodes can't do shard by shard.  It may stand for an INSERT
 * (upsert, else NULL), then it may have a RETURNING list of the target's columns.  NULL if that can't be done in this
 * way either; then *why says why, if it is known.  The query is not changed.
 */
extern PlannedStmt *shoal_merge_plan_apart(Query *query,
										   const ShoalTable *table,
										   const ShoalUpsert *upsert,
										   const char *query_string,
										   int cursor_options,
										   ParamListInfo params,
										   const char **why);

#endif							/* PLAN_MERGE_APART_H */
