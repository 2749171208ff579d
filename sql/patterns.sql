-- Patterns are those of ECMA-262 with the "u" flag, wherever PCRE2's or
-- PostgreSQL's own would mean something else.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS flowmaestro_spans;
\set VERBOSITY default
CREATE FUNCTION pg_temp.found(pattern text, subject text) RETURNS boolean LANGUAGE sql AS $$
    SELECT flowmaestro.jsonschema_is_valid(jsonb_build_object('pattern', pattern), to_jsonb(subject))
$$;
CREATE FUNCTION pg_temp.refused(pattern text) RETURNS text LANGUAGE sql AS $$
    SELECT flowmaestro.jsonschema_check(jsonb_build_object('pattern', pattern)) -> 'errors' -> 0 ->> 'error'
$$;

-- what matches and what does not; the result shows the rows that are wrong
CREATE TEMP TABLE cases (pattern text, subject text, found boolean);
INSERT INTO cases VALUES
    -- classes of ASCII, and the white space of ECMA-262
    ('^\d+$', '0123456789', true), ('^\d$', '٣', false), ('^\D$', '٣', true),
    ('^\w+$', 'aZ_9', true), ('^\w$', 'é', false), ('^\W$', 'é', true),
    ('^\s+$', E' \t\n\x0b\f\r\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000\ufeff', true),
    ('\s', U&'\0085\200B\180E', false), ('^\S+$', U&'\0085\200B\180E', true), ('\S', E'\ufeff', false),
    ('^[\s]$', E'\ufeff', true), ('^[\S]$', E'\ufeff', false), ('^[^\s]$', E'\ufeff', false), ('^[\d\s]+$', '1 2', true),
    ('\bé', 'é', false), ('a\b', 'aé', true), ('\Ba', 'ba', true),
    -- dot, anchors
    ('^.$', E'\n', false), ('^.$', E'\r', false), ('^.$', E'\u2028', false), ('^.$', E'\u2029', false), ('^.$', E'\x0b', true), ('^.$', E'\u0085', true),
    ('^.$', '😀', true), ('^a$', E'a\n', false), ('^b', E'a\nb', false), ('a$', E'a\nb', false),
    -- escapes
    ('^\t\n\v\f\r$', E'\t\n\x0b\f\r', true), ('^\cA$', E'\x01', true), ('^\cj$', E'\n', true), ('^\x41\u0042\u{43}\u{1f600}$', 'ABC😀', true),
    ('^\ud83d\ude00$', '😀', true), ('^[\ud83d\ude00-\ud83d\ude02]$', '😁', true), ('\ud83d', '😀', false), ('^[^\ud83d]$', '😀', true),
    ('^\^\$\\\.\*\+\?\(\)\[\]\{\}\|\/$', '^$\.*+?()[]{}|/', true), ('^\-\_\@\#\&\"$', '-_@#&"', true), ('^[\-\^\]\b]+$', E'-^]\b', true), ('\0', 'a', false),
    -- properties
    ('^\p{L}+$', 'aßЖ', true), ('^\p{Letter}\p{Lu}\p{gc=Ll}\p{General_Category=Decimal_Number}$', 'aAa٣', true), ('^\p{digit}$', '৪', true),
    ('^\p{Script=Greek}+$', 'αβ', true), ('^\p{sc=Grek}$', 'a', false), ('^\p{scx=Deva}$', '।', true), ('^\P{L}$', 'a', false), ('^[\p{L}\d]+$', 'ж1', true), ('^[^\p{L}]$', 'ж', false),
    ('^\p{Alphabetic}\p{Emoji}\p{ASCII}\p{Any}\p{Assigned}$', 'a😀aaa', true), ('\p{Assigned}', U&'\0378', false), ('^\P{Assigned}$', U&'\0378', true), ('^\p{LC}$', 'ǅ', true),
    -- classes
    ('^[0-9-_]+$', '1-_', true), ('^[0-9-_]+$', '.', false), ('^[\w-.]+$', 'a-.', true), ('^[a-\d]+$', 'a-5', true), ('^[-a]+$', 'a-', true), ('^[a-]+$', 'a-', true),
    ('[]', 'a', false), ('^[^]$', E'\n', true), ('^[^]*$', E'a\nb', true), ('a[]?b', 'ab', true), ('[[:alpha:]]', ':]', true), ('^[&&-~[]+$', '&[', true), ('^[\u0000-\uffff]$', 'é', true), ('^[\u0000-\uffff]$', '😀', false), ('^[\ud800-\udfff]$', 'a', false),
    -- quantifiers
    ('^a{2}$', 'aa', true), ('^a{2,}$', 'aaa', true), ('^a{1,2}$', 'aaa', false), ('^a{0}$', '', true), ('^a+?b*?c??$', 'ab', true),
    ('^x{1,256+}$', 'x{1,25666}', true), ('^a{$', 'a{', true), ('^a{,2}$', 'a{,2}', true), ('^{}]$', '{}]', true), ('^a{ 1}$', 'a{ 1}', true),
    -- groups and references
    ('^(?<year>\d{4})-\k<year>$', '2024-2024', true), ('^(?<$é>a)\1$', 'aa', true), ('^(a)(?:b)(c)\2$', 'abcc', true), ('^\1(a)$', 'a', true), ('^(?:(a)|b)\1$', 'b', true),
    ('^a(?=b)', 'ab', true), ('^(?=a)*b', 'b', true), ('^(?!a)+b', 'b', true), ('^a(?!b)', 'ab', false), ('(?<=a)b', 'ab', true), ('(?<!a)b', 'ab', false), ('(?<=ab|c)d', 'cd', true), ('^(|a)$', '', true),
    -- nothing but a text at the start
    ('^x-', 'x-a', true), ('^x-', 'x-', true), ('^x-', 'ax-', false), ('^x-', 'x', false), ('^\$ref$', '$ref', true), ('^\$ref$', '$refs', false), ('^\$ref$', 'ref', false),
    ('^é', 'éa', true), ('^é$', 'e', false), ('^', '', true), ('^', 'a', true), ('^$', '', true), ('^$', 'a', false), ('^a\/b', 'a/bc', true), ('^a\.b', 'axb', false),
    ('^a|b', 'cb', true), ('^a\d', 'a1', true), ('^a\d', 'ad', false), ('^a\\$', 'a\', true), ('^ab*', 'a', true), ('^a$b', 'a$b', false),
    -- case counts, and the match can be anywhere
    ('a', 'A', false), ('b', 'abc', true), ('', 'x', true), ('#', 'a#b', true), (' x', ' x', true);
SELECT * FROM cases WHERE pg_temp.found(pattern, subject) IS DISTINCT FROM found;
SELECT count(*) FROM cases;
-- machine code, which a pattern used often gets, finds the same
SELECT pattern, subject FROM cases, generate_series(1, 12) WHERE pg_temp.found(pattern, subject) IS DISTINCT FROM found;

-- what is no regular expression, or none of ECMA-262
SELECT pattern, pg_temp.refused(pattern) FROM unnest(ARRAY[
    '(a', 'a)', '[a', 'a**', '*a', 'a++', 'a{2}{3}', '(?:)?+', '^*', '$+', '\b?', '(?<!a)*', '(?<=a)?', '{1}', 'a{2,1}', '[b-a]', '\', 'a\',
    '\a', '\Z', '\A', '\e', '\z', '\G', '\Q', '\K', '\R', '\h', '\8', '\01', '[\1]', '[\B]', '\c', '\c1', '\x4', '\u12', '\u{}', '\u{110000}', '\u{12',
    '(a)\2', '\k<a>', '\k', '(?<a>b)\k<b>', '(?<a>b)(?<a>c)', '(?<1a>b)', '(?<a', '(?<>a)',
    '(?i)a', '(?i:a)', '(?P<a>b)', '(?P=a)', '(?#a)', '(?>a)', '(?|a)', '(?R)', '(*FAIL)', '(?&a)', '(?(1)a)',
    '\p', '\pL', '\p{}', '\p{l}', '\p{Greek}', '\p{L&}', '\p{Script=}', '\p{Script=greek}', '\p{Script=Klingon}', '\p{^L}', '\p{Alphabetic=Y}', '[\p{Xan}]']) AS pattern;
-- limits of PCRE2, told as such; the words for the last one depend on its version
SELECT pg_temp.refused('a{1,65536}'), pg_temp.refused('((a{100}){100}){100}');
SELECT pg_temp.refused('(?<=a+)b') LIKE 'is not a regular expression: %lookbehind%' AS refused;
SELECT pg_temp.refused(repeat('(', 251) || repeat(')', 251)), pg_temp.refused(repeat('a', 300000));

-- no pattern hangs a backend: a clear error, or a cancel that is heard
SELECT pg_temp.found('^(a+)+[bc]', repeat('a', 60) || '!');
SELECT pg_temp.found('(.*a){20}[bc]', repeat('a', 50000) || '!');
SET statement_timeout = '50ms';
SELECT pg_temp.found('(\w*)*[-+]$', repeat('a', 100000) || '!');
SELECT pg_temp.found('(?:a|b|aa)*[cd]', repeat('a', 60) || '!');
RESET statement_timeout;
-- and a long subject is no evil one
SELECT pg_temp.found('^(?:[A-Za-z0-9+/]{4})*$', repeat('QUJD', 300000)), pg_temp.found('^([a-z]+ ?)*$', repeat('hello ', 100000)),
    pg_temp.found('[a-z]z', repeat('h', 1000000));
