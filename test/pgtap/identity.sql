-- Users: registration, time zones, status, the test clock.
BEGIN;
SELECT plan(105);

SELECT economy.register('pgtap id', 'europe/berlin', '{"name": "x"}') AS u \gset
SELECT is((SELECT row(u.external_id, u.timezone, u.profile)::text FROM economy.users u WHERE u.user_id = :u),
    '("pgtap id",Europe/Berlin,"{""name"": ""x""}")', 'a user is registered, the time zone in its proper spelling');
SELECT is((SELECT row(a.seq, a.gold, a.experience_points, a.suspended, a.head_hash)::text FROM economy.accounts a WHERE a.user_id = :u),
    row(0, 0, 0, false, economy_internal.identity_hash(u.user_id, 'pgtap id', 'Europe/Berlin', u.created_at))::text, 'with an empty account')
FROM economy.users u WHERE u.user_id = :u;
SELECT is((SELECT row(a.user_id = :u, a.gold, a.experience_points, a.seq)::text FROM economy.account(:u) a), '(t,0,0,0)', 'that account() shows');
SELECT is(economy.register('pgtap id', 'Asia/Tokyo', '{"name": "y"}'), :u::bigint, 'the same external_id is the same user');
SELECT is((SELECT row(u.timezone, u.profile)::text FROM economy.users u WHERE u.user_id = :u), '(Europe/Berlin,"{""name"": ""x""}")', 'who stays as he is');
SELECT is(economy.user_id_of('pgtap id'), :u::bigint, 'user_id_of() finds him');
SELECT is(economy.user_id_of('PGTAP id'), NULL, 'by the exact text');
SELECT isnt(economy.register(), economy.register(), 'users without external_id are different users');
SELECT is(r::text, row(:u::bigint, false)::text, 'register_user() says that he is not new') FROM economy.register_user('pgtap id', 'Asia/Tokyo', '{"name": "y"}') r;
SELECT r.user_id AS new, r.is_new FROM economy.register_user('pgtap new', 'Asia/Tokyo', '{"name": "z"}') r \gset
SELECT is(row(:new::bigint, :'is_new')::text, row(economy.user_id_of('pgtap new'), 't')::text, 'who is new, is');
SELECT is((SELECT row(u.timezone, u.profile)::text FROM economy.users u WHERE u.external_id = 'pgtap new'), '(Asia/Tokyo,"{""name"": ""z""}")', 'with what was given');
SELECT is(r.is_new, false, 'once') FROM economy.register_user('pgtap new') r;
SELECT is((SELECT array_agg(r.is_new) FROM generate_series(1, 2), economy.register_user() r), '{t,t}', 'without external_id every user is');
SELECT isnt(economy.register(repeat('x', 255)), NULL, 'an external_id of 255 bytes');
SELECT isnt(economy.register('pgtap p4096', profile => jsonb_build_object('t', repeat('x', 4087))), NULL, 'a profile of 4096 bytes');
SELECT is(economy.register('pgtap a') >> 41, current_setting('economy.node_id')::bigint, 'an id carries the node');
SELECT ok(economy.register('pgtap b') < 9007199254740992, 'and stays below 2^53');
SAVEPOINT s;
ALTER SEQUENCE economy.user_id_seq RESTART 2199023255551;
SELECT is(economy.register('pgtap last') & 2199023255551, 2199023255551, 'the last id of a node is given out');
SELECT throws_ok($$SELECT economy.register('pgtap too many')$$, '2200H', 'this node has given out all its user ids', 'and then no more');
SELECT is(economy.register('pgtap last') & 2199023255551, 2199023255551, 'who was registered is found');
ROLLBACK TO s;

-- time zones
SELECT is(economy.timezone_name(given), proper, 'time zone ' || given)
FROM (VALUES ('UTC', 'UTC'), ('utc', 'UTC'), ('Europe/Berlin', 'Europe/Berlin'), ('EUROPE/BERLIN', 'Europe/Berlin'),
             ('america/argentina/buenos_aires', 'America/Argentina/Buenos_Aires'), ('Etc/GMT+5', 'Etc/GMT+5'), ('etc/gmt-14', 'Etc/GMT-14'),
             ('EST5EDT', 'America/New_York'), ('est5edt', 'America/New_York'), ('US/Eastern', 'America/New_York'),
             ('africa/asmera', 'Africa/Asmara'), ('zulu', 'Etc/UTC'), ('W-SU', 'Europe/Moscow'), ('GMT+0', 'Etc/GMT'), ('Asia/Kathmandu', 'Asia/Kathmandu'), ('GMT', 'GMT')) v (given, proper);
CREATE TEMP TABLE zones AS SELECT name, economy.timezone_name(name) AS proper FROM pg_timezone_names
    WHERE name !~* '^(posix|right)/|^(localtime|posixrules|factory)$'
        -- which AT TIME ZONE takes for a fixed offset
        AND upper(name) NOT IN (SELECT abbrev FROM pg_timezone_abbrevs);
SELECT is_empty('SELECT name, proper FROM zones WHERE economy.timezone_name(proper) <> proper OR now() AT TIME ZONE name <> now() AT TIME ZONE proper',
    'a name that is stored is its own proper name, and means what the given one does');
-- every name of Debian's tzdata-legacy, by the links of tzdata
SELECT is_empty($$
    SELECT given, economy.timezone_name(given), proper FROM regexp_split_to_table('Africa/Asmera=Africa/Asmara America/Argentina/ComodRivadavia=America/Argentina/Catamarca America/Buenos_Aires=America/Argentina/Buenos_Aires
        America/Catamarca=America/Argentina/Catamarca America/Cordoba=America/Argentina/Cordoba America/Fort_Wayne=America/Indiana/Indianapolis
        America/Godthab=America/Nuuk America/Indianapolis=America/Indiana/Indianapolis America/Jujuy=America/Argentina/Jujuy
        America/Knox_IN=America/Indiana/Knox America/Louisville=America/Kentucky/Louisville America/Mendoza=America/Argentina/Mendoza
        America/Rosario=America/Argentina/Cordoba Antarctica/South_Pole=Antarctica/McMurdo Asia/Ashkhabad=Asia/Ashgabat Asia/Calcutta=Asia/Kolkata
        Asia/Choibalsan=Asia/Ulaanbaatar Asia/Chungking=Asia/Shanghai Asia/Dacca=Asia/Dhaka Asia/Katmandu=Asia/Kathmandu Asia/Macao=Asia/Macau
        Asia/Rangoon=Asia/Yangon Asia/Saigon=Asia/Ho_Chi_Minh Asia/Thimbu=Asia/Thimphu Asia/Ujung_Pandang=Asia/Makassar Asia/Ulan_Bator=Asia/Ulaanbaatar
        Atlantic/Faeroe=Atlantic/Faroe Australia/ACT=Australia/Sydney Australia/LHI=Australia/Lord_Howe Australia/North=Australia/Darwin
        Australia/NSW=Australia/Sydney Australia/Queensland=Australia/Brisbane Australia/South=Australia/Adelaide Australia/Tasmania=Australia/Hobart
        Australia/Victoria=Australia/Melbourne Australia/West=Australia/Perth Brazil/Acre=America/Rio_Branco Brazil/DeNoronha=America/Noronha
        Brazil/East=America/Sao_Paulo Brazil/West=America/Manaus Canada/Atlantic=America/Halifax Canada/Central=America/Winnipeg
        Canada/Eastern=America/Toronto Canada/Mountain=America/Edmonton Canada/Newfoundland=America/St_Johns Canada/Pacific=America/Vancouver
        Canada/Saskatchewan=America/Regina Canada/Yukon=America/Whitehorse CET=Europe/Brussels Chile/Continental=America/Santiago
        Chile/EasterIsland=Pacific/Easter CST6CDT=America/Chicago Cuba=America/Havana EET=Europe/Athens Egypt=Africa/Cairo Eire=Europe/Dublin
        EST=America/Panama EST5EDT=America/New_York Europe/Kiev=Europe/Kyiv Europe/Uzhgorod=Europe/Kyiv Europe/Zaporozhye=Europe/Kyiv GB=Europe/London
        GB-Eire=Europe/London GMT+0=Etc/GMT GMT-0=Etc/GMT GMT0=Etc/GMT Greenwich=Etc/GMT Hongkong=Asia/Hong_Kong HST=Pacific/Honolulu
        Iceland=Atlantic/Reykjavik Iran=Asia/Tehran Israel=Asia/Jerusalem Jamaica=America/Jamaica Japan=Asia/Tokyo Kwajalein=Pacific/Kwajalein
        Libya=Africa/Tripoli MET=Europe/Brussels Mexico/BajaNorte=America/Tijuana Mexico/BajaSur=America/Mazatlan Mexico/General=America/Mexico_City
        MST=America/Phoenix MST7MDT=America/Denver Navajo=America/Denver NZ=Pacific/Auckland NZ-CHAT=Pacific/Chatham Pacific/Enderbury=Pacific/Kanton
        Pacific/Ponape=Pacific/Pohnpei Pacific/Truk=Pacific/Chuuk Poland=Europe/Warsaw Portugal=Europe/Lisbon PRC=Asia/Shanghai PST8PDT=America/Los_Angeles
        ROC=Asia/Taipei ROK=Asia/Seoul Singapore=Asia/Singapore Turkey=Europe/Istanbul UCT=Etc/UTC Universal=Etc/UTC US/Alaska=America/Anchorage
        US/Aleutian=America/Adak US/Arizona=America/Phoenix US/Central=America/Chicago US/East-Indiana=America/Indiana/Indianapolis
        US/Eastern=America/New_York US/Hawaii=Pacific/Honolulu US/Indiana-Starke=America/Indiana/Knox US/Michigan=America/Detroit US/Mountain=America/Denver
        US/Pacific=America/Los_Angeles US/Samoa=Pacific/Pago_Pago W-SU=Europe/Moscow WET=Europe/Lisbon Zulu=Etc/UTC', E'\\s+') pair, LATERAL (SELECT split_part(pair, '=', 1) AS given, split_part(pair, '=', 2) AS proper) v
    WHERE economy.timezone_name(given) <> proper OR economy.timezone_name(lower(given)) <> proper
    $$, 'an old name is stored as the one it stands for');
SELECT throws_ok(format('SELECT economy.timezone_name(%L)', given), code, NULL, 'not a time zone: ' || left(translate(given, E'\n', '~'), 30))
FROM (VALUES ('Foo3', 'XE201'), ('foo', 'XE201'), ('localtime', 'XE201'), ('LOCALTIME', 'XE201'), ('posixrules', 'XE201'), ('Factory', 'XE201'),
             ('<A>3', 'XE201'), ('A3B', 'XE201'), ('EST5EDT4,M3.2.0,M11.1.0', 'XE201'), ('CET-1CEST', 'XE201'), ('UTC+3', 'XE201'), ('+03:00', 'XE201'),
             ('3', 'XE201'), ('-3.5', 'XE201'), ('posix/UTC', 'XE201'), ('POSIX/Europe/Berlin', 'XE201'), ('right/UTC', 'XE201'), ('Europe', 'XE201'),
             ('Europe/', 'XE201'), ('/Europe/Berlin', 'XE201'), ('../zoneinfo/Europe/Berlin', 'XE201'), ('Europe/../Europe/Berlin', 'XE201'),
             ('Europe/Berlin ', 'XE201'), (' Europe/Berlin', 'XE201'), (E'Europe\\Berlin', 'XE201'), (E'UTC\n', 'XE201'), ('default', 'XE201'),
             ('zone.tab', 'XE201'), ('tzdata.zi', 'XE201'), ('', 'XE002'), (repeat('x', 64), 'XE201'), (repeat('x', 65), 'XE003'),
             (NULL, 'XE001')) v (given, code);
SELECT is(economy.set_timezone(:u, 'asia/tokyo'), 'Asia/Tokyo', 'set_timezone() answers the proper spelling');
SELECT is((SELECT timezone FROM economy.users u WHERE u.user_id = :u), 'Asia/Tokyo', 'and keeps it');
SELECT throws_ok(format('SELECT economy.set_timezone(%s, ''Foo3'')', :u), 'XE201', NULL, 'but takes no rule');
SELECT throws_ok('SELECT economy.register(''pgtap c'', ''Foo3'')', 'XE201', NULL, 'nor does register()');
SELECT is((SELECT timezone FROM economy.users u WHERE u.user_id = :u), 'Asia/Tokyo', 'the zone stays');

-- status
SELECT is(economy.set_user_status(:u, 'suspended', 'ann'), 'suspended', 'a user is suspended');
SELECT is((SELECT suspended FROM economy.accounts a WHERE a.user_id = :u), true, 'the account says so');
SELECT is(p.code, 'USER_SUSPENDED', 'and purchases are refused') FROM economy.purchase(:u, 'any', 'k') p;
SELECT is(economy.set_user_status(:u, 'suspended', 'bob'), 'suspended', 'again is no error');
SELECT is(economy.set_user_status(:u, 'active', 'bob'), 'active', 'a user is reactivated');
SELECT is(p.code, 'PRODUCT_NOT_FOUND', 'and purchases are not refused') FROM economy.purchase(:u, 'any', 'k') p;
SELECT is((SELECT string_agg(c.after || ' by ' || c.actor, ', ' ORDER BY c.seq) FROM economy.user_changes c WHERE c.user_id = :u AND c.field = 'status'),
    'suspended by ann, suspended by bob, active by bob', 'each change is recorded with its actor');
SELECT is((SELECT seq FROM economy.accounts a WHERE a.user_id = :u), 4::bigint, 'every change is an entry');

-- the test clock
SELECT is(economy.now() BETWEEN transaction_timestamp() AND clock_timestamp(), true, 'pg_catalog.now() is the server''s clock');
SET LOCAL economy.test_clock = '2031-01-31 12:00:00.5+02';
SELECT is(economy.now(), '2031-01-31 10:00:00.5+00'::timestamptz, 'or the test clock');
SELECT throws_ok(format('SET LOCAL economy.test_clock = %L', given), '22023', NULL, 'no test clock: ' || given)
FROM (VALUES ('now'), ('yesterday'), ('infinity'), ('noon'), ('12:00'), ('x'), ('2031-02-30 00:00:00+00'), ('2031-13-01')) v (given);
SELECT is(economy.now(), '2031-01-31 10:00:00.5+00'::timestamptz, 'which leave it as it was');
SET LOCAL economy.test_clock = '';
SELECT is(economy.now() BETWEEN transaction_timestamp() AND clock_timestamp(), true, 'empty puts the server''s clock back');
CREATE ROLE pgtap_nobody;
SET LOCAL ROLE pgtap_nobody;
SELECT throws_ok($$SET LOCAL economy.test_clock = '2031-01-01 00:00:00+00'$$, '42501', NULL, 'an ordinary role cannot set the test clock');
SELECT throws_ok($$SET LOCAL economy.row_access = 'sql'$$, '42501', NULL, 'nor the row access');
SELECT throws_ok($$SET LOCAL economy.notify = 'off'$$, '42501', NULL, 'nor notify');
SELECT throws_ok($$SET LOCAL economy.allow_drop = on$$, '42501', NULL, 'nor allow_drop');
SELECT throws_ok($$SET LOCAL economy.node_id = 1$$, '55P02', NULL, 'nobody sets the node id in a session');
SELECT throws_ok($$SET LOCAL economy.unknown = 1$$, '42602', NULL, 'the prefix is reserved');
SELECT lives_ok($$SET LOCAL economy.duplicate_wait = '1s'$$, 'how long a duplicate waits is the caller''s choice');
RESET ROLE;

-- a trigger that keeps the account away leaves no user behind
CREATE FUNCTION pg_temp.no_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE FUNCTION pg_temp.without(tab regclass) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER pgtap BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION pg_temp.no_row()', tab);
    PERFORM economy.register('pgtap nobody');
    RETURN 'registered';
EXCEPTION WHEN SQLSTATE 'XE103' THEN
    RETURN 'refused';
END $$;
SELECT is(pg_temp.without(tab), 'refused', 'no row in ' || tab) FROM unnest('{economy.users,economy.accounts}'::regclass[]) tab;
SELECT * FROM finish();
ROLLBACK;
