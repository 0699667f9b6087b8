/*
 * mirror_verify.c
 *		shoal.verify_table(): are all copies of a table equal, and is each row
 *		where it belongs?
 *
 * All that is read, on whichever node and in however many steps, is read with
 * the snapshots of one moment; the placements are those of that moment, too.
 * So a copy counts if it was active then, and whatever is written meanwhile
 * makes no difference.
 *
 * All nodes add up their copies at the same time (mirror_checksum.c).  If one
 * does not add up to the same as the primary, both are asked for sums by
 * buckets of keys, and then for the hashes of the rows in as many of the
 * buckets that differ as there are rows to report.  Those come sorted and are
 * compared as they come, so that neither memory nor the network has to do with
 * whole shards, whatever they hold (mirror_ask.c).
 *
 * The table and its partitions by range or list are locked ACCESS SHARE, here
 * first, like by a query; statements that change the schema lock them on all nodes
 * before they begin, so partitions stay what they are.  Only a placement may
 * go meanwhile: a partition is not missing if nobody wants it there any more.
 *
 * An error, also one of a node that cannot be reached, ends it: there is no
 * answer about some copies only.  Snapshots go with the transaction or
 * subtransaction then.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "meta/meta_tables.h"
#include "mirror/mirror_verify.h"
#include "remote/remote.h"
#include "xact/xact.h"

PG_FUNCTION_INFO_V1(shoal_verify_table);

/* rows that are to be in a bucket, and limits to the number of buckets */
#define BUCKET_ROWS	256
#define MIN_BUCKETS	1024
#define MAX_BUCKETS	(256 * 1024)

/* a placement */
typedef struct Copy
{
	int			shard;
	int			node_id;
	bool		is_primary;
	int			reported;		/* rows of the result that are about it */
} Copy;

/* what one copy of a leaf's shard adds up to */
typedef struct Sums
{
	bool		found;			/* its node has it */
	int64		rows;
	int64		sum[2];
} Sums;

/* a table that is split into shards */
typedef struct Leaf
{
	char	   *name;			/* what nodes know it by */
	char	   *shown;			/* what users do */
} Leaf;

typedef struct Verify
{
	Oid			relid;
	const ShoalTable *table;
	int			max_rows;
	ReturnSetInfo *rsinfo;
	uint64		moment;			/* 0: none */

	Leaf	   *leaves;			/* sorted by name */
	int			nleaves;
	Copy	   *copies;			/* sorted by shard; then the primary is first */
	int			ncopies;
	Sums	   *sums;			/* by leaf, then by copy */
	List	   *current;		/* Copy *: those that are active by now, read
								 * when a partition is missing */
	bool		current_read;

	char	   *arguments;		/* of all questions: the table and its key */
} Verify;

/* ---- the result ---- */

static void
report(Verify *verify, Copy *copy, const char *problem, const char *key)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	if (copy->reported >= verify->max_rows)
		return;
	copy->reported++;
	values[0] = Int32GetDatum(copy->shard);
	values[1] = Int32GetDatum(copy->node_id);
	values[2] = CStringGetTextDatum(problem);
	values[3] = CStringGetTextDatum(key);
	tuplestore_putvalues(verify->rsinfo->setResult, verify->rsinfo->setDesc,
						 values, nulls);
}

/* Nothing can be said about a shard's rows. */
static void
report_no_primary(Verify *verify, int shard)
{
	Datum		values[4] = {0};
	bool		nulls[4] = {false, true, false, true};

	values[0] = Int32GetDatum(shard);
	values[2] = CStringGetTextDatum("no active primary");
	tuplestore_putvalues(verify->rsinfo->setResult, verify->rsinfo->setDesc,
						 values, nulls);
}

/* ---- what there is to compare ---- */

static int
compare_copies(const void *a, const void *b)
{
	const Copy *x = a;
	const Copy *y = b;

	if (x->shard != y->shard)
		return x->shard < y->shard ? -1 : 1;
	if (x->is_primary != y->is_primary)
		return x->is_primary ? -1 : 1;
	return x->node_id < y->node_id ? -1 : (x->node_id > y->node_id ? 1 : 0);
}

/*
 * The active placements of the table's group (list of Copy *), with a
 * snapshot, or as they are by now (NULL).
 */
static List *
read_copies(int group_id, Snapshot snapshot)
{
	Relation	rel = table_open(shoal_meta_relid(SHOAL_REL_PLACEMENT),
								 AccessShareLock);
	List	   *copies = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, SHOAL_PLACEMENT_GROUP, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(group_id));
	scan = systable_beginscan(rel, shoal_primary_key_index(rel), true, snapshot,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[SHOAL_PLACEMENT_NATTS];
		bool		nulls[SHOAL_PLACEMENT_NATTS];
		Copy	   *copy;

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		if (strcmp(TextDatumGetCString(values[SHOAL_PLACEMENT_STATE - 1]),
				   "active") != 0)
			continue;
		copy = palloc0(sizeof(Copy));
		copy->shard = DatumGetInt32(values[SHOAL_PLACEMENT_SHARD - 1]);
		copy->node_id = DatumGetInt32(values[SHOAL_PLACEMENT_NODE - 1]);
		copy->is_primary =
			strcmp(TextDatumGetCString(values[SHOAL_PLACEMENT_ROLE - 1]),
				   "primary") == 0;
		copies = lappend(copies, copy);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return copies;
}

static int
compare_leaves(const void *a, const void *b)
{
	return strcmp(((const Leaf *) a)->name, ((const Leaf *) b)->name);
}

static void
find_leaves(Verify *verify)
{
	List	   *leaves = shoal_mirror_leaves(verify->relid);
	ListCell   *lc;

	verify->leaves = palloc(sizeof(Leaf) * Max(list_length(leaves), 1));
	foreach(lc, leaves)
	{
		Oid			relid = lfirst_oid(lc);
		Leaf	   *leaf;

		/* one that cannot be split yet has no rows either */
		if (shoal_meta_table(relid) == NULL)
			continue;
		leaf = &verify->leaves[verify->nleaves++];
		leaf->name = shoal_mirror_table_name(relid);
		leaf->shown = shoal_objects_relation_name(relid);
	}
	qsort(verify->leaves, verify->nleaves, sizeof(Leaf), compare_leaves);
}

static void
find_copies(Verify *verify)
{
	List	   *copies = read_copies(verify->table->group_id, GetActiveSnapshot());
	ListCell   *lc;

	verify->ncopies = list_length(copies);
	verify->copies = palloc(sizeof(Copy) * Max(verify->ncopies, 1));
	foreach(lc, copies)
		verify->copies[foreach_current_index(lc)] = *(Copy *) lfirst(lc);
	qsort(verify->copies, verify->ncopies, sizeof(Copy), compare_copies);
	verify->sums = palloc_extended(sizeof(Sums) * Max(verify->ncopies, 1) *
								   Max(verify->nleaves, 1),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* Where the shard's copies begin, or would. */
static int
first_copy(Verify *verify, int shard)
{
	int			low = 0;
	int			high = verify->ncopies;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (verify->copies[middle].shard < shard)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The names of the primary key's columns, as an array of SQL. */
static char *
key_columns(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	StringInfoData buf;
	Oid			index_id;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "ARRAY[");
	/* asking for it reads the list of indexes */
	list_free(RelationGetIndexList(rel));
	index_id = shoal_primary_key_index(rel);
	if (OidIsValid(index_id))
	{
		Relation	index = index_open(index_id, AccessShareLock);

		for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
			appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "",
							 quote_literal_cstr(get_attname(relid,
															index->rd_index->indkey.values[i],
															false)));
		index_close(index, AccessShareLock);
	}
	appendStringInfoString(&buf, "]::pg_catalog.text[]");
	table_close(rel, NoLock);
	return buf.data;
}

/* ---- sums of all copies ---- */

static MirrorAnswer *
ask_sums(Verify *verify, int node_id)
{
	StringInfoData shards;

	initStringInfo(&shards);
	for (int i = 0; i < verify->ncopies; i++)
	{
		if (verify->copies[i].node_id == node_id)
			appendStringInfo(&shards, "%s%d", shards.len > 0 ? "," : "",
							 verify->copies[i].shard);
	}
	if (shards.len == 0)
		return NULL;
	return mirror_ask(verify->moment, node_id, 6,
			   psprintf("sums(%s, '{%s}'::pg_catalog.int4[], %d)",
						verify->arguments, shards.data, verify->max_rows));
}

/* NULL if that was not asked for. */
static Copy *
find_copy(Verify *verify, int shard, int node_id)
{
	for (int i = first_copy(verify, shard);
		 i < verify->ncopies && verify->copies[i].shard == shard; i++)
	{
		if (verify->copies[i].node_id == node_id)
			return &verify->copies[i];
	}
	return NULL;
}

static void
read_sums(Verify *verify, MirrorAnswer *answer)
{
	while (mirror_next_row(answer))
	{
		Leaf		wanted = {unconstify(char *, mirror_value(answer, 0)), NULL};
		Leaf	   *leaf = bsearch(&wanted, verify->leaves, verify->nleaves,
								   sizeof(Leaf), compare_leaves);
		Copy	   *copy = find_copy(verify, (int) mirror_int_value(answer, 1),
									 mirror_answer_node(answer));
		Sums	   *sums;

		if (leaf == NULL || copy == NULL)
			continue;
		if (mirror_value(answer, 2) != NULL)
		{
			report(verify, copy, "wrong shard", mirror_value(answer, 2));
			continue;
		}
		sums = &verify->sums[(leaf - verify->leaves) * verify->ncopies +
							 (copy - verify->copies)];
		sums->found = true;
		sums->rows = mirror_int_value(answer, 3);
		sums->sum[0] = mirror_int_value(answer, 4);
		sums->sum[1] = mirror_int_value(answer, 5);
	}
}

static void
add_up(Verify *verify)
{
	int			here = shoal_meta_local_node_id();
	List	   *node_ids = NIL;
	List	   *answers = NIL;
	MirrorAnswer *own;
	ListCell   *lc;

	for (int i = 0; i < verify->ncopies; i++)
	{
		if (verify->copies[i].node_id != here)
			node_ids = list_append_unique_int(node_ids,
											  verify->copies[i].node_id);
	}
	foreach(lc, node_ids)
		answers = lappend(answers, ask_sums(verify, lfirst_int(lc)));

	/* while they are at it */
	own = ask_sums(verify, here);
	if (own)
		read_sums(verify, own);
	foreach(lc, answers)
		read_sums(verify, lfirst(lc));
}

/* ---- copies that differ ---- */

static int
number_of_buckets(int64 rows)
{
	int			n = MIN_BUCKETS;

	while (n < MAX_BUCKETS && n < rows / BUCKET_ROWS)
		n *= 2;
	return n;
}

/* Compares rows that come in the order of their keys. */
static void
compare_rows(Verify *verify, Copy *copy, MirrorAnswer *primary,
			 MirrorAnswer *other)
{
	bool		more_primary = mirror_next_row(primary);
	bool		more_other = mirror_next_row(other);

	while (more_primary || more_other)
	{
		int			order = !more_primary ? 1 : !more_other ? -1 :
			mirror_compare_keys(primary, other);

		CHECK_FOR_INTERRUPTS();
		if (order < 0)
			report(verify, copy, "missing row", mirror_value(primary, 1));
		else if (order > 0)
			report(verify, copy, "extra row", mirror_value(other, 1));
		else if (mirror_int_value(primary, 2) != mirror_int_value(other, 2) ||
				 mirror_int_value(primary, 3) != mirror_int_value(other, 3))
			report(verify, copy, "different row", mirror_value(other, 1));
		if (order <= 0)
			more_primary = mirror_next_row(primary);
		if (order >= 0)
			more_other = mirror_next_row(other);
	}
}

static void
find_differences(Verify *verify, const char *leaf, Copy *primary, Copy *copy,
				 int64 rows)
{
	int			enough = verify->max_rows - copy->reported;
	int			nbuckets = number_of_buckets(rows);
	char	   *arguments;
	char	   *question;
	char	   *wanted;
	int64		counts[2];
	MirrorAnswer *answers[2];

	if (enough <= 0)
		return;
	arguments = psprintf("%s, %s, %d, %d", verify->arguments,
						 quote_literal_cstr(leaf), copy->shard, nbuckets);
	question = psprintf("buckets(%s) ORDER BY bucket", arguments);
	answers[0] = mirror_ask(verify->moment, primary->node_id, 4, question);
	answers[1] = mirror_ask(verify->moment, copy->node_id, 4, question);
	wanted = mirror_differing_buckets(answers[0], answers[1], enough, counts);

	question = psprintf("rows(%s, '%s') ORDER BY key_hash,"
						" key COLLATE pg_catalog.\"C\", hash_1, hash_2",
						arguments, wanted);
	answers[0] = mirror_ask(verify->moment, primary->node_id, 4, question);
	answers[1] = mirror_ask(verify->moment, copy->node_id, 4, question);
	compare_rows(verify, copy, answers[0], answers[1]);
}

/* Nobody has dropped the placement meanwhile? */
static bool
is_still_wanted(Verify *verify, const Copy *copy)
{
	ListCell   *lc;

	if (!verify->current_read)
		verify->current = read_copies(verify->table->group_id, NULL);
	verify->current_read = true;
	foreach(lc, verify->current)
	{
		Copy	   *now = lfirst(lc);

		if (now->shard == copy->shard && now->node_id == copy->node_id)
			return true;
	}
	return false;
}

/* Compares the copies of one shard of a leaf, from first on up to behind end. */
static void
compare_shard(Verify *verify, int leaf, int first, int end)
{
	Sums	   *sums = &verify->sums[leaf * (Size) verify->ncopies];
	Sums	   *primary = &sums[first];

	for (int i = first; i < end; i++)
	{
		Copy	   *copy = &verify->copies[i];

		if (!sums[i].found)
		{
			if (is_still_wanted(verify, copy))
				report(verify, copy, "missing partition",
					   verify->leaves[leaf].shown);
		}
		else if (primary->found && (sums[i].rows != primary->rows ||
									sums[i].sum[0] != primary->sum[0] ||
									sums[i].sum[1] != primary->sum[1]))
			find_differences(verify, verify->leaves[leaf].name,
							 &verify->copies[first], copy,
							 Max(sums[i].rows, primary->rows));
	}
}

static void
compare_all(Verify *verify)
{
	int			nshards = shoal_meta_group(verify->table->group_id)->shard_count;

	for (int shard = 0; shard < nshards; shard++)
	{
		int			first = first_copy(verify, shard);
		int			end = first_copy(verify, shard + 1);

		if (first == end || !verify->copies[first].is_primary)
		{
			report_no_primary(verify, shard);
			continue;
		}
		for (int leaf = 0; leaf < verify->nleaves; leaf++)
			compare_shard(verify, leaf, first, end);
	}
}

/* ---- the function ---- */

/* Locks the table; it is a Shoal table that the user may read. */
static void
begin_verify(Verify *verify)
{
	if (shoal_origin != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be called by a statement that runs on a node",
						"verify_table()"),
				 errhint("Call it by itself, in a session of your own.")));
	LockRelationOid(verify->relid, AccessShareLock);
	if (get_rel_name(verify->relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", verify->relid)));
	verify->table = shoal_meta_table(verify->relid);
	if (verify->table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not known to Shoal",
						get_rel_name(verify->relid)),
				 errhint("Only Shoal tables have copies that can be compared.")));
	shoal_mirror_check_readable(verify->relid);

	/* its snapshots are not taken at one moment */
	if (IsolationIsSerializable() && !shoal_meta_is_alone())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be called in a SERIALIZABLE transaction",
						"verify_table()"),
				 errhint("Use REPEATABLE READ.")));
}

/* shoal.verify_table(table_name, max_rows) */
Datum
shoal_verify_table(PG_FUNCTION_ARGS)
{
	Verify		verify = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("table and number of rows must not be null")));
	verify.relid = PG_GETARG_OID(0);
	verify.max_rows = PG_GETARG_INT32(1);
	if (verify.max_rows < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of rows must be at least 1")));
	begin_verify(&verify);
	InitMaterializedSRF(fcinfo, 0);
	verify.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	SPI_connect();
	find_leaves(&verify);
	verify.arguments =
		psprintf("%s::pg_catalog.regclass, %s",
				 quote_literal_cstr(shoal_mirror_table_name(verify.relid)),
				 key_columns(verify.relid));
	verify.moment = mirror_take_snapshots();
	find_copies(&verify);
	add_up(&verify);
	compare_all(&verify);
	mirror_drop_snapshots(verify.moment);
	SPI_finish();
	return (Datum) 0;
}
