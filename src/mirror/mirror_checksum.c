/*
 * mirror_checksum.c
 *		Node side of shoal.verify_table(), and of repairs: what the rows of a
 *		copy add up to.
 *
 * Partitions are read themselves, not through their parents, so that scopes
 * have no say in what is seen; that needs the caller to have the right to read
 * all of the parent.  They are read with the snapshot of the calling
 * statement, which its coordinator has asked to be that of a moment.
 *
 * A row counts by its values, column by column in the parent's order: binary
 * where shoal_types_is_binary says so, else their text under fixed settings.
 * Neither dropped columns nor OIDs make a difference.  Two hashes of that are
 * summed up over the rows, in whatever order they lie.  Of copies that differ
 * the coordinator then asks for such sums by buckets of keys, and of buckets
 * that differ for the hashes of each row.  Who repairs them asks for the keys,
 * too, as they travel, and which transaction has made each row.
 *
 * The parent and its partitions are locked ACCESS SHARE until the end of the
 * transaction, as by a query.  An error leaves nothing behind but the
 * transaction.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "base/base_types.h"
#include "ddl/ddl.h"
#include "meta/meta.h"
#include "mirror/mirror_verify.h"
#include "xact/xact.h"

PG_FUNCTION_INFO_V1(shoal_internal_verify_sums);
PG_FUNCTION_INFO_V1(shoal_internal_verify_buckets);
PG_FUNCTION_INFO_V1(shoal_internal_verify_rows);
PG_FUNCTION_INFO_V1(shoal_internal_verify_keys);

#define SEED_1	UINT64CONST(0x53686f616c0001)
#define SEED_2	UINT64CONST(0x53686f616c0002)

#define MAX_BUCKETS	(1 << 20)

/* a column of the parent, as the copy has it */
typedef struct CopyColumn
{
	AttrNumber	attno;
	bool		binary;
	FmgrInfo	function;		/* send or output */
} CopyColumn;

/* reading one copy of a shard of a table */
typedef struct CopyReader
{
	Relation	rel;
	int			ncolumns;
	CopyColumn *columns;

	/* of the table's key; the whole row if it has none */
	int			nkeys;
	int		   *keys;			/* indexes into columns */
	TupleDesc	keydesc;
	FmgrInfo	key_output;

	/* where its rows belong; NULL if there are no two places */
	const ShoalTable *table;
	int			shard;
	AttrNumber	hashed[PARTITION_MAX_KEYS];

	MemoryContext context;		/* all of this */
	MemoryContext row_context;
	TupleTableSlot *slot;
	TableScanDesc scan;
	StringInfoData row;
	StringInfoData key;
} CopyReader;

/* what rows add up to */
typedef struct CopySums
{
	uint64		rows;
	uint64		sum[2];
} CopySums;

/* this backend calls these functions for a verification of its own */
static bool asking_here = false;

bool
shoal_mirror_set_asking_here(bool asking)
{
	bool		before = asking_here;

	asking_here = asking;
	return before;
}

/* ---- rights and names ---- */

void
shoal_mirror_check_readable(Oid relid)
{
	Oid			userid = GetUserId();

	if (pg_class_aclcheck(relid, userid, ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, userid, ACL_SELECT,
								  ACLMASK_ALL) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV,
					   get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for all rows of table \"%s\"",
						get_rel_name(relid)),
				 errdetail("Row-level security applies to you, and its copies are compared as a whole.")));
}

List *
shoal_mirror_leaves(Oid relid)
{
	List	   *leaves = NIL;
	ListCell   *lc;

	foreach(lc, shoal_ddl_members(relid, AccessShareLock))
	{
		if (shoal_ddl_is_leaf(lfirst_oid(lc)))
			leaves = lappend_oid(leaves, lfirst_oid(lc));
	}
	return leaves;
}

/* Core's way depends on settings and on the keywords of its version. */
static void
append_quoted(StringInfo buf, const char *name)
{
	appendStringInfoChar(buf, '"');
	for (; *name; name++)
	{
		if (*name == '"')
			appendStringInfoChar(buf, '"');
		appendStringInfoChar(buf, *name);
	}
	appendStringInfoChar(buf, '"');
}

char *
shoal_mirror_table_name(Oid relid)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_quoted(&buf, get_namespace_name(get_rel_namespace(relid)));
	appendStringInfoChar(&buf, '.');
	append_quoted(&buf, get_rel_name(relid));
	return buf.data;
}

/* Who calls, and may he?  Returns the table, locked. */
static const ShoalTable *
begin_internal(Oid relid)
{
	const ShoalTable *table;

	if (!asking_here)
		shoal_xact_check_call(MIRROR_VERIFY_MARKER MIRROR_VERIFY_CALL,
							  "Use shoal.verify_table().");
	LockRelationOid(relid, AccessShareLock);
	table = shoal_meta_table(relid);
	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table with OID %u is not distributed any more", relid),
				 errhint("Run the transaction again.")));
	shoal_mirror_check_readable(relid);
	return table;
}

int
mirror_fix_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"extra_float_digits", "3"},
		{"bytea_output", "hex"},
	};
	int			nestlevel = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* send functions convert to it */
	(void) set_config_option("client_encoding", GetDatabaseEncodingName(),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	return nestlevel;
}

/* ---- reading a copy ---- */

/* The number of a column of the table in one of its copies. */
static AttrNumber
find_column(Relation rel, const char *name)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), name);

	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist", name,
						RelationGetRelationName(rel))));
	return attno;
}

static void
init_column(CopyColumn *column, AttrNumber attno, Oid type)
{
	Oid			function;
	bool		varlena;

	column->attno = attno;
	column->binary = shoal_types_is_binary(type);
	if (column->binary)
		getTypeBinaryOutputInfo(type, &function, &varlena);
	else
		getTypeOutputInfo(type, &function, &varlena);
	fmgr_info(function, &column->function);
}

/* names are the key's columns. */
static void
init_keys(CopyReader *reader, ArrayType *names)
{
	TupleDesc	desc = RelationGetDescr(reader->rel);
	Datum	   *elements;
	Oid			output;
	bool		varlena;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL,
					  &reader->nkeys);
	reader->keys = palloc(sizeof(int) * Max(reader->nkeys, reader->ncolumns));
	for (int i = 0; i < reader->nkeys; i++)
	{
		AttrNumber	attno = find_column(reader->rel,
										TextDatumGetCString(elements[i]));

		reader->keys[i] = 0;
		while (reader->columns[reader->keys[i]].attno != attno)
			reader->keys[i]++;
	}
	if (reader->nkeys == 1)
		getTypeOutputInfo(TupleDescAttr(desc, reader->columns[reader->keys[0]].attno - 1)->atttypid,
						  &output, &varlena);
	else
		output = F_RECORD_OUT;
	fmgr_info(output, &reader->key_output);
	if (reader->nkeys == 1)
		return;

	if (reader->nkeys == 0)
	{
		for (int i = 0; i < reader->ncolumns; i++)
			reader->keys[i] = i;
	}
	reader->keydesc = CreateTemplateTupleDesc(reader->nkeys ? reader->nkeys :
											  reader->ncolumns);
	for (int i = 0; i < reader->keydesc->natts; i++)
		TupleDescCopyEntry(reader->keydesc, i + 1, desc,
						   reader->columns[reader->keys[i]].attno);
	reader->keydesc = BlessTupleDesc(reader->keydesc);
}

/* Where the leaf's rows belong. */
static void
init_hash(CopyReader *reader, const ShoalTable *leaf, int shard)
{
	reader->shard = shard;
	if (leaf->kind != SHOAL_KIND_DISTRIBUTED)
		return;
	reader->table = leaf;
	for (int i = 0; i < leaf->nkeys; i++)
		reader->hashed[i] = find_column(reader->rel,
										get_attname(leaf->relid,
													leaf->keyattr[i], false));
}

/* relid is locked. */
static CopyReader *
open_copy(Oid relid, const ShoalTable *leaf, int shard, Oid table_id,
		  ArrayType *key_names)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "shoal copy of a shard",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	CopyReader *reader = palloc0(sizeof(CopyReader));
	Relation	table = table_open(table_id, NoLock);
	TupleDesc	desc = RelationGetDescr(table);

	reader->context = context;
	reader->rel = table_open(relid, NoLock);
	reader->columns = palloc0(sizeof(CopyColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped)
			init_column(&reader->columns[reader->ncolumns++],
						find_column(reader->rel, NameStr(att->attname)),
						att->atttypid);
	}
	init_keys(reader, key_names);
	init_hash(reader, leaf, shard);
	table_close(table, NoLock);

	initStringInfo(&reader->row);
	initStringInfo(&reader->key);
	reader->row_context = AllocSetContextCreate(context, "shoal row of a copy",
												ALLOCSET_DEFAULT_SIZES);
	reader->slot = table_slot_create(reader->rel, NULL);
	reader->scan = table_beginscan(reader->rel, GetActiveSnapshot(), 0, NULL);
	MemoryContextSwitchTo(old);
	return reader;
}

static void
append_value(StringInfo buf, CopyColumn *column, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column->attno, &isnull);

	if (isnull)
		pq_sendint32(buf, (uint32) -1);
	else if (column->binary)
	{
		bytea	   *bytes = SendFunctionCall(&column->function, value);

		pq_sendint32(buf, VARSIZE(bytes) - VARHDRSZ);
		appendBinaryStringInfo(buf, VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
	}
	else
	{
		char	   *text = OutputFunctionCall(&column->function, value);

		pq_sendint32(buf, strlen(text));
		appendStringInfoString(buf, text);
	}
}

/* The next row, with its hashes; false at the end. */
static bool
read_copy(CopyReader *reader, uint64 *hash)
{
	MemoryContext old;

	CHECK_FOR_INTERRUPTS();
	if (!table_scan_getnextslot(reader->scan, ForwardScanDirection,
								reader->slot))
		return false;
	MemoryContextReset(reader->row_context);
	old = MemoryContextSwitchTo(reader->row_context);
	resetStringInfo(&reader->row);
	for (int i = 0; i < reader->ncolumns; i++)
		append_value(&reader->row, &reader->columns[i], reader->slot);
	MemoryContextSwitchTo(old);
	hash[0] = hash_bytes_extended((unsigned char *) reader->row.data,
								  reader->row.len, SEED_1);
	hash[1] = hash_bytes_extended((unsigned char *) reader->row.data,
								  reader->row.len, SEED_2);
	return true;
}

static void
close_copy(CopyReader *reader)
{
	table_endscan(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	table_close(reader->rel, NoLock);
	MemoryContextDelete(reader->context);
}

/* Of the row that was read last, which has this first hash. */
static uint64
key_hash(CopyReader *reader, uint64 hash)
{
	MemoryContext old;

	if (reader->nkeys == 0)
		return hash;
	old = MemoryContextSwitchTo(reader->row_context);
	resetStringInfo(&reader->key);
	for (int i = 0; i < reader->nkeys; i++)
		append_value(&reader->key, &reader->columns[reader->keys[i]],
					 reader->slot);
	MemoryContextSwitchTo(old);
	return hash_bytes_extended((unsigned char *) reader->key.data,
							   reader->key.len, SEED_1);
}

/* A text datum, which lives until the next row is read. */
static Datum
key_text(CopyReader *reader)
{
	MemoryContext old = MemoryContextSwitchTo(reader->row_context);
	Datum		value;
	bool		isnull = false;

	if (reader->nkeys == 1)
		value = slot_getattr(reader->slot,
							 reader->columns[reader->keys[0]].attno, &isnull);
	else
	{
		int			n = reader->keydesc->natts;
		Datum	   *values = palloc(sizeof(Datum) * Max(n, 1));
		bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));

		for (int i = 0; i < n; i++)
			values[i] = slot_getattr(reader->slot,
									 reader->columns[reader->keys[i]].attno,
									 &nulls[i]);
		value = HeapTupleGetDatum(heap_form_tuple(reader->keydesc, values, nulls));
	}
	/* a key without a value is a damaged one */
	value = CStringGetTextDatum(isnull ? "null" :
								OutputFunctionCall(&reader->key_output, value));
	MemoryContextSwitchTo(old);
	return value;
}

static bool
is_in_wrong_shard(CopyReader *reader)
{
	Datum		values[PARTITION_MAX_KEYS];
	bool		nulls[PARTITION_MAX_KEYS];
	MemoryContext old;
	int			shard;

	if (reader->table == NULL)
		return false;
	old = MemoryContextSwitchTo(reader->row_context);
	for (int i = 0; i < reader->table->nkeys; i++)
		values[i] = slot_getattr(reader->slot, reader->hashed[i], &nulls[i]);
	shard = shoal_meta_shard_of(reader->table, values, nulls,
								reader->table->keytype);
	MemoryContextSwitchTo(old);
	return shard != reader->shard;
}

static void
add_to(CopySums *sums, const uint64 *hash)
{
	sums->rows++;
	sums->sum[0] += hash[0];
	sums->sum[1] += hash[1];
}

/* ---- which copies are here ---- */

/* One copy of a leaf's shard on this node. */
typedef struct LocalCopy
{
	Oid			relid;
	int			shard;
} LocalCopy;

/* Those of some shards, locked (list of LocalCopy *). */
static List *
local_copies(const ShoalTable *leaf, Bitmapset *shards)
{
	List	   *copies = NIL;
	ListCell   *lc;

	if (leaf->kind != SHOAL_KIND_DISTRIBUTED)
	{
		LocalCopy  *copy = palloc(sizeof(LocalCopy));

		copy->relid = leaf->relid;
		copy->shard = 0;
		return list_make1(copy);
	}
	foreach(lc, find_inheritance_children(leaf->relid, AccessShareLock))
	{
		LocalCopy  *copy;
		int			group_id;
		int			shard;

		if (!shoal_meta_is_shard_schema(get_rel_namespace(lfirst_oid(lc)),
										&group_id, &shard) ||
			group_id != leaf->group_id || !bms_is_member(shard, shards) ||
			get_rel_relkind(lfirst_oid(lc)) != RELKIND_RELATION)
			continue;
		copy = palloc(sizeof(LocalCopy));
		copy->relid = lfirst_oid(lc);
		copy->shard = shard;
		copies = lappend(copies, copy);
	}
	return copies;
}

/* The one that a coordinator asks more about, having been told of it. */
static CopyReader *
open_one_copy(FunctionCallInfo fcinfo)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(2));
	int			shard = PG_GETARG_INT32(3);
	ListCell   *lc;

	foreach(lc, shoal_mirror_leaves(relid))
	{
		const ShoalTable *leaf = shoal_meta_table(lfirst_oid(lc));
		List	   *copies;

		if (leaf == NULL ||
			strcmp(name, shoal_mirror_table_name(lfirst_oid(lc))) != 0)
			continue;
		copies = local_copies(leaf, bms_make_singleton(shard));
		if (copies != NIL)
			return open_copy(((LocalCopy *) linitial(copies))->relid, leaf,
							 shard, relid, PG_GETARG_ARRAYTYPE_P(1));
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("shard %d of table %s is not on this node any more",
					shard, name),
			 errhint("Run the transaction again.")));
}

/* The numbers in an array. */
static Bitmapset *
set_of_array(ArrayType *array)
{
	Bitmapset  *set = NULL;
	Datum	   *elements;
	int			n;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		set = bms_add_member(set, DatumGetInt32(elements[i]));
	return set;
}

/* ---- what coordinators call ---- */

/* One row for each row in a wrong shard, and one for the sums. */
static void
put_sums(ReturnSetInfo *rsinfo, CopyReader *reader, const char *leaf,
		 int max_wrong)
{
	CopySums	sums = {0};
	uint64		hash[2];
	int			wrong = 0;
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = CStringGetTextDatum(leaf);
	values[1] = Int32GetDatum(reader->shard);
	nulls[3] = nulls[4] = nulls[5] = true;
	while (read_copy(reader, hash))
	{
		add_to(&sums, hash);
		if (wrong < max_wrong && is_in_wrong_shard(reader))
		{
			values[2] = key_text(reader);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
			wrong++;
		}
	}
	nulls[2] = true;
	nulls[3] = nulls[4] = nulls[5] = false;
	values[3] = Int64GetDatum((int64) sums.rows);
	values[4] = Int64GetDatum((int64) sums.sum[0]);
	values[5] = Int64GetDatum((int64) sums.sum[1]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* shoal.internal_verify_sums(table, key_columns, shards, max_wrong) */
Datum
shoal_internal_verify_sums(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = PG_GETARG_OID(0);
	Bitmapset  *shards = set_of_array(PG_GETARG_ARRAYTYPE_P(2));
	int			nestlevel;
	ListCell   *lc;
	ListCell   *lc2;

	(void) begin_internal(relid);
	InitMaterializedSRF(fcinfo, 0);
	nestlevel = mirror_fix_settings();
	foreach(lc, shoal_mirror_leaves(relid))
	{
		const ShoalTable *leaf = shoal_meta_table(lfirst_oid(lc));

		if (leaf == NULL)
			continue;
		foreach(lc2, local_copies(leaf, shards))
		{
			LocalCopy  *copy = lfirst(lc2);
			CopyReader *reader = open_copy(copy->relid, leaf, copy->shard, relid,
										   PG_GETARG_ARRAYTYPE_P(1));

			put_sums(rsinfo, reader, shoal_mirror_table_name(leaf->relid),
					 PG_GETARG_INT32(3));
			close_copy(reader);
		}
	}
	AtEOXact_GUC(true, nestlevel);
	return (Datum) 0;
}

/* shoal.internal_verify_buckets(table, key_columns, leaf, shard, buckets) */
Datum
shoal_internal_verify_buckets(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			nbuckets = PG_GETARG_INT32(4);
	CopyReader *reader;
	CopySums   *sums;
	uint64		hash[2];
	int			nestlevel;

	(void) begin_internal(PG_GETARG_OID(0));
	if (nbuckets < 1 || nbuckets > MAX_BUCKETS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of buckets must be between 1 and %d",
						MAX_BUCKETS)));
	InitMaterializedSRF(fcinfo, 0);
	nestlevel = mirror_fix_settings();
	sums = palloc0(sizeof(CopySums) * nbuckets);
	reader = open_one_copy(fcinfo);
	while (read_copy(reader, hash))
		add_to(&sums[key_hash(reader, hash[0]) % nbuckets], hash);
	close_copy(reader);
	for (int i = 0; i < nbuckets; i++)
	{
		Datum		values[4];
		bool		nulls[4] = {false};

		if (sums[i].rows == 0)
			continue;
		values[0] = Int32GetDatum(i);
		values[1] = Int64GetDatum((int64) sums[i].rows);
		values[2] = Int64GetDatum((int64) sums[i].sum[0]);
		values[3] = Int64GetDatum((int64) sums[i].sum[1]);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	AtEOXact_GUC(true, nestlevel);
	return (Datum) 0;
}

/* What a row function returns of the row that was read last. */
typedef void (*PutRow) (ReturnSetInfo *rsinfo, CopyReader *reader, uint64 key,
						const uint64 *hash);

static void
put_row(ReturnSetInfo *rsinfo, CopyReader *reader, uint64 key,
		const uint64 *hash)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = Int64GetDatum((int64) key);
	values[1] = key_text(reader);
	values[2] = Int64GetDatum((int64) hash[0]);
	values[3] = Int64GetDatum((int64) hash[1]);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* key_hash has written the key. */
static void
put_key(ReturnSetInfo *rsinfo, CopyReader *reader, uint64 key,
		const uint64 *hash)
{
	MemoryContext old = MemoryContextSwitchTo(reader->row_context);
	char	   *hex = palloc(reader->key.len * 2 + 1);
	Datum		values[5];
	bool		nulls[5] = {false};
	bool		isnull;

	hex[hex_encode(reader->key.data, reader->key.len, hex)] = '\0';
	values[0] = Int64GetDatum((int64) key);
	values[1] = CStringGetTextDatum(hex);
	values[2] = Int64GetDatum((int64) hash[0]);
	values[3] = Int64GetDatum((int64) hash[1]);
	values[4] = slot_getsysattr(reader->slot, MinTransactionIdAttributeNumber,
								&isnull);
	values[4] = Int64GetDatum((int64) DatumGetTransactionId(values[4]));
	MemoryContextSwitchTo(old);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Those in some of the buckets. */
static void
put_rows(FunctionCallInfo fcinfo, PutRow put)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			nbuckets = Max(PG_GETARG_INT32(4), 1);
	Bitmapset  *wanted = set_of_array(PG_GETARG_ARRAYTYPE_P(5));
	CopyReader *reader;
	uint64		hash[2];
	int			nestlevel;

	(void) begin_internal(PG_GETARG_OID(0));
	InitMaterializedSRF(fcinfo, 0);
	nestlevel = mirror_fix_settings();
	reader = open_one_copy(fcinfo);
	while (read_copy(reader, hash))
	{
		uint64		key = key_hash(reader, hash[0]);

		if (bms_is_member((int) (key % nbuckets), wanted))
			put(rsinfo, reader, key, hash);
	}
	close_copy(reader);
	AtEOXact_GUC(true, nestlevel);
}

/* shoal.internal_verify_rows(table, key_columns, leaf, shard, buckets, wanted) */
Datum
shoal_internal_verify_rows(PG_FUNCTION_ARGS)
{
	put_rows(fcinfo, put_row);
	return (Datum) 0;
}

/* shoal.internal_verify_keys(table, key_columns, leaf, shard, buckets, wanted) */
Datum
shoal_internal_verify_keys(PG_FUNCTION_ARGS)
{
	put_rows(fcinfo, put_key);
	return (Datum) 0;
}
