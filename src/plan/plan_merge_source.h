/*
 * plan_merge_source.h
 *		The source of a MERGE, made one that tells whether there is a row of it.
 */
#ifndef PLAN_MERGE_SOURCE_H
#define PLAN_MERGE_SOURCE_H

#include "nodes/parsenodes.h"

/*
 * A copy of the MERGE whose source is a subquery: *source is its entry, and
 * *present its column that is true in each row.
 */
extern Query *shoal_merge_wrap_source(Query *query, Index *source,
									  AttrNumber *present);

/* Does the expression have columns of the source? */
extern bool shoal_merge_reads_source(Node *node, Index target);

#endif							/* PLAN_MERGE_SOURCE_H */
