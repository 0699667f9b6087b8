/*
 * shoal.c
 *		Loading the library: settings and hooks, layer by layer.
 *
 * The library has to be in shared_preload_libraries: every backend needs the
 * planner and utility hooks, also for statements that nothing of Shoal's is
 * named in.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "remote/remote.h"
#include "xact/xact.h"
#include "plan/plan.h"
#include "exec/exec.h"
#include "ddl/ddl.h"
#include "mirror/mirror.h"
#include "ops/ops.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("shoal must be loaded through \"shared_preload_libraries\""),
				 errhint("Add shoal to \"shared_preload_libraries\" and restart the server.")));

	shoal_settings_init();
	shoal_meta_init();
	shoal_scope_init();
	shoal_remote_init();
	shoal_xact_init();
	shoal_plan_init();
	shoal_exec_init();
	shoal_ddl_init();
	shoal_mirror_init();
	shoal_ops_init();
}
