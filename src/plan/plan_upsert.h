/*
 * plan_upsert.h
 *		ON CONFLICT DO UPDATE that nodes can't do with each row by itself.
 */
#ifndef PLAN_UPSERT_H
#define PLAN_UPSERT_H

#include "nodes/parsenodes.h"

#include "meta/meta.h"
#include "plan/plan_merge_apart.h"

/* Does ON CONFLICT DO UPDATE need more than a row's own shard? */
extern bool shoal_upsert_is_needed(Query *query, const ShoalTable *table);

/*
 * The INSERT as a MERGE, with what else is to be known of it in *upsert; rows is
 * the query for its rows, which becomes a part of the result.  NULL if that can't
 * be done; then *why says why.
 */
extern Query *shoal_upsert_merge(Query *query, Query *rows,
								 const ShoalTable *table, ShoalUpsert *upsert,
								 const char **why);

#endif							/* PLAN_UPSERT_H */
