/*
 * mirror_rel.c
 *		The tables whose changes are sent, and how their rows are written.
 *
 * What is needed to write a table's changes is worked out once and kept until
 * any relation's definition changes.  No locks; the caller has the table open.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "port/pg_bswap.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "mirror/mirror_private.h"

static HTAB *rels = NULL;
static MemoryContext rels_cxt = NULL;
static bool rels_valid = false;

int
mirror_identity(Relation rel, Oid *index, AttrNumber *attnums)
{
	Relation	index_rel;
	int			n;

	/* it may be the primary key's */
	*index = RelationGetReplicaIndex(rel);
	if (!OidIsValid(*index) || rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		*index = rel->rd_pkindex;
	if (!OidIsValid(*index))
		return 0;
	index_rel = index_open(*index, AccessShareLock);
	/* rows can't be told by a key that may be there twice for a while */
	if (!index_rel->rd_index->indimmediate)
	{
		index_close(index_rel, AccessShareLock);
		*index = InvalidOid;
		return 0;
	}
	n = IndexRelationGetNumberOfKeyAttributes(index_rel);
	for (int i = 0; i < n; i++)
		attnums[i] = index_rel->rd_index->indkey.values[i];
	index_close(index_rel, AccessShareLock);
	return n;
}

void
mirror_put_int(StringInfo buf, int32 value)
{
	uint32		net = pg_hton32((uint32) value);

	appendBinaryStringInfo(buf, (char *) &net, sizeof(net));
}

static void
put_string(StringInfo buf, const char *string)
{
	appendBinaryStringInfo(buf, string, strlen(string) + 1);
}

/* The shard of a partition, or of a single-shard table; false if it has none. */
static bool
shard_of_relation(Relation rel, int *group_id, int *shard, Oid *named)
{
	const ShoalTable *table;

	*named = RelationGetRelid(rel);
	if (rel->rd_rel->relispartition &&
		shoal_meta_is_shard_schema(RelationGetNamespace(rel), group_id, shard))
	{
		*named = get_partition_parent(*named, true);
		return true;
	}
	table = shoal_meta_table(*named);
	if (table == NULL || table->kind != SHOAL_KIND_SINGLE)
		return false;
	*group_id = table->group_id;
	*shard = 0;
	return true;
}

/* Foreign keys' triggers only look, at that time. */
static bool
is_late(Relation rel)
{
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgdeferrable && !trigger->tgisinternal)
			return true;
	}
	return false;
}

/* Whether nothing is run for its rows but our trigger and foreign-key checks. */
static bool
is_quiet(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!TRIGGER_FOR_ROW(trigger->tgtype) ||
			!TRIGGER_FOR_AFTER(trigger->tgtype))
			continue;
		if (strncmp(trigger->tgname, "!shoal_mirror", 13) != 0 &&
			trigger->tgfoid != F_RI_FKEY_CHECK_INS &&
			trigger->tgfoid != F_RI_FKEY_CHECK_UPD)
			return false;
	}
	return true;
}

static void
describe_columns(MirrorRel *entry, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Oid		   *types = palloc(sizeof(Oid) * (desc->natts + 1));
	AttrNumber	keys[INDEX_MAX_KEYS];
	Oid			key_types[INDEX_MAX_KEYS];
	Oid			index;

	entry->attnums = palloc(sizeof(AttrNumber) * (desc->natts + 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		/* replicas compute generated columns themselves */
		if (att->attisdropped || att->attgenerated)
			continue;
		types[entry->ncols] = att->atttypid;
		entry->attnums[entry->ncols++] = i + 1;
	}
	entry->encoder = shoal_wire_encoder(entry->ncols, types, false);
	entry->nkeys = mirror_identity(rel, &index, keys);
	for (int i = 0; i < entry->nkeys; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, keys[i] - 1);

		/* can't be told from the columns that are sent */
		if (att->attgenerated)
			entry->nkeys = 0;
		key_types[i] = att->atttypid;
	}
	if (entry->nkeys > 0)
	{
		entry->keyattnums = palloc(sizeof(AttrNumber) * entry->nkeys);
		memcpy(entry->keyattnums, keys, sizeof(AttrNumber) * entry->nkeys);
		entry->key_encoder = shoal_wire_encoder(entry->nkeys, key_types, false);
	}
}

static void
write_head(MirrorRel *entry, Relation rel, Oid named)
{
	TupleDesc	desc = RelationGetDescr(rel);

	initStringInfo(&entry->head);
	put_string(&entry->head, get_namespace_name(get_rel_namespace(named)));
	put_string(&entry->head, get_rel_name(named));
	mirror_put_int(&entry->head, entry->ncols);
	for (int i = 0; i < entry->ncols; i++)
	{
		put_string(&entry->head,
				   NameStr(TupleDescAttr(desc, entry->attnums[i] - 1)->attname));
		appendStringInfoChar(&entry->head,
							 shoal_wire_encodes_binary(entry->encoder, i));
	}
	mirror_put_int(&entry->head, entry->nkeys);
	for (int i = 0; i < entry->nkeys; i++)
		for (int j = 0; j < entry->ncols; j++)
			if (entry->attnums[j] == entry->keyattnums[i])
				mirror_put_int(&entry->head, j);
}

static void
on_relcache_change(Datum arg, Oid relid)
{
	rels_valid = false;
}

static void
make_cache(void)
{
	static bool registered = false;
	HASHCTL		ctl;

	if (!registered)
		CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	registered = true;
	if (rels_cxt)
		MemoryContextDelete(rels_cxt);
	rels = NULL;
	rels_cxt = AllocSetContextCreate(TopMemoryContext, "Shoal mirrored tables",
									 ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(MirrorRel);
	ctl.hcxt = rels_cxt;
	rels = hash_create("shoal mirrored tables", 32, &ctl,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	rels_valid = true;
}

MirrorRel *
mirror_rel_find(Relation rel, bool anew)
{
	Oid			relid = RelationGetRelid(rel);
	MirrorRel  *entry;
	MirrorRel	new = {0};
	MemoryContext old;
	Oid			named;

	if ((!rels_valid && anew) || rels == NULL)
		make_cache();
	entry = hash_search(rels, &relid, HASH_FIND, NULL);
	if (entry != NULL)
		return entry;
	if (!shard_of_relation(rel, &new.group_id, &new.shard, &named))
		return NULL;
	old = MemoryContextSwitchTo(rels_cxt);
	new.relid = relid;
	new.quiet = is_quiet(rel);
	new.late = is_late(rel);
	describe_columns(&new, rel);
	write_head(&new, rel, named);
	MemoryContextSwitchTo(old);
	entry = hash_search(rels, &relid, HASH_ENTER, NULL);
	*entry = new;
	return entry;
}

/* ---- rows ---- */

StringInfo
mirror_encode_row(ShoalEncoder *encoder, int n, const AttrNumber *attnums,
				  TupleTableSlot *slot)
{
	static MemoryContext row_cxt = NULL;
	MemoryContext old;
	Datum	   *values;
	bool	   *nulls;
	ShoalParams *params;
	StringInfo	buf;

	if (row_cxt == NULL)
		row_cxt = AllocSetContextCreate(TopMemoryContext, "Shoal mirrored row",
										ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(row_cxt);
	old = MemoryContextSwitchTo(row_cxt);
	values = palloc(sizeof(Datum) * (n + 1));
	nulls = palloc(sizeof(bool) * (n + 1));
	slot_getallattrs(slot);
	for (int i = 0; i < n; i++)
	{
		values[i] = slot->tts_values[attnums[i] - 1];
		nulls[i] = slot->tts_isnull[attnums[i] - 1];
	}
	params = shoal_wire_params(encoder, values, nulls);
	buf = makeStringInfo();
	for (int i = 0; i < n; i++)
	{
		mirror_put_int(buf, nulls[i] ? -1 : params->lengths[i]);
		if (!nulls[i])
			appendBinaryStringInfo(buf, params->values[i], params->lengths[i]);
	}
	MemoryContextSwitchTo(old);
	return buf;
}
