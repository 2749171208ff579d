-- Logical replication: which tables tell of spans, and which each node fills
-- itself. Published are the spans with their resources and scopes. Everything
-- else is derived from them (ledger, sums, directory of ids), is about the node
-- (progress, rejected spans, outbox) or is set up by hand on each (prices,
-- budgets, schemas, tools): it would meet the subscriber's own rows there.

-- Rows arrive by way of the parent, which has no key of its own: with the identity
-- of a whole row it names all columns, and the subscriber finds a row by the key of
-- its partition.
ALTER TABLE @extschema@.execution_spans REPLICA IDENTITY FULL;

CREATE FUNCTION @extschema@.create_publication(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('CREATE PUBLICATION %I FOR TABLE flowmaestro.execution_spans, flowmaestro.otlp_resources, flowmaestro.otlp_scopes
        WITH (publish_via_partition_root = true)', name);
END
$$;
COMMENT ON FUNCTION @extschema@.create_publication IS
    'make a publication of the spans, their resources and scopes, for subscribers that may record themselves; for the tables'' owner';

-- Two nodes make the same row of the same resource or scope, for its id is a hash
-- of it. Replication would stop at the second one.
CREATE FUNCTION @extschema@.skip_known_source()
RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known bool;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE t.id = $1)', TG_RELID::regclass) INTO known USING NEW.id;
    IF known THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@.skip_known_source IS 'internal: leave out a resource or scope that is there';
CREATE TRIGGER skip_known_source BEFORE INSERT ON @extschema@.otlp_resources
    FOR EACH ROW EXECUTE FUNCTION @extschema@.skip_known_source();
ALTER TABLE @extschema@.otlp_resources ENABLE REPLICA TRIGGER skip_known_source;
COMMENT ON TRIGGER skip_known_source ON @extschema@.otlp_resources IS 'leaves out what comes by replication and is there';
CREATE TRIGGER skip_known_source BEFORE INSERT ON @extschema@.otlp_scopes
    FOR EACH ROW EXECUTE FUNCTION @extschema@.skip_known_source();
ALTER TABLE @extschema@.otlp_scopes ENABLE REPLICA TRIGGER skip_known_source;
COMMENT ON TRIGGER skip_known_source ON @extschema@.otlp_scopes IS 'leaves out what comes by replication and is there';

