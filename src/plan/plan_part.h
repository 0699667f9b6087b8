/*
 * plan_part.h
 *		Parts of a query that come from nodes, while core plans the rest.
 *
 * A part stands in the query given to core's planner as a range-table entry of
 * kind RTE_NAMEDTUPLESTORE.  The parts of the statement being planned are kept
 * in a backend-local stack, one level per nested planner call.
 */
#ifndef PLAN_PART_H
#define PLAN_PART_H

#include "nodes/extensible.h"
#include "nodes/pathnodes.h"

#include "plan/plan_fragment.h"
#include "plan/plan_shape.h"

typedef struct ShoalPart
{
	Query	   *query;			/* what the nodes run */
	bool		fixed;			/* run exactly this, with this shape; else
								 * conditions may be added and columns left
								 * out, and the shape follows from the result */
	ShoalShape	shape;			/* if fixed */
	bool		partial;		/* aggregates come as transition states */
	Oid			run_as;			/* as in ShoalFragment */
	List	   *sort;			/* ShoalSortKey *, order of its rows */
	double		rows;
	bool		guessed;		/* rows may be told from statistics, if need be */
	const char *way;
	const char *reason;
} ShoalPart;

typedef struct ShoalPlanning
{
	struct ShoalPlanning *outer;
	ParamListInfo params;		/* known values of parameters, may be NULL */
	List	   *parts;			/* ShoalPart * */
	List	   *moves;			/* ShoalMove *, see plan_moved.h */
	List	   *steps;			/* expressions, see plan_step.h */
	List	   *removed;		/* RangeTblEntry *: tables that parts read; they
								 * go into the finished plan for locks, rights
								 * and invalidation */
	List	   *removed_perms;	/* parallel: RTEPermissionInfo * or NULL (16+) */
	bool		keep_apart;		/* parts have to stay subqueries, because rows are
								 * identified by whole-row references */
} ShoalPlanning;

/* The statement being planned; NULL if core plans on its own. */
extern ShoalPlanning *shoal_planning;

/*
 * A step within the planning of a statement: its shoal_planning, which knows the
 * moves of the one around it.  The caller ends it.
 */
extern void shoal_part_begin(ShoalPlanning *planning, ParamListInfo params);

/* Remembers the tables of a query that leaves the planner's sight. */
extern void shoal_part_note_tables(Query *query);

/* Does it call functions whose results might depend on who calls them? */
extern bool shoal_part_asks_for_user(Query *query);

/* Makes core plan a subquery apart from the query around it, if need be. */
extern void shoal_part_keep_apart(Query *query);

/*
 * A query "SELECT columns FROM part": what takes the place of the part's
 * query.  coltypes etc. are those of the rows that the nodes send.
 */
extern Query *shoal_part_wrap(ShoalPart *part);

/* The part that a range table entry stands for; NULL if it is none. */
extern ShoalPart *shoal_part_of_rte(RangeTblEntry *rte);

/*
 * After a query has been rewritten: sets the numbers of rows of its parts from
 * statistics (plan_statistics.c).  That takes as long as planning them, so it
 * is not done for a query whose rows come from one part only: core has nothing to
 * choose there.
 */
extern void shoal_part_sizes(Query *query);

/* Just the range table entry, for a query whose columns differ. */
extern RangeTblEntry *shoal_part_make_rte(ShoalPart *part, List *names,
										  List *types, List *typmods,
										  List *collations);

/*
 * A CustomScan for a finished fragment (NULL: the caller fills in the lists),
 * its columns being Vars of varno.
 */
extern CustomScan *shoal_part_make_scan(const ShoalFragment *frag, int varno,
										List *names, List *types,
										List *typmods, List *collations);

/* Puts the tables that parts read into a finished plan. */
extern void shoal_part_add_tables(PlannedStmt *stmt);

/* The same, and finishes merging aggregates. */
extern void shoal_part_finish(PlannedStmt *stmt);

/* Gives a relation a custom path, projecting, as its only one. */
extern void shoal_part_set_path(PlannerInfo *root, RelOptInfo *rel,
								const CustomPathMethods *methods,
								List *pathkeys, Cost startup_cost,
								Cost total_cost);

/* Columns of these types as Vars; Vars as a CustomScan's custom_scan_tlist. */
extern List *shoal_part_vars(Index varno, List *types, List *typmods,
							 List *collations);
extern List *shoal_part_scan_tlist(List *vars);

/* set_rel_pathlist_hook */
extern void shoal_part_pathlist(PlannerInfo *root, RelOptInfo *rel,
								RangeTblEntry *rte);

/* Names, types, ... of the columns of a query's result, junk left out. */
extern void shoal_part_columns(List *targetlist, List **names, List **types,
							   List **typmods, List **collations);

/* Can the query's result be received from a node? */
extern bool shoal_part_is_sendable(Query *query);

/* Marks the argument of a merging Aggref (a TargetEntry's resname). */
#define SHOAL_STATE_NAME	"shoal state"

#endif							/* PLAN_PART_H */
