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
	uint64		blocks;			/* that the primary has now */
	uint64		rows;			/* sent by this call */
	uint64		bytes;
	bool		whole;			/* all has been sent at once */
} ShoalFill;

/*
 * On the primary's node: sends rows of a table's shard, as they are now, to a
 * copy on another node that is being made: those of some blocks, locked
 * against deletion until the end of the transaction.  A table without a key is
 * sent as a whole, and locked against writers.
 */
extern ShoalFill shoal_mirror_fill(Oid relid, int shard, int node_id,
								   uint64 block, uint64 nblocks);

/* On the coordinator: sends what nodes have handed over to the replicas. */
extern void shoal_mirror_forward(void);

/*
 * Part of it, while more is to come: does not wait unless a replica is slow.
 * Only in the transaction's outermost level.
 */
extern void shoal_mirror_forward_some(void);

extern void shoal_mirror_init(void);

#endif							/* SHOAL_MIRROR_H */
