/*
 * xact_record.c
 *		Names of prepared transactions, and the records of their commit.
 *
 * A name is shoal_<coordinator>_<transaction>_<pid>_<session>_<node>_<nodes>_<parts>:
 * on which nodes the transaction has parts that are prepared (a number in base 16
 * with a bit for each, 0 if that would be too long), how many parts there are,
 * and letters that tell more about it.  Of several on one node (ShoalConn's share)
 * the node is written <node>.<share>.  The full transaction id tells whether its
 * transaction still runs; together with the session, which is about the start time
 * of the backend, it is never used twice, even if a crash takes back transaction ids
 * that had not reached the disk.
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "utils/builtins.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

/* fields of a name that are looked for, from 0 */
#define GID_NODE	5
#define GID_NODES	6
#define GID_PARTS	7

/* hexadecimal digits for nodes, so that a name is shorter than GIDSIZE */
#define MAX_DIGITS	100

/* How often this backend has left something unsettled: see xact_seen.c. */
static uint64 sessions = 0;

char *
xact_make_gid(const ShoalConn *conn, const Bitmapset *nodes, int parts,
			  const char *letters)
{
	StringInfoData gid;
	int			digits = bms_prev_member(nodes, -1) / 4 + 1;

	initStringInfo(&gid);
	appendStringInfo(&gid, "shoal_%d_" UINT64_FORMAT "_%d_" UINT64_FORMAT "_%d",
					 shoal_meta_local_node_id(),
					 U64FromFullTransactionId(GetTopFullTransactionId()),
					 MyProcPid, (uint64) MyStartTimestamp + sessions,
					 conn->node_id);
	if (conn->share > 0)
		appendStringInfo(&gid, ".%d", conn->share);
	appendStringInfoChar(&gid, '_');
	if (digits > MAX_DIGITS)
		appendStringInfoChar(&gid, '0');
	for (int i = digits - 1; digits <= MAX_DIGITS && i >= 0; i--)
	{
		int			digit = 0;

		for (int bit = 0; bit < 4; bit++)
			digit |= bms_is_member(i * 4 + bit, nodes) << bit;
		appendStringInfo(&gid, "%x", digit);
	}
	appendStringInfo(&gid, "_%d%s", parts, letters);
	return gid.data;
}

/* What is after so many underscores; NULL if there are fewer. */
static const char *
field_of_gid(const char *gid, int field)
{
	for (; gid && field > 0; field--)
	{
		gid = strchr(gid, '_');
		if (gid)
			gid++;
	}
	return gid;
}

Bitmapset *
shoal_xact_gid_nodes(const char *gid)
{
	const char *digits = field_of_gid(gid, GID_NODES);
	int			n = digits ? strcspn(digits, "_") : 0;
	Bitmapset  *nodes = NULL;

	for (int i = 0; i < 4 * n; i++)
	{
		const char	digit[2] = {digits[n - 1 - i / 4], '\0'};

		if ((strtol(digit, NULL, 16) >> (i % 4)) & 1)
			nodes = bms_add_member(nodes, i);
	}
	return nodes;
}

int
shoal_xact_gid_parts(const char *gid)
{
	const char *parts = field_of_gid(gid, GID_PARTS);

	return parts ? atoi(parts) : 0;
}

void
xact_begin_session(void)
{
	sessions++;
}

bool
shoal_xact_gid_has(const char *gid, char letter)
{
	const char *parts = field_of_gid(gid, GID_PARTS);

	return parts != NULL && strchr(parts, letter) != NULL;
}

bool
shoal_xact_gid_is_same(const char *a, const char *b)
{
	const char *end = field_of_gid(a, GID_NODE);

	return end != NULL && strncmp(a, b, end - a) == 0;
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
