/*
 * exec_rowfile.h
 *		Rows that were moved to this node for a query, kept in temporary files.
 */
#ifndef EXEC_ROWFILE_H
#define EXEC_ROWFILE_H

#include "access/htup_details.h"
#include "storage/fd.h"

/* a token is so many hexadecimal digits */
#define SHOAL_TOKEN_LEN		32

/* bytes of rows that are sent, stored and read at once */
#define SHOAL_ROWS_CHUNK	(256 * 1024)

/* A new token, palloc'd. */
extern char *shoal_rowfile_token(void);

/*
 * Appends rows (MinimalTuples, each padded to MAXALIGN) to a sender's file on
 * this server for that node.  create: the first of them.  Errors of the file
 * system are raised.
 */
extern void shoal_rowfile_append(const char *token, int node_id, int sender,
								 bool create, const char *data, int len);

/* Removes all files of a token for a node; no error if there are none. */
extern void shoal_rowfile_drop(const char *token, int node_id);

/*
 * Sees to it that they are removed in the end: when a transaction of this
 * session fails, or when the session ends.
 */
extern void shoal_rowfile_guard(const char *token, int node_id);

typedef struct ShoalRowReader
{
	File		file;			/* 0: none is open */
	off_t		offset;			/* of what is read next */
	char	   *buffer;
	int			size;
	int			filled;
	int			used;
} ShoalRowReader;

/*
 * Opens one sender's file (58P01 if it is not there).  It is read by so many
 * bytes at once, or more if a row is longer.
 */
extern void shoal_rowfile_open(ShoalRowReader *reader, const char *token,
							   int node_id, int sender, int size);

/* The next row, valid until the next call; NULL at the end. */
extern MinimalTuple shoal_rowfile_next(ShoalRowReader *reader);

/* Where in the file the next row is; goes there. */
extern off_t shoal_rowfile_tell(const ShoalRowReader *reader);
extern void shoal_rowfile_seek(ShoalRowReader *reader, off_t offset);

extern void shoal_rowfile_close(ShoalRowReader *reader);

#endif							/* EXEC_ROWFILE_H */
