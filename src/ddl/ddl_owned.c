/*
 * ddl_owned.c
 *		DROP OWNED where several nodes share a server.
 *
 * DROP OWNED drops what a role owns in the database and takes back its rights
 * there, and also its rights on what databases share.  The latter may be done
 * by one node of a server only: the next would wait for the first one's
 * transaction, which waits for it.  So all but one leave that out: the one is
 * the coordinator if it is in this server, else the node with the lowest id.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_shdepend.h"
#include "commands/policy.h"
#include "commands/user.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

/* True if another node of this server takes care of shared objects. */
static bool
shared_by_other(void)
{
	const ShoalNode *self = shoal_meta_node(shoal_meta_local_node_id());
	ListCell   *lc;

	if (shoal_origin == 0 || self == NULL)
		return false;
	foreach(lc, shoal_meta_nodes())
	{
		const ShoalNode *node = (const ShoalNode *) lfirst(lc);

		if (node != self && node->system_id == self->system_id &&
			(node->node_id == shoal_origin || node->node_id < self->node_id))
			return true;
	}
	return false;
}

/* One thing of this database that the role has to do with. */
static void
drop_dependency(Oid roleid, Form_pg_shdepend dep, ObjectAddresses *objects)
{
	ObjectAddress address;

	ObjectAddressSubSet(address, dep->classid, dep->objid, dep->objsubid);
	switch (dep->deptype)
	{
		case SHARED_DEPENDENCY_ACL:
			RemoveRoleFromObjectACL(roleid, dep->classid, dep->objid);
			break;
		case SHARED_DEPENDENCY_POLICY:
			/* a policy for nobody else goes */
			if (!RemoveRoleFromObjectPolicy(roleid, dep->classid, dep->objid))
				add_exact_object_address(&address, objects);
			break;
		case SHARED_DEPENDENCY_OWNER:
			add_exact_object_address(&address, objects);
			break;
		default:
			shoal_drop_initial_privileges(roleid, dep);
			break;
	}
}

static void
drop_owned_by(Oid roleid, ObjectAddresses *objects)
{
	Relation	shdepend = table_open(SharedDependRelationId, RowExclusiveLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&key[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(roleid));
	scan = systable_beginscan(shdepend, SharedDependReferenceIndexId, true,
							  NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend dep = (Form_pg_shdepend) GETSTRUCT(tuple);

		if (dep->dbid == MyDatabaseId)
			drop_dependency(roleid, dep, objects);
	}
	systable_endscan(scan);
	table_close(shdepend, NoLock);
}

bool
shoal_ddl_drop_owned(DropOwnedStmt *stmt)
{
	ObjectAddresses *objects;
	List	   *roleids;
	ListCell   *lc;

	if (!shared_by_other())
		return false;
	roleids = roleSpecsToIds(stmt->roles);
	foreach(lc, roleids)
	{
		if (!has_privs_of_role(GetUserId(), lfirst_oid(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to drop objects")));
	}
	objects = new_object_addresses();
	foreach(lc, roleids)
		drop_owned_by(lfirst_oid(lc), objects);
	shoal_scope_enter_local();
	performMultipleDeletions(objects, stmt->behavior, 0);
	shoal_scope_leave_local();
	free_object_addresses(objects);
	return true;
}
