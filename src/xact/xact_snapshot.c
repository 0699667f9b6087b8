/*
 * xact_snapshot.c
 *		Snapshots that are taken at a moment and used later.
 *
 * On a node: the coordinator's command, sent ahead of the fragments, takes the
 * snapshot, says so at once by a parameter status message (so that the moment
 * can end, however long the fragments run), and keeps it until the
 * transaction ends or the coordinator has no statement left that began so
 * early.  A fragment whose marker says "held" is executed with the one that
 * was taken or asked for last.  In REPEATABLE READ there is just the
 * transaction's, which the command makes core take; what it keeps is a copy that
 * does not see what later commands of the transaction do.
 *
 * On the coordinator: the snapshot of a statement that core has taken before
 * the moment is replaced by one of the moment, before the statement runs.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "base/base_compat.h"
#include "base/base_messages.h"
#include "base/base_settings.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

PG_FUNCTION_INFO_V1(shoal_internal_snapshot);
PG_FUNCTION_INFO_V1(shoal_internal_snapshot_use);
PG_FUNCTION_INFO_V1(shoal_internal_snapshot_export);
PG_FUNCTION_INFO_V1(shoal_internal_snapshot_import);

/* cost of a plan whose first rows may take longer than a message */
#define LONG_PLAN	5000.0

/* a snapshot that is kept here for a coordinator */
typedef struct KeptSnapshot
{
	uint64		moment;
	Snapshot	snapshot;		/* registered on the transaction's owner */
} KeptSnapshot;

static KeptSnapshot *kept = NULL;	/* in TopMemoryContext */
static int	nkept = 0;
static int	max_kept = 0;
static Snapshot in_use = NULL;	/* one of them */

/* Tells the coordinator that the snapshot of a moment is taken. */
static void
tell_moment(uint64 moment)
{
	StringInfoData buf;
	char		number[24];

	snprintf(number, sizeof(number), UINT64_FORMAT, moment);
	pq_beginmessage(&buf, 'S');
	pq_sendstring(&buf, SHOAL_MOMENT_STATUS);
	pq_sendstring(&buf, number);
	pq_endmessage(&buf);
	(void) pq_flush();
}

static void
drop_kept(uint64 before)
{
	int			n = 0;

	for (int i = 0; i < nkept; i++)
	{
		if (kept[i].moment >= before)
			kept[n++] = kept[i];
		else
		{
			if (kept[i].snapshot == in_use)
				in_use = NULL;
			UnregisterSnapshotFromOwner(kept[i].snapshot,
										TopTransactionResourceOwner);
		}
	}
	nkept = n;
}

static void
keep_snapshot(uint64 moment, Snapshot snapshot)
{
	if (nkept == max_kept)
	{
		int			max = Max(8, max_kept * 2);

		if (kept == NULL)
			kept = MemoryContextAlloc(TopMemoryContext,
									  max * sizeof(KeptSnapshot));
		else
			kept = repalloc(kept, max * sizeof(KeptSnapshot));
		max_kept = max;
	}
	in_use = RegisterSnapshotOnOwner(snapshot, TopTransactionResourceOwner);
	kept[nkept].moment = moment;
	kept[nkept++].snapshot = in_use;
}

static Snapshot
find_kept(uint64 moment)
{
	for (int i = 0; i < nkept; i++)
	{
		if (kept[i].moment == moment)
			return kept[i].snapshot;
	}
	return NULL;
}

static void __attribute__((noreturn))
raise_gone(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("snapshot of the statement is not there any more"),
			 errhint("Run the transaction again.")));
}

/* shoal.internal_snapshot(moment, oldest moment that is still needed) */
Datum
shoal_internal_snapshot(PG_FUNCTION_ARGS)
{
	uint64		moment = (uint64) PG_GETARG_INT64(0);

	shoal_xact_check_internal();
	drop_kept((uint64) PG_GETARG_INT64(1));
	keep_snapshot(moment, GetActiveSnapshot());
	xact_calm_tell(GetActiveSnapshot());
	tell_moment(moment);
	PG_RETURN_VOID();
}

/* shoal.internal_snapshot_use(moment): for the fragments that follow */
Datum
shoal_internal_snapshot_use(PG_FUNCTION_ARGS)
{
	shoal_xact_check_internal();
	in_use = find_kept((uint64) PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}

/* ---- the same snapshot in several sessions ---- */

/*
 * shoal.internal_snapshot_export(moment): this transaction's id, which keeps the
 * rows from VACUUM, and core's form of the snapshot
 */
Datum
shoal_internal_snapshot_export(PG_FUNCTION_ARGS)
{
	Snapshot	snapshot;
	VirtualTransactionId head;
	Size		size;
	bytea	   *result;

	shoal_xact_check_internal();
	snapshot = find_kept((uint64) PG_GETARG_INT64(0));

	/* another session could not know that this transaction is not over */
	if (snapshot == NULL || TransactionIdIsValid(GetTopTransactionIdIfAny()))
		raise_gone();
	GET_VXID_FROM_PGPROC(head, *MyProc);
	size = EstimateSnapshotSpace(snapshot);
	result = palloc(VARHDRSZ + sizeof(head) + size);
	SET_VARSIZE(result, VARHDRSZ + sizeof(head) + size);
	memcpy(VARDATA(result), &head, sizeof(head));
	SerializeSnapshot(snapshot, VARDATA(result) + sizeof(head));
	PG_RETURN_BYTEA_P(result);
}

/* shoal.internal_snapshot_import(moment, oldest needed, snapshot) */
Datum
shoal_internal_snapshot_import(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(2);
	VirtualTransactionId head;
	Size		size;
	char	   *copy;
	Snapshot	snapshot;

	shoal_xact_check_internal();
	if (VARSIZE_ANY_EXHDR(data) < sizeof(head))
		raise_gone();
	size = VARSIZE_ANY_EXHDR(data) - sizeof(head);
	memcpy(&head, VARDATA_ANY(data), sizeof(head));
	copy = palloc(size);
	memcpy(copy, VARDATA_ANY(data) + sizeof(head), size);
	snapshot = RestoreSnapshot(copy);

	/* if this session's own is not newer, VACUUM leaves it the rows already */
	if (TransactionIdPrecedes(snapshot->xmin, MyProc->xmin) &&
		!ProcArrayInstallImportedXmin(snapshot->xmin, &head))
		raise_gone();
	drop_kept((uint64) PG_GETARG_INT64(1));
	keep_snapshot((uint64) PG_GETARG_INT64(0), snapshot);
	PG_RETURN_VOID();
}

/* The transaction commits or is prepared: core wants to see nothing left. */
void
xact_snapshot_release(void)
{
	drop_kept(PG_UINT64_MAX);
	in_use = NULL;
}

/* It aborts: core takes care of them. */
void
xact_snapshot_forget(void)
{
	nkept = 0;
	in_use = NULL;
}

/*
 * Makes a statement that is about to start use a snapshot: the statement's
 * own, and the active one if that is the same.
 */
static void
replace_snapshot(QueryDesc *desc, Snapshot snapshot)
{
	bool		is_active = ActiveSnapshotSet() &&
		GetActiveSnapshot() == desc->snapshot;

	if (is_active)
	{
		PopActiveSnapshot();
		PushActiveSnapshot(snapshot);
		snapshot = GetActiveSnapshot();
	}
	UnregisterSnapshot(desc->snapshot);
	desc->snapshot = RegisterSnapshot(snapshot);
}

bool
shoal_snapshot_for_fragment(QueryDesc *desc)
{
	ShoalSnapshotKind kind;

	if (IsParallelWorker())
		return false;
	xact_victim_note_origin();
	kind = shoal_scope_snapshot(desc->sourceText);
	if (kind == SHOAL_SNAPSHOT_CALM)
	{
		xact_calm_tell(desc->snapshot);
		/* the coordinator is not to wait long for what may be in vain */
		if (desc->plannedstmt->planTree->total_cost > LONG_PLAN)
			(void) pq_flush();
	}
	if (kind == SHOAL_SNAPSHOT_LATE)
		replace_snapshot(desc, GetLatestSnapshot());
	if (kind != SHOAL_SNAPSHOT_HELD)
		return false;
	if (in_use == NULL)
		raise_gone();
	replace_snapshot(desc, in_use);
	return true;
}

void
shoal_snapshot_renew(QueryDesc *desc)
{
	if (desc->snapshot != InvalidSnapshot)
		replace_snapshot(desc, GetTransactionSnapshot());
}

Snapshot
shoal_snapshot_now(ResourceOwner owner)
{
	Snapshot	snapshot;

	PushCopiedSnapshot(GetTransactionSnapshot());
	snapshot = RegisterSnapshotOnOwner(GetActiveSnapshot(), owner);
	PopActiveSnapshot();
	return snapshot;
}

/*
 * Makes the transaction's snapshot (REPEATABLE READ), which nothing has been
 * read with, one of now.  Core offers no way to take another, so it is changed
 * in place.  Its xmin stays: core sorts registered snapshots by it, and a
 * lower one means no more than that more transactions are looked up in the
 * list of those that ran.
 */
void
xact_snapshot_renew_transaction(void)
{
	Snapshot	old = GetTransactionSnapshot();
	Snapshot	now = GetLatestSnapshot();
	MemoryContext context = MemoryContextSwitchTo(TopTransactionContext);
	TransactionId *xip = palloc(sizeof(TransactionId) * Max(now->xcnt, 1));
	TransactionId *subxip = palloc(sizeof(TransactionId) * Max(now->subxcnt, 1));

	memcpy(xip, now->xip, sizeof(TransactionId) * now->xcnt);
	/* like core, which leaves them out when they are of no use */
	if (now->subxcnt > 0)
		memcpy(subxip, now->subxip, sizeof(TransactionId) * now->subxcnt);
	MemoryContextSwitchTo(context);
	old->xmax = now->xmax;
	old->xip = xip;
	old->xcnt = now->xcnt;
	old->subxip = subxip;
	old->subxcnt = now->subxcnt;
	old->suboverflowed = now->suboverflowed;
	old->snapXactCompletionCount = 0;
}
