/*
 * xact_constraints.c
 *		SET CONSTRAINTS follows the transaction to its nodes.
 *
 * What the user has said is run at once where the transaction is open (making
 * constraints immediate checks them), and kept, with the nesting level it was
 * said at, for the nodes that join later.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "remote/remote.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

typedef struct SaidConstraints
{
	int			level;
	char	   *sql;
} SaidConstraints;

/* List of SaidConstraints in the transaction's memory, in order */
static List *said = NIL;

void
shoal_xact_set_constraints(const char *sql)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	SaidConstraints *entry = palloc(sizeof(SaidConstraints));
	List	   *node_ids = NIL;
	ListCell   *lc;

	entry->level = GetCurrentTransactionNestLevel();
	entry->sql = pstrdup(sql);
	MemoryContextSwitchTo(old);

	foreach(lc, xact_open_conns())
		node_ids = list_append_unique_int(node_ids,
										  ((ShoalConn *) lfirst(lc))->node_id);
	/* nothing is deferred where nothing is written */
	if (node_ids != NIL && !XactReadOnly)
		shoal_xact_run(sql, node_ids);

	old = MemoryContextSwitchTo(TopTransactionContext);
	said = lappend(said, entry);
	MemoryContextSwitchTo(old);
}

void
xact_queue_constraints(ShoalConn *conn, int level)
{
	ListCell   *lc;

	foreach(lc, said)
	{
		SaidConstraints *entry = lfirst(lc);

		if (entry->level == level)
			shoal_remote_queue(conn, entry->sql);
	}
}

/* The subtransaction of that level is gone, or part of the one above. */
void
xact_constraints_end_sub(int level, bool commit)
{
	ListCell   *lc;

	foreach(lc, said)
	{
		SaidConstraints *entry = lfirst(lc);

		if (entry->level < level)
			continue;
		if (commit)
			entry->level = level - 1;
		else
			said = foreach_delete_current(said, lc);
	}
}

void
xact_constraints_reset(void)
{
	said = NIL;
}
