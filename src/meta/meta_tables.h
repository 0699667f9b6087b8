/*
 * meta_tables.h
 *		The metadata tables, for the files that read and write them.  Columns
 *		are those of src/schema/10_meta.sql.
 */
#ifndef META_TABLES_H
#define META_TABLES_H

typedef enum ShoalMetaRel
{
	SHOAL_REL_NODE,
	SHOAL_REL_LOCAL_NODE,
	SHOAL_REL_GROUP,
	SHOAL_REL_TABLE,
	SHOAL_REL_PLACEMENT,
	SHOAL_REL_SECRET
} ShoalMetaRel;

#define SHOAL_META_RELS (SHOAL_REL_SECRET + 1)

enum
{
	SHOAL_NODE_ID = 1,
	SHOAL_NODE_SERVER,
	SHOAL_NODE_HOLDS_SHARDS,
	SHOAL_NODE_SYSTEM_ID,
	SHOAL_NODE_STATE,
	SHOAL_NODE_TIMES_DOWN,
	SHOAL_NODE_NATTS = SHOAL_NODE_TIMES_DOWN
};

enum
{
	SHOAL_GROUP_ID = 1,
	SHOAL_GROUP_KIND,
	SHOAL_GROUP_SHARD_COUNT,
	SHOAL_GROUP_REPLICAS,
	SHOAL_GROUP_CLOSED,
	SHOAL_GROUP_NATTS = SHOAL_GROUP_CLOSED
};

enum
{
	SHOAL_TABLE_RELID = 1,
	SHOAL_TABLE_KIND,
	SHOAL_TABLE_GROUP,
	SHOAL_TABLE_NATTS = SHOAL_TABLE_GROUP
};

enum
{
	SHOAL_PLACEMENT_GROUP = 1,
	SHOAL_PLACEMENT_SHARD,
	SHOAL_PLACEMENT_NODE,
	SHOAL_PLACEMENT_ROLE,
	SHOAL_PLACEMENT_STATE,
	SHOAL_PLACEMENT_REPLACES,
	SHOAL_PLACEMENT_NATTS = SHOAL_PLACEMENT_REPLACES
};

/* OID of a metadata table; call only while shoal_meta_enabled() is true. */
extern Oid	shoal_meta_relid(ShoalMetaRel which);

/*
 * Accepts the session's claim to be a coordinator's (shoal.origin), or error
 * 28000.  While shoal_meta_enabled() is true.
 */
extern void shoal_meta_check_origin(void);

#endif							/* META_TABLES_H */
