/*
 * plan_write.h
 *		INSERT, UPDATE, DELETE and MERGE on Shoal tables.
 */
#ifndef PLAN_WRITE_H
#define PLAN_WRITE_H

#include "nodes/params.h"
#include "nodes/plannodes.h"

#include "meta/meta.h"

/*
 * Plans a write whose target is a Shoal table.  NULL if core shall plan it as
 * it is (everything is on this node).  Error 0A000 if it can't be done.
 */
extern PlannedStmt *shoal_write_plan(Query *query, const char *query_string,
									 int cursor_options, ParamListInfo params);

/*
 * Is it an INSERT that returns xmin, xmax and the like?  Core does not know them of
 * rows that go to partitions, so each shard's has to take the table's place.
 */
extern bool shoal_write_returns_version(Query *query, const ShoalTable *table);

/* Is it a write to one shard, which is sent there as it is? */
extern bool shoal_write_is_single(Query *query);

/*
 * The text of an INSERT of whole rows, cut where they come: sets the head, tail and
 * tail_params of *insert.  Changes the query.
 */
struct ShoalInsert;
extern void shoal_write_cut_insert(Query *query, struct ShoalInsert *insert);

/* The query for the rows of an INSERT, a copy. */
extern Query *shoal_write_rows_of_insert(Query *query);

/* Planner for the SELECT part of an INSERT (set by plan_hook.c). */
typedef PlannedStmt *(*ShoalSelectPlanner) (Query *query,
											const char *query_string,
											int cursor_options,
											ParamListInfo params);
extern ShoalSelectPlanner shoal_write_select_planner;

#endif							/* PLAN_WRITE_H */
