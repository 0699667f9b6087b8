/*
 * ddl_drop.c
 *		Forgetting tables that are dropped.
 *
 * Every node drops its own relation (DROP is forwarded as it stands), so each
 * deletes its own metadata when core tells that a relation goes away, whatever
 * statement that was: DROP TABLE, SCHEMA, OWNED, EXTENSION or a cascade.  When
 * the table is dropped its partitions have gone before it, so that the shards'
 * schemas of a group are empty with its last table.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "utils/lsyscache.h"

#include "ddl/ddl.h"
#include "meta/meta.h"

static object_access_hook_type next_object_access = NULL;

static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
				 int sub_id, void *arg)
{
	if (next_object_access)
		next_object_access(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0 &&
		shoal_meta_table(object_id) != NULL)
		shoal_meta_drop_table(object_id);
}

void
shoal_ddl_drop_init(void)
{
	next_object_access = object_access_hook;
	object_access_hook = on_object_access;
}
