/*
 * ops_rejoin.h
 *		Taking back nodes that were given up.
 */
#ifndef OPS_REJOIN_H
#define OPS_REJOIN_H

/* Takes back those that answer; in transactions of its own, with errors. */
extern void ops_rejoin_nodes(void);

#endif							/* OPS_REJOIN_H */
