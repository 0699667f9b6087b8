/*
 * remote_statement.c
 *		Prepared statements of a connection.
 *
 * They are found by text and parameter types, and the least recently used
 * ones go when there are too many.  Their DEALLOCATE travels with the next
 * statement.  Names are never used twice on a connection, so one that is lost
 * with an aborted group does no harm.  An entry counts as prepared only when the node has said so.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "base/base_compat.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "remote/remote.h"
#include "remote/remote_private.h"

/* ---- schema changes by other sessions ---- */

/*
 * A statement whose table has changed since it was prepared would fail once.
 * Schema changes reach all nodes, so this one hears of them.  The callback
 * just notes the relations; whether one is a distributed table is looked up
 * with the next statement.  More than fit count as one that is.
 */
#define MAX_CHANGED		32

static Oid	changed[MAX_CHANGED];
static int	nchanged = 0;

static void
note_change(Datum arg, Oid relid)
{
	if (nchanged >= MAX_CHANGED)
		return;
	for (int i = 0; i < nchanged; i++)
	{
		if (changed[i] == relid)
			return;
	}
	/* InvalidOid: all of them */
	changed[nchanged++] = relid;
}

/* May wait for locks. */
void
remote_statement_look(void)
{
	bool		forget = nchanged >= MAX_CHANGED;
	int			n = nchanged;
	Oid			relids[MAX_CHANGED];

	if (n == 0)
		return;
	/* looking them up may bring news */
	memcpy(relids, changed, n * sizeof(Oid));
	nchanged = 0;
	for (int i = 0; i < n && !forget; i++)
		forget = !OidIsValid(relids[i]) || shoal_meta_table(relids[i]) != NULL;
	if (forget)
		shoal_remote_forget_statements();
}

void
remote_statement_init(void)
{
	CacheRegisterRelcacheCallback(note_change, (Datum) 0);
}

/* ---- the statements of a connection ---- */

static uint64
statement_hash(const char *sql, const ShoalParams *params)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) sql,
										   strlen(sql), 0);

	if (params && params->n > 0)
		hash = hash_bytes_extended((const unsigned char *) params->types,
								   params->n * sizeof(Oid), hash);
	return hash;
}

static bool
same_statement(const RemoteStatement *stmt, const char *sql,
			   const ShoalParams *params)
{
	int			n = params ? params->n : 0;

	return stmt->nparams == n && strcmp(stmt->sql, sql) == 0 &&
		(n == 0 || memcmp(stmt->types, params->types, n * sizeof(Oid)) == 0);
}

/* Whether its Parse is part of the group under way. */
bool
remote_statement_is_preparing(ShoalConn *conn, RemoteStatement *stmt)
{
	return conn->priv->preparing == stmt ||
		list_member_ptr(conn->priv->preparing_ahead, stmt);
}

/*
 * The entry for a statement, a new one if there is none; NULL if it can't be
 * cached.
 */
RemoteStatement *
remote_statement_get(ShoalConn *conn, const char *sql,
					 const ShoalParams *params)
{
	ShoalConnPrivate *priv = conn->priv;
	uint64		hash = statement_hash(sql, params);
	RemoteStatement *stmt;
	char	   *copy;
	Oid		   *types = NULL;
	int			n = params ? params->n : 0;

	if (shoal_max_cached_statements == 0)
		return NULL;
	if (priv->statements == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(uint64);
		ctl.entrysize = sizeof(RemoteStatement);
		ctl.hcxt = priv->context;
		priv->statements = hash_create("Shoal statements", 64, &ctl,
									   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		dlist_init(&priv->lru);
	}

	stmt = hash_search(priv->statements, &hash, HASH_FIND, NULL);
	if (stmt != NULL)
	{
		if (!same_statement(stmt, sql, params))
			return NULL;
		dlist_move_head(&priv->lru, &stmt->lru);
		return stmt;
	}

	while (hash_get_num_entries(priv->statements) >=
		   shoal_max_cached_statements)
	{
		RemoteStatement *oldest = dlist_tail_element(RemoteStatement, lru,
													 &priv->lru);

		/* whether the node will have it is not known yet */
		if (remote_statement_is_preparing(conn, oldest))
			return NULL;
		remote_statement_drop(conn, oldest);
	}

	/* allocate first: the entry must be whole if memory runs out */
	copy = MemoryContextStrdup(priv->context, sql);
	if (n > 0)
	{
		types = MemoryContextAlloc(priv->context, n * sizeof(Oid));
		memcpy(types, params->types, n * sizeof(Oid));
	}
	stmt = hash_search(priv->statements, &hash, HASH_ENTER, NULL);
	stmt->number = ++priv->last_number;
	stmt->prepared = false;
	stmt->sql = copy;
	stmt->nparams = n;
	stmt->types = types;
	dlist_push_head(&priv->lru, &stmt->lru);
	return stmt;
}

void
remote_statement_drop(ShoalConn *conn, RemoteStatement *stmt)
{
	ShoalConnPrivate *priv = conn->priv;

	if (priv->preparing == stmt)
		priv->preparing = NULL;
	priv->preparing_ahead = list_delete_ptr(priv->preparing_ahead, stmt);
	if (stmt->prepared)
	{
		appendStringInfo(&priv->deallocate, "DEALLOCATE shoal_%d",
						 stmt->number);
		appendStringInfoChar(&priv->deallocate, '\0');
	}
	dlist_delete(&stmt->lru);
	pfree(stmt->sql);
	if (stmt->types)
		pfree(stmt->types);
	hash_search(priv->statements, &stmt->hash, HASH_REMOVE, NULL);
}

void
remote_statement_drop_all(ShoalConn *conn)
{
	ShoalConnPrivate *priv = conn->priv;

	if (priv->statements == NULL)
		return;
	while (!dlist_is_empty(&priv->lru))
	{
		RemoteStatement *stmt = dlist_head_element(RemoteStatement, lru,
												   &priv->lru);

		/* one command takes them all */
		stmt->prepared = false;
		remote_statement_drop(conn, stmt);
	}
	resetStringInfo(&priv->deallocate);
	appendBinaryStringInfo(&priv->deallocate, "DEALLOCATE ALL",
						   sizeof("DEALLOCATE ALL"));
}

void
shoal_remote_forget_statements(void)
{
	List	   *conns = shoal_remote_all();
	ListCell   *lc;

	foreach(lc, conns)
		remote_statement_drop_all(lfirst(lc));
}
