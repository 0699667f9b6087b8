/*
 * exec_rowfile.c
 *		Rows that were moved to this node for a query, kept in temporary files.
 *
 * Each set of moved rows has a token, which nobody can guess.  On a node that
 * gets some of them they are in a directory of their own below pgsql_tmp, one
 * file for each node that sent some; its name and the directory's follow from
 * the token.  Senders append to their file in their own time, then the query
 * that the rows are for reads all files.
 *
 * Who reads the files removes them at the end of the query.  Should it not come
 * to that, those who have sent, stored or begun to read them do, when their own
 * transaction or subtransaction fails or at the end of their session: of a session
 * that stores them that is when the sender's transaction fails (remote_pool.c).  After
 * a crash the server removes what is in pgsql_tmp.  Nothing is locked.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_tablespace.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/fileset.h"
#include "storage/ipc.h"
#include "tcop/pquery.h"
#include "utils/wait_event.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"
#include "exec/exec_rowfile.h"

/* sets that this backend remembers; older ones are done with */
#define MAX_SETS 256

typedef struct RowSet
{
	char		token[SHOAL_TOKEN_LEN + 1];
	int			node_id;		/* 0: unused entry */
	SubTransactionId sub;		/* whose end is that of the query, too */
} RowSet;

static RowSet row_sets[MAX_SETS];	/* a ring */
static int	last_set = -1;
static bool registered = false;

char *
shoal_rowfile_token(void)
{
	unsigned char bytes[SHOAL_TOKEN_LEN / 2];
	char	   *token = palloc(SHOAL_TOKEN_LEN + 1);

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(token + 2 * i, 3, "%02x", bytes[i]);
	return token;
}

/* Tokens become parts of file names. */
static void
check_token(const char *token)
{
	if (strlen(token) != SHOAL_TOKEN_LEN ||
		strspn(token, "0123456789abcdef") != SHOAL_TOKEN_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid token of moved rows")));
}

/*
 * The directory of a token's rows on a node (several nodes may share a
 * server).  Core numbers its own file sets below 2^31.
 */
static void
get_fileset(FileSet *set, const char *token, int node_id)
{
	uint64		hash;

	check_token(token);
	hash = hash_bytes_extended((const unsigned char *) token, SHOAL_TOKEN_LEN,
							   (uint64) node_id);
	memset(set, 0, sizeof(FileSet));
	set->creator_pid = (pid_t) (hash & 0x7fffffff);
	set->number = (uint32) (hash >> 32) | 0x80000000;
	set->ntablespaces = 1;
	set->tablespaces[0] = DEFAULTTABLESPACE_OID;
}

void
shoal_rowfile_drop(const char *token, int node_id)
{
	FileSet		set;

	get_fileset(&set, token, node_id);
	FileSetDeleteAll(&set);
}

static void
drop_set(RowSet *set)
{
	if (set->node_id != 0)
		shoal_rowfile_drop(set->token, set->node_id);
	set->node_id = 0;
}

static void
drop_at_exit(int code, Datum arg)
{
	for (int i = 0; i < MAX_SETS; i++)
		drop_set(&row_sets[i]);
}

/* What the query that failed was to read, nobody will. */
static void
drop_after_abort(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		drop_at_exit(0, (Datum) 0);
}

/* Subtransactions of past transactions have the same ids, but no sets of theirs are read. */
static void
drop_after_sub_abort(SubXactEvent event, SubTransactionId sub,
					 SubTransactionId parent, void *arg)
{
	for (int i = 0; i < MAX_SETS; i++)
	{
		if (row_sets[i].sub != sub)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			drop_set(&row_sets[i]);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			row_sets[i].sub = parent;
	}
}

void
shoal_rowfile_guard(const char *token, int node_id)
{
	RowSet	   *set;

	check_token(token);
	if (!registered)
	{
		RegisterXactCallback(drop_after_abort, NULL);
		RegisterSubXactCallback(drop_after_sub_abort, NULL);
		before_shmem_exit(drop_at_exit, (Datum) 0);
		registered = true;
	}
	if (last_set >= 0 && row_sets[last_set].node_id == node_id &&
		strcmp(row_sets[last_set].token, token) == 0)
		return;
	last_set = (last_set + 1) % MAX_SETS;
	set = &row_sets[last_set];
	drop_set(set);
	strlcpy(set->token, token, sizeof(set->token));
	set->node_id = node_id;
	/* a cursor outlives the savepoints that are set after it is declared */
	set->sub = ActivePortal ? ActivePortal->createSubid :
		GetCurrentSubTransactionId();
}

/*
 * If the query has failed on this node meanwhile its files are gone.  That is
 * not the cause, and whoever sends rows is to be told what it is like: a node
 * that was lost to the query.
 */
static File
create_or_gone(const FileSet *set, const char *name, MemoryContext context)
{
	volatile File file = -1;

	PG_TRY();
	{
		file = FileSetCreate(unconstify(FileSet *, set), name);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_UNDEFINED_FILE)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		shoal_remote_raise_cause();
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the query that rows were moved for has ended on another node")));
	}
	PG_END_TRY();
	return file;
}

void
shoal_rowfile_append(const char *token, int node_id, int sender, bool create,
					 const char *data, int len)
{
	FileSet		set;
	char		name[MAXPGPATH];
	File		file;
	off_t		end;

	get_fileset(&set, token, node_id);
	snprintf(name, sizeof(name), "%s.%d", token, sender);
	file = create ? create_or_gone(&set, name, CurrentMemoryContext) :
		FileSetOpen(&set, name, O_RDWR);
	if (file <= 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open temporary file for moved rows: %m")));
	end = FileSize(file);
	if (end < 0 || FileWrite(file, (void *) data, len, end, WAIT_EVENT_BUFFILE_WRITE) != len)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write moved rows to a temporary file: %m")));
	FileClose(file);
}

/* ---- reading ---- */

void
shoal_rowfile_open(ShoalRowReader *reader, const char *token, int node_id,
				   int sender, int size)
{
	FileSet		set;
	char		name[MAXPGPATH];

	if (reader->buffer == NULL)
	{
		reader->size = size;
		reader->buffer = palloc(reader->size);
	}
	get_fileset(&set, token, node_id);
	snprintf(name, sizeof(name), "%s.%d", token, sender);
	reader->file = FileSetOpen(&set, name, O_RDONLY);
	/* the session is gone that has stored them, and with it they are */
	if (reader->file <= 0)
	{
		shoal_remote_raise_cause();
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("rows that node %d moved to this node are missing",
						sender)));
	}
	reader->filled = reader->used = 0;
	reader->offset = 0;
}

/* Reads more behind what is unused, which moves to the front. */
static bool
fill(ShoalRowReader *reader, int wanted)
{
	int			rest = reader->filled - reader->used;
	int			got;

	if (rest > 0)
		memmove(reader->buffer, reader->buffer + reader->used, rest);
	reader->used = 0;
	reader->filled = rest;
	if (wanted > reader->size)
	{
		reader->size = wanted;
		reader->buffer = repalloc_huge(reader->buffer, wanted);
	}
	while (reader->filled < wanted)
	{
		got = FileRead(reader->file, reader->buffer + reader->filled,
					   reader->size - reader->filled, reader->offset,
					   WAIT_EVENT_BUFFILE_READ);
		if (got < 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read moved rows from a temporary file: %m")));
		if (got == 0)
			return false;
		reader->filled += got;
		reader->offset += got;
	}
	return true;
}

MinimalTuple
shoal_rowfile_next(ShoalRowReader *reader)
{
	MinimalTuple tuple;
	int			len;

	if (reader->filled - reader->used < (int) sizeof(uint64) &&
		!fill(reader, sizeof(uint64)))
	{
		if (reader->filled > 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("a temporary file of moved rows is cut short")));
		return NULL;
	}
	tuple = (MinimalTuple) (reader->buffer + reader->used);
	len = MAXALIGN(tuple->t_len);
	if (reader->filled - reader->used < len)
	{
		if (!fill(reader, len))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("a temporary file of moved rows is cut short")));
		tuple = (MinimalTuple) reader->buffer;
	}
	reader->used += len;
	return tuple;
}

off_t
shoal_rowfile_tell(const ShoalRowReader *reader)
{
	return reader->offset - (reader->filled - reader->used);
}

void
shoal_rowfile_seek(ShoalRowReader *reader, off_t offset)
{
	off_t		start = reader->offset - reader->filled;

	if (offset >= start && offset <= reader->offset)
		reader->used = offset - start;
	else
	{
		reader->offset = offset;
		reader->filled = reader->used = 0;
	}
}

void
shoal_rowfile_close(ShoalRowReader *reader)
{
	if (reader->file > 0)
		FileClose(reader->file);
	reader->file = 0;
}
