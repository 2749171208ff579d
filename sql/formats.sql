-- Formats: checked on request; what each takes and what it does not.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
CREATE FUNCTION pg_temp.has(format text, value text) RETURNS boolean LANGUAGE sql AS $$
    SELECT flowmaestro.jsonschema_is_valid(jsonb_build_object('format', format), to_jsonb(value), formats => true)
$$;
CREATE TEMP TABLE cases (format text, good text[], bad text[]);
INSERT INTO cases VALUES
    ('date', ARRAY['2024-02-29', '2000-02-29', '0000-01-01', '9999-12-31'],
     ARRAY['', '2023-02-29', '1900-02-29', '2024-04-31', '2024-13-01', '2024-00-10', '2024-1-01', '24-01-01', '2024-01-01 ', '2024/01/01', '２024-01-01', '2024-01-01T00:00:00Z']),
    ('time', ARRAY['00:00:00Z', '23:59:59.999999999999+23:59', '12:30:45z', '23:59:60Z', '05:29:60+05:30', '18:59:60-05:00'],
     ARRAY['', '24:00:00Z', '12:60:00Z', '12:00:61Z', '12:00:60Z', '23:59:60+01:00', '12:00:00', '12:00Z', '12:00:00.Z', '12:00:00+24:00', '12:00:00+0100', '12:00:00Z ', '1:00:00Z']),
    ('date-time', ARRAY['2024-02-29T12:00:00Z', '2024-02-29t12:00:00.5z', '2016-12-31T23:59:60Z', '2024-01-01T00:00:00-08:00'],
     ARRAY['', '2024-02-30T12:00:00Z', '2024-02-29 12:00:00Z', '2024-02-29T12:00:00', '2024-02-29', '12:00:00Z', '2016-12-31T23:58:60Z']),
    ('duration', ARRAY['P1Y2M3DT4H5M6S', 'P1Y', 'P3D', 'PT10M', 'P4W', 'P2M3D', 'P1DT1S', 'PT0S'],
     ARRAY['', 'P', 'PT', 'P1', '1D', 'P1YT', 'P1D1Y', 'P1Y1D', 'PT1H1S', 'P1W1D', 'PT1D', 'P1H', 'P-1D', 'P1.5D', 'p1d', 'P1D ']),
    ('email', ARRAY['a@b', 'first.last+tag@example.co.uk', '"quoted \" @ string"@example.com', 'a@[192.0.2.1]', 'a@[IPv6:2001:db8::1]', 'a!#$%&''*+/=?^_`{|}~-@b'],
     ARRAY['', 'a', '@b', 'a@', '.a@b', 'a.@b', 'a..b@c', 'a b@c', 'a@b c', 'a@-b', 'a@b_c', 'a@[192.0.2.256]', 'a@b@c', '"a@b', 'é@b', 'a@é', repeat('a', 65) || '@b']),
    ('idn-email', ARRAY['é@bücher.example', '"é"@b', 'a@b'], ARRAY['', 'é', 'é@', 'a@a..b', 'a@ü-']),
    ('hostname', ARRAY['a', 'localhost', 'example.com', '1.2.3', 'a-b.c--d', repeat('a', 63) || '.b', 'xn--bcher-kva.example', 'XN--bcher-kva'],
     ARRAY['', '.', 'a.', '.a', 'a..b', '-a', 'a-', 'a_b', 'bücher', repeat('a', 64), repeat('a.', 127) || 'a', 'a b', 'xn--', 'xn--a', 'xn--bcher-']),
    ('idn-hostname', ARRAY['bücher.example', 'a。b', 'שלום', 'مثال.اختبار', 'l·l', 'example.com', 'שלום.example'],
     ARRAY['', '.', 'a..b', 'bücher.', 'ü-', '-ü', 'BÜCHER', 'a·l', 'aש', '1.שלום', 'שa', U&'u\0308ber', repeat('ü', 64), 'a_b', 'ｅ']),
    ('ipv4', ARRAY['0.0.0.0', '255.255.255.255', '192.0.2.1'],
     ARRAY['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '01.2.3.4', '1.2.3.04', '1.2.3.', '1..2.3', ' 1.2.3.4', '1.2.3.4/8', 'a.b.c.d', '1.2.3.1000']),
    ('ipv6', ARRAY['::', '::1', '1::', '2001:db8::1', '1:2:3:4:5:6:7:8', '::ffff:192.0.2.1', '1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8', 'A::f'],
     ARRAY['', ':', ':::', '1', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1::2::3', '12345::', 'g::', '1:', ':1', '1:2:3:4:5:6:7:8::', '::1.2.3', '1:2:3:4:5:6:7:1.2.3.4', '::1.2.3.4:5', '::1%eth0', '[::1]', '1.2.3.4', '::01.2.3.4']),
    ('uri', ARRAY['http://example.com', 'http://u:p@h:80/a/b;c?d=e&f#g', 'urn:a:b', 'mailto:a@b', 'file:///a', 'a:', 'http://[::1]:8080/', 'http://[v1.a:b]/', 'x://', 'http://a/%41', 'a://b@:80'],
     ARRAY['', 'a', '/a', '//a', ':a', '1a:b', 'a b:c', 'http://a b', 'http://a/"', 'http://a/<>', 'http://a/%4', 'http://a/%zz', 'http://[::1', 'http://[1]', 'http://[v.a]', 'http://a:b/', 'http://a@b@c', 'http://é', 'http://a/[', 'http://a#b#c', 'http://a\b', 'http://[::1]a/']),
    ('uri-reference', ARRAY['', 'a', '/a', '//a', '?a', '#a', '../a', './a:b', 'http://a', 'a/b:c'], ARRAY['1:b', ':', 'a b', '\a', 'é', '%', '//a:b', '/[', '{a}']),
    ('iri', ARRAY['http://bücher.example/ü?é#ñ', 'urn:ü', 'http://a/?' || U&'\E000', 'a:' || U&'\+01F600'], ARRAY['', 'ü', 'http://a/' || U&'\E000', 'http://a b', 'a:' || U&'\FFFF', 'a:' || U&'\0085', 'a:' || U&'\FDD0', 'ü:a']),
    ('iri-reference', ARRAY['', 'ü', '/ü', '#ü', '?' || U&'\E000'], ARRAY['ü b', '\ü', '#' || U&'\E000', '1:ü']),
    ('uri-template', ARRAY['', '/a', '{a}', '{a,b}', '{+a}{#a}{.a}{/a}{;a}{?a}{&a}', '{a:3}', '{a*}', '{a.b}', '{%41}', 'é', '{a_1}', '{|a}'],
     ARRAY['{', '}', '{}', '{a', 'a}', '{a,}', '{,}', '{a b}', '{a:}', '{a:0}', '{a:10000}', '{a**}', '{a.}', '{.}', '{-}', 'a b', '%', '%4', '<a>', 'a"b', '{é}']),
    ('uuid', ARRAY['01234567-89ab-cdef-ABCD-EF0123456789', '00000000-0000-0000-0000-000000000000'],
     ARRAY['', '0123456789abcdefabcdef0123456789', '{01234567-89ab-cdef-abcd-ef0123456789}', '01234567-89ab-cdef-abcd-ef012345678', '01234567-89ab-cdef-abcd-ef01234567890', '01234567-89ab-cdef-abcd-ef012345678g', '012345678-9ab-cdef-abcd-ef0123456789']),
    ('json-pointer', ARRAY['', '/', '/a/0/~0/~1', '//', '/é'], ARRAY['a', '#/a', '/~', '/~2', '/a~']),
    ('relative-json-pointer', ARRAY['0', '1/a', '12#', '0+1/a', '0-1#', '0/'], ARRAY['', '/a', '-1', '01', '1##', '1a', '0+0', '0+', '0#/a', '0/~2']),
    ('regex', ARRAY['', 'a+', '(?<=a+)b', '(?<n>a)\k<n>', '[]', '\p{L}'], ARRAY['(', '[', '\a', '(?i)a', '*', 'a{2,1}']),
    ('no-such-format', ARRAY['', 'anything'], ARRAY[]::text[]);
SELECT format, 'good' AS should_be, v FROM cases, unnest(good) AS v WHERE NOT pg_temp.has(format, v)
UNION ALL
SELECT format, 'bad', v FROM cases, unnest(bad) AS v WHERE pg_temp.has(format, v);
SELECT sum(cardinality(good)) AS good, sum(cardinality(bad)) AS bad FROM cases;
-- a cut or an addition anywhere is no crash, whatever it is
SELECT count(pg_temp.has(format, left(v, n))) > 0 AS survived FROM cases, unnest(good) AS v, generate_series(0, 40) AS n;
SELECT count(pg_temp.has(format, v || w)) > 0 AS survived FROM cases, unnest(good) AS v, unnest(ARRAY['é', '😀', '%', '[', '@', '.', ':', E'\x7f', repeat('x', 5000)]) AS w;
-- other values than strings have every format
SELECT bool_and(flowmaestro.jsonschema_is_valid(jsonb_build_object('format', format), v, formats => true)) FROM cases, unnest(ARRAY['1', 'null', '[]', '{}', 'true']::jsonb[]) AS v;
-- the default is what the draft says: an annotation
SELECT flowmaestro.jsonschema_is_valid('{"format": "ipv4"}', '"x"');
