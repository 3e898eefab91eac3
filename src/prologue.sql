-- complain if the script is sourced in psql rather than run by CREATE EXTENSION
\echo Use "CREATE EXTENSION economy" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL client_min_messages TO warning;

CREATE SCHEMA economy;
COMMENT ON SCHEMA economy IS
    'The economy of a game or app; see economy.access_list() for what may be called.';
CREATE SCHEMA economy_internal;
COMMENT ON SCHEMA economy_internal IS
    'What the functions of schema economy are made of, and keep for their next call; '
    'nobody needs to call or read it.';

-- What a user writes is hashed and signed as bytes: in another encoding they would be others.
DO $$
BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'economy works in UTF8 databases only' USING ERRCODE = 'XE803',
            DETAIL = format('This one is in %s; what is hashed and signed here '
                            'would not be the same after a restore elsewhere.',
                            getdatabaseencoding()),
            HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0 LOCALE ''C.UTF-8''.';
    END IF;
END
$$;

-- A preloaded library stays what it was until the server restarts.
CREATE FUNCTION economy.library_version() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_library_version';
COMMENT ON FUNCTION economy.library_version() IS
    'Release of the library that this session has loaded; pg_extension has that of the objects.';
-- Updates ask it too, by begin_update(): by then the extension is of the version that it is to
-- be.  A newer library knows the objects of all releases before, until they are updated.
CREATE FUNCTION economy_internal.require_library() RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    version text := (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'economy');
BEGIN
    IF string_to_array(economy.library_version(), '.')::integer[]
            < string_to_array(version, '.')::integer[] THEN
        RAISE EXCEPTION 'the library economy that is loaded is of version %, not %',
            economy.library_version(), version
            USING ERRCODE = 'XE804',
            HINT = 'Restart the server: a library in shared_preload_libraries stays what it was '
                   'until then. Without preload, connect again.';
    END IF;
END
$$;
COMMENT ON FUNCTION economy_internal.require_library() IS
    'Raises XE804 unless the library that this session has loaded is as new as the objects.';
SELECT economy_internal.require_library();
