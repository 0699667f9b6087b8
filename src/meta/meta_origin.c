/*
 * meta_origin.c
 *		Proof that a session belongs to a coordinator.
 *
 * In the sessions that coordinators open on nodes, statements may touch one
 * node's copy of things: markers count there, event triggers do not fire.
 * Those sessions are ones of ordinary roles, who could open such a session by
 * themselves.  So the startup packet carries a proof: a keyed hash of the
 * role's name, made with a secret that all nodes of a cluster have in
 * shoal.secret and that only superusers can read.  It is looked at when the
 * session first uses anything of Shoal's.  A superuser needs none.
 *
 * Where such a session is to act as another role than its own (xact_role.c) there is
 * a proof for that.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "base/base_compat.h"
#include "base/base_memory.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "meta/meta_tables.h"

/* The cluster's secret, NULL if there is none. */
static char *
read_secret(void)
{
	Relation	rel = table_open(shoal_meta_relid(SHOAL_REL_SECRET), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);
	char	   *secret = NULL;

	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull);

		if (!isnull)
			secret = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return secret;
}

/* A keyed hash of a message; empty if there is no secret. */
static char *
prove(const char *message)
{
	char	   *secret = read_secret();
	uint8		hash[PG_SHA256_DIGEST_LENGTH];
	char	   *proof = palloc0(2 * sizeof(hash) + 1);
	pg_hmac_ctx *hmac;

	if (secret == NULL)
		return proof;
	hmac = pg_hmac_create(PG_SHA256);
	if (hmac == NULL ||
		pg_hmac_init(hmac, (const uint8 *) secret, strlen(secret)) < 0 ||
		pg_hmac_update(hmac, (const uint8 *) message, strlen(message)) < 0 ||
		pg_hmac_final(hmac, hash, sizeof(hash)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute the proof of a node connection")));
	pg_hmac_free(hmac);
	for (int i = 0; i < sizeof(hash); i++)
		snprintf(proof + 2 * i, 3, "%02x", hash[i]);
	return proof;
}

char *
shoal_meta_origin_proof(const char *user)
{
	return prove(user);
}

/* The message is longer than any role's name: one proof is not taken for the other. */
char *
shoal_meta_role_proof(const char *user, const char *role, bool restricted, int pid)
{
	return prove(psprintf("%0*d %d %zu %s %s", NAMEDATALEN, pid, restricted,
						  strlen(user), user, role));
}

/* Takes as long for one wrong character as for another. */
bool
shoal_meta_is_proof(const char *a, const char *b)
{
	size_t		len = strlen(a);
	int			difference = 0;

	if (len == 0 || strlen(b) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

void
shoal_meta_check_origin(void)
{
	Oid			user = GetAuthenticatedUserId();

	if (!superuser_arg(user) &&
		!shoal_meta_is_proof(shoal_meta_origin_proof(GetUserNameFromId(user, false)),
							 shoal_origin_proof))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("this session was not opened by a node of the cluster"),
				 errhint("\"%s\" is set by Shoal; connect without it.", "shoal.origin")));
	shoal_origin = shoal_claimed_origin;
	shoal_memory_keep();
}
