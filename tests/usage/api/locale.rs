//! Names match without regard to case, whatever the database's locale makes of an I.

use sqlx::{Connection, PgConnection};

use crate::api::customer;
use crate::support::{TestDatabase, url_of};

/// An empty database whose `lower('I')` is no `i`.
async fn turkish() -> TestDatabase {
    // The name and the configuration of a test database, in another locale.
    let test = TestDatabase::empty().await;
    test.database.close().await;
    let mut server = PgConnection::connect(&url_of("postgres")).await.expect("the test server");
    let name = &test.name;
    for statement in [
        format!("drop database {name} with (force)"),
        format!("create database {name} template template0 locale_provider icu icu_locale 'tr-TR'"),
    ] {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut server).await;
        done.expect("another database");
    }
    assert_ne!(test.rows("select lower('I')").await, ["i"], "the locale folds as Turkish does");
    test
}

#[tokio::test]
async fn names_match_without_regard_to_case_in_a_turkish_database() {
    let test = turkish().await;
    test.periodd(&["db", "migrate"]).exits(0);
    test.sql("insert into tier_limits values ('pro', 'minutes_transcribed', 100)").await;
    let acme = customer(&test, "acme").await;
    let (org, user) = (acme.org, acme.user);
    test.sql(&format!(
        "select increment_feature_usage('{user}', 'MINUTES_TRANSCRIBED', 1);
         select record_usage('{org}', 'Minutes_TranscrIbed', 2);
         select grant_overage_pack('{org}', 'MINUTES_TRANSCRIBED', 7, 'r',
                                   now() + interval '1 second');
         insert into usage_metrics (organization_id, metric_type, metric_value)
             values ('{org}', 'MINUTES_TRANSCRIBED', 4), ('{org}', 'MINIMS', 1)"
    ))
    .await;
    test.periodd(
        &["usage", "record", "--org", "acme", "--feature", "MINUTES_TRANSCRIBED"]
            .into_iter()
            .chain(["--quantity", "8"])
            .collect::<Vec<_>>(),
    )
    .exits(0);
    test.periodd(&["sync", "--full"]).exits(0);
    let counters = "select feature, used from usage_counters order by 1";
    assert_eq!(test.rows(counters).await, ["minims 1", "minutes_transcribed 15"]);
    assert_eq!(test.rows("select used_minutes from organizations").await, ["15"]);
    let checked = test.periodd(
        &["usage", "check", "--org", "acme", "--feature", "MINUTES_TRANSCRIBED"]
            .into_iter()
            .chain(["--quantity", "1", "--format", "json"])
            .collect::<Vec<_>>(),
    );
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{checked:?}");
    assert_eq!(
        test.rows("select count(*) from get_current_usage_period('EUROPE/ISTANBUL')").await,
        ["1"]
    );
    test.periodd(&["--yes", "rollover", "--early"]).exits(0);
    let closed = "select feature, used, included from billing_period_usage order by 1";
    assert_eq!(test.rows(closed).await, ["minims 1 0", "minutes_transcribed 15 100"]);
    test.periodd(&["sync", "--full", "--check"]).exits(0);
    test.check_invariants().await;
}

#[tokio::test]
async fn folding_a_name_finds_the_index_and_agrees_with_the_rest_of_the_database() {
    let test = TestDatabase::new().await;
    let plan = test
        .rows(
            "select string_agg(pg_get_indexdef(i.indexrelid), ' ') from pg_index i
             where i.indrelid = 'features'::regclass",
        )
        .await;
    assert!(plan[0].contains("(feature)"), "{plan:?}");
    let mut connection = test.connect().await;
    sqlx::raw_sql("set enable_seqscan = off").execute(&mut connection).await.unwrap();
    let lines: Vec<String> = sqlx::query_scalar(
        "explain select from features f where f.feature = periodd_folded('SCRAPES')",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(lines.concat().contains("Index Cond"), "{lines:?}");
    let folded = "select periodd_folded('SMS_Sent') as name, periodd_folded(null) as nothing,
                         periodd_folded('I') = 'i' as is_ascii";
    assert_eq!(test.rows(folded).await, ["sms_sent - true"]);
}
