/*
 * xact_sole.c
 *		Has this node written something that no other node could replace?
 *
 * If a coordinator is lost when all others have prepared, these commit, since
 * the coordinator may have.  If it has not, it comes back without its own part,
 * and gets that from the others: copies of shards and reference tables are repaired,
 * schema changes done again (ops_missed.c).  But rows of shards without another
 * copy, and of local tables, nobody else has.  Then the others have to wait for
 * what the coordinator says, and the names of the prepared parts tell them so.
 *
 * What a transaction has written is known from the counts for the statistics,
 * which heaps themselves keep, whatever way the rows have come.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "pgstat.h"
#include "utils/lsyscache.h"
#include "utils/pgstat_internal.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

static bool told = false;

void
shoal_xact_note_sole(void)
{
	told = true;
}

void
xact_sole_reset(void)
{
	told = false;
}

/* Whether another node has a complete copy of this node's shard. */
static bool
has_other_copy(int group_id, int shard)
{
	const ShoalGroup *group = shoal_meta_find_group(group_id);
	int			here = shoal_meta_local_node_id();

	for (int i = 0; group && i < group->ncopies; i++)
	{
		const ShoalCopy *copy = &group->copies[i];
		const ShoalNode *node;

		if (copy->shard != shard || copy->node_id == here ||
			copy->state != SHOAL_COPY_ACTIVE)
			continue;
		node = shoal_meta_node(copy->node_id);
		if (node && node->is_active)
			return true;
	}
	return false;
}

/* Whether rows of this relation are here only. */
static bool
is_sole(Oid relid)
{
	const ShoalTable *table;
	Oid			nspid;
	char		kind;
	int			group_id;
	int			shard;

	if (IsCatalogRelationOid(relid))
		return relid == LargeObjectRelationId ||
			relid == LargeObjectMetadataRelationId;
	kind = get_rel_relkind(relid);
	/* gone again; or what belongs to a table that was written, too */
	if (kind == '\0' || kind == RELKIND_TOASTVALUE || kind == RELKIND_SEQUENCE ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		return false;
	nspid = get_rel_namespace(relid);
	if (nspid == get_namespace_oid("shoal", true))
		return false;
	if (shoal_meta_is_shard_schema(nspid, &group_id, &shard))
		return !has_other_copy(group_id, shard);
	table = shoal_meta_table(relid);
	if (table && table->kind == SHOAL_KIND_REFERENCE)
		return false;
	return !table || !has_other_copy(table->group_id, 0);
}

bool
xact_wrote_sole(void)
{
	PgStat_SubXactStatus *level;

	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	if (told || !pgstat_track_counts)
		return true;
	level = pgstat_get_xact_stack_level(GetCurrentTransactionNestLevel());
	for (PgStat_TableXactStatus *table = level->first; table; table = table->next)
	{
		if ((table->tuples_inserted > 0 || table->tuples_updated > 0 ||
			 table->tuples_deleted > 0 || table->truncdropped) &&
			is_sole(shoal_stats_relid(table->parent)))
			return true;
	}
	return false;
}
