SET client_min_messages = warning;
DROP EXTENSION IF EXISTS flowmaestro_spans;
CREATE EXTENSION flowmaestro_spans;
RESET client_min_messages;
\set SHOW_CONTEXT never
\pset format unaligned

-- every kind that a vocabulary names
CREATE TABLE kinds (n int GENERATED ALWAYS AS IDENTITY, name text, vals text[]);
INSERT INTO kinds (name, vals) VALUES
('flowmaestro.span_type', '{tool_validation,anything}'),
('openinference.span.kind', '{LLM,EMBEDDING,CHAIN,RETRIEVER,RERANKER,TOOL,AGENT,GUARDRAIL,EVALUATOR,PROMPT,llm,UNKNOWN}'),
('gen_ai.operation.name', '{chat,generate_content,text_completion,embeddings,retrieval,create_agent,invoke_agent,invoke_workflow,execute_tool,plan,agent_step,search_memory,create_memory,update_memory,upsert_memory,delete_memory,create_memory_store,delete_memory_store,custom}'),
('ai.operationId', '{ai.generateText,ai.generateText.doGenerate,ai.streamText,ai.streamText.doStream,ai.generateObject,ai.generateObject.doGenerate,ai.streamObject,ai.streamObject.doStream,ai.embed,ai.embed.doEmbed,ai.embedMany,ai.embedMany.doEmbed,ai.rerank,ai.rerank.doRerank,ai.toolCall,ai.other}'),
('operation.name', '{ai.streamText.doStream planner,ai.toolCall,GET /users}'),
('traceloop.span.kind', '{workflow,task,agent,tool,unknown}'),
('llm.request.type', '{chat,completion,embedding,rerank,unknown}'),
('mastra.span.type', '{agent_run,workflow_run,workflow_step,workflow_conditional,workflow_conditional_eval,workflow_parallel,workflow_loop,workflow_sleep,workflow_wait_event,model_generation,model_inference,model_step,model_chunk,tool_call,mcp_tool_call,client_tool_call,processor_run,memory_operation,rag_embedding,rag_vector_operation,scorer_run,scorer_step,generic}'),
('langfuse.observation.type', '{generation,embedding,agent,tool,chain,retriever,guardrail,evaluator,span}');
SELECT k.name, v.value, m.span_type
FROM kinds AS k, unnest(k.vals) WITH ORDINALITY AS v (value, i), flowmaestro.map_otlp_attributes(jsonb_build_object(k.name, v.value)) AS m
ORDER BY k.n, v.i;

-- what a span is by what it has
SELECT s.name, m.span_type
FROM unnest('{gen_ai.tool.name,gen_ai.tool.call.id,tool.name,ai.toolCall.name,toolName,embedding.model_name,gen_ai.request.model,gen_ai.response.model,llm.model_name,ai.model.id,db.system.name,db.system,http.request.method,http.method,rpc.system,user.id}'::text[]) WITH ORDINALITY AS s (name, i),
    flowmaestro.map_otlp_attributes(jsonb_build_object(s.name, 'x')) AS m
ORDER BY s.i;
-- and by OTLP's kind alone
SELECT k AS kind, m.span_type FROM generate_series(-1, 6) AS k, flowmaestro.map_otlp_attributes('{}', k) AS m ORDER BY k;

-- each piece of evidence yields to the more explicit: take the first away, again and again
CREATE TABLE evidence (n int, name text, value text);
INSERT INTO evidence VALUES (1, 'flowmaestro.span_type', 'own'), (2, 'openinference.span.kind', 'RERANKER'), (3, 'gen_ai.operation.name', 'plan'),
    (4, 'ai.operationId', 'ai.embed'), (5, 'traceloop.span.kind', 'workflow'), (6, 'llm.request.type', 'chat'), (7, 'mastra.span.type', 'workflow_step'),
    (8, 'langfuse.observation.type', 'guardrail'), (9, 'tool.name', 't'), (10, 'embedding.model_name', 'm'), (11, 'gen_ai.request.model', 'm'),
    (12, 'db.system', 'postgresql'), (13, 'http.method', 'GET'), (14, 'rpc.system', 'grpc'), (15, 'other', 'x');
SELECT f.name AS strongest, m.span_type
FROM evidence AS f, flowmaestro.map_otlp_attributes((SELECT jsonb_object_agg(e.name, e.value) FROM evidence AS e WHERE e.n >= f.n), 1) AS m
ORDER BY f.n;

-- agents and workflows
SELECT a.attributes, m.span_type, m.entity_id
FROM (VALUES
    (1, '{"flowmaestro.entity_id": "own", "gen_ai.agent.id": "id"}'::jsonb),
    (2, '{"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.id": "id", "gen_ai.agent.name": "name", "gen_ai.workflow.name": "w"}'),
    (3, '{"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "name"}'),
    (4, '{"gen_ai.operation.name": "invoke_workflow", "gen_ai.agent.name": "name", "gen_ai.workflow.name": "w"}'),
    (5, '{"gen_ai.operation.name": "chat", "gen_ai.agent.name": "name", "gen_ai.workflow.name": "w"}'),
    (6, '{"gen_ai.operation.name": "chat", "gen_ai.workflow.name": "w"}'),
    (7, '{"openinference.span.kind": "AGENT", "agent.name": "name", "graph.node.id": "node"}'),
    (8, '{"openinference.span.kind": "CHAIN", "graph.node.id": "node"}'),
    (9, '{"ai.operationId": "ai.generateText", "ai.telemetry.functionId": "planner"}'),
    (10, '{"traceloop.span.kind": "agent", "traceloop.entity.name": "a", "traceloop.workflow.name": "w"}'),
    (11, '{"traceloop.span.kind": "workflow", "traceloop.entity.name": "w"}'),
    (12, '{"traceloop.span.kind": "tool", "traceloop.entity.name": "t", "traceloop.workflow.name": "w"}'),
    (13, '{"mastra.span.type": "agent_run", "entityId": "a"}'),
    (14, '{"agentId": "a", "workflowId": "w"}'),
    (15, '{"gen_ai.agent.name": ""}'),
    (16, '{"gen_ai.agent.id": 5, "gen_ai.agent.name": null}')
) AS a (n, attributes), flowmaestro.map_otlp_attributes(a.attributes) AS m
ORDER BY a.n;
-- long texts are cut at a character
SELECT length(m.span_type), length(m.entity_id), octet_length(m.entity_id)
FROM flowmaestro.map_otlp_attributes(jsonb_build_object('flowmaestro.span_type', repeat('t', 5000), 'gen_ai.agent.id', repeat('日', 5000))) AS m;

-- what went in and what came out
SELECT a.name, m.input, m.output
FROM unnest('{gen_ai.input.messages,gen_ai.output.messages,input.value,output.value,gen_ai.tool.call.arguments,gen_ai.tool.call.result,ai.prompt,ai.prompt.messages,ai.value,ai.values,ai.toolCall.args,ai.toolCall.result,ai.response.text,ai.response.object,ai.response.toolCalls,traceloop.entity.input,traceloop.entity.output,mastra.agent_run.input,mastra.agent_run.output,langfuse.observation.input,langfuse.observation.output,gen_ai.retrieval.query.text,gen_ai.retrieval.documents,gen_ai.prompt,gen_ai.completion,flowmaestro.input,flowmaestro.output,input,output,gen_ai.system_instructions}'::text[]) WITH ORDINALITY AS a (name, i),
    flowmaestro.map_otlp_attributes(jsonb_build_object(a.name, 'x')) AS m
ORDER BY a.i;
-- JSON in a text is read, if it is an object or an array; of our own any value
SELECT a.value, m.input, o.input AS own
FROM unnest(ARRAY['{"a": [1, {"b": null}], "a": 2}', ' [true,false] ', '"text"', '5', 'null', 'plain', '', '{"a": ', '[1, 2', '{a: 1}', '[1] 2', '"\u00e9\ud83d\ude00"',
        '["\u0000"]', '["\ud800"]', '[1e400]', '[1e308, 1e-308]', '[1e-999999999999999999999]', '[NaN]', '-', '{', '{}', '[]', E'[\t1]']) WITH ORDINALITY AS a (value, i),
    flowmaestro.map_otlp_attributes(jsonb_build_object('input.value', a.value)) AS m,
    flowmaestro.map_otlp_attributes(jsonb_build_object('flowmaestro.input', a.value)) AS o
ORDER BY a.i;
-- values that are no text stay what they are
SELECT v.value, m.input FROM unnest('{5,true,"[1, \"[2]\"]","{\"a\": 1}"}'::jsonb[]) WITH ORDINALITY AS v (value, i),
    flowmaestro.map_otlp_attributes(jsonb_build_object('input.value', v.value)) AS m ORDER BY v.i;
-- depth and length have limits; above them it is a text
SELECT d AS depth, jsonb_typeof(m.input)
FROM unnest('{99,100,101,100000}'::int[]) AS d, flowmaestro.map_otlp_attributes(jsonb_build_object('input.value', repeat('[', d) || repeat(']', d))) AS m;
SELECT d AS depth, jsonb_typeof(m.input)
FROM unnest('{50,51}'::int[]) AS d, flowmaestro.map_otlp_attributes(jsonb_build_object('input.value', repeat('{"a":[', d) || repeat(']}', d))) AS m;
SELECT n, jsonb_typeof(m.input)
FROM unnest('{1000000,2000000}'::int[]) AS n, flowmaestro.map_otlp_attributes(jsonb_build_object('input.value', '["' || repeat('x', n) || '"]')) AS m;
SELECT length, jsonb_typeof(m.input)
FROM unnest('{16000,16001}'::int[]) AS length, flowmaestro.map_otlp_attributes(jsonb_build_object('input.value', '[' || repeat('1', length) || ']')) AS m;
-- brackets and quotes in a string are no brackets
SELECT m.input FROM flowmaestro.map_otlp_attributes(jsonb_build_object('input.value', '["' || repeat('[', 150) || '\"]"]')) AS m;

-- outcome
SELECT c AS code, s AS own, m.status, m.error
FROM generate_series(-1, 3) AS c, unnest('{NULL,started,completed,failed,cancelled,other}'::text[]) WITH ORDINALITY AS t (s, i),
    flowmaestro.map_otlp_attributes(CASE WHEN s IS NULL THEN '{}' ELSE jsonb_build_object('flowmaestro.status', s) END, 1, c) AS m
ORDER BY c, i;
SELECT m.error
FROM (VALUES
    (1, '{}'::jsonb, NULL, NULL::jsonb),
    (2, '{}', 'rate limited', NULL),
    (3, '{"error.type": "429"}', 'rate limited', NULL),
    (4, '{"error.type": "timeout"}', NULL, '{"exception.type": "TimeoutError", "exception.message": "no answer in 30 s", "exception.stacktrace": "at call (a.ts:1)"}'),
    (5, '{}', '', '{"exception.type": "TimeoutError", "exception.message": "no answer in 30 s"}'),
    (6, '{}', 'from the status', '{"exception.message": "from the event", "exception.stacktrace": "stack"}'),
    (7, '{"exception.type": "E", "exception.message": "in attributes", "exception.stacktrace": "s"}', NULL, NULL),
    (8, '{"http.response.status_code": 503}', 'unavailable', NULL),
    (9, '{"db.response.status_code": "40001", "error.message": "serialization"}', NULL, NULL),
    (10, '{"error.type": {"a": 1}}', 'odd', '[1]'),
    (11, '{"flowmaestro.error": "{\"message\": \"m\", \"type\": \"T\", \"more\": [1]}"}', 'other', '{"exception.type": "X"}'),
    (12, '{"flowmaestro.error": "no JSON"}', NULL, NULL),
    (13, '{"flowmaestro.error": {"name": "N"}}', NULL, NULL),
    (14, '{"flowmaestro.status": "failed"}', NULL, NULL),
    (15, '{"flowmaestro.status": "failed", "error.type": "T"}', 'said', NULL)
) AS e (n, attributes, message, exception), flowmaestro.map_otlp_attributes(e.attributes, 1, 2, e.message, e.exception) AS m
ORDER BY e.n;

-- what is no object has nothing to tell
SELECT m.* FROM unnest('{NULL,[],5,"\"x\""}'::jsonb[]) AS a, flowmaestro.map_otlp_attributes(a) AS m;
DROP TABLE kinds, evidence;
