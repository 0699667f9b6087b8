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
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

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
