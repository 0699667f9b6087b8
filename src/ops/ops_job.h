/*
 * ops_job.h
 *		Work on copies of shards, done by a worker in several transactions.
 */
#ifndef OPS_JOB_H
#define OPS_JOB_H

#include "postgres_ext.h"

/* size of a step's name */
#define OPS_JOB_STEP 32

typedef enum OpsJobKind
{
	OPS_JOB_NONE,
	OPS_JOB_ADD,				/* a replica: group, shard, to */
	OPS_JOB_MOVE,				/* a copy: group, shard, from, to */
	OPS_JOB_REPLICAS,			/* as many as that: group, count in to */
	OPS_JOB_REPAIR				/* whatever needs it */
} OpsJobKind;

typedef struct OpsJobArgs
{
	OpsJobKind	kind;
	int			group_id;
	int			shard;
	int			from_node;
	int			to_node;
	char		pause[OPS_JOB_STEP];	/* shoal.debug_job_pause */
} OpsJobArgs;

/*
 * Has a worker do the job, waits for it and raises its error as one's own.
 * Returns what it has counted.  Error 25001 in a transaction block, which might
 * hold locks that the worker needs.
 */
extern int	ops_job_run(const OpsJobArgs *args, const char *function);

/*
 * For the worker: the transaction's begin, as the extension's owner and with
 * SPI, and its commit.
 */
extern void ops_job_begin(void);
extern void ops_job_commit(void);

/* Progress, for the view shoal.jobs. */
extern void ops_job_show(int group_id, int shard, int from_node, int to_node,
						 const char *step, uint64 bytes_total);
extern void ops_job_progress(uint64 bytes, uint64 rows);

/*
 * Waits here, within the transaction, if shoal.debug_job_pause names this point.
 * The beginning of each step is such a point, too.
 */
extern void ops_job_pause(const char *point);

/* ---- ops_failover.c ---- */

struct BackgroundWorkerHandle;

/*
 * Starts the worker that gives nodes up, takes them back and repairs copies,
 * whatever there is to do; NULL if there is no room for it.
 */
extern struct BackgroundWorkerHandle *ops_failover_start(void);

/* ---- ops_copies.c ---- */

/* Does it, in the worker; returns how many copies were made or dropped. */
extern int	ops_copies_do(const OpsJobArgs *args);

#endif							/* OPS_JOB_H */
