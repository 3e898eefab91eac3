-- Functions of test/damage/run, in schema public.

CREATE FUNCTION public.pick(seed bigint, number bigint, what text, below bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT (hashtextextended(format('%s:%s:%s', seed, number, what), 0) & 9007199254740991) % greatest(below, 1)
$$;

-- Another value of a column, as SQL over the row d.
CREATE FUNCTION public.another(col name, type regtype, choice bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE type
        WHEN 'bigint'::regtype THEN format('coalesce(d.%1$I, 0) + %2$s', col, (ARRAY['1', '-1', '7', '1000'])[1 + choice % 4])
        WHEN 'integer'::regtype THEN format('coalesce(d.%1$I, 0) + %2$s', col, (ARRAY['1', '-1', '7', '1000'])[1 + choice % 4])
        WHEN 'smallint'::regtype THEN format('(coalesce(d.%1$I, 0) + %2$s)::smallint', col, (ARRAY['1', '-1', '2', '3'])[1 + choice % 4])
        WHEN 'boolean'::regtype THEN format('NOT coalesce(d.%1$I, false)', col)
        WHEN 'text'::regtype THEN format('coalesce(d.%1$I, '''') || ''x''', col)
        WHEN 'timestamptz'::regtype THEN format('CASE WHEN isfinite(d.%1$I) THEN d.%1$I ELSE ''2026-05-02 00:00+00'' END + interval ''%2$s''', col, (ARRAY['1 second', '-1 second', '1 day', '-1 day'])[1 + choice % 4])
        WHEN 'date'::regtype THEN format('coalesce(d.%1$I, ''2026-05-02'') + %2$s', col, (ARRAY['1', '-1'])[1 + choice % 2])
        WHEN 'interval'::regtype THEN format('coalesce(d.%1$I, ''0'') + interval ''1 hour''', col)
        WHEN 'jsonb'::regtype THEN format('CASE jsonb_typeof(d.%1$I) WHEN ''array'' THEN d.%1$I || ''[1]'' WHEN ''object'' THEN d.%1$I || ''{"damage": 1}'' ELSE ''{"damage": 1}'' END', col)
        WHEN 'bytea'::regtype THEN format('CASE WHEN length(d.%1$I) > 0 THEN set_byte(d.%1$I, %2$s %% length(d.%1$I), 255 - get_byte(d.%1$I, %2$s %% length(d.%1$I))) ELSE ''\x01'' END', col, choice % 97)
        WHEN 'uuid'::regtype THEN format('md5(d.%1$I::text)::uuid', col)
        WHEN 'numeric'::regtype THEN format('coalesce(d.%1$I, 0) + 1.5', col)
        WHEN 'double precision'::regtype THEN format('coalesce(d.%1$I, 0) / 2 + 0.01', col)
        WHEN 'numeric[]'::regtype THEN format('array_append(d.%1$I, 5.5)', col)
        WHEN 'bigint[]'::regtype THEN format('array_append(d.%1$I, 5)', col)
        WHEN 'text[]'::regtype THEN format('array_append(d.%1$I, ''x'')', col)
        WHEN 'oid'::regtype THEN format('(d.%1$I::bigint + 1)::oid', col)
        WHEN '"char"'::regtype THEN format('''z''::"char"', col)
    END
$$;

CREATE FUNCTION public.constraints_off(target regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = target AND contype IN ('c', 'u', 'x') LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', target, c.conname);
    END LOOP;
    FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = target AND contype = 'p' LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', target, c.conname);
    END LOOP;
    FOR c IN SELECT indexrelid::regclass AS name FROM pg_index WHERE indrelid = target AND indisunique LOOP
        EXECUTE format('DROP INDEX %s', c.name);
    END LOOP;
END
$$;

-- The tables that are damaged: all, or those whose names fit a setting.
CREATE VIEW public.tables AS SELECT c.oid, c.relname FROM pg_class c
    WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relkind = 'r' AND c.relname ~ coalesce(current_setting('damage.only', true), '');

-- The statement of damage number i, and what of the table it touches.
CREATE FUNCTION public.damage(seed bigint, i bigint, OUT target regclass, OUT relation text, OUT columns text[], OUT what text, OUT statement text, OUT unconstrained boolean, OUT user_id bigint)
LANGUAGE plpgsql AS $$
DECLARE
    place  tid;
    other  tid;
    kind   text := (ARRAY['change', 'change', 'change', 'change', 'change', 'delete', 'duplicate', 'swap', 'insert', 'null'])[1 + public.pick(seed, i, 'kind', 10)];
    col    pg_attribute;
    cols   text;
    vals   text;
    key    name[];
    rows   bigint;
BEGIN
    SELECT c.oid INTO target FROM public.tables c ORDER BY c.relname OFFSET public.pick(seed, i, 'table', (SELECT count(*) FROM public.tables)) LIMIT 1;
    SELECT c.relname INTO relation FROM pg_class c WHERE c.oid = target;
    EXECUTE format('SELECT count(*) FROM %s', target) INTO rows;
    unconstrained := public.pick(seed, i, 'constraints', 2) = 1;
    IF rows = 0 THEN
        what := relation || ' is empty';
        RETURN;
    END IF;
    EXECUTE format('SELECT ctid FROM %s OFFSET %s LIMIT 1', target, public.pick(seed, i, 'row', rows)) INTO place;
    EXECUTE format('SELECT ctid FROM %s OFFSET %s LIMIT 1', target, public.pick(seed, i, 'other row', rows)) INTO other;
    SELECT a.* INTO col FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum OFFSET public.pick(seed, i, 'column', (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = target AND b.attnum > 0 AND NOT b.attisdropped)) LIMIT 1;
    columns := ARRAY[col.attname];
    SELECT array_agg(a.attname ORDER BY array_position(k.conkey, a.attnum)) INTO key FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
        WHERE k.conrelid = target AND k.contype = 'p';
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO cols FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped;
    CASE kind
        WHEN 'change' THEN
            -- what is as it was is no damage
            statement := format('UPDATE %1$s d SET %2$I = %3$s WHERE d.ctid = %4$L AND d.%2$I::text IS DISTINCT FROM (%3$s)::text', target, col.attname, public.another(col.attname, col.atttypid, public.pick(seed, i, 'value', 1000)), place);
        WHEN 'null' THEN
            statement := format('UPDATE %1$s d SET %2$I = NULL WHERE d.ctid = %3$L AND d.%2$I IS NOT NULL', target, col.attname, place);
        WHEN 'delete' THEN
            columns := ARRAY['*'];
            statement := format('DELETE FROM %s d WHERE d.ctid = %L', target, place);
        WHEN 'swap' THEN
            -- rows that differ in nothing else only change places; and where units of a product lie means nothing
            statement := format('UPDATE %1$s d SET %2$I = o.%2$I FROM %1$s o WHERE (d.ctid, o.ctid) IN ((%3$L, %4$L), (%4$L, %3$L)) AND d.%2$I IS DISTINCT FROM o.%2$I'
                ' AND to_jsonb(d) - %2$L::text <> to_jsonb(o) - %2$L::text%5$s', target, col.attname, place, other,
                CASE relation WHEN 'shop_stock' THEN ' AND d.product_id <> o.product_id' WHEN 'promo_stock' THEN ' AND d.name <> o.name' ELSE '' END);
        ELSE
            -- a duplicate, exact or under another key; an insert: with another value as well
            columns := ARRAY['*'];
            SELECT string_agg(CASE WHEN a.attname = ANY (key) AND (kind = 'insert' OR NOT unconstrained) AND a.attname = key[1 + public.pick(seed, i, 'key', cardinality(key))]
                                     OR kind = 'insert' AND a.attnum = col.attnum
                                   THEN public.another(a.attname, a.atttypid, public.pick(seed, i, 'value', 1000)) ELSE format('d.%I', a.attname) END, ', ' ORDER BY a.attnum)
                INTO vals FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped;
            statement := format('INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM %1$s d WHERE d.ctid = %4$L', target, cols, vals, place);
    END CASE;
    EXECUTE format('SELECT to_jsonb(d) ->> ''user_id'' FROM %s d WHERE d.ctid = %L', target, place) INTO user_id;
    what := format('%s %s.%s%s: %s', kind, relation, columns[1], CASE WHEN unconstrained THEN ' without constraints' ELSE '' END, statement);
END
$$;

-- What a user's app, and an operator, call.  Damage may make it a refusal or an error of ours, and nothing else.
CREATE TABLE public.calls (number integer GENERATED ALWAYS AS IDENTITY, statement text);
INSERT INTO public.calls (statement) VALUES
    ('economy.account(%1$s)'), ('economy.streak_state(%1$s)'), ('economy.streak_preview(%1$s, 3)'), ('economy.game_stats_me(%1$s)'), ('economy.statement(%1$s)'), ('economy.products(%1$s)'), ('economy.purchases_of(%1$s)'), ('economy.debts_of(%1$s)'), ('economy_internal.collect_debts()'), ('(SELECT f.seq FROM economy.fulfilments f WHERE f.user_id = %1$s) f, economy.fulfil(%1$s, format(''P%1$s-%%s'', f.seq), ''d'')'), ('economy.profile(%1$s)'), ('economy.holdings(%1$s)'), ('economy.item_catalogue()'), ('economy.leaderboards b, economy.leaderboard(b.board), economy.rank_of(b.board, %1$s, 2), economy.leaderboard_of(b.board, ''{%1$s}'')'), ('economy.leaderboard_info()'), ('economy.holds(%1$s, ''gem'')'),
    ('economy.items i, economy.grant_items(%1$s, jsonb_build_object(i.item_id, 3), ''r'', i.item_id)'), ('economy.items i, economy.consume(%1$s, i.item_id, i.item_id)'),
    ('economy.draw_commit(%1$s)'), ('economy.draw_tables t, economy.draw(%1$s, t.table_id, ''new '' || t.table_id, ''x'')'), ('(SELECT h.reason, h.idempotency_key, h.detail ->> ''client_seed'' AS seed FROM economy.holding_changes h WHERE h.user_id = %1$s AND h.operation = ''draw'') h, economy.draw(%1$s, h.reason, h.idempotency_key, h.seed)'),
    ('economy.draw_table(''chest'')'), ('economy.draw_reveal(%1$s, 1)'), ('economy.draw_reveal(%1$s, 2)'), ('economy.publish_draw_table(''next'', ''a'')'), ('economy.upsert_draw_table(''{"table_id": "dice", "active": false}'', ''a'')'),
    ('economy.spend(%1$s, 1, ''r'', ''new'', ''{"gem": 1}'')'), ('economy.spend(%1$s, 1, ''r'', ''new gold'')'),
    ('(SELECT min(a.user_id) AS id FROM economy.accounts a WHERE a.user_id <> %1$s) o, economy.transfer(%1$s, o.id, ''i'', 5, ''{"gem": 2}'') there, economy.transfer(o.id, %1$s, ''new'', 1, ''{"gem": 1}'')'),
    ('(SELECT min(a.user_id) AS id FROM economy.accounts a WHERE a.user_id <> %1$s) o, economy.hold_escrow(%1$s, ''new'', 1, ''{"gem": 1}'') h, economy.capture_escrow(%1$s, h.transaction_id, o.id)'), ('economy.hold_escrow(%1$s, ''e1'', 3)'),
    ('(SELECT e.escrow_id FROM economy.escrows_of(%1$s) e) e, economy.release_escrow(%1$s, e.escrow_id)'), ('economy_internal.expire_escrows()'),
    ('economy.orders_of(%1$s)'), ('economy.purchase(%1$s, ''paid'', ''new'')'), ('economy.purchase(%1$s, ''paid'', ''order 1'', 2)'), ('economy.settlement_lease(''d'', 3)'), ('economy_internal.expire_orders(100, NULL)'), ('economy.settlement_reconcile(''stripe'', ''[{"provider_ref": "x", "report": "confirmed"}]'')'), ('economy.payment_order_problems p, economy.resolve_order(p.order_id, ''CONFIRMED'', ''r'', ''d'')'),
    ('(SELECT o.order_id, o.amount FROM economy.payment_orders o WHERE o.user_id = %1$s) o, economy.settlement_report(o.order_id, ''confirmed'', ''d'', NULL, o.amount)'),
    ('economy.open_action(%1$s, ''slot'', ''SPIN'', ''new'', 1), economy.settle_action(%1$s, ''slot'', ''new'', 2)'), ('(SELECT o.game, o.action_id FROM economy.open_actions(%1$s) o) o, economy.settle_action(%1$s, o.game, o.action_id, 3)'), ('(SELECT o.game, o.action_id FROM economy.open_actions(%1$s) o) o, economy.void_action(%1$s, o.game, o.action_id)'),
    ('(SELECT h.seq FROM economy.holding_changes h WHERE h.user_id = %1$s AND h.operation = ''escrow_hold'') h, economy.release_escrow(%1$s, format(''H%1$s-%%s'', h.seq))'),
    ('economy.reserve(%1$s, ''ticket'', ''new'', 2)'), ('economy.reserve(%1$s, ''ticket'', ''now'', 2, ''24 hours'')'), ('economy.purchase(%1$s, ''ticket'', ''order'', 2, ''{"reservation": "r1"}'')'),
    ('(SELECT r.product_id, r.quantity, r.idempotency_key AS name FROM economy.shop_reservations r WHERE r.user_id = %1$s) r, economy.purchase(%1$s, r.product_id, ''for '' || r.name, r.quantity, jsonb_build_object(''reservation'', r.name)) p, economy.release_reservation(%1$s, r.name)'),
    ('economy.promo_codes c, economy.shop_products p, economy.promo_preview(%1$s, p.product_id, c.code)'), ('economy.promo_codes c, economy.purchase(%1$s, ''ticket'', ''by '' || c.code, 1, jsonb_build_object(''promo'', c.code))'), ('economy.upsert_promo_code(''{"code": "HALF", "max_uses": 41}'', ''a'')'),
    ('economy.purchase(%1$s, ''ticket'', ''all'', 80)'), ('economy_internal.expire_reservations(500, NULL)'),
    ('economy.missions(%1$s)'), ('economy.mission_templates t, economy.claim_mission(%1$s, t.mission)'), ('economy.claim_all(%1$s)'), ('economy.mission_parity()'), ('economy.mission_progress'),
    ('economy.season(%1$s)'), ('economy.seasons s, economy.claim_tier(%1$s, s.season, 1, ''free'')'), ('economy.seasons s, economy.claim_season(%1$s, s.season)'), ('economy_internal.close_seasons()'),
    ('economy.publish_season(''{"season": "fire", "position": 2}'', ''a'')'), ('economy.retire_season(''fire'', ''a'')'),
    ('economy.publish_mission(''{"mission": "new", "trigger": "entry", "target": 1}'', ''a'')'), ('economy.retire_mission(''rich'', ''a'')'),
    ('economy.level_of(%1$s, 50)'), ('economy.replay(%1$s, 0)'), ('economy.segment(%1$s)'), ('economy.verify_chain(%1$s)'),
    ('(SELECT t.seq FROM economy.shop_transactions t WHERE t.user_id = %1$s) t, economy.receipt(%1$s, format(''P%1$s-%%s'', t.seq)), economy.verify_receipt(%1$s, format(''P%1$s-%%s'', t.seq))'),
    ('(SELECT DISTINCT t.product_id, t.idempotency_key FROM economy.shop_transactions t WHERE t.user_id = %1$s) t, economy.purchase(%1$s, t.product_id, t.idempotency_key)'),
    ('economy.shop_products p, economy.purchase(%1$s, p.product_id, ''dry'', dry_run => true), economy_internal.purchase_probe(%1$s, p.product_id)'),
    ('economy.shop_products p, economy.purchase(%1$s, p.product_id, ''new'')'),
    ('economy.purchases((SELECT jsonb_agg(jsonb_build_object(''user_id'', %1$s, ''product_id'', p.product_id, ''idempotency_key'', ''many'')) FROM economy.shop_products p))'),
    ('(SELECT DISTINCT r.source, r.external_event_id FROM economy.reward_audit r WHERE r.user_id = %1$s AND r.source !~ ''^economy:'') r, economy.grant_reward(%1$s, r.source, r.external_event_id, 5, 20)'),
    ('economy.grant_reward(%1$s, ''damage'', ''new'', 5, 2000)'), ('economy.grant_reward(%1$s, ''damage'', ''items'', 1, 0, ''{"g": 1}'', jsonb_build_object(''gem'', 2, ''badge'', 3, ''vip'', 600, rpad(''item 7'', 64, ''x''), 2))'),
    ('economy.items i, economy.grant_reward(%1$s, ''new items'', i.item_id, items => jsonb_build_object(i.item_id, 2))'),
    ('economy.grant_rewards(ARRAY[%1$s, %1$s], ''{damage,damage}'', ''{i0,i1}'', items => array_fill(jsonb_build_object(''gem'', 1, rpad(''item 7'', 64, ''x''), 1), ARRAY[2]))'),
    ('(SELECT DISTINCT t.product_id, t.quantity FROM economy.shop_transactions t WHERE t.user_id = %1$s) t, economy.purchase(%1$s, t.product_id, ''new '' || t.product_id, t.quantity)'),
    ('economy.grant_rewards(''[{"user_id": %1$s, "source": "damage", "external_event_id": "g0", "gold": 5}, {"user_id": %1$s, "source": "damage", "external_event_id": "many", "gold": 5}]'')'),
    ('economy.claim_daily_reward(%1$s)'), ('economy.set_streak(%1$s, 0, NULL, ''r'', ''a'')'), ('economy.set_streak(%1$s, 3, ''2026-05-02'', ''r'', ''a'', ''key'')'), ('economy.claim_daily_reward(%1$s)'),
    ('(SELECT r.seq FROM economy.reward_audit r WHERE r.user_id = %1$s ORDER BY r.seq DESC) r, economy.revoke_reward(%1$s, format(''R%1$s-%%s'', r.seq), ''r'', ''a'', policy => ''take'')'),
    ('(SELECT r.seq FROM economy.reward_audit r WHERE r.user_id = %1$s ORDER BY r.seq) r, economy.revoke_reward(%1$s, format(''R%1$s-%%s'', r.seq), ''r'', ''a'', gold => 0, idempotency_key => ''k'')'),
    ('(SELECT r.seq FROM economy.reward_audit r WHERE r.user_id = %1$s ORDER BY r.seq) r, economy.revoke_reward(%1$s, format(''R%1$s-%%s'', r.seq), ''r'', ''a'', 0, 0, ''take'', ''i'', ''{"badge": 1}'')'),
    ('(SELECT t.seq FROM economy.shop_transactions t WHERE t.user_id = %1$s ORDER BY t.seq) t, economy.refund_purchase(%1$s, format(''P%1$s-%%s'', t.seq), ''new'', NULL, ''r'', ''a'')'), ('economy.purchases_of(%1$s)'),
    ('(SELECT t.seq FROM economy.shop_transactions t WHERE t.user_id = %1$s ORDER BY t.seq DESC) t, economy.refund_purchase(%1$s, format(''P%1$s-%%s'', t.seq), ''part'', 1, ''r'', ''a'', ''take_available'')'),
    ('(SELECT t.seq FROM economy.shop_transactions t WHERE t.user_id = %1$s ORDER BY t.seq DESC) t, economy.refund_purchase(%1$s, format(''P%1$s-%%s'', t.seq), ''whole'', NULL, ''r'', ''a'', ''take_available'', false)'),
    ('economy.adjust_gold(%1$s, 7, ''new'', ''r'', ''a'')'), ('economy.adjust_gold(%1$s, 100000, ''open'', ''damage'', ''damage'')'),
    ('economy.games g, economy.record_action(%1$s, g.game, ''PLAY'', ''new'', 1, 2)'), ('(SELECT DISTINCT a.game, a.action_id FROM economy.user_actions a WHERE a.user_id = %1$s) a, economy.record_action(%1$s, a.game, ''PLAY'', a.action_id, 10, 10)'),
    ('economy.record_actions((SELECT jsonb_agg(jsonb_build_object(''user_id'', %1$s, ''game'', g.game, ''action_type'', ''PLAY'', ''action_id'', ''many'', ''bet'', 1, ''win'', 2)) FROM economy.games g))'),
    ('economy.set_timezone(%1$s, ''Asia/Tokyo'', ''k'')'), ('economy.update_profile(%1$s, ''{"a": 1}'', ''k'')'), ('economy.unlink_external_id(%1$s, ''k'')'), ('economy.link_external_id(%1$s, ''other'', ''l'')'),
    ('economy.set_user_status(%1$s, ''suspended'', ''a'')'), ('economy.set_user_status(%1$s, ''active'', ''a'')'), ('economy.recommend(%1$s, ''home'')'),
    ('(SELECT r.number FROM economy.recommendations r WHERE r.user_id = %1$s) r, economy.recommendation_feedback(format(''D%1$s-%%s'', r.number), ''click'')'),
    ('economy.user_id_of(''u3'')'), ('economy.register(''u3'')'), ('economy.register(''brand new'')'), ('economy.changes(''start'', 10000)'), ('economy.health()'), ('economy.rfm_refresh_incremental()'), ('economy.rfm_refresh()'),
    ('economy.rollup_stats()'), ('economy.refresh_leaderboards()'), ('economy.retry_leaderboard_prizes(''day'')'), ('economy.pay_leaderboard_prizes()'), ('economy.leaderboard_parity()'), ('economy.prune(''6 days'')'), ('economy.learn_recommendations()'), ('economy.recommendation_stats()'), ('economy.segment_figures()'), ('economy.stats_parity()'), ('economy.win_rate_anomalies(''slot'')'),
    ('economy.verify_anchor(economy.last_anchor())'), ('economy.add_stock(''summer_pack'', 2, ''a'')'), ('economy.add_stock(''summer_pack'', -1, ''a'')'), ('economy.remove_stock(''summer_pack'', ''a'')'),
    ('economy.rotate_signing_key()'), ('economy.retire_signing_key(2)'), ('economy.anchor()'), ('economy.audit_sweep_incremental()');

-- The errors of these calls that are none of ours; a call is undone, and so is its error.
CREATE FUNCTION public.call_all(u bigint, OUT complaints text) LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT * FROM public.calls ORDER BY number LOOP
        RAISE DEBUG 'call % of user %', c.number, u;
        BEGIN
            EXECUTE 'SELECT count(*) FROM ' || format(c.statement, u);
        EXCEPTION WHEN OTHERS THEN
            IF sqlstate !~ '^(XE|54|27|23|21|42704|42P10)' THEN
                complaints := concat_ws(E'\n', complaints, format('%s %s: %s', c.statement, sqlstate, sqlerrm));
            END IF;
        END;
    END LOOP;
END
$$;

CREATE FUNCTION public.plant(seed bigint, i bigint, with_calls boolean, OUT relation text, OUT outcome text, OUT what text, OUT complaints text) LANGUAGE plpgsql AS $$
DECLARE
    d        record;
    n        bigint;
    findings bigint;
    before   text;
    after    text;
BEGIN
    SELECT * INTO d FROM public.damage(seed, i);
    relation := d.relation;
    what := d.what;
    outcome := 'impossible';
    IF d.statement IS NULL THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', d.target);
        IF d.unconstrained THEN
            PERFORM public.constraints_off(d.target);
            -- of the one column alone: an error at every other damage would be taken for a finding
            IF d.what LIKE 'null %' AND (SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = d.target AND a.attname = d.columns[1]) THEN
                EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', d.target, d.columns[1]);
            END IF;
        END IF;
        EXECUTE d.statement;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n = 0 THEN
            RAISE EXCEPTION 'nothing changed' USING ERRCODE = 'XT001';
        END IF;
    EXCEPTION WHEN OTHERS THEN
        what := what || ': ' || sqlerrm;
        RETURN;
    END;
    BEGIN
        -- that triggers are off and constraints gone is the test's own doing
        SELECT count(*) INTO findings FROM economy.audit_sweep() f WHERE f.kind <> 'wrong_schema';
        outcome := CASE WHEN findings > 0 THEN 'seen'
            WHEN EXISTS (SELECT FROM economy.audit_unknown() u WHERE u.relation = d.relation AND (u."column" = '*' OR u."column" = ANY (d.columns))) THEN 'listed'
            ELSE 'unseen' END;
    EXCEPTION WHEN OTHERS THEN
        -- an error tells of the damage, but hides all else: it is no finding
        outcome := 'unseen';
        what := what || ': the sweep ended with ' || sqlerrm;
    END;
    PERFORM set_config('economy.row_access', (ARRAY['auto', 'sql'])[1 + public.pick(seed, i, 'way', 2)], true);
    complaints := CASE WHEN with_calls THEN public.call_all(coalesce(d.user_id, (SELECT min(u.user_id) FROM economy.users u))) END;
END
$$;

CREATE FUNCTION public.plant_all(n bigint, seed bigint, every integer) RETURNS TABLE (number bigint, relation text, outcome text, what text, complaints text) LANGUAGE plpgsql AS $$
DECLARE
    p record;
BEGIN
    FOR number IN 1 .. n LOOP
        BEGIN
            RAISE DEBUG 'damage % of seed %', number, seed;
            SELECT * INTO p FROM public.plant(seed, number, number % every = 0);
            RAISE EXCEPTION USING ERRCODE = 'XT000', MESSAGE = 'undone';
        EXCEPTION WHEN SQLSTATE 'XT000' THEN
            relation := p.relation;
            outcome := p.outcome;
            what := p.what;
            complaints := p.complaints;
        END;
        RETURN NEXT;
    END LOOP;
END
$$;
