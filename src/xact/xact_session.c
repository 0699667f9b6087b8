/*
 * xact_session.c
 *		What functions on nodes do to the client's session.
 *
 * Some triggers run on nodes (scope_triggers.c).  A NOTIFY of theirs has to reach those
 * who listen where the client is, as it would if the trigger ran there, and a setting
 * that they change is to be changed for the client.  So on a node, calls of pg_notify()
 * and set_config() become calls of the functions below (plan_session.c), and the
 * commands come by here (ddl_session.c).  What they say is kept; it goes to the
 * coordinator when the client's statement is over, or else when the transaction ends, in
 * notices.  There it is kept, too, until the statement is over, as notices come from inside
 * libpq, and then done.
 *
 * A subtransaction that fails takes back what was said in it: one of a function's here,
 * and one that is the coordinator's there.  Both count levels alike, but the node does
 * not have those in which it has not been used.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "commands/async.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "remote/remote.h"
#include "scope/scope.h"
#include "xact/xact.h"
#include "xact/xact_private.h"

PG_FUNCTION_INFO_V1(shoal_session_notify);
PG_FUNCTION_INFO_V1(shoal_session_set_config);

/* bytes that a payload has at most, as in core */
#define MAX_PAYLOAD (BLCKSZ - NAMEDATALEN - 128 - 1)

/* Of one with a dot, whether it has not been set or was taken back makes no difference. */
char *
shoal_session_setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return pstrdup(value ? value : "");
}

/* ---- on the node ---- */

/* Something to be told to the coordinator. */
typedef struct Said
{
	int			level;			/* nesting level at which it was said */
	bool		is_setting;
	bool		is_local;		/* set for the transaction only */
	char	   *name;			/* of the channel or setting */
	char	   *value;			/* the payload; or what the setting was before */
} Said;

/* List of Said in the transaction's memory, in order */
static List *said = NIL;

/* The statement itself has been sent by the coordinator, or is about this node only. */
static bool
is_of_coordinator(const char *query_string)
{
	static const char local[] = "/*shoal local*/";

	return debug_query_string != NULL &&
		((query_string && strcmp(query_string, debug_query_string) == 0) ||
		 strncmp(debug_query_string, local, strlen(local)) == 0);
}

bool
shoal_session_is_elsewhere(const char *query_string)
{
	return shoal_origin > 0 && !IsParallelWorker() && !shoal_scope_is_local_work() &&
		!is_of_coordinator(query_string);
}

static Said *
say(const char *name, const char *value)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Said	   *entry = palloc0(sizeof(Said));

	entry->level = GetCurrentTransactionNestLevel();
	entry->name = pstrdup(name);
	entry->value = pstrdup(value);
	said = lappend(said, entry);
	MemoryContextSwitchTo(old);
	return entry;
}

/* The errors are core's. */
static void
check_notification(const char *channel, const char *payload)
{
	const char *problem = NULL;

	if (channel[0] == '\0')
		problem = "channel name cannot be empty";
	else if (strlen(channel) >= NAMEDATALEN)
		problem = "channel name too long";
	else if (strlen(payload) > MAX_PAYLOAD)
		problem = "payload string too long";
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg_internal("%s", problem)));
}

void
shoal_session_say_notification(const char *channel, const char *payload)
{
	Said	   *last = said == NIL ? NULL : llast(said);

	if (payload == NULL)
		payload = "";
	check_notification(channel, payload);
	/* one of several equal ones is delivered, mostly they follow each other */
	if (last == NULL || last->is_setting || strcmp(last->name, channel) != 0 ||
		strcmp(last->value, payload) != 0)
		(void) say(channel, payload);
}

/* What is not a session's only, or tells Shoal who the session's user is. */
static bool
is_settable(const char *name)
{
	return pg_strcasecmp(name, "role") != 0 &&
		pg_strcasecmp(name, "session_authorization") != 0 &&
		pg_strncasecmp(name, "transaction_", strlen("transaction_")) != 0;
}

void
shoal_session_say_setting(const char *name, const char *before, bool is_local)
{
	Said	   *entry;
	ListCell   *lc;

	if (!is_settable(name))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a function that runs on a node cannot set parameter \"%s\"", name)));
	foreach(lc, said)
	{
		entry = lfirst(lc);
		if (entry->is_setting && pg_strcasecmp(entry->name, name) == 0)
		{
			entry->is_local = is_local;
			return;
		}
	}
	entry = say(name, before);
	entry->is_setting = true;
	entry->is_local = is_local;
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* shoal.session_notify(channel, payload) */
Datum
shoal_session_notify(PG_FUNCTION_ARGS)
{
	char	   *channel = text_argument(fcinfo, 0);

	if (!shoal_session_is_elsewhere(NULL))
		return pg_notify(fcinfo);
	shoal_session_say_notification(channel ? channel : "", text_argument(fcinfo, 1));
	PG_RETURN_VOID();
}

/* shoal.session_set_config(name, value, is_local) */
Datum
shoal_session_set_config(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0);
	bool		told = name && shoal_session_is_elsewhere(NULL);
	char	   *before = told ? shoal_session_setting(name) : NULL;
	Datum		result = set_config_by_name(fcinfo);

	if (told)
		shoal_session_say_setting(name, before, !PG_ARGISNULL(2) && PG_GETARG_BOOL(2));
	return result;
}

static void
tell(const Said *entry, const char *value)
{
	StringInfoData message;

	pq_beginmessage(&message, 'N');
	pq_sendbyte(&message, PG_DIAG_SEVERITY_NONLOCALIZED);
	pq_sendstring(&message, !entry->is_setting ? SHOAL_NOTIFY_SEVERITY :
				  entry->is_local ? SHOAL_SET_LOCAL_SEVERITY : SHOAL_SET_SEVERITY);
	pq_sendbyte(&message, PG_DIAG_MESSAGE_DETAIL);
	pq_sendstring(&message, entry->name);
	pq_sendbyte(&message, PG_DIAG_MESSAGE_PRIMARY);
	pq_sendstring(&message, value);
	pq_sendbyte(&message, PG_DIAG_CONTEXT);
	pq_sendstring(&message, entry->value);
	pq_sendbyte(&message, PG_DIAG_MESSAGE_HINT);
	pq_sendstring(&message, psprintf("%d", entry->level));
	pq_sendbyte(&message, '\0');
	pq_endmessage(&message);
}

/* A setting is told as it is now: some of what was said may have been taken back. */
static void
tell_all(void)
{
	ListCell   *lc;

	foreach(lc, said)
	{
		Said	   *entry = lfirst(lc);
		const char *value = entry->value;

		if (entry->is_setting)
		{
			value = shoal_session_setting(entry->name);
			if (strcmp(entry->value, value) == 0)
				continue;
		}
		tell(entry, value);
	}
	said = NIL;
}

/* ---- at the coordinator ---- */

/* What a node has told. */
typedef struct Heard
{
	dlist_node	node;
	int			level;			/* nesting level of its transaction */
	bool		is_setting;
	bool		is_local;
	bool		is_done;		/* the node commits this, whatever we think of it */
	char	   *value;			/* behind the name */
	char	   *before;			/* behind the value: what the setting was there */
	char		name[FLEXIBLE_ARRAY_MEMBER];
} Heard;

static dlist_head heard = DLIST_STATIC_INIT(heard);

/* there was no memory for something */
static bool lost = false;

/* From inside of libpq: raises no error. */
static void
hear(ShoalConn *conn, const PGresult *notice)
{
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *name = PQresultErrorField(notice, PG_DIAG_MESSAGE_DETAIL);
	const char *value = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
	const char *before = PQresultErrorField(notice, PG_DIAG_CONTEXT);
	const char *level = PQresultErrorField(notice, PG_DIAG_MESSAGE_HINT);
	int			here = GetCurrentTransactionNestLevel();
	bool		is_setting = severity && strcmp(severity, SHOAL_NOTIFY_SEVERITY) != 0;
	Heard	   *entry;

	if (is_setting)
		shoal_remote_forget_settings(conn);
	/* a transaction that is being ended has no use for it */
	if (!IsTransactionState() && conn->sent_level >= here)
		return;
	if (!name || !value || !before || !level ||
		(entry = MemoryContextAllocExtended(TopMemoryContext, offsetof(Heard, name) + strlen(name) +
											strlen(value) + strlen(before) + 3,
											MCXT_ALLOC_NO_OOM)) == NULL)
	{
		lost = true;
		return;
	}
	entry->level = Min(atoi(level), Min(conn->sent_level, here));
	entry->is_setting = is_setting;
	entry->is_local = strcmp(severity, SHOAL_SET_LOCAL_SEVERITY) == 0;
	entry->is_done = conn->xact_commits;
	entry->value = stpcpy(entry->name, name) + 1;
	entry->before = stpcpy(entry->value, value) + 1;
	strcpy(entry->before, before);
	dlist_push_tail(&heard, &entry->node);
}

static void
forget(Heard *entry)
{
	dlist_delete(&entry->node);
	pfree(entry);
}

/*
 * What functions make of a setting with a dot, like a sum, may depend on what others make of
 * it; then it must have been the same wherever they ran.
 */
static void
check_setting(const Heard *entry)
{
	const char *now = shoal_session_setting(entry->name);

	if (strchr(entry->name, '.') != NULL && strcmp(now, entry->before) != 0 &&
		strcmp(now, entry->value) != 0)
		ereport(entry->is_done ? WARNING : ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("functions that run on several nodes have set parameter \"%s\" differently",
						entry->name),
				 errhint("Let the function run on the coordinator: row triggers that cannot be deferred do.")));
}

static void
do_here(const Heard *entry)
{
	if (!entry->is_setting)
		Async_Notify(entry->name, entry->value);
	else
	{
		check_setting(entry);
		(void) set_config_option(entry->name, entry->value,
								 superuser() ? PGC_SUSET : PGC_USERSET, PGC_S_SESSION,
								 entry->is_local ? GUC_ACTION_LOCAL : GUC_ACTION_SET,
								 true, entry->is_done ? WARNING : ERROR, false);
	}
}

static void
catch_up(void)
{
	dlist_mutable_iter iter;

	if (lost)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("What functions on nodes do to the session could not be kept.")));
	if (dlist_is_empty(&heard) || IsInParallelMode() || !IsTransactionState())
		return;
	dlist_foreach_modify(iter, &heard)
	{
		Heard	   *entry = dlist_container(Heard, node, iter.cur);

		/* a statement around this subtransaction has said it, which goes on if this fails */
		if (entry->level < GetCurrentTransactionNestLevel())
			continue;
		do_here(entry);
		forget(entry);
	}
}

/* ---- both ---- */

void
xact_session_before_end(void)
{
	if (shoal_origin > 0)
		tell_all();
	catch_up();
}

/* Not a statement of a function's on the node: what that has said may be taken back. */
void
shoal_session_after(const char *query_string)
{
	if (said != NIL && shoal_xact_depth() == 0 && debug_query_string != NULL &&
		strcmp(query_string, debug_query_string) == 0)
		tell_all();
	catch_up();
}

/* The subtransaction of that level is gone, or part of the one above. */
void
xact_session_end_sub(int level, bool commit)
{
	ListCell   *lc;
	dlist_mutable_iter iter;

	foreach(lc, said)
	{
		Said	   *entry = lfirst(lc);

		if (entry->level < level)
			continue;
		/* a setting is as it was by itself */
		if (commit || entry->is_setting)
			entry->level = level - 1;
		else
			said = foreach_delete_current(said, lc);
	}
	dlist_foreach_modify(iter, &heard)
	{
		Heard	   *entry = dlist_container(Heard, node, iter.cur);

		if (entry->level < level)
			continue;
		if (commit)
			entry->level = level - 1;
		else
			forget(entry);
	}
}

void
xact_session_reset(void)
{
	/* gone with the transaction's memory */
	said = NIL;
	xact_session_end_sub(0, false);
	lost = false;
}

void
xact_session_init(void)
{
	shoal_remote_on_session = hear;
}
