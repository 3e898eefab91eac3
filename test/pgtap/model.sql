-- 1,500 random calls beside a model of them that is written from the reference alone:
-- every member of every answer, the account, and the event of every entry.
BEGIN;
SELECT no_plan();
SET LOCAL "TimeZone" = 'UTC';
SET LOCAL DateStyle = 'ISO, MDY';
CREATE TEMP TABLE product (id text PRIMARY KEY, category text, price bigint, points bigint, granted bigint, monetary bigint, once boolean,
                           per_user integer, period text, global boolean, effect text, active boolean DEFAULT true, stock bigint);
INSERT INTO product VALUES
    ('pgtap_m item',  'item',       10, 0, 0,   2, false, NULL, NULL,    false, 'glow',          true, NULL),
    ('pgtap_m conv',  'conversion', 0,  7, 12,  3, false, NULL, NULL,    false, NULL,            true, NULL),
    ('pgtap_m once',  'item',       3,  0, 0,   0, true,  NULL, NULL,    false, NULL,            true, NULL),
    ('pgtap_m day',   'item',       2,  0, 0,   0, false, 4,    'day',   false, NULL,            true, NULL),
    ('pgtap_m month', 'item',       1,  0, 0,   1, false, 5,    'month', false, 'glow',          true, 15),
    ('pgtap_m ever',  'conversion', 0,  1, 20,  0, false, 9,    'ever',  true,  NULL,            true, NULL),
    ('pgtap_m stock', 'item',       5,  0, 0,   0, false, NULL, NULL,    false, NULL,            true, 8),
    ('pgtap_m cold',  'item',       4,  0, 0,   0, false, NULL, NULL,    false, 'streak_freeze', true, NULL);
SELECT count(*) AS x FROM product p, economy.upsert_product(jsonb_strip_nulls(jsonb_build_object('product_id', id, 'category', category, 'price_gold', price, 'source_points', points,
    'granted_gold', granted, 'monetary', monetary, 'limit_once', once, 'per_user_limit', per_user, 'limit_period', period, 'global_key', global, 'effect_code', effect)), 'pgtap') \gset
SELECT count(economy.add_stock(id, stock, 'pgtap', 3)) AS x FROM product WHERE stock IS NOT NULL \gset
CREATE TEMP TABLE account (u bigint PRIMARY KEY, seq bigint DEFAULT 0, gold bigint DEFAULT 0, xp bigint DEFAULT 0, freezes integer DEFAULT 0, suspended boolean DEFAULT false,
                           day integer DEFAULT 0, best integer DEFAULT 0, last date, grace date);
INSERT INTO account (u) SELECT economy.register('pgtap model ' || n) FROM generate_series(1, 3) n;
-- what a key was used for: what was asked, and what was answered
CREATE TEMP TABLE used (u bigint, seq bigint, journal text, name text, key text, asked jsonb, answer jsonb, at timestamptz, reverses bigint);
CREATE INDEX ON used (u, journal, name, key);
CREATE INDEX ON used (u, reverses);

CREATE FUNCTION pg_temp.random(n integer, what text, below integer) RETURNS integer LANGUAGE sql AS
    $$ SELECT ('x' || left(md5(n || what), 7))::bit(28)::integer % below $$;
CREATE FUNCTION pg_temp.level(xp bigint) RETURNS bigint LANGUAGE sql AS $$ SELECT xp / 500 + 1 $$;
CREATE FUNCTION pg_temp.answer(state text, code text, more jsonb) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT jsonb_strip_nulls(jsonb_build_object('success', state IN ('new', 'reuse'), 'state', state, 'code', code) || more) $$;
-- an entry of the model: moves the account, returns the transaction_id
CREATE FUNCTION pg_temp.post(who bigint, journal text, gold_delta bigint, xp_delta bigint, freezes_delta integer DEFAULT 0) RETURNS text LANGUAGE sql AS $$
    UPDATE account SET seq = seq + 1, gold = gold + gold_delta, xp = xp + xp_delta, freezes = freezes + freezes_delta WHERE u = who RETURNING journal || u || '-' || seq
$$;
CREATE FUNCTION pg_temp.mismatch(first used, field text, was jsonb, now jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.answer('refused', 'IDEMPOTENCY_MISMATCH', jsonb_build_object('transaction_id', first.journal || first.u || '-' || first.seq,
        'detail', jsonb_build_object('field', field, 'first', was, 'now', now)))
$$;

CREATE FUNCTION pg_temp.purchase(who bigint, product_id text, idempotency_key text, q integer, at timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a     account;
    p     product;
    first used;
    bought bigint;
    lim   bigint;
    rest  bigint;
    delta bigint;
    code  text;
    detail jsonb;
    base  jsonb;
BEGIN
    SELECT * INTO a FROM account WHERE u = who;
    SELECT * INTO p FROM product WHERE id = product_id;
    SELECT * INTO first FROM used WHERE u = who AND journal = 'P' AND name = product_id AND key = idempotency_key;
    IF found AND first.asked <> to_jsonb(q) THEN
        RETURN pg_temp.mismatch(first, 'quantity', first.asked, to_jsonb(q)) || jsonb_build_object('quantity', q, 'gold_delta', 0);
    ELSIF found THEN
        RETURN first.answer - 'stock_remaining' - 'user_limit_remaining' || '{"state": "reuse"}';
    END IF;
    base := jsonb_build_object('quantity', q, 'gold_delta', 0, 'gold', a.gold);
    SELECT coalesce(sum((asked)::bigint), 0) INTO bought FROM used
        WHERE u = who AND journal = 'P' AND name = product_id AND (p.once OR p.period = 'ever' OR date_trunc(p.period, used.at) = date_trunc(p.period, purchase.at));
    delta := CASE p.category WHEN 'item' THEN -p.price ELSE p.granted END * q;
    IF a.suspended THEN
        code := 'USER_SUSPENDED';
    ELSIF NOT p.active THEN
        code := 'NOT_ON_SALE';
        detail := '{"reason": "inactive"}';
    ELSIF p.global AND EXISTS (SELECT FROM used WHERE journal = 'P' AND name = product_id AND key = idempotency_key) THEN
        code := 'KEY_USED';
    ELSE
        lim := CASE WHEN p.once THEN (bought = 0)::integer WHEN p.per_user IS NOT NULL THEN greatest(p.per_user - bought, 0) END;
        IF q > lim THEN
            code := CASE WHEN p.once THEN 'LIMIT_ONCE' ELSE 'USER_LIMIT' END;
            detail := CASE WHEN p.period IN ('day', 'month') THEN jsonb_build_object('limit', p.per_user, 'period', p.period,
                'renews_at', to_char(date_trunc(p.period, at) + ('1 ' || p.period)::interval, 'YYYY-MM-DD"T"HH24:MI:SS+00:00')) END;
        ELSIF p.effect = 'streak_freeze' AND a.freezes + q > 2 THEN
            code := 'USER_LIMIT';
            detail := jsonb_build_object('held', a.freezes, 'at_most', 2);
        ELSIF a.gold + delta < 0 THEN
            code := 'INSUFFICIENT_GOLD';
            detail := jsonb_build_object('price_gold', p.price, 'gold', a.gold);
        ELSIF q > p.stock THEN
            code := 'SOLD_OUT';
            rest := p.stock;
        END IF;
    END IF;
    IF code IS NOT NULL THEN
        RETURN pg_temp.answer('refused', code, base || jsonb_build_object('user_limit_remaining', lim, 'stock_remaining', rest, 'detail', detail));
    END IF;
    UPDATE product SET stock = stock - q WHERE id = product_id;
    base := pg_temp.answer('new', 'OK', jsonb_build_object('transaction_id', pg_temp.post(who, 'P', delta, 0, CASE p.effect WHEN 'streak_freeze' THEN q ELSE 0 END), 'quantity', q,
        'gold_delta', delta, 'gold', a.gold + delta, 'user_limit_remaining', lim - q, 'stock_remaining', p.stock - q,
        'detail', CASE p.category WHEN 'item' THEN jsonb_strip_nulls(jsonb_build_object('apply', true, 'effect_code', p.effect)) ELSE '{"charge_outside": true}' END,
        'items', CASE p.effect WHEN 'streak_freeze' THEN jsonb_build_array(jsonb_build_object('item', 'streak_freeze', 'delta', q, 'balance', a.freezes + q)) END));
    INSERT INTO used VALUES (who, a.seq + 1, 'P', product_id, idempotency_key, to_jsonb(q), base, at);
    RETURN base;
END
$$;

CREATE FUNCTION pg_temp.adjust(who bigint, delta bigint, idempotency_key text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a     account;
    first used;
    base  jsonb;
BEGIN
    SELECT * INTO a FROM account WHERE u = who;
    SELECT * INTO first FROM used WHERE u = who AND journal = 'G' AND key = idempotency_key;
    IF found AND first.asked <> to_jsonb(delta) THEN
        RETURN pg_temp.mismatch(first, 'delta', first.asked, to_jsonb(delta));
    ELSIF found THEN
        RETURN first.answer || '{"state": "reuse"}';
    ELSIF a.gold + delta < 0 THEN
        RETURN pg_temp.answer('refused', 'INSUFFICIENT_GOLD', jsonb_build_object('gold', a.gold));
    END IF;
    base := pg_temp.answer('new', 'OK', jsonb_build_object('transaction_id', pg_temp.post(who, 'G', delta, 0), 'gold_delta', delta, 'gold', a.gold + delta));
    INSERT INTO used VALUES (who, a.seq + 1, 'G', NULL, idempotency_key, to_jsonb(delta), base);
    RETURN base;
END
$$;

CREATE FUNCTION pg_temp.moved(who bigint, gold_delta bigint, xp_delta bigint) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('transaction_id', pg_temp.post(who, 'R', gold_delta, xp_delta), 'gold_delta', gold_delta, 'xp_delta', xp_delta, 'gold', a.gold + gold_delta,
        'experience_points', a.xp + xp_delta, 'level', pg_temp.level(a.xp + xp_delta), 'leveled_up', pg_temp.level(a.xp + xp_delta) > pg_temp.level(a.xp))
    FROM account a WHERE u = who
$$;
CREATE FUNCTION pg_temp.grant(who bigint, source text, event text, gold_given bigint, xp_given bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a     account;
    first used;
    base  jsonb;
BEGIN
    SELECT * INTO a FROM account WHERE u = who;
    SELECT * INTO first FROM used WHERE u = who AND journal = 'R' AND name = source AND key = event;
    IF found AND first.asked -> 'gold' <> to_jsonb(gold_given) THEN
        RETURN pg_temp.mismatch(first, 'gold', first.asked -> 'gold', to_jsonb(gold_given));
    ELSIF found AND first.asked -> 'xp' <> to_jsonb(xp_given) THEN
        RETURN pg_temp.mismatch(first, 'xp', first.asked -> 'xp', to_jsonb(xp_given));
    ELSIF found THEN
        RETURN first.answer || '{"state": "reuse"}';
    ELSIF a.suspended THEN
        RETURN pg_temp.answer('refused', 'USER_SUSPENDED', jsonb_build_object('gold', a.gold, 'experience_points', a.xp));
    END IF;
    base := pg_temp.answer('new', 'OK', pg_temp.moved(who, gold_given, xp_given));
    INSERT INTO used VALUES (who, a.seq + 1, 'R', source, event, jsonb_build_object('gold', gold_given, 'xp', xp_given), base);
    RETURN base;
END
$$;

CREATE FUNCTION pg_temp.revoke(who bigint, reward_seq bigint, gold_asked bigint, xp_asked bigint, policy text, idempotency_key text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a      account;
    reward used;
    first  used;
    id     text := 'R' || who || '-' || reward_seq;
    times  bigint;
    left_gold bigint;
    left_xp   bigint;
    g      bigint;
    x      bigint;
    detail jsonb;
    base   jsonb;
BEGIN
    SELECT * INTO a FROM account WHERE u = who;
    SELECT * INTO reward FROM used WHERE u = who AND seq = reward_seq AND journal = 'R';
    SELECT * INTO first FROM used WHERE u = who AND journal = 'R' AND name = 'reversal of ' || id AND key = coalesce(idempotency_key, 'none');
    SELECT count(*), (reward.asked ->> 'gold')::bigint + coalesce(sum((answer ->> 'gold_delta')::bigint), 0), (reward.asked ->> 'xp')::bigint + coalesce(sum((answer ->> 'xp_delta')::bigint), 0)
        INTO times, left_gold, left_xp FROM used WHERE u = who AND reverses = reward_seq AND seq < coalesce(first.seq, seq + 1);
    g := coalesce(gold_asked, left_gold);
    x := coalesce(xp_asked, left_xp);
    IF first.u IS NOT NULL AND first.asked -> 'gold' <> to_jsonb(g) THEN
        RETURN pg_temp.mismatch(first, 'gold', first.asked -> 'gold', to_jsonb(g));
    ELSIF first.u IS NOT NULL AND first.asked -> 'xp' <> to_jsonb(x) THEN
        RETURN pg_temp.mismatch(first, 'xp', first.asked -> 'xp', to_jsonb(x));
    ELSIF first.u IS NOT NULL THEN
        RETURN first.answer || '{"state": "reuse"}';
    END IF;
    base := jsonb_build_object('gold', a.gold, 'experience_points', a.xp);
    detail := jsonb_build_object('gold', g, 'xp', x);
    IF g > left_gold OR x > left_xp OR (left_gold = 0 AND left_xp = 0 AND times > 0) THEN
        RETURN pg_temp.answer('refused', 'EXCEEDS_REWARD', base || jsonb_build_object('detail', detail || jsonb_build_object('left_gold', left_gold, 'left_xp', left_xp)));
    END IF;
    detail := detail || jsonb_build_object('debt_gold', greatest(g - a.gold, 0), 'debt_xp', greatest(x - a.xp, 0));
    IF policy = 'refuse' AND (g > a.gold OR x > a.xp) THEN
        RETURN pg_temp.answer('refused', 'INSUFFICIENT_GOLD', base || jsonb_build_object('detail', detail));
    END IF;
    base := pg_temp.answer('new', 'OK', pg_temp.moved(who, -least(g, a.gold), -least(x, a.xp)) || jsonb_build_object('detail', detail));
    INSERT INTO used VALUES (who, a.seq + 1, 'R', 'reversal of ' || id, coalesce(idempotency_key, 'none'), jsonb_build_object('gold', g, 'xp', x), base, NULL, reward_seq);
    RETURN base;
END
$$;

CREATE FUNCTION pg_temp.claim(who bigint, at timestamptz) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    a      account;
    first  used;
    today  date := at;
    missed integer;
    frozen integer := 0;
    d      integer := 1;
    graced boolean := false;
    base   jsonb;
BEGIN
    SELECT * INTO a FROM account WHERE u = who;
    -- also of a date before the last claim's, where the clock was set back: the claim that the streak stands at
    SELECT * INTO first FROM used WHERE u = who AND name = 'claim' AND key = least(today, a.last)::text;
    IF NOT found AND today <= a.last THEN
        SELECT * INTO first FROM used WHERE u = who AND name = 'claim' AND key = a.last::text;
    ELSIF today <= a.last THEN
        SELECT * INTO first FROM used WHERE u = who AND name = 'claim' AND key = a.last::text;
    END IF;
    IF today <= a.last THEN
        RETURN first.answer || jsonb_build_object('state', 'reuse', 'code', 'ALREADY_CLAIMED', 'next_claim_at', to_jsonb((a.last + 1)::timestamptz));
    ELSIF a.suspended THEN
        RETURN pg_temp.answer('refused', 'USER_SUSPENDED', '{}');
    END IF;
    missed := today - a.last - 1;
    IF a.last IS NULL OR missed = 0 THEN
        d := a.day + 1;
    ELSIF today - a.last >= 30 THEN
        a.grace := NULL;
    ELSIF missed = 1 AND coalesce(today - 1 - a.grace >= 7, true) THEN
        d := a.day + 1;
        a.grace := today - 1;
        graced := true;
    ELSIF missed <= a.freezes THEN
        d := a.day + 1;
        frozen := missed;
    END IF;
    UPDATE account SET day = d, best = greatest(best, d), last = today, grace = a.grace, freezes = freezes - frozen WHERE u = who;
    base := pg_temp.answer('new', 'CLAIMED', pg_temp.moved(who, 1000 + 200 * (d - 1), 50 + 25 * (d - 1)) || jsonb_build_object('streak_day', d, 'claim_date', today,
        'grace_used', graced, 'freezes_used', frozen, 'next_claim_at', to_jsonb((today + 1)::timestamptz)));
    INSERT INTO used VALUES (who, a.seq + 1, 'R', 'claim', today::text, '{}', base);
    RETURN base;
END
$$;

-- one call and what the model says of it; a difference is a row
CREATE FUNCTION pg_temp.both(n integer, at timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    -- a fourth of the calls repeat one of the last, or are nearly the same
    m     integer := n - CASE pg_temp.random(n, 'again', 4) WHEN 0 THEN pg_temp.random(n, 'which', 25) ELSE 0 END;
    o     integer := CASE pg_temp.random(n, 'other', 4) WHEN 0 THEN n ELSE m END;
    w     bigint := (SELECT u FROM account ORDER BY u OFFSET pg_temp.random(CASE pg_temp.random(n, 'other user', 5) WHEN 0 THEN n ELSE m END, 'user', 3) LIMIT 1);
    p     text := (SELECT id FROM product ORDER BY id OFFSET pg_temp.random(m, 'product', 8) LIMIT 1);
    key   text := 'k' || m;
    q     integer := 1 + pg_temp.random(o, 'q', 3);
    gold  bigint := pg_temp.random(o, 'gold', 4) * 7;
    xp    bigint := pg_temp.random(o, 'xp', 3) * 210;
    r     used;
    take  text := (ARRAY['take', 'refuse'])[1 + pg_temp.random(m, 'policy', 2)];
    model jsonb;
    real  jsonb;
    was   bigint := (SELECT seq FROM account WHERE u = w);
BEGIN
    CASE pg_temp.random(m, 'call', 20)
        WHEN 0, 1 THEN
            -- nobody stays rich
            IF pg_temp.random(o, 'drain', 3) > 0 THEN
                gold := (SELECT coalesce(nullif(3 - pg_temp.random(o, 'left', 6) - a.gold, -1), 1) FROM account a WHERE a.u = w);
            END IF;
            model := pg_temp.adjust(w, gold + 1, key);
            real := to_jsonb(economy.adjust_gold(w, gold + 1, key, 'r', 'a'));
        WHEN 2, 3, 4 THEN
            model := pg_temp.grant(w, 's', key, gold, xp);
            real := to_jsonb(economy.grant_reward(w, 's', key, gold, xp));
        WHEN 5, 6, 7, 8 THEN
            -- of the newest grants
            SELECT * INTO r FROM used u WHERE u.u = w AND u.name = 's' ORDER BY u.seq DESC OFFSET pg_temp.random(m, 'reward', 3) LIMIT 1;
            IF NOT found THEN
                RETURN;
            END IF;
            gold := CASE pg_temp.random(n, 'part', 3) WHEN 0 THEN NULL WHEN 1 THEN (r.asked ->> 'gold')::bigint / 2 ELSE (r.asked ->> 'gold')::bigint END;
            xp := CASE pg_temp.random(n, 'part of xp', 3) WHEN 0 THEN NULL WHEN 1 THEN 0 ELSE (r.asked ->> 'xp')::bigint END;
            key := (ARRAY[NULL, 'a', 'b', key])[1 + pg_temp.random(n, 'key of it', 4)];
            model := pg_temp.revoke(w, r.seq, gold, xp, take, key);
            real := to_jsonb(economy.revoke_reward(w, 'R' || w || '-' || r.seq, 'r', 'a', gold, xp, take, key));
        WHEN 9, 10, 11 THEN
            model := pg_temp.claim(w, at);
            real := to_jsonb(economy.claim_daily_reward(w));
        WHEN 12 THEN
            -- who is suspended is not for long
            FOR w IN SELECT u FROM account WHERE suspended OR (u = w AND pg_temp.random(n, 'bad', 2) = 0) LOOP
                UPDATE account SET suspended = NOT suspended, seq = seq + 1 WHERE u = w;
                PERFORM economy.set_user_status(w, CASE WHEN (SELECT suspended FROM account WHERE u = w) THEN 'suspended' ELSE 'active' END, 'a');
            END LOOP;
            RETURN;
        WHEN 13 THEN
            UPDATE product SET active = NOT active, stock = stock + q WHERE id = p OR NOT active;
            PERFORM economy.upsert_product(jsonb_build_object('product_id', id, 'active', active), 'pgtap') FROM product WHERE id = p OR active;
            PERFORM economy.add_stock(id, stock - (SELECT sum(s.remaining)::bigint FROM economy.shop_stock s WHERE s.product_id = id), 'pgtap') FROM product WHERE stock IS NOT NULL;
            RETURN;
        ELSE
            model := pg_temp.purchase(w, p, key, q, at);
            real := to_jsonb(economy.purchase(w, p, key, q));
    END CASE;
    real := jsonb_strip_nulls(real);
    IF real <> model THEN
        RETURN NEXT format('call %s of user %s: %s, not %s', n, w, real, model);
    END IF;
    RETURN QUERY SELECT format('after call %s account %s: %s, not %s', n, w, c.is, c.should) FROM (
        SELECT row(a.seq, a.gold, a.xp, a.freezes, a.suspended, a.day, a.best, a.last, a.grace)::text AS should,
               row(b.seq, b.gold, b.experience_points, b.streak_freezes, b.suspended, coalesce(s.streak_day, 0), coalesce(s.best, 0), s.last_claim_on, s.last_grace_on)::text AS "is"
        FROM account a JOIN economy.accounts b ON b.user_id = a.u LEFT JOIN economy.streaks s USING (user_id) WHERE a.u = w) c WHERE c.is <> c.should;
    -- the event of a new entry: what was answered
    RETURN QUERY SELECT format('event of call %s: %s beside %s', n, e.event, model) FROM economy.replay(w, was) e WHERE e.code = 'EVENT' AND e.event ->> 'id' = model ->> 'transaction_id'
        AND NOT (e.event::jsonb -> 'data') @> (jsonb_build_object('gold', model -> 'gold', 'gold_delta', model -> 'gold_delta', 'seq', was + 1)
            || CASE e.type WHEN 'purchase_update' THEN jsonb_build_object('product_id', p, 'quantity', q, 'idempotency_key', key, 'status', 'SUCCESS',
                    'category', (SELECT category FROM product WHERE id = p), 'effect_code', (SELECT effect FROM product WHERE id = p))
               WHEN 'reward_granted' THEN jsonb_build_object('experience_points', model -> 'experience_points', 'xp_delta', model -> 'xp_delta', 'level', model -> 'level',
                    'leveled_up', model -> 'leveled_up', 'streak_day', model -> 'streak_day')
               ELSE jsonb_build_object('field', 'gold', 'before', (model ->> 'gold')::bigint - (model ->> 'gold_delta')::bigint, 'after', model -> 'gold') END);
    -- and another where it moves the user to another level, up or down
    RETURN QUERY SELECT format('level event of call %s: %s, not %s', n, c.is, c.should) FROM (
        SELECT (SELECT jsonb_build_array(e.event::jsonb #> '{data,before}', e.event::jsonb #> '{data,after}') FROM economy.replay(w, was) e WHERE e.event ->> 'id' = model ->> 'transaction_id' || '/level') AS "is",
               jsonb_build_array(l.before, l.after) AS should, l.before, l.after
        FROM (SELECT pg_temp.level(a.xp - (model ->> 'xp_delta')::bigint) AS before, pg_temp.level(a.xp) AS after FROM account a WHERE a.u = w) l) c
        WHERE model ->> 'state' = 'new' AND model ? 'xp_delta' AND c.is IS DISTINCT FROM CASE WHEN before <> after THEN should END;
END
$$;
-- the clock goes on by hours, or by a month, and is set back by two hours now and then
CREATE FUNCTION pg_temp.run(calls integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz := '2031-01-01 12:00+00';
BEGIN
    PERFORM set_config('economy.streak_max_freezes', '2', true);
    FOR n IN 1 .. calls LOOP
        at := at + make_interval(mins => pg_temp.random(n, 'clock', 10) * pg_temp.random(n, 'faster', 3) * 12 - 120 * (pg_temp.random(n, 'back', 9) = 0)::integer);
        IF pg_temp.random(n, 'long', 250) = 0 THEN
            at := at + make_interval(days => 29 + pg_temp.random(n, 'how long', 3));
        END IF;
        PERFORM set_config('economy.test_clock', at::text, true);
        RETURN QUERY SELECT * FROM pg_temp.both(n, at);
        -- what comes after it would differ as well
        IF found THEN
            RETURN;
        END IF;
    END LOOP;
END
$$;
SELECT is_empty('SELECT * FROM pg_temp.run(1500)', 'every answer is that of the model');
SELECT is((SELECT string_agg(DISTINCT answer ->> 'code', ' ') FROM used), 'CLAIMED OK', 'what was used up was done');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', u), 'the chain is clean') FROM account;
SELECT is_empty('SELECT * FROM economy_internal.audit_stock()', 'and so is the stock');
SELECT is_empty('SELECT * FROM economy_internal.audit_rewards()', 'and so are the streaks');
SELECT * FROM finish();
ROLLBACK;
