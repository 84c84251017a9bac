//! What the program cannot read, the schema refuses: tried with odd values on every column that
//! holds a quantity, an instant or a date; and databases that hold such values already.

use sqlx::{Connection, PgConnection};

use crate::inserts::insert_smallest_rows;
use crate::support::TestDatabase;

/// Columns in which null means never, and 'infinity' the same.
const NEVER: [&str; 3] = [
    "organizations.paused_until",
    "organizations.subscription_ends_at",
    "overage_packs.expires_at",
];

/// A column, and its type as PostgreSQL writes it.
struct Column {
    table: String,
    name: String,
    kind: String,
}

/// Every column of every table that holds such a value.
async fn columns(test: &TestDatabase) -> Vec<Column> {
    let rows = test
        .rows(
            "select c.relname, a.attname, format_type(a.atttypid, -1) from pg_class c
             join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
               and format_type(a.atttypid, -1) ~ '^(numeric|timestamp|date|time|real|double)'
             order by 1, 2",
        )
        .await;
    let column = |line: String| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut next = || words.next().expect("three columns");
        Column { table: next(), name: next(), kind: next() }
    };
    rows.into_iter().map(column).collect()
}

/// What a column of a type must not hold, and what it must be able to.
fn values(kind: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    match kind {
        "numeric" => (
            vec!["1e22", "-1e22", "1e30", "'NaN'", "'Infinity'", "'-Infinity'", "1e-7"],
            vec!["1", "9999999999999999999999.999999"],
        ),
        "timestamp with time zone" => (
            vec![
                "'infinity'",
                "'-infinity'",
                "'0001-12-31 23:59:59.999999+00 BC'",
                "'4000-01-01 BC'",
                "'10000-01-01 00:00:00+00'",
                "to_timestamp(1796000000000)",
            ],
            vec!["'0001-01-01 00:00:00+00'", "'9999-12-31 23:59:59.999999+00'"],
        ),
        "numeric[]" => (
            vec![
                "'{1e22}'",
                "'{1,-1e22}'",
                "'{NaN}'",
                "'{1,Infinity}'",
                "'{-Infinity}'",
                "'{1,1e-7}'",
                "'{1.00000010}'",
                "'{{1},{2}}'",
            ],
            vec!["'{}'", "'{1,-2}'", "'{1.0000000,9999999999999999999999.999999}'"],
        ),
        "date" => (
            vec![
                "'infinity'",
                "'-infinity'",
                "'0001-12-31 BC'",
                "'10000-01-01'",
                "'5874897-12-31'",
            ],
            vec!["'0001-01-01'", "'9999-12-31'"],
        ),
        "time without time zone" => {
            (vec!["'24:00:00'", "'14:32:10.5'"], vec!["'00:00:00'", "'23:59:59'"])
        }
        "timestamp with time zone[]" => (
            vec![
                "'{NULL}'",
                "'{2026-06-01Z,NULL}'",
                "'{2026-06-01Z,infinity}'",
                "'{-infinity}'",
                "'{20000-01-01Z}'",
                "'{{2026-06-01Z},{2026-07-01Z}}'",
            ],
            vec!["'{}'", "'{2026-06-01Z,9999-12-31 23:59:59+00}'"],
        ),
        other => panic!("no column is of the type {other}: say here what it may hold"),
    }
}

/// Writes a value and takes it back. `Err` holds the SQLSTATE.
async fn try_value(
    connection: &mut PgConnection,
    column: &Column,
    value: &str,
) -> Result<u64, String> {
    let mut transaction = connection.begin().await.expect("a transaction");
    let Column { table, name, .. } = column;
    let update = format!("update {table} set \"{name}\" = {value}");
    let written = sqlx::raw_sql(sqlx::AssertSqlSafe(update)).execute(&mut *transaction).await;
    transaction.rollback().await.expect("a rollback");
    written.map(|done| done.rows_affected()).map_err(|error| {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        code.unwrap_or_else(|| panic!("{error}")).into_owned()
    })
}

#[tokio::test]
async fn every_column_refuses_what_the_program_cannot_read() {
    let test = TestDatabase::new().await;
    insert_smallest_rows(&test).await;
    let columns = columns(&test).await;
    assert!(columns.len() > 100, "the columns are where they were: {}", columns.len());
    // Each column's own range is to refuse the value: what else a table holds values to goes.
    let others = test
        .rows(
            "select format('alter table %s drop constraint %I', conrelid::regclass, conname)
             from pg_constraint
             where contype = 'c' and conname not like '%\\_range'
               and connamespace = 'public'::regnamespace",
        )
        .await;
    test.sql(&others.join(";")).await;
    let mut connection = test.connect().await;
    for column in &columns {
        let name = format!("{}.{}", column.table, column.name);
        let (odd, fine) = values(&column.kind);
        for value in odd {
            let answer = try_value(&mut connection, column, value).await;
            let is_never = value == "'infinity'" && NEVER.contains(&name.as_str());
            if is_never {
                assert!(matches!(answer, Ok(1..)), "{name} refuses {value}: {answer:?}");
            } else {
                let refused = Err("23514".to_owned());
                assert_eq!(answer, refused, "{name} takes {value}: add its range to a migration");
            }
        }
        for value in fine {
            let answer = try_value(&mut connection, column, value).await;
            // Closed periods are held together by foreign keys besides.
            let is_fine = matches!(answer, Ok(1..)) || answer == Err("23503".to_owned());
            assert!(is_fine, "{name} refuses {value}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_migrated_database_has_every_range_and_each_is_validated() {
    let test = TestDatabase::new().await;
    let lacking = test
        .rows(
            "select c.relname, a.attname from pg_class c
             join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             left join pg_constraint k on k.conrelid = c.oid and k.convalidated
                  and k.conname = c.relname || '_' || a.attname || '_range'
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
               and format_type(a.atttypid, -1) ~ '^(numeric|timestamp|date|time|real|double)'
               and k.oid is null
             order by 1, 2",
        )
        .await;
    assert!(lacking.is_empty(), "without a range of their own: {lacking:?}");
}

/// Takes every range away, as in a database of an earlier periodd.
pub(crate) async fn without_ranges(test: &TestDatabase) {
    let ranges = test
        .rows(
            "select format('alter table %s drop constraint %I', conrelid::regclass, conname)
             from pg_constraint
             where conname like '%\\_range' and connamespace = 'public'::regnamespace",
        )
        .await;
    assert!(ranges.len() > 100, "{}", ranges.len());
    test.sql(&ranges.join(";")).await;
}

#[tokio::test]
async fn rows_that_break_a_range_are_named_with_their_repair_and_nothing_is_changed() {
    let test = TestDatabase::new().await;
    insert_smallest_rows(&test).await;
    without_ranges(&test).await;
    test.sql(
        "delete from periodd_migrations where version < 0;
         update organizations set current_period_end_date = 'infinity', next_period_ends = '{NULL}',
                                  used_minutes = 1e30;
         update tier_limits set included = 1e30 where tier = 'gold';
         update pack_offers set quantity = 1e30;
         update usage_metrics set created_at = to_timestamp(1796000000000);
         update overage_packs set expires_at = 'infinity'",
    )
    .await;
    let before = test.contents().await;
    let refused = test.periodd(&["db", "migrate"]).exits(78);
    for named in [
        "organizations.current_period_end_date of acme is infinity",
        "organizations.next_period_ends of acme is {NULL}",
        "organizations.used_minutes of acme is 1000000000000000000000000000000",
        "tier_limits.included is 1000000000000000000000000000000, \
         where tier = 'gold' and feature = 'steps'",
        "pack_offers.quantity is 1000000000000000000000000000000, where code = 'more'",
        "usage_metrics.created_at of acme is 58882-12-22",
    ] {
        assert!(refused.stderr.contains(named), "{named}: {}", refused.stderr);
    }
    // Never is in its range.
    assert!(!refused.stderr.contains("expires_at"), "{}", refused.stderr);
    assert_eq!(test.contents().await, before);
    let ranges = "select count(*) from pg_constraint where conname like '%\\_range'";
    assert_eq!(test.rows(ranges).await, ["0"]);

    // What is proposed works when it is pasted.
    let repairs = refused.stderr.lines().map(str::trim).filter(|line| line.ends_with(';'));
    let repairs: Vec<&str> = repairs.collect();
    assert_eq!(repairs.len(), 6, "{repairs:?}");
    test.sql(&repairs.join("\n")).await;
    test.periodd(&["db", "migrate"]).exits(0);
    let validated = "select count(*) > 100 and bool_and(convalidated) from pg_constraint
                     where conname like '%\\_range'";
    assert_eq!(test.rows(validated).await, ["true"]);
    assert_eq!(test.rows("select included from tier_limits where tier = 'gold'").await, ["-"]);
    assert_eq!(test.rows("select count(*) from pack_offers").await, ["0"]);
}

#[tokio::test]
async fn up_to_twenty_rows_of_a_column_are_named_and_the_rest_counted() {
    let test = TestDatabase::new().await;
    without_ranges(&test).await;
    test.sql(
        "insert into organizations (slug, name, time_zone, current_period_start)
         select 'org-' || i, 'Org', 'UTC', 'infinity' from generate_series(1, 23) i",
    )
    .await;
    let refused = test.periodd(&["db", "migrate"]).exits(78).stderr;
    assert_eq!(refused.matches("current_period_start of org-").count(), 20, "{refused}");
    assert!(refused.contains("3 more rows of organizations.current_period_start"), "{refused}");
}

/// Where null means never, a row may hold 'infinity': no statement hands it to the program.
#[test]
fn what_never_ends_is_read_as_null_by_every_statement() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let mut asked = 0;
    for file in std::fs::read_dir(folder).expect("the statements are described") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        let described: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for column in described["describe"]["columns"].as_array().expect("columns") {
            let origin = &column["origin"]["Table"];
            let (Some(table), Some(name)) = (origin["table"].as_str(), origin["name"].as_str())
            else {
                continue;
            };
            asked += 1;
            let name = format!("{table}.{name}");
            assert!(!NEVER.contains(&name.as_str()), "select nullif({name}, 'infinity'): {text}");
        }
    }
    assert!(asked > 100, "{asked}");
}

pub(crate) async fn a_range_refuses(test: &TestDatabase) {
    let mut connection = test.connect().await;
    let odd = "update organizations set current_period_end = 'infinity'";
    let refused = sqlx::raw_sql(odd).execute(&mut connection).await.expect_err(odd);
    let refused = refused.to_string();
    assert!(refused.contains("organizations_current_period_end_range"), "{refused}");
}
