/*
 * ops.h
 *		Nodes of the cluster: adding, altering, removing.
 */
#ifndef OPS_H
#define OPS_H

/* nothing to install: SQL functions only */

#endif							/* OPS_H */
