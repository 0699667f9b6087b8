/*
 * ddl_target.c
 *		What a statement is about: which relations, temporary or not, shards
 *		or not.
 *
 * Names are looked up without locks, before core looks them up again and
 * locks them: a lock taken here would be weaker than the one that core takes
 * later, and two sessions doing so would deadlock.  That a name means
 * something else a moment later is possible; then core's answer counts here,
 * and the other nodes' answer there.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "base/base_settings.h"
#include "meta/meta.h"
#include "ddl/ddl.h"
#include "ddl/ddl_utility.h"

Oid
shoal_ddl_relid(RangeVar *relation)
{
	return RangeVarGetRelid(relation, NoLock, true);
}

bool
shoal_ddl_is_temporary(Oid relid)
{
	return get_rel_persistence(relid) == RELPERSISTENCE_TEMP;
}

static void
add_relation(ShoalTargets *targets, RangeVar *relation)
{
	Oid			relid;

	if (relation == NULL)
		return;
	targets->named++;
	relid = shoal_ddl_relid(relation);
	if (OidIsValid(relid))
	{
		targets->relids = lappend_oid(targets->relids, relid);
		if (shoal_ddl_is_temporary(relid))
			targets->temporary++;
	}
}

/* An object that is made: temporary if it says so. */
static void
add_created(ShoalTargets *targets, RangeVar *relation)
{
	targets->named++;
	if (relation->relpersistence == RELPERSISTENCE_TEMP ||
		(relation->schemaname && strcmp(relation->schemaname, "pg_temp") == 0))
		targets->temporary++;
}

/* Anything else that has a qualified name. */
static void
add_name(ShoalTargets *targets, List *name)
{
	targets->named++;
	if (list_length(name) > 1)
	{
		char	   *schema = strVal(list_nth(name, list_length(name) - 2));
		Oid			nspid = get_namespace_oid(schema, true);

		targets->schema = schema;
		if (strcmp(schema, "pg_temp") == 0 ||
			(OidIsValid(nspid) && isTempNamespace(nspid)))
			targets->temporary++;
	}
}

static void
add_type(ShoalTargets *targets, TypeName *name)
{
	Oid			type = LookupTypeNameOid(NULL, name, true);
	HeapTuple	tuple;

	targets->named++;
	if (OidIsValid(type))
		type = getBaseType(type);
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return;
	if (isTempNamespace(((Form_pg_type) GETSTRUCT(tuple))->typnamespace))
		targets->temporary++;
	ReleaseSysCache(tuple);
}

/*
 * A function is temporary in effect if it takes or returns rows of a temporary
 * table: it cannot exist where that does not.  The same goes for a domain.
 */
static void
add_with_types(ShoalTargets *targets, List *name, List *types)
{
	int			before = targets->temporary;
	ListCell   *lc;

	add_name(targets, name);
	foreach(lc, types)
	{
		ShoalTargets type = {0};

		if (lfirst(lc) == NULL || targets->temporary > before)
			continue;
		add_type(&type, (TypeName *) lfirst(lc));
		targets->temporary += type.temporary;
	}
}

/* The types of a function that is there. */
static List *
types_of_existing(ObjectType type, ObjectWithArgs *object)
{
	Oid			funcid = LookupFuncWithArgs(type, object, true);
	List	   *types = NIL;
	Oid		   *argtypes;
	int			nargs;

	if (!OidIsValid(funcid))
		return NIL;
	types = list_make1(makeTypeNameFromOid(get_func_signature(funcid, &argtypes,
															  &nargs), -1));
	for (int i = 0; i < nargs; i++)
		types = lappend(types, makeTypeNameFromOid(argtypes[i], -1));
	return types;
}

static List *
types_of_function(CreateFunctionStmt *stmt)
{
	List	   *types = list_make1(stmt->returnType);
	ListCell   *lc;

	foreach(lc, stmt->parameters)
		types = lappend(types, ((FunctionParameter *) lfirst(lc))->argType);
	return types;
}

/* An object as COMMENT, DROP and so on name it. */
static void
add_object(ShoalTargets *targets, ObjectType type, Node *object)
{
	switch (type)
	{
		case OBJECT_FOREIGN_TABLE:
		case OBJECT_INDEX:
		case OBJECT_MATVIEW:
		case OBJECT_SEQUENCE:
		case OBJECT_TABLE:
		case OBJECT_VIEW:
			add_relation(targets, makeRangeVarFromNameList((List *) object));
			break;

			/* parts of a relation, which all names but the last are of */
		case OBJECT_COLUMN:
		case OBJECT_POLICY:
		case OBJECT_RULE:
		case OBJECT_TABCONSTRAINT:
		case OBJECT_TRIGGER:
			{
				List	   *name = (List *) object;

				if (list_length(name) > 1)
					add_relation(targets,
								 makeRangeVarFromNameList(list_truncate(list_copy(name),
																		list_length(name) - 1)));
				else
					targets->named++;
			}
			break;
		case OBJECT_DOMAIN:
		case OBJECT_TYPE:
			if (IsA(object, TypeName))
				add_type(targets, (TypeName *) object);
			else if (IsA(object, List))
				add_type(targets, makeTypeNameFromNameList((List *) object));
			break;
		case OBJECT_OPERATOR:
			add_name(targets, ((ObjectWithArgs *) object)->objname);
			break;
		case OBJECT_AGGREGATE:
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			add_with_types(targets, ((ObjectWithArgs *) object)->objname,
						 types_of_existing(type, (ObjectWithArgs *) object));
			break;
		case OBJECT_COLLATION:
		case OBJECT_CONVERSION:
		case OBJECT_STATISTIC_EXT:
		case OBJECT_TSCONFIGURATION:
		case OBJECT_TSDICTIONARY:
		case OBJECT_TSPARSER:
		case OBJECT_TSTEMPLATE:
			add_name(targets, (List *) object);
			break;
		default:
			targets->named++;
			break;
	}
}

RangeVar *
shoal_ddl_created_relation(Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_CreateStmt:
		case T_CreateForeignTableStmt:
			return ((CreateStmt *) stmt)->relation;
		case T_CreateTableAsStmt:
			return ((CreateTableAsStmt *) stmt)->into->rel;
		case T_ViewStmt:
			return ((ViewStmt *) stmt)->view;
		case T_CreateSeqStmt:
			return ((CreateSeqStmt *) stmt)->sequence;
		case T_CompositeTypeStmt:
			return ((CompositeTypeStmt *) stmt)->typevar;
		default:
			return NULL;
	}
}

Oid
shoal_ddl_created_relid(Node *stmt)
{
	RangeVar   *created = shoal_ddl_created_relation(stmt);
	Oid			relid;

	if (created == NULL)
		return InvalidOid;
	/* a view is temporary if what it reads is */
	relid = shoal_ddl_relid(created);
	if (IsA(stmt, ViewStmt) && OidIsValid(relid) && shoal_ddl_is_temporary(relid) &&
		get_rel_relkind(relid) == RELKIND_VIEW)
		return relid;
	return get_relname_relid(created->relname, RangeVarGetCreationNamespace(created));
}

/* Statements that make an object with a name of its own. */
static bool
add_creation(ShoalTargets *targets, Node *stmt)
{
	RangeVar   *relation = shoal_ddl_created_relation(stmt);

	if (relation != NULL)
	{
		add_created(targets, relation);
		return true;
	}
	switch (nodeTag(stmt))
	{
		case T_CreateFunctionStmt:
			add_with_types(targets, ((CreateFunctionStmt *) stmt)->funcname,
						 types_of_function((CreateFunctionStmt *) stmt));
			return true;
		case T_CreateDomainStmt:
			add_with_types(targets, ((CreateDomainStmt *) stmt)->domainname,
						 list_make1(((CreateDomainStmt *) stmt)->typeName));
			return true;
		case T_CreateEnumStmt:
			add_name(targets, ((CreateEnumStmt *) stmt)->typeName);
			return true;
		case T_CreateRangeStmt:
			add_name(targets, ((CreateRangeStmt *) stmt)->typeName);
			return true;
		case T_DefineStmt:
			add_name(targets, ((DefineStmt *) stmt)->defnames);
			return true;
		default:
			return false;
	}
}

static void
add_grant(ShoalTargets *targets, GrantStmt *stmt)
{
	ListCell   *lc;

	if (stmt->targtype != ACL_TARGET_OBJECT)
		return;
	foreach(lc, stmt->objects)
	{
		if (stmt->objtype == OBJECT_TABLE || stmt->objtype == OBJECT_SEQUENCE)
			add_relation(targets, (RangeVar *) lfirst(lc));
		else
			targets->named++;
	}
}

void
shoal_ddl_targets(Node *stmt, ShoalTargets *targets)
{
	ListCell   *lc;

	memset(targets, 0, sizeof(*targets));
	if (add_creation(targets, stmt))
		return;
	switch (nodeTag(stmt))
	{
		case T_AlterTableStmt:
			add_relation(targets, ((AlterTableStmt *) stmt)->relation);
			break;
		case T_IndexStmt:
			add_relation(targets, ((IndexStmt *) stmt)->relation);
			break;
		case T_CreateTrigStmt:
			add_relation(targets, ((CreateTrigStmt *) stmt)->relation);
			break;
		case T_RuleStmt:
			add_relation(targets, ((RuleStmt *) stmt)->relation);
			break;
		case T_CreatePolicyStmt:
			add_relation(targets, ((CreatePolicyStmt *) stmt)->table);
			break;
		case T_AlterPolicyStmt:
			add_relation(targets, ((AlterPolicyStmt *) stmt)->table);
			break;
		case T_AlterSeqStmt:
			add_relation(targets, ((AlterSeqStmt *) stmt)->sequence);
			break;
		case T_CreateStatsStmt:
			foreach(lc, ((CreateStatsStmt *) stmt)->relations)
			{
				if (IsA(lfirst(lc), RangeVar))
					add_relation(targets, (RangeVar *) lfirst(lc));
			}
			break;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->relation)
				add_relation(targets, ((RenameStmt *) stmt)->relation);
			else if (((RenameStmt *) stmt)->object)
				add_object(targets, ((RenameStmt *) stmt)->renameType,
						   ((RenameStmt *) stmt)->object);
			break;
		case T_AlterObjectSchemaStmt:
			if (((AlterObjectSchemaStmt *) stmt)->relation)
				add_relation(targets, ((AlterObjectSchemaStmt *) stmt)->relation);
			else
				add_object(targets, ((AlterObjectSchemaStmt *) stmt)->objectType,
						   ((AlterObjectSchemaStmt *) stmt)->object);
			break;
		case T_AlterObjectDependsStmt:
			add_relation(targets, ((AlterObjectDependsStmt *) stmt)->relation);
			break;
		case T_AlterDomainStmt:
			add_object(targets, OBJECT_DOMAIN,
					   (Node *) ((AlterDomainStmt *) stmt)->typeName);
			break;
		case T_AlterOwnerStmt:
			add_object(targets, ((AlterOwnerStmt *) stmt)->objectType,
					   ((AlterOwnerStmt *) stmt)->object);
			break;
		case T_CommentStmt:
			add_object(targets, ((CommentStmt *) stmt)->objtype,
					   ((CommentStmt *) stmt)->object);
			break;
		case T_SecLabelStmt:
			add_object(targets, ((SecLabelStmt *) stmt)->objtype,
					   ((SecLabelStmt *) stmt)->object);
			break;
		case T_GrantStmt:
			add_grant(targets, (GrantStmt *) stmt);
			break;
		case T_DropStmt:
			foreach(lc, ((DropStmt *) stmt)->objects)
				add_object(targets, ((DropStmt *) stmt)->removeType, lfirst(lc));
			break;
		default:
			break;
	}
}

/* ---- shards ---- */

static void
refuse_schema(const char *name)
{
	Oid			nspid = get_namespace_oid(name, true);
	int			group_id;
	int			shard;

	if (OidIsValid(nspid) && shoal_meta_is_shard_schema(nspid, &group_id, &shard))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("schema \"%s\" holds a shard of distributed tables", name),
				 errhint("Work on the distributed tables; their shards follow.")));
}

void
shoal_ddl_refuse_shards(Node *stmt, const ShoalTargets *targets)
{
	RangeVar   *created = shoal_ddl_created_relation(stmt);
	ListCell   *lc;

	foreach(lc, targets->relids)
	{
		Oid			relid = lfirst_oid(lc);
		int			group_id;
		int			shard;

		if (shoal_meta_is_shard_schema(get_rel_namespace(relid), &group_id, &shard))
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" belongs to a shard of a distributed table",
							get_rel_name(relid)),
					 errhint("Work on the distributed table; its shards follow.")));
	}

	if (created && created->schemaname)
		refuse_schema(created->schemaname);
	if (targets->schema)
		refuse_schema(targets->schema);
	if (IsA(stmt, DropStmt) && ((DropStmt *) stmt)->removeType == OBJECT_SCHEMA)
	{
		foreach(lc, ((DropStmt *) stmt)->objects)
			refuse_schema(strVal(lfirst(lc)));
	}
	if (IsA(stmt, RenameStmt) && ((RenameStmt *) stmt)->renameType == OBJECT_SCHEMA)
		refuse_schema(((RenameStmt *) stmt)->subname);
	if (IsA(stmt, AlterOwnerStmt) && ((AlterOwnerStmt *) stmt)->objectType == OBJECT_SCHEMA)
		refuse_schema(strVal(((AlterOwnerStmt *) stmt)->object));
	if (IsA(stmt, AlterObjectSchemaStmt))
		refuse_schema(((AlterObjectSchemaStmt *) stmt)->newschema);
}
