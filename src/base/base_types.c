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

/* A composite type whose columns include such a type. */
static bool
column_knows_now(Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_domain(type, -1, false);
	bool		result = false;

	for (int i = 0; i < desc->natts && !result; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		result = !att->attisdropped && shoal_types_knows_now(att->atttypid);
	}
	ReleaseTupleDesc(desc);
	return result;
}

bool
shoal_types_knows_now(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);

	check_stack_depth();
	switch (base)
	{
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			break;
	}
	if (OidIsValid(element))
		return shoal_types_knows_now(element);
	switch (get_typtype(base))
	{
		case TYPTYPE_RANGE:
			return shoal_types_knows_now(get_range_subtype(base));
		case TYPTYPE_MULTIRANGE:
			return shoal_types_knows_now(get_multirange_range(base));
		case TYPTYPE_COMPOSITE:
			return column_knows_now(base);
		default:
			return false;
	}
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
