-- the last word: nothing for PUBLIC

REVOKE ALL ON SCHEMA economy, economy_internal FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA economy, economy_internal FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA economy, economy_internal FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA economy, economy_internal FROM PUBLIC;

SELECT economy_internal.note_schema();
