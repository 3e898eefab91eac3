-- the event contract: what every event looks like

CREATE TABLE economy.event_types (
    name        text    NOT NULL COLLATE "C" CONSTRAINT event_types_pkey PRIMARY KEY
        CONSTRAINT event_types_name_check CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    version     integer NOT NULL CONSTRAINT event_types_version_check CHECK (version >= 0),
    description text    NOT NULL,
    schema      jsonb   NOT NULL,
    sample      jsonb,
    CONSTRAINT event_types_sample_check CHECK (version = 0 OR sample IS NOT NULL)
);
-- the condition dumps none: every row is of the extension
SELECT pg_catalog.pg_extension_config_dump('economy.event_types', 'WHERE false');
COMMENT ON TABLE economy.event_types IS
    'The event contract: each type with the JSON Schema of its events and a sample.';
COMMENT ON COLUMN economy.event_types.version IS
    'Goes up when members are added; what would break a client is a new type. '
    '0: the name is reserved, nothing sends it.';
COMMENT ON COLUMN economy.event_types.schema IS 'JSON Schema, draft 2020-12, of the whole event.';

-- `data` has the members of `own` and those that all events share, always.  The
-- deltas stand in one event of an entry only, so that summing them up is right.
-- All are required but those that the rules call optional.
INSERT INTO economy.event_types (name, version, description, schema, sample)
SELECT t.name, t.version, t.description,
       jsonb_build_object(
           '$schema', 'https://json-schema.org/draft/2020-12/schema',
           '$id', 'urn:economy:event:' || t.name || ':' || t.version,
           'title', t.name,
           'description', t.description,
           'type', 'object',
           'required', '["specversion", "id", "source", "type", "subject", "time", "sequence",
                         "datacontenttype", "data"]'::jsonb,
           'properties', jsonb_build_object(
               'specversion', '{"const": "1.0"}'::jsonb,
               'id', jsonb_build_object('type', 'string', 'pattern', t.id_pattern,
                   'description', 'Unique within source: the transaction_id, with / and an aspect '
                                  'when it is not the first event of the entry.'),
               'source', '{"type": "string", "format": "uri-reference",
                           "pattern": "^/economy/node/[0-9]+$",
                           "description": "The node that the event is of."}'::jsonb,
               'type', jsonb_build_object('const', t.name),
               'subject', '{"type": "string", "pattern": "^[0-9]+$",
                            "description": "The user_id."}'::jsonb,
               'time', '{"type": "string", "format": "date-time",
                         "description": "When the entry was made, UTC."}'::jsonb,
               'sequence', '{"type": "string", "pattern": "^[0-9]{20}$",
                             "description": "seq with 20 digits, which sorts as text."}'::jsonb,
               'datacontenttype', '{"const": "application/json"}'::jsonb,
               'data', jsonb_build_object(
                   'type', 'object',
                   'properties', t.own || m.always
                       || CASE WHEN t.own ? 'items' THEN m.items ELSE '{}' END
                       || CASE WHEN t.deltas <> 'never' THEN m.deltas ELSE '{}' END,
                   'required', (
                       SELECT jsonb_agg(k ORDER BY k)
                       FROM jsonb_object_keys(
                           t.own || m.always
                           || CASE WHEN t.deltas = 'always' THEN m.deltas ELSE '{}' END) k
                       WHERE NOT coalesce(t.rules -> 'optional' ? k, false)))
                   || (t.rules - 'optional'::text))),
       t.sample
FROM (VALUES
    ('purchase_update', 2, 'A purchase was made.',
     '^P[0-9]+-[0-9]+$', 'always',
     '{"product_id": {"type": "string", "minLength": 1, "maxLength": 64},
       "category": {"enum": ["conversion", "item"]},
       "quantity": {"type": "integer", "minimum": 1, "maximum": 2147483647},
       "status": {"enum": ["SUCCESS", "PENDING"]},
       "effect_code": {"type": ["string", "null"], "minLength": 1, "maxLength": 64,
                       "description": "What the app applies."},
       "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255},
       "items": {}}'::jsonb,
     '{"optional": ["items"]}'::jsonb,
     '{"specversion": "1.0", "id": "P3-2", "source": "/economy/node/0", "type": "purchase_update",
       "subject": "3", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000002",
       "datacontenttype": "application/json",
       "data": {"product_id": "potion", "category": "item", "quantity": 3, "status": "SUCCESS",
                "effect_code": "heal_50", "idempotency_key": "order-2", "seq": 2,
                "gold_delta": -45, "xp_delta": 0, "gold": 1955, "experience_points": 0}}'::jsonb),
    ('reward_granted', 2,
     'A reward was granted, a daily reward claimed, a reward reversed, or a streak corrected.',
     '^R[0-9]+-[0-9]+$', 'always',
     '{"source": {"type": "string", "minLength": 1, "maxLength": 64,
                  "description": "economy:daily_streak for a claim, economy:reversal for a '
                  'reversal (with : and the name of the reward when it has a key of its own), '
                  'economy:set_streak for a correction."},
       "external_event_id": {"type": "string", "minLength": 1, "maxLength": 255,
                             "description": "Of a claim its date, of a reversal the '
                             'transaction_id of the reward or its own key."},
       "streak_day": {"type": ["integer", "null"], "minimum": 0,
                      "description": "The length of the streak after an entry that changes it."},
       "level": {"type": "integer", "minimum": 1, "maximum": 2147483647,
                 "description": "After the entry, on the curve that the user has '
                 'when the event is told."},
       "leveled_up": {"type": "boolean"},
       "items": {}}',
     '{"optional": ["items"]}',
     '{"specversion": "1.0", "id": "R4-2", "source": "/economy/node/0", "type": "reward_granted",
       "subject": "4", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000002",
       "datacontenttype": "application/json",
       "data": {"source": "mission", "external_event_id": "mission-7", "streak_day": null,
                "level": 2, "leveled_up": true, "seq": 2, "gold_delta": 10, "xp_delta": 500,
                "gold": 20, "experience_points": 500}}'),
    ('profile_update', 1,
     'Something about a user changed: the level (by what gives XP), the gold '
     '(by an admin), the time zone, the status, the profile, the external id or the segment.',
     '^([ABHPR][0-9]+-[0-9]+/level|[GU][0-9]+-[0-9]+|S[0-9]+-[0-9]+/segment/[0-9]+)$', 'some',
     '{"field": {"type": "string", "pattern": "^[a-z_]{1,64}$",
                 "description": "What changed: level, gold, timezone, status, profile, '
                 'external_id, segment. Ignore others."},
       "before": {"type": ["string", "integer", "null"]},
       "after": {"type": ["string", "integer", "null"]},
       "keys": {"type": ["array", "null"], "items": {"type": "string"},
                "description": "profile: names of the members that changed; '
                'null: too many for an event."}}',
     '{"optional": ["keys"], "allOf": [
         {"if": {"properties": {"field": {"const": "level"}}},
          "then": {"properties": {"before": {"type": "integer", "minimum": 1},
                                  "after": {"type": "integer", "minimum": 1}}}},
         {"if": {"properties": {"field": {"const": "gold"}}},
          "then": {"properties": {"before": {"type": "integer", "minimum": 0},
                                  "after": {"type": "integer", "minimum": 0}}}},
         {"if": {"properties": {"field": {"const": "timezone"}}},
          "then": {"properties": {"before": {"type": "string"}, "after": {"type": "string"}}}},
         {"if": {"properties": {"field": {"const": "status"}}},
          "then": {"properties": {"before": {"enum": ["active", "suspended"]},
                                  "after": {"enum": ["active", "suspended"]}}}},
         {"if": {"properties": {"field": {"const": "profile"}}},
          "then": {"properties": {"before": {"type": "null"}, "after": {"type": "null"},
                                  "keys": true}, "required": ["keys"]},
          "else": {"properties": {"keys": false}}},
         {"if": {"properties": {"field": {"const": "external_id"}}},
          "then": {"properties": {"before": {"type": ["string", "null"], "maxLength": 255},
                                  "after": {"type": ["string", "null"], "maxLength": 255}}}},
         {"if": {"properties": {"field": {"const": "segment"}}},
          "then": {"properties": {"before": {"type": ["string", "null"]},
                                  "after": {"type": "string"}}}},
         {"if": {"properties": {"field": {"enum": ["level", "segment"]}}},
          "then": {"properties": {"gold_delta": false, "xp_delta": false}},
          "else": {"required": ["gold_delta", "xp_delta"]}}]}',
     '{"specversion": "1.0", "id": "R4-2/level", "source": "/economy/node/0",
       "type": "profile_update", "subject": "4", "time": "2026-03-02T12:00:00.000000Z",
       "sequence": "00000000000000000002", "datacontenttype": "application/json",
       "data": {"field": "level", "before": 1, "after": 2,
                "seq": 2, "gold": 20, "experience_points": 500}}'),
    ('user_action', 2, 'A game action was recorded.',
     '^A[0-9]+-[0-9]+$', 'always',
     '{"game": {"type": "string", "minLength": 1, "maxLength": 64},
       "action_type": {"type": "string", "minLength": 1, "maxLength": 64},
       "action_id": {"type": "string", "minLength": 1, "maxLength": 255},
       "bet": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "win": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "outcome": {"enum": ["win", "loss", "draw"]},
       "stats": {"type": "object",
                 "description": "The members of stats_delta, when economy.notify_stats is '
                 'with_action; then there is no such event.",
                 "properties": {
                     "total_delta": {"const": 1},
                     "wins_delta": {"enum": [0, 1]},
                     "losses_delta": {"enum": [0, 1]},
                     "draws_delta": {"enum": [0, 1]},
                     "bet_delta": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
                     "win_delta": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
                     "total": {"type": "integer", "minimum": 1},
                     "wins": {"type": "integer", "minimum": 0},
                     "losses": {"type": "integer", "minimum": 0},
                     "draws": {"type": "integer", "minimum": 0},
                     "max_win": {"type": "integer", "minimum": 0, "maximum": 9007199254740991}},
                 "required": ["total_delta", "wins_delta", "losses_delta", "draws_delta",
                              "bet_delta", "win_delta", "total", "wins", "losses", "draws",
                              "max_win"]}}',
     '{"optional": ["stats"]}',
     '{"specversion": "1.0", "id": "A4-3", "source": "/economy/node/0", "type": "user_action",
       "subject": "4", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000003",
       "datacontenttype": "application/json",
       "data": {"game": "rps", "action_type": "RPS_PLAY", "action_id": "round-1", "bet": 5,
                "win": 10, "outcome": "win", "seq": 3, "gold_delta": 5, "xp_delta": 0,
                "gold": 25, "experience_points": 500}}'),
    ('stats_delta', 1,
     'What an action added to the user''s statistics of its game, and the totals: those right '
     'after it, or, where the entry was read to be told, those of then, with later actions.',
     '^A[0-9]+-[0-9]+/stats$', 'never',
     '{"game": {"type": "string", "minLength": 1, "maxLength": 64},
       "total_delta": {"const": 1},
       "wins_delta": {"enum": [0, 1]},
       "losses_delta": {"enum": [0, 1]},
       "draws_delta": {"enum": [0, 1]},
       "bet_delta": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "win_delta": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "total": {"type": "integer", "minimum": 1},
       "wins": {"type": "integer", "minimum": 0},
       "losses": {"type": "integer", "minimum": 0},
       "draws": {"type": "integer", "minimum": 0},
       "max_win": {"type": "integer", "minimum": 0, "maximum": 9007199254740991}}',
     '{}',
     '{"specversion": "1.0", "id": "A4-3/stats", "source": "/economy/node/0",
       "type": "stats_delta", "subject": "4", "time": "2026-03-02T12:00:00.000000Z",
       "sequence": "00000000000000000003", "datacontenttype": "application/json",
       "data": {"game": "rps", "total_delta": 1, "wins_delta": 1, "losses_delta": 0,
                "draws_delta": 0, "bet_delta": 5, "win_delta": 10,
                "total": 1, "wins": 1, "losses": 0, "draws": 0, "max_win": 10,
                "seq": 3, "gold": 25, "experience_points": 500}}'),
    ('holding_update', 1,
     'Items were given or used up, gold was spent, or a user gave to another, outside the shop '
     'and the rewards.',
     '^H[0-9]+-[0-9]+$', 'always',
     '{"operation": {"enum": ["spend", "consume", "grant", "draw", "transfer_out", "transfer_in",
                              "escrow_hold", "escrow_close", "escrow_in", "round_open",
                              "debt"],
                     "description": "What was called. Ignore others."},
       "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255},
       "reason": {"type": "string", "minLength": 1, "maxLength": 64},
       "items": {},
       "detail": {"type": ["object", "null"],
                  "description": "What else there is to say of the operation."}}',
     '{}',
     '{"specversion": "1.0", "id": "H3-3", "source": "/economy/node/0", "type": "holding_update",
       "subject": "3", "time": "2026-03-02T12:00:00.000000Z", "sequence": "00000000000000000003",
       "datacontenttype": "application/json",
       "data": {"operation": "consume", "idempotency_key": "door-7", "reason": "open_door",
                "items": [{"item": "key", "delta": -1, "balance": 2}], "detail": null, "seq": 3,
                "gold_delta": 0, "xp_delta": 0, "gold": 1955, "experience_points": 0}}'),
    ('purchase_refunded', 1,
     'A purchase was taken back, all of it or a part.',
     '^B[0-9]+-[0-9]+$', 'always',
     '{"purchase": {"type": "string", "pattern": "^P[0-9]+-[0-9]+$",
                    "description": "The transaction_id of the purchase."},
       "product_id": {"type": "string", "minLength": 1, "maxLength": 64},
       "quantity": {"type": "integer", "minimum": 1, "maximum": 2147483647,
                    "description": "Units that were taken back."},
       "debt_gold": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
                     "description": "Gold that was to be taken, and was not there."},
       "reason": {"type": "string", "minLength": 1, "maxLength": 1000},
       "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255},
       "items": {}}',
     '{"optional": ["items"]}',
     '{"specversion": "1.0", "id": "B3-4", "source": "/economy/node/0",
       "type": "purchase_refunded", "subject": "3", "time": "2026-03-02T12:00:00.000000Z",
       "sequence": "00000000000000000004", "datacontenttype": "application/json",
       "data": {"purchase": "P3-2", "product_id": "potion", "quantity": 1, "debt_gold": 0,
                "reason": "bought by mistake", "idempotency_key": "refund-1", "seq": 4,
                "gold_delta": 15, "xp_delta": 0, "gold": 1970, "experience_points": 0}}'),
    ('mission_update', 1,
     'An entry has completed a mission. What the mission pays is claimed, which is an entry of '
     'its own. Told as long as the mission''s period, or the time to claim it, is not over.',
     '^[A-Z][0-9]+-[0-9]+/mission/[A-Za-z0-9_.-]{1,48}$', 'never',
     '{"mission": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,48}$"},
       "version": {"type": "integer", "minimum": 1, "maximum": 2147483647},
       "period": {"type": "string", "minLength": 1, "maxLength": 32,
                  "description": "once, 2026-01-31 or 2026-W05: what claim_mission() takes."},
       "state": {"type": "string", "pattern": "^[a-z_]{1,64}$",
                 "description": "What has come of it: completed. Ignore others."},
       "progress": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
       "target": {"type": "integer", "minimum": 1, "maximum": 9007199254740991}}',
     '{}',
     '{"specversion": "1.0", "id": "A4-3/mission/first_win", "source": "/economy/node/0",
       "type": "mission_update", "subject": "4", "time": "2026-03-02T12:00:00.000000Z",
       "sequence": "00000000000000000003", "datacontenttype": "application/json",
       "data": {"mission": "first_win", "version": 1, "period": "once", "state": "completed",
                "progress": 1, "target": 1, "seq": 3, "gold": 25, "experience_points": 500}}')
) t (name, version, description, id_pattern, deltas, own, rules, sample)
CROSS JOIN (SELECT
    '{"seq": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
              "description": "Number of the user''s entry."},
      "gold": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
               "description": "After the entry."},
      "experience_points": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
                            "description": "After the entry."}}'::jsonb AS always,
    '{"gold_delta": {"type": "integer",
                     "minimum": -9007199254740991, "maximum": 9007199254740991},
      "xp_delta": {"type": "integer",
                   "minimum": -9007199254740991, "maximum": 9007199254740991}}'::jsonb
        AS deltas,
    '{"items": {"type": "array", "minItems": 0, "maxItems": 16,
                "description": "Items that the entry moved.", "items": {
          "type": "object", "required": ["item", "delta", "balance"],
          "properties": {
              "item": {"type": "string", "minLength": 1, "maxLength": 64},
              "delta": {"type": "integer",
                        "minimum": -9007199254740991, "maximum": 9007199254740991,
                        "description": "Units, of a pass seconds."},
              "balance": {"type": "integer", "minimum": 0, "maximum": 9007199254740991,
                          "description": "After the entry: units, of a pass the second since '
                          '1970 UTC at which it ends."}}}}}'::jsonb AS items) m;

CREATE FUNCTION economy.asyncapi() RETURNS jsonb
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp
    BEGIN ATOMIC
        SELECT economy_internal.open_tables('event_types');
        SELECT jsonb_build_object(
            'asyncapi', '3.0.0',
            'info', jsonb_build_object('title', 'economy',
                'version', (SELECT x.extversion FROM pg_extension x WHERE x.extname = 'economy'),
                'description', 'Events of the economy of a game or app, by LISTEN and NOTIFY of '
                    'PostgreSQL; the payload is a CloudEvents 1.0 event. A payload is news, not '
                    'proof: the journals are the authority.'),
            'defaultContentType', 'application/cloudevents+json',
            'channels', jsonb_object_agg(t.name, jsonb_build_object(
                    'address', t.name, 'description', t.description,
                    'messages', jsonb_build_object(t.name, jsonb_build_object(
                        '$ref', '#/components/messages/' || t.name))))
                || jsonb_build_object('economy_user', jsonb_build_object(
                    'address', 'economy_user_{user_id}',
                    'description',
                        'Every event of one user, when economy.notify_user_channels is on.',
                    'parameters',
                        '{"user_id": {"description": "The user_id, as in subject."}}'::jsonb,
                    'messages', jsonb_object_agg(t.name, jsonb_build_object(
                        '$ref', '#/components/messages/' || t.name)))),
            'operations', jsonb_object_agg('send_' || t.name, jsonb_build_object(
                    'action', 'send', 'summary', t.description,
                    'channel', jsonb_build_object('$ref', '#/channels/' || t.name),
                    'messages', jsonb_build_array(jsonb_build_object(
                        '$ref', '#/channels/' || t.name || '/messages/' || t.name))))
                || jsonb_build_object('send_to_user', jsonb_build_object(
                    'action', 'send',
                    'channel', jsonb_build_object('$ref', '#/channels/economy_user'))),
            'components', jsonb_build_object('messages', jsonb_object_agg(
                t.name, jsonb_build_object(
                'name', t.name, 'title', t.name, 'summary', t.description,
                'contentType', 'application/cloudevents+json',
                -- the keywords that the schema uses mean the same in AsyncAPI's own dialect
                'payload', t.schema - '$schema' - '$id',
                'examples', jsonb_build_array(jsonb_build_object('payload', t.sample))))))
        FROM economy.event_types t WHERE t.version > 0;
    END;
COMMENT ON FUNCTION economy.asyncapi() IS
    'The AsyncAPI 3.0 document of the events that are sent, made from economy.event_types.';
