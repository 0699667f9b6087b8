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
	OPS_JOB_PROMOTE,			/* a replica: group, shard, to */
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

/* How much there is of a shard. */
typedef struct OpsSize
{
	uint64		bytes;
	uint64		rows;			/* about; 0: not known */
} OpsSize;

/*
 * For a worker that nobody has started by ops_job_run(): the view shows what it
 * does from now on until it ends.
 */
extern void ops_job_attach(const OpsJobArgs *args);

/* Progress, for the view shoal.jobs; total may be NULL. */
extern void ops_job_show(int group_id, int shard, int from_node, int to_node,
						 const char *step, const OpsSize *total);
extern void ops_job_progress(uint64 bytes, uint64 rows);

/*
 * Waits here, within the transaction, if shoal.debug_job_pause names this point.
 * The beginning of each step is such a point, too.
 */
extern void ops_job_pause(const char *point);

/* ---- ops_failover.c ---- */

struct BackgroundWorkerHandle;

/*
 * Starts the worker that gives nodes up, or (restore) the one that takes them
 * back and repairs copies; NULL if there is no room for it.
 */
extern struct BackgroundWorkerHandle *ops_failover_start(bool restore);

/* ---- ops_repair.c ---- */

/* What has been repaired. */
typedef struct OpsRepaired
{
	uint64		rows;			/* that the primary has */
	uint64		differing;		/* of them and of the copy's */
	int			filled;			/* tables that were filled anew, without those */
} OpsRepaired;

/*
 * Makes a copy of a table's shard, which gets all writes, equal to the primary.
 * False if it is to be filled instead; then it has been emptied unless
 * filling does that.
 */
extern bool ops_repair_table(Oid relid, int group_id, int shard, int node_id,
							 OpsRepaired *done);

/* ---- ops_placement.c ---- */

struct ShoalGroup;

/*
 * Makes a replica the primary, in this transaction, which has the cluster lock and
 * SPI.  Errors 42704, 55000 if it is none that could be.
 */
extern void ops_placement_promote(const struct ShoalGroup *group, int shard,
								  int node_id);

/* ---- ops_copies.c ---- */

/* The group; error 42704 unless it has that shard. */
extern const struct ShoalGroup *ops_copies_find_group(int group_id, int shard);

/*
 * Error 40001 unless the copy gets all writes.  If its node was given up
 * meanwhile, it lacks some.
 */
extern void ops_copies_check_filling(const struct ShoalGroup *group, int shard,
									 int node_id);

/*
 * Calls an internal function that returns text on the primary's node, and
 * passes the rows that it sends on while they come: both nodes work at the
 * same time.
 */
extern char *ops_copies_call(int node_id, const char *call);

/* Does it, in the worker; returns how many copies were made or dropped. */
extern int	ops_copies_do(const OpsJobArgs *args);

#endif							/* OPS_JOB_H */
