/*
 * ddl_like.c
 *		CREATE TABLE ... (LIKE temporary_table) for the other nodes.
 *
 * They don't have the temporary table, so they get the statement with columns
 * and checks in place of the LIKE clause, read from the table that was just
 * made here, and then statements for what cannot stand there: indexes,
 * statistics, storage, comments.  The clause's place in the statement's text
 * is found with core's scanner.
 *
 * The caller holds the lock on the new table that making it took.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/toast_compression.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/defrem.h"
#include "commands/sequence.h"
#include "lib/stringinfo.h"
#include "parser/scanner.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

List *
shoal_like_temporary(CreateStmt *stmt)
{
	List	   *likes = NIL;
	ListCell   *lc;

	foreach(lc, stmt->tableElts)
	{
		TableLikeClause *like = (TableLikeClause *) lfirst(lc);
		Oid			relid;

		if (!IsA(like, TableLikeClause))
			continue;
		relid = shoal_ddl_relid(like->relation);
		if (OidIsValid(relid) && shoal_ddl_is_temporary(relid))
			likes = lappend(likes, like);
	}
	return likes;
}

/* ---- in the clause's place ---- */

static char *
default_of(Relation rel, AttrNumber attno)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	for (int i = 0; constr && i < constr->num_defval; i++)
	{
		if (constr->defval[i].adnum == attno)
			return deparse_expression(stringToNode(constr->defval[i].adbin),
									  deparse_context_for(RelationGetRelationName(rel),
														  RelationGetRelid(rel)),
									  false, false);
	}
	return NULL;
}

/* The sequence of an identity column as it was made here. */
static void
append_identity(StringInfo sql, Relation rel, Form_pg_attribute att)
{
	Oid			seqid = shoal_identity_sequence(rel, att->attnum);
	ListCell   *lc;

	appendStringInfo(sql, " GENERATED %s AS IDENTITY (SEQUENCE NAME %s",
					 att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS ? "ALWAYS" : "BY DEFAULT",
					 shoal_objects_relation_name(seqid));
	foreach(lc, sequence_options(seqid))
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		if (strcmp(option->defname, "cycle") == 0)
			appendStringInfoString(sql, defGetBoolean(option) ? " CYCLE" : " NO CYCLE");
		else
			appendStringInfo(sql, " %s %s", option->defname, defGetString(option));
	}
	appendStringInfoChar(sql, ')');
}

static void
append_column(StringInfo sql, Relation rel, Form_pg_attribute att)
{
	char	   *value = att->atthasdef ? default_of(rel, att->attnum) : NULL;

	appendStringInfo(sql, "%s %s", quote_identifier(NameStr(att->attname)),
					 format_type_extended(att->atttypid, att->atttypmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	if (CompressionMethodIsValid(att->attcompression))
		appendStringInfo(sql, " COMPRESSION %s",
						 GetCompressionMethodName(att->attcompression));
	if (OidIsValid(att->attcollation) &&
		att->attcollation != get_typcollation(att->atttypid))
		appendStringInfo(sql, " COLLATE %s",
						 generate_collation_name(att->attcollation));
	if (att->attidentity)
		append_identity(sql, rel, att);
	else if (value && att->attgenerated)
		appendStringInfo(sql, " GENERATED ALWAYS AS (%s) %s", value,
						 att->attgenerated == ATTRIBUTE_GENERATED_STORED ? "STORED" : "VIRTUAL");
	else if (value)
		appendStringInfo(sql, " DEFAULT %s", value);
	if (att->attnotnull)
		appendStringInfoString(sql, " NOT NULL");
}

static char *
elements_for(TableLikeClause *like, Relation rel)
{
	Relation	source = table_open(shoal_ddl_relid(like->relation), NoLock);
	TupleDesc	desc = RelationGetDescr(source);
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		AttrNumber	attno;

		if (att->attisdropped)
			continue;
		attno = get_attnum(RelationGetRelid(rel), NameStr(att->attname));
		appendStringInfoString(&sql, sql.len ? ", " : "");
		append_column(&sql, rel, TupleDescAttr(RelationGetDescr(rel), attno - 1));
	}
	for (int i = 0; (like->options & CREATE_TABLE_LIKE_CONSTRAINTS) && desc->constr &&
		 i < desc->constr->num_check; i++)
	{
		char	   *name = desc->constr->check[i].ccname;
		Oid			conid = get_relation_constraint_oid(RelationGetRelid(rel),
														name, false);

		appendStringInfo(&sql, "%sCONSTRAINT %s %s", sql.len ? ", " : "",
						 quote_identifier(name),
						 TextDatumGetCString(DirectFunctionCall1(pg_get_constraintdef,
																 ObjectIdGetDatum(conid))));
	}
	table_close(source, NoLock);
	return sql.data;
}

/*
 * The statement's text with the clauses replaced; they are in their order in
 * the text.  A clause ends where the next element or the list does.
 */
static char *
replace_clauses(ShoalUtility *call, List *likes, Relation rel)
{
	char	   *text = pstrdup(call->query_string);
	int			start = Max(call->pstmt->stmt_location, 0);
	int			end = call->pstmt->stmt_len > 0 ? start + call->pstmt->stmt_len : strlen(text);
	int			copied = start;
	int			previous = -1;
	bool		inside = false;
	ListCell   *lc = list_head(likes);
	core_yy_extra_type extra;
	core_YYSTYPE value;
	YYLTYPE		location;
	core_yyscan_t scanner;
	StringInfoData sql;
	int			token;

	initStringInfo(&sql);
	text[end] = '\0';
	scanner = scanner_init(text, &extra, &ScanKeywords, ScanKeywordTokens);
	while (lc != NULL && (token = core_yylex(&value, &location, scanner)) != 0)
	{
		TableLikeClause *like = (TableLikeClause *) lfirst(lc);

		if (location == like->relation->location)
		{
			appendBinaryStringInfo(&sql, call->query_string + copied, previous - copied);
			appendStringInfoString(&sql, elements_for(like, rel));
			inside = true;
		}
		else if (inside && (token == ',' || token == ')'))
		{
			copied = location;
			inside = false;
			lc = lnext(likes, lc);
		}
		previous = location;
	}
	scanner_finish(scanner);
	appendBinaryStringInfo(&sql, call->query_string + copied, end - copied);
	return sql.data;
}

/* ---- after it ---- */

static List *
comment(List *statements, const char *what, Oid oid, Oid classid, int subid)
{
	char	   *text = GetComment(oid, classid, subid);

	if (text == NULL)
		return statements;
	return lappend(statements, psprintf("COMMENT ON %s IS %s", what,
										quote_literal_cstr(text)));
}

static const char *
storage_name(char storage)
{
	switch (storage)
	{
		case TYPSTORAGE_PLAIN:
			return "PLAIN";
		case TYPSTORAGE_EXTERNAL:
			return "EXTERNAL";
		case TYPSTORAGE_EXTENDED:
			return "EXTENDED";
		default:
			return "MAIN";
	}
}

/* Comments of a new table are those that LIKE has copied. */
static List *
column_statements(List *statements, Relation rel)
{
	const char *table = shoal_objects_relation_name(RelationGetRelid(rel));
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *name = quote_identifier(NameStr(att->attname));

		if (att->attstorage != get_typstorage(att->atttypid))
			statements = lappend(statements,
								 psprintf("ALTER TABLE %s ALTER COLUMN %s SET STORAGE %s",
										  table, name, storage_name(att->attstorage)));
		statements = comment(statements, psprintf("COLUMN %s.%s", table, name),
							 RelationGetRelid(rel), RelationRelationId, att->attnum);
	}
	for (int i = 0; desc->constr && i < desc->constr->num_check; i++)
	{
		char	   *name = desc->constr->check[i].ccname;

		statements = comment(statements,
							 psprintf("CONSTRAINT %s ON %s", quote_identifier(name), table),
							 get_relation_constraint_oid(RelationGetRelid(rel), name, false),
							 ConstraintRelationId, 0);
	}
	return statements;
}

static List *
index_statements(List *statements, Relation rel)
{
	const char *table = shoal_objects_relation_name(RelationGetRelid(rel));
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Oid			indexid = lfirst_oid(lc);
		Oid			conid = get_index_constraint(indexid);

		if (OidIsValid(conid))
		{
			statements = lappend(statements, pg_get_constraintdef_command(conid));
			statements = comment(statements,
								 psprintf("CONSTRAINT %s ON %s",
										  quote_identifier(get_constraint_name(conid)),
										  table),
								 conid, ConstraintRelationId, 0);
		}
		else
			statements = lappend(statements, pg_get_indexdef_string(indexid));
		statements = comment(statements,
							 psprintf("INDEX %s", shoal_objects_relation_name(indexid)),
							 indexid, RelationRelationId, 0);
	}
	return statements;
}

static List *
statistics_statements(List *statements, Relation rel)
{
	ListCell   *lc;

	foreach(lc, RelationGetStatExtList(rel))
	{
		Oid			statid = lfirst_oid(lc);
		HeapTuple	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(statid));
		Form_pg_statistic_ext form;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
		statements = lappend(statements, pg_get_statisticsobjdef_string(statid));
		statements = comment(statements,
							 psprintf("STATISTICS %s",
									  quote_qualified_identifier(get_namespace_name(form->stxnamespace),
																 NameStr(form->stxname))),
							 statid, StatisticExtRelationId, 0);
		ReleaseSysCache(tuple);
	}
	return statements;
}

/* Does the statement make indexes of its own, by constraints? */
static bool
makes_indexes(CreateStmt *stmt)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, stmt->tableElts)
	{
		List	   *constraints = NIL;

		if (IsA(lfirst(lc), Constraint))
			constraints = list_make1(lfirst(lc));
		else if (IsA(lfirst(lc), ColumnDef))
			constraints = lfirst_node(ColumnDef, lc)->constraints;
		foreach(lc2, constraints)
		{
			ConstrType	type = lfirst_node(Constraint, lc2)->contype;

			if (type == CONSTR_PRIMARY || type == CONSTR_UNIQUE ||
				type == CONSTR_EXCLUSION)
				return true;
		}
	}
	return false;
}

List *
shoal_like_statements(ShoalUtility *call, CreateStmt *stmt, List *likes)
{
	Relation	rel = table_open(shoal_ddl_created_relid((Node *) stmt), NoLock);
	List	   *statements = list_make1(replace_clauses(call, likes, rel));
	bits32		options = 0;
	ListCell   *lc;

	foreach(lc, likes)
		options |= ((TableLikeClause *) lfirst(lc))->options;
	/* which of the indexes here are which could only be guessed */
	if ((options & CREATE_TABLE_LIKE_INDEXES) && makes_indexes(stmt))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot copy the indexes of a temporary table to a table that has others"),
				 errhint("Add the other constraints with ALTER TABLE.")));
	statements = column_statements(statements, rel);
	if (options & CREATE_TABLE_LIKE_INDEXES)
		statements = index_statements(statements, rel);
	if (options & CREATE_TABLE_LIKE_STATISTICS)
		statements = statistics_statements(statements, rel);
	table_close(rel, NoLock);
	return statements;
}
