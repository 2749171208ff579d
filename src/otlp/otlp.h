/*-------------------------------------------------------------------------
 *
 * otlp.h
 *	  What both directions of OTLP have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_OTLP_OTLP_H
#define FMS_OTLP_OTLP_H

/*
 * Arrays and maps in an attribute, at most: our decoders refuse what is deeper,
 * and what we send has to be good for others that do the same.
 */
#define FMS_OTLP_MAX_DEPTH 64

#endif							/* FMS_OTLP_OTLP_H */
