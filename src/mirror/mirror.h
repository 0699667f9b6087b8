/*
 * mirror.h
 *		Copies of shards: whether they are equal.
 */
#ifndef MIRROR_H
#define MIRROR_H

#include "nodes/pg_list.h"

/* ---- verifying (mirror_verify.c asks, mirror_checksum.c answers) ---- */

/* how a coordinator calls what is in mirror_checksum.c; see mirror_verify.c */
#define MIRROR_VERIFY_MARKER	"/*shoal local held*/ "
#define MIRROR_VERIFY_CALL		"SELECT * FROM shoal.internal_verify_"

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

#endif							/* MIRROR_H */
