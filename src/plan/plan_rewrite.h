/*
 * plan_rewrite.h
 *		Putting parts into a query that can't be sent as a whole.
 */
#ifndef PLAN_REWRITE_H
#define PLAN_REWRITE_H

#include "nodes/parsenodes.h"

/* What a query has to do with Shoal. */
typedef struct ShoalTables
{
	bool		sharded;		/* reads or writes distributed or single-shard
								 * tables */
	bool		reference;		/* ... reference tables */
	bool		writes_reference;	/* also in WITH */
	bool		all_local;		/* all shards of all groups are on this node */
	bool		nextval;		/* has a call of nextval() or the like */
	bool		with;			/* has WITH */
	bool		tableoid;		/* reads a table's tableoid or ctid */
	bool		locks;			/* has FOR UPDATE or the like */
	bool		outer_join;		/* has outer joins */
	bool		functions;		/* has functions in FROM that core may inline */
	bool		samples;		/* has samples of a number of rows */
	bool		writes_in_with; /* a data-modifying WITH query on a Shoal table */
	Oid			of_node;		/* in a coordinator's session: a table that has
								 * other rows on each node; or InvalidOid */
} ShoalTables;

/* Looks through all levels of a query. */
extern void shoal_rewrite_find_tables(Query *query, ShoalTables *tables);

/*
 * Drops, in place, WITH queries that are never run because nobody reads them:
 * where they could run does not matter.
 */
extern void shoal_rewrite_drop_idle_ctes(Query *query);

/*
 * Replaces, in place and at all levels, everything that comes from distributed
 * tables by parts (plan_part.h), each as large as can be, so that core can
 * plan the query.  Error 0A000 where a data-modifying WITH query is in the way.
 */
extern void shoal_rewrite_query(Query *query);

#endif							/* PLAN_REWRITE_H */
