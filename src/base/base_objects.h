/*
 * base_objects.h
 *		Names of objects as they stand in SQL, who owns them, and who may see their rows.
 */
#ifndef BASE_OBJECTS_H
#define BASE_OBJECTS_H

/* A relation's name with its schema, quoted; palloc'd. */
extern char *shoal_objects_relation_name(Oid relid);

/* "OPERATOR(schema.name)"; palloc'd. */
extern char *shoal_objects_operator_name(Oid operator);

/* The role that a relation belongs to. */
extern Oid	shoal_objects_owner(Oid relid);

/* Whether row-level security is on for a table. */
extern bool shoal_objects_has_policies(Oid relid);

#endif							/* BASE_OBJECTS_H */
