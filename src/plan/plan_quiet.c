/*
 * plan_quiet.c
 *		Functions that certainly run no queries.
 *
 * A trigger that does not look at tables can fire on the row's node, if it does not look
 * at the session either, and one that is
 * BEFORE needs not wait for the rows before its own to be written (exec_fire.c); nor does
 * what works out a row's values (exec_source.c).  Most
 * are like that: they set a time, or check values.  Whether one is can only be told
 * from its text, so this errs on the side of caution: a function in PL/pgSQL is quiet
 * if none of its words, outside of literals and comments, begins a command of SQL, is
 * FROM, or is the name of a function, an operator or a type that is not built in; and
 * none of those that are built in and run queries.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "plan/plan_expr.h"
#include "plan/plan_quiet.h"
#include "plan/plan_stuck.h"

/* words with which commands begin, FROM, and PL/pgSQL's own that run queries */
static const char *const commands[] = {
	"abort", "alter", "analyse", "analyze", "call", "checkpoint", "close", "cluster",
	"comment", "commit", "copy", "create", "deallocate", "delete", "discard", "do",
	"drop", "execute", "explain", "fetch", "from", "grant", "import", "insert",
	"listen", "load", "lock", "merge", "move", "notify", "open", "perform",
	"prepare", "reassign", "refresh", "reindex", "release", "reset", "revoke",
	"rollback", "savepoint", "security", "select", "set", "show", "start", "table",
	"truncate", "unlisten", "update", "vacuum", "values", "with"
};

/* of these, what a query of another table may have */
static const char *const reads[] = {"from", "select", "values", "with"};

/* what is left of the text */
typedef struct Words
{
	const char *at;
	Oid			relid;			/* the table of which there must be no query; none: of
								 * any */
	char		word[NAMEDATALEN];	/* the last one, in lower case */
	bool		after_distinct; /* it follows DISTINCT */
	bool	   *bound;			/* if not NULL: one has told of something that a node's
								 * session does not have */
} Words;

static bool
is_word_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		IS_HIGHBIT_SET(c);
}

static bool
is_word_part(char c)
{
	return is_word_start(c) || (c >= '0' && c <= '9') || c == '$';
}

static bool
is_operator(char c)
{
	return c != '\0' && strchr("+-*/<>=~!@#%^&|`?", c) != NULL;
}

/* Goes behind a comment if one begins here; they nest. */
static bool
skip_comment(Words *words)
{
	int			depth = 0;

	if (strncmp(words->at, "--", 2) == 0)
	{
		words->at += strcspn(words->at, "\n");
		return true;
	}
	if (strncmp(words->at, "/*", 2) != 0)
		return false;
	do
	{
		if (strncmp(words->at, "/*", 2) == 0)
			depth++, words->at += 2;
		else if (strncmp(words->at, "*/", 2) == 0)
			depth--, words->at += 2;
		else
			words->at++;
	} while (depth > 0 && *words->at != '\0');
	return true;
}

/* Goes behind a literal with plain quotes. */
static void
skip_literal(Words *words)
{
	do
	{
		words->at += strcspn(words->at + 1, "'") + 1;
		if (*words->at == '\'')
			words->at++;
	} while (*words->at == '\'');
}

/* Is something of that name in the catalog that is not built in? */
static bool
has_own(int cache, const char *name)
{
	CatCList   *list = SearchSysCacheList1(cache, CStringGetDatum(name));
	bool		found = false;

	for (int i = 0; i < list->n_members; i++)
	{
		HeapTuple	tuple = &list->members[i]->tuple;

		/* the OID is the first column of all of these */
		found |= (cache == PROCNAMEARGSNSP ?
				  ((Form_pg_proc) GETSTRUCT(tuple))->oid :
				  cache == OPERNAMENSP ?
				  ((Form_pg_operator) GETSTRUCT(tuple))->oid :
				  ((Form_pg_type) GETSTRUCT(tuple))->oid) >= FirstNormalObjectId;
	}
	ReleaseSysCacheList(list);
	return found;
}

/* Names that are not functions: the table has another one on a node. */
static bool
is_bound_word(const char *word)
{
	CatCList   *list;
	bool		found = false;

	if (strcmp(word, "tg_relid") == 0 || strcmp(word, "tg_table_schema") == 0)
		return true;
	list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(word));
	for (int i = 0; i < list->n_members; i++)
		found |= shoal_stuck_function(((Form_pg_proc) GETSTRUCT(&list->members[i]->tuple))->oid,
									  NULL);
	ReleaseSysCacheList(list);
	return found;
}

/* May the name be that of the table, or of what could lead to it? */
static bool
names_table(const char *name, Oid relid)
{
	CatCList   *list = SearchSysCacheList1(RELNAMENSP, CStringGetDatum(name));
	bool		found = false;
	bool		partition = false;
	bool		partitioned = false;

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(&list->members[i]->tuple);
		bool		plain = form->relkind == RELKIND_RELATION && !form->relhassubclass;
		bool		whole = form->relkind == RELKIND_PARTITIONED_TABLE && !form->relispartition;

		partition |= plain && form->relispartition;
		partitioned |= whole;
		found |= form->oid == relid || form->relrowsecurity ||
			!(plain || whole || form->relkind == RELKIND_INDEX ||
			  form->relkind == RELKIND_PARTITIONED_INDEX);
	}
	ReleaseSysCacheList(list);
	/* shards have their table's name */
	return found || (partition && !partitioned);
}

/* Is it the name of a type, not of a table's rows, that is not built in? */
static bool
names_type(const char *name)
{
	CatCList   *list = SearchSysCacheList1(TYPENAMENSP, CStringGetDatum(name));
	bool		found = false;

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_type form = (Form_pg_type) GETSTRUCT(&list->members[i]->tuple);

		found |= form->oid >= FirstNormalObjectId && form->typtype != TYPTYPE_COMPOSITE;
	}
	ReleaseSysCacheList(list);
	return found;
}

static bool
is_among(const char *word, const char *const *list, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(word, list[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_loud_word(const Words *words)
{
	const char *word = words->word;
	bool		may_read = OidIsValid(words->relid);

	if (words->after_distinct && strcmp(word, "from") == 0)
		return false;
	if (may_read && is_among(word, reads, lengthof(reads)))
		return false;
	/* query_to_xml and the like, ts_stat and ts_rewrite */
	return is_among(word, commands, lengthof(commands)) ||
		strstr(word, "_to_xml") != NULL || strncmp(word, "ts_", 3) == 0 ||
		has_own(PROCNAMEARGSNSP, word) ||
		(may_read ? names_table(word, words->relid) || names_type(word) :
		 has_own(TYPENAMENSP, word));
}

/* Reads a word or an operator; true if it may stand for a query. */
static bool
read_word(Words *words)
{
	bool		is_distinct = strcmp(words->word, "distinct") == 0;
	bool		is_op = is_operator(*words->at);
	const char *start = words->at;
	int			len;

	while (is_op ? is_operator(*words->at) && !(words->at > start &&
												(strncmp(words->at, "--", 2) == 0 ||
												 strncmp(words->at, "/*", 2) == 0)) :
		   is_word_part(*words->at))
		words->at++;
	len = words->at - start;
	if (len >= NAMEDATALEN)
		return true;
	for (int i = 0; i < len; i++)
		words->word[i] = pg_tolower((unsigned char) start[i]);
	words->word[len] = '\0';
	words->after_distinct = is_distinct;
	if (words->bound && !is_op)
		*words->bound |= is_bound_word(words->word);
	return is_op ? has_own(OPERNAMENSP, words->word) : is_loud_word(words);
}

static bool
is_quiet_text(const char *text, Oid relid, bool *bound)
{
	Words		words = {.at = text, .relid = relid, .bound = bound};

	while (*words.at != '\0')
	{
		if (skip_comment(&words))
			continue;
		/* parameters */
		if (OidIsValid(relid) && words.at[0] == '$' && isdigit((unsigned char) words.at[1]))
		{
			words.at += strspn(words.at + 1, "0123456789") + 1;
			continue;
		}
		/* literals with backslashes or dollars, and quoted names */
		if (*words.at == '"' || *words.at == '\\' || *words.at == '$')
			return false;
		if (*words.at == '\'')
			skip_literal(&words);
		else if (is_word_start(*words.at) || is_operator(*words.at))
		{
			if (read_word(&words))
				return false;
			/* E'...', U&'...' and the like */
			if (*words.at == '\'' && words.word[1] == '\0' &&
				is_word_start(words.word[0]))
				return false;
		}
		else
			words.at++;
	}
	return true;
}

/*
 * Whether it runs no query; sets *bound, if not NULL, if it asks for something of the
 * session's.
 */
static bool
is_quiet_function(Oid funcid, Oid relid, bool *bound)
{
	HeapTuple	tuple;
	Form_pg_proc proc;
	bool		quiet = false;

	if (funcid < FirstNormalObjectId)
		return true;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->prolang == get_language_oid("plpgsql", true) ||
		(proc->prolang == SQLlanguageId && OidIsValid(relid) &&
		 heap_attisnull(tuple, Anum_pg_proc_prosqlbody, NULL)))
	{
		bool		isnull;
		Datum		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc,
											 &isnull);

		quiet = !isnull && is_quiet_text(TextDatumGetCString(source), relid, bound);
	}
	ReleaseSysCache(tuple);
	return quiet;
}

bool
shoal_quiet_is_function(Oid funcid, Oid relid)
{
	return is_quiet_function(funcid, relid, NULL);
}

static bool
is_quiet(const Trigger *trigger, bool *bound)
{
	if (trigger->tgqual)
	{
		Node	   *condition = stringToNode(trigger->tgqual);

		if (shoal_expr_calls_users(condition))
			return false;
		if (bound)
			*bound |= shoal_expr_calls(condition, shoal_stuck_function, NULL);
	}
	return is_quiet_function(trigger->tgfoid, InvalidOid, bound);
}

bool
shoal_quiet_is_trigger(const Trigger *trigger)
{
	return is_quiet(trigger, NULL);
}

bool
shoal_quiet_is_free(const Trigger *trigger)
{
	bool		bound = false;

	return is_quiet(trigger, &bound) && !bound;
}

/* ---- may it look at the rows that have been written? ---- */

/* Is it written in a language in which functions run queries as a matter of course? */
static bool
is_scripted(Oid funcid)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	Oid			language;

	if (!HeapTupleIsValid(tuple))
		return false;
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	ReleaseSysCache(tuple);
	return language != INTERNALlanguageId && language != ClanguageId;
}

bool
shoal_quiet_is_curious_function(Oid funcid, void *relid)
{
	return funcid >= FirstNormalObjectId && is_scripted(funcid) &&
		func_volatile(funcid) == PROVOLATILE_VOLATILE &&
		!shoal_quiet_is_function(funcid, *(Oid *) relid);
}

Oid
shoal_quiet_written_table(Relation rel)
{
	bool		more = rel->rd_rel->relispartition || rel->rd_rel->relhasrules;

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
		more |= !rel->trigdesc->triggers[i].tgisinternal;
	return more ? InvalidOid : RelationGetRelid(rel);
}

bool
shoal_quiet_is_curious(Node *expr, Relation rel)
{
	Oid			relid = shoal_quiet_written_table(rel);

	return shoal_expr_calls(expr, shoal_quiet_is_curious_function, &relid);
}
