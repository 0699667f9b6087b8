/*
 * ddl_forward.c
 *		Sending statements to the other nodes.
 *
 * A statement that changes the schema runs here first, then its own text on
 * all other nodes, in one distributed transaction.  The cluster lock keeps
 * other nodes' schema changes out; the locks that the statement needs on Shoal
 * tables are taken on all nodes before it starts (ddl_lock.c).  TRUNCATE and
 * LOCK TABLE, which are more frequent, do without the cluster lock.
 *
 * Temporary objects stay here.  Roles and the like belong to a server, so
 * statements about them run once in each.
 *
 * A session that adds or removes a node holds a lock on shoal.local_node that
 * conflicts with the one taken here (ops_node.c).
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "lib/stringinfo.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/evtcache.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "meta/meta_tables.h"
#include "scope/scope.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

/* milliseconds; see forward_with_timeout */
#define SHARED_OBJECT_TIMEOUT 10000

bool
shoal_ddl_enter_cluster(bool exclusive)
{
	Oid			relid = shoal_meta_relid(SHOAL_REL_LOCAL_NODE);
	bool		locked = false;

	for (;;)
	{
		/* in the order in which add_node takes them */
		if (exclusive && !shoal_meta_is_alone())
		{
			shoal_xact_lock_cluster();
			locked = true;
		}
		LockRelationOid(relid, RowExclusiveLock);
		if (shoal_meta_is_alone())
			return false;
		if (locked || !exclusive)
			return true;
		/* there was one node only until now */
		UnlockRelationOid(relid, RowExclusiveLock);
	}
}

char *
shoal_ddl_marked(const char *sql)
{
	return psprintf("%s %s", shoal_scope_marker(0, NULL), sql);
}

/* ---- where ---- */

/*
 * Nodes that have to be told later what is done once on each server; of those
 * of one server, one, and none if another node of it takes part.
 */
static List *
nodes_that_miss(void)
{
	List	   *nodes = shoal_meta_all_nodes();
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, nodes)
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);
		bool		done = !shoal_xact_may_miss(node);

		foreach(lc2, nodes)
		{
			const ShoalNode *other = (const ShoalNode *) lfirst(lc2);

			if (other != node && other->system_id == node->system_id &&
				(other->is_active || other->node_id < node->node_id))
				done = true;
		}
		if (!done)
			result = lappend_int(result, node->node_id);
	}
	return result;
}

static bool
is_current_database(const char *name)
{
	return strcmp(name, get_database_name(MyDatabaseId)) == 0;
}

/* Statements that name an object by its type and name. */
static ShoalReach
object_reach(ObjectType type, Node *object)
{
	switch (type)
	{
		case OBJECT_ROLE:
			return SHOAL_REACH_SERVERS;
		case OBJECT_DATABASE:
			if (object && IsA(object, String) && is_current_database(strVal(object)))
				return SHOAL_REACH_DATABASE;
			return SHOAL_REACH_HERE;
		case OBJECT_LARGEOBJECT:
		case OBJECT_SUBSCRIPTION:
		case OBJECT_TABLESPACE:
			return SHOAL_REACH_HERE;
		case OBJECT_EXTENSION:
			if (object && IsA(object, String) && strcmp(strVal(object), "shoal") == 0)
				return SHOAL_REACH_HERE;
			return SHOAL_REACH_NODES;
		default:
			return SHOAL_REACH_NODES;
	}
}

static ShoalReach
grant_reach(GrantStmt *stmt)
{
	ListCell   *lc;

	if (stmt->objtype == OBJECT_PARAMETER_ACL)
		return SHOAL_REACH_SERVERS;
	if (stmt->targtype != ACL_TARGET_OBJECT || stmt->objtype != OBJECT_DATABASE)
		return object_reach(stmt->objtype, NULL);
	if (list_length(stmt->objects) == 1)
		return object_reach(OBJECT_DATABASE, linitial(stmt->objects));
	foreach(lc, stmt->objects)
	{
		if (is_current_database(strVal(lfirst(lc))))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot grant rights on this database and others together"),
					 errhint("Use a statement of its own for database \"%s\".",
							 strVal(lfirst(lc)))));
	}
	return SHOAL_REACH_HERE;
}

ShoalReach
shoal_ddl_reach(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_AlterRoleStmt:
		case T_CreateRoleStmt:
		case T_DropRoleStmt:
		case T_GrantRoleStmt:
			return SHOAL_REACH_SERVERS;
		case T_AlterRoleSetStmt:
			if (((AlterRoleSetStmt *) stmt)->database == NULL)
				return SHOAL_REACH_SERVERS;
			return is_current_database(((AlterRoleSetStmt *) stmt)->database) ?
				SHOAL_REACH_DATABASE : SHOAL_REACH_HERE;
		case T_AlterDatabaseSetStmt:
			return is_current_database(((AlterDatabaseSetStmt *) stmt)->dbname) ?
				SHOAL_REACH_DATABASE : SHOAL_REACH_HERE;
		case T_CreateExtensionStmt:
			return strcmp(((CreateExtensionStmt *) stmt)->extname, "shoal") == 0 ?
				SHOAL_REACH_HERE : SHOAL_REACH_NODES;
		case T_CommentStmt:
			return object_reach(((CommentStmt *) stmt)->objtype,
								((CommentStmt *) stmt)->object);
		case T_SecLabelStmt:
			return object_reach(((SecLabelStmt *) stmt)->objtype,
								((SecLabelStmt *) stmt)->object);
		case T_AlterOwnerStmt:
			return object_reach(((AlterOwnerStmt *) stmt)->objectType,
								((AlterOwnerStmt *) stmt)->object);
		case T_RenameStmt:
			/* a database's name is its own */
			return object_reach(((RenameStmt *) stmt)->renameType, NULL);
		case T_DropStmt:
			return object_reach(((DropStmt *) stmt)->removeType,
								linitial(((DropStmt *) stmt)->objects));
		case T_GrantStmt:
			return grant_reach((GrantStmt *) stmt);
		default:
			return SHOAL_REACH_NODES;
	}
}

/* One node of every other server. */
static List *
other_servers(void)
{
	List	   *nodes = shoal_meta_nodes();
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, nodes)
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);
		bool		seen = false;
		ListCell   *lc2;

		foreach(lc2, nodes)
		{
			const ShoalNode *other = (const ShoalNode *) lfirst(lc2);

			if (other->system_id == node->system_id &&
				(other->is_local || other->node_id < node->node_id))
				seen = true;
		}
		if (!seen && !node->is_local)
			result = lappend_int(result, node->node_id);
	}
	return result;
}

/* ---- another database's name in a statement ---- */

/* The end of a quoted thing that starts at p. */
static const char *
skip_quoted(const char *p)
{
	char		quote = *p++;

	while (*p)
	{
		if (*p == quote && p[1] != quote)
			return p + 1;
		p += *p == quote ? 2 : 1;
	}
	return p;
}

/* White space and comments. */
static const char *
skip_blank(const char *p)
{
	for (;;)
	{
		if (isspace((unsigned char) *p))
			p++;
		else if (p[0] == '-' && p[1] == '-')
			p += strcspn(p, "\n");
		else if (p[0] == '/' && p[1] == '*')
		{
			const char *end = strstr(p + 2, "*/");

			p = end ? end + 2 : p + strlen(p);
		}
		else
			return p;
	}
}

static bool
is_word_char(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '$' || IS_HIGHBIT_SET(c);
}

static const char *
skip_word(const char *p)
{
	if (*p == '"')
		return skip_quoted(p);
	while (is_word_char(*p))
		p++;
	return p;
}

/*
 * The statement with another name where it names a database, which is after
 * the first keyword DATABASE outside of quotes.
 */
static char *
with_database_name(const char *sql, const char *dbname)
{
	const char *p = sql;

	for (;;)
	{
		const char *end;

		p = skip_blank(p);
		if (*p == '\0')
			return pstrdup(sql);
		if (*p == '\'' || *p == '"')
			p = skip_quoted(p);
		else if (!is_word_char(*p))
			p++;
		else
		{
			end = skip_word(p);
			if (end - p == 8 && pg_strncasecmp(p, "database", 8) == 0)
			{
				const char *name = skip_blank(end);

				return psprintf("%.*s%s%s", (int) (name - sql), sql,
								quote_identifier(dbname), skip_word(name));
			}
			p = end;
		}
	}
}

/* ---- sending ---- */

/*
 * REASSIGN OWNED also changes databases and tablespaces, which nodes of one
 * server share.  Then they wait for each other's transaction, which is the
 * same one and so will never end; let them give up.
 */
static void
forward_with_timeout(const char *sql)
{
	int			nestlevel = NewGUCNestLevel();

	if (LockTimeout == 0 || LockTimeout > SHARED_OBJECT_TIMEOUT)
		(void) set_config_option("lock_timeout", psprintf("%d", SHARED_OBJECT_TIMEOUT),
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, 0, false);
	shoal_xact_run(sql, NIL);
	AtEOXact_GUC(true, nestlevel);
}

static void
forward(Node *stmt, const char *sql, ShoalReach reach)
{
	List	   *servers;
	ListCell   *lc;

	switch (reach)
	{
		case SHOAL_REACH_NODES:
			/* for defaults like 'now', and what rows get by now() */
			shoal_xact_note_time();
			if (IsA(stmt, ReassignOwnedStmt))
				forward_with_timeout(shoal_ddl_marked(sql));
			else
				shoal_xact_run(shoal_ddl_marked(sql), NIL);
			break;
		case SHOAL_REACH_SERVERS:
			servers = other_servers();
			foreach(lc, nodes_that_miss())
				shoal_xact_on_missed(lfirst_int(lc), shoal_ddl_marked(sql));
			if (servers != NIL)
				shoal_xact_run(shoal_ddl_marked(sql), servers);
			break;
		case SHOAL_REACH_DATABASE:
			foreach(lc, shoal_meta_all_nodes())
			{
				const ShoalNode *node = (const ShoalNode *) lfirst(lc);
				char	   *text = shoal_ddl_marked(with_database_name(sql, node->dbname));

				if (shoal_xact_may_miss(node))
					shoal_xact_on_missed(node->node_id, text);
				if (node->is_active && !node->is_local)
					shoal_xact_run(text, list_make1_int(node->node_id));
			}
			break;
		case SHOAL_REACH_HERE:
			break;
	}
	shoal_remote_forget_statements();
}

static void
forward_all(Node *stmt, List *statements, ShoalReach reach)
{
	ListCell   *lc;

	foreach(lc, statements)
		forward(stmt, (char *) lfirst(lc), reach);
}

/* ---- what the other nodes get ---- */

/* DROP without the temporary objects among those it names. */
static char *
drop_without_temporary(DropStmt *stmt)
{
	const char *kind = NULL;
	StringInfoData sql;
	bool		first = true;
	ListCell   *lc;

	switch (stmt->removeType)
	{
		case OBJECT_FOREIGN_TABLE:
			kind = "FOREIGN TABLE";
			break;
		case OBJECT_INDEX:
			kind = "INDEX";
			break;
		case OBJECT_SEQUENCE:
			kind = "SEQUENCE";
			break;
		case OBJECT_TABLE:
			kind = "TABLE";
			break;
		case OBJECT_VIEW:
			kind = "VIEW";
			break;
		default:
			break;
	}
	if (kind == NULL)
		return NULL;
	initStringInfo(&sql);
	appendStringInfo(&sql, "DROP %s %s", kind, stmt->missing_ok ? "IF EXISTS " : "");
	foreach(lc, stmt->objects)
	{
		List	   *name = (List *) lfirst(lc);
		Oid			relid = shoal_ddl_relid(makeRangeVarFromNameList(name));

		if (OidIsValid(relid) && shoal_ddl_is_temporary(relid))
			continue;
		appendStringInfo(&sql, "%s%s", first ? "" : ", ",
						 NameListToQuotedString(name));
		first = false;
	}
	if (stmt->behavior == DROP_CASCADE)
		appendStringInfoString(&sql, " CASCADE");
	return sql.data;
}

/* Text for the other nodes; NULL if there is nothing for them to do. */
static char *
text_before(ShoalUtility *call, const ShoalTargets *targets)
{
	char	   *sql = NULL;

	if (targets->temporary == 0)
		return shoal_ddl_text(call);
	if (IsA(call->stmt, DropStmt))
		sql = drop_without_temporary((DropStmt *) call->stmt);
	if (sql == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot change temporary and other objects in one statement"),
				 errhint("Use a statement of its own for the temporary ones, which are not on other nodes.")));
	return sql;
}

/*
 * Functions that a fragment calls run on one node only, which is not where
 * the schema is changed.  Core's own and Shoal's work is either marked or
 * node-local work.
 */
static void
refuse_in_fragment(ShoalUtility *call, const ShoalTargets *targets)
{
	ShoalScope	scope;

	if (shoal_origin == 0 || shoal_scope_is_local_work() ||
		(targets->named > 0 && targets->named == targets->temporary))
		return;
	if (shoal_scope_parse(call->query_string, &scope) && scope.local)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot change the schema in a function that runs on a node's shards"),
			 errhint("Call the function outside of queries on distributed tables.")));
}

/* ---- here ---- */

/* Partitions have an owner, too, which core leaves alone. */
static void
follow_owner(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	Oid			owner = rel->rd_rel->relowner;
	ListCell   *lc;

	relation_close(rel, NoLock);
	foreach(lc, shoal_ddl_local_partitions(relid))
		ATExecChangeOwner(lfirst_oid(lc), owner, true, AccessExclusiveLock);
}

static void
follow_parent(Node *stmt, Oid relid)
{
	ListCell   *lc;

	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_INDEX)
		relid = IndexGetRelation(relid, true);
	if (!OidIsValid(relid) || !shoal_ddl_is_distributed(relid))
		return;
	if (IsA(stmt, AlterTableStmt))
	{
		foreach(lc, ((AlterTableStmt *) stmt)->cmds)
		{
			if (lfirst_node(AlterTableCmd, lc)->subtype == AT_ChangeOwner)
				follow_owner(relid);
		}
	}
	CommandCounterIncrement();
	shoal_ddl_align_names(relid);
}

/*
 * A new partition by range or list of a distributed table is split into shards
 * as well.
 */
static void
create_partition(ShoalUtility *call)
{
	CreateStmt *stmt;
	List	   *options;

	shoal_ddl_own_statement(call);
	stmt = (CreateStmt *) call->stmt;
	options = shoal_ddl_prepare_partition(stmt);
	shoal_ddl_core_local(call);
	CommandCounterIncrement();
	shoal_ddl_adopt_partition(shoal_ddl_created_relid((Node *) stmt), options);
}

static void
adopt_attached(AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		if (cmd->subtype != AT_AttachPartition || stmt->objtype != OBJECT_TABLE)
			continue;
		CommandCounterIncrement();
		shoal_ddl_adopt_partition(shoal_ddl_relid(((PartitionCmd *) cmd->def)->name),
								  NIL);
	}
}

/* DISABLE TRIGGER ALL is not about the triggers that serve replicas. */
static void
keep_mirrors(AlterTableStmt *stmt, const ShoalTargets *targets)
{
	bool		all = false;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;

		all |= type == AT_DisableTrigAll || type == AT_EnableTrigAll;
	}
	if (!all)
		return;
	CommandCounterIncrement();
	foreach(lc, targets->relids)
	{
		const ShoalTable *table = shoal_meta_table(lfirst_oid(lc));

		if (table != NULL)
			shoal_ddl_mirror_table(lfirst_oid(lc), table->group_id);
	}
}

static void
run_here(ShoalUtility *call, const ShoalTargets *targets)
{
	ListCell   *lc;

	if (IsA(call->stmt, CreateStmt) &&
		((CreateStmt *) call->stmt)->partbound != NULL)
	{
		create_partition(call);
		return;
	}

	/* the query is the user's; its rows are not made a second time */
	if (IsA(call->stmt, CreateTableAsStmt))
	{
		CreateTableAsStmt *stmt = (CreateTableAsStmt *) call->stmt;

		if (shoal_origin > 0 && !stmt->into->skipData &&
			stmt->into->rel->relpersistence != RELPERSISTENCE_TEMP)
		{
			shoal_ddl_own_statement(call);
			((CreateTableAsStmt *) call->stmt)->into->skipData = true;
		}
		shoal_ddl_core(call);
		return;
	}

	if (IsA(call->stmt, DropOwnedStmt) &&
		shoal_ddl_drop_owned((DropOwnedStmt *) call->stmt))
		return;
	if (!shoal_ddl_partitioned(call, targets))
		shoal_ddl_core_here(call);
	if (!IsA(call->stmt, AlterTableStmt) && !IsA(call->stmt, IndexStmt) &&
		!IsA(call->stmt, RenameStmt))
		return;
	if (IsA(call->stmt, AlterTableStmt))
	{
		adopt_attached((AlterTableStmt *) call->stmt);
		keep_mirrors((AlterTableStmt *) call->stmt, targets);
	}
	foreach(lc, targets->relids)
		follow_parent(call->stmt, lfirst_oid(lc));
}

void
shoal_ddl_run_here(ShoalUtility *call, const ShoalTargets *targets)
{
	int			nestlevel = shoal_ddl_forget_tablespace(call);

	run_here(call, targets);
	if (nestlevel > 0)
		AtEOXact_GUC(true, nestlevel);
}

/* ---- schema statements ---- */

/* Runs it here; statements issued meanwhile are forwarded by themselves. */
static void
run_forwarded_here(ShoalUtility *call, const ShoalTargets *targets)
{
	int			nesting = shoal_ddl_forwarding;

	shoal_ddl_forwarding = nesting + 1;
	PG_TRY();
	{
		shoal_ddl_run_here(call, targets);
	}
	PG_FINALLY();
	{
		shoal_ddl_forwarding = nesting;
	}
	PG_END_TRY();
}

/*
 * Event triggers run here only (see shoal_ddl_core_as_replica).  What they do
 * next may need on all nodes what the statement did.
 */
static bool
has_event_triggers(void)
{
	return EventCacheLookup(EVT_DDLCommandStart) != NIL ||
		EventCacheLookup(EVT_DDLCommandEnd) != NIL ||
		EventCacheLookup(EVT_SQLDrop) != NIL ||
		EventCacheLookup(EVT_TableRewrite) != NIL;
}

/* True if the object made is temporary without the statement saying so. */
static bool
turned_out_temporary(Node *stmt)
{
	Oid			relid = shoal_ddl_created_relid(stmt);

	return OidIsValid(relid) && shoal_ddl_is_temporary(relid);
}

/*
 * The definition of the table is known only when it is there.  What event triggers do
 * with it may need it on all nodes, so then it has been there before.  The call is that
 * of the statement or of an EXPLAIN of it.
 */
static void
create_table_as(ShoalUtility *call, CreateTableAsStmt *stmt,
				const ShoalTargets *targets, bool others)
{
	bool		others_first = others && has_event_triggers();
	char	   *definition;

	if (stmt->if_not_exists && OidIsValid(shoal_ddl_created_relid((Node *) stmt)))
	{
		shoal_ddl_core(call);
		return;
	}
	if (others_first &&
		(definition = shoal_ddl_definition_ahead(call, stmt)) != NULL)
		forward((Node *) stmt, definition, SHOAL_REACH_NODES);
	shoal_ddl_run_here(call, targets);
	shoal_ddl_check_after((Node *) stmt);
	if (others && !others_first && !turned_out_temporary((Node *) stmt))
		forward((Node *) stmt,
				shoal_ddl_table_definition(shoal_ddl_created_relid((Node *) stmt)),
				SHOAL_REACH_NODES);
}

/* The nodes that are told of a statement at once, but for this one. */
static List *
other_active_nodes(void)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);

		if (!node->is_local)
			result = lappend_int(result, node->node_id);
	}
	return result;
}

static void
run_step_everywhere(ShoalUtility *call, const ShoalTargets *targets, int step)
{
	int			nesting = shoal_ddl_forwarding;
	List	   *others;

	shoal_ddl_forwarding = nesting + 1;
	PG_TRY();
	{
		shoal_columns_run_step(call, targets, step);
	}
	PG_FINALLY();
	{
		shoal_ddl_forwarding = nesting;
	}
	PG_END_TRY();
	others = other_active_nodes();
	if (others != NIL)
		shoal_xact_run(psprintf("%s %s", shoal_scope_columns_marker(step),
								shoal_ddl_text(call)), others);
	shoal_remote_forget_statements();
}

/* An ALTER TABLE that adds columns which are filled from here (ddl_columns.c). */
static void
add_columns_in_steps(ShoalUtility *call, const ShoalTargets *targets)
{
	Node	   *stmt = copyObject(call->stmt);
	ListCell   *lc;

	shoal_xact_note_time();
	run_step_everywhere(call, targets, SHOAL_COLUMNS_MAKE);
	shoal_columns_fill((AlterTableStmt *) stmt);
	run_step_everywhere(call, targets, SHOAL_COLUMNS_FINISH);
	shoal_ddl_check_after(stmt);
	foreach(lc, shoal_meta_all_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);

		if (shoal_xact_may_miss(node))
			shoal_xact_on_missed(node->node_id,
								 psprintf("%s %s", shoal_scope_columns_marker(SHOAL_COLUMNS_ALL),
										  shoal_ddl_text(call)));
	}
}

/*
 * Here, and everywhere else.  Mostly here first: then an error says just what
 * it would say on one server.
 */
static void
run_everywhere(ShoalUtility *call, const ShoalTargets *targets, ShoalReach reach)
{
	bool		others = shoal_ddl_enter_cluster(true);
	bool		others_first = others && has_event_triggers();
	Node	   *stmt = copyObject(call->stmt);
	List	   *likes = NIL;
	ShoalKeyMove *move = NULL;
	char	   *sql;

	shoal_ddl_check_before(stmt, targets);
	sql = text_before(call, targets);
	if (IsA(stmt, CreateTableAsStmt) &&
		((CreateTableAsStmt *) stmt)->objtype == OBJECT_TABLE)
	{
		create_table_as(call, (CreateTableAsStmt *) call->stmt, targets, others);
		return;
	}
	if (others)
		shoal_ddl_lock_targets(stmt, targets);
	if (IsA(stmt, AlterTableStmt))
		move = shoal_keytype_begin_move((AlterTableStmt *) stmt);
	if (IsA(stmt, AlterTableStmt) &&
		shoal_columns_need_steps((AlterTableStmt *) stmt, call->query_string,
								 has_event_triggers()))
	{
		add_columns_in_steps(call, targets);
		return;
	}
	/* what LIKE has copied is known only afterwards */
	if (others && IsA(stmt, CreateStmt) &&
		!(((CreateStmt *) stmt)->if_not_exists &&
		  OidIsValid(shoal_ddl_created_relid(stmt))))
		likes = shoal_like_temporary((CreateStmt *) stmt);
	others_first &= likes == NIL;
	if (others_first)
		forward(stmt, sql, reach);
	run_forwarded_here(call, targets);
	shoal_ddl_check_after(stmt);
	if (others && !others_first &&
		!turned_out_temporary(stmt))
		forward_all(stmt, likes ? shoal_like_statements(call, (CreateStmt *) stmt, likes) :
					list_make1(sql), reach);
	if (move)
		shoal_keytype_end_move(move);
}

void
shoal_ddl_run_schema(ShoalUtility *call)
{
	ShoalTargets targets;
	ShoalReach	reach;
	ShoalScope	scope;

	/* core says no, or it is about something temporary */
	if (XactReadOnly || IsInParallelMode())
	{
		shoal_ddl_core(call);
		return;
	}
	shoal_ddl_targets(call->stmt, &targets);
	if (!shoal_ddl_is_coordinator())
	{
		refuse_in_fragment(call, &targets);
		if (shoal_origin == 0 && !shoal_scope_is_local_work() &&
			!creating_extension && !superuser())
			shoal_ddl_refuse_shards(call->stmt, &targets);
		if (IsA(call->stmt, AlterTableStmt) &&
			shoal_scope_parse(call->query_string, &scope) && scope.columns > 0)
			shoal_columns_run_step(call, &targets, scope.columns);
		else
			shoal_ddl_run_here(call, &targets);
		return;
	}
	reach = shoal_ddl_reach(call->stmt);
	if (reach == SHOAL_REACH_HERE ||
		(targets.named > 0 && targets.named == targets.temporary))
	{
		shoal_ddl_core(call);
		return;
	}
	shoal_ddl_refuse_shards(call->stmt, &targets);
	if (shoal_ddl_is_concurrent(call->stmt))
		shoal_ddl_run_concurrent(call, &targets);
	else
		run_everywhere(call, &targets, reach);
}

/* ---- EXPLAIN ---- */

/* CREATE TABLE AS and the like, if it is going to be run; else NULL. */
static CreateTableAsStmt *
created_by_explain(ExplainStmt *stmt)
{
	Query	   *query = (Query *) stmt->query;
	bool		analyze = false;
	ListCell   *lc;

	foreach(lc, stmt->options)
	{
		DefElem    *option = (DefElem *) lfirst(lc);

		if (strcmp(option->defname, "analyze") == 0)
			analyze = defGetBoolean(option);
	}
	if (!analyze || !IsA(query, Query) || query->commandType != CMD_UTILITY ||
		!IsA(query->utilityStmt, CreateTableAsStmt))
		return NULL;
	return (CreateTableAsStmt *) query->utilityStmt;
}

/* What EXPLAIN ANALYZE runs makes a table without coming by here by itself. */
void
shoal_ddl_run_explain(ShoalUtility *call)
{
	CreateTableAsStmt *stmt = created_by_explain((ExplainStmt *) call->stmt);
	ShoalTargets targets;

	if (stmt == NULL || XactReadOnly || IsInParallelMode())
	{
		shoal_ddl_core(call);
		return;
	}
	shoal_ddl_targets((Node *) stmt, &targets);
	if (!shoal_ddl_is_coordinator() ||
		(targets.named > 0 && targets.named == targets.temporary))
	{
		refuse_in_fragment(call, &targets);
		shoal_ddl_core(call);
		return;
	}
	shoal_ddl_refuse_shards((Node *) stmt, &targets);
	create_table_as(call, stmt, &targets, shoal_ddl_enter_cluster(true));
}

/* ---- TRUNCATE and LOCK TABLE ---- */

/*
 * The Shoal tables among some relations: their names, NULL if there is none,
 * and OIDs, as far as the user may lock them.
 */
static char *
shoal_tables_of(List *relations, List **relids)
{
	StringInfoData names;
	ListCell   *lc;

	*relids = NIL;
	initStringInfo(&names);
	foreach(lc, relations)
	{
		Oid			relid = shoal_ddl_relid((RangeVar *) lfirst(lc));

		if (!OidIsValid(relid) || shoal_meta_table(relid) == NULL)
			continue;
		appendStringInfo(&names, "%s%s", names.len ? ", " : "",
						 shoal_objects_relation_name(relid));
		if (pg_class_aclcheck(relid, GetUserId(),
							  ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE) == ACLCHECK_OK)
			*relids = lappend_oid(*relids, relid);
	}
	return names.len ? names.data : NULL;
}

void
shoal_ddl_run_truncate(ShoalUtility *call)
{
	TruncateStmt *stmt = (TruncateStmt *) call->stmt;
	ShoalTargets targets = {0};
	char	   *names;
	List	   *relids;
	List	   *fired;
	List	   *further;
	ListCell   *lc;

	if (shoal_origin > 0 && !shoal_scope_is_local_work())
	{
		shoal_ddl_core_as_replica(call);
		return;
	}
	if (!shoal_ddl_is_coordinator() || XactReadOnly)
	{
		shoal_ddl_core(call);
		return;
	}
	foreach(lc, stmt->relations)
	{
		Oid			relid = shoal_ddl_relid((RangeVar *) lfirst(lc));

		if (OidIsValid(relid))
			targets.relids = lappend_oid(targets.relids, relid);
	}
	shoal_ddl_refuse_shards(call->stmt, &targets);
	names = shoal_tables_of(stmt->relations, &relids);
	if (names == NULL || !shoal_ddl_enter_cluster(false))
	{
		shoal_ddl_core(call);
		return;
	}
	further = shoal_truncate_cascade(stmt);
	if (further != NIL)
	{
		call->pstmt = copyObject(call->pstmt);
		call->stmt = call->pstmt->utilityStmt;
		stmt = (TruncateStmt *) call->stmt;
		stmt->relations = list_concat(stmt->relations, further);
		names = shoal_tables_of(stmt->relations, &relids);
	}
	shoal_ddl_lock_tables(relids, AccessExclusiveLock);
	fired = shoal_truncate_fire_before(stmt);
	if (fired != NIL)
		shoal_ddl_core_as_replica(call);
	else
		shoal_ddl_core(call);
	shoal_xact_run(shoal_ddl_marked(psprintf("TRUNCATE %s%s%s", names,
											 stmt->restart_seqs ? " RESTART IDENTITY" : "",
											 stmt->behavior == DROP_CASCADE ? " CASCADE" : "")), NIL);
	shoal_truncate_fire_after(fired);
}

void
shoal_ddl_run_lock(ShoalUtility *call)
{
	LockStmt   *stmt = (LockStmt *) call->stmt;
	char	   *names = NULL;
	List	   *relids;

	/* what a query takes anyway needs no lock in advance (pg_dump does) */
	if (shoal_ddl_is_coordinator() && !XactReadOnly &&
		stmt->mode > RowExclusiveLock && IsInTransactionBlock(call->context == PROCESS_UTILITY_TOPLEVEL))
		names = shoal_tables_of(stmt->relations, &relids);
	if (names == NULL || !shoal_ddl_enter_cluster(false))
	{
		shoal_ddl_core(call);
		return;
	}
	if (!stmt->nowait)
		shoal_ddl_lock_tables(relids, stmt->mode);
	shoal_ddl_core(call);
	shoal_xact_run(shoal_ddl_marked(psprintf("LOCK TABLE %s IN %s MODE%s", names,
											 shoal_ddl_lock_mode_name(stmt->mode),
											 stmt->nowait ? " NOWAIT" : "")), NIL);
}
