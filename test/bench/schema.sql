-- The two synthetic schemas and their documents.

CREATE TABLE bench_raw (content text);
CREATE TABLE bench_schema (name text PRIMARY KEY, schema jsonb);
INSERT INTO bench_schema VALUES
('small', '{
    "type": "object",
    "properties": {
        "expression": {"type": "string", "minLength": 1},
        "precision": {"type": "integer", "minimum": 0, "maximum": 10}
    },
    "required": ["expression"]
}'),
('medium', '{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "email": {"type": "string", "format": "email"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "active": {"type": "boolean"},
        "role": {"enum": ["admin", "editor", "viewer", "guest"]},
        "score": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5},
        "phone": {"type": "string", "pattern": "^\\+?[0-9 -]{6,20}$"},
        "created": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 30}, "uniqueItems": true, "maxItems": 20},
        "address": {
            "type": "object",
            "properties": {
                "street": {"type": "string"},
                "city": {"type": "string", "minLength": 1},
                "zip": {"type": "string", "pattern": "^[0-9]{5}$"},
                "country": {"type": "string", "minLength": 2, "maxLength": 2}
            },
            "required": ["city", "country"],
            "additionalProperties": false
        },
        "orders": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
                    "count": {"type": "integer", "minimum": 1},
                    "price": {"type": "number", "minimum": 0},
                    "note": {"type": ["string", "null"]}
                },
                "required": ["sku", "count", "price"]
            }
        },
        "payment": {
            "oneOf": [
                {"properties": {"kind": {"const": "card"}, "last4": {"type": "string", "minLength": 4}}, "required": ["kind", "last4"]},
                {"properties": {"kind": {"const": "iban"}, "iban": {"type": "string", "minLength": 15}}, "required": ["kind", "iban"]},
                {"properties": {"kind": {"const": "invoice"}}, "required": ["kind"]}
            ]
        },
        "settings": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
        "parent": {"anyOf": [{"type": "null"}, {"type": "string", "format": "uuid"}]}
    },
    "required": ["id", "name", "email", "role", "created"],
    "additionalProperties": false
}');

CREATE UNLOGGED TABLE bench_small AS
SELECT jsonb_build_object('expression', '2 + ' || i, 'precision', i % 10) AS doc
FROM generate_series(1, 200000) AS i;

CREATE UNLOGGED TABLE bench_medium AS
SELECT jsonb_build_object(
    'id', gen_random_uuid(), 'name', 'Name ' || i, 'email', 'user' || i || '@example.com', 'age', i % 100,
    'active', i % 2 = 0, 'role', (ARRAY['admin', 'editor', 'viewer', 'guest'])[i % 4 + 1], 'score', (i % 20 + 1) / 2.0,
    'phone', '+49 30 ' || 1000000 + i, 'created', '2025-01-01T00:00:00Z',
    'tags', (SELECT jsonb_agg('tag' || k) FROM generate_series(1, 5) AS k),
    'address', jsonb_build_object('street', 'Road ' || i, 'city', 'Berlin', 'zip', '10115', 'country', 'DE'),
    'orders', (SELECT jsonb_agg(jsonb_build_object('sku', 'ABC-' || 1000 + k, 'count', k, 'price', k * 1.25, 'note', NULL))
               FROM generate_series(1, 5) AS k),
    'payment', CASE i % 3 WHEN 0 THEN '{"kind": "card", "last4": "4242"}'::jsonb
                          WHEN 1 THEN '{"kind": "iban", "iban": "DE89370400440532013000"}' ELSE '{"kind": "invoice"}' END,
    'settings', '{"theme": "dark", "size": 12, "beta": true}'::jsonb, 'parent', NULL) AS doc
FROM generate_series(1, 30000) AS i;
VACUUM ANALYZE bench_small;
VACUUM ANALYZE bench_medium;
