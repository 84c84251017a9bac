//! What three years leave in the hot tables: a rollover a month, with usage, its counting, a year's
//! retention and a vacuum, as autovacuum would come by. Sizes are the same in every run: there is
//! one.

use periodd::config::{Config, Keep};
use periodd::jobs::retention::{self, Request};
use periodd::store::Database;

use super::{OVER_TWO, Seed};
use crate::support::{Bench, Figure, Goal, Outcome, Series, Server, binary};

const DATABASE: &str = "bench_bloat";
const HOT: [&str; 4] = ["organizations", "usage_counters", "usage_metrics", "overage_packs"];
/// Against the same rows, written afresh.
const GOAL: Goal = Goal::RatioAtMost(1.3);

/// Five uses of each org in the month that is open on a day.
const USES: &str = "
    insert into usage_metrics (organization_id, metric_type, metric_value, created_at)
    select o.id, 'minutes_transcribed', n, o.current_period_start + n * interval '4 days'
    from generate_series(1, 5) n, organizations o";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let (orgs, rollovers) = (size.of(20_000), size.times(36, 4));
    Seed { orgs, features: 2, months: 0 }.make(server, DATABASE).await;
    for month in 0..rollovers {
        let day = |months: u64, day: &str| {
            let months = 4 + months;
            format!("{}-{:02}-{day}T12:00:00Z", 2026 + months / 12, 1 + months % 12)
        };
        if month > 0 {
            server.run(DATABASE, USES).await;
            binary::at(server, DATABASE, &day(month, "20"), &["sync"], &[]).await;
        }
        let after = day(month + 1, "02");
        binary::at(server, DATABASE, &after, &["rollover"], &OVER_TWO).await;
        forget(server, &after).await;
        server.run(DATABASE, "vacuum").await;
    }
    let mut series = Series::default();
    for (column, statement) in [("worn", "checkpoint"), ("fresh", "vacuum full")] {
        server.run(DATABASE, statement).await;
        for table in HOT {
            let size = format!("select pg_total_relation_size('{table}') / 1048576.0::float8");
            series.add(&format!("{table}, {column}"), server.ask(DATABASE, &size).await);
        }
    }
    server.discard(DATABASE).await;
    let figure = |table: &str| -> Figure {
        let what = format!("{table} of {orgs} orgs after {rollovers} rollovers, a year kept");
        let (worn, fresh) = (format!("{table}, worn"), format!("{table}, fresh"));
        series.against(("after `vacuum full`", &fresh), &what, "MiB", &worn, GOAL)
    };
    Outcome::Measured(HOT.map(figure).into())
}

/// Retention that keeps a year.
async fn forget(server: &Server, at: &str) {
    let config = Config::load(None, std::iter::empty()).expect("the defaults");
    let mut request = Request::standing(&config.retention, &config.sync);
    request.metrics_keep = Keep::For { months: 12, days: 0 };
    request.at = Some(at.parse().expect("an instant"));
    let database = Database::connect(&server.url(DATABASE), 1).await.expect("the server answers");
    retention::run(&database, &request).await.expect("a retention");
    database.close().await;
}
