/*-------------------------------------------------------------------------
 *
 * mapping.c
 *	  What a span of OpenTelemetry is in the terms of execution_spans.
 *
 * Instrumentations tell with attributes what kind of work a span is, for which
 * agent or workflow, what went in and what came out: by the conventions for
 * generative AI, OpenInference, the AI SDK, OpenLLMetry, Mastra or Langfuse.
 * One pass over the keys finds all that any of them uses.  Where several speak,
 * the most explicit is believed: our own attributes, then a kind that a
 * vocabulary names, then what a span has (a tool, a model, a database), then
 * the kind that OTLP knows.  A kind that is not in the lists says nothing.
 *
 * Spans made in SQL carry what OTLP has no place for under flowmaestro.*, and
 * come back as they were.
 *
 * Nothing here throws because of what a span holds.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "compat.h"
#include "otlp/jfield.h"
#include "otlp/mapping.h"
#include "otlp/soft_json.h"
#include "span/identity.h"
#include "span/jsonb.h"
#include "span/names.h"
#include "span/payload.h"
#include "table/owner.h"

/* what a name can stand for; the kinds of the vocabularies in the order of trust */
enum
{
	OWN_TYPE,
	OPENINFERENCE_KIND,
	GENAI_OPERATION,
	AI_OPERATION,
	TRACELOOP_KIND,
	REQUEST_TYPE,
	MASTRA_TYPE,
	LANGFUSE_TYPE,
	KINDS,
	TOOL = KINDS,				/* a span that has one of these is that kind
								 * of work */
	EMBEDDING_MODEL,
	MODEL,
	DATABASE,
	HTTP,
	RPC,
	OWN_ENTITY,
	AGENT,
	WORKFLOW,
	TRACELOOP_ENTITY,			/* agent or workflow, by the kind */
	OWN_INPUT,
	INPUT,
	OWN_OUTPUT,
	OUTPUT,
	OWN_STATUS,
	OWN_ERROR,
	OWN_SPAN_ID,
	OWN_PARENT_ID,
	ERROR_TYPE,
	ERROR_MESSAGE,
	ERROR_STACK,
	ERROR_CODE,
	FIELDS
};

/* in the order of precedence among the names of a field */
static FmsName names[] = {
	{FMS_OTLP_SPAN_TYPE, OWN_TYPE},
	{"openinference.span.kind", OPENINFERENCE_KIND},
	{"gen_ai.operation.name", GENAI_OPERATION},
	{"ai.operationId", AI_OPERATION},
	{"operation.name", AI_OPERATION},
	{"traceloop.span.kind", TRACELOOP_KIND},
	{"llm.request.type", REQUEST_TYPE},
	{"mastra.span.type", MASTRA_TYPE},
	{"langfuse.observation.type", LANGFUSE_TYPE},

	/* signs of a kind of work */
	{"gen_ai.tool.name", TOOL},
	{"gen_ai.tool.call.id", TOOL},
	{"tool.name", TOOL},
	{"ai.toolCall.name", TOOL},
	{"toolName", TOOL},

	{"embedding.model_name", EMBEDDING_MODEL},
	{"gen_ai.request.model", MODEL},
	{"gen_ai.response.model", MODEL},
	{"llm.model_name", MODEL},
	{"llm.request.model_name", MODEL},
	{"llm.response.model_name", MODEL},
	{"ai.model.id", MODEL},
	{"ai.response.model", MODEL},
	{"langfuse.observation.model.name", MODEL},

	{"db.system.name", DATABASE},
	{"db.system", DATABASE},
	{"http.request.method", HTTP},
	{"http.method", HTTP},
	{"rpc.system.name", RPC},
	{"rpc.system", RPC},

	/* whose work it is: an id is worth more than a name */
	{FMS_OTLP_ENTITY_ID, OWN_ENTITY},
	{"gen_ai.agent.id", AGENT},
	{"gen_ai.agent.name", AGENT},
	{"agent.name", AGENT},
	{"graph.node.id", AGENT},
	{"ai.telemetry.functionId", AGENT},
	{"entityId", AGENT},
	{"agentId", AGENT},
	{"gen_ai.workflow.name", WORKFLOW},
	{"traceloop.workflow.name", WORKFLOW},
	{"workflowId", WORKFLOW},
	{"traceloop.entity.name", TRACELOOP_ENTITY},

	/*
	 * of a tool's span the arguments, not the messages of the model that
	 * called it
	 */
	{FMS_OTLP_INPUT, OWN_INPUT},
	{"gen_ai.tool.call.arguments", INPUT},
	{"gen_ai.input.messages", INPUT},
	{"input.value", INPUT},
	{"ai.toolCall.args", INPUT},
	{"ai.prompt.messages", INPUT},
	{"ai.prompt", INPUT},
	{"ai.value", INPUT},
	{"ai.values", INPUT},
	{"traceloop.entity.input", INPUT},
	{"mastra.agent_run.input", INPUT},
	{"mastra.workflow_run.input", INPUT},
	{"mastra.workflow_step.input", INPUT},
	{"mastra.model_step.input", INPUT},
	{"mastra.processor_run.input", INPUT},
	{"langfuse.observation.input", INPUT},
	{"gen_ai.retrieval.query.text", INPUT},
	{"gen_ai.prompt", INPUT},
	{"input", INPUT},

	/* an object is the answer in full, its text only how the model wrote it */
	{FMS_OTLP_OUTPUT, OWN_OUTPUT},
	{"gen_ai.tool.call.result", OUTPUT},
	{"gen_ai.output.messages", OUTPUT},
	{"output.value", OUTPUT},
	{"ai.toolCall.result", OUTPUT},
	{"ai.response.object", OUTPUT},
	{"ai.response.text", OUTPUT},
	{"ai.response.toolCalls", OUTPUT},
	{"traceloop.entity.output", OUTPUT},
	{"mastra.agent_run.output", OUTPUT},
	{"mastra.workflow_run.output", OUTPUT},
	{"mastra.workflow_step.output", OUTPUT},
	{"mastra.model_step.output", OUTPUT},
	{"mastra.processor_run.output", OUTPUT},
	{"langfuse.observation.output", OUTPUT},
	{"gen_ai.retrieval.documents", OUTPUT},
	{"gen_ai.completion", OUTPUT},
	{"output", OUTPUT},

	/* the outcome; error.type is the stable one of the names for it */
	{FMS_OTLP_STATUS, OWN_STATUS},
	{FMS_OTLP_ERROR_OBJECT, OWN_ERROR},
	{FMS_OTLP_SPAN_ID, OWN_SPAN_ID},
	{FMS_OTLP_PARENT_SPAN_ID, OWN_PARENT_ID},
	{"error.type", ERROR_TYPE},
	{"exception.type", ERROR_TYPE},
	{"error.message", ERROR_MESSAGE},
	{"exception.message", ERROR_MESSAGE},
	{"exception.stacktrace", ERROR_STACK},
	{"rpc.response.status_code", ERROR_CODE},
	{"rpc.grpc.status_code", ERROR_CODE},
	{"db.response.status_code", ERROR_CODE},
	{"http.response.status_code", ERROR_CODE},
	{"http.status_code", ERROR_CODE},
};

static FmsNames table = {names, lengthof(names)};

StaticAssertDecl(lengthof(names) < FMS_NO_NAME, "ranks are bytes");

#define WORKFLOW_RUN "workflow_run"
#define AGENT_RUN "agent_run"
#define NODE_EXECUTION "node_execution"
#define MODEL_GENERATION "model_generation"
#define TOOL_EXECUTION "tool_execution"
#define MEMORY_OPERATION "memory_operation"
#define VECTOR_SEARCH "vector_search"
#define EMBEDDING_GENERATION "embedding_generation"
#define DATABASE_QUERY "database_query"
#define HTTP_REQUEST "http_request"
#define EXTERNAL_API "external_api"
#define PROCESSOR_RUN "processor_run"
#define VALIDATION "validation"
#define AGENT_ITERATION "agent_iteration"

/* what the kinds of the vocabularies are, in the order of trust; case does not matter */
static const struct
{
	uint8		field;
	const char *kind;
	const char *span_type;
}			kinds[] = {
	/* OpenInference: a chain is any step that glues others together */
	{OPENINFERENCE_KIND, "LLM", MODEL_GENERATION},
	{OPENINFERENCE_KIND, "EMBEDDING", EMBEDDING_GENERATION},
	{OPENINFERENCE_KIND, "CHAIN", NODE_EXECUTION},
	{OPENINFERENCE_KIND, "RETRIEVER", VECTOR_SEARCH},
	{OPENINFERENCE_KIND, "RERANKER", PROCESSOR_RUN},
	{OPENINFERENCE_KIND, "TOOL", TOOL_EXECUTION},
	{OPENINFERENCE_KIND, "AGENT", AGENT_RUN},
	{OPENINFERENCE_KIND, "GUARDRAIL", VALIDATION},
	{OPENINFERENCE_KIND, "EVALUATOR", VALIDATION},
	{OPENINFERENCE_KIND, "PROMPT", PROCESSOR_RUN},

	/*
	 * the conventions for generative AI; to make an agent is a call of its
	 * provider
	 */
	{GENAI_OPERATION, "chat", MODEL_GENERATION},
	{GENAI_OPERATION, "generate_content", MODEL_GENERATION},
	{GENAI_OPERATION, "text_completion", MODEL_GENERATION},
	{GENAI_OPERATION, "embeddings", EMBEDDING_GENERATION},
	{GENAI_OPERATION, "retrieval", VECTOR_SEARCH},
	{GENAI_OPERATION, "create_agent", EXTERNAL_API},
	{GENAI_OPERATION, "invoke_agent", AGENT_RUN},
	{GENAI_OPERATION, "invoke_workflow", WORKFLOW_RUN},
	{GENAI_OPERATION, "execute_tool", TOOL_EXECUTION},
	{GENAI_OPERATION, "plan", AGENT_ITERATION},
	{GENAI_OPERATION, "agent_step", AGENT_ITERATION},	/* the AI SDK's own */
	{GENAI_OPERATION, "search_memory", MEMORY_OPERATION},
	{GENAI_OPERATION, "create_memory", MEMORY_OPERATION},
	{GENAI_OPERATION, "update_memory", MEMORY_OPERATION},
	{GENAI_OPERATION, "upsert_memory", MEMORY_OPERATION},
	{GENAI_OPERATION, "delete_memory", MEMORY_OPERATION},
	{GENAI_OPERATION, "create_memory_store", MEMORY_OPERATION},
	{GENAI_OPERATION, "delete_memory_store", MEMORY_OPERATION},

	/*
	 * the AI SDK: the outer span of a generation is a loop of model and tool
	 * calls
	 */
	{AI_OPERATION, "ai.generateText", AGENT_RUN},
	{AI_OPERATION, "ai.streamText", AGENT_RUN},
	{AI_OPERATION, "ai.generateObject", AGENT_RUN},
	{AI_OPERATION, "ai.streamObject", AGENT_RUN},
	{AI_OPERATION, "ai.generateText.doGenerate", MODEL_GENERATION},
	{AI_OPERATION, "ai.streamText.doStream", MODEL_GENERATION},
	{AI_OPERATION, "ai.generateObject.doGenerate", MODEL_GENERATION},
	{AI_OPERATION, "ai.streamObject.doStream", MODEL_GENERATION},
	{AI_OPERATION, "ai.embed", EMBEDDING_GENERATION},
	{AI_OPERATION, "ai.embed.doEmbed", EMBEDDING_GENERATION},
	{AI_OPERATION, "ai.embedMany", EMBEDDING_GENERATION},
	{AI_OPERATION, "ai.embedMany.doEmbed", EMBEDDING_GENERATION},
	{AI_OPERATION, "ai.rerank", PROCESSOR_RUN},
	{AI_OPERATION, "ai.rerank.doRerank", PROCESSOR_RUN},
	{AI_OPERATION, "ai.toolCall", TOOL_EXECUTION},

	/* OpenLLMetry, which names requests of models apart */
	{TRACELOOP_KIND, "workflow", WORKFLOW_RUN},
	{TRACELOOP_KIND, "task", NODE_EXECUTION},
	{TRACELOOP_KIND, "agent", AGENT_RUN},
	{TRACELOOP_KIND, "tool", TOOL_EXECUTION},
	{REQUEST_TYPE, "chat", MODEL_GENERATION},
	{REQUEST_TYPE, "completion", MODEL_GENERATION},
	{REQUEST_TYPE, "embedding", EMBEDDING_GENERATION},
	{REQUEST_TYPE, "rerank", PROCESSOR_RUN},

	/* Mastra: a step holds the inference, which is the call of the model */
	{MASTRA_TYPE, "agent_run", AGENT_RUN},
	{MASTRA_TYPE, "workflow_run", WORKFLOW_RUN},
	{MASTRA_TYPE, "workflow_step", NODE_EXECUTION},
	{MASTRA_TYPE, "workflow_conditional", NODE_EXECUTION},
	{MASTRA_TYPE, "workflow_conditional_eval", NODE_EXECUTION},
	{MASTRA_TYPE, "workflow_parallel", NODE_EXECUTION},
	{MASTRA_TYPE, "workflow_loop", NODE_EXECUTION},
	{MASTRA_TYPE, "workflow_sleep", NODE_EXECUTION},
	{MASTRA_TYPE, "workflow_wait_event", NODE_EXECUTION},
	{MASTRA_TYPE, "model_generation", MODEL_GENERATION},
	{MASTRA_TYPE, "model_inference", MODEL_GENERATION},
	{MASTRA_TYPE, "model_step", AGENT_ITERATION},
	{MASTRA_TYPE, "model_chunk", PROCESSOR_RUN},
	{MASTRA_TYPE, "tool_call", TOOL_EXECUTION},
	{MASTRA_TYPE, "mcp_tool_call", TOOL_EXECUTION},
	{MASTRA_TYPE, "client_tool_call", TOOL_EXECUTION},
	{MASTRA_TYPE, "processor_run", PROCESSOR_RUN},
	{MASTRA_TYPE, "memory_operation", MEMORY_OPERATION},
	{MASTRA_TYPE, "rag_embedding", EMBEDDING_GENERATION},
	{MASTRA_TYPE, "rag_vector_operation", VECTOR_SEARCH},
	{MASTRA_TYPE, "scorer_run", VALIDATION},
	{MASTRA_TYPE, "scorer_step", VALIDATION},

	/* Langfuse: its "span" and "event" say nothing */
	{LANGFUSE_TYPE, "generation", MODEL_GENERATION},
	{LANGFUSE_TYPE, "embedding", EMBEDDING_GENERATION},
	{LANGFUSE_TYPE, "agent", AGENT_RUN},
	{LANGFUSE_TYPE, "tool", TOOL_EXECUTION},
	{LANGFUSE_TYPE, "chain", NODE_EXECUTION},
	{LANGFUSE_TYPE, "retriever", VECTOR_SEARCH},
	{LANGFUSE_TYPE, "guardrail", VALIDATION},
	{LANGFUSE_TYPE, "evaluator", VALIDATION},
};

/* what a span is by what it has, the first counts */
static const struct
{
	uint8		field;
	const char *span_type;
}			signs[] = {
	{TOOL, TOOL_EXECUTION},
	{EMBEDDING_MODEL, EMBEDDING_GENERATION},
	{MODEL, MODEL_GENERATION},
	{DATABASE, DATABASE_QUERY},
	{HTTP, HTTP_REQUEST},
	{RPC, EXTERNAL_API},
};

/* what the pass over the attributes found */
typedef struct Findings
{
	JsonbValue	value[FIELDS];	/* of the name that wins */
	uint8		rank[FIELDS];	/* of that name, or FMS_NO_NAME */
} Findings;

/* Look at every key of an object; values of null are not there. */
static void
scan_attributes(Findings *found, const Jsonb *attributes)
{
	JsonbContainer *object = unconstify(JsonbContainer *, &attributes->root);
	int			keys = JsonContainerSize(object);
	char	   *data = (char *) &object->children[keys * 2];
	uint32		offset = 0;

	for (int i = 0; i < keys; i++)
	{
		const char *key = data + offset;
		const FmsName *name;
		JsonbValue	value;

		JBE_ADVANCE_OFFSET(offset, object->children[i]);
		name = fms_names_find(&table, "", 0, key, data + offset - key);
		if (name == NULL || name->rank >= found->rank[name->field])
			continue;
		/* looks the key up once more: cheap for the few that are known */
		if (getKeyJsonValueFromContainer(object, key, data + offset - key, &value) == NULL ||
			value.type == jbvNull)
			continue;
		found->value[name->field] = value;
		found->rank[name->field] = name->rank;
	}
}

/* Look at attributes, which can be NULL or no object. */
static void
scan_all(Findings *found, const Jsonb *attributes)
{
	memset(found->rank, FMS_NO_NAME, sizeof(found->rank));
	fms_names_sort(&table);
	if (attributes != NULL && JB_ROOT_IS_OBJECT(attributes))
		scan_attributes(found, attributes);
}

/* Whether a field was found. */
static bool
has(const Findings *found, int field)
{
	return found->rank[field] != FMS_NO_NAME;
}

/* The text of a field, cut to FMS_MAX_TEXT bytes; false if it has none. */
static bool
get_text(const Findings *found, int field, FmsPart *text)
{
	const JsonbValue *value = &found->value[field];

	if (!has(found, field) || value->type != jbvString || value->val.string.len == 0)
		return false;
	text->data = value->val.string.val;
	text->length = value->val.string.len <= FMS_MAX_TEXT ? value->val.string.len :
		pg_mbcliplen(text->data, value->val.string.len, FMS_MAX_TEXT);
	return true;
}

/* Whether a text is a constant, in any case. */
static bool
text_is(const FmsPart *text, const char *constant)
{
	return text->length == strlen(constant) &&
		pg_strncasecmp(text->data, constant, text->length) == 0;
}

/* Point a part at a constant. */
static void
set_constant(FmsPart *part, const char *constant)
{
	part->data = constant;
	part->length = strlen(constant);
}

/* The kind of work that a vocabulary names; false if none does, or none that is known. */
static bool
map_kind(const Findings *found, FmsPart *span_type)
{
	FmsPart		kind = {NULL, 0};
	int			field = KINDS;

	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (!has(found, kinds[i].field))
			continue;
		if (kinds[i].field != field)
		{
			field = kinds[i].field;
			if (!get_text(found, field, &kind))
				kind.length = 0;
			/* an operation can be followed by the name of the function */
			for (int j = 0; field == AI_OPERATION && j < kind.length; j++)
			{
				if (kind.data[j] == ' ')
					kind.length = j;
			}
		}
		if (text_is(&kind, kinds[i].kind))
		{
			set_constant(span_type, kinds[i].span_type);
			return true;
		}
	}
	return false;
}

/* Find the type of a span. */
static void
map_type(const Findings *found, int kind, FmsPart *span_type)
{
	if (get_text(found, OWN_TYPE, span_type) || map_kind(found, span_type))
		return;
	for (int i = 0; i < lengthof(signs); i++)
	{
		if (has(found, signs[i].field))
		{
			set_constant(span_type, signs[i].span_type);
			return;
		}
	}
	set_constant(span_type, kind == FMS_OTLP_CLIENT || kind == FMS_OTLP_PRODUCER ?
				 EXTERNAL_API : NODE_EXECUTION);
}

/* Find the workflow of a workflow's run, or the agent of other work, or its workflow. */
static void
map_entity(const Findings *found, const FmsPart *span_type, FmsPart *entity_id)
{
	bool		is_workflow = text_is(span_type, WORKFLOW_RUN);

	if (has(found, OWN_ENTITY) && found->value[OWN_ENTITY].type == jbvString)
	{
		/* an empty one is a value, too */
		if (!get_text(found, OWN_ENTITY, entity_id))
			set_constant(entity_id, "");
		return;
	}
	if (is_workflow && get_text(found, WORKFLOW, entity_id))
		return;
	if ((is_workflow || text_is(span_type, AGENT_RUN)) && has(found, TRACELOOP_KIND) &&
		get_text(found, TRACELOOP_ENTITY, entity_id))
		return;
	if (!get_text(found, AGENT, entity_id))
		(void) get_text(found, WORKFLOW, entity_id);
}

/* A value as jsonb; a string that is JSON in a text becomes what it says. */
static Jsonb *
as_jsonb(const JsonbValue *value, bool scalars)
{
	JsonbValue	copy = *value;
	Jsonb	   *parsed;

	if (value->type == jbvString)
	{
		parsed = fms_soft_json(value->val.string.val, value->val.string.len, scalars);
		if (parsed != NULL)
			return parsed;
	}
	return JsonbValueToJsonb(&copy);
}

/*
 * What went in or came out: ours can be any JSON in a text, since that is how
 * it is exported; of others only an object or an array is taken for JSON.
 */
static Jsonb *
map_payload(const Findings *found, int own, int others)
{
	if (has(found, own))
		return as_jsonb(&found->value[own], true);
	return has(found, others) ? as_jsonb(&found->value[others], false) : NULL;
}

/*
 * The outcome: our own, else failed for an error and completed for all else.  A
 * span that still runs says so by having no end, which is not looked at here.
 */
static FmsStatus
map_status(const Findings *found, int code)
{
	FmsPart		name;
	bool		told = get_text(found, OWN_STATUS, &name);

	for (int s = FMS_STATUS_COMPLETED; told && s <= FMS_STATUS_CANCELLED; s++)
	{
		if (text_is(&name, fms_table_status(s)))
			return s;
	}
	return code == FMS_OTLP_ERROR ? FMS_STATUS_FAILED : FMS_STATUS_COMPLETED;
}

/* Push a member of an error that was found in the span or its exception, if it is. */
static bool
push_found(FmsJsonbState *state, const char *name, Findings *span, Findings *exception,
		   int field)
{
	Findings   *from = has(span, field) ? span : exception;

	if (!has(from, field) || from->value[field].type == jbvBinary)
		return false;
	fms_jsonb_pair(state, name, &from->value[field]);
	return true;
}

/*
 * The error of a span that failed: our own, else a message, a type, a stack and
 * a code from the status, the attributes and the event of an exception.  A span
 * of ours can have failed without one.
 */
static Jsonb *
map_error(const FmsOtlpSource *source, Findings *found)
{
	FmsJsonbState state = {0};
	Findings	exception;
	bool		told = false;

	if (has(found, OWN_ERROR))
		return fms_payload_error_from_jsonb(as_jsonb(&found->value[OWN_ERROR], true));
	scan_all(&exception, source->exception);
	fms_jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	if (source->message.data != NULL && source->message.length > 0)
	{
		fms_jsonb_bytes(&state, "message", source->message.data, source->message.length);
		told = true;
	}
	else
		told |= push_found(&state, "message", &exception, found, ERROR_MESSAGE);
	told |= push_found(&state, "type", found, &exception, ERROR_TYPE);
	told |= push_found(&state, "stack", &exception, found, ERROR_STACK);
	told |= push_found(&state, "code", found, &exception, ERROR_CODE);
	if (!told && has(found, OWN_STATUS))
		return NULL;
	return fms_payload_error_from_jsonb(fms_jsonb_end(&state, WJB_END_OBJECT));
}

/* An id of ours; false if there is none, or none that a span can have. */
static bool
get_id(const Findings *found, int field, pg_uuid_t *id)
{
	const JsonbValue *value = &found->value[field];
	FmsPart		text;

	if (!has(found, field) || value->type != jbvString)
		return false;
	text.data = value->val.string.val;
	text.length = value->val.string.len;
	return fms_otlp_parse_uuid(&text, id) && !fms_identity_is_nil(id);
}

/* Find out what a span that has such attributes needs not be told otherwise. */
void
fms_otlp_tell(const Jsonb *attributes, int kind, FmsOtlpTold *told)
{
	Findings	found;

	memset(told, 0, sizeof(*told));
	scan_all(&found, attributes);
	map_type(&found, kind, &told->span_type);
	map_entity(&found, &told->span_type, &told->entity_id);
	told->input = has(&found, OWN_INPUT) || has(&found, INPUT);
	told->output = has(&found, OWN_OUTPUT) || has(&found, OUTPUT);
	told->status = has(&found, OWN_STATUS);
}

/*
 * Map a span.  What is made is in the current memory context.  Throws on a
 * query cancel, or out of memory, only.
 */
void
fms_otlp_map(const FmsOtlpSource *source, FmsOtlpMapped *mapped)
{
	Findings	found;

	memset(mapped, 0, sizeof(*mapped));
	scan_all(&found, source->attributes);
	map_type(&found, source->kind, &mapped->span_type);
	map_entity(&found, &mapped->span_type, &mapped->entity_id);
	mapped->input = map_payload(&found, OWN_INPUT, INPUT);
	mapped->output = map_payload(&found, OWN_OUTPUT, OUTPUT);
	mapped->status = map_status(&found, source->code);
	if (mapped->status == FMS_STATUS_FAILED || has(&found, OWN_ERROR))
		mapped->error = map_error(source, &found);
	mapped->has_span_id = get_id(&found, OWN_SPAN_ID, &mapped->span_id);
	mapped->has_parent = get_id(&found, OWN_PARENT_ID, &mapped->parent_span_id);
}

PG_FUNCTION_INFO_V1(fms_otlp_map_attributes);

/* An argument as jsonb, or NULL. */
static Jsonb *
jsonb_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);
}

/* Set a column of a row; without a value it stays NULL. */
static void
set_column(Datum *values, bool *nulls, int column, const void *value)
{
	values[column] = PointerGetDatum(value);
	nulls[column] = value == NULL;
}

/*
 * map_otlp_attributes(attributes jsonb, kind int, status_code int, status_message text,
 * exception jsonb) returns record: the mapping, to look at and to test.
 */
Datum
fms_otlp_map_attributes(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	FmsOtlpSource source = {0};
	FmsOtlpMapped mapped;
	Datum		values[6];
	bool		nulls[6];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	source.attributes = jsonb_argument(fcinfo, 0);
	source.kind = PG_ARGISNULL(1) ? FMS_OTLP_UNSPECIFIED : PG_GETARG_INT32(1);
	source.code = PG_ARGISNULL(2) ? FMS_OTLP_UNSET : PG_GETARG_INT32(2);
	if (!PG_ARGISNULL(3))
	{
		text	   *message = PG_GETARG_TEXT_PP(3);

		source.message = FMS_TEXT_PART(message);
	}
	source.exception = jsonb_argument(fcinfo, 4);
	fms_otlp_map(&source, &mapped);
	set_column(values, nulls, 0, cstring_to_text_with_len(mapped.span_type.data,
														  mapped.span_type.length));
	set_column(values, nulls, 1, mapped.entity_id.data == NULL ? NULL :
			   cstring_to_text_with_len(mapped.entity_id.data, mapped.entity_id.length));
	set_column(values, nulls, 2, mapped.input);
	set_column(values, nulls, 3, mapped.output);
	set_column(values, nulls, 4, cstring_to_text(fms_table_status(mapped.status)));
	set_column(values, nulls, 5, mapped.error);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
