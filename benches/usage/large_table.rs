//! Writing into a table of a hundred million metrics, beside an empty one.

use super::{CLIENTS, INCREMENT, seed};
use crate::support::pgbench::pgbench;
use crate::support::{Bench, Goal, Outcome, Series};

const EMPTY: &str = "bench_empty";
const LARGE: &str = "bench_large";

const RECORD: &str = "\\set caller random(1, :callers)
select record_usage(organization_id, 'scrapes', 1) from users
where id = md5('spread-' || :caller)::uuid;";
const INSERT: &str = "\\set caller random(1, :callers)
insert into usage_metrics (organization_id, metric_type, metric_value)
select organization_id, 'scrapes', 1 from users where id = md5('spread-' || :caller)::uuid;";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let (users, metrics) = (size.of(100_000), 1_000);
    seed(server, EMPTY, users, 0).await;
    seed(server, LARGE, users, metrics).await;
    let increment = INCREMENT.replace(":whose", "spread");
    let calls = [
        ("record_usage", RECORD),
        ("an increment", increment.as_str()),
        ("a plain insert", INSERT),
    ];
    let mut series = Series::default();
    for _ in 0..size.runs {
        for (what, script) in calls {
            for database in [EMPTY, LARGE] {
                let numbers = [("callers", users)];
                let calls = pgbench(server, database, script, &numbers, CLIENTS, size.seconds);
                series.add(&format!("{what}, {database}"), calls);
            }
        }
    }
    server.discard(EMPTY).await;
    server.discard(LARGE).await;
    let figure = |(what, _): (&str, &str)| {
        let (empty, large) = (format!("{what}, {EMPTY}"), format!("{what}, {LARGE}"));
        let workload = format!("{what} into a table of {} metrics", users * metrics);
        let base = ("into an empty one", empty.as_str());
        series.against(base, &workload, "calls/s", &large, Goal::RatioAtLeast(0.9))
    };
    Outcome::Measured(calls.map(figure).into())
}
