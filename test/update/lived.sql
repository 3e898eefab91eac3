-- A database of an older release in which a DBA has worked: what must be as it was after an
-- update stands in lived_after.sql.
SELECT FROM economy.seed_demo();
CREATE TABLE seen (who text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (TG_NAME); RETURN NEW; END $$;
CREATE TRIGGER always AFTER UPDATE ON economy.shop_products FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER origin BEFORE UPDATE ON economy.shop_products FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER replica AFTER UPDATE ON economy.shop_products FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER never AFTER UPDATE ON economy.shop_products FOR EACH ROW EXECUTE FUNCTION see();
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON economy.shop_products DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see();
ALTER TABLE economy.shop_products ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica, DISABLE TRIGGER never, ENABLE ALWAYS TRIGGER late;
ALTER TABLE economy.shop_products ADD COLUMN dba_note text;
ALTER TABLE economy.games ADD COLUMN dba_note text;
CREATE FUNCTION takes(p economy.shop_products) RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT p.product_id; END;
CREATE TABLE keeps (p economy.shop_products);
-- behind the history
SET session_replication_role = replica;
ALTER TABLE economy.shop_products DISABLE TRIGGER USER;
UPDATE economy.shop_products SET price_gold = 1 WHERE product_id = 'sword';
ALTER TABLE economy.shop_products ENABLE TRIGGER USER, ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica, DISABLE TRIGGER never, ENABLE ALWAYS TRIGGER late;
