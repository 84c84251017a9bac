//! Shapes of databases that applications have, after schemas that are public: each is adopted with
//! every month's sum what it was, or refused with one sentence and the flag that decides.

use crate::adoption::situation;
use crate::support::TestDatabase;

/// A database, what is asked for, and how its usage adds up by feature and month before.
struct Shape {
    sql: &'static str,
    flags: &'static [&'static str],
    /// A query `(feature, month, amount)` over the application's own tables.
    sums: &'static str,
}

/// What became of the usage, by feature and calendar month.
const MONTHS: &str = "select lower(metric_type) as feature,
        to_char(created_at at time zone 'UTC', 'YYYY-MM') as month, sum(metric_value) as amount
    from usage_metrics group by 1, 2 order by 1, 2";

/// Adopts it; its months are what they were.
async fn adopts(shape: &Shape) -> TestDatabase {
    let test = situation(shape.sql).await;
    let sums = format!(
        "select feature, month, trim_scale(sum(amount)) as amount
         from ({}) s group by 1, 2 order by 1, 2",
        shape.sums
    );
    let before = test.rows(&sums).await;
    assert!(before.len() > 1, "a shape has several months: {before:?}");
    let arguments = [&["--yes", "db", "import", "--apply"], shape.flags].concat();
    test.periodd(&arguments).exits(0);
    let trimmed = MONTHS.replace("sum(metric_value)", "trim_scale(sum(metric_value))");
    assert_eq!(test.rows(&trimmed).await, before);
    test.periodd(&["db", "verify"]).exits(0);
    test.check_invariants().await;
    test
}

/// Refuses it: nothing has changed, and the sentence names what to do.
async fn refuses(sql: &str, flags: &[&str], words: &[&str]) -> TestDatabase {
    let test = situation(sql).await;
    let arguments = [&["--yes", "db", "import", "--apply"], flags].concat();
    let said = test.periodd(&arguments).exits(5).stderr;
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(said.trim_end().lines().count(), 1, "one sentence: {said}");
    let is_untouched = "select to_regclass('periodd_imports') is null as untouched";
    assert_eq!(test.rows(is_untouched).await, ["true"]);
    test
}

/// Leads by company: plans in `subscriptions`, metrics that only say when they were recorded.
const LEADS: &str = "
    create table organizations (id uuid primary key default gen_random_uuid(), name text not null,
        slug text unique not null, subscription_status text default 'active',
        created_at timestamptz default now());
    create table subscriptions (id uuid primary key default gen_random_uuid(),
        org_id uuid references organizations (id) on delete cascade not null, plan text not null,
        status text default 'active', current_period_start timestamptz,
        current_period_end timestamptz, stripe_subscription_id text unique);
    create table usage_metrics (id uuid primary key default gen_random_uuid(),
        org_id uuid references organizations (id) on delete cascade not null,
        metric_type text not null check (metric_type in ('leads', 'api_calls')),
        value integer not null default 0, recorded_at timestamptz default now());
    insert into organizations (name, slug) values ('Acme', 'acme'), ('Beta', 'beta');
    insert into subscriptions (org_id, plan, current_period_start, current_period_end)
    select id, 'Professional', date_trunc('month', now(), 'UTC'),
           date_trunc('month', now(), 'UTC') + interval '1 month' from organizations;
    insert into usage_metrics (org_id, metric_type, value, recorded_at)
    select id, 'api_calls', 100, now() - (i || ' months')::interval
    from organizations, generate_series(0, 11) i";

#[tokio::test]
async fn metrics_that_were_recorded_keep_their_months_and_subscriptions_bring_tiers() {
    let test = adopts(&Shape {
        sql: LEADS,
        flags: &[],
        sums: "select 'api_calls' as feature,
                      to_char(recorded_at at time zone 'UTC', 'YYYY-MM') as month, value as amount
               from usage_metrics",
    })
    .await;
    let open = "select distinct used from usage_counters c
                join organizations o
                  on o.id = c.org_id and o.current_period_start = c.period_start";
    assert_eq!(test.rows(open).await, ["100"]);
    let tiers = "select distinct subscription_tier from organizations";
    assert_eq!(test.rows(tiers).await, ["professional"]);
}

#[tokio::test]
async fn a_month_that_moved_is_found_by_verify() {
    let test = situation(LEADS).await;
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    test.sql(
        "update usage_metrics set created_at = created_at - interval '1 month'
         where id = (select id from usage_metrics order by created_at limit 1)",
    )
    .await;
    let found = test.periodd(&["--format", "json", "db", "verify"]).exits(3).json();
    let differences = found["differences"].as_array().expect("differences");
    assert_eq!(differences.len(), 2, "{found}");
    assert!(differences.iter().all(|one| one["is_period"] == false), "{found}");
}

/// Counters of users as keys and values.
#[tokio::test]
async fn counters_by_key_become_features() {
    let test = adopts(&Shape {
        sql: "
            create table users (id uuid primary key default gen_random_uuid(),
                email text unique not null, created_at timestamptz default now());
            create table usage_counters (id uuid primary key default gen_random_uuid(),
                user_id uuid references users (id) on delete set null,
                counter_key varchar(100) not null, counter_value bigint not null default 0,
                period_start timestamptz default now(), period_end timestamptz,
                updated_at timestamptz default now());
            insert into users (email) values ('ann@acme.example'), ('bob@acme.example');
            insert into usage_counters (user_id, counter_key, counter_value, period_start,
                                        period_end)
            select id, k, 10 * m, date_trunc('month', now(), 'UTC') - m * interval '1 month',
                   date_trunc('month', now(), 'UTC') - (m - 1) * interval '1 month'
            from users, (values ('prayers'), ('Shares')) v (k), generate_series(1, 3) as m",
        flags: &[],
        sums: "select lower(counter_key) as feature,
                      to_char(period_start at time zone 'UTC', 'YYYY-MM') as month,
                      counter_value as amount from usage_counters",
    })
    .await;
    let features = "select feature from features where feature in ('prayers', 'shares') order by 1";
    assert_eq!(test.rows(features).await, ["prayers", "shares"]);
}

/// What an object-relational mapper makes: cuids, camelCase columns, timestamps without a zone, an
/// instant of use beside the row's own; and a foreign key of a table of its own.
const CUIDS: &str = r#"
    create table organizations (id text primary key, name text not null, slug text unique,
        plan text not null default 'pro', "createdAt" timestamp(3) not null default now());
    create table users (id text primary key, email text not null unique,
        "organizationId" text references organizations (id),
        "createdAt" timestamp(3) not null default now());
    create table usage_events (id text primary key,
        "organizationId" text not null references organizations (id),
        "userId" text references users (id), "eventType" text not null,
        quantity integer not null default 1, "occurredAt" timestamp(3) not null,
        "createdAt" timestamp(3) not null default now());
    create table projects (id text primary key,
        "organizationId" text not null references organizations (id) on delete cascade);
    insert into organizations (id, name, slug) values
        ('clz1a2b3c0000', 'Acme', 'acme'), ('clz1a2b3c0001', 'Beta', 'beta');
    insert into users (id, email, "organizationId") values
        ('clu1', 'ann@acme.example', 'clz1a2b3c0000'),
        ('clu2', 'bob@beta.example', 'clz1a2b3c0001');
    insert into projects values ('p1', 'clz1a2b3c0000'), ('p2', 'clz1a2b3c0001');
    insert into usage_events (id, "organizationId", "userId", "eventType", quantity, "occurredAt")
    select 'cle' || o.id || m, o.id, u.id, 'AI_MESSAGES', m,
           timestamp '2026-03-15 12:00' - m * interval '1 month'
    from organizations o join users u on u."organizationId" = o.id, generate_series(1, 5) as m"#;

#[tokio::test]
async fn ids_that_are_not_uuids_get_one_and_are_kept() {
    let test = adopts(&Shape {
        sql: CUIDS,
        flags: &[],
        sums: r#"select 'ai_messages' as feature, to_char("occurredAt", 'YYYY-MM') as month,
                        quantity as amount from usage_events"#,
    })
    .await;
    let orgs = "select former_id, slug, (id::text like '________-____-5%') as is_v5
                from organizations order by 1";
    assert_eq!(test.rows(orgs).await, ["clz1a2b3c0000 acme true", "clz1a2b3c0001 beta true"]);
    let of_ann = "select count(*), count(distinct m.organization_id) as orgs
                  from usage_metrics m join users u on u.id = m.user_id
                  where u.former_id = 'clu1' and u.organization_id = m.organization_id";
    assert_eq!(test.rows(of_ann).await, ["5 1"]);
    // The application's own key still holds, by the id that it knows.
    test.sql("insert into projects values ('p3', 'clz1a2b3c0000')").await;
    let mut connection = test.connect().await;
    let lost = sqlx::raw_sql("insert into projects values ('p4', 'nowhere')");
    assert!(lost.execute(&mut connection).await.is_err());
    drop(connection);
    test.sql("delete from projects where id = 'p3'").await;
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
    assert_eq!(
        test.rows("select id from organizations order by 1 limit 1").await,
        ["clz1a2b3c0000"]
    );
    test.sql("insert into projects values ('p3', 'clz1a2b3c0000')").await;
}

/// Ids of an identity provider, memberships in a table of their own, events with `ts`.
#[tokio::test]
async fn memberships_put_users_into_their_orgs() {
    let test = adopts(&Shape {
        sql: "
            create table organizations (id text primary key, name text not null);
            create table users (id text primary key, email text not null);
            create table organization_memberships (id text primary key,
                organization_id text not null references organizations (id),
                user_id text not null references users (id), role text,
                created_at timestamptz default now());
            create table usage_events (id bigint generated always as identity primary key,
                org_id text not null references organizations (id), user_id text,
                event_name text not null, amount double precision not null,
                ts timestamptz not null);
            insert into organizations values ('org_2aB', 'Acme'), ('org_2aC', 'Beta');
            insert into users values ('user_1', 'ann@acme.example'), ('user_2', 'bob@acme.example'),
                                     ('user_3', 'cyd@beta.example');
            insert into organization_memberships values
                ('om_1', 'org_2aB', 'user_1', 'admin'), ('om_2', 'org_2aB', 'user_2', 'member'),
                ('om_3', 'org_2aC', 'user_3', 'admin');
            insert into usage_events (org_id, user_id, event_name, amount, ts)
            select o.id, null, 'tokens', 0.25, timestamptz '2026-05-10Z' + m * interval '1 month'
            from organizations o, generate_series(1, 4) as m",
        flags: &[],
        sums: "select 'tokens' as feature, to_char(ts at time zone 'UTC', 'YYYY-MM') as month,
                      amount::numeric as amount from usage_events",
    })
    .await;
    let users = "select email, o.former_id from users u
                 join organizations o on o.id = u.organization_id order by 1";
    assert_eq!(
        test.rows(users).await,
        ["ann@acme.example org_2aB", "bob@acme.example org_2aB", "cyd@beta.example org_2aC"]
    );
    assert_eq!(test.rows("select count(*) from organizations").await, ["2"]);
}

/// What a framework with numbers as ids makes; with deleted orgs and a user in two orgs.
const NUMBERS: &str = "
    create table organizations (id bigserial primary key, name text not null, slug text unique,
        deleted_at timestamp, created_at timestamp not null default now());
    create table users (id bigserial primary key, email text not null unique,
        created_at timestamp not null default now());
    create table memberships (id bigserial primary key,
        organization_id bigint not null references organizations (id),
        user_id bigint not null references users (id), created_at timestamp not null default now());
    create table usage_metrics (id bigserial primary key,
        organization_id bigint not null references organizations (id), feature text not null,
        quantity numeric(30, 9) not null, created_at timestamp not null default now());
    insert into organizations (name, slug, deleted_at) values
        ('Acme', 'acme', null), ('Gone', 'gone', '2025-06-01'), ('Beta', 'beta', null);
    insert into users (email) values ('ann@acme.example'), ('both@acme.example');
    insert into memberships (organization_id, user_id, created_at) values
        (1, 1, '2025-01-01'), (3, 2, '2025-03-01'), (1, 2, '2025-02-01');
    insert into usage_metrics (organization_id, feature, quantity, created_at)
    select o, 'sms_sent', 3.5, timestamp '2026-01-31 23:30' + m * interval '10 days'
    from unnest(array[1, 2, 3]) as o, generate_series(1, 9) as m";

#[tokio::test]
async fn deleted_orgs_are_not_revived_and_users_of_several_orgs_are_decided() {
    refuses(NUMBERS, &[], &["users in several orgs by memberships", "--oldest-membership"]).await;
    let test = adopts(&Shape {
        sql: NUMBERS,
        flags: &["--oldest-membership"],
        sums: "select feature, to_char(created_at, 'YYYY-MM') as month, quantity as amount
               from usage_metrics",
    })
    .await;
    let orgs = "select slug, former_id, parked_code, current_period_start is not null as is_open
                from organizations order by 1";
    assert_eq!(test.rows(orgs).await, ["acme 1 - true", "beta 3 - true", "gone 2 by_hand false"]);
    let users = "select email, o.slug from users u join organizations o on o.id = u.organization_id
                 order by 1";
    assert_eq!(test.rows(users).await, ["ann@acme.example acme", "both@acme.example acme"]);
}

/// Members of an identity service: users are in no table here.
#[tokio::test]
async fn users_who_are_only_members_are_made() {
    let test = adopts(&Shape {
        sql: "
            create table organizations (id uuid primary key, name text not null,
                billing_interval text);
            create table organization_members (organization_id uuid not null
                    references organizations (id), user_id uuid not null, role text,
                primary key (organization_id, user_id));
            create table usage_metrics (id uuid primary key default gen_random_uuid(),
                organization_id uuid, user_id uuid, metric_name text, value integer,
                used_at timestamptz, created_at timestamptz default now());
            insert into organizations values
                ('00000000-0000-0000-0000-0000000000a1', 'Acme', 'year');
            insert into organization_members values
                ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1');
            insert into usage_metrics (organization_id, user_id, metric_name, value, used_at)
            select o.id, m.user_id, 'scrapes', 2, timestamptz '2026-02-10Z' + n * interval '20 days'
            from organizations o, organization_members m, generate_series(1, 6) as n",
        flags: &[],
        sums:
            "select 'scrapes' as feature, to_char(used_at at time zone 'UTC', 'YYYY-MM') as month,
                      value as amount from usage_metrics",
    })
    .await;
    let users = "select u.id, o.name, o.cycle from users u
                 join organizations o on o.id = u.organization_id";
    assert_eq!(test.rows(users).await, ["00000000-0000-0000-0000-0000000000b1 Acme yearly"]);
}

/// A starter kit of a payment provider: subscriptions of users, whose table has no address.
#[tokio::test]
async fn subscriptions_of_users_open_their_periods() {
    let test = adopts(&Shape {
        sql: "
            create table users (id uuid primary key, full_name text, payment_method jsonb);
            create table subscriptions (id text primary key, user_id uuid not null references users,
                status text, price_id text, quantity integer, interval text,
                current_period_start timestamptz not null default now(),
                current_period_end timestamptz not null default now());
            create table usage_events (id uuid primary key default gen_random_uuid(),
                user_id uuid not null references users, event_type text,
                created_at timestamptz not null);
            insert into users (id) values ('00000000-0000-0000-0000-0000000000c1');
            insert into subscriptions (id, user_id, status, interval, current_period_start,
                                       current_period_end)
            select 'sub_1', id, 'active', 'week',
                   date_trunc('day', now(), 'UTC') - interval '3 days',
                   date_trunc('day', now(), 'UTC') + interval '4 days' from users;
            insert into usage_events (user_id, event_type, created_at)
            select id, 'scrapes', timestamptz '2026-04-05Z' + n * interval '12 days'
            from users, generate_series(1, 9) as n",
        flags: &[],
        sums: "select 'scrapes' as feature,
                      to_char(created_at at time zone 'UTC', 'YYYY-MM') as month, 1 as amount
               from usage_events",
    })
    .await;
    let org = "select cycle, anchor_day = extract(isodow from current_period_end) as is_weekday,
                      current_period_end - current_period_start as long, subscription_tier
               from organizations";
    assert_eq!(test.rows(org).await, ["weekly true 7 days free"]);
}

/// Wide counters of users, in days that end with their last moment.
#[tokio::test]
async fn wide_counters_of_users_are_theirs() {
    adopts(&Shape {
        sql: "
            create table users (id serial primary key, email text);
            create table usage_counters (id serial primary key, user_id integer not null
                    references users (id), period_start date not null, period_end date not null,
                api_calls integer default 0, tokens bigint default 0);
            insert into users (email) values ('ann@example.com'), ('bob@example.com');
            insert into usage_counters (user_id, period_start, period_end, api_calls, tokens)
            select u.id, d, (d + interval '1 month' - interval '1 day')::date, u.id, 1000
            from users u, generate_series(date '2026-01-01', date '2026-04-01', '1 month') as d",
        flags: &[],
        sums: "select f.feature, to_char(period_start, 'YYYY-MM') as month, f.amount
               from usage_counters,
                    lateral (values ('api_calls', api_calls), ('tokens', tokens))
                        as f (feature, amount)",
    })
    .await;
}

/// Metrics without an id of their own, in a zone of the application's.
#[tokio::test]
async fn metrics_without_an_id_are_compared_by_month_in_the_named_zone() {
    let test = adopts(&Shape {
        sql: "
            create table usage_metrics (organization_id varchar(26) not null, metric text not null,
                amount numeric(12, 2), \"timestamp\" timestamp not null);
            insert into usage_metrics
            select '01J9ZQ6Z7W0000000000000000', 'rides', 1.25,
                   timestamp '2026-03-01 00:30' + m * interval '31 days'
            from generate_series(0, 4) as m",
        flags: &["--naive-zone", "Asia/Tokyo"],
        sums: "select 'rides' as feature,
                      to_char(\"timestamp\" at time zone 'Asia/Tokyo' at time zone 'UTC', 'YYYY-MM')
                          as month, amount from usage_metrics",
    })
    .await;
    assert_eq!(test.rows("select slug from organizations").await, ["01J9ZQ6Z7W0000000000000000"]);
}

#[tokio::test]
async fn what_cannot_be_known_blocks_with_the_flag_that_decides() {
    let no_instant = "
        create table organizations (id uuid primary key default gen_random_uuid(), name text);
        create table usage_metrics (id uuid primary key default gen_random_uuid(), org_id uuid,
            metric_type text, value integer, billed_on date, noted timestamptz default now());
        insert into organizations (name) values ('Acme');
        insert into usage_metrics (org_id, metric_type, value, billed_on)
        select id, 'sms_sent', 5, date '2026-01-15' + n * 31 from organizations,
               generate_series(0, 3) as n";
    let flag = "--used-at-column usage_metrics.COLUMN";
    let test = refuses(no_instant, &[], &["the instant of use", flag]).await;
    for (given, sentence) in [
        ("usage_metrics.nothing", "has no column `nothing`"),
        ("others.noted", "is not a table of metrics"),
        ("noted", "write TABLE.COLUMN"),
    ] {
        let said = test.periodd(&["db", "import", "--used-at-column", given]).exits(2).stderr;
        assert!(said.contains(sentence), "{said}");
    }
    adopts(&Shape {
        sql: no_instant,
        flags: &["--used-at-column", "usage_metrics.billed_on"],
        sums: "select metric_type as feature, to_char(billed_on, 'YYYY-MM') as month,
                      value as amount from usage_metrics",
    })
    .await;

    let quarters = "
        create table organizations (id uuid primary key default gen_random_uuid(), name text,
            current_period_start timestamptz, current_period_end timestamptz);
        insert into organizations (name, current_period_start, current_period_end) values
            ('Quarter', '2026-10-01Z', '2027-01-01Z'), ('Half', '2026-07-01Z', '2027-01-01Z'),
            ('Month', '2026-11-01Z', '2026-12-01Z'), ('Two', '2026-11-01Z', '2027-01-01Z')";
    let test = refuses(quarters, &[], &["1 periods of organizations", "--cycle"]).await;
    test.periodd(&["--yes", "db", "import", "--apply", "--cycle", "yearly"]).exits(0);
    let cycles = "select name, cycle, anchor_month from organizations order by 1";
    let adopted = ["Half semiannual 1", "Month monthly 12", "Quarter quarterly 1", "Two yearly 1"];
    assert_eq!(test.rows(cycles).await, adopted);
    let words = "
        create table organizations (id uuid primary key default gen_random_uuid(), name text,
            billing_cycle text);
        insert into organizations (name, billing_cycle) values
            ('F', 'fortnightly'), ('Q', 'quarterly'), ('M', 'MONTHLY')";
    refuses(words, &[], &["1 cycles of organizations", "--cycle"]).await;

    let nobody_says = "
        create table organizations (id uuid primary key default gen_random_uuid(), name text);
        create table users (id uuid primary key default gen_random_uuid(), email text);
        create table seats (team_id uuid, user_id uuid);
        insert into organizations (name) values ('Acme');
        insert into users (email) values ('ann@acme.example');
        insert into seats select o.id, u.id from organizations o, users u";
    let test = refuses(nobody_says, &[], &["which org they are in", "--member-table"]).await;
    let said = test.periodd(&["db", "import", "--member-table", "chairs"]).exits(2).stderr;
    assert!(said.contains("no table `chairs`"), "{said}");
    test.periodd(&["--yes", "db", "import", "--apply", "--member-table", "seats"]).exits(0);
    let users = "select o.name from users u join organizations o on o.id = u.organization_id";
    assert_eq!(test.rows(users).await, ["Acme"]);
    let teams = "
        create table teams (id uuid primary key);
        create table users (id uuid primary key default gen_random_uuid(), email text);
        insert into users (email) values ('ann@acme.example')";
    let test = refuses(teams, &[], &["a table teams", "--member-table none"]).await;
    test.periodd(&["--yes", "db", "import", "--apply", "--member-table", "none"]).exits(0);
}

/// Periods as a payment provider has them, to the second.
#[tokio::test]
async fn quarters_and_half_years_that_end_at_a_time_of_day_are_adopted_as_such() {
    let sql = "
        create table organizations (id uuid primary key default gen_random_uuid(), name text,
            time_zone text, current_period_start timestamptz, current_period_end timestamptz);
        insert into organizations (name, time_zone, current_period_start, current_period_end)
        select v.name, v.zone, d.day + v.start, d.day + v.ends
        from (select date_trunc('day', now(), 'UTC') as day) d,
             (values ('Quarter', 'UTC', interval '-10 days 14:32:10', interval '82 days 14:32:10'),
                     ('Half', 'UTC', interval '-10 days 14:32:10', interval '171 days 14:32:10'),
                     ('There', 'America/New_York', interval '-10 days 14:32:10',
                      interval '171 days 14:32:10'),
                     ('Other', 'UTC', interval '-10 days 09:00', interval '20 days 14:32:10'),
                     ('Day', 'UTC', interval '-10 days', interval '20 days'))
                 as v (name, zone, start, ends)";
    let test = situation(sql).await;
    let found = test.periodd(&["db", "import"]).exits(3).stdout;
    assert!(found.contains("3  periods that start and end at the same time of day"), "{found}");
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    // Where the clocks change within the period, it ends at another local time than it starts.
    let there = "select (current_period_end at time zone time_zone)::time = anchor_time
                 from organizations where name = 'There'";
    assert_eq!(test.rows(there).await, ["true"]);
    let adopted = "select name, cycle, anchor_time from organizations where name <> 'There'
                   order by 1";
    assert_eq!(
        test.rows(adopted).await,
        [
            "Day monthly 00:00:00",
            "Half semiannual 14:32:10",
            "Other monthly 00:00:00",
            "Quarter quarterly 14:32:10",
        ]
    );
    test.periodd(&["rollover"]).exits(0);
    // The calendar that was taken has the adopted end, and goes on from there.
    let irregular = "select count(*) from organizations o
                     where name in ('Half', 'Quarter')
                       and (next_period_ends[1] at time zone 'UTC')::time <> '14:32:10'";
    assert_eq!(test.rows(irregular).await, ["0"]);
    test.check_invariants().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_one_sentence() {
    let counters = |columns: &str| {
        format!(
            "create table organizations (id uuid primary key default gen_random_uuid(), name text);
             create table usage_counters (org_id uuid, {columns});
             insert into organizations (name) values ('Acme');
             insert into usage_counters (org_id) select id from organizations"
        )
    };
    for (columns, words) in [
        ("month integer default 5, year integer, sms_sent integer", ["month", "is integer"]),
        ("month text default '2026-05', sms_sent integer", ["month", "is text"]),
        ("feature text default 'x', period_start date, note text", ["no column", "amounts"]),
        (
            "feature text default 'x', period_start date default now(), used text default '7'",
            ["used", "is text"],
        ),
        (
            "feature text default 'x', period_start date default now(),
             used float8 default 'NaN'",
            ["amounts of usage_counters", "NaN"],
        ),
    ] {
        refuses(&counters(columns), &[], &words).await;
    }
    let nobody = "create table usage_counters (period_start date, sms_sent integer);
                  insert into usage_counters values ('2026-01-01', 5)";
    refuses(nobody, &[], &["names neither an org nor a user"]).await;
    let metrics = |values: &str| {
        format!(
            "create table organizations (id uuid primary key default gen_random_uuid(), name text);
             create table usage_metrics (id uuid primary key default gen_random_uuid(),
                 org_id uuid, metric_type text, value numeric, created_at timestamptz,
                 deleted_at timestamptz, idempotency_key text);
             insert into organizations (name) values ('Acme');
             insert into usage_metrics (org_id, metric_type, value, created_at, deleted_at,
                                        idempotency_key)
             select o.id, v.* from organizations o, (values {values}) as v"
        )
    };
    for (values, words) in [
        ("('a', 1, null::timestamptz, null::timestamptz, 'k')", "without an instant of use"),
        ("('a', 1, now(), now(), 'k')", "marked as deleted"),
        (
            "('a', 1, now(), null::timestamptz, 'k'), ('a', 2, now(), null, 'k')",
            "repeat an idempotency_key",
        ),
        ("('a', 1e30, now(), null::timestamptz, 'k')", "10^22"),
    ] {
        refuses(&metrics(values), &[], &[words]).await;
    }
    let pascal = r#"create table "Organization" (id text primary key);
                    create table "User" (id text primary key)"#;
    refuses(pascal, &[], &["Organization, User", "rename", "db migrate"]).await;
}
