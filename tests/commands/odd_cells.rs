//! Odd values in every column that applications may write: refused by the schema, or, in a database
//! that holds them already, nobody else's trouble, and named.

use std::fmt::Write as _;

use crate::support::{Answer, TestDatabase};

fn run(test: &TestDatabase, line: &str) -> Answer {
    test.periodd(&line.split_whitespace().collect::<Vec<_>>())
}

const NOW: &str = "2026-05-16T12:00:00Z";
const LATER: &str = "2026-06-01T00:00:01Z";

/// A table that applications write, with the column that names its rows here: the org's id, or of a
/// table that orgs share a text of its key.
struct Table {
    name: String,
    key: &'static str,
    is_shared: bool,
}

/// Those tables, from the catalogue; periodd's own are not among them.
async fn tables(test: &TestDatabase) -> Vec<Table> {
    let names = test
        .rows(
            "select c.relname from pg_class c
             where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
               and c.relname not like 'periodd\\_%' and c.relname not like '\\_sqlx%' order by 1",
        )
        .await;
    let mut tables = Vec::new();
    for name in names {
        let has = async |column: &str| {
            let query = format!(
                "select count(*) from pg_attribute
                 where attrelid = '{name}'::regclass and attname = '{column}'"
            );
            test.rows(&query).await == ["1"]
        };
        let mut key = None;
        for column in ["org_id", "organization_id", "feature", "code", "id"] {
            // What an offer is named by is its code; what it is of is a feature.
            let is_of = column == "feature" && has("code").await;
            if key.is_none() && !is_of && has(column).await {
                key = Some(column);
            }
        }
        let key = key.unwrap_or_else(|| panic!("nothing names the rows of {name}"));
        tables.push(Table { is_shared: ["feature", "code"].contains(&key), name, key });
    }
    assert!(tables.len() > 15, "{}", tables.len());
    tables
}

/// Values of a type that PostgreSQL takes, and that somebody may write by mistake.
fn odd(kind: &str) -> Vec<&'static str> {
    match kind {
        "numeric" => vec!["1e30", "-1e30", "1e22", "'NaN'", "'Infinity'", "1e-9", "-1"],
        "timestamp with time zone" => {
            vec!["'infinity'", "'-infinity'", "'20000-01-01Z'", "'4000-01-01 BC'"]
        }
        "date" => vec!["'infinity'", "'-infinity'", "'5874897-12-31'"],
        "timestamp with time zone[]" => vec!["'{NULL}'", "'{}'", "'{infinity}'"],
        "numeric[]" => vec!["'{1e30}'", "'{NaN}'", "'{1e-9}'"],
        "text[]" => vec!["'{}'", "'{NULL}'"],
        "time without time zone" => vec!["'24:00'", "'14:32:10.5'"],
        "smallint[]" => vec!["'{NULL}'", "'{}'"],
        "text" => vec!["''", "repeat('x', 100000)", "E'\\x1b[2J'", "U&'\\202Eabc'"],
        "smallint" => vec!["-32768", "32767", "0"],
        "integer" => vec!["-2147483648", "2147483647"],
        "bigint" => vec!["-9223372036854775808", "9223372036854775807"],
        "uuid" => vec!["gen_random_uuid()"],
        "boolean" => vec!["true", "false"],
        other => panic!("odd values of {other} belong in this list"),
    }
}

/// One value in one column, of an org of its own.
struct Cell {
    table: String,
    key: &'static str,
    is_shared: bool,
    column: String,
    kind: String,
    value: &'static str,
}

/// Has every column of a type a range of its own?
fn has_range(kind: &str) -> bool {
    let kinds = ["numeric", "timestamp with time zone", "date", "timestamp with time zone[]"];
    kinds.contains(&kind) || ["time without time zone", "numeric[]"].contains(&kind)
}

/// Every cell, from the catalogue. The org's id itself names the row, and is left alone.
async fn cells(test: &TestDatabase) -> Vec<Cell> {
    let mut cells = Vec::new();
    for Table { name: table, key, is_shared } in tables(test).await {
        let columns = test
            .rows(&format!(
                "select attname, format_type(atttypid, -1) from pg_attribute
                 where attrelid = '{table}'::regclass and attnum > 0 and not attisdropped
                   and attname <> '{key}' order by 1"
            ))
            .await;
        for line in columns {
            let (column, kind) = line.split_once(' ').expect("two columns");
            let mut values = odd(kind);
            if !has_range(kind) && std::env::var_os("PERIODD_TEST_ALL_CELLS").is_none() {
                // The other values of these are tried by hand.
                values = vec![values[cells.len() % values.len()]];
            }
            cells.extend(values.into_iter().map(|value| Cell {
                table: table.clone(),
                key,
                is_shared,
                column: column.to_owned(),
                kind: kind.to_owned(),
                value,
            }));
        }
    }
    assert!(cells.len() > 150, "{}", cells.len());
    cells
}

/// The org of a cell by its place; 0 and one behind the last are the good ones.
fn id(place: usize) -> String {
    format!("00000000-0000-0000-0000-{:012}", place + 1)
}

/// Orgs that are all alike: on a tier with 100 messages, 95 used and not counted yet, a pack, a
/// user and a contact, an open period and a closed one.
async fn alike(test: &TestDatabase, orgs: usize) {
    test.sql(&format!(
        "insert into tier_limits
             values ('pro', 'sms_sent', 100), ('pro', 'minutes_transcribed', 50);
         create temp table o as
             select ('00000000-0000-0000-0000-' || lpad((i + 1)::text, 12, '0'))::uuid as id,
                    case when i in (0, {orgs} - 1) then 'good-' else 'odd-' end || i as slug
             from generate_series(0, {orgs} - 1) i;
         insert into organizations (id, slug, name, time_zone, subscription_tier,
                                    current_period_start, current_period_end)
             select id, slug, 'Org', 'UTC', 'pro', '2026-05-01Z', '2026-06-01Z' from o;
         insert into users (organization_id, email) select id, slug || '@u.example' from o;
         insert into org_contacts (org_id, email) select id, slug || '@c.example' from o;
         insert into org_alert_settings (org_id) select id from o;
         insert into limit_overrides select id, 'minutes_transcribed', 60 from o;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, 'sms_sent', 95, '2026-05-10Z' from o;
         insert into usage_counters (org_id, feature, period_start, period_end)
             select id, 'scrapes', '2026-05-01Z', '2026-06-01Z' from o;
         insert into feature_usage (organization_id, user_id, feature, period_start, period_end)
             select u.organization_id, u.id, 'scrapes', '2026-05-01Z', '2026-06-01Z' from users u;
         insert into overage_packs (id, org_id, feature, quantity, remaining, purchased_at, entries)
             select id, id, 'minutes_transcribed', 10, 10, '2026-05-02Z', 1 from o;
         insert into overage_entries (org_id, pack_id, seq, kind, quantity, at, remaining)
             select id, id, 1, 'granted', 10, '2026-05-02Z', 10 from o;
         insert into billing_periods (org_id, period_start, period_end, features, used_each,
                                      included_each, drawn_each, uncovered_each)
             select id, '2026-04-01Z', '2026-05-01Z', '{{scrapes}}', '{{0}}', '{{null}}', '{{0}}',
                    '{{0}}' from o;
         insert into billing_adjustments
                 (org_id, feature, period_start, seq, kind, used, drawn, uncovered, reason,
                  decided_at)
             select id, 'scrapes', '2026-04-01Z', 1, 'late', 0, 0, 0, 'late', '2026-05-02Z' from o;
         -- What orgs share, one row of each for each: of a tier that nobody is on.
         insert into features select slug from o;
         insert into subscription_tiers (code, name) select slug, 'Odd' from o;
         insert into tier_limits select 'business', slug, 10 from o;
         insert into pack_offers (code, feature, quantity, price_cents, currency)
             select slug, 'scrapes', 10, 100, 'USD' from o"
    ))
    .await;
}

/// Writes every cell, and says of each whether the schema took it.
async fn write(test: &TestDatabase, cells: &[Cell]) -> Vec<bool> {
    let mut script = "create table taken (place int); do $do$ begin ".to_owned();
    for (place, cell) in cells.iter().enumerate() {
        let Cell { table, key, column, value, .. } = cell;
        let row = if cell.is_shared { format!("odd-{}", place + 1) } else { id(place + 1) };
        write!(
            script,
            "begin update {table} set \"{column}\" = {value} where {key} = '{row}';
                   if found then insert into taken values ({place}); end if;
             exception when others then null; end; "
        )
        .expect("a string takes it");
    }
    script.push_str("end $do$");
    test.sql(&script).await;
    let taken = test.rows("select place from taken order by 1").await;
    (0..cells.len()).map(|place| taken.contains(&place.to_string())).collect()
}

/// Is it a column that has a range, and a value outside of it?
fn is_out_of_range(cell: &Cell) -> bool {
    let is_never =
        ["expires_at", "paused_until", "subscription_ends_at"].contains(&cell.column.as_str());
    has_range(&cell.kind)
        && !["-1", "'{}'"].contains(&cell.value)
        && !(is_never && cell.value == "'infinity'")
}

#[tokio::test]
async fn odd_values_are_refused_where_the_program_could_not_read_them() {
    let test = TestDatabase::new().await;
    let cells = cells(&test).await;
    alike(&test, cells.len() + 2).await;
    let taken = write(&test, &cells).await;
    for (cell, taken) in cells.iter().zip(taken) {
        let Cell { table, column, value, .. } = cell;
        assert!(!taken || !is_out_of_range(cell), "{table}.{column} takes {value}");
    }
    others_are_served(&test, cells.len()).await;
}

#[tokio::test]
async fn odd_values_of_an_earlier_schema_trouble_nobody_else_and_are_named() {
    let test = TestDatabase::new().await;
    let cells = cells(&test).await;
    alike(&test, cells.len() + 2).await;
    without_ranges(&test).await;
    test.sql(
        "insert into tier_limits values ('business', 'sms_sent', 1e30);
         insert into pack_offers values ('much', 'scrapes', 1e30, 0, 'USD')",
    )
    .await;
    let taken = write(&test, &cells).await;
    let doctor = run(&test, &format!("doctor --at {NOW} --format json")).exits(3).json();
    let said = doctor.to_string();
    for (place, cell) in cells.iter().enumerate() {
        let Cell { table, column, value, .. } = cell;
        if taken[place] && is_out_of_range(cell) {
            let named = if cell.is_shared {
                format!("{table}.{column}")
            } else {
                format!("{table}.{column} of odd-{}", place + 1)
            };
            assert!(said.contains(&named), "doctor does not name {named}, which holds {value}");
        }
    }
    assert!(said.contains("tier_limits.included is 1000"), "{said}");
    assert!(said.contains("pack_offers.quantity is 1000"), "{said}");
    // What is wrong with an org is said of it, whatever it is: one of each column.
    let mut seen = std::collections::HashSet::new();
    for (place, cell) in cells.iter().enumerate() {
        let Cell { table, column, .. } = cell;
        let is_an_orgs = !cell.is_shared && taken[place] && is_out_of_range(cell);
        if is_an_orgs && seen.insert((table.clone(), column.clone())) {
            let named = format!("{table}.{column} of odd-{}", place + 1);
            let command = if seen.len() % 2 == 0 { "explain" } else { "orgs show" };
            let page = run(&test, &format!("{command} odd-{} --at {NOW}", place + 1)).exits(0);
            assert!(page.stdout.contains(&named), "{command}: {named}: {}", page.stdout);
        }
    }
    others_are_served(&test, cells.len()).await;
}

/// Takes every range away, as in a database of an earlier periodd.
async fn without_ranges(test: &TestDatabase) {
    let ranges = test
        .rows(
            "select format('alter table %s drop constraint %I', conrelid::regclass, conname)
             from pg_constraint where conname like '%\\_range'",
        )
        .await;
    test.sql(&ranges.join(";")).await;
}

/// The good orgs are counted, warned and closed, and lists and pages answer.
async fn others_are_served(test: &TestDatabase, cells: usize) {
    let good = format!("('{}', '{}')", id(0), id(cells + 1));
    for line in ["status", "orgs list", "packs list", "doctor"] {
        let answer = run(test, &format!("{line} --at {NOW}"));
        assert!([0, 3].contains(&answer.code), "{line}: {answer:?}");
    }
    let mut said = String::new();
    for line in ["sync", "sync --full --force --yes", "alerts run"] {
        let answer = run(test, &format!("{line} --at {NOW}"));
        writeln!(said, "{line}: {} {} {}", answer.code, answer.stdout, answer.stderr)
            .expect("a string takes it");
        assert!([0, 4].contains(&answer.code), "{line}: {} {}", answer.code, answer.stderr);
    }
    let counted = format!(
        "select organization_id from usage_metrics
         where counted_at is not null and organization_id in {good} order by 1"
    );
    assert_eq!(test.rows(&counted).await, [id(0), id(cells + 1)], "counted: {said}");
    let warned =
        format!("select count(*) from periodd_outbox where state = 'sent' and org_id in {good}");
    let why = test.rows("select answer, count(*) from periodd_outbox group by 1 order by 2").await;
    assert_eq!(test.rows(&warned).await, ["2"], "warned: {why:?} {said}");
    let answer = run(test, &format!("rollover --at {LATER}"));
    assert!([0, 4].contains(&answer.code), "rollover: {} {}", answer.code, answer.stderr);
    let closed = format!(
        "select count(*) from billing_periods
         where period_start = '2026-05-01Z' and org_id in {good}"
    );
    assert_eq!(test.rows(&closed).await, ["2"], "closed");
    for line in ["status", "orgs list", "packs list", "doctor"] {
        let answer = run(test, &format!("{line} --at {LATER}"));
        assert!([0, 3].contains(&answer.code), "{line}: {answer:?}");
    }
}
