//! The way that every situation takes: report, apply, verify, again, a rollover, undo.

use crate::adoption::{adopted, situation};
use crate::support::TestDatabase;

/// Everything in a database: what there is, and what it holds.
pub(crate) async fn everything(test: &TestDatabase) -> Vec<String> {
    let mut all = test
        .rows(
            "select c.relkind, c.relname,
                    coalesce(pg_get_viewdef(case when c.relkind = 'v' then c.oid end), '-') as view,
                    coalesce(pg_get_indexdef(case when c.relkind = 'i' then c.oid end), '-') as idx
             from pg_class c where relnamespace = 'public'::regnamespace
             union all
             select 'k', conname, conrelid::regclass::text, pg_get_constraintdef(oid)
             from pg_constraint
             where connamespace = 'public'::regnamespace
             union all
             select 'f', proname, '', '' from pg_proc where pronamespace = 'public'::regnamespace
             union all
             select 'c', attrelid::regclass::text || '.' || attname, attnum::text,
                    format_type(atttypid, atttypmod)
             from pg_attribute a join pg_class c on c.oid = a.attrelid
             where relnamespace = 'public'::regnamespace and attnum > 0 and relkind = 'r'
             order by 1, 2, 3, 4",
        )
        .await;
    let tables = test
        .rows(
            "select relname from pg_class
             where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1",
        )
        .await;
    for table in tables {
        let (text, name) = (table.replace('\'', "''"), table.replace('"', "\"\""));
        let rows =
            format!("select '{text}' as t, to_jsonb(x)::text as r from \"{name}\" x order by 2");
        all.extend(test.rows(&rows).await);
    }
    all
}

async fn goes_all_the_way(sql: &str) {
    let test = situation(sql).await;
    let before = everything(&test).await;

    // A migration alone would find its names taken: it says what to do and changes nothing.
    let refused = test.periodd(&["db", "migrate"]);
    if refused.code != 0 {
        assert!(refused.stderr.contains(" db import`"), "{}", refused.stderr);
        assert_eq!(everything(&test).await, before);
    }

    // The report changes nothing, and is asked for twice in different words.
    let report = test.periodd(&["db", "import"]).exits(3);
    assert!(report.stdout.contains("_legacy"), "{}", report.stdout);
    let json = test.periodd(&["--format", "json", "db", "import", "--dry-run"]).exits(3).json();
    assert!(!json["found"].as_array().expect("findings").is_empty());
    assert_eq!(everything(&test).await, before);
    // Without a person to ask, nothing is replaced.
    test.periodd(&["db", "import", "--apply"]).exits(5);
    assert_eq!(everything(&test).await, before);

    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    test.periodd(&["db", "verify"]).exits(0);
    test.check_invariants().await;
    let imported = test.contents().await;
    let again = test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    assert!(again.stdout.contains("nothing to import"), "{}", again.stdout);
    assert_eq!(test.contents().await, imported);
    let unopened = "select count(*) from organizations
                    where not coalesce(current_period_start <= now()
                                       and current_period_end > now(), false)";
    assert_eq!(test.rows(unopened).await, ["0"]);

    // The next period but one, in a sandbox.
    let later = test.rows("select now() + interval '62 days' as at").await;
    test.periodd(&["--at", &later[0], "rollover"]).exits(0);
    assert_eq!(test.rows("select count(*) > 0 as closed from billing_periods").await, ["true"]);
    test.periodd(&["db", "verify"]).exits(0);
    test.check_invariants().await;

    test.periodd(&["--yes", "db", "import", "--undo"]).exits(0);
    assert_eq!(everything(&test).await, before);
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(2);

    // And once more, this time for good.
    test.periodd(&["--yes", "db", "import", "--apply"]).exits(0);
    test.periodd(&["db", "verify"]).exits(0);
    test.periodd(&["--yes", "db", "import", "--drop-legacy"]).exits(0);
    let legacy = "select count(*) from pg_class where relname like '%legacy' and relkind = 'r'";
    assert_eq!(test.rows(legacy).await, ["0"]);
    test.periodd(&["db", "verify"]).exits(0);
    test.periodd(&["--yes", "db", "import", "--undo"]).exits(2);
}

#[tokio::test]
async fn situation_000() {
    goes_all_the_way(include_str!("000.sql")).await;
}

#[tokio::test]
async fn situation_001() {
    goes_all_the_way(include_str!("001.sql")).await;
}

#[tokio::test]
async fn situation_002() {
    goes_all_the_way(include_str!("002.sql")).await;
}

#[tokio::test]
async fn situation_003() {
    goes_all_the_way(include_str!("003.sql")).await;
}

#[tokio::test]
async fn situation_004() {
    goes_all_the_way(include_str!("004.sql")).await;
}

#[tokio::test]
async fn verify_notices_what_went_missing() {
    let test = adopted(include_str!("002.sql")).await;
    test.sql("update usage_metrics set metric_value = metric_value + 1 where metric_value = 50")
        .await;
    let answer = test.periodd(&["db", "verify"]).exits(3);
    assert!(answer.stdout.contains("minutes_transcribed"), "{}", answer.stdout);
}

#[tokio::test]
async fn what_cannot_be_adopted_is_refused_whole() {
    let test = situation(include_str!("002.sql")).await;
    test.sql(
        "alter table organizations add time_zone text default 'UTC';
         update organizations set time_zone = 'Mars/Phobos' where name = 'Cleared'",
    )
    .await;
    let before = everything(&test).await;
    let answer = test.periodd(&["--yes", "db", "import", "--apply"]).exits(5);
    assert!(answer.stderr.contains("an unknown time zone"), "{}", answer.stderr);
    assert_eq!(everything(&test).await, before);
}
