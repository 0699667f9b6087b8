/*
 * ops_repair.c
 *		Repairing a copy of a table's shard by what differs: the coordinator's part.
 *
 * The copy has missed writes, and gets all writes again: its placement is
 * "copying".  Then, in transactions of their own:
 *
 *	1. copy and primary are compared as of one moment, by the functions that
 *	   shoal.verify_table() uses: sums by buckets of keys, then keys and hashes
 *	   of the rows in buckets that differ.  What differs is kept here, in a
 *	   tuplestore, which goes to disk if it is large.
 *	2. batches of it are sent to the primary's node, which sends rows to the
 *	   copy (mirror_repair.c says why that is right, whatever is written
 *	   meanwhile)
 *
 * and again, until the comparison finds nothing.  As all writes reach both
 * in the same transactions, what was equal stays equal.
 *
 * A table without a key, and a copy that has little in common with the primary,
 * is better emptied and filled.  The former is compared all the same: it may
 * be equal.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "mirror/mirror.h"
#include "mirror/mirror_verify.h"
#include "ops/ops.h"
#include "ops/ops_job.h"

/* rows, and bytes of their keys, that are repaired in one transaction */
#define BATCH_ROWS	1000
#define BATCH_SIZE	(256 * 1024)

/* blocks that are to be in a bucket, and limits to the number of buckets */
#define BUCKET_BLOCKS	1
#define MIN_BUCKETS		1024
#define MAX_BUCKETS		(256 * 1024)

/* rows that are never too many to be repaired one by one */
#define FEW_ROWS	1000

/* comparisons at most before the copy is filled instead */
#define MAX_PASSES	8

/* hexadecimal digits of an int32 */
#define INT_DIGITS	8

typedef enum Comparison
{
	COPY_IS_EQUAL,
	COPY_IS_DIFFERENT,
	COPY_IS_HOPELESS
} Comparison;

typedef struct TableRepair
{
	Oid			relid;
	int			shard;
	int			group_id;
	int			node_id;		/* of the copy */
	MemoryContext context;		/* of this, for all transactions */
	char	   *name;			/* of the table; NULL: it is gone */
	char	   *key;			/* its columns' names, as an array of SQL */
	bool		has_key;
	uint64		bytes;			/* that the primary has */
	int64		rows;			/* as of the last comparison */
	uint64		differing;
	TupleDesc	desc;			/* of the entries: a text */
	Tuplestorestate *entries;	/* for shoal.internal_repair_rows, in hexadecimal */
} TableRepair;

/* ---- comparing ---- */

/* The primary's; the copy still gets all writes. */
static int
primary_node(TableRepair *repair)
{
	const ShoalGroup *group = ops_copies_find_group(repair->group_id,
													repair->shard);
	int			node_id = group->primary[repair->shard];

	ops_copies_check_filling(group, repair->shard, repair->node_id);
	if (node_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shard %d of colocation group %d has no active primary",
						repair->shard, repair->group_id)));
	return node_id;
}

/* Finds out the table's name, key and size; false if it is gone. */
static bool
describe(TableRepair *repair)
{
	char	   *text;
	char	   *key;

	LockRelationOid(repair->relid, AccessShareLock);
	if (get_rel_name(repair->relid) == NULL)
		return false;
	repair->name = MemoryContextStrdup(repair->context,
									   shoal_mirror_table_name(repair->relid));
	text = shoal_ops_call(primary_node(repair),
						  psprintf("shoal.internal_repair_key(%s::pg_catalog.regclass, %d)",
								   quote_literal_cstr(repair->name),
								   repair->shard));
	key = text ? strchr(text, ' ') : NULL;
	if (key == NULL)
		elog(ERROR, "unexpected answer from a node: %s", text ? text : "nothing");
	repair->key = MemoryContextStrdup(repair->context, key + 1);
	repair->has_key = strncmp(repair->key, "ARRAY[]", 7) != 0;
	repair->bytes = strtou64(text, NULL, 10) * BLCKSZ;
	return true;
}

static int
number_of_buckets(TableRepair *repair)
{
	uint64		wanted = repair->bytes / BLCKSZ / BUCKET_BLOCKS;
	int			n = MIN_BUCKETS;

	while (n < MAX_BUCKETS && n < wanted)
		n *= 2;
	return n;
}

static void
put_int(StringInfo buf, uint32 value)
{
	appendStringInfo(buf, "%08x", value);
}

/*
 * What is to be done about a row, whose key and maker are those of the answer;
 * the maker counts for 'E' only.
 */
static void
note_entry(TableRepair *repair, char op, const MirrorAnswer *answer)
{
	StringInfoData buf;
	const char *key = mirror_value(answer, 1);
	Datum		value;
	bool		isnull = false;

	initStringInfo(&buf);
	put_int(&buf, 1 + (op == 'E' ? 4 : 0) + strlen(key) / 2);
	appendStringInfo(&buf, "%02x", op);
	if (op == 'E')
		put_int(&buf, (uint32) mirror_int_value(answer, 4));
	appendStringInfoString(&buf, key);
	value = CStringGetTextDatum(buf.data);
	tuplestore_putvalues(repair->entries, repair->desc, &value, &isnull);
	pfree(DatumGetPointer(value));
	pfree(buf.data);
}

static bool
is_too_many(TableRepair *repair, uint64 differing)
{
	return differing > FEW_ROWS && differing > repair->rows / 2;
}

/* Compares rows that come in the order of their keys; returns how many differ. */
static uint64
compare_rows(TableRepair *repair, MirrorAnswer *primary, MirrorAnswer *copy)
{
	bool		more_primary = mirror_next_row(primary);
	bool		more_copy = mirror_next_row(copy);
	uint64		differing = 0;

	while (more_primary || more_copy)
	{
		int			order = !more_primary ? 1 : !more_copy ? -1 :
			mirror_compare_keys(primary, copy);
		bool		same = order == 0 &&
			mirror_int_value(primary, 2) == mirror_int_value(copy, 2) &&
			mirror_int_value(primary, 3) == mirror_int_value(copy, 3);

		CHECK_FOR_INTERRUPTS();
		if (!same && !is_too_many(repair, ++differing))
		{
			if (order <= 0)
				note_entry(repair, 'R', primary);
			else
				note_entry(repair, 'E', copy);
		}
		if (order <= 0)
			more_primary = mirror_next_row(primary);
		if (order >= 0)
			more_copy = mirror_next_row(copy);
	}
	return differing;
}

/* Asks both nodes the same. */
static void
ask_both(TableRepair *repair, uint64 moment, int ncolumns,
		 const char *question, MirrorAnswer **answers)
{
	answers[0] = mirror_ask(moment, primary_node(repair), ncolumns, question);
	answers[1] = mirror_ask(moment, repair->node_id, ncolumns, question);
}

static Comparison
compare_at(TableRepair *repair, uint64 moment)
{
	MirrorAnswer *answers[2];
	char	   *arguments = psprintf("%s::pg_catalog.regclass, %s, %s, %d, %d",
									 quote_literal_cstr(repair->name),
									 repair->key,
									 quote_literal_cstr(repair->name),
									 repair->shard, number_of_buckets(repair));
	int64		rows[2];
	char	   *wanted;
	uint64		differing;

	ask_both(repair, moment, 4,
			 psprintf("buckets(%s) ORDER BY bucket", arguments), answers);
	wanted = mirror_differing_buckets(answers[0], answers[1], PG_INT32_MAX, rows);
	repair->rows = rows[0];
	if (strcmp(wanted, "{}") == 0)
		return COPY_IS_EQUAL;
	if (!repair->has_key || rows[1] == 0)
		return COPY_IS_HOPELESS;
	ask_both(repair, moment, 5,
			 psprintf("keys(%s, '%s') ORDER BY key_hash, key COLLATE pg_catalog.\"C\"",
					  arguments, wanted), answers);
	differing = compare_rows(repair, answers[0], answers[1]);
	if (is_too_many(repair, differing))
		return COPY_IS_HOPELESS;
	repair->differing += differing;
	return COPY_IS_DIFFERENT;
}

static Comparison
compare(TableRepair *repair)
{
	Comparison	result = COPY_IS_EQUAL;
	MemoryContext old;

	ops_job_begin();
	if (describe(repair))
	{
		uint64		moment;

		old = MemoryContextSwitchTo(repair->context);
		repair->desc = CreateTemplateTupleDesc(1);
		TupleDescInitEntry(repair->desc, 1, "entry", TEXTOID, -1, 0);
		repair->entries = tuplestore_begin_heap(false, true, work_mem);
		MemoryContextSwitchTo(old);
		moment = mirror_take_snapshots();
		result = compare_at(repair, moment);
		mirror_drop_snapshots(moment);
	}
	ops_job_commit();
	return result;
}

/* ---- repairing ---- */

/*
 * In a transaction.  Returns those entries, likewise in hexadecimal, that
 * somebody has locked, if not told to wait.
 */
static char *
send_batch(TableRepair *repair, const char *entries, bool wait)
{
	char	   *text;
	char	   *left;
	uint64		rows;
	uint64		bytes;
	int			at;

	ops_job_begin();
	CHECK_FOR_INTERRUPTS();
	text = ops_copies_call(primary_node(repair),
						   psprintf("shoal.internal_repair_rows(%s::pg_catalog.regclass, %d, %d, %s,"
									" pg_catalog.decode('%s', 'hex'), %s)",
									quote_literal_cstr(repair->name),
									repair->shard, repair->node_id, repair->key,
									entries, wait ? "true" : "false"));
	if (text == NULL ||
		sscanf(text, UINT64_FORMAT " " UINT64_FORMAT " %n", &rows, &bytes, &at) != 2)
		elog(ERROR, "unexpected answer from a node: %s", text ? text : "nothing");
	left = MemoryContextStrdup(repair->context, text + at);
	shoal_mirror_forward();
	ops_job_commit();
	MemoryContextSwitchTo(repair->context);
	ops_job_progress(0, rows);
	return left;
}

/*
 * The same; what a conflict with somebody else keeps from being done is left to
 * the next pass.
 */
static char *
repair_batch(TableRepair *repair, const char *entries, bool wait)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *volatile left = NULL;

	PG_TRY();
	{
		left = send_batch(repair, entries, wait);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_T_R_DEADLOCK_DETECTED &&
			geterrcode() != ERRCODE_T_R_SERIALIZATION_FAILURE)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(context);
		left = MemoryContextStrdup(repair->context, "");
	}
	PG_END_TRY();
	return left;
}

/* The length of the first of some entries, in digits. */
static int
entry_size(const char *entries)
{
	char		digits[INT_DIGITS + 1];

	strlcpy(digits, entries, sizeof(digits));
	return INT_DIGITS + 2 * (int) strtoul(digits, NULL, 16);
}

static void
repair_some(TableRepair *repair, StringInfo entries)
{
	char	   *left;

	if (entries->len == 0)
		return;
	left = repair_batch(repair, entries->data, false);
	resetStringInfo(entries);
	for (char *at = left; *at;)
	{
		int			size = Min(entry_size(at), strlen(at));

		appendBinaryStringInfo(entries, at, size);
		(void) repair_batch(repair, entries->data, true);
		resetStringInfo(entries);
		at += size;
	}
	pfree(left);
}

static void
repair_entries(TableRepair *repair)
{
	MemoryContext old = MemoryContextSwitchTo(repair->context);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(repair->desc,
													&TTSOpsMinimalTuple);
	StringInfoData entries;
	int			rows = 0;

	initStringInfo(&entries);
	while (tuplestore_gettupleslot(repair->entries, true, false, slot))
	{
		bool		isnull;
		text	   *entry = DatumGetTextPP(slot_getattr(slot, 1, &isnull));

		appendBinaryStringInfo(&entries, VARDATA_ANY(entry),
							   VARSIZE_ANY_EXHDR(entry));
		if (++rows >= BATCH_ROWS || entries.len >= 2 * BATCH_SIZE)
		{
			repair_some(repair, &entries);
			rows = 0;
		}
	}
	repair_some(repair, &entries);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextSwitchTo(old);
}

static void
empty_copy(TableRepair *repair)
{
	ops_job_begin();
	(void) shoal_ops_call(repair->node_id,
						  psprintf("shoal.internal_empty_table(%s::pg_catalog.regclass, %d)",
								   quote_literal_cstr(repair->name),
								   repair->shard));
	ops_job_commit();
}

/* True if copy and primary are equal at last. */
static bool
repair_passes(TableRepair *repair)
{
	for (int pass = 0; pass < MAX_PASSES; pass++)
	{
		Comparison	result = compare(repair);

		if (result == COPY_IS_DIFFERENT && pass < MAX_PASSES - 1)
			repair_entries(repair);
		if (repair->entries)
			tuplestore_end(repair->entries);
		repair->entries = NULL;
		if (result != COPY_IS_DIFFERENT)
			return result == COPY_IS_EQUAL;
	}
	return false;
}

bool
ops_repair_table(Oid relid, int group_id, int shard, int node_id,
				 OpsRepaired *done)
{
	TableRepair repair = {0};
	bool		equal;

	repair.relid = relid;
	repair.group_id = group_id;
	repair.shard = shard;
	repair.node_id = node_id;
	repair.context = AllocSetContextCreate(TopMemoryContext,
										   "Shoal repair of a table",
										   ALLOCSET_DEFAULT_SIZES);
	equal = repair_passes(&repair);
	if (equal)
		ops_job_progress(repair.bytes, 0);
	else if (repair.has_key)
		empty_copy(&repair);
	done->rows += repair.rows;
	done->differing += repair.differing;
	done->filled += equal ? 0 : 1;
	MemoryContextDelete(repair.context);
	return equal;
}
