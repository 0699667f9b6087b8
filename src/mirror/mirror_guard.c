/*
 * mirror_guard.c
 *		No write to shards without the triggers that repeat it on replicas.
 *
 * pg_dump leaves internal triggers out, so a database that pg_upgrade has moved to
 * another server does not have them any more, and copies would come to differ from the
 * first write on.  So after each start of a server the recovery worker looks whether
 * they are there, and makes them.  Who wants to write before that looks himself; if one is
 * missing it is an error.
 *
 * That all are there is known in shared memory: from then on they come and go with the
 * tables.
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "base/base_compat.h"
#include "ddl/ddl.h"
#include "meta/meta.h"
#include "mirror/mirror_private.h"
#include "xact/xact.h"
#include "xact/xact_health.h"

/* how long the worker waits for a table that somebody has locked, until its next visit */
#define LOCK_PATIENCE "5s"

bool
mirror_is_guarded(void)
{
	static bool known = false;

	if (known || !shoal_meta_enabled())
		return true;
	if (!shoal_health_is_mirrored() && shoal_ddl_is_mirrored())
		shoal_health_set_mirrored();
	known = shoal_health_is_mirrored();
	return known;
}

void
mirror_refuse(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("node %d cannot repeat writes on replicas yet", shoal_meta_local_node_id()),
			 errdetail("Its database comes from another server, and the triggers that do that have not been made again."),
			 errhint("Try again in a moment.")));
}

/* In the recovery worker, as the owner of the extension. */
static void
make_triggers(void)
{
	if (mirror_is_guarded())
		return;
	(void) set_config_option("lock_timeout", LOCK_PATIENCE, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
	shoal_ddl_mirror_all();
	ereport(LOG,
			(errmsg("made the triggers of database \"%s\" that repeat writes on replicas",
					get_database_name(MyDatabaseId)),
			 errdetail("The database comes from another server.")));
}

void
mirror_guard_init(void)
{
	shoal_xact_on_visit = make_triggers;
}
