/*
 * base_server.h
 *		What modules have of the server: shared memory, background workers,
 *		pauses, and errors that don't end a transaction.
 */
#ifndef BASE_SERVER_H
#define BASE_SERVER_H

#include "postmaster/bgworker.h"
#include "storage/lwlock.h"

/* A module's part of the shared memory. */
typedef struct ShoalShared
{
	const char *name;
	Size		size;			/* bytes ... */
	Size		per_backend;	/* ... and as many for each of MaxBackends */
	void	  **memory;			/* is set to it, before any backend starts */
	LWLock	  **lock;			/* is set to a lock for it; NULL: it needs none */
	void		(*init) (void); /* for what is not to be zero, or NULL */
} ShoalShared;

/*
 * Requests shared memory, while the library is preloaded.  It is zero when the
 * server starts and after a crash of any backend.  The description is kept by
 * reference.
 */
extern void shoal_server_share(const ShoalShared *shared);

/*
 * Describes a background worker with a database, that runs a function of this
 * library once.
 */
extern void shoal_server_describe_worker(BackgroundWorker *worker,
										 const char *name,
										 const char *function, Datum arg);

/*
 * The same, and starts it; this process is told when it ends.  The handle is
 * palloc'd.  NULL: there is no room for one now.
 */
extern BackgroundWorkerHandle *shoal_server_start_worker(const char *name,
														 const char *function,
														 Datum arg);

/* Sleeps, or less if this process is woken; it can be interrupted. */
extern void shoal_server_pause(long milliseconds);

/*
 * Calls what(arg) in a subtransaction, in the current memory context.  If it fails,
 * that is rolled back, and its error returned, palloc'd; else NULL.
 */
extern ErrorData *shoal_server_try(void (*what) (void *arg), void *arg);

/* Advisory locks on shards, of kinds that SQL functions can't take. */
#define SHOAL_LOCK_COPY		7	/* somebody makes this node's copy of it */
#define SHOAL_LOCK_SHARD	8	/* it is not to move, or about to */
#define SHOAL_SET_LOCKTAG(tag, kind, group_id, shard) \
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (group_id), (uint32) (shard), kind)

/*
 * Within ereport(), with SQLSTATE 40001: the statement came to where its shard was a
 * moment ago.  That marks the error, on its way from node to node too, as whoever has sent
 * the statement may be able to try it again.
 */
extern int	shoal_errmoved(void);
extern bool shoal_error_is_moved(const ErrorData *error);

#endif							/* BASE_SERVER_H */
