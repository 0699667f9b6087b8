/*
 * base_types.c
 *		How values of a type cross between nodes.
 *
 * Nodes share names, not OIDs: only types with OIDs that are fixed in the
 * server's sources mean the same on both sides.  Binary forms that carry OIDs
 * of anything else (regclass, composite types) are avoided; such values travel
 * as text.  The answers are kept per type until some type changes.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/base_types.h"

typedef struct TypeEntry
{
	Oid			type;			/* hash key */
	bool		is_binary;
} TypeEntry;

static HTAB *types = NULL;
static bool types_stale = false;

static bool
is_built_in(Oid type)
{
	return type < FirstGenbkiObjectId;
}

bool
shoal_types_names_object(Oid type)
{
	switch (type)
	{
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGROLEOID:
		case REGTYPEOID:
			return true;
		default:
			return false;
	}
}

static bool
compute_is_binary(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element;
	HeapTuple	tuple;
	Form_pg_type form;
	bool		result;

	if (!is_built_in(base) || shoal_types_names_object(base))
		return false;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(base));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_type) GETSTRUCT(tuple);
	result = OidIsValid(form->typsend) && OidIsValid(form->typreceive) &&
		form->typtype != TYPTYPE_PSEUDO && form->typtype != TYPTYPE_COMPOSITE;
	ReleaseSysCache(tuple);

	element = get_element_type(base);
	if (result && OidIsValid(element))
		result = compute_is_binary(element);
	return result;
}

static void
on_type_change(Datum arg, int cacheid, uint32 hashvalue)
{
	types_stale = true;
}

bool
shoal_types_is_binary(Oid type)
{
	TypeEntry  *entry;
	bool		found;
	bool		is_binary;

	if (types == NULL || types_stale)
	{
		HASHCTL		ctl;

		if (types == NULL)
			CacheRegisterSyscacheCallback(TYPEOID, on_type_change, (Datum) 0);
		else
			hash_destroy(types);
		types_stale = false;
		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(TypeEntry);
		ctl.hcxt = TopMemoryContext;
		types = hash_create("shoal types", 64, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	entry = hash_search(types, &type, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->is_binary;
	is_binary = compute_is_binary(type);
	entry = hash_search(types, &type, HASH_ENTER, &found);
	entry->is_binary = is_binary;
	return is_binary;
}

bool
shoal_types_text_is_fixed(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case UUIDOID:
		case JSONOID:
		case JSONBOID:
			return true;
		default:
			return false;
	}
}

Oid
shoal_types_wire_oid(Oid type)
{
	if (!is_built_in(type) || get_typtype(type) == TYPTYPE_PSEUDO)
		return InvalidOid;
	return type;
}

static bool is_made_of(Oid type, bool (*test) (Oid type));

static bool
has_column_of(Oid type, bool (*test) (Oid type))
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	bool		result = false;

	for (int i = 0; i < desc->natts && !result; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		result = !att->attisdropped && is_made_of(att->atttypid, test);
	}
	ReleaseTupleDesc(desc);
	return result;
}

/* Is a type such a one, or made of one? */
static bool
is_made_of(Oid type, bool (*test) (Oid type))
{
	Oid			element = get_element_type(type);

	check_stack_depth();
	if (test(type))
		return true;
	if (OidIsValid(element))
		return is_made_of(element, test);
	switch (get_typtype(type))
	{
		case TYPTYPE_DOMAIN:
			return is_made_of(getBaseType(type), test);
		case TYPTYPE_RANGE:
			return is_made_of(get_range_subtype(type), test);
		case TYPTYPE_MULTIRANGE:
			return is_made_of(get_multirange_range(type), test);
		case TYPTYPE_COMPOSITE:
			return has_column_of(type, test);
		default:
			return false;
	}
}

static bool
is_of_time(Oid type)
{
	switch (type)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

bool
shoal_types_knows_now(Oid type)
{
	return is_made_of(type, is_of_time);
}

static bool
is_domain(Oid type)
{
	return get_typtype(type) == TYPTYPE_DOMAIN;
}

bool
shoal_types_checks_values(Oid type)
{
	return !is_built_in(type) && is_made_of(type, is_domain);
}

/* Arrays and the like may have quotes and backslashes within a word. */
bool
shoal_types_may_say_now(const char *text, int len)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
	const char *end = text + len;

	for (; text < end; text++)
	{
		/* the letters with which they begin */
		if (strchr("nNtTyY", *text) == NULL)
			continue;
		for (int i = 0; i < lengthof(words); i++)
		{
			const char *word = words[i];

			for (const char *at = text; at < end && *word != '\0'; at++)
			{
				if (*at == '"' || *at == '\\')
					continue;
				if (pg_ascii_tolower((unsigned char) *at) != *word)
					break;
				word++;
			}
			if (*word == '\0')
				return true;
		}
	}
	return false;
}
