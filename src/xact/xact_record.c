/*
 * xact_record.c
 *		Names of prepared transactions, and the records of their commit.
 *
 * A name is shoal_<coordinator>_<transaction>_<pid>_<session>_<node>_<parts>:
 * how many parts of the transaction are prepared, and letters that tell more
 * about it.  Of several on one node (ShoalConn's share) the node is written
 * <node>.<share>.  The full transaction id tells whether its transaction still
 * runs; together with the session, which is about the start time of the backend,
 * it is never used twice, even if a crash takes back transaction ids that had not
 * reached the disk.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

/* How often this backend has left something unsettled: see xact_seen.c. */
static uint64 sessions = 0;

char *
xact_make_gid(const ShoalConn *conn, int parts, const char *letters)
{
	char		share[16] = "";

	if (conn->share > 0)
		snprintf(share, sizeof(share), ".%d", conn->share);
	return psprintf("shoal_%d_" UINT64_FORMAT "_%d_" UINT64_FORMAT "_%d%s_%d%s",
					shoal_meta_local_node_id(),
					U64FromFullTransactionId(GetTopFullTransactionId()),
					MyProcPid, (uint64) MyStartTimestamp + sessions,
					conn->node_id, share, parts, letters);
}

void
xact_begin_session(void)
{
	sessions++;
}

/* What is after the last underscore and the number there. */
bool
shoal_xact_gid_has(const char *gid, char letter)
{
	const char *end = strrchr(gid, '_');

	return end != NULL && strchr(end, letter) != NULL;
}

/* Of how many parts the transaction is. */
int
xact_gid_parts(const char *gid)
{
	const char *end = strrchr(gid, '_');

	return end ? atoi(end + 1) : 0;
}

/* Whether these are names of parts of one transaction. */
bool
xact_gid_is_same(const char *a, const char *b)
{
	int			underscores = 0;

	for (; *a == *b && *a != '\0'; a++, b++)
	{
		underscores += *a == '_';
		if (underscores == 5)
			return true;
	}
	return false;
}

/* The coordinator's session that has made the name; false if it is no name. */
bool
xact_gid_session(const char *gid, int *node_id, int *pid, uint64 *session)
{
	return sscanf(gid, "shoal_%d_%*[0-9]_%d_" UINT64_FORMAT "_", node_id, pid,
				  session) == 3;
}

/* Whether this node made the name; gives the full transaction id. */
bool
xact_is_my_gid(const char *gid, uint64 *fxid)
{
	int			origin;
	int			end = 0;

	return sscanf(gid, "shoal_%d_" UINT64_FORMAT "_%n", &origin, fxid,
				  &end) == 2 &&
		end > 0 && origin == shoal_meta_local_node_id();
}

int
xact_node_of_gid(const char *gid)
{
	int			node_id;

	return sscanf(gid, "shoal_%*d_%*[0-9]_%*d_%*[0-9]_%d", &node_id) == 1 ?
		node_id : 0;
}

bool
xact_record_exists(const char *gid)
{
	ListCell   *lc;

	foreach(lc, xact_record_list())
	{
		if (strcmp(lfirst(lc), gid) == 0)
			return true;
	}
	return false;
}

/* All records (List of char *). */
List *
xact_record_list(void)
{
	return xact_rows_list("commit_record");
}

/* Deletes records that have served. */
void
xact_record_delete(List *gids)
{
	xact_rows_delete("commit_record", gids);
}
