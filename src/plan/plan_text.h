/*
 * plan_text.h
 *		From a query tree to a fragment: its text, parameters and pins.
 */
#ifndef PLAN_TEXT_H
#define PLAN_TEXT_H

#include "plan/plan_fragment.h"
#include "plan/plan_shape.h"

/*
 * Compiles a query that can run on each shard by itself (shape: of the query
 * as a whole, kind SHARDED or ANY) into a fragment.  The query is not changed.
 * Sets text, params, pins, command and what follows from the shape; sort,
 * partial, way and reason are left to the caller.
 */
extern ShoalFragment *shoal_text_compile(Query *query, const ShoalShape *shape);

/*
 * For an INSERT of one row: its key columns' values are the pins.  key_exprs
 * are found in the query's target list by attribute number.
 */
extern ShoalFragment *shoal_text_compile_insert(Query *query, Oid relid);

/*
 * The text of a query as it is, names qualified and literals unambiguous;
 * parameters already numbered.  Scribbles on the query.
 */
extern char *shoal_text_deparse(Query *query);

/* A reference to parameter n (from 1) of a text, with a cast if needed. */
extern Node *shoal_text_make_param(int n, Oid type, int32 typmod,
								   Oid collation);

/*
 * Replaces what has to be evaluated here by parameters, appending the
 * expressions to *params.  Returns a changed copy of the node.
 */
extern Node *shoal_text_externalize(Node *node, List **params,
									bool volatile_too);

/*
 * The role whose rights count for all tables that the text of a query will
 * name, if it is another than the current user; else InvalidOid.
 */
extern Oid	shoal_text_owner(Query *query);

/* Do the rights of several roles count for them? */
extern bool shoal_text_is_mixed(Query *query);

/* Is there no such role, and no other that counts for some of them? */
extern bool shoal_text_is_for_user(Query *query);

/* Is it a view whose owner's rights count?  Such are sent by their names. */
extern bool shoal_text_is_foreign_view(RangeTblEntry *rte);

/* Is the table partitioned by hash, as ours are, and not by its user? */
extern bool shoal_text_is_hashed(Oid relid);

#endif							/* PLAN_TEXT_H */
