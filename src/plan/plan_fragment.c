/*
 * plan_fragment.c
 *		Storing fragments and row routing in CustomScan nodes.
 *
 * custom_exprs holds the parameter expressions, so that core's handling of
 * plan trees (constant folding done, references fixed) applies to them;
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

/*
 * Writes the fragment into the node's lists.  Nothing is copied; the fragment
 * must not be changed afterwards.
 */
void
shoal_fragment_store(CustomScan *cscan, const ShoalFragment *frag)
{
	List	   *numbers = NIL;

	numbers = lappend_int(numbers, frag->group_id);
	numbers = lappend_int(numbers, (int) frag->command);
	numbers = lappend_int(numbers, frag->returns_rows);
	numbers = lappend_int(numbers, frag->partial);
	numbers = lappend_int(numbers, frag->every_node);
	numbers = lappend_int(numbers, frag->single_shard);
	numbers = lappend_int(numbers, frag->nsent);
	numbers = lappend_int(numbers, frag->locks_rows);

	cscan->custom_exprs = frag->params;
	cscan->custom_private = list_make3(string_node(frag->text),
									   numbers,
									   list_make2_oid(frag->pin_relid,
													  frag->run_as));
	cscan->custom_private = lappend(cscan->custom_private, frag->pins);
	cscan->custom_private = lappend(cscan->custom_private, frag->pin_is_array);
	cscan->custom_private = lappend(cscan->custom_private,
									sort_to_lists(frag->sort));
	cscan->custom_private = lappend(cscan->custom_private,
									string_node(frag->way));
	cscan->custom_private = lappend(cscan->custom_private,
									string_node(frag->reason));
}

/* Reads it back, palloc'd in the current context; shares the node's lists. */
ShoalFragment *
shoal_fragment_load(CustomScan *cscan)
{
	ShoalFragment *frag = palloc0(sizeof(ShoalFragment));
	List	   *private = cscan->custom_private;
	List	   *numbers = (List *) lsecond(private);

	frag->params = cscan->custom_exprs;
	frag->text = node_string(linitial(private));
	frag->group_id = list_nth_int(numbers, 0);
	frag->command = (CmdType) list_nth_int(numbers, 1);
	frag->returns_rows = list_nth_int(numbers, 2);
	frag->partial = list_nth_int(numbers, 3);
	frag->every_node = list_nth_int(numbers, 4);
	frag->single_shard = list_nth_int(numbers, 5);
	frag->nsent = list_nth_int(numbers, 6);
	frag->locks_rows = list_nth_int(numbers, 7);
	frag->pin_relid = linitial_oid((List *) lthird(private));
	frag->run_as = lsecond_oid((List *) lthird(private));
	frag->pins = (List *) list_nth(private, 3);
	frag->pin_is_array = (List *) list_nth(private, 4);
	frag->sort = lists_to_sort((List *) list_nth(private, 5));
	frag->way = node_string(list_nth(private, 6));
	frag->reason = node_string(list_nth(private, 7));
	return frag;
}

/* The same for Shoal Insert. */
void
shoal_insert_store(CustomScan *cscan, const ShoalInsert *insert)
{
	cscan->custom_exprs = insert->tail_params;
	cscan->custom_private = list_make5(list_make1_oid(insert->relid),
									   insert->attnums,
									   list_make2_int(insert->use_copy,
													  insert->returns_rows),
									   string_node(insert->head),
									   string_node(insert->tail));
}

ShoalInsert *
shoal_insert_load(CustomScan *cscan)
{
	ShoalInsert *insert = palloc0(sizeof(ShoalInsert));
	List	   *private = cscan->custom_private;
	List	   *flags = (List *) lthird(private);

	insert->relid = linitial_oid((List *) linitial(private));
	insert->attnums = (List *) lsecond(private);
	insert->use_copy = linitial_int(flags);
	insert->returns_rows = lsecond_int(flags);
	insert->head = node_string(lfourth(private));
	insert->tail = node_string(list_nth(private, 4));
	insert->tail_params = cscan->custom_exprs;
	return insert;
}
