/*-------------------------------------------------------------------------
 *
 * limit.h
 *	  Internal limits, and a build in which they are tiny.
 *
 * Code that has one way for few things and another one for many has a limit
 * between the two, which hardly any test passes.  So a limit of which a user
 * must not notice anything but time and memory is defined with FMS_LIMIT, where
 * it is used: first the value that serves best, then the smallest one that
 * works.  With FMS_TINY_LIMITS all of them have the second value, and what the
 * tests expect stays the same ("STAGES=limits make test").
 *
 * Limits that a user can see (the size of a request, the depth of a schema) are
 * no such limits: they have tests of their own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FMS_LIMIT_H
#define FMS_LIMIT_H

#ifdef FMS_TINY_LIMITS
#define FMS_LIMIT(usual, tiny) (tiny)
#else
#define FMS_LIMIT(usual, tiny) (usual)
#endif

#endif							/* FMS_LIMIT_H */
