/*
 * base_server.c
 *		What modules have of the server: shared memory, background workers,
 *		pauses, and errors that don't end a transaction.
 *
 * Modules describe the shared memory that they want when the library is
 * preloaded; all of it is requested and set up in one place.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/base_compat.h"
#include "base/base_server.h"

#define MAX_SHARED	8

static const ShoalShared *shares[MAX_SHARED];
static int	nshares = 0;
static shmem_request_hook_type previous_request = NULL;
static shmem_startup_hook_type previous_startup = NULL;

static Size
size_of(const ShoalShared *shared)
{
	return add_size(shared->size, mul_size(shared->per_backend, MaxBackends));
}

static void
request(void)
{
	if (previous_request)
		previous_request();
	for (int i = 0; i < nshares; i++)
	{
		RequestAddinShmemSpace(size_of(shares[i]));
		if (shares[i]->lock)
			RequestNamedLWLockTranche(shares[i]->name, 1);
	}
}

static void
startup(void)
{
	if (previous_startup)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < nshares; i++)
	{
		const ShoalShared *shared = shares[i];
		bool		found;

		*shared->memory = ShmemInitStruct(shared->name, size_of(shared), &found);
		if (shared->lock)
			*shared->lock = &GetNamedLWLockTranche(shared->name)->lock;
		if (found)
			continue;
		memset(*shared->memory, 0, size_of(shared));
		if (shared->init)
			shared->init();
	}
	LWLockRelease(AddinShmemInitLock);
}

void
shoal_server_share(const ShoalShared *shared)
{
	if (nshares == 0)
	{
		previous_request = shmem_request_hook;
		shmem_request_hook = request;
		previous_startup = shmem_startup_hook;
		shmem_startup_hook = startup;
	}
	Assert(nshares < MAX_SHARED);
	shares[nshares++] = shared;
}

void
shoal_server_describe_worker(BackgroundWorker *worker, const char *name,
							 const char *function, Datum arg)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "shoal", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, sizeof(worker->bgw_function_name));
	strlcpy(worker->bgw_name, name, sizeof(worker->bgw_name));
	strlcpy(worker->bgw_type, name, sizeof(worker->bgw_type));
	worker->bgw_main_arg = arg;
}

BackgroundWorkerHandle *
shoal_server_start_worker(const char *name, const char *function, Datum arg)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	shoal_server_describe_worker(&worker, name, function, arg);
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

void
shoal_server_pause(long milliseconds)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 milliseconds, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

ErrorData *
shoal_server_try(void (*what) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		what(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

/* the mark of an error: the name of a data type, which other errors with that SQLSTATE have none of */
#define MOVED_MARK	"shoal.placement"

int
shoal_errmoved(void)
{
	return err_generic_string(PG_DIAG_DATATYPE_NAME, MOVED_MARK);
}

bool
shoal_error_is_moved(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE &&
		error->datatype_name && strcmp(error->datatype_name, MOVED_MARK) == 0;
}
