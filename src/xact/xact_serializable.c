/*
 * xact_serializable.c
 *		SERIALIZABLE is refused where it could not be kept.
 *
 * Each node checks for dangerous structures among its own transactions only.
 * So a serializable transaction may use just one node.  What it has used here
 * shows in its predicate locks (reads) and its transaction id (writes); this
 * is looked at when a node joins and again before commit.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "storage/predicate_internals.h"
#include "utils/lsyscache.h"

#include "base/base_compat.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

/* Whether this transaction has read tables here, other than Shoal's own. */
static bool
has_read_here(void)
{
	PredicateLockData *locks = GetPredicateLockStatusData();
	Oid			own = get_namespace_oid("shoal", true);

	for (int i = 0; i < locks->nelements; i++)
	{
		Oid			relid = GET_PREDICATELOCKTARGETTAG_RELATION(locks->locktags[i]);
		Oid			dboid = GET_PREDICATELOCKTARGETTAG_DB(locks->locktags[i]);
		Oid			nspid;

		/* locks of our earlier transactions may still be there */
		if (locks->xacts[i].pid != MyProcPid || dboid != MyDatabaseId ||
			(locks->xacts[i].flags & SXACT_FLAG_COMMITTED))
			continue;
		/* an index of Shoal's is in its schema, too */
		nspid = get_rel_namespace(relid);
		if (OidIsValid(nspid) && nspid != own)
			return true;
	}
	return false;
}

void
xact_check_serializable(List *conns)
{
	if (list_length(conns) == 1 &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny()) && !has_read_here())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("serializable transaction can't use several nodes"),
			 errdetail("Nodes don't know of each other's conflicts."),
			 errhint("Use REPEATABLE READ, or lock what must not change by SELECT ... FOR UPDATE.")));
}
