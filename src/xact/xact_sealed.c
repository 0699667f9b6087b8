/*
 * xact_sealed.c
 *		Sealed votes for giving nodes up, kept in a file.
 *
 * A sealed vote has to be on disk before the transaction has ended that it is a part
 * of, and to be there for whoever hears first of the node after a restart, with or
 * without a transaction.  So it is no row of a table: a file of the data directory
 * for each database has a line for each vote, the node and how often it had been
 * given up before, and a last line with a checksum of these.  It is always written as
 * a whole, to another name first, and is not there without votes.
 *
 * A file that is not what would be written for the votes in it is an error: without
 * its vote this node might help one to a lease that was given up.
 */
#include "postgres.h"

#include <unistd.h>

#include "lib/stringinfo.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"

#include "base/base_compat.h"
#include "xact/xact_private.h"

static char *
file_name(Oid dbid)
{
	return psprintf("shoal_votes.%u", dbid);
}

/* What the file says of these votes. */
static void
put_votes(StringInfo buf, const XactSealed *votes, int n)
{
	pg_crc32c	crc;

	for (int i = 0; i < n; i++)
		appendStringInfo(buf, "%d %d\n", votes[i].node_id, votes[i].times_down);
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, buf->data, buf->len);
	FIN_CRC32C(crc);
	appendStringInfo(buf, "checksum %08X\n", crc);
}

/* The file's bytes; false if there is none. */
static bool
read_file(const char *path, StringInfo buf)
{
	FILE	   *file = AllocateFile(path, PG_BINARY_R);
	char		chunk[1024];
	size_t		size;

	if (file == NULL && errno == ENOENT)
		return false;
	while (file && (size = fread(chunk, 1, sizeof(chunk), file)) > 0)
		appendBinaryStringInfo(buf, chunk, size);
	if (file == NULL || ferror(file))
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", path)));
	FreeFile(file);
	return true;
}

int
xact_sealed_read(Oid dbid, XactSealed *votes, int max)
{
	char	   *path = file_name(dbid);
	StringInfoData found;
	StringInfoData right;
	int			n = 0;

	initStringInfo(&found);
	initStringInfo(&right);
	if (!read_file(path, &found))
		return 0;
	for (int at = 0, len; n < max &&
		 sscanf(found.data + at, "%d %d\n%n", &votes[n].node_id,
				&votes[n].times_down, &len) == 2; at += len)
		n++;
	put_votes(&right, votes, n);
	if (found.len != right.len || memcmp(found.data, right.data, found.len) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" is damaged", path),
				 errdetail("It says which nodes this one has voted to give up."),
				 errhint("It can be removed when table shoal.node says on all nodes that all are active.")));
	return n;
}

bool
xact_sealed_write(Oid dbid, const XactSealed *votes, int n)
{
	char	   *path = file_name(dbid);
	char	   *new_path = psprintf("%s.new", path);
	StringInfoData text;
	FILE	   *file;
	bool		failed;

	if (n == 0)
		return access(path, F_OK) != 0 || durable_unlink(path, LOG) == 0;
	initStringInfo(&text);
	put_votes(&text, votes, n);
	file = AllocateFile(new_path, PG_BINARY_W);
	failed = file == NULL || fwrite(text.data, text.len, 1, file) != 1;
	if ((file && FreeFile(file) != 0) || failed)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", new_path)));
		return false;
	}
	/* which brings it to disk, too */
	return durable_rename(new_path, path, LOG) == 0;
}
