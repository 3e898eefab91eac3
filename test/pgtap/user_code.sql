-- User code in the middle of a call: triggers and constraints of the app that call
-- functions of economy for the same user.
BEGIN;
SELECT plan(117);

SELECT economy.register('pgtap code') AS u \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'r', 'a') \gset
SELECT economy.upsert_product('{"product_id": "pgtap_p", "category": "item", "price_gold": 100, "active": true}', 'pgtap') IS NULL AS x \gset
SELECT economy.register_game('pgtap') AS x \gset

-- what holds after each: entries without gap, balances, chain, statistics
CREATE FUNCTION pg_temp.findings(u bigint) RETURNS bigint LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM economy.verify_chain(u))
         + (SELECT count(*) FROM economy.accounts a WHERE a.user_id = u
            AND (a.seq, a.gold) IS DISTINCT FROM (SELECT (count(*), sum(l.gold_delta)::bigint) FROM economy.ledger l WHERE l.user_id = u))
         + (SELECT count(*) FROM economy.game_stats g WHERE g.user_id = u AND g.total <> (SELECT count(*) FROM economy.user_actions t WHERE t.user_id = u AND t.game = g.game))
$$;
CREATE FUNCTION pg_temp.cashback() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.grant_reward(NEW.user_id, 'pgtap cashback', NEW.seq::text, 5);
    RETURN NEW;
END $$;

-- a cashback, with and without a foreign key to the accounts
CREATE TRIGGER pgtap AFTER INSERT ON economy.shop_transactions FOR EACH ROW EXECUTE FUNCTION pg_temp.cashback();
SELECT is(state || ' ' || code || ' ' || gold, 'new OK 900', 'a purchase with a cashback') FROM economy.purchase(:u, 'pgtap_p', 'k1');
SELECT results_eq(format('SELECT l.seq, l.gold_delta FROM economy.ledger l WHERE l.user_id = %s ORDER BY 1', :u),
    'VALUES (1::bigint, 1000::bigint), (2, -100), (3, 5)', 'both entries are there, one after the other');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and sound');
CREATE TABLE pgtap_profile (user_id bigint REFERENCES economy.accounts);
INSERT INTO pgtap_profile VALUES (:u);
SELECT is(state || ' ' || code || ' ' || gold, 'new OK 805', 'the same with a foreign key to the accounts') FROM economy.purchase(:u, 'pgtap_p', 'k2');
SELECT is((SELECT (seq, gold)::text FROM economy.accounts a WHERE a.user_id = :u), '(5,810)', 'both count');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and are sound');
DROP TABLE pgtap_profile;
DROP TRIGGER pgtap ON economy.shop_transactions;

-- a gift of the very stock of which the batch buys
SELECT economy.register('pgtap bag') AS bag \gset
SELECT success AS x FROM economy.adjust_gold(:bag, 1000, 'open', 'r', 'a') \gset
SELECT economy.upsert_product('{"product_id": "pgtap_bag", "category": "item", "price_gold": 1}', 'pgtap') IS NULL AS x \gset
SELECT economy.add_stock('pgtap_bag', 8, 'pgtap', 2) AS x \gset
CREATE FUNCTION pg_temp.bag() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM economy.purchase(NEW.user_id, 'pgtap_bag', 'with ' || NEW.seq) p WHERE NEW.product_id = 'pgtap_p';
    RETURN NULL;
END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.shop_transactions FOR EACH ROW EXECUTE FUNCTION pg_temp.bag();
SELECT is((SELECT string_agg(concat_ws(' ', b.code, b.stock_remaining), ', ') FROM economy.purchases(array_fill(:bag::bigint, ARRAY[6]),
    '{pgtap_p,pgtap_bag,pgtap_p,pgtap_bag,pgtap_bag,pgtap_p}', '{a,b,c,d,e,f}', '{1,3,1,4,3,1}') b), 'OK, OK 4, OK, SOLD_OUT 3, OK 0, OK', 'a batch finds the stock that its triggers have left');
SELECT is((SELECT string_agg(t.idempotency_key, ', ' ORDER BY t.seq) FROM economy.shop_transactions t WHERE t.user_id = :bag), 'a, with 2, b, c, with 5, e, f', 'each is sold once');
SELECT is_empty('SELECT * FROM economy_internal.audit_stock()', 'and counted');
SELECT is(pg_temp.findings(:bag), 0::bigint, 'and sound');
DROP TRIGGER pgtap ON economy.shop_transactions;

-- of rewards, claims and actions
CREATE FUNCTION pg_temp.once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.source NOT LIKE 'pgtap cashback%' THEN
        PERFORM economy.grant_reward(NEW.user_id, 'pgtap cashback of ' || NEW.source, NEW.seq::text, 5);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.reward_audit FOR EACH ROW EXECUTE FUNCTION pg_temp.once();
SELECT is(state, 'new', 'a reward that brings another') FROM economy.grant_reward(:u, 'pgtap', 'e', 10);
SELECT is(pg_temp.findings(:u), 0::bigint, 'is sound');
SELECT is(state, 'new', 'a claim that brings another reward') FROM economy.claim_daily_reward(:u);
SELECT is(code, 'ALREADY_CLAIMED', 'is claimed') FROM economy.claim_daily_reward(:u);
SELECT is(pg_temp.findings(:u), 0::bigint, 'is sound');
DROP TRIGGER pgtap ON economy.reward_audit;
CREATE FUNCTION pg_temp.bonus_spin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.action_type <> 'BONUS' THEN
        PERFORM economy.record_action(NEW.user_id, NEW.game, 'BONUS', NEW.action_id || ' bonus', 0, 1);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.bonus_spin();
SELECT is(state, 'new', 'an action that brings another of the game') FROM economy.record_action(:u, 'pgtap', 'SPIN', 'a', 1, 0);
SELECT is(pg_temp.findings(:u), 0::bigint, 'is sound');
SELECT is(count(*) FILTER (WHERE state = 'new'), 600::bigint, 'so are 600 in a batch')
FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :u::bigint, 'game', 'pgtap', 'action_type', 'SPIN', 'action_id', i::text, 'bet', 1, 'win', 2)) FROM generate_series(1, 600) i));
SELECT is(pg_temp.findings(:u), 0::bigint, 'and sound');
SELECT is((SELECT g.total FROM economy.game_stats g WHERE g.user_id = :u), 1202::bigint, 'all of them count');
SELECT is(string_agg(state || ' ' || gold_delta, ', '), 'new -1, reuse 1, new -1', 'a key that comes later in the batch and was sent by the trigger has had its effect')
FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :u::bigint, 'game', 'pgtap', 'action_type', t, 'action_id', i, 'bet', b, 'win', w))
    FROM (VALUES ('SPIN', 'x', 1, 0), ('BONUS', 'x bonus', 0, 1), ('SPIN', 'y', 1, 0)) v (t, i, b, w)));
SELECT is(pg_temp.findings(:u), 0::bigint, 'and sound');
-- the trigger moves another user of the batch on, whose known action is answered in between
SELECT economy.register('pgtap code 2') AS v \gset
CREATE FUNCTION pg_temp.shared() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.action_type = 'SHARE' THEN
        PERFORM economy.record_action(economy.user_id_of('pgtap code 2'), 'pgtap', 'SHARED', NEW.action_id, 0, 1);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap_2 AFTER INSERT ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.shared();
SELECT is((SELECT string_agg(concat_ws(' ', r.state, r.total), ', ' ORDER BY r.n) FROM economy.record_actions(ARRAY[:v, :u, :v, :v, :u, :v], array_fill('pgtap'::text, ARRAY[6]),
               '{SPIN,SHARE,SPIN,SPIN,SHARE,SHARED}', '{s1,s2,s1,s3,s4,s4}', wins => '{0,0,0,0,0,1}') WITH ORDINALITY r (s, state, code, t, gd, g, total, w, l, m, ra, detail, n)),
    'new 1, new 1207, reuse 4, new 5, new 1209, reuse 8', 'others of the batch go on from where a trigger left them');
SELECT is(pg_temp.findings(:u) + pg_temp.findings(:v), 0::bigint, 'and are sound');
-- the same by a trigger on accounts, which are written first
DROP TRIGGER pgtap_2 ON economy.user_actions;
CREATE FUNCTION pg_temp.shared_early() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.user_id <> economy.user_id_of('pgtap code 2') THEN
        PERFORM economy.record_action(economy.user_id_of('pgtap code 2'), 'pgtap', 'EARLY', NEW.seq::text, 0, 1);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap_2 AFTER UPDATE ON economy.accounts FOR EACH ROW EXECUTE FUNCTION pg_temp.shared_early();
SELECT is((SELECT string_agg(concat_ws(' ', r.state, r.total), ', ' ORDER BY r.n) FROM economy.record_actions(ARRAY[:v, :u, :v, :v], array_fill('pgtap'::text, ARRAY[4]),
               '{BONUS,BONUS,BONUS,BONUS}', '{e1,e2,e1,e3}') WITH ORDINALITY r (s, state, code, t, gd, g, total, w, l, m, ra, detail, n)),
    'new 9, new 1211, reuse 11, new 12', 'or from where one on accounts did');
SELECT is(pg_temp.findings(:u) + pg_temp.findings(:v), 0::bigint, 'and are sound');
DROP TRIGGER pgtap_2 ON economy.accounts;
-- what the account keeps of other games stays, whatever else is answered in between
SELECT count(*) AS x FROM generate_series(1, 5) n, economy.register_game('pgtap more ' || n) \gset
SELECT is(string_agg(code || ' ' || total, ', '), 'OK 1, OK 1, OK 1, OK 1, OK 1', 'a batch of several games') FROM economy.record_actions(
    array_fill(:u::bigint, ARRAY[5]), (SELECT array_agg('pgtap more ' || n) FROM generate_series(1, 5) n), array_fill('BONUS'::text, ARRAY[5]), '{m1,m2,m3,m4,m5}', wins => '{1,2,3,4,5}');
SELECT is((SELECT array_agg(code ORDER BY n) FROM economy.record_actions((SELECT jsonb_agg(CASE WHEN n % 4 < 2
        THEN jsonb_build_object('user_id', :u::bigint, 'game', 'pgtap more ' || 1 + n % 5, 'action_type', 'SPIN', 'action_id', 'more ' || n)
        ELSE jsonb_build_object('user_id', :u::bigint, 'game', 'pgtap more 1', 'action_type', 'BONUS', 'action_id', 'm1', 'win', 1, 'details', jsonb_build_object('t', repeat('x', 20 * n))) END ORDER BY n)
        FROM generate_series(1, 200) n)) WITH ORDINALITY r (s, st, code, t, gd, g, total, w, l, m, ra, detail, n)),
    (SELECT array_agg(CASE WHEN n % 4 < 2 THEN 'OK' ELSE 'IDEMPOTENCY_MISMATCH' END ORDER BY n) FROM generate_series(1, 200) n), 'and one with long answers');
SELECT is(pg_temp.findings(:u), 0::bigint, 'are sound');
SELECT is((SELECT array_agg(concat_ws(' ', g.game, g.total, g.win_sum) ORDER BY g.game) FROM economy.game_stats g WHERE g.user_id = :u),
    (SELECT array_agg(concat_ws(' ', c.game, c.n, c.wins) ORDER BY c.game) FROM (SELECT t.game, count(*) AS n, sum(t.win) AS wins FROM economy.user_actions t WHERE t.user_id = :u GROUP BY 1) c), 'and all count');
DROP TRIGGER pgtap ON economy.user_actions;

-- who sends the same key before the entry can be seen is told, and the key has no effect
CREATE FUNCTION pg_temp.same_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN
        CASE regexp_replace(tg_table_name, '_p[0-9]+$', '')
            WHEN 'shop_transactions' THEN PERFORM economy.purchase(NEW.user_id, NEW.product_id, NEW.idempotency_key);
            WHEN 'reward_audit' THEN PERFORM economy.grant_reward(NEW.user_id, NEW.source, NEW.external_event_id, 1);
            ELSE PERFORM economy.record_action(NEW.user_id, NEW.game, NEW.action_type, NEW.action_id);
        END CASE;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap BEFORE INSERT ON economy.shop_transactions FOR EACH ROW EXECUTE FUNCTION pg_temp.same_key();
CREATE TRIGGER pgtap BEFORE INSERT ON economy.reward_audit FOR EACH ROW EXECUTE FUNCTION pg_temp.same_key();
CREATE TRIGGER pgtap BEFORE INSERT ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.same_key();
SELECT throws_ok(format(call, :u), '27000', NULL, call)
FROM (VALUES ('SELECT economy.purchase(%s, ''pgtap_p'', ''same'')'), ('SELECT economy.purchases(''{%s}'', ''{pgtap_p}'', ''{same}'')'),
             ('SELECT economy.grant_reward(%s, ''pgtap'', ''same'', 1)'), ('SELECT economy.grant_rewards(''{%s}'', ''{pgtap}'', ''{same}'', ''{1}'')'),
             ('SELECT economy.record_action(%s, ''pgtap'', ''SPIN'', ''same'')')) v (call);
SELECT is(pg_temp.findings(:u), 0::bigint, 'and nothing is done');
DROP TRIGGER pgtap ON economy.shop_transactions;
-- nor is what can be bought once bought by any other key
SELECT economy.upsert_product('{"product_id": "pgtap_once", "category": "item", "price_gold": 1, "limit_once": true}', 'pgtap') IS NULL AS x \gset
CREATE FUNCTION pg_temp.once_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN
        PERFORM economy.purchase(NEW.user_id, NEW.product_id, NEW.idempotency_key || ' more');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap BEFORE INSERT ON economy.shop_transactions FOR EACH ROW EXECUTE FUNCTION pg_temp.once_more();
SELECT throws_ok(format(call, :u), '27000', NULL, call)
FROM (VALUES ('SELECT economy.purchase(%s, ''pgtap_once'', ''once'')'), ('SELECT economy.purchases(''{%s}'', ''{pgtap_once}'', ''{once}'')')) v (call);
DROP TRIGGER pgtap ON economy.shop_transactions;
DROP TRIGGER pgtap ON economy.reward_audit;
DROP TRIGGER pgtap ON economy.user_actions;
-- wherever the write is
CREATE FUNCTION pg_temp.same_key_early() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN
        CASE tg_argv[0]
            WHEN 'purchase' THEN PERFORM economy.purchase(NEW.user_id, 'pgtap_p', 'early');
            WHEN 'grant' THEN PERFORM economy.grant_reward(NEW.user_id, 'pgtap', 'early', 1);
            ELSE PERFORM economy.record_action(NEW.user_id, 'pgtap', 'SPIN', 'early');
        END CASE;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION pg_temp.early(tab regclass, kind text, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text := 'two effects';
BEGIN
    EXECUTE format('CREATE TRIGGER pgtap AFTER INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION pg_temp.same_key_early(%L)', tab, kind);
    BEGIN
        EXECUTE call;
    EXCEPTION WHEN triggered_data_change_violation THEN
        answer := 'refused';
    END;
    EXECUTE format('DROP TRIGGER pgtap ON %s', tab);
    RETURN answer;
END $$;
-- as if there had been no room in the account for any of the games
INSERT INTO economy_internal.game_stats_more SELECT user_id, game, wins, losses, draws, max_win, bet_sum, win_sum, last_action_at FROM economy.game_stats WHERE user_id = :u;
UPDATE economy.accounts SET sections = E'\\x0101000101' WHERE user_id = :u;
SELECT is_empty('SELECT * FROM economy.stats_parity()', 'statistics in rows of their own');
SELECT is(pg_temp.early(tab, kind, format(call, :u)), 'refused', format('a trigger on %s, %s', tab, kind))
FROM (VALUES ('economy.accounts'::regclass), ('economy_internal.game_stats_more')) t (tab),
     (VALUES ('purchase', 'SELECT economy.purchase(%s, ''pgtap_p'', ''early'')'), ('grant', 'SELECT economy.grant_reward(%s, ''pgtap'', ''early'', 1)'), ('grant', 'SELECT economy.grant_rewards(''{%s}'', ''{pgtap}'', ''{early}'', ''{1}'')'),
             ('action', 'SELECT economy.record_action(%s, ''pgtap'', ''SPIN'', ''early'')')) c (kind, call)
WHERE tab = 'economy.accounts'::regclass OR kind = 'action';
SELECT is(pg_temp.findings(:u), 0::bigint, 'and nothing is done');

-- calls within calls within calls
CREATE FUNCTION pg_temp.again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.gold_delta > 1 THEN
        PERFORM economy.adjust_gold(NEW.user_id, NEW.gold_delta - 1, 'nested ' || NEW.gold_delta, 'r', 'a');
    END IF;
    RETURN NEW;
END $$;
SELECT a.seq AS nested_from FROM economy.accounts a WHERE a.user_id = :u \gset
CREATE TRIGGER pgtap AFTER INSERT ON economy.gold_adjustments FOR EACH ROW EXECUTE FUNCTION pg_temp.again();
SELECT is(state, 'new', 'a call within which twenty others are made, each in the one before') FROM economy.adjust_gold(:u, 20, 'nested', 'r', 'a');
SELECT is((SELECT array_agg(l.gold_delta ORDER BY l.seq) FROM economy.ledger l WHERE l.user_id = :u AND l.seq > :nested_from),
          ARRAY(SELECT n::bigint FROM generate_series(20, 1, -1) n), 'makes an entry for each');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and is sound');
DROP TRIGGER pgtap ON economy.gold_adjustments;

-- before the account is written it is too late: the call is refused, and nothing is done
CREATE FUNCTION pg_temp.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM economy.grant_reward((SELECT a.user_id FROM economy.accounts a JOIN economy.users s USING (user_id) WHERE s.external_id = 'pgtap code'), 'pgtap meddle', NEW.remaining::text, 5);
    RETURN NEW;
END $$;
SELECT economy.add_stock('pgtap_p', 10, 'pgtap') AS x \gset
CREATE TRIGGER pgtap AFTER UPDATE ON economy.shop_stock FOR EACH ROW EXECUTE FUNCTION pg_temp.meddle();
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pgtap_p'', ''k3'')', :u), '27000', NULL, 'a trigger between reading and writing the account is told');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and nothing is done');
DROP TRIGGER pgtap ON economy.shop_stock;
CREATE FUNCTION public.pgtap_check(u bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('pgtap.meddle', true) = 'on' THEN
        PERFORM set_config('pgtap.meddle', 'off', true);
        PERFORM economy.grant_reward(u, 'pgtap check', clock_timestamp()::text, 5);
    END IF;
    RETURN true;
END $$;
ALTER TABLE economy.accounts ADD CONSTRAINT pgtap CHECK (public.pgtap_check(user_id));
SET LOCAL pgtap.meddle = 'on';
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pgtap_p'', ''k4'')', :u), '27000', NULL, 'so is a constraint on the account');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and nothing is done');
ALTER TABLE economy.accounts DROP CONSTRAINT pgtap;
ALTER TABLE economy.shop_transactions ADD CONSTRAINT pgtap CHECK (public.pgtap_check(user_id));
SET LOCAL pgtap.meddle = 'on';
SELECT is(state, 'new', 'a constraint on the journal comes after the account') FROM economy.purchase(:u, 'pgtap_p', 'k5');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and is sound');
SET LOCAL pgtap.meddle = 'on';
SELECT throws_ok(format($$SELECT economy.purchases('{%1$s,%1$s}', '{pgtap_p,pgtap_p}', '{kb1,kb2}')$$, :u), '27000', NULL, 'but in the middle of a batch, which does not reckon with it');
SET LOCAL pgtap.meddle = 'off';
SELECT is(pg_temp.findings(:u), 0::bigint, 'and nothing is done');
ALTER TABLE economy.shop_transactions DROP CONSTRAINT pgtap;
ALTER TABLE economy.reward_audit ADD CONSTRAINT pgtap CHECK (source LIKE 'pgtap check%' OR public.pgtap_check(user_id));
SET LOCAL pgtap.meddle = 'on';
SELECT throws_ok(format($$SELECT economy.grant_rewards('{%1$s,%1$s}', '{pgtap,pgtap}', '{kb1,kb2}', '{1,1}')$$, :u), '27000', NULL, 'so it is with rewards');
SET LOCAL pgtap.meddle = 'off';
SELECT is(pg_temp.findings(:u), 0::bigint, 'and nothing is done');
ALTER TABLE economy.reward_audit DROP CONSTRAINT pgtap;

-- what the executor would do for a column is done
CREATE DOMAIN public.pgtap_source AS text DEFAULT 'shop' NOT NULL;
ALTER TABLE economy.shop_transactions ADD COLUMN pgtap public.pgtap_source;
SELECT is(state, 'new', 'a purchase with a column of a domain') FROM economy.purchase(:u, 'pgtap_p', 'k6');
SELECT is((SELECT t.pgtap::text FROM economy.shop_transactions t WHERE t.user_id = :u ORDER BY seq DESC LIMIT 1), 'shop', 'gets its default');

-- so is whatever else a table may ask for
CREATE TABLE public.pgtap_log (what text);
CREATE FUNCTION pg_temp.log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.pgtap_log VALUES (tg_op);
    RETURN NULL;
END $$;
-- which a table that has partitions cannot be given before PostgreSQL 17
SELECT economy_internal.is_spread('economy.gold_adjustments') AS spread \gset
\if :spread
SELECT skip('no identity column for a partitioned table', 2);
\else
ALTER TABLE economy.gold_adjustments ADD COLUMN pgtap bigint GENERATED ALWAYS AS IDENTITY (START 100);
SELECT is(state, 'new', 'an adjustment with an identity column') FROM economy.adjust_gold(:u, 1, 'identity', 'r', 'a');
SELECT is((SELECT g.pgtap FROM economy.gold_adjustments g WHERE g.user_id = :u AND g.idempotency_key = 'identity') >= 100, true, 'which has its number');
ALTER TABLE economy.gold_adjustments DROP COLUMN pgtap;
\endif
CREATE RULE pgtap AS ON INSERT TO economy.gold_adjustments DO ALSO INSERT INTO public.pgtap_log VALUES ('rule ' || NEW.idempotency_key);
SELECT is(state, 'new', 'an adjustment with a rule') FROM economy.adjust_gold(:u, 1, 'ruled', 'r', 'a');
SELECT is((SELECT string_agg(what, ', ') FROM public.pgtap_log), 'rule ruled', 'which is followed');
DROP RULE pgtap ON economy.gold_adjustments;
DELETE FROM public.pgtap_log;
CREATE TRIGGER pgtap BEFORE INSERT ON economy.gold_adjustments EXECUTE FUNCTION pg_temp.log();
CREATE TRIGGER pgtap BEFORE UPDATE ON economy.accounts EXECUTE FUNCTION pg_temp.log();
SELECT is(state, 'new', 'an adjustment with triggers before its statements') FROM economy.adjust_gold(:u, 1, 'before', 'r', 'a');
SELECT is((SELECT string_agg(what, ', ' ORDER BY what) FROM public.pgtap_log), 'INSERT, UPDATE', 'which fire');
DROP TRIGGER pgtap ON economy.gold_adjustments;
DROP TRIGGER pgtap ON economy.accounts;
CREATE DOMAIN public.pgtap_sum AS bigint CONSTRAINT pgtap_most CHECK (VALUE < 100);
ALTER TABLE economy.gold_adjustments ADD CONSTRAINT pgtap CHECK (gold_delta::public.pgtap_sum IS NOT NULL) NOT VALID;
SELECT is(state, 'new', 'a constraint that asks a domain') FROM economy.adjust_gold(:u, 50, 'domain asked', 'r', 'a');
ALTER DOMAIN public.pgtap_sum DROP CONSTRAINT pgtap_most;
ALTER DOMAIN public.pgtap_sum ADD CONSTRAINT pgtap_least CHECK (VALUE < 10) NOT VALID;
SELECT throws_ok(format('SELECT economy.adjust_gold(%s, 50, ''domain asked again'', ''r'', ''a'')', :u), '23514', NULL, 'follows it when it changes');
ALTER TABLE economy.gold_adjustments DROP CONSTRAINT pgtap;
\if :spread
SELECT skip('no unique index without the user, or of expressions, for a partitioned table', 5);
\else
CREATE UNIQUE INDEX pgtap ON economy.gold_adjustments (reason) WHERE actor = 'once';
SELECT is(state, 'new', 'a unique index of some rows') FROM economy.adjust_gold(:u, 1, 'once', 'Reason', 'once');
SELECT is(state, 'new', 'lets others pass') FROM economy.adjust_gold(:u, 1, 'twice', 'Reason', 'a');
SELECT throws_ok(format('SELECT economy.adjust_gold(%s, 1, ''again'', ''Reason'', ''once'')', :u), '23505', NULL, 'and not these');
DROP INDEX economy.pgtap;
CREATE UNIQUE INDEX pgtap ON economy.gold_adjustments (user_id, (CASE WHEN actor = 'once' THEN reason END));
SELECT throws_ok(format('SELECT economy.adjust_gold(%s, 1, ''again'', ''Reason'', ''once'')', :u), '23505', NULL, 'one of an expression');
SELECT is(state, 'new', 'lets others pass, too') FROM economy.adjust_gold(:u, 1, 'thrice', 'Reason', 'a');
DROP INDEX economy.pgtap;
\endif
SELECT transaction_id AS given FROM economy.grant_reward(:u, 'pgtap', 'to be taken', 100) \gset
\if :spread
SELECT skip('nor one that excludes before PostgreSQL 17', 1);
\else
ALTER TABLE economy.reward_audit ADD CONSTRAINT pgtap EXCLUDE (user_id WITH =, reason WITH =);
\endif
SELECT is(state, 'new', 'a reversal that excludes others') FROM economy.revoke_reward(:u, :'given', 'the same', 'a', 1, 0, 'take', 'k1');
\if :spread
\else
SELECT throws_ok(format('SELECT economy.revoke_reward(%s, %L, ''the same'', ''a'', 1, 0, ''take'', ''k2'')', :u, :'given'), '23P01', NULL, 'does so');
ALTER TABLE economy.reward_audit DROP CONSTRAINT pgtap;
\endif
-- what may be broken until the end of the transaction
SAVEPOINT s;
ALTER TABLE economy.reward_audit ADD CONSTRAINT pgtap UNIQUE (user_id, reason) DEFERRABLE INITIALLY DEFERRED;
SELECT lives_ok(format('SELECT economy.revoke_reward(%s, %L, ''the same'', ''a'', 1, 0, ''take'', ''k2'')', :u, :'given'), 'a constraint that is deferred');
SELECT throws_ok('SET CONSTRAINTS ALL IMMEDIATE', '23505', NULL, 'is asked in the end');
ROLLBACK TO s;
-- a constraint that calls back: what it calls is asked as well
CREATE FUNCTION public.pgtap_nested(u bigint, reason text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF reason = 'outer' THEN
        PERFORM economy.adjust_gold(u, 1, 'nested in a constraint', 'inner', 'a');
    END IF;
    RETURN reason <> 'inner';
END $$;
SAVEPOINT s;
ALTER TABLE economy.gold_adjustments ADD CONSTRAINT pgtap CHECK (public.pgtap_nested(user_id, reason));
SELECT throws_ok(format('SELECT economy.adjust_gold(%s, 1, ''calls back'', ''outer'', ''a'')', :u), '23514', NULL, 'an entry that a constraint makes, and refuses');
SELECT is(state, 'new', 'others pass') FROM economy.adjust_gold(:u, 1, 'calls back', 'r', 'a');
ROLLBACK TO s;
-- one that asks in which table the row is
ALTER TABLE economy.gold_adjustments ADD CONSTRAINT pgtap CHECK (tableoid::regclass::text ~ 'gold_adjustments');
ALTER TABLE economy.accounts ADD CONSTRAINT pgtap CHECK (tableoid = 'economy.accounts'::regclass);
SELECT is(state, 'new', 'rows know their tables') FROM economy.adjust_gold(:u, 1, 'where', 'r', 'a');
ROLLBACK TO s;
-- what one takes of memory is given back
ALTER TABLE economy.gold_adjustments ADD CONSTRAINT pgtap CHECK (length(repeat(reason, 20000)) > 0);
SELECT is(state, 'new', 'a constraint that takes memory') FROM economy.adjust_gold(:u, 1, 'memory', 'r', 'a');
SELECT sum(used_bytes) AS used FROM pg_backend_memory_contexts \gset
SELECT is(count(*) FILTER (WHERE a.state = 'new'), 1000::bigint, 'asked a thousand times') FROM generate_series(1, 1000) n, economy.adjust_gold(:u, 1, 'memory ' || n, 'r', 'a') a;
SELECT cmp_ok((SELECT sum(used_bytes) FROM pg_backend_memory_contexts) - :used, '<', 5000000::numeric, 'keeps none of it');
ROLLBACK TO s;
-- a journal that is a partition has its bounds
SAVEPOINT s;
SELECT economy.register('pgtap beyond') AS beyond \gset
CREATE TABLE public.pgtap_parted (LIKE economy.gold_adjustments) PARTITION BY RANGE (user_id);
SELECT format('ALTER TABLE public.pgtap_parted ATTACH PARTITION economy.gold_adjustments FOR VALUES FROM (MINVALUE) TO (%s)', :beyond) \gexec
SELECT is(state, 'new', 'an adjustment within the bounds of a partition') FROM economy.adjust_gold(:u, 1, 'within', 'r', 'a');
SELECT is((SELECT count(*) FROM public.pgtap_parted p WHERE p.user_id = :u AND p.idempotency_key = 'within'), 1::bigint, 'is in the whole, too');
SELECT throws_ok(format('SELECT economy.adjust_gold(%s, 1, ''beyond'', ''r'', ''a'')', :beyond), '23514', NULL, 'one beyond them is refused');
ROLLBACK TO s;
-- what the executor is not needed for is done without it
CREATE UNIQUE INDEX pgtap ON economy.reward_audit (user_id, reason);
SELECT throws_ok(format('SELECT economy.revoke_reward(%s, %L, ''the same'', ''a'', 1, 0, ''take'', ''k3'')', :u, :'given'), '23505', NULL, 'a plain unique index refuses');
SELECT is(state, 'new', 'and lets others pass') FROM economy.revoke_reward(:u, :'given', 'another', 'a', 1, 0, 'take', 'k3');
DROP INDEX economy.pgtap;
ALTER TABLE economy.accounts ADD COLUMN pgtap text;
UPDATE economy.accounts SET pgtap = 'kept' WHERE user_id = :u;
SELECT is(state, 'new', 'an account with a column of the app') FROM economy.adjust_gold(:u, 1, 'noted', 'r', 'a');
SELECT is((SELECT a.pgtap FROM economy.accounts a WHERE a.user_id = :u), 'kept', 'which stays as it is');
ALTER TABLE economy.accounts DROP COLUMN pgtap;
SAVEPOINT s;
SET LOCAL client_min_messages = error;
CREATE PUBLICATION pgtap FOR TABLE economy.accounts;
ALTER TABLE economy.accounts REPLICA IDENTITY NOTHING;
SELECT throws_ok(format('SELECT economy.adjust_gold(%s, 1, ''published'', ''r'', ''a'')', :u), '55000', NULL, 'an account that is published without identity is not changed');
ROLLBACK TO s;
SELECT is(state, 'new', 'one that is not published is') FROM economy.adjust_gold(:u, 1, 'published', 'r', 'a');
SELECT is(pg_temp.findings(:u), 0::bigint, 'all of it is sound');

-- what is stored is what was hashed: who would store something else is told
CREATE FUNCTION pg_temp.redact() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.details := NEW.details - 'address';
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap BEFORE INSERT ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.redact();
SELECT throws_ok(format('SELECT economy.record_action(%s, ''pgtap'', ''SPIN'', ''redacted'', 1, 0, NULL, ''{"address": "192.0.2.1"}'')', :u), 'XE103', NULL,
    'a trigger that changes an entry');
SELECT is(state, 'new', 'a trigger that could, and does not') FROM economy.record_action(:u, 'pgtap', 'SPIN', 'plain', 1, 0, NULL, '{"n": 1.50}');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and sound');
DROP TRIGGER pgtap ON economy.user_actions;
CREATE FUNCTION pg_temp.generous() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.gold := NEW.gold + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap BEFORE UPDATE ON economy.accounts FOR EACH ROW EXECUTE FUNCTION pg_temp.generous();
SELECT throws_ok(format('SELECT economy.purchase(%s, ''pgtap_p'', ''k7'')', :u), 'XE103', NULL, 'a trigger that changes an account');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and nothing is done');
DROP TRIGGER pgtap ON economy.accounts;
CREATE TRIGGER pgtap BEFORE INSERT ON economy.accounts FOR EACH ROW EXECUTE FUNCTION pg_temp.generous();
SELECT throws_ok($$SELECT economy.register('pgtap welcome')$$, 'XE103', NULL, 'a trigger that gives gold at registration');
DROP TRIGGER pgtap ON economy.accounts;
CREATE FUNCTION pg_temp.lower() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.external_id := lower(NEW.external_id);
    RETURN NEW;
END $$;
CREATE TRIGGER pgtap BEFORE INSERT ON economy.users FOR EACH ROW EXECUTE FUNCTION pg_temp.lower();
SELECT throws_ok($$SELECT economy.register('PGTAP Name')$$, 'XE103', NULL, 'a trigger that changes an external id');
SELECT isnt(economy.register('pgtap name'), NULL, 'one that leaves it is registered');
SELECT throws_ok($$SELECT economy.register('PGTAP Name')$$, 'XE103', NULL, 'also when it would be the id of a user that is there');
DROP TRIGGER pgtap ON economy.users;
-- whatever it is that a new user or account does not have as it was given
CREATE FUNCTION pg_temp.registered_with(relation text, change text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE FUNCTION pg_temp.change() RETURNS trigger LANGUAGE plpgsql AS %L', 'BEGIN NEW.' || change || '; RETURN NEW; END');
    EXECUTE format('CREATE TRIGGER pgtap BEFORE INSERT ON economy.%I FOR EACH ROW EXECUTE FUNCTION pg_temp.change()', relation);
    PERFORM economy.register('pgtap changed', 'Asia/Tokyo', '{"nick": "ann"}');
    RAISE EXCEPTION 'registered' USING ERRCODE = 'XT000';
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate;
END $$;
SELECT is(pg_temp.registered_with(relation, change), code, format('registered with %s: %s', relation, change))
FROM (VALUES ('users', 'timezone := NEW.timezone', 'XT000'), ('users', 'timezone := ''UTC''', 'XE103'), ('users', 'profile := ''{"nick": "bob"}''', 'XE103'),
             ('users', 'created_at := NEW.created_at + interval ''1 us''', 'XE103'), ('accounts', 'user_id := NEW.user_id + 1', 'XE103'), ('accounts', 'seq := 1', 'XE103'),
             ('accounts', 'experience_points := 1', 'XE103'), ('accounts', 'position := 1', 'XE103'), ('accounts', 'suspended := true', 'XE103'),
             ('accounts', 'streak_freezes := 1', 'XE103'), ('accounts', 'pruned_seq := 1', '23514'), ('accounts', 'head_hash := sha256('''')', 'XE103')) v (relation, change, code);
-- it runs as the owner of the tables, as in a SECURITY DEFINER function, and becomes nobody else
CREATE FUNCTION pg_temp.disguised() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE pg_monitor;
    RETURN NULL;
END $$;
CREATE TRIGGER pgtap AFTER INSERT ON economy.gold_adjustments FOR EACH ROW EXECUTE FUNCTION pg_temp.disguised();
SELECT throws_ok(format('SELECT economy.adjust_gold(%s, 1, ''disguised'', ''r'', ''a'')', :u), '42501', NULL, 'a trigger that takes another role');
DROP TRIGGER pgtap ON economy.gold_adjustments;
CREATE DOMAIN public.pgtap_word AS text;
ALTER TABLE economy.gold_adjustments ALTER COLUMN reason TYPE public.pgtap_word;
SELECT is(state, 'new', 'a column of a domain stores the same') FROM economy.adjust_gold(:u, 1, 'domain', 'r', 'a');
SELECT is(pg_temp.findings(:u), 0::bigint, 'and sound');

SELECT * FROM finish();
ROLLBACK;
