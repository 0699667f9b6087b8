/*
 * scope_rules.c
 *		Rules are applied by the coordinator, not once more by the nodes.
 *
 * The rewriter of the session in which a statement was issued has made of it
 * all that the rules of its tables ask for, and each of the statements that came
 * out goes its own way.  A node that is sent one of them would apply the same
 * rules to it again.  The rewriter leaves out rules where a session replays
 * what was done elsewhere, so that is what the session says it does, from the
 * analysis of a fragment that writes until it is planned.  Nothing runs in
 * between, so triggers do not notice.
 *
 * Whatever comes instead of the planner (another statement, an error, the
 * execution of a plan that was there before) ends that, too.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "parser/analyze.h"

#include "scope/scope.h"
#include "scope/scope_internal.h"

static post_parse_analyze_hook_type previous_analyze_hook = NULL;

static bool suspended = false;
static int	role_before;

static void
suspend_rules(void)
{
	if (suspended)
		return;
	role_before = SessionReplicationRole;
	SessionReplicationRole = SESSION_REPLICATION_ROLE_REPLICA;
	suspended = true;
}

void
shoal_scope_resume_rules(void)
{
	if (!suspended)
		return;
	SessionReplicationRole = role_before;
	suspended = false;
}

static void
after_analysis(ParseState *pstate, Query *query, JumbleState *jstate)
{
	bool		writes = query->hasModifyingCTE ||
		(query->commandType != CMD_SELECT && query->commandType != CMD_UTILITY);

	if (writes && shoal_scope_is_fragment(pstate->p_sourcetext))
		suspend_rules();
	else
		shoal_scope_resume_rules();
	if (previous_analyze_hook)
		previous_analyze_hook(pstate, query, jstate);
}

static void
on_xact_event(XactEvent event, void *arg)
{
	shoal_scope_resume_rules();
}

static void
on_subxact_event(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent, void *arg)
{
	shoal_scope_resume_rules();
}

void
shoal_scope_rules_init(void)
{
	previous_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = after_analysis;
	RegisterXactCallback(on_xact_event, NULL);
	RegisterSubXactCallback(on_subxact_event, NULL);
}
