/*
 * exec_scatter.c
 *		Moving rows from where they are to the nodes that need them.
 *
 * The statement that moves rows is "SELECT shoal.scatter(spec, columns) FROM
 * ...", sent to each node that has some: an aggregate whose state is one stream
 * per target node.  The spec tells the rows' token, the targets, and whether
 * each gets all rows or those with keys of its shards.  Rows collect in a
 * buffer per stream; a full one is sent to the target by a connection apart
 * from the transaction's, where a function appends it to a temporary file
 * (exec_rowfile.c), or appended here if this node is the target.  Each stream
 * has one buffer on its way while the next is filled.
 *
 * "shoal.scatter_distinct" leaves rows out that it has seen before.  It has room for
 * some values, so that rows which are the same may still come twice.  The room is
 * divided into buckets of one line of the processor's cache: one that is full
 * forgets a value for each new one.
 *
 * Rows travel as MinimalTuples: planner code moves only types whose values mean
 * the same on every node, and the spec tells the layout that the coordinator
 * counts on.
 *
 * An error leaves the connections to be closed and the files to be removed by
 * the abort.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "exec/exec_internal.h"
#include "exec/exec_rowfile.h"
#include "exec/exec_scatter.h"
#include "plan/plan_moved.h"

#define STORE_SQL	"SELECT shoal.store_rows($1, $2, $3, $4)"

/* values of a bucket: it is 64 bytes, a line of the processor's cache */
#define BUCKET_SIZE		(64 / sizeof(Datum))

/* arguments of the aggregate's transition function ahead of the columns */
#define FIRST_COLUMN	2

typedef struct RowStream
{
	int			node_id;
	bool		local;
	bool		created;		/* its file is */
	StringInfoData buf;			/* being filled */
	StringInfoData sent;		/* on its way */
	MemoryContext cxt;			/* of the request */
	ShoalRequest *req;			/* not answered yet */
} RowStream;

typedef struct Scatter
{
	char	   *token;
	RowStream  *streams;
	int			nstreams;
	int		   *stream_of;		/* by shard: index of a stream, -1: nobody
								 * needs it; NULL: every stream gets all rows */
	const ShoalTable *table;	/* whose shards */
	int			nkeys;			/* the first columns are the key */
	TupleDesc	desc;
	Oid		   *types;
	Datum	   *values;
	bool	   *nulls;
	int64		rows;
	Datum	   *seen;			/* buckets of values; 0 is no value.  NULL: no row
								 * is left out */
	int			nbuckets;
	bool		seen_null;
	bool		seen_zero;
} Scatter;

PG_FUNCTION_INFO_V1(shoal_scatter_row);
PG_FUNCTION_INFO_V1(shoal_scatter_new_row);
PG_FUNCTION_INFO_V1(shoal_scatter_end);
PG_FUNCTION_INFO_V1(shoal_store_rows);

/* ---- the spec ---- */

int
shoal_scatter_layout(void)
{
	int			result = MAXIMUM_ALIGNOF << 8;

#ifdef WORDS_BIGENDIAN
	result |= 1;
#endif
#if FLOAT8PASSBYVAL
	result |= 2;
#endif
	return result;
}

char *
shoal_scatter_spec(const char *token, const int *targets, int ntargets,
				   const char *table, int nkeys)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%d %s %d %d", shoal_scatter_layout(), token, nkeys, ntargets);
	for (int i = 0; i < ntargets; i++)
		appendStringInfo(&buf, " %d", targets[i]);
	if (table)
		appendStringInfo(&buf, " %s", table);
	return buf.data;
}

static int
read_number(char **text)
{
	char	   *end;
	long		result = strtol(*text, &end, 10);

	if (end == *text || (*end != ' ' && *end != '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid specification of rows to be moved")));
	*text = end + (*end == ' ');
	return (int) result;
}

void
shoal_scatter_check_layout(int other)
{
	if (other != shoal_scatter_layout())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot move rows between nodes of different machine types"),
				 errhint("Set shoal.enable_move to off.")));
}

static int
stream_of_node(Scatter *scatter, int node_id)
{
	RowStream  *stream;

	for (int i = 0; i < scatter->nstreams; i++)
	{
		if (scatter->streams[i].node_id == node_id)
			return i;
	}
	stream = &scatter->streams[scatter->nstreams];
	memset(stream, 0, sizeof(RowStream));
	stream->node_id = node_id;
	stream->local = (node_id == shoal_meta_local_node_id());
	initStringInfo(&stream->buf);
	initStringInfo(&stream->sent);
	stream->cxt = AllocSetContextCreate(CurrentMemoryContext, "Shoal row stream",
										ALLOCSET_SMALL_SIZES);
	return scatter->nstreams++;
}

/* Has it remember what it has seen. */
static void
open_seen(Scatter *scatter)
{
	Size		size;

	if (scatter->desc->natts != 1 || !TupleDescAttr(scatter->desc, 0)->attbyval)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows to be moved once have to be of one column, passed by value")));
	scatter->nbuckets = Max(shoal_moved_values_seen() / BUCKET_SIZE, 1);
	size = scatter->nbuckets * BUCKET_SIZE * sizeof(Datum);
	scatter->seen = (Datum *) TYPEALIGN(64, palloc(size + 64));
	memset(scatter->seen, 0, size);
}

static Scatter *
open_scatter(char *spec, FunctionCallInfo fcinfo)
{
	Scatter    *scatter = palloc0(sizeof(Scatter));
	int			ncolumns = PG_NARGS() - FIRST_COLUMN;
	int			ntargets;
	int		   *stream_of;

	shoal_scatter_check_layout(read_number(&spec));
	scatter->token = pnstrdup(spec, SHOAL_TOKEN_LEN);
	if (strlen(scatter->token) == SHOAL_TOKEN_LEN)
		spec += SHOAL_TOKEN_LEN + 1;
	shoal_rowfile_guard(scatter->token, shoal_meta_local_node_id());
	scatter->nkeys = read_number(&spec);
	ntargets = read_number(&spec);
	if (ntargets < 1 || ntargets > 100000 || scatter->nkeys > ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid specification of rows to be moved")));
	scatter->streams = palloc(sizeof(RowStream) * ntargets);
	stream_of = palloc(sizeof(int) * ntargets);
	for (int i = 0; i < ntargets; i++)
	{
		int			node_id = read_number(&spec);

		stream_of[i] = node_id == 0 ? -1 : stream_of_node(scatter, node_id);
	}
	if (scatter->nkeys > 0)
	{
		Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(shoal_name_list(spec)),
											 NoLock, false);

		scatter->table = shoal_meta_table(relid);
		if (scatter->table == NULL || scatter->table->shard_count != ntargets)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("table %s has other shards on this node than on the coordinator",
							spec),
					 errhint("Run the transaction again.")));
		scatter->stream_of = stream_of;
	}

	scatter->types = palloc(sizeof(Oid) * ncolumns);
	scatter->values = palloc(sizeof(Datum) * ncolumns);
	scatter->nulls = palloc(sizeof(bool) * ncolumns);
	scatter->desc = CreateTemplateTupleDesc(ncolumns);
	for (int i = 0; i < ncolumns; i++)
	{
		scatter->types[i] = get_fn_expr_argtype(fcinfo->flinfo, i + FIRST_COLUMN);
		TupleDescInitEntry(scatter->desc, i + 1, NULL,
						   getBaseType(scatter->types[i]), -1, 0);
	}
	return scatter;
}

/* ---- streams ---- */

static void
finish_request(RowStream *stream)
{
	if (stream->req == NULL)
		return;
	while (shoal_remote_next(stream->req) != NULL)
		 /* its one row says nothing */ ;
	stream->req = NULL;
	MemoryContextReset(stream->cxt);
}

static void
send_rows(Scatter *scatter, RowStream *stream)
{
	MemoryContext old;
	ShoalParams *params;
	StringInfoData buf;

	if (stream->local)
	{
		shoal_rowfile_append(scatter->token, stream->node_id, stream->node_id,
							 !stream->created, stream->buf.data,
							 stream->buf.len);
		stream->created = true;
		resetStringInfo(&stream->buf);
		return;
	}

	finish_request(stream);
	buf = stream->sent;
	stream->sent = stream->buf;
	stream->buf = buf;
	resetStringInfo(&stream->buf);

	old = MemoryContextSwitchTo(stream->cxt);
	params = palloc0(sizeof(ShoalParams));
	params->n = 4;
	params->types = palloc(sizeof(Oid) * 4);
	params->values = palloc(sizeof(char *) * 4);
	params->lengths = palloc0(sizeof(int) * 4);
	params->formats = palloc0(sizeof(int) * 4);
	params->types[0] = TEXTOID;
	params->values[0] = scatter->token;
	params->types[1] = INT4OID;
	params->values[1] = psprintf("%d", shoal_meta_local_node_id());
	params->types[2] = BOOLOID;
	params->values[2] = stream->created ? "f" : "t";
	params->types[3] = BYTEAOID;
	params->values[3] = stream->sent.data;
	params->lengths[3] = stream->sent.len;
	params->formats[3] = 1;
	stream->req = shoal_remote_send(shoal_remote_conn_for_rows(stream->node_id),
									STORE_SQL, params, SHOAL_SEND_CACHE);
	stream->created = true;
	MemoryContextSwitchTo(old);
}

static void
put_row(Scatter *scatter, RowStream *stream, MinimalTuple tuple)
{
	static const char padding[MAXIMUM_ALIGNOF] = {0};

	appendBinaryStringInfo(&stream->buf, (char *) tuple, tuple->t_len);
	appendBinaryStringInfo(&stream->buf, padding,
						   MAXALIGN(tuple->t_len) - tuple->t_len);
	if (stream->buf.len >= SHOAL_ROWS_CHUNK)
		send_rows(scatter, stream);
}

/*
 * Whether a value has not been seen, as far as is remembered.  The same bits, that
 * is: if equal ones are not the same both are new.
 */
static bool
is_new(Scatter *scatter, Datum value, bool isnull)
{
	uint64		hash;
	Datum	   *bucket;

	if (isnull || value == 0)
	{
		bool	   *seen = isnull ? &scatter->seen_null : &scatter->seen_zero;
		bool		result = !*seen;

		*seen = true;
		return result;
	}
	/* the high half of the product is as good as random */
	hash = ((uint64) value * UINT64CONST(0x9E3779B97F4A7C15)) >> 32;
	bucket = scatter->seen + BUCKET_SIZE * (hash * scatter->nbuckets >> 32);
	for (int i = 0; i < BUCKET_SIZE; i++)
	{
		if (bucket[i] == value)
			return false;
		if (bucket[i] == 0)
		{
			bucket[i] = value;
			return true;
		}
	}
	bucket[hash % BUCKET_SIZE] = value;
	return true;
}

/* Sends the row of a call to those who need it. */
static void
scatter_row(Scatter *scatter, FunctionCallInfo fcinfo)
{
	MinimalTuple tuple;

	for (int i = 0; i < scatter->desc->natts; i++)
	{
		NullableDatum *arg = &fcinfo->args[i + FIRST_COLUMN];

		scatter->nulls[i] = arg->isnull;
		scatter->values[i] = arg->value;
		if (!arg->isnull && TupleDescAttr(scatter->desc, i)->attlen == -1)
			scatter->values[i] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(arg->value));
	}
	tuple = shoal_form_minimal_tuple(scatter->desc, scatter->values,
									 scatter->nulls);
	if (scatter->stream_of)
	{
		int			shard = shoal_meta_shard_of(scatter->table, scatter->values,
												scatter->nulls, scatter->types);

		if (scatter->stream_of[shard] >= 0)
			put_row(scatter, &scatter->streams[scatter->stream_of[shard]], tuple);
	}
	else
	{
		for (int i = 0; i < scatter->nstreams; i++)
			put_row(scatter, &scatter->streams[i], tuple);
	}
	scatter->rows++;
}

/* The state of a call, begun with the first. */
static Scatter *
get_scatter(FunctionCallInfo fcinfo, bool distinct)
{
	MemoryContext aggcontext;
	MemoryContext old;
	Scatter    *scatter;

	if (!AggCheckCallContext(fcinfo, &aggcontext))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s can only be called as part of an aggregate",
						distinct ? "shoal.scatter_new_row" : "shoal.scatter_row")));
	if (!PG_ARGISNULL(0))
		return (Scatter *) PG_GETARG_POINTER(0);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("rows to be moved need a specification")));
	old = MemoryContextSwitchTo(aggcontext);
	scatter = open_scatter(text_to_cstring(PG_GETARG_TEXT_PP(1)), fcinfo);
	if (distinct)
		open_seen(scatter);
	MemoryContextSwitchTo(old);
	return scatter;
}

/*
 * shoal.scatter's transition function: (state, spec, columns...) returns
 * state.
 */
Datum
shoal_scatter_row(PG_FUNCTION_ARGS)
{
	Scatter    *scatter = get_scatter(fcinfo, false);

	scatter_row(scatter, fcinfo);
	PG_RETURN_POINTER(scatter);
}

/* That of shoal.scatter_distinct. */
Datum
shoal_scatter_new_row(PG_FUNCTION_ARGS)
{
	Scatter    *scatter = get_scatter(fcinfo, true);

	if (is_new(scatter, fcinfo->args[FIRST_COLUMN].value,
			   fcinfo->args[FIRST_COLUMN].isnull))
		scatter_row(scatter, fcinfo);
	PG_RETURN_POINTER(scatter);
}

/*
 * The final function of both: "node rows", once they are with their nodes, NULL if there
 * are none.  Which node that is, those who asked may not know: the one that they
 * asked can have found that all of the query is to be run on another one.
 */
Datum
shoal_scatter_end(PG_FUNCTION_ARGS)
{
	Scatter    *scatter;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	scatter = (Scatter *) PG_GETARG_POINTER(0);
	for (int i = 0; i < scatter->nstreams; i++)
	{
		RowStream  *stream = &scatter->streams[i];

		if (stream->buf.len > 0 || !stream->created)
			send_rows(scatter, stream);
	}
	for (int i = 0; i < scatter->nstreams; i++)
		finish_request(&scatter->streams[i]);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d " INT64_FORMAT,
											  shoal_meta_local_node_id(),
											  scatter->rows)));
}

/*
 * shoal.store_rows(token, sender, first, rows): a node's rows for a query that
 * will run here.
 */
Datum
shoal_store_rows(PG_FUNCTION_ARGS)
{
	char	   *token = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bytea	   *rows = PG_GETARG_BYTEA_PP(3);
	int			node_id = shoal_meta_local_node_id();

	if (shoal_origin <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", "store_rows"),
				 errdetail("Only nodes of the cluster send rows to each other.")));
	shoal_rowfile_guard(token, node_id);
	shoal_rowfile_append(token, node_id, PG_GETARG_INT32(1),
						 PG_GETARG_BOOL(2), VARDATA_ANY(rows),
						 VARSIZE_ANY_EXHDR(rows));
	PG_RETURN_VOID();
}
