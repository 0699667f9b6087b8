/*
 * exec_explain.c
 *		EXPLAIN of the custom scans.
 *
 * A fragment is shown with its way, nodes, shards and text, and below it the
 * plan that its first node has for it.  Which nodes these are depends on the
 * parameters, which are only evaluated here if that does no harm: a volatile
 * one, or one that another part of the plan computes, leaves nodes and plan
 * out, unless the fragment has run (ANALYZE).  The node is asked for its plan
 * only, also under ANALYZE: nothing runs twice.  It is not asked at all where
 * a module explains a query that has just run, nobody having asked for it.
 */
#include "postgres.h"

#include <ctype.h>

#include "commands/explain.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/params.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"
#include "plan/plan_expr.h"
#include "xact/xact.h"

/* True if an expression can't be evaluated without running something. */
static bool
needs_execution(Node *node, ParamListInfo params)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubPlan) || IsA(node, AlternativeSubPlan))
		return true;
	if (IsA(node, Param))
	{
		Param	   *param = (Param *) node;

		if (shoal_expr_is_slot(node))
			return shoal_expr_is_step(node);
		return param->paramkind != PARAM_EXTERN || params == NULL ||
			param->paramid > params->numParams;
	}
	return expression_tree_walker(node, needs_execution, params);
}

static char *
node_name(int node_id)
{
	const ShoalNode *node = shoal_meta_node(node_id);

	return node ? node->server_name : psprintf("node %d", node_id);
}

/* ---- the node's plan ---- */

static const char *
format_name(ExplainFormat format)
{
	switch (format)
	{
		case EXPLAIN_FORMAT_XML:
			return "XML";
		case EXPLAIN_FORMAT_JSON:
			return "JSON";
		case EXPLAIN_FORMAT_YAML:
			return "YAML";
		default:
			return "TEXT";
	}
}

/* The lines of the plan that the task's node makes. */
static List *
fetch_plan(ShoalTask *task, ExplainState *es)
{
	ShoalCall	call = *task->call;
	ShoalRole	saved;
	List	   *lines = NIL;
	PGresult   *res;
	char	   *sql;

	/* its snapshots may be gone */
	call.reading.moment = 0;
	call.text = psprintf("EXPLAIN (VERBOSE %s, COSTS %s, FORMAT %s) %s",
						 es->verbose ? "on" : "off",
						 es->costs ? "on" : "off",
						 format_name(es->format), call.text);
	sql = shoal_task_sql(&call, task->shards, true);
	shoal_task_become(&call, &saved);
	if (task->local)
	{
		lines = shoal_local_explain(sql, call.nparams, call.types, call.values,
									call.nulls);
		shoal_task_return(&saved);
		return lines;
	}

	/* a transaction just for this would cost a second round trip */
	res = shoal_remote_query(shoal_xact_conn_outside(task->node_id), sql,
							 call.wire);
	shoal_task_return(&saved);
	for (int i = 0; i < PQntuples(res); i++)
		lines = lappend(lines, pstrdup(PQgetvalue(res, i, 0)));
	PQclear(res);
	return lines;
}

/* Appends text, which may have several lines, at the current indentation. */
static void
append_indented(ExplainState *es, const char *text)
{
	while (*text)
	{
		const char *end = strchr(text, '\n');
		int			len = end ? end - text : (int) strlen(text);

		appendStringInfoSpaces(es->str, es->indent * 2);
		appendBinaryStringInfo(es->str, text, len);
		appendStringInfoChar(es->str, '\n');
		text += len + (end ? 1 : 0);
	}
}

/*
 * A structured plan is put into a group of its own as it came.  JSON and YAML
 * plans are lists already, which the group is, too.
 */
static void
show_structured_plan(ExplainState *es, const char *plan)
{
	ExplainOpenGroup("Node Plan", "Node Plan", false, es);
	if (es->format == EXPLAIN_FORMAT_JSON)
	{
		const char *start = strchr(plan, '[');
		const char *end = strrchr(plan, ']');

		if (start && end)
		{
			appendStringInfoChar(es->str, '\n');
			append_indented(es, pnstrdup(start + 2, end - start - 3));
			es->str->len--;		/* the group ends its last line itself */
		}
	}
	else if (es->format == EXPLAIN_FORMAT_YAML)
	{
		appendStringInfoChar(es->str, '\n');
		append_indented(es, plan);
		es->str->len--;
	}
	else
		append_indented(es, plan);
	es->str->data[es->str->len] = '\0';
	ExplainCloseGroup("Node Plan", "Node Plan", false, es);
}

static void
show_node_plan(ShoalTask *task, ExplainState *es)
{
	List	   *lines = fetch_plan(task, es);
	ListCell   *lc;

	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		if (lines != NIL)
			show_structured_plan(es, linitial(lines));
		return;
	}
	ExplainPropertyText("Node Plan", node_name(task->node_id), es);
	es->indent++;
	foreach(lc, lines)
		append_indented(es, (char *) lfirst(lc));
	es->indent--;
}

/* ---- the fragment ---- */

/* The text on one line: blanks outside quotes are made one. */
static char *
one_line(const char *text)
{
	StringInfoData buf;
	char		quote = '\0';
	bool		blank = true;

	initStringInfo(&buf);
	for (; *text; text++)
	{
		if (quote == '\0' && isspace((unsigned char) *text))
		{
			if (!blank)
				appendStringInfoChar(&buf, ' ');
			blank = true;
			continue;
		}
		blank = false;
		if (quote != '\0')
			quote = *text == quote ? '\0' : quote;
		else if (*text == '\'' || *text == '"')
			quote = *text;
		appendStringInfoChar(&buf, *text);
	}
	return buf.data;
}

static void
show_merge_key(ShoalRun *run, ExplainState *es)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, run->frag->sort)
	{
		ShoalSortKey *key = (ShoalSortKey *) lfirst(lc);
		Form_pg_attribute att = TupleDescAttr(run->call.desc, key->column - 1);

		names = lappend(names, NameStr(att->attname)[0] != '\0' ?
						pstrdup(NameStr(att->attname)) :
						psprintf("column %d", key->column));
	}
	ExplainPropertyList("Merge Key", names, es);
}

static void
show_tasks(ShoalRun *run, ExplainState *es)
{
	List	   *names = NIL;

	for (int i = 0; i < run->ntasks; i++)
		names = lappend(names, node_name(run->tasks[i].node_id));
	ExplainPropertyInteger("Fragments", NULL, run->ntasks, es);
	ExplainPropertyList("Nodes", names, es);
	if (run->nshards > 0)
		ExplainPropertyText("Shards",
							psprintf("%d of %d", run->nshards,
									 shoal_meta_group(run->frag->group_id)->shard_count),
							es);
}

/* One line for each value that is worked out before. */
static void
show_steps(const ShoalFragment *frag, ExplainState *es)
{
	ListCell   *lc;

	foreach(lc, frag->steps)
	{
		ShoalFragmentStep *step = (ShoalFragmentStep *) lfirst(lc);

		ExplainPropertyText("Step", psprintf("$%d = %s", step->param + 1,
											 one_line(step->source->text)),
							es);
	}
}

/* One line for each move: to where, how many rows, by which query. */
static void
show_moves(const ShoalFragment *frag, ExplainState *es)
{
	ListCell   *lc;

	foreach(lc, frag->moves)
	{
		ShoalFragmentMove *move = (ShoalFragmentMove *) lfirst(lc);
		StringInfoData buf;

		initStringInfo(&buf);
		if (OidIsValid(move->relid))
			appendStringInfo(&buf, "by the key of %s",
							 quote_identifier(get_rel_name(move->relid)));
		else
			appendStringInfoString(&buf, "to every node");
		if (es->costs)
			appendStringInfo(&buf, " (rows=%.0f)", move->rows);
		appendStringInfo(&buf, ": %s", one_line(move->source->text));
		ExplainPropertyText("Move", buf.data, es);
		show_steps(move->source, es);
		show_moves(move->source, es);
	}
}

void
shoal_explain_fragment(ShoalRun *run, ExplainState *es)
{
	const ShoalFragment *frag = run->frag;

	if (run->ntasks == 0 &&
		(run->parent->state->es_top_eflags & EXEC_FLAG_EXPLAIN_ONLY) &&
		!contain_volatile_functions((Node *) frag->params) &&
		!needs_execution((Node *) frag->params,
						 run->parent->state->es_param_list_info))
		shoal_run_prepare(run);

	if (frag->way)
		ExplainPropertyText("Way", frag->way, es);
	if (frag->reason)
		ExplainPropertyText("Reason", frag->reason, es);
	if (run->ntasks > 0)
		show_tasks(run, es);
	if (frag->sort != NIL && run->call.desc)
		show_merge_key(run, es);
	show_steps(frag, es);
	show_moves(frag, es);
	ExplainPropertyText("Query", one_line(frag->text), es);
	if (run->ntasks > 0 &&
		((run->parent->state->es_top_eflags & EXEC_FLAG_EXPLAIN_ONLY) ||
		 es->analyze))
		show_node_plan(&run->tasks[0], es);
}

void
shoal_explain_insert(const ShoalInsert *insert, ExplainState *es)
{
	const ShoalTable *table = shoal_meta_table(insert->relid);

	ExplainPropertyText("Target", get_rel_name(insert->relid), es);
	if (table && table->kind == SHOAL_KIND_REFERENCE)
		ExplainPropertyText("Rows To", "every node", es);
	else
		ExplainPropertyText("Rows To", "the node of their shard", es);
	if (insert->fire)
	{
		ShoalFire  *fire = insert->fire;

		ExplainPropertyText("Row Triggers", "here", es);
		ExplainPropertyText("Query",
							one_line(psprintf("%sVALUES (...)%s",
											  fire->update_head ? fire->update_head :
											  fire->delete_head ? fire->delete_head :
											  fire->insert_head,
											  fire->update_head ? fire->update_tail :
											  fire->delete_head ? fire->delete_tail :
											  fire->insert_tail)),
							es);
		return;
	}
	ExplainPropertyText("Query",
						one_line(psprintf("%sVALUES (...)%s", insert->head,
										  insert->tail ? insert->tail : "")),
						es);
}
