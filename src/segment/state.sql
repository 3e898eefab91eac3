-- segment: what is kept of the users' scores, and where the refreshes stand

CREATE TABLE economy.user_segments (
    user_id        bigint   NOT NULL CONSTRAINT user_segments_pkey PRIMARY KEY,
    seq            bigint   NOT NULL,
    frequency      bigint,
    monetary       bigint,
    segment_since  timestamptz,
    next_change_at timestamptz,
    changes        integer  NOT NULL DEFAULT 0,
    r              smallint,
    f              smallint,
    m              smallint,
    segment        text     COLLATE "C",
    buckets        bytea    NOT NULL
) WITH (fillfactor = 80);
ALTER TABLE economy.user_segments ALTER COLUMN buckets SET STORAGE EXTERNAL;
SELECT pg_catalog.pg_extension_config_dump('economy.user_segments', '');
COMMENT ON TABLE economy.user_segments IS
    'Scores and segment of each user that ever bought, as of the last refresh, '
    'with the daily buckets they come from.';
COMMENT ON COLUMN economy.user_segments.seq IS
    'Newest purchase in the buckets; purchases of a user commit in the order of seq.';
COMMENT ON COLUMN economy.user_segments.frequency IS 'Purchases in the window.';
COMMENT ON COLUMN economy.user_segments.monetary IS
    'Their sum in minor units of money, at most 2^63-1.';
COMMENT ON COLUMN economy.user_segments.segment_since IS
    'As-of time of the refresh that put the user in this segment.';
COMMENT ON COLUMN economy.user_segments.next_change_at IS
    'When this row changes without a new purchase: one leaves the window, '
    'or a day more of recency matters. No index holds it, so that rows stay on their page: '
    'who is due is in economy_internal.rfm_due.';
COMMENT ON COLUMN economy.user_segments.changes IS 'Rows of the user in segment_history.';
COMMENT ON COLUMN economy.user_segments.buckets IS
    'Purchases by UTC day, packed; economy.rfm_days shows them.';

CREATE TABLE economy.segment_history (
    user_id      bigint      NOT NULL,
    change_no    integer     NOT NULL,
    from_segment text        NOT NULL COLLATE "C",
    to_segment   text        NOT NULL COLLATE "C",
    changed_at   timestamptz NOT NULL,
    snapshot_id  bigint      NOT NULL,
    CONSTRAINT segment_history_pkey PRIMARY KEY (user_id, change_no)
);
SELECT pg_catalog.pg_extension_config_dump('economy.segment_history', '');
COMMENT ON TABLE economy.segment_history IS
    'Every change of a user''s segment: from, to, when, and by the bounds of which snapshot.';
COMMENT ON COLUMN economy.segment_history.changed_at IS
    'As-of time of the refresh that found the change.';

CREATE TABLE economy.rfm_snapshots (
    snapshot_id bigint      NOT NULL CONSTRAINT rfm_snapshots_pkey PRIMARY KEY,
    as_of       timestamptz NOT NULL,
    model       jsonb       NOT NULL,
    rules       jsonb       NOT NULL,
    recency_bounds   numeric[],
    frequency_bounds numeric[],
    monetary_bounds  numeric[],
    p50         numeric,
    p60         numeric,
    p95         numeric,
    degenerate  text[]      NOT NULL,
    users       bigint      NOT NULL,
    active      bigint      NOT NULL,
    changed     bigint      NOT NULL,
    started_at  timestamptz NOT NULL,
    duration    interval    NOT NULL,
    program     bigint[]    NOT NULL,
    segments    text[]      NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_snapshots', '');
COMMENT ON TABLE economy.rfm_snapshots IS
    'Full refreshes: the model, rules and bounds that everything is '
    'scored against until the next one.';
COMMENT ON COLUMN economy.rfm_snapshots.degenerate IS
    'Axes (recency, frequency, monetary) on which all who were '
    'ranked have one value: they score 3.';
COMMENT ON COLUMN economy.rfm_snapshots.users IS
    'Accounts that were there, also without a purchase.';
COMMENT ON COLUMN economy.rfm_snapshots.active IS 'Users with a purchase in the window.';
COMMENT ON COLUMN economy.rfm_snapshots.changed IS 'Rows of user_segments that it wrote.';
COMMENT ON COLUMN economy.rfm_snapshots.program IS
    'Model, bounds and rules, compiled by rfm_program().';
COMMENT ON COLUMN economy.rfm_snapshots.segments IS 'Segment of each rule in the program.';

CREATE TABLE economy.rfm_state (
    only_row      boolean     NOT NULL DEFAULT true CONSTRAINT rfm_state_pkey PRIMARY KEY
        CONSTRAINT rfm_state_only_row_check CHECK (only_row),
    snapshot_id   bigint      NOT NULL,
    as_of         timestamptz NOT NULL,
    refreshed_at  timestamptz NOT NULL,
    installation  bigint      NOT NULL,
    seen_before   bigint      NOT NULL,
    summarised    bigint      NOT NULL,
    change_lag    interval,
    next_user     bigint,
    written       bigint      NOT NULL DEFAULT 0,
    spent         interval    NOT NULL DEFAULT '0'
);
SELECT pg_catalog.pg_extension_config_dump('economy.rfm_state', '');
COMMENT ON TABLE economy.rfm_state IS 'Where the refreshes stand: one row after the first.';
COMMENT ON COLUMN economy.rfm_state.as_of IS 'The moment that user_segments describes.';
COMMENT ON COLUMN economy.rfm_state.installation IS
    'Digest of the installation that seen_before belongs to; '
    'another one, a restore or a copy, reads the whole journal once.';
COMMENT ON COLUMN economy.rfm_state.seen_before IS
    'Every purchase of a transaction before this one is in the buckets.';
COMMENT ON COLUMN economy.rfm_state.summarised IS
    'Blocks of the journal that its BRIN index summarises.';
COMMENT ON COLUMN economy.rfm_state.change_lag IS
    'At the last refresh: how long the oldest thing it took up had been waiting.';
COMMENT ON COLUMN economy.rfm_state.next_user IS
    'From this user on the rows are still scored by an earlier snapshot: '
    'a full refresh writes them batch by batch. Null when all are done.';
COMMENT ON COLUMN economy.rfm_state.written IS
    'Rows of user_segments that the full refresh wrote so far.';
COMMENT ON COLUMN economy.rfm_state.spent IS 'How long its transactions took so far.';

CREATE TABLE economy_internal.rfm_reversals (
    user_id bigint  NOT NULL,
    seq     bigint  NOT NULL,
    applied boolean NOT NULL DEFAULT false,
    CONSTRAINT rfm_reversals_pkey PRIMARY KEY (user_id, seq)
);
CREATE INDEX rfm_reversals_applied_idx
    ON economy_internal.rfm_reversals (user_id) WHERE NOT applied;
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rfm_reversals', '');
COMMENT ON TABLE economy_internal.rfm_reversals IS
    'Purchases that were taken back and count no longer.';
COMMENT ON COLUMN economy_internal.rfm_reversals.applied IS
    'The day of the purchase no longer holds it.';

CREATE TABLE economy_internal.rfm_due (
    due_hour timestamptz NOT NULL,
    chunk    bigint      NOT NULL,
    users    bigint[]    NOT NULL,
    CONSTRAINT rfm_due_pkey PRIMARY KEY (due_hour, chunk)
);
ALTER TABLE economy_internal.rfm_due ALTER COLUMN users SET STORAGE EXTERNAL;
SELECT pg_catalog.pg_extension_config_dump('economy_internal.rfm_due', '');
COMMENT ON TABLE economy_internal.rfm_due IS
    'Whose row of user_segments changes by time alone, by the hour of next_change_at. Each is in '
    'the chunk of that hour; one who is in another as well was to change then, and no more.';
COMMENT ON COLUMN economy_internal.rfm_due.due_hour IS
    'The UTC hour; -infinity: at the next refresh.';
COMMENT ON COLUMN economy_internal.rfm_due.chunk IS 'Each refresh adds one to an hour.';
COMMENT ON COLUMN economy_internal.rfm_due.users IS 'Their ids, rising.';
