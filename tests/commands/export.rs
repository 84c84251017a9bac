//! `periodd export`: every row once for a consumer that keeps its cursor, and every close to one
//! invoice run.

use std::process::Stdio;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use sqlx::{Connection, PgConnection};

use crate::support::{Answer, TestDatabase};

const AT: &str = "2026-03-02T00:00:00Z";

fn run(test: &TestDatabase, line: &str) -> Answer {
    let words = ["--at", AT].into_iter().chain(line.split_whitespace()).collect::<Vec<_>>();
    test.periodd(&words)
}

/// Twelve orgs with two closed periods each: some used two features, some nothing, all with a pack
/// that paid for something, and late usage.
async fn closed() -> TestDatabase {
    let test = TestDatabase::new().await;
    test.sql(
        "insert into tier_limits (tier, feature, included, uncovered_price_cents)
             values ('pro', 'sms_sent', 100, 0.5), ('pro', 'scrapes', null, null);
         insert into organizations (slug, name, time_zone, subscription_tier,
                                    current_period_start, current_period_end)
             select 'org-' || i, 'Org', 'UTC', 'pro', '2026-01-01Z', '2026-02-01Z'
             from generate_series(1, 12) i;
         insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select o.id, f.feature, 120.5 + length(slug), at
             from organizations o, unnest(array['sms_sent', 'scrapes']) f (feature),
                  unnest(array['2026-01-10Z', '2026-02-10Z']::timestamptz[]) at
             where slug like '%1' or slug like '%2';
         select grant_overage_pack(id, 'sms_sent', 10, 'order', null, '2026-01-02Z')
             from organizations;",
    )
    .await;
    run(&test, "rollover").exits(0);
    test.sql(
        "insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
             select id, 'sms_sent', 3, '2026-02-11Z' from organizations where slug like '%1'",
    )
    .await;
    run(&test, "sync").exits(0);
    test
}

const KINDS: [&str; 4] = ["closes", "packs", "ledger", "adjustments"];

#[tokio::test]
async fn sums_are_those_of_the_books_in_every_format() {
    let test = closed().await;
    let kept = "select (select count(*) from billing_periods) as closes,
                       (select trim_scale(sum(used)) from billing_period_usage) as used,
                       (select trim_scale(sum(uncovered)) from billing_period_usage) as uncovered,
                       (select trim_scale(sum(quantity)) from overage_packs) as bought,
                       (select trim_scale(sum(quantity)) from overage_entries
                        where kind = 'drawn') as drawn,
                       (select trim_scale(sum(used)) from billing_adjustments) as late";
    let kept = test.rows(kept).await.join(" ");
    let folder = tempfile::tempdir().expect("a folder");
    let mut sums = Vec::new();
    for format in ["csv", "jsonl", "parquet"] {
        let read = KINDS.map(|kind| {
            let path = folder.path().join(format!("{kind}.{format}"));
            let output = path.to_str().expect("a path");
            run(&test, &format!("export {kind} --format {format} --output {output}")).exits(0);
            Sheet::read(format, &path)
        });
        let [closes, packs, ledger, adjustments] = &read;
        assert_eq!(closes.of("org", "org-3").len(), 2, "a close without usage is there, too");
        assert_eq!(closes.of("org", "org-3")[0][closes.place("feature")], "");
        let whole = closes.column("cursor").iter().filter(|cursor| cursor.ends_with("#1")).count();
        let drawn = Sheet { rows: ledger.of("kind", "drawn"), ..ledger.clone() };
        sums.push(format!(
            "{whole} {} {} {} {} {}",
            closes.sum("used"),
            closes.sum("uncovered"),
            packs.sum("quantity"),
            drawn.sum("quantity"),
            adjustments.sum("used")
        ));
        // Half a cent each, rounded by line.
        let priced = closes.of("feature", "sms_sent");
        let amount = closes.place("uncovered_amount_cents");
        assert!(priced.iter().all(|row| !row[amount].is_empty()), "{priced:?}");
        let scrapes = closes.of("feature", "scrapes");
        assert!(scrapes.iter().all(|row| row[amount].is_empty()), "{scrapes:?}");
    }
    assert_eq!(sums, [kept.clone(), kept.clone(), kept]);
}

/// What was exported, as texts.
#[derive(Clone, Debug)]
struct Sheet {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Sheet {
    fn read(format: &str, path: &std::path::Path) -> Self {
        match format {
            "csv" => Self::of_csv(&std::fs::read_to_string(path).expect("a file")),
            "jsonl" => {
                let text = std::fs::read_to_string(path).expect("a file");
                let lines = text.lines().map(|line| {
                    let line: serde_json::Map<String, serde_json::Value> =
                        serde_json::from_str(line).expect("an object");
                    line
                });
                let lines: Vec<_> = lines.collect();
                let columns = lines[0].keys().cloned().collect();
                let cell = |value: &serde_json::Value| match value {
                    serde_json::Value::Null => String::new(),
                    serde_json::Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let rows = lines.iter().map(|line| line.values().map(cell).collect()).collect();
                Self { columns, rows }
            }
            _ => {
                let file = std::fs::File::open(path).expect("a file");
                let reader = SerializedFileReader::new(file).expect("Parquet");
                let rows = reader.get_row_iter(None).expect("rows").map(|row| {
                    let row = row.expect("a row");
                    let cell = |(name, field): (&String, &Field)| {
                        let text = match field {
                            Field::Null => String::new(),
                            Field::Str(text) => text.clone(),
                            Field::Decimal(decimal) => {
                                let bytes = decimal.data();
                                let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
                                let mut all = [sign; 16];
                                all[4..].copy_from_slice(bytes);
                                let decimal = rust_decimal::Decimal::from_i128_with_scale(
                                    i128::from_be_bytes(all),
                                    6,
                                );
                                decimal.normalize().to_string()
                            }
                            other => other.to_string(),
                        };
                        (name.clone(), text)
                    };
                    row.get_column_iter().map(cell).unzip()
                });
                let (columns, rows): (Vec<Vec<String>>, Vec<Vec<String>>) = rows.unzip();
                Self { columns: columns[0].clone(), rows }
            }
        }
    }

    fn of_csv(text: &str) -> Self {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let columns = reader.headers().expect("a heading").iter().map(str::to_owned).collect();
        let rows =
            reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect());
        Self { columns, rows: rows.collect() }
    }

    fn place(&self, column: &str) -> usize {
        self.columns.iter().position(|name| name == column).expect("the column")
    }

    fn column(&self, column: &str) -> Vec<String> {
        let place = self.place(column);
        self.rows.iter().map(|row| row[place].clone()).collect()
    }

    fn of(&self, column: &str, value: &str) -> Vec<Vec<String>> {
        let place = self.place(column);
        self.rows.iter().filter(|row| row[place] == value).cloned().collect()
    }

    fn sum(&self, column: &str) -> String {
        let cells = self.column(column);
        let numbers = cells.iter().filter(|cell| !cell.is_empty());
        let sum: rust_decimal::Decimal =
            numbers.map(|cell| cell.parse::<rust_decimal::Decimal>().expect("a number")).sum();
        sum.normalize().to_string()
    }
}

#[tokio::test]
async fn a_consumer_cut_after_any_line_goes_on_without_a_gap_or_a_repeat() {
    let test = closed().await;
    for kind in KINDS {
        let whole = run(&test, &format!("export {kind}")).exits(0).stdout;
        let lines: Vec<&str> = whole.lines().collect();
        assert!(lines.len() > 2, "{whole}");
        for cut in 1..lines.len() {
            let cursor = lines[cut].split(',').next().expect("a cursor");
            let rest = run(&test, &format!("export {kind} --since {cursor}")).exits(0).stdout;
            let rest: Vec<&str> = rest.lines().skip(1).collect();
            assert_eq!(rest, lines[cut + 1..], "{kind} since {cursor}");
        }
    }
    // The note says how it goes on.
    let noted = run(&test, "export packs").exits(0).stderr;
    assert!(noted.contains("12 lines; continue with: "), "{noted}");
    assert!(noted.contains("export packs --since 12"), "{noted}");
}

/// A pack that is inserted and not committed yet.
async fn insert(connection: &mut PgConnection, reference: &str) {
    let insert = "insert into overage_packs (org_id, feature, quantity, reference)
                  select id, 'sms_sent', 1, $1 from organizations where slug = 'org-1'";
    sqlx::query(insert).bind(reference).execute(connection).await.expect("a pack");
}

fn references(csv: &str) -> Vec<String> {
    Sheet::of_csv(csv).column("reference").into_iter().filter(|name| name != "order").collect()
}

#[tokio::test]
async fn a_row_that_commits_later_with_an_earlier_place_is_not_missed() {
    let test = closed().await;
    let (mut slow, mut fast) = (test.connect().await, test.connect().await);
    let mut undone = test.connect().await;
    let mut open = slow.begin().await.expect("a transaction");
    insert(&mut open, "slow").await;
    let mut dropped = undone.begin().await.expect("a transaction");
    insert(&mut dropped, "undone").await;
    insert(&mut fast, "fast").await;
    let mut export = test
        .command(&["--at", AT, "export", "packs"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // It looks again and again who still writes.
    test.until(
        "select count(*) > 0 from pg_stat_activity
         where datname = current_database() and application_name = 'periodd'
           and query like '%virtualtransaction%'",
        "true",
    )
    .await;
    assert!(export.try_wait().expect("a child").is_none(), "it waits for those that write");
    open.commit().await.expect("a commit");
    dropped.rollback().await.expect("a rollback");
    let answer = Answer::from(export.wait_with_output().expect("its output")).exits(0);
    assert_eq!(references(&answer.stdout), ["slow", "fast"]);

    // Nobody waits for an export, and nobody's reads keep one waiting.
    let mut reading = slow.begin().await.expect("a transaction");
    sqlx::query("select * from overage_packs for key share").execute(&mut *reading).await.unwrap();
    run(&test, "export packs").exits(0);
}

#[tokio::test]
async fn every_close_is_handed_over_once_whoever_runs_when_and_is_killed() {
    let test = closed().await;
    let closes = |answer: &str| {
        let sheet = Sheet::of_csv(answer);
        let (org, start) = (sheet.place("org_id"), sheet.place("period_start"));
        let mut closes: Vec<String> =
            sheet.rows.iter().map(|row| format!("{} {}", row[org], row[start])).collect();
        closes.dedup();
        closes
    };
    // Eight runs at once, and each is killed at some moment.
    let spawn = |name: &str| {
        test.command(&["--at", AT, "export", "closes", "--hand-over", name])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts")
    };
    let names: Vec<String> = (0..8).map(|number| format!("run-{number}")).collect();
    let mut children: Vec<_> = names.iter().map(|name| spawn(name)).collect();
    for child in &mut children {
        tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(0..15))).await;
        child.kill().expect("it is killed, or has ended");
        child.wait().expect("it ended");
    }
    // Whatever came of them: each is repeated by its name, and each close is in one of them.
    let mut all = Vec::new();
    let mut with_some = None;
    for name in &names {
        let line = format!("export closes --hand-over {name}");
        let first = run(&test, &line).exits(0).stdout;
        let again = run(&test, &line).exits(0).stdout;
        assert_eq!(first, again, "the same lines by the same name");
        assert!(Sheet::of_csv(&first).column("hand_over").iter().all(|of| of == name), "{first}");
        if !closes(&first).is_empty() {
            with_some = Some(line);
        }
        all.extend(closes(&first));
    }
    all.sort();
    let expected = closes(&run(&test, "export closes").exits(0).stdout);
    let mut expected = expected;
    expected.sort();
    assert_eq!(all.len(), 24);
    assert_eq!(all, expected);

    // What closes later belongs to whoever comes next, and to nobody who was there before.
    test.periodd(&["--at", "2026-04-02T00:00:00Z", "rollover"]).exits(0);
    let earlier = run(&test, &with_some.expect("one of them")).exits(0).stdout;
    assert!(!earlier.contains("2026-04-01"), "{earlier}");
    let later = run(&test, "export closes --hand-over march").exits(0);
    assert_eq!(closes(&later.stdout).len(), 12, "{}", later.stdout);
    assert!(later.stderr.contains("handed over to march"), "{}", later.stderr);
    let nothing = run(&test, "export closes --hand-over april").exits(0);
    assert_eq!(closes(&nothing.stdout).len(), 0);
    assert!(nothing.stderr.contains("no closes to hand over to april"), "{}", nothing.stderr);
    // A kind has hand-overs of its own.
    let packs = run(&test, "export packs --hand-over march").exits(0).stdout;
    assert_eq!(Sheet::of_csv(&packs).rows.len(), 12);
    let overlapping = "insert into periodd_hand_overs (kind, name, follows, up_to)
                       values ('closes', 'twice', null, 1000000)";
    let refused = sqlx::query(overlapping).execute(&mut test.connect().await).await;
    assert!(refused.is_err(), "the schema knows that each position is handed over once");
}

#[tokio::test]
async fn what_cannot_be_exported_is_refused() {
    let test = closed().await;
    for (line, code, words) in [
        ("export invoices", 2, "closes, packs, ledger, adjustments"),
        ("export closes --since x", 2, "invalid cursor"),
        ("export closes --since 99#1", 2, "belongs to other rows or to another database"),
        ("export closes --hand-over", 2, "a value is required"),
        ("export closes --format json", 2, "use --format jsonl"),
        ("export closes --format html", 2, "are for `statements`"),
        ("orgs list --format parquet", 2, "are for `export`"),
        ("export closes --output /nowhere/closes.csv", 1, "cannot write /nowhere/closes.csv"),
    ] {
        let answer = run(&test, line);
        assert!(answer.stderr.contains(words), "{line}: {}", answer.stderr);
        answer.exits(code);
    }
}
