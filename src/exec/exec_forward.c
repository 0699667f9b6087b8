/*
 * exec_forward.c
 *		Rows that go from a node to the client as they are.
 *
 * Where the rows of a Shoal Scan are what the client gets, and it wants all
 * columns in one format, the node is asked for that format and its values are
 * put into the client's message without becoming Datums in between.
 *
 * The executor runs as always, so that row limits of portals, counts and
 * cursors need no care: the scan hands out an empty row, and a receiver in
 * front of the client's takes the values from the scan.  Rows that the scan
 * has read in the usual way (of this node, or because the connection was
 * needed for something else) pass through that receiver unchanged.
 *
 * Text must mean the same to client and node: the settings that output depends
 * on follow the session to the node, and sessions whose client has another
 * encoding than the server are left out.  Between the rows of a portal with a
 * row limit the settings may change, so then only text that depends on none is
 * taken as it is.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "tcop/pquery.h"
#include "utils/portal.h"

#include "base/base_compat.h"
#include "base/base_messages.h"
#include "base/base_types.h"
#include "exec/exec_internal.h"

typedef struct ForwardReceiver
{
	DestReceiver pub;			/* must be first */
	DestReceiver *client;		/* core's */
	ShoalRun   *run;
} ForwardReceiver;

static ExecutorRun_hook_type previous_run = NULL;

static bool
receive_slot(TupleTableSlot *slot, DestReceiver *self)
{
	ForwardReceiver *receiver = (ForwardReceiver *) self;
	const ShoalWireRow *row = &receiver->run->call.raw;

	if (row->body == NULL)
		return receiver->client->receiveSlot(slot, receiver->client);
	(void) pq_putmessage('D', row->body, row->len);
	return true;
}

static void
receive_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	DestReceiver *client = ((ForwardReceiver *) self)->client;

	client->rStartup(client, operation, desc);
}

static void
receive_shutdown(DestReceiver *self)
{
	DestReceiver *client = ((ForwardReceiver *) self)->client;

	client->rShutdown(client);
}

/* The receiver belongs to the caller's stack. */
static void
receive_destroy(DestReceiver *self)
{
}

static bool
text_is_fixed(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (!shoal_types_text_is_fixed(TupleDescAttr(desc, i)->atttypid))
			return false;
	}
	return true;
}

/*
 * The format that the client wants all columns in, and that can be asked of
 * the node; SHOAL_WIRE_BEST if there is none.
 */
static int
client_format(QueryDesc *desc, bool all_rows)
{
	Portal		portal = ActivePortal;
	int			natts = desc->tupDesc ? desc->tupDesc->natts : 0;

	if (desc->dest->mydest != DestRemote &&
		desc->dest->mydest != DestRemoteExecute)
		return SHOAL_WIRE_BEST;
	/* the formats of a cursor's FETCH are those of another portal */
	if (natts == 0 || portal == NULL || portal->queryDesc != desc ||
		portal->formats == NULL)
		return SHOAL_WIRE_BEST;
	for (int i = 1; i < natts; i++)
	{
		if (portal->formats[i] != portal->formats[0])
			return SHOAL_WIRE_BEST;
	}
	if (!shoal_wire_same_encoding())
		return SHOAL_WIRE_BEST;
	if (portal->formats[0] == SHOAL_WIRE_TEXT && !all_rows &&
		!text_is_fixed(desc->tupDesc))
		return SHOAL_WIRE_BEST;
	return portal->formats[0];
}

static ShoalRun *
forwardable(QueryDesc *desc, bool all_rows)
{
	int			format;

	/* most queries are none of ours */
	if (desc->planstate == NULL || !IsA(desc->planstate, CustomScanState) ||
		desc->estate->es_junkFilter != NULL)
		return NULL;
	format = client_format(desc, all_rows);
	if (format == SHOAL_WIRE_BEST)
		return NULL;
	return shoal_scan_forward(desc->planstate, format);
}

static void
run(QueryDesc *desc, ScanDirection direction, uint64 count
	SHOAL_EXECUTE_ONCE_PARAM)
{
	ForwardReceiver receiver;
	ShoalRun   *forward = forwardable(desc, count == 0);

	if (forward)
	{
		receiver.pub.receiveSlot = receive_slot;
		receiver.pub.rStartup = receive_startup;
		receiver.pub.rShutdown = receive_shutdown;
		receiver.pub.rDestroy = receive_destroy;
		receiver.pub.mydest = desc->dest->mydest;
		receiver.client = desc->dest;
		receiver.run = forward;
		desc->dest = &receiver.pub;
	}
	if (previous_run)
		previous_run(desc, direction, count SHOAL_EXECUTE_ONCE);
	else
		standard_ExecutorRun(desc, direction, count SHOAL_EXECUTE_ONCE);
	if (forward)
		desc->dest = receiver.client;
}

void
shoal_forward_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
}
