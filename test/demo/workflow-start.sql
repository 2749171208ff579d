-- The workflow's worker: a run of the workflow, and below it a run of the agent,
-- which another session will work on and end.
SELECT span_id AS workflow
FROM flowmaestro.create_span('workflow: literature-digest', 'workflow_run', 'wf-digest',
    attributes => '{"userId": "user-123", "trigger": "schedule"}',
    input => '{"topic": "quantum error correction", "papers": 10}') \gset
SELECT span_id AS agent
FROM flowmaestro.create_child_span(:'workflow', 'agent run: researcher', 'agent_run', 'agent-researcher',
    attributes => '{"userId": "user-123"}',
    input => '{"message": "Find and rank ten papers on quantum error correction."}') \gset
\echo workflow_run and agent_run are open
\echo result :agent
