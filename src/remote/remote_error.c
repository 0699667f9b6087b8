/*
 * remote_error.c
 *		Errors and notices of nodes, raised here as if they were our own.
 *
 * An error keeps its SQLSTATE, texts and object names; the node is named in
 * the context.  A FATAL error of a node, which ends its session, is a lost
 * connection here.  Nothing in this file prints connection options.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

static emit_log_hook_type previous_emit = NULL;

/* one field of an error, palloc'd so that the result can be cleared; not
 * inlined, as some compilers then see a variable that longjmp() might spoil */
static pg_noinline char *
copy_field(const PGresult *res, int field)
{
	const char *value = res ? PQresultErrorField(res, field) : NULL;

	return value ? pstrdup(value) : NULL;
}

static int
parse_sqlstate(const char *code)
{
	if (code == NULL || strlen(code) != 5)
		return ERRCODE_CONNECTION_FAILURE;
	return MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4]);
}

/* libpq's own messages go on with guesses in further lines */
static char *
first_line(const char *message)
{
	return message ? pnstrdup(message, strcspn(message, "\n")) : pstrdup("");
}

/* Whether a schema's name is that of a shard, and of which group's. */
static bool
is_of_shard(const char *schema, int *group_id)
{
	int			shard;
	int			end = 0;

	return sscanf(schema, "shoal_%d_%d%n", group_id, &shard, &end) == 2 &&
		schema[end] == '\0';
}

/*
 * The schema that a user knows a table by: that of the distributed table if
 * the named one is a shard's.  A node that does not log errors has not named it.
 */
static char *
user_schema(char *schema, const char *table)
{
	int			group_id;
	List	   *relids;
	ListCell   *lc;

	if (schema == NULL || table == NULL || !is_of_shard(schema, &group_id) ||
		!IsTransactionState())
		return schema;

	relids = shoal_meta_table_oids(group_id);
	foreach(lc, relids)
	{
		char	   *name = get_rel_name(lfirst_oid(lc));

		if (name != NULL && strcmp(name, table) == 0)
			return get_namespace_name(get_rel_namespace(lfirst_oid(lc)));
	}
	return schema;
}

/* for use inside ereport() */
static int
set_object_names(const PGresult *res)
{
	static const int fields[] = {
		PG_DIAG_TABLE_NAME, PG_DIAG_COLUMN_NAME, PG_DIAG_DATATYPE_NAME,
		PG_DIAG_CONSTRAINT_NAME
	};

	for (int i = 0; i < lengthof(fields); i++)
	{
		const char *value = PQresultErrorField(res, fields[i]);

		if (value != NULL)
			err_generic_string(fields[i], value);
	}
	return 0;
}

/* The session on the node is over, or the network lost it. */
void
remote_lost(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;

	remote_wait_forget(conn);
	priv->lost = true;
	priv->busy = priv->posted = false;
	priv->unflushed = false;
	priv->copy = REMOTE_COPY_NONE;
	conn->xact_broken = true;
}

/*
 * unknown: a statement that commits by itself may have been executed.
 */
static void __attribute__((noreturn))
raise_lost(ShoalConn *conn, const char *detail, bool unknown)
{
	remote_lost(conn);
	ereport(ERROR,
			(errcode(unknown ? ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN :
					 ERRCODE_CONNECTION_FAILURE),
			 errmsg("connection to node \"%s\" was lost", conn->priv->label),
			 detail[0] ? errdetail_internal("%s", detail) : 0,
			 unknown ?
			 errhint("Look at the data to find out whether the statement was executed.") : 0));
}

void
remote_raise_lost(ShoalConn *conn)
{
	/* what libpq says of an earlier failure is no news */
	char	   *detail = first_line(conn->priv->lost ? NULL :
									PQerrorMessage(conn->pg));

	raise_lost(conn, detail, conn->xact_commits);
}

/* Whether the error ends the session that it comes from. */
static bool
ends_session(const PGresult *res)
{
	const char *severity = PQresultErrorField(res,
											  PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity == NULL || strcmp(severity, "FATAL") == 0 ||
		strcmp(severity, "PANIC") == 0;
}

void
shoal_remote_raise(ShoalConn *conn, PGresult *res)
{
	char	   *sqlstate = copy_field(res, PG_DIAG_SQLSTATE);
	char	   *message = copy_field(res, PG_DIAG_MESSAGE_PRIMARY);
	char	   *detail = copy_field(res, PG_DIAG_MESSAGE_DETAIL);
	char	   *hint = copy_field(res, PG_DIAG_MESSAGE_HINT);
	char	   *context = copy_field(res, PG_DIAG_CONTEXT);
	char	   *schema = copy_field(res, PG_DIAG_SCHEMA_NAME);
	char	   *table = copy_field(res, PG_DIAG_TABLE_NAME);
	bool		lost = ends_session(res);

	if (message == NULL)
		message = first_line(PQresultErrorMessage(res));
	if (lost)
	{
		/* a node that says why has not committed */
		bool		unknown = sqlstate == NULL && conn->xact_commits;

		PQclear(res);
		raise_lost(conn, message, unknown);
	}

	PG_TRY();
	{
		schema = user_schema(schema, table);
		ereport(ERROR,
				(errcode(parse_sqlstate(sqlstate)),
				 errmsg_internal("%s", message),
				 detail ? errdetail_internal("%s", detail) : 0,
				 hint ? errhint("%s", hint) : 0,
				 context ? errcontext_msg("%s", context) : 0,
				 errcontext_msg("on node \"%s\"", conn->priv->label),
				 schema ? err_generic_string(PG_DIAG_SCHEMA_NAME, schema) : 0,
				 set_object_names(res)));
	}
	PG_FINALLY();
	{
		PQclear(res);
	}
	PG_END_TRY();
	pg_unreachable();
}

/* A failure that must not raise: res NULL means the connection is gone. */
void
remote_warn(ShoalConn *conn, PGresult *res, const char *sql)
{
	char	   *message = copy_field(res, PG_DIAG_MESSAGE_PRIMARY);

	if (message == NULL)
		message = first_line(res ? PQresultErrorMessage(res) :
						  PQerrorMessage(conn->pg));
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("could not run \"%s\" on node \"%s\"",
					sql, conn->priv->label),
			 message[0] ? errdetail_internal("%s", message) : 0));
}

static int
notice_level(const char *severity)
{
	if (severity == NULL)
		return NOTICE;
	if (strncmp(severity, "DEBUG", 5) == 0)
		return DEBUG1;
	if (strcmp(severity, "LOG") == 0)
		return LOG;
	if (strcmp(severity, "INFO") == 0)
		return INFO;
	if (strcmp(severity, "WARNING") == 0)
		return WARNING;
	return NOTICE;
}

void		(*shoal_remote_on_changes) (ShoalConn *conn, const char *text) = NULL;
void		(*shoal_remote_on_session) (ShoalConn *conn, const PGresult *notice) = NULL;

/*
 * PQnoticeReceiver: passes a node's notice on.  Called from inside libpq, so
 * it must not raise an error.
 */
void
remote_receive_notice(void *arg, const PGresult *res)
{
	ShoalConn  *conn = arg;
	char	   *sqlstate = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	char	   *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	char	   *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	char	   *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
	char	   *context = PQresultErrorField(res, PG_DIAG_CONTEXT);
	char	   *severity = PQresultErrorField(res,
											  PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity && strcmp(severity, SHOAL_CHANGES_SEVERITY) == 0)
	{
		if (shoal_remote_on_changes && message)
			shoal_remote_on_changes(conn, message);
		return;
	}
	if (severity && strncmp(severity, SHOAL_SESSION_SEVERITY, strlen(SHOAL_SESSION_SEVERITY)) == 0)
	{
		if (shoal_remote_on_session)
			shoal_remote_on_session(conn, res);
		return;
	}
	/* without a SQLSTATE it is libpq talking, e.g. of a closed connection */
	if (conn->quiet || sqlstate == NULL || message == NULL ||
		ends_session(res))
		return;

	ereport(notice_level(severity),
			(errcode(parse_sqlstate(sqlstate)),
			 errmsg_internal("%s", message),
			 detail ? errdetail_internal("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0,
			 context ? errcontext_msg("%s", context) : 0));
}

/*
 * The constraint of a shard on this node is violated: a client is told which
 * table's that is, as it knows it.  What raises these errors holds no locks of
 * pages, so catalogs can be read.
 */
static void
name_user_table(ErrorData *error)
{
	int			group_id;
	Oid			schema;
	Oid			relid;
	char	   *parent_schema;
	char	   *parent;

	if (error->elevel != ERROR || error->schema_name == NULL ||
		error->table_name == NULL ||
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		!is_of_shard(error->schema_name, &group_id) || !IsTransactionState())
		return;
	schema = get_namespace_oid(error->schema_name, true);
	relid = OidIsValid(schema) ? get_relname_relid(error->table_name, schema) : InvalidOid;
	if (!OidIsValid(relid) || !get_rel_relispartition(relid))
		return;
	relid = get_partition_parent(relid, true);
	parent_schema = get_namespace_name(get_rel_namespace(relid));
	parent = get_rel_name(relid);
	if (parent_schema == NULL || parent == NULL)
		return;
	error->schema_name = MemoryContextStrdup(error->assoc_context, parent_schema);
	error->table_name = MemoryContextStrdup(error->assoc_context, parent);
}

/* The constraint that one of a partition was made for. */
static Oid
root_constraint(Oid constraint)
{
	Oid			parent = constraint;

	while (OidIsValid(parent))
	{
		HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(parent));

		constraint = parent;
		if (!HeapTupleIsValid(tuple))
			break;
		parent = ((Form_pg_constraint) GETSTRUCT(tuple))->conparentid;
		ReleaseSysCache(tuple);
	}
	return constraint;
}

/*
 * Likewise the foreign key, of which core makes one for each shard that is referred to, with
 * a name of its own.
 */
static void
name_user_constraint(ErrorData *error)
{
	Oid			relid;
	Oid			constraint;
	char	   *quoted;
	char	   *name;
	char	   *at;

	if (error->elevel != ERROR || error->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION ||
		error->schema_name == NULL || error->table_name == NULL ||
		error->constraint_name == NULL || error->message == NULL || !IsTransactionState())
		return;
	relid = get_relname_relid(error->table_name,
							  get_namespace_oid(error->schema_name, true));
	constraint = OidIsValid(relid) ?
		get_relation_constraint_oid(relid, error->constraint_name, true) : InvalidOid;
	if (!OidIsValid(constraint))
		return;
	name = get_constraint_name(root_constraint(constraint));
	if (name == NULL || strcmp(name, error->constraint_name) == 0)
		return;
	/* so it is quoted in the message, but in some languages */
	quoted = psprintf("\"%s\"", error->constraint_name);
	at = strstr(error->message, quoted);
	if (at != NULL)
	{
		at = psprintf("%.*s\"%s\"%s", (int) (at - error->message),
					  error->message, name, at + strlen(quoted));
		error->message = MemoryContextStrdup(error->assoc_context, at);
	}
	error->constraint_name = MemoryContextStrdup(error->assoc_context, name);
}

static void
before_emit(ErrorData *error)
{
	if (previous_emit)
		previous_emit(error);
	name_user_table(error);
	name_user_constraint(error);
}

void
remote_error_init(void)
{
	previous_emit = emit_log_hook;
	emit_log_hook = before_emit;
}
