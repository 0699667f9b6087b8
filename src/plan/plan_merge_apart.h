/*
 * plan_merge_apart.h
 *		MERGE that is taken apart into one statement for each of its actions.
 */
#ifndef PLAN_MERGE_APART_H
#define PLAN_MERGE_APART_H

#include "nodes/params.h"
#include "nodes/plannodes.h"

#include "meta/meta.h"

/*
 * Plans a MERGE that nodes can't do shard by shard.  NULL if that can't be done
 * in this way either; then *why says why, if it is known.  The query is not
 * changed.
 */
extern PlannedStmt *shoal_merge_plan_apart(Query *query,
										   const ShoalTable *table,
										   const char *query_string,
										   int cursor_options,
										   ParamListInfo params,
										   const char **why);

#endif							/* PLAN_MERGE_APART_H */
