/*
 * exec_scatter.h
 *		Moving rows from where they are to the nodes that need them.
 */
#ifndef EXEC_SCATTER_H
#define EXEC_SCATTER_H

/*
 * The first argument of shoal.scatter.  With nkeys 0 each of the targets (node
 * ids) gets all rows.  Else targets tells for each shard of a table (qualified
 * name) the node that gets its rows, 0 for none; the first nkeys columns are
 * the key.
 */
extern char *shoal_scatter_spec(const char *token, const int *targets,
								int ntargets, const char *table, int nkeys);

/* Raises 0A000 unless the other node lays out rows as this one does. */
extern void shoal_scatter_check_layout(int other);

extern int	shoal_scatter_layout(void);

#endif							/* EXEC_SCATTER_H */
