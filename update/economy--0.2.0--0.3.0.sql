-- complain if the script is sourced in psql rather than run by ALTER EXTENSION
\echo Use "ALTER EXTENSION economy UPDATE TO '0.3.0'" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL client_min_messages TO warning;

SELECT economy_internal.begin_update();

SELECT economy_internal.note_schema();
