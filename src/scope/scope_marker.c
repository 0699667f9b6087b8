/*
 * scope_marker.c
 *		Writing and reading the marker comment that opens a fragment's text.
 *
 * The whole grammar:
 *
 *		marker = "/+shoal " ( "local" [ " copies " hex | " columns " number ] | group ":" [ ranges ] ) [ " partial" ] [ " policies " number ] [ " rights " number ] [ " any" ] [ " fired" [ " acted" ] ] [ " text" ] [ " packed" ] [ " held" | " calm" | " late" ] "+/"
 *		ranges = range { "," range }
 *		range = number [ "-" number ]
 *
 * (with * for +).  A marker is only ever written by shoal_scope_marker, so the
 * reader accepts nothing else: a comment that begins like one but is not is an
 * error rather than ignored, as ignoring it could show a query rows outside of
 * its scope.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"

#include "base/base_settings.h"
#include "scope/scope.h"
#include "scope/scope_internal.h"

#define MARKER_START "/*shoal "
#define MARKER_END "*/"
#define HELD " held"
#define CALM " calm"
#define LATE " late"
#define COPIES " copies "
#define COLUMNS " columns "
#define ANY " any"
#define FIRED " fired"
#define ACTED " acted"
#define TEXT " text"
#define PACKED " packed"
#define POLICIES " policies "
#define RIGHTS " rights "

int			shoal_scope_copies_here = 0;
const uint32 *shoal_scope_copies_placements = NULL;
int			shoal_scope_copies_shards = 0;

/* more shards than any group may have; keeps a bad marker from eating memory */
#define MAX_SHARD 1000000

static void
append_number(StringInfo buf, int number)
{
	char		digits[12];

	appendBinaryStringInfo(buf, digits, pg_ltoa(number, digits));
}

char *
shoal_scope_marker(int group_id, const Bitmapset *shards)
{
	ShoalScope	scope = {.group_id = group_id,.shards = unconstify(Bitmapset *, shards)};

	return shoal_scope_full_marker(&scope, SHOAL_SNAPSHOT_OWN);
}

char *
shoal_scope_full_marker(const ShoalScope *scope, ShoalSnapshotKind snapshot)
{
	StringInfoData buf;
	int			first;
	int			last;
	bool		comma = false;

	initStringInfo(&buf);
	appendStringInfoString(&buf, MARKER_START);
	if (scope->group_id == 0)
		appendStringInfoString(&buf, "local");
	else
	{
		append_number(&buf, scope->group_id);
		appendStringInfoChar(&buf, ':');
		first = bms_next_member(scope->shards, -1);
		while (first >= 0)
		{
			int			next = bms_next_member(scope->shards, first);

			for (last = first; next == last + 1; last = next,
				 next = bms_next_member(scope->shards, last))
				 /* find the end of the range */ ;
			if (comma)
				appendStringInfoChar(&buf, ',');
			append_number(&buf, first);
			if (last > first)
			{
				appendStringInfoChar(&buf, '-');
				append_number(&buf, last);
			}
			comma = true;
			first = next;
		}
	}
	if (scope->partial)
		appendStringInfoString(&buf, " partial");
	if (scope->policies > 0)
	{
		appendStringInfoString(&buf, POLICIES);
		append_number(&buf, scope->policies);
	}
	if (scope->rights > 0)
	{
		appendStringInfoString(&buf, RIGHTS);
		append_number(&buf, scope->rights);
	}
	if (scope->any_copy)
		appendStringInfoString(&buf, ANY);
	if (scope->fired)
		appendStringInfoString(&buf, FIRED);
	if (scope->acted)
		appendStringInfoString(&buf, ACTED);
	if (scope->text)
		appendStringInfoString(&buf, TEXT);
	if (scope->packed)
		appendStringInfoString(&buf, PACKED);
	if (snapshot == SHOAL_SNAPSHOT_HELD)
		appendStringInfoString(&buf, HELD);
	if (snapshot == SHOAL_SNAPSHOT_CALM)
		appendStringInfoString(&buf, CALM);
	if (snapshot == SHOAL_SNAPSHOT_LATE)
		appendStringInfoString(&buf, LATE);
	appendStringInfoString(&buf, MARKER_END);
	return buf.data;
}

/* Skips a word if the text begins with it. */
static bool
skip(const char **text, const char *word)
{
	size_t		len = strlen(word);

	if (strncmp(*text, word, len) != 0)
		return false;
	*text += len;
	return true;
}

static bool
read_number(const char **text, int *number)
{
	const char *p = *text;
	int64		value = 0;

	while (*p >= '0' && *p <= '9' && value <= PG_INT32_MAX)
		value = value * 10 + (*p++ - '0');
	if (p == *text || value > PG_INT32_MAX)
		return false;
	*number = (int) value;
	*text = p;
	return true;
}

static bool
read_ranges(const char **text, Bitmapset **shards)
{
	int			first;
	int			last;

	do
	{
		if (!read_number(text, &first))
			return false;
		last = first;
		if (skip(text, "-") && !read_number(text, &last))
			return false;
		if (last < first || last >= MAX_SHARD)
			return false;
		*shards = bms_add_range(*shards, first, last);
	} while (skip(text, ","));
	return true;
}

static bool
read_marker(const char *text, ShoalScope *scope)
{
	memset(scope, 0, sizeof(ShoalScope));
	if (skip(&text, "local"))
	{
		scope->local = true;
		if (skip(&text, COPIES))
			text += strspn(text, "0123456789abcdef");
		else if (skip(&text, COLUMNS) && !read_number(&text, &scope->columns))
			return false;
	}
	else
	{
		if (!read_number(&text, &scope->group_id) || scope->group_id == 0 ||
			!skip(&text, ":"))
			return false;
		if (*text >= '0' && *text <= '9' &&
			!read_ranges(&text, &scope->shards))
			return false;
	}
	scope->partial = skip(&text, " partial");
	if (skip(&text, POLICIES) && !read_number(&text, &scope->policies))
		return false;
	if (skip(&text, RIGHTS) && !read_number(&text, &scope->rights))
		return false;
	scope->any_copy = skip(&text, ANY);
	scope->fired = skip(&text, FIRED);
	scope->acted = scope->fired && skip(&text, ACTED);
	scope->text = skip(&text, TEXT);
	scope->packed = skip(&text, PACKED);
	/* for the executor: shoal_scope_snapshot */
	(void) (skip(&text, HELD) || skip(&text, CALM) || skip(&text, LATE));
	return skip(&text, MARKER_END);
}

bool
shoal_scope_is_fragment(const char *query_string)
{
	return query_string != NULL &&
		strncmp(query_string, MARKER_START, strlen(MARKER_START)) == 0 &&
		shoal_scope_is_trusted(query_string);
}

/* The end of a marker, if a text begins with one, without its last word; and what that says. */
static const char *
end_of_marker(const char *query_string, ShoalSnapshotKind *kind)
{
	const char *end;

	*kind = SHOAL_SNAPSHOT_OWN;
	if (query_string == NULL ||
		strncmp(query_string, MARKER_START, strlen(MARKER_START)) != 0 ||
		(end = strstr(query_string, MARKER_END)) == NULL)
		return NULL;
	/* all words are of the same length, and shorter than the marker */
	if (strncmp(end - strlen(HELD), HELD, strlen(HELD)) == 0)
		*kind = SHOAL_SNAPSHOT_HELD;
	else if (strncmp(end - strlen(CALM), CALM, strlen(CALM)) == 0)
		*kind = SHOAL_SNAPSHOT_CALM;
	else if (strncmp(end - strlen(LATE), LATE, strlen(LATE)) == 0)
		*kind = SHOAL_SNAPSHOT_LATE;
	else
		return end;
	return end - strlen(HELD);
}

ShoalSnapshotKind
shoal_scope_snapshot(const char *query_string)
{
	ShoalSnapshotKind kind;

	(void) end_of_marker(query_string, &kind);
	return kind != SHOAL_SNAPSHOT_OWN && shoal_scope_is_trusted(query_string) ?
		kind : SHOAL_SNAPSHOT_OWN;
}

bool
shoal_scope_is_packed(const char *query_string)
{
	ShoalSnapshotKind kind;
	const char *end = end_of_marker(query_string, &kind);

	return end != NULL &&
		strncmp(end - strlen(PACKED), PACKED, strlen(PACKED)) == 0 &&
		shoal_scope_is_trusted(query_string);
}

char *
shoal_scope_columns_marker(int step)
{
	return psprintf(MARKER_START "local" COLUMNS "%d" MARKER_END, step);
}

char *
shoal_scope_copies_marker(const uint32 *placements, int shard_count)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, MARKER_START "local" COPIES);
	for (int shard = 0; shard < shard_count; shard++)
		appendStringInfo(&buf, "%s%x", shard > 0 ? "," : "", placements[shard]);
	appendStringInfoString(&buf, MARKER_END);
	return buf.data;
}

static void
read_copies(const char *text)
{
	const char *end = strchr(text, '*');
	uint32	   *placements = palloc(sizeof(uint32) * (end ? end - text : 1));
	int			n = 0;

	while (end && text < end)
	{
		char	   *behind;

		placements[n++] = (uint32) strtoul(text, &behind, 16);
		text = behind + 1;
	}
	shoal_scope_copies_placements = placements;
	shoal_scope_copies_shards = n;
}

bool
shoal_scope_says_copies(const PlannedStmt *stmt, const char *query_string)
{
	static const char start[] = MARKER_START "local" COPIES;
	const char *text = query_string + Max(stmt->stmt_location, 0);

	/* what the coordinator has sent, not what a function runs */
	if (shoal_origin <= 0 || query_string != debug_query_string)
		return false;
	/* later versions don't count a comment in front as part of a statement */
	if (*text != '/' && text > query_string + 1 && text[-1] == '/' &&
		text[-2] == '*')
	{
		for (text -= 2; text > query_string && *text != '/'; text--)
			 /* back to its start */ ;
	}
	if (strncmp(text, start, strlen(start)) != 0)
		return false;
	read_copies(text + strlen(start));
	return true;
}

bool
shoal_scope_parse(const char *query_string, ShoalScope *scope)
{
	if (query_string == NULL ||
		strncmp(query_string, MARKER_START, strlen(MARKER_START)) != 0 ||
		!shoal_scope_is_trusted(query_string))
		return false;
	(void) skip(&query_string, MARKER_START);
	if (!read_marker(query_string, scope))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("malformed scope marker at the start of the statement"),
				 errhint("Comments that begin with \"/*shoal \" are reserved for Shoal's own sessions.")));
	return true;
}
