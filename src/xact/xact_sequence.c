/*
 * xact_sequence.c
 *		Values of sequences: each once in the whole cluster.
 *
 * Every node has every sequence, but values are given by the node with the
 * lowest id only; others ask it.  Likewise it is only there that a sequence is
 * set: what the others have is beyond anything that was given, and stays so.
 *
 * Where there are replicas, another node may have to go on in its place, which
 * must not give any value again.  So before it gives a value beyond a limit, the
 * sequences of all other nodes are moved to a new limit, up to RESERVE values
 * ahead.  A node that takes over begins there; up to as many values are left out
 * then.  The limits are in shared memory, so a restart costs no more than a new one.
 *
 * A transaction that has made or altered a sequence keeps others from using it. Then
 * the lowest node can't reach it on the other nodes, and leaves that to the one where
 * the transaction was begun.
 *
 * Setting limits and taking a node back exclude each other, by a lock on the
 * lowest node: the one that comes back, and may be the lowest then, begins
 * beyond any limit that the other one can have set.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_sequence.h"
#include "commands/extension.h"
#include "commands/sequence.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "common/int.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_health.h"
#include "xact/xact_private.h"

/* values up to which the other nodes are ahead */
#define RESERVE 1000

/* limits that are remembered; where two fall together they are set more often */
#define LIMITS 4096

PG_FUNCTION_INFO_V1(shoal_cluster_nextval);
PG_FUNCTION_INFO_V1(shoal_cluster_setval);
PG_FUNCTION_INFO_V1(shoal_internal_identity_value);
PG_FUNCTION_INFO_V1(shoal_internal_sequence_ahead);
PG_FUNCTION_INFO_V1(shoal_internal_sequences);

/* A limit: of a sequence as it was last restarted, and for these nodes. */
typedef struct SequenceLimit
{
	Oid			dbid;
	uint64		file;
	uint32		nodes;			/* hash */
	int64		limit;
} SequenceLimit;

typedef struct SequenceShared
{
	SequenceLimit limits[LIMITS];
} SequenceShared;

static SequenceShared *shared = NULL;
static LWLock *shared_lock = NULL;

/* ---- limits ---- */

static Form_pg_sequence
get_sequence(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(relid));
	Form_pg_sequence result = palloc(sizeof(FormData_pg_sequence));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", relid);
	memcpy(result, GETSTRUCT(tuple), sizeof(FormData_pg_sequence));
	ReleaseSysCache(tuple);
	return result;
}

/* How far a sequence goes in so many steps, but not beyond its end. */
static int64
step_ahead(const FormData_pg_sequence *seq, int64 value, int64 steps)
{
	int64		way;
	int64		result;

	if (pg_mul_s64_overflow(steps, seq->seqincrement, &way) ||
		pg_add_s64_overflow(value, way, &result))
		return seq->seqincrement > 0 ? seq->seqmax : seq->seqmin;
	return seq->seqincrement > 0 ? Min(result, seq->seqmax) :
		Max(result, seq->seqmin);
}

/*
 * The limit for a value that is to be given.  A sequence with few values left
 * has it nearer.
 */
static int64
limit_for(const FormData_pg_sequence *seq, int64 value)
{
	double		left = seq->seqincrement > 0 ?
		((double) seq->seqmax - value) / seq->seqincrement :
		((double) seq->seqmin - value) / seq->seqincrement;

	return step_ahead(seq, value, (int64) Max(Min(RESERVE, left / 4), 0));
}

static SequenceLimit *
find_limit(Oid relid, SequenceLimit *key)
{
	uint32		hash;
	ListCell   *lc;

	key->dbid = MyDatabaseId;
	key->file = shoal_rel_file_number(relid);
	key->nodes = 0;
	foreach(lc, shoal_meta_nodes())
		key->nodes = hash_combine(key->nodes, ((const ShoalNode *) lfirst(lc))->node_id);
	hash = hash_combine(murmurhash32((uint32) key->file), key->dbid);
	return &shared->limits[hash % LIMITS];
}

static bool
is_within_limit(const FormData_pg_sequence *seq, int64 value)
{
	SequenceLimit key;
	SequenceLimit *slot = find_limit(seq->seqrelid, &key);
	bool		within;

	LWLockAcquire(shared_lock, LW_SHARED);
	within = slot->dbid == key.dbid && slot->file == key.file &&
		slot->nodes == key.nodes &&
		(seq->seqincrement > 0 ? value <= slot->limit : value >= slot->limit);
	LWLockRelease(shared_lock);
	return within;
}

static char *
ahead_call(const FormData_pg_sequence *seq, int64 limit)
{
	return psprintf(XACT_INTERNAL_CALL "sequence_ahead(%s, " INT64_FORMAT ")",
					quote_literal_cstr(shoal_objects_relation_name(seq->seqrelid)), limit);
}

/* This node's sequence; never back. */
static void
move_ahead(Oid relid, int64 value)
{
	char		comparison = get_sequence(relid)->seqincrement > 0 ? '<' : '>';
	bool		behind;
	Oid			userid;
	int			context;

	GetUserIdAndSecContext(&userid, &context);
	SetUserIdAndSecContext(shoal_meta_owner(),
						   context | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute(psprintf("SELECT 1 WHERE pg_catalog.pg_sequence_last_value(%u) IS NULL"
							 " OR pg_catalog.pg_sequence_last_value(%u) %c " INT64_FORMAT,
							 relid, relid, comparison, value),
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not move a sequence");
	behind = SPI_processed > 0;
	SPI_finish();
	if (behind)
		DirectFunctionCall2(setval_oid, ObjectIdGetDatum(relid),
							Int64GetDatum(value));
	SetUserIdAndSecContext(userid, context);
}

/*
 * Moves the other nodes' sequences to a new limit.  False if this node is not the
 * lowest any more.
 */
static bool
set_limit(const FormData_pg_sequence *seq, int64 value)
{
	int64		limit = limit_for(seq, value);
	SequenceLimit key;
	SequenceLimit *slot;
	char	   *call;
	ListCell   *lc;
	Oid			extension = get_extension_oid("shoal", false);

	LockDatabaseObject(ExtensionRelationId, extension, 2, ShareLock);
	slot = find_limit(seq->seqrelid, &key);
	key.limit = limit;
	call = ahead_call(seq, limit);
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (!node->is_local && foreach_current_index(lc) == 0)
		{
			UnlockDatabaseObject(ExtensionRelationId, extension, 2, ShareLock);
			return false;
		}
		if (!node->is_local)
		{
			(void) shoal_health_await_node(node->node_id);
			shoal_remote_exec(shoal_xact_conn_outside(node->node_id), call);
		}
	}
	LWLockAcquire(shared_lock, LW_EXCLUSIVE);
	*slot = key;
	LWLockRelease(shared_lock);
	UnlockDatabaseObject(ExtensionRelationId, extension, 2, ShareLock);
	return true;
}

/* ---- sequences that the transaction has made or altered ---- */

static bool
is_locked_by_transaction(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		result = CheckRelationLockedByMe(rel, ShareRowExclusiveLock, true);

	relation_close(rel, AccessShareLock);
	return result;
}

/* Does another node, which the transaction is of, set the limits? */
static bool
is_for_coordinator(Oid relid)
{
	return shoal_origin > 0 && is_locked_by_transaction(relid);
}

/*
 * On that node, when the lowest one has given a value: sets a limit for it on the
 * other nodes, and here.
 */
static void
set_limit_for_lowest(Oid relid, int64 value)
{
	static SequenceLimit known;
	SequenceLimit key;
	Form_pg_sequence seq;
	char	   *call;
	ListCell   *lc;

	if (!shoal_health_is_watched() || !is_locked_by_transaction(relid))
		return;
	seq = get_sequence(relid);
	(void) find_limit(relid, &key);
	value = step_ahead(seq, value, seq->seqcache - 1);
	if (seq->seqcycle ||
		(known.dbid == key.dbid && known.file == key.file && known.nodes == key.nodes &&
		 (seq->seqincrement > 0 ? value <= known.limit : value >= known.limit)))
		return;
	key.limit = limit_for(seq, value);
	call = ahead_call(seq, key.limit);
	move_ahead(relid, key.limit);
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = lfirst(lc);

		if (!node->is_local && foreach_current_index(lc) > 0)
			shoal_remote_exec(shoal_xact_conn_outside(node->node_id), call);
	}
	known = key;
}

/* ---- values ---- */

/*
 * From this node's sequence; false if that is not to be given.  That of an identity
 * column needs no right.
 */
static bool
take_here(Oid relid, bool identity, int64 *value)
{
	Form_pg_sequence seq;
	int64		last;

	*value = nextval_internal(relid, !identity);
	shoal_currval_forget(relid, true);
	if (!shoal_health_is_watched() ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return true;
	seq = get_sequence(relid);
	/* the session has taken these, too, and gives them without asking */
	last = step_ahead(seq, *value, seq->seqcache - 1);
	return seq->seqcycle || is_within_limit(seq, last) ||
		is_for_coordinator(relid) || set_limit(seq, last);
}

/*
 * Sets this node's sequence; false if the others would not go on behind the value,
 * should they have to.
 */
static bool
set_here(Oid relid, int64 value, bool is_called)
{
	Form_pg_sequence seq;

	DirectFunctionCall3(setval3_oid, ObjectIdGetDatum(relid),
						Int64GetDatum(value), BoolGetDatum(is_called));
	if (is_called)
		shoal_currval_forget(relid, false);
	if (!shoal_health_is_watched() ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return true;
	seq = get_sequence(relid);
	return seq->seqcycle || is_within_limit(seq, value) ||
		is_for_coordinator(relid) || set_limit(seq, value);
}

/*
 * The node that has a sequence's values, 0: this one.  Waits until it is known.
 */
static int
node_of_sequence(Oid relid)
{
	for (;;)
	{
		List	   *nodes = shoal_meta_enabled() ? shoal_meta_nodes() : NIL;
		const ShoalNode *first = nodes ? linitial(nodes) : NULL;

		if (first == NULL || first->is_local ||
			get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
			return 0;
		if (get_rel_relkind(relid) != RELKIND_SEQUENCE)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" is not a sequence",
							get_rel_name(relid) ? get_rel_name(relid) : "???")));
		/* if it is given up, another one is the lowest */
		if (!shoal_health_await_node(first->node_id))
			return first->node_id;
	}
}

static int64
ask_for(int node_id, const char *call)
{
	PGresult   *res;
	int64		value;

	res = shoal_remote_query(shoal_xact_conn_outside(node_id), call, NULL);
	value = strtoi64(PQgetvalue(res, 0, 0), NULL, 10);
	PQclear(res);
	return value;
}

/*
 * A sequence is never rolled back, so it does not matter whether its node is
 * part of the transaction.
 */
static int64
next_value(Oid relid, bool identity)
{
	int			node_id;
	int64		value;

	while ((node_id = node_of_sequence(relid)) == 0)
	{
		if (take_here(relid, identity, &value))
			return value;
	}
	PreventCommandIfReadOnly("nextval()");
	value = ask_for(node_id, identity ?
					psprintf(XACT_INTERNAL_CALL "identity_value(%s, %s)",
							 quote_literal_cstr(get_namespace_name(get_rel_namespace(relid))),
							 quote_literal_cstr(get_rel_name(relid))) :
					psprintf("SELECT shoal.cluster_nextval(%s::pg_catalog.regclass)",
							 quote_literal_cstr(shoal_objects_relation_name(relid))));
	set_limit_for_lowest(relid, value);
	shoal_currval_keep(relid, value, true);
	return value;
}

/* shoal.cluster_nextval(sequence): see plan_sequence.c for the collation. */
Datum
shoal_cluster_nextval(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(next_value(PG_GETARG_OID(0), PG_GET_COLLATION() == C_COLLATION_OID));
}

/*
 * shoal.internal_identity_value(schema, sequence)
 *
 * Names without looking at rights: the user may have some just on a view.
 */
Datum
shoal_internal_identity_value(PG_FUNCTION_ARGS)
{
	char	   *schema = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			relid = get_relname_relid(name, get_namespace_oid(schema, false));

	shoal_xact_check_internal();
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("sequence \"%s.%s\" does not exist", schema, name)));
	PG_RETURN_INT64(next_value(relid, true));
}

/* shoal.cluster_setval(sequence, value, is_called) */
Datum
shoal_cluster_setval(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	int64		value = PG_GETARG_INT64(1);
	bool		is_called = PG_GETARG_BOOL(2);
	int			node_id;

	while ((node_id = node_of_sequence(relid)) == 0)
	{
		if (set_here(relid, value, is_called))
			PG_RETURN_INT64(value);
	}
	PreventCommandIfReadOnly("setval()");
	(void) ask_for(node_id,
				   psprintf("SELECT shoal.cluster_setval(%s::pg_catalog.regclass, " INT64_FORMAT ", %s)",
							quote_literal_cstr(shoal_objects_relation_name(relid)), value,
							is_called ? "true" : "false"));
	set_limit_for_lowest(relid, value);
	if (is_called)
		shoal_currval_keep(relid, value, false);
	PG_RETURN_INT64(value);
}

/* ---- moving them ---- */

/* shoal.internal_sequence_ahead(sequence, value): never back */
Datum
shoal_internal_sequence_ahead(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	shoal_health_check_origin();
	move_ahead(PG_GETARG_OID(0), PG_GETARG_INT64(1));
	PG_RETURN_VOID();
}

/*
 * shoal.internal_sequences(): calls of internal_sequence_ahead() that make another
 * node's sequences begin beyond all limits that this node has set; null if there
 * are none.  No limits are set until the end of the transaction.
 */
Datum
shoal_internal_sequences(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	shoal_xact_check_internal();
	LockDatabaseObject(ExtensionRelationId, get_extension_oid("shoal", false), 2,
					   ExclusiveLock);
	initStringInfo(&buf);
	if (SPI_connect() != SPI_OK_CONNECT ||
		SPI_execute("SELECT seqrelid, pg_catalog.pg_sequence_last_value(seqrelid)"
					" FROM pg_catalog.pg_sequence JOIN pg_catalog.pg_class ON oid = seqrelid"
					" WHERE relpersistence <> 't' AND NOT seqcycle"
					" AND pg_catalog.pg_sequence_last_value(seqrelid) IS NOT NULL",
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read sequences");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;
		Oid			relid = DatumGetObjectId(SPI_getbinval(tuple, SPI_tuptable->tupdesc,
														   1, &isnull));
		int64		last = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc,
													   2, &isnull));
		Form_pg_sequence seq = get_sequence(relid);

		last = step_ahead(seq, last, 2 * seq->seqcache);
		appendStringInfo(&buf, "%sshoal.internal_sequence_ahead(%s, " INT64_FORMAT ")",
						 i > 0 ? ", " : "", quote_literal_cstr(shoal_objects_relation_name(relid)),
						 limit_for(seq, last));
	}
	if (SPI_processed == 0)
	{
		SPI_finish();
		PG_RETURN_NULL();
	}
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(buf.data));
}

/* ---- installing ---- */

void
xact_sequence_init(void)
{
	static const ShoalShared share = {
		.name = "shoal sequences",
		.size = sizeof(SequenceShared),
		.memory = (void **) &shared,
		.lock = &shared_lock
	};

	shoal_server_share(&share);
}
