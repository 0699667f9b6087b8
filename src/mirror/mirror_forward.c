/*
 * mirror_forward.c
 *		The coordinator's side: passing changes on to the replicas.
 *
 * Segments come from nodes in notices, inside of libpq, and from this backend's
 * own triggers.  They are kept until the statement is over and then sent to the
 * nodes that each names, which join the transaction by that.  What a statement
 * of a subtransaction has brought is sent in that subtransaction, before it
 * ends, and forgotten if it fails.  What statements around it have brought goes
 * ahead of that, as it came first, and once more if the subtransaction fails.  If
 * it is much it waits in a temporary file.
 *
 * While rows are sent by COPY nothing else can be; what comes then waits for its
 * end.  A COPY to all copies begins only when replicas have all that came before.
 *
 * A node that has begun to commit cannot bring anything any more: what
 * comes from triggers that PREPARE fires is an error.  So where there are any the
 * nodes have them fired before.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "port/pg_bswap.h"
#include "storage/buffile.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "exec/exec.h"
#include "meta/meta.h"
#include "mirror/mirror.h"
#include "mirror/mirror_private.h"
#include "remote/remote.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

#define MIRROR_COMMAND "/*shoal local*/ SELECT shoal.internal_mirror($1)"
#define JOIN_FLAGS (SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK)

/* bytes that are kept in memory */
#define MEMORY_SIZE (8 * 1024 * 1024)

/* bytes at most that are left for the end of a transaction */
#define LAST_SIZE (16 * 1024)

/* bytes for a node that are sent at once */
#define SEND_SIZE (1024 * 1024)

/* What has come and has not been sent, in the order in which it came. */
typedef struct MirrorPiece
{
	int			level;			/* nesting level of its transaction */
	int			sent;			/* and of that in which it was sent; 0: not yet */
	int			len;
	char	   *data;			/* NULL: there was no memory for it, or ... */
	bool		spooled;		/* ... it is in the file, there: */
	int			fileno;
	off_t		offset;
} MirrorPiece;

/* What is to be sent to a node. */
typedef struct MirrorBuffer
{
	int			node_id;
	StringInfoData buf;
	StringInfoData sending;
	ShoalRequest *req;
} MirrorBuffer;

static MemoryContext pieces_cxt = NULL;
static MirrorPiece *pieces = NULL;
static int	npieces = 0;
static int	max_pieces = 0;
static Size pieces_size = 0;	/* of those in memory */
static BufFile *spool = NULL;	/* the rest; lives as long as the transaction */
static int	spool_fileno = 0;	/* its end */
static off_t spool_end = 0;

/* nesting level at which pieces are being sent; 0: they are not */
static int	sending_level = 0;

/* what is on its way to replicas: MirrorBuffer *, in the context */
static List *streams = NIL;
static MemoryContext streams_cxt = NULL;

/* nodes have triggers that may fire in COMMIT, and write */
static bool late_triggers = false;

/* utility statements under way, one within the other */
static int	utilities = 0;

static ExecutorRun_hook_type next_run = NULL;
static ExecutorFinish_hook_type next_finish = NULL;
static ProcessUtility_hook_type next_utility = NULL;

/* ---- text without zero bytes: consistent overhead byte stuffing ---- */

/*
 * Each zero byte is replaced by the distance to the next one, with the first
 * distance ahead of all; 255 is a distance without a zero byte at its end.
 */
char *
mirror_encode(const char *data, int len, int *encoded_len)
{
	unsigned char *out = MemoryContextAllocHuge(CurrentMemoryContext,
												(Size) len + len / 254 + 2);
	unsigned char *distance = out;
	unsigned char *to = out + 1;

	*distance = 1;
	for (int i = 0; i < len; i++)
	{
		if (data[i] != 0)
		{
			*to++ = data[i];
			(*distance)++;
		}
		if (data[i] == 0 || *distance == 255)
		{
			distance = to++;
			*distance = 1;
		}
	}
	*to = '\0';
	*encoded_len = to - out;
	return (char *) out;
}

/* The opposite, in place; returns the length. */
static int
decode(char *text, int len)
{
	unsigned char *from = (unsigned char *) text;
	unsigned char *end = from + len;
	char	   *to = text;

	while (from < end)
	{
		int			distance = *from++;

		for (int i = 1; i < distance && from < end; i++)
			*to++ = *from++;
		if (distance < 255 && from < end)
			*to++ = 0;
	}
	return to - text;
}

/* ---- what comes ---- */

/* Room for one more piece, of a statement of that nesting level. */
static MirrorPiece *
add_piece(int len, int level)
{
	MirrorPiece *piece;

	if (pieces_cxt == NULL)
		pieces_cxt = AllocSetContextCreate(TopMemoryContext,
										   "Shoal changes to forward",
										   ALLOCSET_DEFAULT_SIZES);
	if (npieces == max_pieces)
	{
		int			max = Max(16, max_pieces * 2);

		if (pieces == NULL)
			pieces = MemoryContextAlloc(TopMemoryContext,
										sizeof(MirrorPiece) * max);
		else
			pieces = repalloc_huge(pieces, sizeof(MirrorPiece) * max);
		max_pieces = max;
	}
	piece = &pieces[npieces++];
	piece->level = level;
	piece->sent = 0;
	piece->len = len;
	piece->spooled = false;
	pieces_size += len;
	piece->data = MemoryContextAllocExtended(pieces_cxt, (Size) len + 1,
											 MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	return piece;
}

static void
make_spool(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	ResourceOwner owner = CurrentResourceOwner;

	CurrentResourceOwner = TopTransactionResourceOwner;
	spool = BufFileCreateTemp(false);
	spool_fileno = 0;
	spool_end = 0;
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
}

/* Puts what is in memory into a file, if it is much. */
static void
put_away(void)
{
	/* what is being sent is read from where it is */
	if (pieces_size <= MEMORY_SIZE || sending_level > 0 || !IsTransactionState())
		return;
	if (spool == NULL)
		make_spool();
	if (BufFileSeek(spool, spool_fileno, spool_end, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in a temporary file")));
	for (int i = 0; i < npieces; i++)
	{
		MirrorPiece *piece = &pieces[i];

		if (piece->data == NULL)
			continue;
		BufFileTell(spool, &piece->fileno, &piece->offset);
		BufFileWrite(spool, piece->data, piece->len);
		piece->spooled = true;
		pfree(piece->data);
		piece->data = NULL;
	}
	BufFileTell(spool, &spool_fileno, &spool_end);
	pieces_size = 0;
}

/* Has a piece in memory. */
static void
fetch(MirrorPiece *piece)
{
	if (piece->data == NULL && piece->spooled)
	{
		piece->data = MemoryContextAllocHuge(pieces_cxt, (Size) piece->len + 1);
		if (BufFileSeek(spool, piece->fileno, piece->offset, SEEK_SET) != 0 ||
			BufFileRead(spool, piece->data, piece->len) != piece->len)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read from a temporary file")));
	}
	if (piece->data == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Changes of a table with replicas could not be kept.")));
}

void
mirror_take_segments(const char *data, int len)
{
	MirrorPiece *piece = add_piece(len, GetCurrentTransactionNestLevel());

	if (piece->data)
		memcpy(piece->data, data, len);
	put_away();
}

/*
 * From inside of libpq: raises no error.  What comes while a function runs in a
 * subtransaction may be of the statement that has called it, and stays if the
 * subtransaction fails.
 */
static void
on_changes(ShoalConn *conn, const char *text)
{
	int			len = strlen(text);
	MirrorPiece *piece;

	/* a transaction that is being ended has no use for it */
	if (!IsTransactionState() &&
		conn->sent_level >= GetCurrentTransactionNestLevel())
		return;
	piece = add_piece(len, Min(conn->sent_level, GetCurrentTransactionNestLevel()));
	if (piece->data)
	{
		memcpy(piece->data, text, len);
		piece->len = decode(piece->data, len);
	}
	if (piece->data && piece->len == MIRROR_LATE_SIZE &&
		memcmp(piece->data, MIRROR_LATE, MIRROR_LATE_SIZE) == 0)
	{
		late_triggers = true;
		pfree(piece->data);
		pieces_size -= Min(pieces_size, len);
		npieces--;
	}
}

/* ---- sending ---- */

static int
get_int(const char *data)
{
	uint32		net;

	memcpy(&net, data, sizeof(net));
	return (int) pg_ntoh32(net);
}

static MirrorBuffer *
buffer_of_node(List **buffers, int node_id)
{
	MirrorBuffer *buffer;
	ListCell   *lc;

	foreach(lc, *buffers)
	{
		buffer = lfirst(lc);
		if (buffer->node_id == node_id)
			return buffer;
	}
	if (shoal_meta_node(node_id) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
				 errmsg("node %d has a replica and is not known here", node_id),
				 errhint("The nodes may have just changed; try the transaction again.")));
	buffer = palloc0(sizeof(MirrorBuffer));
	buffer->node_id = node_id;
	initStringInfo(&buffer->buf);
	initStringInfo(&buffer->sending);
	*buffers = lappend(*buffers, buffer);
	return buffer;
}

static void
wait_for(MirrorBuffer *buffer)
{
	if (buffer->req == NULL)
		return;
	while (shoal_remote_next(buffer->req) != NULL)
		continue;
	buffer->req = NULL;
}

/* Checks of rows may call functions, with statements and subtransactions of their own. */
static void
apply_here(char *data, int len)
{
	List	   *outer = streams;
	MemoryContext outer_cxt = streams_cxt;

	streams = NIL;
	streams_cxt = NULL;
	mirror_apply(data, len);
	streams = outer;
	streams_cxt = outer_cxt;
}

static void
send_buffer(MirrorBuffer *buffer)
{
	static Oid	types[] = {BYTEAOID};
	static int	formats[] = {1};
	ShoalParams *params = palloc0(sizeof(ShoalParams));
	StringInfoData swap = buffer->buf;

	wait_for(buffer);
	if (swap.len == 0)
		return;
	if (buffer->node_id == shoal_meta_local_node_id())
	{
		apply_here(swap.data, swap.len);
		resetStringInfo(&buffer->buf);
		return;
	}
	buffer->buf = buffer->sending;
	buffer->sending = swap;
	resetStringInfo(&buffer->buf);

	params->n = 1;
	params->types = types;
	params->formats = formats;
	params->values = palloc(sizeof(char *));
	params->values[0] = buffer->sending.data;
	params->lengths = palloc(sizeof(int));
	params->lengths[0] = buffer->sending.len;
	buffer->req = shoal_remote_send(shoal_xact_conn(buffer->node_id, JOIN_FLAGS),
									MIRROR_COMMAND, params, SHOAL_SEND_CACHE);
}

/*
 * Whether a replica needs no changes, as its node was given up since the primary
 * has collected them: it is stale then.  Waits while that is not clear.
 */
static bool
is_given_up(int node_id)
{
	const ShoalNode *node;

	(void) shoal_health_await_node(node_id);
	node = shoal_meta_node(node_id);
	return node != NULL && !node->is_active;
}

/* Nobody needs it any more. */
static void
free_piece(MirrorPiece *piece)
{
	if (piece->data == NULL)
		return;
	pfree(piece->data);
	piece->data = NULL;
	if (!piece->spooled)
		pieces_size -= Min(pieces_size, piece->len);
}

/*
 * Sends the segments of a piece to those whom they are for.  A piece of an outer
 * transaction stays, for the case that this one fails.
 */
static void
send_piece(int which, List **buffers)
{
	MirrorPiece *piece = &pieces[which];
	int			len = piece->len;
	char	   *data;
	int			at = 0;

	fetch(piece);
	piece->sent = GetCurrentTransactionNestLevel();
	data = piece->data;
	while (at < len)
	{
		char	   *segment = data + at;
		int			n = get_int(segment + 8);
		int			size = 12 + 4 * n;

		size += 4 + get_int(segment + size);
		for (int i = 0; i < n; i++)
		{
			int			node_id = get_int(segment + 12 + 4 * i);
			MirrorBuffer *buffer;

			if (is_given_up(node_id))
				continue;
			buffer = buffer_of_node(buffers, node_id);
			appendBinaryStringInfo(&buffer->buf, segment, size);
			if (buffer->buf.len >= SEND_SIZE)
				send_buffer(buffer);
		}
		at += size;
	}
	/* more may have come, by functions that checks here have called */
	piece = &pieces[which];
	if (piece->spooled || piece->level >= piece->sent)
		free_piece(piece);
}

/* Sends what has not been sent, in the order in which it came. */
static void
send_pieces(List **buffers)
{
	int			kept = 0;

	sending_level = GetCurrentTransactionNestLevel();
	for (int i = 0; i < npieces; i++)
	{
		if (pieces[i].sent == 0)
			send_piece(i, buffers);
	}
	sending_level = 0;
	for (int i = 0; i < npieces; i++)
	{
		if (pieces[i].level < pieces[i].sent)
			pieces[kept++] = pieces[i];
	}
	npieces = kept;
}

static bool
has_unsent_pieces(void)
{
	for (int i = 0; i < npieces; i++)
	{
		if (pieces[i].sent == 0)
			return true;
	}
	return false;
}

/*
 * Small changes can wait for the end of a transaction that is about to end, as
 * far as is known, and travel with the command that prepares it.  If it turns
 * out that there is more to it they are sent first.  Not within a function or
 * DO: a subtransaction could begin before that.
 */
static bool
can_wait(void)
{
	int			len = 0;

	if (IsTransactionBlock() || GetCurrentTransactionNestLevel() > 1 ||
		shoal_xact_depth() > 0 || utilities > 0 ||
		shoal_read_from != SHOAL_READ_PRIMARY)
		return false;
	for (int i = 0; i < npieces; i++)
		len += pieces[i].len;
	return len <= LAST_SIZE;
}

/* Until the transaction has ended. */
static char *
keep_bytes(const StringInfoData *buf)
{
	char	   *copy = MemoryContextAlloc(TopTransactionContext, buf->len + 1);

	memcpy(copy, buf->data, buf->len);
	return copy;
}

/* The transaction ends: what is left goes ahead of the command that prepares it. */
static void
send_last(List *buffers)
{
	ListCell   *lc;

	foreach(lc, buffers)
	{
		MirrorBuffer *buffer = lfirst(lc);

		if (buffer->req != NULL || buffer->buf.len > LAST_SIZE ||
			buffer->node_id == shoal_meta_local_node_id())
			continue;
		shoal_remote_queue_bytes(shoal_xact_conn(buffer->node_id, JOIN_FLAGS),
								 MIRROR_COMMAND, keep_bytes(&buffer->buf), buffer->buf.len);
		resetStringInfo(&buffer->buf);
	}
}

/* In what lives as long as anything is on its way to replicas. */
static MemoryContext
enter_streams(void)
{
	if (streams_cxt == NULL)
		streams_cxt = AllocSetContextCreate(TopTransactionContext,
											"Shoal forwarding",
											ALLOCSET_DEFAULT_SIZES);
	return MemoryContextSwitchTo(streams_cxt);
}

void
shoal_mirror_forward_some(void)
{
	MemoryContext old;
	ListCell   *lc;

	if (npieces == 0)
		return;
	old = enter_streams();
	send_pieces(&streams);
	foreach(lc, streams)
	{
		MirrorBuffer *buffer = lfirst(lc);

		if (buffer->req == NULL || shoal_remote_ready(buffer->req))
			send_buffer(buffer);
	}
	MemoryContextSwitchTo(old);
}

/* Whether rows are being sent somewhere: a connection has room for nothing else. */
static bool
is_copying(void)
{
	ListCell   *lc;

	foreach(lc, shoal_remote_all())
	{
		if (shoal_remote_in_copy(lfirst(lc)))
			return true;
	}
	return false;
}

static void
forward(bool last)
{
	List	   *buffers = streams;
	ListCell   *lc;
	MemoryContext old;

	if (sending_level > 0 || (!has_unsent_pieces() && streams == NIL) || is_copying())
		return;
	old = enter_streams();
	send_pieces(&buffers);
	if (last)
		send_last(buffers);
	foreach(lc, buffers)
		send_buffer(lfirst(lc));
	foreach(lc, buffers)
		wait_for(lfirst(lc));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(streams_cxt);
	streams_cxt = NULL;
	streams = NIL;
	if (npieces > 0)
		return;
	pieces_size = 0;
	/* a file that is open at the commit would be taken for a leak */
	if (spool)
		BufFileClose(spool);
	spool = NULL;
}

/* Sends to the replicas what has come, if this is a place for that. */
static void
forward_if_due(void)
{
	if (npieces > 0 && !can_wait())
		forward(false);
}

void
shoal_mirror_forward(void)
{
	forward(false);
}

/* Rows are to be sent to all copies: only if nothing that came before is missing there. */
static bool
before_copies(void)
{
	forward(false);
	return !has_unsent_pieces() && !mirror_has_entries();
}

/* ---- statements ---- */

/*
 * Whether a statement is about shards.  If this node is cut off, what it would
 * read here may be old.
 */
static bool
uses_shards(List *relids)
{
	static const char local[] = "/*shoal local*/";
	ListCell   *lc;

	/* others may look after this node in the meantime */
	if (shoal_origin > 0 && debug_query_string != NULL &&
		strncmp(debug_query_string, local, strlen(local)) == 0)
		return false;
	foreach(lc, relids)
	{
		int			group_id;
		int			shard;
		const ShoalTable *table = shoal_meta_table(lfirst_oid(lc));

		if (table != NULL ||
			shoal_meta_is_shard_schema(get_rel_namespace(lfirst_oid(lc)),
									   &group_id, &shard))
			return true;
	}
	return false;
}

static List *
copied_table(const CopyStmt *copy)
{
	return list_make1_oid(RangeVarGetRelid(copy->relation, NoLock, true));
}

/* A statement begins; it is the client's if it is not within another one. */
static void
note_client_level(void)
{
	if (utilities == 0 && shoal_xact_depth() == 0)
		mirror_client_level = GetCurrentTransactionNestLevel();
}

static void
run(QueryDesc *desc, ScanDirection direction, uint64 count
	SHOAL_EXECUTE_ONCE_PARAM)
{
	if (npieces > 0 && shoal_xact_depth() == 0)
		forward(false);
	note_client_level();
	if (!shoal_health_may_act() && uses_shards(desc->plannedstmt->relationOids))
		shoal_health_require_lease(true);
	if (shoal_xact_writes(desc))
	{
		if (!mirror_is_guarded() && uses_shards(desc->plannedstmt->relationOids))
			mirror_refuse();
		mirror_trigger_begin(desc->estate->es_output_cid);
	}
	if (next_run)
		next_run(desc, direction, count SHOAL_EXECUTE_ONCE);
	else
		standard_ExecutorRun(desc, direction, count SHOAL_EXECUTE_ONCE);
}

/* AFTER triggers are fired here. */
static void
finish(QueryDesc *desc)
{
	if (shoal_xact_writes(desc))
		mirror_trigger_begin(desc->estate->es_output_cid);
	if (next_finish)
		next_finish(desc);
	else
		standard_ExecutorFinish(desc);
	mirror_flush();
	forward_if_due();
}

/* Somebody may catch an error, and go on. */
static void
run_counted(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	utilities++;
	PG_TRY();
	{
		if (next_utility)
			next_utility(pstmt, query_string, read_only_tree, context, params,
						 env, dest, qc);
		else
			standard_ProcessUtility(pstmt, query_string, read_only_tree,
									context, params, env, dest, qc);
	}
	PG_FINALLY();
	{
		utilities--;
	}
	PG_END_TRY();
}

static void
run_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	bool		copy = IsA(pstmt->utilityStmt, CopyStmt);
	bool		write = copy && ((CopyStmt *) pstmt->utilityStmt)->is_from;
	bool		copies = write && shoal_scope_says_copies(pstmt, query_string);

	if (npieces > 0 && utilities == 0 && IsTransactionState())
		forward(false);
	note_client_level();
	if (write)
	{
		if (!mirror_is_guarded() && uses_shards(copied_table((CopyStmt *) pstmt->utilityStmt)))
			mirror_refuse();
		mirror_trigger_begin(GetCurrentCommandId(false));
		shoal_xact_enter_copy();
	}
	if (copies)
		mirror_begin_copies();
	run_counted(pstmt, query_string, read_only_tree, context, params, env, dest, qc);
	if (write)
		shoal_xact_leave_copy();
	if (copies)
		mirror_end_copies(linitial_oid(copied_table((CopyStmt *) pstmt->utilityStmt)));
	if (!IsTransactionState())
		return;
	mirror_flush();
	forward_if_due();
}

/* ---- transactions ---- */

/*
 * What nodes' deferred triggers write while they prepare, or commit, could not be
 * prepared along with it.  So they fire before.
 */
static void
fire_late_triggers(void)
{
	List	   *conns = NIL;
	ListCell   *lc;

	if (!late_triggers)
		return;
	foreach(lc, shoal_remote_all())
	{
		ShoalConn  *conn = lfirst(lc);

		if (conn->xact_level > 0 && conn->xact_wrote && !conn->xact_broken)
			conns = lappend(conns, conn);
	}
	shoal_remote_exec_all(conns, "SET CONSTRAINTS ALL IMMEDIATE");
}

static void
before_end(void)
{
	fire_late_triggers();
	shoal_same_check();
	mirror_flush();
	forward(true);
}

static void
when_prepared(void)
{
	if (npieces > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a deferred trigger has changed a table with replicas during COMMIT"),
				 errhint("Use SET CONSTRAINTS ALL IMMEDIATE at the end of the transaction.")));
}

static void
drop_pieces(int level)
{
	int			kept = 0;

	for (int i = 0; i < npieces; i++)
	{
		if (pieces[i].level >= level)
			free_piece(&pieces[i]);
		else
			pieces[kept++] = pieces[i];
	}
	npieces = kept;
}

/* What was sent in a subtransaction has been sent in its parent, or not at all. */
static void
leave_level(int level, bool commit)
{
	int			kept = 0;

	for (int i = 0; i < npieces; i++)
	{
		MirrorPiece *piece = &pieces[i];

		piece->level = Min(piece->level, level - 1);
		if (piece->sent >= level)
		{
			piece->sent = commit ? level - 1 : 0;
			if (commit && piece->level == piece->sent)
			{
				free_piece(piece);
				continue;
			}
		}
		pieces[kept++] = *piece;
	}
	npieces = kept;
	if (sending_level >= level)
		sending_level = 0;
}

static void
on_subxact(SubXactEvent event, SubTransactionId subid,
		   SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	bool		commit = event == SUBXACT_EVENT_COMMIT_SUB;

	if (!commit && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	mirror_trigger_end_sub(level, commit);
	if (!commit)
	{
		drop_pieces(level);
		mirror_forget_copies(level);
		/* an error has come in between */
		if (streams_cxt)
			MemoryContextDelete(streams_cxt);
		streams_cxt = NULL;
		streams = NIL;
	}
	leave_level(level, commit);
}

static void
on_xact(XactEvent event, void *arg)
{
	/* what was written under a lease has to be committed under it */
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) &&
		mirror_wrote)
		shoal_health_require_lease(false);
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	mirror_trigger_reset();
	mirror_wrote = false;
	late_triggers = false;
	sending_level = 0;
	/* gone with the transaction's memory */
	streams = NIL;
	streams_cxt = NULL;
	spool = NULL;
	drop_pieces(0);
	mirror_forget_copies(0);
}

void
shoal_mirror_init(void)
{
	shoal_remote_on_changes = on_changes;
	shoal_remote_after_input = put_away;
	shoal_sink_before_copies = before_copies;
	shoal_xact_before_end = before_end;
	shoal_xact_when_prepared = when_prepared;
	next_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
	next_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish;
	next_utility = ProcessUtility_hook;
	ProcessUtility_hook = run_utility;
	RegisterXactCallback(on_xact, NULL);
	RegisterSubXactCallback(on_subxact, NULL);
	mirror_guard_init();
}
