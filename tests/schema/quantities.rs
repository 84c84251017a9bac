//! Quantities are exact, finite, of at most 6 decimals, and not negative unless they are signed:
//! tried with real values on every numeric column.

use sqlx::{Connection, PgConnection};

use crate::inserts::insert_smallest_rows;
use crate::support::TestDatabase;

/// Columns in which a value below zero means something.
const SIGNED: [&str; 18] = [
    "billing_adjustments.drawn",
    "billing_adjustments.uncovered",
    "billing_adjustments.used",
    "billing_period_usage.used",
    "feature_usage.usage_count",
    "organizations.used_minutes",
    "periodd_import_sums.amount",
    "periodd_usage_keys.quantity",
    "overage_entries.quantity",
    "periodd_derived.written",
    "periodd_drift.after",
    "periodd_drift.before",
    "periodd_drift.difference",
    // A pack below zero is a fault of whoever wrote it: its org is parked, with this as the reason.
    "overage_packs.remaining",
    "periodd_alert_limits.used",
    "periodd_alerts.used",
    "usage_counters.used",
    "usage_metrics.metric_value",
];
/// Also signed: a derived copy of a signed counter.
const SIGNED_COPY: &str = "users.usage_this_month";

const NO_QUANTITIES: [&str; 6] =
    ["'NaN'", "'Infinity'", "'-Infinity'", "0.0000001", "1e22", "-1e30"];
const QUANTITIES: [&str; 3] = ["1", "0.000001", "1234567890123456.123456"];

/// Every numeric column: table and column.
async fn numeric_columns(test: &TestDatabase) -> Vec<(String, String)> {
    let columns = test
        .rows(
            "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
               and a.attnum > 0 and a.atttypid in ('numeric'::regtype, 'numeric[]'::regtype)
             order by 1, 2",
        )
        .await;
    let pair = |line: &String| {
        let (table, column) = line.split_once(' ').expect("two columns");
        (table.to_owned(), column.to_owned())
    };
    columns.iter().map(pair).collect()
}

/// A database with one row in every table, and without the checks that span several columns:
/// each column is to stand up for itself.
async fn prepared() -> TestDatabase {
    let test = TestDatabase::new().await;
    insert_smallest_rows(&test).await;
    let spanning = test
        .rows(
            "select format('alter table %s drop constraint %I', conrelid::regclass, conname)
             from pg_constraint
             where contype = 'c' and cardinality(conkey) > 1
               and connamespace = 'public'::regnamespace",
        )
        .await;
    assert!(!spanning.is_empty());
    test.sql(&spanning.join(";")).await;
    test
}

/// Writes a value and takes it back. `Err` holds the SQLSTATE.
async fn try_value(
    connection: &mut PgConnection,
    (table, column): &(String, String),
    value: &str,
) -> Result<u64, String> {
    let mut transaction = connection.begin().await.expect("a transaction");
    let update = format!("update {table} set {column} = {value}");
    let written = sqlx::raw_sql(sqlx::AssertSqlSafe(update)).execute(&mut *transaction).await;
    transaction.rollback().await.expect("a rollback");
    match written {
        Ok(done) => Ok(done.rows_affected()),
        Err(error) => {
            let code = error.into_database_error().and_then(|error| Some(error.code()?.into()));
            Err(code.expect("an SQLSTATE"))
        }
    }
}

#[tokio::test]
async fn what_is_no_quantity_is_refused_by_every_column() {
    let test = prepared().await;
    let mut connection = test.connect().await;
    let columns = numeric_columns(&test).await;
    assert!(columns.len() >= 18, "the numeric columns are where they were: {columns:?}");
    for place in &columns {
        for value in NO_QUANTITIES {
            let answer = try_value(&mut connection, place, value).await;
            assert_eq!(answer, Err("23514".to_owned()), "{place:?} takes {value}: add a check");
        }
        for value in QUANTITIES {
            let answer = try_value(&mut connection, place, value).await;
            assert!(matches!(answer, Ok(1..)), "{place:?} refuses {value}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn only_signed_columns_take_less_than_zero() {
    let test = prepared().await;
    let mut connection = test.connect().await;
    for place in &numeric_columns(&test).await {
        let name = format!("{}.{}", place.0, place.1);
        let answer = try_value(&mut connection, place, "-1").await;
        if SIGNED.contains(&name.as_str()) || name == SIGNED_COPY {
            assert!(matches!(answer, Ok(1..)), "{name} refuses -1: {answer:?}");
        } else {
            assert_eq!(answer, Err("23514".to_owned()), "{name} takes -1: add a check");
        }
    }
}

#[tokio::test]
async fn a_closed_usage_that_does_not_add_up_is_refused() {
    let test = TestDatabase::new().await;
    insert_smallest_rows(&test).await;
    let mut connection = test.connect().await;
    for (values, adds_up) in [
        ("used = 10, included = 4, drawn = 5, uncovered = 1", true),
        ("used = 3, included = 4, drawn = 0, uncovered = 0", true),
        ("used = 10, included = null, drawn = 0, uncovered = 0", true),
        ("used = 10, included = 4, drawn = 5, uncovered = 0", false),
        ("used = 3, included = 4, drawn = 1, uncovered = 0", false),
        ("used = 10, included = null, drawn = 0, uncovered = 10", false),
    ] {
        let update = format!("update billing_period_usage set {values}");
        let written = sqlx::raw_sql(sqlx::AssertSqlSafe(update)).execute(&mut connection).await;
        assert_eq!(written.is_ok(), adds_up, "{values}");
    }
}
