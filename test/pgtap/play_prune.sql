-- prune(): old actions go behind a signed checkpoint, all else stays exact and
-- provable, and their ids stay known.
--
-- Run as superuser.  Damage is done with the guard triggers disabled, until the
-- final ROLLBACK.
BEGIN;
SELECT no_plan();
SELECT count(*) AS x FROM generate_series(1, 100) n, economy.rollup_stats() \gset
SELECT economy.register('pgtap prune') AS u \gset
SELECT economy.register('pgtap prune young') AS young \gset
SELECT economy.register('pgtap prune lazy') AS lazy \gset
SELECT economy.upsert_product('{"product_id": "pgtap_p", "category": "item", "price_gold": 10}', 'pgtap') IS NULL AS x \gset
CREATE FUNCTION pg_temp.u() RETURNS bigint LANGUAGE sql AS $$ SELECT economy.user_id_of('pgtap prune') $$;
CREATE FUNCTION pg_temp.at(clock text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('economy.test_clock', clock, true) $$;
CREATE FUNCTION pg_temp.play(id text, bet bigint, win bigint, game text DEFAULT 'slot') RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', r.state, nullif(r.code, 'OK'), split_part(r.transaction_id, '-', 2), r.total) FROM economy.record_action(pg_temp.u(), game, 'T', id, bet, win) r $$;
CREATE FUNCTION pg_temp.entries() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(substr(transaction_id, 1, 1) || seq, ' ' ORDER BY seq) FROM economy.ledger WHERE user_id = pg_temp.u() $$;
CREATE FUNCTION pg_temp.prune(older_than interval DEFAULT '90 days', max_users int DEFAULT 10000) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws(' ', users, actions, damaged) FROM economy.prune(older_than, max_users) $$;
CREATE FUNCTION pg_temp.receipts() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(t.seq || ' ' || v.reason, ', ' ORDER BY t.seq) FROM economy.shop_transactions t, economy.verify_receipt(t.user_id, 'P' || t.user_id || '-' || t.seq) v WHERE t.user_id = pg_temp.u() $$;

CREATE FUNCTION pg_temp.page(after bigint, max int) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', string_agg(DISTINCT r.seq::text, ' ') FILTER (WHERE r.code = 'EVENT'), max(r.code) FILTER (WHERE r.code <> 'EVENT')) FROM economy.replay(pg_temp.u(), after, max) r $$;
CREATE FUNCTION pg_temp.sums() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(concat_ws(' ', game, to_char(day, 'YYYY-MM-DD'), total, wins, losses, draws, max_win, bet_sum, win_sum), ', ' ORDER BY game, day) FROM economy.pruned_stats WHERE user_id = pg_temp.u() $$;
CREATE FUNCTION pg_temp.keys() RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(seq::text || CASE WHEN key = economy_internal.action_key('slot', seq::text) THEN '' ELSE ' of another id' END, ' ' ORDER BY seq) FROM economy.pruned_actions WHERE user_id = pg_temp.u() $$;

-- G1 A2 A3 P4 A5 A6 R7 A8 P9 A10 | A11 P12 A13
SELECT pg_temp.at('2031-01-01 12:00+00') AS x \gset
SELECT success AS x FROM economy.adjust_gold(:u, 1000, 'open', 'r', 'a') \gset
SELECT pg_temp.play('2', 10, 30) AS x \gset
SELECT pg_temp.play('3', 10, 0) AS x \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_p', 'p4') \gset
SELECT pg_temp.play('5', 5, 5) AS x \gset
SELECT pg_temp.at('2031-01-02 12:00+00') AS x \gset
SELECT pg_temp.play('6', 1, 500, 'rps') AS x \gset
SELECT success AS x FROM economy.grant_reward(:u, 'pgtap', 'r7', 5, 7) \gset
SELECT pg_temp.play('8', 7, 0) AS x \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_p', 'p9', 2) \gset
SELECT pg_temp.play('10', 1, 2) AS x \gset
SELECT pg_temp.at('2031-06-01 00:00+00') AS x \gset
SELECT pg_temp.play('11', 1, 3) AS x \gset
SELECT success AS x FROM economy.purchase(:u, 'pgtap_p', 'p12') \gset
SELECT pg_temp.play('13', 2, 1) AS x \gset
SELECT r.state AS x FROM economy.record_action(:young, 'slot', 'T', '1') r \gset
SELECT pg_temp.at('2031-01-02 12:00+00') AS x \gset
SELECT r.state AS x FROM economy.record_action(:lazy, 'slot', 'T', '1') r \gset
SELECT pg_temp.at('2031-06-10 00:00+00') AS x \gset
SELECT is(pg_temp.entries(), 'G1 A2 A3 P4 A5 A6 R7 A8 P9 A10 A11 P12 A13', 'the stream');
SELECT is(pg_temp.prune(), '0 0 0', 'what is not rolled up stays');
CREATE TEMP TABLE before AS SELECT economy.game_stats_me(:u) AS me, (SELECT string_agg(s::text, ',' ORDER BY s::text) FROM economy.game_stats s) AS stats,
    (SELECT to_jsonb(a) - 'pruned_seq' FROM economy.accounts a WHERE a.user_id = :u) AS account;
SELECT economy.rollup_stats() AS x \gset
CREATE TEMP TABLE rolled AS SELECT string_agg(s::text, ',' ORDER BY s::text) AS summary FROM economy.user_game_stats_summary s;
CREATE FUNCTION pg_temp.exact(what text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT is_empty('SELECT * FROM economy.stats_parity()', what || ': parity')
    UNION ALL SELECT is_empty('SELECT * FROM economy.audit_sweep() WHERE user_id = ' || pg_temp.u(), what || ': no finding')
    UNION ALL SELECT is(pg_temp.receipts(), '4 OK, 9 OK, 12 OK', what || ': receipts verify') $$;
SELECT pg_temp.exact('before');

-- arguments
SELECT throws_ok(format('SELECT * FROM economy.prune(%s)', args), 'XE002', 'older_than must be a day or more and max_users 1 or more', 'prune(' || args || ')')
FROM unnest(ARRAY['''0''', '''23:59:59''', '''-1 year''', '''90 days'', 0', '''90 days'', -1']) args;
-- the month before the first of March has 28 days, though an interval's has 30
SAVEPOINT s;
SELECT pg_temp.at('2031-03-01 12:00+00') AS x \gset
SELECT throws_ok(format('SELECT * FROM economy.prune(%L)', older_than), 'XE002', 'older_than is longer than time is kept', 'beyond all moments: ' || older_than) FROM unnest(ARRAY['-178000000 years', '-300000 years', '178000000 years', '10000 years']) older_than;
SELECT lives_ok('SELECT * FROM economy.prune(''6000 years'')', 'within them');
SELECT throws_ok(format('SELECT * FROM economy.prune(%L)', older_than), 'XE002', NULL, 'in March less than a day: ' || older_than)
FROM unnest(ARRAY['1 mon -29 days', '1 mon -28 days', '1 mon -27 days -1 second']) older_than;
SELECT lives_ok(format('SELECT * FROM economy.prune(%L)', older_than), 'in March a day: ' || older_than) FROM unnest(ARRAY['1 mon -27 days', '24 hours']) older_than;
ROLLBACK TO s;
SELECT throws_ok(format('SELECT * FROM economy.prune(%s)', args), 'XE001', NULL, 'prune(' || args || ')') FROM unnest(ARRAY['NULL', '''90 days'', NULL']) args;
SELECT throws_ok(format('SELECT economy_internal.prune_stream(%s, 14)', :u), 'XE106', format('user %s has no entry 14', :u), 'no checkpoint of an entry that is not there');
SELECT throws_ok('DELETE FROM economy.user_actions', 'XE101', NULL, 'which leaves the guard up');
SELECT is(economy_internal.prune_stream(-1, 1), NULL, 'no user');
SELECT throws_ok(format('SELECT economy_internal.prune_streams(%s)', args), 'XE002', 'users must be in ascending order, with a seq each', args)
FROM (VALUES ('ARRAY[2, 1], ARRAY[1, 1]'), ('ARRAY[1, 1], ARRAY[1, 1]'), ('ARRAY[1, 2], ARRAY[1]'), ('ARRAY[1], ARRAY[1, 1]')) v (args);
SELECT is(economy_internal.prune_streams('{}', '{}'), '{}', 'of nobody');
SELECT throws_ok(call, 'XE001', message, call)
FROM (VALUES ('SELECT economy_internal.prune_stream(NULL, 1)', 'user_id must not be null'), ('SELECT economy_internal.prune_stream(1, NULL)', 'seq must not be null')) v (call, message);
SELECT is(economy_internal.prune_stream(:u, seq), 0::bigint, 'nothing is in front of entry ' || seq) FROM unnest(ARRAY[0, -1, -9223372036854775807]) seq;
SELECT is((SELECT count(*) FROM economy.stream_checkpoints WHERE user_id = :u), 0::bigint, 'so there is no checkpoint');
SAVEPOINT s;
SET LOCAL transaction_read_only = on;
SELECT throws_ok(call, '25006', NULL, 'read-only: ' || call) FROM unnest(ARRAY['SELECT economy_internal.prune_stream(1, 1)', 'SELECT * FROM economy.prune()']) call;
ROLLBACK TO s;
SELECT is(pg_temp.entries(), 'G1 A2 A3 P4 A5 A6 R7 A8 P9 A10 A11 P12 A13', 'all are still there');

-- the first prune
SELECT is(pg_temp.prune('90 days', 1), '1 2 0', 'one user at a time');
SELECT is(pg_temp.entries(), 'G1 A3 P4 A6 R7 A8 P9 A10 A11 P12 A13', 'old actions are gone, but for those before an entry of another journal and the one at the checkpoint');
SELECT is((SELECT count(*) FROM economy.user_actions WHERE user_id IN (:young, :lazy)), 2::bigint, 'others are not yet');
SELECT is((SELECT row(seq, gold, experience_points, created_at = economy.now(), octet_length(links), octet_length(signature))::text FROM economy.stream_checkpoints WHERE user_id = :u),
    '(10,1478,7,t,32,32)', 'the checkpoint');
SELECT is((SELECT pruned_seq FROM economy.accounts WHERE user_id = :u), 10::bigint, 'the account knows of it');
SELECT is(pg_temp.sums(), 'slot 2031-01-01 2 1 0 1 30 15 35', 'what was pruned is kept in sum');
SELECT is(pg_temp.keys(), '2 5', 'and by the key of each id');
SELECT pg_temp.exact('pruned');
SELECT is(economy.game_stats_me(:u), b.me, 'statistics are as they were') FROM before b;
SELECT is((SELECT string_agg(s::text, ',' ORDER BY s::text) FROM economy.game_stats s), b.stats, 'in every row') FROM before b;
SELECT is((SELECT string_agg(s::text, ',' ORDER BY s::text) FROM economy.user_game_stats_summary s), r.summary, 'the days too') FROM rolled r;
SELECT is((SELECT to_jsonb(a) - 'pruned_seq' FROM economy.accounts a WHERE a.user_id = :u), b.account, 'and the account') FROM before b;
SELECT is(pg_temp.prune(), '1 0 0', 'the next call takes the lazy user, whose only action is at the checkpoint');
SELECT is(pg_temp.prune(), '0 0 0', 'and then nobody') FROM generate_series(1, 2);
SELECT is((SELECT count(*) FROM economy.user_actions WHERE user_id = :young), 1::bigint, 'what is younger than the cutoff stays');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :lazy), 'a stream that ends at its checkpoint is clean');
SELECT is((SELECT row(success, state, seq)::text FROM economy.record_action(:lazy, 'slot', 'T', 'new') r, economy.accounts a WHERE a.user_id = :lazy), '(t,new,1)', 'and goes on');
SELECT is((SELECT string_agg(seq::text, ' ' ORDER BY seq) FROM economy.ledger WHERE user_id = :lazy), '1 2', 'where it was');
SELECT is_empty(format('SELECT * FROM economy.verify_chain(%s)', :lazy), 'it is clean');

-- ids, before and after
CREATE FUNCTION pg_temp.key_of(game text, id text) RETURNS uuid LANGUAGE sql AS
    $$ SELECT encode(substr(sha256(decode(repeat('00', 32), 'hex') || E'\\x014b02' || int4send(octet_length(game)) || game::bytea || E'\\x02' || int4send(octet_length(id)) || id::bytea), 1, 16), 'hex')::uuid $$;
SELECT is(economy_internal.action_key(game, id), pg_temp.key_of(game, id), 'the key of ' || game || ' ' || left(id, 9))
FROM (VALUES ('slot', '2'), ('slo', 't2'), (repeat('g', 64), repeat('i', 255)), ('a', 'b')) v (game, id);
SELECT throws_ok(call, code, message, call)
FROM (VALUES ('SELECT economy_internal.action_key(NULL, ''1'')', 'XE001', 'game must not be null'), ('SELECT economy_internal.action_key(''slot'', NULL)', 'XE001', 'action_id must not be null'),
             ('SELECT economy_internal.action_key('''', ''1'')', 'XE002', 'game must not be empty'), ('SELECT economy_internal.action_key(''slot'', repeat(''i'', 256))', 'XE003', 'action_id is too long')) v (call, code, message);
SELECT is(pg_temp.play('11', 1, 3), 'reuse 11 7', 'a kept id is known');
SELECT is(pg_temp.play('3', 10, 0), 'reuse 3 7', 'below the checkpoint too');
SELECT is(pg_temp.play('10', 1, 2), 'reuse 10 7', 'and at it');
SELECT is((SELECT r.state FROM economy.purchase(:u, 'pgtap_p', 'p4') r), 'reuse', 'and a purchase');
SELECT is((SELECT r::text FROM economy.record_action(:u, 'slot', 'T', '2', 10, 30) r), format('(f,refused,RESYNC_REQUIRED,A%s-2,,,,,,,,"{""reason"": ""pruned""}")', :u), 'a retry of a pruned action is refused, by the name of its entry');
SELECT is(pg_temp.play('5', 5, 5), 'refused RESYNC_REQUIRED 5', 'another');
SELECT is(pg_temp.play('2', 1, 1), 'refused RESYNC_REQUIRED 2', 'whatever is sent with the id');
SELECT is(pg_temp.play('2', 1000000, 0), 'refused RESYNC_REQUIRED 2', 'however high the bet');
SAVEPOINT s;
SELECT economy.set_user_status(:u, 'suspended', 'pgtap') AS x \gset
SELECT is(pg_temp.play('2', 10, 30), 'refused RESYNC_REQUIRED 2', 'also when the user is suspended');
ROLLBACK TO s;
SELECT is((SELECT r.state FROM economy.record_action(:lazy, 'slot', 'T', '2') r), 'new', 'the id of another user is another');
SAVEPOINT s;
SELECT is(pg_temp.play('2', 0, 0, 'rps'), 'new 14 2', 'and so is that of another game');
SELECT is((SELECT string_agg(concat_ws(' ', r.state, nullif(r.code, 'OK'), split_part(r.transaction_id, '-', 2)), ', ') FROM economy.record_actions(jsonb_build_array(
    jsonb_build_object('user_id', :u, 'game', 'slot', 'action_type', 'T', 'action_id', '2'), jsonb_build_object('user_id', :u, 'game', 'slot', 'action_type', 'T', 'action_id', 'batch'),
    jsonb_build_object('user_id', :u, 'game', 'slot', 'action_type', 'T', 'action_id', '2'), jsonb_build_object('user_id', :u, 'game', 'slot', 'action_type', 'T', 'action_id', '3', 'bet', 10))) r),
    'refused RESYNC_REQUIRED 2, new 15, refused RESYNC_REQUIRED 2, reuse 3', 'in a batch the others go on');
ROLLBACK TO s;
SELECT is((SELECT string_agg(r.state, ' ') FROM economy.record_actions(jsonb_build_array(jsonb_build_object('user_id', :u, 'game', 'slot', 'action_type', 'T', 'action_id', '5'))) r), 'refused', 'a batch of one');
SELECT is((SELECT to_jsonb(a) - 'pruned_seq' FROM economy.accounts a WHERE a.user_id = :u), b.account, 'nothing was added') FROM before b;
SELECT is(pg_temp.play('14', 0, 1), 'new 14 8', 'new actions go on');
SELECT pg_temp.exact('with new actions');

-- a clock that went back moves no checkpoint back
SAVEPOINT s;
SELECT pg_temp.at('2030-12-01 00:00+00') AS x \gset
SELECT pg_temp.play('back', 0, 0) AS x \gset
SELECT count(*) AS x FROM economy.rollup_stats() \gset
CREATE TEMP TABLE checkpoint AS SELECT * FROM economy.stream_checkpoints;
SELECT pg_temp.at('2031-01-03 00:00+00') AS x \gset
SELECT is(pg_temp.prune('1 day'), '0 0 0', 'the last entry to be pruned is in front of the checkpoint');
SELECT is((SELECT string_agg(k::text, ',' ORDER BY k.user_id) FROM economy.stream_checkpoints k), (SELECT string_agg(k::text, ',' ORDER BY k.user_id) FROM checkpoint k), 'so no checkpoint moves');
SELECT is(pg_temp.entries(), 'G1 A3 P4 A6 R7 A8 P9 A10 A11 P12 A13 A14 A15', 'and no entry goes');
SELECT is(economy_internal.prune_stream(:u, seq), 0::bigint, 'nor by a call for entry ' || seq) FROM unnest(ARRAY[3, 9, 10]) seq;
SELECT is((SELECT seq FROM economy.stream_checkpoints WHERE user_id = :u), 10::bigint, 'it stays');
SELECT pg_temp.exact('the clock is back');
SELECT pg_temp.at('2031-12-01 00:00+00') AS x \gset
SELECT is(split_part(pg_temp.prune(), ' ', 2)::int > 0, true, 'with the right time it goes on');
SELECT is((SELECT seq FROM economy.stream_checkpoints WHERE user_id = :u), 15::bigint, 'up to the late one');
SELECT pg_temp.exact('the clock is right');
ROLLBACK TO s;

-- the guard
SELECT throws_ok(statement, 'XE101', 'journal user_actions is append-only', 'after prune(), in its transaction: ' || statement)
FROM unnest(ARRAY['DELETE FROM economy.user_actions', 'DELETE FROM economy.user_actions WHERE false', 'TRUNCATE economy.user_actions', 'UPDATE economy.user_actions SET win = 1']) statement;
CREATE FUNCTION pg_temp.failing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
SELECT economy.rollup_stats() AS x \gset
SELECT pg_temp.at('2031-12-01 00:00+00') AS x \gset
CREATE FUNCTION pg_temp.fails_at(target text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER pgtap_failing BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION pg_temp.failing()', target);
    RETURN QUERY SELECT throws_ok('SELECT * FROM economy.prune()', 'P0001', 'no', 'a prune that fails half way, at ' || target);
    RETURN QUERY SELECT throws_ok('DELETE FROM economy.user_actions', 'XE101', NULL, 'leaves the guard up');
    RETURN QUERY SELECT is(pg_temp.entries(), 'G1 A3 P4 A6 R7 A8 P9 A10 A11 P12 A13 A14', 'and the actions in place');
    EXECUTE format('DROP TRIGGER pgtap_failing ON %s', target);
END
$$;
SELECT pg_temp.fails_at(target) FROM unnest(ARRAY['economy.user_actions', 'economy.pruned_stats', 'economy.pruned_actions', 'economy.stream_checkpoints', 'economy.accounts']) target;

-- the second prune goes on behind the first
SELECT is(pg_temp.prune('90 days', 1), '1 2 0', 'the second prune');
SELECT is(pg_temp.entries(), 'G1 A3 P4 A6 R7 A8 P9 A11 P12 A14', 'what is before another entry stays, and the entry at the checkpoint before goes');
SELECT is((SELECT seq FROM economy.stream_checkpoints WHERE user_id = :u), 14::bigint, 'the checkpoint moved');
SELECT is(pg_temp.sums(), 'slot 2031-01-01 2 1 0 1 30 15 35, slot 2031-01-02 1 1 0 0 2 1 2, slot 2031-06-01 1 0 1 0 1 2 1', 'the sums grew, day by day');
SELECT is(pg_temp.keys(), '2 5 10 13', 'and the keys');
SELECT is(string_agg(pg_temp.play(id, 0, 0), ', '), 'refused RESYNC_REQUIRED 2, refused RESYNC_REQUIRED 10, refused RESYNC_REQUIRED 13', 'which are known') FROM unnest(ARRAY['2', '10', '13']) id;
SELECT pg_temp.exact('pruned twice');
-- a page is whole, whatever is gone behind it
SELECT is(pg_temp.page(after, max), said, format('%s entries after %s', max, after))
FROM (VALUES (5, 4, '6 7 8 9 MORE'), (7, 2, '8 9 MORE'), (8, 1, '9 MORE'), (9, 1, 'RESYNC_REQUIRED'), (7, 3, 'RESYNC_REQUIRED'), (7, 100, 'RESYNC_REQUIRED')) v (after, max, said);
-- a day that goes in two parts, each with a win, a loss and a draw
SAVEPOINT s;
SELECT economy.register('pgtap prune parts') AS parts \gset
SELECT success AS x FROM economy.adjust_gold(:parts, 100, 'open', 'r', 'a') \gset
SELECT count(r.state) AS x FROM generate_series(1, 7) n, economy.record_action(:parts, 'slot', 'T', n::text, 1, (ARRAY[0, 9 - n, 1])[n % 3 + 1]) r \gset
SELECT economy.rollup_stats() AS x \gset
-- the guard lets a prune delete, and nobody change
SAVEPOINT forged;
CREATE FUNCTION pg_temp.forge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE economy.gold_adjustments g SET reason = 'forged' WHERE g.user_id = OLD.user_id;
    RETURN NULL;
END $$;
CREATE TRIGGER pgtap_forge AFTER DELETE ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.forge();
SELECT throws_ok(format('SELECT economy_internal.prune_stream(%s, 5)', :parts), 'XE101', 'journal gold_adjustments is append-only', 'a trigger that changes an entry while actions are pruned');
ROLLBACK TO forged;
SELECT is(economy_internal.prune_stream(:parts, seq), 3::bigint, 'a part of the day up to ' || seq) FROM unnest(ARRAY[5, 8]) seq;
SELECT is((SELECT concat_ws(' ', total, wins, losses, draws, max_win, bet_sum, win_sum) FROM economy.pruned_stats WHERE user_id = :parts), '6 2 2 2 8 6 15', 'both parts are in its sums, with the greatest win of the first');
SELECT is_empty('SELECT * FROM economy.stats_parity() WHERE source <> ''rollup_positions'' AND user_id = ' || :parts, 'which are exact');
ROLLBACK TO s;
SELECT is(pg_temp.play('15', 1, 2), 'new 15 9', 'new actions go on');
SELECT economy.rollup_stats() AS x \gset
SELECT pg_temp.exact('and are rolled up');
SELECT is_empty(format('SELECT * FROM economy_internal.verify_new(%s)', :u), 'verify_new() too');
SELECT economy.rotate_signing_key() AS version \gset
SELECT pg_temp.exact('with another key');
SAVEPOINT s;
SELECT bool_and(economy.retire_signing_key(key_version)) AS x FROM (SELECT DISTINCT key_version FROM economy.stream_checkpoints) k \gset
SELECT is_empty('SELECT * FROM economy.audit_sweep() WHERE user_id = ' || :u, 'a retired key leaves no checkpoint behind that cannot be verified');
SELECT is((SELECT count(*) FROM economy.stream_checkpoints WHERE key_version <> :version), 0::bigint, 'they are signed with the new one');
SELECT pg_temp.at('2032-12-01 00:00+00') AS x \gset
SELECT is(split_part(pg_temp.prune(), ' ', 3), '0', 'nor does it keep a stream from being pruned');
SELECT is((SELECT row(seq, key_version)::text FROM economy.stream_checkpoints WHERE user_id = :u), format('(15,%s)', :version), 'the next checkpoint is signed with the new key');
ROLLBACK TO s;
-- what does not verify is not signed anew, nor is what another key has signed
SELECT key_version AS old FROM economy.stream_checkpoints WHERE user_id = :lazy \gset
SELECT economy_internal.prune_stream(:young, 1) AS x \gset
SELECT economy.rotate_signing_key() AS third \gset
UPDATE economy.stream_checkpoints SET gold = gold + 1 WHERE user_id = :lazy;
SELECT economy.retire_signing_key(:old) AS x \gset
SELECT is((SELECT string_agg(CASE k.key_version WHEN :old THEN 'old' WHEN :version THEN 'other' WHEN :third THEN 'new' END, ' ' ORDER BY k.user_id)
           FROM economy.stream_checkpoints k WHERE k.user_id IN (:u, :young, :lazy)), 'new other old', 'a sound checkpoint is signed anew, one of another key and a forged one are not');
SELECT is((SELECT string_agg((f.user_id = :lazy)::text, ', ') FROM unnest(ARRAY[:u, :young, :lazy]::bigint[]) w, economy.verify_chain(w) f WHERE f.kind = 'wrong_signature'), 'true', 'so the forged one stays a finding');
ROLLBACK TO s;

-- damage, and what the sweep says of users' streams: the rest of it would look at the schema a
-- hundred times
CREATE FUNCTION pg_temp.after(damage text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    n      bigint;
BEGIN
    EXECUTE replace(damage, '{u}', pg_temp.u()::text);
    GET DIAGNOSTICS n = ROW_COUNT;
    SELECT string_agg(DISTINCT kind || coalesce(' ' || seq, ''), ', ') INTO answer
        FROM unnest((economy_internal.audit_next('-9223372036854775808', 10000)).findings) WHERE user_id = pg_temp.u();
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN CASE WHEN n = 0 THEN 'no damage was done' ELSE coalesce(answer, 'nothing') END;
END
$$;
ALTER TABLE economy.user_actions DISABLE TRIGGER user_actions_append_only;
ALTER TABLE economy.gold_adjustments DISABLE TRIGGER gold_adjustments_append_only;
ALTER TABLE economy.reward_audit DISABLE TRIGGER reward_audit_append_only;
ALTER TABLE economy.shop_transactions DISABLE TRIGGER shop_transactions_append_only;
SELECT is(pg_temp.after('UPDATE economy.stream_checkpoints SET ' || change || ' WHERE user_id = {u}') ~ E'\\mwrong_signature\\M', true, 'a damaged checkpoint is found: ' || change)
FROM unnest(ARRAY['seq = 13', 'seq = 15', 'gold = gold + 1', 'experience_points = 0', 'hash = sha256(hash)', 'hash = sha256(hash) || hash', 'hash = substr(hash, 1, 31)', 'links = sha256(links)', 'links = hash', E'links = ''\\x''', 'gone = sha256(gone)', 'gone = ''''', 'gone_keys = sha256(gone_keys)', 'gone_keys = gone', 'links_before = links', 'proved_seq = proved_seq + 1', 'created_at = created_at + interval ''1 second''',
                  'links = substr(links, 1, 31)', 'key_version = key_version + 1',
                  'key_version = 2000', 'signature = sha256(signature)', 'signature = ''''', 'signature = substr(signature, 1, 31)']) change;
SELECT is(pg_temp.after('UPDATE economy.stream_checkpoints k SET seq = o.seq, gold = o.gold, experience_points = o.experience_points, hash = o.hash, links_before = o.links_before, links = o.links, gone = o.gone, gone_keys = o.gone_keys, proved_seq = o.proved_seq, created_at = o.created_at, key_version = o.key_version, signature = o.signature
    FROM economy.stream_checkpoints o WHERE k.user_id = {u} AND o.user_id = ' || :lazy) ~ E'\\mwrong_signature 1\\M', true, 'another user''s checkpoint is none');
SELECT is(pg_temp.after('DELETE FROM economy.stream_checkpoints WHERE user_id = {u}') ~ E'\\mmissing_entry 2\\M', true, 'without it the pruned entries are missing');
SELECT is(pg_temp.after('UPDATE economy.stream_checkpoints SET created_at = pg_catalog.now() - interval ''1 year'' WHERE user_id = {u}'), 'wrong_signature 14', 'when it was made is signed');
SELECT is(pg_temp.after('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 15'), 'missing_entry 15, parity', 'a deleted action behind it');
SELECT is(pg_temp.after('UPDATE economy.user_actions SET win = 7 WHERE user_id = {u} AND seq = 15'), 'parity, wrong_hash 15', 'a changed one');
-- the entries in front of it, each kind, whether the one before it is left or not
SELECT is(pg_temp.after(damage), found, damage)
FROM (VALUES
    ('UPDATE economy.gold_adjustments SET gold_delta = 99999 WHERE user_id = {u} AND seq = 1', 'wrong_balance 1, wrong_hash 1'),
    ('UPDATE economy.gold_adjustments SET reason = ''forged'' WHERE user_id = {u} AND seq = 1', 'wrong_hash 1'),
    ('UPDATE economy.gold_adjustments SET gold = gold + 1 WHERE user_id = {u} AND seq = 1', 'wrong_balance 1, wrong_hash 1'),
    ('DELETE FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 1', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 3', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET bet = 9 WHERE user_id = {u} AND seq = 3', 'broken_chain 14, parity'),
    ('UPDATE economy.user_actions SET details = ''{}'' WHERE user_id = {u} AND seq = 3', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET created_at = pg_catalog.now() WHERE user_id = {u} AND seq = 3', 'broken_chain 14, parity'),
    ('UPDATE economy.user_actions SET gold_delta = 5, gold = gold + 15 WHERE user_id = {u} AND seq = 3', 'wrong_balance 4'),
    ('UPDATE economy.user_actions SET hash = sha256(hash) WHERE user_id = {u} AND seq = 3', 'wrong_hash 4'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 3', 'broken_chain 14, parity'),
    ('UPDATE economy.shop_transactions SET monetary = 99999 WHERE user_id = {u} AND seq = 4', 'wrong_hash 4'),
    ('UPDATE economy.shop_transactions SET receipt_signature = sha256(receipt_signature) WHERE user_id = {u} AND seq = 4', 'wrong_signature 4'),
    ('UPDATE economy.shop_transactions SET hash = sha256(hash) WHERE user_id = {u} AND seq = 4', 'wrong_hash 4'),
    ('DELETE FROM economy.shop_transactions WHERE user_id = {u} AND seq = 4', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 6', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET win = 499 WHERE user_id = {u} AND seq = 6', 'broken_chain 14, parity'),
    ('UPDATE economy.user_actions SET xact = ''1'' WHERE user_id = {u} AND seq = 6', 'broken_chain 14'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 6', 'broken_chain 14, parity'),
    ('UPDATE economy.reward_audit SET xp_delta = 8 WHERE user_id = {u} AND seq = 7', 'wrong_balance 7, wrong_hash 7'),
    ('UPDATE economy.reward_audit SET external_event_id = ''forged'' WHERE user_id = {u} AND seq = 7', 'wrong_hash 7'),
    ('DELETE FROM economy.reward_audit WHERE user_id = {u} AND seq = 7', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 8', 'wrong_hash 8'),
    ('UPDATE economy.user_actions SET action_id = ''88'' WHERE user_id = {u} AND seq = 8', 'wrong_hash 8'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 8', 'broken_chain 14, parity'),
    ('UPDATE economy.shop_transactions SET quantity = 1 WHERE user_id = {u} AND seq = 9', 'wrong_hash 9'),
    ('UPDATE economy.shop_transactions SET context = ''{}'' WHERE user_id = {u} AND seq = 9', 'wrong_hash 9'),
    ('DELETE FROM economy.shop_transactions WHERE user_id = {u} AND seq = 9', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 11', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET bet = 7 WHERE user_id = {u} AND seq = 11', 'broken_chain 14, parity'),
    ('UPDATE economy.user_actions SET outcome = ''draw'' WHERE user_id = {u} AND seq = 11', 'broken_chain 14, parity'),
    ('UPDATE economy.user_actions SET action_id = ''2'' WHERE user_id = {u} AND seq = 11', 'duplicate_effect 11, wrong_digest 11'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 11', 'broken_chain 14, parity'),
    ('UPDATE economy.shop_transactions SET product_id = ''forged'' WHERE user_id = {u} AND seq = 12', 'wrong_hash 12'),
    ('DELETE FROM economy.shop_transactions WHERE user_id = {u} AND seq = 12', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 14', 'broken_chain 14'),
    ('UPDATE economy.user_actions SET gold = gold + 1 WHERE user_id = {u} AND seq = 14', 'wrong_balance 14'),
    ('UPDATE economy.user_actions SET hash = sha256(hash) WHERE user_id = {u} AND seq = 14', 'wrong_hash 14'),
    ('UPDATE economy.user_actions SET experience_points = 1 WHERE user_id = {u} AND seq = 14', 'wrong_balance 14'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 14', 'missing_entry 14, parity'),
    ('INSERT INTO economy.gold_adjustments SELECT user_id, 2, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, live, hash, ''forged'', actor, reason FROM economy.gold_adjustments WHERE user_id = {u} AND seq = 1', 'wrong_balance 2, wrong_balance 3, wrong_hash 2, wrong_hash 3'),
    ('INSERT INTO economy.user_actions SELECT user_id, 5, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, economy_internal.key_digest(game, ''5''), bet, win, live, hash, outcome, game, action_type, ''5'', details FROM economy.user_actions WHERE user_id = {u} AND seq = 6', 'parity, wrong_balance 6, wrong_hash 5, wrong_hash 6'),
    ('INSERT INTO economy.user_actions SELECT user_id, 13, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, economy_internal.key_digest(game, ''forged''), 0, 0, live, hash, ''draw'', game, action_type, ''forged'', details FROM economy.user_actions WHERE user_id = {u} AND seq = 11', 'parity, wrong_balance 13, wrong_balance 14, wrong_hash 13, wrong_hash 14'),
    ('INSERT INTO economy.user_actions SELECT user_id, 4, gold_delta, xp_delta, gold, experience_points, created_at, xact, position, economy_internal.key_digest(game, ''forged''), 0, 0, live, hash, ''draw'', game, action_type, ''forged'', details FROM economy.user_actions WHERE user_id = {u} AND seq = 3', 'duplicate_effect 4, parity'),
    ('UPDATE economy.user_actions SET seq = 10 WHERE user_id = {u} AND seq = 11', 'wrong_balance 10, wrong_hash 10')
) v (damage, found);
SELECT is(pg_temp.after('UPDATE economy.pruned_stats SET ' || change || ' WHERE user_id = {u}'), CASE WHEN change LIKE 'total%' THEN 'missing_entry, ' ELSE '' END || 'missing_entry 14, parity', 'pruned_stats: ' || change)
FROM unnest(ARRAY['total = total + 1', 'wins = wins + 1', 'losses = 0', 'draws = 0', 'max_win = 1000', 'bet_sum = 0', 'win_sum = 0', 'last_action_at = pg_catalog.now() + interval ''9 years''']) change;
SELECT is(pg_temp.after('DELETE FROM economy.pruned_stats WHERE user_id = {u}'), 'missing_entry, missing_entry 14, parity', 'no pruned_stats');
SELECT is(pg_temp.after('UPDATE economy.user_game_stats_summary SET ' || change || ' WHERE user_id = {u} AND game = ''slot'' AND day = ''' || day || ''''), 'parity', 'day ' || day || ' of a pruned user: ' || change)
FROM unnest(ARRAY['total = total + 1', 'wins = wins - 1, losses = losses + 1', 'draws = draws + 1', 'max_win = 77777', 'bet_sum = 0', 'win_sum = 0', 'last_action_at = pg_catalog.now()', 'day = ''2030-01-01''', 'game = ''crash''']) change,
    unnest(ARRAY['2031-01-01', '2031-06-01', '2031-12-01']) day;
SELECT is(pg_temp.after('UPDATE economy.pruned_stats SET ' || change || ' WHERE user_id = {u} AND day = ''2031-06-01'''), 'missing_entry 14, parity', 'pruned_stats of one day: ' || change)
FROM unnest(ARRAY['day = ''2031-06-02''', 'game = ''crash''', 'wins = wins + 1, losses = losses - 1']) change;

-- what says which ids are known
SELECT is(pg_temp.after(damage), found, damage)
FROM (VALUES
    ('DELETE FROM economy.pruned_actions WHERE user_id = {u}', 'missing_entry, missing_entry 14'),
    ('DELETE FROM economy.pruned_actions WHERE user_id = {u} AND seq = 5', 'missing_entry, missing_entry 14'),
    ('UPDATE economy.pruned_actions SET user_id = -1 WHERE user_id = {u} AND seq = 5', 'missing_entry, missing_entry 14'),
    ('INSERT INTO economy.pruned_actions VALUES ({u}, economy_internal.action_key(''slot'', ''other''), 5)', 'missing_entry, missing_entry 14'),
    ('UPDATE economy.pruned_actions SET key = economy_internal.action_key(''slot'', ''another'') WHERE user_id = {u} AND seq = 5', 'missing_entry 14'),
    ('UPDATE economy.pruned_actions SET seq = seq + 100 WHERE user_id = {u} AND seq = 5', 'missing_entry 14'),
    ('UPDATE economy.pruned_actions SET key = economy_internal.action_key(''slot'', ''15'') WHERE user_id = {u} AND seq = 5', 'duplicate_effect 15, missing_entry 14'),
    ('UPDATE economy.pruned_actions SET key = economy_internal.action_key(''slot'', ''3'') WHERE user_id = {u} AND seq = 5', 'duplicate_effect 3, missing_entry 14'),
    ('UPDATE economy.accounts SET pruned_seq = 0 WHERE user_id = {u}', 'broken_chain 14'),
    ('UPDATE economy.accounts SET pruned_seq = 13 WHERE user_id = {u}', 'broken_chain 14'),
    ('UPDATE economy.accounts SET pruned_seq = 15 WHERE user_id = {u}', 'broken_chain 14, parity'),
    -- an id that is none must not keep the sweep from going on
    ('UPDATE economy.user_actions SET action_id = '''' WHERE user_id = {u} AND seq = 15', 'wrong_hash 15'),
    ('UPDATE economy.user_actions SET action_id = repeat(''x'', 300) WHERE user_id = {u} AND seq = 3', 'wrong_digest 3')) v (damage, found);
SELECT is_empty('SELECT * FROM economy_internal.audit_effects()', 'all of it was undone');

-- a damaged stream is left alone, and does not keep the others waiting
CREATE FUNCTION pg_temp.pruned_after(damage text, max_users int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
    before text;
BEGIN
    EXECUTE replace(damage, '{u}', pg_temp.u()::text);
    SELECT concat_ws(' ', k, pg_temp.entries(), pg_temp.sums(), pg_temp.keys()) INTO before FROM economy.stream_checkpoints k WHERE k.user_id = pg_temp.u();
    PERFORM pg_temp.at('2033-01-01 00:00+00');
    answer := pg_temp.prune('90 days', max_users);
    answer := answer || CASE WHEN before = (SELECT concat_ws(' ', k, pg_temp.entries(), pg_temp.sums(), pg_temp.keys()) FROM economy.stream_checkpoints k WHERE k.user_id = pg_temp.u())
                             THEN ', left alone' ELSE ', changed' END;
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
-- call after call until there is no more: the damaged one is tried once a day
SAVEPOINT s;
UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = :u;
SELECT pg_temp.at('2033-01-01 00:00+00');
CREATE TEMP TABLE calls AS SELECT n, p.* FROM generate_series(1, 6) n CROSS JOIN LATERAL economy.prune('90 days', 1 + 0 * n) p;
SELECT is((SELECT string_agg(concat_ws(' ', users, damaged, more), ', ' ORDER BY n) FROM calls), '1 0 t, 1 0 t, 0 1 f, 0 0 f, 0 0 f, 0 0 f',
    'one user a call, until there is no more');
SELECT is((SELECT concat_ws(' ', p.users, p.damaged, p.more) FROM economy.prune('90 days') p), '0 0 f', 'the damaged one is tried once');
SELECT pg_temp.at('2033-01-02 00:00:00+00');
SELECT is((SELECT concat_ws(' ', p.users, p.damaged, p.more) FROM economy.prune('90 days') p), '0 0 f', 'nor in the 24 hours after');
SELECT pg_temp.at('2033-01-02 00:00:01+00');
SELECT is((SELECT p.damaged FROM economy.prune('90 days') p), 1::bigint, 'and again the next day');
ROLLBACK TO s;
SELECT is(pg_temp.pruned_after('SELECT', 3), '3 3 0, changed', 'three users have actions to be pruned');
SELECT is(pg_temp.pruned_after(damage, max_users), expected, damage)
FROM (VALUES ('UPDATE economy.user_actions SET win = 7 WHERE user_id = {u} AND seq = 15', 3, '2 2 1, left alone'),
             ('UPDATE economy.gold_adjustments SET reason = ''forged'' WHERE user_id = {u} AND seq = 1', 3, '2 2 1, left alone'),
             ('UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 6', 3, '2 2 1, left alone'),
             ('UPDATE economy.stream_checkpoints SET gold = gold + 1 WHERE user_id = {u}', 3, '2 2 1, left alone'),
             ('UPDATE economy.stream_checkpoints SET links = hash WHERE user_id = {u}', 3, '2 2 1, left alone'),
             ('UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = {u}', 3, '2 2 1, left alone'),
             ('UPDATE economy.accounts SET pruned_seq = 3 WHERE user_id = {u}', 3, '2 2 1, left alone'),
             ('UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = {u}', 1, '1 0 0, left alone')) v (damage, max_users, expected);
SAVEPOINT s;
UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = :u;
SELECT is(economy_internal.prune_stream(:u, 15), NULL, 'prune_stream() has null for it');
SELECT is((SELECT pruned_seq FROM economy.accounts WHERE user_id = :u), 14::bigint, 'and does nothing');
ROLLBACK TO s;
SELECT pg_temp.exact('after all damage was undone');

-- what was noted moves to the checkpoint whole, also where XP came in between
SAVEPOINT s;
SELECT economy.register('pgtap prune noted') AS noted \gset
SELECT pg_temp.at('2033-01-01 12:00+00') AS x \gset
SELECT success AS x FROM economy.record_action(:noted, 'slot', 'T', '1') \gset
SELECT count(*) AS x FROM economy.audit_sweep_incremental() \gset
SELECT success AS x FROM economy.grant_reward(:noted, 'pgtap', 'noted', 11, 13) \gset
SELECT count(*) AS x FROM generate_series(3, 5) n, economy.record_action(:noted, 'slot', 'T', n::text) \gset
SELECT economy_internal.prune_stream(:noted, 4) AS x \gset
SELECT is((SELECT row(c.seq, c.gold, c.experience_points)::text FROM economy_internal.audit_checkpoints c WHERE user_id = :noted), '(4,11,13)', 'the state at the checkpoint is noted');
SELECT is_empty('SELECT * FROM economy.verify_chain(' || :noted || ')', 'and found to be so');
ROLLBACK TO s;

-- the cutoff itself is not older than the cutoff
SAVEPOINT s;
SELECT economy.register('pgtap prune edge') AS edge \gset
SELECT pg_temp.at('2033-02-01 12:00:00+00') AS x \gset
SELECT count(r.state) AS x FROM generate_series(1, 2) n, economy.record_action(:edge, 'slot', 'T', n::text) r \gset
SELECT pg_temp.at('2033-02-01 12:00:00.000001+00') AS x \gset
SELECT count(r.state) AS x FROM generate_series(3, 4) n, economy.record_action(:edge, 'slot', 'T', n::text) r \gset
SELECT economy.rollup_stats() AS x \gset
SELECT pg_temp.at('2033-02-03 12:00:00+00') AS x \gset
CREATE FUNCTION pg_temp.edge(u bigint) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT pruned_seq FROM economy.accounts WHERE user_id = u), (SELECT oldest_at <= economy.now() - interval '48 hours' FROM economy_internal.rollup_positions WHERE user_id = u)) $$;
SELECT count(*) AS x FROM economy.prune('48 hours', 10000) \gset
SELECT is(pg_temp.edge(:edge), '0 t', 'actions of the cutoff''s moment stay');
SELECT is((SELECT p.more FROM economy.prune('48 hours', 10000) p), false, 'and are no reason to go on');
UPDATE economy_internal.rollup_positions SET oldest_at = '-infinity' WHERE user_id = :edge;
SELECT is(pg_temp.prune('48 hours'), '0 0 0', 'who is noted as due, and has nothing that is, stops no prune, and is not counted');
SELECT is(pg_temp.edge(:edge), '0 t', 'and is noted as it is');
SELECT pg_temp.at('2033-02-03 12:00:00.000001+00') AS x \gset
SELECT count(*) AS x FROM economy.prune('48 hours', 10000) \gset
SELECT is(pg_temp.edge(:edge), '2 t', 'a microsecond later they go, and those of the new cutoff stay');
ROLLBACK TO s;

-- what is not rolled up yet stays, however old, and is not what is due next
SAVEPOINT s;
SELECT economy.register('pgtap prune unrolled') AS unrolled \gset
SELECT pg_temp.at('2033-02-01 12:00:00+00') AS x \gset
SELECT count(r.state) AS x FROM generate_series(1, 2) n, economy.record_action(:unrolled, 'slot', 'T', n::text) r \gset
SELECT economy.rollup_stats() AS x \gset
SELECT r.state AS x FROM economy.record_action(:unrolled, 'slot', 'T', '3') r \gset
SELECT pg_temp.at('2034-02-01 12:00:00+00') AS x \gset
SELECT count(*) AS x FROM economy.prune('90 days', 10000) \gset
SELECT is((SELECT string_agg(t.seq::text, ' ' ORDER BY t.seq) FROM economy.user_actions t WHERE t.user_id = :unrolled), '2 3', 'the one at the checkpoint stays, and the one that is not rolled up');
SELECT is((SELECT row(p.seq, p.oldest_at)::text FROM economy_internal.rollup_positions p WHERE p.user_id = :unrolled), '(2,)', 'of which there is nothing to note');
SELECT is_empty(format('SELECT * FROM economy.stats_parity() WHERE user_id = %s', :unrolled), 'parity');
ROLLBACK TO s;

-- the time of a day's newest action is kept, wherever in the stream it is, and whichever prune takes it
SAVEPOINT s;
SELECT economy.register('pgtap prune newest') AS newest \gset
CREATE FUNCTION pg_temp.act(u bigint, clock text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.at('2033-02-01 ' || clock || '+00');
    RETURN (SELECT r.success FROM economy.record_action(u, 'slot', 'T', clock) r);
END
$$;
SELECT count(*) AS x FROM unnest(ARRAY['12:00', '11:00', '10:30', '13:00', '12:30', '09:00']) WITH ORDINALITY c (clock, n) WHERE pg_temp.act(:newest, c.clock) \gset
SELECT economy.rollup_stats() AS x \gset
SELECT pg_temp.at('2034-02-01 12:00:00+00') AS x \gset
CREATE FUNCTION pg_temp.newest(u bigint, upto bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint := economy_internal.prune_stream(u, upto);
BEGIN
    RETURN (SELECT concat_ws(' ', n, s.total, to_char(s.last_action_at AT TIME ZONE 'UTC', 'HH24:MI')) FROM economy.pruned_stats s WHERE s.user_id = u);
END
$$;
SELECT is(pg_temp.newest(:newest, upto), kept, format('up to entry %s', upto)) FROM (VALUES (3, '2 2 12:00'), (5, '2 4 13:00'), (6, '1 5 13:00')) v (upto, kept);
SELECT is_empty(format('SELECT * FROM economy_internal.parity_of(ARRAY[%s::bigint]) WHERE source <> ''rollup_positions''', :newest), 'parity');
ROLLBACK TO s;

-- a batch: what is deleted of all users is one statement, one damaged user costs
-- nobody else, and a long stream is proved in a batch of its own
SAVEPOINT s;
SELECT pg_temp.at('2033-03-01 12:00+00') AS x \gset
CREATE TEMP TABLE crowd AS SELECT n, economy.register('pgtap prune crowd ' || n) AS u FROM generate_series(1, 12) n;
SELECT count(r.state) AS x FROM generate_series(1, 3) k, crowd c, economy.record_action(c.u, CASE k WHEN 1 THEN 'rps' ELSE 'slot' END, 'T', k::text, 0, 2) r \gset
SELECT count(*) AS x FROM economy.rollup_stats() \gset
UPDATE economy_internal.rollup_positions SET oldest_at = NULL WHERE user_id NOT IN (SELECT u FROM crowd);
SELECT pg_temp.at('2034-01-01 12:00+00') AS x \gset
CREATE FUNCTION pg_temp.parts(most integer) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(':', c.n, p.upto - a.seq), ' ' ORDER BY p.user_id) FROM economy_internal.prune_parts(economy.now() - interval '90 days', most) p JOIN crowd c ON c.u = p.user_id JOIN economy.accounts a USING (user_id) $$;
SELECT is(pg_temp.parts(3), '1:0 2:0 3:0', 'so many users as were asked for');
UPDATE economy.accounts SET seq = 99994 WHERE user_id = (SELECT u FROM crowd WHERE n = 3);
SELECT is(pg_temp.parts(5), '1:0 2:0 3:-99991', 'or as have 100000 entries');
UPDATE economy.accounts SET seq = 100000 WHERE user_id = (SELECT u FROM crowd WHERE n = 3);
SELECT is(pg_temp.parts(5), '1:0 2:0', 'and those before a long stream');
UPDATE economy_internal.rollup_positions SET oldest_at = NULL WHERE user_id IN (SELECT u FROM crowd WHERE n < 3);
SELECT is(pg_temp.parts(5), '3:-99997', 'which is alone then');
UPDATE economy.accounts SET seq = 3 WHERE user_id = (SELECT u FROM crowd WHERE n = 3);
UPDATE economy_internal.rollup_positions SET oldest_at = '2033-03-01 12:00+00' WHERE user_id IN (SELECT u FROM crowd WHERE n < 3);
SAVEPOINT long;
ALTER TABLE economy.user_actions DISABLE TRIGGER USER;
UPDATE economy.user_actions SET seq = seq + 150000 WHERE user_id = (SELECT u FROM crowd WHERE n = 1);
UPDATE economy_internal.rollup_positions SET seq = 150003 WHERE user_id = (SELECT u FROM crowd WHERE n = 1);
UPDATE economy.accounts SET seq = 150003, pruned_seq = 7 WHERE user_id = (SELECT u FROM crowd WHERE n = 1);
SELECT is(pg_temp.parts(5), '1:-49996', 'and of which 100000 entries behind its checkpoint are a batch');
ROLLBACK TO long;
UPDATE economy.accounts SET gold = gold + 1 WHERE user_id = (SELECT u FROM crowd WHERE n = 5);
DELETE FROM economy.accounts WHERE user_id = (SELECT u FROM crowd WHERE n = 7);
SELECT pg_stat_get_xact_tuples_updated('economy.installations'::regclass) AS told \gset
SELECT is((SELECT concat_ws(' ', users, actions, damaged, more) FROM economy.prune()), '10 20 2 f', 'ten of twelve users, in one batch');
SELECT is(pg_stat_get_xact_tuples_updated('economy.installations'::regclass) - :told, 1::bigint, 'by one statement');
SELECT is((SELECT string_agg(c.n || ':' || p.seq || ':' || (p.key = economy_internal.action_key(CASE p.seq WHEN 1 THEN 'rps' ELSE 'slot' END, p.seq::text)), ' ' ORDER BY c.n, p.seq) FROM crowd c JOIN economy.pruned_actions p ON p.user_id = c.u WHERE c.n > 9),
    '10:1:true 10:2:true 11:1:true 11:2:true 12:1:true 12:2:true', 'each user''s keys');
SELECT is((SELECT string_agg(DISTINCT p.game || p.total, ' ') FROM crowd c JOIN economy.pruned_stats p ON p.user_id = c.u), 'rps1 slot1', 'and sums');
SELECT is((SELECT string_agg(c.n::text, ' ' ORDER BY c.n) FROM crowd c WHERE EXISTS (SELECT FROM economy.verify_chain(c.u)) OR EXISTS (SELECT FROM economy.stats_parity() p WHERE p.user_id = c.u)), '5 7', 'only those two are damaged');
SELECT is((SELECT concat_ws(' ', users, damaged, more) FROM economy.prune()), '0 0 f', 'who is damaged or gone waits for the next day');
ROLLBACK TO s;

-- the incremental sweep, behind a checkpoint that is before or after its own
CREATE FUNCTION pg_temp.incremental(damage text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    seen   text;
    answer text;
BEGIN
    IF damage IS NOT NULL THEN
        EXECUTE damage;
    END IF;
    SELECT string_agg(DISTINCT concat_ws(' ', kind, seq), ', ') INTO seen FROM economy.audit_sweep_incremental();
    SELECT concat_ws(' ', r.users, r.entries, coalesce(seen, 'clean')) INTO answer FROM economy.audit_runs r ORDER BY run_id DESC LIMIT 1;
    IF damage IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'XT000';
    END IF;
    RETURN answer;
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT pg_temp.incremental() AS x \gset
SELECT economy.register('pgtap prune swept') AS swept \gset
SELECT pg_temp.at('2034-01-01 12:00+00') AS x \gset
SELECT count(*) AS x FROM generate_series(1, 2) n, economy.record_action(:swept, 'slot', 'T', n::text) \gset
SELECT is(pg_temp.incremental(), '1 2 clean', 'two entries are swept');
SELECT success AS x FROM economy.adjust_gold(:swept, 10, 'three', 'r', 'a') \gset
SELECT count(*) AS x FROM generate_series(4, 8) n, economy.record_action(:swept, 'slot', 'T', n::text) \gset
SELECT economy.rollup_stats() AS x \gset
SELECT pg_temp.at('2034-12-01 12:00+00') AS x \gset
SELECT economy_internal.prune_stream(:swept, 7) AS deleted \gset
SELECT is(:deleted, 4, 'four go, past the sweep''s checkpoint: 1, 4, 5 and 6');
-- its checkpoint as the documentation describes it, without the extension's code
CREATE FUNCTION pg_temp.field(v bigint) RETURNS bytea LANGUAGE sql AS $$ SELECT coalesce(E'\\x01'::bytea || int8send(v), E'\\x00') $$;
CREATE FUNCTION pg_temp.field(v bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT coalesce(E'\\x02'::bytea || int4send(length(v)) || v, E'\\x00') $$;
CREATE FUNCTION pg_temp.field(v text) RETURNS bytea LANGUAGE sql AS $$ SELECT pg_temp.field(convert_to(v, getdatabaseencoding())) $$;
CREATE FUNCTION pg_temp.entry(l economy.ledger) RETURNS bytea LANGUAGE sql AS $$
    SELECT E'\\x01'::bytea || left(l.transaction_id, 1)::bytea || pg_temp.field(l.user_id) || pg_temp.field(l.seq) || pg_temp.field(l.gold_delta) || pg_temp.field(l.xp_delta)
        || pg_temp.field(l.gold) || pg_temp.field(l.experience_points) || E'\\x01' || timestamptz_send(l.created_at) || E'\\x01' || int8send(l.xact) || pg_temp.field(l.position) || pg_temp.field(l.live::integer)
        || coalesce((SELECT pg_temp.field(a.bet) || pg_temp.field(a.win) || pg_temp.field(a.outcome) || pg_temp.field(a.game) || pg_temp.field(a.action_type) || pg_temp.field(a.action_id) || pg_temp.field(a.details::text)
                     FROM economy.user_actions a WHERE (a.user_id, a.seq) = (l.user_id, l.seq)),
                    (SELECT pg_temp.field(g.idempotency_key) || pg_temp.field(g.actor) || pg_temp.field(g.reason) FROM economy.gold_adjustments g WHERE (g.user_id, g.seq) = (l.user_id, l.seq))) $$;
CREATE FUNCTION pg_temp.hmac(message bytea, key bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT sha256(string_agg(set_byte(E'\\x00', 0, get_byte(key || decode(repeat('00', 32), 'hex'), n) # 92), ''::bytea ORDER BY n)
        || sha256(string_agg(set_byte(E'\\x00', 0, get_byte(key || decode(repeat('00', 32), 'hex'), n) # 54), ''::bytea ORDER BY n) || message)) FROM generate_series(0, 63) n $$;
WITH RECURSIVE chain (seq, links) AS (
    SELECT 0::bigint, economy_internal.identity_hash(u.user_id, u.external_id, u.timezone, u.created_at) FROM economy.users u WHERE u.user_id = :swept
    UNION ALL
    SELECT n.seq, sha256(c.links || pg_temp.entry(n.l)) FROM chain c
    CROSS JOIN LATERAL (SELECT l.seq, l FROM economy.ledger l WHERE l.user_id = :swept AND l.seq > c.seq AND l.seq <= 7 ORDER BY l.seq LIMIT 1) n (seq, l))
SELECT seq AS last, links, lag(links) OVER (ORDER BY seq) AS links_before FROM chain ORDER BY seq DESC LIMIT 1 \gset
SELECT is((SELECT links_before FROM economy.stream_checkpoints WHERE user_id = :swept), :'links_before'::bytea, 'links_before is the chain without the last of them');
SELECT is((SELECT links FROM economy.stream_checkpoints WHERE user_id = :swept), :'links'::bytea, 'links is the chain of what is left up to it');
SELECT is((SELECT k.signature FROM economy.stream_checkpoints k WHERE k.user_id = :swept),
    (SELECT pg_temp.hmac(E'\\x01' || 'C'::bytea || pg_temp.field(k.user_id) || pg_temp.field(k.seq) || pg_temp.field(k.gold) || pg_temp.field(k.experience_points) || pg_temp.field(k.hash) || pg_temp.field(k.links_before) || pg_temp.field(k.links) || pg_temp.field(k.gone) || pg_temp.field(k.gone_keys) || pg_temp.field(k.archived) || pg_temp.field(k.proved_seq) || pg_temp.field((extract(epoch FROM k.created_at - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint), s.material)
     FROM economy.stream_checkpoints k JOIN economy.signing_keys s ON s.version = k.key_version WHERE k.user_id = :swept), 'and is signed with all the rest');
SELECT is(pg_temp.incremental('UPDATE economy.gold_adjustments SET reason = ''forged'' WHERE user_id = ' || :swept), '1 1 clean', 'the mark has moved on with the prune: what is before it is for the full sweep');
SELECT is(pg_temp.incremental('UPDATE economy.user_actions SET action_type = ''X'' WHERE seq = 2 AND user_id = ' || :swept), '1 1 clean', 'also of an action');
SELECT is(pg_temp.incremental('UPDATE economy.user_actions SET action_type = ''X'' WHERE seq = 7 AND user_id = ' || :swept), '1 1 clean', 'at the checkpoint');
SELECT is(pg_temp.incremental('UPDATE economy.user_actions SET action_type = ''X'' WHERE seq = 8 AND user_id = ' || :swept), '1 1 wrong_hash 8', 'but not after it');
SELECT is(pg_temp.incremental(), '1 1 clean', 'and undamaged');
SELECT is(pg_temp.incremental(), '0 0 clean', 'nothing is left');
SELECT state AS x FROM economy.record_action(:swept, 'slot', 'T', '9') \gset
SELECT is(pg_temp.incremental('UPDATE economy.user_actions SET action_type = ''X'' WHERE seq = 9 AND user_id = ' || :swept), '1 1 wrong_hash 9', 'a new entry, behind both');
SELECT is(pg_temp.incremental('UPDATE economy.stream_checkpoints SET links = hash WHERE user_id = ' || :swept), '1 1 wrong_signature 7', 'with a damaged checkpoint');
SELECT is(pg_temp.incremental('UPDATE economy.accounts SET pruned_seq = 0 WHERE user_id = ' || :swept), '1 1 broken_chain 7', 'or one that the account does not know');
SELECT is(pg_temp.incremental('UPDATE economy_internal.audit_checkpoints SET seq = 2 WHERE user_id = ' || :swept), '1 5 wrong_mark 2', 'and a note that is not behind it is looked at from the begin');
SELECT is(pg_temp.incremental('UPDATE economy.gold_adjustments SET reason = ''forged'' WHERE user_id = ' || :swept), '1 1 clean', 'old entries are for the full sweep');
SELECT is((SELECT count(*) FROM economy.verify_chain(:swept)), 0::bigint, 'which is clean');
SELECT is(pg_temp.incremental(), '1 1 clean', 'it goes on where it was');

-- many prunes of one stream: it is proved as a whole once, and each of them proves
-- what it goes on by
SELECT pg_temp.at('2035-01-01 12:00+00') AS x \gset
SELECT economy.register('pgtap prune parted') AS parted \gset
SELECT success AS x FROM economy.adjust_gold(:parted, 100, 'open', 'r', 'a') \gset
SELECT count(r.state) AS x FROM generate_series(1, 4) n, economy.record_action(:parted, 'slot', 'T', n::text, 1, 1) r \gset
SELECT success AS x FROM economy.adjust_gold(:parted, 1, 'six', 'r', 'a') \gset
SELECT count(r.state) AS x FROM generate_series(7, 16) n, economy.record_action(:parted, 'slot', 'T', n::text, 1, 1) r \gset
SELECT pg_temp.at('2035-12-01 12:00+00') AS x \gset
SELECT is(economy_internal.prune_stream(:parted, 4), 2::bigint, 'a part: G1 A4 A5 G6 and what follows are left');
SELECT is((SELECT row(seq, proved_seq)::text FROM economy.stream_checkpoints WHERE user_id = :parted), '(4,16)', 'all of it was proved');
CREATE FUNCTION pg_temp.parted(damage text, VARIADIC prunes bigint[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    who    CONSTANT bigint := economy.user_id_of('pgtap prune parted');
    answer text;
BEGIN
    EXECUTE replace(damage, '{u}', who::text);
    SELECT string_agg(coalesce(economy_internal.prune_stream(who, p.seq)::text, 'left alone'), ' ' ORDER BY n) INTO answer FROM unnest(prunes) WITH ORDINALITY p (seq, n);
    answer := concat_ws(': ', answer, (SELECT string_agg(DISTINCT kind || ' ' || seq, ', ') FROM economy.verify_chain(who)));
    RAISE EXCEPTION USING ERRCODE = 'XT000';
EXCEPTION WHEN SQLSTATE 'XT000' THEN
    RETURN answer;
END
$$;
SELECT is(pg_temp.parted('SELECT', 5, 6, 7, 12, 16), '1 0 0 5 4', 'part after part, the last entry of each goes with the next, unless another journal''s follows');
SELECT is(pg_temp.parted('SELECT', 16), '10', 'as with one');
SELECT is(pg_temp.parted(damage, 7, 12), answer, damage)
FROM (VALUES -- what a prune goes on by
    ('UPDATE economy.user_actions SET action_type = ''X'' WHERE user_id = {u} AND seq = 4', 'left alone left alone: broken_chain 4'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 4', 'left alone left alone: missing_entry 4'),
    ('UPDATE economy.gold_adjustments SET reason = ''forged'' WHERE user_id = {u} AND seq = 6', 'left alone left alone: wrong_hash 6'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 5', 'left alone left alone: missing_entry 5'),
    ('UPDATE economy.user_actions SET win = 7 WHERE user_id = {u} AND seq = 10', '1 left alone: wrong_hash 10'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 7', 'left alone left alone: missing_entry 7'),
    ('DELETE FROM economy.user_actions WHERE user_id = {u} AND seq = 12', '1 left alone: missing_entry 12'),
    ('UPDATE economy.pruned_stats SET total = total + 1 WHERE user_id = {u}', 'left alone left alone: missing_entry 4'),
    ('UPDATE economy.stream_checkpoints SET links_before = links WHERE user_id = {u}', 'left alone left alone: wrong_signature 4'),
    ('UPDATE economy.accounts SET pruned_seq = 3 WHERE user_id = {u}', 'left alone left alone: broken_chain 4'),
    -- what an audit noted: behind the part, at its end, within it, at the last checkpoint and before it
    ('INSERT INTO economy_internal.audit_checkpoints SELECT user_id, seq, gold, experience_points, hash FROM economy.ledger WHERE user_id = {u} AND seq = 16', '1 5'),
    ('INSERT INTO economy_internal.audit_checkpoints SELECT user_id, seq, gold, experience_points, hash FROM economy.ledger WHERE user_id = {u} AND seq = 12', '1 5'),
    ('INSERT INTO economy_internal.audit_checkpoints SELECT user_id, seq, gold, experience_points, hash FROM economy.ledger WHERE user_id = {u} AND seq = 7', '1 5'),
    ('INSERT INTO economy_internal.audit_checkpoints SELECT user_id, seq, gold, experience_points, hash FROM economy.ledger WHERE user_id = {u} AND seq = 4', '1 5'),
    ('INSERT INTO economy_internal.audit_checkpoints SELECT user_id, seq, gold, experience_points, hash FROM economy.ledger WHERE user_id = {u} AND seq = 1', '1 5'),
    ('INSERT INTO economy_internal.audit_checkpoints SELECT user_id, seq, gold + 1, experience_points, hash FROM economy.ledger WHERE user_id = {u} AND seq = 12', '1 left alone: wrong_mark 12'),
    ('INSERT INTO economy_internal.audit_checkpoints SELECT user_id, seq, gold + 1, experience_points, hash FROM economy.ledger WHERE user_id = {u} AND seq = 7', 'left alone left alone: wrong_mark 7'),
    ('INSERT INTO economy_internal.audit_checkpoints SELECT user_id, seq, gold + 1, experience_points, hash FROM economy.ledger WHERE user_id = {u} AND seq = 16', '1 5: wrong_mark 16'),
    ('INSERT INTO economy_internal.audit_checkpoints SELECT user_id, seq, gold + 1, experience_points, hash FROM economy.ledger WHERE user_id = {u} AND seq = 4', '1 5'),
    -- what it does not read it does not sign either
    ('UPDATE economy.gold_adjustments SET reason = ''forged'' WHERE user_id = {u} AND seq = 1', '1 5: wrong_hash 1'),
    ('UPDATE economy.pruned_actions SET key = economy_internal.action_key(''slot'', ''forged'') WHERE user_id = {u} AND seq = 3', '1 5: missing_entry 12'),
    ('DELETE FROM economy.pruned_actions WHERE user_id = {u} AND seq = 3', '1 5: missing_entry 12'),
    ('UPDATE economy.user_actions SET win = 7 WHERE user_id = {u} AND seq = 15', '1 5: wrong_hash 15')) v (damage, answer);
SAVEPOINT s;
SELECT is(economy_internal.prune_stream(:parted, 16), 10::bigint, 'the rest');
SELECT count(r.state) AS x FROM generate_series(17, 18) n, economy.record_action(:parted, 'slot', 'T', n::text, 1, 1) r \gset
SELECT is(pg_temp.parted('UPDATE economy.gold_adjustments SET reason = ''forged'' WHERE user_id = {u} AND seq = 1', 17), 'left alone: wrong_hash 1', 'behind what was proved all of it is proved again');
SELECT is(pg_temp.parted('SELECT', 17, 18), '1 1', 'and is sound');
ROLLBACK TO s;
-- a row that a trigger keeps is not signed as gone, whatever its function is called
CREATE FUNCTION pg_temp.forbid_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN OLD.seq <> 9 THEN OLD END; END $$;
CREATE TRIGGER pgtap_keep BEFORE DELETE ON economy.user_actions FOR EACH ROW EXECUTE FUNCTION pg_temp.forbid_change();
SELECT throws_ok(format('SELECT economy_internal.prune_stream(%s, 12)', :parted), 'XE103', 'a write to economy.user_actions changed 0 rows instead of one', 'a trigger that keeps an action');
DROP TRIGGER pgtap_keep ON economy.user_actions;
SAVEPOINT s;
CREATE RULE pgtap_keep AS ON DELETE TO economy.user_actions DO INSTEAD NOTHING;
SELECT throws_ok(format('SELECT economy_internal.prune_stream(%s, 12)', :parted), '0A000', NULL, 'a rule that does');
ROLLBACK TO s;
-- nor one that somebody refers to, or whose end a subscriber could not be told of
CREATE TABLE pgtap_reference (user_id bigint, seq bigint, FOREIGN KEY (user_id, seq) REFERENCES economy.user_actions);
INSERT INTO pgtap_reference VALUES (:parted, 9);
SELECT throws_ok(format('SELECT economy_internal.prune_stream(%s, 12)', :parted), '23503', NULL, 'a foreign key to an action');
ROLLBACK TO s;
SET LOCAL client_min_messages = error;
CREATE PUBLICATION pgtap_actions FOR TABLE economy.user_actions;
SELECT format('ALTER TABLE %s REPLICA IDENTITY NOTHING', t) FROM (SELECT 'economy.user_actions'::regclass UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = 'economy.user_actions'::regclass) p (t) \gexec
SELECT throws_ok(format('SELECT economy_internal.prune_stream(%s, 12)', :parted), '55000', NULL, 'a publication of deletes without a replica identity');
ROLLBACK TO s;
-- a trigger of the DBA is told
CREATE TEMP TABLE told (n bigint);
CREATE FUNCTION pg_temp.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told SELECT count(*) FROM gone; RETURN NULL; END $$;
CREATE TRIGGER pgtap_tell AFTER DELETE ON economy.user_actions REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.tell();
SELECT economy_internal.prune_stream(:parted, 12) AS x \gset
SELECT is((SELECT sum(n) FROM told), 6::numeric, 'a statement trigger hears of all of them');
ROLLBACK TO s;
-- in a child of the journal rows lie where others lie in the journal
SELECT count(*) AS others FROM economy.user_actions WHERE user_id <> :parted \gset
SELECT economy_internal.is_spread('economy.user_actions') AS spread \gset
\if :spread
\else
CREATE TABLE pgtap_child () INHERITS (economy.user_actions);
WITH moved AS (DELETE FROM ONLY economy.user_actions WHERE user_id = :parted RETURNING *) INSERT INTO pgtap_child SELECT * FROM moved;
SELECT is(economy_internal.prune_stream(:parted, 12), 6::bigint, 'rows of a child');
SELECT is((SELECT count(*) FROM economy.user_actions WHERE user_id <> :parted), :others::bigint, 'and no others');
SELECT is_empty('SELECT * FROM economy.verify_chain(' || :parted || ')', 'which proves');
ROLLBACK TO s;
\endif

-- what is signed of a game is its name, however a row stores it
SAVEPOINT s;
SELECT economy.register('pgtap prune stored') AS stored \gset
SELECT economy.register_game(repeat('stored', 10)) AS x \gset
SELECT count(r.state) AS x FROM generate_series(1, 3) n, LATERAL economy.record_action(:stored, repeat('stored', 10), 'T', n::text) r \gset
SELECT is(economy_internal.prune_stream(:stored, 3), 2::bigint, 'a game with a long name');
ALTER TABLE economy.pruned_stats ADD COLUMN of_dba text, ALTER COLUMN of_dba SET STORAGE PLAIN;
UPDATE economy.pruned_stats SET of_dba = repeat('x', 2500) WHERE user_id = :stored;
SELECT is((SELECT pg_column_size(s.game) < length(s.game) FROM economy.pruned_stats s WHERE s.user_id = :stored), true, 'is compressed beside a long column of the DBA');
SELECT is_empty('SELECT * FROM economy.verify_chain(' || :stored || ')', 'and proves');
ROLLBACK TO s;

-- one user with many actions that are due: twice as many are twice as much work
CREATE FUNCTION pg_temp.pages(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || statement INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END
$$;
CREATE FUNCTION pg_temp.pages_of_prunes(actions integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    who   bigint := economy.register('pgtap prune ' || actions);
    pages bigint := 0;
BEGIN
    -- every thirtieth entry is of another journal, and stays. In batches: the versions that
    -- an account leaves in one transaction are nobody's to remove, and each look passes them
    FOR n IN 1 .. actions / 10 LOOP
        PERFORM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', who, 'game', 'slot', 'action_type', 'T', 'action_id', n || '-' || i))
            FROM generate_series(1, 29) i)), economy.grant_reward(who, 'pgtap', n::text, 0, 1);
    END LOOP;
    FOR n IN 1 .. actions / 50 LOOP
        pages := pages + pg_temp.pages(format('SELECT economy_internal.prune_stream(%s, %s)', who, n * 150));
    END LOOP;
    RETURN pages;
END
$$;
SELECT pg_temp.pages_of_prunes(400) AS x \gset
SELECT pg_temp.pages_of_prunes(401) AS one \gset
SELECT pg_temp.pages_of_prunes(802) AS two \gset
SELECT pg_temp.pages_of_prunes(1604) AS four \gset
-- as in growth.sql: n log n is the bound, what is deleted stays in the indexes until the end
SELECT cmp_ok(:four::numeric, '<=', round(4 * :one * ln(1600.0) / ln(400.0)) + 50, format('pages of 400, 800 and 1600 actions in parts of 50: %s, %s, %s', :one, :two, :four));
SELECT cmp_ok(:one, '>', 100, 'which are some');

-- statistics of a moment when the journal looked empty, beside a load that had not committed
-- or after a mass delete, make every index seem as cheap as another: a prune reads no more
SELECT pg_temp.at('2036-01-01 12:00+00') AS x \gset
CREATE FUNCTION pg_temp.play_many(who bigint, actions integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', who, 'game', 'slot', 'action_type', 'T', 'action_id', i::text)) FROM generate_series(1, actions) i)) $$;
SELECT pg_temp.play_many(economy.register('pgtap prune beside'), 8000) AS x \gset
CREATE TEMP TABLE looked AS SELECT n, economy.register('pgtap prune looked ' || n) AS u FROM generate_series(1, 12) n;
SELECT sum(pg_temp.play_many(u, 60)) AS x FROM looked \gset
CREATE FUNCTION pg_temp.pages_when(way text, tuples bigint, after integer) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('economy.row_access', way, true);
    UPDATE pg_class SET relpages = pg_relation_size(oid) / 8192, reltuples = tuples WHERE oid = 'economy.user_actions'::regclass;
    -- the first one fills caches
    RETURN (SELECT min(pg_temp.pages(format('SELECT economy_internal.prune_stream(%s, 41)', u))) FROM looked WHERE n IN (after + 1, after + 2, after + 3));
END
$$;
-- users of other partitions have other caches
\if :spread
\else
SELECT count(*) AS actions FROM economy.user_actions \gset
SELECT cmp_ok(p.empty, '<=', p.counted + p.counted / 10 + 10, format('pages of a prune by %s rows: %s, and %s when the journal looked empty', p.way, p.counted, p.empty))
FROM (SELECT w.way, pg_temp.pages_when(w.way, :actions, w.after) AS counted, pg_temp.pages_when(w.way, 0, w.after + 3) AS empty FROM (VALUES ('auto', 0), ('sql', 6)) w (way, after)) p;
SELECT is((SELECT count(*) FROM economy.pruned_actions p JOIN looked l ON l.u = p.user_id), 12 * 40::bigint, 'each took forty actions');
\endif
-- as many as there are: rows are written some at a time
SELECT economy.register('pgtap prune many') AS many \gset
SELECT pg_temp.at('2031-01-03 12:00+00') AS x \gset
SELECT is((SELECT count(*) FROM economy.record_actions((SELECT jsonb_agg(jsonb_build_object('user_id', :many, 'game', 'slot', 'action_type', 'T', 'action_id', 'm' || n, 'bet', 0, 'win', n)) FROM generate_series(1, 200) n)) r WHERE r.state = 'new'), 200::bigint, 'two hundred actions');
SELECT pg_temp.at('2031-06-12 00:00+00') AS x \gset
SELECT is(economy_internal.prune_streams(ARRAY[:many]::bigint[], ARRAY[200]::bigint[]), ARRAY[199]::bigint[], 'all of them go but the last');
SELECT is((SELECT count(*) FROM economy.user_actions a WHERE a.user_id = :many) || ' ' || (SELECT count(*) FROM economy.pruned_actions p WHERE p.user_id = :many) || ' ' || (SELECT sum(p.total) FROM economy.pruned_stats p WHERE p.user_id = :many), '1 199 199', 'each is gone, and known');
SELECT is((SELECT string_agg(DISTINCT r.code, ' ') FROM generate_series(1, 199) n, economy.record_action(:many, 'slot', 'T', 'm' || n, 0, n) r), 'RESYNC_REQUIRED', 'and none is counted again');
SELECT * FROM finish();
ROLLBACK;
