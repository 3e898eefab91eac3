-- The contract, for the validators.
SELECT jsonb_build_object('schemas', jsonb_object_agg(name, schema), 'asyncapi', economy.asyncapi())
FROM economy.event_types WHERE version > 0;
