/*
 * xact_patience.c
 *		Taking several locks without holding some while the others are waited
 *		for.
 *
 * Whoever waits for a strong lock has everybody else queue up behind, and may
 * be part of a deadlock with the locks that it has already.  So an attempt
 * takes all locks in a subtransaction, under a short lock_timeout; if it fails
 * all are let go, and the caller tries again after a pause.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/base_compat.h"
#include "xact/xact.h"

bool
shoal_xact_try_locks(void (*take) (void *arg), void *arg, int milliseconds)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		int			nest_level = NewGUCNestLevel();

		(void) set_config_option("lock_timeout", psprintf("%d", milliseconds),
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
								 true, 0, false);
		take(arg);
		AtEOXact_GUC(true, nest_level);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	return error == NULL;
}
