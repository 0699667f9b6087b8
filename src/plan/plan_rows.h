/*
 * plan_rows.h
 *		UPDATE and DELETE whose rows are worked out here.
 */
#ifndef PLAN_ROWS_H
#define PLAN_ROWS_H

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

#include "meta/meta.h"
#include "plan/plan_fragment.h"

/*
 * Takes an UPDATE or DELETE of a Shoal table apart: *select finds and
 * locks its rows, and computes new values; the node described by *insert, on
 * top of its plan, writes each row where it is.  What the node returns are the
 * columns of *returned, which is a list for shoal_returning_put; NIL without
 * RETURNING.  False if that can't be done; then *why says why, if it is known.
 */
extern bool shoal_rows_split(Query *query, const ShoalTable *table,
							 Query **select, ShoalInsert *insert,
							 List **columns, List **returned, const char **why);

/*
 * What such statements are made of, for plan_fire.c, too.  Columns that are
 * selected are added as they are needed; the rows that are sent to nodes have their
 * names, c1 and so on.
 */
#define SHOAL_ROWS_TARGET	"shoal_target"	/* the table, in nodes' statements */
#define SHOAL_ROWS_ROWS		"shoal_new"	/* the rows */

typedef struct ShoalRows
{
	Query	   *query;
	Index		target;			/* its entry */
	const ShoalTable *table;
	Relation	rel;
	List	   *columns;		/* TargetEntry: what is selected */
	List	   *attnums;		/* parallel: of a key column its number, else 0 */
} ShoalRows;

/* Adds a column to what is selected; returns its number. */
extern int	shoal_rows_add(ShoalRows *rows, Expr *expr, int attnum);

/* The table's column, or system column, by its number. */
extern Expr *shoal_rows_column(ShoalRows *rows, AttrNumber attno);

/*
 * The condition that finds a row again in its shard, or a reference table; adds
 * columns.  NULL: there is none.
 */
extern char *shoal_rows_find(ShoalRows *rows);

/* The query that finds and locks the rows. */
extern Query *shoal_rows_select(ShoalRows *rows, LockClauseStrength strength);

/* Can values of these columns (TargetEntry) be sent to nodes? */
extern bool shoal_rows_are_sendable(List *columns);

#endif							/* PLAN_ROWS_H */
