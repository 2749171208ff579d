-- The examples of doc/json-schema.md, in its order.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
RESET client_min_messages;
\set SHOW_CONTEXT never

CREATE TABLE orders (
    doc jsonb CHECK (flowmaestro.jsonschema_is_valid('{
        "type": "object",
        "properties": {
            "sku":   {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
            "count": {"type": "integer", "minimum": 1}
        },
        "required": ["sku", "count"]
    }', doc)));
INSERT INTO orders VALUES ('{"sku": "ABC-1234", "count": 2}');
INSERT INTO orders VALUES ('{"sku": "ABC-1234", "count": 0}');

CREATE TABLE strict_orders (
    doc jsonb CHECK (flowmaestro.jsonschema_assert('{"required": ["sku"], "properties": {"count": {"minimum": 1}}}', doc)));
INSERT INTO strict_orders VALUES ('{"count": 0}');

SELECT jsonb_pretty(flowmaestro.jsonschema_validate('{"properties": {"tags": {"items": {"type": "string"}}}}', '{"tags": ["a", 1]}'));

SELECT flowmaestro.jsonschema_is_valid('{"properties": {"a": {"type": "strin"}}}', '{}');
SELECT jsonb_pretty(flowmaestro.jsonschema_check('{"type": "strin", "minLength": -1}'));

SELECT flowmaestro.jsonschema_is_valid('{"exclusiveMinimum": true, "minimum": 3}', '3', draft => '4');
SELECT flowmaestro.jsonschema_is_valid('{"format": "date"}', '"2025-02-30"') AS annotation,
       flowmaestro.jsonschema_is_valid('{"format": "date"}', '"2025-02-30"', formats => true) AS assertion;

INSERT INTO flowmaestro.json_schemas VALUES ('https://example.com/address', '{"type": "object", "required": ["city"]}');
SELECT flowmaestro.jsonschema_registry_is_valid('{"properties": {"to": {"$ref": "https://example.com/address"}}}', '{"to": {}}');

DELETE FROM flowmaestro.json_schemas;
DROP TABLE orders, strict_orders;
