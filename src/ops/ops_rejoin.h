/*
 * ops_rejoin.h
 *		Taking back nodes that were given up.
 */
#ifndef OPS_REJOIN_H
#define OPS_REJOIN_H

#include "nodes/pg_list.h"

/* Takes back those that answer; in transactions of its own, with errors. */
extern void ops_rejoin_nodes(void);

/* ---- ops_failover.c ---- */

/*
 * Settles what coordinators that are lost have prepared on nodes, or what others
 * have prepared on one (int lists of node ids).
 */
extern void ops_settle_lost(List *survivors, List *lost);
extern void ops_settle_others(List *nodes, List *coordinators);

#endif							/* OPS_REJOIN_H */
