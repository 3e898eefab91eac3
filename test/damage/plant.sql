-- Functions of test/damage/run, in schema public.

CREATE FUNCTION public.pick(seed bigint, number bigint, what text, below bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT (hashtextextended(format('%s:%s:%s', seed, number, what), 0) & 9007199254740991) % greatest(below, 1)
$$;

-- Another value of a column, as SQL over the row d.
CREATE FUNCTION public.another(col name, type regtype, choice bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE type
        WHEN 'bigint'::regtype THEN format('coalesce(d.%1$I, 0) + %2$s', col, (ARRAY['1', '-1', '7', '1000'])[1 + choice % 4])
        WHEN 'integer'::regtype THEN format('coalesce(d.%1$I, 0) + %2$s', col, (ARRAY['1', '-1', '7', '1000'])[1 + choice % 4])
        WHEN 'smallint'::regtype THEN format('(coalesce(d.%1$I, 0) + %2$s)::smallint', col, (ARRAY['1', '-1', '2', '3'])[1 + choice % 4])
        WHEN 'boolean'::regtype THEN format('NOT coalesce(d.%1$I, false)', col)
        WHEN 'text'::regtype THEN format('coalesce(d.%1$I, '''') || ''x''', col)
        WHEN 'timestamptz'::regtype THEN format('CASE WHEN isfinite(d.%1$I) THEN d.%1$I ELSE ''2026-05-02 00:00+00'' END + interval ''%2$s''', col, (ARRAY['1 second', '-1 second', '1 day', '-1 day'])[1 + choice % 4])
        WHEN 'date'::regtype THEN format('coalesce(d.%1$I, ''2026-05-02'') + %2$s', col, (ARRAY['1', '-1'])[1 + choice % 2])
        WHEN 'interval'::regtype THEN format('coalesce(d.%1$I, ''0'') + interval ''1 hour''', col)
        WHEN 'jsonb'::regtype THEN format('CASE jsonb_typeof(d.%1$I) WHEN ''array'' THEN d.%1$I || ''[1]'' WHEN ''object'' THEN d.%1$I || ''{"damage": 1}'' ELSE ''{"damage": 1}'' END', col)
        WHEN 'bytea'::regtype THEN format('CASE WHEN length(d.%1$I) > 0 THEN set_byte(d.%1$I, %2$s %% length(d.%1$I), 255 - get_byte(d.%1$I, %2$s %% length(d.%1$I))) ELSE ''\x01'' END', col, choice % 97)
        WHEN 'uuid'::regtype THEN format('md5(d.%1$I::text)::uuid', col)
        WHEN 'numeric'::regtype THEN format('coalesce(d.%1$I, 0) + 1.5', col)
        WHEN 'double precision'::regtype THEN format('coalesce(d.%1$I, 0) / 2 + 0.01', col)
        WHEN 'numeric[]'::regtype THEN format('array_append(d.%1$I, 5.5)', col)
        WHEN 'bigint[]'::regtype THEN format('array_append(d.%1$I, 5)', col)
        WHEN 'text[]'::regtype THEN format('array_append(d.%1$I, ''x'')', col)
        WHEN 'oid'::regtype THEN format('(d.%1$I::bigint + 1)::oid', col)
        WHEN '"char"'::regtype THEN format('''z''::"char"', col)
    END
$$;

CREATE FUNCTION public.constraints_off(target regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = target AND contype IN ('c', 'u', 'x') LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', target, c.conname);
    END LOOP;
    FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = target AND contype = 'p' LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', target, c.conname);
    END LOOP;
    FOR c IN SELECT indexrelid::regclass AS name FROM pg_index WHERE indrelid = target AND indisunique LOOP
        EXECUTE format('DROP INDEX %s', c.name);
    END LOOP;
END
$$;

-- The statement of damage number i, and what of the table it touches.
CREATE FUNCTION public.damage(seed bigint, i bigint, OUT target regclass, OUT relation text, OUT columns text[], OUT what text, OUT statement text, OUT unconstrained boolean)
LANGUAGE plpgsql AS $$
DECLARE
    place  tid;
    other  tid;
    kind   text := (ARRAY['change', 'change', 'change', 'change', 'change', 'delete', 'duplicate', 'swap', 'insert'])[1 + public.pick(seed, i, 'kind', 9)];
    col    pg_attribute;
    cols   text;
    vals   text;
    key    name[];
    rows   bigint;
BEGIN
    SELECT c.oid INTO target FROM pg_class c WHERE c.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND c.relkind = 'r'
        ORDER BY c.relname OFFSET public.pick(seed, i, 'table', (SELECT count(*) FROM pg_class t WHERE t.relnamespace IN ('economy'::regnamespace, 'economy_internal'::regnamespace) AND t.relkind = 'r')) LIMIT 1;
    SELECT c.relname INTO relation FROM pg_class c WHERE c.oid = target;
    EXECUTE format('SELECT count(*) FROM %s', target) INTO rows;
    unconstrained := public.pick(seed, i, 'constraints', 2) = 1;
    IF rows = 0 THEN
        what := relation || ' is empty';
        RETURN;
    END IF;
    EXECUTE format('SELECT ctid FROM %s OFFSET %s LIMIT 1', target, public.pick(seed, i, 'row', rows)) INTO place;
    EXECUTE format('SELECT ctid FROM %s OFFSET %s LIMIT 1', target, public.pick(seed, i, 'other row', rows)) INTO other;
    SELECT a.* INTO col FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum OFFSET public.pick(seed, i, 'column', (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = target AND b.attnum > 0 AND NOT b.attisdropped)) LIMIT 1;
    columns := ARRAY[col.attname];
    SELECT array_agg(a.attname ORDER BY array_position(k.conkey, a.attnum)) INTO key FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
        WHERE k.conrelid = target AND k.contype = 'p';
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO cols FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped;
    CASE kind
        WHEN 'change' THEN
            -- what is as it was is no damage
            statement := format('UPDATE %1$s d SET %2$I = %3$s WHERE d.ctid = %4$L AND d.%2$I::text IS DISTINCT FROM (%3$s)::text', target, col.attname, public.another(col.attname, col.atttypid, public.pick(seed, i, 'value', 1000)), place);
        WHEN 'delete' THEN
            columns := ARRAY['*'];
            statement := format('DELETE FROM %s d WHERE d.ctid = %L', target, place);
        WHEN 'swap' THEN
            -- rows that differ in nothing else only change places; and where units of a product lie means nothing
            statement := format('UPDATE %1$s d SET %2$I = o.%2$I FROM %1$s o WHERE (d.ctid, o.ctid) IN ((%3$L, %4$L), (%4$L, %3$L)) AND d.%2$I IS DISTINCT FROM o.%2$I'
                ' AND to_jsonb(d) - %2$L::text <> to_jsonb(o) - %2$L::text%5$s', target, col.attname, place, other,
                CASE relation WHEN 'shop_stock' THEN ' AND d.product_id <> o.product_id' ELSE '' END);
        ELSE
            -- a duplicate, exact or under another key; an insert: with another value as well
            columns := ARRAY['*'];
            SELECT string_agg(CASE WHEN a.attname = ANY (key) AND (kind = 'insert' OR NOT unconstrained) AND a.attname = key[1 + public.pick(seed, i, 'key', cardinality(key))]
                                     OR kind = 'insert' AND a.attnum = col.attnum
                                   THEN public.another(a.attname, a.atttypid, public.pick(seed, i, 'value', 1000)) ELSE format('d.%I', a.attname) END, ', ' ORDER BY a.attnum)
                INTO vals FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped;
            statement := format('INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM %1$s d WHERE d.ctid = %4$L', target, cols, vals, place);
    END CASE;
    what := format('%s %s.%s%s: %s', kind, relation, columns[1], CASE WHEN unconstrained THEN ' without constraints' ELSE '' END, statement);
END
$$;

CREATE FUNCTION public.plant(seed bigint, i bigint, OUT relation text, OUT outcome text, OUT what text) LANGUAGE plpgsql AS $$
DECLARE
    d        record;
    n        bigint;
    findings bigint;
    before   text;
    after    text;
BEGIN
    SELECT * INTO d FROM public.damage(seed, i);
    relation := d.relation;
    what := d.what;
    outcome := 'impossible';
    IF d.statement IS NULL THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', d.target);
        IF d.unconstrained THEN
            PERFORM public.constraints_off(d.target);
            IF d.relation IN ('shop_products', 'users', 'games') THEN NULL; END IF;
        END IF;
        EXECUTE d.statement;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n = 0 THEN
            RAISE EXCEPTION 'nothing changed' USING ERRCODE = 'XT001';
        END IF;
    EXCEPTION WHEN OTHERS THEN
        what := what || ': ' || sqlerrm;
        RETURN;
    END;
    BEGIN
        -- that triggers are off and constraints gone is the test's own doing
        SELECT count(*) INTO findings FROM economy.audit_sweep() f WHERE f.kind <> 'wrong_schema';
        outcome := CASE WHEN findings > 0 THEN 'seen'
            WHEN EXISTS (SELECT FROM economy.audit_unknown() u WHERE u.relation = d.relation AND (u."column" = '*' OR u."column" = ANY (d.columns))) THEN 'listed'
            ELSE 'unseen' END;
    EXCEPTION WHEN OTHERS THEN
        -- an error tells of the damage, but hides all else: it is no finding
        outcome := 'unseen';
        what := what || ': the sweep ended with ' || sqlerrm;
    END;
END
$$;

CREATE FUNCTION public.plant_all(n bigint, seed bigint) RETURNS TABLE (number bigint, relation text, outcome text, what text) LANGUAGE plpgsql AS $$
DECLARE
    p record;
BEGIN
    FOR number IN 1 .. n LOOP
        BEGIN
            SELECT * INTO p FROM public.plant(seed, number);
            RAISE EXCEPTION USING ERRCODE = 'XT000', MESSAGE = 'undone';
        EXCEPTION WHEN SQLSTATE 'XT000' THEN
            relation := p.relation;
            outcome := p.outcome;
            what := p.what;
        END;
        RETURN NEXT;
    END LOOP;
END
$$;
