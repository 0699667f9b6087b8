/*
 * exec_action.c
 *		Foreign keys' actions that the coordinator takes.
 *
 * For rows that an UPDATE or DELETE has written with foreign keys left out on the
 * nodes (plan_action.c).  What the rows were referred to by, and are now, is kept;
 * when all have been written one statement for each foreign key does what it
 * says with the rows that refer to them, wherever these are.  To Shoal that is a
 * statement like any other, so it may move rows in turn, and fires triggers.
 *
 * Like core's it runs as the table's owner.
 *
 * A row that refers to an old key and comes in between has had to wait for the
 * lock on that key's row, and fails then.  One that was there before is seen, as
 * the statement takes a new snapshot.  Where the transaction keeps its first one, and
 * may not see such a row, a query that takes new ones finds it, and the transaction
 * fails, as it does with core.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "exec/exec_internal.h"
#include "plan/plan_action.h"

/* One foreign key's. */
typedef struct ActionRows
{
	const ShoalAction *action;
	int			nrows;
	ArrayBuildState *old[INDEX_MAX_KEYS];
	ArrayBuildState *new[INDEX_MAX_KEYS];	/* of an UPDATE */
	int			nparams;		/* all of these, once they are complete */
	Oid			types[2 * INDEX_MAX_KEYS];
	Datum		values[2 * INDEX_MAX_KEYS];
} ActionRows;

struct ShoalActions
{
	MemoryContext context;
	Relation	rel;
	CmdType		command;
	List	   *all;			/* ActionRows * */
};

ShoalActions *
shoal_actions_begin(Relation rel, CmdType command)
{
	ShoalActions *actions = palloc0(sizeof(ShoalActions));
	ListCell   *lc;

	actions->context = CurrentMemoryContext;
	actions->rel = rel;
	actions->command = command;
	foreach(lc, shoal_action_list(rel, command))
	{
		ActionRows *rows = palloc0(sizeof(ActionRows));

		rows->action = (const ShoalAction *) lfirst(lc);
		actions->all = lappend(actions->all, rows);
	}
	return actions;
}

/* ---- rows ---- */

static Form_pg_attribute
column(const ShoalActions *actions, AttrNumber attnum)
{
	return TupleDescAttr(RelationGetDescr(actions->rel), attnum - 1);
}

static void
note(ShoalActions *actions, ActionRows *rows, HeapTuple old, HeapTuple new)
{
	const ShoalAction *action = rows->action;
	TupleDesc	desc = RelationGetDescr(actions->rel);
	Datum		old_values[INDEX_MAX_KEYS];
	Datum		new_values[INDEX_MAX_KEYS];
	bool		new_nulls[INDEX_MAX_KEYS] = {false};
	bool		changed = new == NULL;
	bool		isnull;

	for (int i = 0; i < action->nkeys; i++)
	{
		Form_pg_attribute att = column(actions, action->pk[i]);

		old_values[i] = heap_getattr(old, action->pk[i], desc, &isnull);
		/* nothing refers to it */
		if (isnull)
			return;
		if (new == NULL)
			continue;
		new_values[i] = heap_getattr(new, action->pk[i], desc, &new_nulls[i]);
		changed |= new_nulls[i] || !datum_image_eq(old_values[i], new_values[i],
												   att->attbyval, att->attlen);
	}
	if (!changed)
		return;
	rows->nrows++;
	for (int i = 0; i < action->nkeys; i++)
	{
		Oid			type = column(actions, action->pk[i])->atttypid;

		rows->old[i] = accumArrayResult(rows->old[i], old_values[i], false, type,
										actions->context);
		if (new != NULL)
			rows->new[i] = accumArrayResult(rows->new[i], new_values[i],
											new_nulls[i], type, actions->context);
	}
}

void
shoal_actions_note(ShoalActions *actions, HeapTuple old, HeapTuple new)
{
	ListCell   *lc;

	foreach(lc, actions->all)
		note(actions, (ActionRows *) lfirst(lc), old, new);
}

/* ---- statements ---- */

static const char *
column_name(Oid relid, AttrNumber attnum)
{
	return quote_identifier(get_attname(relid, attnum, false));
}

/* "unnest($1, ...) o (o1, ..., n1, ...)": the rows' old and new keys */
static char *
keys_from(const ActionRows *rows)
{
	int			nkeys = rows->action->nkeys;
	int			n = rows->nparams;
	StringInfoData sql;

	initStringInfo(&sql);
	/* of several arrays it is a word of the grammar, which knows where it is */
	appendStringInfo(&sql, "%sunnest(", n == 1 ? "pg_catalog." : "");
	for (int i = 1; i <= n; i++)
		appendStringInfo(&sql, "%s$%d", i > 1 ? ", " : "", i);
	appendStringInfoString(&sql, ") o (");
	for (int i = 1; i <= n; i++)
		appendStringInfo(&sql, "%s%s%d", i > 1 ? ", " : "", i > nkeys ? "n" : "o",
						 i > nkeys ? i - nkeys : i);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* Rows of the table that refer to an old key. */
static char *
refers(const ShoalAction *action)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < action->nkeys; i++)
		appendStringInfo(&sql, "%so.o%d %s c.%s", i > 0 ? " AND " : "", i + 1,
						 shoal_objects_operator_name(action->equals[i]),
						 column_name(action->child, action->fk[i]));
	return sql.data;
}

/* An UPDATE of these that sets some of their columns. */
static char *
update_of(const ActionRows *rows, const char *value)
{
	const ShoalAction *action = rows->action;
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < action->nset; i++)
		appendStringInfo(&sql, "%s%s = %s", i > 0 ? ", " : "",
						 column_name(action->child, action->set[i]),
						 value ? value : psprintf("o.n%d", i + 1));
	return psprintf("UPDATE %s c SET %s FROM %s WHERE %s",
					shoal_objects_relation_name(action->child), sql.data, keys_from(rows),
					refers(action));
}

/* Old keys that rows refer to; with absent those that are not there any more. */
static char *
select_of(const ShoalActions *actions, const ActionRows *rows, bool absent)
{
	const ShoalAction *action = rows->action;
	Oid			relid = RelationGetRelid(actions->rel);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 1; i <= action->nkeys; i++)
		appendStringInfo(&sql, "%so.o%d", i > 1 ? ", " : "", i);
	appendStringInfo(&sql, " FROM %s, %s c WHERE %s", keys_from(rows),
					 shoal_objects_relation_name(action->child), refers(action));
	if (absent)
	{
		appendStringInfo(&sql, " AND NOT EXISTS (SELECT FROM %s p WHERE ",
						 shoal_objects_relation_name(relid));
		for (int i = 0; i < action->nkeys; i++)
			appendStringInfo(&sql, "%sp.%s %s c.%s", i > 0 ? " AND " : "",
							 column_name(relid, action->pk[i]),
							 shoal_objects_operator_name(action->equals[i]),
							 column_name(action->child, action->fk[i]));
		appendStringInfoChar(&sql, ')');
	}
	appendStringInfoString(&sql, " LIMIT 1");
	return sql.data;
}

/* Makes parameters of the keys. */
static void
complete(const ShoalActions *actions, ActionRows *rows)
{
	int			nkeys = rows->action->nkeys;

	rows->nparams = rows->new[0] ? 2 * nkeys : nkeys;
	for (int i = 0; i < rows->nparams; i++)
	{
		ArrayBuildState *array = i < nkeys ? rows->old[i] : rows->new[i - nkeys];

		rows->types[i] = get_array_type(array->element_type);
		rows->values[i] = makeArrayResult(array, actions->context);
	}
}

static void
execute(const ActionRows *rows, const char *sql)
{
	if (SPI_execute_with_args(sql, rows->nparams, (Oid *) rows->types,
							  (Datum *) rows->values, NULL, false, 0) < 0)
		elog(ERROR, "could not take the action of a foreign key");
}

/* A query that sees what has been committed by now, also where the others do not. */
static void
execute_late(const ActionRows *rows, const char *sql)
{
	ShoalReading saved = shoal_statement_reading();
	ShoalReading late = {.inside = true,.late = true};
	SPIPlanPtr	plan;

	if (!IsolationUsesXactSnapshot())
	{
		execute(rows, sql);
		return;
	}
	plan = SPI_prepare(sql, rows->nparams, (Oid *) rows->types);
	shoal_statement_set_reading(late);
	if (plan == NULL ||
		SPI_execute_snapshot(plan, (Datum *) rows->values, NULL, GetLatestSnapshot(),
							 InvalidSnapshot, false, false, 0) < 0)
		elog(ERROR, "could not look for rows that refer to a key");
	shoal_statement_set_reading(saved);
}

static void
raise_violation(const ShoalActions *actions, const ShoalAction *action)
{
	StringInfoData names;
	StringInfoData values;
	bool		restricted = SHOAL_PG_MAJOR >= 18 &&
		action->type == FKCONSTR_ACTION_RESTRICT;
	const char *child = get_rel_name(action->child);

	initStringInfo(&names);
	initStringInfo(&values);
	for (int i = 0; i < action->nkeys; i++)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0],
										 SPI_tuptable->tupdesc, i + 1);

		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 NameStr(column(actions, action->pk[i])->attname));
		appendStringInfo(&values, "%s%s", i > 0 ? ", " : "", value);
	}
	ereport(ERROR,
			(errcode(restricted ? ERRCODE_RESTRICT_VIOLATION : ERRCODE_FOREIGN_KEY_VIOLATION),
			 restricted ?
			 errmsg("update or delete on table \"%s\" violates RESTRICT setting of foreign key constraint \"%s\" on table \"%s\"",
					RelationGetRelationName(actions->rel),
					get_constraint_name(action->constraint), child) :
			 errmsg("update or delete on table \"%s\" violates foreign key constraint \"%s\" on table \"%s\"",
					RelationGetRelationName(actions->rel),
					get_constraint_name(action->constraint), child),
			 restricted ?
			 errdetail("Key (%s)=(%s) is referenced from table \"%s\".", names.data,
					   values.data, child) :
			 errdetail("Key (%s)=(%s) is still referenced from table \"%s\".",
					   names.data, values.data, child),
			 err_generic_string(PG_DIAG_SCHEMA_NAME,
								get_namespace_name(get_rel_namespace(action->child))),
			 err_generic_string(PG_DIAG_TABLE_NAME, child),
			 err_generic_string(PG_DIAG_CONSTRAINT_NAME,
								get_constraint_name(action->constraint))));
}

static void
check(const ShoalActions *actions, const ActionRows *rows)
{
	const ShoalAction *action = rows->action;

	execute_late(rows, select_of(actions, rows,
								 action->type != FKCONSTR_ACTION_RESTRICT));
	if (SPI_processed == 0)
		return;
	/* it may be in order at the end of the transaction */
	if (action->deferrable && action->type == FKCONSTR_ACTION_NOACTION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("changing a key that deferrable foreign key \"%s\" refers to is not supported over several nodes while rows refer to it",
						get_constraint_name(action->constraint)),
				 errhint("Change the rows that refer to it first, or use ON UPDATE CASCADE.")));
	raise_violation(actions, action);
}

/* Have all rows been seen that referred to the old keys? */
static void
check_unseen(const ShoalActions *actions, const ActionRows *rows)
{
	execute_late(rows, select_of(actions, rows, true));
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
}

static void
take(const ShoalActions *actions, const ActionRows *rows)
{
	const ShoalAction *action = rows->action;

	switch (action->type)
	{
		case FKCONSTR_ACTION_CASCADE:
			if (actions->command == CMD_UPDATE)
				execute(rows, update_of(rows, NULL));
			else
				execute(rows, psprintf("DELETE FROM %s c USING %s WHERE %s",
									   shoal_objects_relation_name(action->child),
									   keys_from(rows), refers(action)));
			break;
		case FKCONSTR_ACTION_SETNULL:
			execute(rows, update_of(rows, "NULL"));
			break;
		case FKCONSTR_ACTION_SETDEFAULT:
			execute(rows, update_of(rows, "DEFAULT"));
			/* the default may be the key that is gone */
			check(actions, rows);
			break;
		default:
			check(actions, rows);
	}
}

/* An owner who sees no more than his policies let him would leave rows as they are. */
static void
check_policies(const ShoalAction *action, Oid relid, Oid role)
{
	if (check_enable_rls(relid, role, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("changing keys that foreign key \"%s\" refers to is not supported over several nodes",
						get_constraint_name(action->constraint)),
				 errdetail("Policies of table \"%s\" hold for \"%s\", who does what the foreign key says.",
						   get_rel_name(relid), GetUserNameFromId(role, false)),
				 errhint("Use ALTER TABLE ... NO FORCE ROW LEVEL SECURITY.")));
}

void
shoal_actions_take(ShoalActions *actions)
{
	Oid			relid = RelationGetRelid(actions->rel);
	Oid			userid;
	int			context;
	ListCell   *lc;

	GetUserIdAndSecContext(&userid, &context);
	foreach(lc, actions->all)
	{
		ActionRows *rows = (ActionRows *) lfirst(lc);
		Oid			owner;

		if (rows->nrows == 0)
			continue;
		owner = shoal_objects_owner(rows->action->child);
		check_policies(rows->action, rows->action->child, owner);
		check_policies(rows->action, relid, owner);
		SetUserIdAndSecContext(owner, context | SECURITY_LOCAL_USERID_CHANGE);
		complete(actions, rows);
		SPI_connect();
		take(actions, rows);
		if (IsolationUsesXactSnapshot())
			check_unseen(actions, rows);
		SPI_finish();
		SetUserIdAndSecContext(userid, context);
	}
}
