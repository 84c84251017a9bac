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
    "billing_periods.used_each",
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

/// A column that holds a quantity, or an array of them.
#[derive(Debug)]
struct Place {
    table: String,
    column: String,
    is_array: bool,
}

/// Every numeric column.
async fn numeric_columns(test: &TestDatabase) -> Vec<Place> {
    let columns = test
        .rows(
            "select c.relname, a.attname, a.atttypid = 'numeric[]'::regtype
             from pg_class c join pg_attribute a on a.attrelid = c.oid
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
               and a.attnum > 0 and a.atttypid in ('numeric'::regtype, 'numeric[]'::regtype)
             order by 1, 2",
        )
        .await;
    let place = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        let [table, column, is_array] = words[..] else { panic!("three columns: {line}") };
        let (table, column) = (table.to_owned(), column.to_owned());
        Place { table, column, is_array: is_array == "true" }
    };
    columns.iter().map(place).collect()
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
    Place { table, column, is_array }: &Place,
    value: &str,
) -> Result<u64, String> {
    let mut transaction = connection.begin().await.expect("a transaction");
    // In an array the second is looked at as well as the first.
    let value = if *is_array { format!("array[1, {value}]::numeric[]") } else { value.to_owned() };
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
        let name = format!("{}.{}", place.table, place.column);
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
    // Features, used, included, drawn and uncovered.
    for (values, adds_up) in [
        ("{} {} {} {} {}", true),
        ("{a} {10} {4} {5} {1}", true),
        ("{a} {3} {4} {0} {0}", true),
        ("{a} {10} {null} {0} {0}", true),
        ("{A,a} {10,-7} {4,0.5} {5,0} {1,0}", true),
        ("{a} {10} {4} {5} {0}", false),
        ("{a} {3} {4} {1} {0}", false),
        ("{a} {10} {null} {0} {10}", false),
        // The second of several.
        ("{A,a} {10,3} {4,4} {5,1} {1,0}", false),
        // A feature has one place, in the order of their bytes, and a value in each array.
        ("{a,a} {3,3} {4,4} {0,0} {0,0}", false),
        ("{a,A} {3,3} {4,4} {0,0} {0,0}", false),
        ("{null} {3} {4} {0} {0}", false),
        ("{a} {null} {4} {0} {0}", false),
        ("{a} {3} {4} {null} {0}", false),
        ("{a} {3} {4} {0} {null}", false),
        ("{a} {3,3} {4} {0} {0}", false),
        ("{a} {3} {} {0} {0}", false),
        ("{a} {3} {4} {0,0} {0}", false),
        ("{a} {3} {4} {0} {}", false),
        ("{} {3} {} {} {}", false),
        ("[2:2]={a} [2:2]={3} [2:2]={4} [2:2]={0} [2:2]={0}", false),
        ("{{a},{b}} {{3},{3}} {{4},{4}} {{0},{0}} {{0},{0}}", false),
    ] {
        let arrays: Vec<&str> = values.split(' ').collect();
        let [features, used, included, drawn, uncovered] = arrays[..] else { panic!("{values}") };
        let update = format!(
            "update billing_periods set features = '{features}', used_each = '{used}',
                 included_each = '{included}', drawn_each = '{drawn}',
                 uncovered_each = '{uncovered}'"
        );
        let written = sqlx::raw_sql(sqlx::AssertSqlSafe(update)).execute(&mut connection).await;
        assert_eq!(written.is_ok(), adds_up, "{values}: {written:?}");
    }
}
