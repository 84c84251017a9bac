//! That closed periods touch, and that periods are not empty, is a fact of the schema.

use sqlx::Connection;

use crate::support::TestDatabase;

const ORG: &str = "00000000-0000-0000-0000-000000000001";

async fn two_closed_periods() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(&format!(
        "insert into organizations (id, slug, name, time_zone) values
             ('{ORG}', 'acme', 'Acme', 'UTC'),
             ('00000000-0000-0000-0000-000000000002', 'other', 'Other', 'UTC');
         insert into billing_periods (org_id, period_start, period_end, follows) values
             ('{ORG}', '2026-01-01Z', '2026-02-01Z', null),
             ('{ORG}', '2026-02-01Z', '2026-03-01Z', '2026-02-01Z'),
             ('00000000-0000-0000-0000-000000000002', '2026-04-01Z', '2026-05-01Z', null)"
    ))
    .await;
    test
}

/// Asserts that the statement is refused with one of these SQLSTATEs, and changes nothing.
async fn refused(test: &TestDatabase, statement: &str, codes: &[&str]) {
    let mut connection = test.connect().await;
    let mut transaction = connection.begin().await.expect("a transaction");
    let script = sqlx::AssertSqlSafe(statement.to_owned());
    let answer = sqlx::raw_sql(script).execute(&mut *transaction).await;
    let error = answer.err().unwrap_or_else(|| panic!("the schema allows: {statement}"));
    let code = error.into_database_error().and_then(|error| Some(error.code()?.into_owned()));
    let code = code.expect("an SQLSTATE");
    assert!(codes.contains(&code.as_str()), "{statement}: refused with {code}");
}

const CHECK: &str = "23514";
const FOREIGN_KEY: &str = "23503";
const UNIQUE: &str = "23505";

#[tokio::test]
async fn the_next_period_may_follow() {
    let test = two_closed_periods().await;
    test.sql(&format!(
        "insert into billing_periods (org_id, period_start, period_end, follows)
         values ('{ORG}', '2026-03-01Z', '2026-04-01Z', '2026-03-01Z')"
    ))
    .await;
}

#[tokio::test]
async fn gaps_overlaps_repeats_and_second_beginnings_are_refused() {
    let test = two_closed_periods().await;
    let insert = |start: &str, end: &str, follows: &str| {
        format!(
            "insert into billing_periods (org_id, period_start, period_end, follows)
             values ('{ORG}', '{start}', '{end}', {follows})"
        )
    };
    let bounds = [
        ("a gap", "2026-04-01Z", "2026-05-01Z"),
        ("an overlap in the middle", "2026-02-15Z", "2026-03-15Z"),
        ("an overlap at the start", "2026-01-01Z", "2026-01-15Z"),
        ("an overlap of everything", "2025-12-01Z", "2026-04-01Z"),
        ("a repeat", "2026-02-01Z", "2026-03-01Z"),
        ("another end", "2026-02-01Z", "2026-04-01Z"),
        ("a second beginning", "2025-12-01Z", "2026-01-01Z"),
    ];
    for (what, start, end) in bounds {
        println!("{what}");
        refused(&test, &insert(start, end, "null"), &[UNIQUE]).await;
        let follows = format!("'{start}'");
        refused(&test, &insert(start, end, &follows), &[UNIQUE, FOREIGN_KEY]).await;
        // A predecessor that exists, but ends elsewhere.
        for elsewhere in ["'2026-03-01Z'", "'2026-02-01Z'"] {
            if elsewhere != follows {
                refused(&test, &insert(start, end, elsewhere), &[CHECK]).await;
            }
        }
    }
}

#[tokio::test]
async fn another_orgs_period_is_no_predecessor() {
    let test = two_closed_periods().await;
    let insert = format!(
        "insert into billing_periods (org_id, period_start, period_end, follows)
         values ('{ORG}', '2026-05-01Z', '2026-06-01Z', '2026-05-01Z')"
    );
    refused(&test, &insert, &[FOREIGN_KEY]).await;
}

#[tokio::test]
async fn the_chain_cannot_be_cut_afterwards() {
    let test = two_closed_periods().await;
    let of_org = format!("where org_id = '{ORG}'");
    for (statement, code) in [
        (
            "update billing_periods set period_end = '2026-02-02Z' {} and follows is null",
            FOREIGN_KEY,
        ),
        (
            "update billing_periods set period_start = '2026-02-02Z' {} and follows is not null",
            CHECK,
        ),
        ("update billing_periods set follows = null {}", UNIQUE),
        ("delete from billing_periods {} and follows is null", FOREIGN_KEY),
    ] {
        refused(&test, &statement.replace("{}", &of_org), &[code]).await;
    }
}

#[tokio::test]
async fn an_empty_or_inverted_period_is_refused_wherever_one_is_kept() {
    let test = two_closed_periods().await;
    let kept = test
        .rows(
            "select c.relname from pg_class c
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
               and (select count(*) from pg_attribute a where a.attrelid = c.oid
                    and a.attname in ('period_start', 'period_end')) = 2
             order by 1",
        )
        .await;
    let tried = [
        "billing_periods",
        "feature_usage",
        "periodd_alert_limits",
        "periodd_alerts",
        "periodd_outbox",
        "usage_counters",
    ];
    assert_eq!(kept, tried, "try a new one, too");
    for (columns, values) in [
        ("billing_periods (org_id", format!("'{ORG}'")),
        (
            "feature_usage (organization_id, user_id, feature",
            format!("'{ORG}', '{ORG}', 'scrapes'"),
        ),
        ("usage_counters (org_id, feature", format!("'{ORG}', 'scrapes'")),
        ("periodd_alert_limits (org_id, feature", format!("'{ORG}', 'scrapes'")),
        ("periodd_alerts (org_id, feature, threshold", format!("'{ORG}', 'scrapes', 80")),
        (
            "periodd_outbox (org_id, feature, threshold, recipient",
            format!("'{ORG}', 'scrapes', 80, 'a@example.com'"),
        ),
    ] {
        for end in ["2026-06-01Z", "2026-05-31Z", "-infinity"] {
            let insert = format!(
                "insert into {columns}, period_start, period_end)
                 values ({values}, '2026-06-01Z', '{end}')"
            );
            refused(&test, &insert, &[CHECK]).await;
        }
    }
}
