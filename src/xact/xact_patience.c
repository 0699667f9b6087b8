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

#include "utils/guc.h"

#include "base/base_compat.h"
#include "base/base_server.h"
#include "xact/xact.h"

typedef struct Attempt
{
	void		(*take) (void *arg);
	void	   *arg;
	int			milliseconds;
} Attempt;

static void
take_in_time(void *arg)
{
	const Attempt *attempt = arg;
	int			nest_level = NewGUCNestLevel();

	(void) set_config_option("lock_timeout", psprintf("%d", attempt->milliseconds),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	attempt->take(attempt->arg);
	AtEOXact_GUC(true, nest_level);
}

bool
shoal_xact_try_locks(void (*take) (void *arg), void *arg, int milliseconds)
{
	Attempt		attempt = {take, arg, milliseconds};
	ErrorData  *error = shoal_server_try(take_in_time, &attempt);

	if (error && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	return error == NULL;
}
