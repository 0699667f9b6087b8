/*
 * plan_fragment.c
 *		Storing fragments and row routing in CustomScan nodes.
 *
 * custom_exprs holds the parameter expressions, so that core's handling of
 * plan trees (constant folding done, references fixed) applies to them: the
 * fragment's own, then those of its steps and of the fragments that move rows
 * for it.
 * custom_private holds everything else as a list of plain value nodes in the
 * order in which the functions below write and read them.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/value.h"

#include "base/base_compat.h"
#include "plan/plan_fragment.h"

/* NULL strings are stored as empty lists. */
static Node *
string_node(const char *str)
{
	return str ? (Node *) makeString(pstrdup(str)) : NULL;
}

static char *
node_string(Node *node)
{
	return node ? strVal(node) : NULL;
}

static List *
sort_to_lists(List *sort)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, sort)
	{
		ShoalSortKey *key = (ShoalSortKey *) lfirst(lc);

		result = lappend(result, list_make1_int(key->column));
		result = lappend(result, list_make2_oid(key->sortop, key->collation));
		result = lappend(result, list_make1_int(key->nulls_first));
	}
	return result;
}

static List *
lists_to_sort(List *lists)
{
	List	   *result = NIL;

	for (int i = 0; i + 2 < list_length(lists); i += 3)
	{
		ShoalSortKey *key = palloc(sizeof(ShoalSortKey));

		key->column = linitial_int((List *) list_nth(lists, i));
		key->sortop = linitial_oid((List *) list_nth(lists, i + 1));
		key->collation = lsecond_oid((List *) list_nth(lists, i + 1));
		key->nulls_first = linitial_int((List *) list_nth(lists, i + 2));
		result = lappend(result, key);
	}
	return result;
}

static List *fragment_to_lists(const ShoalFragment *frag, List **exprs);
static ShoalFragment *lists_to_fragment(List *lists, List *exprs, int *nexprs);

static List *
moves_to_lists(List *moves, List **exprs)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, moves)
	{
		ShoalFragmentMove *move = (ShoalFragmentMove *) lfirst(lc);

		result = lappend(result,
						 list_make4(list_make2_int(move->source_param,
												   move->spec_param),
									list_make1_oid(move->relid),
									makeFloat(psprintf("%.0f", move->rows)),
									fragment_to_lists(move->source, exprs)));
	}
	return result;
}

static List *
lists_to_moves(List *lists, List *exprs, int *nexprs)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, lists)
	{
		List	   *list = (List *) lfirst(lc);
		ShoalFragmentMove *move = palloc(sizeof(ShoalFragmentMove));

		move->source_param = linitial_int((List *) linitial(list));
		move->spec_param = lsecond_int((List *) linitial(list));
		move->relid = linitial_oid((List *) lsecond(list));
		move->rows = floatVal(lthird(list));
		move->source = lists_to_fragment((List *) lfourth(list), exprs, nexprs);
		result = lappend(result, move);
	}
	return result;
}

static List *
steps_to_lists(List *steps, List **exprs)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, steps)
	{
		ShoalFragmentStep *step = (ShoalFragmentStep *) lfirst(lc);

		result = lappend(result,
						 list_make2(list_make1_int(step->param),
									fragment_to_lists(step->source, exprs)));
	}
	return result;
}

static List *
lists_to_steps(List *lists, List *exprs, int *nexprs)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, lists)
	{
		List	   *list = (List *) lfirst(lc);
		ShoalFragmentStep *step = palloc(sizeof(ShoalFragmentStep));

		step->param = linitial_int((List *) linitial(list));
		step->source = lists_to_fragment((List *) lsecond(list), exprs, nexprs);
		result = lappend(result, step);
	}
	return result;
}

static List *
fragment_to_lists(const ShoalFragment *frag, List **exprs)
{
	List	   *numbers = NIL;
	List	   *result;

	numbers = lappend_int(numbers, frag->group_id);
	numbers = lappend_int(numbers, (int) frag->command);
	numbers = lappend_int(numbers, frag->returns_rows);
	numbers = lappend_int(numbers, frag->partial);
	numbers = lappend_int(numbers, frag->every_node);
	numbers = lappend_int(numbers, frag->single_shard);
	numbers = lappend_int(numbers, frag->nsent);
	numbers = lappend_int(numbers, frag->locks_rows);
	numbers = lappend_int(numbers, list_length(frag->params));
	numbers = lappend_int(numbers, frag->only_primary);
	numbers = lappend_int(numbers, frag->policies);
	numbers = lappend_int(numbers, frag->is_volatile);
	numbers = lappend_int(numbers, frag->rights);
	numbers = lappend_int(numbers, frag->sees_rows);
	numbers = lappend_int(numbers, frag->is_timed);

	*exprs = list_concat(*exprs, frag->params);
	result = list_make5(string_node(frag->text),
						numbers,
						list_make2_oid(frag->pin_relid, frag->run_as),
						frag->pins,
						frag->pin_is_array);
	result = lappend(result, sort_to_lists(frag->sort));
	result = lappend(result, string_node(frag->way));
	result = lappend(result, string_node(frag->reason));
	result = lappend(result, steps_to_lists(frag->steps, exprs));
	result = lappend(result, moves_to_lists(frag->moves, exprs));
	result = lappend(result, frag->share_tables);
	return lappend(result, frag->triggers);
}

/* nexprs: how many of the expressions belong to what has been read before. */
static ShoalFragment *
lists_to_fragment(List *lists, List *exprs, int *nexprs)
{
	ShoalFragment *frag = palloc0(sizeof(ShoalFragment));
	List	   *numbers = (List *) lsecond(lists);
	int			nparams = list_nth_int(numbers, 8);

	frag->text = node_string(linitial(lists));
	frag->group_id = list_nth_int(numbers, 0);
	frag->command = (CmdType) list_nth_int(numbers, 1);
	frag->returns_rows = list_nth_int(numbers, 2);
	frag->partial = list_nth_int(numbers, 3);
	frag->every_node = list_nth_int(numbers, 4);
	frag->single_shard = list_nth_int(numbers, 5);
	frag->nsent = list_nth_int(numbers, 6);
	frag->locks_rows = list_nth_int(numbers, 7);
	frag->only_primary = list_nth_int(numbers, 9);
	frag->policies = list_nth_int(numbers, 10);
	frag->is_volatile = list_nth_int(numbers, 11);
	frag->rights = list_nth_int(numbers, 12);
	frag->sees_rows = list_nth_int(numbers, 13);
	frag->is_timed = list_nth_int(numbers, 14);
	if (*nexprs == 0 && nparams == list_length(exprs))
		frag->params = exprs;
	else
	{
		for (int i = 0; i < nparams; i++)
			frag->params = lappend(frag->params, list_nth(exprs, *nexprs + i));
	}
	*nexprs += nparams;
	frag->pin_relid = linitial_oid((List *) lthird(lists));
	frag->run_as = lsecond_oid((List *) lthird(lists));
	frag->pins = (List *) list_nth(lists, 3);
	frag->pin_is_array = (List *) list_nth(lists, 4);
	frag->sort = lists_to_sort((List *) list_nth(lists, 5));
	frag->way = node_string(list_nth(lists, 6));
	frag->reason = node_string(list_nth(lists, 7));
	frag->steps = lists_to_steps((List *) list_nth(lists, 8), exprs, nexprs);
	frag->moves = lists_to_moves((List *) list_nth(lists, 9), exprs, nexprs);
	frag->share_tables = (List *) list_nth(lists, 10);
	frag->triggers = (List *) list_nth(lists, 11);
	return frag;
}

/*
 * Writes the fragment into the node's lists.  Nothing is copied; the fragment
 * must not be changed afterwards.
 */
void
shoal_fragment_store(CustomScan *cscan, const ShoalFragment *frag)
{
	cscan->custom_exprs = NIL;
	cscan->custom_private = fragment_to_lists(frag, &cscan->custom_exprs);
}

/* Reads it back, palloc'd in the current context; shares the node's lists. */
ShoalFragment *
shoal_fragment_load(CustomScan *cscan)
{
	int			nexprs = 0;

	return lists_to_fragment(cscan->custom_private, cscan->custom_exprs,
							 &nexprs);
}

static List *
fire_to_list(const ShoalFire *fire)
{
	List	   *numbers;

	if (fire == NULL)
		return NIL;
	numbers = list_make5_int((int) fire->command, fire->nfind, fire->distinct,
							 fire->one_by_one, fire->rooted);
	numbers = lappend_int(numbers, list_length(fire->conflict_params));
	numbers = lappend_int(numbers, fire->acts);
	return list_concat(list_concat(list_make5(numbers, fire->set, fire->written,
											  fire->updated, fire->find_types),
								   list_make5(string_node(fire->insert_head),
											  string_node(fire->insert_tail),
											  string_node(fire->update_head),
											  string_node(fire->update_tail),
											  string_node(fire->delete_head))),
					   list_make2(string_node(fire->delete_tail),
								  string_node(fire->conflict_text)));
}

static ShoalFire *
list_to_fire(List *list, List *exprs)
{
	ShoalFire  *fire;
	List	   *numbers;

	if (list == NIL)
		return NULL;
	fire = palloc0(sizeof(ShoalFire));
	numbers = (List *) linitial(list);
	fire->command = (CmdType) linitial_int(numbers);
	fire->nfind = lsecond_int(numbers);
	fire->distinct = lthird_int(numbers);
	fire->one_by_one = lfourth_int(numbers);
	fire->rooted = list_nth_int(numbers, 4);
	fire->acts = list_nth_int(numbers, 6);
	fire->set = (List *) lsecond(list);
	fire->written = (List *) lthird(list);
	fire->updated = (List *) lfourth(list);
	fire->find_types = (List *) list_nth(list, 4);
	fire->insert_head = node_string(list_nth(list, 5));
	fire->insert_tail = node_string(list_nth(list, 6));
	fire->update_head = node_string(list_nth(list, 7));
	fire->update_tail = node_string(list_nth(list, 8));
	fire->delete_head = node_string(list_nth(list, 9));
	fire->delete_tail = node_string(list_nth(list, 10));
	fire->conflict_text = node_string(list_nth(list, 11));
	/* the last of the expressions */
	fire->conflict_params = list_copy_tail(exprs, list_length(exprs) -
										   list_nth_int(numbers, 5));
	return fire;
}

/* The same for Shoal Insert. */
void
shoal_insert_store(CustomScan *cscan, const ShoalInsert *insert)
{
	List	   *flags;

	cscan->custom_exprs = insert->tail_params;
	if (insert->fire)
		cscan->custom_exprs = list_concat_copy(insert->tail_params,
											   insert->fire->conflict_params);
	flags = list_make5_int(insert->use_copy, insert->returns_rows, insert->locked,
						   insert->row_column, insert->rights);
	flags = lappend_int(flags, insert->by_shard);
	flags = lappend_int(flags, insert->is_timed);
	flags = lappend_int(flags, insert->unjoined);
	cscan->custom_private = list_make5(list_make2_oid(insert->relid, insert->run_as),
									   insert->attnums, flags,
									   string_node(insert->head),
									   string_node(insert->tail));
	cscan->custom_private = lappend(cscan->custom_private, insert->triggers);
	cscan->custom_private = lappend(cscan->custom_private,
									fire_to_list(insert->fire));
}

ShoalInsert *
shoal_insert_load(CustomScan *cscan)
{
	ShoalInsert *insert = palloc0(sizeof(ShoalInsert));
	List	   *private = cscan->custom_private;
	List	   *flags = (List *) lthird(private);

	insert->relid = linitial_oid((List *) linitial(private));
	insert->run_as = lsecond_oid((List *) linitial(private));
	insert->attnums = (List *) lsecond(private);
	insert->use_copy = linitial_int(flags);
	insert->returns_rows = lsecond_int(flags);
	insert->locked = lthird_int(flags);
	insert->row_column = lfourth_int(flags);
	insert->rights = list_nth_int(flags, 4);
	insert->by_shard = list_nth_int(flags, 5);
	insert->is_timed = list_nth_int(flags, 6);
	insert->unjoined = list_nth_int(flags, 7);
	insert->head = node_string(lfourth(private));
	insert->tail = node_string(list_nth(private, 4));
	insert->triggers = (List *) list_nth(private, 5);
	insert->fire = list_to_fire((List *) list_nth(private, 6),
								cscan->custom_exprs);
	insert->tail_params = cscan->custom_exprs;
	if (insert->fire)
		insert->tail_params = list_truncate(list_copy(cscan->custom_exprs),
											list_length(cscan->custom_exprs) -
											list_length(insert->fire->conflict_params));
	return insert;
}
