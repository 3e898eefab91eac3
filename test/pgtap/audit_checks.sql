-- What each check of a sweep asks, condition by condition: every damage changes one thing,
-- and the check alone is asked for the user alone, to the letter.  U is that user, V another one.
--
-- Run as superuser.  Guards, constraints and indexes are taken away until the final ROLLBACK.
BEGIN;
SELECT no_plan();
\i test/writable_views.sql
SET LOCAL jit = off;
SET LOCAL search_path = economy, economy_internal, public;
SET LOCAL client_min_messages = warning;
CREATE FUNCTION pg_temp.clock(at text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', at || ':00+00', true) $$;
SELECT economy.register('pgtap checks') AS u, economy.register('pgtap checks v') AS v \gset
CREATE TEMP TABLE who AS SELECT :u::bigint AS u, :v::bigint AS v;
SELECT count(*) AS x FROM unnest(ARRAY['{"product_id": "pgtap_a", "category": "item", "price_gold": 10, "effect_code": "streak_freeze"}', '{"product_id": "pgtap_b", "category": "item", "price_gold": 1, "per_user_limit": 1000}',
    '{"product_id": "pgtap_k", "category": "item", "price_gold": 1, "global_key": true}']) p, economy.upsert_product(p::jsonb, 'pgtap') \gset
SELECT economy.add_stock('pgtap_b', 100, 'pgtap', 4) AS x \gset

-- the streak of U: 1 gold, 2 and 3 claims, 4 one with grace, 5 freezes, 6 a claim with one of these, 7 a correction,
-- 8 a claim, 9 that given back, 10 made again; 11 a reward, taken back in two parts, and one of nothing
SELECT pg_temp.clock('2031-01-01 12:00') AS x, success AS y FROM economy.adjust_gold(:u, 100000, 'k', 'r', 'a') \gset
SELECT pg_temp.clock('2031-01-01 12:00') AS x, success AS y FROM economy.claim_daily_reward(:u) \gset
SELECT pg_temp.clock('2031-01-02 12:00') AS x \gset
SELECT success AS y FROM economy.claim_daily_reward(:u) \gset
SELECT pg_temp.clock('2031-01-04 12:00') AS x \gset
SELECT success AS y FROM economy.claim_daily_reward(:u) \gset
SELECT success AS y FROM economy.purchase(:u, 'pgtap_a', 'k', 2) \gset
SELECT pg_temp.clock('2031-01-06 12:00') AS x \gset
SELECT success AS y FROM economy.claim_daily_reward(:u) \gset
SELECT pg_temp.clock('2031-01-07 12:00') AS x \gset
SELECT success AS y FROM economy.set_streak(:u, 10, '2031-01-07', 'r', 'a') \gset
SELECT pg_temp.clock('2031-01-08 12:00') AS x \gset
SELECT success AS y FROM economy.claim_daily_reward(:u) \gset
SELECT success AS y FROM economy.revoke_reward(:u, 'R' || :u || '-8', 'r', 'a') \gset
SELECT success AS y FROM economy.claim_daily_reward(:u) \gset
SELECT success AS y FROM economy.grant_reward(:u, 'pgtap', 'k', 50, 60) \gset
SELECT success AS y FROM economy.revoke_reward(:u, 'R' || :u || '-11', 'r', 'a', 20, 30, 'take', 'k') \gset
SELECT success AS y FROM economy.revoke_reward(:u, 'R' || :u || '-11', 'r', 'a', 30, 30, 'take', 'k2') \gset
SELECT is((SELECT string_agg(concat_ws(' ', r.seq, r.streak_day, to_char(r.claim_date, 'MM-DD'), CASE WHEN r.grace_used THEN 'grace ' || to_char(r.last_grace_on, 'MM-DD') END, CASE WHEN r.freezes_used <> 0 THEN 'freezes ' || r.freezes_used END, 'of ' || r.reverses, 'from ' || r.streak_before), ', ' ORDER BY r.seq) FROM economy.reward_audit r WHERE r.user_id = :u),
    '2 1 01-01, 3 2 01-02 from 2, 4 3 01-04 grace 01-03 from 3, 6 4 01-06 freezes 1 from 4, 7 10 01-07 from 6, 8 11 01-08 from 7, 9 10 01-07 of 8 from 7, 10 11 01-08 from 7, 11, 12 of 11, 13 of 11', 'the entries of the streak');
-- one key for one thing each is no double
SELECT count(*) AS x FROM unnest(ARRAY['pgtap_b', 'pgtap_k']) p, economy.purchase(:u, p, 'k') \gset
SELECT success AS y FROM economy.grant_reward(:u, 'pgtap 2', 'k', 1, 1) \gset
SELECT success AS y FROM economy.update_profile(:u, '{"a": 1}', 'k') \gset
SELECT success AS y FROM economy.unlink_external_id(:u, 'k') \gset
SELECT count(*) AS x FROM unnest(ARRAY['suspended', 'active']) s, economy.set_user_status(:u, s, 'a') \gset
SELECT count(*) AS x FROM unnest(ARRAY['slot', 'rps']) g, economy.record_action(:u, g, 'T', 'k', 1, 2) \gset
SELECT success AS y FROM economy.record_action(:u, 'slot', 'T', 'k3', 1, 2) \gset
SELECT success AS y FROM economy.adjust_gold(:u, 1, 'k2', 'r', 'a') \gset
-- units of two days, two weeks and two months
CREATE FUNCTION pg_temp.bought(who bigint, at text, n integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.clock(at || ' 12:00');
    RETURN (SELECT p.success FROM economy.purchase(who, 'pgtap_b', at || ' ' || n, n) p);
END
$$;
SELECT success AS y FROM economy.adjust_gold(:v, 1000, 'k', 'r', 'a') \gset
SELECT bool_and(pg_temp.bought(u, at, n)) AS x FROM (VALUES (:u, '2031-02-24', 2), (:u, '2031-03-01', 2), (:u, '2031-03-03', 2), (:u, '2031-03-04', 2),
    (:v, '2031-02-23', 1), (:v, '2031-02-24', 2), (:v, '2031-03-01', 4), (:v, '2031-03-02', 8), (:v, '2031-03-02', 16)) v (u, at, n) \gset
SELECT is(:'x'::boolean, true, 'all is bought');
-- V has actions that were pruned
SELECT count(*) AS x FROM generate_series(1, 4) n, economy.record_action(:v, CASE WHEN n = 2 THEN 'rps' ELSE 'slot' END, 'T', n::text, 1, n) \gset
SELECT count(*) AS x FROM generate_series(1, 100), economy.rollup_stats() \gset
SELECT a.seq AS upto FROM economy.accounts a WHERE a.user_id = :v \gset
SELECT economy_internal.prune_stream(:v, :upto) AS pruned \gset
SELECT is(:pruned, 3, 'three actions of V are pruned');
SELECT is((SELECT concat_ws(' ', b.users, b.entries) FROM economy_internal.audit_next(:v, 1) b), '1 ' || :upto - 3, 'which are no entries of a batch');
SELECT count(*) AS x FROM economy.audit_sweep_incremental() \gset
SELECT economy.set_recommendations('pgtap', '{}', '[{"segment": "*", "arm": "a", "cta": "c", "product_id": "pgtap_b"}, {"segment": "S", "arm": "s", "cta": "t"}]', 'pgtap') AS x \gset
SELECT economy.set_recommendations('pgtap none', '{}', '[]', 'pgtap') AS x \gset
SELECT count(*) AS x FROM unnest(ARRAY['pgtap', 'pgtap none']) p, economy.recommend(:u, p) \gset
SELECT count(*) AS x FROM economy.rfm_refresh() \gset
-- two anchors before the last: W has an entry at the first and another one at the second, X has none
SELECT economy.register('pgtap checks w') AS w, economy.register('pgtap checks none') AS none \gset
SELECT success AS y FROM economy.adjust_gold(:w, 1, 'k1', 'r', 'a') \gset
SELECT economy.anchor() IS NULL AS y \gset
SELECT success AS y, economy.register_game('pgtap anchored') AS z FROM economy.adjust_gold(:w, 1, 'k2', 'r', 'a') \gset
SELECT economy.anchor() IS NULL AS y \gset
SELECT economy.upsert_product(p::jsonb, 'pgtap') IS NULL AS x FROM unnest(ARRAY['{"product_id": "pgtap_a", "category": "item", "price_gold": 20}', '{"product_id": "pgtap_a", "category": "item", "price_gold": 30}']) p \g /dev/null
SELECT economy.rotate_signing_key() AS key \gset
SELECT economy.rotate_signing_key() AS newest \gset
SELECT economy.retire_signing_key(:key) AS x \gset
SELECT economy.anchor() IS NULL AS x \gset

DO $$
DECLARE
    t record;
    c record;
BEGIN
    FOR t IN SELECT k.oid::regclass AS name FROM pg_class k WHERE k.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND k.relkind IN ('r', 'p') AND NOT k.relispartition LOOP
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', t.name);
        FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = t.name AND contype IN ('c', 'u', 'p') AND conname <> 'rfm_state_pkey' LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', t.name, c.conname);
        END LOOP;
    END LOOP;
END
$$;
-- Columns stay NOT NULL but for the one that a damage makes null: those read in C must be.
CREATE FUNCTION pg_temp.damaged(damage text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n           bigint;
    schema_name text;
    table_name  text;
    column_name text;
BEGIN
    LOOP
        BEGIN
            EXECUTE damage;
            GET DIAGNOSTICS n = ROW_COUNT;
            RETURN n;
        EXCEPTION WHEN not_null_violation THEN
            GET STACKED DIAGNOSTICS schema_name = SCHEMA_NAME, table_name = TABLE_NAME, column_name = COLUMN_NAME;
        END;
        EXECUTE format('ALTER TABLE %I.%I ALTER %I DROP NOT NULL', schema_name, table_name, column_name);
    END LOOP;
END
$$;
-- what the check says; {u} and {v} stand for the users
CREATE FUNCTION pg_temp.says(piece text, damage text, of text DEFAULT 'u') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    w      who;
    d      text;
    n      bigint;
    answer text;
BEGIN
    SELECT * INTO w FROM who;
    FOREACH d IN ARRAY regexp_split_to_array(replace(replace(damage, '{u}', w.u::text), '{v}', w.v::text), E';\\s*') LOOP
        n := pg_temp.damaged(d);
        IF n = 0 THEN
            RETURN 'no damage was done: ' || d;
        END IF;
    END LOOP;
    EXECUTE format('SELECT string_agg(concat_ws(''|'', CASE f.user_id WHEN %s THEN ''U'' WHEN %s THEN ''V'' ELSE f.user_id::text END, f.kind, f.expected, f.actual, f.entry, f.seq), ''; '' ORDER BY f.kind COLLATE "C", f.expected COLLATE "C", f.actual COLLATE "C", f.seq) FROM economy_internal.audit_%s(%s) f',
                   w.u, w.v, piece, CASE of WHEN 'u' THEN w.u || ', ' || w.u WHEN 'v' THEN w.v || ', ' || w.v WHEN 'all' THEN '' ELSE of || ', ' || of END) INTO answer;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    answer := regexp_replace(regexp_replace(answer, '[{][^|;]*[}]', '{...}', 'g'), '[0-9a-f]{64}', 'H', 'g');
    RETURN regexp_replace(regexp_replace(coalesce(answer, 'nothing'), E'\\m([PRGAUD])' || w.u || '-', E'\\1U-', 'g'), E'\\m([PRGAUD])' || w.v || '-', E'\\1V-', 'g');
END
$$;
SELECT is(pg_temp.says(piece, 'SELECT 1', of), 'nothing', format('audit_%s() of %s: clean before', piece, of))
FROM unnest(ARRAY['rewards', 'effects', 'units', 'orphans', 'twice', 'recommendations']) piece, unnest(ARRAY['u', 'v']) of;
SELECT is(pg_temp.says(piece, 'SELECT 1', 'all'), 'nothing', format('audit_%s(): clean before', piece)) FROM unnest(ARRAY['stock', 'shop', 'config', 'keys']) piece;

-- --- rewards ---------------------------------------------------------------------

SELECT is(pg_temp.says('rewards', format('UPDATE reward_audit SET %s WHERE user_id = {u} AND seq = %s', change, seq)), says, format('entry %s: %s', seq, change))
FROM (VALUES
    (3, 'gold_delta = gold_delta + 1', 'U|wrong_reward|1200 gold and 75 XP for day 2|1201 gold and 75 XP|RU-3|3'), (3, 'xp_delta = xp_delta - 1', 'U|wrong_reward|1200 gold and 75 XP for day 2|1200 gold and 74 XP|RU-3|3'), (3, 'gold_delta = gold_delta - 1', 'U|wrong_reward|1200 gold and 75 XP for day 2|1199 gold and 75 XP|RU-3|3'), (3, 'xp_delta = xp_delta + 1', 'U|wrong_reward|1200 gold and 75 XP for day 2|1200 gold and 76 XP|RU-3|3'),
    (4, 'claim_date = ''2031-01-02''', 'U|duplicate_effect|a claim date after 2031-01-02|2031-01-02|RU-4|4; U|duplicate_effect|one claim of 2031-01-02|2 claims|RU-4|4; U|wrong_streak|day 1 or 3|day 3|RU-4|4'), (4, 'claim_date = ''2031-01-03''', 'U|wrong_streak|day 1 or 3|day 3|RU-4|4'), (10, 'claim_date = ''2031-01-07''', 'U|duplicate_effect|a claim date after 2031-01-07|2031-01-07|RU-10|10; U|parity|streak day 11 on 2031-01-07|streak day 11 on 2031-01-08|RU-10|10'), (10, 'claim_date = ''2031-01-09''', 'U|parity|streak day 11 on 2031-01-09|streak day 11 on 2031-01-08|RU-10|10'),
    (3, 'streak_day = 1', 'U|wrong_streak|day 1 or 2|day 1|RU-3|3; U|wrong_streak|day 1 or 2|day 3|RU-4|4'), (4, 'streak_day = 2', 'U|wrong_streak|day 1 or 3|day 2|RU-4|4; U|wrong_streak|day 1 or 3|day 4|RU-6|6'), (4, 'streak_day = 4', 'U|wrong_streak|day 1 or 3|day 4|RU-4|4; U|wrong_streak|day 1 or 5|day 4|RU-6|6'), (2, 'streak_day = 0', 'U|wrong_streak|day 1 or 1|day 0|RU-2|2; U|wrong_streak|day 1 or 1|day 2|RU-3|3'), (3, 'streak_day = NULL', 'U|wrong_streak|day 1 or 1|day 3|RU-4|4; U|wrong_streak|day 1 or 2|day |RU-3|3'),
    (3, 'reward_day = 0', 'U|wrong_reward|800 gold and 25 XP for day 0|1200 gold and 75 XP|RU-3|3; U|wrong_streak|day 1 or 2|day 2|RU-3|3'), (3, 'reward_day = 3', 'U|wrong_reward|1400 gold and 100 XP for day 3|1200 gold and 75 XP|RU-3|3; U|wrong_streak|day 1 or 2|day 2|RU-3|3'), (3, 'best = 1', 'U|wrong_streak|day 1 or 2|day 2|RU-3|3'), (3, 'best = 3', 'U|wrong_streak|day 1 or 2|day 2|RU-3|3'), (3, 'best = NULL', 'U|wrong_streak|day 1 or 2|day 2|RU-3|3'),
    (4, 'last_grace_on = NULL', 'U|wrong_streak|day 1 or 3|day 3|RU-4|4; U|wrong_streak|day 1 or 4|day 4|RU-6|6'), (4, 'last_grace_on = ''2031-01-02''', 'U|wrong_streak|day 1 or 3|day 3|RU-4|4; U|wrong_streak|day 1 or 4|day 4|RU-6|6'), (4, 'last_grace_on = ''2031-01-04''', 'U|wrong_streak|day 1 or 3|day 3|RU-4|4; U|wrong_streak|day 1 or 4|day 4|RU-6|6'), (4, 'grace_used = false', 'U|wrong_streak|day 1 or 3|day 3|RU-4|4'), (3, 'grace_used = true', 'U|wrong_streak|day 1 or 2|day 2|RU-3|3'),
    (6, 'last_grace_on = ''2031-01-05''', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7; U|wrong_streak|day 1 or 4|day 4|RU-6|6'), (6, 'last_grace_on = NULL', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7; U|wrong_streak|day 1 or 4|day 4|RU-6|6'), (2, 'last_grace_on = ''2030-12-31''', 'U|wrong_streak|day 1 or 1|day 1|RU-2|2; U|wrong_streak|day 1 or 2|day 2|RU-3|3'),
    (6, 'excused_to = ''2031-01-06''', 'U|wrong_streak|day 1 or 4|day 4|RU-6|6'), (6, 'excused_to = ''2031-01-07''', 'nothing'), (6, 'excused_to = ''2031-01-08''', 'nothing'), (6, 'excused_to = ''2031-01-09''', 'U|wrong_streak|day 1 or 4|day 4|RU-6|6'),
    (3, 'timezone = NULL', 'U|wrong_streak|day 1 or 2|day 2|RU-3|3'), (3, 'streak_before = 1', 'U|wrong_streak|day 1 or 1|day 2|RU-3|3; U|wrong_streak|to go on from entry 2|from entry 1|RU-3|3'), (3, 'streak_before = NULL', 'U|wrong_streak|day 1 or 1|day 2|RU-3|3; U|wrong_streak|to go on from entry 2|from nothing|RU-3|3'), (2, 'streak_before = 1', 'U|wrong_streak|to go on from nothing|from entry 1|RU-2|2'), (6, 'streak_before = 3', 'U|wrong_streak|day 1 or 3|day 4|RU-6|6; U|wrong_streak|to go on from entry 4|from entry 3|RU-6|6'), (7, 'streak_before = 4', 'U|wrong_streak|to go on from entry 6|from entry 4|RU-7|7'),
    (7, 'source = ''pgtap''', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7'), (7, 'source = ''economy:set_streak:once''', 'nothing'), (7, 'streak_day = 0', 'U|wrong_streak|a correction|day 0 on 2031-01-07|RU-7|7; U|wrong_streak|day 0 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9; U|wrong_streak|day 1 or 1|day 11|RU-8|8; U|wrong_streak|day 1 or 1|day 11|RU-10|10'), (7, 'streak_day = 0, claim_date = NULL', 'U|wrong_streak|a correction|day 0 on |RU-7|7; U|wrong_streak|day 0 on  again|day 10 on 2031-01-07|RU-9|9; U|wrong_streak|day 1 or 1|day 11|RU-8|8; U|wrong_streak|day 1 or 1|day 11|RU-10|10'), (7, 'claim_date = NULL', 'U|wrong_streak|a correction|day 10 on |RU-7|7; U|wrong_streak|day 10 on  again|day 10 on 2031-01-07|RU-9|9'), (7, 'best = 9', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7; U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (7, 'best = 11', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7; U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (7, 'excused_to = ''2031-01-09''', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7; U|wrong_streak|day 1 or 11|day 11|RU-8|8; U|wrong_streak|day 1 or 11|day 11|RU-10|10; U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'),
    (7, 'last_grace_on = NULL', 'U|wrong_streak|day 1 or 11|day 11|RU-8|8; U|wrong_streak|day 1 or 11|day 11|RU-10|10; U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (7, 'last_grace_on = ''2031-01-05''', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7; U|wrong_streak|day 1 or 11|day 11|RU-8|8; U|wrong_streak|day 1 or 11|day 11|RU-10|10; U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (7, 'timezone = NULL', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7'), (7, 'gold_delta = 1', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7'), (7, 'xp_delta = 1', 'U|wrong_streak|a correction|day 10 on 2031-01-07|RU-7|7'),
    (8, 'source = ''economy:set_streak''', 'U|wrong_streak|a correction|day 11 on 2031-01-08|RU-8|8; U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (9, 'streak_before = 6', 'U|wrong_streak|day 4 on 2031-01-06 again|day 10 on 2031-01-07|RU-9|9; U|wrong_streak|to go on from entry 6|from entry 7|RU-10|10'), (9, 'freezes_used = 1', 'U|wrong_balance|0 streak freezes|1 streak freezes; U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (9, 'reverses = 6', 'U|duplicate_effect|one claim of 2031-01-08|2 claims|RU-10|10; U|wrong_reward|at most 1600 gold and 125 XP taken back|3000 gold and 300 XP|RU-9|9; U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (9, 'streak_day = 9', 'U|wrong_streak|day 10 on 2031-01-07 again|day 9 on 2031-01-07|RU-9|9'), (9, 'best = 11', 'U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (9, 'claim_date = ''2031-01-06''', 'U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-06|RU-9|9'), (9, 'last_grace_on = NULL', 'U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (9, 'excused_to = ''2031-01-09''', 'U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'), (9, 'timezone = ''Asia/Tokyo''', 'U|wrong_streak|day 10 on 2031-01-07 again|day 10 on 2031-01-07|RU-9|9'),
    (9, 'gold_delta = gold_delta - 1', 'U|wrong_reward|at most 3000 gold and 300 XP taken back|3001 gold and 300 XP|RU-9|9'), (9, 'xp_delta = xp_delta - 1', 'U|wrong_reward|at most 3000 gold and 300 XP taken back|3000 gold and 301 XP|RU-9|9'), (12, 'gold_delta = -21', 'U|wrong_reward|at most 50 gold and 60 XP taken back|51 gold and 60 XP|RU-13|13'), (12, 'xp_delta = -31', 'U|wrong_reward|at most 50 gold and 60 XP taken back|50 gold and 61 XP|RU-13|13'), (13, 'gold_delta = -29', 'nothing'), (13, 'gold_delta = 1', 'U|wrong_reward|at most 50 gold and 60 XP taken back|19 gold and 60 XP|RU-13|13'), (13, 'xp_delta = 1', 'U|wrong_reward|at most 50 gold and 60 XP taken back|50 gold and 29 XP|RU-13|13'), (13, 'reverses = 12', 'U|wrong_reward|at most -20 gold and -30 XP taken back|30 gold and 30 XP|RU-13|13')
) v (seq, change, says);
-- a claim that comes again is none but where the first was taken back whole
SELECT is(pg_temp.says('rewards', 'UPDATE reward_audit SET streak_day = NULL, streak_before = NULL WHERE user_id = {u} AND seq = 9; ' || change), says, 'a reversal that gives no date back: ' || change)
FROM (VALUES ('SELECT 1', 'U|wrong_streak|to go on from entry 8|from entry 7|RU-10|10'), ('UPDATE reward_audit SET gold_delta = gold_delta + 1 WHERE user_id = {u} AND seq = 9', 'U|duplicate_effect|one claim of 2031-01-08|2 claims|RU-10|10; U|wrong_streak|to go on from entry 8|from entry 7|RU-10|10'), ('UPDATE reward_audit SET xp_delta = xp_delta + 1 WHERE user_id = {u} AND seq = 9', 'U|duplicate_effect|one claim of 2031-01-08|2 claims|RU-10|10; U|wrong_streak|to go on from entry 8|from entry 7|RU-10|10'), ('DELETE FROM reward_audit WHERE user_id = {u} AND seq = 9', 'U|duplicate_effect|one claim of 2031-01-08|2 claims|RU-10|10; U|wrong_streak|to go on from entry 8|from entry 7|RU-10|10')) v (change, says);
SELECT is(pg_temp.says('rewards', format('UPDATE streaks SET %s WHERE user_id = {u}', change)), says, 'streaks: ' || change)
FROM (VALUES ('streak_day = 10', 'U|parity|streak day 11 on 2031-01-08|streak day 10 on 2031-01-08|RU-10|10'), ('last_claim_on = ''2031-01-07''', 'U|parity|streak day 11 on 2031-01-08|streak day 11 on 2031-01-07|RU-10|10'), ('last_seq = 8', 'U|parity|streak day 11 on 2031-01-08|streak day 11 on 2031-01-08|RU-10|10'), ('best = 12', 'U|parity|streak day 11 on 2031-01-08|streak day 11 on 2031-01-08|RU-10|10'), ('last_grace_on = NULL', 'U|parity|streak day 11 on 2031-01-08|streak day 11 on 2031-01-08|RU-10|10'), ('excused_to = ''2031-01-09''', 'U|parity|streak day 11 on 2031-01-08|streak day 11 on 2031-01-08|RU-10|10'), ('timezone = ''Asia/Tokyo''', 'U|parity|streak day 11 on 2031-01-08|streak day 11 on 2031-01-08|RU-10|10'), ('paid_to = ''2031-01-07''', 'U|parity|streak day 11 on 2031-01-08|streak day 11 on 2031-01-08|RU-10|10'), ('paid_to = NULL', 'U|parity|streak day 11 on 2031-01-08|streak day 11 on 2031-01-08|RU-10|10')) v (change, says);
SELECT is(pg_temp.says('rewards', change), says, change)
FROM (VALUES ('UPDATE reward_audit SET gold_delta = 0, xp_delta = 0, reverses = seq - 1 WHERE user_id = {u} AND seq IN (12, 13)', 'U|wrong_reward|at most 0 gold and 0 XP taken back|0 gold and 0 XP|RU-13|13'), ('UPDATE accounts SET streak_freezes = 2 WHERE user_id = {u}', 'U|wrong_balance|1 streak freezes|2 streak freezes'), ('UPDATE shop_transactions SET quantity = 3, items = NULL WHERE user_id = {u} AND effect_code = ''streak_freeze''', 'U|wrong_balance|2 streak freezes|1 streak freezes'), ('UPDATE shop_transactions SET items = NULL, effect_code = ''x'' WHERE user_id = {u} AND effect_code = ''streak_freeze''', 'U|wrong_balance|-1 streak freezes|1 streak freezes'),
             ('UPDATE reward_audit SET freezes_used = 2 WHERE user_id = {u} AND seq = 6', 'U|wrong_balance|0 streak freezes|1 streak freezes'), ('DELETE FROM streaks WHERE user_id = {u}', 'U|parity|streak day 11 on 2031-01-08|streak day  on |RU-10|10'), ('DELETE FROM reward_audit WHERE user_id = {u} AND streak_day IS NOT NULL; DELETE FROM shop_transactions WHERE user_id = {u} AND effect_code = ''streak_freeze''', 'U|parity|streak day  on |streak day 11 on 2031-01-08; U|wrong_balance|0 streak freezes|1 streak freezes')) v (change, says);

-- --- effects ----------------------------------------------------------------------

SELECT is(pg_temp.says('effects', change), says, change)
FROM (VALUES
    ('UPDATE shop_transactions SET idempotency_key = ''k'' WHERE user_id = {u} AND product_id = ''pgtap_b''', 'U|duplicate_effect|one purchase of pgtap_b with key k|5 purchases|PU-28|28'), ('UPDATE shop_transactions SET product_id = ''pgtap_a'' WHERE user_id = {u} AND product_id = ''pgtap_k''', 'U|duplicate_effect|one purchase of pgtap_a with key k|2 purchases|PU-15|15'),
    ('UPDATE reward_audit SET source = ''pgtap'' WHERE user_id = {u} AND source = ''pgtap 2''', 'U|duplicate_effect|one reward of pgtap with event k|2 rewards|RU-16|16'), ('UPDATE reward_audit SET external_event_id = ''k'' WHERE user_id = {u} AND source = ''economy:daily_streak''', 'U|duplicate_effect|one reward of economy:daily_streak with event k|6 rewards|RU-10|10'),
    ('UPDATE gold_adjustments SET idempotency_key = ''k'' WHERE user_id = {u}', 'U|duplicate_effect|one adjustment with key k|2 adjustments|GU-24|24'), ('UPDATE user_changes SET field = ''profile'' WHERE user_id = {u}', 'U|duplicate_effect|one change of profile with key k|2 changes|UU-18|18'), ('UPDATE user_changes SET idempotency_key = ''k'' WHERE user_id = {u}', 'U|duplicate_effect|one change of status with key k|2 changes|UU-20|20'),
    ('UPDATE user_actions SET game = ''rps'' WHERE user_id = {u}', 'U|duplicate_effect|one action k of rps|2 actions|AU-22|22'), ('UPDATE user_actions SET action_id = ''k'' WHERE user_id = {u}', 'U|duplicate_effect|one action k of slot|2 actions|AU-23|23')) v (change, says);
SELECT is(pg_temp.says('effects', change, 'v'), says, change)
FROM (VALUES
    ('UPDATE pruned_stats SET total = total + 1 WHERE user_id = {v} AND game = ''rps''', 'V|missing_entry|keys of 4 pruned actions|3 keys'), ('DELETE FROM pruned_stats WHERE user_id = {v}', 'V|missing_entry|keys of 0 pruned actions|3 keys'), ('DELETE FROM pruned_actions WHERE user_id = {v}', 'V|missing_entry|keys of 3 pruned actions|0 keys'),
    ('UPDATE user_actions SET action_id = ''1'' WHERE user_id = {v}', 'V|duplicate_effect|one action 1 of slot|a pruned one and this|AV-10|10'), ('UPDATE user_actions SET action_id = ''2'' WHERE user_id = {v}', 'nothing'), ('UPDATE user_actions SET action_id = ''2'', game = ''rps'' WHERE user_id = {v}', 'V|duplicate_effect|one action 2 of rps|a pruned one and this|AV-10|10'), ('UPDATE user_actions SET action_id = '''' WHERE user_id = {v}', 'nothing')) v (change, says);

-- --- units, keys of all users, stock -------------------------------------------------

SELECT is(pg_temp.says('units', format('UPDATE shop_user_units SET %s WHERE user_id = {%s}', change, of), of), says, of || ': ' || change)
FROM (VALUES ('u', 'units = units + 1', 'U|parity|units of pgtap_b: 9 2 4 6 2031-03-04|10 2 4 6 2031-03-04'), ('u', 'day_units = 1', 'U|parity|units of pgtap_b: 9 2 4 6 2031-03-04|9 1 4 6 2031-03-04'), ('u', 'week_units = 3', 'U|parity|units of pgtap_b: 9 2 4 6 2031-03-04|9 2 3 6 2031-03-04'), ('u', 'month_units = 5', 'U|parity|units of pgtap_b: 9 2 4 6 2031-03-04|9 2 4 5 2031-03-04'), ('u', 'last_on = last_on - 1', 'U|parity|units of pgtap_b: 9 2 4 6 2031-03-04|9 2 4 6 2031-03-03'), ('v', 'units = 30', 'V|parity|units of pgtap_b: 31 24 30 28 2031-03-02|30 24 30 28 2031-03-02'), ('v', 'day_units = 23', 'V|parity|units of pgtap_b: 31 24 30 28 2031-03-02|31 23 30 28 2031-03-02'), ('v', 'week_units = 29', 'V|parity|units of pgtap_b: 31 24 30 28 2031-03-02|31 24 29 28 2031-03-02'), ('v', 'month_units = 27', 'V|parity|units of pgtap_b: 31 24 30 28 2031-03-02|31 24 30 27 2031-03-02'), ('v', 'product_id = ''pgtap_a''', 'V|parity|units of pgtap_a: |31 24 30 28 2031-03-02')) v (of, change, says);
SELECT is(pg_temp.says('shop', change, 'all'), says, change)
FROM (VALUES ('DELETE FROM shop_keys WHERE product_id = ''pgtap_k''', 'U|duplicate_effect|key k of pgtap_k used by PU-15|not noted|PU-15|15'), ('DELETE FROM shop_transactions WHERE product_id = ''pgtap_k''', 'U|duplicate_effect|key k of pgtap_k used by nobody|noted for PU-15'), ('UPDATE shop_keys SET user_id = {v} WHERE product_id = ''pgtap_k''', 'U|duplicate_effect|key k of pgtap_k used by PU-15|noted for PV-15|PU-15|15'), ('UPDATE shop_keys SET seq = 1 WHERE product_id = ''pgtap_k''', 'U|duplicate_effect|key k of pgtap_k used by PU-15|noted for PU-1|PU-15|15'),
             ('UPDATE shop_keys SET idempotency_key = ''x'' WHERE product_id = ''pgtap_k''', 'U|duplicate_effect|key k of pgtap_k used by PU-15|not noted|PU-15|15; U|duplicate_effect|key x of pgtap_k used by nobody|noted for PU-15'), ('UPDATE shop_products SET global_key = false WHERE product_id = ''pgtap_k''', 'U|duplicate_effect|key k of pgtap_k used by nobody|noted for PU-15')) v (change, says);
SELECT is(pg_temp.says('stock', change, 'all'), says, change)
FROM (VALUES ('UPDATE shop_stock SET remaining = remaining - 1 WHERE product_id = ''pgtap_b'' AND slot = 0', 'wrong_stock|100 units issued of pgtap_b|59 left and 40 sold'), ('DELETE FROM shop_stock WHERE product_id = ''pgtap_b''', 'wrong_stock|100 units issued of pgtap_b|0 left and 40 sold; wrong_stock|4 stock slots of pgtap_b, from 0|0, from  to '), ('DELETE FROM shop_products WHERE product_id = ''pgtap_b''', 'wrong_stock|4 stock slots of pgtap_b, from 0|4, from 0 to 3'), ('UPDATE shop_stock SET slot = slot + 1 WHERE product_id = ''pgtap_b''', 'wrong_stock|4 stock slots of pgtap_b, from 0|4, from 1 to 4'),
             ('UPDATE shop_stock SET slot = 99 WHERE product_id = ''pgtap_b'' AND slot = (SELECT max(slot) FROM shop_stock WHERE product_id = ''pgtap_b'')', 'wrong_stock|4 stock slots of pgtap_b, from 0|4, from 0 to 99'), ('UPDATE shop_products SET stock_slots = stock_slots + 1 WHERE product_id = ''pgtap_b''', 'wrong_stock|5 stock slots of pgtap_b, from 0|4, from 0 to 3'), ('UPDATE shop_products SET stock_slots = 0 WHERE product_id = ''pgtap_b''', 'nothing'), ('UPDATE shop_products SET stock_slots = 1 WHERE product_id = ''pgtap_k''', 'wrong_stock|1 stock slots of pgtap_k, from 0|0, from  to '),
             ('UPDATE shop_transactions SET stock_slot = NULL WHERE product_id = ''pgtap_b'' AND user_id = {v}', 'wrong_stock|100 units issued of pgtap_b|60 left and 9 sold'), ('UPDATE config_changes SET units = 1 WHERE key = ''pgtap_b'' AND action = ''stock''', 'wrong_stock|1 units issued of pgtap_b|60 left and 40 sold'), ('INSERT INTO shop_stock VALUES (''pgtap_a'', 0, 0)', 'nothing')) v (change, says);

-- --- rows of nobody, rows twice -------------------------------------------------------------

-- rows that have nothing but these columns
CREATE FUNCTION pg_temp.added(relation text, VARIADIC rows jsonb[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('INSERT INTO %1$s (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, %3$L)', relation, (SELECT string_agg(k, ', ') FROM jsonb_object_keys(r) k), r), '; ') FROM unnest(rows) r $$;
SELECT is(pg_temp.says('orphans', pg_temp.added(relation, '{"user_id": -7}'), '-7'), '-7|orphan_row|an account|only ' || what, relation)
FROM (VALUES ('users', 'a user'), ('audit_checkpoints', 'an audit checkpoint'), ('stream_checkpoints', 'a stream checkpoint'), ('rollup_positions', 'a rollup position'), ('game_stats_more', 'statistics'), ('user_game_stats_summary', 'daily statistics'),
    ('pruned_stats', 'statistics of pruned actions'), ('pruned_actions', 'keys of pruned actions'), ('user_segments', 'a segment'), ('segment_history', 'a history of segments'), ('recommendations', 'recommendations'), ('anchor_heads', 'an anchored head')) v (relation, what);
SELECT is(pg_temp.says('orphans', change), says, change)
FROM (VALUES ('UPDATE rollup_positions SET seq = 0 WHERE user_id = {u}', 'U|missing_entry|the entry of the rollup position|nothing|0'), ('UPDATE rollup_positions SET seq = 1 WHERE user_id = {u}', 'nothing'), ('UPDATE rollup_positions SET seq = (SELECT a.seq FROM accounts a WHERE a.user_id = {u}) WHERE user_id = {u}', 'nothing'), ('UPDATE rollup_positions SET seq = 1 + (SELECT a.seq FROM accounts a WHERE a.user_id = {u}) WHERE user_id = {u}', 'U|missing_entry|the entry of the rollup position|nothing|29'),
    ('INSERT INTO rfm_reversals VALUES ({u}, 5)', 'nothing'), ('INSERT INTO rfm_reversals VALUES ({u}, 6)', 'U|missing_entry|the entry of the reversed purchase|nothing|6'), ('DELETE FROM reward_audit WHERE user_id = {u} AND seq = 11', 'U|orphan_row|reward RU-11|only its reversal|RU-12|12; U|orphan_row|reward RU-11|only its reversal|RU-13|13')) v (change, says);
SELECT is(pg_temp.says('orphans', 'UPDATE gold_adjustments SET user_id = -7 WHERE user_id = {u}', '-7'), '-7|orphan_row|an account|none|G-7-1|1', 'entries of nobody: the first is named');
SELECT is(pg_temp.says('twice', pg_temp.added(relation, '{"user_id": -8}', '{"user_id": -8}'), '-8'), '-8|duplicate_row|one row of ' || relation || '|2 rows', relation || ': two rows')
FROM unnest(ARRAY['accounts', 'users', 'audit_checkpoints', 'stream_checkpoints', 'rollup_positions', 'user_segments', 'game_stats_more', 'user_game_stats_summary', 'pruned_stats', 'pruned_actions', 'segment_history', 'recommendations', 'shop_user_units_more', 'anchor_heads']) relation;
SELECT is(pg_temp.says('twice', pg_temp.added(relation, '{"user_id": -8}', '{"user_id": -8}' || other::jsonb), '-8'), 'nothing', format('%s: one more of %s', relation, other))
FROM (VALUES ('game_stats_more', '{"game": "a"}'), ('user_game_stats_summary', '{"day": "2031-01-01"}'), ('user_game_stats_summary', '{"game": "a"}'), ('pruned_stats', '{"game": "a"}'), ('pruned_stats', '{"day": "2031-01-01"}'), ('pruned_actions', '{"key": "00000000-0000-0000-0000-000000000001"}'),
    ('segment_history', '{"change_no": 7}'), ('recommendations', '{"number": 7}'), ('shop_user_units_more', '{"product_id": "a"}'), ('anchor_heads', '{"anchor_id": 7}')) v (relation, other);

-- --- configuration and keys ---------------------------------------------------------------------

-- a history that is forged with hashes that fit
CREATE FUNCTION pg_temp.rehashed(of_key text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c    config_changes;
    last bytea := decode(repeat('00', 32), 'hex');
BEGIN
    FOR c IN SELECT * FROM config_changes x WHERE x.relation = 'shop_products' AND x.key = of_key ORDER BY x.change_no LOOP
        last := sha256(last || convert_to(economy_internal.change_text(c), 'UTF8'));
        UPDATE config_changes x SET hash = last WHERE x.change_id = c.change_id;
    END LOOP;
    UPDATE config_heads h SET hash = last, change_no = c.change_no WHERE h.relation = 'shop_products' AND h.key = of_key;
END
$$;
SELECT is(pg_temp.says('config', 'UPDATE config_heads SET relation = relation; SELECT pg_temp.rehashed(''pgtap_a'')', 'all'), 'nothing', 'hashes made anew are those that were');
SELECT is(pg_temp.says('config', change || ' WHERE relation = ''shop_products'' AND key = ''pgtap_a'' AND change_no = ' || n || CASE WHEN fits THEN '; SELECT pg_temp.rehashed(''pgtap_a'')' ELSE '' END, 'all'), says, format('change %s: %s%s', n, change, CASE WHEN fits THEN ', with hashes that fit' END))
FROM (VALUES (1, 'DELETE FROM config_changes', false, 'wrong_config|change 2 of shop_products pgtap_a as it was noted|one before it is missing; wrong_config|change 3 of shop_products pgtap_a as it was noted|one before it is missing'), (1, 'DELETE FROM config_changes', true, 'wrong_config|change 2 of shop_products pgtap_a as it was noted|one before it is missing; wrong_config|change 3 of shop_products pgtap_a as it was noted|one before it is missing'), (2, 'DELETE FROM config_changes', false, 'wrong_config|change 3 of shop_products pgtap_a as it was noted|one before it is missing'), (2, 'DELETE FROM config_changes', true, 'wrong_config|change 3 of shop_products pgtap_a as it was noted|one before it is missing'), (3, 'DELETE FROM config_changes', false, 'wrong_config|shop_products pgtap_a: change 3 is the newest|change 2; wrong_config|shop_products pgtap_a: {...}|{...}'), (3, 'DELETE FROM config_changes', true, 'wrong_config|shop_products pgtap_a: {...}|{...}'),
    (2, 'UPDATE config_changes SET change_no = 7', true, 'wrong_config|change 3 of shop_products pgtap_a as it was noted|one before it is missing; wrong_config|change 7 of shop_products pgtap_a as it was noted|one before it is missing; wrong_config|shop_products pgtap_a: {...}|{...}'), (2, 'UPDATE config_changes SET before = NULL', true, 'wrong_config|change 2 of shop_products pgtap_a as it was noted|another'), (2, 'UPDATE config_changes SET after = before', true, 'wrong_config|change 3 of shop_products pgtap_a as it was noted|another'), (3, 'UPDATE config_changes SET after = before', true, 'wrong_config|shop_products pgtap_a: {...}|{...}'), (2, 'UPDATE config_changes SET actor = ''x''', false, 'wrong_config|change 2 of shop_products pgtap_a as it was noted|another'), (2, 'UPDATE config_changes SET actor = ''x''', true, 'nothing')) v (n, change, fits, says);
SELECT is(pg_temp.says('config', change, 'all'), replace(says, '{anchor}', (SELECT max(anchor_id)::text FROM anchors)), change)
FROM (VALUES
    ('UPDATE config_heads SET change_no = 7 WHERE key = ''pgtap_a''', 'wrong_config|shop_products pgtap_a: change 7 is the newest|change 3'), ('UPDATE config_heads SET hash = sha256(hash) WHERE key = ''pgtap_a''', 'wrong_config|shop_products pgtap_a: change 3 is the newest|another one'), ('DELETE FROM config_heads WHERE key = ''pgtap_a''', 'wrong_config|shop_products pgtap_a: change 3 is the newest|no head says so'), ('INSERT INTO config_heads SELECT relation, ''x'', 1, hash FROM config_heads WHERE key = ''pgtap_a''', 'wrong_config|shop_products x: change 1 is the newest|there is none'),
    ('UPDATE shop_products SET price_gold = 29 WHERE product_id = ''pgtap_a''', 'wrong_config|shop_products pgtap_a: {...}|{...}'), ('DELETE FROM shop_products WHERE product_id = ''pgtap_a''', 'wrong_config|shop_products pgtap_a: {...}'), ('UPDATE games SET rules = ''{"x": 1}'' WHERE game = ''slot''', 'wrong_config|games as they were installed|changed, missing or further ones'), ('DELETE FROM rfm_models WHERE builtin', 'wrong_config|rfm_models as they were installed|changed, missing or further ones'), ('UPDATE segment_rules SET version = version - 7 WHERE version <= 0', 'wrong_config|segment_rules as they were installed|changed, missing or further ones'),
    ('UPDATE recommendation_placements SET actor = ''x'' WHERE version <= 0', 'wrong_config|recommendation_placements as they were installed|changed, missing or further ones'), ('UPDATE recommendation_arms SET cta = ''x'' WHERE version <= 0', 'wrong_config|recommendation_arms as they were installed|changed, missing or further ones'), ('DELETE FROM event_types WHERE ctid = (SELECT min(ctid) FROM event_types)', 'wrong_config|event_types as they were installed|changed, missing or further ones'), ('INSERT INTO shop_products SELECT * FROM shop_products WHERE product_id = ''pgtap_a''', 'duplicate_row|one row of shop_products pgtap_a|2 rows'),
    ('INSERT INTO config_heads SELECT * FROM config_heads WHERE key = ''pgtap_a''', 'duplicate_row|one row of config_heads shop_products pgtap_a|2 rows'), ('INSERT INTO anchor_config SELECT * FROM anchor_config WHERE key = ''pgtap_a'' AND change_no = 3', 'duplicate_row|one row of anchor_config shop_products pgtap_a {anchor}|2 rows'), ('INSERT INTO anchors SELECT * FROM anchors WHERE anchor_id = (SELECT max(anchor_id) FROM anchors)', 'duplicate_row|one row of anchors {anchor}|2 rows'),
    ('UPDATE anchor_buckets SET anchor_id = -5 WHERE bucket < 0 AND anchor_id = (SELECT max(anchor_id) FROM anchors); INSERT INTO anchor_buckets SELECT * FROM anchor_buckets WHERE anchor_id = -5', 'duplicate_row|one row of anchor_buckets -5 -9223372036854775808|2 rows'), ('INSERT INTO shop_stock SELECT * FROM shop_stock WHERE product_id = ''pgtap_b'' AND slot = 0', 'duplicate_row|one row of shop_stock pgtap_b 0|2 rows'), ('INSERT INTO shop_keys SELECT * FROM shop_keys WHERE product_id = ''pgtap_k''', 'duplicate_row|one row of shop_keys pgtap_k k|2 rows'),
    ('DELETE FROM recommendation_placements WHERE placement = ''pgtap''; DELETE FROM config_changes WHERE key ~ ''^pgtap:''; DELETE FROM config_heads WHERE key ~ ''^pgtap:''', 'wrong_config|recommendation_placements pgtap:1 of its arms|none'), ('INSERT INTO segment_rule_changes (version) VALUES (777)', 'wrong_config|segment_rules 777 of its change|none')) v (change, says);
CREATE FUNCTION pg_temp.of_keys(change text, key integer, newest integer) RETURNS text LANGUAGE sql AS $$ SELECT replace(replace(pg_temp.says('keys', replace(replace(change, '{key}', key::text), '{newest}', newest::text), 'all'), 'version ' || key, 'version K'), 'version ' || newest, 'version N') $$;
SELECT is(pg_temp.of_keys(change, :key, :newest), says, change)
FROM (VALUES ('UPDATE signing_keys SET material = sha256(material) WHERE version = {key}', 'wrong_key|signing key version K with 32 bytes|32 bytes'), ('UPDATE signing_keys SET state = ''verify_only'' WHERE version = {key}', 'wrong_key|signing key version K with 32 bytes|0 bytes'), ('UPDATE signing_keys SET material = substr(material, 1, 31) WHERE version = {newest}', 'wrong_key|signing key version N with 32 bytes|31 bytes'), ('UPDATE signing_keys SET material = material || material WHERE version = {newest}', 'wrong_key|signing key version N with 32 bytes|64 bytes'), ('UPDATE signing_keys SET state = ''verify_only'' WHERE version = {newest}', 'wrong_key|one active signing key, the newest|0 active ones, the newest is version N'),
    ('UPDATE signing_keys SET state = ''active'', material = sha256('''') WHERE version = {key}', 'wrong_key|one active signing key, the newest|2 active ones, the newest is version N'), ('UPDATE signing_keys SET state = CASE version WHEN {newest} THEN ''verify_only'' ELSE ''active'' END, material = sha256('''') WHERE version IN ({key}, {newest})', 'wrong_key|one active signing key, the newest|1 active ones, the newest is version N'), ('DELETE FROM signing_keys', 'nothing')) v (change, says);

-- --- recommendations ---------------------------------------------------------------------------------

SELECT is((SELECT string_agg(concat_ws(' ', d.number, d.placement, d.arm, d.cta, d.product_id, d.fallback), ', ' ORDER BY d.number) FROM recommendations d WHERE d.user_id = :u), '1 pgtap a c pgtap_b t, 2 pgtap none none none t', 'the decisions');
SELECT is(pg_temp.says('recommendations', format('UPDATE recommendations SET %s WHERE user_id = {u} AND number = %s', change, number)), says, format('decision %s: %s', number, change))
FROM (VALUES (1, 'number = 0', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-0: pgtap 1  a c pgtap_b'), (1, 'policy = ''thompson''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1  a c pgtap_b'), (1, 'version = 7', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 7  a c pgtap_b'), (1, 'placement = ''x''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: x 1  a c pgtap_b'), (1, 'decided_at = ''2031-01-01''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1  a c pgtap_b'), (1, 'clicked_at = decided_at', 'nothing'), (1, 'clicked_at = decided_at - interval ''1 microsecond''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1  a c pgtap_b'), (1, 'converted_at = decided_at', 'nothing'), (1, 'converted_at = decided_at - interval ''1 microsecond''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1  a c pgtap_b'),
    (1, 'arm = ''s''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1  s c pgtap_b'), (1, 'cta = ''t''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1  a t pgtap_b'), (1, 'product_id = NULL', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1  a c '), (1, 'product_id = ''pgtap_a''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1  a c pgtap_a'), (1, 'fallback = false', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1  a c pgtap_b'), (1, 'fallback = false, segment = ''S''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1 S a c pgtap_b'), (1, 'fallback = false, segment = ''S'', arm = ''s'', cta = ''t'', product_id = NULL', 'nothing'), (1, 'segment = ''S'', arm = ''s'', cta = ''t'', product_id = NULL', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-1: pgtap 1 S s t '),
    (2, 'cta = ''x''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-2: pgtap none 1  none x '), (2, 'product_id = ''pgtap_a''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-2: pgtap none 1  none none pgtap_a'), (2, 'fallback = false', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-2: pgtap none 1  none none '), (2, 'arm = ''a''', 'U|wrong_recommendation|an arm of the placement, as it was set|DU-2: pgtap none 1  a none ')) v (number, change, says);

-- --- anchors ------------------------------------------------------------------------------------------

-- A is the last one; numbers of users and entries are those of the whole database
SELECT max(anchor_id) AS a FROM anchors \gset
CREATE TEMP TABLE taken AS SELECT :a::bigint AS a, :w::bigint AS w, :none::bigint AS x;
CREATE FUNCTION pg_temp.of_anchors(piece text, damage text, of text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t      taken := (SELECT k FROM taken k);
    answer text;
BEGIN
    damage := replace(replace(replace(damage, '{a}', t.a::text), '{w}', t.w::text), '{x}', t.x::text);
    answer := pg_temp.says(piece, damage, CASE of WHEN 'w' THEN t.w::text WHEN 'x' THEN t.x::text ELSE of END);
    answer := regexp_replace(regexp_replace(answer, E'(^|; )' || t.w || E'\\|', E'\\1W|', 'g'), E'(^|; )' || t.x || E'\\|', E'\\1X|', 'g');
    answer := replace(replace(replace(answer, 'anchor ' || t.a, 'anchor A'), 'anchor ' || t.a - 1, 'anchor A-1'), 'anchor ' || t.a - 2, 'anchor A-2');
    answer := replace(answer, 'anchor ' || t.a + 1, 'anchor A+1');
    RETURN regexp_replace(regexp_replace(answer, E'(users|to|with) [0-9]+', E'\\1 n', 'g'), '[0-9]+ heads', 'n heads', 'g');
END
$$;
SELECT is(pg_temp.of_anchors('anchored', damage, of), says, format('heads of %s: %s', of, damage))
FROM (VALUES
    ('w', 'SELECT 1', 'nothing'),
    ('w', 'UPDATE anchor_heads SET hash = sha256(hash) WHERE user_id = {w} AND seq = 2',
     'W|wrong_hash|entry 2 with hash H, as anchor A-1 holds it|H|2'),
    ('w', 'UPDATE anchor_heads SET hash = sha256(hash) WHERE user_id = {w} AND seq = 1',
     'nothing'),
    ('w', 'UPDATE anchor_heads SET seq = 7 WHERE user_id = {w} AND seq = 2',
     'W|missing_entry|entry 7 with hash H, as anchor A-1 holds it|nothing|7'),
    ('w', 'UPDATE anchor_heads SET seq = -1 WHERE user_id = {w} AND seq = 2',
     'W|wrong_hash|entry -1 with hash H, as anchor A-1 holds it|nothing|-1'),
    ('w', 'UPDATE anchor_heads SET seq = 0 WHERE user_id = {w} AND seq = 2',
     'nothing'),
    ('w', 'UPDATE gold_adjustments SET hash = sha256(hash) WHERE user_id = {w} AND seq = 2',
     'W|wrong_hash|entry 2 with hash H, as anchor A-1 holds it|H|2'),
    ('w', 'DELETE FROM gold_adjustments WHERE user_id = {w} AND seq = 2',
     'W|missing_entry|entry 2 with hash H, as anchor A-1 holds it|nothing|2'),
    ('w', 'DELETE FROM accounts WHERE user_id = {w}',
     'W|orphan_row|entry 2 with hash H, as anchor A-1 holds it|no account|2'),
    ('w', 'INSERT INTO anchor_heads SELECT user_id, {a}, seq, hash FROM anchor_heads WHERE user_id = {w} AND seq = 2',
     'W|wrong_anchor|a head only where it is another than before|anchor A|2'),
    ('w', 'INSERT INTO anchor_heads SELECT user_id, {a}, seq, hash FROM anchor_heads WHERE user_id = {w} AND seq = 1',
     'nothing'),
    ('w', 'UPDATE anchor_heads SET anchor_id = {a} + 1 WHERE user_id = {w} AND seq = 2',
     'W|wrong_anchor|a head of an anchor that there is|anchor A+1|2'),
    ('w', 'UPDATE anchor_heads SET anchor_id = {a} WHERE user_id = {w} AND seq = 2',
     'nothing'),
    ('w', 'UPDATE anchor_heads SET anchor_id = {a} + 1 WHERE user_id <> {w}',
     'nothing'),
    ('x', 'SELECT 1', 'nothing'),
    ('x', 'UPDATE accounts SET head_hash = sha256(head_hash) WHERE user_id = {x}',
     'X|wrong_hash|entry 0 with hash H, as anchor A-2 holds it|nothing|0'),
    ('x', 'UPDATE accounts SET head_hash = sha256(head_hash), seq = 1 WHERE user_id = {x}',
     'nothing'),
    ('x', 'DELETE FROM accounts WHERE user_id = {x}',
     'X|orphan_row|entry 0 with hash H, as anchor A-2 holds it|no account|0'),
    -- two users one after the other are no two heads of one
    ('all', 'UPDATE anchor_heads SET hash = sha256(''x'') WHERE (user_id = {x} OR user_id = {w} AND seq = 2)',
     'X|wrong_hash|entry 0 with hash H, as anchor A-2 holds it|nothing|0; W|wrong_hash|entry 2 with hash H, as anchor A-1 holds it|H|2')) v (of, damage, says);
SELECT is(pg_temp.of_anchors('anchors', damage, 'all'), says, damage)
FROM (VALUES
    ('SELECT 1', 'nothing'),
    ('UPDATE anchor_buckets SET entries = entries + 1 WHERE anchor_id = {a} - 1 AND bucket = {w} >> 12',
     'wrong_anchor|anchor A-1: the digest of its buckets|another; wrong_anchor|anchor A-1: users n to n with n entries|n heads with n entries, or others'),
    ('UPDATE anchor_buckets SET users = users + 1 WHERE anchor_id = {a} - 1 AND bucket = {w} >> 12',
     'wrong_anchor|anchor A-1: the digest of its buckets|another; wrong_anchor|anchor A-1: users n to n with n entries|n heads with n entries, or others'),
    ('UPDATE anchor_buckets SET digest = sha256(digest) WHERE anchor_id = {a} - 1 AND bucket = {w} >> 12',
     'wrong_anchor|anchor A-1: the digest of its buckets|another; wrong_anchor|anchor A-1: users n to n with n entries|n heads with n entries, or others'),
    ('DELETE FROM anchor_buckets WHERE anchor_id = {a} - 1 AND bucket = {w} >> 12',
     'wrong_anchor|anchor A-1: the digest of its buckets|another; wrong_anchor|anchor A-1: users n to n with n entries|n heads with n entries, or others'),
    ('UPDATE anchor_heads SET hash = sha256(hash) WHERE user_id = {w} AND seq = 1',
     'wrong_anchor|anchor A-2: users n to n with n entries|n heads with n entries, or others'),
    ('UPDATE anchors SET users = users + 1 WHERE anchor_id = {a} - 1',
     'wrong_anchor|anchor A-1, signed, behind the one before it|WRONG_SIGNATURE; wrong_anchor|anchor A-1: the digest of its buckets|another'),
    ('UPDATE anchors SET entries = entries + 1 WHERE anchor_id = {a} - 1',
     'wrong_anchor|anchor A-1, signed, behind the one before it|WRONG_SIGNATURE; wrong_anchor|anchor A-1: the digest of its buckets|another'),
    ('UPDATE anchors SET digest_before = sha256(digest) WHERE anchor_id = {a} - 1',
     'wrong_anchor|anchor A-1, signed, behind the one before it|WRONG_SIGNATURE'),
    ('UPDATE anchors SET digest = sha256(digest) WHERE anchor_id = {a} - 1',
     'wrong_anchor|anchor A-1, signed, behind the one before it|WRONG_SIGNATURE; wrong_anchor|anchor A-1: the digest of its buckets|another; wrong_anchor|anchor A, signed, behind the one before it|OK'),
    ('UPDATE anchors SET key_version = 1000000 WHERE anchor_id = {a} - 1',
     'wrong_anchor|anchor A-1, signed, behind the one before it|UNKNOWN_KEY'),
    ('DELETE FROM anchors WHERE anchor_id = {a} - 1; DELETE FROM anchor_buckets WHERE anchor_id = {a} - 1',
     'wrong_anchor|anchor A, signed, behind the one before it|OK'),
    ('DELETE FROM anchors WHERE anchor_id = {a} - 2; DELETE FROM anchor_buckets WHERE anchor_id = {a} - 2',
     'nothing'),
    ('UPDATE anchors SET next_user = 5 WHERE anchor_id = {a} - 1',
     'wrong_anchor|anchor A-1, signed, behind the one before it|OK'),
    ('UPDATE anchors SET next_user = 5, signature = NULL WHERE anchor_id = {a} - 1',
     'wrong_anchor|anchor A-1, signed, behind the one before it|WRONG_SIGNATURE'),
    ('UPDATE anchors SET next_user = 5, signature = NULL WHERE anchor_id = {a}',
     'nothing'),
    ('UPDATE anchors SET signature = NULL WHERE anchor_id = {a}',
     'wrong_anchor|anchor A, signed, behind the one before it|WRONG_SIGNATURE'),
    ('UPDATE anchor_buckets SET anchor_id = -5 WHERE anchor_id = {a} AND bucket < 0',
     'wrong_anchor|an anchor of its buckets|buckets of anchor -5; wrong_anchor|anchor A: the configuration''s history|n heads with n entries, or others; wrong_anchor|anchor A: the digest of its buckets|another'),
    ('UPDATE anchor_config SET hash = sha256(hash) WHERE key = ''pgtap anchored''',
     'wrong_anchor|anchor A-1: the configuration''s history|n heads with n entries, or others; wrong_anchor|anchor A: the configuration''s history|n heads with n entries, or others; wrong_config|change 1 of games pgtap anchored, as anchor A-1 holds it|H'),
    ('UPDATE anchor_config SET change_no = 7 WHERE key = ''pgtap anchored''',
     'wrong_anchor|anchor A-1: the configuration''s history|n heads with n entries, or others; wrong_anchor|anchor A: the configuration''s history|n heads with n entries, or others; wrong_config|change 7 of games pgtap anchored, as anchor A-1 holds it|nothing'),
    ('UPDATE anchor_config SET anchor_id = {a} + 1 WHERE key = ''pgtap anchored''',
     'wrong_anchor|anchor A-1: the configuration''s history|n heads with n entries, or others; wrong_anchor|anchor A: the configuration''s history|n heads with n entries, or others; wrong_config|change 1 of games pgtap anchored, as anchor A+1 holds it|H'),
    ('UPDATE anchor_config SET anchor_id = {a} WHERE key = ''pgtap anchored''',
     'wrong_anchor|anchor A-1: the configuration''s history|n heads with n entries, or others'),
    ('INSERT INTO anchor_config SELECT relation, key, {a}, change_no, hash FROM anchor_config WHERE key = ''pgtap anchored''',
     'wrong_anchor|a head of the configuration only where it is another than before|games pgtap anchored in anchor A')) v (damage, says);
SELECT * FROM finish();
ROLLBACK;
