-- Makes the views of what is packed in accounts writable until the end of the transaction,
-- for who plants statistics or units, without an account into the table beside it, or a streak.
CREATE FUNCTION pg_temp.write_stats() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM economy_internal.game_stats_more m WHERE m.user_id = OLD.user_id AND m.game = OLD.game;
        UPDATE economy.accounts a SET sections = economy_internal.with_game(a.sections, OLD.game, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
        WHERE a.user_id = OLD.user_id;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    UPDATE economy.accounts a
    SET sections = economy_internal.with_game(a.sections, NEW.game, NEW.wins, NEW.losses, NEW.draws, NEW.max_win, NEW.bet_sum, NEW.win_sum, NEW.last_action_at)
    WHERE a.user_id = NEW.user_id;
    IF NOT FOUND THEN
        INSERT INTO economy_internal.game_stats_more
            VALUES (NEW.user_id, NEW.game, NEW.wins, NEW.losses, NEW.draws, NEW.max_win, NEW.bet_sum, NEW.win_sum, NEW.last_action_at);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER write_stats INSTEAD OF INSERT OR UPDATE OR DELETE ON economy.game_stats
    FOR EACH ROW EXECUTE FUNCTION pg_temp.write_stats();

CREATE FUNCTION pg_temp.write_streak() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE economy.accounts a SET sections = economy_internal.with_streak(a.sections, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
        WHERE a.user_id = OLD.user_id;
        RETURN OLD;
    END IF;
    UPDATE economy.accounts a
    SET sections = economy_internal.with_streak(a.sections, NEW.streak_day, NEW.best, NEW.last_claim_on, NEW.last_grace_on, NEW.excused_to, NEW.paid_to, NEW.last_seq, NEW.timezone)
    WHERE a.user_id = NEW.user_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER write_streak INSTEAD OF INSERT OR UPDATE OR DELETE ON economy.streaks
    FOR EACH ROW EXECUTE FUNCTION pg_temp.write_streak();

CREATE FUNCTION pg_temp.write_units() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM economy_internal.shop_user_units_more m WHERE m.user_id = OLD.user_id AND m.product_id = OLD.product_id;
        UPDATE economy.accounts a SET sections = economy_internal.with_units(a.sections, OLD.product_id, NULL, NULL, NULL, NULL, NULL)
        WHERE a.user_id = OLD.user_id;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    UPDATE economy.accounts a
    SET sections = economy_internal.with_units(a.sections, NEW.product_id, NEW.units, NEW.day_units, NEW.week_units, NEW.month_units, NEW.last_on)
    WHERE a.user_id = NEW.user_id;
    IF NOT FOUND THEN
        INSERT INTO economy_internal.shop_user_units_more
            VALUES (NEW.user_id, NEW.product_id, NEW.units, NEW.day_units, NEW.week_units, NEW.month_units, NEW.last_on);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER write_units INSTEAD OF INSERT OR UPDATE OR DELETE ON economy_internal.shop_user_units
    FOR EACH ROW EXECUTE FUNCTION pg_temp.write_units();
