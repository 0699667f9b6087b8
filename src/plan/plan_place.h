/*
 * plan_place.h
 *		What tells a row of a distributed table from all others.
 */
#ifndef PLAN_PLACE_H
#define PLAN_PLACE_H

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

#include "meta/meta.h"

/* "text of ROW(args)" */
extern Expr *shoal_place_text(List *args);

/*
 * The text of what tells a row of the table, which is entry varno: its key and
 * ctid; of a reference table, whose ctids differ by node, the whole row.
 */
extern Expr *shoal_place_make(const ShoalTable *table, Relation rel,
							  Index varno);

#endif							/* PLAN_PLACE_H */
