/*
 * plan_ctid.h
 *		The system column ctid of distributed tables.
 */
#ifndef PLAN_CTID_H
#define PLAN_CTID_H

#include "nodes/parsenodes.h"

#include "meta/meta.h"

/*
 * A number for what users see as ctid, where columns are told by numbers: as if it was a
 * system column of its own.
 */
#define SHOAL_CTID_ATTNO	FirstLowInvalidHeapAttributeNumber

/* What users see instead of the ctid of a table's rows: itself if that is unique. */
extern Expr *shoal_ctid_column(Var *ctid, const ShoalTable *table);

/* Is it that?  The Var of the ctid in it, or NULL. */
extern Var *shoal_ctid_of_column(Node *node);

/*
 * In a query that is about to go to nodes: where it is compared with values that are known
 * there, rows are looked for by their place.  one_shard: all its tables' rows are in one.
 */
extern Query *shoal_ctid_narrow(Query *query, bool one_shard);

#endif							/* PLAN_CTID_H */
