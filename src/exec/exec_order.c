/*
 * exec_order.c
 *		Rows of RETURNING in the order in which rows were inserted.
 *
 * On one server an INSERT returns its rows in the order in which they are given.
 * Nobody promises that, but programs that insert several rows at once take what is
 * returned for these rows, one by one.  Nodes do their parts at the same time, so
 * what they return is sorted by the rows' numbers.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/tuplesort.h"

#include "base/base_compat.h"
#include "exec/exec_internal.h"

struct ShoalOrder
{
	Tuplesortstate *sort;
	TupleTableSlot *numbered;	/* a row, and its number behind it */
};

ShoalOrder *
shoal_order_begin(TupleDesc desc)
{
	ShoalOrder *order = palloc(sizeof(ShoalOrder));
	int			natts = desc->natts + 1;
	TupleDesc	numbered;
	AttrNumber	attno = natts;
	Oid			operator = Int8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	/* a row that is as wide as can be has no room for a number */
	if (natts > MaxTupleAttributeNumber)
		return NULL;
	numbered = CreateTemplateTupleDesc(natts);
	for (int i = 1; i < natts; i++)
		TupleDescCopyEntry(numbered, i, desc, i);
	TupleDescInitEntry(numbered, natts, "number", INT8OID, -1, 0);
	order->numbered = MakeSingleTupleTableSlot(numbered, &TTSOpsVirtual);
	order->sort = tuplesort_begin_heap(numbered, 1, &attno, &operator, &collation,
									   &nulls_first, work_mem, NULL, 0);
	return order;
}

void
shoal_order_put(ShoalOrder *order, TupleTableSlot *row, int64 number)
{
	TupleTableSlot *slot = order->numbered;
	int			natts = slot->tts_tupleDescriptor->natts - 1;

	slot_getallattrs(row);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->tts_values, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, row->tts_isnull, sizeof(bool) * natts);
	slot->tts_values[natts] = Int64GetDatum(number);
	slot->tts_isnull[natts] = false;
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(order->sort, slot);
}

void
shoal_order_end(ShoalOrder *order, TupleTableSlot *row, Tuplestorestate *rows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(order->numbered->tts_tupleDescriptor,
													&TTSOpsMinimalTuple);
	int			natts = row->tts_tupleDescriptor->natts;

	tuplesort_performsort(order->sort);
	while (tuplesort_gettupleslot(order->sort, true, false, slot, NULL))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		ExecClearTuple(row);
		memcpy(row->tts_values, slot->tts_values, sizeof(Datum) * natts);
		memcpy(row->tts_isnull, slot->tts_isnull, sizeof(bool) * natts);
		ExecStoreVirtualTuple(row);
		tuplestore_puttupleslot(rows, row);
	}
	ExecClearTuple(row);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(order->numbered);
	tuplesort_end(order->sort);
}
