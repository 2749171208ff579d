-- Room log: lines of an application in the server's log.

CREATE FUNCTION @extschema@.log(
    level text,
    message text,
    fields jsonb DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'fms_log_named'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.log(text, text, jsonb) IS
    'write a line to the server log, of level trace, debug, info, warn, error or fatal, with fields of its own (one with a name of the server''s lines becomes a member of "fields"); see flowmaestro.log_format and log_level';

CREATE FUNCTION @extschema@.log(
    level int4,
    message text,
    fields jsonb DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'fms_log_numbered'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION @extschema@.log(int4, text, jsonb) IS
    'write a line to the server log, of a level from 10 (trace) to 60 (fatal), with fields of its own';
