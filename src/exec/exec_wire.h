/*
 * exec_wire.h
 *		Values between nodes.
 */
#ifndef EXEC_WIRE_H
#define EXEC_WIRE_H

#include "executor/tuptable.h"
#include "fmgr.h"
#include "lib/stringinfo.h"

#include "remote/remote.h"

typedef struct ShoalDecoder ShoalDecoder;
typedef struct ShoalEncoder ShoalEncoder;

/* formats of rows from a node: the client's (as in libpq), or the best one */
#define SHOAL_WIRE_BEST		(-1)
#define SHOAL_WIRE_TEXT		0
#define SHOAL_WIRE_BINARY	1

/* True if rows of this type can be had in binary. */
extern bool shoal_wire_can_binary(TupleDesc desc);

/* True if texts have the same encoding for client, coordinator and nodes. */
extern bool shoal_wire_same_encoding(void);

/* How to read rows of a type; the decoder lives in the current context. */
extern ShoalDecoder *shoal_wire_decoder(TupleDesc desc, int format);
extern bool shoal_wire_decoder_is_binary(const ShoalDecoder *decoder);

/* Rows that have come at once (scope_pack.c); they stay in the result. */
typedef struct ShoalPack
{
	char	   *next;			/* row, unless it is ... */
	char	   *end;
} ShoalPack;

/* A row as a DataRow message has it: number of columns, and each with its length. */
typedef struct ShoalWireRow
{
	char	   *body;			/* NULL: none */
	int			len;
} ShoalWireRow;

/*
 * The rows of a result, packed if they have any columns.  Raises 08P01 unless it has
 * the columns of desc: a node whose schema differs must not be misread.
 */
extern void shoal_wire_open(ShoalPack *pack, TupleDesc desc, bool binary,
							PGresult *res);

/* The next one, false at the end. */
extern bool shoal_wire_next(ShoalPack *pack, ShoalWireRow *row);

/*
 * Reads a value (length -1: NULL); there has to be a byte behind it that can be
 * written to.
 */
extern Datum shoal_wire_decode_value(FmgrInfo *function, bool binary, Oid ioparam,
									 int32 typmod, char *value, int len);

/*
 * Reads a row; by-reference values are palloc'd in the current context.  The slot
 * must be a virtual one.
 */
extern void shoal_wire_decode(ShoalDecoder *decoder, const ShoalWireRow *row,
							  TupleTableSlot *slot);

/*
 * How to write values of these types.  uniform: all in binary or all as text,
 * as COPY needs it.
 */
extern ShoalEncoder *shoal_wire_encoder(int n, const Oid *types, bool uniform);

/* True if the encoder writes the i-th value in binary. */
extern bool shoal_wire_encodes_binary(const ShoalEncoder *encoder, int i);

/* Makes it write the i-th value like another node's encoder does. */
extern void shoal_wire_encode_as(ShoalEncoder *encoder, int i, bool binary);

/* True if a uniform encoder writes binary. */
extern bool shoal_wire_encoder_is_binary(const ShoalEncoder *encoder);

/* A value's text, the same for whoever reads it. */
extern char *shoal_wire_text(Oid type, Datum value);

/* Parameters of a statement, palloc'd. */
extern ShoalParams *shoal_wire_params(ShoalEncoder *encoder,
									  const Datum *values, const bool *nulls);

/* Appends a row in COPY's format (binary or text, with line end). */
extern void shoal_wire_copy_row(ShoalEncoder *encoder, StringInfo buf,
								const Datum *values, const bool *nulls);

#endif							/* EXEC_WIRE_H */
