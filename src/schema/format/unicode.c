/*-------------------------------------------------------------------------
 *
 * unicode.c
 *	  Unicode properties as ECMA-262 names them in \p{...}.
 *
 * PCRE2 matches names loosely and knows others than ECMA-262 does ("Greek"
 * alone is a script there, and an error here), so the names that stand alone
 * are listed.  Names of scripts grow with Unicode: only their form is checked,
 * and PCRE2 says whether there is such a script.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schema/format/ecma.h"

#define MAX_NAME 64				/* longest name, in bytes */

/* general categories: every name of Unicode, and the short one of PCRE2 */
static const struct
{
	const char *name;
	const char *category;
}			categories[] =
{
	{"Cased_Letter", "L&"}, {"LC", "L&"},
	{"Close_Punctuation", "Pe"}, {"Pe", "Pe"},
	{"Connector_Punctuation", "Pc"}, {"Pc", "Pc"},
	{"Control", "Cc"}, {"Cc", "Cc"}, {"cntrl", "Cc"},
	{"Currency_Symbol", "Sc"}, {"Sc", "Sc"},
	{"Dash_Punctuation", "Pd"}, {"Pd", "Pd"},
	{"Decimal_Number", "Nd"}, {"Nd", "Nd"}, {"digit", "Nd"},
	{"Enclosing_Mark", "Me"}, {"Me", "Me"},
	{"Final_Punctuation", "Pf"}, {"Pf", "Pf"},
	{"Format", "Cf"}, {"Cf", "Cf"},
	{"Initial_Punctuation", "Pi"}, {"Pi", "Pi"},
	{"Letter", "L"}, {"L", "L"},
	{"Letter_Number", "Nl"}, {"Nl", "Nl"},
	{"Line_Separator", "Zl"}, {"Zl", "Zl"},
	{"Lowercase_Letter", "Ll"}, {"Ll", "Ll"},
	{"Mark", "M"}, {"M", "M"}, {"Combining_Mark", "M"},
	{"Math_Symbol", "Sm"}, {"Sm", "Sm"},
	{"Modifier_Letter", "Lm"}, {"Lm", "Lm"},
	{"Modifier_Symbol", "Sk"}, {"Sk", "Sk"},
	{"Nonspacing_Mark", "Mn"}, {"Mn", "Mn"},
	{"Number", "N"}, {"N", "N"},
	{"Open_Punctuation", "Ps"}, {"Ps", "Ps"},
	{"Other", "C"}, {"C", "C"},
	{"Other_Letter", "Lo"}, {"Lo", "Lo"},
	{"Other_Number", "No"}, {"No", "No"},
	{"Other_Punctuation", "Po"}, {"Po", "Po"},
	{"Other_Symbol", "So"}, {"So", "So"},
	{"Paragraph_Separator", "Zp"}, {"Zp", "Zp"},
	{"Private_Use", "Co"}, {"Co", "Co"},
	{"Punctuation", "P"}, {"P", "P"}, {"punct", "P"},
	{"Separator", "Z"}, {"Z", "Z"},
	{"Space_Separator", "Zs"}, {"Zs", "Zs"},
	{"Spacing_Mark", "Mc"}, {"Mc", "Mc"},
	{"Surrogate", "Cs"}, {"Cs", "Cs"},
	{"Symbol", "S"}, {"S", "S"},
	{"Titlecase_Letter", "Lt"}, {"Lt", "Lt"},
	{"Unassigned", "Cn"}, {"Cn", "Cn"},
	{"Uppercase_Letter", "Lu"}, {"Lu", "Lu"},
};

/* binary properties, long and short names; PCRE2 has the same ones */
static const char *const binaries[] = {
	"ASCII", "ASCII_Hex_Digit", "AHex", "Alphabetic", "Alpha", "Any",
	"Bidi_Control", "Bidi_C", "Bidi_Mirrored", "Bidi_M", "Case_Ignorable", "CI", "Cased",
	"Changes_When_Casefolded", "CWCF", "Changes_When_Casemapped", "CWCM",
	"Changes_When_Lowercased", "CWL", "Changes_When_Titlecased", "CWT",
	"Changes_When_Uppercased", "CWU", "Dash", "Default_Ignorable_Code_Point", "DI",
	"Deprecated", "Dep", "Diacritic", "Dia", "Emoji", "Emoji_Component", "EComp",
	"Emoji_Modifier", "EMod", "Emoji_Modifier_Base", "EBase", "Emoji_Presentation", "EPres",
	"Extended_Pictographic", "ExtPict", "Extender", "Ext", "Grapheme_Base", "Gr_Base",
	"Grapheme_Extend", "Gr_Ext", "Hex_Digit", "Hex", "IDS_Binary_Operator", "IDSB",
	"IDS_Trinary_Operator", "IDST", "ID_Continue", "IDC", "ID_Start", "IDS", "Ideographic",
	"Ideo", "Join_Control", "Join_C", "Logical_Order_Exception", "LOE", "Lowercase", "Lower",
	"Math", "Noncharacter_Code_Point", "NChar", "Pattern_Syntax", "Pat_Syn",
	"Pattern_White_Space", "Pat_WS", "Quotation_Mark", "QMark", "Radical",
	"Regional_Indicator", "RI", "Sentence_Terminal", "STerm", "Soft_Dotted", "SD",
	"Terminal_Punctuation", "Term", "Unified_Ideograph", "UIdeo", "Uppercase", "Upper",
	"Variation_Selector", "VS", "White_Space", "space", "XID_Continue", "XIDC", "XID_Start",
	"XIDS",
};

/* The short form of a general category, or NULL. */
static const char *
find_category(const char *name)
{
	for (int i = 0; i < lengthof(categories); i++)
		if (strcmp(categories[i].name, name) == 0)
			return categories[i].category;
	return NULL;
}

/* Whether a name is a binary property. */
static bool
is_binary(const char *name)
{
	for (int i = 0; i < lengthof(binaries); i++)
		if (strcmp(binaries[i], name) == 0)
			return true;
	return false;
}

/* Append one property under the name that PCRE2 has for it. */
static void
append_property(StringInfo out, bool negated, const char *prefix, const char *name)
{
	if (out != NULL)
		appendStringInfo(out, "\\%c{%s%s}", negated ? 'P' : 'p', prefix, name);
}

/* "name=value": a general category or a script. */
static bool
translate_pair(const char *name, const char *value, bool negated, StringInfo out)
{
	const char *category;

	if (strcmp(name, "General_Category") == 0 || strcmp(name, "gc") == 0)
	{
		category = find_category(value);
		if (category == NULL)
			return false;
		append_property(out, negated, "", category);
		return true;
	}
	/* every script's name begins with a capital */
	if (*value < 'A' || *value > 'Z')
		return false;
	if (strcmp(name, "Script") == 0 || strcmp(name, "sc") == 0)
		append_property(out, negated, "sc:", value);
	else if (strcmp(name, "Script_Extensions") == 0 || strcmp(name, "scx") == 0)
		append_property(out, negated, "scx:", value);
	else
		return false;
	return true;
}

/*
 * See ecma.h.  "Assigned" is no property of PCRE2, but the contrary of Cn.  What a
 * pattern that is only checked says of scripts is right if its form is.
 */
bool
fms_ecma_property(const char *text, size_t bytes, bool negated, StringInfo out)
{
	char		name[MAX_NAME];
	char	   *value;
	const char *category;

	if (bytes == 0 || bytes >= sizeof(name))
		return false;
	for (size_t i = 0; i < bytes; i++)
	{
		unsigned char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  c == '_' || c == '='))
			return false;
	}
	memcpy(name, text, bytes);
	name[bytes] = '\0';
	value = strchr(name, '=');
	if (value != NULL)
	{
		*value++ = '\0';
		return translate_pair(name, value, negated, out);
	}
	category = find_category(name);
	if (category != NULL)
		append_property(out, negated, "", category);
	else if (strcmp(name, "Assigned") == 0)
		append_property(out, !negated, "", "Cn");
	else if (is_binary(name))
		append_property(out, negated, "", name);
	else
		return false;
	return true;
}
