/*
 * mirror_verify.h
 *		What those who ask whether copies are equal, and mirror_checksum.c,
 *		which answers on each node, share.
 */
#ifndef MIRROR_VERIFY_H
#define MIRROR_VERIFY_H

#include "nodes/pg_list.h"

/* how a coordinator calls what is in mirror_checksum.c */
#define MIRROR_VERIFY_MARKER	"/*shoal local held*/ "
#define MIRROR_VERIFY_CALL		"SELECT * FROM shoal.internal_verify_"

/* ---- mirror_ask.c ---- */

/* the most columns of an answer */
#define MIRROR_MAX_COLUMNS	6

/* what a node answers, row by row */
typedef struct MirrorAnswer MirrorAnswer;

/*
 * Makes one moment's snapshots those of all questions, and the active one.
 * Returns the moment, 0 if none is needed.
 */
extern uint64 mirror_take_snapshots(void);
extern void mirror_drop_snapshots(uint64 moment);

/*
 * Asks a node; the question is what follows MIRROR_VERIFY_CALL.  Inside
 * SPI_connect.
 */
extern MirrorAnswer *mirror_ask(uint64 moment, int node_id, int ncolumns,
								const char *question);

extern int	mirror_answer_node(const MirrorAnswer *answer);

/* The next row; false at the end. */
extern bool mirror_next_row(MirrorAnswer *answer);

/* A value of the row, until the next one is read.  NULL: null. */
extern const char *mirror_value(const MirrorAnswer *answer, int column);
extern int64 mirror_int_value(const MirrorAnswer *answer, int column);

/*
 * Some of the buckets in which the copies differ, enough to have that many
 * rows in them that do; as an array's text.  Both answers are read to their
 * ends.  Sets rows[0] and rows[1]: how many there are in all.
 */
extern char *mirror_differing_buckets(MirrorAnswer *primary,
									  MirrorAnswer *other, int enough,
									  int64 *rows);

/* Order of two rows by key_hash and key. */
extern int	mirror_compare_keys(const MirrorAnswer *a, const MirrorAnswer *b);

/* ---- mirror_checksum.c ---- */

/*
 * Error 42501 unless the current user may read all rows and columns of the
 * table.
 */
extern void shoal_mirror_check_readable(Oid relid);

/*
 * The table, or what of its partitions by range or list is split into shards;
 * locked, like all between them (list of OIDs).
 */
extern List *shoal_mirror_leaves(Oid relid);

/*
 * A table's name with its schema, all of it quoted: the same text on every
 * node.
 */
extern char *shoal_mirror_table_name(Oid relid);

/*
 * Whether this backend runs the functions of mirror_checksum.c for itself;
 * returns what was set before.
 */
extern bool shoal_mirror_set_asking_here(bool asking);

/*
 * Makes texts of values the same whatever a session or a role has set, until
 * AtEOXact_GUC(true, what it returns).
 */
extern int	mirror_fix_settings(void);

#endif							/* MIRROR_VERIFY_H */
