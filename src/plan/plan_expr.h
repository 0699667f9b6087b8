/*
 * plan_expr.h
 *		Where an expression may be evaluated.
 */
#ifndef PLAN_EXPR_H
#define PLAN_EXPR_H

#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"

/*
 * True if the expression has one value for the whole statement that has to be
 * worked out here: it reads no columns and its own function is not immutable
 * (now(), current_user, a user's stable function of constants).  Such an
 * expression becomes a parameter of the fragment.  With volatile_too (rows of
 * an INSERT, where each expression is evaluated once) also nextval() and other
 * volatile functions.  A parameter of the statement itself counts as well.
 */
extern bool shoal_expr_is_here(Node *node, bool volatile_too);

/*
 * True if the node (an expression or a Query) holds a function that must not
 * run on a node, apart from what shoal_expr_is_here turns into parameters:
 * functions on sequences, and functions of users that are not immutable and
 * not written in C (they may read tables).
 */
extern bool shoal_expr_is_stuck(Node *node, bool volatile_too);

/*
 * Does an expression call a function that is wanted, or (calls_users) one that is not
 * built in?  Subqueries are not looked into.
 */
extern bool shoal_expr_calls(Node *node, check_function_callback is_wanted,
							 void *context);
extern bool shoal_expr_calls_users(Node *node);

/* Does it depend on something that core works out while it runs the plan? */
extern bool shoal_expr_has_exec_param(Node *node);

/* Like contain_volatile_functions, without what becomes a parameter. */
extern bool shoal_expr_is_volatile(Node *node, bool volatile_too);

/* Is it about who the user is (current_user and the like)? */
extern bool shoal_expr_names_user(Node *node);

/*
 * Does the node make, or read, a value of a domain, or of a type that is made of some?
 * Checks of domains may call functions of users.
 */
extern bool shoal_expr_is_checked(Node *node);

/* A function in schema shoal. */
extern Oid	shoal_expr_own_function(const char *name, int nargs,
									const Oid *argtypes);

/* shoal.text_of(value): its text, which does not depend on settings. */
extern Expr *shoal_expr_text_of(Expr *value);
extern bool shoal_expr_is_text_of(Node *node);

/* A column of a table, or a system column, as entry varno's. */
extern Var *shoal_expr_column(Oid relid, int varno, AttrNumber attno);

/*
 * Is the node a call of a function of ours that has to be made where the row
 * is: shoal.table_of(), what a tableoid becomes, shoal.ctid_of(), what a ctid
 * does, or shoal.has_left()?
 */
extern bool shoal_expr_is_of_row(Node *node);
extern bool shoal_expr_is_ctid_of(Node *node);

/*
 * Does the node take the value of a tableoid for a number?  Tables have other
 * numbers on each node; as regclass they travel by name.
 */
extern bool shoal_expr_numbers_table(Node *node);

/* True if the expression has no columns, subqueries or aggregates at all. */
extern bool shoal_expr_is_closed(Node *node);

/* The expression without relabelings (binary-compatible casts). */
extern Node *shoal_expr_strip(Node *node);

/*
 * True if the query refers to something outside of itself: columns,
 * aggregates or CTEs of an outer query.
 */
extern bool shoal_expr_reaches_out(Query *query);

/*
 * Does the query read a transition table of a trigger (or a part)?  There is no text
 * that stands for it.
 */
extern bool shoal_expr_reads_transition(Query *query);

/*
 * Can values of all these types (OID list) be received from a node?  Not
 * anonymous records, whose columns the receiver does not know.
 */
extern bool shoal_expr_are_sendable(List *types);

/* Does the query, or one inside of it, have FOR UPDATE or the like? */
extern bool shoal_expr_locks_rows(Node *node);

/* Are there conditions of policies on tables of the query? */
extern bool shoal_expr_has_policies(Query *query);

/* Does it have LIMIT or OFFSET?  OFFSET 0 says nothing. */
extern bool shoal_expr_limits(Query *query);

/*
 * Might the query, run on two nodes with equal tables, return other rows on each,
 * since it chooses among them by an order that is not total?  Not if it has
 * been asked about one row of an outer query.
 */
extern bool shoal_expr_chooses_rows(Query *query);

/* Is there a parameter in it, of whatever kind? */
extern bool shoal_expr_has_params(Node *node);

/*
 * A slot: a text parameter of a fragment whose value is known only when rows
 * have been moved for it.  Numbers are the planner's.
 */
extern Node *shoal_expr_make_slot(int number);
extern bool shoal_expr_is_slot(Node *node);
extern int	shoal_expr_slot_number(Node *slot);

/*
 * A slot of another kind: the value of an expression that is worked out here
 * before the fragment runs, and is of the expression's type.
 */
extern Node *shoal_expr_make_step(int number, Node *expr);
extern bool shoal_expr_is_step(Node *node);
extern int	shoal_expr_step_number(Node *step);

#endif							/* PLAN_EXPR_H */
