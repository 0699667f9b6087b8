/*
 * mirror_trigger.c
 *		The primary's side: collecting changes of rows.
 *
 * The trigger notes each change: what identifies the old row, and the new row.
 * At the end of a statement what was noted is handed on as segments: to the
 * coordinator, as a notice that libpq gives to it (remote_receive_notice), or,
 * in a user's own session, to mirror_forward.c directly.  So the replicas take
 * part in the coordinator's transaction like any other node, and there is
 * nothing to be done about their commit.
 *
 * AFTER triggers fire when their statement is over, in the order of its
 * changes.  But a statement that a trigger runs is over before the rest of the
 * outer statement's triggers have fired, so it may be noted before what it has
 * built upon.  What counts is the outcome: between two hand-overs a row version
 * that was made and replaced again is nobody's business.  So for each version
 * that was noted as new the entry is found by its place, and if the version is
 * replaced, it is dropped from there; a version that was replaced before it
 * was noted is not noted.  When that has happened the order says nothing any
 * more: old rows are deleted first, then new ones inserted.  Otherwise changes
 * keep their order, which no unique constraint minds.
 *
 * Large statements are handed on in pieces, where nothing can come in between.
 *
 * The caller holds a lock on the partition; whoever makes another node the
 * primary takes one that conflicts.  So a write that gets here while this node
 * is not the primary comes from an old view, and is refused.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "exec/exec_wire.h"
#include "meta/meta.h"
#include "mirror/mirror_private.h"
#include "remote/remote.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

PG_FUNCTION_INFO_V1(shoal_mirror_change);
PG_FUNCTION_INFO_V1(shoal_is_mirror_wanted);

/* bytes that are collected before a piece of a statement is handed on */
#define PIECE_SIZE	(256 * 1024)

/* milliseconds by which the nodes may hear of a change at different times, and between looks */
#define CHANGE_PATIENCE	300
#define CHANGE_PAUSE	2

/* A change. */
typedef struct MirrorEntry
{
	MirrorRel  *rel;
	char	   *old;			/* NULL: there was no row on the replicas */
	int			old_len;
	char	   *row;			/* NULL: there is none any more */
	int			row_len;
	int			level;			/* nesting level of its transaction */
	ItemPointerData tid;		/* of the new row */
	int			dead_level;		/* and of the one that has replaced the new row;
								 * 0: none has */
} MirrorEntry;

/* Where the version of a row is that an entry made. */
typedef struct VersionKey
{
	Oid			relid;
	ItemPointerData tid;
} VersionKey;

typedef struct Version
{
	VersionKey	key;
	int			entry;
} Version;

static MemoryContext batch_cxt = NULL;
static MirrorEntry *entries = NULL;
static int	nentries = 0;
static int	max_entries = 0;
static Size batch_size = 0;
static HTAB *versions = NULL;
static bool out_of_order = false;
static bool in_pieces = true;	/* only quiet tables so far */

/* of the outermost statement that writes */
static CommandId outermost_cid = 0;
static Oid	checked_relid = InvalidOid; /* by the one that is a COPY */
static bool piece_sent = false;

/* depth of statements at which a COPY runs that goes to all copies; -1: none does */
static int	copies_depth = -1;

/* the transaction has written to a table with replicas */
bool		mirror_wrote = false;

int			mirror_client_level = 1;

/* triggers may fire in COMMIT, and its coordinator knows */
static bool is_late = false;
static bool told_late = false;

/* ---- entries ---- */

static char *
encode_row(ShoalEncoder *encoder, int n, const AttrNumber *attnums,
		   TupleTableSlot *slot, int *len)
{
	StringInfo	buf = mirror_encode_row(encoder, n, attnums, slot);
	char	   *result = MemoryContextAllocHuge(batch_cxt, buf->len + 1);

	memcpy(result, buf->data, buf->len);
	*len = buf->len;
	batch_size += buf->len;
	return result;
}

static void
begin_batch(void)
{
	HASHCTL		ctl;

	batch_cxt = AllocSetContextCreate(TopTransactionContext, "Shoal changes",
									  ALLOCSET_DEFAULT_SIZES);
	max_entries = 16;
	entries = MemoryContextAlloc(batch_cxt, sizeof(MirrorEntry) * max_entries);
	ctl.keysize = sizeof(VersionKey);
	ctl.entrysize = sizeof(Version);
	ctl.hcxt = batch_cxt;
	versions = hash_create("shoal new versions", 64, &ctl,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
end_batch(void)
{
	for (int i = 0; i < nentries; i++)
		entries[i].rel->pending = 0;
	if (batch_cxt)
		MemoryContextDelete(batch_cxt);
	batch_cxt = NULL;
	entries = NULL;
	versions = NULL;
	nentries = 0;
	batch_size = 0;
	out_of_order = false;
	in_pieces = true;
}

static void
make_key(VersionKey *key, Oid relid, ItemPointer tid)
{
	memset(key, 0, sizeof(*key));
	key->relid = relid;
	key->tid = *tid;
}

/* The entry that has made this version of a row, NULL if it is not known. */
static MirrorEntry *
entry_of_version(MirrorRel *rel, ItemPointer tid)
{
	VersionKey	key;
	Version    *version;

	make_key(&key, rel->relid, tid);
	version = hash_search(versions, &key, HASH_FIND, NULL);
	/* a subtransaction that made it may have been rolled back */
	if (version == NULL || version->entry >= nentries ||
		entries[version->entry].rel != rel ||
		!ItemPointerEquals(&entries[version->entry].tid, tid))
		return NULL;
	return &entries[version->entry];
}

static void
remember_version(MirrorRel *rel, ItemPointer tid, int entry)
{
	VersionKey	key;
	Version    *version;

	make_key(&key, rel->relid, tid);
	version = hash_search(versions, &key, HASH_ENTER, NULL);
	version->entry = entry;
}

/* Whether this transaction has replaced the version that the slot has. */
static bool
was_replaced(Relation rel, TupleTableSlot *slot)
{
	return !table_tuple_satisfies_snapshot(rel, slot, SnapshotSelf);
}

/* A version made since the outermost statement began, by a command of ours. */
static bool
made_by_statement(TupleTableSlot *slot)
{
	bool		should_free;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);

	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)) &&
		HeapTupleHeaderGetCmin(tuple->t_data) >= outermost_cid;
}

/*
 * Whether the old version of a row is known to the replicas.  If not it was
 * made since the last hand-over: by an entry, which loses it, or by a change
 * that has not been noted yet.
 */
static bool
is_known(MirrorRel *rel, TupleTableSlot *slot)
{
	MirrorEntry *made_by = entry_of_version(rel, &slot->tts_tid);

	if (made_by && made_by->dead_level == 0 && made_by->row)
	{
		made_by->dead_level = GetCurrentTransactionNestLevel();
		out_of_order = true;
		return false;
	}
	/* those that were noted and are not there any more have been sent */
	if ((in_pieces && shoal_xact_writers() <= 1) || !made_by_statement(slot))
		return true;
	if (piece_sent)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a trigger cannot change rows that the same large statement has made, in a table with replicas"),
				 errhint("Use several smaller statements.")));
	out_of_order = true;
	return false;
}

static void
note_change(Relation rel, MirrorRel *target, TupleTableSlot *old_slot,
			TupleTableSlot *new_slot)
{
	MirrorEntry entry = {0};

	if (batch_cxt == NULL)
		begin_batch();
	if (!target->quiet || shoal_xact_writers() > 1)
		in_pieces = false;
	entry.rel = target;
	entry.level = GetCurrentTransactionNestLevel();
	if (old_slot && is_known(target, old_slot))
		entry.old = target->nkeys > 0 ?
			encode_row(target->key_encoder, target->nkeys, target->keyattnums,
					   old_slot, &entry.old_len) :
			encode_row(target->encoder, target->ncols, target->attnums,
					   old_slot, &entry.old_len);
	if (new_slot && !in_pieces && was_replaced(rel, new_slot))
		out_of_order = true;
	else if (new_slot)
		entry.row = encode_row(target->encoder, target->ncols, target->attnums,
							   new_slot, &entry.row_len);
	if (entry.old == NULL && entry.row == NULL)
		return;
	if (nentries == max_entries)
	{
		max_entries *= 2;
		entries = repalloc_huge(entries, sizeof(MirrorEntry) * max_entries);
	}
	entries[nentries] = entry;
	if (entry.row)
		entries[nentries].tid = new_slot->tts_tid;
	if (entry.row)
		remember_version(target, &new_slot->tts_tid, nentries);
	target->pending++;
	nentries++;
	batch_size += sizeof(MirrorEntry) + sizeof(Version);
}

/* ---- handing on ---- */

static void
put_change(StringInfo buf, char op, const char *a, int a_len, const char *b,
		   int b_len)
{
	appendStringInfoChar(buf, op);
	if (a)
		appendBinaryStringInfo(buf, a, a_len);
	if (b)
		appendBinaryStringInfo(buf, b, b_len);
}

/* The changes of a table, in the order in which replicas can make them. */
static void
put_changes(StringInfo buf, MirrorRel *rel)
{
	for (int i = 0; i < nentries; i++)
	{
		MirrorEntry *entry = &entries[i];
		bool		alive = entry->row && entry->dead_level == 0;

		if (entry->rel != rel)
			continue;
		if (entry->old && (out_of_order || !alive))
			put_change(buf, 'D', entry->old, entry->old_len, NULL, 0);
		else if (entry->old)
			put_change(buf, 'U', entry->old, entry->old_len, entry->row,
					   entry->row_len);
		else if (alive && !out_of_order)
			put_change(buf, 'I', NULL, 0, entry->row, entry->row_len);
	}
	for (int i = 0; out_of_order && i < nentries; i++)
	{
		MirrorEntry *entry = &entries[i];

		if (entry->rel == rel && entry->row && entry->dead_level == 0)
			put_change(buf, 'I', NULL, 0, entry->row, entry->row_len);
	}
}

/* Appends the nodes of a shard's replicas; false if there are none. */
static bool
put_replicas(StringInfo buf, int group_id, int shard)
{
	const ShoalGroup *group = shoal_meta_group(group_id);
	int			n = 0;
	int			at = buf->len;
	uint32		n_net;

	mirror_put_int(buf, 0);
	for (int i = 0; i < group->ncopies; i++)
	{
		const ShoalCopy *copy = &group->copies[i];

		if (copy->shard != shard || copy->is_primary ||
			!SHOAL_COPY_IS_KEPT(copy))
			continue;
		mirror_put_int(buf, copy->node_id);
		n++;
	}
	n_net = pg_hton32(n);
	memcpy(buf->data + at, &n_net, sizeof(n_net));
	return n > 0;
}

/* The coordinator's COMMIT is under way, and fires deferred triggers. */
static bool
is_ending(void)
{
	return debug_query_string == NULL ||
		strncmp(debug_query_string, "COMMIT", 6) == 0;
}

void
mirror_hand_on(const char *data, int len)
{
	StringInfoData message;
	char	   *text;
	int			text_len;

	/* a statement that commits by itself brings its replicas along */
	if (shoal_origin == 0 || (!IsTransactionBlock() && !is_ending()))
	{
		mirror_take_segments(data, len);
		return;
	}

	/* the coordinator could not commit them along with this */
	if (is_ending())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a deferred trigger has changed a table with replicas during COMMIT"),
				 errhint("Use SET CONSTRAINTS ALL IMMEDIATE at the end of the transaction.")));
	text = mirror_encode(data, len, &text_len);
	pq_beginmessage(&message, 'N');
	pq_sendbyte(&message, PG_DIAG_SEVERITY_NONLOCALIZED);
	pq_sendbytes(&message, SHOAL_CHANGES_SEVERITY,
				 strlen(SHOAL_CHANGES_SEVERITY) + 1);
	pq_sendbyte(&message, PG_DIAG_MESSAGE_PRIMARY);
	pq_sendbytes(&message, text, text_len + 1);
	pq_sendbyte(&message, '\0');
	pq_endmessage(&message);
	pfree(text);
}

static void
send_entries(void)
{
	StringInfoData buf;
	MemoryContext old;

	if (nentries == 0)
		return;
	old = MemoryContextSwitchTo(batch_cxt);
	initStringInfo(&buf);
	for (int i = 0; i < nentries; i++)
	{
		MirrorRel  *rel = entries[i].rel;
		int			start;
		uint32		len;

		/* once for each table */
		if (rel->pending == 0)
			continue;
		rel->pending = 0;
		resetStringInfo(&buf);
		mirror_put_int(&buf, rel->group_id);
		mirror_put_int(&buf, rel->shard);
		if (!put_replicas(&buf, rel->group_id, rel->shard))
			continue;
		start = buf.len;
		mirror_put_int(&buf, 0);
		appendBinaryStringInfo(&buf, rel->head.data, rel->head.len);
		put_changes(&buf, rel);
		len = pg_hton32(buf.len - start - 4);
		memcpy(buf.data + start, &len, sizeof(len));
		mirror_hand_on(buf.data, buf.len);
	}
	MemoryContextSwitchTo(old);
	end_batch();
}

static void
tell_late(void)
{
	if (!is_late || told_late || shoal_origin == 0 || !IsTransactionBlock())
		return;
	mirror_hand_on(MIRROR_LATE, MIRROR_LATE_SIZE);
	told_late = true;
}

/*
 * The coordinator knows of its own subtransactions only, and could not forget what a
 * function's, here, has changed if that fails.
 */
static bool
may_hand_on(void)
{
	return shoal_origin == 0 || !IsTransactionBlock() ||
		GetCurrentTransactionNestLevel() <= mirror_client_level;
}

void
mirror_flush(void)
{
	if (shoal_xact_writers() > 0 || !may_hand_on())
		return;
	send_entries();
	tell_late();
}

bool
mirror_has_entries(void)
{
	return nentries > 0;
}

/* ---- statements and transactions ---- */

void
mirror_trigger_begin(CommandId cid)
{
	if (shoal_xact_writers() == 0)
	{
		outermost_cid = cid;
		checked_relid = InvalidOid;
		piece_sent = false;
	}
}

void
mirror_trigger_end_sub(int level, bool commit)
{
	while (!commit && nentries > 0 && entries[nentries - 1].level >= level)
		entries[--nentries].rel->pending--;
	for (int i = nentries - 1; i >= 0; i--)
	{
		MirrorEntry *entry = &entries[i];

		if (entry->level >= level)
			entry->level = level - 1;
		if (entry->dead_level >= level)
			entry->dead_level = commit ? level - 1 : 0;
	}
}

void
mirror_trigger_reset(void)
{
	end_batch();
	is_late = told_late = false;
}

/* ---- the trigger ---- */

/* Whether what happens to the relation's rows is to be repeated somewhere. */
static bool
is_mirrored(const ShoalGroup *group, int shard)
{
	if (shard >= group->shard_count)
		return false;
	if (group->primary[shard] != shoal_meta_local_node_id())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
				 errmsg("this node does not have the primary of shard %d of group %d",
						shard, group->group_id),
				 errhint("The placement may have just changed; try the statement again.")));
	if (shoal_meta_has_replicas(group))
	{
		/* somebody else may have been made the primary, who can't tell us */
		shoal_health_require_lease(true);
		mirror_wrote = true;
	}
	return group->mirrored;
}

/* ---- rows that the coordinator sends to all copies itself ---- */

/*
 * A shard that has been written to, and whose copies are others than the coordinator has
 * sent rows to; -1 if there is none.
 */
static int
find_changed(int group_id)
{
	const ShoalGroup *group = shoal_meta_group(group_id);

	for (int shard = 0; shard < group->shard_count; shard++)
	{
		if ((shard >= shoal_scope_copies_shards ||
			 group->placements[shard] != shoal_scope_copies_placements[shard]) &&
			shoal_scope_is_kept(group_id, shard))
			return shard;
	}
	return -1;
}

/*
 * It must know where they all are.  What has changed is committed on one node after the
 * other: it may know a moment before this one.  Where copies were being filled it has
 * not begun.
 */
static void
check_copies(int group_id)
{
	int			shard;

	for (int waited = 0; (shard = find_changed(group_id)) >= 0 &&
		 waited < CHANGE_PATIENCE; waited += CHANGE_PAUSE)
	{
		shoal_server_pause(CHANGE_PAUSE);
		AcceptInvalidationMessages();
	}
	if (shard >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
				 errmsg("placements of shard %d of group %d have changed", shard, group_id),
				 errhint("Try the statement again.")));
	shoal_health_require_lease(true);
	mirror_wrote = true;
}

void
mirror_begin_copies(void)
{
	shoal_scope_copies_here = GetCurrentTransactionNestLevel();
	copies_depth = shoal_xact_depth();
}

void
mirror_end_copies(Oid relid)
{
	const ShoalTable *table = shoal_meta_table(relid);

	/* placements don't change while the partitions are locked */
	if (shoal_scope_copies_here > 0 && table != NULL)
		check_copies(table->group_id);
	mirror_forget_copies(0);
}

void
mirror_forget_copies(int level)
{
	if (shoal_scope_copies_here < level)
		return;
	shoal_scope_copies_here = 0;
	copies_depth = -1;
}

/*
 * shoal.is_mirror_wanted(): not for the rows of such a COPY, but for those that
 * functions write meanwhile.
 */
Datum
shoal_is_mirror_wanted(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(copies_depth < 0 || copies_depth != shoal_xact_depth());
}

/* The same for a COPY that this backend does for the coordinator that it is. */
static bool
is_copy_of_all(Relation rel)
{
	MirrorRel  *target;

	if (shoal_scope_copies_here == 0 || copies_depth >= 0)
		return false;
	/* placements don't change while the table is locked */
	if (checked_relid == RelationGetRelid(rel))
		return true;
	target = mirror_rel_find(rel, nentries == 0);
	if (target == NULL)
		return true;
	check_copies(target->group_id);
	checked_relid = RelationGetRelid(rel);
	return true;
}

Datum
shoal_mirror_change(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Relation	rel;
	MirrorRel  *target;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager",
						"shoal.mirror_change")));
	rel = data->tg_relation;
	if (is_copy_of_all(rel))
		return PointerGetDatum(NULL);
	target = mirror_rel_find(rel, nentries == 0);
	if (target == NULL ||
		!is_mirrored(shoal_meta_group(target->group_id), target->shard))
		return PointerGetDatum(NULL);
	is_late |= target->late;
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		note_change(rel, target, NULL, data->tg_trigslot);
	else if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		note_change(rel, target, data->tg_trigslot, NULL);
	else
		note_change(rel, target, data->tg_trigslot, data->tg_newslot);
	if (batch_size >= PIECE_SIZE && in_pieces && shoal_xact_writers() <= 1 &&
		may_hand_on())
	{
		send_entries();
		piece_sent = true;
	}
	return PointerGetDatum(NULL);
}
