/*
 * scope_children.c
 *		Which partitions of a distributed table are on this node.
 *
 * Found by the schemas of the table's partitions (shoal_<group>_<shard>), once
 * per table and backend, and kept until the table's relcache entry is
 * invalidated: attaching, detaching and dropping a partition and changing a
 * column all do that.  The callback only marks entries; memory is freed when
 * an entry is built again, or by a sweep once many are invalid (dropped tables
 * do not come back).
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "scope/scope_internal.h"

PG_FUNCTION_INFO_V1(shoal_table_of);

/* invalid entries that may be left lying about */
#define MAX_INVALID 64

static HTAB *children = NULL;
static int	invalid_entries = 0;
static uint64 changes = 0;		/* counts invalidations */

static void
mark_invalid(ShoalChildren *entry)
{
	if (entry->valid)
	{
		entry->valid = false;
		invalid_entries++;
	}
}

static void
mark_all_invalid(void)
{
	HASH_SEQ_STATUS status;
	ShoalChildren *entry;

	changes++;
	if (children == NULL)
		return;
	hash_seq_init(&status, children);
	while ((entry = hash_seq_search(&status)) != NULL)
		mark_invalid(entry);
}

static void
on_relcache_change(Datum arg, Oid relid)
{
	ShoalChildren *entry;

	if (relid == InvalidOid)
	{
		mark_all_invalid();
		return;
	}
	changes++;
	if (children == NULL)
		return;
	entry = hash_search(children, &relid, HASH_FIND, NULL);
	if (entry != NULL)
		mark_invalid(entry);
}

/* A shard schema was renamed, or what looked like one has become one. */
static void
on_namespace_change(Datum arg, int cacheid, uint32 hashvalue)
{
	mark_all_invalid();
}

/* shoal.table_of(relation) */
Datum
shoal_table_of(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Oid			parent = InvalidOid;
	const ShoalTable *table = NULL;

	if (shoal_meta_enabled() && get_rel_relispartition(relid))
		parent = get_partition_parent(relid, true);
	if (OidIsValid(parent))
		table = shoal_meta_table(parent);
	if (table && table->kind == SHOAL_KIND_DISTRIBUTED &&
		shoal_scope_children(parent)->by_hash)
		relid = parent;
	PG_RETURN_OID(relid);
}

void
shoal_scope_children_init(void)
{
	CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_namespace_change,
								  (Datum) 0);
}

static void
free_contents(ShoalChildren *entry)
{
	if (entry->shards)
		bms_free(entry->shards);
	if (entry->child)
		pfree(entry->child);
	if (entry->same_row)
		pfree(entry->same_row);
	list_free(entry->parts);
	entry->parts = NIL;
	entry->shards = NULL;
	entry->child = NULL;
	entry->same_row = NULL;
	entry->nshards = 0;
	entry->allocated = 0;
}

static void
sweep(void)
{
	HASH_SEQ_STATUS status;
	ShoalChildren *entry;

	hash_seq_init(&status, children);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->valid)
			continue;
		free_contents(entry);
		hash_search(children, &entry->parent, HASH_REMOVE, NULL);
	}
	invalid_entries = 0;
}

/* True if each column of the parent has the same number in the child. */
static bool
compare_rows(TupleDesc parent, TupleDesc child)
{
	if (parent->natts != child->natts)
		return false;
	for (int i = 0; i < parent->natts; i++)
	{
		Form_pg_attribute a = TupleDescAttr(parent, i);
		Form_pg_attribute b = TupleDescAttr(child, i);

		if (a->attisdropped != b->attisdropped)
			return false;
		if (!a->attisdropped &&
			(strcmp(NameStr(a->attname), NameStr(b->attname)) != 0 ||
			 a->atttypid != b->atttypid || a->atttypmod != b->atttypmod ||
			 a->attcollation != b->attcollation ||
			 a->attgenerated != b->attgenerated))
			return false;
	}
	return true;
}

/* Makes room for a shard's partition. */
static void
enlarge(ShoalChildren *entry, int shard)
{
	int			old = entry->allocated;
	int			allocated = Max(shard + 1, Max(8, old * 2));

	if (shard < old)
		return;
	if (old == 0)
	{
		entry->child = MemoryContextAlloc(TopMemoryContext,
										  allocated * sizeof(Oid));
		entry->same_row = MemoryContextAlloc(TopMemoryContext,
											 allocated * sizeof(bool));
	}
	else
	{
		entry->child = repalloc(entry->child, allocated * sizeof(Oid));
		entry->same_row = repalloc(entry->same_row, allocated * sizeof(bool));
	}
	memset(entry->child + old, 0, (allocated - old) * sizeof(Oid));
	memset(entry->same_row + old, 0, (allocated - old) * sizeof(bool));
	entry->allocated = allocated;
}

/* Reads the partitions into an entry (its contents only, not valid). */
static void
read_children(Relation parent, ShoalChildren *entry)
{
	const ShoalTable *table = shoal_meta_table(RelationGetRelid(parent));
	PartitionKey key = RelationGetPartitionKey(parent);
	List	   *oids;
	ListCell   *lc;

	if (table == NULL || key == NULL)
		return;
	entry->by_hash = key->strategy == PARTITION_STRATEGY_HASH;
	oids = find_inheritance_children(RelationGetRelid(parent), NoLock);
	foreach(lc, oids)
	{
		Oid			relid = lfirst_oid(lc);
		Relation	rel;
		int			group_id;
		int			shard;

		if (!entry->by_hash)
		{
			MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

			entry->parts = lappend_oid(entry->parts, relid);
			MemoryContextSwitchTo(old);
			continue;
		}
		if (!shoal_meta_is_shard_schema(get_rel_namespace(relid),
										&group_id, &shard) ||
			group_id != table->group_id)
			continue;
		rel = try_relation_open(relid, AccessShareLock);
		if (rel == NULL)
			continue;
		enlarge(entry, shard);
		entry->child[shard] = relid;
		entry->same_row[shard] =
			rel->rd_rel->relkind == RELKIND_RELATION &&
			compare_rows(RelationGetDescr(parent), RelationGetDescr(rel));
		entry->nshards = Max(entry->nshards, shard + 1);
		relation_close(rel, AccessShareLock);
	}
	list_free(oids);
}

const ShoalChildren *
shoal_scope_children(Oid parent)
{
	ShoalChildren *entry;
	Relation	rel;
	bool		found;
	uint64		before;
	MemoryContext old;

	if (children == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(ShoalChildren);
		ctl.hcxt = TopMemoryContext;
		children = hash_create("shoal partitions", 64, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(children, &parent, HASH_FIND, NULL);
	if (entry != NULL && entry->valid)
		return entry;

	if (invalid_entries > MAX_INVALID)
		sweep();
	entry = hash_search(children, &parent, HASH_ENTER, &found);
	if (!found)
		memset((char *) entry + sizeof(Oid), 0,
			   sizeof(ShoalChildren) - sizeof(Oid));
	else
		free_contents(entry);
	if (!found)
		invalid_entries++;

	rel = relation_open(parent, AccessShareLock);
	before = changes;
	read_children(rel, entry);
	old = MemoryContextSwitchTo(TopMemoryContext);
	for (int shard = 0; shard < entry->nshards; shard++)
	{
		if (OidIsValid(entry->child[shard]))
			entry->shards = bms_add_member(entry->shards, shard);
	}
	MemoryContextSwitchTo(old);
	if (before == changes)
	{
		entry->valid = true;
		invalid_entries--;
	}
	relation_close(rel, AccessShareLock);
	return entry;
}

Oid
shoal_scope_lock_child(Oid parent, int shard, LOCKMODE lockmode,
					   bool *same_row)
{
	Oid			locked = InvalidOid;

	/*
	 * The lock may have had to wait for someone who dropped the partition or
	 * put another one in its place, so look again with the lock in hand.
	 */
	for (;;)
	{
		const ShoalChildren *entry = shoal_scope_children(parent);
		Oid			child = shard < entry->nshards ? entry->child[shard] :
			InvalidOid;

		if (child == locked)
		{
			*same_row = OidIsValid(child) && entry->same_row[shard];
			return child;
		}
		if (OidIsValid(locked))
			UnlockRelationOid(locked, lockmode);
		locked = child;
		if (OidIsValid(child))
			LockRelationOid(child, lockmode);
	}
}

bool
shoal_scope_settle(Oid parent, int shard, LOCKMODE lockmode)
{
	int			group_id = shoal_meta_table(parent)->group_id;
	int			local = shoal_meta_local_node_id();
	bool		same_row;

	if (shoal_meta_group(group_id)->primary[shard] != local)
		return false;
	/* nothing but the metadata tells where a plain table's rows are */
	if (get_rel_relkind(parent) == RELKIND_PARTITIONED_TABLE)
		(void) shoal_scope_lock_child(parent, shard, lockmode, &same_row);
	return shoal_meta_group(group_id)->primary[shard] == local;
}

bool
shoal_scope_is_kept(int group_id, int shard)
{
	bool		kept = false;
	ListCell   *lc;

	foreach(lc, shoal_meta_table_oids(group_id))
	{
		Oid			relid = lfirst_oid(lc);
		Relation	rel;

		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		{
			const ShoalChildren *entry = shoal_scope_children(relid);

			relid = shard < entry->nshards ? entry->child[shard] : InvalidOid;
		}
		rel = OidIsValid(relid) ? RelationIdGetRelation(relid) : NULL;
		if (rel == NULL)
			continue;
		kept |= CheckRelationLockedByMe(rel, RowExclusiveLock, true);
		RelationClose(rel);
	}
	return kept;
}
