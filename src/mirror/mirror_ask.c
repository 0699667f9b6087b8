/*
 * mirror_ask.c
 *		What those who compare copies of shards share: asking nodes what is in
 *		mirror_checksum.c, and comparing the answers.
 *
 * Answers come row by row; what this node has is asked by the same queries,
 * through a cursor.  Snapshots go with the transaction or subtransaction if
 * there is an error.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "mirror/mirror_verify.h"
#include "remote/remote.h"
#include "xact/xact.h"

/* rows of this node that are fetched at a time */
#define FETCH_ROWS	256

/* the answer of one node, row by row */
struct MirrorAnswer
{
	int			node_id;
	int			ncolumns;
	ShoalRequest *req;			/* of another node */
	Portal		portal;			/* of this node */
	SPITupleTable *batch;
	uint64		batch_rows;
	uint64		at;
	MemoryContext row_context;
	char	   *values[MIRROR_MAX_COLUMNS]; /* of the row, as text; NULL: null */
};

/* ---- asking one node ---- */

MirrorAnswer *
mirror_ask(uint64 moment, int node_id, int ncolumns, const char *question)
{
	MirrorAnswer	   *answer = palloc0(sizeof(MirrorAnswer));
	char	   *sql = psprintf(MIRROR_VERIFY_MARKER MIRROR_VERIFY_CALL "%s", question);
	SPIParseOpenOptions options = {0};

	answer->node_id = node_id;
	answer->ncolumns = ncolumns;
	if (node_id != shoal_meta_local_node_id())
	{
		ShoalConn  *conn = shoal_xact_conn(node_id, SHOAL_JOIN_BLOCK);

		if (moment != 0)
			shoal_moment_use(conn, moment);
		answer->req = shoal_remote_send(conn, sql, NULL, 0);
		return answer;
	}
	answer->row_context = AllocSetContextCreate(CurrentMemoryContext,
												"shoal row of an answer",
												ALLOCSET_SMALL_SIZES);
	options.read_only = true;
	answer->portal = SPI_cursor_parse_open(NULL, sql + strlen(MIRROR_VERIFY_MARKER),
										   &options);
	return answer;
}

static void
fetch_here(MirrorAnswer *answer)
{
	bool		before = shoal_mirror_set_asking_here(true);

	if (answer->batch)
		SPI_freetuptable(answer->batch);
	PG_TRY();
	{
		SPI_cursor_fetch(answer->portal, true, FETCH_ROWS);
	}
	PG_FINALLY();
	{
		(void) shoal_mirror_set_asking_here(before);
	}
	PG_END_TRY();
	answer->batch = SPI_tuptable;
	answer->batch_rows = SPI_processed;
	answer->at = 0;
}

static bool
next_here(MirrorAnswer *answer)
{
	MemoryContext old;

	if (answer->portal == NULL)
		return false;
	if (answer->at == answer->batch_rows)
		fetch_here(answer);
	if (answer->batch_rows == 0)
	{
		SPI_freetuptable(answer->batch);
		SPI_cursor_close(answer->portal);
		MemoryContextDelete(answer->row_context);
		answer->portal = NULL;
		return false;
	}
	MemoryContextReset(answer->row_context);
	old = MemoryContextSwitchTo(answer->row_context);
	for (int i = 0; i < answer->ncolumns; i++)
		answer->values[i] = SPI_getvalue(answer->batch->vals[answer->at],
										 answer->batch->tupdesc, i + 1);
	MemoryContextSwitchTo(old);
	answer->at++;
	return true;
}

bool
mirror_next_row(MirrorAnswer *answer)
{
	PGresult   *res;

	if (answer->node_id == shoal_meta_local_node_id())
		return next_here(answer);
	if (answer->req == NULL)
		return false;
	while ((res = shoal_remote_next(answer->req)) != NULL)
	{
		if (PQresultStatus(res) != PGRES_SINGLE_TUPLE)
			continue;
		for (int i = 0; i < answer->ncolumns; i++)
			answer->values[i] = PQgetisnull(res, 0, i) ? NULL :
				PQgetvalue(res, 0, i);
		return true;
	}
	answer->req = NULL;
	return false;
}

int
mirror_answer_node(const MirrorAnswer *answer)
{
	return answer->node_id;
}

const char *
mirror_value(const MirrorAnswer *answer, int column)
{
	return answer->values[column];
}

int64
mirror_int_value(const MirrorAnswer *answer, int column)
{
	return strtoi64(answer->values[column], NULL, 10);
}

/* ---- comparing two answers ---- */

char *
mirror_differing_buckets(MirrorAnswer *primary, MirrorAnswer *other, int enough,
						 int64 *rows)
{
	StringInfoData buf;
	bool		more_primary = mirror_next_row(primary);
	bool		more_other = mirror_next_row(other);
	int			n = 0;

	rows[0] = rows[1] = 0;
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	while (more_primary || more_other)
	{
		int64		in_primary = more_primary ? mirror_int_value(primary, 0) : PG_INT64_MAX;
		int64		in_other = more_other ? mirror_int_value(other, 0) : PG_INT64_MAX;

		if ((in_primary != in_other ||
			 mirror_int_value(primary, 1) != mirror_int_value(other, 1) ||
			 mirror_int_value(primary, 2) != mirror_int_value(other, 2) ||
			 mirror_int_value(primary, 3) != mirror_int_value(other, 3)) && n < enough)
			appendStringInfo(&buf, "%s%d", n++ > 0 ? "," : "",
							 (int) Min(in_primary, in_other));
		if (in_primary <= in_other)
		{
			rows[0] += mirror_int_value(primary, 1);
			more_primary = mirror_next_row(primary);
		}
		if (in_other <= in_primary)
		{
			rows[1] += mirror_int_value(other, 1);
			more_other = mirror_next_row(other);
		}
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

int
mirror_compare_keys(const MirrorAnswer *a, const MirrorAnswer *b)
{
	int64		x = mirror_int_value(a, 0);
	int64		y = mirror_int_value(b, 0);

	if (x != y)
		return x < y ? -1 : 1;
	return strcmp(a->values[1], b->values[1]);
}

/* ---- snapshots ---- */

static Snapshot
take_own_snapshot(void *arg)
{
	Snapshot   *snapshot = arg;

	if (*snapshot)
		UnregisterSnapshot(*snapshot);
	*snapshot = RegisterSnapshot(GetTransactionSnapshot());
	return *snapshot;
}

uint64
mirror_take_snapshots(void)
{
	Snapshot	snapshot = NULL;
	uint64		moment = 0;

	if (IsolationUsesXactSnapshot())
		(void) shoal_moment_of_transaction();
	else if (!shoal_meta_is_alone())
		moment = shoal_moment_hold(take_own_snapshot, &snapshot);
	if (snapshot == NULL)
		(void) take_own_snapshot(&snapshot);
	PushActiveSnapshot(snapshot);
	UnregisterSnapshot(snapshot);
	return moment;
}

void
mirror_drop_snapshots(uint64 moment)
{
	PopActiveSnapshot();
	if (moment != 0)
		shoal_moment_drop(moment);
}
