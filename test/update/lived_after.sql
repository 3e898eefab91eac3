-- Prints what an update has changed that it must not.
SELECT 'a trigger saw it', who FROM seen;
SELECT 'a trigger is in another mode', tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'economy.shop_products'::regclass AND NOT tgisinternal
AND (tgname, tgenabled) NOT IN (('always', 'A'), ('origin', 'O'), ('replica', 'R'), ('never', 'D'), ('late', 'A'));
SELECT 'a finding', f FROM economy.audit_sweep() f WHERE f.expected NOT LIKE 'shop_products sword:%';
SELECT 'none about what was changed behind the history' WHERE NOT EXISTS (SELECT FROM economy.audit_sweep() f WHERE f.expected LIKE 'shop_products sword:%');
UPDATE economy.shop_products SET dba_note = 'mine' WHERE product_id = 'shield';
UPDATE economy.games SET dba_note = 'mine';
SELECT 'a column of the DBA is configuration', f FROM economy.audit_sweep() f WHERE f.expected NOT LIKE 'shop_products sword:%';
SELECT 'takes', takes(p) FROM economy.shop_products p WHERE takes(p) <> product_id;
ALTER TABLE economy.shop_products DROP COLUMN dba_note;
ALTER TABLE economy.games DROP COLUMN dba_note;
SELECT 'the history', c FROM economy.config_changes c WHERE c.actor LIKE 'economy %';
