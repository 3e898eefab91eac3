-- levels: what XP amounts to, by curves and experiments with them

CREATE TABLE economy.level_curves (
    curve text    NOT NULL COLLATE "C" CONSTRAINT level_curves_curve_check
        CHECK (octet_length(curve) BETWEEN 1 AND 64 AND curve <> 'linear'),
    level integer NOT NULL CONSTRAINT level_curves_level_check CHECK (level > 0),
    xp    bigint  NOT NULL
        CONSTRAINT level_curves_xp_check CHECK (xp BETWEEN 0 AND 9007199254740991),
    CONSTRAINT level_curves_pkey PRIMARY KEY (curve, level)
);
SELECT pg_catalog.pg_extension_config_dump('economy.level_curves', '');
COMMENT ON TABLE economy.level_curves IS
    'XP at which each level of a curve begins; level 1 begins at 0. Set by set_level_curve().';

CREATE TABLE economy.level_experiments (
    experiment text    NOT NULL COLLATE "C" CONSTRAINT level_experiments_experiment_check
        CHECK (octet_length(experiment) BETWEEN 1 AND 64),
    arm        text    NOT NULL COLLATE "C"
        CONSTRAINT level_experiments_arm_check CHECK (octet_length(arm) BETWEEN 1 AND 64),
    curve      text    NOT NULL COLLATE "C",
    share      integer NOT NULL
        CONSTRAINT level_experiments_share_check CHECK (share BETWEEN 0 AND 10000),
    enabled    boolean NOT NULL DEFAULT false,
    CONSTRAINT level_experiments_pkey PRIMARY KEY (experiment, arm)
);
SELECT pg_catalog.pg_extension_config_dump('economy.level_experiments', '');
COMMENT ON TABLE economy.level_experiments IS
    'Experiments with level curves, a row per arm. Set by set_level_experiment().';
COMMENT ON CONSTRAINT level_experiments_experiment_check ON economy.level_experiments IS
    'experiment must have 1 to 64 bytes';
COMMENT ON CONSTRAINT level_experiments_arm_check ON economy.level_experiments IS
    'arm must have 1 to 64 bytes';
COMMENT ON CONSTRAINT level_experiments_share_check ON economy.level_experiments IS
    'share must be from 0 to 10000';
COMMENT ON CONSTRAINT level_experiments_pkey ON economy.level_experiments IS
    'the experiment has an arm of this name already';
COMMENT ON COLUMN economy.level_experiments.share IS
    'Share of users in hundredths of a percent; who falls into no arm has the curve of '
    'set_default_level_curve(), a row whose experiment is *, or the linear one.';

CREATE VIEW economy.level_changes AS
    SELECT c.change_id,
           CASE WHEN c.relation = 'level_curves' THEN 'curve' WHEN c.key = '*' THEN 'default'
                ELSE 'experiment' END AS kind,
           c.key AS name, c.actor, c.before, c.after, c.changed_at
    FROM economy.config_changes c WHERE c.relation IN ('level_curves', 'level_experiments');
COMMENT ON VIEW economy.level_changes IS
    'Every change of a level curve, an experiment with curves or the default, with actor, '
    'before and after: those of config_changes.';

CREATE FUNCTION economy.level_for(xp bigint, curve text DEFAULT 'linear') RETURNS integer
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_level_for';
COMMENT ON FUNCTION economy.level_for(bigint, text) IS
    'Level of an amount of XP; linear: floor(xp / 500) + 1. XE402 for an unknown curve.';

CREATE TYPE economy.level_position AS (
    curve         text,
    level         integer,
    xp_into_level bigint,
    xp_to_next    bigint
);
COMMENT ON TYPE economy.level_position IS
    'Where an amount of XP stands on a user''s curve; xp_to_next is null at the top.';
CREATE FUNCTION economy.level_of(user_id bigint, xp bigint) RETURNS economy.level_position
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'eco_level_of';
COMMENT ON FUNCTION economy.level_of(bigint, bigint) IS
    'Level of an amount of XP on the curve that this user has.';

CREATE FUNCTION economy.set_level_curve(curve text, xp bigint[], actor text DEFAULT session_user)
    RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('curve', curve IS NOT NULL);
    PERFORM economy_internal.require_given('xp', xp IS NOT NULL);
    IF cardinality(xp) = 0 OR array_ndims(xp) <> 1 OR array_position(xp, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a curve needs an array of XP' USING ERRCODE = 'XE002';
    END IF;
    IF curve = 'linear' OR octet_length(curve) NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'a curve''s name has 1 to 64 bytes and is not linear'
            USING ERRCODE = 'XE002';
    END IF;
    IF xp[1] <> 0 OR 9007199254740991 < ANY (xp) OR EXISTS (
        SELECT FROM generate_subscripts(xp, 1) i WHERE i > 1 AND xp[i] <= xp[i - 1]) THEN
        RAISE EXCEPTION 'the XP of a curve begin at 0, rise and end below 2^53'
            USING ERRCODE = 'XE002', HINT = 'Element n is the XP at which level n begins.';
    END IF;
    PERFORM economy_internal.open_tables('level_curves');
    LOCK TABLE economy.level_curves IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM economy.level_curves c WHERE c.curve = set_level_curve.curve;
    INSERT INTO economy.level_curves
        SELECT set_level_curve.curve, i, xp[i] FROM generate_subscripts(xp, 1) i;
    PERFORM economy.note_change('level_curves', curve, 'set', actor);
    RETURN cardinality(xp);
END
$$;
COMMENT ON FUNCTION economy.set_level_curve(text, bigint[], text) IS
    'Defines a level curve: element n is the XP at which level n begins. '
    'Recorded in level_changes with the actor. Returns the number of levels.';

CREATE FUNCTION economy.set_level_experiment(
    experiment text, arms jsonb, enabled boolean DEFAULT false, actor text DEFAULT session_user
) RETURNS integer
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    arm_form CONSTANT text := 'An arm is {"arm": "steep", "curve": "steep_v1", "share": 2500}, '
                              'shares in hundredths of a percent.';
    a         record;
    n         integer := 0;
    message   text;
    failed    text;
    at_column text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('experiment', experiment IS NOT NULL);
    PERFORM economy_internal.require_given('arms', arms IS NOT NULL);
    PERFORM economy_internal.require_given('enabled', enabled IS NOT NULL);
    IF octet_length(experiment) NOT BETWEEN 1 AND 64 OR jsonb_typeof(arms) <> 'array' THEN
        RAISE EXCEPTION 'an experiment needs a name of 1 to 64 bytes and an array of arms'
            USING ERRCODE = 'XE002', HINT = arm_form;
    END IF;
    IF experiment = '*' THEN
        RAISE EXCEPTION 'no experiment is named *' USING ERRCODE = 'XE002',
            HINT = 'economy.set_default_level_curve() says what everybody else has.';
    END IF;
    PERFORM economy_internal.open_tables('level_curves', 'level_experiments');
    LOCK TABLE economy.level_experiments IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM economy.level_experiments e WHERE e.experiment = set_level_experiment.experiment;
    BEGIN
        FOR a IN
            SELECT * FROM jsonb_to_recordset(arms) AS r (arm text, curve text, share integer)
        LOOP
            IF a.curve <> 'linear'
               AND NOT EXISTS (SELECT FROM economy.level_curves c WHERE c.curve = a.curve) THEN
                RAISE EXCEPTION 'level curve "%" does not exist', a.curve USING ERRCODE = 'XE402',
                    HINT = 'economy.set_level_curve() makes one; "linear" is always there.';
            END IF;
            INSERT INTO economy.level_experiments
                VALUES (experiment, a.arm, a.curve, a.share, enabled);
            n := n + 1;
        END LOOP;
    EXCEPTION WHEN data_exception OR check_violation OR not_null_violation OR unique_violation THEN
        GET STACKED DIAGNOSTICS
            message = MESSAGE_TEXT, failed = CONSTRAINT_NAME, at_column = COLUMN_NAME;
        RAISE EXCEPTION 'the arms of experiment "%" are not valid', experiment
            USING ERRCODE = 'XE002', HINT = arm_form,
            DETAIL = economy_internal.violation(
                'level_experiments', arms, message, failed, at_column) || '.';
    END;
    IF (SELECT sum(e.share) FROM economy.level_experiments e
        WHERE e.experiment = set_level_experiment.experiment) > 10000 THEN
        RAISE EXCEPTION 'the shares of experiment "%" exceed 10000', experiment
            USING ERRCODE = 'XE002';
    END IF;
    PERFORM economy.note_change('level_experiments', experiment, 'set', actor);
    RETURN n;
END
$$;
COMMENT ON FUNCTION economy.set_level_experiment(text, jsonb, boolean, text) IS
    'Defines an experiment with level curves: [{"arm", "curve", "share"}], '
    'shares in hundredths of a percent, off unless enabled. Recorded in level_changes with the '
    'actor. Users are assigned by a hash of user and experiment, so an assignment is stable.';

CREATE FUNCTION economy.set_default_level_curve(curve text, actor text DEFAULT session_user)
    RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, economy, pg_temp AS $$
DECLARE
    was text;
BEGIN
    PERFORM economy_internal.require_actor(actor);
    PERFORM economy_internal.require_given('curve', curve IS NOT NULL);
    PERFORM economy_internal.open_tables('level_curves', 'level_experiments');
    LOCK TABLE economy.level_experiments IN SHARE ROW EXCLUSIVE MODE;
    IF curve <> 'linear' AND NOT EXISTS (
        SELECT FROM economy.level_curves c WHERE c.curve = set_default_level_curve.curve) THEN
        RAISE EXCEPTION 'level curve "%" does not exist', left(curve, 64) USING ERRCODE = 'XE402',
            HINT = 'economy.set_level_curve() makes one; "linear" is always there.';
    END IF;
    DELETE FROM economy.level_experiments e WHERE e.experiment = '*' RETURNING e.curve INTO was;
    IF curve <> 'linear' THEN
        -- of two at once above READ COMMITTED, neither of which sees the other: 40001
        INSERT INTO economy.level_experiments VALUES ('*', 'all', curve, 10000, true)
            ON CONFLICT ON CONSTRAINT level_experiments_pkey DO NOTHING;
    END IF;
    IF was IS NOT NULL OR curve <> 'linear' THEN
        PERFORM economy.note_change('level_experiments', '*', 'set', actor);
    END IF;
    RETURN coalesce(was, 'linear');
END
$$;
COMMENT ON FUNCTION economy.set_default_level_curve(text, text) IS
    'Gives everybody this level curve, or linear again, but those whom an experiment gives '
    'another. Recorded in level_changes with the actor. Returns the one before. XE402 for an '
    'unknown curve.';
