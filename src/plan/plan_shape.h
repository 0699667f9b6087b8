/*
 * plan_shape.h
 *		How a query's rows are spread over shards.
 */
#ifndef PLAN_SHAPE_H
#define PLAN_SHAPE_H

#include "nodes/parsenodes.h"

typedef enum ShoalShapeKind
{
	SHOAL_SHAPE_ANY,			/* same result wherever it runs: reference
								 * tables, functions, constants */
	SHOAL_SHAPE_SHARDED,		/* run on every shard, the results together
								 * are the result */
	SHOAL_SHAPE_NONE			/* neither */
} ShoalShapeKind;

/* One column of a key, as a column of the query's range table. */
typedef struct ShoalKeyColumn
{
	int			varno;
	AttrNumber	attno;
} ShoalKeyColumn;

/*
 * Columns that decide the shard of a row: a row of the result that is found in
 * some shard has there the values of a key of that shard.
 */
typedef struct ShoalKey
{
	bool		nullable;		/* may be NULL-extended by an outer join */
	ShoalKeyColumn *columns;	/* one per key column of the group */
} ShoalKey;

typedef struct ShoalShape
{
	ShoalShapeKind kind;

	/* for SHARDED: */
	int			group_id;
	Oid			relid;			/* one of the tables, to hash by */
	int			nkeycols;		/* 0 for single-shard tables */
	List	   *keys;			/* ShoalKey * */
	List	   *pin;			/* Exprs, one per key column, that the key equals
								 * in all rows; NIL if not known.  If
								 * pin_is_array, one array that has the key */
	bool		pin_is_array;
	bool		single;			/* all rows are in one shard */
	bool		single_only;	/* another shard would have wrong rows, e.g. a
								 * count of 0 (implies single) */

	/* for NONE: */
	const char *reason;			/* why, for EXPLAIN and hints */
} ShoalShape;

typedef struct ShoalAnalysis
{
	ShoalShape	whole;			/* the query; its keys are output columns
								 * (varno 0, attno the resno) */
	ShoalShape	from;			/* just its FROM and WHERE; its keys are range
								 * table columns */
} ShoalAnalysis;

/* A shape of kind NONE; reason lives on. */
extern ShoalShape shoal_shape_none(const char *reason);

/*
 * Analyses a query that stands for itself.  One that refers to an outer query
 * is NONE in both parts.  Reads metadata and catalogs, changes nothing.
 */
extern void shoal_shape_analyze(Query *query, ShoalAnalysis *result);

/*
 * Can subqueries in these expressions of a write be answered in the shard of
 * the row that is written?  (ON CONFLICT, RETURNING, checks of policies.)  Sets
 * *reason if not.
 */
extern bool shoal_shape_fits_row(Query *query, Node *exprs,
								 const char **reason);

#endif							/* PLAN_SHAPE_H */
