/*
 * plan_fire.c
 *		Writes whose row triggers are fired by the coordinator.
 *
 * A trigger's function may read and write whatever it likes, temporary and
 * local tables, settings and sequences of the session among it, so it has to
 * run in the session that has sent the statement.  Such a statement is taken
 * apart: a query makes the rows (of an UPDATE or DELETE: finds and locks them),
 * and a Shoal Insert node on top of it fires the triggers that are BEFORE with
 * each row, has nodes write what has come of it, with their triggers muted, and
 * hands the rows as they have been written on to the triggers that are AFTER
 * (exec_fire.c).
 *
 * So the key of a row may be changed, by the statement or by a trigger; the row
 * is moved to its new shard then.  As all rows of a statement are seen here,
 * transition tables can be filled, and actions of foreign keys be taken that concern
 * rows of other shards (plan_action.c).
 *
 * Fast ways are given up for that, so it is not done for functions that are
 * built in, nor if the user says that triggers don't need it
 * (shoal.row_triggers). What can't be done here is left to the nodes.  A MERGE has to
 * be taken apart before (plan_merge_apart.c), which is done for triggers only that may
 * look at tables.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "plan/plan_action.h"
#include "plan/plan_assign.h"
#include "plan/plan_check.h"
#include "plan/plan_conflict.h"
#include "plan/plan_expr.h"
#include "plan/plan_clock.h"
#include "plan/plan_fire.h"
#include "plan/plan_move.h"
#include "plan/plan_owner.h"
#include "plan/plan_quiet.h"
#include "plan/plan_rights.h"
#include "plan/plan_rows.h"
#include "plan/plan_text.h"
#include "plan/plan_triggers.h"
#include "plan/plan_write.h"
#include "scope/scope.h"

/* ---- is it to be done? ---- */

/* A row trigger for one of the events whose function is not built in. */
static bool
is_for_coordinator(const Trigger *trigger, int events)
{
	return shoal_scope_is_movable(trigger) &&
		trigger->tgenabled != TRIGGER_DISABLED &&
		trigger->tgfoid >= FirstNormalObjectId &&
		((TRIGGER_FOR_INSERT(trigger->tgtype) && (events & SHOAL_EVENT_INSERT)) ||
		 (TRIGGER_FOR_UPDATE(trigger->tgtype) && (events & SHOAL_EVENT_UPDATE)) ||
		 (TRIGGER_FOR_DELETE(trigger->tgtype) && (events & SHOAL_EVENT_DELETE)));
}

/* Are there such, or transition tables? */
static bool
has_triggers(Relation rel, int events)
{
	bool		result = shoal_scope_is_transitional(rel->trigdesc, events);

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		result |= shoal_row_triggers == SHOAL_TRIGGERS_COORDINATOR &&
			is_for_coordinator(&rel->trigdesc->triggers[i], events);
	return result;
}

static bool
is_possible_for_table(Relation rel)
{
	return rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE ||
		shoal_text_is_hashed(RelationGetRelid(rel));
}

/*
 * The query that finds the rows of an UPDATE or DELETE reads all columns, and needs
 * the right to lock.
 */
static bool
may_read_and_lock(Query *query, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	Oid			userid = shoal_rte_check_as(query, rt_fetch(query->resultRelation,
															query->rtable));

	if (!OidIsValid(userid))
		userid = GetUserId();
	return (pg_class_aclcheck(relid, userid, ACL_SELECT) == ACLCHECK_OK ||
			pg_attribute_aclcheck_all(relid, userid, ACL_SELECT,
									  ACLMASK_ALL) == ACLCHECK_OK) &&
		(pg_class_aclcheck(relid, userid, ACL_UPDATE) == ACLCHECK_OK ||
		 pg_attribute_aclcheck_all(relid, userid, ACL_UPDATE,
								   ACLMASK_ANY) == ACLCHECK_OK);
}

static bool
is_possible(Query *query, const ShoalTable *table, Relation rel)
{
	const char *why;

	if (query->commandType == CMD_MERGE || shoal_assign_is_multi(query->targetList) ||
		!is_possible_for_table(rel) || !shoal_rights_fit_row(query, &why))
		return false;
	if (query->commandType != CMD_INSERT && !may_read_and_lock(query, rel))
		return false;
	if (query->onConflict && query->onConflict->action == ONCONFLICT_UPDATE)
		return shoal_conflict_is_possible(query, table, rel);
	return query->onConflict == NULL || !OidIsValid(query->onConflict->constraint);
}

/*
 * An UPDATE of the key that plan_move.c can't do, as its DELETE and INSERT would
 * fire triggers, have other policies, or would not return all that is needed.
 */
static bool
is_moved_by_row(Query *query, const ShoalTable *table, Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	if (query->commandType != CMD_UPDATE ||
		shoal_row_triggers != SHOAL_TRIGGERS_COORDINATOR ||
		!shoal_move_is_needed(query, query->targetList, table))
		return false;
	if (rel->rd_rel->relrowsecurity || table->kind == SHOAL_KIND_REFERENCE)
		return true;
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		if (!triggers->triggers[i].tgisinternal)
			return true;
	}
	return shoal_assign_any(query->targetList) ||
		!bms_is_subset(pull_varnos(NULL, (Node *) query->returningList),
					   bms_make_singleton(query->resultRelation));
}

bool
shoal_fire_is_wanted(Query *query, const ShoalTable *table)
{
	Relation	rel;
	bool		wanted;

	/* a trigger of a fragment is where its rows are */
	if (shoal_origin > 0)
		return false;
	rel = RelationIdGetRelation(table->relid);
	wanted = (has_triggers(rel, shoal_triggers_events(query)) ||
			  is_moved_by_row(query, table, rel) ||
			  shoal_action_is_needed(query, table, rel)) &&
		is_possible(query, table, rel);
	RelationClose(rel);
	return wanted;
}

bool
shoal_fire_fills_tables(Query *query, const ShoalTable *table, bool *possible)
{
	Relation	rel;
	bool		result;

	if (shoal_origin > 0)
		return false;
	rel = RelationIdGetRelation(table->relid);
	result = shoal_scope_is_transitional(rel->trigdesc, shoal_triggers_events(query));
	*possible = is_possible_for_table(rel) && may_read_and_lock(query, rel);
	RelationClose(rel);
	return result;
}

bool
shoal_fire_is_wanted_for_merge(Query *query, const ShoalTable *table)
{
	int			events = shoal_triggers_events(query);
	Relation	rel;
	bool		wanted = false;

	if (shoal_origin > 0 || shoal_row_triggers != SHOAL_TRIGGERS_COORDINATOR)
		return false;
	rel = RelationIdGetRelation(table->relid);
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		wanted |= is_for_coordinator(&rel->trigdesc->triggers[i], events) &&
			!shoal_quiet_is_free(&rel->trigdesc->triggers[i]);
	wanted = wanted && is_possible_for_table(rel) && may_read_and_lock(query, rel);
	RelationClose(rel);
	return wanted;
}

bool
shoal_fire_is_wanted_for_copy(Relation rel)
{
	return shoal_origin <= 0 && has_triggers(rel, SHOAL_EVENT_INSERT) &&
		is_possible_for_table(rel) && rel->rd_rules == NULL;
}

/* ---- RETURNING ---- */

typedef struct ReturningContext
{
	Relation	rel;
	Index		target;
	List	   *columns;		/* TargetEntry: what it can refer to */
	bool		fails;
} ReturningContext;

/* The number of an expression among the columns, where it is put if need be. */
static int
column_of(Expr *expr, ReturningContext *context)
{
	ListCell   *lc;
	int			n;

	foreach(lc, context->columns)
	{
		TargetEntry *column = (TargetEntry *) lfirst(lc);

		if (equal(column->expr, expr))
			return column->resno;
	}
	n = list_length(context->columns) + 1;
	context->columns = lappend(context->columns,
							   makeTargetEntry(expr, n, psprintf("c%d", n), false));
	return n;
}

static Node *
refer_to(Expr *expr, ReturningContext *context)
{
	return (Node *) makeVar(INDEX_VAR, column_of(expr, context),
							exprType((Node *) expr), exprTypmod((Node *) expr),
							exprCollation((Node *) expr), 0);
}

/* The table's row as a whole. */
static Node *
whole_row(ReturningContext *context)
{
	RowExpr    *row = makeNode(RowExpr);

	for (int i = 0; i < RelationGetNumberOfAttributes(context->rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(context->rel), i);

		row->args = lappend(row->args, att->attisdropped ?
							(Node *) makeNullConst(INT4OID, -1, InvalidOid) :
							refer_to((Expr *) makeVar(context->target, att->attnum,
													  att->atttypid, att->atttypmod,
													  att->attcollation, 0),
									 context));
		row->colnames = lappend(row->colnames,
								makeString(pstrdup(NameStr(att->attname))));
	}
	row->row_typeid = context->rel->rd_rel->reltype;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	return (Node *) row;
}

static Node *
refer_mutator(Node *node, ReturningContext *context)
{
	Var		   *var = (Var *) node;

	if (node == NULL)
		return NULL;
	if (IsA(node, SubLink) || shoal_expr_is_of_row(node) ||
		(IsA(node, Var) && var->varno == context->target && var->varattno < 0))
	{
		context->fails = true;
		return node;
	}
	if (IsA(node, Var) && var->varno == context->target && var->varattno == 0)
		return whole_row(context);
	if (IsA(node, Var))
	{
		var = copyObject(var);
		var->location = -1;
		return refer_to((Expr *) var, context);
	}
	return expression_tree_mutator(node, refer_mutator, (void *) context);
}

/* ---- the statements for nodes ---- */

static Form_pg_attribute
attribute(Relation rel, int attnum)
{
	return TupleDescAttr(RelationGetDescr(rel), attnum - 1);
}

static const char *
quoted_column(Relation rel, int attnum)
{
	return quote_identifier(NameStr(attribute(rel, attnum)->attname));
}

static char *
quoted_table(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

/* All columns that a row has, as target entries. */
static List *
live_columns(Relation rel, Index target)
{
	List	   *columns = NIL;

	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = attribute(rel, i);

		if (!att->attisdropped)
			columns = lappend(columns,
							  makeTargetEntry((Expr *) makeVar(target, i, att->atttypid,
															   att->atttypmod,
															   att->attcollation, 0),
											  list_length(columns) + 1,
											  pstrdup(NameStr(att->attname)), false));
	}
	return columns;
}

static List *
writable_columns(Relation rel)
{
	List	   *columns = NIL;

	for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
	{
		if (!attribute(rel, i)->attisdropped && !attribute(rel, i)->attgenerated)
			columns = lappend_int(columns, i);
	}
	return columns;
}

/*
 * The INSERT of whole rows: of the query, if it is an INSERT itself, else of rows
 * that move to another shard.
 */
static void
describe_insertion(Query *query, Relation rel, ShoalInsert *insert)
{
	Query	   *whole = copyObject(query);
	ListCell   *lc;

	if (query->commandType != CMD_INSERT)
	{
		whole = makeNode(Query);
		whole->commandType = CMD_INSERT;
		whole->rtable = list_make1(copyObject(rt_fetch(query->resultRelation,
													   query->rtable)));
		((RangeTblEntry *) linitial(whole->rtable))->alias = NULL;
		((RangeTblEntry *) linitial(whole->rtable))->securityQuals = NIL;
		whole->resultRelation = 1;
		whole->jointree = makeFromExpr(NIL, NULL);
	}
	whole->targetList = NIL;
	foreach(lc, insert->fire->written)
	{
		Form_pg_attribute att = attribute(rel, lfirst_int(lc));

		whole->targetList = lappend(whole->targetList,
									makeTargetEntry((Expr *) makeNullConst(att->atttypid, att->atttypmod,
																		   att->attcollation),
													att->attnum,
													pstrdup(NameStr(att->attname)),
													false));
	}
	whole->returningList = live_columns(rel, whole->resultRelation);
	if (insert->fire->conflict_text)
	{
		int			n = list_length(whole->returningList) + 1;

		whole->onConflict->action = ONCONFLICT_NOTHING;
		whole->onConflict->onConflictSet = NIL;
		whole->onConflict->onConflictWhere = NULL;
		whole->onConflict->exclRelIndex = 0;
		whole->onConflict->exclRelTlist = NIL;
		whole->returningList =
			lappend(whole->returningList,
					makeTargetEntry((Expr *) shoal_expr_column(InvalidOid, whole->resultRelation,
															   SelfItemPointerAttributeNumber),
									n, "ctid", false));
	}
	shoal_write_cut_insert(whole, insert);
	insert->fire->insert_head = insert->head;
	insert->fire->insert_tail = insert->tail;
}

/* "(c1, ..., cn) WHERE condition" */
static char *
rows_tail(int n, const char *condition)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, ") %s (", SHOAL_ROWS_ROWS);
	for (int i = 1; i <= n; i++)
		appendStringInfo(&sql, "%sc%d", i > 1 ? ", " : "", i);
	appendStringInfo(&sql, ") WHERE %s", condition);
	return sql.data;
}

static void
describe_deletion(ShoalRows *rows, ShoalFire *fire, const char *condition)
{
	char	   *number = psprintf("%s.c%d", SHOAL_ROWS_ROWS, fire->nfind + 1);

	fire->delete_head = psprintf("DELETE FROM %s %s USING (",
								 quoted_table(rows->rel), SHOAL_ROWS_TARGET);
	/* a row that moves leaves a mark (exec_leave.c) */
	if (fire->command == CMD_UPDATE &&
		rows->rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		number = psprintf("CASE WHEN shoal.has_left(%s.tableoid, %s.ctid) THEN %s END",
						  SHOAL_ROWS_TARGET, SHOAL_ROWS_TARGET, number);
	fire->delete_tail = psprintf("%s RETURNING %s",
								 rows_tail(fire->nfind + 1, condition), number);
}

static void
describe_update(ShoalRows *rows, ShoalFire *fire, const char *condition)
{
	StringInfoData sets;
	StringInfoData returning;
	ListCell   *lc;
	int			n = fire->nfind + 1;

	initStringInfo(&sets);
	foreach(lc, fire->updated)
		appendStringInfo(&sets, "%s%s = %s.c%d", sets.len ? ", " : "",
						 quoted_column(rows->rel, lfirst_int(lc)), SHOAL_ROWS_ROWS,
						 ++n);
	initStringInfo(&returning);
	appendStringInfo(&returning, "%s.c%d", SHOAL_ROWS_ROWS, fire->nfind + 1);
	for (int i = 1; i <= RelationGetNumberOfAttributes(rows->rel); i++)
	{
		if (!attribute(rows->rel, i)->attisdropped)
			appendStringInfo(&returning, ", %s.%s", SHOAL_ROWS_TARGET,
							 quoted_column(rows->rel, i));
	}
	if (fire->conflict_text)
		appendStringInfo(&returning, ", %s.ctid", SHOAL_ROWS_TARGET);
	fire->update_head = psprintf("UPDATE %s %s SET %s FROM (",
								 quoted_table(rows->rel), SHOAL_ROWS_TARGET,
								 sets.data);
	fire->update_tail = psprintf("%s RETURNING %s", rows_tail(n, condition),
								 returning.data);
}

static bool
is_key(const ShoalTable *table, int attnum)
{
	for (int i = 0; i < table->nkeys; i++)
	{
		if (table->keyattr[i] == attnum)
			return true;
	}
	return false;
}

/* Columns that an UPDATE of a row in its place sets; a key is as it was. */
static List *
updated_columns(ShoalRows *rows, ShoalFire *fire)
{
	TriggerDesc *triggers = rows->rel->trigdesc;
	List	   *all = triggers && triggers->trig_update_before_row ?
		fire->written : fire->set;
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, all)
	{
		if (!is_key(rows->table, lfirst_int(lc)) &&
			attribute(rows->rel, lfirst_int(lc))->attidentity != ATTRIBUTE_IDENTITY_ALWAYS)
			result = lappend_int(result, lfirst_int(lc));
	}
	/* something has to be set */
	return result ? result : list_make1_int(rows->table->nkeys > 0 ?
											rows->table->keyattr[0] :
											linitial_int(fire->written));
}

/* ---- taking it apart ---- */

/* Do foreign keys of other tables refer to it? */
static bool
is_referred_to(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		if (RI_FKey_trigger_type(triggers->triggers[i].tgfoid) == RI_TRIGGER_PK)
			return true;
	}
	return false;
}

static List *
types_of(List *columns)
{
	List	   *types = NIL;
	ListCell   *lc;

	foreach(lc, columns)
		types = lappend_oid(types, exprType((Node *) ((TargetEntry *) lfirst(lc))->expr));
	return types;
}

static void
split_insert(ShoalRows *rows, Query **select, ShoalInsert *insert)
{
	Query	   *query = rows->query;
	ShoalFire  *fire = insert->fire;
	ListCell   *lc;

	fire->one_by_one = (query->onConflict != NULL);
	foreach(lc, query->targetList)
		insert->attnums = lappend_int(insert->attnums,
									  ((TargetEntry *) lfirst(lc))->resno);
	if (query->onConflict && query->onConflict->action == ONCONFLICT_UPDATE)
	{
		char	   *condition = shoal_rows_find(rows);

		fire->find_types = types_of(rows->columns);
		fire->nfind = list_length(rows->columns);
		shoal_conflict_describe(query, rows->rel, fire);
		fire->updated = updated_columns(rows, fire);
		describe_update(rows, fire, condition);
	}
	describe_insertion(query, rows->rel, insert);
	*select = shoal_write_rows_of_insert(query);
}

static void
add_new_values(ShoalRows *rows, ShoalFire *fire)
{
	ListCell   *lc;

	foreach(lc, rows->query->targetList)
	{
		TargetEntry *tle = (TargetEntry *) lfirst(lc);

		if (tle->resjunk)
			continue;
		fire->set = lappend_int(fire->set, tle->resno);
		shoal_rows_add(rows, copyObject(tle->expr), 0);
	}
}

/* May a row of the target be joined with several others? */
static bool
has_joins(Query *query)
{
	return list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef);
}

static bool
split_update_delete(ShoalRows *rows, Query **select, ShoalInsert *insert,
					List *others)
{
	ShoalFire  *fire = insert->fire;
	char	   *condition = shoal_rows_find(rows);
	bool		moves = false;
	ListCell   *lc;

	if (condition == NULL)
		return false;
	fire->nfind = list_length(rows->columns);
	fire->find_types = types_of(rows->columns);
	fire->distinct = has_joins(rows->query);
	fire->rooted = is_referred_to(rows->rel);
	fire->acts = shoal_action_is_needed(rows->query, rows->table, rows->rel);
	shoal_rows_add(rows, shoal_rows_column(rows, SelfItemPointerAttributeNumber), 0);
	foreach(lc, live_columns(rows->rel, rows->target))
		shoal_rows_add(rows, ((TargetEntry *) lfirst(lc))->expr, 0);
	describe_deletion(rows, fire, condition);
	if (fire->command == CMD_UPDATE)
	{
		add_new_values(rows, fire);
		moves = shoal_move_is_needed(rows->query, rows->query->targetList,
									 rows->table);
		fire->updated = updated_columns(rows, fire);
		describe_update(rows, fire, condition);
		describe_insertion(rows->query, rows->rel, insert);
	}
	foreach(lc, others)
		shoal_rows_add(rows, copyObject(((TargetEntry *) lfirst(lc))->expr), 0);
	*select = shoal_rows_select(rows, moves || fire->acts || fire->command == CMD_DELETE ?
								LCS_FORUPDATE : LCS_FORNOKEYUPDATE);
	return true;
}

static bool
split(ShoalRows *rows, Query **select, ShoalInsert *insert, List **columns,
	  List **returned)
{
	Query	   *query = rows->query;
	ReturningContext context = {rows->rel, rows->target};
	int			nlive;

	context.columns = live_columns(rows->rel, rows->target);
	nlive = list_length(context.columns);
	if (!shoal_rows_are_sendable(context.columns))
		return false;
	if (query->returningList)
	{
		if (shoal_expr_returns_old_or_new((Node *) query->returningList))
			return false;
		*returned = (List *) refer_mutator((Node *) query->returningList,
										   &context);
		if (context.fails)
			return false;
		*columns = context.columns;
	}
	insert->relid = RelationGetRelid(rows->rel);
	/* the query that finds rows runs as the user */
	insert->run_as = shoal_owner_to_write_as(query, query->commandType == CMD_INSERT, false);
	insert->rights = shoal_rights_of_write(query);
	insert->is_timed = shoal_clock_is_asked_by_table(insert->relid);
	insert->returns_rows = query->returningList != NIL;
	insert->locked = query->commandType != CMD_INSERT;
	insert->triggers = shoal_triggers_of_target(query);
	insert->fire = palloc0(sizeof(ShoalFire));
	insert->fire->command = query->commandType;
	insert->fire->written = writable_columns(rows->rel);
	if (query->commandType != CMD_INSERT)
		return split_update_delete(rows, select, insert,
								   list_copy_tail(context.columns, nlive));
	split_insert(rows, select, insert);
	return true;
}

bool
shoal_fire_split(Query *query, const ShoalTable *table, Query **select,
				 ShoalInsert *insert, List **columns, List **returned)
{
	ShoalRows	rows = {0};
	bool		done;

	*columns = NIL;
	*returned = NIL;
	rows.query = shoal_check_fold(copyObject(query));
	rows.target = query->resultRelation;
	rows.table = table;
	rows.rel = RelationIdGetRelation(table->relid);
	done = split(&rows, select, insert, columns, returned);
	RelationClose(rows.rel);
	return done;
}
