/*
 * ddl_check.c
 *		What can become a distributed, reference or single-shard table.
 *
 * Everything is checked before anything is changed, so that each refusal can
 * say why and name a way out.  What Postgres itself refuses on a partitioned
 * table is checked as well where its message would not make sense to somebody
 * who did not ask for a partitioned table.
 *
 * The caller has locked the table; what is looked up about other tables
 * (foreign keys) is kept from changing by the cluster lock.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/hash.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "optimizer/optimizer.h"
#include "partitioning/partdefs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "ddl/ddl.h"
#include "meta/meta.h"

/* ---- the distribution key ---- */

List *
shoal_ddl_key_columns(Relation rel, const char *names)
{
	List	   *columns;
	List	   *attnums = NIL;
	ListCell   *lc;

	if (!SplitIdentifierString(pstrdup(names), ',', &columns) ||
		columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid distribution column \"%s\"", names),
				 errhint("Give one column name or several, separated by commas; quote names as in SQL.")));
	if (list_length(columns) > PARTITION_MAX_KEYS)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("cannot distribute by more than %d columns",
						PARTITION_MAX_KEYS)));
	foreach(lc, columns)
	{
		char	   *name = lfirst(lc);
		AttrNumber	attnum = get_attnum(RelationGetRelid(rel), name);

		if (attnum == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation \"%s\" does not exist",
							name, RelationGetRelationName(rel))));
		if (attnum < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					 errmsg("system column \"%s\" cannot be the distribution column",
							name),
					 errhint("Choose a column of the table.")));
		if (list_member_int(attnums, attnum))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" appears twice in the distribution key",
							name)));
		attnums = lappend_int(attnums, attnum);
	}
	return attnums;
}

List *
shoal_ddl_same_columns(Relation rel, List *attnums, Relation other)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, attnums)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  lfirst_int(lc) - 1);

		result = lappend_int(result, get_attnum(RelationGetRelid(other),
												NameStr(att->attname)));
	}
	return result;
}

/*
 * True if equal values of the type may hash differently on different nodes:
 * enums and the reg* types hash by OID.
 */
static bool
hash_differs_between_nodes(Oid type)
{
	TypeCacheEntry *entry;

	type = getBaseType(type);
	if (shoal_types_names_object(type))
		return true;
	if (OidIsValid(get_element_type(type)))
		return hash_differs_between_nodes(get_element_type(type));
	switch (get_typtype(type))
	{
		case TYPTYPE_ENUM:
			return true;
		case TYPTYPE_RANGE:
			return hash_differs_between_nodes(get_range_subtype(type));
		case TYPTYPE_MULTIRANGE:
			return hash_differs_between_nodes(get_multirange_range(type));
		case TYPTYPE_COMPOSITE:
			entry = lookup_type_cache(type, TYPECACHE_TUPDESC);
			for (int i = 0; i < entry->tupDesc->natts; i++)
			{
				Form_pg_attribute att = TupleDescAttr(entry->tupDesc, i);

				if (!att->attisdropped &&
					hash_differs_between_nodes(att->atttypid))
					return true;
			}
			return false;
		default:
			return false;
	}
}

static void
check_key(Relation rel, List *keyattrs)
{
	ListCell   *lc;

	foreach(lc, keyattrs)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  lfirst_int(lc) - 1);

		if (att->attgenerated)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot distribute by generated column \"%s\"",
							NameStr(att->attname)),
					 errhint("Choose another column, or drop its expression with ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION.")));
		if (!OidIsValid(GetDefaultOpClass(att->atttypid, HASH_AM_OID)))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("data type %s of distribution column \"%s\" has no default operator class for access method \"hash\"",
							format_type_be(att->atttypid),
							NameStr(att->attname)),
					 errhint("Choose a column of another type, or define an operator class for it.")));
		/* which looks at what arrays, ranges and composite types consist of, too */
		if (!OidIsValid(lookup_type_cache(att->atttypid, TYPECACHE_HASH_EXTENDED_PROC)->hash_extended_proc))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("data type %s of distribution column \"%s\" has no extended hash function",
							format_type_be(att->atttypid),
							NameStr(att->attname)),
					 errhint("Choose a column of another type.")));
		if (hash_differs_between_nodes(att->atttypid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot distribute by column \"%s\" of type %s",
							NameStr(att->attname),
							format_type_be(att->atttypid)),
					 errdetail("Values of this type are hashed by object identifiers, which differ between nodes."),
					 errhint("Choose another column, or change its type to text.")));
	}
}

bool
shoal_ddl_keys_match(Relation rel, List *keyattrs, const ShoalTable *other)
{
	ListCell   *lc;
	int			i = 0;

	if (list_length(keyattrs) != other->nkeys)
		return false;
	foreach(lc, keyattrs)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  lfirst_int(lc) - 1);
		Oid			opclass = GetDefaultOpClass(att->atttypid, HASH_AM_OID);

		if (get_opclass_family(opclass) != other->keyopfamily[i] ||
			att->attcollation != other->keycollation[i])
			return false;
		i++;
	}
	return true;
}

/* ---- the table ---- */

static void
check_storage(Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" uses access method \"%s\"",
						RelationGetRelationName(rel),
						get_am_name(rel->rd_rel->relam)),
				 errhint("Use ALTER TABLE ... SET ACCESS METHOD heap first.")));
}

static bool
uses_tableoid(const char *expr)
{
	Bitmapset  *attnos = NULL;

	pull_varattnos((Node *) stringToNode(expr), 1, &attnos);
	return bms_is_member(TableOidAttributeNumber - FirstLowInvalidHeapAttributeNumber,
						 attnos);
}

void
shoal_ddl_check_expressions(Relation rel)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;
	const char *check = NULL;
	const char *column = NULL;

	for (int i = 0; constr && i < constr->num_check; i++)
		if (uses_tableoid(constr->check[i].ccbin))
			check = constr->check[i].ccname;
	for (int i = 0; constr && i < constr->num_defval; i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  constr->defval[i].adnum - 1);

		if (att->attgenerated && uses_tableoid(constr->defval[i].adbin))
			column = NameStr(att->attname);
	}
	if (check || column)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 check ? errmsg("check constraint \"%s\" of distributed table \"%s\" uses tableoid",
								check, RelationGetRelationName(rel)) :
				 errmsg("generated column \"%s\" of distributed table \"%s\" uses tableoid",
						column, RelationGetRelationName(rel)),
				 errdetail("There it would be that of the shard."),
				 errhint("Drop it, or use a trigger.")));
}

void
shoal_ddl_check_relation(Relation rel)
{
	char	   *name = RelationGetRelationName(rel);
	Oid			relid = RelationGetRelid(rel);
	int			group_id;
	int			shard;

	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", name),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind),
				 errhint("Only tables can be distributed; views on them work as before.")));
	if (RelationGetNumberOfAttributes(rel) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" has no columns", name),
				 errhint("Add a column first.")));
	if (IsCatalogRelation(rel) || IsToastRelation(rel) ||
		get_rel_namespace(relid) == get_namespace_oid("shoal", true))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a system table", name),
				 errhint("Only user tables can be distributed.")));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("temporary table \"%s\" cannot be distributed", name),
				 errdetail("A temporary table is seen by its session only."),
				 errhint("Use CREATE UNLOGGED TABLE for data that need not survive a crash.")));
	if (shoal_meta_is_shard_schema(RelationGetNamespace(rel), &group_id, &shard))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a shard of a distributed table", name)));
	if (shoal_meta_table(relid) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is a %s table already", name,
						shoal_meta_table(relid)->kind == SHOAL_KIND_REFERENCE ?
						"reference" :
						shoal_meta_table(relid)->kind == SHOAL_KIND_SINGLE ?
						"single-shard" : "distributed"),
				 errhint("Use shoal.undistribute_table() first.")));
	if (OidIsValid(getExtensionOfObject(RelationRelationId, relid)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" belongs to extension \"%s\"", name,
						get_extension_name(getExtensionOfObject(RelationRelationId,
																relid))),
				 errhint("Use ALTER EXTENSION ... DROP TABLE first.")));
	if (rel->rd_rel->relispartition)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" is a partition", name),
				 errhint("Distribute the partitioned table, or detach the partition first.")));
	if (has_superclass(relid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" inherits from another table", name),
				 errhint("Use ALTER TABLE ... NO INHERIT first.")));
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		find_inheritance_children(relid, NoLock) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("other tables inherit from table \"%s\"", name),
				 errhint("Use ALTER TABLE ... NO INHERIT on them first, or use a partitioned table.")));
	check_storage(rel);
}

/*
 * True if the index column is the key column, and what it takes for equal is
 * equal for the key, too.
 */
static bool
is_key_column(Relation index, int column, Form_pg_attribute key)
{
	Oid			opclass = GetDefaultOpClass(key->atttypid, HASH_AM_OID);
	Oid			opcintype = get_opclass_input_type(opclass);
	Oid			collation = index->rd_indcollation[column];
	Oid			operator;

	if (index->rd_index->indkey.values[column] != key->attnum ||
		(collation != key->attcollation && !get_collation_isdeterministic(collation)))
		return false;
	if (index->rd_index->indisexclusion)
	{
		Oid		   *operators;
		Oid		   *functions;
		uint16	   *strategies;

		RelationGetExclusionInfo(index, &operators, &functions, &strategies);
		operator = operators[column];
	}
	else
		operator = get_opfamily_member(index->rd_opfamily[column],
									   index->rd_opcintype[column],
									   index->rd_opcintype[column],
									   BTEqualStrategyNumber);
	return operator == get_opfamily_member(get_opclass_family(opclass), opcintype,
										   opcintype, HTEqualStrategyNumber);
}

/*
 * A unique index can be enforced shard by shard only if rows with equal
 * values are in the same shard, an exclusion constraint if rows that it compares are.
 */
void
shoal_ddl_check_indexes(Relation rel, List *keyattrs)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		ListCell   *key;

		if (!form->indisvalid)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("index \"%s\" is not valid",
							RelationGetRelationName(index)),
					 errhint("Use REINDEX INDEX or DROP INDEX first.")));
		if (form->indisexclusion && SHOAL_PG_MAJOR < 17)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("exclusion constraint \"%s\" is not supported on a distributed table",
							RelationGetRelationName(index)),
					 errhint("Drop the constraint, or make the table a reference table with shoal.create_reference_table().")));
		foreach(key, keyattrs)
		{
			bool		found = !form->indisunique && !form->indisexclusion;

			for (int i = 0; i < form->indnkeyatts && !found; i++)
				found = is_key_column(index, i,
									  TupleDescAttr(RelationGetDescr(rel),
													lfirst_int(key) - 1));
			if (!found && form->indisexclusion)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("exclusion constraint \"%s\" does not compare distribution column \"%s\" for equality",
								RelationGetRelationName(index),
								NameStr(TupleDescAttr(RelationGetDescr(rel),
													  lfirst_int(key) - 1)->attname)),
						 errdetail("It is enforced within a shard only."),
						 errhint("Drop the constraint, or choose another distribution column.")));
			if (!found)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("unique index \"%s\" does not include distribution column \"%s\"",
								RelationGetRelationName(index),
								NameStr(TupleDescAttr(RelationGetDescr(rel),
													  lfirst_int(key) - 1)->attname)),
						 errdetail("Uniqueness is enforced within a shard only."),
						 errhint("Add the column to the %s, or choose a distribution column that is in it.",
								 form->indisprimary ? "primary key" :
								 "unique constraint or index")));
		}
		index_close(index, AccessShareLock);
	}
}

static void
check_triggers(Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_ROW(trigger->tgtype) &&
			(trigger->tgoldtable != NULL || trigger->tgnewtable != NULL))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("row trigger \"%s\" with transition tables is not supported on a distributed table",
							trigger->tgname),
					 errhint("Make it a statement trigger, or a row trigger without REFERENCING.")));
	}
}

/*
 * A table that is partitioned by hash of the key can be used as it is.  One
 * that is partitioned by range or list gets shards below each partition.
 */
static void
check_partitioning(Relation rel, List *keyattrs)
{
	PartitionKey key = RelationGetPartitionKey(rel);
	List	   *children = find_inheritance_children(RelationGetRelid(rel),
													 NoLock);
	bool		same;
	int			i = 0;
	ListCell   *lc;

	if (key->strategy != PARTITION_STRATEGY_HASH)
	{
		if (children == NIL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("partitioned table \"%s\" has no partitions",
							RelationGetRelationName(rel)),
					 errhint("Create a partition first; it is the partitions that are split into shards.")));
		return;
	}
	same = key->partnatts == list_length(keyattrs);
	foreach(lc, keyattrs)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
											  lfirst_int(lc) - 1);
		Oid			opclass = GetDefaultOpClass(att->atttypid, HASH_AM_OID);

		if (!same)
			break;
		same = key->partattrs[i] == att->attnum &&
			key->partopfamily[i] == get_opclass_family(opclass) &&
			key->partcollation[i] == att->attcollation;
		i++;
	}
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" is partitioned by hash of something else than the distribution column",
						RelationGetRelationName(rel)),
				 errhint("Distribute by the columns of its PARTITION BY HASH, or distribute a table that is not partitioned by hash.")));
	if (children != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" has hash partitions already",
						RelationGetRelationName(rel)),
				 errhint("Detach or drop them first; shards are made as partitions of the table.")));
}

static void
check_partition(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("partition \"%s\" is not a table",
						RelationGetRelationName(rel)),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind),
				 errhint("Detach it first.")));
	check_storage(rel);
}

void
shoal_ddl_check_new_partition(Relation rel, List *keyattrs)
{
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("partition \"%s\" of a distributed table has to be partitioned by hash of the distribution column",
						RelationGetRelationName(rel)),
				 errhint("Use CREATE TABLE ... PARTITION OF, and insert the rows then.")));
	shoal_ddl_check_indexes(rel, keyattrs);
	check_triggers(rel);
	shoal_ddl_check_expressions(rel);
	if (RelationGetPartitionKey(rel)->strategy == PARTITION_STRATEGY_HASH)
		check_partitioning(rel, keyattrs);
}

void
shoal_ddl_check_table(Relation rel, char kind, List *keyattrs)
{
	ListCell   *lc;

	if (kind != SHOAL_KIND_DISTRIBUTED)
	{
		if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("partitioned table \"%s\" cannot be a %s table",
							RelationGetRelationName(rel),
							kind == SHOAL_KIND_REFERENCE ? "reference" :
							"single-shard"),
					 errhint("Use a table that is not partitioned, or give a distribution column.")));
		return;
	}
	check_key(rel, keyattrs);
	foreach(lc, shoal_ddl_members(RelationGetRelid(rel), AccessExclusiveLock))
	{
		Relation	member = table_open(lfirst_oid(lc), NoLock);
		List	   *attnums = shoal_ddl_same_columns(rel, keyattrs, member);

		if (member->rd_rel->relispartition)
			check_partition(member);
		shoal_ddl_check_indexes(member, attnums);
		check_triggers(member);
		shoal_ddl_check_expressions(member);
		if (member->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
			check_partitioning(member, attnums);
		table_close(member, NoLock);
	}
}

/* ---- foreign keys ---- */

static ShoalForeignKey *
read_foreign_key(HeapTuple tuple)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
	ShoalForeignKey *fk = palloc0(sizeof(ShoalForeignKey));

	fk->oid = form->oid;
	fk->name = pstrdup(NameStr(form->conname));
	fk->from = form->conrelid;
	fk->to = form->confrelid;
	fk->validated = form->convalidated;
	DeconstructFkConstraintRow(tuple, &fk->nkeys, fk->fromatt, fk->toatt,
							   NULL, NULL, NULL, NULL, NULL);
	return fk;
}

static int
compare_foreign_keys(const ListCell *a, const ListCell *b)
{
	const ShoalForeignKey *x = lfirst(a);
	const ShoalForeignKey *y = lfirst(b);

	return strcmp(x->name, y->name);
}

List *
shoal_ddl_foreign_keys(Oid relid)
{
	Relation	pg_constraint = table_open(ConstraintRelationId,
										   AccessShareLock);
	List	   *result = NIL;

	/* on the table, by index; to the table, by a scan: there is none */
	for (int to = 0; to < 2; to++)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, to ? Anum_pg_constraint_confrelid :
					Anum_pg_constraint_conrelid,
					BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
		scan = systable_beginscan(pg_constraint,
								  ConstraintRelidTypidNameIndexId, !to, NULL,
								  1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

			if (form->contype == CONSTRAINT_FOREIGN &&
				!OidIsValid(form->conparentid) &&
				!(to && form->conrelid == relid))
				result = lappend(result, read_foreign_key(tuple));
		}
		systable_endscan(scan);
	}
	table_close(pg_constraint, AccessShareLock);
	list_sort(result, compare_foreign_keys);
	return result;
}

bool
shoal_ddl_foreign_key_has(const ShoalForeignKey *fk, Oid relid, AttrNumber attnum)
{
	for (int i = 0; i < fk->nkeys; i++)
	{
		if ((fk->from == relid && fk->fromatt[i] == attnum) ||
			(fk->to == relid && fk->toatt[i] == attnum))
			return true;
	}
	return false;
}

static void __attribute__((noreturn))
refuse_foreign_key(const ShoalForeignKey *fk, const char *detail,
				   const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("foreign key \"%s\" from \"%s\" to \"%s\" could not be enforced",
					fk->name, get_rel_name(fk->from), get_rel_name(fk->to)),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/*
 * True if rows that reference each other are in the same shard: each key
 * column of one side references the same key column of the other.
 */
static bool
references_by_key(const ShoalForeignKey *fk, int nkeys,
				  const AttrNumber *fromkey, const AttrNumber *tokey)
{
	for (int i = 0; i < nkeys; i++)
	{
		bool		found = false;

		for (int j = 0; j < fk->nkeys && !found; j++)
			found = fk->fromatt[j] == fromkey[i] && fk->toatt[j] == tokey[i];
		if (!found)
			return false;
	}
	return true;
}

static void
check_foreign_key(const ShoalForeignKey *fk, Oid relid, char kind,
				  int group_id, int nkeys, const AttrNumber *keys)
{
	bool		outgoing = fk->from == relid;
	Oid			other = outgoing ? fk->to : fk->from;
	const ShoalTable *table = shoal_meta_table(other);
	char		otherkind;

	if (kind == SHOAL_KIND_DISTRIBUTED && !fk->validated &&
		shoal_meta_table(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("foreign key \"%s\" is not valid", fk->name),
				 errdetail("A foreign key of a partitioned table cannot be NOT VALID."),
				 errhint("Use ALTER TABLE ... VALIDATE CONSTRAINT first, or drop it.")));

	/* another table is local, reference, or has shards */
	if (other == relid)
	{
		if (kind == SHOAL_KIND_DISTRIBUTED &&
			!references_by_key(fk, nkeys, keys, keys))
			refuse_foreign_key(fk, "It does not reference the distribution column by itself, so rows that reference each other can be in different shards.",
							   "Add the distribution column to both sides of the foreign key, or drop it.");
		return;
	}
	otherkind = table ? table->kind : 0;
	if (outgoing ? otherkind == SHOAL_KIND_REFERENCE :
		kind == SHOAL_KIND_REFERENCE)
		return;					/* what it references is on every node */
	if (outgoing && otherkind == 0)
		refuse_foreign_key(fk, "The referenced table is local, its rows are on one node only.",
						   "Make it a reference table with shoal.create_reference_table(), or distribute it first; or drop the foreign key and add it again afterwards.");
	if (outgoing && kind == SHOAL_KIND_REFERENCE)
		refuse_foreign_key(fk, "The referenced table's rows are not on every node.",
						   "Make it a reference table too, or drop the foreign key.");
	if (!outgoing && otherkind == 0)
		refuse_foreign_key(fk, "The referencing table is local, and the rows it references would be spread over the nodes.",
						   "Drop the foreign key, distribute both tables, and add it again.");
	if (!outgoing && otherkind == SHOAL_KIND_REFERENCE)
		refuse_foreign_key(fk, "The referencing table is on every node, and the rows it references would not.",
						   "Make both reference tables, or drop the foreign key.");
	if (table->group_id != group_id)
		refuse_foreign_key(fk, "The tables are not in the same colocation group.",
						   "Distribute the table with colocate_with => the other table, make one of them a reference table, or drop the foreign key.");
	if (kind == SHOAL_KIND_DISTRIBUTED &&
		!references_by_key(fk, nkeys, outgoing ? keys : table->keyattr,
						   outgoing ? table->keyattr : keys))
		refuse_foreign_key(fk, "It does not reference the distribution column by the distribution column, so rows that reference each other can be in different shards.",
						   "Add the distribution column to both sides of the foreign key, make one of the tables a reference table, or drop the foreign key.");
}

void
shoal_ddl_check_foreign_keys(Relation rel, char kind, int group_id,
							 List *keyattrs)
{
	List	   *members = shoal_ddl_members(RelationGetRelid(rel), NoLock);
	ListCell   *lc;

	foreach(lc, members)
	{
		Relation	member = table_open(lfirst_oid(lc), NoLock);
		AttrNumber	keys[PARTITION_MAX_KEYS];
		int			nkeys = 0;
		ListCell   *key;

		foreach(key, shoal_ddl_same_columns(rel, keyattrs, member))
			keys[nkeys++] = lfirst_int(key);
		foreach(key, shoal_ddl_foreign_keys(lfirst_oid(lc)))
			check_foreign_key(lfirst(key), lfirst_oid(lc), kind, group_id,
							  nkeys, keys);
		table_close(member, NoLock);
	}
}
