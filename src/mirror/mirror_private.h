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
 *		'I' row, 'U' key row, 'D' key; in a copy that is being made: 'X' (empty
 *		the table, only as the first), 'F' row (if it is not there); in one that
 *		is being repaired, with key columns: 'R' row (instead of any that has its
 *		key), 'E' key, int32 transaction id (delete it if that one has made it and
 *		nobody has it locked)
 *
 * A key or row is its values, each an int32 length (-1: null) and bytes.
 * Without key columns (no primary key) the whole row is the key.  Integers are
 * in network order.
 */
#ifndef MIRROR_PRIVATE_H
#define MIRROR_PRIVATE_H

#include "lib/stringinfo.h"
#include "nodes/lockoptions.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "exec/exec_wire.h"

/* ---- mirror_rel.c ---- */

/* A partition, or single-shard table, whose changes are collected. */
typedef struct MirrorRel
{
	Oid			relid;			/* hash key */
	int			group_id;
	int			shard;
	int			ncols;			/* without dropped and generated columns */
	AttrNumber *attnums;
	ShoalEncoder *encoder;
	int			nkeys;			/* 0: the whole row */
	AttrNumber *keyattnums;
	ShoalEncoder *key_encoder;
	StringInfoData head;		/* the segment from the table's name on */
	bool		quiet;			/* no trigger of it may write anything */
	bool		late;			/* it has triggers that may fire in COMMIT */
	int			pending;		/* entries that are about it */
} MirrorRel;

/*
 * The entry of a table, NULL if it belongs to no shard.  It is valid until the
 * next call with anew, which is for those who keep none.
 */
extern MirrorRel *mirror_rel_find(Relation rel, bool anew);

/* What identifies a row: key columns' numbers; none: the whole row. */
extern int	mirror_identity(Relation rel, Oid *index, AttrNumber *attnums);

/* Values of a row, as above; valid until the next call. */
extern StringInfo mirror_encode_row(ShoalEncoder *encoder, int n,
									const AttrNumber *attnums,
									TupleTableSlot *slot);

extern void mirror_put_int(StringInfo buf, int32 value);

/* ---- mirror_trigger.c ---- */

/*
 * A segment that is about nothing but this: triggers may fire in COMMIT that write
 * to tables with replicas.
 */
#define MIRROR_LATE "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define MIRROR_LATE_SIZE 16

/* Hands segments to the coordinator, or to mirror_take_segments. */
extern void mirror_hand_on(const char *data, int len);

/* Hands on what has been collected, if no statement is in the middle of it. */
extern void mirror_flush(void);

/* Nesting level of the client's statement, or of the coordinator's, that is under way. */
extern int	mirror_client_level;

/* Whether anything has been collected that has not been handed on. */
extern bool mirror_has_entries(void);
extern void mirror_trigger_end_sub(int level, bool commit);
extern void mirror_trigger_reset(void);

/* Whether the transaction has written, here, to a table with replicas. */
extern bool mirror_wrote;

/*
 * A COPY begins whose rows the coordinator sends to all copies; at its end it has to
 * be seen that it knows where they are.  A subtransaction or transaction that fails has
 * it forgotten, as is the first with level 0.
 */
extern void mirror_begin_copies(void);
extern void mirror_end_copies(Oid relid);
extern void mirror_forget_copies(int level);

/* A statement that writes is about to be run, with its command id. */
extern void mirror_trigger_begin(CommandId cid);

/* ---- mirror_fill.c ---- */

/* Segments about one table, for a copy that is being made or repaired. */
typedef struct MirrorSender
{
	MirrorRel  *target;
	int			node_id;
	StringInfoData buf;
	int			len_at;			/* where the segment's length belongs; -1: none
								 * has been begun */
	uint64		rows;			/* the caller's */
	uint64		bytes;
} MirrorSender;

/*
 * The primary's partition, or single-shard table, locked like by SELECT FOR
 * SHARE.  Error 40001 if it is not on this node.
 */
extern Relation mirror_open_primary(Oid relid, int shard);

extern void mirror_send_init(MirrorSender *sender, Relation rel, int node_id);
extern void mirror_send(MirrorSender *sender, char op, StringInfo values);
extern void mirror_send_end(MirrorSender *sender);

/* ---- mirror_repair.c ---- */

typedef enum MirrorLock
{
	MIRROR_ROW_LOCKED,
	MIRROR_ROW_GONE,			/* there is none */
	MIRROR_ROW_BUSY				/* locked by somebody else */
} MirrorLock;

/*
 * Locks the row that has the key, by a btree index, as it is now, and puts it
 * into a slot of the table's kind.
 */
extern MirrorLock mirror_lock_by_key(Relation rel, Oid index,
									 TupleTableSlot *key, LockTupleMode mode,
									 LockWaitPolicy policy,
									 TupleTableSlot *row);

/* ---- mirror_apply.c ---- */

/* Makes changes, segments as above, in the replicas of this node. */
extern void mirror_apply(char *data, int len);

/* ---- mirror_forward.c: the coordinator's side ---- */

/* Takes segments that this backend has collected itself. */
extern void mirror_take_segments(const char *data, int len);

/* Encodes segments as text that has no zero bytes; palloc'd, len excludes the end. */
extern char *mirror_encode(const char *data, int len, int *encoded_len);

/* ---- mirror_guard.c ---- */

/* Whether this node's copies of shards have their triggers. */
extern bool mirror_is_guarded(void);

/* The error for a write to shards if not: 57P03. */
extern void mirror_refuse(void) __attribute__((noreturn));

extern void mirror_guard_init(void);

#endif							/* MIRROR_PRIVATE_H */
