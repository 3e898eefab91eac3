-- demo: a small shop to try things in, and a synthetic workload

CREATE FUNCTION economy.seed_demo() RETURNS TABLE (external_id text, user_id bigint, gold bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    p jsonb;
    u record;
    t timestamptz := economy.now();
BEGIN
    FOR p IN SELECT * FROM jsonb_array_elements($json$[
        {"item_id": "ruby",   "kind": "currency", "tradable": true},
        {"item_id": "torch",  "kind": "stack", "maximum": 99},
        {"item_id": "club",   "kind": "pass"},
        {"item_id": "wyvern", "kind": "stack", "consumable": false}
        ]$json$) LOOP
        IF NOT EXISTS (SELECT FROM economy.items i WHERE i.item_id = p ->> 'item_id') THEN
            PERFORM economy.upsert_item(p, 'seed_demo');
        END IF;
    END LOOP;
    FOR p IN SELECT * FROM jsonb_array_elements($json$[
        {"product_id": "gold_100",  "category": "conversion", "source_points": 1000,
         "granted_gold": 100, "monetary": 100},
        {"product_id": "gold_550",  "category": "conversion", "source_points": 5000,
         "granted_gold": 550, "monetary": 500},
        {"product_id": "gold_1200", "category": "conversion", "source_points": 10000,
         "granted_gold": 1200, "monetary": 1000},
        {"product_id": "gold_6500", "category": "conversion", "source_points": 50000,
         "granted_gold": 6500, "monetary": 5000},
        {"product_id": "sword",    "category": "item", "price_gold": 250,
         "effect_code": "weapon_sword"},
        {"product_id": "shield",   "category": "item", "price_gold": 200,
         "effect_code": "armour_shield"},
        {"product_id": "potion",   "category": "item", "price_gold": 15,
         "effect_code": "heal_50"},
        {"product_id": "xp_boost", "category": "item", "price_gold": 400,
         "effect_code": "xp_boost_1h"},
        {"product_id": "dragon",   "category": "item", "price_gold": 90000,
         "effect_code": "mount_dragon"},
        {"product_id": "rubies_80", "category": "conversion", "source_points": 4000,
         "granted_gold": 0, "monetary": 400, "contents": {"ruby": 80}},
        {"product_id": "adventurer", "category": "item", "price_gold": 350, "tags": ["bundle"],
         "contents": {"ruby": 20, "torch": 2, "club": 604800}, "granted_xp": 100}
        ]$json$) LOOP
        IF NOT EXISTS (SELECT FROM economy.shop_products s
                       WHERE s.product_id = p ->> 'product_id') THEN
            PERFORM economy.upsert_product(p, 'seed_demo');
        END IF;
    END LOOP;
    FOR p IN SELECT * FROM jsonb_array_elements($json$[
        {"product_id": "starter_pack", "category": "item", "price_gold": 50, "monetary": 199,
         "effect_code": "pack_starter", "limit_once": true, "stock": 1000},
        {"product_id": "summer_pack",  "category": "item", "price_gold": 300, "monetary": 999,
         "effect_code": "pack_summer", "per_user_limit": 3, "stock": 100},
        {"product_id": "founder_pack", "category": "item", "price_gold": 500, "monetary": 4999,
         "effect_code": "pack_founder", "per_user_limit": 2, "stock": 2}
        ]$json$) LOOP
        IF NOT EXISTS (SELECT FROM economy.shop_products s
                       WHERE s.product_id = p ->> 'product_id') THEN
            PERFORM economy.upsert_product(
                (p - 'stock') || jsonb_build_object(
                    'starts_at', date_trunc('day', t) - interval '1 day',
                    'ends_at', date_trunc('day', t) + interval '30 days'),
                'seed_demo');
            PERFORM economy.add_stock(p ->> 'product_id', (p ->> 'stock')::bigint, 'seed_demo');
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM economy.draw_tables d WHERE d.table_id = 'egg') THEN
        PERFORM economy.upsert_draw_table('{"table_id": "egg", "draft": {
            "price": {"gold": 25}, "pity": {"class": "rare", "after": 3},
            "entries": [{"entry": "coins", "weight": 9, "gold": 20},
                {"entry": "wyvern", "class": "rare", "weight": 1, "xp": 50,
                 "items": {"wyvern": 1}}]}}',
            'seed_demo');
        PERFORM economy.publish_draw_table('egg', 'seed_demo');
    END IF;
    IF NOT EXISTS (SELECT FROM economy.leaderboards b WHERE b.board = 'weekly_wins') THEN
        PERFORM economy.upsert_leaderboard('{"board": "weekly_wins", "figure": "wins",
            "period": "week", "prizes": [{"upto": 1, "gold": 1000}, {"upto": 3, "gold": 250}]}',
            'seed_demo');
    END IF;
    INSERT INTO economy.invite_codes VALUES ('5858', 'demo', t) ON CONFLICT DO NOTHING;
    FOR u IN
        SELECT * FROM (VALUES
            ('alice', 'Europe/Berlin', 0), ('bob', 'America/New_York', 2000),
            ('carol', 'Asia/Tokyo', 2000), ('dave', 'UTC', 10)) v (name, zone, gold)
    LOOP
        external_id := u.name;
        user_id := economy.register(u.name, u.zone);
        IF u.gold > 0 THEN
            PERFORM economy.adjust_gold(
                user_id, u.gold, 'seed_demo', 'opening balance of the demo', 'seed_demo');
        END IF;
        SELECT a.gold INTO gold FROM economy.accounts a WHERE a.user_id = seed_demo.user_id;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.seed_demo() IS
    'Fills a demo shop: items, 5 conversions, 5 products, a bundle, 3 limited packages, a draw '
    'table, a leaderboard, invite code 5858, four users. Running it again changes nothing.';

CREATE FUNCTION economy.simulate(users integer, actions integer, seed bigint)
    RETURNS TABLE (state text, code text, results bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    chunk CONSTANT integer := 10000;
    ids   bigint[];
    done  integer := 0;
    batch jsonb;
    tally jsonb := '{}';
    r     record;
BEGIN
    PERFORM economy_internal.require_given('users', users IS NOT NULL);
    PERFORM economy_internal.require_given('actions', actions IS NOT NULL);
    PERFORM economy_internal.require_given('seed', seed IS NOT NULL);
    IF users NOT BETWEEN 1 AND 10000000 OR actions NOT BETWEEN 0 AND 100000000 THEN
        RAISE EXCEPTION 'simulate() takes 1 to 10 million users and 0 to 100 million actions'
            USING ERRCODE = 'XE002';
    END IF;
    -- the same seed finds the same users again
    SELECT array_agg(economy.register(format('sim-%s-%s', seed, n)) ORDER BY n) INTO ids
        FROM generate_series(1, users) n;
    FOR batch IN
        SELECT jsonb_agg(jsonb_build_object(
            'user_id', ids[n], 'source', 'simulate', 'external_event_id', 'opening',
            'gold', 1000000))
        FROM generate_series(1, users) n GROUP BY n / chunk
    LOOP
        PERFORM economy.grant_rewards(batch);
    END LOOP;
    WHILE done < actions LOOP
        PERFORM economy_internal.report_progress('simulate', done, actions);
        WITH arrived AS (
            -- 1.5 % come late: such an action changes places with one of 4,096 further on
            SELECT n, CASE WHEN (hashint8extended(n & ~4096, seed + 7) & 1023) < 15
                            AND (n | 4096) <= actions AND (n # 4096) > 0
                           THEN n # 4096 ELSE n END AS sent
            FROM generate_series(done + 1, least(done + chunk, actions)) n
        ), repeated AS (
            -- and 1.5 % are retries of one of the hundred actions before
            SELECT n, CASE WHEN n > 100 AND (hashint8extended(n, seed + 5) & 1023) < 15
                           THEN n - 1 - (hashint8extended(n, seed + 6) & 63)::integer
                           ELSE sent END AS first
            FROM arrived
        ), refunds AS (
            -- 0.7 % give the stake of an action back, that of a hundred before
            SELECT p.n, p.first AS id, x.refund,
                   CASE WHEN x.refund THEN p.first - 100 ELSE p.first END AS first
            FROM repeated p
            CROSS JOIN LATERAL (
                SELECT (hashint8extended(p.first, seed + 8) & 1023) < 7
                   AND p.first > 100) x (refund)
        ), range (range) AS (
            VALUES (1048576.0::double precision)
        ), drawn AS (
            SELECT p.n, p.id, p.refund,
                   (hashint8extended(p.first, seed) & 1048575) / d.range AS who,
                   (hashint8extended(p.first, seed + 1) & 1048575) * 4 >> 20 AS game,
                   ((hashint8extended(p.first, seed + 2) & 1048575) + 0.5) / d.range AS radius,
                   hashint8extended(p.first, seed + 3) & 1048575 AS angle,
                   (hashint8extended(p.first, seed + 4) & 1048575) / d.range AS luck
            FROM refunds p CROSS JOIN range d
        ), action AS (
            SELECT p.n, p.id, p.refund, p.luck, 1 + p.game AS g,
                   -- activity is skewed: half of the actions come from a tenth of the users
                   1 + floor(users * power(p.who, 3.32))::integer AS u,
                   -- stakes are log-normal, around 20
                   greatest(1, least(5000, exp(
                       3 + sqrt(-2 * ln(p.radius)) * cos(6.283185307179586 * p.angle / d.range)))
                   )::bigint AS bet
            FROM drawn p CROSS JOIN range d
        )
        SELECT jsonb_agg(jsonb_build_object(
                   'user_id', ids[least(a.u, users)],
                   'game', (ARRAY['crash', 'gacha', 'rps', 'slot'])[a.g],
                   'action_type', CASE WHEN a.refund THEN 'REFUND' ELSE
                       (ARRAY['CRASH_JOIN', 'GACHA_SPIN', 'RPS_PLAY', 'SLOT_SPIN'])[a.g] END,
                   'action_id', format('sim-%s-%s', seed, a.id),
                   'bet', CASE WHEN a.refund THEN 0 ELSE a.bet END,
                   'outcome', CASE WHEN a.refund THEN 'draw' END,
                   -- every 200th user cheats
                   'win', CASE WHEN a.refund THEN a.bet
                               WHEN a.luck < CASE WHEN a.u % 200 = 0 THEN 0.65 ELSE 0.48 END
                               THEN a.bet * 2 ELSE 0 END)
               ORDER BY a.n)
        INTO batch FROM action a;
        FOR r IN
            SELECT s.state || ' ' || s.code AS kind, count(*) AS results
            FROM economy.record_actions(batch) s GROUP BY 1
        LOOP
            tally := jsonb_set(tally, ARRAY[r.kind],
                               to_jsonb(coalesce((tally ->> r.kind)::bigint, 0) + r.results));
        END LOOP;
        done := least(done + chunk, actions);
    END LOOP;
    PERFORM economy_internal.report_progress(NULL, NULL, NULL);
    RETURN QUERY
        SELECT split_part(t.key, ' ', 1), split_part(t.key, ' ', 2), t.value::bigint
        FROM jsonb_each_text(tally) t ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION economy.simulate(integer, integer, bigint) IS
    'Plays a synthetic workload through the real functions and counts the results: '
    'skewed activity, log-normal stakes, 1.5 % retries, 1.5 % late arrivals, 0.7 % refunds, '
    'a cheat in every 200 users. The same seed plays the same actions.';
