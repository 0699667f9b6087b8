/*
 * xact_sealed.c
 *		Sealed votes for giving nodes up, kept in a file.
 *
 * A sealed vote has to be on disk before the transaction has ended that it is a part
 * of, and to be there for whoever hears first of the node after a restart, with or
 * without a transaction.  So it is no row of a table: a file of the data directory
 * for each database has a line for each vote, the node and how often it had been
 * given up before.  It is always written as a whole, and is not there without votes.
 */
#include "postgres.h"

#include <unistd.h>

#include "storage/fd.h"

#include "base/base_compat.h"
#include "xact/xact_private.h"

static char *
file_name(Oid dbid)
{
	return psprintf("shoal_votes.%u", dbid);
}

int
xact_sealed_read(Oid dbid, XactSealed *votes, int max)
{
	char	   *path = file_name(dbid);
	FILE	   *file = AllocateFile(path, PG_BINARY_R);
	int			fields = EOF;
	int			n = 0;

	if (file == NULL && errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	while (file && n < max &&
		   (fields = fscanf(file, "%d %d\n", &votes[n].node_id,
							&votes[n].times_down)) == 2)
		n++;
	if (file && (ferror(file) || (n < max && fields != EOF)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("could not read votes from file \"%s\"", path)));
	if (file)
		FreeFile(file);
	pfree(path);
	return n;
}

bool
xact_sealed_write(Oid dbid, const XactSealed *votes, int n)
{
	char	   *path = file_name(dbid);
	char	   *new_path = psprintf("%s.new", path);
	FILE	   *file;
	bool		failed = false;

	if (n == 0)
		return access(path, F_OK) != 0 || durable_unlink(path, LOG) == 0;
	file = AllocateFile(new_path, PG_BINARY_W);
	for (int i = 0; file && i < n; i++)
		failed |= fprintf(file, "%d %d\n", votes[i].node_id,
						  votes[i].times_down) < 0;
	if (file == NULL || FreeFile(file) != 0 || failed)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", new_path)));
		return false;
	}
	/* which brings it to disk, too */
	return durable_rename(new_path, path, LOG) == 0;
}
