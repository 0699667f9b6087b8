/*
 * scope_pack.c
 *		Node side: rows of a fragment go to the coordinator many at a time.
 *
 * To libpq each row is a result of its own, with a copy of the columns' names and types,
 * which costs a coordinator that streams rows as much as all else that it does with them.
 * So where the marker says "packed" the DataRow messages that the executor sends are
 * put together in packs: one DataRow message whose first column is made of the
 * bodies of many, each with its length in front, and whose other columns are NULL.
 * What is in the bodies is core's business; the coordinator (exec_wire.c) reads them, or
 * hands them to its client as they are.
 *
 * The server's table of functions that send messages is replaced while such a statement
 * runs, until the message that ends it: CommandComplete or an error.  A pack is sent
 * when it has grown to the size at which core, too, would have sent what it had;
 * and before any other message, so that all come in their order.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "port/pg_bswap.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "base/base_compat.h"
#include "base/base_messages.h"
#include "base/base_settings.h"
#include "scope/scope.h"
#include "scope/scope_internal.h"

/* core's buffer for what is sent has this size */
#define PACK_SIZE		8192

/* more than that is not kept for the next pack */
#define KEPT_SIZE		(8 * PACK_SIZE)

/* what stands in front of the rows: the number of columns, the first one's length */
#define HEADER_SIZE		(sizeof(uint16) + sizeof(uint32))

/* a column's length if it is NULL */
#define NULL_LENGTH		PG_UINT32_MAX

static ExecutorRun_hook_type previous_run = NULL;

/* the server's functions; NULL: nothing is packed */
static const PQcommMethods *core_methods = NULL;
static PQcommMethods methods;

/* the pack that is being filled; a StringInfo would end at a gigabyte */
static char *pack = NULL;
static size_t pack_len = 0;		/* 0: it has no rows */
static size_t pack_size = 0;

static void
append(const void *data, size_t len)
{
	if (pack_len + len > pack_size)
	{
		/* with room for what follows: lengths of a few bytes each */
		size_t		size = pack_len + len + PACK_SIZE;

		pack = pack ? repalloc_huge(pack, size) :
			MemoryContextAllocHuge(TopMemoryContext, size);
		pack_size = size;
	}
	memcpy(pack + pack_len, data, len);
	pack_len += len;
}

static void
append_length(uint32 length)
{
	length = pg_hton32(length);
	append(&length, sizeof(length));
}

/* Sends the rows that there are, if any; EOF as the server's function returns it. */
static int
send_pack(void)
{
	uint32		length = pg_hton32(pack_len - HEADER_SIZE);
	uint16		ncolumns;
	int			result;

	if (pack_len == 0)
		return 0;
	memcpy(&ncolumns, pack, sizeof(ncolumns));
	memcpy(pack + sizeof(ncolumns), &length, sizeof(length));
	for (int i = 1; i < pg_ntoh16(ncolumns); i++)
		append_length(NULL_LENGTH);
	result = core_methods->putmessage('D', pack, pack_len);
	pack_len = 0;
	if (pack_size > KEPT_SIZE)
	{
		pfree(pack);
		pack = NULL;
		pack_size = 0;
	}
	return result;
}

static int
put_row(const char *body, size_t len)
{
	uint32		no_length = 0;

	if (pack_len > 0 && pack_len + len > PACK_SIZE && send_pack() == EOF)
		return EOF;
	if (pack_len == 0)
	{
		append(body, sizeof(uint16));
		append(&no_length, sizeof(no_length));
	}
	append_length(len);
	append(body, len);
	return 0;
}

/* The server's putmessage, while rows are packed. */
static int
put_message(char type, const char *body, size_t len)
{
	const PQcommMethods *core = core_methods;

	if (type == 'D')
		return put_row(body, len);
	if (send_pack() == EOF)
		return EOF;
	/* notices, notifications and settings come in the middle of a statement */
	if (type != 'N' && type != 'A' && type != 'S')
	{
		PqCommMethods = core;
		core_methods = NULL;
	}
	return core->putmessage(type, body, len);
}

static void
run(QueryDesc *desc, ScanDirection direction, uint64 count
	SHOAL_EXECUTE_ONCE_PARAM)
{
	/* the statement that was sent, not one of a function in it */
	if (core_methods == NULL && shoal_origin > 0 && ActivePortal != NULL &&
		ActivePortal->sourceText == desc->sourceText &&
		shoal_scope_is_packed(desc->sourceText))
	{
		core_methods = PqCommMethods;
		methods = *core_methods;
		methods.putmessage = put_message;
		PqCommMethods = &methods;
		pack_len = 0;
	}
	if (previous_run)
		previous_run(desc, direction, count SHOAL_EXECUTE_ONCE);
	else
		standard_ExecutorRun(desc, direction, count SHOAL_EXECUTE_ONCE);
}

void
shoal_scope_pack_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
}
