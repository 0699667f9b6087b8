/*
 * plan_statistics.h
 *		What ANALYZE has gathered of whole tables, for what is planned here.
 */
#ifndef PLAN_STATISTICS_H
#define PLAN_STATISTICS_H

#include "nodes/params.h"
#include "nodes/parsenodes.h"

/* Installs get_relation_stats_hook and get_relation_info_hook. */
extern void shoal_statistics_init(void);

/* Rows of a distributed table on all nodes when it was analyzed; 0: not known. */
extern double shoal_statistics_rows(Oid relid);

/*
 * Rows of a SELECT that stands for itself, and their width in bytes, as core's
 * planner would say if all rows were here.  False if something that it reads
 * has not been analyzed, or is a single-shard table.
 */
extern bool shoal_statistics_of_query(Query *query, ParamListInfo params,
									  double *rows, int *width);

#endif							/* PLAN_STATISTICS_H */
