/*
 * scope.h
 *		Node side: which shards a statement may see here.
 *
 * A statement that Shoal sends to a node begins with a marker comment:
 *
 *		/+shoal 1:0-7,12+/			(with * for +) group 1, those shards
 *		/+shoal 1:0-7 partial+/		the same; aggregates return transition states
 *		/+shoal 1:0-7 policies 2+/	the same; two WITH queries are read by policies
 *		/+shoal 1:0-7 rights 6+/	the same; the policies that count are those of a
 *									statement with these rights (plan_rights.c)
 *		/+shoal 1:0-7 any+/		the same; replicas will do, too
 *		/+shoal 1:0-7 fired+/		the same; a write whose triggers and
 *									rights are the coordinator's business
 *		/+shoal 1:0-7 fired acted+/		so are actions of foreign keys that refer to the
 *									table
 *		/+shoal 1:0-7 text+/	the same; its rows are read as texts by the coordinator
 *		/+shoal 1:0-7 packed+/	the same; its rows come in packs (scope_pack.c)
 *		/+shoal 1:0-7 held+/		the same; read with the snapshot that was asked for
 *		/+shoal local copies 2f+/	the same, for a COPY that the coordinator sends
 *									to each copy of a shard (see below)
 *		/+shoal local columns 1+/	the same, for a step of an ALTER TABLE (ddl_columns.c)
 *		/+shoal local+/				everything that lies on this node; DDL is
 *									not forwarded from here
 *
 * Markers count only in sessions that a coordinator opened (shoal.origin), in
 * the text that it sent, and while this backend runs a fragment of its own
 * (shoal_scope_trust).  A function that a fragment calls cannot use one.
 */
#ifndef SCOPE_H
#define SCOPE_H

#include "executor/execdesc.h"
#include "nodes/bitmapset.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/reltrigger.h"

typedef struct ShoalScope
{
	bool		local;			/* see all that is here */
	bool		partial;		/* aggregates return transition states */
	bool		any_copy;		/* a complete replica is as good as a primary */
	bool		fired;			/* user's triggers are not to be fired here */
	bool		acted;			/* nor those of foreign keys that refer to the table */
	bool		text;			/* texts of rows do not depend on settings */
	bool		packed;			/* rows are sent in packs */
	int			columns;		/* step of an ALTER TABLE, 0: all of it */
	int			policies;		/* WITH queries that are for policies */
	int			rights;			/* AclMode: policies are those of a statement that
								 * needs these; 0: its own */
	int			group_id;		/* else: this group ... */
	Bitmapset  *shards;			/* ... and these shards of it */
} ShoalScope;

/* the snapshot that a fragment is executed with */
typedef enum ShoalSnapshotKind
{
	SHOAL_SNAPSHOT_OWN,			/* the one that core takes for it */
	SHOAL_SNAPSHOT_HELD,		/* one that was taken before (xact_snapshot.c) */
	SHOAL_SNAPSHOT_LATE,		/* one of now, in REPEATABLE READ, too */
	SHOAL_SNAPSHOT_CALM			/* core's, and the coordinator wants to know
								 * whether it was calm (xact_calm.c) */
} ShoalSnapshotKind;

/*
 * The marker for a shard set, palloc'd.  An empty set (NULL) is legal and sees
 * nothing of the group.  Group 0 stands for no group: the local marker.
 */
extern char *shoal_scope_marker(int group_id, const Bitmapset *shards);

/* The same for all else that a scope may say, but "columns". */
extern char *shoal_scope_full_marker(const ShoalScope *scope,
									 ShoalSnapshotKind snapshot);

/* The local marker for a step of an ALTER TABLE. */
extern char *shoal_scope_columns_marker(int step);

/*
 * Reads a trusted marker at the start of a query string.  False if there is
 * none; error 42601 if it is malformed.  Cheap when there is none.
 */
extern bool shoal_scope_parse(const char *query_string, ShoalScope *scope);

/* Whether the text begins with a trusted marker, whatever it says.  Cheap. */
extern bool shoal_scope_is_fragment(const char *query_string);

/*
 * The rewriter is through with what was analysed last: rules count again, which
 * are not applied to a fragment (scope_rules.c).  The planner and the executor
 * say so before they do anything.
 */
extern void shoal_scope_resume_rules(void);

/*
 * What the trusted marker that the text begins with says of the snapshot;
 * SHOAL_SNAPSHOT_OWN if there is none.  Cheap.
 */
extern ShoalSnapshotKind shoal_scope_snapshot(const char *query_string);

/*
 * Plans a query so that it sees just the scope: one shard by putting the
 * partition in its parent's place, several by hiding the others, all without
 * touching anything.  Also makes the plan return transition states if
 * scope->partial.
 */
extern PlannedStmt *shoal_scope_plan(Query *query, const char *query_string,
									 int cursor_options, ParamListInfo params,
									 const ShoalScope *scope);

/*
 * How many processors a node has for its part of a query over shards of a
 * group, as it shares them with other nodes of this machine.  A large number if
 * that is not known.
 */
extern int	shoal_scope_processors(int group_id, int node_id);

/*
 * Node-local work of Shoal in this backend (maintenance statements, DDL under
 * way): between enter and leave every query sees all that lies here and
 * nothing is forwarded.  Nestable; abort resets it (main transaction and
 * subtransaction).
 */
extern void shoal_scope_enter_local(void);
extern void shoal_scope_leave_local(void);

/*
 * Honours the marker of this very text (NULL: of none) while the backend plans
 * a fragment of its own.  Returns what was trusted before, to be put back at
 * the end and on error.
 */
extern const char *shoal_scope_trust(const char *query_string);

/*
 * Tells that a query on a distributed table is planned within local work; its
 * plan is forgotten at the end of that.
 */
extern void shoal_scope_note_local_plan(void);

/* True inside enter/leave_local. */
extern bool shoal_scope_is_local_work(void);

/*
 * True if the query being planned now is a foreign-key check or action that
 * the server itself runs: it must see local data only.
 */
extern bool shoal_scope_is_foreign_key_check(const char *query_string);

/*
 * To be called where an error in a query's execution is caught, before it is raised
 * again: raises another one, clearer to the user, if a foreign key's action would
 * have moved a row to another node.
 */
struct QueryDesc;
extern void shoal_scope_explain_action(const struct QueryDesc *desc,
									   MemoryContext context);

/*
 * A COPY that goes to the replicas as well as to the primaries is marked by
 * this, which tells the sender's view of them, by shard (ShoalGroup.placements).
 */
extern char *shoal_scope_copies_marker(const uint32 *placements, int shard_count);

/* True if the statement is so marked; sets shoal_scope_copies_placements. */
extern bool shoal_scope_says_copies(const PlannedStmt *stmt,
									const char *query_string);

/*
 * In which subtransaction (by its nesting level, 0: none) such a COPY is under way:
 * what it writes is not to be repeated elsewhere.  Whoever sets it unsets it, on
 * error, too; functions that COPY calls may have errors that they catch.
 */
extern int	shoal_scope_copies_here;
extern const uint32 *shoal_scope_copies_placements;
extern int	shoal_scope_copies_shards;	/* how many shards these are about */

/*
 * Locks a shard's partition; InvalidOid (and no lock) if it is not here.
 * same_row tells if it has the parent's column numbers.  The caller holds a
 * lock on the parent.
 */
extern Oid	shoal_scope_lock_child(Oid parent, int shard, LOCKMODE lockmode,
								   bool *same_row);

/*
 * Whether this node has the shard's primary; if so, the table's partition is locked.
 * Whoever is about to move it lets a writer pass, or is waited for.
 */
extern bool shoal_scope_settle(Oid parent, int shard, LOCKMODE lockmode);

/* Error 40001, marked as that of a shard that has moved. */
extern void shoal_scope_raise_not_here(int group_id, int shard)
			__attribute__((noreturn));

/* Whether this transaction has locked the shard here as writers do, so that it can't move. */
extern bool shoal_scope_is_kept(int group_id, int shard);

/* ---- snapshots ---- */

struct ShoalGroup;

/* Whether a copy on this node of one of the shards (NULL: of any) is younger. */
extern bool shoal_scope_is_older(Snapshot snapshot, const struct ShoalGroup *group,
								 const Bitmapset *shards);

/*
 * Error 40001 if that is so of a shard that the plan reads; the text is the
 * statement's, and may have a marker.
 */
extern void shoal_scope_check_snapshot(const PlannedStmt *stmt, const char *text,
									   Snapshot snapshot);

/* ---- triggers ---- */

/* what a statement does to a table */
#define SHOAL_EVENT_INSERT	1
#define SHOAL_EVENT_UPDATE	2
#define SHOAL_EVENT_DELETE	4

/* updates_conflicts: it has ON CONFLICT DO UPDATE; actions: of a MERGE */
extern int	shoal_scope_events(CmdType command, bool updates_conflicts,
							   List *actions);

/* Are there statement triggers for one of the events?  (NULL: none.) */
extern bool shoal_scope_has_triggers(const TriggerDesc *triggers, int events);

/* ... such that want transition tables? */
extern bool shoal_scope_is_transitional(const TriggerDesc *triggers, int events);

/*
 * Is it a row trigger that the coordinator fires, if the statement is one whose
 * triggers it fires (plan_fire.c)?  All but those of the server itself and of Shoal,
 * and constraint triggers that may be deferred.
 */
extern bool shoal_scope_is_movable(const Trigger *trigger);

/*
 * Leaves just the row triggers that are movable, and statement triggers; or all
 * others.  In place: the struct must be the caller's own.
 */
extern void shoal_scope_keep_triggers(TriggerDesc *triggers, bool movable);

/*
 * Has a fragment that has been started (and is not executed yet) fire no
 * triggers, but for those that are the node's business.
 */
extern void shoal_scope_mute_fragment(QueryDesc *desc);

/*
 * The same for what is done with a relation, by COPY, until unmute, which is
 * to be called after an error, too.  The caller holds a lock on it.
 */
extern TriggerDesc shoal_scope_mute_relation(Relation rel);
extern void shoal_scope_unmute_relation(Relation rel, const TriggerDesc *saved);

/* Installs its hooks, before those of the plan layer.  From _PG_init. */
extern void shoal_scope_init(void);

#endif							/* SCOPE_H */
