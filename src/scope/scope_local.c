/*
 * scope_local.c
 *		Node-local work of this backend, and whether it trusts markers.
 *
 * Node-local work is a stack of nesting: each entry remembers the transaction nesting
 * level at which it was made, so that aborting a subtransaction drops just
 * what was entered within it.  Aborting the transaction drops everything; a
 * commit nothing, as VACUUM and the like commit on their way.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "base/base_settings.h"
#include "scope/scope.h"
#include "scope/scope_internal.h"

typedef struct Nesting
{
	int			depth;
	int			allocated;
	int		   *levels;			/* transaction nesting level of each entry */
} Nesting;

static Nesting local_work;
static const char *trusted_text = NULL;

/* has local work planned a query on a distributed table? */
static bool local_plans = false;

static void
enter(Nesting *nesting)
{
	if (nesting->depth == nesting->allocated)
	{
		int			allocated = Max(8, nesting->allocated * 2);

		if (nesting->levels == NULL)
			nesting->levels = MemoryContextAlloc(TopMemoryContext,
												 sizeof(int) * allocated);
		else
			nesting->levels = repalloc(nesting->levels,
									   sizeof(int) * allocated);
		nesting->allocated = allocated;
	}
	nesting->levels[nesting->depth++] = GetCurrentTransactionNestLevel();
}

static void
leave(Nesting *nesting)
{
	/* an abort may have been here before a PG_FINALLY block */
	if (nesting->depth > 0)
		nesting->depth--;
}

void
shoal_scope_enter_local(void)
{
	enter(&local_work);
}

/*
 * Functions keep their plans: those that see only what lies here must not
 * outlive the local work.
 */
static void
forget_local_plans(void)
{
	if (local_plans && local_work.depth == 0)
	{
		local_plans = false;
		ResetPlanCache();
	}
}

void
shoal_scope_leave_local(void)
{
	leave(&local_work);
	forget_local_plans();
}

void
shoal_scope_note_local_plan(void)
{
	local_plans = true;
}

const char *
shoal_scope_trust(const char *query_string)
{
	const char *before = trusted_text;

	trusted_text = query_string;
	return before;
}

/*
 * In a coordinator's session what it sent is trusted, not what functions run
 * besides: those are any user's.  What a superuser runs is trusted, too.
 */
bool
shoal_scope_is_trusted(const char *query_string)
{
	const char *text = shoal_origin > 0 ? debug_query_string : NULL;

	return (text && (text == query_string || strcmp(text, query_string) == 0 ||
					 superuser())) ||
		(trusted_text && strcmp(trusted_text, query_string) == 0);
}

bool
shoal_scope_is_local_work(void)
{
	return local_work.depth > 0;
}

static bool
begins_with(const char *text, const char *word)
{
	return strncmp(text, word, strlen(word)) == 0;
}

/*
 * Only core's foreign-key triggers set NOFORCE_RLS.  But it is also set while
 * a row trigger of the user's runs inside of a cascading action, and the
 * queries of that function are the user's own; so have a look at the text,
 * which core puts together in one way only.
 */
bool
shoal_scope_is_foreign_key_check(const char *query_string)
{
	Oid			userid;
	int			context;

	GetUserIdAndSecContext(&userid, &context);
	if ((context & SECURITY_NOFORCE_RLS) == 0 || query_string == NULL)
		return false;
	return (begins_with(query_string, "SELECT 1 FROM ") ||
			begins_with(query_string, "DELETE FROM ") ||
			begins_with(query_string, "UPDATE ")) &&
		strstr(query_string, " OPERATOR(") != NULL;
}

static void
on_xact_event(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
	{
		local_work.depth = 0;
		trusted_text = NULL;
		forget_local_plans();
	}
}

static void
on_subxact_event(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (local_work.depth > 0 &&
		   local_work.levels[local_work.depth - 1] >= level)
		local_work.depth--;
	forget_local_plans();
}

void
shoal_scope_local_init(void)
{
	RegisterXactCallback(on_xact_event, NULL);
	RegisterSubXactCallback(on_subxact_event, NULL);
}
