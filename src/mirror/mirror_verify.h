/*
 * mirror_verify.h
 *		What mirror_verify.c, which asks whether copies are equal, and
 *		mirror_checksum.c, which answers on each node, share.
 */
#ifndef MIRROR_VERIFY_H
#define MIRROR_VERIFY_H

#include "nodes/pg_list.h"

/* how a coordinator calls what is in mirror_checksum.c */
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

#endif							/* MIRROR_VERIFY_H */
