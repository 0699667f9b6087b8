/*
 * ddl_columns.c
 *		ALTER TABLE ... ADD COLUMN with values that nodes must not work out.
 *
 * Core works out what the rows that are there get in a new column while it
 * writes the table anew, each node for its own.  With a volatile default
 * copies of a row would differ then, and sequences would give a number several
 * times.  So the statement is done in three steps, in one transaction:
 *
 *	1. on each node new columns are made without constraints and, for the rows
 *	   that are there, without values; then they get their defaults, sequences
 *	   and identities;
 *	2. the coordinator fills them, UPDATE ... SET column = DEFAULT, without
 *	   triggers, which are muted in step 1;
 *	3. on each node constraints are added, and all else that the statement says.
 *
 * Nodes are sent the statement's own text each time, and a marker that says
 * which step it is; all take it apart in the same way, by what it says and not by
 * what is there.  A node that has missed the statement is told all of it later,
 * and makes up values by itself: whatever rows it has are stale, and replaced.
 *
 * It is a way to add identity columns to partitioned tables, too, which core has
 * from 17 on only.
 *
 * The caller holds ACCESS EXCLUSIVE locks on the table on all nodes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/heap.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "meta/meta.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

/* stands in tgtype for UPDATE while a trigger is muted; core does not use it */
#define MUTED_UPDATE	(1 << 12)

/* ---- what nodes would work out ---- */

/*
 * Stable functions of arguments depend on settings, which are the same, and so is
 * the time of the transaction.
 */
static bool
is_same_nowhere(Oid funcid, void *context)
{
	char		volatility = func_volatile(funcid);

	return volatility == PROVOLATILE_VOLATILE ||
		(volatility == PROVOLATILE_STABLE && funcid != F_NOW &&
		 funcid != F_TRANSACTION_TIMESTAMP &&
		 (funcid >= FirstNormalObjectId || get_func_nargs(funcid) == 0));
}

bool
shoal_columns_differ_by_node(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SQLValueFunction))
		return ((SQLValueFunction *) node)->op > SVFOP_LOCALTIMESTAMP_N;
	if (IsA(node, NextValueExpr) ||
		check_functions_in_node(node, is_same_nowhere, NULL))
		return true;
	return expression_tree_walker(node, shoal_columns_differ_by_node, context);
}

/* Functions of users may take values of sequences, too. */
static bool
may_call_nextval(Oid funcid, void *context)
{
	return funcid == F_NEXTVAL ||
		(funcid >= FirstNormalObjectId && func_volatile(funcid) != PROVOLATILE_IMMUTABLE);
}

static bool
takes_sequence_values(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, NextValueExpr) ||
		check_functions_in_node(node, may_call_nextval, NULL))
		return true;
	return expression_tree_walker(node, takes_sequence_values, context);
}

bool
shoal_columns_have_copies(const ShoalTable *table)
{
	const ShoalGroup *group = shoal_meta_group(table->group_id);

	return table->kind == SHOAL_KIND_REFERENCE ||
		shoal_meta_has_replicas(group);
}

bool
shoal_columns_has_rows(Oid relid)
{
	bool		result;

	/* there may be some that the user does not see */
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		return true;
	SPI_connect();
	if (SPI_execute(psprintf("SELECT 1 FROM %s LIMIT 1", shoal_objects_relation_name(relid)),
					false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"%s\"", get_rel_name(relid));
	result = SPI_processed > 0;
	SPI_finish();
	return result;
}

/* ---- columns as the statement says them ---- */

/* The type that a serial pseudo-type stands for; InvalidOid: it is none. */
static Oid
serial_type(const TypeName *type)
{
	char	   *name;

	if (list_length(type->names) != 1 || type->pct_type || type->setof ||
		type->arrayBounds != NIL)
		return InvalidOid;
	name = strVal(linitial(type->names));
	if (strcmp(name, "smallserial") == 0 || strcmp(name, "serial2") == 0)
		return INT2OID;
	if (strcmp(name, "serial") == 0 || strcmp(name, "serial4") == 0)
		return INT4OID;
	if (strcmp(name, "bigserial") == 0 || strcmp(name, "serial8") == 0)
		return INT8OID;
	return InvalidOid;
}

static Constraint *
find_constraint(const ColumnDef *column, ConstrType type)
{
	ListCell   *lc;

	foreach(lc, column->constraints)
	{
		Constraint *con = (Constraint *) lfirst(lc);

		if (con->contype == type)
			return con;
	}
	return NULL;
}

/* Gets the rows that are there a value by a default that it has itself? */
static bool
has_value(const ColumnDef *column)
{
	return OidIsValid(serial_type(column->typeName)) ||
		find_constraint(column, CONSTR_IDENTITY) != NULL ||
		find_constraint(column, CONSTR_DEFAULT) != NULL;
}

static List *
new_columns(const AlterTableStmt *stmt)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = (AlterTableCmd *) lfirst(lc);

		if (cmd->subtype == AT_AddColumn)
			result = lappend(result, cmd->def);
	}
	return result;
}

/* ---- coordinator: is it to be done in steps? ---- */

/* The default as it would be worked out; of the column's type if it has none. */
static Node *
default_of(const ColumnDef *column, const char *query_string)
{
	Constraint *con = find_constraint(column, CONSTR_DEFAULT);
	ParseState *pstate;

	if (con == NULL)
		return get_typdefault(typenameTypeId(NULL, column->typeName));
	pstate = make_parsestate(NULL);
	pstate->p_sourcetext = query_string;
	return transformExpr(pstate, copyObject(con->raw_expr),
						 EXPR_KIND_COLUMN_DEFAULT);
}

static bool
is_for_coordinator(const ColumnDef *column, const ShoalTable *table,
				   const char *query_string)
{
	Node	   *expr;

	if (OidIsValid(serial_type(column->typeName)) ||
		find_constraint(column, CONSTR_IDENTITY) != NULL)
		return true;
	if (find_constraint(column, CONSTR_GENERATED) != NULL)
		return false;
	expr = default_of(column, query_string);
	return shoal_columns_have_copies(table) ? shoal_columns_differ_by_node(expr, NULL) :
		takes_sequence_values(expr, NULL);
}

static void
refuse(const ColumnDef *column, Oid relid, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot add column \"%s\" with that default to table \"%s\", which has rows",
					column->colname, get_rel_name(relid)),
			 errdetail("%s", why),
			 errhint("Add the column without a default, fill it with UPDATE, and then use ALTER COLUMN ... SET DEFAULT.")));
}

static bool
has_update_rules(Relation rel)
{
	for (int i = 0; rel->rd_rules && i < rel->rd_rules->numLocks; i++)
	{
		if (rel->rd_rules->rules[i]->event == CMD_UPDATE)
			return true;
	}
	return false;
}

/* Is there anything that step 2 or the order of steps can't do? */
static void
check_steps(const AlterTableStmt *stmt, const ColumnDef *column, Oid relid,
			bool event_triggers)
{
	Relation	rel = table_open(relid, NoLock);
	Oid			type;
	ListCell   *lc;

	if (event_triggers)
		refuse(column, relid, "It takes several statements, for each of which event triggers would fire.");
	if (has_update_rules(rel))
		refuse(column, relid, "The table has rules for UPDATE.");
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		refuse(column, relid, "Policies of the table apply to its owner.");
	table_close(rel, NoLock);
	foreach(lc, new_columns(stmt))
	{
		ColumnDef  *other = (ColumnDef *) lfirst(lc);

		if (OidIsValid(serial_type(other->typeName)))
			continue;
		type = typenameTypeId(NULL, other->typeName);
		if (!has_value(other) && !find_constraint(other, CONSTR_GENERATED) &&
			get_typdefault(type) != NULL)
			refuse(other, relid, "The default is its type's.");
		if (DomainHasConstraints(type))
			refuse(other, relid, "The type is a domain with constraints.");
	}
}

bool
shoal_columns_need_steps(const AlterTableStmt *stmt, const char *query_string,
						 bool event_triggers)
{
	Oid			relid = stmt->objtype == OBJECT_TABLE ?
		shoal_ddl_relid(stmt->relation) : InvalidOid;
	const ShoalTable *table = OidIsValid(relid) ? shoal_meta_table(relid) : NULL;
	const ColumnDef *needed = NULL;
	bool		identity = false;
	bool		exists = false;
	ListCell   *lc;

	if (table == NULL)
		return false;
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		ColumnDef  *column = (ColumnDef *) cmd->def;

		if (cmd->subtype != AT_AddColumn)
			continue;
		if (cmd->missing_ok && get_attnum(relid, column->colname) != InvalidAttrNumber)
			exists = true;
		else if (is_for_coordinator(column, table, query_string))
		{
			needed = column;
			identity |= find_constraint(column, CONSTR_IDENTITY) != NULL;
		}
	}
	if (needed == NULL)
		return false;
	identity &= SHOAL_PG_MAJOR < 17 &&
		get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE;
	if (!identity && (shoal_meta_is_alone() || !shoal_columns_has_rows(relid)))
		return false;
	if (exists)
		refuse(needed, relid, "Another column of the statement exists.");
	check_steps(stmt, needed, relid, event_triggers);
	return true;
}

/* ---- coordinator: step 2 ---- */

void
shoal_columns_fill(const AlterTableStmt *stmt)
{
	Oid			relid = shoal_ddl_relid(stmt->relation);
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	foreach(lc, new_columns(stmt))
	{
		ColumnDef  *column = (ColumnDef *) lfirst(lc);

		if (has_value(column))
			appendStringInfo(&sql, "%s%s = DEFAULT", sql.len ? ", " : "",
							 quote_identifier(column->colname));
	}
	CommandCounterIncrement();
	SPI_connect();
	if (SPI_execute(psprintf("UPDATE %s SET %s", shoal_objects_relation_name(relid),
							 sql.data), false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not fill the new columns of table \"%s\"",
			 get_rel_name(relid));
	SPI_finish();
}

/* ---- on each node: triggers ---- */

/* Muted ones keep in mind that they are for UPDATE. */
static void
mute_triggers_of(Oid relid, bool mute)
{
	Relation	pg_trigger = table_open(TriggerRelationId, RowExclusiveLock);
	int			from = mute ? TRIGGER_TYPE_UPDATE : MUTED_UPDATE;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_trigger, TriggerRelidNameIndexId, true, NULL,
							  1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form;

		tuple = heap_copytuple(tuple);
		form = (Form_pg_trigger) GETSTRUCT(tuple);
		if (!form->tgisinternal && (form->tgtype & from))
		{
			form->tgtype ^= TRIGGER_TYPE_UPDATE | MUTED_UPDATE;
			CatalogTupleUpdate(pg_trigger, &tuple->t_self, tuple);
		}
		heap_freetuple(tuple);
	}
	systable_endscan(scan);
	table_close(pg_trigger, NoLock);
	CacheInvalidateRelcacheByRelid(relid);
}

/* Nobody else sees the table meanwhile, and an error takes it all back. */
static void
mute_triggers(Oid relid, bool mute)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessExclusiveLock, NULL))
		mute_triggers_of(lfirst_oid(lc), mute);
	CommandCounterIncrement();
}

/* ---- on each node: steps 1 and 3 ---- */

static AlterTableCmd *
make_command(AlterTableType subtype, char *column, Node *def)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = subtype;
	cmd->name = column;
	cmd->def = def;
	cmd->behavior = DROP_RESTRICT;
	return cmd;
}

static Constraint *
make_constraint(ConstrType type, Node *expr)
{
	Constraint *con = makeNode(Constraint);

	con->contype = type;
	con->raw_expr = expr;
	con->initially_valid = true;
	con->location = -1;
	return con;
}

static Node *
string_constant(char *value)
{
	A_Const    *result = makeNode(A_Const);

	result->val.sval.type = T_String;
	result->val.sval.sval = value;
	result->location = -1;
	return (Node *) result;
}

static Node *
zero_constant(void)
{
	A_Const    *result = makeNode(A_Const);

	result->val.ival.type = T_Integer;
	result->location = -1;
	return (Node *) result;
}

/* Runs a part of the statement: other commands for the same table. */
static void
alter(ShoalUtility *call, const ShoalTargets *targets, List *cmds)
{
	ShoalUtility part = *call;
	AlterTableStmt *stmt = copyObject((AlterTableStmt *) call->stmt);

	if (cmds == NIL)
		return;
	stmt->cmds = cmds;
	part.pstmt = copyObject(call->pstmt);
	part.pstmt->utilityStmt = (Node *) stmt;
	part.stmt = (Node *) stmt;
	part.read_only_tree = false;
	part.context = PROCESS_UTILITY_SUBCOMMAND;
	part.qc = NULL;
	shoal_ddl_run_here(&part, targets);
	CommandCounterIncrement();
}

/*
 * The column without constraints.  Identity columns have to be NOT NULL before
 * they are that.  value: rows that are there get the default all the same.
 */
static ColumnDef *
bare_column(ColumnDef *column, bool value)
{
	ColumnDef  *bare = copyObject(column);
	Oid			serial = serial_type(column->typeName);
	Constraint *generated = find_constraint(bare, CONSTR_GENERATED);
	Constraint *set = find_constraint(bare, CONSTR_DEFAULT);

	bare->constraints = NIL;
	if (OidIsValid(serial))
		bare->typeName = makeTypeNameFromOid(serial, -1);
	if (generated)
		bare->constraints = list_make1(generated);
	else if (find_constraint(column, CONSTR_IDENTITY) != NULL)
		bare->constraints = list_make2(make_constraint(CONSTR_NOTNULL, NULL),
									   make_constraint(CONSTR_DEFAULT, zero_constant()));
	else if (value && OidIsValid(serial))
		bare->constraints = list_make1(make_constraint(CONSTR_DEFAULT, zero_constant()));
	else if (value && set)
		bare->constraints = list_make1(set);
	return bare;
}

/* A serial column's sequence; returns the default that it makes. */
static Node *
make_sequence(ShoalUtility *call, Oid relid, const ColumnDef *column)
{
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	char	   *table = get_rel_name(relid);
	char	   *name = ChooseRelationName(table, column->colname, "seq",
										  get_rel_namespace(relid), false);
	TypeName   *type = makeTypeNameFromOid(serial_type(column->typeName), -1);
	List	   *owner = list_make3(makeString(schema), makeString(table),
								   makeString(column->colname));
	CreateSeqStmt *stmt = makeNode(CreateSeqStmt);
	TypeCast   *cast = makeNode(TypeCast);

	stmt->sequence = makeRangeVar(schema, name, -1);
	stmt->sequence->relpersistence = get_rel_persistence(relid);
	stmt->ownerId = shoal_objects_owner(relid);
	stmt->options = list_make2(makeDefElem("as", (Node *) type, -1),
							   makeDefElem("owned_by", (Node *) owner, -1));
	shoal_ddl_core_statement(call, (Node *) stmt);
	CommandCounterIncrement();
	cast->arg = string_constant(quote_qualified_identifier(schema, name));
	cast->typeName = SystemTypeName("regclass");
	cast->location = -1;
	return (Node *) makeFuncCall(SystemFuncName("nextval"), list_make1(cast),
								 COERCE_EXPLICIT_CALL, -1);
}

static void
make_columns(ShoalUtility *call, const ShoalTargets *targets, bool values)
{
	AlterTableStmt *stmt = (AlterTableStmt *) call->stmt;
	Oid			relid = shoal_ddl_relid(stmt->relation);
	List	   *added = NIL;
	List	   *dropped = NIL;
	List	   *given = NIL;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = copyObject(lfirst_node(AlterTableCmd, lc));

		if (cmd->subtype == AT_AddColumn)
			cmd->def = (Node *) bare_column((ColumnDef *) cmd->def, values);
		if (cmd->subtype == AT_AddColumn || cmd->subtype == AT_DropColumn)
			added = lappend(added, cmd);
	}
	alter(call, targets, added);
	foreach(lc, new_columns(stmt))
	{
		ColumnDef  *column = (ColumnDef *) lfirst(lc);
		Constraint *identity = copyObject(find_constraint(column, CONSTR_IDENTITY));
		Constraint *set = find_constraint(column, CONSTR_DEFAULT);

		if (identity)
		{
			dropped = lappend(dropped, make_command(AT_ColumnDefault, column->colname, NULL));
			/* until it is filled */
			identity->generated_when = ATTRIBUTE_IDENTITY_BY_DEFAULT;
			given = lappend(given, make_command(AT_AddIdentity, column->colname,
												(Node *) identity));
		}
		else if (OidIsValid(serial_type(column->typeName)))
			given = lappend(given, make_command(AT_ColumnDefault, column->colname,
												make_sequence(call, relid, column)));
		else if (set)
			given = lappend(given, make_command(AT_ColumnDefault, column->colname,
												copyObject(set->raw_expr)));
	}
	alter(call, targets, dropped);
	alter(call, targets, given);
	mute_triggers(relid, true);
}

static void
refuse_constraint(const ColumnDef *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot add column \"%s\" with that constraint and rows that need values",
					column->colname),
			 errhint("Add the constraint with a statement of its own.")));
}

/* A column's constraints as commands of their own. */
static List *
constraints_of(const ColumnDef *column)
{
	List	   *cmds = NIL;
	List	   *name = list_make1(makeString(column->colname));
	Constraint *last = NULL;
	ListCell   *lc;

	if (OidIsValid(serial_type(column->typeName)))
		cmds = lappend(cmds, make_command(AT_SetNotNull, column->colname, NULL));
	foreach(lc, column->constraints)
	{
		Constraint *con = copyObject(lfirst_node(Constraint, lc));

		switch (con->contype)
		{
			case CONSTR_NULL:
			case CONSTR_DEFAULT:
			case CONSTR_GENERATED:
				continue;
			case CONSTR_IDENTITY:
				if (con->generated_when == ATTRIBUTE_IDENTITY_ALWAYS)
					cmds = lappend(cmds, make_command(AT_SetIdentity, column->colname,
													  (Node *) list_make1(makeDefElem("generated",
																					  (Node *) makeInteger(con->generated_when),
																					  -1))));
				continue;
			case CONSTR_ATTR_DEFERRABLE:
				if (last)
					last->deferrable = true;
				continue;
			case CONSTR_ATTR_DEFERRED:
				if (last)
					last->deferrable = last->initdeferred = true;
				continue;
			case CONSTR_ATTR_NOT_DEFERRABLE:
			case CONSTR_ATTR_IMMEDIATE:
				continue;
			case CONSTR_NOTNULL:
				if (SHOAL_PG_MAJOR < 18 || con->conname == NULL)
				{
					cmds = lappend(cmds, make_command(AT_SetNotNull, column->colname, NULL));
					continue;
				}
				con->keys = name;
				break;
			case CONSTR_CHECK:
				break;
			case CONSTR_PRIMARY:
			case CONSTR_UNIQUE:
				con->keys = name;
				break;
			case CONSTR_FOREIGN:
				con->fk_attrs = name;
				break;
			default:
				refuse_constraint(column);
		}
		last = con;
		cmds = lappend(cmds, make_command(AT_AddConstraint, NULL, (Node *) con));
	}
	return cmds;
}

static void
finish_columns(ShoalUtility *call, const ShoalTargets *targets)
{
	AlterTableStmt *stmt = (AlterTableStmt *) call->stmt;
	List	   *cmds = NIL;
	ListCell   *lc;

	mute_triggers(shoal_ddl_relid(stmt->relation), false);
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype == AT_AddColumn)
			cmds = list_concat(cmds, constraints_of((ColumnDef *) cmd->def));
		else if (cmd->subtype != AT_DropColumn)
			cmds = lappend(cmds, copyObject(cmd));
	}
	alter(call, targets, cmds);
}

void
shoal_columns_run_step(ShoalUtility *call, const ShoalTargets *targets, int step)
{
	AlterTableStmt *stmt = (AlterTableStmt *) call->stmt;

	switch (step)
	{
		case SHOAL_COLUMNS_MAKE:
			make_columns(call, targets, false);
			break;
		case SHOAL_COLUMNS_FINISH:
			finish_columns(call, targets);
			break;
		case SHOAL_COLUMNS_ALL:
			if (get_rel_relkind(shoal_ddl_relid(stmt->relation)) != RELKIND_PARTITIONED_TABLE)
				shoal_ddl_run_here(call, targets);
			else
			{
				make_columns(call, targets, true);
				finish_columns(call, targets);
			}
			break;
		default:
			elog(ERROR, "unrecognized step: %d", step);
	}
}
