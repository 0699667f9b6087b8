/*
 * remote_settings.c
 *		Session settings follow the session to its connections.
 *
 * A connection remembers the values it was last told; before a statement they
 * are compared with the session's.  The comparison is on every statement's
 * path, so built-in settings are looked at through their C variables; only
 * what differs is formatted.  Besides a fixed list of settings that change
 * results (or how long a statement may wait for locks), every setting with a
 * dot in its name follows if somebody set it: row-level security policies use
 * them, and so do extensions.  So do a few that are seldom set.
 *
 * A new connection is told the fixed list in its startup packet, which costs
 * the node next to nothing; changes go as one SELECT of set_config().
 */
#include "postgres.h"

#include "access/gin.h"
#include "access/tableam.h"
#include "access/toast_compression.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/tablespace.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "storage/proc.h"
#include "tsearch/ts_cache.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/varlena.h"
#include "utils/xml.h"

#include "base/base_compat.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

/* core defines it but has it in no header */
extern char *default_tablespace;

typedef enum SettingKind
{
	SETTING_INT,
	SETTING_BOOL,
	SETTING_STRING,
	SETTING_POINTER				/* what it points to is never freed */
} SettingKind;

/* two variables of one setting are two entries */
static const struct
{
	const char *name;
	SettingKind kind;
	void	   *variable;
}			followed[] =
{
	{"search_path", SETTING_STRING, &namespace_search_path},
	{"TimeZone", SETTING_POINTER, &session_timezone},
	{"DateStyle", SETTING_INT, &DateStyle},
	{"DateStyle", SETTING_INT, &DateOrder},
	{"IntervalStyle", SETTING_INT, &IntervalStyle},
	{"extra_float_digits", SETTING_INT, &extra_float_digits},
	{"bytea_output", SETTING_INT, &bytea_output},
	{"xmlbinary", SETTING_INT, &xmlbinary},
	{"xmloption", SETTING_INT, &xmloption},
	{"standard_conforming_strings", SETTING_BOOL, &standard_conforming_strings},
	{"backslash_quote", SETTING_INT, &backslash_quote},
	{"quote_all_identifiers", SETTING_BOOL, &quote_all_identifiers},
	{"array_nulls", SETTING_BOOL, &Array_nulls},
	{"transform_null_equals", SETTING_BOOL, &Transform_null_equals},
	{"default_text_search_config", SETTING_STRING, &TSCurrentConfig},
	{"lc_monetary", SETTING_STRING, &locale_monetary},
	{"lc_numeric", SETTING_STRING, &locale_numeric},
	{"lc_time", SETTING_STRING, &locale_time},
	{"gin_fuzzy_search_limit", SETTING_INT, &GinFuzzySearchLimit},
	{"row_security", SETTING_BOOL, &row_security},
	{"lock_timeout", SETTING_INT, &LockTimeout},
	{"synchronous_commit", SETTING_INT, &synchronous_commit},
	{"default_tablespace", SETTING_STRING, &default_tablespace},
	{"default_table_access_method", SETTING_STRING, &default_table_access_method},
	{"default_toast_compression", SETTING_INT, &default_toast_compression},
	{"session_replication_role", SETTING_INT, &SessionReplicationRole},
};

typedef union SettingValue
{
	int			number;
	void	   *pointer;
	char	   *string;
} SettingValue;

/* a setting with a dot, as a connection was told it */
typedef struct CustomValue
{
	char	   *name;
	char	   *value;
} CustomValue;

struct RemoteSettings
{
	MemoryContext context;
	SettingValue values[lengthof(followed)];
	Oid			role;			/* SET ROLE, InvalidOid: none */
	bool		replica;		/* session_replication_role was set there */
	int			ncustom;
	int			maxcustom;
	CustomValue *custom;
};

static void
keep_string(MemoryContext context, char **slot, const char *value)
{
	if (*slot)
		pfree(*slot);
	*slot = MemoryContextStrdup(context, value);
}

/* Compares a built-in setting with the last value sent, and remembers it. */
static inline bool
setting_differs(RemoteSettings *settings, int i)
{
	SettingValue *last = &settings->values[i];

	switch (followed[i].kind)
	{
		case SETTING_INT:
			{
				int			now = *(int *) followed[i].variable;
				bool		differs = now != last->number;

				last->number = now;
				return differs;
			}
		case SETTING_BOOL:
			{
				int			now = *(bool *) followed[i].variable;
				bool		differs = now != last->number;

				last->number = now;
				return differs;
			}
		case SETTING_POINTER:
			{
				void	   *now = *(void **) followed[i].variable;
				bool		differs = now != last->pointer;

				last->pointer = now;
				return differs;
			}
		case SETTING_STRING:
			{
				const char *now = *(char **) followed[i].variable;

				if (now == NULL)
					now = "";
				if (last->string && strcmp(now, last->string) == 0)
					return false;
				keep_string(settings->context, &last->string, now);
				return true;
			}
	}
	return false;
}

static void
append_setting(StringInfo buf, const char *name, const char *value)
{
	appendStringInfoString(buf, buf->len == 0 ? "SELECT " : ", ");
	appendStringInfo(buf, "pg_catalog.set_config(%s, %s, false)",
					 quote_literal_cstr(name),
					 value ? quote_literal_cstr(value) : "NULL");
}

/*
 * A search_path in which pg_catalog comes first, as it does by itself if it is not named:
 * texts that Shoal makes leave its names unqualified.  The first schema that is
 * named stays the one in which things are made.
 */
static const char *
path_of_node(const char *path)
{
	List	   *schemas;
	StringInfoData buf;
	ListCell   *lc;

	if (strstr(path, "pg_catalog") == NULL ||
		!SplitIdentifierString(pstrdup(path), ',', &schemas) ||
		schemas == NIL || strcmp(linitial(schemas), "pg_catalog") == 0)
		return path;
	initStringInfo(&buf);
	foreach(lc, schemas)
	{
		if (strcmp(lfirst(lc), "pg_catalog") != 0)
			appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
							 quote_identifier(lfirst(lc)));
	}
	return buf.data;
}

/* Value of a built-in setting. */
static const char *
builtin_value(const char *name)
{
	const char *value = GetConfigOption(name, false, false);

	return strcmp(name, "search_path") == 0 ? path_of_node(value) : value;
}

/* An option of a startup packet, quoted for its "options". */
static void
append_option(StringInfo buf, const char *name, const char *value)
{
	appendStringInfo(buf, " -c %s=", name);
	for (; *value; value++)
	{
		if (*value == '\\' || isspace((unsigned char) *value))
			appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, *value);
	}
}

/* What a server reads of a startup packet, less room for the rest of it. */
#define MAX_OPTIONS_LENGTH 8000

/*
 * What a connection that is about to be made will have been told, allocated in
 * the context; appends to the options of its startup packet what tells it.
 * *known is false if that can't be all, and changes have to be sent.
 */
RemoteSettings *
remote_settings_begin(MemoryContext context, StringInfo options, bool *known)
{
	RemoteSettings *settings = MemoryContextAllocZero(context,
													  sizeof(RemoteSettings));
	int			before = options->len;
	const char *done = "";

	settings->context = context;
	for (int i = 0; i < lengthof(followed); i++)
	{
		(void) setting_differs(settings, i);
		if (followed[i].variable == (void *) &SessionReplicationRole ||
			strcmp(followed[i].name, done) == 0)
			continue;
		done = followed[i].name;
		append_option(options, done, builtin_value(done));
	}
	append_option(options, "role", "none");

	*known = SessionReplicationRole == SESSION_REPLICATION_ROLE_ORIGIN &&
		options->len <= MAX_OPTIONS_LENGTH;
	if (!*known)
	{
		options->len = before;
		options->data[before] = '\0';
	}
	return settings;
}

/* ---- settings with a dot, and those that are like them ---- */

static bool
is_custom(const char *name)
{
	static const char *const seldom[] = {"password_encryption", "timezone_abbreviations"};

	for (int i = 0; i < lengthof(seldom); i++)
	{
		if (strcmp(name, seldom[i]) == 0)
			return true;
	}
	return strchr(name, '.') != NULL && strncmp(name, "shoal.", 6) != 0;
}

/* Whether somebody gave it a value that a node does not have by itself. */
static bool
follows(const struct config_generic *guc)
{
	if (guc->context == PGC_USERSET)
		return guc->source >= PGC_S_GLOBAL;
	/* the connection's user must be able to set it there, too */
	return guc->context == PGC_SUSET && guc->source >= PGC_S_CLIENT &&
		superuser_arg(GetSessionUserId());
}

/*
 * Where they are in the array of all settings, as long as their number is the
 * same.  The array is sorted by name, and a definition that takes a
 * placeholder's place has its position.
 */
static int	custom_total = 0;
static int	custom_count = 0;
static int *custom_positions = NULL;

static void
find_custom(struct config_generic **all, int total)
{
	int		   *positions = MemoryContextAlloc(TopMemoryContext,
											   total * sizeof(int));
	int			count = 0;

	for (int i = 0; i < total; i++)
	{
		if (is_custom(all[i]->name))
			positions[count++] = i;
	}
	if (custom_positions)
		pfree(custom_positions);
	custom_positions = positions;
	custom_count = count;
	custom_total = total;
}

static CustomValue *
custom_slot(RemoteSettings *settings, const char *name)
{
	for (int i = 0; i < settings->ncustom; i++)
	{
		if (strcmp(settings->custom[i].name, name) == 0)
			return &settings->custom[i];
	}
	return NULL;
}

static CustomValue *
add_custom_slot(RemoteSettings *settings, const char *name)
{
	CustomValue *slot;

	if (settings->ncustom == settings->maxcustom)
	{
		int			max = Max(8, settings->maxcustom * 2);

		if (settings->custom == NULL)
			settings->custom = MemoryContextAlloc(settings->context,
												  max * sizeof(CustomValue));
		else
			settings->custom = repalloc(settings->custom,
										max * sizeof(CustomValue));
		settings->maxcustom = max;
	}
	slot = &settings->custom[settings->ncustom];
	slot->name = MemoryContextStrdup(settings->context, name);
	slot->value = NULL;
	settings->ncustom++;
	return slot;
}

static void
append_custom(StringInfo buf, RemoteSettings *settings, bool all_again)
{
	int			total;
	struct config_generic **all = shoal_guc_array(&total);

	if (total != custom_total)
		find_custom(all, total);

	for (int i = 0; i < custom_count; i++)
	{
		struct config_generic *guc = all[custom_positions[i]];
		CustomValue *slot = NULL;
		const char *value = NULL;
		bool		set = follows(guc);

		/* one that is not set any more is told to those who heard of it */
		if (!set && settings->ncustom == 0)
			continue;
		slot = custom_slot(settings, guc->name);
		if (!set && slot == NULL)
			continue;
		if (set)
			value = GetConfigOption(guc->name, true, false);
		if (slot == NULL)
			slot = add_custom_slot(settings, guc->name);
		else if (!all_again &&
				 (value == NULL) == (slot->value == NULL) &&
				 (value == NULL || strcmp(value, slot->value) == 0))
			continue;
		append_setting(buf, guc->name, value);
		if (slot->value)
			pfree(slot->value);
		slot->value = value ? MemoryContextStrdup(settings->context, value) : NULL;
	}
}

/* ---- all of it ---- */

/* Puts a reset of the role ahead of the settings in the buffer. */
static void
insert_no_role(StringInfo buf)
{
	char	   *rest = pstrdup(buf->data + strlen("SELECT "));

	resetStringInfo(buf);
	append_setting(buf, "role", "none");
	appendStringInfo(buf, ", %s", rest);
	pfree(rest);
}

/* The role that the session has been set to. */
static Oid
wanted_role(ShoalConn *conn)
{
	Oid			outer = GetOuterUserId();

	return conn->userid == GetSessionUserId() && outer != conn->userid ? outer :
		InvalidOid;
}

/* Also from inside of libpq. */
void
shoal_remote_forget_settings(ShoalConn *conn)
{
	conn->priv->settings_known = false;
}

/*
 * A statement that makes the node's settings the session's, NULL if they are.
 * Takes them for sent: see remote_finish_group for what happens if it fails.
 * The text lives until the next call.
 */
const char *
remote_settings_changes(ShoalConn *conn)
{
	static StringInfoData buf;
	ShoalConnPrivate *priv = conn->priv;
	RemoteSettings *settings = priv->settings;
	bool		all_again = !priv->settings_known;
	Oid			role = wanted_role(conn);
	const char *done = NULL;

	if (buf.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&buf);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&buf);

	/* whatever goes wrong below, the values kept are not to be trusted */
	priv->settings_known = false;

	for (int i = 0; i < lengthof(followed); i++)
	{
		if (!(setting_differs(settings, i) || all_again) ||
			(done && strcmp(followed[i].name, done) == 0))
			continue;
		/* few may set it: leave it alone where it is what it always was */
		if (followed[i].variable == (void *) &SessionReplicationRole)
		{
			if (SessionReplicationRole == SESSION_REPLICATION_ROLE_ORIGIN &&
				!settings->replica)
				continue;
			settings->replica = true;
		}
		append_setting(&buf, followed[i].name,
					   builtin_value(followed[i].name));
		done = followed[i].name;
	}
	append_custom(&buf, settings, all_again);

	/*
	 * The role goes last, for it may not be allowed to set what the session's
	 * user has set; for the same reason it is left before.
	 */
	if (buf.len > 0 && (OidIsValid(settings->role) || all_again))
	{
		settings->role = InvalidOid;
		insert_no_role(&buf);
	}
	if (role != settings->role)
		append_setting(&buf, "role",
					   OidIsValid(role) ? GetUserNameFromId(role, false) : "none");
	settings->role = role;
	priv->settings_known = true;

	if (buf.len == 0)
		return NULL;
	priv->settings_unsure = true;
	return buf.data;
}
