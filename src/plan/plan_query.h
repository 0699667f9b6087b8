/*
 * plan_query.h
 *		Queries that are made up.
 */
#ifndef PLAN_QUERY_H
#define PLAN_QUERY_H

#include "nodes/parsenodes.h"

/* "SELECT ... FROM entry", which has the number 1; the columns are to be added. */
extern Query *shoal_query_from(RangeTblEntry *rte);

/* "(query) alias" in FROM, with the names of the query's columns. */
extern RangeTblEntry *shoal_query_entry(Query *query, char *alias);

/*
 * Puts a query in the place of a table, whose rights and sample are the query's to see to,
 * in an entry that keeps its names; conditions of policies stay there.
 */
extern void shoal_query_put(RangeTblEntry *rte, Query *query);

#endif							/* PLAN_QUERY_H */
