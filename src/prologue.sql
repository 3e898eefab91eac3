-- complain if the script is sourced in psql rather than run by CREATE EXTENSION
\echo Use "CREATE EXTENSION economy" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL client_min_messages TO warning;

CREATE SCHEMA economy;
COMMENT ON SCHEMA economy IS 'The economy of a game or app; see economy.access_list() for what may be called.';
