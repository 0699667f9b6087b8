/*
 * plan_fragment.h
 *		What the planner hands to the executor.
 *
 * A fragment is compiled into a CustomScan named SHOAL_SCAN.  Expressions
 * (the parameters) are in custom_exprs, so that core's plan-tree code
 * sees them; the rest is in custom_private in a form copyObject understands.
 * Use the functions below, never the lists.
 */
#ifndef PLAN_FRAGMENT_H
#define PLAN_FRAGMENT_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

/* names under which exec registers its CustomScanMethods */
#define SHOAL_SCAN		"Shoal Scan"	/* rows (or count) of a fragment */
#define SHOAL_INSERT	"Shoal Insert"	/* rows of the child plan to shards */
#define SHOAL_WITH		"Shoal With"	/* statements one after the other */
#define SHOAL_MOVED		"Shoal Moved Rows"	/* rows moved to this node */
#define SHOAL_MOVED_FILES "Shoal Moved Files"	/* removes their files */

typedef struct ShoalSortKey
{
	AttrNumber	column;			/* 1-based column of the fragment's rows */
	Oid			sortop;			/* the "less than" (or "greater") operator */
	Oid			collation;
	bool		nulls_first;
} ShoalSortKey;

#define SHOAL_GROUP_HERE	(-1)

typedef struct ShoalFragment
{
	char	   *text;			/* SQL without marker; $1.. are params */
	int			group_id;		/* 0: needs no shard (reference tables only);
								 * SHOAL_GROUP_HERE: planned here, as if the
								 * user had sent the text */
	CmdType		command;		/* CMD_SELECT, or what the text does */
	bool		returns_rows;	/* a SELECT, or has RETURNING */
	bool		partial;		/* aggregates come as transition states */
	bool		every_node;		/* write to a reference table: run on every
								 * node, lowest id first; rows and count are
								 * the first one's */
	bool		sees_rows;		/* and what it does depends on which rows are
								 * there */
	bool		single_shard;	/* pins leave just one shard */
	bool		locks_rows;		/* a SELECT with FOR UPDATE or the like */
	bool		only_primary;	/* replicas will not do */
	int			policies;		/* WITH queries at its start that are for the
								 * node's policies, see plan_policy.c */
	int			rights;			/* as in ShoalScope */
	bool		is_timed;		/* it may ask for the transaction's time there */
	bool		is_volatile;	/* running it twice may not be the same */
	Oid			run_as;			/* role whose rights count for its tables: the
								 * owner of a view; InvalidOid: the current
								 * user's */
	List	   *params;			/* Expr, each evaluated once at start */
	int			nsent;			/* the first nsent of them are $1.. in text; the
								 * others are for pins only */

	/*
	 * Which shards.  NIL: all of the group (for a reference or single-shard
	 * group: shard 0).  Else a list of pins; a shard is needed if any pin
	 * selects it.  A pin is an int List: for each key column the index (from
	 * 0) into params of its value, whose type is the expression's.  With
	 * pin_is_array (one-column keys only) the param is an array and each of
	 * its elements counts.  A pin with a NULL selects no shard (strict
	 * equality), so a fragment may need none and return no rows; except with
	 * command CMD_INSERT, where a NULL key is hashed like any value.
	 */
	List	   *pins;
	List	   *pin_is_array;	/* int list, parallel to pins */
	Oid			pin_relid;		/* a table of the group, to hash by */

	List	   *steps;			/* ShoalFragmentStep *: what is worked out before */
	List	   *moves;			/* ShoalFragmentMove *: what is moved before */
	List	   *share_tables;	/* OID list, see plan_share.h */
	List	   *triggers;		/* OID list, see plan_triggers.h */
	List	   *sort;			/* ShoalSortKey *: each node's rows come in
								 * this order and are to be merged */
	const char *way;			/* "router", "push", "pull": for EXPLAIN */
	const char *reason;			/* why not a better way, or NULL */
} ShoalFragment;

/*
 * Rows that nodes send to the nodes of a fragment before it runs.  source's
 * text is "SELECT shoal.scatter($n, columns) FROM ...": each node returns the
 * number of rows that it has sent.
 */
typedef struct ShoalFragmentMove
{
	ShoalFragment *source;
	int			source_param;	/* index into source's params: n */
	int			spec_param;		/* index into the fragment's params: the
								 * argument of shoal.moved_rows */
	Oid			relid;			/* each row goes to the shard of this table that
								 * the first column is a key of; InvalidOid: all
								 * rows go to every node */
	double		rows;			/* estimated */
} ShoalFragmentMove;

/*
 * A value that is worked out here before the fragment's shards are known.
 * source's text is "SELECT expression", planned as a statement of its own.
 */
typedef struct ShoalFragmentStep
{
	ShoalFragment *source;
	int			param;			/* index into the fragment's params */
} ShoalFragmentStep;

/* Stores a fragment in a CustomScan's lists / reads it back (palloc'd). */
extern void shoal_fragment_store(CustomScan *cscan, const ShoalFragment *frag);
extern ShoalFragment *shoal_fragment_load(CustomScan *cscan);

/*
 * Shoal Insert: rows of the child plan (outer plan, its non-junk columns in
 * the order of attnums) go to the shards of a table by key, or to all nodes
 * for a reference table.
 */
typedef struct ShoalInsert
{
	Oid			relid;
	Oid			run_as;			/* as in ShoalFragment; then never by COPY */
	List	   *attnums;		/* int list: target columns, in child order */
	bool		use_copy;		/* no ON CONFLICT, no RETURNING, no row
								 * security: rows may go by COPY */
	bool		returns_rows;	/* has RETURNING */
	bool		locked;			/* rows of the table that the child has locked:
								 * they are written as of after that */
	int			row_column;		/* the column of attnums that has their ctid, or
								 * their content, by which they are found; of
								 * several with the same the first one counts; 0:
								 * all do */
	int			rights;			/* as in ShoalScope: of the statement, where nodes
								 * are sent others */
	bool		is_timed;		/* as in ShoalFragment */
	bool		by_shard;		/* a statement for each shard, not for each node */
	bool		unjoined;		/* each locked row comes once */

	/*
	 * For rows sent by INSERT: text before and after VALUES.  head ends in
	 * "(a, b) [OVERRIDING SYSTEM VALUE] ", tail starts with a blank or is
	 * empty ("ON CONFLICT ... RETURNING ..."); tail may refer to tail_params
	 * as $1..$n, the rows' own parameters follow after them.
	 */
	char	   *head;
	char	   *tail;
	List	   *tail_params;	/* Expr */
	List	   *triggers;		/* OID list, see plan_triggers.h */
	struct ShoalFire *fire;		/* NULL: row triggers fire on nodes */
} ShoalInsert;

/*
 * A write whose row triggers are fired by the coordinator: what the node then
 * does (exec_fire.c).  The child's columns are: those of an INSERT that are given
 * (attnums); or those that find the row again, the row's number of them being
 * nfind, a ctid by which it is told from others, all columns of the row as it is
 * (not those that are dropped), new values of those in set.  Then those of
 * RETURNING that are no columns of the table.
 *
 * Statements for nodes begin with a head, then come rows, then the tail.  Rows of
 * an INSERT have the columns in written; those of a DELETE the ones that find the
 * row and a number; those of an UPDATE the same and the columns in updated.
 * INSERT and UPDATE return all columns of the table, after the number in
 * an UPDATE; a DELETE just the number.
 *
 * ON CONFLICT DO UPDATE has a query that finds, for the columns in written of
 * one row, the row that is in the way: its place, all of its columns, the new
 * values of those in set, and whether it is to be updated.  INSERT and UPDATE
 * return the place of the row, too, in the end.
 */
typedef struct ShoalFire
{
	CmdType		command;
	int			nfind;
	bool		distinct;		/* a row may come several times; once counts */
	bool		one_by_one;		/* an INSERT may leave rows out */
	bool		rooted;			/* foreign keys refer to the table ... */
	bool		acts;			/* ... and their actions are taken here */
	List	   *find_types;		/* OID list: of the columns that find a row */
	List	   *set;			/* int list: columns */
	List	   *written;
	List	   *updated;
	char	   *insert_head;
	char	   *insert_tail;
	char	   *update_head;	/* NULL in an INSERT or DELETE */
	char	   *update_tail;
	char	   *delete_head;	/* NULL in an INSERT */
	char	   *delete_tail;
	char	   *conflict_text;	/* of ON CONFLICT DO UPDATE, else NULL */
	List	   *conflict_params;	/* Expr: what it needs before the row */
} ShoalFire;

extern void shoal_insert_store(CustomScan *cscan, const ShoalInsert *insert);
extern ShoalInsert *shoal_insert_load(CustomScan *cscan);

/* Names, with a number, of hidden columns of cursors (plan_current.c). */
#define SHOAL_CURRENT_NAME	"shoal current "

/*
 * Shoal With has in its custom_private: a list of PlannedStmts, which it runs in
 * that order; their numbers, by which shoal.written_rows() finds their rows
 * (int list; 0: the one whose rows and count are the statement's); their names.
 */

#endif							/* PLAN_FRAGMENT_H */
