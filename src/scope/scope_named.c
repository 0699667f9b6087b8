/*
 * scope_named.c
 *		Triggers are told the table that users know, not its shard.
 *
 * A row trigger that runs where the row is fires for a partition in a shard's schema.
 * What it is told of that (TG_TABLE_SCHEMA, TG_RELID) would go into users' logs, or into
 * queries that it makes, which would read one shard and take it for the table.  PL/pgSQL
 * has a place for those who want to know when a function begins; there the trigger is
 * shown its table as the partition's parent.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "plpgsql.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "scope/scope_internal.h"

typedef struct NamedShard
{
	Oid			relid;			/* must be first */
	Oid			parent;
} NamedShard;

/* until something is told of any relation */
static HTAB *shards = NULL;

static void
forget_shards(Datum arg, Oid relid)
{
	if (shards)
		hash_destroy(shards);
	shards = NULL;
}

static Oid
parent_of(Oid relid)
{
	static bool registered = false;
	NamedShard *entry;
	Oid			parent;

	if (!registered)
		CacheRegisterRelcacheCallback(forget_shards, (Datum) 0);
	registered = true;
	if (shards && (entry = hash_search(shards, &relid, HASH_FIND, NULL)) != NULL)
		return entry->parent;
	parent = get_partition_parent(relid, true);
	if (shards == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(NamedShard)};

		shards = hash_create("Shoal tables of shards", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(shards, &relid, HASH_ENTER, NULL);
	entry->parent = parent;
	return parent;
}

/* Of the relation only what names it is looked at. */
static Relation
shown_as(Relation rel, HeapTuple tuple)
{
	Relation	shown = palloc(sizeof(RelationData));

	*shown = *rel;
	shown->rd_rel = palloc(sizeof(FormData_pg_class));
	memcpy(shown->rd_rel, GETSTRUCT(tuple), CLASS_TUPLE_SIZE);
	shown->rd_id = shown->rd_rel->oid;
	return shown;
}

static void
on_function(PLpgSQL_execstate *estate, PLpgSQL_function *func)
{
	Relation	rel = estate->trigdata ? estate->trigdata->tg_relation : NULL;
	TriggerData *data;
	HeapTuple	tuple;
	int			group_id;
	int			shard;

	if (rel == NULL || !rel->rd_rel->relispartition ||
		!shoal_meta_is_shard_schema(RelationGetNamespace(rel), &group_id, &shard))
		return;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(parent_of(RelationGetRelid(rel))));
	if (!HeapTupleIsValid(tuple))
		return;
	data = palloc(sizeof(TriggerData));
	*data = *estate->trigdata;
	data->tg_relation = shown_as(rel, tuple);
	estate->trigdata = data;
	ReleaseSysCache(tuple);
}

void
shoal_scope_named_init(void)
{
	static PLpgSQL_plugin plugin = {.func_beg = on_function};
	PLpgSQL_plugin **place = (PLpgSQL_plugin **) find_rendezvous_variable("PLpgSQL_plugin");

	/* there is room for one; a debugger is more important to who has one */
	if (*place == NULL)
		*place = &plugin;
}
