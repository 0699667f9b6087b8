/*
 * exec_internal.h
 *		What the files of this folder share.
 *
 * From the bottom: wire (values to and from libpq's form), local (a fragment
 * in this backend), task (one statement on one node, here or remote), fragment
 * (parameters and pins to tasks), merge (sorted streams to one), and the
 * custom scans on top.
 */
#ifndef EXEC_INTERNAL_H
#define EXEC_INTERNAL_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "utils/reltrigger.h"
#include "utils/resowner.h"
#include "utils/snapshot.h"
#include "utils/tuplestore.h"

#include "exec/exec.h"
#include "exec/exec_wire.h"
#include "meta/meta.h"
#include "plan/plan_fragment.h"
#include "remote/remote.h"

/* ---- exec_local.c: a fragment in this backend ---- */

typedef struct ShoalLocal ShoalLocal;

/*
 * Starts a statement (sql with its marker; it must live on).  Anything but a plain SELECT is
 * run to its end at once.  Rows must have the types of desc (NULL: no rows
 * wanted).  Lives in the current memory context and resource owner.
 */
extern ShoalLocal *shoal_local_start(const char *sql, int nparams,
									 Oid *types, const Datum *values,
									 const bool *nulls, Snapshot snapshot,
									 TupleDesc desc);

/* The next row in a slot of its own, valid until the next call; or NULL. */
extern TupleTableSlot *shoal_local_next(ShoalLocal *local);

/* Rows affected by a statement that is not a SELECT. */
extern uint64 shoal_local_affected(const ShoalLocal *local);

/* Ends it; what was not read is dropped. */
extern void shoal_local_end(ShoalLocal *local);

/*
 * Runs EXPLAIN (or whatever utility statement returns one text column) with
 * a marker and returns its lines.
 */
extern List *shoal_local_explain(const char *sql, int nparams, Oid *types,
								 const Datum *values, const bool *nulls);

/* ---- exec_statement.c: what a statement reads with ---- */

typedef struct ShoalReading
{
	uint64		moment;			/* whose snapshots its fragments use; 0: each has
								 * its own */
	Snapshot	snapshot;		/* for fragments here; NULL: the statement's */
	bool		inside;			/* the statement that starts is part of another */
	bool		parts;			/* one whose parts do not see what others write */
	bool		late;			/* fragments see what has been committed by now, in
								 * REPEATABLE READ, too */
} ShoalReading;

extern ShoalReading shoal_statement_reading(void);
extern void shoal_statement_set_reading(ShoalReading now);
extern void shoal_statement_init(void);

/* ---- exec_task.c: one statement on one node ---- */

/* What is known of lost nodes and moved shards, for a run that can be started again. */
typedef struct ShoalAgain
{
	MemoryContext cxt;
	ErrorData  *error;			/* a task has failed for that: the first error */
	Bitmapset  *failed;			/* nodes that have failed now ... */
	Bitmapset  *avoid;			/* ... and before */
	bool		stuck;			/* a shard has no copy elsewhere */
	bool		only_moved;		/* the loss of a node is an error in any case */
	bool		moved;			/* a shard is not where it was ... */
	int			moves;			/* ... so often ... */
	TimestampTz began;			/* ... since then */
} ShoalAgain;

/* What the tasks of a fragment have in common. */
typedef struct ShoalCall
{
	const char *text;			/* without marker */
	int			group_id;
	CmdType		command;
	bool		writes;			/* changes data there, or locks rows */
	bool		partial;
	int			policies;
	int			rights;			/* as in ShoalScope */
	Oid			run_as;			/* role to do it as; InvalidOid: as it is */
	bool		timed;			/* nodes have to know the transaction's time */
	bool		cache;			/* prepare it on the connection */
	bool		alone;			/* nothing is left to do that could fail once
								 * its node has answered */
	int			nparams;
	Oid		   *types;
	Datum	   *values;
	bool	   *nulls;
	ShoalParams *wire;			/* the parameters for nodes, once needed */
	TupleDesc	desc;			/* rows; NULL: none are wanted */
	ShoalDecoder *decoder;		/* NULL while rows are forwarded */
	int			forward;		/* format in which rows of nodes are handed on
								 * as they are; SHOAL_WIRE_BEST: decode them */
	ShoalWireRow raw;			/* if so, the row that the last call of
								 * shoal_task_next was about; the slot has no
								 * values then */
	MemoryContext cxt;			/* lives as long as the tasks */
	Snapshot	snapshot;		/* for the local part */
	ShoalReading reading;
	bool		any_copy;		/* it may read replicas */
	bool		fired;			/* triggers are fired here, not there */
	bool		acted;			/* so are foreign keys' actions taken here */
	bool		taking;			/* a moment is open: nodes take their snapshots
								 * with the statement */
	bool		calm;			/* nodes tell whether there was need of one */
	ShoalAgain *again;			/* NULL: the loss of a node is an error */
	ResourceOwner owner;
} ShoalCall;

typedef struct ShoalTask
{
	ShoalCall  *call;
	int			node_id;
	bool		local;
	Bitmapset  *shards;			/* NULL: the local marker */
	int			shares;			/* tasks that it is to be dealt to */
	ShoalConn  *conn;			/* one beside the usual; NULL: that */
	ShoalRequest *req;
	ShoalPack	pack;			/* rows of it that are here */
	ShoalLocal *run;
	Tuplestorestate *store;		/* rows that had to be taken off the
								 * connection */
	TupleTableSlot *store_slot;
	bool		done;
	uint64		affected;		/* rows affected, once done */
} ShoalTask;

/*
 * Makes the call's run_as the current user until shoal_task_return.  An error
 * in between needs no care: the end of the (sub)transaction restores the user.
 */
typedef struct ShoalRole
{
	Oid			userid;
	int			context;
} ShoalRole;

extern void shoal_task_become(const ShoalCall *call, ShoalRole *saved);
extern void shoal_task_return(const ShoalRole *saved);

/* Marker and text for a shard set (NULL: the local marker), palloc'd. */
extern char *shoal_task_sql(const ShoalCall *call, const Bitmapset *shards,
							bool local);

/* Error 0A000 in a function on a node, which can't use what is elsewhere. */
extern void shoal_task_check_inside(void);

/*
 * Starts a task; many: the statement writes on more than one node.  A remote
 * one returns at once, a local one that writes has run when this returns.
 */
extern void shoal_task_start(ShoalTask *task, bool many);

/*
 * Puts the next row into the slot (virtual); by-reference values are valid
 * until the task's next call and, for rows from a node, are in the current
 * context.  False at the end.
 */
extern bool shoal_task_next(ShoalTask *task, TupleTableSlot *slot);

/* Waits until a task on another node has a row or its end at hand. */
extern void shoal_task_await(ShoalTask *task);

/* Reads all that is left: into the task's tuplestore, or to nowhere. */
extern void shoal_task_absorb(ShoalTask *task);
extern void shoal_task_drain(ShoalTask *task);

/* Makes the task's connection ready, so that the start waits for nothing. */
extern void shoal_task_settle(ShoalTask *task);

/* Starts those on other nodes, or those here. */
extern void shoal_task_start_some(ShoalTask *tasks, int n, bool many, bool local);

/* Starts all: remote ones first, so that they run while the local one does. */
extern void shoal_task_start_all(ShoalTask *tasks, int n, bool many);

/*
 * The index of a task that has a row or its end at hand, among those that are
 * not done; -1 if all are.  Waits.  Stays with the one of the last call as
 * long as possible.
 */
extern int	shoal_task_pick(ShoalTask *tasks, int n, int last);

/* Ends a task: unread rows of a SELECT are dropped, writes run to the end. */
extern void shoal_task_end(ShoalTask *task);

/* The store's next row in the slot, NULL at the end; in any context. */
extern TupleTableSlot *shoal_task_stored(Tuplestorestate *store,
										 TupleTableSlot *slot);

/* The src slot's values in a virtual slot, not copied. */
extern void shoal_task_borrow(TupleTableSlot *dst, TupleTableSlot *src);

/* ---- exec_kept.c: custom scans that keep their rows until all is done ---- */

/* What the state of such a scan begins with. */
typedef struct ShoalKept
{
	CustomScanState css;		/* must be first */
	void		(*run) (struct ShoalKept *kept);	/* does all, once */
	bool		done;			/* it has been done */
	Tuplestorestate *rows;		/* what is handed out; NULL: nothing */
	TupleTableSlot *row;		/* one of them */
	Tuplestorestate *results;	/* NULL, or what is handed out, worked out of the rows */
	TupleTableSlot *result;		/* one of them */
	bool		counts;			/* each is a row that has been written */
} ShoalKept;

/* The methods ExecCustomScan and ReScanCustomScan. */
extern TupleTableSlot *shoal_kept_exec(CustomScanState *node);
extern void shoal_kept_rescan(CustomScanState *node);

/* Tells how many rows the statement, which this scan is, has written. */
extern void shoal_kept_count(ShoalKept *kept, uint64 affected);

/* Works out now what is handed out for the rows that are there, which go away. */
extern void shoal_kept_project(ShoalKept *kept);

/* Releases rows, for EndCustomScan. */
extern void shoal_kept_end(ShoalKept *kept);

/* ---- exec_first.c: which fragment of a plan core will want first ---- */

/*
 * One that can be started before core asks for it, and thrown away; NULL if there is
 * none, or if the statement writes or locks rows.
 */
extern CustomScan *shoal_first_scan(PlannedStmt *stmt);

/* ---- exec_order.c: rows of RETURNING in the order of the rows inserted ---- */

typedef struct ShoalOrder ShoalOrder;

/* For rows of this kind; NULL: they can't be kept in order. */
extern ShoalOrder *shoal_order_begin(TupleDesc desc);
extern void shoal_order_put(ShoalOrder *order, TupleTableSlot *row,
							int64 number);

/* Stores all in their order; row is a virtual slot for them. */
extern void shoal_order_end(ShoalOrder *order, TupleTableSlot *row,
							Tuplestorestate *rows);

/* ---- exec_merge.c: sorted streams to one ---- */

typedef struct ShoalMerge ShoalMerge;

extern ShoalMerge *shoal_merge_start(ShoalTask *tasks, int n, List *sort,
									 TupleDesc desc);
extern bool shoal_merge_next(ShoalMerge *merge, TupleTableSlot *slot);

/* ---- exec_fragment.c: parameters and pins to tasks ---- */

typedef struct ShoalRun
{
	const ShoalFragment *frag;
	PlanState  *parent;
	ExprState **param_states;	/* NULL: a constant or a parameter of the
								 * client's */
	Bitmapset  *exec_params;	/* PARAM_EXECs that the parameters use */
	bool		evaluated;		/* parameters have their values */
	MemoryContext param_cxt;	/* of the values */
	MemoryContext cxt;			/* of one execution */
	ShoalCall	call;
	ShoalTask  *tasks;
	int			ntasks;
	int			nshards;		/* shards over all tasks */
	int			current;		/* index of the task being read */
	ShoalMerge *merge;
	struct ShoalRun **moves;	/* parallel to frag->moves */
	struct ShoalRun **steps;	/* parallel to frag->steps */
	bool		stepped;		/* their values are known */
	struct ShoalRun *outer;		/* the run that this one is a move or a step of */
	bool		holds;			/* the moment of call.reading is the run's own */
	struct ShoalHope *hope;		/* ... and the first step tells whether its snapshots
								 * agree; NULL: they do */
	Snapshot	own_snapshot;	/* registered for call.snapshot, or NULL */
	ShoalAgain *again;			/* NULL: that was never possible */
	uint64		affected;		/* once all rows are read */
} ShoalRun;

extern ShoalRun *shoal_run_init(const ShoalFragment *frag, PlanState *parent,
								TupleDesc desc);

/*
 * Evaluates the parameters and runs the steps if that has not been done, works
 * out shards and nodes; starts nothing of the fragment itself.
 */
extern void shoal_run_prepare(ShoalRun *run);

/* Prepares and starts. */
extern void shoal_run_start(ShoalRun *run);

/* False at the end, when run->affected is set. */
extern bool shoal_run_next(ShoalRun *run, TupleTableSlot *slot);

/*
 * Ends what was started; the run can be started again, with the same values
 * of its parameters unless told to evaluate them anew.
 */
extern void shoal_run_end(ShoalRun *run, bool reevaluate);

/* ---- exec_again.c: when a node is lost or a shard has moved ---- */

/*
 * Whether nothing is left behind of a run that is started and thrown away before its
 * first row: it only reads.
 */
extern bool shoal_again_is_harmless(const ShoalRun *run);

/*
 * Sets run->call.again, if the run may be started again as long as it has
 * returned no row.  Before the start.
 */
extern void shoal_again_allow(ShoalRun *run);

/*
 * Calls what does nothing but talk to nodes (to that one, if not 0).  If a node
 * is lost by that or has not the shard any more, and call->again is set, notes it there
 * and returns false.
 */
extern bool shoal_again_try(ShoalCall *call, int node_id,
							void (*what) (void *arg), void *arg);

/*
 * Ends what was started and prepares the run without the nodes that were lost.
 * Raises the error if that can't be done.
 */
extern void shoal_again_prepare(ShoalRun *run);

/* A copy's node that is not to be avoided; any, and stuck, if there is none. */
extern int	shoal_again_pick(ShoalAgain *again, const ShoalGroup *group,
							 int shard);

/*
 * The node of a shard's primary.  Error 55000 if there is none, or if it is
 * not known here.
 */
extern int	shoal_run_shard_node(const ShoalGroup *group, int shard);

/*
 * For so long a statement is tried again when its shards have moved, in milliseconds, and
 * the longest pause between.
 */
#define SHOAL_AGAIN_TIME	2000
#define SHOAL_AGAIN_PAUSE	50

/* The pause before the n-th attempt after the first, from 0. */
#define SHOAL_AGAIN_WAIT(n) ((n) < 6 ? 1L << (n) : (long) SHOAL_AGAIN_PAUSE)

/* ---- exec_hold.c: shards that are not to move ---- */

/*
 * If shards of the group may be about to move: waits until this node knows where these
 * are (NULL: all of the group, but those that can't be reached), and keeps them there until
 * the end of the transaction; not for long if they are only read.  What the caller
 * knows of their places may be out of date then.
 */
extern void shoal_hold_shards(int group_id, const Bitmapset *shards, bool writes);

/*
 * The same of one that is to be written, unless it is among those that are held; they are in
 * that context.  Returns the group as it is then.
 */
extern const ShoalGroup *shoal_hold_further(int group_id, int shard,
											Bitmapset **held, MemoryContext cxt);

/* The same for all shards of tables (list of OIDs, not only of Shoal's). */
extern void shoal_hold_tables(List *relids, bool writes);

/* ---- exec_source.c: a child's rows ---- */

typedef struct ShoalSource
{
	PlanState  *child;
	bool		calls_functions;	/* that are not built in */
	bool		one_by_one;		/* a row may depend on those before it having been
								 * written, which has to be seen to */
	Tuplestorestate *store;		/* rows read ahead */
	TupleTableSlot *store_slot;
	bool		child_done;
} ShoalSource;

/*
 * Rows are read ahead if computing them may send something to nodes; not so if
 * it may look at the rows before (one_by_one), or what is done with each does (curious),
 * unless may_wait is false.  They are
 * written to relid, which is open; locked: the child has locked what it reads.
 */
extern void shoal_source_begin(ShoalSource *source, PlanState *child, Oid relid,
							   bool locked, bool may_wait, bool curious);

/* Reads rows ahead, up to a limit (0: all); true if that was the last. */
extern bool shoal_source_read(ShoalSource *source, int limit);

/* The next row, until the next call; NULL at the end. */
extern TupleTableSlot *shoal_source_next(ShoalSource *source);

extern void shoal_source_end(ShoalSource *source);

/* ---- exec_values.c: rows as parameters of a statement ---- */

/*
 * A statement that reads rows where its head ends; the tail may refer to
 * tail_params as $1..$n, the rows' own parameters follow after them.
 */
typedef struct ShoalValues
{
	const char *head;
	const char *tail;			/* or NULL */
	List	   *tail_params;	/* Expr */
	Datum	   *tail_values;
	bool	   *tail_nulls;
	int			ncolumns;
	Oid		   *types;
	Oid		   *array_types;	/* NULL: rows can't be sent as arrays */
	bool		typed;			/* nothing else tells the columns' types */
} ShoalValues;

/* The types of arrays in which columns can be sent; NULL if one can't. */
extern Oid *shoal_values_array_types(const Oid *types, int n);

/* Sets tail_values and tail_nulls (states of tail_params). */
extern void shoal_values_evaluate(ShoalValues *shape, List *states,
								  ExprContext *econtext);

/* The call's text and parameters for some rows (values row by row). */
extern void shoal_values_fill(ShoalCall *call, const ShoalValues *shape,
							  int nrows, const Datum *values,
							  const bool *nulls);

/* The call's parameters for nodes, if that has not been done. */
extern void shoal_values_encode(ShoalCall *call);

/* ---- exec_triggers.c: statement triggers ---- */

typedef struct ShoalTriggers ShoalTriggers;

struct TransitionCaptureState;

/*
 * Where the statement's range table has the table as one that it writes: it
 * tells which columns are, for UPDATE OF.  0 if nowhere.
 */
extern Index shoal_triggers_target(EState *estate, Oid relid);

/*
 * Fires BEFORE triggers of a statement that is about to write (fires: see
 * plan_triggers.h); NULL if there are no triggers at all.  Capture tells what
 * transition tables of those for a command have; end fires those AFTER, when the
 * statement ends, if it has been carried out.
 */
extern ShoalTriggers *shoal_triggers_begin(EState *estate, List *fires);

/* Fires those BEFORE of one table, ahead of the node that writes. */
extern void shoal_triggers_before(EState *estate, Oid relid, int events);
extern void shoal_triggers_capture(ShoalTriggers *triggers, CmdType command,
								   struct TransitionCaptureState *capture);
extern void shoal_triggers_end(ShoalTriggers *triggers, bool complete);

/* ---- exec_with.c: statements one after the other ---- */

/*
 * Tells a MERGE whose part runs with this state how many of the rows that were to be
 * changed have been left alone by triggers.
 */
extern void shoal_with_leave_alone(EState *estate, uint64 rows);

/* ---- exec_rowtriggers.c: row triggers, fired here ---- */

typedef struct ShoalRowTriggers ShoalRowTriggers;

/*
 * The row triggers of a table for a statement that does that to it, and its
 * transition tables.  The caller has opened rel and holds a lock on it until the
 * statement's end.
 */
extern ShoalRowTriggers *shoal_rowtriggers_begin(EState *estate, Relation rel,
												 CmdType command);

/* Are there BEFORE triggers with functions that might run queries? */
extern bool shoal_rowtriggers_look(const ShoalRowTriggers *triggers);

/* Will something be done with rows that have been written? */
extern bool shoal_rowtriggers_follow(const ShoalRowTriggers *triggers);

/*
 * Fires BEFORE triggers with a row of an INSERT, one of an UPDATE and its old
 * version, or an old one of a DELETE (slot NULL); they may change what is in the
 * slot.  False if the row is not to be written.  What the slot has then lives as
 * long as the per-tuple memory of the statement.
 */
extern bool shoal_rowtriggers_before(ShoalRowTriggers *triggers, HeapTuple old,
									 TupleTableSlot *slot);

/* Has AFTER triggers be fired at the statement's end.  NULL as above. */
extern void shoal_rowtriggers_after(ShoalRowTriggers *triggers, HeapTuple old,
									TupleTableSlot *slot);

/* For shoal_triggers_capture. */
extern struct TransitionCaptureState *shoal_rowtriggers_capture(const ShoalRowTriggers *triggers);

/* ---- exec_action.c: what foreign keys say ---- */

typedef struct ShoalActions ShoalActions;

/*
 * For a statement that changes rows of a table without the foreign keys that refer
 * to it.  The caller has opened rel and holds a lock on it until the statement's
 * end; all lives in the caller's memory context.
 */
extern ShoalActions *shoal_actions_begin(Relation rel, CmdType command);

/* A row that has been written; new is NULL if it is gone. */
extern void shoal_actions_note(ShoalActions *actions, HeapTuple old,
							   HeapTuple new);

/*
 * When all rows have been written.  Runs statements; error 23503 if a key is
 * referred to and must not be changed.
 */
extern void shoal_actions_take(ShoalActions *actions);

/* ---- exec_share.c: several tasks for one node ---- */

/*
 * Works out, for a run that is prepared, how many connections each node's part
 * is worth.  True if there is one with several; then the run must get a moment
 * of its own, if it has none, and be dealt.  May ask nodes for sizes.
 */
extern bool shoal_share_plan(ShoalRun *run);

/* Makes several tasks of one, as far as there are connections. */
extern void shoal_share_deal(ShoalRun *run);

/* ---- exec_scan.c ---- */

/*
 * If the plan node is a Shoal Scan whose rows are a statement's as they are,
 * and they come from nodes in that format: what runs it.  Asks for the format
 * if the scan has not started.  Else NULL.
 */
extern ShoalRun *shoal_scan_forward(PlanState *ps, int format);

/*
 * Starts the plan node before a row is asked for, and waits until its nodes have their
 * snapshots, if told so; false if it is no Shoal Scan.
 */
extern bool shoal_scan_start(PlanState *ps, bool wait);

/* Has a Shoal Scan read all its rows before the first is asked for; false if it is none. */
extern bool shoal_scan_fill(PlanState *ps);

/* ---- exec_forward.c ---- */

extern void shoal_forward_init(void);

/* ---- exec_same.c: what exec.h does not tell ---- */

/* A command changes rows of a reference table on all nodes. */
extern void shoal_same_note(Oid relid, CmdType command);
extern void shoal_same_init(void);

/* ---- exec_sink.c: what exec.h does not tell ---- */

/* Number of the input line that the next sink_line is about, for errors. */
extern void shoal_sink_at_line(ShoalSink *sink, uint64 lineno);

/* ---- exec_stdin.c: text that the client sends for COPY ---- */

typedef struct ShoalStdin ShoalStdin;

typedef enum ShoalStdinResult
{
	SHOAL_STDIN_LINE,
	SHOAL_STDIN_END,
	SHOAL_STDIN_OTHER			/* one for core, which reads from its start */
} ShoalStdinResult;

/* In the current context.  Errors: protocol violations, a lost client. */
extern ShoalStdin *shoal_stdin_open(void);
extern void shoal_stdin_start(ShoalStdin *input, int ncolumns);
extern int	shoal_stdin_read(void *outbuf, int minread, int maxread);
extern ShoalStdinResult shoal_stdin_line(ShoalStdin *input, char **line,
										 int *len, bool *escapes);
extern void shoal_stdin_unread(ShoalStdin *input, const char *line);
extern void shoal_stdin_close(ShoalStdin *input);

/*
 * Number of a line's fields; finds those that are wanted, by their positions
 * from 0 on, as they stand in the line.
 */
extern int	shoal_stdin_fields(char *line, int len, char delimiter,
							   bool escapes, int nwanted, const int *wanted,
							   char **fields, int *lens);

/* ---- exec_moved.c: rows that were moved to this node ---- */

/* The argument of shoal.moved_rows: all rows, and the nodes that sent some. */
extern char *shoal_moved_spec(const char *token, double rows,
							  const int *senders, int nsenders);

/* ---- exec_with.c ---- */

/*
 * The statement at whose end AFTER triggers of the one that runs fire: itself, or
 * the one that it is a part of.
 */
extern EState *shoal_with_whole(EState *estate);

/* ---- exec_current.c ---- */

/* Has a statement the hidden columns of a cursor that may be written to? */
extern bool shoal_current_is_shown(const PlannedStmt *stmt);

/* ---- exec_explain.c ---- */

struct ExplainState;

extern void shoal_explain_fragment(ShoalRun *run, struct ExplainState *es);
extern void shoal_explain_insert(const ShoalInsert *insert,
								 struct ExplainState *es);

/* ---- the custom scans ---- */

extern const CustomScanMethods shoal_scan_methods;
extern const CustomScanMethods shoal_insert_methods;
extern const CustomScanMethods shoal_moved_methods;
extern const CustomScanMethods shoal_moved_files_methods;
extern const CustomScanMethods shoal_with_methods;

/* The state of a Shoal Insert whose plan has a ShoalFire. */
extern Node *shoal_fire_create_state(CustomScan *cscan);

/*
 * Before rows of a reference table are locked by reading them here: writers of it
 * meet on the first node, so none may begin there before these are done.
 */
extern void shoal_insert_lock_reference(Oid relid);

/*
 * True if the rows that the node affects are what its statement reports: the
 * statement writes, and the node is its plan and not, say, a WITH query's.
 */
extern bool shoal_scan_is_top(PlanState *ps);

#endif							/* EXEC_INTERNAL_H */
