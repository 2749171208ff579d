SELECT flowmaestro.end_span(:'workflow', output => '{"digest": "sent"}',
    attributes => jsonb_build_object('pid', pg_backend_pid())) \g /dev/null
\echo workflow_run ended
