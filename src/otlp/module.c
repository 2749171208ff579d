/*-------------------------------------------------------------------------
 *
 * module.c
 *	  What makes the second library one that the server loads.
 *
 * It is loaded only by the workers that talk HTTP, so that no backend carries
 * the libraries that they need.  It finds the functions of the first library
 * because that one is preloaded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

FMS_MODULE_MAGIC;
