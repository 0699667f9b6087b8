/*
 * remote_connection.c
 *		Opening connections, cancelling what runs on them.
 *
 * Connecting is asynchronous: it can be interrupted, and connect_timeout is
 * kept here because libpq's polling interface leaves it to the caller.
 *
 * A statement is cancelled through a second connection that calls
 * pg_cancel_backend(): libpq's own cancel request blocks, without a time
 * limit, when the node's server does not answer.  It is used only where the
 * server has answered, by refusing the connection or the call, which the
 * database's owner may have taken from others.
 */
#include "postgres.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "access/xact.h"
#include "libpq/pqcomm.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "base/base_memory.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

/* seconds for connecting, unless shoal.node_conninfo says otherwise */
#define CONNECT_TIMEOUT	5

/* milliseconds in which an address that refuses says so */
#define REFUSE_TIME		200

#define MAX_OPTIONS		64

/* libpq's connection parameters, NULL-terminated */
struct RemoteOptions
{
	const char *keywords[MAX_OPTIONS];
	const char *values[MAX_OPTIONS];
	int			n;
	int			timeout;		/* seconds; 0: none */
};

static void
add_option(RemoteOptions *options, const char *keyword, const char *value)
{
	if (options->n >= MAX_OPTIONS - 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("too many options in \"%s\"", "shoal.node_conninfo")));
	options->keywords[options->n] = keyword;
	options->values[options->n++] = value;
	options->keywords[options->n] = NULL;
	options->values[options->n] = NULL;
}

/* Adds the options of shoal.node_conninfo; copies, so no result to free. */
static void
add_conninfo(RemoteOptions *options)
{
	char	   *message = NULL;
	PQconninfoOption *parsed;

	if (shoal_node_conninfo == NULL || shoal_node_conninfo[0] == '\0')
		return;
	parsed = PQconninfoParse(shoal_node_conninfo, &message);
	if (parsed == NULL)
	{
		char	   *copy = pstrdup(message ? message : "out of memory\n");

		PQfreemem(message);
		copy[strcspn(copy, "\n")] = '\0';
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value of \"%s\"", "shoal.node_conninfo"),
				 errdetail_internal("%s", copy)));
	}
	for (PQconninfoOption *option = parsed; option->keyword; option++)
	{
		if (option->val == NULL)
			continue;
		if (strcmp(option->keyword, "connect_timeout") == 0)
			options->timeout = atoi(option->val);
		add_option(options, pstrdup(option->keyword), pstrdup(option->val));
	}
	PQconninfoFree(parsed);
}

/*
 * The node's own timeouts are off, but that of idle sessions: it is the
 * coordinator who ends statements, and whose transaction may be idle there for
 * good reason.  Bodies of functions
 * are checked where the user is: they may need what only that node has.
 */
static void
append_session_options(StringInfo buf, const RemoteTarget *target)
{
	appendStringInfo(buf, "-c shoal.origin=%d -c shoal.origin_pid=%d"
					 " -c shoal.origin_proof=%s -c statement_timeout=0"
					 " -c idle_in_transaction_session_timeout=0"
					 " -c idle_session_timeout=%ds"
					 " -c check_function_bodies=off"
					 " -c default_transaction_isolation=read\\ committed"
					 " -c default_transaction_read_only=off"
					 " -c default_transaction_deferrable=off",
					 Max(shoal_meta_local_node_id(), 1), MyProcPid,
					 shoal_meta_origin_proof(target->user),
					 target->keep ? 0 : shoal_idle_timeout);
}

/*
 * The node looks whether the coordinator is there like the coordinator looks
 * for the node: its transaction and locks should not outlive both.
 */
static void
append_keepalives(StringInfo buf, const RemoteOptions *options)
{
	for (int i = 0; i < options->n; i++)
		if (strncmp(options->keywords[i], "keepalives_", 11) == 0)
			appendStringInfo(buf, " -c tcp_%s=%d", options->keywords[i],
							 atoi(options->values[i]));
}

/* Whether it is this machine, and nobody can listen in between. */
static bool
is_loopback(const char *host)
{
	return is_unixsock_path(host) || strcmp(host, "localhost") == 0 ||
		strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static void
collect_options(RemoteOptions *options, const RemoteTarget *target,
				StringInfo session_options)
{
	options->n = 0;
	options->timeout = CONNECT_TIMEOUT;

	/* what comes later counts */
	add_option(options, "keepalives_idle", "30");
	add_option(options, "keepalives_interval", "5");
	add_option(options, "keepalives_count", "3");
	add_option(options, "tcp_user_timeout", "30000");
	if (is_loopback(target->host))
	{
		/* ciphers are for when the node insists */
		add_option(options, "sslmode", "allow");
		add_option(options, "gssencmode", "disable");
	}
	add_conninfo(options);
	/* copies, for it is kept for cancelling */
	add_option(options, "host", pstrdup(target->host));
	add_option(options, "port", psprintf("%d", target->port));
	add_option(options, "dbname", pstrdup(target->dbname));
	add_option(options, "user", pstrdup(target->user));
	if (target->password)
		add_option(options, "password", pstrdup(target->password));
	add_option(options, "client_encoding", GetDatabaseEncodingName());
	append_keepalives(session_options, options);
	add_option(options, "options", session_options->data);
	add_option(options, "application_name",
			   MyBackendType == B_BG_WORKER ? "shoal recovery" : "shoal");
}

/* Removes from a message of libpq what makes it verbose, and the last newline. */
static void
make_terse(char *message)
{
	char	   *line = message;
	int			len;

	while (line)
	{
		char	   *next = strchr(line, '\n');
		char	   *code = strstr(line, ":  ");

		if (strncmp(line, "LOCATION: ", 10) == 0)
		{
			*line = '\0';
			break;
		}
		/* "FATAL:  53300: sorry" */
		if (code && (next == NULL || code < next) && strlen(code) > 10 &&
			strncmp(code + 8, ": ", 2) == 0 &&
			strspn(code + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5)
		{
			memmove(code + 3, code + 10, strlen(code + 10) + 1);
			next = strchr(line, '\n');
		}
		line = next ? next + 1 : NULL;
	}
	len = strlen(message);
	while (len > 0 && message[len - 1] == '\n')
		message[--len] = '\0';
}

static void __attribute__((noreturn))
raise_connect_error(PGconn *pg, const RemoteTarget *target, const char *reason)
{
	char	   *detail = pstrdup(reason ? reason : PQerrorMessage(pg));
	bool		is_full = strstr(detail, ":  53300: ") != NULL;

	make_terse(detail);
	ereport(ERROR,
			(errcode(is_full ? ERRCODE_TOO_MANY_CONNECTIONS :
					 ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
			 errmsg("could not connect to node \"%s\"", target->label),
			 errdetail_internal("%s", detail)));
}

/* Whether the node is one that was given up, so that no answer will come. */
static bool
is_gone(int node_id)
{
	return node_id != 0 && shoal_remote_is_gone &&
		shoal_remote_is_gone(node_id);
}

/*
 * Waits for the socket of a connection that is being made, or that cancels
 * something; false when time is up, or the node was given up.
 */
static bool
wait_connecting(PGconn *pg, int node_id, PostgresPollingStatusType poll,
				TimestampTz deadline, bool interruptible)
{
	int			ready = poll == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE;
	int			death = interruptible ? WL_EXIT_ON_PM_DEATH : WL_POSTMASTER_DEATH;
	int			rc = 0;

	while (!(rc & ready))
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
														   deadline);

		if (left <= 0 || is_gone(node_id))
			return false;
		rc = WaitLatchOrSocket(MyLatch,
							   ready | death | WL_LATCH_SET | WL_TIMEOUT,
							   PQsocket(pg), Min(left, REMOTE_GONE_TIME),
							   PG_WAIT_EXTENSION);
		if (rc & WL_POSTMASTER_DEATH)
			return false;
		if (rc & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			if (interruptible)
				CHECK_FOR_INTERRUPTS();
			else if (ProcDiePending)
				return false;
		}
	}
	return true;
}

/* Drives a connection until it is made, failed, or out of time. */
static PostgresPollingStatusType
poll_connection(PGconn *pg, int node_id, TimestampTz deadline,
				bool interruptible)
{
	PostgresPollingStatusType poll = PGRES_POLLING_WRITING;

	if (PQstatus(pg) == CONNECTION_BAD)
		return PGRES_POLLING_FAILED;
	while (poll != PGRES_POLLING_OK && poll != PGRES_POLLING_FAILED)
	{
		if (!wait_connecting(pg, node_id, poll, deadline, interruptible))
			return PGRES_POLLING_WRITING;
		poll = PQconnectPoll(pg);
	}
	return poll;
}

static TimestampTz
connect_deadline(const RemoteOptions *options)
{
	int			seconds = options->timeout > 0 ? options->timeout : 3600;

	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), seconds * 1000L);
}

/* Raises unless the new connection is one that we can use. */
static void
check_connection(PGconn *pg, const RemoteTarget *target,
				 const RemoteOptions *options)
{
	PostgresPollingStatusType poll = poll_connection(pg, target->node_id,
													 connect_deadline(options),
													 true);

	if (poll == PGRES_POLLING_FAILED)
		raise_connect_error(pg, target, NULL);
	if (poll != PGRES_POLLING_OK)
		raise_connect_error(pg, target, is_gone(target->node_id) ?
							"The other nodes have given it up, or are about to." :
							"timeout expired");
	if (target->need_password && !PQconnectionUsedPassword(pg))
		ereport(ERROR,
				(errcode(ERRCODE_S_R_E_PROHIBITED_SQL_STATEMENT_ATTEMPTED),
				 errmsg("password is required for node \"%s\"", target->label),
				 errdetail("The user mapping names another user, and the node did not ask for a password."),
				 errhint("Use the role's own name, or make the node ask for a password.")));
	if (PQsetnonblocking(pg, 1) != 0 || !PQenterPipelineMode(pg))
		raise_connect_error(pg, target, NULL);
}

static PGconn *
connect_to(const RemoteTarget *target, const RemoteOptions *options)
{
	PGconn	   *volatile pg = NULL;

	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
				 errmsg("could not connect to node \"%s\"", target->label),
				 errdetail("There are too many open files on this server."),
				 errhint("Raise the server's \"max_files_per_process\" and \"ulimit -n\" limits.")));
	PG_TRY();
	{
		pg = PQconnectStartParams(options->keywords, options->values, 0);
		if (pg == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory")));
		/* so that a SQLSTATE is in the message */
		(void) PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);
		check_connection(pg, target, options);
		(void) PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
	}
	PG_CATCH();
	{
		PQfinish(pg);
		ReleaseExternalFD();
		PG_RE_THROW();
	}
	PG_END_TRY();
	return pg;
}

PGconn *
remote_start(const RemoteTarget *target)
{
	RemoteOptions options;
	StringInfoData session_options;

	initStringInfo(&session_options);
	append_session_options(&session_options, target);
	collect_options(&options, target, &session_options);
	return PQconnectStartParams(options.keywords, options.values, 0);
}

/* Opens a connection.  The caller puts it where it belongs. */
ShoalConn *
remote_open(const RemoteTarget *target, bool separate)
{
	MemoryContext old;
	MemoryContext context;
	RemoteOptions *options;
	RemoteSettings *settings;
	StringInfoData session_options;
	bool		settings_known;
	ShoalConnPrivate *priv;
	PGconn	   *pg;

	shoal_memory_keep();

	/* the current context's until the connection is there */
	context = AllocSetContextCreate(CurrentMemoryContext, "Shoal connection",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	options = palloc(sizeof(RemoteOptions));
	initStringInfo(&session_options);
	append_session_options(&session_options, target);
	settings = remote_settings_begin(context, &session_options, &settings_known);
	collect_options(options, target, &session_options);
	pg = connect_to(target, options);
	MemoryContextSetParent(context, TopMemoryContext);

	priv = palloc0(sizeof(ShoalConnPrivate));

	priv->pub.pg = pg;
	priv->pub.priv = priv;
	priv->context = context;
	priv->options = options;
	priv->label = pstrdup(target->label);
	priv->separate = separate;
	priv->opened_in = GetCurrentSubTransactionId();
	priv->backend_pid = PQbackendPID(pg);
	priv->many_pos = -1;
	initStringInfo(&priv->pending);
	initStringInfo(&priv->deallocate);
	priv->settings = settings;
	priv->settings_known = settings_known;
	PQsetNoticeReceiver(pg, remote_receive_notice, &priv->pub);
	MemoryContextSwitchTo(old);
	return &priv->pub;
}

void
shoal_remote_close(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;

	if (priv->active)
		priv->active->conn = NULL;
	priv->active = NULL;
	remote_forget_group(conn);
	remote_wait_forget(conn);
	if (priv->wait_set)
		FreeWaitEventSet(priv->wait_set);
	PQfinish(conn->pg);
	ReleaseExternalFD();
	dlist_delete(&priv->link);
	remote_limit_give(priv->count);
	MemoryContextDelete(priv->context);
}

/* microseconds in which nobody looks again */
#define TRUST_TIME	100000

/*
 * Whether an idle connection has been closed by the node meanwhile.  One
 * look at the socket, no wait.
 */
bool
remote_is_dead(ShoalConn *conn)
{
	char		byte;
	ssize_t		n;

	if (conn->priv->lost || PQstatus(conn->pg) != CONNECTION_OK)
		return true;
	/* a node that has just answered is taken to live, to save the call */
	if (GetCurrentStatementStartTimestamp() - conn->priv->answered < TRUST_TIME)
		return false;
	n = recv(PQsocket(conn->pg), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
	if (n == 0)
		return true;
	/* a message nobody asked for: its last words, or nothing to bother about */
	for (int i = 0; i < 2; i++)
	{
		if (!PQconsumeInput(conn->pg) || PQstatus(conn->pg) != CONNECTION_OK)
			return true;
		(void) PQisBusy(conn->pg);
	}
	return false;
}

/* Whether one address refuses connections. */
static bool
is_address_refused(const struct addrinfo *address)
{
	int			fd = socket(address->ai_family, SOCK_STREAM, 0);
	bool		refused = false;
	struct pollfd wait;
	int			error = 0;
	socklen_t	len = sizeof(error);

	if (fd < 0)
		return false;
	if (pg_set_noblock(fd))
	{
		if (connect(fd, address->ai_addr, address->ai_addrlen) < 0)
			error = errno;
		if (error == EINPROGRESS)
		{
			wait.fd = fd;
			wait.events = POLLOUT;
			error = 0;
			if (poll(&wait, 1, REFUSE_TIME) == 1)
				(void) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
		}
		refused = error == ECONNREFUSED || error == ENOENT;
	}
	close(fd);
	return refused;
}

/*
 * Whether no server listens at an address: the machine says so, at once.  Any
 * doubt counts as no.
 */
bool
remote_is_refused(const char *host, int port)
{
	struct addrinfo hint = {0};
	struct addrinfo *addresses = NULL;
	char		service[16];
	bool		refused;

	hint.ai_socktype = SOCK_STREAM;
	if (is_unixsock_path(host))
	{
		struct sockaddr_un name = {0};
		struct addrinfo address = {0};

		name.sun_family = AF_UNIX;
		if (snprintf(name.sun_path, sizeof(name.sun_path), "%s/.s.PGSQL.%d",
					 host, port) >= sizeof(name.sun_path))
			return false;
		address.ai_family = AF_UNIX;
		address.ai_addr = (struct sockaddr *) &name;
		address.ai_addrlen = sizeof(name);
		return is_address_refused(&address);
	}
	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(host, service, &hint, &addresses) != 0 || addresses == NULL)
		return false;
	refused = true;
	for (struct addrinfo *a = addresses; a && refused; a = a->ai_next)
		refused = is_address_refused(a);
	freeaddrinfo(addresses);
	return refused;
}

/* Asks for it over a connection that has been made.  refused: set if it may not be. */
static bool
call_cancel(PGconn *pg, int node_id, int backend_pid, TimestampTz deadline,
			bool *refused)
{
	char		command[64];
	PGresult   *res;
	bool		sent = false;

	snprintf(command, sizeof(command), "SELECT pg_catalog.pg_cancel_backend(%d)",
			 backend_pid);
	if (!PQsendQuery(pg, command))
		return false;
	for (;;)
	{
		while (PQisBusy(pg))
		{
			if (!wait_connecting(pg, node_id, PGRES_POLLING_READING, deadline,
								 false) ||
				!PQconsumeInput(pg))
				return false;
		}
		if ((res = PQgetResult(pg)) == NULL)
			return sent;
		if (PQresultStatus(res) == PGRES_TUPLES_OK)
			sent = true;
		else
			*refused = true;
		PQclear(res);
	}
}

/* libpq's own way; may block if the server does not answer. */
static bool
request_cancel(PGconn *pg)
{
	PGcancel   *cancel = PQgetCancel(pg);
	char		message[256];
	bool		sent = cancel && PQcancel(cancel, message, sizeof(message));

	PQfreeCancel(cancel);
	return sent;
}

/*
 * Cancels what runs on the connection.  Does not raise; false if the node
 * could not be told.  The connection still has to be read to the end.
 */
bool
remote_cancel(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;
	RemoteOptions *options = priv->options;
	TimestampTz deadline = connect_deadline(options);
	PGconn	   *pg;
	bool		sent = false;

	while (!remote_step(conn) && priv->before_cancel > 0)
	{
		if (!remote_wait(conn, false, deadline))
			return false;
	}
	if (!priv->busy && priv->copy == REMOTE_COPY_NONE)
		return !priv->lost;
	if (is_gone(conn->node_id) || !AcquireExternalFD())
		return false;
	pg = PQconnectStartParams(options->keywords, options->values, 0);
	if (pg != NULL)
	{
		PostgresPollingStatusType poll = poll_connection(pg, priv->pub.node_id,
														 deadline, false);
		bool		refused = poll == PGRES_POLLING_FAILED;

		if (poll == PGRES_POLLING_OK)
			sent = call_cancel(pg, priv->pub.node_id, priv->backend_pid,
							   deadline, &refused);
		if (refused)
			sent = request_cancel(conn->pg);
	}
	PQfinish(pg);
	ReleaseExternalFD();
	return sent;
}
