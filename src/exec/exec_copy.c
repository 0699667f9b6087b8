/*
 * exec_copy.c
 *		COPY FROM into Shoal tables.
 *
 * The input is read and split into lines and fields by core's COPY code, or
 * if it is the client's in text format by exec_stdin.c.  The
 * fast way decodes only the key columns and forwards each line as it came
 * (converted to the server's encoding) with the options it was given: the
 * nodes do the rest.  Where the line does not have the whole row, or not in a
 * form that can be forwarded (binary input, WHERE, ON_ERROR, a column left out whose
 * default is not a constant), rows are decoded here, defaults are evaluated
 * here, once, and rows are forwarded as values.  If a function that is not
 * built in takes part, it may want to use the connections to nodes itself, so
 * all rows are read before any is sent.
 *
 * If the table has triggers that are fired here (plan_fire.c), all rows are read, and
 * inserted by an INSERT.
 *
 * A table that lies wholly on this node is left to core, unless its rows are to be
 * given values of sequences that other nodes have: then they are inserted by an INSERT.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_inherits.h"
#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "exec/exec_internal.h"
#include "plan/plan_expr.h"
#include "plan/plan_fire.h"
#include "plan/plan_quiet.h"
#include "plan/plan_sequence.h"
#include "plan/plan_text.h"
#include "scope/scope.h"

/* One COPY FROM. */
typedef struct CopyJob
{
	Relation	rel;
	const ShoalTable *table;
	bool		here;			/* the table lies wholly on this node */
	List	   *where;			/* implicitly ANDed, planned */
	char	   *condition;		/* that instead, if it might look at the rows before:
								 * for an INSERT */
	ShoalTriggers *triggers;	/* to be fired at the end, or NULL */
	CopyFromState cstate;
	ShoalStdin *input;			/* NULL: core reads it */
	int			field_of_key[PARTITION_MAX_KEYS];	/* of a line, if forwarded */
	int			ntimes;			/* fields that several nodes would read, each at its
								 * own time */
	int		   *field_of_time;
	char	  **times;			/* of the line at hand, in the client's text */
	int		   *time_lens;
	bool		read_ahead;		/* functions might run queries */
	bool		curious;		/* defaults might look at the rows before */
	EState	   *estate;
	ShoalSink  *sink;
	ErrorContextCallback callback;
} CopyJob;

/* ---- rights ---- */

static void
check_source_rights(const CopyStmt *stmt)
{
	if (stmt->filename == NULL)
		return;
	if (stmt->is_program &&
		!has_privs_of_role(GetUserId(), ROLE_PG_EXECUTE_SERVER_PROGRAM))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser or have privileges of the pg_execute_server_program role to COPY to or from an external program"),
				 errhint("Anyone can COPY to stdout or from stdin. "
						 "psql's \\copy command also works for anyone.")));
	if (!stmt->is_program &&
		!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser or have privileges of the pg_read_server_files role to COPY from a file"),
				 errhint("Anyone can COPY to stdout or from stdin. "
						 "psql's \\copy command also works for anyone.")));
}

static void
check_table_rights(CopyJob *job, ParseState *pstate,
				   ParseNamespaceItem *nsitem, List *attnums)
{
	ListCell   *lc;

	shoal_nsitem_permissions(nsitem)->requiredPerms = ACL_INSERT;
	foreach(lc, attnums)
	{
		int			member = lfirst_int(lc) - FirstLowInvalidHeapAttributeNumber;

		shoal_nsitem_permissions(nsitem)->insertedCols =
			bms_add_member(shoal_nsitem_permissions(nsitem)->insertedCols,
						   member);
	}
	shoal_check_permissions(pstate, nsitem);
	if (check_enable_rls(RelationGetRelid(job->rel), InvalidOid,
						 false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("COPY FROM not supported with row-level security"),
				 errhint("Use INSERT statements instead.")));
	PreventCommandIfReadOnly("COPY FROM");
}

static bool
is_new(Relation rel)
{
	return rel->rd_createSubid == GetCurrentSubTransactionId() ||
		rel->rd_newRelfilelocatorSubid == GetCurrentSubTransactionId();
}

/*
 * FREEZE is taken where core takes it: for tables that nobody else has seen, as this
 * node's shards tell.  It makes a later VACUUM cheaper and is of no consequence
 * otherwise, so nodes are not told.
 */
static void
check_freeze(CopyJob *job)
{
	bool		new = is_new(job->rel);
	ListCell   *lc;

	if (job->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		if (!shoal_text_is_hashed(RelationGetRelid(job->rel)))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot perform COPY FREEZE on a partitioned table")));
		new = true;
		foreach(lc, find_inheritance_children(RelationGetRelid(job->rel),
											  AccessShareLock))
		{
			Relation	shard = table_open(lfirst_oid(lc), NoLock);

			new &= is_new(shard);
			table_close(shard, NoLock);
		}
	}
	if (!ThereAreNoPriorRegisteredSnapshots() || !ThereAreNoReadyPortals())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot perform COPY FREEZE because of prior transaction activity")));
	if (!new)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot perform COPY FREEZE because the table was not created or truncated in the current subtransaction")));
}

/* Refuses what can't be done; true if lines may be forwarded as they are, unread. */
static bool
check_options(CopyJob *job, List *options)
{
	static const char *const plain[] = {
		"format", "delimiter", "null", "header", "quote", "escape",
		"force_not_null", "force_null", "encoding", "freeze"
	};
	bool		forward = true;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = (DefElem *) lfirst(lc);
		bool		known = false;

		if (strcmp(option->defname, "freeze") == 0 && defGetBoolean(option))
			check_freeze(job);
		for (int i = 0; i < lengthof(plain); i++)
			known |= strcmp(option->defname, plain[i]) == 0;
		forward &= known;
	}
	return forward;
}

/* ---- WHERE ---- */

static void
check_where_columns(CopyJob *job, Node *where)
{
	TupleDesc	desc = RelationGetDescr(job->rel);
	Bitmapset  *columns = NULL;
	bool		whole_row;

	pull_varattnos(where, 1, &columns);
	whole_row = bms_is_member(-FirstLowInvalidHeapAttributeNumber, columns);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attgenerated &&
			(whole_row ||
			 bms_is_member(att->attnum - FirstLowInvalidHeapAttributeNumber,
						   columns)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("generated columns are not supported in COPY FROM WHERE conditions"),
					 errdetail("Column \"%s\" is a generated column.",
							   NameStr(att->attname))));
	}
}

/* Can it be said of the rows that have been read, whose type is not the table's? */
static bool
has_columns_only(Node *where)
{
	Bitmapset  *columns = NULL;

	pull_varattnos(where, 1, &columns);
	return bms_is_empty(columns) ||
		bms_next_member(columns, -1) > -FirstLowInvalidHeapAttributeNumber;
}

static void
plan_where(CopyJob *job, ParseState *pstate, ParseNamespaceItem *nsitem,
		   Node *raw)
{
	Node	   *where;

	if (raw == NULL)
		return;
	addNSItemToQuery(pstate, nsitem, false, true, true);
	where = transformExpr(pstate, raw, EXPR_KIND_COPY_WHERE);
	where = coerce_to_boolean(pstate, where, "WHERE");
	assign_expr_collations(pstate, where);
	check_where_columns(job, where);
	if (shoal_quiet_is_curious(where, job->rel) && has_columns_only(where))
		job->condition = deparse_expression(where,
											deparse_context_for(RelationGetRelationName(job->rel),
																RelationGetRelid(job->rel)),
											false, false);
	else
		job->where = make_ands_implicit((Expr *) eval_const_expressions(NULL, where));
}

/* ---- the two ways ---- */

/*
 * The columns that rows have once defaults are filled in, and whether all the
 * defaults are constants, which nodes can fill in themselves.
 */
static List *
columns_with_defaults(CopyJob *job, List *attnums, bool *constant)
{
	TupleDesc	desc = RelationGetDescr(job->rel);
	List	   *all = list_copy(attnums);

	*constant = true;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		Node	   *expr;

		if (att->attisdropped || att->attgenerated ||
			list_member_int(attnums, att->attnum))
			continue;
		expr = build_column_default(job->rel, att->attnum);
		if (expr == NULL)
			continue;
		if (!IsA(expression_planner((Expr *) expr), Const))
			*constant = false;
		job->read_ahead |= shoal_expr_calls_users(expr);
		job->curious |= shoal_quiet_is_curious(expr, job->rel);
		all = lappend_int(all, att->attnum);
	}
	return all;
}

/* Does it give columns that the input does not have values of sequences? */
static bool
needs_sequences(Relation rel, List *attlist)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *attnums;

	if (!shoal_sequence_is_elsewhere() || rel->rd_rules != NULL ||
		(rel->rd_rel->relkind != RELKIND_RELATION &&
		 rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE) ||
		rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		return false;
	attnums = CopyGetAttnums(desc, rel, attlist);
	for (int i = 0; i < desc->natts; i++)
	{
		Node	   *expr;

		if (TupleDescAttr(desc, i)->attisdropped || list_member_int(attnums, i + 1))
			continue;
		expr = build_column_default(rel, i + 1);
		if (expr && !equal(expr, shoal_sequence_rewrite_expr(expr)))
			return true;
	}
	return false;
}

/* Core's COPY would take values of this node's own sequences. */
static void
use_sequences(CopyJob *job)
{
	if (!shoal_sequence_is_elsewhere())
		return;
	for (int i = 0; i < RelationGetDescr(job->rel)->natts; i++)
	{
		ExprState **state;
		Node	   *expr;

		if (TupleDescAttr(RelationGetDescr(job->rel), i)->attisdropped)
			continue;
		state = shoal_copy_default(job->cstate, i);
		if (state == NULL || *state == NULL)
			continue;
		expr = shoal_sequence_rewrite_expr(build_column_default(job->rel, i + 1));
		*state = ExecInitExpr(expression_planner((Expr *) expr), NULL);
		job->read_ahead |= shoal_expr_calls_users(expr);
	}
}

static void
append_columns(StringInfo buf, CopyJob *job, const char *option,
			   const bool *flags)
{
	TupleDesc	desc = RelationGetDescr(job->rel);
	bool		any = false;

	for (int i = 0; i < desc->natts; i++)
	{
		if (!flags[i])
			continue;
		appendStringInfo(buf, "%s%s", any ? ", " : psprintf(", %s (", option),
						 quote_identifier(NameStr(TupleDescAttr(desc, i)->attname)));
		any = true;
	}
	if (any)
		appendStringInfoChar(buf, ')');
}

/* The options under which a forwarded line means what it does here. */
static char *
forward_options(CopyJob *job)
{
	CopyFormatOptions *opts = &job->cstate->opts;
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "FORMAT %s, DELIMITER %s, NULL %s",
					 opts->csv_mode ? "csv" : "text",
					 quote_literal_cstr(opts->delim),
					 quote_literal_cstr(opts->null_print));
	if (opts->csv_mode)
	{
		appendStringInfo(&buf, ", QUOTE %s, ESCAPE %s",
						 quote_literal_cstr(opts->quote),
						 quote_literal_cstr(opts->escape));
		append_columns(&buf, job, "FORCE_NOT_NULL", opts->force_notnull_flags);
		append_columns(&buf, job, "FORCE_NULL", opts->force_null_flags);
	}
	return buf.data;
}

/* The value of a field as core's COPY would read it. */
static Datum
read_field(CopyJob *job, int attnum, char *field, bool *isnull)
{
	CopyFromState cstate = job->cstate;
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(job->rel),
										  attnum - 1);
	Datum		value;

	if (cstate->opts.csv_mode)
	{
		if (field == NULL && cstate->opts.force_notnull_flags[attnum - 1])
			field = cstate->opts.null_print;
		else if (field != NULL && cstate->opts.force_null_flags[attnum - 1] &&
				 strcmp(field, cstate->opts.null_print) == 0)
			field = NULL;
	}
	cstate->cur_attname = NameStr(att->attname);
	cstate->cur_attval = field;
	value = InputFunctionCall(&cstate->in_functions[attnum - 1], field,
							  cstate->typioparams[attnum - 1], att->atttypmod);
	cstate->cur_attname = NULL;
	cstate->cur_attval = NULL;
	*isnull = field == NULL;
	return value;
}

/* The shard of a line with these values of the key columns. */
static int
shard_of_fields(CopyJob *job, char **fields)
{
	const ShoalTable *table = job->table;
	Datum		values[PARTITION_MAX_KEYS];
	bool		nulls[PARTITION_MAX_KEYS];
	MemoryContext old;
	int			shard;

	if (table->kind != SHOAL_KIND_DISTRIBUTED)
		return 0;
	ResetPerTupleExprContext(job->estate);
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(job->estate));
	for (int key = 0; key < table->nkeys; key++)
		values[key] = read_field(job, table->keyattr[key], fields[key],
								 &nulls[key]);
	shard = shoal_meta_shard_of(table, values, nulls, table->keytype);
	MemoryContextSwitchTo(old);
	return shard;
}

static void
check_no_more_fields(CopyJob *job, int nfields)
{
	List	   *attnums = job->cstate->attnumlist;

	if (nfields > list_length(attnums) && attnums != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
				 errmsg("extra data after last expected column")));
}

static void
check_no_less_fields(CopyJob *job, int nfields)
{
	List	   *attnums = job->cstate->attnumlist;

	if (nfields < list_length(attnums))
	{
		int			att = list_nth_int(attnums, nfields) - 1;

		ereport(ERROR,
				(errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
				 errmsg("missing data for column \"%s\"",
						NameStr(TupleDescAttr(RelationGetDescr(job->rel), att)->attname))));
	}
}

static void
find_key_fields(CopyJob *job)
{
	for (int key = 0; key < job->table->nkeys; key++)
	{
		ListCell   *lc;

		foreach(lc, job->cstate->attnumlist)
		{
			if (lfirst_int(lc) == job->table->keyattr[key])
				job->field_of_key[key] = foreach_current_index(lc);
		}
	}
}

/*
 * If several nodes read a line, words like "now" must not be among what they
 * read: here are the fields that have to be looked at.
 */
static void
find_time_fields(CopyJob *job)
{
	List	   *attnums = job->cstate->attnumlist;
	TupleDesc	desc = RelationGetDescr(job->rel);
	int			n = list_length(attnums);
	ListCell   *lc;

	if (!shoal_sink_repeats(job->sink))
		return;
	job->field_of_time = palloc(sizeof(int) * Max(n, 1));
	job->times = palloc(sizeof(char *) * Max(n, 1));
	job->time_lens = palloc(sizeof(int) * Max(n, 1));
	foreach(lc, attnums)
	{
		if (shoal_types_knows_now(TupleDescAttr(desc, lfirst_int(lc) - 1)->atttypid))
			job->field_of_time[job->ntimes++] = foreach_current_index(lc);
	}
}

/* A field as the line's format wants it; NULL is the null string. */
static void
append_field(CopyFormatOptions *opts, StringInfo line, const char *field)
{
	if (field == NULL)
	{
		appendStringInfoString(line, opts->null_print);
		return;
	}
	if (opts->csv_mode)
		appendStringInfoChar(line, opts->quote[0]);
	else if (*field != '\0' && strcmp(field, opts->null_print) == 0)
		appendStringInfo(line, "\\%03o", (unsigned char) *field++);
	for (const char *at = field; *at != '\0'; at++)
	{
		if (opts->csv_mode)
		{
			if (*at == opts->quote[0] || *at == opts->escape[0])
				appendStringInfoChar(line, opts->escape[0]);
			appendStringInfoChar(line, *at);
		}
		else if (*at == '\n')
			appendStringInfoString(line, "\\n");
		else if (*at == '\r')
			appendStringInfoString(line, "\\r");
		else
		{
			if (*at == '\\' || *at == opts->delim[0])
				appendStringInfoChar(line, '\\');
			appendStringInfoChar(line, *at);
		}
	}
	if (opts->csv_mode)
		appendStringInfoChar(line, opts->quote[0]);
}

/* Puts the line together again if a time has been replaced by what it means. */
static void
settle_times(CopyJob *job, char **fields, int nfields)
{
	CopyFromState cstate = job->cstate;
	bool		replaced = false;
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(job->estate));

	for (int i = 0; i < job->ntimes; i++)
	{
		int			n = job->field_of_time[i];
		int			attnum = list_nth_int(cstate->attnumlist, n);
		Oid			type = TupleDescAttr(RelationGetDescr(job->rel), attnum - 1)->atttypid;
		Datum		value;
		bool		isnull;

		if (fields[n] == NULL ||
			!shoal_types_may_say_now(fields[n], strlen(fields[n])))
			continue;
		value = read_field(job, attnum, fields[n], &isnull);
		if (isnull)
			continue;
		fields[n] = shoal_wire_text(type, value);
		replaced = true;
	}
	if (replaced)
	{
		StringInfo	line = &cstate->line_buf;

		resetStringInfo(line);
		for (int i = 0; i < nfields; i++)
		{
			if (i > 0)
				appendStringInfoChar(line, cstate->opts.delim[0]);
			append_field(&cstate->opts, line, fields[i]);
		}
	}
	MemoryContextSwitchTo(old);
}

/* Lines that core reads. */
static void
forward_lines(CopyJob *job)
{
	CopyFromState cstate = job->cstate;
	char	   *key_fields[PARTITION_MAX_KEYS];
	char	  **fields;
	int			nfields;

	while (NextCopyFromRawFields(cstate, &fields, &nfields))
	{
		int			shard;

		CHECK_FOR_INTERRUPTS();
		check_no_more_fields(job, nfields);
		for (int key = 0; key < job->table->nkeys; key++)
		{
			if (job->field_of_key[key] >= nfields)
				check_no_less_fields(job, nfields);
			key_fields[key] = fields[job->field_of_key[key]];
		}
		/* a value that is wrong counts before one that is missing */
		shard = shard_of_fields(job, key_fields);
		check_no_less_fields(job, nfields);
		settle_times(job, fields, nfields);
		shoal_sink_at_line(job->sink, cstate->cur_lineno);
		shoal_sink_line(job->sink, shard, cstate->line_buf.data,
						cstate->line_buf.len);
	}
}

/* Whether a time in a line of the client's may be meant as of now. */
static bool
times_need_core(CopyJob *job, char *line, int len, bool escapes)
{
	if (job->ntimes == 0)
		return false;
	(void) shoal_stdin_fields(line, len, job->cstate->opts.delim[0], escapes,
							  job->ntimes, job->field_of_time, job->times,
							  job->time_lens);
	for (int i = 0; i < job->ntimes; i++)
	{
		if (shoal_types_may_say_now(job->times[i], job->time_lens[i]) ||
			(escapes && memchr(job->times[i], '\\', job->time_lens[i]) != NULL &&
			 (job->time_lens[i] != 2 || job->times[i][1] != 'N')))
			return true;
	}
	return false;
}

/*
 * A line of the client's as it was sent.  False if core has to read it, as a
 * key is not written as its input function wants it, or a time has to be
 * replaced.
 */
static bool
forward_client_line(CopyJob *job, char *line, int len, bool escapes)
{
	CopyFromState cstate = job->cstate;
	CopyFormatOptions *opts = &cstate->opts;
	int			nkeys = job->table->nkeys;
	char	   *fields[PARTITION_MAX_KEYS];
	char		after[PARTITION_MAX_KEYS];
	int			lens[PARTITION_MAX_KEYS];
	int			nfields;
	int			shard;

	nfields = shoal_stdin_fields(line, len, opts->delim[0], escapes, nkeys,
								 job->field_of_key, fields, lens);
	if (nfields != list_length(cstate->attnumlist))
		return false;
	for (int key = 0; key < nkeys; key++)
	{
		if (lens[key] == opts->null_print_len &&
			memcmp(fields[key], opts->null_print, lens[key]) == 0)
			fields[key] = NULL;
		else if (escapes && memchr(fields[key], '\\', lens[key]) != NULL)
			return false;
	}
	if (times_need_core(job, line, len, escapes))
		return false;

	cstate->cur_lineno++;
	/* with the line's end, as core does: it is in what the error shows */
	pg_verify_mbstr(cstate->file_encoding, line, len + (line[len] == '\n'),
					false);
	for (int key = 0; key < nkeys; key++)
	{
		if (fields[key] == NULL)
			continue;
		after[key] = fields[key][lens[key]];
		fields[key][lens[key]] = '\0';
	}
	shard = shard_of_fields(job, fields);
	for (int key = 0; key < nkeys; key++)
	{
		if (fields[key] != NULL)
			fields[key][lens[key]] = after[key];
	}
	shoal_sink_at_line(job->sink, cstate->cur_lineno);
	shoal_sink_line(job->sink, shard, line, len);
	return true;
}

/* As many lines of the client's as need not be read by core. */
static void
forward_client_lines(CopyJob *job)
{
	char	   *line;
	int			len;
	bool		escapes;

	while (shoal_stdin_line(job->input, &line, &len, &escapes) == SHOAL_STDIN_LINE)
	{
		if (!forward_client_line(job, line, len, escapes))
		{
			shoal_stdin_unread(job->input, line);
			break;
		}
		job->cstate->eol_type = EOL_NL;
	}
}

static void
send_slot(CopyJob *job, List *attnums, TupleTableSlot *slot, Datum *values,
		  bool *nulls)
{
	ListCell   *lc;

	slot_getallattrs(slot);
	foreach(lc, attnums)
	{
		int			i = foreach_current_index(lc);

		values[i] = slot->tts_values[lfirst_int(lc) - 1];
		nulls[i] = slot->tts_isnull[lfirst_int(lc) - 1];
	}
	shoal_sink_row(job->sink, values, nulls);
}

/* Reads the next row that WHERE lets pass, in the per-tuple context. */
static bool
read_row(CopyJob *job, TupleTableSlot *slot, ExprState *qual)
{
	ExprContext *econtext = GetPerTupleExprContext(job->estate);

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(job->estate);
		ExecClearTuple(slot);
		if (!NextCopyFrom(job->cstate, econtext, slot->tts_values,
						  slot->tts_isnull))
			return false;
		if (shoal_copy_skips(job->cstate))
			continue;
		ExecStoreVirtualTuple(slot);
		slot->tts_tableOid = RelationGetRelid(job->rel);
		econtext->ecxt_scantuple = slot;
		if (qual == NULL || ExecQual(qual, econtext))
			return true;
	}
}

static void
forward_rows(CopyJob *job, List *attnums)
{
	TupleDesc	desc = RelationGetDescr(job->rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	ExprState  *qual = ExecPrepareQual(job->where, job->estate);
	Datum	   *values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(desc->natts, 1));
	Tuplestorestate *store = NULL;
	MemoryContext old;

	if (job->read_ahead)
		store = tuplestore_begin_heap(false, false, work_mem);
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(job->estate));
	while (read_row(job, slot, qual))
	{
		if (store)
			tuplestore_puttupleslot(store, slot);
		else
			send_slot(job, attnums, slot, values, nulls);
	}
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(slot);
	if (store)
	{
		slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
		while (tuplestore_gettupleslot(store, true, false, slot))
		{
			CHECK_FOR_INTERRUPTS();
			send_slot(job, attnums, slot, values, nulls);
		}
		ExecDropSingleTupleTableSlot(slot);
		tuplestore_end(store);
	}
}

/* "a, b" */
static char *
column_names(CopyJob *job, List *attnums)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, attnums)
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(job->rel),
																lfirst_int(lc) - 1)->attname)));
	return names.data;
}

/* INSERT ... SELECT of rows that have been read. */
static uint64
insert_rows(CopyJob *job, List *attnums, Tuplestorestate *store)
{
	EphemeralNamedRelation rows = palloc0(sizeof(EphemeralNamedRelationData));
	char	   *names = column_names(job, attnums);
	char	   *table = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(job->rel)),
												   RelationGetRelationName(job->rel));
	uint64		result;

	rows->md.name = "shoal_copied";
	rows->md.reliddesc = InvalidOid;
	rows->md.tupdesc = CreateTupleDescCopy(RelationGetDescr(job->rel));
	rows->md.enrtype = ENR_NAMED_TUPLESTORE;
	rows->md.enrtuples = tuplestore_tuple_count(store);
	rows->reldata = store;
	SPI_connect();
	if (SPI_register_relation(rows) != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed");
	if (SPI_execute(psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM shoal_copied WHERE %s",
							 table, names, names,
							 job->condition ? job->condition : "true"), false, 0) != SPI_OK_INSERT)
		elog(ERROR, "SPI_execute failed");
	result = SPI_processed;
	SPI_finish();
	return result;
}

static uint64
copy_by_insert(CopyJob *job, List *attnums)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(job->rel),
													&TTSOpsVirtual);
	ExprState  *qual = ExecPrepareQual(job->where, job->estate);
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	ErrorContextCallback callback;
	MemoryContext old;
	uint64		rows;

	callback.callback = CopyFromErrorCallback;
	callback.arg = job->cstate;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(job->estate));
	while (read_row(job, slot, qual))
		tuplestore_puttupleslot(store, slot);
	MemoryContextSwitchTo(old);
	error_context_stack = callback.previous;
	if (job->input)
		shoal_stdin_close(job->input);
	ExecDropSingleTupleTableSlot(slot);
	rows = insert_rows(job, attnums, store);
	tuplestore_end(store);
	return rows;
}

/* Statement triggers, which nodes leave out. */
static void
begin_triggers(CopyJob *job)
{
	if (job->table->kind == SHOAL_KIND_DISTRIBUTED &&
		shoal_scope_is_transitional(job->rel->trigdesc, SHOAL_EVENT_INSERT))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("COPY to a table with a trigger that has transition tables is not supported over several shards"),
				 errhint("Use INSERT for the rows of one distribution key at a time, or a row trigger.")));
	if (!shoal_scope_has_triggers(job->rel->trigdesc, SHOAL_EVENT_INSERT))
		return;
	AfterTriggerBeginQuery();
	job->triggers = shoal_triggers_begin(job->estate,
										 list_make2_oid(RelationGetRelid(job->rel),
														SHOAL_EVENT_INSERT));
}

static void
end_triggers(CopyJob *job)
{
	if (job->triggers == NULL)
		return;
	shoal_triggers_end(job->triggers, true);
	AfterTriggerEndQuery(job->estate);
	ExecCloseResultRelations(job->estate);
}

static uint64
run_copy(CopyJob *job, bool forward)
{
	List	   *attnums = job->cstate->attnumlist;
	List	   *all;
	bool		constant;
	uint64		rows;

	job->read_ahead = shoal_expr_calls_users((Node *) job->where);
	use_sequences(job);
	all = columns_with_defaults(job, attnums, &constant);
	job->estate = CreateExecutorState();
	if (job->curious && job->where == NIL && job->condition == NULL)
	{
		/* the INSERT works out one default after the other */
		job->cstate->num_defaults = 0;
		all = attnums;
	}
	else
		job->curious = false;
	if (job->here || job->curious || job->condition || shoal_fire_is_wanted_for_copy(job->rel))
	{
		rows = copy_by_insert(job, all);
		FreeExecutorState(job->estate);
		return rows;
	}
	forward = forward && constant && !job->cstate->opts.binary &&
		job->where == NIL;
	for (int key = 0; key < job->table->nkeys; key++)
		forward = forward && list_member_int(attnums, job->table->keyattr[key]);
	begin_triggers(job);
	if (forward)
		job->sink = shoal_sink_open(job->rel, attnums, forward_options(job),
									false);
	else
		job->sink = shoal_sink_open(job->rel, all, NULL, false);

	/* after the sink, which reports errors of its own without this context */
	job->callback.callback = CopyFromErrorCallback;
	job->callback.arg = job->cstate;
	job->callback.previous = error_context_stack;
	error_context_stack = &job->callback;
	if (forward)
	{
		find_key_fields(job);
		find_time_fields(job);
		if (job->input && !job->cstate->need_transcoding)
			forward_client_lines(job);
		forward_lines(job);
	}
	else
		forward_rows(job, all);
	if (job->input)
		shoal_stdin_close(job->input);
	error_context_stack = job->callback.previous;

	rows = shoal_sink_close(job->sink);
	end_triggers(job);
	FreeExecutorState(job->estate);
	return rows;
}

/* Whether the client is to send lines in COPY's text format. */
static bool
client_sends_text(const CopyStmt *stmt)
{
	ListCell   *lc;

	if (stmt->filename != NULL || whereToSendOutput != DestRemote)
		return false;
	foreach(lc, stmt->options)
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		if (strcmp(option->defname, "header") == 0 ||
			(strcmp(option->defname, "format") == 0 &&
			 strcmp(defGetString(option), "text") != 0))
			return false;
	}
	return true;
}

uint64
shoal_exec_copy_from(CopyStmt *stmt, const char *query_string,
					 int stmt_location, int stmt_len)
{
	CopyJob		job = {0};
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *nsitem;
	uint64		rows;
	bool		forward;

	pstate->p_sourcetext = query_string;
	job.rel = table_openrv(stmt->relation, RowExclusiveLock);
	job.table = shoal_meta_table(RelationGetRelid(job.rel));
	job.here = job.table == NULL ||
		shoal_meta_group(job.table->group_id)->all_local;
	if (job.here && !needs_sequences(job.rel, stmt->attlist))
	{
		table_close(job.rel, NoLock);
		DoCopy(pstate, stmt, stmt_location, stmt_len, &rows);
		free_parsestate(pstate);
		return rows;
	}

	check_source_rights(stmt);
	nsitem = addRangeTableEntryForRelation(pstate, job.rel, RowExclusiveLock,
										   NULL, false, false);
	plan_where(&job, pstate, nsitem, stmt->whereClause);
	check_table_rights(&job, pstate, nsitem,
					   CopyGetAttnums(RelationGetDescr(job.rel), job.rel,
									  stmt->attlist));
	forward = check_options(&job, stmt->options);

	if (client_sends_text(stmt))
		job.input = shoal_stdin_open();
	job.cstate = BeginCopyFrom(pstate, job.rel, NULL, stmt->filename,
							   stmt->is_program,
							   job.input ? shoal_stdin_read : NULL,
							   stmt->attlist, stmt->options);
	if (job.input)
		shoal_stdin_start(job.input, list_length(job.cstate->attnumlist));
	rows = run_copy(&job, forward);
	shoal_copy_tell_skipped(job.cstate);
	EndCopyFrom(job.cstate);
	table_close(job.rel, NoLock);
	free_parsestate(pstate);
	return rows;
}
