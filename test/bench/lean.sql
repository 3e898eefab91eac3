-- The lean peers of economy's calls: what a user would write himself in ten lines of
-- PL/pgSQL.  A balance, a row per call under a unique key, and nothing else: no chain,
-- no signature, no answer to a repeated key (it is an error), no limits, no events, no
-- checks beyond the balance.  What economy does more than these has to cost nothing.
-- psql variable: users

SET client_min_messages = warning;
SET synchronous_commit = off;

CREATE SCHEMA lean;

CREATE TABLE lean.accounts (
    user_id bigint PRIMARY KEY,
    gold    bigint NOT NULL CHECK (gold >= 0),
    xp      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_enabled = off);
INSERT INTO lean.accounts SELECT n, 1000000000 FROM generate_series(1, :users + :users / 4) n;

CREATE TABLE lean.products (product_id text PRIMARY KEY, price bigint NOT NULL);
INSERT INTO lean.products VALUES ('item', 15), ('bundle', 15);
CREATE TABLE lean.contents (product_id text, item text, quantity bigint NOT NULL, PRIMARY KEY (product_id, item));
INSERT INTO lean.contents VALUES ('bundle', 'gem', 5), ('bundle', 'key', 1), ('bundle', 'vip', 60);

-- a page of a shop: what purchase() would say needs a count of what was bought of each
CREATE TABLE lean.page (
    product_id text PRIMARY KEY, price bigint NOT NULL, per_user_limit integer, "position" integer NOT NULL, tags text[] NOT NULL, texts jsonb NOT NULL
);
INSERT INTO lean.page
SELECT 'page' || n, 10 * n, CASE WHEN n % 2 = 0 THEN 5 END, n, '{page}', jsonb_build_object('en', jsonb_build_object('name', 'Thing ' || n)) FROM generate_series(1, 20) n;
CREATE TABLE lean.stock (product_id text PRIMARY KEY, remaining bigint NOT NULL);
INSERT INTO lean.stock SELECT 'page' || n, 1000 FROM generate_series(1, 16, 5) n;

-- a leaderboard: a score a user, and an index
CREATE TABLE lean.scores (user_id bigint PRIMARY KEY, score bigint NOT NULL);
INSERT INTO lean.scores SELECT n, n::bigint * 7919 % 100003 FROM generate_series(1, :users) n;
CREATE INDEX ON lean.scores (score DESC, user_id);

-- the leanest journal there is: what an INSERT costs
CREATE TABLE lean.log (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL,
    gold    bigint NOT NULL,
    key     text   NOT NULL
) WITH (autovacuum_enabled = off);

CREATE TABLE lean.purchases (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL,
    product_id text   NOT NULL,
    key        text   NOT NULL,
    gold       bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, product_id, key)
) WITH (autovacuum_enabled = off);

CREATE TABLE lean.rewards (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL,
    source     text   NOT NULL,
    event      text   NOT NULL,
    gold       bigint NOT NULL,
    xp         bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, source, event)
) WITH (autovacuum_enabled = off);

CREATE TABLE lean.holdings (
    user_id  bigint NOT NULL,
    item     text   NOT NULL,
    quantity bigint NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (user_id, item)
) WITH (fillfactor = 50, autovacuum_enabled = off);
INSERT INTO lean.holdings SELECT n, i, 1000000000 FROM generate_series(:users + 1, :users + :users / 4) n, unnest(ARRAY['gem', 'key', 'vip']) i;
CREATE TABLE lean.chest (upto bigint PRIMARY KEY, prize text NOT NULL, gold bigint NOT NULL, item text NOT NULL, quantity bigint NOT NULL);
INSERT INTO lean.chest SELECT sum(i * i) OVER (ORDER BY i), 'prize ' || i, i, CASE WHEN i < 5 THEN 'gem' ELSE 'key' END, 11 - i FROM generate_series(1, 10) i;
CREATE TABLE lean.transfers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL,
    key        text   NOT NULL,
    to_user_id bigint NOT NULL,
    gold       bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, key)
) WITH (autovacuum_enabled = off);
CREATE TABLE lean.uses (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL,
    key        text   NOT NULL,
    item       text   NOT NULL,
    quantity   bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, key)
) WITH (autovacuum_enabled = off);

CREATE TABLE lean.actions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint NOT NULL,
    game       text   NOT NULL,
    action_id  text   NOT NULL,
    bet        bigint NOT NULL,
    win        bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, game, action_id)
) WITH (autovacuum_enabled = off);

CREATE TABLE lean.stats (
    user_id bigint NOT NULL,
    game    text   NOT NULL,
    total   bigint NOT NULL,
    wins    bigint NOT NULL,
    bet_sum bigint NOT NULL,
    win_sum bigint NOT NULL,
    PRIMARY KEY (user_id, game)
) WITH (fillfactor = 70, autovacuum_enabled = off);

CREATE TABLE lean.streaks (
    user_id    bigint PRIMARY KEY,
    day        integer NOT NULL,
    claimed_on date NOT NULL
) WITH (fillfactor = 70, autovacuum_enabled = off);

CREATE FUNCTION lean.purchase(p_user bigint, p_product text, p_key text) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    cost bigint;
    left_over bigint;
BEGIN
    SELECT p.price INTO STRICT cost FROM lean.products p WHERE p.product_id = p_product;
    UPDATE lean.accounts a SET gold = a.gold - cost WHERE a.user_id = p_user AND a.gold >= cost
        RETURNING a.gold INTO STRICT left_over;
    INSERT INTO lean.purchases (user_id, product_id, key, gold) VALUES (p_user, p_product, p_key, -cost);
    RETURN left_over;
END
$$;

-- a batch of them: the same in a loop
CREATE FUNCTION lean.purchases(p_users bigint[], p_products text[], p_keys text[]) RETURNS SETOF bigint
    LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(p_users) LOOP
        RETURN NEXT lean.purchase(p_users[i], p_products[i], p_keys[i]);
    END LOOP;
END
$$;

CREATE FUNCTION lean.grant_reward(p_user bigint, p_source text, p_event text, p_gold bigint, p_xp bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    balance bigint;
BEGIN
    UPDATE lean.accounts a SET gold = a.gold + p_gold, xp = a.xp + p_xp WHERE a.user_id = p_user
        RETURNING a.gold INTO STRICT balance;
    INSERT INTO lean.rewards (user_id, source, event, gold, xp) VALUES (p_user, p_source, p_event, p_gold, p_xp);
    RETURN balance;
END
$$;

-- a product that gives three items
CREATE FUNCTION lean.purchase_bundle(p_user bigint, p_product text, p_key text) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    left_over bigint := lean.purchase(p_user, p_product, p_key);
BEGIN
    INSERT INTO lean.holdings AS h SELECT p_user, c.item, c.quantity FROM lean.contents c WHERE c.product_id = p_product
        ON CONFLICT (user_id, item) DO UPDATE SET quantity = h.quantity + excluded.quantity;
    RETURN left_over;
END
$$;

CREATE FUNCTION lean.consume(p_user bigint, p_item text, p_key text) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    left_over bigint;
BEGIN
    UPDATE lean.holdings h SET quantity = h.quantity - 1
        WHERE h.user_id = p_user AND h.item = p_item AND h.quantity >= 1 RETURNING h.quantity INTO STRICT left_over;
    INSERT INTO lean.uses (user_id, key, item, quantity) VALUES (p_user, p_key, p_item, 1);
    RETURN left_over;
END
$$;

-- random() of the server: no seed, no pity, nothing that anybody could check
CREATE FUNCTION lean.draw(p_user bigint, p_table text, p_key text, p_client_seed text) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    won lean.chest;
BEGIN
    SELECT * INTO STRICT won FROM lean.chest c WHERE c.upto > floor(random() * 385) ORDER BY c.upto LIMIT 1;
    UPDATE lean.accounts a SET gold = a.gold - 1 + won.gold WHERE a.user_id = p_user;
    UPDATE lean.holdings h SET quantity = h.quantity + won.quantity WHERE h.user_id = p_user AND h.item = won.item;
    INSERT INTO lean.uses (user_id, key, item, quantity) VALUES (p_user, p_key, won.item, won.quantity);
    RETURN won.prize;
END
$$;

-- the lesser account first, as everybody must who does not want to meet in a deadlock
CREATE FUNCTION lean.transfer(p_from bigint, p_to bigint, p_key text, p_gold bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    balance bigint;
BEGIN
    PERFORM FROM lean.accounts a WHERE a.user_id = least(p_from, p_to) FOR NO KEY UPDATE;
    UPDATE lean.accounts a SET gold = a.gold - p_gold WHERE a.user_id = p_from AND a.gold >= p_gold
        RETURNING a.gold INTO STRICT balance;
    UPDATE lean.accounts a SET gold = a.gold + p_gold WHERE a.user_id = p_to;
    INSERT INTO lean.transfers (user_id, key, to_user_id, gold) VALUES (p_from, p_key, p_to, p_gold);
    RETURN balance;
END
$$;

CREATE FUNCTION lean.grant_rewards(p_users bigint[], p_sources text[], p_events text[], p_gold bigint[], p_xp bigint[])
    RETURNS SETOF bigint
    LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(p_users) LOOP
        RETURN NEXT lean.grant_reward(p_users[i], p_sources[i], p_events[i], p_gold[i], p_xp[i]);
    END LOOP;
END
$$;

-- one zone for all, no grace; a second claim of the day is the unique key's error
CREATE FUNCTION lean.claim_daily_reward(p_user bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    today   date := (economy.now() AT TIME ZONE 'UTC')::date;
    run     integer;
    balance bigint;
BEGIN
    INSERT INTO lean.streaks AS s VALUES (p_user, 1, today)
        ON CONFLICT (user_id) DO UPDATE SET claimed_on = today,
            day = CASE WHEN s.claimed_on = today - 1 THEN s.day + 1 ELSE 1 END
        RETURNING s.day INTO run;
    UPDATE lean.accounts a SET gold = a.gold + 1000 + 200 * (run - 1), xp = a.xp + 50 + 25 * (run - 1)
        WHERE a.user_id = p_user RETURNING a.gold INTO STRICT balance;
    INSERT INTO lean.rewards (user_id, source, event, gold, xp)
        VALUES (p_user, 'daily', today::text, 1000 + 200 * (run - 1), 50 + 25 * (run - 1));
    RETURN balance;
END
$$;

CREATE FUNCTION lean.record_action(p_user bigint, p_game text, p_type text, p_action text, p_bet bigint, p_win bigint)
    RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    balance bigint;
BEGIN
    UPDATE lean.accounts a SET gold = a.gold + p_win - p_bet WHERE a.user_id = p_user AND a.gold >= p_bet
        RETURNING a.gold INTO STRICT balance;
    INSERT INTO lean.actions (user_id, game, action_id, bet, win) VALUES (p_user, p_game, p_action, p_bet, p_win);
    INSERT INTO lean.stats AS s VALUES (p_user, p_game, 1, (p_win > p_bet)::integer, p_bet, p_win)
        ON CONFLICT (user_id, game) DO UPDATE SET total = s.total + 1, wins = s.wins + excluded.wins,
            bet_sum = s.bet_sum + p_bet, win_sum = s.win_sum + p_win;
    RETURN balance;
END
$$;

CREATE UNLOGGED TABLE lean.rates (subject text PRIMARY KEY, full_at timestamptz NOT NULL) WITH (fillfactor = 70);
CREATE FUNCTION lean.take_rate(p_limit text, p_subject text) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lean.rates AS r VALUES (p_subject, clock_timestamp() + interval '1 second')
        ON CONFLICT (subject) DO UPDATE SET full_at = greatest(r.full_at, clock_timestamp()) + interval '1 second'
            WHERE r.full_at < clock_timestamp() + interval '1000000 second';
    RETURN found;
END
$$;

-- what the calls made
CREATE FUNCTION lean.entries() RETURNS bigint
    LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM lean.purchases) + (SELECT count(*) FROM lean.rewards) + (SELECT count(*) FROM lean.actions)
        + (SELECT count(*) FROM lean.uses) + (SELECT count(*) FROM lean.transfers)
$$;
