/*
 * meta_cache.c
 *		The backend's cache of the metadata.
 *
 * Entries are read one by one, when they are first asked for, into a memory
 * context that is called a generation here.  A change of a metadata table (or
 * of a foreign server) makes the whole generation stale; the next look-up then
 * starts a new one and hands the old one to a context that lives until the
 * end of the transaction, as callers may still hold pointers into it.  Within
 * a generation, the invalidation of a user's relation makes just that
 * relation's entry stale.
 *
 * Invalidation callbacks can come at any moment at which a lock is taken and
 * must not read catalogs, so they only set flags and count.  What was read
 * while the count changed is handed out, but not kept.
 *
 * No lock is kept: the caller's lock on the table (and for schema changes the
 * cluster lock) is what makes an answer last.  A changed placement invalidates
 * the relations of its group, so that plans made before are made again.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "common/hashfn.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "meta/meta_tables.h"

#define EXTENSION_NAME "shoal"

typedef struct TableEntry
{
	Oid			relid;			/* hash key */
	bool		valid;
	ShoalTable *table;			/* NULL: not one of Shoal's */
} TableEntry;

typedef struct GroupEntry
{
	int			group_id;		/* hash key */
	ShoalGroup *group;			/* NULL: no such group */
} GroupEntry;

typedef struct SchemaEntry
{
	Oid			nspid;			/* hash key */
	bool		is_shard;
	int			group_id;
	int			shard;
} SchemaEntry;

static const char *const meta_rel_names[SHOAL_META_RELS] = {
	"node", "local_node", "colocation_group", "distributed_table", "placement",
	"secret"
};

/* is the extension there, and where are its tables */
static enum
{
	EXT_UNKNOWN, EXT_MISSING, EXT_PRESENT
}			ext_state = EXT_UNKNOWN;
static Oid	meta_relids[SHOAL_META_RELS];	/* the last ones known */

/* the current generation; NULL before the first look-up */
void		(*shoal_meta_on_replicas) (void) = NULL;

static List *ignored_nodes = NIL;
static MemoryContext generation = NULL;
static HTAB *tables;
static HTAB *groups;
static HTAB *schemas;
static bool nodes_read;
static List *all_nodes;
static List *active_nodes;
static int	local_node_id;

/* earlier generations of this transaction are children of this one */
static MemoryContext retired = NULL;

/* set by callbacks */
static bool generation_stale = true;
static bool schemas_stale = false;
static uint64 changes = 0;		/* counts invalidations of anything here */

/* ---- invalidation ---- */

static void
on_relcache_change(Datum arg, Oid relid)
{
	TableEntry *entry;

	if (relid == InvalidOid)
	{
		changes++;
		generation_stale = true;
		ext_state = EXT_UNKNOWN;
		return;
	}

	changes++;
	for (int i = 0; i < SHOAL_META_RELS; i++)
	{
		if (meta_relids[i] == relid)
		{
			generation_stale = true;
			ext_state = EXT_UNKNOWN;
			return;
		}
	}
	if (generation == NULL || generation_stale)
		return;
	entry = hash_search(tables, &relid, HASH_FIND, NULL);
	if (entry == NULL)
		return;

	/* what is not Shoal's leaves no trace, or dropped tables would pile up */
	if (entry->table == NULL)
		hash_search(tables, &relid, HASH_REMOVE, NULL);
	else
		entry->valid = false;
}

/*
 * The extension's foreign data wrapper comes and goes with it, and nothing
 * else of that kind changes often.
 */
static void
on_extension_change(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
	generation_stale = true;
	ext_state = EXT_UNKNOWN;
}

static void
on_server_change(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
	generation_stale = true;
}

static void
on_namespace_change(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
	schemas_stale = true;
}

static void
on_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			if (retired != NULL)
				MemoryContextReset(retired);
			break;
		default:
			break;
	}
}

bool
shoal_meta_has_changed(void)
{
	AcceptInvalidationMessages();
	return generation_stale;
}

void
shoal_meta_init(void)
{
	CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, on_extension_change,
								  (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNSERVEROID, on_server_change,
								  (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_namespace_change,
								  (Datum) 0);
	RegisterXactCallback(on_xact_end, NULL);
}

/* ---- generations ---- */

static HTAB *
make_hash(const char *name, Size keysize, Size entrysize)
{
	HASHCTL		ctl;

	ctl.keysize = keysize;
	ctl.entrysize = entrysize;
	ctl.hcxt = generation;
	return hash_create(name, 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Makes sure that the current generation is not stale. */
static void
refresh(void)
{
	if (generation != NULL && generation_stale)
	{
		if (retired == NULL)
			retired = AllocSetContextCreate(TopMemoryContext,
											"shoal retired metadata",
											ALLOCSET_SMALL_SIZES);
		MemoryContextSetParent(generation, retired);
		generation = NULL;
	}
	if (generation == NULL)
	{
		generation_stale = false;
		schemas_stale = false;
		generation = AllocSetContextCreate(TopMemoryContext,
										   "shoal metadata",
										   ALLOCSET_DEFAULT_SIZES);
		tables = make_hash("shoal tables", sizeof(Oid), sizeof(TableEntry));
		groups = make_hash("shoal groups", sizeof(int), sizeof(GroupEntry));
		schemas = make_hash("shoal shard schemas", sizeof(Oid),
							sizeof(SchemaEntry));
		nodes_read = false;
		all_nodes = active_nodes = NIL;
		local_node_id = 0;
	}
	if (schemas_stale)
	{
		schemas_stale = false;
		hash_destroy(schemas);
		schemas = make_hash("shoal shard schemas", sizeof(Oid),
							sizeof(SchemaEntry));
	}
}

static bool
extension_is_there(void)
{
	uint64		before = changes;
	Oid			extension;
	Oid			nspid;
	Oid			relids[SHOAL_META_RELS];

	if (ext_state == EXT_MISSING || !IsTransactionState() ||
		!OidIsValid(MyDatabaseId) || IsBinaryUpgrade ||
		HistoricSnapshotActive())
		return false;
	if (ext_state == EXT_PRESENT)
		return true;

	extension = get_extension_oid(EXTENSION_NAME, true);
	if (!OidIsValid(extension))
	{
		if (before == changes)
			ext_state = EXT_MISSING;
		return false;
	}
	if (creating_extension && CurrentExtensionObject == extension)
		return false;

	/* while the extension is being dropped, tables are missing */
	nspid = get_namespace_oid(EXTENSION_NAME, true);
	if (!OidIsValid(nspid))
		return false;
	for (int i = 0; i < SHOAL_META_RELS; i++)
	{
		relids[i] = get_relname_relid(meta_rel_names[i], nspid);
		if (!OidIsValid(relids[i]))
			return false;
	}
	memcpy(meta_relids, relids, sizeof(relids));
	if (before == changes)
		ext_state = EXT_PRESENT;
	return true;
}

bool
shoal_meta_enabled(void)
{
	if (!extension_is_there())
		return false;
	if (shoal_claimed_origin != 0 && shoal_origin == 0)
		shoal_meta_check_origin();
	return true;
}

Oid
shoal_meta_relid(ShoalMetaRel which)
{
	return meta_relids[which];
}

/* ---- tables ---- */

/*
 * Fills in the distribution key: the partition key of a hash-partitioned
 * table; that of its first hash-partitioned descendant for a table that is
 * partitioned by range or list above it.  Left empty if there is none (yet).
 */
static void
read_keys(ShoalTable *table, Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	PartitionKey key;

	if (rel == NULL)
		return;
	key = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
		RelationGetPartitionKey(rel) : NULL;
	if (key != NULL && key->strategy == PARTITION_STRATEGY_HASH)
	{
		table->nkeys = key->partnatts;
		for (int i = 0; i < key->partnatts; i++)
		{
			table->keyattr[i] = key->partattrs[i];
			table->keytype[i] = key->parttypid[i];
			table->keyinput[i] = key->partopcintype[i];
			table->keyopfamily[i] = key->partopfamily[i];
			table->keycollation[i] = key->partcollation[i];
		}
	}
	else if (key != NULL)
	{
		List	   *children = find_inheritance_children(relid, NoLock);
		ListCell   *lc;

		foreach(lc, children)
		{
			Oid			child = lfirst_oid(lc);

			read_keys(table, child);
			for (int i = 0; i < table->nkeys; i++)
			{
				char	   *name = get_attname(child, table->keyattr[i], true);

				table->keyattr[i] = name ? get_attnum(relid, name) :
					InvalidAttrNumber;
			}
			if (table->nkeys > 0)
				break;
		}
		list_free(children);
	}
	relation_close(rel, AccessShareLock);
}

/* Reads a table's row; false if the relation is not Shoal's. */
static bool
read_table(Oid relid, ShoalTable *table)
{
	Relation	rel = table_open(meta_relids[SHOAL_REL_TABLE], AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, SHOAL_TABLE_RELID, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, shoal_primary_key_index(rel), true, NULL,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		TupleDesc	desc = RelationGetDescr(rel);

		found = true;
		memset(table, 0, sizeof(ShoalTable));
		table->relid = relid;
		table->kind = DatumGetChar(heap_getattr(tuple, SHOAL_TABLE_KIND, desc,
												&isnull));
		table->group_id = DatumGetInt32(heap_getattr(tuple, SHOAL_TABLE_GROUP,
													 desc, &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (found && !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return false;
	if (found && table->kind == SHOAL_KIND_DISTRIBUTED)
	{
		table->shard_count = shoal_meta_group(table->group_id)->shard_count;
		read_keys(table, relid);
	}
	return found;
}

const ShoalTable *
shoal_meta_table(Oid relid)
{
	TableEntry *entry;
	ShoalTable	fresh;
	ShoalTable *table = NULL;
	uint64		before;

	if (!shoal_meta_enabled())
		return NULL;
	refresh();
	entry = hash_search(tables, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->valid)
		return entry->table;

	before = changes;
	if (read_table(relid, &fresh))
	{
		/* mostly nothing has changed; so the generation need not grow */
		if (entry != NULL && before == changes &&
			memcmp(entry->table, &fresh, sizeof(fresh)) == 0)
			table = entry->table;
		else
		{
			table = MemoryContextAlloc(generation, sizeof(fresh));
			memcpy(table, &fresh, sizeof(fresh));
		}
	}
	if (before == changes)
	{
		entry = hash_search(tables, &relid, HASH_ENTER, NULL);
		entry->table = table;
		entry->valid = true;
	}
	return table;
}

static int
compare_oids(const ListCell *a, const ListCell *b)
{
	Oid			x = lfirst_oid(a);
	Oid			y = lfirst_oid(b);

	return x < y ? -1 : (x > y ? 1 : 0);
}

List *
shoal_meta_table_oids(int group_id)
{
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *oids = NIL;

	if (!shoal_meta_enabled())
		return NIL;
	rel = table_open(meta_relids[SHOAL_REL_TABLE], AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		Oid			relid;
		int			group;

		relid = DatumGetObjectId(heap_getattr(tuple, SHOAL_TABLE_RELID, desc,
											  &isnull));
		group = DatumGetInt32(heap_getattr(tuple, SHOAL_TABLE_GROUP, desc,
										   &isnull));
		if (group_id == 0 || group == group_id)
			oids = lappend_oid(oids, relid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(oids, compare_oids);
	return oids;
}

/* ---- nodes ---- */

/* Host, port and database of a node are options of its foreign server. */
static void
read_server(ShoalNode *node)
{
	ForeignServer *server = GetForeignServerByName(node->server_name, true);
	ListCell   *lc;

	if (server == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("foreign server \"%s\" of node %d does not exist",
						node->server_name, node->node_id),
				 errhint("Set shoal.forward_ddl to off and create the server again.")));
	node->port = 5432;
	foreach(lc, server->options)
	{
		DefElem    *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "host") == 0)
			node->host = pstrdup(defGetString(def));
		else if (strcmp(def->defname, "port") == 0)
			node->port = pg_strtoint32(defGetString(def));
		else if (strcmp(def->defname, "dbname") == 0)
			node->dbname = pstrdup(defGetString(def));
	}
	if (node->host == NULL || node->dbname == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("foreign server \"%s\" of node %d lacks the options \"host\" and \"dbname\"",
						node->server_name, node->node_id)));
}

static int
compare_nodes(const ListCell *a, const ListCell *b)
{
	return ((ShoalNode *) lfirst(a))->node_id -
		((ShoalNode *) lfirst(b))->node_id;
}

static int
read_local_node_id(void)
{
	Relation	rel = table_open(meta_relids[SHOAL_REL_LOCAL_NODE],
								 AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0,
										  NULL);
	HeapTuple	tuple = systable_getnext(scan);
	bool		isnull;
	int			node_id = 0;

	if (HeapTupleIsValid(tuple))
		node_id = DatumGetInt32(heap_getattr(tuple, 1, RelationGetDescr(rel),
											 &isnull));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return node_id;
}

/* All nodes, in the current memory context. */
static List *
read_nodes(int local_id)
{
	Relation	rel = table_open(meta_relids[SHOAL_REL_NODE], AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0,
										  NULL);
	HeapTuple	tuple;
	List	   *nodes = NIL;
	ListCell   *lc;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		ShoalNode  *node = palloc0(sizeof(ShoalNode));
		Datum		values[SHOAL_NODE_NATTS];
		bool		nulls[SHOAL_NODE_NATTS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		node->node_id = DatumGetInt32(values[SHOAL_NODE_ID - 1]);
		node->server_name =
			pstrdup(NameStr(*DatumGetName(values[SHOAL_NODE_SERVER - 1])));
		node->holds_shards =
			DatumGetBool(values[SHOAL_NODE_HOLDS_SHARDS - 1]);
		node->system_id =
			(uint64) DatumGetInt64(values[SHOAL_NODE_SYSTEM_ID - 1]);
		node->is_active =
			strcmp(TextDatumGetCString(values[SHOAL_NODE_STATE - 1]), "active") == 0;
		node->times_down = DatumGetInt32(values[SHOAL_NODE_TIMES_DOWN - 1]);
		node->is_local = node->node_id == local_id;
		nodes = lappend(nodes, node);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	foreach(lc, nodes)
		read_server(lfirst(lc));
	list_sort(nodes, compare_nodes);
	return nodes;
}

/*
 * The lists and the local node's id, read if need be.  They belong to the
 * generation that was current at the start.
 */
static void
get_nodes(List **all, List **active, int *local_id)
{
	uint64		before;
	MemoryContext old;
	List	   *nodes;
	List	   *usable = NIL;
	ListCell   *lc;
	int			local;

	if (!shoal_meta_enabled())
	{
		*all = *active = NIL;
		*local_id = 0;
		return;
	}
	refresh();
	if (nodes_read)
	{
		*all = all_nodes;
		*active = active_nodes;
		*local_id = local_node_id;
		return;
	}

	before = changes;
	local = read_local_node_id();
	old = MemoryContextSwitchTo(generation);
	nodes = read_nodes(local);
	foreach(lc, nodes)
	{
		ShoalNode  *node = lfirst(lc);

		if (node->is_active)
			usable = lappend(usable, node);
	}
	MemoryContextSwitchTo(old);
	if (list_length(usable) < list_length(nodes) && shoal_meta_on_replicas)
		shoal_meta_on_replicas();

	if (before == changes)
	{
		nodes_read = true;
		all_nodes = nodes;
		active_nodes = usable;
		local_node_id = local;
	}
	*all = nodes;
	*active = usable;
	*local_id = local;
}

const ShoalNode *
shoal_meta_node(int node_id)
{
	List	   *all;
	List	   *active;
	int			local_id;
	ListCell   *lc;

	get_nodes(&all, &active, &local_id);
	foreach(lc, all)
	{
		ShoalNode  *node = lfirst(lc);

		if (node->node_id == node_id)
			return node;
	}
	return NULL;
}

List *
shoal_meta_all_nodes(void)
{
	List	   *all;
	List	   *active;
	int			local_id;

	get_nodes(&all, &active, &local_id);
	return all;
}

void
shoal_meta_ignore_nodes(List *node_ids)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	list_free(ignored_nodes);
	ignored_nodes = list_copy(node_ids);
	MemoryContextSwitchTo(old);
}

List *
shoal_meta_nodes(void)
{
	List	   *all;
	List	   *active;
	List	   *result = NIL;
	int			local_id;
	ListCell   *lc;

	get_nodes(&all, &active, &local_id);
	if (ignored_nodes == NIL)
		return active;
	foreach(lc, active)
	{
		if (!list_member_int(ignored_nodes, ((ShoalNode *) lfirst(lc))->node_id))
			result = lappend(result, lfirst(lc));
	}
	return result;
}

int
shoal_meta_local_node_id(void)
{
	List	   *all;
	List	   *active;
	int			local_id;

	get_nodes(&all, &active, &local_id);
	return local_id;
}

bool
shoal_meta_is_alone(void)
{
	return list_length(shoal_meta_all_nodes()) <= 1;
}

/* ---- groups ---- */

static void
add_copy(ShoalGroup *group, MemoryContext context, const Datum *values,
		 bool replaces, TransactionId xmin)
{
	ShoalCopy  *copy;
	char	   *role = TextDatumGetCString(values[SHOAL_PLACEMENT_ROLE - 1]);
	char	   *state = TextDatumGetCString(values[SHOAL_PLACEMENT_STATE - 1]);
	int			shard = DatumGetInt32(values[SHOAL_PLACEMENT_SHARD - 1]);

	if (shard >= group->shard_count)
		return;
	/* room grows by doubling */
	if (group->copies == NULL)
		group->copies = MemoryContextAlloc(context, sizeof(ShoalCopy));
	else if ((group->ncopies & (group->ncopies - 1)) == 0)
		group->copies = repalloc(group->copies,
								 2 * group->ncopies * sizeof(ShoalCopy));
	copy = &group->copies[group->ncopies++];
	copy->shard = shard;
	copy->node_id = DatumGetInt32(values[SHOAL_PLACEMENT_NODE - 1]);
	copy->is_primary = strcmp(role, "primary") == 0;
	copy->state = state[0];
	copy->xmin = xmin;
	if (copy->is_primary && copy->state == SHOAL_COPY_ACTIVE)
		group->primary[shard] = copy->node_id;
	if (!copy->is_primary && SHOAL_COPY_IS_KEPT(copy))
		group->mirrored = true;
	if (copy->state == SHOAL_COPY_COPYING)
		group->filling = true;
	group->moving |= replaces;
	if (TransactionIdIsNormal(xmin) &&
		(!TransactionIdIsValid(group->newest) ||
		 TransactionIdFollows(xmin, group->newest)))
		group->newest = xmin;
	if (!SHOAL_COPY_IS_KEPT(copy))
		return;
	group->placements[shard] = hash_combine(group->placements[shard], copy->node_id * 512 +
											copy->is_primary * 256 + copy->state);
}

/* Reads the placements of a group. */
static void
read_placements(ShoalGroup *group, MemoryContext context)
{
	Relation	rel = table_open(meta_relids[SHOAL_REL_PLACEMENT],
								 AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, SHOAL_PLACEMENT_GROUP, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(group->group_id));
	scan = systable_beginscan(rel, shoal_primary_key_index(rel), true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[SHOAL_PLACEMENT_NATTS];
		bool		nulls[SHOAL_PLACEMENT_NATTS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		add_copy(group, context, values, !nulls[SHOAL_PLACEMENT_REPLACES - 1],
				 HeapTupleHeaderGetXmin(tuple->t_data));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Reads a group into the memory context, NULL if it does not exist. */
static ShoalGroup *
read_group(int group_id, MemoryContext context)
{
	Relation	rel = table_open(meta_relids[SHOAL_REL_GROUP], AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	ShoalGroup *group = NULL;

	ScanKeyInit(&key, SHOAL_GROUP_ID, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(group_id));
	scan = systable_beginscan(rel, shoal_primary_key_index(rel), true, NULL,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Datum		values[SHOAL_GROUP_NATTS];
		bool		nulls[SHOAL_GROUP_NATTS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		group = MemoryContextAllocZero(context, sizeof(ShoalGroup));
		group->group_id = group_id;
		group->kind = DatumGetChar(values[SHOAL_GROUP_KIND - 1]);
		group->shard_count = DatumGetInt32(values[SHOAL_GROUP_SHARD_COUNT - 1]);
		group->replicas = DatumGetInt32(values[SHOAL_GROUP_REPLICAS - 1]);
		group->closed = DatumGetBool(values[SHOAL_GROUP_CLOSED - 1]);
		group->primary = MemoryContextAllocZero(context, sizeof(int) *
												group->shard_count);
		group->placements = MemoryContextAllocZero(context, sizeof(uint32) *
												   group->shard_count);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return group;
}

List *
shoal_meta_group_ids(void)
{
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *result = NIL;

	if (!shoal_meta_enabled())
		return NIL;
	rel = table_open(shoal_meta_relid(SHOAL_REL_GROUP), AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		result = lappend_int(result,
							 DatumGetInt32(heap_getattr(tuple, SHOAL_GROUP_ID,
														RelationGetDescr(rel),
														&isnull)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

bool
shoal_meta_has_replicas(const ShoalGroup *group)
{
	return group->ncopies > group->shard_count;
}

const ShoalCopy *
shoal_meta_copy(const ShoalGroup *group, int shard, int node_id)
{
	int			low = 0;
	int			high = group->ncopies;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const ShoalCopy *copy = &group->copies[middle];

		if (copy->shard == shard && copy->node_id == node_id)
			return copy;
		if (copy->shard < shard ||
			(copy->shard == shard && copy->node_id < node_id))
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const ShoalGroup *
shoal_meta_find_group(int group_id)
{
	GroupEntry *entry;
	ShoalGroup *group;
	MemoryContext context;
	uint64		before;
	List	   *nodes;
	int			local_id;

	if (!shoal_meta_enabled())
		return NULL;
	nodes = shoal_meta_nodes();
	local_id = shoal_meta_local_node_id();
	refresh();
	entry = hash_search(groups, &group_id, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->group;

	before = changes;
	context = generation;
	group = read_group(group_id, context);
	if (group != NULL && group->kind == SHOAL_KIND_REFERENCE)
	{
		if (nodes != NIL)
			group->primary[0] = ((ShoalNode *) linitial(nodes))->node_id;
		group->all_local = list_length(nodes) <= 1;
	}
	else if (group != NULL)
	{
		read_placements(group, context);
		group->all_local = true;
		for (int i = 0; i < group->shard_count; i++)
			if (group->primary[i] != local_id)
				group->all_local = false;
		if (shoal_meta_has_replicas(group) && shoal_meta_on_replicas)
			shoal_meta_on_replicas();
	}
	if (before == changes)
	{
		entry = hash_search(groups, &group_id, HASH_ENTER, NULL);
		entry->group = group;
	}
	return group;
}

const ShoalGroup *
shoal_meta_group(int group_id)
{
	const ShoalGroup *group = shoal_meta_find_group(group_id);

	if (group == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("colocation group %d does not exist", group_id),
				 errdetail("The tables in schema shoal contradict each other.")));
	return group;
}

/* ---- shard schemas ---- */

/* Reads a number without sign or leading zeros; NULL if there is none. */
static const char *
parse_number(const char *text, int *number)
{
	int64		value = 0;
	const char *p = text;

	while (*p >= '0' && *p <= '9')
	{
		value = value * 10 + (*p++ - '0');
		if (value > PG_INT32_MAX)
			return NULL;
	}
	if (p == text || (*text == '0' && p > text + 1))
		return NULL;
	*number = (int) value;
	return p;
}

char *
shoal_meta_shard_schema(int group_id, int shard)
{
	return psprintf("shoal_%d_%d", group_id, shard);
}

bool
shoal_meta_is_shard_schema(Oid nspid, int *group_id, int *shard)
{
	SchemaEntry *entry;
	SchemaEntry fresh = {nspid, false, 0, 0};
	uint64		before;
	char	   *name;

	if (!shoal_meta_enabled())
		return false;
	refresh();
	entry = hash_search(schemas, &nspid, HASH_FIND, NULL);
	if (entry == NULL)
	{
		before = changes;
		name = get_namespace_name(nspid);
		if (name != NULL && strncmp(name, "shoal_", 6) == 0)
		{
			const char *p = parse_number(name + 6, &fresh.group_id);

			if (p != NULL && *p == '_')
				p = parse_number(p + 1, &fresh.shard);
			else
				p = NULL;
			if (p != NULL && *p == '\0')
			{
				const ShoalGroup *group = shoal_meta_find_group(fresh.group_id);

				fresh.is_shard = group != NULL &&
					fresh.shard < group->shard_count;
			}
		}
		if (before == changes)
		{
			entry = hash_search(schemas, &nspid, HASH_ENTER, NULL);
			*entry = fresh;
		}
		else
			entry = &fresh;
	}
	if (entry->is_shard)
	{
		*group_id = entry->group_id;
		*shard = entry->shard;
	}
	return entry->is_shard;
}
