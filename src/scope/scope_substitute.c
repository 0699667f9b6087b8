/*
 * scope_substitute.c
 *		Putting one shard's partitions in the places of their parents.
 *
 * A query that may see just one shard is planned as if it named the
 * partitions: no expansion of partitioned tables, no pruning, no tuple
 * routing.  The parent's range-table entry stays where it is and keeps the
 * permission check (and, in a cached plan, its place in the order of locks:
 * parent before partition, as everywhere else); a new entry for the partition
 * takes over everything that refers to it.
 *
 * This is right only where core treats a partition that is named just like
 * one that is reached through its parent.  Where it does not (other column
 * numbers, statement triggers, rows that may move, ...) the query keeps the
 * parent, whose other partitions scope_plan.c hides.
 *
 * A shard that is not here is an error in any case: the sender's view of the
 * placements is old, and an empty result would be wrong.
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "scope/scope_internal.h"

typedef struct SubstituteContext
{
	const ShoalScope *scope;
	int			shard;			/* the only one; -1 if there are more or none */
	bool		several;		/* may tables be read by a Shard Scan? */
	List	   *small;			/* ShoalSmallTable: those that are */
} SubstituteContext;

void
shoal_scope_raise_not_here(int group_id, int shard)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
			 errmsg("shard %d of group %d is not on this node", shard, group_id),
			 errhint("The placement may have just changed; try the statement again.")));
}

/*
 * The sender knows which tables it asks for; others come from policies of row
 * security, which are added here.  This node may have none of their rows.
 */
static void
raise_other_group(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("table \"%s\" cannot be read for a shard of another colocation group",
					get_rel_name(relid)),
			 errdetail("A policy of row-level security on a distributed table reads it."),
			 errhint("Make it a reference table, or colocate the tables and compare their distribution columns.")));
}

/* This node may have a replica of what the sender takes for its primary. */
static void
check_primaries(const ShoalScope *scope)
{
	const ShoalGroup *group = shoal_meta_group(scope->group_id);
	int			local = shoal_meta_local_node_id();
	int			shard = -1;

	if (!shoal_meta_has_replicas(group))
		return;
	while ((shard = bms_next_member(scope->shards, shard)) >= 0)
	{
		const ShoalCopy *copy = shoal_meta_copy(group, shard, local);

		if (copy == NULL || copy->state != SHOAL_COPY_ACTIVE ||
			(!copy->is_primary && !scope->any_copy))
			shoal_scope_raise_not_here(scope->group_id, shard);
	}
}

/* Checks that all shards of the scope have a partition of the table here. */
static void
check_shards(Oid relid, const ShoalScope *scope)
{
	const ShoalChildren *entry = shoal_scope_children(relid);
	List	   *parts;
	ListCell   *lc;

	if (entry->by_hash)
	{
		if (!bms_is_subset(scope->shards, entry->shards))
			shoal_scope_raise_not_here(scope->group_id,
						   bms_next_member(bms_difference(scope->shards,
														  entry->shards), -1));
		check_primaries(scope);
		return;
	}
	parts = list_copy(entry->parts);
	foreach(lc, parts)
	{
		const ShoalTable *part = shoal_meta_table(lfirst_oid(lc));

		if (part != NULL && part->group_id == scope->group_id)
			check_shards(part->relid, scope);
	}
	list_free(parts);
}

void
shoal_scope_check_plan(const PlannedStmt *stmt, const ShoalScope *scope)
{
	ListCell   *lc;

	foreach(lc, stmt->relationOids)
	{
		const ShoalTable *table = shoal_meta_table(lfirst_oid(lc));

		if (table != NULL && table->kind == SHOAL_KIND_DISTRIBUTED &&
			table->group_id == scope->group_id)
			check_shards(table->relid, scope);
	}
}

/* Does a list of target columns include one of the table's key columns? */
static bool
sets_key(List *targets, const ShoalTable *table)
{
	ListCell   *lc;

	foreach(lc, targets)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (target->resjunk)
			continue;
		for (int i = 0; i < table->nkeys; i++)
		{
			if (table->keyattr[i] == target->resno)
				return true;
		}
	}
	return false;
}

/* Does the query fire statement triggers of its result relation? */
static bool
fires_statement_triggers(Query *query, Oid relid)
{
	int			events = shoal_scope_events(query->commandType,
											query->onConflict &&
											query->onConflict->action == ONCONFLICT_UPDATE,
											query->mergeActionList);
	Relation	rel = table_open(relid, NoLock);
	bool		fires = shoal_scope_has_triggers(rel->trigdesc, events) ||
		shoal_scope_is_transitional(rel->trigdesc, events);

	table_close(rel, NoLock);
	return fires;
}

/* May a query be planned with a partition in place of this relation? */
static bool
can_substitute(Query *query, int rti, const ShoalTable *table,
			   const ShoalScope *scope)
{
	RangeTblEntry *rte = rt_fetch(rti, query->rtable);

	if (query->commandType == CMD_MERGE)
		return false;
	if (rti != query->resultRelation)
		return rte->inh;		/* not for ONLY, which sees no partition */
	if (query->commandType != CMD_INSERT && !rte->inh)
		return false;

	/* a new key may move the row, for which core needs the parent */
	if (query->commandType == CMD_UPDATE && sets_key(query->targetList, table))
		return false;
	if (query->onConflict != NULL &&
		(OidIsValid(query->onConflict->constraint) ||
		 sets_key(query->onConflict->onConflictSet, table)))
		return false;
	return scope->fired || !fires_statement_triggers(query, table->relid);
}

/*
 * The user as whom the planner may look at the partition's statistics: it
 * checks rights on the partition, which nobody has; its owner where the user
 * may read the parent.
 */
static Oid
statistics_user(Oid parent, Oid child, Oid check_as)
{
	Oid			userid = OidIsValid(check_as) ? check_as : GetUserId();
	HeapTuple	tuple;

	if (pg_class_aclcheck(parent, userid, ACL_SELECT) != ACLCHECK_OK)
		return check_as;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(child));
	if (!HeapTupleIsValid(tuple))
		return check_as;
	userid = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return userid;
}

static void
substitute(Query *query, int rti, Oid child)
{
	RangeTblEntry *old = rt_fetch(rti, query->rtable);
	RangeTblEntry *new = copyObject(old);

	new->relid = child;
	new->relkind = RELKIND_RELATION;
	new->inh = false;
	shoal_rte_drop_permissions(query, old, new,
							   statistics_user(old->relid, child,
											   shoal_rte_check_as(query, old)));
	query->rtable = lappend(query->rtable, new);

	/* what is left for the old entry is the permission check */
	old->inh = false;
	old->securityQuals = NIL;
	old->tablesample = NULL;
	ChangeVarNodes((Node *) query, rti, list_length(query->rtable), 0);
}

/*
 * An INSERT whose triggers the coordinator fires takes the partition even if that
 * has other column numbers, as it must know its triggers before it runs.
 */
static void
renumber_insert(Query *query, Oid parent, Oid child)
{
	Relation	from = table_open(parent, NoLock);
	Relation	to = table_open(child, NoLock);
	AttrMap    *map = shoal_attrmap_by_name(RelationGetDescr(to),
											RelationGetDescr(from));
	bool		found_whole_row;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		tle->resno = map->attnums[tle->resno - 1];
	}
	query->returningList = (List *)
		map_variable_attnos((Node *) query->returningList, query->resultRelation,
							0, map, InvalidOid, &found_whole_row);
	query->onConflict = (OnConflictExpr *)
		map_variable_attnos((Node *) query->onConflict, query->resultRelation,
							0, map, InvalidOid, &found_whole_row);
	free_attrmap(map);
	table_close(to, NoLock);
	table_close(from, NoLock);
}

static bool
refers_to_walker(Node *node, int *rti)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, RangeTblRef))
		return ((RangeTblRef *) node)->rtindex == *rti;
	return expression_tree_walker(node, refers_to_walker, (void *) rti);
}

/* Other entries are there for their permission checks. */
static bool
is_used(Query *query, int rti)
{
	return rti == query->resultRelation ||
		refers_to_walker((Node *) query->jointree, &rti);
}

/* Has a table planned as one relation if it is small. */
static void
make_one_relation(RangeTblEntry *rte, SubstituteContext *context)
{
	ShoalSmallTable *small = NULL;
	ListCell   *lc;

	if (!rte->inh || rte->tablesample != NULL ||
		!shoal_scope_children(rte->relid)->by_hash)
		return;
	foreach(lc, context->small)
	{
		if (((ShoalSmallTable *) lfirst(lc))->relid == rte->relid)
			small = lfirst(lc);
	}
	if (small == NULL)
	{
		small = shoal_scope_measure(rte->relid, context->scope->shards);
		if (small == NULL)
			return;
		context->small = lappend(context->small, small);
	}
	rte->inh = false;
	rte->relkind = RELKIND_RELATION;
}

static void
process_query(Query *query, SubstituteContext *context)
{
	int			nrtes = list_length(query->rtable);

	for (int rti = 1; rti <= nrtes; rti++)
	{
		RangeTblEntry *rte = rt_fetch(rti, query->rtable);
		const ShoalTable *table;
		Oid			child;
		bool		same_row;

		/* the entry for EXCLUDED has the relation, but another relkind */
		if (rte->rtekind != RTE_RELATION ||
			(rte->relkind != RELKIND_PARTITIONED_TABLE &&
			 rte->relkind != RELKIND_RELATION))
			continue;
		table = shoal_meta_table(rte->relid);
		if (table == NULL || table->kind == SHOAL_KIND_REFERENCE)
			continue;
		if (table->group_id != context->scope->group_id)
		{
			if (is_used(query, rti))
				raise_other_group(rte->relid);
			continue;
		}
		if (rte->relkind != RELKIND_PARTITIONED_TABLE)
			continue;
		check_shards(rte->relid, context->scope);
		if (context->several)
			make_one_relation(rte, context);
		if (context->shard < 0 ||
			!can_substitute(query, rti, table, context->scope))
			continue;
		child = shoal_scope_lock_child(rte->relid, context->shard,
									   rte->rellockmode, &same_row);
		/* whoever made another node the primary may have had it locked */
		check_primaries(context->scope);
		if (!OidIsValid(child) ||
			!(same_row || (context->scope->fired && query->commandType == CMD_INSERT)))
			continue;
		substitute(query, rti, child);
		if (!same_row)
			renumber_insert(query, table->relid, child);
	}
}

/* A call of shoal.is_here() whose shards are to be those of the scope. */
static bool
asks_for_scope(Node *node)
{
	FuncExpr   *func = (FuncExpr *) node;
	Const	   *shards;
	char	   *name;

	if (!IsA(node, FuncExpr) || func->funcid < FirstNormalObjectId ||
		list_length(func->args) != 3)
		return false;
	shards = lthird(func->args);
	if (!IsA(shards, Const) || !shards->constisnull ||
		shards->consttype != INT4ARRAYOID ||
		get_func_namespace(func->funcid) != get_namespace_oid("shoal", true))
		return false;
	name = get_func_name(func->funcid);
	return name != NULL && strcmp(name, "is_here") == 0;
}

static Const *
shards_as_array(const ShoalScope *scope)
{
	Datum	   *elements = palloc(sizeof(Datum) * bms_num_members(scope->shards));
	int			n = 0;
	int			shard = -1;

	while ((shard = bms_next_member(scope->shards, shard)) >= 0)
		elements[n++] = Int32GetDatum(shard);
	return makeConst(INT4ARRAYOID, -1, InvalidOid, -1,
					 PointerGetDatum(construct_array(elements, n, INT4OID,
													 sizeof(int32), true,
													 TYPALIGN_INT)),
					 false, false);
}

static bool
substitute_walker(Node *node, SubstituteContext *context)
{
	if (node == NULL)
		return false;
	if (asks_for_scope(node))
		lthird(((FuncExpr *) node)->args) = shards_as_array(context->scope);
	if (IsA(node, Query))
	{
		process_query((Query *) node, context);
		return query_tree_walker((Query *) node, substitute_walker, context, 0);
	}
	return expression_tree_walker(node, substitute_walker, context);
}

List *
shoal_scope_substitute(Query *query, const ShoalScope *scope)
{
	const ShoalGroup *group = shoal_meta_find_group(scope->group_id);
	SubstituteContext context;

	if (group == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE), shoal_errmoved(),
				 errmsg("group %d does not exist on this node", scope->group_id),
				 errhint("The schema may have just changed; try the statement again.")));

	/* nothing but the metadata tells where a plain table's rows are */
	if (group->kind == SHOAL_KIND_SINGLE && bms_is_member(0, scope->shards) &&
		group->primary[0] != shoal_meta_local_node_id() && !scope->any_copy)
		shoal_scope_raise_not_here(group->group_id, 0);
	if (group->kind == SHOAL_KIND_SINGLE && scope->any_copy)
		check_primaries(scope);

	context.scope = scope;
	context.small = NIL;
	if (!bms_get_singleton_member(scope->shards, &context.shard))
		context.shard = -1;
	context.several = shoal_enable_shard_scan && context.shard < 0 &&
		!bms_is_empty(scope->shards) && shoal_scope_only_reads(query);
	substitute_walker((Node *) query, &context);
	return context.small;
}
