/*
 * forward.c
 *		A backend that does nothing but pass statements on.
 *
 * forward(connection, statement, tenant, id) runs a statement on another
 * server, prepared there and executed with messages put together by hand, and
 * throws the answer away unless it is an error.  The backend that calls it runs
 * a prepared SELECT without any table.  So what a client gets through it is the
 * most that a coordinator could give that is a backend of PostgreSQL: core's
 * own work for a statement, and each message sent and received once.
 *
 * forward_both(connection, connection, statement) runs one without parameters on
 * two servers at once.
 *
 * forward_row(connection, statement), an AFTER ROW trigger, does so with the
 * row's first two columns in a transaction of the other server's, in two
 * phases: prepared with the row, in the same round trip, and committed after
 * the own transaction.  Of which is left a record in the table "record", without
 * an index; the one before is deleted with it.
 *
 * Both wait with a single recv(), which no backend may that can be interrupted.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq-fe.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(forward);
PG_FUNCTION_INFO_V1(forward_both);
PG_FUNCTION_INFO_V1(forward_row);

#define MAX_STATEMENTS 16

typedef struct Server
{
	PGconn	   *connection;
	char	   *statements[MAX_STATEMENTS];
} Server;

static Server servers[2];
static bool prepared = false;

static void
open_connection(Server *server, const char *info)
{
	if (server->connection)
		return;
	server->connection = PQconnectdb(info);
	if (PQstatus(server->connection) != CONNECTION_OK)
		elog(ERROR, "%s", PQerrorMessage(server->connection));
}

/* The statement's number; it is prepared when it is new. */
static int
find_statement(Server *server, const char *sql)
{
	PGconn	   *connection = server->connection;
	char		name[16];
	int			i = 0;

	for (; i < MAX_STATEMENTS && server->statements[i]; i++)
		if (strcmp(server->statements[i], sql) == 0)
			return i;
	if (i == MAX_STATEMENTS)
		elog(ERROR, "too many statements");
	snprintf(name, sizeof(name), "s%02d", i);
	/* libpq wants a socket that does not block, recv() below one that does */
	fcntl(PQsocket(connection), F_SETFL, O_NONBLOCK);
	PQclear(PQprepare(connection, name, sql, 0, NULL));
	fcntl(PQsocket(connection), F_SETFL, 0);
	server->statements[i] = MemoryContextStrdup(TopMemoryContext, sql);
	return i;
}

static void
put_bytes(StringInfo buf, const char *bytes, int n)
{
	appendBinaryStringInfo(buf, bytes, n);
}

/* Bind and Execute of a prepared statement, or of the unnamed one (NULL). */
static void
put_execution(StringInfo buf, const char *name, int nparams, int64 first,
			  int64 second, bool wide, bool describe)
{
	int			start = buf->len + 1;
	uint32		length;

	put_bytes(buf, "B\0\0\0\0\0", 6);
	put_bytes(buf, name ? name : "", name ? strlen(name) + 1 : 1);
	pq_sendint16(buf, 1);
	pq_sendint16(buf, 1);
	pq_sendint16(buf, nparams);
	if (nparams > 0)
	{
		pq_sendint32(buf, wide ? 8 : 4);
		if (wide)
			pq_sendint64(buf, first);
		else
			pq_sendint32(buf, (int32) first);
		pq_sendint32(buf, wide ? 4 : 8);
		if (wide)
			pq_sendint32(buf, (int32) second);
		else
			pq_sendint64(buf, second);
	}
	pq_sendint16(buf, 1);
	pq_sendint16(buf, 0);
	length = pg_hton32(buf->len - start);
	memcpy(buf->data + start, &length, sizeof(length));
	if (describe)
		put_bytes(buf, "D\0\0\0\6P\0", 7);
	put_bytes(buf, "E\0\0\0\11\0\0\0\0\0", 10);
}

/* Parse, Bind and Execute of a statement without parameters. */
static void
put_statement(StringInfo buf, const char *sql)
{
	pq_sendbyte(buf, 'P');
	pq_sendint32(buf, 4 + 1 + strlen(sql) + 1 + 2);
	pq_sendbyte(buf, 0);
	put_bytes(buf, sql, strlen(sql) + 1);
	pq_sendint16(buf, 0);
	put_execution(buf, NULL, 0, 0, 0, false, false);
}

/* Sends that and a Sync. */
static void
send_all(Server *server, StringInfo buf)
{
	put_bytes(buf, "S\0\0\0\4", 5);
	if (send(PQsocket(server->connection), buf->data, buf->len, MSG_NOSIGNAL) != buf->len)
		elog(ERROR, "could not send: %m");
}

/* Reads the answer. */
static void
read_all(Server *server)
{
	char		answer[8192];
	ssize_t		got = 0;

	/* until ReadyForQuery, its last message */
	while (got < 6 || memcmp(answer + got - 6, "Z\0\0\0\5I", 6) != 0)
	{
		ssize_t		n = recv(PQsocket(server->connection), answer + got,
							 sizeof(answer) - got, 0);

		if (n <= 0)
			elog(ERROR, "could not receive: %m");
		got += n;
	}
	for (ssize_t at = 0; at < got;)
	{
		uint32		size;

		if (answer[at] == 'E')
			elog(ERROR, "the statement failed");
		memcpy(&size, answer + at + 1, sizeof(size));
		at += 1 + pg_ntoh32(size);
	}
}

static void
converse(StringInfo buf)
{
	send_all(&servers[0], buf);
	read_all(&servers[0]);
}

Datum
forward(PG_FUNCTION_ARGS)
{
	StringInfoData buf;
	char		name[16];

	open_connection(&servers[0], text_to_cstring(PG_GETARG_TEXT_PP(0)));
	snprintf(name, sizeof(name), "s%02d",
			 find_statement(&servers[0], text_to_cstring(PG_GETARG_TEXT_PP(1))));
	initStringInfo(&buf);
	put_execution(&buf, name, 2, PG_GETARG_INT32(2), PG_GETARG_INT64(3), false,
				  true);
	converse(&buf);
	PG_RETURN_VOID();
}

Datum
forward_both(PG_FUNCTION_ARGS)
{
	char	   *sql = text_to_cstring(PG_GETARG_TEXT_PP(2));

	for (int i = 0; i < 2; i++)
	{
		StringInfoData buf;
		char		name[16];

		open_connection(&servers[i], text_to_cstring(PG_GETARG_TEXT_PP(i)));
		snprintf(name, sizeof(name), "s%02d", find_statement(&servers[i], sql));
		initStringInfo(&buf);
		put_execution(&buf, name, 0, 0, 0, false, true);
		send_all(&servers[i], &buf);
	}
	for (int i = 0; i < 2; i++)
		read_all(&servers[i]);
	PG_RETURN_VOID();
}

static void
end_transaction(XactEvent event, void *arg)
{
	StringInfoData buf;
	char		sql[64];

	if (!prepared || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	prepared = false;
	snprintf(sql, sizeof(sql), "%s PREPARED 'f%d'",
			 event == XACT_EVENT_COMMIT ? "COMMIT" : "ROLLBACK", MyProcPid);
	initStringInfo(&buf);
	put_statement(&buf, sql);
	converse(&buf);
}

static void
keep_record(const char *name)
{
	static ItemPointerData last;
	Relation	rel = table_open(RelnameGetRelid("record"), RowExclusiveLock);
	Datum		value = CStringGetTextDatum(name);
	bool		null = false;
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(rel), &value, &null);

	simple_heap_insert(rel, tuple);
	if (ItemPointerIsValid(&last))
		simple_heap_delete(rel, &last);
	last = tuple->t_self;
	table_close(rel, NoLock);
}

Datum
forward_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		isnull;
	StringInfoData buf;
	char		name[16];
	char		sql[64];

	if (!servers[0].connection)
	{
		open_connection(&servers[0], trigger->tg_trigger->tgargs[0]);
		RegisterXactCallback(end_transaction, NULL);
		(void) find_statement(&servers[0], "BEGIN");
	}
	snprintf(name, sizeof(name), "s%02d",
			 find_statement(&servers[0], trigger->tg_trigger->tgargs[1]));
	initStringInfo(&buf);
	put_execution(&buf, "s00", 0, 0, 0, false, false);
	put_execution(&buf, name, 2, DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull)),
				  DatumGetInt32(SPI_getbinval(row, desc, 2, &isnull)), true, false);
	snprintf(sql, sizeof(sql), "PREPARE TRANSACTION 'f%d'", MyProcPid);
	put_statement(&buf, sql);
	converse(&buf);
	prepared = true;
	keep_record(sql);
	return PointerGetDatum(NULL);
}
