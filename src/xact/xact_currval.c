/*
 * xact_currval.c
 *		The values of sequences that this session has got from other nodes.
 *
 * Core's currval() and lastval() know what nextval() has given here.  What another
 * node has given (xact_sequence.c) is kept here, and calls of these two become calls
 * of shoal.cluster_currval() and shoal.cluster_lastval() (plan_sequence.c), which look
 * here first.  A value that is given by this node takes the place of what is kept.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
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
}

void
shoal_currval_forget(Oid relid, bool is_next)
{
	(void) find(relid, HASH_REMOVE);
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

	if (kept == NULL || get_rel_name(relid) == NULL)
		return OidFunctionCall1(F_CURRVAL, ObjectIdGetDatum(relid));
	check_rights(relid);
	PG_RETURN_INT64(kept->value);
}

/* shoal.cluster_lastval() */
Datum
shoal_cluster_lastval(PG_FUNCTION_ARGS)
{
	if (!OidIsValid(last) || get_rel_name(last) == NULL)
		return OidFunctionCall0(F_LASTVAL);
	check_rights(last);
	PG_RETURN_INT64(find(last, HASH_FIND)->value);
}
