/*
 * plan_size.h
 *		How many rows and bytes a query will have, before it is planned.
 */
#ifndef PLAN_SIZE_H
#define PLAN_SIZE_H

#include "nodes/params.h"
#include "nodes/parsenodes.h"

#include "meta/meta.h"

typedef struct ShoalSize
{
	double		rows;
	double		bytes;
} ShoalSize;

/*
 * Of the result of a SELECT that stands for itself, as far as a node's planner
 * knows: a round trip.  False, and a guess, if it reads no tables of ours,
 * tables whose shards lie apart, or tables that only this node has.  Conditions
 * count if they depend on nothing but params, which may be NULL.
 */
extern bool shoal_size_of_query(Query *query, ParamListInfo params,
								ShoalSize *size);

/* Bytes of a sharded table's shards on another node; likewise a round trip. */
extern double shoal_size_on_node(int node_id, Oid relid);

/* The rows that a sharded table has room for, if all nodes have as much of it. */
extern double shoal_size_most_rows(const ShoalTable *table);

/* Of columns (int list) of a table that only this node has, without conditions. */
extern ShoalSize shoal_size_of_local(Oid relid, List *attnos);

#endif							/* PLAN_SIZE_H */
