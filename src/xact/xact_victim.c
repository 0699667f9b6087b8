/*
 * xact_victim.c
 *		The backend that a deadlock over several nodes is resolved by.
 *
 * It is told in its slot.  If it waits for a node its latch is set, and the
 * wait loop raises the error.  If it waits for a lock on this node it is
 * cancelled like a statement, and that error is replaced on its way out; it
 * is cancelled only while it waits, as a cancel that comes too late would hit
 * the next statement.  Where that error passes nothing of ours (a statement that is
 * parsed or planned, triggers in COMMIT) it is replaced when it is told to the client.
 *
 * The same file keeps in the slots of sessions that coordinators have opened
 * whose sessions they are.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_health.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

PG_FUNCTION_INFO_V1(shoal_internal_victim);
PG_FUNCTION_INFO_V1(shoal_session_origins);

static ProcessUtility_hook_type previous_utility = NULL;
static emit_log_hook_type previous_emit = NULL;

/* ---- telling ---- */

/* began: when the transaction began that is meant, in microseconds of Unix. */
bool
xact_victim_tell(int pid, int64 began, const char *detail)
{
	PGPROC	   *proc = BackendPidGetProc(pid);
	XactSlot   *slot;
	bool		told = false;

	if (proc == NULL)
		return false;
	slot = &xact_shared->slots[shoal_proc_number(proc)];
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	if (slot->pid == pid && slot->xact_began == began)
	{
		told = true;
		slot->is_victim = true;
		strlcpy(slot->detail, detail, sizeof(slot->detail));
		SetLatch(&proc->procLatch);
		if (pg_atomic_read_u64(&proc->waitStart) != 0)
			(void) kill(pid, SIGINT);
	}
	LWLockRelease(xact_shared_lock);
	return told;
}

/* shoal.internal_victim(pid, began, detail) */
Datum
shoal_internal_victim(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to end another role's transaction")));
	PG_RETURN_BOOL(xact_victim_tell(PG_GETARG_INT32(0), PG_GETARG_INT64(1),
									text_to_cstring(PG_GETARG_TEXT_PP(2))));
}

/* ---- being told ---- */

/* The detail if this backend is a victim (palloc'd), else NULL. */
static char *
take_verdict(void)
{
	XactSlot   *slot = xact_slot_if_any();
	char	   *detail = NULL;

	/* no lock for a look: whoever sets it wakes us up afterwards */
	if (slot == NULL || !slot->is_victim)
		return NULL;
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	if (slot->is_victim)
		detail = MemoryContextStrdup(ErrorContext, slot->detail);
	slot->is_victim = false;
	LWLockRelease(xact_shared_lock);
	return detail;
}

void
xact_victim_check(void)
{
	char	   *detail = take_verdict();

	if (detail)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_DEADLOCK_DETECTED),
				 errmsg("deadlock detected"),
				 errdetail_internal("%s", detail)));
}

static bool
is_victim(void)
{
	XactSlot   *slot = xact_slot_if_any();

	return slot != NULL && slot->is_victim;
}

/* What a victim's cancelled statement is. */
static void
make_deadlock(ErrorData *error)
{
	char	   *detail = take_verdict();

	error->sqlerrcode = ERRCODE_T_R_DEADLOCK_DETECTED;
	error->message = pstrdup("deadlock detected");
	error->detail = detail ? pstrdup(detail) : NULL;
}

/*
 * An error is on its way.  If a cancel request is its cause, the request may
 * still arrive a second time; if that was for a victim, say so.
 */
void
xact_victim_rethrow(MemoryContext context)
{
	if (geterrcode() == ERRCODE_QUERY_CANCELED)
		shoal_remote_note_cancel();
	if (geterrcode() != ERRCODE_QUERY_CANCELED || !is_victim())
		PG_RE_THROW();
	ReThrowError(shoal_xact_catch(context));
}

ErrorData *
shoal_xact_catch(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && is_victim())
		make_deadlock(error);
	return error;
}

static void
before_emit(ErrorData *error)
{
	if (previous_emit)
		previous_emit(error);
	if (error->elevel == ERROR && error->sqlerrcode == ERRCODE_QUERY_CANCELED &&
		is_victim())
		make_deadlock(error);
}

/* ---- transactions and sessions ---- */

/* The transaction uses other nodes. */
void
xact_victim_begin(void)
{
	XactSlot   *slot = xact_slot();
	TimestampTz began = GetCurrentTransactionStartTimestamp();

	if (slot->xact_began != 0)
		return;
	slot->is_victim = false;
	slot->xact_began = began +
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

void
xact_victim_end(void)
{
	XactSlot   *slot = xact_slot_if_any();

	if (slot)
	{
		slot->xact_began = 0;
		slot->is_victim = false;
	}
}

/* This session is a coordinator's. */
void
xact_victim_note_origin(void)
{
	XactSlot   *slot;
	XactGate   *gate;

	if (xact_slot_if_any() != NULL && xact_slot_if_any()->origin_pid != 0)
		return;
	slot = xact_slot();
	gate = xact_gate();
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	slot->origin_node = shoal_origin;
	slot->origin_pid = shoal_origin_pid;
	gate->coordinated = true;
	LWLockRelease(xact_shared_lock);
}

/* shoal.session_origins(): this database's sessions that coordinators have opened */
Datum
shoal_session_origins(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			index = xact_gate() - xact_shared->gates;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < MaxBackends; i++)
	{
		XactSlot	slot;
		Datum		values[3];
		bool		nulls[3] = {false};

		LWLockAcquire(xact_shared_lock, LW_SHARED);
		slot = xact_shared->slots[i];
		LWLockRelease(xact_shared_lock);
		if (slot.pid == 0 || slot.gate != index || slot.origin_pid == 0)
			continue;
		values[0] = Int32GetDatum(slot.pid);
		values[1] = Int32GetDatum(slot.origin_node);
		values[2] = Int32GetDatum(slot.origin_pid);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Whether a session of a coordinator's is connected here. */
bool
xact_has_session(int origin_node, int origin_pid)
{
	int			index = xact_gate() - xact_shared->gates;
	bool		found = false;

	LWLockAcquire(xact_shared_lock, LW_SHARED);
	for (int i = 0; i < MaxBackends && !found; i++)
	{
		XactSlot   *slot = &xact_shared->slots[i];

		found = slot->pid != 0 && slot->gate == index &&
			slot->origin_node == origin_node && slot->origin_pid == origin_pid;
	}
	LWLockRelease(xact_shared_lock);
	return found;
}

/*
 * Names of what coordinators prepare are taken at their word, when a fault has left it
 * or a node is given up: nobody else may give such a name.
 */
static void
check_gid(const char *gid)
{
	if (strncmp(gid, "shoal_", strlen("shoal_")) == 0 && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("transaction identifier \"%s\" is reserved", gid),
				 errdetail("Names that begin with \"shoal_\" are for distributed transactions.")));
}

/* A coordinator begins or ends its session's transaction, or prepares it. */
static void
before_end(TransactionStmt *stmt, const char *query_string)
{
	xact_victim_note_origin();
	shoal_health_check_origin();
	if (stmt->kind == TRANS_STMT_BEGIN)
		xact_join_read_time(query_string);
	if (stmt->kind == TRANS_STMT_COMMIT || stmt->kind == TRANS_STMT_PREPARE ||
		stmt->kind == TRANS_STMT_SAVEPOINT)
		xact_role_leave();
	if (stmt->kind == TRANS_STMT_PREPARE)
		xact_seen_prepare(stmt->gid);
}

static void
before_command(TransactionStmt *stmt, const char *query_string)
{
	if (shoal_claimed_origin > 0 && shoal_meta_enabled() && shoal_origin > 0)
		before_end(stmt, query_string);
	else if (stmt->kind == TRANS_STMT_PREPARE && shoal_meta_enabled())
		check_gid(stmt->gid);
	if (stmt->kind == TRANS_STMT_ROLLBACK_TO)
		shoal_remote_absorb_above(1);
}

static bool
sets_snapshot(Node *stmt)
{
	return IsA(stmt, VariableSetStmt) &&
		((VariableSetStmt *) stmt)->kind == VAR_SET_MULTI &&
		strcmp(((VariableSetStmt *) stmt)->name, "TRANSACTION SNAPSHOT") == 0;
}

static TransactionStmt *
ends_prepared(Node *stmt)
{
	TransactionStmt *end = (TransactionStmt *) stmt;

	return IsA(stmt, TransactionStmt) && (end->kind == TRANS_STMT_COMMIT_PREPARED ||
										  end->kind == TRANS_STMT_ROLLBACK_PREPARED) ? end : NULL;
}

/*
 * Commands: BEGIN is the first that a node hears of a transaction, before
 * anything that could wait for a lock.
 */
static void
run_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	MemoryContext caller = CurrentMemoryContext;

	if (IsA(pstmt->utilityStmt, TransactionStmt) && IsTransactionState() &&
		!IsAbortedTransactionBlockState())
		before_command((TransactionStmt *) pstmt->utilityStmt, query_string);
	PG_TRY();
	{
		TransactionStmt *end = ends_prepared(pstmt->utilityStmt);
		bool		commits = end && end->kind == TRANS_STMT_COMMIT_PREPARED;
		uint64		fxid = end ? xact_prepared_begin(end) : 0;

		if (commits)
			xact_calm_count_commit();
		if (previous_utility)
			previous_utility(pstmt, query_string, read_only_tree, context,
							 params, env, dest, qc);
		else
			standard_ProcessUtility(pstmt, query_string, read_only_tree,
									context, params, env, dest, qc);
		if (commits)
			xact_seen_commit(end->gid);
		if (fxid != 0)
			xact_prepared_end(end, fxid);
		if (sets_snapshot(pstmt->utilityStmt))
			xact_export_import((VariableSetStmt *) pstmt->utilityStmt);
	}
	PG_CATCH();
	{
		xact_victim_rethrow(caller);
	}
	PG_END_TRY();
}

void
xact_victim_init(void)
{
	shoal_remote_on_interrupt = xact_victim_check;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = run_utility;
	previous_emit = emit_log_hook;
	emit_log_hook = before_emit;
}
