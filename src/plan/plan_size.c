/*
 * plan_size.c
 *		How many rows and bytes a query will have, before it is planned.
 *
 * One of the nodes is asked what its planner thinks of its own shards, as they are
 * now, which is taken to hold for all of them.  The question goes over a connection
 * that is not the transaction's: a planner's question locks nothing.  What no one node
 * can answer is told from what ANALYZE has gathered of whole tables.
 *
 * Answers are remembered by the session for some seconds, so that small queries,
 * for which the question would cost more than anything else, ask it rarely.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/base_compat.h"
#include "base/base_objects.h"
#include "meta/meta.h"
#include "plan/plan_expr.h"
#include "plan/plan_size.h"
#include "plan/plan_statistics.h"
#include "plan/plan_text.h"
#include "scope/scope.h"
#include "xact/xact.h"

/* where nothing is known */
#define GUESS_ROWS		100000
#define GUESS_WIDTH		50

/* bytes that a row takes besides its columns */
#define ROW_OVERHEAD	24

/* ---- whom to ask ---- */

typedef struct GroupContext
{
	int			group_id;		/* of all tables so far, 0: none */
	bool		several;
} GroupContext;

/*
 * A question may name other columns than the user's statement: none is asked for
 * a user who may not read all of them.
 */
static bool
may_read(Oid relid)
{
	return pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT,
								  ACLMASK_ALL) == ACLCHECK_OK;
}

static bool
find_group_walker(Node *node, GroupContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		const ShoalTable *table = rte->rtekind == RTE_RELATION ?
			shoal_meta_table(rte->relid) : NULL;

		if (rte->rtekind == RTE_RELATION &&
			(table == NULL || !may_read(rte->relid)))
			context->several = true;
		if (table && table->kind != SHOAL_KIND_REFERENCE)
		{
			if (context->group_id != 0 && context->group_id != table->group_id)
				context->several = true;
			context->group_id = table->group_id;
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_group_walker,
								 (void *) context, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, find_group_walker, (void *) context);
}

/* A node that has shards of a group, with how many; not this one. */
static int
node_to_ask(const ShoalGroup *group, Bitmapset **shards)
{
	int			node_id = 0;

	*shards = NULL;
	for (int i = 0; i < group->shard_count; i++)
	{
		if (node_id == 0 && group->primary[i] != shoal_meta_local_node_id())
			node_id = group->primary[i];
		if (node_id != 0 && group->primary[i] == node_id)
			*shards = bms_add_member(*shards, i);
	}
	return node_id;
}

/* ---- conditions that a node understands now ---- */

/*
 * Conditions with parameters put to their values; those that stay unknown, or
 * that a node can't work out, are left out.  Elsewhere an unknown parameter becomes
 * NULL, as does a function that would not run on the node.
 */
static List *
estimable_quals(List *quals, PlannerInfo *root)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, quals)
	{
		Node	   *qual = estimate_expression_value(root, copyObject(lfirst(lc)));

		if (!shoal_expr_has_params(qual) && !shoal_expr_is_stuck(qual, false))
			result = lappend(result, qual);
	}
	return result;
}

static Node *
no_params_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && (((Param *) node)->paramkind != PARAM_SUBLINK ||
							 shoal_expr_is_slot(node)))
	{
		Param	   *param = (Param *) node;

		return (Node *) makeNullConst(param->paramtype, param->paramtypmod,
									  param->paramcollid);
	}
	if (IsA(node, FuncExpr) && !((FuncExpr *) node)->funcretset &&
		(shoal_expr_is_here(node, false) || shoal_expr_is_stuck(node, false)))
		return (Node *) makeNullConst(exprType(node), exprTypmod(node),
									  exprCollation(node));
	if (IsA(node, FromExpr))
	{
		FromExpr   *from = copyObject((FromExpr *) node);
		List	   *quals = estimable_quals(make_ands_implicit((Expr *) from->quals),
											(PlannerInfo *) context);

		from->quals = quals ? (Node *) make_ands_explicit(quals) : NULL;
		node = (Node *) from;
	}
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, no_params_mutator,
										   context, 0);
	return expression_tree_mutator(node, no_params_mutator, context);
}

static Query *
estimable(Query *query, ParamListInfo params)
{
	PlannerGlobal glob = {.type = T_PlannerGlobal};
	PlannerInfo root = {.type = T_PlannerInfo};

	glob.boundParams = params;
	root.glob = &glob;
	return (Query *) no_params_mutator((Node *) query, &root);
}

/* ---- answers ---- */

/* seconds for which an answer holds, and how many are kept */
#define ANSWER_LIFE		10
#define MAX_ANSWERS		256

typedef struct Answer
{
	uint64		hash;			/* of node and question; hash key */
	TimestampTz at;
	ShoalSize	size;
} Answer;

static HTAB *answers = NULL;

static Answer *
find_answer(int node_id, const char *question, bool *known)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) question,
										   strlen(question), node_id);
	TimestampTz now = GetCurrentTimestamp();
	Answer	   *answer;
	bool		found;

	if (answers && hash_get_num_entries(answers) >= MAX_ANSWERS)
	{
		hash_destroy(answers);
		answers = NULL;
	}
	if (answers == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = sizeof(uint64);
		ctl.entrysize = sizeof(Answer);
		answers = hash_create("Shoal sizes", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	answer = hash_search(answers, &hash, HASH_ENTER, &found);
	*known = found &&
		!TimestampDifferenceExceeds(answer->at, now, ANSWER_LIFE * 1000);
	if (!*known)
		answer->at = 0;
	return answer;
}

/* ---- asking ---- */

/* "... rows=1 width=8)" in the first line of a plan */
static bool
ask(int node_id, const char *question, ShoalSize *size)
{
	PGresult   *res = shoal_remote_query(shoal_xact_conn_outside(node_id),
										 question, NULL);
	char	   *found = PQntuples(res) > 0 ?
		strstr(PQgetvalue(res, 0, 0), " rows=") : NULL;
	int			width;
	bool		result = found &&
		sscanf(found, " rows=%lf width=%d", &size->rows, &width) == 2;

	if (result)
		size->bytes = size->rows * (width + ROW_OVERHEAD);
	PQclear(res);
	return result;
}

/* Where there is no one node to ask. */
static bool
size_from_statistics(Query *query, ParamListInfo params, ShoalSize *size)
{
	double		rows;
	int			width;

	if (!shoal_statistics_of_query(query, params, &rows, &width))
		return false;
	size->rows = rows;
	size->bytes = rows * (width + ROW_OVERHEAD);
	return true;
}

bool
shoal_size_of_query(Query *query, ParamListInfo params, ShoalSize *size)
{
	GroupContext context = {0};
	const ShoalGroup *group;
	Bitmapset  *shards;
	int			node_id;
	char	   *question;
	Answer	   *answer;
	bool		known;
	double		factor;

	size->rows = GUESS_ROWS;
	size->bytes = (double) GUESS_ROWS * GUESS_WIDTH;
	(void) find_group_walker((Node *) query, &context);
	/* nodes would ask for rights of the user's */
	if (context.several || context.group_id == 0 ||
		!shoal_text_is_for_user(query) || shoal_expr_reads_transition(query))
		return size_from_statistics(query, params, size);
	group = shoal_meta_group(context.group_id);
	node_id = node_to_ask(group, &shards);
	if (node_id == 0)
		return size_from_statistics(query, params, size);
	question = psprintf("%sEXPLAIN %s",
						shoal_scope_marker(context.group_id, shards),
						shoal_text_deparse(estimable(query, params)));
	answer = find_answer(node_id, question, &known);
	if (!known)
	{
		if (!ask(node_id, question, &answer->size))
			return false;
		answer->at = GetCurrentTimestamp();
	}
	factor = (double) group->shard_count / bms_num_members(shards);
	size->rows = answer->size.rows * factor;
	size->bytes = answer->size.bytes * factor;
	return true;
}

double
shoal_size_on_node(int node_id, Oid relid)
{
	char	   *name = shoal_objects_relation_name(relid);
	char	   *question = psprintf("SELECT pg_catalog.sum(pg_catalog.pg_relation_size(relid))"
									" FROM pg_catalog.pg_partition_tree(%s) WHERE isleaf",
									quote_literal_cstr(name));
	bool		known;
	Answer	   *answer = find_answer(node_id, question, &known);

	if (!known)
	{
		PGresult   *res = shoal_remote_query(shoal_xact_conn_outside(node_id),
											 question, NULL);

		answer->size.bytes = strtod(PQgetvalue(res, 0, 0), NULL);
		PQclear(res);
		answer->at = GetCurrentTimestamp();
	}
	return answer->size.bytes;
}

double
shoal_size_most_rows(const ShoalTable *table)
{
	const ShoalGroup *group = shoal_meta_group(table->group_id);
	Bitmapset  *shards;
	int			node_id = node_to_ask(group, &shards);

	if (node_id == 0)
		return get_float8_infinity();
	return shoal_size_on_node(node_id, table->relid) /
		(MAXALIGN(SizeofHeapTupleHeader) + sizeof(ItemIdData)) *
		group->shard_count / bms_num_members(shards);
}

ShoalSize
shoal_size_of_local(Oid relid, List *attnos)
{
	Relation	rel = table_open(relid, NoLock);
	BlockNumber pages;
	double		allvisfrac;
	ShoalSize	size = {0, 0};
	int			width = ROW_OVERHEAD;
	ListCell   *lc;

	if (RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
		estimate_rel_size(rel, NULL, &pages, &size.rows, &allvisfrac);
	table_close(rel, NoLock);
	if (size.rows <= 0)
		size.rows = GUESS_ROWS;
	foreach(lc, attnos)
	{
		Oid			type;
		int32		typmod;
		Oid			collation;

		get_atttypetypmodcoll(relid, lfirst_int(lc), &type, &typmod, &collation);
		width += get_typavgwidth(type, typmod);
	}
	size.bytes = size.rows * width;
	return size;
}
