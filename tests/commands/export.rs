//! `periodd export`: every row once for a consumer that keeps its cursor, and every close to one
//! invoice run.

use std::io::{BufRead, Read};
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
    let said = "no new closes; april is recorded as an empty hand-over";
    assert!(nothing.stderr.contains(said), "{}", nothing.stderr);
    // It is as empty when it is repeated, and what comes next is another one's.
    test.periodd(&["--at", "2026-05-02T00:00:00Z", "rollover"]).exits(0);
    let again = run(&test, "export closes --hand-over april").exits(0);
    assert_eq!((closes(&again.stdout).len(), again.stderr.contains(said)), (0, true));
    let may = run(&test, "export closes --hand-over may").exits(0).stdout;
    assert_eq!(closes(&may).len(), 12, "{may}");
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

/// The most memory that a process has had so far, in MiB; `None`: it has ended.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

/// Two hundred thousand closes in each format: what the first quarter of them takes is what all
/// take. How much a million take, and how long, is what the benchmark measures.
#[tokio::test]
async fn an_export_holds_no_more_of_many_closes_than_of_few() {
    const ORGS: usize = 2_000;
    const PERIODS: usize = 100;
    let test = TestDatabase::new().await;
    test.sql(&format!(
        "insert into features (feature) values ('a'), ('b');
         insert into organizations (id, slug, name, time_zone)
         select md5(n::text)::uuid, 'org-' || n, 'Org', 'UTC' from generate_series(1, {ORGS}) n;
         set session_replication_role = replica;
         insert into billing_periods
             (org_id, period_start, follows, period_end, time_zone, tzdb_version, tier, features,
              used_each, included_each, drawn_each, uncovered_each)
         select md5(n::text)::uuid, at, nullif(at, '2025-01-01Z'), at + interval '1 day',
                'UTC', '2026e', 'pro', '{{a,b}}',
                array[700.25, n], '{{600,null}}', '{{100.25,0}}', '{{0,0}}'
         from generate_series(1, {ORGS}) n,
              generate_series(timestamptz '2025-01-01Z', '2025-04-10Z', interval '1 day') at;
         analyze"
    ))
    .await;
    for format in ["csv", "jsonl", "parquet"] {
        let mut export = test
            .command(&["--at", AT, "--quiet", "export", "closes", "--format", format])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdout = export.stdout.take().expect("its output");
        let (mut peaks, mut lines, mut buffer) = (Vec::new(), 0, vec![0; 65_536]);
        loop {
            let read = stdout.read(&mut buffer).expect("what it says");
            if read == 0 {
                break;
            }
            lines += buffer[..read].split(|byte| *byte == b'\n').count() - 1;
            peaks.extend(peak(export.id()));
        }
        assert!(export.wait().expect("it ends").success());
        if format != "parquet" {
            let heading = usize::from(format == "csv");
            assert_eq!(lines, 2 * ORGS * PERIODS + heading, "{format}");
        }
        let (early, late) = (peaks[peaks.len() / 4], peaks[peaks.len() - 1]);
        assert!(late <= early + 8, "{format}: {early} MiB, later {late} MiB");
        // The program itself is larger here than as it is shipped (`make bench W=export`).
        assert!(late < 96, "{format}: {late} MiB");
    }
}

/// A consumer that keeps what it has and its cursor, and is killed again and again in the middle of
/// what it reads, has every line once.
#[tokio::test]
async fn a_consumer_that_is_killed_anywhere_has_every_line_once() {
    let test = closed().await;
    let whole = run(&test, "export ledger --format jsonl").exits(0).stdout;
    let mut has: Vec<String> = Vec::new();
    let cursor = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).expect("an object");
        line["cursor"].as_str().expect("a cursor").to_owned()
    };
    while has.len() < whole.lines().count() {
        let mut words = vec!["--at", AT, "--quiet", "export", "ledger", "--format", "jsonl"];
        let since = has.last().map(cursor);
        words.extend(since.iter().flat_map(|cursor| ["--since", cursor]));
        let mut export = test.command(&words).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = std::io::BufReader::new(export.stdout.take().expect("its output"));
        // A line that was cut is no line.
        has.extend(stdout.lines().take(fastrand::usize(1..4)).map(|line| line.expect("a line")));
        export.kill().expect("it is killed, or has ended");
        export.wait().expect("it ended");
    }
    assert_eq!(has.join("\n"), whole.trim_end());
}
