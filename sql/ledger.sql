-- The ledger: adjustments, the ledger view, the append-only journals.
SET client_min_messages = warning;
SELECT economy.register('regress ledger') AS u \gset
SELECT success, state, code, gold_delta, gold, detail FROM economy.adjust_gold(:u, 100, 'a1', 'welcome', 'ann');
SELECT success, state, code, gold_delta, gold, detail FROM economy.adjust_gold(:u, 100, 'a1', 'welcome', 'ann');
SELECT success, state, code, gold_delta, gold, detail FROM economy.adjust_gold(:u, 101, 'a1', 'welcome', 'ann');
SELECT success, state, code, gold_delta, gold, detail FROM economy.adjust_gold(:u, -101, 'a2', 'fine', 'ann');
SELECT success, state, code, gold_delta, gold, detail FROM economy.adjust_gold(:u, 9007199254740991, 'a3', 'gift', 'ann');
SELECT success, state, code, gold_delta, gold, detail FROM economy.adjust_gold(:u, -40, 'a4', 'fine', 'ann');
SELECT success, state, code, gold_delta, gold, detail FROM economy.adjust_gold(-1, 1, 'a5', 'gift', 'ann');
SELECT economy.adjust_gold(:u, 1, NULL, 'gift', 'ann');
SELECT economy.adjust_gold(:u, 0, 'a6', 'gift', 'ann');
SELECT economy.adjust_gold(:u, 1, repeat('k', 256), 'gift', 'ann');
\set VERBOSITY sqlstate
SELECT economy.adjust_gold(:u, 1, '', 'gift', 'ann');
\set VERBOSITY default

-- the stream
SELECT seq, journal, replace(transaction_id, :'u', 'U') AS transaction_id, gold_delta, xp_delta, gold, experience_points, octet_length(hash) AS hash
FROM economy.ledger WHERE user_id = :u ORDER BY seq;
SELECT seq, journal, gold_delta, gold FROM economy.statement(:u);
SELECT gold, experience_points, seq FROM economy.account(:u);
SELECT seq, idempotency_key, actor, reason FROM economy.gold_adjustments WHERE user_id = :u ORDER BY seq;
SELECT * FROM economy.verify_chain(:u);

-- append-only
UPDATE economy.gold_adjustments SET gold = 0 WHERE false;
DELETE FROM economy.gold_adjustments;
TRUNCATE economy.shop_transactions;
SET session_replication_role = replica;
DELETE FROM economy.shop_transactions WHERE false;
RESET session_replication_role;
\set VERBOSITY sqlstate
DROP EXTENSION economy;
\set VERBOSITY default

-- a flipped byte is found
BEGIN;
ALTER TABLE economy.gold_adjustments DISABLE TRIGGER gold_adjustments_append_only;
UPDATE economy.gold_adjustments SET reason = 'Welcome' WHERE user_id = :u AND seq = 1;
SELECT kind, replace(entry, :'u', 'U') AS entry, seq FROM economy.verify_chain(:u);
ROLLBACK;
SELECT * FROM economy.verify_chain(:u);
