/*
 * ddl_copy.c
 *		COPY of Shoal tables, and the definition of what CREATE TABLE AS made.
 *
 * COPY table FROM goes to the executor's sinks, COPY table TO becomes COPY
 * (SELECT ...) TO, which the planner knows how to do; core would refuse it on
 * a partitioned table.  In a coordinator's session on a node COPY means the
 * partitions that are there, which core does by itself.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "commands/copy.h"
#include "commands/createas.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "tcop/cmdtag.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "plan/plan_sequence.h"
#include "exec/exec.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

/* ---- COPY ---- */

static ResTarget *
column_target(const char *table, char *column)
{
	ResTarget  *target = makeNode(ResTarget);
	ColumnRef  *ref = makeNode(ColumnRef);

	ref->fields = list_make2(makeString(pstrdup(table)), makeString(column));
	ref->location = -1;
	target->val = (Node *) ref;
	target->location = -1;
	return target;
}

/* SELECT of what COPY table TO writes: all columns but generated ones. */
static SelectStmt *
select_for_copy(CopyStmt *stmt, Oid relid)
{
	SelectStmt *select = makeNode(SelectStmt);
	RangeVar   *from = copyObject(stmt->relation);
	Relation	rel = table_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ListCell   *lc;

	from->inh = true;
	from->alias = makeAlias(from->relname, NIL);
	select->fromClause = list_make1(from);
	foreach(lc, CopyGetAttnums(desc, rel, stmt->attlist))
	{
		char	   *name = NameStr(TupleDescAttr(desc, lfirst_int(lc) - 1)->attname);

		select->targetList = lappend(select->targetList,
									 column_target(from->relname, pstrdup(name)));
	}
	table_close(rel, NoLock);
	return select;
}

/* Rows that a coordinator sends: it fires the statement's triggers itself. */
static void
copy_for_coordinator(ShoalUtility *call, Oid relid)
{
	Relation	rel = table_open(relid, RowExclusiveLock);
	TriggerDesc saved = shoal_scope_mute_relation(rel);

	PG_TRY();
	{
		shoal_ddl_core(call);
	}
	PG_FINALLY();
	{
		shoal_scope_unmute_relation(rel, &saved);
	}
	PG_END_TRY();
	table_close(rel, NoLock);
}

void
shoal_ddl_run_copy(ShoalUtility *call)
{
	CopyStmt   *stmt = (CopyStmt *) call->stmt;
	Oid			relid = InvalidOid;
	const ShoalTable *table = NULL;

	if (stmt->relation != NULL)
		relid = shoal_ddl_relid(stmt->relation);
	if (OidIsValid(relid))
		table = shoal_meta_table(relid);
	/* a local table may have columns that take values of the cluster's sequences */
	if (table == NULL && !(stmt->is_from && OidIsValid(relid) &&
						   shoal_origin == 0 && shoal_sequence_is_elsewhere()))
	{
		shoal_ddl_core(call);
		return;
	}

	if (stmt->is_from)
	{
		uint64		rows;

		if (shoal_origin > 0 && call->query_string == debug_query_string)
		{
			copy_for_coordinator(call, relid);
			return;
		}
		if (shoal_origin > 0 || shoal_scope_is_local_work() || XactReadOnly)
		{
			shoal_ddl_core(call);
			return;
		}
		shoal_ddl_own_statement(call);
		rows = shoal_exec_copy_from((CopyStmt *) call->stmt, call->query_string,
									call->pstmt->stmt_location,
									call->pstmt->stmt_len);
		if (call->qc)
			SetQueryCompletion(call->qc, CMDTAG_COPY, rows);
		return;
	}

	/* a reference table is a plain one, whole and here */
	if (table->kind != SHOAL_KIND_REFERENCE)
	{
		shoal_ddl_own_statement(call);
		stmt = (CopyStmt *) call->stmt;
		stmt->query = (Node *) select_for_copy(stmt, relid);
		stmt->relation = NULL;
		stmt->attlist = NIL;
	}
	shoal_ddl_core(call);
}

/* ---- CREATE TABLE ---- */

static void
append_columns(StringInfo sql, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	appendStringInfoString(sql, " (");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		appendStringInfo(sql, "%s%s %s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(att->attname)),
						 format_type_extended(att->atttypid, att->atttypmod,
											  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		if (OidIsValid(att->attcollation) &&
			att->attcollation != get_typcollation(att->atttypid))
			appendStringInfo(sql, " COLLATE %s",
							 generate_collation_name(att->attcollation));
	}
	appendStringInfoChar(sql, ')');
}

/* Storage parameters; those of the TOAST table have a prefix. */
static void
append_options(StringInfo sql, Oid relid, const char *prefix, bool *first)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Datum		options;
	bool		isnull;
	ListCell   *lc;

	if (!HeapTupleIsValid(tuple))
		return;
	options = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_reloptions, &isnull);
	if (!isnull)
	{
		foreach(lc, untransformRelOptions(options))
		{
			DefElem    *option = (DefElem *) lfirst(lc);

			appendStringInfo(sql, "%s%s%s = %s", *first ? " WITH (" : ", ",
							 prefix, quote_identifier(option->defname),
							 option->arg ? quote_literal_cstr(defGetString(option)) : "true");
			*first = false;
		}
	}
	ReleaseSysCache(tuple);
}

/* Of a materialized view; its rows are each node's own business. */
static void
append_query(StringInfo sql, Oid relid)
{
	Datum		query;
	char	   *definition;
	int			len;

	/* it has just been made */
	PushActiveSnapshot(GetTransactionSnapshot());
	query = OidFunctionCall1(F_PG_GET_VIEWDEF_OID, ObjectIdGetDatum(relid));
	PopActiveSnapshot();
	definition = TextDatumGetCString(query);
	len = strlen(definition);

	/* it ends with a semicolon */
	if (len > 0 && definition[len - 1] == ';')
		len--;
	appendStringInfo(sql, " AS %.*s WITH NO DATA", len, definition);
}

char *
shoal_ddl_table_definition(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		first = true;
	bool		is_table = rel->rd_rel->relkind != RELKIND_MATVIEW;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE %s%s %s",
					 rel->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED ? "UNLOGGED " : "",
					 is_table ? "TABLE" : "MATERIALIZED VIEW",
					 shoal_objects_relation_name(relid));
	if (is_table)
		append_columns(&sql, rel);
	appendStringInfo(&sql, " USING %s",
					 quote_identifier(get_am_name(rel->rd_rel->relam)));
	append_options(&sql, relid, "", &first);
	if (OidIsValid(rel->rd_rel->reltoastrelid))
		append_options(&sql, rel->rd_rel->reltoastrelid, "toast.", &first);
	if (!first)
		appendStringInfoChar(&sql, ')');
	if (OidIsValid(rel->rd_rel->reltablespace))
		appendStringInfo(&sql, " TABLESPACE %s",
						 quote_identifier(get_tablespace_name(rel->rd_rel->reltablespace)));
	if (!is_table)
		append_query(&sql, relid);
	table_close(rel, NoLock);
	return sql.data;
}

/* Makes it, without rows and without event triggers. */
static char *
make_empty(ShoalUtility *call, CreateTableAsStmt *stmt, MemoryContext context)
{
	CreateTableAsStmt *copy = copyObject(stmt);
	ParseState *pstate = make_parsestate(NULL);
	MemoryContext old;
	Oid			relid;
	char	   *definition = NULL;

	pstate->p_sourcetext = call->query_string;
	copy->into->skipData = true;
	(void) ExecCreateTableAs(pstate, copy, call->params, call->query_env, NULL);
	CommandCounterIncrement();
	relid = shoal_ddl_created_relid((Node *) copy);
	old = MemoryContextSwitchTo(context);
	if (!shoal_ddl_is_temporary(relid))
		definition = shoal_ddl_table_definition(relid);
	MemoryContextSwitchTo(old);
	return definition;
}

char *
shoal_ddl_definition_ahead(ShoalUtility *call, CreateTableAsStmt *stmt)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	char	   *volatile definition = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		definition = make_empty(call, stmt, context);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error)
		ReThrowError(error);
	return definition;
}
