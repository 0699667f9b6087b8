/*
 * plan_texts.h
 *		Rows that leave a node as texts which the coordinator reads.
 */
#ifndef PLAN_TEXTS_H
#define PLAN_TEXTS_H

#include "nodes/plannodes.h"

/*
 * Changes a fragment's finished plan: columns whose texts depend on settings
 * become texts that do not.  No errors of its own.
 */
extern void shoal_texts_of_rows(PlannedStmt *stmt);

#endif							/* PLAN_TEXTS_H */
