/*
 * mirror_private.h
 *		What the files of this folder share.
 *
 * Changes travel in segments.  A segment is about one shard:
 *
 *		int32 group, shard, number of replicas, their node ids; int32 length of
 *		the rest; the table: schema and name (zero-terminated), int32 number of
 *		columns, their names (zero-terminated) and formats (a byte, 0 text, 1
 *		binary), int32 number of key columns, their positions; then changes:
 *		'I' row, 'U' key row, 'D' key
 *
 * A key or row is its values, each an int32 length (-1: null) and bytes.
 * Without key columns (no primary key) the whole row is the key.  Integers are
 * in network order.
 */
#ifndef MIRROR_PRIVATE_H
#define MIRROR_PRIVATE_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

/* ---- mirror_trigger.c ---- */

/* Hands on what has been collected, if no statement is in the middle of it. */
extern void mirror_flush(void);
extern void mirror_trigger_start_sub(int level);
extern void mirror_trigger_end_sub(int level, bool commit);
extern void mirror_trigger_reset(void);

/* What identifies a row: key columns' numbers; none: the whole row. */
extern int	mirror_identity(Relation rel, Oid *index, AttrNumber *attnums);

/* A statement that writes begins, with its command id, or ends; nested ones count. */
extern void mirror_enter_write(CommandId cid);
extern void mirror_leave_write(void);

/* ---- mirror_apply.c ---- */

/* Makes changes, segments as above, in the replicas of this node. */
extern void mirror_apply(char *data, int len);

/* ---- mirror_forward.c: the coordinator's side ---- */

/* Takes segments that this backend has collected itself. */
extern void mirror_take_segments(const char *data, int len);

/* Encodes segments as text that has no zero bytes; palloc'd, len excludes the end. */
extern char *mirror_encode(const char *data, int len, int *encoded_len);

/* Sends to the replicas what has come. */
extern void mirror_forward(void);

#endif							/* MIRROR_PRIVATE_H */
