/*
 * watch_ask.h
 *		Asking all nodes the same question.
 */
#ifndef WATCH_ASK_H
#define WATCH_ASK_H

#include "nodes/execnodes.h"

#define SHOAL_MAX_ASKED	16

/* Gets one row of a node, its values as text or NULL. */
typedef void (*ShoalPutRow) (ReturnSetInfo *rsinfo, int node_id,
							 char *const *row);

/*
 * Runs a query (marked as local) of ncolumns columns on all nodes and hands on
 * the rows, this node's first.  A node that can't be reached gets a warning.
 * join: SHOAL_JOIN flags for the other nodes, or -1: outside the transaction.
 */
extern void shoal_watch_ask(ReturnSetInfo *rsinfo, const char *query,
							int ncolumns, int join, ShoalPutRow put);

/* For that: a row of the node's id and the values, read by their types. */
extern void shoal_watch_put_row(ReturnSetInfo *rsinfo, int node_id,
								char *const *row);

#endif							/* WATCH_ASK_H */
