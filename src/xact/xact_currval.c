/*
 * xact_currval.c
 *		The values of sequences that this session has got from other nodes.
 *
 * Core's currval() and lastval() know what nextval() has given here.  What another
 * node has given (xact_sequence.c) is kept here, and calls of these two become calls
 * of shoal.cluster_currval() and shoal.cluster_lastval() (plan_sequence.c), which look
 * here first.  A value that is given by this node takes the place of what is kept.
 *
 * A function on a node knows what has been given to it in the same transaction.  Anything
 * else that the node's session has got was not the client's latest, which is known elsewhere.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "xact/xact_private.h"

PG_FUNCTION_INFO_V1(shoal_cluster_currval);
PG_FUNCTION_INFO_V1(shoal_cluster_lastval);

typedef struct LastValue
{
	Oid			relid;			/* must be first */
	int64		value;
} LastValue;

static HTAB *values = NULL;

/* the sequence that the session's latest value is of, if that was not given here */
static Oid	last = InvalidOid;

/* in the transaction's memory: the sequences that have given something to a node's session */
static List *given = NIL;

/* To remember it while the transaction lasts. */
static void
note_given(Oid relid)
{
	MemoryContext old;

	if (shoal_origin <= 0)
		return;
	old = MemoryContextSwitchTo(TopTransactionContext);
	given = list_append_unique_oid(given, relid);
	MemoryContextSwitchTo(old);
}

void
xact_currval_reset(void)
{
	given = NIL;
}

static void
check_known(bool known, const char *function)
{
	if (shoal_origin <= 0 || known)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a function that runs on a node cannot use %s before nextval()", function),
			 errdetail("The latest value was given to the client's session."),
			 errhint("Pass the value in a column, or let the function run on the coordinator: row triggers that cannot be deferred do.")));
}

static LastValue *
find(Oid relid, HASHACTION action)
{
	if (values == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(LastValue)};

		values = hash_create("Shoal values of sequences", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	return hash_search(values, &relid, action, NULL);
}

void
shoal_currval_keep(Oid relid, int64 value, bool is_next)
{
	find(relid, HASH_ENTER)->value = value;
	if (is_next)
		last = relid;
	note_given(relid);
}

void
shoal_currval_forget(Oid relid, bool is_next)
{
	(void) find(relid, HASH_REMOVE);
	note_given(relid);
	if (is_next || last == relid)
		last = InvalidOid;
}

void
shoal_currval_discard(void)
{
	last = InvalidOid;
	if (values)
		hash_destroy(values);
	values = NULL;
}

static void
check_rights(Oid relid)
{
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT | ACL_USAGE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for sequence %s", get_rel_name(relid))));
}

/* shoal.cluster_currval(sequence) */
Datum
shoal_cluster_currval(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	LastValue  *kept = find(relid, HASH_FIND);

	check_known(list_member_oid(given, relid), "currval()");
	if (kept == NULL || get_rel_name(relid) == NULL)
		return OidFunctionCall1(F_CURRVAL, ObjectIdGetDatum(relid));
	check_rights(relid);
	PG_RETURN_INT64(kept->value);
}

/* shoal.cluster_lastval() */
Datum
shoal_cluster_lastval(PG_FUNCTION_ARGS)
{
	check_known(given != NIL, "lastval()");
	if (!OidIsValid(last) || get_rel_name(last) == NULL)
		return OidFunctionCall0(F_LASTVAL);
	check_rights(last);
	PG_RETURN_INT64(find(last, HASH_FIND)->value);
}
