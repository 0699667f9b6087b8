/*
 * ddl_statistics.c
 *		What ANALYZE gathers of distributed tables as wholes.
 *
 * Each node's ANALYZE looks at the rows that are there, which is what the node
 * needs to plan its fragments.  A coordinator needs to know of all rows.  So
 * when the nodes are done, a sample is taken by a query over the whole table:
 * as many blocks of each shard as core would read of all, and of their rows as
 * many as core would take.  It goes to every node, since each may be a
 * coordinator, and core's functions for the columns' types make statistics of it.
 *
 * They are stored as those of the parent itself (not inherited), where core has
 * none: it knows the parent to be empty.  In pg_class the parent has the number
 * of all rows.  plan_statistics.c reads both.
 *
 * A user who may ANALYZE the table but not read all of it gathers none of this.
 * The sample is no larger than what fits well into memory, so there are fewer rows
 * in it if they are wide.
 *
 * Outside of transaction blocks each node makes and stores the statistics in a
 * transaction of its own, table by table; this one stores its own last: sessions that
 * do the same elsewhere may have to wait, but never for each other.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/vacuum.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "statistics/statistics.h"
#include "storage/lmgr.h"
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
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_types.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "exec/exec_wire.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

/* bytes that a sample may have, about */
#define MAX_SAMPLE_BYTES	(32.0 * 1024 * 1024)

PG_FUNCTION_INFO_V1(shoal_internal_statistics);

/* ---- columns ---- */

/* How core would make statistics of a column; NULL if it wouldn't. */
static VacAttrStats *
describe_column(Relation rel, int attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	VacAttrStats *stats;
	Form_pg_type type;

	if (att->attisdropped || att->attgenerated == 'v' ||
		shoal_types_names_object(att->atttypid))
		return NULL;
	stats = palloc0(sizeof(VacAttrStats));
	if (!shoal_set_statistics_target(stats, RelationGetRelid(rel), att))
		return NULL;
	type = (Form_pg_type)
		GETSTRUCT(SearchSysCacheCopy1(TYPEOID, ObjectIdGetDatum(att->atttypid)));
	stats->attrtypid = att->atttypid;
	stats->attrtypmod = att->atttypmod;
	stats->attrcollid = att->attcollation;
	stats->attrtype = type;
	stats->anl_context = CurrentMemoryContext;
	stats->tupattnum = attnum;
	for (int i = 0; i < STATISTIC_NUM_SLOTS; i++)
	{
		stats->statypid[i] = att->atttypid;
		stats->statyplen[i] = type->typlen;
		stats->statypbyval[i] = type->typbyval;
		stats->statypalign[i] = type->typalign;
	}
	if (!(OidIsValid(type->typanalyze) ?
		  DatumGetBool(OidFunctionCall1(type->typanalyze, PointerGetDatum(stats))) :
		  std_typanalyze(stats)))
		return NULL;
	return stats->compute_stats && stats->minrows > 0 ? stats : NULL;
}

static bool
may_analyze(Relation rel)
{
	return shoal_may_maintain(RelationGetRelid(rel), GetUserId());
}

/* ---- storing ---- */

/* Values of a column by row, for core's functions. */
static Datum
fetch_value(VacAttrStatsP stats, int row, bool *isnull)
{
	return heap_getattr(stats->rows[row], stats->tupattnum, stats->tupDesc, isnull);
}

static Datum
slot_numbers(const VacAttrStats *stats, int slot)
{
	Datum	   *numbers = palloc(sizeof(Datum) * stats->numnumbers[slot]);

	for (int i = 0; i < stats->numnumbers[slot]; i++)
		numbers[i] = Float4GetDatum(stats->stanumbers[slot][i]);
	return PointerGetDatum(construct_array(numbers, stats->numnumbers[slot], FLOAT4OID,
										   sizeof(float4), true, TYPALIGN_INT));
}

static void
write_column(Relation catalog, Oid relid, const VacAttrStats *stats)
{
	Datum		values[Natts_pg_statistic];
	bool		nulls[Natts_pg_statistic] = {false};
	bool		replaces[Natts_pg_statistic];
	HeapTuple	old = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
									  Int16GetDatum(stats->tupattnum),
									  BoolGetDatum(false));
	HeapTuple	new;

	memset(replaces, true, sizeof(replaces));
	values[Anum_pg_statistic_starelid - 1] = ObjectIdGetDatum(relid);
	values[Anum_pg_statistic_staattnum - 1] = Int16GetDatum(stats->tupattnum);
	values[Anum_pg_statistic_stainherit - 1] = BoolGetDatum(false);
	values[Anum_pg_statistic_stanullfrac - 1] = Float4GetDatum(stats->stanullfrac);
	values[Anum_pg_statistic_stawidth - 1] = Int32GetDatum(stats->stawidth);
	values[Anum_pg_statistic_stadistinct - 1] = Float4GetDatum(stats->stadistinct);
	for (int i = 0; i < STATISTIC_NUM_SLOTS; i++)
	{
		int			numbers = Anum_pg_statistic_stanumbers1 - 1 + i;
		int			list = Anum_pg_statistic_stavalues1 - 1 + i;

		values[Anum_pg_statistic_stakind1 - 1 + i] = Int16GetDatum(stats->stakind[i]);
		values[Anum_pg_statistic_staop1 - 1 + i] = ObjectIdGetDatum(stats->staop[i]);
		values[Anum_pg_statistic_stacoll1 - 1 + i] = ObjectIdGetDatum(stats->stacoll[i]);
		nulls[numbers] = stats->numnumbers[i] == 0;
		values[numbers] = nulls[numbers] ? (Datum) 0 : slot_numbers(stats, i);
		nulls[list] = stats->numvalues[i] == 0;
		values[list] = nulls[list] ? (Datum) 0 :
			PointerGetDatum(construct_array(stats->stavalues[i], stats->numvalues[i],
											stats->statypid[i], stats->statyplen[i],
											stats->statypbyval[i],
											stats->statypalign[i]));
	}
	if (HeapTupleIsValid(old))
	{
		new = heap_modify_tuple(old, RelationGetDescr(catalog), values, nulls, replaces);
		CatalogTupleUpdate(catalog, &old->t_self, new);
		ReleaseSysCache(old);
	}
	else
	{
		new = heap_form_tuple(RelationGetDescr(catalog), values, nulls);
		CatalogTupleInsert(catalog, new);
	}
	heap_freetuple(new);
}

/* The sample's texts, column by column in each row, as tuples of the table. */
static HeapTuple *
form_rows(Relation rel, const int *attnums, int ncolumns, const Datum *texts,
		  const bool *isnull, int nrows)
{
	TupleDesc	desc = RelationGetDescr(rel);
	HeapTuple  *rows = palloc(sizeof(HeapTuple) * Max(nrows, 1));
	FmgrInfo   *input = palloc(sizeof(FmgrInfo) * ncolumns);
	Oid		   *ioparam = palloc(sizeof(Oid) * ncolumns);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	/* not the domains' own, which might find values that are not valid any more */
	for (int i = 0; i < ncolumns; i++)
	{
		Oid			function;

		getTypeInputInfo(getBaseType(TupleDescAttr(desc, attnums[i] - 1)->atttypid),
						 &function, &ioparam[i]);
		fmgr_info(function, &input[i]);
	}
	memset(nulls, true, sizeof(bool) * desc->natts);
	for (int row = 0; row < nrows; row++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < ncolumns; i++)
		{
			int			att = attnums[i] - 1;

			nulls[att] = isnull[row * ncolumns + i];
			if (!nulls[att])
				values[att] = InputFunctionCall(&input[i],
												TextDatumGetCString(texts[row * ncolumns + i]),
												ioparam[i], -1);
		}
		rows[row] = heap_form_tuple(desc, values, nulls);
	}
	return rows;
}

/* ---- what is made of a sample ---- */

typedef struct Made
{
	int			ncolumns;
	VacAttrStats **stats;
	int			nrows;
	HeapTuple  *rows;
} Made;

static void
make_columns(Relation rel, ArrayType *names, ArrayType *sample, double row_count,
			 Made *made)
{
	Datum	   *columns;
	Datum	   *texts;
	bool	   *isnull;
	int		   *attnums;
	int			ncolumns;
	int			nvalues;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &columns, NULL, &ncolumns);
	deconstruct_array(sample, TEXTOID, -1, false, TYPALIGN_INT, &texts, &isnull, &nvalues);
	if (ncolumns == 0 || nvalues == 0)
		return;
	if (nvalues % ncolumns != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a sample of rows has other columns than it should have")));
	made->ncolumns = ncolumns;
	made->nrows = nvalues / ncolumns;
	made->stats = palloc(sizeof(VacAttrStats *) * ncolumns);
	attnums = palloc(sizeof(int) * ncolumns);
	for (int i = 0; i < ncolumns; i++)
	{
		attnums[i] = get_attnum(RelationGetRelid(rel), TextDatumGetCString(columns[i]));
		made->stats[i] = attnums[i] > 0 ? describe_column(rel, attnums[i]) : NULL;
		if (made->stats[i] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation \"%s\" has no statistics",
							TextDatumGetCString(columns[i]),
							RelationGetRelationName(rel))));
	}
	made->rows = form_rows(rel, attnums, ncolumns, texts, isnull, made->nrows);
	for (int i = 0; i < ncolumns; i++)
	{
		made->stats[i]->rows = made->rows;
		made->stats[i]->tupDesc = RelationGetDescr(rel);
		made->stats[i]->compute_stats(made->stats[i], fetch_value, made->nrows, row_count);
	}
}

/* Statistics of some columns (all that have any: also extended ones). */
static void
store_columns(Relation rel, const Made *made, double row_count)
{
	Relation	catalog;
	int			all = 0;

	if (made->ncolumns == 0)
		return;
	catalog = table_open(StatisticRelationId, RowExclusiveLock);
	for (int i = 0; i < made->ncolumns; i++)
	{
		if (made->stats[i]->stats_valid)
			write_column(catalog, RelationGetRelid(rel), made->stats[i]);
	}
	table_close(catalog, RowExclusiveLock);
	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
		all += describe_column(rel, i) != NULL;
	if (made->ncolumns == all)
		BuildRelationExtStatistics(rel, false, row_count, made->nrows, made->rows,
								   made->ncolumns, made->stats);
}

/* Functions of types and operators are called: as when core runs ANALYZE. */
typedef struct AsOwner
{
	int			nestlevel;
	Oid			user;
	int			security;
} AsOwner;

static void
become_owner(Relation rel, AsOwner *saved)
{
	saved->nestlevel = NewGUCNestLevel();
	GetUserIdAndSecContext(&saved->user, &saved->security);
	SetUserIdAndSecContext(rel->rd_rel->relowner,
						   saved->security | SECURITY_RESTRICTED_OPERATION);
	(void) set_config_option("xmloption", "content", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
become_user(const AsOwner *saved)
{
	AtEOXact_GUC(false, saved->nestlevel);
	SetUserIdAndSecContext(saved->user, saved->security);
}

static void
make_here(Relation rel, ArrayType *columns, ArrayType *sample, double row_count,
		  Made *made)
{
	AsOwner		saved;

	become_owner(rel, &saved);
	make_columns(rel, columns, sample, row_count, made);
	become_user(&saved);
}

/* Others may do the same: they wait here, and keep nobody waiting meanwhile. */
static void
store_here(Relation rel, const Made *made, double row_count, double pages)
{
	AsOwner		saved;

	LockRelationOid(RelationGetRelid(rel), ShareUpdateExclusiveLock);
	become_owner(rel, &saved);
	store_columns(rel, made, row_count);
	shoal_update_relstats(rel, (BlockNumber) Min(pages, (double) INT_MAX), row_count);
	become_user(&saved);
}

/*
 * shoal.internal_statistics(table, columns, row_count, pages, sample): on each node,
 * what is made of a sample of the whole table.
 */
Datum
shoal_internal_statistics(PG_FUNCTION_ARGS)
{
	Relation	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	double		row_count = PG_GETARG_FLOAT8(2);
	const ShoalTable *table = shoal_meta_table(RelationGetRelid(rel));
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "Shoal statistics",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Made		made = {0};

	if (!may_analyze(rel))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	if (table == NULL || table->kind != SHOAL_KIND_DISTRIBUTED)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a distributed table", RelationGetRelationName(rel))));
	make_here(rel, PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_ARRAYTYPE_P(4), row_count, &made);
	store_here(rel, &made, row_count, PG_GETARG_FLOAT8(3));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* ---- sampling ---- */

typedef struct Sample
{
	Relation	rel;
	List	   *columns;		/* char * */
	int			target;			/* rows wanted */
	double		pages;			/* of all shards, once each */
	double		bytes;			/* the same with what is stored apart */
	double		row_count;
	ArrayType  *rows;
} Sample;

static bool
is_wanted(const char *name, List *names)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(strVal(lfirst(lc)), name) == 0)
			return true;
	}
	return names == NIL;
}

static void
choose_columns(Sample *sample, List *names)
{
	for (int i = 1; i <= RelationGetNumberOfAttributes(sample->rel); i++)
	{
		char	   *name = NameStr(TupleDescAttr(RelationGetDescr(sample->rel), i - 1)->attname);
		VacAttrStats *stats = is_wanted(name, names) ?
			describe_column(sample->rel, i) : NULL;

		if (stats == NULL)
			continue;
		sample->columns = lappend(sample->columns, pstrdup(name));
		sample->target = Max(sample->target, stats->minrows);
	}
}

static void
run_query(const char *sql, int expected)
{
	if (SPI_execute(sql, false, 0) != expected)
		elog(ERROR, "SPI_execute failed: %s", sql);
}

static double
spi_number(int column)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	return text ? strtod(text, NULL) : 0;
}

/* Sizes, as each node knows those of the copies that it has. */
static void
find_sizes(Sample *sample)
{
	const ShoalTable *table = shoal_meta_table(RelationGetRelid(sample->rel));
	const ShoalGroup *group = shoal_meta_group(table->group_id);
	double		part = (double) group->shard_count /
		Max(group->ncopies, group->shard_count);
	char	   *sql = psprintf("SELECT pg_catalog.sum(pg_catalog.pg_relation_size(relid)),"
							   " pg_catalog.sum(pg_catalog.pg_table_size(relid))"
							   " FROM pg_catalog.pg_partition_tree(%s) WHERE isleaf",
							   quote_literal_cstr(shoal_objects_relation_name(RelationGetRelid(sample->rel))));
	ListCell   *lc;

	run_query(sql, SPI_OK_SELECT);
	sample->pages = spi_number(1);
	sample->bytes = spi_number(2);
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);
		PGresult   *res;

		if (node->is_local)
			continue;
		res = shoal_remote_query(shoal_xact_conn_outside(node->node_id), sql, NULL);
		sample->pages += strtod(PQgetvalue(res, 0, 0), NULL);
		sample->bytes += strtod(PQgetvalue(res, 0, 1), NULL);
		PQclear(res);
	}
	sample->pages = ceil(sample->pages * part / BLCKSZ);
	sample->bytes *= part;
}

/* The rows of the last query, as a two-dimensional array of texts. */
static ArrayType *
rows_as_array(int ncolumns)
{
	int			nrows = (int) SPI_processed;
	Datum	   *values = palloc_extended(sizeof(Datum) * ncolumns * Max(nrows, 1), MCXT_ALLOC_HUGE);
	bool	   *nulls = palloc_extended(sizeof(bool) * ncolumns * Max(nrows, 1), MCXT_ALLOC_HUGE);
	int			dims[2] = {nrows, ncolumns};
	int			lbs[2] = {1, 1};

	for (int row = 0; row < nrows; row++)
	{
		for (int i = 0; i < ncolumns; i++)
			values[row * ncolumns + i] = SPI_getbinval(SPI_tuptable->vals[row],
													   SPI_tuptable->tupdesc, i + 1,
													   &nulls[row * ncolumns + i]);
	}
	if (nrows == 0 || ncolumns == 0)
		return construct_empty_array(TEXTOID);
	return construct_md_array(values, nulls, 2, dims, lbs, TEXTOID, -1, false, TYPALIGN_INT);
}

/*
 * First the rows in some of the blocks are counted, then as many of them as are
 * wanted are read.
 */
static void
read_sample(Sample *sample)
{
	MemoryContext cxt = CurrentMemoryContext;
	StringInfoData sql;
	StringInfoData from;
	double		percent = 100;
	double		wanted = sample->target;
	ListCell   *lc;

	initStringInfo(&sql);
	initStringInfo(&from);
	SPI_connect();
	find_sizes(sample);
	appendStringInfo(&from, " FROM %s t", shoal_objects_relation_name(RelationGetRelid(sample->rel)));
	if (sample->pages > sample->target)
	{
		percent = 100.0 * sample->target / sample->pages;
		appendStringInfo(&from, " TABLESAMPLE pg_catalog.system (%.9f) REPEATABLE (%d)",
						 percent, (int) (GetCurrentTimestamp() % 1000000));
	}
	appendStringInfo(&sql, "SELECT pg_catalog.count(*)%s", from.data);
	run_query(sql.data, SPI_OK_SELECT);
	sample->row_count = spi_number(1);
	if (sample->row_count > 0)
		wanted = Min(wanted, MAX_SAMPLE_BYTES * sample->row_count * 100 / percent /
					 Max(sample->bytes, 1)) / sample->row_count;

	resetStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT");
	foreach(lc, sample->columns)
		appendStringInfo(&sql, "%s shoal.text_of(t.%s)", lc == list_head(sample->columns) ? "" : ",",
						 quote_identifier(lfirst(lc)));
	appendStringInfoString(&sql, from.data);
	if (sample->row_count > 0 && wanted < 1)
		appendStringInfo(&sql, " WHERE pg_catalog.random() OPERATOR(pg_catalog.<) %.9f", wanted);
	run_query(sql.data, SPI_OK_SELECT);
	sample->row_count *= 100 / percent;
	cxt = MemoryContextSwitchTo(cxt);
	sample->rows = rows_as_array(list_length(sample->columns));
	MemoryContextSwitchTo(cxt);
	SPI_finish();
}

/* ---- all nodes ---- */

/* Has the nodes make and store theirs; the requests are to be waited for. */
static List *
send_sample(const Sample *sample, ArrayType *columns, bool in_block)
{
	static Oid	types[5] = {TEXTOID, TEXTARRAYOID, FLOAT8OID, FLOAT8OID, TEXTARRAYOID};
	int		   *lengths = palloc0(sizeof(int) * 5);
	int		   *formats = palloc0(sizeof(int) * 5);
	char	  **values = palloc(sizeof(char *) * 5);
	ShoalParams *params = palloc(sizeof(ShoalParams));
	char	   *sql = shoal_ddl_marked("SELECT shoal.internal_statistics($1::regclass, $2, $3, $4, $5)");
	List	   *reqs = NIL;
	ListCell   *lc;

	*params = (ShoalParams) {5, types, values, lengths, formats};
	values[0] = shoal_objects_relation_name(RelationGetRelid(sample->rel));
	values[1] = OidOutputFunctionCall(F_ARRAY_OUT, PointerGetDatum(columns));
	values[2] = psprintf("%.0f", sample->row_count);
	values[3] = psprintf("%.0f", sample->pages);
	if (shoal_wire_same_encoding())
	{
		bytea	   *binary = OidSendFunctionCall(F_ARRAY_SEND, PointerGetDatum(sample->rows));

		values[4] = VARDATA(binary);
		lengths[4] = VARSIZE(binary) - VARHDRSZ;
		formats[4] = 1;
	}
	else
		values[4] = OidOutputFunctionCall(F_ARRAY_OUT, PointerGetDatum(sample->rows));
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);
		ShoalConn  *conn;

		if (node->is_local)
			continue;
		conn = in_block ? shoal_xact_conn(node->node_id, SHOAL_JOIN_WRITE | SHOAL_JOIN_BLOCK) :
			shoal_remote_conn_separate(node->node_id);
		reqs = lappend(reqs, shoal_remote_send(conn, sql, params, 0));
	}
	return reqs;
}

static void
await_nodes(List *reqs, bool in_block)
{
	ListCell   *lc;

	foreach(lc, reqs)
	{
		ShoalRequest *req = (ShoalRequest *) lfirst(lc);
		ShoalConn  *conn = shoal_remote_request_conn(req);

		while (shoal_remote_next(req) != NULL)
			 /* its one row says nothing */ ;
		if (!in_block)
			shoal_remote_close(conn);
	}
}

static void
gather_table(Oid relid, List *names, bool in_block)
{
	Sample		sample = {0};
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "Shoal sample",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);

	sample.rel = try_relation_open(relid, AccessShareLock);
	if (sample.rel && may_analyze(sample.rel) &&
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED)
	{
		Datum	   *columns;
		ArrayType  *array;
		Made		made = {0};
		List	   *reqs;
		ListCell   *lc;

		choose_columns(&sample, names);
		read_sample(&sample);
		columns = palloc(sizeof(Datum) * Max(list_length(sample.columns), 1));
		foreach(lc, sample.columns)
			columns[foreach_current_index(lc)] = CStringGetTextDatum((char *) lfirst(lc));
		array = construct_array(columns, list_length(sample.columns), TEXTOID, -1,
								false, TYPALIGN_INT);
		reqs = send_sample(&sample, array, in_block);
		make_here(sample.rel, array, sample.rows, sample.row_count, &made);
		await_nodes(reqs, in_block);
		store_here(sample.rel, &made, sample.row_count, sample.pages);
	}
	if (sample.rel)
		relation_close(sample.rel, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

static bool
analyzes(VacuumStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		if (strcmp(option->defname, "analyze") == 0)
			return defGetBoolean(option);
	}
	return !stmt->is_vacuumcmd;
}

/* The distributed tables that a statement is about, and the columns of each. */
static void
find_tables(VacuumStmt *stmt, List **relids, List **columns)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, stmt->rels)
	{
		VacuumRelation *rel = lfirst_node(VacuumRelation, lc);
		Oid			relid = rel->relation ? shoal_ddl_relid(rel->relation) : InvalidOid;

		if (!OidIsValid(relid) || !shoal_ddl_is_distributed(relid))
			continue;
		foreach(lc2, shoal_ddl_members(relid, AccessShareLock))
		{
			*relids = lappend_oid(*relids, lfirst_oid(lc2));
			*columns = lappend(*columns, rel->va_cols);
		}
	}
	if (stmt->rels != NIL)
		return;
	foreach(lc, shoal_meta_group_ids())
	{
		foreach(lc2, shoal_meta_table_oids(lfirst_int(lc)))
		{
			if (!shoal_ddl_is_distributed(lfirst_oid(lc2)))
				continue;
			*relids = lappend_oid(*relids, lfirst_oid(lc2));
			*columns = lappend(*columns, NIL);
		}
	}
}

void
shoal_ddl_gather_statistics(VacuumStmt *stmt, bool in_block)
{
	MemoryContext old;
	List	   *relids = NIL;
	List	   *columns = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	if (!analyzes(stmt) || XactReadOnly)
		return;
	/* core keeps the portal's in one transaction if there is one table only */
	if (!in_block && ActiveSnapshotSet())
		PopActiveSnapshot();
	/* what lasts longer than a transaction */
	old = MemoryContextSwitchTo(in_block ? CurrentMemoryContext : PortalContext);
	PushActiveSnapshot(GetTransactionSnapshot());
	find_tables(stmt, &relids, &columns);
	PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	forboth(lc, relids, lc2, columns)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		gather_table(lfirst_oid(lc), (List *) lfirst(lc2), in_block);
		PopActiveSnapshot();
		if (!in_block)
		{
			CommitTransactionCommand();
			StartTransactionCommand();
		}
	}
}
