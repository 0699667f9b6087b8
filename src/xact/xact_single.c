/*
 * xact_single.c
 *		Is the running statement all there is of its transaction?
 *
 * It is if the client sent it by itself: a statement of the top-level portal,
 * run by the executor directly (not by a function, trigger or utility command
 * within it), outside a transaction block, and with nothing more to come
 * before the transaction ends.  Whenever that is not sure the answer is no.
 *
 * How deep executors are nested is counted by hooks.  An error leaves the
 * count as it was where the error was raised; the end of the transaction, or
 * of the subtransaction that caught it, puts it right.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "base/base_compat.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

/*
 * From libpq/libpq.h, which can't be included everywhere: it wants headers of
 * the libraries that the server was built with.
 */
extern void pq_startmsgread(void);
extern int	pq_peekbyte(void);
extern void pq_endmsgread(void);

static ExecutorRun_hook_type previous_run = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;

static int	depth = 0;
static int	writers = 0;		/* of them, those whose statement writes; and
								 * COPY FROM */

/* the depth at which each open subtransaction was started, and the writers */
static int *depth_of_sub = NULL;
static int *writers_of_sub = NULL;
static int	max_subs = 0;

bool
shoal_xact_writes(const QueryDesc *desc)
{
	return desc->operation != CMD_SELECT || desc->plannedstmt->hasModifyingCTE;
}

static void
count_run(QueryDesc *desc, ScanDirection direction, uint64 count
		  SHOAL_EXECUTE_ONCE_PARAM)
{
	MemoryContext caller = CurrentMemoryContext;

	depth++;
	writers += shoal_xact_writes(desc);
	PG_TRY();
	{
		if (previous_run)
			previous_run(desc, direction, count SHOAL_EXECUTE_ONCE);
		else
			standard_ExecutorRun(desc, direction, count SHOAL_EXECUTE_ONCE);
	}
	PG_CATCH();
	{
		shoal_scope_explain_action(desc, caller);
		xact_victim_rethrow(caller);
	}
	PG_END_TRY();
	depth--;
	writers -= shoal_xact_writes(desc);
	xact_tell_xid();
}

/* AFTER triggers run here: at another depth than the statement itself */
static void
count_finish(QueryDesc *desc)
{
	depth += 2;
	writers += shoal_xact_writes(desc);
	if (previous_finish)
		previous_finish(desc);
	else
		standard_ExecutorFinish(desc);
	depth -= 2;
	writers -= shoal_xact_writes(desc);
	xact_tell_xid();
	shoal_session_after(desc->sourceText);
}

int
shoal_xact_depth(void)
{
	return depth;
}

int
shoal_xact_writers(void)
{
	return writers;
}

void
shoal_xact_enter_copy(void)
{
	writers++;
}

void
shoal_xact_leave_copy(void)
{
	writers--;
}

void
xact_single_reset(void)
{
	depth = 0;
	writers = 0;
}

void
xact_single_start_sub(void)
{
	int			level = GetCurrentTransactionNestLevel();

	if (level >= max_subs)
	{
		int			max = Max(16, level * 2);

		if (depth_of_sub == NULL)
		{
			depth_of_sub = MemoryContextAllocZero(TopMemoryContext,
												  max * sizeof(int));
			writers_of_sub = MemoryContextAllocZero(TopMemoryContext,
													max * sizeof(int));
		}
		else
		{
			depth_of_sub = repalloc(depth_of_sub, max * sizeof(int));
			writers_of_sub = repalloc(writers_of_sub, max * sizeof(int));
		}
		max_subs = max;
	}
	depth_of_sub[level] = depth;
	writers_of_sub[level] = writers;
}

void
xact_single_abort_sub(void)
{
	int			level = GetCurrentTransactionNestLevel();

	if (level < max_subs)
	{
		depth = depth_of_sub[level];
		writers = writers_of_sub[level];
	}
}

/* The client has sent the message that ends the transaction already. */
static bool
sync_is_next(void)
{
	int			type;

	if (whereToSendOutput != DestRemote || !shoal_client_data_buffered())
		return false;
	/* there is a byte in the buffer, so this does not wait */
	pq_startmsgread();
	type = pq_peekbyte();
	pq_endmsgread();
	return type == 'S';
}

bool
shoal_xact_is_single(void)
{
	Portal		portal = ActivePortal;
	bool		simple_protocol;

	if (depth != 1 || portal == NULL || portal->name[0] != '\0' ||
		list_length(portal->stmts) != 1 ||
		linitial_node(PlannedStmt, portal->stmts)->commandType == CMD_UTILITY)
		return false;
	if (GetCurrentTransactionNestLevel() != 1 || IsTransactionBlock() ||
		(MyXactFlags & XACT_FLAGS_PIPELINING) ||
		XactIsoLevel != XACT_READ_COMMITTED || XactReadOnly ||
		TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	/* the simple protocol's portal is hidden, those of Bind are not */
	simple_protocol = !portal->visible;
	return simple_protocol || sync_is_next();
}

void
xact_single_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = count_run;
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = count_finish;
}
