//! What is odd about a database before it is adopted, and what becomes of it.

use crate::adoption::{adopted, situation};
use crate::support::TestDatabase;

const ORG: &str = "00000000-0000-0000-0000-000000000001";

/// What blocks: its sentence, from a refused import.
async fn refused(sql: &str, fault: &str) -> String {
    let test = situation(sql).await;
    test.sql(fault).await;
    let answer = test.periodd(&["--yes", "db", "import", "--apply"]).exits(5);
    let there = "select to_regclass('periodd_imports') is null as untouched";
    assert_eq!(test.rows(there).await, ["true"], "{fault}");
    answer.stderr
}

#[tokio::test]
async fn every_column_of_numbers_is_a_feature() {
    let test = situation(include_str!("000.sql")).await;
    test.sql(
        "alter table usage_counters add api_calls bigint default 3, add \"Faxes\" numeric(10, 2),
                                    add label text default 'x',
                                    add shard integer not null default 1;
         create unique index on usage_counters (id, shard)",
    )
    .await;
    let rows = test.rows("select count(*) * 3 as calls from usage_counters").await;
    test.sql("update usage_counters set \"Faxes\" = 0.5 where org_id::text like '%2'").await;
    let report = test.periodd(&["db", "import"]).exits(3).stdout;
    assert!(
        report
            .contains("feature columns of usage_counters: sms_sent, emails_sent, api_calls, Faxes"),
        "{report}"
    );
    assert!(report.contains("they stay in usage_counters_legacy: created_at"), "{report}");
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    let sums = "select metric_type, sum(metric_value) from usage_metrics
                where metric_type in ('api_calls', 'faxes', 'shard') group by 1 order by 1";
    assert_eq!(test.rows(sums).await, [format!("api_calls {}", rows[0]), "faxes 4.0".to_owned()]);
    test.periodd(&["db", "verify"]).exits(0);
}

#[tokio::test]
async fn usage_of_nobody_and_without_an_amount_blocks() {
    let wide = include_str!("000.sql");
    for (fault, sentence) in [
        (
            "alter table usage_counters alter org_id drop not null;
             update usage_counters set org_id = null
             where id = (select id from usage_counters limit 1)",
            "without an org",
        ),
        (
            "alter table sms_usage alter org_id drop not null;
             update sms_usage set org_id = null where id = 1",
            "without an org",
        ),
        (
            "alter table sms_usage alter sms_count drop not null;
             update sms_usage set sms_count = null where id = 1",
            "without an amount",
        ),
        ("alter table sms_usage rename sms_count to texts", "without an amount"),
        ("alter table usage_counters drop sms_sent, drop emails_sent", "no numeric column"),
    ] {
        let stderr = refused(wide, fault).await;
        assert!(stderr.contains(sentence), "{fault}: {stderr}");
    }
    let users = "alter table users drop constraint users_organization_id_fkey;
                 update users set organization_id = gen_random_uuid()
                 where email = 'user1@example.com'";
    let stderr = refused(include_str!("002.sql"), users).await;
    assert!(stderr.contains("users of unknown orgs"), "{stderr}");
}

#[tokio::test]
async fn zones_that_are_none_block() {
    for zone in ["Mars/Phobos", "CET", "EST", "posix/Europe/Berlin"] {
        let fault = format!(
            "alter table organizations add time_zone text default 'Europe/Berlin';
             update organizations set time_zone = '{zone}' where name = 'Cleared'"
        );
        let stderr = refused(include_str!("002.sql"), &fault).await;
        assert!(stderr.contains("1 orgs with an unknown time zone"), "{zone}: {stderr}");
        assert!(stderr.contains(zone), "{zone}: {stderr}");
    }
}

/// Periods of whole months around now, by the day that they begin on.
const ANNIVERSARIES: &str = "
    create table organizations (
        id uuid primary key default gen_random_uuid(), name text, time_zone text,
        current_period_start timestamptz, current_period_end timestamptz);
    insert into organizations (name, time_zone, current_period_start, current_period_end) values
        ('15th', 'Europe/Berlin', timestamptz '2026-01-15 00:00 Europe/Berlin',
         timestamptz '2026-02-15 00:00 Europe/Berlin'),
        ('31st, short month', 'UTC', '2026-01-31Z', '2026-02-28Z'),
        ('31st, after it', 'UTC', '2026-02-28Z', '2026-03-31Z'),
        ('28th', 'UTC', '2026-02-28Z', '2026-03-28Z'),
        ('1st, kept in UTC', 'America/Los_Angeles', '2026-11-01Z', '2026-12-01Z'),
        ('1st, last moment', 'UTC', '2026-01-01Z', '2026-01-31T23:59:59.999Z'),
        ('afternoon of the 15th', 'UTC', '2026-01-15T16:30:00Z', '2026-02-15T16:30:00Z'),
        ('a year from May 9', 'UTC', '2025-05-09Z', '2026-05-09Z'),
        ('none', 'UTC', null, null)";

#[tokio::test]
async fn anchors_are_kept() {
    let test = adopted(ANNIVERSARIES).await;
    let anchors = "select name, cycle, anchor_day, anchor_month from organizations order by name";
    assert_eq!(
        test.rows(anchors).await,
        [
            "15th monthly 15 2",
            "1st, kept in UTC monthly 1 12",
            "1st, last moment monthly 1 2",
            "28th monthly 28 3",
            "31st, after it monthly 31 3",
            "31st, short month monthly 31 2",
            "a year from May 9 yearly 9 5",
            "afternoon of the 15th monthly 15 2",
            "none monthly 1 1",
        ]
    );
    // So the period that is opened is a whole one, from anchor to anchor.
    let open = "select extract(day from current_period_start at time zone time_zone) as start,
                       extract(day from current_period_end at time zone time_zone) as ends
                from organizations where name = '15th'";
    assert_eq!(test.rows(open).await, ["15 15"]);
}

#[tokio::test]
async fn subscriptions_bring_their_anchors() {
    let test = adopted(
        "create table org_subscriptions (org_id uuid, current_period_start timestamp,
                                         current_period_end timestamp);
         insert into org_subscriptions values
             ('00000000-0000-0000-0000-000000000001', '2026-01-31', '2026-02-28'),
             ('00000000-0000-0000-0000-000000000002', '2026-01-15', '2026-02-14 23:59:59'),
             ('00000000-0000-0000-0000-000000000003', '2026-11-16', '2026-11-23')",
    )
    .await;
    let anchors = "select cycle, anchor_day from organizations order by id";
    assert_eq!(test.rows(anchors).await, ["monthly 31", "monthly 15", "weekly 1"]);
}

#[tokio::test]
async fn only_what_is_a_last_moment_is_moved() {
    let test = situation(
        "create table organizations (
             id uuid primary key default gen_random_uuid(), name text,
             cycle text default 'monthly',
             current_period_start timestamptz, current_period_end timestamptz);
         insert into organizations (name, current_period_start, current_period_end)
         select name, now() - interval '1 day', (current_date + 9)::timestamptz + v.late
         from (values ('honest', interval '10:30:59'), ('midnight', interval '23:59:59.999'),
                      ('Nepal', interval '18:14:59'), ('early', interval '10:30:00'))
              as v (name, late);
         create table user_feature_usage (user_id uuid, feature text, usage_count integer,
                                          period_start date, period_end date);
         insert into user_feature_usage values
             (gen_random_uuid(), 'a', 1, '2025-01-01', '2025-01-31'),
             (gen_random_uuid(), 'b', 1, '2025-01-01', '2025-02-01')",
    )
    .await;
    let report = test.periodd(&["--format", "json", "db", "import"]).exits(3).json();
    let found = report["found"].as_array().expect("findings");
    let inclusive = found.iter().filter(|f| f["what"].as_str().unwrap().contains("inclusive end"));
    assert_eq!(inclusive.map(|f| f["count"].as_i64().unwrap()).sum::<i64>(), 3, "{found:#?}");
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    let ends = "select name, to_char(current_period_end, 'HH24:MI:SS.MS') as at
                from organizations where name !~ '-' order by name";
    assert_eq!(
        test.rows(ends).await,
        [
            "Nepal 18:15:00.000",
            "early 10:30:00.000",
            "honest 10:30:59.000",
            "midnight 00:00:00.000"
        ]
    );
    let counters = "select feature, period_end from feature_usage order by 1";
    assert_eq!(test.rows(counters).await, ["a 2025-02-01T00:00:00Z", "b 2025-02-01T00:00:00Z"]);
    test.periodd(&["db", "verify"]).exits(0);
}

/// An org with usage in its open period, in a database that periodd works in.
async fn in_use() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.periodd(&["orgs", "add", "acme", "--name", "Acme", "--zone", "UTC"]).exits(0);
    test.periodd(&["orgs", "add", "other", "--name", "Other", "--zone", "UTC"]).exits(0);
    test.periodd(&["rollover"]).exits(0);
    test.sql("select record_usage(id, 'sms_sent', 5) from organizations").await;
    test
}

#[tokio::test]
async fn periods_of_a_database_in_use_are_mended() {
    let inclusive = "
        update usage_counters set period_end = period_end - interval '1 millisecond';
        update organizations
        set current_period_end = current_period_end - interval '1 millisecond'";
    let inverted = "update organizations set current_period_end = current_period_start";
    let unused = "delete from usage_counters; delete from usage_metrics;
                  update organizations set current_period_end = current_period_start";
    let parked = "update organizations set current_period_end = current_period_start,
                      parked_at = now(), parked_code = 'inverted_period',
                      parked_reason = 'the period x does not end after it starts'";
    for fault in [inclusive, inverted, unused, parked] {
        let test = in_use().await;
        let ends = "select slug, current_period_start, current_period_end, parked_at
                    from organizations order by 1";
        let counters =
            "select org_id, period_start, period_end, used from usage_counters order by 1";
        let (before, counted) = (test.rows(ends).await, test.rows(counters).await);
        test.periodd(&["db", "import"]).exits(0);
        test.sql(fault).await;
        test.periodd(&["doctor"]).exits(3);
        test.periodd(&["db", "verify"]).exits(3);
        test.periodd(&["db", "import"]).exits(3);
        test.periodd(&["db", "import", "--apply"]).exits(5);
        test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
        assert_eq!(test.rows(ends).await, before, "{fault}");
        if fault != unused {
            assert_eq!(test.rows(counters).await, counted, "{fault}");
        }
        test.check_invariants().await;
        test.periodd(&["db", "verify"]).exits(0);
        let again = test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
        assert!(again.stdout.contains("nothing to import"), "{}", again.stdout);
    }
}

#[tokio::test]
async fn what_was_migrated_first_is_adopted_while_nothing_is_in_it() {
    let test = TestDatabase::new().await;
    test.sql(&format!(
        "create table sms_usage (org_id uuid, period_start timestamp, period_end timestamp,
                                 sms_count integer);
         insert into sms_usage values ('{ORG}', '2025-01-01', '2025-02-01', 7);
         create table org_subscriptions (org_id uuid, current_period_start timestamp,
                                         current_period_end timestamp);
         insert into org_subscriptions values ('{ORG}', '2025-01-15', '2025-02-15')"
    ))
    .await;
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    let sums =
        "select used, anchor_day from usage_counters c join organizations o on o.id = c.org_id";
    assert_eq!(test.rows(sums).await, ["7 15"]);
    test.periodd(&["db", "verify"]).exits(0);
    test.periodd(&["db", "import"]).exits(0);
}

#[tokio::test]
async fn what_stays_behind_is_told() {
    let test = situation(include_str!("001.sql")).await;
    test.sql(
        "create function f() returns trigger language plpgsql as 'begin return new; end';
         create trigger t before update on users for each row execute function f();
         alter table users enable row level security;
         create policy own on users using (true);
         grant select on users to public;
         alter table users add shout text generated always as (upper(email)) stored,
                           add badge text unique,
                           add place serial;
         create table features (name text, colour text);
         insert into features values ('x', 'red');
         create table subscription_tiers (code text primary key, name text, price_cents integer,
                                          colour text);
         insert into subscription_tiers values ('PRO', 'Professional', 500000, 'red'),
                                               ('gold', 'Gold', 100, 'gold')",
    )
    .await;
    let report = test.periodd(&["db", "import"]).exits(3).stdout;
    for words in [
        "1  triggers",
        "1  row-level security policies",
        "1  grants",
        "constraints on other columns of users",
        "generated columns of users",
        "rows of features, a name that periodd needs",
        "columns of subscription_tiers that periodd's table does not have",
    ] {
        let spaced = report.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.replace("  ", " ");
        assert!(spaced.contains(&words), "{words}\n{report}");
    }
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    let users = "select count(*) from users where shout = upper(email) and place > 0";
    assert_eq!(test.rows(users).await, ["6"]);
    let tiers = "select code, name, monthly_price_cents from subscription_tiers
                 where code in ('pro', 'gold') order by 1";
    assert_eq!(test.rows(tiers).await, ["gold Gold 100", "pro Professional 500000"]);
    test.periodd(&["--yes", "db", "import", "--drop-legacy"]).exits(0);
    // The column still counts on.
    test.sql(
        "insert into users (id, organization_id, email) select gen_random_uuid(), id, 'l@x.de'
         from organizations limit 1",
    )
    .await;
}

#[tokio::test]
async fn undo_says_what_was_built_on_the_new_tables() {
    let test = adopted(include_str!("001.sql")).await;
    test.sql(
        "create view names as select slug from organizations;
         create table notes (org uuid constraint notes_org references organizations (id))",
    )
    .await;
    let refused = test.periodd(&["db", "import", "--undo"]).exits(5).stderr;
    assert!(refused.contains("view names") && refused.contains("notes_org"), "{refused}");
    assert!(!refused.contains("activities"), "what is pointed back is not lost: {refused}");
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
    // Nothing but an org of one, and nothing that would go: still not asked.
    let test = adopted(
        "create table users (id uuid primary key, email text);
         insert into users values (gen_random_uuid(), 'a@example.com')",
    )
    .await;
    test.periodd(&["db", "import", "--undo"]).exits(0);
}

#[tokio::test]
async fn naive_timestamps_are_of_the_zone_that_is_named() {
    for (zone, instants) in [
        (&[][..], ["2026-01-15T12:00:00Z", "2026-07-15T12:00:00Z"]),
        (&["--naive-zone", "Europe/Berlin"], ["2026-01-15T11:00:00Z", "2026-07-15T10:00:00Z"]),
    ] {
        let test = situation(include_str!("004.sql")).await;
        test.sql(
            "delete from usage_events;
             insert into usage_events (organisation_id, feature, created_at)
             select o.id, 'API_CALLS', t.at::timestamp
             from organisations o, (values ('2026-01-15 12:00'), ('2026-07-15 12:00')) as t (at)
             where slug = 'acme'",
        )
        .await;
        test.periodd(&[&["--yes", "db", "import", "--apply"], zone].concat()).exits(0);
        assert_eq!(test.rows("select created_at from usage_metrics order by 1").await, instants);
        test.periodd(&["db", "verify"]).exits(0);
    }
}

#[tokio::test]
async fn a_clean_database_gets_the_schema_and_nothing_else() {
    let test = TestDatabase::empty().await;
    let look = test.periodd(&["db", "import"]).exits(0);
    assert!(look.stdout.contains("there is nothing to import"), "{}", look.stdout);
    let schema = "select to_regclass('organizations') is not null as made";
    assert_eq!(test.rows(schema).await, ["false"]);
    let done = test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    assert!(done.stdout.contains("the schema was made"), "{}", done.stdout);
    test.periodd(&["rollover"]).exits(0);
    let before = test.contents().await;
    let again = test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    assert!(again.stdout.ends_with("there is nothing to import\n"), "{}", again.stdout);
    assert_eq!(test.contents().await, before);
    test.periodd(&["db", "verify"]).exits(0);
}
