/*
 * ops_schema.c
 *		What a new node is given: roles, schema, metadata, rows of reference
 *		tables.
 *
 * The schema is what pg_dump --schema-only says.  pg_dump reads it in a session
 * of its own, so it sees what is committed, and it runs with shoal.origin set,
 * so that its LOCK TABLEs stay here.  The script is run on the node by one call
 * of shoal.run_script(), which undoes the settings that pg_dump makes at its
 * start.  Everything on the node is part of the caller's distributed
 * transaction and vanishes with it.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "foreign/foreign.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "postmaster/postmaster.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "meta/meta.h"
#include "scope/scope.h"
#include "remote/remote.h"
#include "ops/ops.h"

/* bytes of a table's rows that are sent at once */
#define COPY_PIECE	(32 * 1024)

PG_FUNCTION_INFO_V1(shoal_run_script);

/* ---- the local schema ---- */

/* Appends a word for the shell. */
static void
append_shell_word(StringInfo buf, const char *word)
{
	appendStringInfoChar(buf, '\'');
	for (; *word; word++)
	{
		if (*word == '\'')
			appendStringInfoString(buf, "'\\''");
		else
			appendStringInfoChar(buf, *word);
	}
	appendStringInfoChar(buf, '\'');
}

/* Appends one "name='value' " of a libpq connection string. */
static void
append_conninfo(StringInfo buf, const char *name, const char *value)
{
	appendStringInfo(buf, "%s='", name);
	for (; *value; value++)
	{
		if (*value == '\'' || *value == '\\')
			appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, *value);
	}
	appendStringInfoString(buf, "' ");
}

/* The first directory of unix_socket_directories; NULL if there is none. */
static char *
socket_directory(void)
{
	char	   *copy = pstrdup(Unix_socket_directories);
	List	   *dirs;

	if (!SplitDirectoriesString(copy, ',', &dirs) || dirs == NIL)
		return NULL;
	return (char *) linitial(dirs);
}

/* Directory of the server's programs, where its pg_dump is. */
static char *
program_path(const char *program)
{
	char		path[MAXPGPATH];

	strlcpy(path, my_exec_path, sizeof(path));
	get_parent_directory(path);
	return psprintf("%s/%s", path, program);
}

/*
 * Runs pg_dump, connecting to this server at host.  Returns NULL if all went
 * well, else what it had to say.
 */
static char *
run_pg_dump(const char *host, int port, bool with_tablespaces,
			const char *filename)
{
	StringInfoData conninfo;
	StringInfoData command;
	StringInfoData said;
	char		line[1024];
	FILE	   *pipe;

	initStringInfo(&conninfo);
	append_conninfo(&conninfo, "host", host);
	append_conninfo(&conninfo, "port", psprintf("%d", port));
	append_conninfo(&conninfo, "dbname", get_database_name(MyDatabaseId));
	append_conninfo(&conninfo, "user", GetUserNameFromId(GetUserId(), false));
	append_conninfo(&conninfo, "options",
					psprintf("-c shoal.origin=%d -c statement_timeout=0",
							 shoal_meta_local_node_id()));
	append_conninfo(&conninfo, "application_name", "shoal add_node");

	initStringInfo(&command);
	append_shell_word(&command, program_path("pg_dump"));
	appendStringInfoString(&command, " --schema-only --no-subscriptions --no-password"
						   " --lock-wait-timeout=60000 --quote-all-identifiers"
						   " --exclude-schema=shoal"
						   " --exclude-schema='shoal_[0-9]+_[0-9]+'");
	if (!with_tablespaces)
		appendStringInfoString(&command, " --no-tablespaces");
	appendStringInfo(&command, " --encoding=%s -f ", GetDatabaseEncodingName());
	append_shell_word(&command, filename);
	appendStringInfoString(&command, " -d ");
	append_shell_word(&command, conninfo.data);
	appendStringInfoString(&command, " 2>&1");

	initStringInfo(&said);
	pipe = OpenPipeStream(command.data, "r");
	if (pipe == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not run \"%s\": %m", program_path("pg_dump"))));
	while (fgets(line, sizeof(line), pipe) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		appendStringInfoString(&said, line);
	}
	if (ClosePipeStream(pipe) == 0)
		return NULL;
	CHECK_FOR_INTERRUPTS();
	while (said.len > 0 && said.data[said.len - 1] == '\n')
		said.data[--said.len] = '\0';
	return said.data;
}

static char *
read_whole_file(const char *filename)
{
	StringInfoData buf;
	char		chunk[8192];
	size_t		n;
	FILE	   *file = AllocateFile(filename, PG_BINARY_R);

	if (file == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", filename)));
	initStringInfo(&buf);
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
		appendBinaryStringInfo(&buf, chunk, n);
	FreeFile(file);
	return buf.data;
}

/*
 * Newer pg_dumps put \restrict KEY before and \unrestrict KEY after the
 * script, which mean something to psql only.  Blanks them.
 */
static void
blank_psql_commands(char *script)
{
	char	   *start = strstr(script, "\n\\restrict ");
	char	   *key;
	char	   *end;

	if (start == NULL)
		return;
	key = start + strlen("\n\\restrict ");
	end = strchr(key, '\n');
	if (end == NULL)
		return;
	key = psprintf("\n\\unrestrict %.*s\n", (int) (end - key), key);
	memset(start + 1, ' ', end - start - 1);
	start = strstr(script, key);
	if (start != NULL)
		memset(start + 1, ' ', strlen(key) - 2);
}

char *
shoal_ops_dump_schema(bool with_tablespaces)
{
	const ShoalNode *self = shoal_meta_node(shoal_meta_local_node_id());
	char	   *socket = socket_directory();
	char	   *filename;
	char	   *complaint = NULL;
	char	   *script;

	(void) MakePGDirectory("base/" PG_TEMP_FILES_DIR);
	filename = psprintf("%s/base/%s/%s_shoal_%d.sql", DataDir,
						PG_TEMP_FILES_DIR, PG_TEMP_FILE_PREFIX, MyProcPid);

	/* by the socket if there is one, else where the other nodes connect to */
	if (socket != NULL)
		complaint = run_pg_dump(socket, PostPortNumber, with_tablespaces,
								filename);
	if (socket == NULL || complaint != NULL)
		complaint = run_pg_dump(self->host, self->port, with_tablespaces,
								filename);
	if (complaint != NULL)
	{
		(void) unlink(filename);
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("could not read the schema with pg_dump"),
				 errdetail_internal("%s", complaint),
				 errhint("The server's operating system user has to be able to connect to this database as \"%s\" without being asked for a password (see pg_hba.conf and .pgpass).",
						 GetUserNameFromId(GetUserId(), false))));
	}
	script = read_whole_file(filename);
	(void) unlink(filename);
	blank_psql_commands(script);
	return script;
}

/* ---- running a script on the node ---- */

void
shoal_ops_run_script(ShoalConn *conn, const char *script)
{
	Oid			type = TEXTOID;
	char	   *value = unconstify(char *, script);
	int			length = strlen(script);
	int			format = 0;
	ShoalParams params = {1, &type, &value, &length, &format};

	PQclear(shoal_remote_query(conn, "SELECT shoal.run_script($1)", &params));
}

/*
 * shoal.run_script(script text): node side.  Runs the statements one after the
 * other; settings that they change are restored at the end.
 */
Datum
shoal_run_script(PG_FUNCTION_ARGS)
{
	char	   *script = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			nestlevel;
	ListCell   *lc;

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to run a schema script")));

	nestlevel = NewGUCNestLevel();
	SPI_connect();
	shoal_scope_enter_local();
	foreach(lc, raw_parser(script, RAW_PARSE_DEFAULT))
	{
		RawStmt    *raw = lfirst_node(RawStmt, lc);
		char	   *statement = script + raw->stmt_location;
		int			ret;

		if (raw->stmt_len > 0)
			statement = pnstrdup(statement, raw->stmt_len);
		ret = SPI_execute(statement, false, 0);
		if (ret < 0)
			elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(ret));
		SPI_freetuptable(SPI_tuptable);
	}
	shoal_scope_leave_local();
	SPI_finish();

	/* "abort" is what makes plain SETs go, too */
	AtEOXact_GUC(false, nestlevel);
	PG_RETURN_VOID();
}

/* ---- roles, database, servers ---- */

/*
 * SQL (inside a printf format): "name TO value" for c, an element of
 * pg_db_role_setting.setconfig.  The values of settings that are lists of
 * names are stored quoted as they have to be.
 */
#define SETTING_ASSIGNMENT \
	"pg_catalog.quote_ident(pg_catalog.split_part(c, '=', 1)) || ' TO ' ||" \
	" CASE WHEN pg_catalog.split_part(c, '=', 1) IN ('search_path', 'temp_tablespaces'," \
	" 'session_preload_libraries', 'local_preload_libraries')" \
	" THEN pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)" \
	" ELSE pg_catalog.quote_literal(pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)) END"

static bool
list_has_string(List *list, const char *string)
{
	ListCell   *lc;

	foreach(lc, list)
	{
		if (strcmp((char *) lfirst(lc), string) == 0)
			return true;
	}
	return false;
}

void
shoal_ops_copy_roles(ShoalConn *conn)
{
	PGresult   *res;
	List	   *there = NIL;
	List	   *missing = NIL;
	ListCell   *lc;
	int			ret;

	res = shoal_remote_query(conn, "SELECT rolname FROM pg_catalog.pg_roles", NULL);
	for (int i = 0; i < PQntuples(res); i++)
		there = lappend(there, pstrdup(PQgetvalue(res, i, 0)));
	PQclear(res);

	ret = SPI_execute("SELECT rolname, pg_catalog.format('CREATE ROLE %I WITH %s %s %s %s %s %s %s CONNECTION LIMIT %s%s%s', rolname,"
					  " CASE WHEN rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END,"
					  " CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,"
					  " CASE WHEN rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,"
					  " CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,"
					  " CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,"
					  " CASE WHEN rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,"
					  " CASE WHEN rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,"
					  " rolconnlimit,"
					  " ' PASSWORD ' || pg_catalog.quote_literal(rolpassword),"
					  " ' VALID UNTIL ' || pg_catalog.quote_literal(rolvaliduntil))"
					  " FROM pg_catalog.pg_authid WHERE rolname !~ '^pg_' ORDER BY oid",
					  false, 0);
	if (ret < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(ret));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		if (list_has_string(there, name))
			continue;
		missing = lappend(missing, name);
		shoal_ops_run_on(conn, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));
	}
	SPI_freetuptable(SPI_tuptable);

	/* what belongs to them: settings, and memberships in both directions */
	foreach(lc, missing)
	{
		char	   *role = quote_literal_cstr((char *) lfirst(lc));
		ListCell   *lc2;

		foreach(lc2, shoal_ops_texts(psprintf("SELECT pg_catalog.format('ALTER ROLE %%I SET ', r.rolname) || "
											  SETTING_ASSIGNMENT
											  " FROM pg_catalog.pg_db_role_setting d JOIN pg_catalog.pg_roles r ON r.oid = d.setrole"
											  " CROSS JOIN pg_catalog.unnest(d.setconfig) c"
											  " WHERE d.setdatabase = 0 AND r.rolname = %s", role)))
			shoal_ops_run_on(conn, (char *) lfirst(lc2));

		foreach(lc2, shoal_ops_texts(psprintf("SELECT DISTINCT pg_catalog.format('GRANT %%I TO %%I%%s', g.rolname, m.rolname,"
											  " CASE WHEN a.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END)"
											  " FROM pg_catalog.pg_auth_members a"
											  " JOIN pg_catalog.pg_roles g ON g.oid = a.roleid"
											  " JOIN pg_catalog.pg_roles m ON m.oid = a.member"
											  " WHERE %s IN (g.rolname, m.rolname)", role)))
			shoal_ops_run_on(conn, (char *) lfirst(lc2));
	}
}

void
shoal_ops_copy_database(ShoalConn *conn, const char *dbname)
{
	char	   *sql;
	ListCell   *lc;

	sql = psprintf("WITH db AS (SELECT * FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),"
				   " acl AS (SELECT a.* FROM db, pg_catalog.aclexplode(datacl) a)"
				   " SELECT pg_catalog.format('ALTER DATABASE %%I OWNER TO %%I', %1$s, rolname)"
				   " FROM db JOIN pg_catalog.pg_roles r ON r.oid = datdba"
				   " UNION ALL SELECT pg_catalog.format('REVOKE ALL ON DATABASE %%I FROM PUBLIC', %1$s)"
				   " FROM db WHERE datacl IS NOT NULL"
				   " UNION ALL SELECT pg_catalog.format('GRANT %%s ON DATABASE %%I TO %%s%%s', privilege_type, %1$s,"
				   " CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(rolname) END,"
				   " CASE WHEN is_grantable AND grantee <> datdba THEN ' WITH GRANT OPTION' ELSE '' END)"
				   " FROM db CROSS JOIN acl LEFT JOIN pg_catalog.pg_roles r ON r.oid = grantee",
				   quote_literal_cstr(dbname));
	foreach(lc, shoal_ops_texts(sql))
		shoal_ops_run_on(conn, (char *) lfirst(lc));

	sql = psprintf("SELECT pg_catalog.format('ALTER %%s SET ',"
				   " CASE WHEN setrole = 0 THEN pg_catalog.format('DATABASE %%I', %1$s)"
				   " ELSE pg_catalog.format('ROLE %%I IN DATABASE %%I', r.rolname, %1$s) END) || "
				   SETTING_ASSIGNMENT
				   " FROM pg_catalog.pg_db_role_setting d"
				   " LEFT JOIN pg_catalog.pg_roles r ON r.oid = d.setrole"
				   " CROSS JOIN pg_catalog.unnest(d.setconfig) c"
				   " WHERE d.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
				   quote_literal_cstr(dbname));
	foreach(lc, shoal_ops_texts(sql))
		shoal_ops_run_on(conn, (char *) lfirst(lc));
}

void
shoal_ops_copy_servers(ShoalConn *conn)
{
	ListCell   *lc;

	/*
	 * The extension's script has made a server for the node itself under the
	 * name of node 1's.
	 */
	foreach(lc, shoal_ops_texts("SELECT CASE WHEN s.srvname = 'shoal_node_1'"
								" THEN pg_catalog.format('ALTER SERVER %I OPTIONS (', s.srvname)"
								" || (SELECT pg_catalog.string_agg(pg_catalog.format('SET %I %L', option_name, option_value), ', ')"
								" FROM pg_catalog.pg_options_to_table(s.srvoptions)) || ')'"
								" ELSE pg_catalog.format('CREATE SERVER IF NOT EXISTS %I FOREIGN DATA WRAPPER shoal OPTIONS (', s.srvname)"
								" || (SELECT pg_catalog.string_agg(pg_catalog.format('%I %L', option_name, option_value), ', ')"
								" FROM pg_catalog.pg_options_to_table(s.srvoptions)) || ')' END"
								" FROM shoal.node n JOIN pg_catalog.pg_foreign_server s ON s.srvname = n.server_name"
								" ORDER BY n.node_id"))
		shoal_ops_run_on(conn, (char *) lfirst(lc));
	foreach(lc, shoal_ops_texts("SELECT pg_catalog.format('CREATE USER MAPPING IF NOT EXISTS FOR %s SERVER %I',"
								" CASE WHEN u.umuser = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(u.usename) END, u.srvname)"
								" || coalesce(' OPTIONS (' || (SELECT pg_catalog.string_agg(pg_catalog.format('%I %L', option_name, option_value), ', ')"
								" FROM pg_catalog.pg_options_to_table(u.umoptions)) || ')', '')"
								" FROM shoal.node n JOIN pg_catalog.pg_user_mappings u ON u.srvname = n.server_name"))
		shoal_ops_run_on(conn, (char *) lfirst(lc));
}

/* ---- metadata and rows ---- */

void
shoal_ops_copy_metadata(ShoalConn *conn, int node_id)
{
	static const char *const tables[] = {
		"node", "colocation_group", "distributed_table", "placement",
		"missed_statement", "secret"
	};

	for (int i = 0; i < lengthof(tables); i++)
	{
		char	   *rows = shoal_ops_text(psprintf("SELECT coalesce(pg_catalog.json_agg(t), '[]') FROM shoal.%s t",
												   tables[i]));

		shoal_ops_run_on(conn, psprintf("DELETE FROM shoal.%s", tables[i]));
		shoal_ops_run_on(conn, psprintf("INSERT INTO shoal.%s SELECT * FROM pg_catalog.json_populate_recordset(NULL::shoal.%s, %s)",
										tables[i], tables[i], quote_literal_cstr(rows)));
	}
	shoal_ops_run_on(conn, psprintf("UPDATE shoal.local_node SET node_id = %d", node_id));
}

/* Appends a value as COPY's text format wants it. */
static void
append_copy_value(StringInfo buf, const char *value)
{
	if (value == NULL)
	{
		appendStringInfoString(buf, "\\N");
		return;
	}
	for (; *value; value++)
	{
		switch (*value)
		{
			case '\\':
				appendStringInfoString(buf, "\\\\");
				break;
			case '\n':
				appendStringInfoString(buf, "\\n");
				break;
			case '\r':
				appendStringInfoString(buf, "\\r");
				break;
			case '\t':
				appendStringInfoString(buf, "\\t");
				break;
			default:
				appendStringInfoChar(buf, *value);
		}
	}
}

/* The columns that have stored values, "a, b"; empty if there is none. */
static char *
stored_columns(Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || att->attgenerated)
			continue;
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "",
						 quote_identifier(NameStr(att->attname)));
	}
	table_close(rel, NoLock);
	return buf.data;
}

void
shoal_ops_copy_rows(ShoalConn *conn, Oid relid)
{
	char	   *table = shoal_objects_relation_name(relid);
	char	   *columns = stored_columns(relid);
	StringInfoData rows;
	Portal		portal;

	if (*columns == '\0')
		return;
	shoal_ops_run_on(conn, "SET LOCAL session_replication_role = replica");
	shoal_remote_copy_begin(conn, psprintf("/*shoal local*/ COPY %s (%s) FROM STDIN",
										   table, columns));
	shoal_scope_enter_local();
	portal = SPI_cursor_parse_open(NULL, psprintf("SELECT %s FROM %s", columns, table),
								   &(SPIParseOpenOptions)
								   {
									   .read_only = false
								   });
	shoal_scope_leave_local();
	initStringInfo(&rows);
	do
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, 1000);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			TupleDesc	desc = SPI_tuptable->tupdesc;

			for (int col = 1; col <= desc->natts; col++)
			{
				char	   *value = SPI_getvalue(SPI_tuptable->vals[row], desc, col);

				if (col > 1)
					appendStringInfoChar(&rows, '\t');
				append_copy_value(&rows, value);
				if (value)
					pfree(value);
			}
			appendStringInfoChar(&rows, '\n');
			if (rows.len >= COPY_PIECE)
			{
				shoal_remote_copy_data(conn, rows.data, rows.len);
				resetStringInfo(&rows);
			}
		}
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	shoal_remote_copy_data(conn, rows.data, rows.len);
	shoal_remote_copy_end(conn);
	shoal_ops_run_on(conn, "SET LOCAL session_replication_role = DEFAULT");
}
