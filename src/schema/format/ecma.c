/*-------------------------------------------------------------------------
 *
 * ecma.c
 *	  From the syntax of ECMA-262 regular expressions to that of PCRE2.
 *
 * The grammar is that of the "u" flag, which JSON Schema asks for.  Everything
 * that PCRE2 spells or means otherwise is written out here, and everything that
 * only PCRE2 knows is refused, so that no pattern means something else than its
 * author meant.  What published schemas use although the "u" flag forbids it is
 * taken as the web does (ECMA-262 annex B): a backslash before any ASCII
 * punctuation, a brace or bracket that begins nothing, a class such as [\w-.], in
 * which the hyphen stands for itself, and a lookahead that is repeated.
 *
 * One pass, no recursion; groups are kept on a stack of fixed size.  Group
 * names become numbers.  The take_ functions consume what they are named after and
 * return false after an error, which is in t->error then.  Nothing is raised but
 * for want of memory; a pattern comes as UTF-8, and bad bytes are an error.
 *
 * Limits: group names are taken literally, without \u escapes, and are unique;
 * no inline modifiers (?i:...); no set operations of the "v" flag.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "schema/format/ecma.h"
#include "schema/format/utf8.h"

#define MAX_DEPTH 250			/* of nested groups; PCRE2's own limit */
#define MAX_NAMES 1000			/* named groups */
#define MAX_REPEAT 65535		/* PCRE2's highest count in {n,m} */

/* a class of all characters, and what matches at no place */
#define ANY_CHARACTER "[\\x{0}-\\x{10ffff}]"
#define NO_CHARACTER "(?:(?!))"

/* . without the line terminators; \s and its complement, for inside of a class */
#define DOT "[^\\n\\r\\x{2028}\\x{2029}]"
#define SPACES "\\x{9}-\\x{d}\\x{20}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}" \
	"\\x{202f}\\x{205f}\\x{3000}\\x{feff}"
#define NOT_SPACES "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}" \
	"\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}" \
	"\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

#define NO_SUCH_GROUP "reference to a group that is not there"

#define IS_DIGIT(c) ((c) >= '0' && (c) <= '9')
#define IS_ALPHA(c) (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define IS_PUNCTUATION(c) ((c) >= ' ' && (c) < 0x7f && !IS_DIGIT(c) && !IS_ALPHA(c))
#define IS_SURROGATE(c) ((c) >= 0xd800 && (c) <= 0xdfff)

typedef struct GroupName
{
	const char *text;
	size_t		bytes;
	int			number;			/* of the group */
} GroupName;

typedef struct Translator
{
	const char *start;
	const char *at;				/* next byte */
	const char *end;
	StringInfo	out;			/* NULL: only check */
	const char *error;			/* what is wrong, once something is */
	bool		atom;			/* what came last can be repeated */
	int			depth;			/* of open groups */
	bool		once[MAX_DEPTH];	/* the open group is a lookbehind, not to
									 * be repeated */
	int			groups;			/* that capture, in all; -1: not counted yet */
	GroupName  *names;			/* of them, palloc'd once needed */
	int			named;			/* length of names */
} Translator;

/* Note what is wrong; false, for callers to return. */
static bool
fail_pattern(Translator *t, const char *error)
{
	t->error = error;
	return false;
}

/* The next byte, not taken, or -1 at the end. */
static inline int
peek(const Translator *t)
{
	return t->at < t->end ? (unsigned char) *t->at : -1;
}

/* Take the next byte if it is this one. */
static inline bool
take_byte(Translator *t, char c)
{
	if (t->at >= t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

/* Append to the translation, if there is one. */
static inline void
emit(Translator *t, const char *text)
{
	if (t->out != NULL)
		appendStringInfoString(t->out, text);
}

/*
 * Append a character that stands for itself, inside of a class or outside.  All
 * beyond ASCII is written in digits, so the translation is plain ASCII.
 */
static void
emit_character(Translator *t, int32 c)
{
	if (t->out == NULL)
		return;
	if (IS_DIGIT(c) || IS_ALPHA(c))
		appendStringInfoChar(t->out, (char) c);
	else if (IS_PUNCTUATION(c))
		appendStringInfo(t->out, "\\%c", (char) c);
	else
		appendStringInfo(t->out, "\\x{%x}", (unsigned int) c);
}

/*
 * Find the groups that capture, and their names, once in a pattern: a
 * reference may come before its group.
 */
static bool
count_groups(Translator *t)
{
	bool		in_class = false;

	if (t->groups >= 0)
		return true;
	t->groups = 0;
	for (const char *p = t->start; p < t->end; p++)
	{
		CHECK_FOR_INTERRUPTS();
		/* an escaped bracket or parenthesis is none, nor is one in a class */
		if (*p == '\\')
			p++;
		else if (in_class || *p == '[')
			in_class = *p != ']';
		else if (*p == '(' && p + 1 < t->end && p[1] != '?')
			t->groups++;
		else if (*p == '(' && t->end - p > 3 && p[2] == '<' && p[3] != '=' && p[3] != '!')
		{
			const char *close = memchr(p, '>', t->end - p);

			t->groups++;
			if (t->named == MAX_NAMES)
				return fail_pattern(t, "too many named groups");
			if (t->names == NULL)
				t->names = palloc(MAX_NAMES * sizeof(GroupName));
			t->names[t->named].text = p + 3;
			t->names[t->named].bytes = (close == NULL ? t->end : close) - (p + 3);
			t->names[t->named++].number = t->groups;
		}
	}
	return true;
}

/*
 * Take "name>", the rest of (?<name> or \k<name>; how many groups bear the name,
 * and which is the last.
 */
static bool
take_name(Translator *t, int *bearers, int *number)
{
	const char *name = t->at;
	const char *close = memchr(t->at, '>', t->end - t->at);

	if (close == NULL || close == name || IS_DIGIT(*name))
		return fail_pattern(t, "invalid group name");
	for (const char *p = name; p < close; p++)
	{
		unsigned char c = *p;

		if (c < 0x80 && !IS_DIGIT(c) && !IS_ALPHA(c) && c != '_' && c != '$')
			return fail_pattern(t, "invalid group name");
	}
	t->at = close + 1;
	if (!count_groups(t))
		return false;
	*bearers = 0;
	for (int i = 0; i < t->named; i++)
		if (t->names[i].bytes == close - name && memcmp(t->names[i].text, name, close - name) == 0)
		{
			(*bearers)++;
			*number = t->names[i].number;
		}
	return true;
}

/* "(", taken already: open a group or an assertion. */
static bool
open_group(Translator *t)
{
	bool		once = false;
	int			bearers;
	int			number;

	if (!take_byte(t, '?'))
		emit(t, "(");
	else if (take_byte(t, ':'))
		emit(t, "(?:");
	else if (take_byte(t, '='))
		emit(t, "(?=");
	else if (take_byte(t, '!'))
		emit(t, "(?!");
	else if (!take_byte(t, '<'))
		return fail_pattern(t, "invalid group");
	else if ((once = take_byte(t, '=')))
		emit(t, "(?<=");
	else if ((once = take_byte(t, '!')))
		emit(t, "(?<!");
	else
	{
		if (!take_name(t, &bearers, &number))
			return false;
		if (bearers > 1)
			return fail_pattern(t, "duplicate group name");
		emit(t, "(");
	}
	if (t->depth == MAX_DEPTH)
		return fail_pattern(t, "groups are nested too deeply");
	t->once[t->depth++] = once;
	t->atom = false;
	return true;
}

/* ")", taken already. */
static bool
close_group(Translator *t)
{
	if (t->depth == 0)
		return fail_pattern(t, "unmatched closing parenthesis");
	t->atom = !t->once[--t->depth];
	emit(t, ")");
	return true;
}

/*
 * Take digits; false if there are none.  A number too big for us stays big: past
 * PG_INT32_MAX digits are skipped, so nothing overflows.
 */
static bool
take_number(Translator *t, int64 *number)
{
	const char *first = t->at;

	*number = 0;
	for (; t->at < t->end && IS_DIGIT(*t->at); t->at++)
		if (*number < PG_INT32_MAX)
			*number = *number * 10 + (*t->at - '0');
	return t->at > first;
}

/* Append a quantifier and take the "?" that makes it lazy. */
static bool
emit_quantifier(Translator *t, const char *quantifier)
{
	if (!t->atom)
		return fail_pattern(t, "nothing to repeat");
	emit(t, quantifier);
	if (take_byte(t, '?'))
		emit(t, "?");
	t->atom = false;
	return true;
}

/*
 * "{", taken already: a counted quantifier, or a brace that stands for itself.  A
 * pattern that is only checked may repeat more often than PCRE2 can.
 */
static bool
take_brace(Translator *t)
{
	const char *after = t->at;
	int64		low;
	int64		high = -1;
	char		text[64];

	if (!take_number(t, &low) ||
		(take_byte(t, ',') ? peek(t) != '}' && !take_number(t, &high) : (high = low, false)) ||
		!take_byte(t, '}'))
	{
		t->at = after;
		emit(t, "\\{");
		t->atom = true;
		return true;
	}
	if (high >= 0 && high < low)
		return fail_pattern(t, "numbers out of order in quantifier");
	if (t->out != NULL && Max(low, high) > MAX_REPEAT)
		return fail_pattern(t, "number too big in quantifier");
	if (high < 0)
		snprintf(text, sizeof(text), "{" INT64_FORMAT ",}", low);
	else
		snprintf(text, sizeof(text), "{" INT64_FORMAT "," INT64_FORMAT "}", low, high);
	return emit_quantifier(t, text);
}

/* Take exactly "digits" hexadecimal digits. */
static bool
take_hex(Translator *t, int digits, int32 *value)
{
	*value = 0;
	for (int i = 0; i < digits; i++)
	{
		int			c = peek(t);
		int			digit;

		if (c < 0)
			return false;
		if (IS_DIGIT(c))
			digit = c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (c | 0x20) - 'a' + 10;
		else
			return false;
		*value = *value * 16 + digit;
		t->at++;
	}
	return true;
}

/* What follows "\u": four digits, a pair of surrogates, or {digits}. */
static bool
take_unicode(Translator *t, int32 *c)
{
	const char *after;
	int32		low;
	int32		digit;

	if (take_byte(t, '{'))
	{
		if (peek(t) == '}')
			return fail_pattern(t, "invalid Unicode escape");
		for (*c = 0; !take_byte(t, '}'); *c = *c * 16 + digit)
			if (!take_hex(t, 1, &digit) || *c > 0x10ffff / 16)
				return fail_pattern(t, "invalid Unicode escape");
		return true;
	}
	if (!take_hex(t, 4, c))
		return fail_pattern(t, "invalid Unicode escape");
	after = t->at;
	/* two halves make a character only if both are written as escapes */
	if (*c >= 0xd800 && *c <= 0xdbff && take_byte(t, '\\') && take_byte(t, 'u') &&
		take_hex(t, 4, &low) && low >= 0xdc00 && low <= 0xdfff)
		*c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
	else
		t->at = after;
	return true;
}

/* What follows a backslash and stands for one character, maybe half of a pair. */
static bool
take_character_escape(Translator *t, int32 *c)
{
	static const char controls[] = "tnvfr";
	static const char values[] = "\t\n\v\f\r";
	const char *control;
	int			next = peek(t);

	if (next < 0)
		return fail_pattern(t, "\\ at the end of the pattern");
	t->at++;
	control = strchr(controls, next);
	if (next != 0 && control != NULL)
		*c = values[control - controls];
	else if (next == 'c')
	{
		next = peek(t);
		if (next < 0 || !IS_ALPHA(next))
			return fail_pattern(t, "invalid control escape");
		*c = next & 0x1f;
		t->at++;
	}
	else if (next == '0' && !IS_DIGIT(peek(t)))
		*c = 0;
	else if (next == 'x')
		return take_hex(t, 2, c) || fail_pattern(t, "invalid hexadecimal escape");
	else if (next == 'u')
		return take_unicode(t, c);
	else if (IS_PUNCTUATION(next))
		*c = next;
	else
		return fail_pattern(t, "invalid escape");
	return true;
}

/* \p or \P, taken already. */
static bool
take_property(Translator *t, bool negated)
{
	const char *name = t->at + 1;
	const char *close;

	if (!take_byte(t, '{') || (close = memchr(name, '}', t->end - name)) == NULL ||
		!fms_ecma_property(name, close - name, negated, t->out))
		return fail_pattern(t, "invalid property name");
	t->at = close + 1;
	return true;
}

/*
 * What follows a backslash and stands for a set of characters, inside of a
 * class or outside; *is_set tells whether there was one.
 */
static bool
take_set_escape(Translator *t, bool in_class, bool *is_set)
{
	int			next = peek(t);

	*is_set = next >= 0;
	if (next < 0)
		return true;
	t->at++;
	switch (next)
	{
		case 'd':
			emit(t, "\\d");
			return true;
		case 'D':
			emit(t, "\\D");
			return true;
		case 'w':
			emit(t, "\\w");
			return true;
		case 'W':
			emit(t, "\\W");
			return true;
		case 's':
			emit(t, in_class ? SPACES : "[" SPACES "]");
			return true;
		case 'S':
			emit(t, in_class ? NOT_SPACES : "[^" SPACES "]");
			return true;
		case 'p':
		case 'P':
			return take_property(t, next == 'P');
		default:
			t->at--;
			*is_set = false;
			return true;
	}
}

/* Append a reference to a group, which exists; by number even if it was by name. */
static bool
emit_reference(Translator *t, int64 number)
{
	if (t->out != NULL)
		appendStringInfo(t->out, "\\g{%d}", (int) number);
	t->atom = true;
	return true;
}

/* "\", taken already, outside of a class. */
static bool
take_escape(Translator *t)
{
	int			next = peek(t);
	int64		number;
	int			bearers;
	int			named;
	bool		is_set;
	int32		c;

	t->atom = false;
	if (next == 'b' || next == 'B')
	{
		t->at++;
		emit(t, next == 'b' ? "\\b" : "\\B");
		return true;
	}
	if (next >= '1' && next <= '9')
	{
		(void) take_number(t, &number);
		if (!count_groups(t))
			return false;
		return number <= t->groups ? emit_reference(t, number) : fail_pattern(t, NO_SUCH_GROUP);
	}
	if (next == 'k')
	{
		t->at++;
		if (!take_byte(t, '<'))
			return fail_pattern(t, "invalid reference to a named group");
		if (!take_name(t, &bearers, &named))
			return false;
		return bearers == 1 ? emit_reference(t, named) : fail_pattern(t, NO_SUCH_GROUP);
	}
	t->atom = true;
	if (!take_set_escape(t, false, &is_set))
		return false;
	if (is_set)
		return true;
	if (!take_character_escape(t, &c))
		return false;
	/* half of a surrogate pair is in no text */
	if (IS_SURROGATE(c))
		emit(t, NO_CHARACTER);
	else
		emit_character(t, c);
	return true;
}

/* One member of a class: a set, which is appended, or a character. */
static bool
take_class_atom(Translator *t, bool *is_set, int32 *c)
{
	*is_set = false;
	if (!take_byte(t, '\\'))
	{
		*c = fms_utf8_next(&t->at, t->end);
		return *c >= 0 || fail_pattern(t, "invalid byte sequence");
	}
	if (take_byte(t, 'b'))
	{
		*c = '\b';
		return true;
	}
	if (!take_set_escape(t, true, is_set))
		return false;
	return *is_set || take_character_escape(t, c);
}

/*
 * Append the characters from low to high to a class, without surrogates: no text
 * has them, and PCRE2 refuses them.
 */
static void
emit_range(Translator *t, int32 low, int32 high)
{
	if (IS_SURROGATE(low))
		low = 0xe000;
	if (IS_SURROGATE(high))
		high = 0xd7ff;
	if (low > high)
		return;
	emit_character(t, low);
	if (high > low)
	{
		emit(t, "-");
		emit_character(t, high);
	}
}

/* Take the members of a class up to its bracket. */
static bool
take_class_members(Translator *t)
{
	while (!take_byte(t, ']'))
	{
		bool		low_set;
		bool		high_set;
		int32		low = 0;
		int32		high = 0;

		CHECK_FOR_INTERRUPTS();
		if (t->at >= t->end)
			return fail_pattern(t, "unterminated character class");
		if (!take_class_atom(t, &low_set, &low))
			return false;
		/* a hyphen before the bracket is a member like others */
		if (t->end - t->at < 2 || t->at[0] != '-' || t->at[1] == ']')
		{
			if (!low_set)
				emit_range(t, low, low);
			continue;
		}
		t->at++;
		if (!take_class_atom(t, &high_set, &high))
			return false;
		if (!low_set && !high_set)
		{
			if (low > high)
				return fail_pattern(t, "range out of order in character class");
			emit_range(t, low, high);
			continue;
		}
		/* a set is no end of a range: all three stand for themselves */
		emit_character(t, '-');
		if (!low_set)
			emit_range(t, low, low);
		if (!high_set)
			emit_range(t, high, high);
	}
	return true;
}

/* "[", taken already. */
static bool
take_class(Translator *t)
{
	bool		negated = take_byte(t, '^');
	int			before = t->out == NULL ? 0 : t->out->len;
	int			empty;

	emit(t, negated ? "[^" : "[");
	empty = t->out == NULL ? 0 : t->out->len;
	if (!take_class_members(t))
		return false;
	t->atom = true;
	if (t->out == NULL || t->out->len > empty)
	{
		emit(t, "]");
		return true;
	}
	/* PCRE2 has no class without members */
	t->out->len = before;
	t->out->data[before] = '\0';
	emit(t, negated ? ANY_CHARACTER : NO_CHARACTER);
	return true;
}

/* Take one term, or a part of one; there is a byte left.  Keeps t->atom right. */
static bool
take_term(Translator *t)
{
	char		c = *t->at;
	int32		literal;

	switch (c)
	{
		case '(':
			t->at++;
			return open_group(t);
		case ')':
			t->at++;
			return close_group(t);
		case '|':
		case '^':
		case '$':
			t->at++;
			emit(t, c == '|' ? "|" : c == '^' ? "^" : "$");
			t->atom = false;
			return true;
		case '*':
		case '+':
		case '?':
			t->at++;
			return emit_quantifier(t, c == '*' ? "*" : c == '+' ? "+" : "?");
		case '{':
			t->at++;
			return take_brace(t);
		case '[':
			t->at++;
			return take_class(t);
		case '\\':
			t->at++;
			return take_escape(t);
		case '.':
			t->at++;
			emit(t, DOT);
			t->atom = true;
			return true;
	}
	literal = fms_utf8_next(&t->at, t->end);
	if (literal < 0)
		return fail_pattern(t, "invalid byte sequence");
	emit_character(t, literal);
	t->atom = true;
	return true;
}

/* See ecma.h. */
const char *
fms_ecma_translate(const char *source, size_t bytes, StringInfo out, size_t *at)
{
	Translator	t = {0};

	*at = 0;
	if (bytes > FMS_ECMA_MAX_BYTES)
		return "pattern is too long";
	t.start = t.at = source;
	t.end = source + bytes;
	t.out = out;
	t.groups = -1;
	while (t.at < t.end)
	{
		CHECK_FOR_INTERRUPTS();
		*at = t.at - source;
		if (!take_term(&t))
			break;
	}
	if (t.error == NULL && t.depth > 0)
		t.error = "unterminated group";
	if (t.names != NULL)
		pfree(t.names);
	return t.error;
}
