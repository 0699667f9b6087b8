/*
 * ddl_hook.c
 *		The utility hook.
 *
 * Every statement that is not a query comes by here.  By its node tag it is
 * sorted into a few classes, each with a handler; those that neither change
 * the schema nor touch Shoal tables' storage go straight on.  So do the parts
 * of a statement, which core hands in one by one: the whole one is what is
 * forwarded.
 *
 * In a session of a coordinator (shoal.origin) and inside node-local work the
 * handlers run the statement here only, but with everything that a
 * statement on a distributed table needs on each node.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

static ProcessUtility_hook_type prev_process_utility = NULL;

int			shoal_ddl_forwarding = 0;

typedef void (*Handler) (ShoalUtility *call);

/* ---- going on ---- */

void
shoal_ddl_core(ShoalUtility *call)
{
	ProcessUtility_hook_type run = prev_process_utility ?
		prev_process_utility : standard_ProcessUtility;

	run(call->pstmt, call->query_string, call->read_only_tree, call->context,
		call->params, call->query_env, call->dest, call->qc);
}

void
shoal_ddl_core_local(ShoalUtility *call)
{
	shoal_scope_enter_local();
	shoal_ddl_core(call);
	shoal_scope_leave_local();
}

/*
 * What the user's triggers and event triggers do must be done once, by where
 * the statement was issued, unless they are ENABLE ALWAYS.  That is what this
 * setting is for.
 */
void
shoal_ddl_core_as_replica(ShoalUtility *call)
{
	int			nestlevel = NewGUCNestLevel();

	(void) set_config_option("session_replication_role", "replica",
							 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	shoal_ddl_core_local(call);
	AtEOXact_GUC(true, nestlevel);
}

static bool
has_foreign_key(List *constraints)
{
	ListCell   *lc;

	foreach(lc, constraints)
	{
		if (IsA(lfirst(lc), Constraint) &&
			lfirst_node(Constraint, lc)->contype == CONSTR_FOREIGN)
			return true;
	}
	return false;
}

/*
 * Validating a foreign key takes a query, about the rows that are here.  What
 * event triggers do meanwhile is about these, too, so this is not done for
 * other statements.
 */
static bool
may_validate(AlterTableStmt *stmt)
{
	Oid			relid = shoal_ddl_relid(stmt->relation);
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		switch (cmd->subtype)
		{
			case AT_AddColumn:
				if (has_foreign_key(((ColumnDef *) cmd->def)->constraints))
					return true;
				break;
			case AT_AddConstraint:
				if (has_foreign_key(list_make1(cmd->def)))
					return true;
				break;
			case AT_AlterColumnType:
			case AT_AttachPartition:
			case AT_ValidateConstraint:
				if (OidIsValid(relid) && shoal_ddl_foreign_keys(relid) != NIL)
					return true;
				break;
			default:
				break;
		}
	}
	return false;
}

void
shoal_ddl_core_here(ShoalUtility *call)
{
	if (shoal_origin > 0 && !shoal_ddl_is_concurrent(call->stmt))
		shoal_ddl_core_as_replica(call);
	else if (shoal_origin > 0 ||
			 (IsA(call->stmt, AlterTableStmt) &&
			  may_validate((AlterTableStmt *) call->stmt)))
		shoal_ddl_core_local(call);
	else
		shoal_ddl_core(call);
}

void
shoal_ddl_core_statement(ShoalUtility *call, Node *stmt)
{
	ShoalUtility other = *call;

	other.pstmt = makeNode(PlannedStmt);
	other.pstmt->commandType = CMD_UTILITY;
	other.pstmt->canSetTag = false;
	other.pstmt->utilityStmt = stmt;
	other.pstmt->stmt_location = call->pstmt->stmt_location;
	other.pstmt->stmt_len = call->pstmt->stmt_len;
	other.stmt = stmt;
	other.read_only_tree = false;
	other.dest = None_Receiver;
	other.qc = NULL;
	shoal_ddl_core_local(&other);
}

void
shoal_ddl_own_statement(ShoalUtility *call)
{
	if (!call->read_only_tree)
		return;
	call->pstmt = copyObject(call->pstmt);
	call->stmt = call->pstmt->utilityStmt;
	call->read_only_tree = false;
}

bool
shoal_ddl_is_coordinator(void)
{
	return shoal_origin == 0 && shoal_forward_ddl && !creating_extension &&
		(!shoal_scope_is_local_work() || shoal_ddl_forwarding > 0);
}

char *
shoal_ddl_text(ShoalUtility *call)
{
	const char *start = call->query_string;
	int			len = call->pstmt->stmt_len;

	if (call->pstmt->stmt_location > 0)
		start += call->pstmt->stmt_location;
	return len > 0 ? pnstrdup(start, len) : pstrdup(start);
}

static void
run_discard(ShoalUtility *call)
{
	DiscardMode target = ((DiscardStmt *) call->stmt)->target;

	shoal_ddl_core(call);
	if (target == DISCARD_ALL || target == DISCARD_SEQUENCES)
		shoal_currval_discard();
}

/* ---- dispatch ---- */

/* Who handles a kind of statement; NULL: nobody here. */
static Handler
handler_of(NodeTag tag)
{
	switch (tag)
	{
		case T_CopyStmt:
			return shoal_ddl_run_copy;
		case T_TruncateStmt:
			return shoal_ddl_run_truncate;
		case T_LockStmt:
			return shoal_ddl_run_lock;
		case T_VacuumStmt:
			return shoal_ddl_run_vacuum;
		case T_ClusterStmt:
			return shoal_ddl_run_cluster;
		case T_ReindexStmt:
			return shoal_ddl_run_reindex;
		case T_ExplainStmt:
			return shoal_ddl_run_explain;
		case T_ConstraintsSetStmt:
			return shoal_ddl_run_set_constraints;
		case T_DiscardStmt:
			return run_discard;
		case T_ListenStmt:
		case T_NotifyStmt:
		case T_UnlistenStmt:
		case T_VariableSetStmt:
			return shoal_origin > 0 ? shoal_ddl_run_session : NULL;

			/* objects of this database */
		case T_AlterCollationStmt:
		case T_AlterDefaultPrivilegesStmt:
		case T_AlterDomainStmt:
		case T_AlterEnumStmt:
		case T_AlterEventTrigStmt:
		case T_AlterExtensionContentsStmt:
		case T_AlterExtensionStmt:
		case T_AlterFdwStmt:
		case T_AlterForeignServerStmt:
		case T_AlterFunctionStmt:
		case T_AlterObjectDependsStmt:
		case T_AlterObjectSchemaStmt:
		case T_AlterOpFamilyStmt:
		case T_AlterOperatorStmt:
		case T_AlterOwnerStmt:
		case T_AlterPolicyStmt:
		case T_AlterPublicationStmt:
		case T_AlterSeqStmt:
		case T_AlterStatsStmt:
		case T_AlterTSConfigurationStmt:
		case T_AlterTSDictionaryStmt:
		case T_AlterTableMoveAllStmt:
		case T_AlterTableStmt:
		case T_AlterTypeStmt:
		case T_AlterUserMappingStmt:
		case T_CommentStmt:
		case T_CompositeTypeStmt:
		case T_CreateAmStmt:
		case T_CreateCastStmt:
		case T_CreateConversionStmt:
		case T_CreateDomainStmt:
		case T_CreateEnumStmt:
		case T_CreateEventTrigStmt:
		case T_CreateExtensionStmt:
		case T_CreateFdwStmt:
		case T_CreateForeignServerStmt:
		case T_CreateForeignTableStmt:
		case T_CreateFunctionStmt:
		case T_CreateOpClassStmt:
		case T_CreateOpFamilyStmt:
		case T_CreatePLangStmt:
		case T_CreatePolicyStmt:
		case T_CreatePublicationStmt:
		case T_CreateRangeStmt:
		case T_CreateSchemaStmt:
		case T_CreateSeqStmt:
		case T_CreateStatsStmt:
		case T_CreateStmt:
		case T_CreateTableAsStmt:
		case T_CreateTransformStmt:
		case T_CreateTrigStmt:
		case T_CreateUserMappingStmt:
		case T_DefineStmt:
		case T_DropOwnedStmt:
		case T_DropStmt:
		case T_DropUserMappingStmt:
		case T_GrantStmt:
		case T_ImportForeignSchemaStmt:
		case T_IndexStmt:
		case T_ReassignOwnedStmt:
		case T_RenameStmt:
		case T_RuleStmt:
		case T_SecLabelStmt:
		case T_ViewStmt:

			/* objects that databases of one server share */
		case T_AlterDatabaseSetStmt:
		case T_AlterRoleSetStmt:
		case T_AlterRoleStmt:
		case T_CreateRoleStmt:
		case T_DropRoleStmt:
		case T_GrantRoleStmt:
			return shoal_ddl_run_schema;

			/*
			 * The rest neither changes the schema nor touches tables: SET,
			 * SHOW, transaction control, cursors, PREPARE, LISTEN, LOAD, DO
			 * and CALL (whose statements come by one by one) and so on; or
			 * belongs to one node: databases, tablespaces, ALTER SYSTEM,
			 * CHECKPOINT, subscriptions (each would subscribe again), and
			 * REFRESH MATERIALIZED VIEW, whose rows are the node's own.
			 */
		default:
			return NULL;
	}
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *qc)
{
	ShoalUtility call = {
		pstmt, pstmt->utilityStmt, query_string, read_only_tree, context,
		params, query_env, dest, qc
	};
	Handler		handler = NULL;

	if (context != PROCESS_UTILITY_SUBCOMMAND)
		handler = handler_of(nodeTag(pstmt->utilityStmt));

	/* IsTransactionState: core has the right words for an aborted one */
	if (handler != NULL && IsTransactionState() && !RecoveryInProgress() &&
		shoal_meta_enabled())
	{
		if (!shoal_scope_is_local_work())
			shoal_ddl_forget_only(&call);
		handler(&call);
	}
	else
		shoal_ddl_core(&call);
	shoal_session_after(query_string);
}

void
shoal_ddl_init(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	shoal_ddl_drop_init();
}
