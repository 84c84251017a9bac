//! `periodd capacity`: its figures are those of a database that the program's own jobs made.

use crate::support::TestDatabase;

const ORGS: u64 = 4_000;
const FEATURES: u64 = 3;
/// Metrics of an org and day.
const METRICS: u64 = 1;
/// Of 100 orgs, how many buy a pack for each of the two periods.
const PACKS: u64 = 10;

/// Orgs in their March, with a user and packs.
fn story() -> String {
    format!(
        "insert into tier_limits
         select 'pro', f, 5 from unnest(array['minutes_transcribed', 'sms_sent', 'scrapes']) f;
         insert into organizations
             (slug, name, time_zone, subscription_tier, current_period_start, current_period_end,
              current_period_end_date, next_period_ends, ends_time_zone, ends_cycle,
              ends_anchor_day, ends_anchor_month, ends_tzdb_version)
         select 'org-' || i, 'Org ' || i, 'Europe/Berlin', 'pro', '2026-02-28T23:00Z',
                '2026-03-31T22:00Z', '2026-04-01',
                array['2026-04-30T22:00Z', '2026-05-31T22:00Z', '2026-06-30T22:00Z']::timestamptz[],
                'Europe/Berlin', 'monthly', 1, 1, '2099z'
         from generate_series(1, {ORGS}) i;
         insert into users (organization_id, email)
         select id, slug || '@example.org' from organizations;
         select grant_overage_pack(o.id, 'minutes_transcribed', 1000, 'r' || p, null,
                                   timestamptz '2026-03-02Z' + p * interval '1 month')
         from organizations o, generate_series(0, 1) p
         where right(o.slug, 1) = '7'"
    )
}

/// Two months of usage, recorded as applications record it: a batch for each day and some orgs.
fn usage() -> String {
    let days = 61;
    format!(
        "do $$
         declare v_page record;
         begin
             for v_page in
                 select jsonb_agg(jsonb_build_object(
                            'org_id', o.id, 'user_id', u.id, 'amount', 1,
                            'feature', (array['minutes_transcribed', 'sms_sent', 'scrapes'])
                                       [1 + (d * {METRICS} + n) % {FEATURES}],
                            'used_at', timestamptz '2026-03-01T12:00Z' + d * interval '1 day'))
                        as events
                 from generate_series(0, {days} - 1) d, generate_series(1, {METRICS}) n,
                      organizations o join users u on u.organization_id = o.id
                 group by d, left(o.slug, 5)
             loop
                 perform record_usage_batch(v_page.events);
                 -- As applications do: what is no longer seen makes room.
                 commit;
             end loop;
         end $$"
    )
}

/// Figures of the command, as JSON.
fn figures(test: &TestDatabase, arguments: &[&str]) -> serde_json::Value {
    test.periodd(&[&["capacity", "--format", "json"], arguments].concat()).exits(0).json()
}

#[tokio::test]
async fn the_formula_says_how_large_a_database_becomes() {
    let test = TestDatabase::new().await;
    let number = |rows: Vec<String>| -> f64 { rows[0].parse().expect("a number") };
    test.sql(&story()).await;
    test.sql(&usage()).await;
    test.sql("vacuum analyze").await;
    // Two closes of each org, and WAL of both.
    let lsn = test.rows("select pg_current_wal_insert_lsn()").await;
    for first in ["2026-04-01T12:00:00Z", "2026-05-01T12:00:00Z"] {
        test.periodd(&["rollover", "--at", first]).exits(0);
    }
    let written = format!("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{}')", lsn[0]);
    let wal = number(test.rows(&written).await);
    test.check_invariants().await;
    assert_eq!(test.rows("select count(*) from billing_periods").await, [(2 * ORGS).to_string()]);
    // What increments left behind, and when it was swept, is not in the formula.
    test.sql("vacuum full usage_counters").await;
    test.sql("vacuum full feature_usage").await;
    let size = number(test.rows("select pg_database_size(current_database())").await);
    let (orgs, metrics) = (ORGS.to_string(), (ORGS * METRICS).to_string());
    let features = FEATURES.to_string();
    let packs = PACKS.to_string();
    let said = figures(
        &test,
        &[
            "--orgs",
            &orgs,
            "--features",
            &features,
            "--metrics-per-day",
            &metrics,
            "--months",
            "2",
            "--keep",
            "forever",
            "--packs-share",
            &packs,
            "--alerts-share",
            "0",
        ],
    );
    let tables = "select string_agg(relname || ' ' || pg_total_relation_size(c.oid)
                         || ' ' || c.reltuples, E'\\n' order by relname) from pg_class c
                  where relkind = 'r' and relnamespace = 'public'::regnamespace
                    and pg_total_relation_size(c.oid) > 200000";
    let told = test.rows(tables).await.join("\n");
    let predicted = said["bytes"].as_f64().expect("bytes");
    let off = predicted / size;
    assert!(
        (0.9..1.1).contains(&off),
        "{predicted} predicted, {size} found: {off}\n{told}\n{said:#}"
    );
    let predicted = 2.0 * said["wal_bytes"].as_f64().expect("bytes");
    let off = predicted / wal;
    assert!((0.7..1.4).contains(&off), "{predicted} of WAL predicted, {wal} written: {off}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let test = TestDatabase::new().await;
    let all = ["--orgs", "1k", "--features", "3", "--metrics-per-day", "1k"];
    test.periodd(&[&["capacity"], &all[..]].concat()).exits(0);
    for (key, value, why) in [
        ("--orgs", "many", "write a whole number"),
        ("--features", "0", "1..=1000"),
        ("--metrics-per-day", "1.5m", "write a whole number"),
        ("--keep", "25", "calendar duration"),
        ("--months", "0", "1..=1200"),
        ("--cycle", "fortnightly", "monthly"),
    ] {
        let mut words = vec!["capacity", key, value];
        for pair in all.chunks(2).filter(|pair| pair[0] != key) {
            words.extend(pair);
        }
        let refused = test.periodd(&words).exits(2);
        assert!(refused.stderr.contains(why), "{key} {value}: {}", refused.stderr);
    }
}

#[test]
fn the_page_prints_what_the_command_prints() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/growing.md");
    let text = std::fs::read_to_string(page).expect("a page");
    let mut seen = 0;
    for block in text.split("```console\n$ ").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let (command, printed) = block.split_once('\n').expect("a command and its answer");
        let words = command.strip_prefix("periodd ").expect("a command of ours").split(' ');
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_periodd")).args(words).output();
        let said = run.expect("the binary runs").stdout;
        let said = String::from_utf8(said).expect("UTF-8");
        let lines = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(lines(said.trim_end()), lines(printed.trim_end()), "{command}");
        seen += 1;
    }
    assert_eq!(seen, 3);
}
