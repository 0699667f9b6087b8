/*
 * exec_sink.c
 *		Sending rows of a table to their shards by COPY.
 *
 * Each node that rows go to has one stream, opened with its first row: COPY
 * FROM STDIN on the session's connection for other nodes, core's COPY code for
 * this one.  Rows keep their order per shard.
 *
 * Rows for other nodes are collected by shard and sent some hundred of one
 * shard at a time: a node fills one page after the other then, which takes it
 * half the time of rows that go to another partition each.
 *
 * Core's code pulls, so rows for this node are collected and loaded some
 * megabytes at a time.  A table with a foreign key to itself, which can tell one
 * statement from several, gets all its rows in one go, from a temporary file.
 *
 * Errors that come while the caller reads its own input would be reported with
 * the caller's input position, which is a later one, so the caller's error
 * context is put aside around everything that may report a row's error.  For
 * lines loaded here core is told the original line number.
 *
 * Every node's transaction is part of the current one; on error its abort ends
 * the streams.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "storage/buffile.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "exec/exec_internal.h"
#include "scope/scope.h"
#include "xact/xact.h"

/* bytes collected for another node before they are sent, where not by shard */
#define SEND_SIZE		(32 * 1024)

/* bytes collected for a shard, least and most, and for all of them at most */
#define BATCH_MIN		(8 * 1024)
#define BATCH_MAX		(64 * 1024)
#define BATCHES_SIZE	(4 * 1024 * 1024)

/* bytes collected for this node before they are loaded */
#define LOAD_SIZE		(4 * 1024 * 1024)

/* what COPY's binary format starts with: signature, flags, extension length */
static const char binary_header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";

#define BINARY_HEADER_SIZE	19

/* A row or line in a local stream's buffer; its bytes follow. */
typedef struct SinkEntry
{
	uint64		lineno;			/* 0: not known */
	int32		len;
} SinkEntry;

typedef struct SinkStream
{
	int			node_id;
	bool		local;
	ShoalConn  *conn;			/* once begun */
	bool		finished;		/* all is sent */
	bool		ended;			/* and the node has said so */
	StringInfoData buf;			/* remote: bytes; local: entries */
	uint64		rows;

	/* local only */
	BufFile    *spool;			/* entries before those in buf */
	CopyFromState cstate;		/* of the load under way */
	int			entry_left;		/* bytes of the current entry not handed out */
	int			pos;			/* in buf */
	bool		binary;
	bool		header_sent;
} SinkStream;

struct ShoalSink
{
	Relation	rel;
	const ShoalTable *table;
	const ShoalGroup *group;
	List	   *attnums;
	int			key_index[PARTITION_MAX_KEYS];	/* in a row; -1: not there */
	ShoalEncoder *encoder;		/* NULL if lines are sent */
	bool		binary;
	char	   *options;		/* of COPY, for all streams */
	bool		replica_role;	/* load without triggers */
	bool		one_load;		/* all local rows in one go */
	int			nstreams;
	SinkStream *streams;		/* reference tables: one per node, in order */
	bool		copies;			/* rows go to all copies of their shard */
	List	  **streams_of_shard;	/* SinkStream *: the primary's first */
	StringInfoData *batches;	/* by shard: for other nodes, not yet in a
								 * stream's buffer; data NULL: never used */
	int			batch_size;		/* send it from here on */
	StringInfoData row;
	uint64		lineno;
	uint64		rows;			/* put in */
	MemoryContext cxt;
	MemoryContext row_cxt;
	ErrorContextCallback *error_stack;	/* as it was when opened */
};

/* the local stream that core's COPY is reading from */
static SinkStream *loading = NULL;

bool		(*shoal_sink_before_copies) (void) = NULL;

/* ---- opening ---- */

/* A foreign key to the table itself is checked at the end of each load. */
static bool
needs_one_load(Relation rel)
{
	List	   *fkeys;
	ListCell   *lc;

	fkeys = RelationGetFKeyList(rel);
	foreach(lc, fkeys)
	{
		if (((ForeignKeyCacheInfo *) lfirst(lc))->confrelid ==
			RelationGetRelid(rel))
			return true;
	}
	return false;
}

static bool
may_set_replica_role(void)
{
	return superuser() ||
		pg_parameter_aclcheck("session_replication_role", GetUserId(),
							  ACL_SET) == ACLCHECK_OK;
}

static SinkStream *
add_stream(ShoalSink *sink, int node_id)
{
	SinkStream *stream = &sink->streams[sink->nstreams++];

	stream->node_id = node_id;
	stream->local = node_id == shoal_meta_local_node_id();
	initStringInfo(&stream->buf);
	return stream;
}

static void
prepare_rows(ShoalSink *sink)
{
	int			natts = list_length(sink->attnums);
	Oid		   *types = palloc(sizeof(Oid) * Max(natts, 1));
	ListCell   *lc;

	foreach(lc, sink->attnums)
	{
		int			att = lfirst_int(lc) - 1;
		int			i = foreach_current_index(lc);

		types[i] = TupleDescAttr(RelationGetDescr(sink->rel), att)->atttypid;
	}
	sink->encoder = shoal_wire_encoder(natts, types, true);
	sink->binary = shoal_wire_encoder_is_binary(sink->encoder);
	for (int key = 0; key < sink->table->nkeys; key++)
	{
		sink->key_index[key] = -1;
		foreach(lc, sink->attnums)
		{
			if (lfirst_int(lc) == sink->table->keyattr[key])
				sink->key_index[key] = foreach_current_index(lc);
		}
	}
	initStringInfo(&sink->row);
}

/*
 * Whether rows are sent to the replicas directly, which is quicker than to have
 * the primary's trigger repeat them: if what is sent is what will be stored,
 * and nothing but that happens to it.
 */
static bool
writes_copies(ShoalSink *sink, bool replay)
{
	TupleDesc	desc = RelationGetDescr(sink->rel);
	TriggerDesc *triggers = sink->rel->trigdesc;

	if (!sink->group->mirrored)
		return false;
	if (replay)
	{
		/* triggers are out of action then */
		if (sink->group->filling)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("a replica of colocation group %d is being made",
							sink->group->group_id),
					 errhint("Wait until it is complete; see the view shoal.placements.")));
		return true;
	}
	/* a function on a node can use no others, and its coordinator knows replicas */
	if (sink->group->filling || sink->group->moving || shoal_origin > 0)
		return false;
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		if (!triggers->triggers[i].tgisinternal)
			return false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if ((att->atthasdef || att->attidentity) && !att->attgenerated &&
			!att->attisdropped && !list_member_int(sink->attnums, i + 1))
			return false;
	}
	return shoal_sink_before_copies == NULL || shoal_sink_before_copies();
}

ShoalSink *
shoal_sink_open(Relation rel, List *attnums, const char *copy_options,
				bool replay)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "Shoal sink",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	ShoalSink  *sink = palloc0(sizeof(ShoalSink));
	List	   *nodes = shoal_meta_nodes();
	const char *encoding = pg_encoding_to_char(GetDatabaseEncoding());
	ListCell   *lc;

	sink->cxt = cxt;
	sink->row_cxt = AllocSetContextCreate(cxt, "Shoal sink row",
										  ALLOCSET_DEFAULT_SIZES);
	sink->error_stack = error_context_stack;
	sink->rel = rel;
	sink->attnums = list_copy(attnums);
	sink->table = shoal_meta_table(RelationGetRelid(rel));
	if (sink->table == NULL)
		elog(ERROR, "table \"%s\" is not known to Shoal",
			 RelationGetRelationName(rel));
	/* later, nodes have no ear for anything but rows */
	shoal_hold_shards(sink->table->group_id, NULL, true);
	sink->group = shoal_meta_group(sink->table->group_id);
	sink->replica_role = replay && may_set_replica_role();
	sink->one_load = !sink->replica_role && needs_one_load(rel);

	if (copy_options)
		sink->options = psprintf("%s, ENCODING %s", copy_options,
								 quote_literal_cstr(encoding));
	else
	{
		prepare_rows(sink);
		sink->options = sink->binary ? "FORMAT binary" :
			psprintf("FORMAT text, ENCODING %s", quote_literal_cstr(encoding));
	}

	sink->streams = palloc0(sizeof(SinkStream) * (list_length(nodes) + 1));
	sink->streams_of_shard = palloc0(sizeof(List *) * sink->group->shard_count);
	sink->copies = writes_copies(sink, replay);
	sink->batches = palloc0(sizeof(StringInfoData) * sink->group->shard_count);
	sink->batch_size = Max(BATCH_MIN, Min(BATCH_MAX, BATCHES_SIZE /
										  sink->group->shard_count));
	if (sink->table->kind == SHOAL_KIND_REFERENCE)
	{
		if (!replay)
			shoal_same_note(RelationGetRelid(rel), CMD_INSERT);
		foreach(lc, nodes)
			(void) add_stream(sink, ((const ShoalNode *) lfirst(lc))->node_id);
	}
	MemoryContextSwitchTo(old);
	return sink;
}

void
shoal_sink_at_line(ShoalSink *sink, uint64 lineno)
{
	sink->lineno = lineno;
}

/* ---- other nodes ---- */

static char *
copy_command(ShoalSink *sink)
{
	Relation	rel = sink->rel;
	char	   *marker = sink->copies ?
		shoal_scope_copies_marker(sink->group->placements, sink->group->shard_count) :
		shoal_scope_marker(0, NULL);
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%sCOPY %s (", marker,
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)));
	foreach(lc, sink->attnums)
	{
		int			att = lfirst_int(lc) - 1;

		appendStringInfo(&sql, "%s%s", foreach_current_index(lc) ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), att)->attname)));
	}
	appendStringInfo(&sql, ") FROM STDIN WITH (%s)", sink->options);
	return sql.data;
}

static void
begin_remote(ShoalSink *sink, SinkStream *stream)
{
	MemoryContext old = MemoryContextSwitchTo(sink->cxt);

	shoal_task_check_inside();
	stream->conn = shoal_xact_conn(stream->node_id,
								   SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK);
	if (sink->replica_role)
		shoal_remote_queue(stream->conn,
						   "SET LOCAL session_replication_role = replica");
	shoal_remote_copy_begin(stream->conn, copy_command(sink));
	if (sink->binary)
		appendBinaryStringInfo(&stream->buf, binary_header,
							   BINARY_HEADER_SIZE);
	MemoryContextSwitchTo(old);
}

static void
send_remote(SinkStream *stream)
{
	shoal_remote_copy_data(stream->conn, stream->buf.data, stream->buf.len);
	resetStringInfo(&stream->buf);
}

/* Sends what is left; the node checks constraints while others are served. */
static void
finish_remote(ShoalSink *sink, SinkStream *stream)
{
	if (sink->binary)
		appendBinaryStringInfo(&stream->buf, "\377\377", 2);
	send_remote(stream);
	shoal_remote_copy_finish(stream->conn);
	stream->finished = true;
}

static void
end_remote(ShoalSink *sink, SinkStream *stream)
{
	stream->rows = shoal_remote_copy_end(stream->conn);
	stream->ended = true;
	if (sink->replica_role)
		shoal_remote_queue(stream->conn,
						   "SET LOCAL session_replication_role = origin");
}

/* ---- this node ---- */

/* Reads the next entry's head; false at the end. */
static bool
next_entry(SinkStream *stream)
{
	SinkEntry	entry;

	if (stream->spool)
	{
		if (BufFileRead(stream->spool, &entry, sizeof(entry)) == sizeof(entry))
		{
			stream->cstate->cur_lineno = entry.lineno;
			stream->entry_left = entry.len;
			return true;
		}
		BufFileClose(stream->spool);
		stream->spool = NULL;
	}
	if (stream->pos >= stream->buf.len)
		return false;
	memcpy(&entry, stream->buf.data + stream->pos, sizeof(entry));
	stream->pos += sizeof(entry);
	if (entry.lineno > 0)
		stream->cstate->cur_lineno = entry.lineno;
	stream->entry_left = entry.len;
	return true;
}

/*
 * Hands core's COPY its input, at most one row at a time so that the line
 * number can be set with each.
 */
static int
load_callback(void *outbuf, int minread, int maxread)
{
	SinkStream *stream = loading;
	int			n;

	/* the header is read before BeginCopyFrom returns the state */
	if (stream->binary && !stream->header_sent)
	{
		Assert(maxread >= BINARY_HEADER_SIZE);
		memcpy(outbuf, binary_header, BINARY_HEADER_SIZE);
		stream->header_sent = true;
		return BINARY_HEADER_SIZE;
	}
	if (stream->entry_left == 0 && !next_entry(stream))
		return 0;
	n = Min(stream->entry_left, maxread);
	if (stream->spool)
		n = (int) BufFileRead(stream->spool, outbuf, n);
	else
	{
		memcpy(outbuf, stream->buf.data + stream->pos, n);
		stream->pos += n;
	}
	stream->entry_left -= n;
	return n;
}

/* The columns' names as COPY's grammar gives them. */
static List *
column_names(ShoalSink *sink)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, sink->attnums)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(sink->rel),
											  lfirst_int(lc) - 1);

		names = lappend(names, makeString(pstrdup(NameStr(att->attname))));
	}
	return names;
}

static List *
parse_options(const char *options)
{
	char	   *sql = psprintf("COPY x FROM STDIN WITH (%s)", options);
	RawStmt    *raw = linitial_node(RawStmt,
									raw_parser(sql, RAW_PARSE_DEFAULT));

	return ((CopyStmt *) raw->stmt)->options;
}

/* Loads what has been collected for this node. */
static void
load_local(ShoalSink *sink, SinkStream *stream)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext,
											  "Shoal load",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	SinkStream *outer = loading;
	ParseState *pstate = make_parsestate(NULL);
	TriggerDesc saved = {0};
	volatile bool muted = false;
	int			nest_level = 0;

	if (sink->replica_role)
	{
		nest_level = NewGUCNestLevel();
		(void) set_config_option("session_replication_role", "replica",
								 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, 0, false);
	}
	stream->pos = 0;
	stream->binary = sink->binary;
	stream->header_sent = false;
	stream->cstate = NULL;
	(void) addRangeTableEntryForRelation(pstate, sink->rel, RowExclusiveLock,
										 NULL, false, false);
	loading = stream;
	shoal_scope_copies_placements = sink->group->placements;
	shoal_scope_copies_shards = sink->group->shard_count;
	PG_TRY();
	{
		shoal_scope_copies_here = sink->copies ? GetCurrentTransactionNestLevel() : 0;
		stream->cstate = BeginCopyFrom(pstate, sink->rel, NULL, NULL, false,
									   load_callback, column_names(sink),
									   parse_options(sink->options));
		saved = shoal_scope_mute_relation(sink->rel);
		muted = true;
		stream->rows += CopyFrom(stream->cstate);
		EndCopyFrom(stream->cstate);
	}
	PG_FINALLY();
	{
		loading = outer;
		shoal_scope_copies_here = 0;
		if (muted)
			shoal_scope_unmute_relation(sink->rel, &saved);
	}
	PG_END_TRY();
	if (nest_level > 0)
		AtEOXact_GUC(true, nest_level);
	free_parsestate(pstate);
	resetStringInfo(&stream->buf);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/* The buffer of the local stream is full. */
static void
flush_local(ShoalSink *sink, SinkStream *stream)
{
	MemoryContext old;

	if (!sink->one_load)
	{
		load_local(sink, stream);
		return;
	}
	if (stream->spool == NULL)
	{
		old = MemoryContextSwitchTo(sink->cxt);
		stream->spool = BufFileCreateTemp(false);
		MemoryContextSwitchTo(old);
	}
	BufFileWrite(stream->spool, stream->buf.data, stream->buf.len);
	resetStringInfo(&stream->buf);
}

/* ---- rows ---- */

/*
 * In an error handler: if a node has no partition for a row, its shard has
 * moved since its node was looked up.  (Errors of constraints name them; a
 * table that is partitioned by range first may lack a partition for good.)
 */
static void
raise_if_moved(ShoalSink *sink, MemoryContext cxt)
{
	MemoryContext old = MemoryContextSwitchTo(cxt);
	ErrorData  *error = CopyErrorData();
	PartitionKey key = RelationGetPartitionKey(sink->rel);

	if (error->sqlerrcode == ERRCODE_CHECK_VIOLATION &&
		error->constraint_name == NULL && error->table_name != NULL &&
		strcmp(error->table_name, RelationGetRelationName(sink->rel)) == 0 &&
		key != NULL && key->strategy == PARTITION_STRATEGY_HASH)
	{
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
				 errmsg("a shard of table \"%s\" is on another node now",
						RelationGetRelationName(sink->rel)),
				 errdetail_internal("%s", error->detail ? error->detail : ""),
				 errhint("The placement has just changed; run the transaction again.")));
	}
	FreeErrorData(error);
	MemoryContextSwitchTo(old);
}

/*
 * Hands a stream's rows on: what is in its buffer, or (to_end) all that is
 * left, which takes a remote stream two calls: one that sends and one that
 * waits.  Errors are those of rows sent earlier, not of the caller's position.
 */
static void
pass_on(ShoalSink *sink, SinkStream *stream, bool to_end)
{
	ErrorContextCallback *caller = error_context_stack;
	MemoryContext cxt = CurrentMemoryContext;

	error_context_stack = sink->error_stack;
	PG_TRY();
	{
		if (to_end && stream->local)
			load_local(sink, stream);
		else if (to_end && stream->finished)
			end_remote(sink, stream);
		else if (to_end)
			finish_remote(sink, stream);
		else if (stream->local)
			flush_local(sink, stream);
		else
			send_remote(stream);
	}
	PG_CATCH();
	{
		raise_if_moved(sink, cxt);
		PG_RE_THROW();
	}
	PG_END_TRY();
	error_context_stack = caller;
}

/* To a stream's own buffer. */
static void
put(ShoalSink *sink, SinkStream *stream, const char *data, int len,
	bool newline)
{
	if (stream->local)
	{
		SinkEntry	entry = {sink->lineno, len + (newline ? 1 : 0)};

		appendBinaryStringInfo(&stream->buf, (char *) &entry, sizeof(entry));
	}
	else if (stream->conn == NULL)
		begin_remote(sink, stream);

	appendBinaryStringInfo(&stream->buf, data, len);
	if (newline)
		appendStringInfoChar(&stream->buf, '\n');
	if (stream->buf.len >= (stream->local ? LOAD_SIZE : SEND_SIZE))
		pass_on(sink, stream, false);
}

static SinkStream *
stream_of_node(ShoalSink *sink, int node_id)
{
	for (int i = 0; i < sink->nstreams; i++)
	{
		if (sink->streams[i].node_id == node_id)
			return &sink->streams[i];
	}
	return add_stream(sink, node_id);
}

/* The streams of a distributed or single-shard table's shard. */
static List *
streams_of_shard(ShoalSink *sink, int shard)
{
	const ShoalGroup *group = sink->group;
	MemoryContext old;
	List	   *streams;

	if (sink->streams_of_shard[shard] != NIL)
		return sink->streams_of_shard[shard];
	old = MemoryContextSwitchTo(sink->cxt);
	streams = list_make1(stream_of_node(sink,
										shoal_run_shard_node(group, shard)));
	for (int i = 0; sink->copies && i < group->ncopies; i++)
	{
		if (group->copies[i].shard == shard && !group->copies[i].is_primary &&
			group->copies[i].state == SHOAL_COPY_ACTIVE)
			streams = lappend(streams,
							  stream_of_node(sink, group->copies[i].node_id));
	}
	sink->streams_of_shard[shard] = streams;
	MemoryContextSwitchTo(old);
	return streams;
}

/* Sends a shard's rows to other nodes if there are so many. */
static void
send_batch(ShoalSink *sink, int shard, int at_least)
{
	StringInfo	batch = &sink->batches[shard];
	ListCell   *lc;

	if (batch->len < at_least)
		return;
	foreach(lc, sink->streams_of_shard[shard])
	{
		SinkStream *stream = lfirst(lc);

		if (stream->local)
			continue;
		if (stream->buf.len == 0 &&
			lc == list_tail(sink->streams_of_shard[shard]))
		{
			StringInfoData swap = stream->buf;

			stream->buf = *batch;
			*batch = swap;
		}
		else
			appendBinaryStringInfo(&stream->buf, batch->data, batch->len);
		pass_on(sink, stream, false);
	}
	resetStringInfo(batch);
}

/* The first row of a shard that goes to other nodes. */
static void
begin_batch(ShoalSink *sink, int shard)
{
	MemoryContext old;
	ListCell   *lc;

	foreach(lc, sink->streams_of_shard[shard])
	{
		SinkStream *stream = lfirst(lc);

		if (!stream->local && stream->conn == NULL)
			begin_remote(sink, stream);
	}
	old = MemoryContextSwitchTo(sink->cxt);
	initStringInfo(&sink->batches[shard]);
	MemoryContextSwitchTo(old);
}

static void
put_to_shard(ShoalSink *sink, int shard, const char *data, int len,
			 bool newline)
{
	StringInfo	batch = &sink->batches[shard];
	bool		remote = false;
	ListCell   *lc;

	sink->rows++;
	if (sink->table->kind == SHOAL_KIND_REFERENCE)
	{
		for (int i = 0; i < sink->nstreams; i++)
			put(sink, &sink->streams[i], data, len, newline);
		return;
	}
	foreach(lc, streams_of_shard(sink, shard))
	{
		SinkStream *stream = lfirst(lc);

		if (stream->local)
			put(sink, stream, data, len, newline);
		else
			remote = true;
	}
	if (!remote)
		return;
	if (batch->data == NULL)
		begin_batch(sink, shard);
	appendBinaryStringInfo(batch, data, len);
	if (newline)
		appendStringInfoChar(batch, '\n');
	send_batch(sink, shard, sink->batch_size);
}

static int
shard_of_row(ShoalSink *sink, const Datum *values, const bool *nulls)
{
	Datum		key_values[PARTITION_MAX_KEYS];
	bool		key_nulls[PARTITION_MAX_KEYS];

	if (sink->table->kind != SHOAL_KIND_DISTRIBUTED)
		return 0;
	for (int key = 0; key < sink->table->nkeys; key++)
	{
		int			i = sink->key_index[key];

		key_nulls[key] = i < 0 || nulls[i];
		key_values[key] = key_nulls[key] ? (Datum) 0 : values[i];
	}
	return shoal_meta_shard_of(sink->table, key_values, key_nulls,
							   sink->table->keytype);
}

void
shoal_sink_row(ShoalSink *sink, const Datum *values, const bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(sink->row_cxt);
	int			shard = shard_of_row(sink, values, nulls);

	resetStringInfo(&sink->row);
	shoal_wire_copy_row(sink->encoder, &sink->row, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(sink->row_cxt);
	put_to_shard(sink, shard, sink->row.data, sink->row.len, false);
}

void
shoal_sink_line(ShoalSink *sink, int shard, const char *line, int len)
{
	put_to_shard(sink, shard, line, len, true);
}

bool
shoal_sink_repeats(const ShoalSink *sink)
{
	return sink->copies || sink->table->kind == SHOAL_KIND_REFERENCE;
}

/* Tells other nodes that there are no more rows; the second time waits for them. */
static void
end_streams(ShoalSink *sink)
{
	for (int i = 0; i < sink->nstreams; i++)
	{
		SinkStream *stream = &sink->streams[i];

		if (!stream->local && stream->conn && !stream->ended)
			pass_on(sink, stream, true);
	}
}

uint64
shoal_sink_close(ShoalSink *sink)
{
	uint64		rows = 0;

	for (int shard = 0; shard < sink->group->shard_count; shard++)
		if (sink->batches[shard].data != NULL)
			send_batch(sink, shard, 1);

	/* what the other nodes still have to do overlaps with the load here */
	end_streams(sink);
	/* unless triggers fire here, whose queries need the connections */
	if (sink->one_load)
		end_streams(sink);
	for (int i = 0; i < sink->nstreams; i++)
	{
		SinkStream *stream = &sink->streams[i];

		if (!stream->local || (stream->buf.len == 0 && stream->spool == NULL))
			continue;
		if (stream->spool && BufFileSeek(stream->spool, 0, 0, SEEK_SET) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not rewind a temporary file")));
		pass_on(sink, stream, true);
	}
	end_streams(sink);
	for (int i = 0; i < sink->nstreams; i++)
	{
		if (sink->table->kind != SHOAL_KIND_REFERENCE || i == 0)
			rows += sink->streams[i].rows;
	}
	/* each was stored, in as many copies as there are */
	if (sink->copies)
		rows = sink->rows;
	MemoryContextDelete(sink->cxt);
	return rows;
}
