-- Access levels, as roles that have them.
\set VERBOSITY terse
\pset footer off
SET client_min_messages = warning;
CREATE ROLE regress_economy_app;
CREATE ROLE regress_economy_admin;
CREATE ROLE regress_economy_monitor;
CREATE ROLE regress_economy_nobody;
SELECT economy.register('regress access') AS u \gset
SELECT success FROM economy.adjust_gold(:u, 100, 'open', 'opening balance', 'ann');
SELECT product_id FROM economy.upsert_product('{"product_id": "access_key", "category": "item", "price_gold": 10}', 'ann');
SELECT economy.grant_access('regress_economy_app', 'app');
SELECT economy.grant_access('regress_economy_admin', 'admin');
SELECT economy.grant_access('regress_economy_monitor', 'monitor');
SELECT economy.grant_access('regress_economy_app', 'owner');
SELECT economy.grant_access('regress_economy_none', 'app');

SET ROLE regress_economy_app;
SELECT state, gold FROM economy.purchase(:u, 'access_key', 'k1');
SELECT gold, seq FROM economy.account(:u);
SELECT reason FROM economy.verify_receipt(:u, 'P' || :u || '-2');
SELECT economy.adjust_gold(:u, 100, 'k', 'r', 'a');
SELECT economy.grant_access('regress_economy_app', 'admin');
SELECT economy.rotate_signing_key();
SELECT material FROM economy.signing_keys;
SELECT gold FROM economy.accounts;
UPDATE economy.accounts SET gold = 1000000;
INSERT INTO economy.shop_transactions DEFAULT VALUES;
SELECT * FROM economy.ledger;
SELECT nextval('economy.user_id_seq');
SET economy.test_clock = '2031-01-31 12:00:00+00';

SET ROLE regress_economy_admin;
SELECT state, gold FROM economy.adjust_gold(:u, 5, 'k', 'r', 'a');
SELECT gold FROM economy.accounts;
SELECT material FROM economy.signing_keys;

SET ROLE regress_economy_monitor;
SELECT count(*) FROM economy.verify_chain(:u);
SELECT economy.purchase(:u, 'access_key', 'k2');
SELECT gold FROM economy.accounts;

SET ROLE regress_economy_nobody;
SELECT gold FROM economy.account(:u);

RESET ROLE;
SELECT economy.revoke_access('regress_economy_app', 'app');
SELECT economy.revoke_access('regress_economy_admin', 'admin');
SELECT economy.revoke_access('regress_economy_monitor', 'monitor');
SET ROLE regress_economy_app;
SELECT economy.purchase(:u, 'access_key', 'k1');
RESET ROLE;
DROP ROLE regress_economy_app, regress_economy_admin, regress_economy_monitor, regress_economy_nobody;
