//! `periodd export closes`: how long a million closes take in each format, and the most memory that
//! takes.

use std::io::{BufRead, BufReader};

use crate::support::binary;
use crate::support::{Bench, Goal, Outcome, Series};

const DATABASE: &str = "bench_export";

/// An org for each close, in the middle of an ordinary history: three features, the first with
/// overage that a pack and a price cover.
const SEED: &str = "
    insert into features (feature) values ('a'), ('b'), ('c');
    set session_replication_role = replica;
    insert into organizations (id, slug, name, time_zone)
    select md5(n::text)::uuid, 'org-' || n, 'Org ' || n, 'Europe/Berlin'
    from generate_series(1, :closes) as n;
    insert into billing_periods
        (org_id, period_start, period_end, time_zone, tzdb_version, tier, features, used_each,
         included_each, drawn_each, uncovered_each, uncovered_prices, currency)
    select md5(n::text)::uuid, '2026-05-01Z', '2026-06-01Z', 'Europe/Berlin', '2026e', 'pro',
           '{a,b,c}', array[700.25, n % 600, 17], '{600,600,null}', '{100,0,0}', '{0.25,0,0}',
           '{2.5,null,null}', 'USD'
    from generate_series(1, :closes) as n;";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let closes = size.of(1_000_000);
    server.empty(DATABASE).await;
    let migrate = ["--quiet", "db", "migrate"];
    binary::run(server, DATABASE, &migrate, &[], &[0]).await;
    server.run(DATABASE, &SEED.replace(":closes", &closes.to_string())).await;
    server.run(DATABASE, "vacuum (freeze, analyze)").await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut series = Series::default();
    for _ in 0..size.runs {
        for format in ["csv", "jsonl", "parquet"] {
            let path = folder.path().join(format);
            let path = path.to_str().expect("a path");
            let export = ["--quiet", "--format", format, "export", "closes", "--output", path];
            let ran = binary::run(server, DATABASE, &export, &[], &[0]).await;
            series.add(format, ran.elapsed.as_secs_f64());
            series.add("peak", ran.peak_mib);
            if format == "csv" {
                let file = std::fs::File::open(path).expect("the export");
                let lines = BufReader::new(file).lines().count() as u64;
                assert_eq!(lines, 3 * closes + 1, "a line for each feature, and the heading");
            }
        }
    }
    server.discard(DATABASE).await;
    let what = |format: &str| format!("`export closes` of {closes} closes as {format}");
    Outcome::Measured(vec![
        series.figure(&what("CSV"), "s", "csv", Goal::AtMost(30.0)),
        series.figure(&what("JSON lines"), "s", "jsonl", Goal::AtMost(30.0)),
        series.figure(&what("Parquet"), "s", "parquet", Goal::AtMost(30.0)),
        series.figure("memory of the exports, at most", "MiB", "peak", Goal::AtMost(64.0)),
    ])
}
