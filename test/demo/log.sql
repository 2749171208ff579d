SELECT l ->> 'level' AS level, l ->> 'msg' AS msg, l ->> 'userId' AS "userId", l ->> 'sqlstate' AS sqlstate,
       coalesce(l ->> 'statement', l - '{level,time,msg,traceId,requestId,userId}'::text[] #>> '{}') AS "statement, or fields"
FROM (SELECT line::jsonb AS l FROM regexp_split_to_table(pg_read_file(:'log'), '\n') AS line WHERE line LIKE '{%') AS lines
WHERE l ->> 'traceId' = :'trace';
