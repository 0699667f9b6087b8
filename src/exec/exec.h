/*
 * exec.h
 *		Running fragments, and sending rows to shards.
 */
#ifndef EXEC_H
#define EXEC_H

#include "access/tupdesc.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "storage/lockdefs.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"
#include "utils/relcache.h"

/* Registers the custom scans of plan_fragment.h.  Called from _PG_init. */
extern void shoal_exec_init(void);

/*
 * Before the transaction is prepared: error 0A000 if row triggers of a reference
 * table have made the rows that it has written differ from node to node.
 */
extern void shoal_same_check(void);

/*
 * A sink takes rows of one table and sends each to the node of its shard (or
 * to every node for a reference table) by COPY, one stream per node; rows of
 * shards on this node are loaded by core's COPY code in batches.  Everything
 * happens in the current distributed transaction.
 */
typedef struct ShoalSink ShoalSink;

/*
 * Opens a sink.  attnums (int list) are the columns that rows have, in order.
 * copy_options is what goes between the parentheses of COPY's WITH for lines
 * ("FORMAT csv, DELIMITER ';'"), or NULL for rows given as datums.
 * replay: load as replicated data, i.e. without triggers (foreign keys were
 * checked already) and with identity and generated columns taken care of by
 * the caller.
 */
extern ShoalSink *shoal_sink_open(Relation rel, List *attnums,
								  const char *copy_options, bool replay);

/* One row; values are in the order of attnums. */
extern void shoal_sink_row(ShoalSink *sink, const Datum *values,
						   const bool *nulls);

/*
 * One line as the client sent it (without line end), for the shard of a key
 * that the caller has worked out (ignored for reference tables).
 */
extern void shoal_sink_line(ShoalSink *sink, int shard, const char *line,
							int len);

/* Whether several nodes read the same line. */
extern bool shoal_sink_repeats(const ShoalSink *sink);

/* Ends the streams; returns the number of rows stored. */
extern uint64 shoal_sink_close(ShoalSink *sink);

/*
 * Called before rows are sent to all copies of shards: false if replicas lack
 * changes that were made before, so that rows have to go the same way.
 */
extern bool (*shoal_sink_before_copies) (void);

/*
 * COPY table FROM, for a Shoal table: checks rights as core does, reads the
 * source, sends lines or rows to a sink.  For any other one: the same, or lets core do
 * it.  Returns the number of rows.  (COPY table TO is turned into COPY (SELECT) TO by
 * ddl.)
 */
extern uint64 shoal_exec_copy_from(CopyStmt *stmt, const char *query_string,
								   int stmt_location, int stmt_len);

/*
 * Locks a shard on this node, until the end of the transaction, against statements that
 * hold it as they write to it (RowExclusiveLock) or read it (AccessShareLock; exec_hold.c).
 */
extern void shoal_hold_lock(int group_id, int shard, LOCKMODE mode);

#endif							/* EXEC_H */
