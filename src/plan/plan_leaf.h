/*
 * plan_leaf.h
 *		What of a query can be moved: its tables and its subqueries.
 */
#ifndef PLAN_LEAF_H
#define PLAN_LEAF_H

#include "plan/plan_moved.h"
#include "plan/plan_size.h"

/* tables of one query; with more, trying takes too long */
#define SHOAL_MAX_LEAVES		16

/* subqueries that are looked at as a whole */
#define SHOAL_MAX_SUBQUERIES	8

/* A table, or a subquery that can be moved as a whole, somewhere in the query. */
typedef struct ShoalLeaf
{
	RangeTblEntry *rte;			/* a table's, else NULL */
	RangeTblEntry saved;		/* as it was */
	Node	  **place;			/* where a subquery hangs, else NULL */
	Query	   *subquery;		/* as it was */
	Query	   *level;			/* whose range table it is in; NULL for a
								 * subquery that is in none */
	int			varno;
	bool		movable;
	bool		is_target;		/* of a write */
	bool		is_local;		/* a table that only this node has */
	List	   *attnos;			/* int list: columns that are needed */
	List	   *quals;			/* conditions on it alone */
	List	   *above;			/* of a table: all conditions that its rows have
								 * to satisfy in order to count */
	Query	   *outer;			/* of a table: the query around level, or NULL */
	Node	   *reducer;		/* "column IN (SELECT ...)", which rows that count
								 * satisfy, or NULL; see plan_reduce.h */
	bool		in_set;			/* of a table: how often a row is there matters to
								 * nobody */
	bool		distinct;		/* so it is moved once; see plan_distinct.h */
	ShoalSize	size;			/* of the rows under them, once it is known */
	ShoalSize	moved;			/* of those that would be moved */
	bool		sized;

	/* as chosen: */
	bool		is_unit;		/* a subquery that is moved as a whole */
	bool		is_inside;		/* inside of such a subquery */
	int			key;			/* LEAF_STAYS, LEAF_EVERYWHERE, or the column
								 * that is the key */
	Oid			key_relid;		/* of which table */
} ShoalLeaf;

#define LEAF_STAYS		0
#define LEAF_EVERYWHERE	(-1)

typedef struct ShoalLeaves
{
	ShoalLeaf	tables[SHOAL_MAX_LEAVES];
	int			ntables;
	ShoalLeaf	subqueries[SHOAL_MAX_SUBQUERIES];	/* outermost first */
	int			nsubqueries;
	bool		writes;			/* not a SELECT: it has to run as a whole */
	bool		too_much;		/* more tables, or something unusual */
	bool		inside;			/* of the query itself: its levels follow */
	Query	   *current;		/* the level that is looked at */
	Query	   *outer;			/* the one around it */
	List	   *sets;			/* levels of whose rows it matters which there are */
} ShoalLeaves;

/*
 * Finds what a query has.  The leaves point into it, and it is changed in place
 * when they are moved.  Columns of EXISTS are dropped at once.
 */
extern void shoal_leaf_find(Query *query, ShoalLeaves *leaves);

/* "SELECT needed columns, the key first, WHERE conditions on it alone" */
extern Query *shoal_leaf_source(ShoalLeaf *leaf);

/* A column of the leaf, as a Var of range table entry 1. */
extern Var *shoal_leaf_column(ShoalLeaf *leaf, int attno);

/* Makes the query one in which the leaf is moved as it is chosen to be. */
extern ShoalMove *shoal_leaf_move(ShoalLeaf *leaf, bool writes);

/* Makes it what it was. */
extern void shoal_leaf_put_back(ShoalLeaf *leaf);

/* Is a leaf, at its old place, somewhere in a subquery? */
extern bool shoal_leaf_is_in(const ShoalLeaf *leaf, const ShoalLeaf *subquery);

#endif							/* PLAN_LEAF_H */
