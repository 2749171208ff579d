/* Concatenated by make from the rooms under src/; do not edit the result. */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION flowmaestro_spans" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
