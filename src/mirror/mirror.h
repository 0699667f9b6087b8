/*
 * mirror.h
 *		Writes of a shard's primary are repeated on its replicas.
 */
#ifndef SHOAL_MIRROR_H
#define SHOAL_MIRROR_H

#include "postgres_ext.h"

/* What shoal_mirror_fill has done. */
typedef struct ShoalFill
{
	uint64		blocks;			/* read by this call */
	uint64		rows;			/* sent by it */
	uint64		bytes;
	bool		more;			/* there are blocks left, */
	uint64		next;			/* from this one on */
	Oid			file;			/* the table's */
} ShoalFill;

/*
 * On the primary's node: sends rows of a table's shard, as they are now, to a
 * copy on another node that is being made: those of some blocks, locked
 * against deletion until the end of the transaction.  Begins again if the table's
 * file is another one than that in which "block" was to be the next.  A table
 * without a key is sent as a whole, and locked against writers.
 */
extern ShoalFill shoal_mirror_fill(Oid relid, int shard, int node_id,
								   uint64 block, uint64 nblocks, Oid file);

/* On the coordinator: sends what nodes have handed over to the replicas. */
extern void shoal_mirror_forward(void);

/*
 * Part of it, while more is to come: does not wait unless a replica is slow.
 * Only in the transaction's outermost level.
 */
extern void shoal_mirror_forward_some(void);

extern void shoal_mirror_init(void);

#endif							/* SHOAL_MIRROR_H */
