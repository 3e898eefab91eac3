-- demo: a small shop to try things in

CREATE FUNCTION economy.seed_demo() RETURNS TABLE (external_id text, user_id bigint, gold bigint)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
#variable_conflict use_column
DECLARE
    p jsonb;
    u record;
    t timestamptz := economy.now();
BEGIN
    FOR p IN SELECT * FROM jsonb_array_elements('[
        {"product_id": "gold_100",      "category": "conversion", "source_points": 1000,  "granted_gold": 100,   "monetary": 100},
        {"product_id": "gold_550",      "category": "conversion", "source_points": 5000,  "granted_gold": 550,   "monetary": 500},
        {"product_id": "gold_1200",     "category": "conversion", "source_points": 10000, "granted_gold": 1200,  "monetary": 1000},
        {"product_id": "gold_6500",     "category": "conversion", "source_points": 50000, "granted_gold": 6500,  "monetary": 5000},
        {"product_id": "sword",         "category": "item", "price_gold": 250,  "effect_code": "weapon_sword"},
        {"product_id": "shield",        "category": "item", "price_gold": 200,  "effect_code": "armour_shield"},
        {"product_id": "potion",        "category": "item", "price_gold": 15,   "effect_code": "heal_50"},
        {"product_id": "xp_boost",      "category": "item", "price_gold": 400,  "effect_code": "xp_boost_1h"},
        {"product_id": "dragon",        "category": "item", "price_gold": 90000, "effect_code": "mount_dragon"}
        ]') LOOP
        IF NOT EXISTS (SELECT FROM economy.shop_products s WHERE s.product_id = p ->> 'product_id') THEN
            PERFORM economy.upsert_product(p, 'seed_demo');
        END IF;
    END LOOP;
    FOR p IN SELECT * FROM jsonb_array_elements('[
        {"product_id": "starter_pack", "category": "item", "price_gold": 50,  "monetary": 199, "effect_code": "pack_starter", "limit_once": true,  "stock": 1000},
        {"product_id": "summer_pack",  "category": "item", "price_gold": 300, "monetary": 999, "effect_code": "pack_summer",  "per_user_limit": 3, "stock": 100},
        {"product_id": "founder_pack", "category": "item", "price_gold": 500, "monetary": 4999, "effect_code": "pack_founder", "per_user_limit": 2, "stock": 2}
        ]') LOOP
        IF NOT EXISTS (SELECT FROM economy.shop_products s WHERE s.product_id = p ->> 'product_id') THEN
            PERFORM economy.upsert_product((p - 'stock') || jsonb_build_object(
                'starts_at', date_trunc('day', t) - interval '1 day', 'ends_at', date_trunc('day', t) + interval '30 days'),
                'seed_demo');
            PERFORM economy.add_stock(p ->> 'product_id', (p ->> 'stock')::bigint, 'seed_demo');
        END IF;
    END LOOP;
    INSERT INTO economy.invite_codes VALUES ('5858', 'demo', t) ON CONFLICT DO NOTHING;
    FOR u IN SELECT * FROM (VALUES ('alice', 'Europe/Berlin', 0), ('bob', 'America/New_York', 2000),
                                   ('carol', 'Asia/Tokyo', 2000), ('dave', 'UTC', 10)) v (name, zone, gold) LOOP
        external_id := u.name;
        user_id := economy.register(u.name, u.zone);
        IF u.gold > 0 THEN
            PERFORM economy.adjust_gold(user_id, u.gold, 'seed_demo', 'opening balance of the demo', 'seed_demo');
        END IF;
        SELECT a.gold INTO gold FROM economy.accounts a WHERE a.user_id = seed_demo.user_id;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION economy.seed_demo() IS
    'Fills a demo shop: 4 conversions, 5 items, 3 limited packages, invite code 5858, four users. '
    'Running it again changes nothing.';
