/*
 * xact_callbacks.c
 *		Core tells us where the transaction is.
 */
#include "postgres.h"

#include "utils/resowner.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "xact/xact.h"
#include "xact/xact_health.h"
#include "xact/xact_private.h"
#include "xact/xact_shared.h"

static void
reset(void)
{
	xact_single_reset();
	xact_constraints_reset();
	xact_moment_reset();
	xact_victim_end();
	xact_health_reset();
	xact_sole_reset();
	xact_export_reset();
	xact_role_reset();
	xact_session_reset();
	xact_currval_reset();
}

static void
on_xact(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			xact_before_commit();
			xact_session_before_end();
			xact_snapshot_release();
			break;
		case XACT_EVENT_COMMIT:
			xact_after_commit();
			reset();
			break;
		case XACT_EVENT_ABORT:
			xact_snapshot_forget();
			xact_moment_reset();
			xact_after_abort();
			reset();
			break;
		case XACT_EVENT_PRE_PREPARE:
			/* on a node it is a coordinator that prepares its part */
			if (shoal_origin == 0)
				xact_before_prepare();
			xact_session_before_end();
			xact_snapshot_release();
			break;
		case XACT_EVENT_PREPARE:
			xact_after_prepare();
			reset();
			break;
		default:
			break;
	}
}

static void
on_release(ResourceReleasePhase phase, bool commit, bool is_top, void *arg)
{
	if (phase == RESOURCE_RELEASE_AFTER_LOCKS && commit && is_top)
		xact_after_locks();
}

static void
on_subxact(SubXactEvent event, SubTransactionId subid,
		   SubTransactionId parent, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_START_SUB:
			xact_single_start_sub();
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			xact_commit_sub(GetCurrentTransactionNestLevel());
			xact_constraints_end_sub(GetCurrentTransactionNestLevel(), true);
			xact_session_end_sub(GetCurrentTransactionNestLevel(), true);
			xact_moment_end_sub(GetCurrentTransactionNestLevel(), true);
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			xact_moment_end_sub(GetCurrentTransactionNestLevel(), false);
			xact_abort_sub(GetCurrentTransactionNestLevel());
			xact_constraints_end_sub(GetCurrentTransactionNestLevel(), false);
			xact_session_end_sub(GetCurrentTransactionNestLevel(), false);
			xact_single_abort_sub();
			break;
		default:
			break;
	}
}

void
shoal_xact_init(void)
{
	RegisterXactCallback(on_xact, NULL);
	RegisterSubXactCallback(on_subxact, NULL);
	RegisterResourceReleaseCallback(on_release, NULL);
	xact_single_init();
	xact_shared_init();
	xact_health_init();
	xact_sequence_init();
	xact_worker_init();
	xact_victim_init();
	xact_export_init();
	xact_session_init();
}
