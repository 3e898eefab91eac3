-- Settings and names that nothing may depend on, set for every later session of the
-- database that this runs in.  test/tap/t/090_settings.pl adds what pgTAP files cannot
-- bear themselves: operators that shadow those of their sums, quoted names in texts.

ALTER DATABASE :"DBNAME" SET DateStyle = 'German';
ALTER DATABASE :"DBNAME" SET TimeZone = 'Pacific/Chatham';
ALTER DATABASE :"DBNAME" SET IntervalStyle = 'sql_standard';
ALTER DATABASE :"DBNAME" SET bytea_output = 'escape';
ALTER DATABASE :"DBNAME" SET extra_float_digits = -15;
ALTER DATABASE :"DBNAME" SET standard_conforming_strings = off;
ALTER DATABASE :"DBNAME" SET escape_string_warning = off;
ALTER DATABASE :"DBNAME" SET backslash_quote = on;
ALTER DATABASE :"DBNAME" SET plpgsql.extra_errors = 'all';
ALTER DATABASE :"DBNAME" SET plpgsql.variable_conflict = 'use_column';
ALTER DATABASE :"DBNAME" SET default_transaction_isolation = 'serializable';
ALTER DATABASE :"DBNAME" SET transform_null_equals = on;
ALTER DATABASE :"DBNAME" SET xmlbinary = 'hex';
ALTER DATABASE :"DBNAME" SET timezone_abbreviations = 'India';
ALTER DATABASE :"DBNAME" SET search_path = planted, pg_catalog, public;
ALTER DATABASE :"DBNAME" SET row_security = off;
ALTER DATABASE :"DBNAME" SET default_text_search_config = 'german';
ALTER DATABASE :"DBNAME" SET check_function_bodies = off;

-- What shadows names that functions use, for whoever does not say which one is meant.
CREATE SCHEMA planted;
GRANT USAGE ON SCHEMA planted TO PUBLIC;
CREATE FUNCTION planted.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT TIMESTAMPTZ $a$1999-01-01 00:00+00$a$ $$;
CREATE TABLE planted.accounts (user_id bigint, seq bigint, gold bigint);
CREATE TABLE planted.users (LIKE planted.accounts);
CREATE TABLE planted.shop_transactions (LIKE planted.accounts);
CREATE TABLE planted.streaks (LIKE planted.accounts);
CREATE TABLE planted.games (LIKE planted.accounts);
