/*-------------------------------------------------------------------------
 *
 * dialect.c
 *	  Drafts, metaschemas and vocabularies: how a schema is to be read.
 *
 * $schema names a metaschema.  Those of the five drafts are built in; any other
 * is a document like others (so only the registry has it), stands for the draft
 * of its own metaschema, and may choose vocabularies by $vocabulary.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schema/compiler.h"
#include "schema/metaschema.h"
#include "schema/uri.h"

#define MAX_METASCHEMAS 8		/* from a metaschema to its own, and so on */

/* The URIs of the drafts, without the empty fragment that old ones have. */
static const struct
{
	const char *uri;
	const char *name;
	FmsDraft	draft;
}			drafts[] =
{
	{"json-schema.org/draft-04/schema", "draft-04", FMS_DRAFT_4},
	{"json-schema.org/draft-06/schema", "draft-06", FMS_DRAFT_6},
	{"json-schema.org/draft-07/schema", "draft-07", FMS_DRAFT_7},
	{"json-schema.org/draft/2019-09/schema", "2019-09", FMS_DRAFT_2019_09},
	{"json-schema.org/draft/2020-12/schema", "2020-12", FMS_DRAFT_2020_12}
};

/* The last parts of the vocabularies' URIs. */
static const struct
{
	const char *name;
	uint32		bits;
}			vocabularies[] =
{
	{"core", FMS_VOCABULARY_CORE},
	{"applicator", FMS_VOCABULARY_APPLICATOR},
	{"unevaluated", FMS_VOCABULARY_UNEVALUATED},
	{"validation", FMS_VOCABULARY_VALIDATION},
	{"meta-data", FMS_VOCABULARY_METADATA},
	{"format", FMS_VOCABULARY_FORMAT},
	{"format-annotation", FMS_VOCABULARY_FORMAT},
	{"format-assertion", FMS_VOCABULARY_FORMAT},
	{"content", FMS_VOCABULARY_CONTENT}
};

/*
 * The draft of a name ("2020-12", "draft-07", "7", or its metaschema's URI);
 * false if there is none.
 */
bool
fms_schema_draft(const char *name, size_t bytes, FmsDraft *draft)
{
	if (bytes > 0 && name[bytes - 1] == '#')
		bytes--;
	for (int i = 0; i < lengthof(drafts); i++)
	{
		const char *number = strstr(drafts[i].name, "-0") ? drafts[i].name + 7 : drafts[i].name;
		const char *candidates[3];

		candidates[0] = drafts[i].name;
		candidates[1] = number;
		candidates[2] = drafts[i].uri;
		*draft = drafts[i].draft;
		for (int k = 0; k < lengthof(candidates); k++)
		{
			if (strlen(candidates[k]) == bytes && memcmp(candidates[k], name, bytes) == 0)
				return true;
		}
	}
	return false;
}

/* The draft that a metaschema's URI means by itself; http and https are the same. */
static bool
standard(const char *uri, FmsDraft *draft)
{
	if (strncmp(uri, "https://", strlen("https://")) == 0)
		uri += strlen("https://");
	else if (strncmp(uri, "http://", strlen("http://")) == 0)
		uri += strlen("http://");
	else
		return false;
	return fms_schema_draft(uri, strlen(uri), draft);
}

/* The text of a built-in document, NULL if there is none of that URI. */
const char *
fms_dialect_metaschema(const char *uri)
{
	for (int i = 0; i < lengthof(fms_metaschemas); i++)
	{
		if (strcmp(fms_metaschemas[i].uri, uri) == 0)
			return fms_metaschemas[i].text;
	}
	return NULL;
}

/* The dialect of a URI if it is known already. */
static bool
find_known(FmsCompiler *compiler, const char *uri, uint32 *dialect)
{
	ListCell   *cell;

	foreach(cell, compiler->dialects)
	{
		if (strcmp(((FmsDialect *) lfirst(cell))->uri, uri) == 0)
		{
			*dialect = foreach_current_index(cell);
			return true;
		}
	}
	return false;
}

/* Add a dialect with everything that a draft has. */
static FmsDialect *
add_dialect(FmsCompiler *compiler, const char *uri, FmsDraft draft)
{
	MemoryContext old = MemoryContextSwitchTo(compiler->scratch);
	FmsDialect *dialect = palloc(sizeof(FmsDialect));

	dialect->uri = pstrdup(uri);
	dialect->draft = draft;
	dialect->vocabularies = FMS_VOCABULARIES_ALL;
	dialect->formats = compiler->options.formats ||
		(compiler->options.old_formats && draft <= FMS_DRAFT_7);
	compiler->dialects = lappend(compiler->dialects, dialect);
	MemoryContextSwitchTo(old);
	return dialect;
}

/*
 * Take one member of $vocabulary; false if it is unknown and required.  That the
 * assertion of formats is named is enough, for we can do it; 2019-09 has one
 * vocabulary for both, and true means assertion.
 */
static bool
add_vocabulary(FmsDialect *dialect, FmsValue name, bool required)
{
	for (int i = 0; i < lengthof(vocabularies); i++)
	{
		uint32		length = strlen(vocabularies[i].name);
		const char *last = name.data + name.length - length;

		if (name.length <= length || memcmp(last, vocabularies[i].name, length) != 0 ||
			last[-1] != '/' || strncmp(name.data, "https://json-schema.org/draft/", 30) != 0)
			continue;
		dialect->vocabularies |= vocabularies[i].bits;
		if (strcmp(vocabularies[i].name, "format-assertion") == 0 ||
			(strcmp(vocabularies[i].name, "format") == 0 && required))
			dialect->formats = true;
		return true;
	}
	return !required;
}

/* Narrow a dialect to the vocabularies that its metaschema names. */
static bool
apply_vocabularies(FmsDialect *dialect, FmsValue metaschema)
{
	FmsValue	chosen;
	FmsCursor	names;
	FmsCursor	values;

	if (dialect->draft < FMS_DRAFT_2019_09 ||
		!fms_member_of_kind(metaschema, "$vocabulary", FMS_KIND_OBJECT, &chosen))
		return true;
	dialect->vocabularies = FMS_VOCABULARY_CORE;
	names = fms_members(chosen, &values);
	for (uint32 i = 0; i < fms_count(chosen); i++)
	{
		FmsValue	name = fms_next(&names);

		if (!add_vocabulary(dialect, name, fms_next(&values).kind == FMS_KIND_TRUE))
			return false;
	}
	/* 2019-09 has the unevaluated keywords among the applicators */
	if (dialect->draft == FMS_DRAFT_2019_09 &&
		(dialect->vocabularies & FMS_VOCABULARY_APPLICATOR))
		dialect->vocabularies |= FMS_VOCABULARY_UNEVALUATED;
	return true;
}

/* The draft that a document is written in, through its chain of metaschemas. */
static bool
draft_of(FmsCompiler *compiler, FmsValue document, FmsDraft *draft)
{
	for (int i = 0; i < MAX_METASCHEMAS; i++)
	{
		FmsValue	value;
		char	   *uri;
		Jsonb	   *next;

		if (!fms_member_of_kind(document, "$schema", FMS_KIND_STRING, &value))
		{
			*draft = compiler->options.draft;
			return true;
		}
		uri = fms_value_string(value);
		fms_uri_cut_fragment(uri);
		if (standard(uri, draft))
			return true;
		if (!fms_document_fetch(compiler, uri, &next))
			return false;
		document = fms_value_of(next);
	}
	return false;
}

/* The dialect of schemas without $schema: the draft that the caller chose. */
uint32
fms_dialect_default(FmsCompiler *compiler, FmsDraft draft)
{
	uint32		dialect;

	if (!find_known(compiler, "", &dialect))
	{
		(void) add_dialect(compiler, "", draft);
		dialect = list_length(compiler->dialects) - 1;
	}
	return dialect;
}

/*
 * The dialect that $schema's URI means; false if there is no such metaschema,
 * or it demands a vocabulary that nobody here knows.
 */
bool
fms_dialect_find(FmsCompiler *compiler, const char *name, uint32 *dialect)
{
	MemoryContext old = MemoryContextSwitchTo(compiler->scratch);
	char	   *uri = pstrdup(name);
	FmsDialect *added = NULL;
	FmsDraft	draft;
	Jsonb	   *metaschema;
	bool		found;

	fms_uri_cut_fragment(uri);
	found = find_known(compiler, uri, dialect);
	if (!found && standard(uri, &draft))
		added = add_dialect(compiler, uri, draft);
	else if (!found && fms_document_fetch(compiler, uri, &metaschema) &&
			 draft_of(compiler, fms_value_of(metaschema), &draft))
	{
		added = add_dialect(compiler, uri, draft);
		if (!apply_vocabularies(added, fms_value_of(metaschema)))
			added = NULL;
	}
	if (added != NULL)
		*dialect = list_length(compiler->dialects) - 1;
	MemoryContextSwitchTo(old);
	return found || added != NULL;
}
