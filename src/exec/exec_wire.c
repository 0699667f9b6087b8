/*
 * exec_wire.c
 *		Values between their Datum form and libpq's.
 *
 * Values travel in binary where base_types.h says that they may, else as
 * text.  Binary text types are converted by core between the client's and the
 * server's encoding, and the client of this session need not use the encoding
 * that nodes talk to each other; in such a session everything is sent as text,
 * in the server's encoding.
 *
 * Text has to be read on the other side as it was meant here, whatever the
 * session's DateStyle and the like; that goes for the texts of rows that nodes
 * send, too (plan_texts.c).  Input and output functions look at the C variables
 * behind these settings, which are changed around the calls.  Types that print
 * names (regclass and its kin) depend on search_path, which is set the proper
 * way for them.
 *
 * No locks; an error leaves nothing behind but memory of the current context.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/xml.h"

#include "base/base_compat.h"
#include "base/base_types.h"
#include "exec/exec_internal.h"

PG_FUNCTION_INFO_V1(shoal_text_of);

struct ShoalDecoder
{
	TupleDesc	desc;
	bool		binary;
	bool		fixed;			/* not as the session's settings say */
	FmgrInfo   *functions;
	Oid		   *ioparams;
};

struct ShoalEncoder
{
	int			n;
	Oid		   *types;
	bool	   *binary;
	FmgrInfo   *functions;
	bool		any_text;
	bool		names;			/* a type prints names */
};

/* settings that input and output functions look at */
typedef struct TextStyle
{
	int			date_style;
	int			date_order;
	int			interval_style;
	int			float_digits;
	bool		array_nulls;
	int			xml_option;
	int			nest_level;
} TextStyle;

bool
shoal_wire_same_encoding(void)
{
	return pg_get_client_encoding() == GetDatabaseEncoding();
}

/* Prints names that depend on search_path. */
static bool
type_prints_names(Oid type)
{
	switch (getBaseType(type))
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
			return true;
		default:
			{
				Oid			element = get_element_type(type);

				return OidIsValid(element) && type_prints_names(element);
			}
	}
}

static void
style_enter(TextStyle *style, bool names)
{
	style->nest_level = 0;
	if (names)
	{
		style->nest_level = NewGUCNestLevel();
		(void) set_config_option("search_path", "pg_catalog",
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
	style->date_style = DateStyle;
	style->date_order = DateOrder;
	style->interval_style = IntervalStyle;
	style->float_digits = extra_float_digits;
	style->array_nulls = Array_nulls;
	style->xml_option = xmloption;
	DateStyle = USE_ISO_DATES;
	DateOrder = DATEORDER_MDY;
	IntervalStyle = INTSTYLE_POSTGRES;
	extra_float_digits = 3;
	Array_nulls = true;
	xmloption = XMLOPTION_CONTENT;
}

static void
style_leave(const TextStyle *style)
{
	DateStyle = style->date_style;
	DateOrder = style->date_order;
	IntervalStyle = style->interval_style;
	extra_float_digits = style->float_digits;
	Array_nulls = style->array_nulls;
	xmloption = style->xml_option;
	if (style->nest_level > 0)
		AtEOXact_GUC(true, style->nest_level);
}

/* ---- rows from nodes ---- */

bool
shoal_wire_can_binary(TupleDesc desc)
{
	/* a result is in one format, so one column decides for all */
	for (int i = 0; i < desc->natts; i++)
	{
		if (!shoal_types_is_binary(TupleDescAttr(desc, i)->atttypid))
			return false;
	}
	return shoal_wire_same_encoding();
}

ShoalDecoder *
shoal_wire_decoder(TupleDesc desc, int format)
{
	ShoalDecoder *decoder = palloc0(sizeof(ShoalDecoder));

	decoder->desc = desc;
	decoder->functions = palloc0(sizeof(FmgrInfo) * Max(desc->natts, 1));
	decoder->ioparams = palloc0(sizeof(Oid) * Max(desc->natts, 1));

	decoder->binary = format == SHOAL_WIRE_BEST ? shoal_wire_can_binary(desc) :
		format == SHOAL_WIRE_BINARY;

	for (int i = 0; i < desc->natts; i++)
	{
		Oid			type = TupleDescAttr(desc, i)->atttypid;
		Oid			function;

		if (decoder->binary)
			getTypeBinaryInputInfo(type, &function, &decoder->ioparams[i]);
		else
			getTypeInputInfo(type, &function, &decoder->ioparams[i]);
		fmgr_info(function, &decoder->functions[i]);
		if (getBaseType(type) == XMLOID || getBaseType(type) == XMLARRAYOID)
			decoder->fixed = true;
	}
	/* texts that were meant for the client are as its settings are */
	if (!decoder->binary)
		decoder->fixed = format == SHOAL_WIRE_BEST;
	return decoder;
}

bool
shoal_wire_decoder_is_binary(const ShoalDecoder *decoder)
{
	return decoder->binary;
}

static void
check_columns(TupleDesc desc, bool binary, PGresult *res)
{
	int			natts = desc->natts;

	if (PQnfields(res) != natts)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("node returned %d columns where %d were expected",
						PQnfields(res), natts)));
	for (int i = 0; binary && i < natts; i++)
	{
		Oid			type = TupleDescAttr(desc, i)->atttypid;

		/* binary types have the same OIDs everywhere; domains show their base */
		if (PQftype(res, i) != type && PQftype(res, i) != getBaseType(type))
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("node returned type %u for column %d where %u was expected",
							PQftype(res, i), i + 1, type)));
	}
}

void
shoal_wire_open(ShoalPack *pack, TupleDesc desc, bool binary, PGresult *res)
{
	/* there is no place for a pack in a row without columns, which is one itself */
	static char no_columns[] = {0, 0, 0, 2, 0, 0};

	check_columns(desc, binary, res);
	pack->next = desc->natts > 0 ? PQgetvalue(res, 0, 0) : no_columns;
	pack->end = pack->next +
		(desc->natts > 0 ? PQgetlength(res, 0, 0) : (int) sizeof(no_columns));
}

static pg_noinline void
malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("rows of a node are malformed")));
}

/* The number at *from, which is moved behind it. */
static int
take_int(char **from, const char *end)
{
	uint32		value;

	if (end - *from < (ptrdiff_t) sizeof(value))
		malformed();
	memcpy(&value, *from, sizeof(value));
	*from += sizeof(value);
	return (int) pg_ntoh32(value);
}

bool
shoal_wire_next(ShoalPack *pack, ShoalWireRow *row)
{
	if (pack->next == pack->end)
		return false;
	row->len = take_int(&pack->next, pack->end);
	row->body = pack->next;
	if (row->len < (int) sizeof(uint16) || row->len > pack->end - pack->next)
		malformed();
	pack->next += row->len;
	return true;
}

Datum
shoal_wire_decode_value(FmgrInfo *function, bool binary, Oid ioparam, int32 typmod,
						char *value, int len)
{
	StringInfoData buf;
	char		behind;
	Datum		result;

	if (len < 0)
		return binary ? ReceiveFunctionCall(function, NULL, ioparam, typmod) :
			InputFunctionCall(function, NULL, ioparam, typmod);
	/* both kinds of functions want a zero at the end */
	behind = value[len];
	value[len] = '\0';
	if (binary)
	{
		buf.data = value;
		buf.len = len;
		buf.maxlen = len + 1;
		buf.cursor = 0;
		result = ReceiveFunctionCall(function, &buf, ioparam, typmod);
	}
	else
		result = InputFunctionCall(function, value, ioparam, typmod);
	value[len] = behind;
	return result;
}

static pg_noinline void
decode_columns(ShoalDecoder *decoder, const ShoalWireRow *row, TupleTableSlot *slot)
{
	int			natts = decoder->desc->natts;
	char	   *next = row->body + sizeof(uint16);
	char	   *end = row->body + row->len;

	for (int i = 0; i < natts; i++)
	{
		int			len = take_int(&next, end);

		if (len > end - next)
			malformed();
		slot->tts_isnull[i] = len < 0;
		slot->tts_values[i] = len < 0 ? (Datum) 0 :
			shoal_wire_decode_value(&decoder->functions[i], decoder->binary,
									decoder->ioparams[i],
									TupleDescAttr(decoder->desc, i)->atttypmod,
									next, len);
		next += Max(len, 0);
	}
}

static pg_noinline void
decode_fixed(ShoalDecoder *decoder, const ShoalWireRow *row, TupleTableSlot *slot)
{
	TextStyle	style;

	style_enter(&style, false);
	PG_TRY();
	{
		decode_columns(decoder, row, slot);
	}
	PG_FINALLY();
	{
		style_leave(&style);
	}
	PG_END_TRY();
}

void
shoal_wire_decode(ShoalDecoder *decoder, const ShoalWireRow *row, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	if (decoder->fixed)
		decode_fixed(decoder, row, slot);
	else
		decode_columns(decoder, row, slot);
	ExecStoreVirtualTuple(slot);
}

/* ---- values to nodes ---- */

ShoalEncoder *
shoal_wire_encoder(int n, const Oid *types, bool uniform)
{
	ShoalEncoder *encoder = palloc0(sizeof(ShoalEncoder));
	bool		session = shoal_wire_same_encoding();

	encoder->n = n;
	encoder->types = palloc(sizeof(Oid) * Max(n, 1));
	encoder->binary = palloc(sizeof(bool) * Max(n, 1));
	encoder->functions = palloc0(sizeof(FmgrInfo) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		encoder->types[i] = types[i];
		encoder->binary[i] = session && shoal_types_is_binary(types[i]);
		if (!encoder->binary[i])
			encoder->any_text = true;
	}
	for (int i = 0; i < n; i++)
	{
		Oid			function;
		bool		varlena;

		if (uniform && encoder->any_text)
			encoder->binary[i] = false;
		if (encoder->binary[i])
			getTypeBinaryOutputInfo(types[i], &function, &varlena);
		else
		{
			getTypeOutputInfo(types[i], &function, &varlena);
			if (type_prints_names(types[i]))
				encoder->names = true;
		}
		fmgr_info(function, &encoder->functions[i]);
	}
	return encoder;
}

bool
shoal_wire_encodes_binary(const ShoalEncoder *encoder, int i)
{
	return encoder->binary[i];
}

void
shoal_wire_encode_as(ShoalEncoder *encoder, int i, bool binary)
{
	Oid			function;
	bool		varlena;

	if (encoder->binary[i] == binary)
		return;
	if (binary)
		getTypeBinaryOutputInfo(encoder->types[i], &function, &varlena);
	else
		getTypeOutputInfo(encoder->types[i], &function, &varlena);
	fmgr_info(function, &encoder->functions[i]);
	encoder->binary[i] = binary;
	encoder->any_text = encoder->any_text || !binary;
}

bool
shoal_wire_encoder_is_binary(const ShoalEncoder *encoder)
{
	return !encoder->any_text;
}

static void
encode_params(ShoalEncoder *encoder, const Datum *values, const bool *nulls,
			  ShoalParams *params)
{
	for (int i = 0; i < encoder->n; i++)
	{
		params->types[i] = shoal_types_wire_oid(encoder->types[i]);
		params->formats[i] = encoder->binary[i] ? 1 : 0;
		if (nulls[i])
			params->values[i] = NULL;
		else if (encoder->binary[i])
		{
			bytea	   *bytes = SendFunctionCall(&encoder->functions[i],
												 values[i]);

			params->values[i] = VARDATA(bytes);
			params->lengths[i] = VARSIZE(bytes) - VARHDRSZ;
		}
		else
		{
			params->values[i] = OutputFunctionCall(&encoder->functions[i],
												   values[i]);
			params->lengths[i] = strlen(params->values[i]);
		}
	}
}

char *
shoal_wire_text(Oid type, Datum value)
{
	TextStyle	style;
	Oid			output;
	bool		is_varlena;
	char	   *volatile result = NULL;

	getTypeOutputInfo(type, &output, &is_varlena);
	style_enter(&style, type_prints_names(type));
	PG_TRY();
	{
		result = OidOutputFunctionCall(output, value);
	}
	PG_FINALLY();
	{
		style_leave(&style);
	}
	PG_END_TRY();
	return (char *) result;
}

/* shoal.text_of(value) */
Datum
shoal_text_of(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);

	PG_RETURN_TEXT_P(cstring_to_text(shoal_wire_text(type, PG_GETARG_DATUM(0))));
}

ShoalParams *
shoal_wire_params(ShoalEncoder *encoder, const Datum *values,
				  const bool *nulls)
{
	ShoalParams *params = palloc0(sizeof(ShoalParams));
	int			n = Max(encoder->n, 1);

	params->n = encoder->n;
	params->types = palloc0(sizeof(Oid) * n);
	params->values = palloc0(sizeof(char *) * n);
	params->lengths = palloc0(sizeof(int) * n);
	params->formats = palloc0(sizeof(int) * n);

	if (encoder->any_text)
	{
		TextStyle	style;

		style_enter(&style, encoder->names);
		PG_TRY();
		{
			encode_params(encoder, values, nulls, params);
		}
		PG_FINALLY();
		{
			style_leave(&style);
		}
		PG_END_TRY();
	}
	else
		encode_params(encoder, values, nulls, params);
	return params;
}

/* ---- rows in COPY's format ---- */

static void
append_int32(StringInfo buf, uint32 value)
{
	value = pg_hton32(value);
	appendBinaryStringInfo(buf, (char *) &value, sizeof(value));
}

static void
copy_row_binary(ShoalEncoder *encoder, StringInfo buf, const Datum *values,
				const bool *nulls)
{
	uint16		n = pg_hton16((uint16) encoder->n);

	appendBinaryStringInfo(buf, (char *) &n, sizeof(n));
	for (int i = 0; i < encoder->n; i++)
	{
		bytea	   *bytes;

		if (nulls[i])
		{
			append_int32(buf, (uint32) -1);
			continue;
		}
		bytes = SendFunctionCall(&encoder->functions[i], values[i]);
		append_int32(buf, VARSIZE(bytes) - VARHDRSZ);
		appendBinaryStringInfo(buf, VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
	}
}

/* A value as COPY's text format wants it: backslashes before what ends it. */
static void
append_escaped(StringInfo buf, const char *value)
{
	const char *start = value;
	const char *p;

	/* server encodings have no ASCII bytes inside other characters */
	for (p = value; *p; p++)
	{
		char		escape;

		switch (*p)
		{
			case '\\':
				escape = '\\';
				break;
			case '\n':
				escape = 'n';
				break;
			case '\r':
				escape = 'r';
				break;
			case '\t':
				escape = 't';
				break;
			default:
				continue;
		}
		appendBinaryStringInfo(buf, start, p - start);
		appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, escape);
		start = p + 1;
	}
	appendBinaryStringInfo(buf, start, p - start);
}

static void
copy_row_text(ShoalEncoder *encoder, StringInfo buf, const Datum *values,
			  const bool *nulls)
{
	for (int i = 0; i < encoder->n; i++)
	{
		if (i > 0)
			appendStringInfoChar(buf, '\t');
		if (nulls[i])
			appendStringInfoString(buf, "\\N");
		else
			append_escaped(buf, OutputFunctionCall(&encoder->functions[i],
												   values[i]));
	}
	appendStringInfoChar(buf, '\n');
}

void
shoal_wire_copy_row(ShoalEncoder *encoder, StringInfo buf,
					const Datum *values, const bool *nulls)
{
	TextStyle	style;

	if (!encoder->any_text)
	{
		copy_row_binary(encoder, buf, values, nulls);
		return;
	}
	style_enter(&style, encoder->names);
	PG_TRY();
	{
		copy_row_text(encoder, buf, values, nulls);
	}
	PG_FINALLY();
	{
		style_leave(&style);
	}
	PG_END_TRY();
}
