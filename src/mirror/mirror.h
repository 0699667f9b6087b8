/*
 * mirror.h
 *		Writes of a shard's primary are repeated on its replicas.
 */
#ifndef SHOAL_MIRROR_H
#define SHOAL_MIRROR_H

extern void shoal_mirror_init(void);

#endif							/* SHOAL_MIRROR_H */
