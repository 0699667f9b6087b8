/*
 * base_types.h
 *		How values of a type cross between nodes.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

/*
 * True if values of the type can be sent in binary: the type, and what it is
 * made of, is built in (its OIDs are the same on every node) and has send and
 * receive functions.  Composite types, records and types of extensions or
 * users are sent as text.  Cached per type.
 */
extern bool shoal_types_is_binary(Oid type);

/* False if settings (DateStyle, ...) might make a difference to its text. */
extern bool shoal_types_text_is_fixed(Oid type);

/*
 * The type OID to declare for a parameter of that type on a node: the type's
 * own where it is built in, InvalidOid (let the node infer it from a cast)
 * where its OID means nothing there.
 */
extern Oid	shoal_types_wire_oid(Oid type);

/*
 * True for regclass and its kin: their binary form, and what they hash by, is
 * an OID, which is another object's on another node.
 */
extern bool shoal_types_names_object(Oid type);

/*
 * True for types whose input functions know words for the current time or
 * day ("now", "tomorrow"): dates and times, and what is made of them.
 */
extern bool shoal_types_knows_now(Oid type);

/*
 * True for domains, and what is made of them: functions of users may be called when a
 * value is read.
 */
extern bool shoal_types_checks_values(Oid type);

/* Whether a text that is read as such a type may contain one of these words. */
extern bool shoal_types_may_say_now(const char *text, int len);

#endif							/* BASE_TYPES_H */
