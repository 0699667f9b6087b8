/*
 * xact_worker.c
 *		Recovery and deadlock checks without anybody's help.
 *
 * One process per server, the launcher, looks which of its databases have
 * something to settle and starts a worker there, which does what
 * shoal.recover_prepared_transactions() does and ends.  Likewise it starts one
 * where a deadlock has to be looked for (xact_deadlock.c).  For recovery, a database is visited
 * when the server has started, soon after a fault, and for a while after it
 * again and again, as what a broken connection carried may arrive late; else
 * now and then.  No process stays connected to a database, where it would be
 * in the way of DROP DATABASE.
 *
 * The worker connects to nodes as the owner of the extension.  What it can't
 * settle it leaves for the next time.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "xact/xact.h"
#include "xact/xact_health.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

/* a fault's consequences are over after so many seconds */
#define FAULT_TIME		30

/* without a fault, a visit every so many intervals */
#define QUIET_INTERVALS	12

/*
 * Milliseconds between visits while something is in doubt: as long as clients may
 * be waiting for it (see shoal.commit_wait), and later.  A visit begins with the
 * next look after that.
 */
#define SOON_TIME		10000
#define SOON_INTERVAL	200
#define DOUBT_INTERVAL	1000

extern PGDLLEXPORT void shoal_xact_launcher_main(Datum arg);
extern PGDLLEXPORT void shoal_xact_worker_main(Datum arg);

/* what a worker is for */
typedef enum WorkerTask
{
	WORKER_RECOVERY,
	WORKER_DEADLOCK,
	WORKER_MONITOR				/* ops_monitor.c; it stays */
} WorkerTask;

#define WORKER_TASKS	3

/* milliseconds between looks for waits that take long */
#define LOOK_INTERVAL	250

/* milliseconds between looks for deadlocks while somebody waits */
#define CHECK_INTERVAL	400

void		(*shoal_xact_on_visit) (void) = NULL;

/* the workers that the launcher has started, by gate */
static BackgroundWorkerHandle *handles[XACT_MAX_GATES][WORKER_TASKS];

/* ---- the launcher ---- */

/* Makes a gate of each database: what was left there is not known yet. */
static void
find_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database db = (Form_pg_database) GETSTRUCT(tuple);

		if (db->datallowconn && !db->datistemplate)
			xact_gate_add(db->oid);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

/* Whether it is time to visit; with the lock held. */
static bool
is_due(XactGate *gate, TimestampTz now)
{
	int			interval = shoal_recovery_interval * 1000;

	if (!OidIsValid(gate->dbid))
		return false;
	if (gate->visited == 0 || gate->doubted > gate->visited)
		return true;
	if (gate->doubts != gate->settled)
		interval = Min(interval,
					   TimestampDifferenceExceeds(gate->doubted, now, SOON_TIME) ?
					   DOUBT_INTERVAL : SOON_INTERVAL);
	else if (TimestampDifferenceExceeds(gate->doubted, now, FAULT_TIME * 1000))
		interval *= QUIET_INTERVALS;
	return TimestampDifferenceExceeds(gate->visited, now, interval);
}

static void
start_worker(int index, WorkerTask task)
{
	static const char *const names[] = {"shoal recovery", "shoal deadlock check", "shoal monitor"};
	static const char *const functions[] = {"shoal_xact_worker_main",
	"shoal_xact_worker_main", "shoal_ops_monitor_main"};

	handles[index][task] =
		shoal_server_start_worker(names[task], functions[task],
								  task == WORKER_MONITOR ?
								  ObjectIdGetDatum(xact_shared->gates[index].dbid) :
								  Int32GetDatum(index * WORKER_TASKS + task));
}

static bool
database_exists(Oid dbid)
{
	bool		result;

	StartTransactionCommand();
	result = SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(dbid));
	CommitTransactionCommand();
	return result;
}

/* Whether a worker that was started runs still. */
static bool
is_at_work(int index, WorkerTask task)
{
	BackgroundWorkerHandle **handle = &handles[index][task];
	pid_t		pid;

	if (*handle && GetBackgroundWorkerPid(*handle, &pid) == BGWH_STOPPED)
	{
		pfree(*handle);
		*handle = NULL;
	}
	return *handle != NULL;
}

/* Starts the workers that are due. */
static void
start_due(void)
{
	TimestampTz now = GetCurrentTimestamp();

	xact_deadlock_look();
	for (int i = 0; i < XACT_MAX_GATES; i++)
	{
		XactGate   *gate = &xact_shared->gates[i];
		bool		visit = false;
		bool		check = false;

		if (!is_at_work(i, WORKER_RECOVERY))
		{
			LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
			visit = gate->visiting = is_due(gate, now);
			if (visit)
				gate->visited = now;
			LWLockRelease(xact_shared_lock);
		}
		if (visit && !database_exists(gate->dbid))
		{
			(void) xact_sealed_write(gate->dbid, NULL, 0);
			xact_gate_remove(gate);
		}
		else if (visit)
			start_worker(i, WORKER_RECOVERY);
		if (!is_at_work(i, WORKER_DEADLOCK))
		{
			check = gate->waits &&
				TimestampDifferenceExceeds(gate->checked, now, CHECK_INTERVAL);
			gate->waits = false;
			if (check)
				gate->checked = now;
		}
		if (check)
			start_worker(i, WORKER_DEADLOCK);
		if (!is_at_work(i, WORKER_MONITOR) && OidIsValid(gate->dbid) &&
			xact_health_is_wanted(i))
			start_worker(i, WORKER_MONITOR);
	}
}

static void
launcher_ends(int code, Datum arg)
{
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	xact_shared->launcher_latch = NULL;
	LWLockRelease(xact_shared_lock);
}

void
shoal_xact_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(launcher_ends, (Datum) 0);
	LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
	xact_shared->launcher_latch = MyLatch;
	LWLockRelease(xact_shared_lock);

	find_databases();
	while (!ShutdownRequestPending)
	{
		start_due();
		shoal_server_pause(LOOK_INTERVAL);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	proc_exit(0);
}

/* ---- a worker ---- */

bool
shoal_xact_begin_work(void)
{
	bool		enabled;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	enabled = shoal_meta_enabled();
	if (enabled)
		SetUserIdAndSecContext(shoal_meta_owner(), SECURITY_LOCAL_USERID_CHANGE);
	return enabled;
}

void
shoal_xact_end_work(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	SetUserIdAndSecContext(GetSessionUserId(), 0);
}

/* Returns true if nothing of this database's is in doubt any more. */
static bool
do_task(WorkerTask task)
{
	bool		settled = true;
	ListCell   *lc;

	/* this tells whether there are replicas */
	foreach(lc, shoal_meta_group_ids())
		(void) shoal_meta_find_group(lfirst_int(lc));
	if (shoal_xact_is_copy())
		return false;
	if (task == WORKER_DEADLOCK)
		xact_deadlock_check();
	else
	{
		if (shoal_xact_on_visit)
			shoal_xact_on_visit();
		(void) xact_recover(&settled);
	}
	return settled;
}

void
shoal_xact_worker_main(Datum arg)
{
	XactGate   *gate = &xact_shared->gates[DatumGetInt32(arg) / WORKER_TASKS];
	WorkerTask	task = DatumGetInt32(arg) % WORKER_TASKS;
	uint64		doubts;
	Oid			dbid;
	bool		ours;
	bool		settled;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	LWLockAcquire(xact_shared_lock, LW_SHARED);
	doubts = gate->doubts;
	dbid = gate->dbid;
	LWLockRelease(xact_shared_lock);
	if (!OidIsValid(dbid))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(dbid, InvalidOid, 0);

	ours = shoal_xact_begin_work() && shoal_meta_local_node_id() != 0;
	settled = !ours || do_task(task);
	shoal_xact_end_work();
	if (settled && task == WORKER_RECOVERY)
	{
		LWLockAcquire(xact_shared_lock, LW_EXCLUSIVE);
		gate->settled = Max(gate->settled, doubts);
		LWLockRelease(xact_shared_lock);
	}
	/* nobody is to come here again until it is one */
	if (!ours)
		xact_gate_remove(gate);
	proc_exit(0);
}

void
xact_worker_init(void)
{
	BackgroundWorker worker;

	shoal_server_describe_worker(&worker, "shoal launcher",
								 "shoal_xact_launcher_main", (Datum) 0);
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);
}
