/*
 * ops_job.c
 *		Work that takes several transactions, done by a worker.
 *
 * A function can't commit, so it has a background worker do the work, waits for
 * it, and reports its error.  What is passed between them, and what the view
 * shoal.jobs shows, is in a slot in shared memory.  If the function is
 * cancelled the worker is, too; what it leaves then it undoes itself, and after
 * a crash the repair worker does (ops_copies.c).  That one has a slot for its
 * own work, which nobody waits for.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "ops/ops.h"
#include "ops/ops_job.h"

#define MAX_JOBS 64
#define TEXT_SIZE 512

extern PGDLLEXPORT void shoal_ops_worker_main(Datum arg);
extern PGDLLEXPORT Datum shoal_node_jobs(PG_FUNCTION_ARGS);

PG_FUNCTION_INFO_V1(shoal_node_jobs);

/* One job; protected by the lock. */
typedef struct JobSlot
{
	bool		used;
	Oid			dbid;
	OpsJobArgs	args;
	TimestampTz started;

	/* what it is at */
	int			group_id;
	int			shard;
	int			from_node;
	int			to_node;
	char		step[OPS_JOB_STEP];
	OpsSize		total;			/* of the copy being made */
	uint64		bytes_done;
	uint64		rows_done;
	TimestampTz step_started;

	/* what became of it */
	bool		done;
	int			count;
	int			sqlstate;		/* of its error, 0: none */
	char		message[TEXT_SIZE];
	char		detail[TEXT_SIZE];
	char		hint[TEXT_SIZE];
} JobSlot;

typedef struct JobShared
{
	JobSlot		slots[MAX_JOBS];
} JobShared;

static JobShared *jobs = NULL;
static LWLock *jobs_lock = NULL;
static JobSlot *my_job = NULL;	/* in the worker */

/* ---- shared memory ---- */

void
shoal_ops_init(void)
{
	static const ShoalShared shared = {
		.name = "shoal jobs",
		.size = sizeof(JobShared),
		.memory = (void **) &jobs,
		.lock = &jobs_lock
	};

	ops_missed_init();
	shoal_server_share(&shared);
}

/* ---- the worker ---- */

void
ops_job_begin(void)
{
	if (!shoal_xact_begin_work())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" is not created in this database",
						"shoal")));
	/* names of tables are for other nodes */
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
ops_job_commit(void)
{
	SPI_finish();
	shoal_xact_end_work();
}

void
ops_job_show(int group_id, int shard, int from_node, int to_node,
			 const char *step, const OpsSize *total)
{
	if (my_job == NULL)
		return;
	LWLockAcquire(jobs_lock, LW_EXCLUSIVE);
	my_job->group_id = group_id;
	my_job->shard = shard;
	my_job->from_node = from_node;
	my_job->to_node = to_node;
	strlcpy(my_job->step, step, sizeof(my_job->step));
	my_job->total = total ? *total : (OpsSize) {0};
	my_job->bytes_done = my_job->rows_done = 0;
	my_job->step_started = GetCurrentTimestamp();
	LWLockRelease(jobs_lock);
	if (strcmp(my_job->args.pause, step) == 0)
	{
		ops_job_begin();
		ops_job_pause(step);
		ops_job_commit();
	}
}

void
ops_job_pause(const char *point)
{
	LOCKTAG		tag;

	if (my_job == NULL || strcmp(my_job->args.pause, point) != 0)
		return;
	/* what pg_advisory_lock(0) takes */
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, 1);
	(void) LockAcquire(&tag, ShareLock, false, false);
	(void) LockRelease(&tag, ShareLock, false);
}

void
ops_job_progress(uint64 bytes, uint64 rows)
{
	if (my_job == NULL)
		return;
	LWLockAcquire(jobs_lock, LW_EXCLUSIVE);
	my_job->bytes_done += bytes;
	my_job->rows_done += rows;
	LWLockRelease(jobs_lock);
}

static void
note_error(MemoryContext context)
{
	ErrorData  *error = shoal_xact_catch(context);

	LWLockAcquire(jobs_lock, LW_EXCLUSIVE);
	my_job->sqlstate = error->sqlerrcode;
	strlcpy(my_job->message, error->message ? error->message : "", TEXT_SIZE);
	strlcpy(my_job->detail, error->detail ? error->detail : "", TEXT_SIZE);
	strlcpy(my_job->hint, error->hint ? error->hint : "", TEXT_SIZE);
	LWLockRelease(jobs_lock);
}

void
shoal_ops_worker_main(Datum arg)
{
	MemoryContext context;
	OpsJobArgs	args;
	Oid			dbid;
	volatile int count = 0;

	/* this ends the worker at once; what was begun is left to be repaired */
	pqsignal(SIGTERM, die);
	/* this is an error, after which the worker undoes it itself */
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	my_job = &jobs->slots[DatumGetInt32(arg)];
	LWLockAcquire(jobs_lock, LW_SHARED);
	args = my_job->args;
	dbid = my_job->dbid;
	LWLockRelease(jobs_lock);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(dbid, InvalidOid, 0);
	context = AllocSetContextCreate(TopMemoryContext, "Shoal job",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		count = ops_copies_do(&args);
	}
	PG_CATCH();
	{
		note_error(context);
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	LWLockAcquire(jobs_lock, LW_EXCLUSIVE);
	my_job->done = true;
	my_job->count = count;
	LWLockRelease(jobs_lock);
	proc_exit(0);
}

/* ---- who has it done ---- */

static pg_noinline int
take_slot(const OpsJobArgs *args)
{
	int			found = -1;

	LWLockAcquire(jobs_lock, LW_EXCLUSIVE);
	for (int i = 0; i < MAX_JOBS && found < 0; i++)
	{
		if (jobs->slots[i].used)
			continue;
		memset(&jobs->slots[i], 0, sizeof(JobSlot));
		jobs->slots[i].used = true;
		jobs->slots[i].dbid = MyDatabaseId;
		jobs->slots[i].args = *args;
		strlcpy(jobs->slots[i].args.pause, shoal_debug_job_pause,
				OPS_JOB_STEP);
		jobs->slots[i].started = GetCurrentTimestamp();
		found = i;
	}
	LWLockRelease(jobs_lock);
	if (found < 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many jobs run at the same time"),
				 errhint("See the view shoal.jobs.")));
	return found;
}

static void
free_slot(int code, Datum arg)
{
	LWLockAcquire(jobs_lock, LW_EXCLUSIVE);
	jobs->slots[DatumGetInt32(arg)].used = false;
	LWLockRelease(jobs_lock);
}

void
ops_job_attach(const OpsJobArgs *args)
{
	int			index = take_slot(args);

	before_shmem_exit(free_slot, Int32GetDatum(index));
	my_job = &jobs->slots[index];
}

/* Frees the slot, and raises the worker's error. */
static int
give_slot(int index)
{
	JobSlot		slot;

	LWLockAcquire(jobs_lock, LW_EXCLUSIVE);
	slot = jobs->slots[index];
	jobs->slots[index].used = false;
	LWLockRelease(jobs_lock);
	if (slot.sqlstate != 0)
		ereport(ERROR,
				(errcode(slot.sqlstate),
				 errmsg_internal("%s", slot.message),
				 slot.detail[0] ? errdetail_internal("%s", slot.detail) : 0,
				 slot.hint[0] ? errhint("%s", slot.hint) : 0));
	if (!slot.done)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("the worker that did this has ended without a word"),
				 errhint("See the server's log.")));
	return slot.count;
}

static BackgroundWorkerHandle *
start(int index)
{
	BackgroundWorkerHandle *handle;

	handle = shoal_server_start_worker("shoal job", "shoal_ops_worker_main",
									   Int32GetDatum(index));
	if (handle == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start a worker"),
				 errhint("You might need to increase max_worker_processes.")));
	return handle;
}

/* What one who waits for a worker has to end if it can't wait any more. */
typedef struct Awaited
{
	int			index;
	BackgroundWorkerHandle *handle;
} Awaited;

/* The caller ends, by an error or altogether: so does the worker. */
static void
abandon(int code, Datum arg)
{
	Awaited    *awaited = (Awaited *) DatumGetPointer(arg);
	pid_t		pid;

	if (awaited->handle)
	{
		HOLD_INTERRUPTS();
		if (GetBackgroundWorkerPid(awaited->handle, &pid) == BGWH_STARTED)
			(void) kill(pid, SIGINT);
		else
			TerminateBackgroundWorker(awaited->handle);
		(void) WaitForBackgroundWorkerShutdown(awaited->handle);
		RESUME_INTERRUPTS();
	}
	free_slot(code, Int32GetDatum(awaited->index));
}

int
ops_job_run(const OpsJobArgs *args, const char *function)
{
	Awaited		awaited = {0};

	if (IsTransactionBlock() || GetCurrentTransactionNestLevel() > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot run inside a transaction block", function)));
	awaited.index = take_slot(args);
	PG_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&awaited));
	{
		awaited.handle = start(awaited.index);
		if (WaitForBackgroundWorkerShutdown(awaited.handle) == BGWH_POSTMASTER_DIED)
			proc_exit(1);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(&awaited));
	return give_slot(awaited.index);
}

/* ---- the view ---- */

/* shoal.node_jobs(): those that this node does, in this database */
Datum
shoal_node_jobs(PG_FUNCTION_ARGS)
{
	static const char *const kinds[] = {"", "add replica", "move", "promote", "set replicas", "repair"};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz now = GetCurrentTimestamp();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < MAX_JOBS; i++)
	{
		JobSlot		slot;
		Datum		values[12];
		bool		nulls[12] = {false};
		double		seconds;
		double		rate;

		LWLockAcquire(jobs_lock, LW_SHARED);
		slot = jobs->slots[i];
		LWLockRelease(jobs_lock);
		if (!slot.used || slot.done || slot.dbid != MyDatabaseId)
			continue;
		seconds = (now - slot.step_started) / 1000000.0;
		rate = slot.step_started && seconds > 0 ? slot.bytes_done / seconds : 0;
		values[0] = CStringGetTextDatum(kinds[slot.args.kind]);
		values[1] = Int32GetDatum(slot.group_id);
		values[2] = Int32GetDatum(slot.shard);
		values[3] = Int32GetDatum(slot.from_node);
		values[4] = Int32GetDatum(slot.to_node);
		values[5] = CStringGetTextDatum(slot.step);
		values[6] = Int64GetDatum(slot.bytes_done);
		values[7] = Int64GetDatum(slot.total.bytes);
		values[8] = Int64GetDatum(slot.rows_done);
		values[9] = Int64GetDatum(slot.total.rows);
		nulls[9] = slot.total.rows == 0;
		values[10] = Float8GetDatum(rate);
		nulls[11] = rate <= 0 || slot.total.bytes < slot.bytes_done;
		values[11] = nulls[11] ? (Datum) 0 :
			TimestampTzGetDatum(now + (int64) ((slot.total.bytes - slot.bytes_done) / rate * 1000000));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
