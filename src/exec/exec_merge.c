/*
 * exec_merge.c
 *		Merging the sorted rows of several tasks into one sorted stream.
 *
 * A binary heap over the tasks, each with its current row in a slot of its
 * own and the row's memory in a context of its own.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "lib/binaryheap.h"
#include "utils/memutils.h"
#include "utils/sortsupport.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"

typedef struct MergeStream
{
	ShoalTask  *task;
	TupleTableSlot *slot;
	MemoryContext cxt;
} MergeStream;

struct ShoalMerge
{
	MergeStream *streams;
	binaryheap *heap;
	int			nkeys;
	SortSupport keys;
	bool		started;
	int			n;
};

static int
compare_streams(Datum a, Datum b, void *arg)
{
	ShoalMerge *merge = (ShoalMerge *) arg;
	TupleTableSlot *slot_a = merge->streams[DatumGetInt32(a)].slot;
	TupleTableSlot *slot_b = merge->streams[DatumGetInt32(b)].slot;

	for (int i = 0; i < merge->nkeys; i++)
	{
		SortSupport key = &merge->keys[i];
		int			att = key->ssup_attno - 1;
		int			result;

		result = ApplySortComparator(slot_a->tts_values[att],
									 slot_a->tts_isnull[att],
									 slot_b->tts_values[att],
									 slot_b->tts_isnull[att],
									 key);
		/* the heap has its greatest element on top */
		if (result != 0)
			return result < 0 ? 1 : -1;
	}
	return 0;
}

static bool
advance(MergeStream *stream)
{
	MemoryContext old;
	bool		found;

	ExecClearTuple(stream->slot);
	MemoryContextReset(stream->cxt);
	old = MemoryContextSwitchTo(stream->cxt);
	found = shoal_task_next(stream->task, stream->slot);
	MemoryContextSwitchTo(old);
	return found;
}

ShoalMerge *
shoal_merge_start(ShoalTask *tasks, int n, List *sort, TupleDesc desc)
{
	ShoalMerge *merge = palloc0(sizeof(ShoalMerge));
	ListCell   *lc;

	merge->n = n;
	merge->streams = palloc0(sizeof(MergeStream) * n);
	for (int i = 0; i < n; i++)
	{
		merge->streams[i].task = &tasks[i];
		merge->streams[i].slot = MakeSingleTupleTableSlot(desc,
														  &TTSOpsVirtual);
		merge->streams[i].cxt = AllocSetContextCreate(CurrentMemoryContext,
													  "Shoal merge",
													  ALLOCSET_SMALL_SIZES);
	}
	merge->keys = palloc0(sizeof(SortSupportData) * list_length(sort));
	foreach(lc, sort)
	{
		ShoalSortKey *sort_key = (ShoalSortKey *) lfirst(lc);
		SortSupport key = &merge->keys[merge->nkeys++];

		key->ssup_cxt = CurrentMemoryContext;
		key->ssup_collation = sort_key->collation;
		key->ssup_nulls_first = sort_key->nulls_first;
		key->ssup_attno = sort_key->column;
		PrepareSortSupportFromOrderingOp(sort_key->sortop, key);
	}
	merge->heap = binaryheap_allocate(n, compare_streams, merge);
	return merge;
}

bool
shoal_merge_next(ShoalMerge *merge, TupleTableSlot *slot)
{
	MergeStream *top;

	if (!merge->started)
	{
		for (int i = 0; i < merge->n; i++)
		{
			if (advance(&merge->streams[i]))
				binaryheap_add_unordered(merge->heap, Int32GetDatum(i));
		}
		binaryheap_build(merge->heap);
		merge->started = true;
	}
	else if (!binaryheap_empty(merge->heap))
	{
		/* the row handed out last is only now done with */
		Datum		first = binaryheap_first(merge->heap);

		if (advance(&merge->streams[DatumGetInt32(first)]))
			binaryheap_replace_first(merge->heap, first);
		else
			(void) binaryheap_remove_first(merge->heap);
	}
	if (binaryheap_empty(merge->heap))
		return false;
	top = &merge->streams[DatumGetInt32(binaryheap_first(merge->heap))];
	shoal_task_borrow(slot, top->slot);
	return true;
}
