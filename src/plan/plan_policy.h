/*
 * plan_policy.h
 *		Policies that ask for rows of other shards.
 */
#ifndef PLAN_POLICY_H
#define PLAN_POLICY_H

#include "nodes/parsenodes.h"

/*
 * If the query has policies that nodes can't test by themselves: makes it, in
 * place, one in which what they read is moved to the nodes before (moves are
 * registered with shoal_planning).  False, and the query is as it was, if there are
 * none, or if that can't be done.
 */
extern bool shoal_policy_spread(Query *query);

/* The same of an INSERT, in so far as policies are checked for new rows. */
extern bool shoal_policy_spread_checks(Query *query);

/*
 * For a fragment's query: a copy that tells the node, by WITH queries in front of
 * the others, where the rows are that its policies read; and how many there are.
 */
extern Query *shoal_policy_tell(Query *query, int *count);

/* Is there something in it that has been moved for policies? */
extern bool shoal_policy_reads_moved(Node *node);

/* On the node: takes these WITH queries off and lets the policies read them. */
extern void shoal_policy_apply(Query *query, int count);

#endif							/* PLAN_POLICY_H */
