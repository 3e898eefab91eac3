-- What is wrong with a value of the configuration is said in words: code, detail and
-- hint, and no name of a constraint.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.failure(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint   text;
BEGIN
    EXECUTE statement;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', sqlstate, CASE hint WHEN '' THEN 'no hint' END, detail);
END
$$;
SELECT is(pg_temp.failure(format('SELECT economy.set_daily_rewards(%s, ''a'', %s)', given, coalesce(at::text, 'NULL'))), 'XE901 | ' || detail, 'daily rewards ' || given)
FROM (VALUES
    ('''{}''',                                  NULL, 'it must be a JSON array of days.'),
    ('''[{}, 1]''',                             NULL, 'day 2: it must be a JSON object.'),
    ('''[{}, {"days": 1}]''',                   NULL, 'day 2: "days" is no such column that can be set.'),
    ('''[{"contents": {"pgtap none": 1}}]''',   NULL, 'day 1: item "pgtap none" does not exist.'),
    ('''[{"contents": {}}]''',                  NULL, 'day 1: contents must be an object of 1 to 16 items, each with a whole number from 1 to 2^53-1.'),
    ('jsonb_build_array(jsonb_build_object(''contents'', repeat(''x'', 3071)))', NULL, 'day 1: contents must have 3072 bytes as text.'),
    ('''[{"gold": -1}]''',                      NULL, 'day 1: gold must be from 0 to 2^53-1.'),
    ('''[{"gold": 1}, {"gold": "much"}]''',     NULL, 'day 2: gold: invalid input syntax for type bigint: "much".'),
    ('''[{"xp": 9007199254740992}]''',          NULL, 'day 1: xp must be from 0 to 2^53-1.'),
    ('''[{"xp": null}]''',                      NULL, 'day 1: xp must not be null.'),
    ('(SELECT jsonb_agg(''{}''::jsonb) FROM generate_series(1, 367))', NULL, 'day 367: there must be 1 to 366 days.'),
    ('''[{}, {}]''',                            3,    'day 2: continues_at must be from 1 to the last day, or null for the last day itself.'),
    ('NULL',                                    1,    'continues_at is of a calendar that has days.')) v (given, at, detail);
SELECT is(pg_temp.failure(format('SELECT economy.upsert_product(%L, ''a'')', jsonb '{"product_id": "pgtap_p", "category": "item", "price_gold": 1}' || given::jsonb)), 'XE301 | ' || detail, 'product ' || left(given, 60))
FROM (VALUES
    (format('{"product_id": "%s"}', repeat('p', 65)), 'product_id must have 1 to 64 bytes.'),
    ('{"category": "box"}',                    'category must be conversion or item.'),
    ('{"price_gold": -1}',                     'price_gold must be from 0 to 2^53-1.'),
    ('{"source_points": 9007199254740992}',    'source_points must be from 0 to 2^53-1.'),
    ('{"category": "conversion", "price_gold": 0, "granted_gold": -1}', 'granted_gold must be from 0 to 2^53-1.'),
    ('{"monetary": -1}',                       'monetary must be from 0 to 2^53-1.'),
    ('{"per_user_limit": 0}',                  'per_user_limit must be 1 or more.'),
    ('{"per_user_limit": 1, "limit_period": "year"}', 'limit_period must be ever, day, week or month.'),
    ('{"limit_period": "day"}',                'limit_period is that of a per_user_limit, which is not given.'),
    ('{"limit_once": true, "per_user_limit": 1}', 'limit_once and per_user_limit exclude each other.'),
    ('{"effect_code": ""}',                    'effect_code must have 1 to 64 bytes.'),
    ('{"extra": []}',                          'extra must be a JSON object.'),
    ('{"starts_at": "2031-01-02T00:00:00Z", "ends_at": "2031-01-02T00:00:00Z"}', 'starts_at must be before ends_at.'),
    ('{"granted_gold": 5}',                    'price_gold of a conversion must be 0, and granted_gold of an item.'),
    ('{"active": null}',                       'active must not be null.'),
    ('{"monetary": "seven"}',                  'monetary: invalid input syntax for type bigint: "seven".'),
    ('{"monetary": 1e30}',                     'monetary: value "1000000000000000000000000000000" is out of range for type bigint.'),
    ('{"limit_once": "maybe"}',                'limit_once: invalid input syntax for type boolean: "maybe".')) v (given, detail);
SELECT is(pg_temp.failure(format('SELECT economy.set_rfm_model(%L, ''a'')', jsonb '{"model": "pgtap"}' || given::jsonb)), 'XE603 | ' || detail, 'model ' || left(given, 60))
FROM (VALUES
    (format('{"model": "%s"}', repeat('m', 65)), 'model must have 1 to 64 bytes.'),
    ('{"window_days": 0}',         'window_days must be from 1 to 36500.'),
    ('{"recency_clamp": 36501}',   'recency_clamp must be from 1 to 36500.'),
    ('{"recency_kind": "x", "recency_breaks": [0.1, 0.2, 0.3, 0.4]}',   'recency_kind must be fixed, quantile or quantile_plus_one.'),
    ('{"frequency_kind": "x"}',    'frequency_kind must be fixed, quantile or quantile_plus_one.'),
    ('{"monetary_kind": "x"}',     'monetary_kind must be fixed, quantile or quantile_plus_one.'),
    ('{"population": "x"}',        'population must be active or all.'),
    ('{"recency_weight": 2}',      'recency_weight must be from 0 to 1.'),
    ('{"frequency_weight": -1}',   'frequency_weight must be from 0 to 1.'),
    ('{"monetary_weight": 1.1}',   'monetary_weight must be from 0 to 1.'),
    ('{"monetary_weight": null}',  'monetary_weight must not be null.'),
    ('{"recency_breaks": [1, 2]}', 'recency_breaks must be four rising numbers, fractions between 0 and 1 for quantiles.'),
    ('{"monetary_kind": "fixed", "monetary_breaks": [1, 2, 3, 9007199254740992]}', 'monetary_breaks must be four rising numbers, fractions between 0 and 1 for quantiles.'),
    ('{"monetary_kind": "fixed", "monetary_breaks": [1, 2, 3, "NaN"]}', 'monetary_breaks must be four rising numbers, fractions between 0 and 1 for quantiles.'),
    ('{"monetary_breaks": [0.1, 0.2, 0.3, "NaN"]}', 'monetary_breaks must be four rising numbers, fractions between 0 and 1 for quantiles.'),
    ('{"monetary_kind": "fixed", "monetary_breaks": [-1, 2, 3, 4]}', 'monetary_breaks must be four rising numbers, fractions between 0 and 1 for quantiles.'),
    ('{"window_days": "soon"}',    'window_days: invalid input syntax for type integer: "soon".')) v (given, detail);
SELECT is(pg_temp.failure(format('SELECT economy.set_segment_rules(%L, ''a'')', jsonb_build_array(jsonb '{"segment": "all"}', jsonb '{"segment": "s"}' || given::jsonb))), 'XE601 | ' || detail, 'rule ' || given)
FROM (VALUES
    ('{"segment": ""}',            'segment must have 1 to 64 bytes.'),
    ('{"segment": null}',          'segment must not be null.'),
    ('{"recency_from": -1}',       'recency_from must be 0 or more.'),
    ('{"recency_from": 3, "recency_to": 2}',     'recency_to must be recency_from or more.'),
    ('{"frequency_from": -1}',     'frequency_from must be 0 or more.'),
    ('{"frequency_from": 3, "frequency_to": 2}', 'frequency_to must be frequency_from or more.'),
    ('{"monetary_from": "p61"}',   'monetary_from must be a whole number of up to 16 digits, p60 or p95.'),
    ('{"monetary_below": "-1"}',   'monetary_below must be a whole number of up to 16 digits, p60 or p95.'),
    ('{"bought": "often"}',        'bought: invalid input syntax for type boolean: "often".')) v (given, detail);
SELECT is(pg_temp.failure(format('SELECT economy.set_recommendations(%L, %L, %L, ''a'')', placement, settings, jsonb_build_array(jsonb '{"segment": "s", "arm": "first", "cta": "c"}', jsonb '{"segment": "s", "arm": "a", "cta": "c"}' || arm::jsonb))),
    'XE607 | ' || detail, 'placement ' || concat_ws(' ', placement, settings, left(arm, 60)))
FROM (VALUES
    ('', '{}', '{}',                                    'placement must have 1 to 64 bytes.'),
    ('p', '{"policy": "best"}', '{}',                   'policy must be rules or thompson.'),
    ('p', '{"attribution_window": "1 second"}', '{}',   'attribution_window must be from 1 minute to 90 days.'),
    ('p', '{"half_life": "1 second"}', '{}',            'half_life must be from 1 hour to 3650 days.'),
    ('p', '{"exploration": 2}', '{}',                   'exploration must be from 0 to 1.'),
    ('p', '{"exploration": "much"}', '{}',              'exploration: invalid input syntax for type double precision: "much".'),
    ('p', '{"half_life": "long"}', '{}',                'half_life: invalid input syntax for type interval: "long".'),
    ('p', '{}', '{"segment": ""}',                      'segment must have 1 to 64 bytes.'),
    ('p', '{}', '{"arm": ""}',                          'arm must have 1 to 64 bytes.'),
    ('p', '{}', '{"arm": "first"}',                     'a segment has an arm of this name already.'),
    ('p', '{}', '{"cta": ""}',                          'cta must have 1 to 255 bytes.'),
    ('p', '{}', '{"cta": null}',                        'cta must not be null.'),
    ('p', '{}', '{"product_id": ""}',                   'product_id must have 1 to 64 bytes.')) v (placement, settings, arm, detail);
SELECT is(pg_temp.failure(format('SELECT economy.set_level_experiment(''e'', %L)', jsonb_build_array(jsonb '{"arm": "first", "curve": "linear", "share": 1}', jsonb '{"arm": "a", "curve": "linear", "share": 1}' || arm::jsonb))), 'XE002 | ' || detail, 'arm ' || arm)
FROM (VALUES
    ('{"arm": ""}',       'arm must have 1 to 64 bytes.'),
    ('{"arm": null}',     'arm must not be null.'),
    ('{"arm": "first"}',  'the experiment has an arm of this name already.'),
    ('{"share": 10001}',  'share must be from 0 to 10000.'),
    ('{"share": "half"}', 'share: invalid input syntax for type integer: "half".')) v (arm, detail);

-- a constraint that is added later has words, too
SELECT is((SELECT string_agg(c.conname, ', ') FROM pg_constraint c
           WHERE c.contype = 'c' AND obj_description(c.oid, 'pg_constraint') IS NULL AND c.conname <> 'shop_products_counted_check' AND c.conrelid IN (
               'economy.shop_products'::regclass, 'economy.rfm_models'::regclass, 'economy.segment_rules'::regclass,
               'economy.recommendation_placements'::regclass, 'economy.recommendation_arms'::regclass, 'economy.level_experiments'::regclass)), NULL, 'every constraint of a configuration has its words');
-- but that of a DBA, whose name is all there is
ALTER TABLE economy.shop_products ADD CONSTRAINT pgtap_dear CHECK (price_gold < 1000 OR product_id NOT LIKE 'pgtap%');
SELECT is(pg_temp.failure($$SELECT economy.upsert_product('{"product_id": "pgtap_p", "category": "item", "price_gold": 1000}', 'a')$$),
    'XE301 | new row for relation "shop_products" violates check constraint "pgtap_dear".', 'a constraint of the DBA is named');
-- what is changed by hand is noted by hand, and what is not there is not
SELECT is(pg_temp.failure(format($$SELECT economy.note_change(%s)$$, given)), detail, 'note_change(' || given || ')')
FROM (VALUES
    ($$NULL, 'pgtap', 'by hand', 'a'$$,       'XE001 | no hint | '),
    ($$'games', NULL, 'by hand', 'a'$$,       'XE001 | no hint | '),
    ($$'games', 'pgtap', NULL, 'a'$$,         'XE001 | no hint | '),
    ($$'games', 'pgtap', 'by hand', NULL$$,   'XE001 | no hint | '),
    ($$'games', 'pgtap', 'by hand', 'a'$$,    'XE002 | '),
    ($$'game', 'crash', 'by hand', 'a'$$,     'XE002 | ')) v (given, detail);
SELECT is_empty($$SELECT FROM economy_internal.config_heads h WHERE h.key IN ('pgtap', 'crash')$$, 'and leaves nothing');
SELECT economy.register_game('pgtap');
DELETE FROM economy.games WHERE game = 'pgtap';
SELECT economy.note_change('games', 'pgtap', 'by hand', 'a', 3);
SELECT is((SELECT string_agg(concat_ws(' ', c.action, c.before IS NULL, c.after IS NULL, c.units), ', ' ORDER BY c.change_no) FROM economy.config_changes c WHERE c.key = 'pgtap'),
    'register t f, by hand f t 3', 'one that is gone is noted as gone');
SELECT is_empty($$SELECT * FROM economy_internal.audit_config() f WHERE f.expected ~ 'pgtap'$$, 'and no finding');
SELECT * FROM finish();
ROLLBACK;
