/*
 * exec_stdin.c
 *		COPY's text input from the client, line by line.
 *
 * Core's code looks at each byte of a line twice, once to find its end and
 * once to take its fields apart.  A line that is forwarded as it is needs
 * neither: its end and its fields are found by memchr().  That holds for lines
 * of the usual kind.  Where one is met that is not (a carriage return, a
 * backslash before the line's end or before a dot), core reads on from its
 * start, through shoal_stdin_read().
 *
 * There is one COPY from the client at a time.  If it fails, the main loop
 * ignores what the client still sends.
 */
#include "postgres.h"

/* its headers need not be here to build an extension, and libpq.h wants them */
#undef ENABLE_GSS

#include "commands/copyfrom_internal.h"
#include "commands/progress.h"
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

#include "exec/exec_internal.h"

struct ShoalStdin
{
	StringInfoData message;		/* as it came */
	StringInfoData data;		/* of messages, not used up from pos on */
	int			pos;
	bool		at_end;			/* the client has no more */
	uint64		received;		/* bytes */
};

static ShoalStdin *client = NULL;

ShoalStdin *
shoal_stdin_open(void)
{
	ShoalStdin *input = palloc0(sizeof(ShoalStdin));

	initStringInfo(&input->message);
	initStringInfo(&input->data);
	client = input;
	return input;
}

/* Asks the client for text with so many columns. */
void
shoal_stdin_start(ShoalStdin *input, int ncolumns)
{
	StringInfoData buf;

	pq_beginmessage(&buf, 'G');
	pq_sendbyte(&buf, 0);
	pq_sendint16(&buf, ncolumns);
	for (int i = 0; i < ncolumns; i++)
		pq_sendint16(&buf, 0);
	pq_endmessage(&buf);
	pq_flush();
}

static void __attribute__((noreturn))
raise_gone(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("unexpected EOF on client connection with an open transaction")));
}

/* Reads one message, returns its type. */
static int
get_message(StringInfo message)
{
	int			type;

	/* a cancel in the midst of a message would lose the client */
	HOLD_CANCEL_INTERRUPTS();
	pq_startmsgread();
	type = pq_getbyte();
	if (type == EOF)
		raise_gone();
	if (type == 0 || strchr("dcfHS", type) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("unexpected message type 0x%02X during COPY from stdin",
						type)));
	if (pq_getmessage(message, type == 'd' ? PQ_LARGE_MESSAGE_LIMIT :
					  PQ_SMALL_MESSAGE_LIMIT) != 0)
		raise_gone();
	RESUME_CANCEL_INTERRUPTS();
	return type;
}

/* Waits for more data; false if there is none. */
static bool
receive(ShoalStdin *input)
{
	while (!input->at_end)
	{
		CHECK_FOR_INTERRUPTS();
		switch (get_message(&input->message))
		{
			case 'd':
				if (input->pos > 0)
				{
					input->data.len -= input->pos;
					memmove(input->data.data, input->data.data + input->pos,
							input->data.len);
					input->pos = 0;
				}
				appendBinaryStringInfo(&input->data, input->message.data,
									   input->message.len);
				input->received += input->message.len;
				pgstat_progress_update_param(PROGRESS_COPY_BYTES_PROCESSED,
											 input->received);
				return true;
			case 'c':
				input->at_end = true;
				break;
			case 'f':
				ereport(ERROR,
						(errcode(ERRCODE_QUERY_CANCELED),
						 errmsg("COPY from stdin failed: %s",
								pq_getmsgstring(&input->message))));
				break;
			default:
				/* Flush and Sync mean nothing here */
				break;
		}
	}
	return false;
}

/* Core's COPY reads from the client through this. */
int
shoal_stdin_read(void *outbuf, int minread, int maxread)
{
	ShoalStdin *input = client;
	int			n;

	if (input->pos == input->data.len && !receive(input))
		return 0;
	n = Min(input->data.len - input->pos, maxread);
	memcpy(outbuf, input->data.data + input->pos, n);
	input->pos += n;
	return n;
}

/*
 * The next line, without its end, in memory that is valid until the next call;
 * it may be changed.
 */
ShoalStdinResult
shoal_stdin_line(ShoalStdin *input, char **line, int *len, bool *escapes)
{
	int			searched = input->pos;
	char	   *start;
	char	   *end;
	char	   *backslash;

	for (;;)
	{
		int			before = input->pos;

		end = memchr(input->data.data + searched, '\n',
					 input->data.len - searched);
		if (end != NULL)
			break;
		searched = input->data.len;
		if (!receive(input))
			break;
		searched -= before - input->pos;
	}
	start = input->data.data + input->pos;
	if (end == NULL)
	{
		end = input->data.data + input->data.len;
		if (end == start)
			return SHOAL_STDIN_END;
	}

	backslash = memchr(start, '\\', end - start);
	if (memchr(start, '\r', end - start) != NULL)
		return SHOAL_STDIN_OTHER;
	*escapes = backslash != NULL;
	while (backslash != NULL)
	{
		if (backslash + 1 >= end || backslash[1] == '.')
			return SHOAL_STDIN_OTHER;
		backslash = backslash + 2 < end ?
			memchr(backslash + 2, '\\', end - backslash - 2) : NULL;
	}

	*line = start;
	*len = end - start;
	input->pos = Min(end + 1 - input->data.data, input->data.len);
	return SHOAL_STDIN_LINE;
}

/* Gives the line back that was handed out last. */
void
shoal_stdin_unread(ShoalStdin *input, const char *line)
{
	input->pos = line - input->data.data;
}

/*
 * End of a field: the next delimiter that no backslash hides, or the line's
 * end.
 */
static char *
field_end(char *field, char *end, char delimiter, bool escapes)
{
	char	   *found;

	if (!escapes)
	{
		found = memchr(field, delimiter, end - field);
		return found ? found : end;
	}
	for (found = field; found < end && *found != delimiter; found++)
	{
		if (*found == '\\')
			found++;
	}
	return Min(found, end);
}

int
shoal_stdin_fields(char *line, int len, char delimiter, bool escapes,
				   int nwanted, const int *wanted, char **fields, int *lens)
{
	char	   *end = line + len;
	char	   *field = line;

	for (int n = 0;; n++)
	{
		char	   *stop = field_end(field, end, delimiter, escapes);

		for (int i = 0; i < nwanted; i++)
		{
			if (wanted[i] == n)
			{
				fields[i] = field;
				lens[i] = stop - field;
			}
		}
		if (stop == end)
			return n + 1;
		field = stop + 1;
	}
}

/* Reads what the client sends after the end that the data itself has told. */
void
shoal_stdin_close(ShoalStdin *input)
{
	do
	{
		input->pos = input->data.len;
	} while (receive(input));
	client = NULL;
}
