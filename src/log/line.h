/*-------------------------------------------------------------------------
 *
 * line.h
 *	  One JSON object on one line, written member by member into memory that
 *	  may be short.
 *
 * Nothing here calls the server, throws or blocks: the log hook writes with it
 * when nothing else may be relied on, and the fuzzer without a server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_LOG_LINE_H
#define FMS_LOG_LINE_H

/* the member that marks a line that could not be written whole */
#define FMS_LINE_TRUNCATED "flowmaestro.truncated"

/* what the bytes of texts are; JSON is UTF-8 */
typedef enum FmsLineEncoding
{
	FMS_LINE_UTF8,				/* what is not valid becomes U+FFFD */
	FMS_LINE_LATIN1,
	FMS_LINE_BYTES				/* any other: bytes above 127 are written as
								 * \xNN */
} FmsLineEncoding;

typedef struct FmsLine
{
	char	   *data;			/* the line; not NUL-terminated */
	Size		used;			/* bytes of it so far */
	Size		size;			/* bytes that data has room for */
	Size		limit;			/* bytes that the line may take at most */
	char	   *base;			/* memory of the caller that it began in */
	FmsLineEncoding encoding;
	bool		truncated;		/* something did not fit */
} FmsLine;

extern void fms_line_begin(FmsLine *line, char *base, Size size, Size limit,
						   FmsLineEncoding encoding);
extern void fms_line_text(FmsLine *line, const char *key, const char *text, Size length);
extern void fms_line_string(FmsLine *line, const char *key, const char *string);
extern void fms_line_integer(FmsLine *line, const char *key, int64 value);
extern void fms_line_members(FmsLine *line, const char *json, Size length);
extern bool fms_line_open(FmsLine *line, const char *key);
extern void fms_line_close(FmsLine *line);
extern void fms_line_end(FmsLine *line);
extern void fms_line_free(FmsLine *line);

#endif							/* FMS_LOG_LINE_H */
