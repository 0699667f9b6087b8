/*
 * ddl_distribute.c
 *		Making tables distributed, reference or single-shard tables.
 *
 * The coordinator checks everything, decides on the group and the placements
 * and then runs one function on every node: by a call here, as
 * shoal.internal_distribute() on the others.  That function drops the table's
 * foreign keys, converts the table, writes the metadata, makes the partitions
 * of the node's own shards and adds the foreign keys again.  At that moment
 * the table is empty on every node (the rows it had on the coordinator are in
 * another table, see ddl_convert.c), so nothing has to be validated; then the
 * rows go to their shards like replicated data, without triggers.
 *
 * All of it is one distributed transaction under the cluster lock, which is
 * taken before the table's.  An error on any node undoes everything.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_settings.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"
#include "exec/exec.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "scope/scope.h"
#include "xact/xact.h"

/* What a table is to become; the same on every node. */
typedef struct Distribution
{
	char		kind;
	List	   *keys;			/* char *: names of the key columns */
	int			group_id;
	bool		new_group;
	int			shard_count;
	int			replicas;
	bool		replicas_given;
	bool		closed;
	int		   *nodes;			/* for a new group: nodes of the primaries by
								 * shard, then those of each further copy; for
								 * a reference group all nodes */
	int			nnodes;
	bool		quiet;			/* rows follow that must not meet triggers */
} Distribution;

extern PGDLLEXPORT Datum shoal_create_distributed_table(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_create_reference_table(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_internal_distribute(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum shoal_internal_distributed(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(shoal_create_distributed_table);
PG_FUNCTION_INFO_V1(shoal_create_reference_table);
PG_FUNCTION_INFO_V1(shoal_internal_distribute);
PG_FUNCTION_INFO_V1(shoal_internal_distributed);

/* ---- rights and locks ---- */

Relation
shoal_ddl_open_own_table(Oid relid)
{
	char	   *name = get_rel_name(relid);
	Relation	rel;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!shoal_owns_table(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)), name);
	LockRelationOid(relid, AccessExclusiveLock);
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", name)));
	/* it may have got another owner while we waited for the lock */
	if (!shoal_owns_table(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(rel->rd_rel->relkind), name);
	return rel;
}

/* What the functions that users call have to check first. */
void
shoal_ddl_begin_change(const char *function)
{
	PreventCommandIfReadOnly(function);
	if (shoal_origin != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be called by a statement that runs on a node",
						function),
				 errhint("Call it by itself, in a session of your own.")));
	if (!shoal_meta_enabled())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" is not created in this database",
						"shoal"),
				 errhint("Use CREATE EXTENSION shoal.")));
	(void) shoal_ddl_enter_cluster(true);
}

/* What the functions that only coordinators call have to check first. */
void
shoal_ddl_begin_internal(void)
{
	shoal_xact_check_call(XACT_INTERNAL_CALL,
						  "Use shoal.create_distributed_table() and its like.");
}

/* ---- foreign keys around a conversion ---- */

typedef struct SavedForeignKey
{
	Oid			relid;
	char	   *name;
	char	   *command;		/* adds it again */
	char	   *comment;
} SavedForeignKey;

List *
shoal_ddl_drop_foreign_keys(List *relids)
{
	List	   *saved = NIL;
	ListCell   *lc;
	ListCell   *key;

	foreach(lc, relids)
	{
		foreach(key, shoal_ddl_foreign_keys(lfirst_oid(lc)))
		{
			ShoalForeignKey *fk = lfirst(key);
			SavedForeignKey *save;
			ObjectAddress address;

			if (fk->from != lfirst_oid(lc))
				continue;
			save = palloc0(sizeof(SavedForeignKey));
			save->relid = fk->from;
			save->name = fk->name;
			save->command = pg_get_constraintdef_command(fk->oid);
			save->comment = GetComment(fk->oid, ConstraintRelationId, 0);
			saved = lappend(saved, save);

			ObjectAddressSet(address, ConstraintRelationId, fk->oid);
			performDeletion(&address, DROP_RESTRICT,
							PERFORM_DELETION_INTERNAL);
		}
	}
	return saved;
}

void
shoal_ddl_add_foreign_keys(List *saved)
{
	ListCell   *lc;

	if (saved == NIL)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	foreach(lc, saved)
	{
		SavedForeignKey *fk = lfirst(lc);

		if (SPI_execute(fk->command, false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "SPI_execute failed: %s", fk->command);
		if (fk->comment != NULL)
			CreateComments(get_relation_constraint_oid(fk->relid, fk->name,
													   false),
						   ConstraintRelationId, 0, fk->comment);
	}
	SPI_finish();
	CommandCounterIncrement();
}

/* ---- on each node: parts ---- */

/*
 * While the rows move to their shards no trigger may fire and no policy apply:
 * they are not new.  session_replication_role would be the way, but the owner
 * of a table need not be allowed to set it.  So the catalogs say for a while
 * that there are no triggers and policies; nobody else sees that.  Afterwards
 * row_security are the tables that had policies.
 */
static void
set_quiet(Oid relid, bool quiet, List *row_security)
{
	List	   *relids = find_all_inheritors(relid, NoLock, NULL);
	Relation	pg_class = table_open(RelationRelationId, RowExclusiveLock);
	ListCell   *lc;

	foreach(lc, relids)
	{
		HeapTuple	tuple;
		Form_pg_class form;

		tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for relation %u", lfirst_oid(lc));
		form = (Form_pg_class) GETSTRUCT(tuple);

		/* true is always right: core looks for triggers then */
		form->relhastriggers = !quiet;
		form->relrowsecurity = list_member_oid(row_security, lfirst_oid(lc));
		CatalogTupleUpdate(pg_class, &tuple->t_self, tuple);
		heap_freetuple(tuple);
	}
	table_close(pg_class, RowExclusiveLock);
	CommandCounterIncrement();
}

static void
write_group(const Distribution *dist)
{
	if (!dist->new_group)
		return;
	shoal_meta_add_group(dist->group_id, dist->kind, dist->shard_count,
						 dist->replicas, dist->closed);
	for (int i = 0; i < dist->nnodes; i++)
	{
		bool		whole = dist->kind == SHOAL_KIND_REFERENCE;

		shoal_meta_add_placement(dist->group_id,
								 whole ? 0 : i % dist->shard_count,
								 dist->nodes[i],
								 whole || i < dist->shard_count ?
								 "primary" : "replica", "active");
	}
}

/* The shards of a group that this node has a copy of. */
static List *
local_shards(const ShoalGroup *group)
{
	int			local = shoal_meta_local_node_id();
	List	   *shards = NIL;

	for (int i = 0; i < group->ncopies; i++)
		if (group->copies[i].node_id == local)
			shards = lappend_int(shards, group->copies[i].shard);
	return shards;
}

/*
 * Splits a table, or a partition, into shards.  Its row is left in the table
 * that is returned, if it had any.
 */
static Oid
split_leaf(Oid relid, List *keys, int group_id)
{
	ShoalStorage *storage = shoal_ddl_storage_of(relid);
	const ShoalGroup *group = shoal_meta_group(group_id);
	List	   *shards = local_shards(group);
	List	   *attnums = NIL;
	Oid			remnant = InvalidOid;
	ListCell   *lc;

	foreach(lc, keys)
		attnums = lappend_int(attnums, get_attnum(relid, lfirst(lc)));
	if (get_rel_relkind(relid) == RELKIND_RELATION)
		remnant = shoal_ddl_convert(relid, attnums);
	shoal_meta_add_table(relid, SHOAL_KIND_DISTRIBUTED, group_id);
	if (shards != NIL)
		shoal_ddl_create_partitions(relid, group_id, shards,
									group->shard_count, storage);
	return remnant;
}

/* Rows that have to go from one table here to the shards of another. */
typedef struct Move
{
	Oid			from;
	Oid			to;
} Move;

/* ---- partitions by range or list that come later ---- */

List *
shoal_ddl_prepare_partition(CreateStmt *stmt)
{
	List	   *options = stmt->options;
	Oid			parent;
	const ShoalTable *table;
	PartitionSpec *spec;

	if (stmt->partbound == NULL || stmt->partspec != NULL)
		return NIL;
	parent = RangeVarGetRelid(linitial(stmt->inhRelations), AccessShareLock,
							  true);
	if (!OidIsValid(parent))
		return NIL;
	table = shoal_meta_table(parent);
	if (table == NULL || shoal_ddl_is_leaf(parent))
		return NIL;
	spec = makeNode(PartitionSpec);
	spec->strategy = shoal_hash_strategy;
	spec->location = -1;
	for (int i = 0; i < table->nkeys; i++)
	{
		PartitionElem *elem = makeNode(PartitionElem);

		elem->name = get_attname(parent, table->keyattr[i], false);
		elem->location = -1;
		spec->partParams = lappend(spec->partParams, elem);
	}
	stmt->partspec = spec;
	stmt->accessMethod = NULL;
	stmt->options = NIL;
	return options;
}

void
shoal_ddl_adopt_partition(Oid relid, List *options)
{
	Oid			parent;
	const ShoalTable *table;
	ListCell   *lc;

	/* CREATE TABLE IF NOT EXISTS may have found anything */
	if (!OidIsValid(relid) || !get_rel_relispartition(relid) ||
		shoal_meta_table(relid) != NULL)
		return;
	parent = get_partition_parent(relid, true);
	table = shoal_meta_table(parent);
	if (table == NULL || shoal_ddl_is_leaf(parent))
		return;
	shoal_scope_enter_local();
	foreach(lc, shoal_ddl_members(relid, AccessExclusiveLock))
	{
		const ShoalGroup *group = shoal_meta_group(table->group_id);
		Oid			member = lfirst_oid(lc);
		ShoalStorage storage = {options, RELPERSISTENCE_PERMANENT};
		Relation	rel = table_open(member, NoLock);
		Relation	above = table_open(parent, NoLock);
		List	   *keys = NIL;

		for (int i = 0; i < table->nkeys; i++)
			keys = lappend_int(keys, table->keyattr[i]);
		keys = shoal_ddl_same_columns(above, keys, rel);
		shoal_ddl_check_new_partition(rel, keys);
		storage.persistence = rel->rd_rel->relpersistence;
		table_close(above, NoLock);
		table_close(rel, NoLock);

		shoal_meta_add_table(member, SHOAL_KIND_DISTRIBUTED, table->group_id);
		if (shoal_ddl_is_leaf(member) && local_shards(group) != NIL)
			shoal_ddl_create_partitions(member, table->group_id,
										local_shards(group),
										group->shard_count, &storage);
	}
	shoal_scope_leave_local();
}

/* ---- the work of one node ---- */

static List *
distribute_by_hash(List *members, const Distribution *dist)
{
	List	   *saved = shoal_ddl_drop_foreign_keys(members);
	List	   *moves = NIL;
	ListCell   *lc;

	write_group(dist);
	foreach(lc, members)
	{
		Oid			relid = lfirst_oid(lc);
		Oid			remnant;

		if (!shoal_ddl_is_leaf(relid))
		{
			shoal_meta_add_table(relid, SHOAL_KIND_DISTRIBUTED,
								 dist->group_id);
			continue;
		}
		remnant = split_leaf(relid, dist->keys, dist->group_id);
		if (OidIsValid(remnant))
		{
			Move	   *move = palloc(sizeof(Move));

			move->from = remnant;
			move->to = relid;
			moves = lappend(moves, move);
		}
	}
	shoal_ddl_add_foreign_keys(saved);
	return moves;
}

static List *
distribute_whole(Oid relid, const Distribution *dist, bool origin)
{
	Move	   *move;
	Oid			remnant;

	write_group(dist);
	shoal_meta_add_table(relid, dist->kind, dist->group_id);
	shoal_ddl_mirror_table(relid, dist->group_id);

	/* rows that are where they belong can stay */
	if (!origin || shoal_meta_is_alone() ||
		(dist->kind == SHOAL_KIND_SINGLE &&
		 shoal_meta_group(dist->group_id)->all_local))
		return NIL;
	remnant = shoal_ddl_detach_rows(relid);
	if (!OidIsValid(remnant))
		return NIL;
	move = palloc(sizeof(Move));
	move->from = remnant;
	move->to = relid;
	return list_make1(move);
}

/*
 * Nothing of this session may use the table; and only the coordinator's copy
 * of it may have rows.
 */
static void
check_use(List *members, bool origin)
{
	ListCell   *lc;

	foreach(lc, members)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		CheckTableNotInUse(rel, "distribute");
		if (!origin && RELKIND_HAS_STORAGE(rel->rd_rel->relkind) &&
			RelationGetNumberOfBlocks(rel) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table \"%s\" has rows of its own on node %d",
							RelationGetRelationName(rel),
							shoal_meta_local_node_id()),
					 errhint("Connect to that node and move the rows, then TRUNCATE the table there; or distribute it from there.")));
		table_close(rel, NoLock);
	}
}

/*
 * The work of one node.  On the coordinator (origin) the rows that have to
 * move are returned, as a List of Move *.
 */
static List *
distribute_here(Oid relid, const Distribution *dist, bool origin)
{
	List	   *moves;
	List	   *members;

	table_close(shoal_ddl_open_own_table(relid), NoLock);
	members = shoal_ddl_members(relid, AccessExclusiveLock);
	check_use(members, origin);

	shoal_scope_enter_local();
	if (dist->kind == SHOAL_KIND_DISTRIBUTED)
		moves = distribute_by_hash(members, dist);
	else
		moves = distribute_whole(relid, dist, origin);
	if (dist->quiet)
		set_quiet(relid, true, NIL);
	shoal_scope_leave_local();
	return moves;
}

/* ---- rows ---- */

/* Sends the rows of a remnant to their shards, and drops it. */
static void
move_rows(Oid relid, Oid remnant)
{
	Relation	rel = table_open(relid, RowExclusiveLock);
	Relation	source = table_open(remnant, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	TupleTableSlot *slot = table_slot_create(source, NULL);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	List	   *attnums = NIL;
	ListCell   *lc;
	Snapshot	snapshot;
	TableScanDesc scan;
	ShoalSink  *sink;
	ObjectAddress address;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		/* generated columns are computed again where the row is stored */
		if (!att->attisdropped && !att->attgenerated)
			attnums = lappend_int(attnums, i + 1);
	}

	/*
	 * Like a rewriting ALTER TABLE, look at what is committed now: the
	 * transaction's snapshot can be older than the lock.
	 */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	sink = shoal_sink_open(rel, attnums, NULL, true);
	scan = table_beginscan(source, snapshot, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		int			n = 0;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		foreach(lc, attnums)
		{
			values[n] = slot->tts_values[lfirst_int(lc) - 1];
			nulls[n] = slot->tts_isnull[lfirst_int(lc) - 1];
			n++;
		}
		shoal_sink_row(sink, values, nulls);
	}
	(void) shoal_sink_close(sink);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(source, NoLock);
	table_close(rel, NoLock);

	CommandCounterIncrement();
	ObjectAddressSet(address, RelationRelationId, remnant);
	performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/* ---- the coordinator ---- */

static char *
int_array_literal(const int *elements, int n)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (int i = 0; i < n; i++)
		appendStringInfo(&buf, "%s%d", i > 0 ? "," : "", elements[i]);
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

/* A table's name as a literal of type regclass. */
static char *
regclass_literal(Oid relid)
{
	char	   *name;

	name = shoal_objects_relation_name(relid);
	return psprintf("%s::pg_catalog.regclass", quote_literal_cstr(name));
}

/* Ends the quiet: see set_quiet. */
static void
end_quiet(Oid relid, List *row_security)
{
	StringInfoData sql;
	ListCell   *lc;

	set_quiet(relid, false, row_security);
	if (shoal_meta_is_alone())
		return;
	initStringInfo(&sql);
	appendStringInfo(&sql, "/*shoal local*/ SELECT shoal.internal_distributed(%s, ARRAY[",
					 regclass_literal(relid));
	foreach(lc, row_security)
		appendStringInfo(&sql, "%s%s",
						 foreach_current_index(lc) > 0 ? ", " : "",
						 regclass_literal(lfirst_oid(lc)));
	appendStringInfoString(&sql, "]::pg_catalog.regclass[])");
	shoal_xact_run(sql.data, NIL);
}

static void
distribute_everywhere(Oid relid, const Distribution *dist, List *row_security)
{
	StringInfoData sql;
	List	   *moves;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "/*shoal local*/ SELECT shoal.internal_distribute(%s, '%c', ARRAY[",
					 regclass_literal(relid), dist->kind);
	foreach(lc, dist->keys)
		appendStringInfo(&sql, "%s%s", foreach_current_index(lc) > 0 ? ", " : "",
						 quote_literal_cstr(lfirst(lc)));
	appendStringInfo(&sql, "]::pg_catalog.text[], %d, %s, %d, %d, %s, '%s', %s)",
					 dist->group_id, dist->new_group ? "true" : "false",
					 dist->shard_count, dist->replicas,
					 dist->closed ? "true" : "false",
					 int_array_literal(dist->nodes, dist->nnodes),
					 dist->quiet ? "true" : "false");

	moves = distribute_here(relid, dist, true);
	if (!shoal_meta_is_alone())
	{
		shoal_xact_run(sql.data, NIL);
		shoal_remote_forget_statements();
	}
	foreach(lc, moves)
	{
		Move	   *move = lfirst(lc);

		move_rows(move->to, move->from);
	}
	if (dist->quiet)
		end_quiet(relid, row_security);
}

/* Primaries that each node has, of all groups that have shards. */
static int
count_primaries(int node_id)
{
	List	   *seen = NIL;
	int			count = 0;
	ListCell   *lc;

	foreach(lc, shoal_meta_table_oids(0))
	{
		const ShoalTable *table = shoal_meta_table(lfirst_oid(lc));
		const ShoalGroup *group;

		if (table == NULL || table->kind == SHOAL_KIND_REFERENCE ||
			list_member_int(seen, table->group_id))
			continue;
		seen = lappend_int(seen, table->group_id);
		group = shoal_meta_group(table->group_id);
		for (int i = 0; i < group->shard_count; i++)
			if (group->primary[i] == node_id)
				count++;
	}
	list_free(seen);
	return count;
}

typedef struct NodeLoad
{
	int			node_id;
	int			primaries;
} NodeLoad;

static int
compare_loads(const void *a, const void *b)
{
	const NodeLoad *x = a;
	const NodeLoad *y = b;

	if (x->primaries != y->primaries)
		return x->primaries < y->primaries ? -1 : 1;
	return x->node_id < y->node_id ? -1 : 1;
}

/*
 * Which of n nodes gets a copy (0: the primary) of a shard.  Primaries go
 * round; the replicas of one node's primaries are spread over all others, and
 * those of one shard are on different nodes.
 */
static int
place_copy(int shard, int copy, int n)
{
	if (copy == 0)
		return shard % n;
	return (shard + 1 + (shard / n + copy - 1) % (n - 1)) % n;
}

/* Shards go round the nodes, beginning with those that have the fewest. */
static void
place_shards(Distribution *dist)
{
	List	   *nodes = shoal_meta_nodes();
	NodeLoad   *loads = palloc(sizeof(NodeLoad) * Max(list_length(nodes), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, nodes)
	{
		const ShoalNode *node = lfirst(lc);

		if (dist->kind != SHOAL_KIND_REFERENCE && !node->holds_shards)
			continue;
		loads[n].node_id = node->node_id;
		loads[n].primaries = dist->kind == SHOAL_KIND_REFERENCE ? 0 :
			count_primaries(node->node_id);
		n++;
	}
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no node holds shards"),
				 errhint("Add a node with shoal.add_node(), or use shoal.alter_node(node_id, holds_shards => true).")));
	qsort(loads, n, sizeof(NodeLoad), compare_loads);

	if (dist->replicas >= n)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%d nodes are too few for %d replicas of each shard",
						n, dist->replicas),
				 errdetail("A replica is never on the node of its primary."),
				 errhint("Add nodes with shoal.add_node(), or use fewer replicas.")));
	dist->nnodes = dist->kind == SHOAL_KIND_REFERENCE ? n :
		dist->shard_count * (1 + dist->replicas);
	dist->nodes = palloc(sizeof(int) * dist->nnodes);
	for (int i = 0; i < dist->nnodes; i++)
	{
		int			count = dist->kind == SHOAL_KIND_REFERENCE ? n :
			dist->shard_count;

		dist->nodes[i] = loads[place_copy(i % count, i / count, n)].node_id;
	}
}

static void
join_group(Distribution *dist, const ShoalGroup *group)
{
	dist->group_id = group->group_id;
	dist->new_group = false;
	dist->shard_count = group->shard_count;
	dist->replicas = group->replicas;
	dist->closed = group->closed;
}

/* The open group that a table can join without being told, or none. */
static void
join_default_group(Relation rel, List *keyattrs, Distribution *dist)
{
	const ShoalGroup *best = NULL;
	ListCell   *lc;

	foreach(lc, shoal_meta_table_oids(0))
	{
		const ShoalTable *table = shoal_meta_table(lfirst_oid(lc));
		const ShoalGroup *group;

		if (table == NULL || table->kind != dist->kind)
			continue;
		group = shoal_meta_group(table->group_id);
		if (group->closed || group->shard_count != dist->shard_count ||
			group->replicas != dist->replicas ||
			(best != NULL && best->group_id <= group->group_id))
			continue;
		if (dist->kind == SHOAL_KIND_DISTRIBUTED &&
			!shoal_ddl_keys_match(rel, keyattrs, table))
			continue;
		best = group;
	}
	if (best != NULL)
		join_group(dist, best);
}

/* colocate_with => a table */
static void
join_group_of(Relation rel, List *keyattrs, Distribution *dist,
			  const char *name, bool count_given)
{
	RangeVar   *rv = makeRangeVarFromNameList(shoal_name_list(name));
	Oid			other = RangeVarGetRelid(rv, AccessShareLock, false);
	const ShoalTable *table = shoal_meta_table(other);
	const ShoalGroup *group;

	if (table == NULL || table->kind != dist->kind)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not a %s table", get_rel_name(other),
						dist->kind == SHOAL_KIND_SINGLE ? "single-shard" :
						"distributed"),
				 errhint("colocate_with is 'default', 'none' or the name of a table of the same kind.")));
	group = shoal_meta_group(table->group_id);
	if (count_given && group->shard_count != dist->shard_count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has %d shards, not %d",
						get_rel_name(other), group->shard_count,
						dist->shard_count),
				 errhint("Leave shard_count out.")));
	if (dist->replicas_given && group->replicas != dist->replicas)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the shards of table \"%s\" have %d replicas, not %d",
						get_rel_name(other), group->replicas, dist->replicas),
				 errhint("Leave replicas out; shoal.set_replicas() changes them for all colocated tables.")));
	if (dist->kind == SHOAL_KIND_DISTRIBUTED &&
		!shoal_ddl_keys_match(rel, keyattrs, table))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("distribution columns of \"%s\" and \"%s\" do not have the same type",
						RelationGetRelationName(rel), get_rel_name(other)),
				 errhint("Change the column's type or collation, or use colocate_with => 'none'.")));
	join_group(dist, group);
}

/*
 * True if there are rows to move, and triggers or policies that must not see
 * them; sets the list of tables with policies.
 */
static bool
needs_quiet(Oid relid, List **row_security)
{
	bool		rows = false;
	bool		watched = false;
	ListCell   *lc;

	foreach(lc, shoal_ddl_members(relid, NoLock))
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);

		if (rel->rd_rel->relhastriggers || rel->rd_rel->relrowsecurity)
			watched = true;
		if (rel->rd_rel->relrowsecurity)
			*row_security = lappend_oid(*row_security, lfirst_oid(lc));
		if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind) &&
			RelationGetNumberOfBlocks(rel) > 0)
			rows = true;
		table_close(rel, NoLock);
	}
	return rows && watched;
}

static void
check_persistence(Oid relid, const Distribution *dist)
{
	ListCell   *lc;

	if (dist->kind != SHOAL_KIND_REFERENCE && dist->replicas == 0)
		return;
	foreach(lc, shoal_ddl_members(relid, NoLock))
	{
		if (get_rel_persistence(lfirst_oid(lc)) == RELPERSISTENCE_UNLOGGED)
			shoal_ddl_refuse_unlogged(get_rel_name(lfirst_oid(lc)),
									  dist->kind == SHOAL_KIND_REFERENCE);
	}
}

/*
 * Checks the table, settles group and placements, and does it.  colocate is
 * NULL for a reference table.
 */
static void
distribute(Oid relid, Distribution *dist, const char *key_names,
		   const char *colocate, bool count_given)
{
	Relation	rel = shoal_ddl_open_own_table(relid);
	List	   *row_security = NIL;
	List	   *keyattrs = NIL;
	ListCell   *lc;

	/* before columns are looked up in something that is not a table */
	shoal_ddl_check_relation(rel);
	if (key_names != NULL)
		keyattrs = shoal_ddl_key_columns(rel, key_names);
	shoal_ddl_check_table(rel, dist->kind, keyattrs);
	foreach(lc, keyattrs)
		dist->keys = lappend(dist->keys,
							 get_attname(relid, lfirst_int(lc), false));

	dist->new_group = true;
	if (colocate == NULL || strcmp(colocate, "default") == 0)
	{
		if (dist->kind != SHOAL_KIND_SINGLE)
			join_default_group(rel, keyattrs, dist);
	}
	else if (strcmp(colocate, "none") == 0)
		dist->closed = true;
	else
		join_group_of(rel, keyattrs, dist, colocate, count_given);

	check_persistence(relid, dist);
	shoal_ddl_check_foreign_keys(rel, dist->kind,
								 dist->new_group ? 0 : dist->group_id,
								 keyattrs);
	if (dist->new_group)
	{
		dist->group_id = shoal_meta_next_group_id();
		place_shards(dist);
	}
	table_close(rel, NoLock);
	dist->quiet = needs_quiet(relid, &row_security);
	distribute_everywhere(relid, dist, row_security);
}

void
shoal_ddl_distribute(Oid relid, const char *columns, const char *colocate_with,
					 int shard_count, int replicas)
{
	Distribution dist = {0};

	dist.kind = SHOAL_KIND_DISTRIBUTED;
	dist.shard_count = shard_count;
	dist.replicas = replicas;
	distribute(relid, &dist, columns, colocate_with, false);
}

Datum
shoal_create_distributed_table(PG_FUNCTION_ARGS)
{
	Distribution dist = {0};
	char	   *keys = NULL;
	bool		count_given = !PG_ARGISNULL(3);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null",
						PG_ARGISNULL(0) ? "table_name" : "colocate_with")));
	shoal_ddl_begin_change("shoal.create_distributed_table()");
	if (!PG_ARGISNULL(1))
		keys = text_to_cstring(PG_GETARG_TEXT_PP(1));

	dist.kind = keys ? SHOAL_KIND_DISTRIBUTED : SHOAL_KIND_SINGLE;
	dist.shard_count = keys ? shoal_shard_count : 1;
	dist.replicas = shoal_replicas;
	if (count_given)
	{
		dist.shard_count = PG_GETARG_INT32(3);
		if (dist.shard_count < 1 || dist.shard_count > 32000 ||
			(keys == NULL && dist.shard_count != 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("shard_count %d is not allowed", dist.shard_count),
					 errhint(keys ? "Give a number from 1 to 32000." :
							 "A table without distribution column has one shard.")));
	}
	dist.replicas_given = !PG_ARGISNULL(4);
	if (dist.replicas_given)
		dist.replicas = PG_GETARG_INT32(4);
	if (dist.replicas < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of replicas must not be negative")));
	shoal_xact_note_sole();
	distribute(PG_GETARG_OID(0), &dist, keys,
			   text_to_cstring(PG_GETARG_TEXT_PP(2)), count_given);
	PG_RETURN_VOID();
}

Datum
shoal_create_reference_table(PG_FUNCTION_ARGS)
{
	Distribution dist = {0};

	shoal_ddl_begin_change("shoal.create_reference_table()");
	shoal_xact_note_sole();
	dist.kind = SHOAL_KIND_REFERENCE;
	dist.shard_count = 1;
	distribute(PG_GETARG_OID(0), &dist, NULL, NULL, false);
	PG_RETURN_VOID();
}

Datum
shoal_internal_distribute(PG_FUNCTION_ARGS)
{
	Distribution dist = {0};
	Datum	   *elements;
	int			n;

	shoal_ddl_begin_internal();
	dist.kind = PG_GETARG_CHAR(1);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		dist.keys = lappend(dist.keys, TextDatumGetCString(elements[i]));
	dist.group_id = PG_GETARG_INT32(3);
	dist.new_group = PG_GETARG_BOOL(4);
	dist.shard_count = PG_GETARG_INT32(5);
	dist.replicas = PG_GETARG_INT32(6);
	dist.closed = PG_GETARG_BOOL(7);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(8), INT4OID, sizeof(int32), true,
					  TYPALIGN_INT, &elements, NULL, &dist.nnodes);
	dist.nodes = palloc(sizeof(int) * Max(dist.nnodes, 1));
	for (int i = 0; i < dist.nnodes; i++)
		dist.nodes[i] = DatumGetInt32(elements[i]);
	dist.quiet = PG_GETARG_BOOL(9);
	(void) distribute_here(PG_GETARG_OID(0), &dist, false);
	PG_RETURN_VOID();
}

Datum
shoal_internal_distributed(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	List	   *row_security = NIL;
	Datum	   *elements;
	int			n;

	shoal_ddl_begin_internal();
	table_close(shoal_ddl_open_own_table(relid), NoLock);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), REGCLASSOID, sizeof(Oid), true,
					  TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		row_security = lappend_oid(row_security, DatumGetObjectId(elements[i]));
	set_quiet(relid, false, row_security);
	PG_RETURN_VOID();
}
