//! How the server goes about the hottest statements: `explain (analyze, buffers, wal)` of those
//! that periodd and an application really ask, by PostgreSQL's own `auto_explain`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::binary::{self, NOW};
use super::{Server, Size};
use crate::rollover;

const DATABASE: &str = "bench_plans";
/// Statements that the page shows.
const SHOWN: usize = 16;
/// Every session of the database says how its statements went. Timing each node would cost more
/// than the nodes do.
const EXPLAIN: [(&str, &str); 8] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_buffers", "on"),
    ("auto_explain.log_wal", "on"),
    ("auto_explain.log_timing", "off"),
    ("auto_explain.log_nested_statements", "on"),
    ("auto_explain.log_parameter_max_length", "0"),
];
/// The metrics that the counters are sums of.
const METRICS: &str = "
    insert into usage_metrics (organization_id, metric_type, metric_value, created_at, counted_at)
    select org_id, feature, used, period_start + interval '1 day', period_start + interval '2 days'
    from usage_counters order by period_start, org_id;
    analyze usage_metrics";
/// An org in a period of this day, for which an application works.
const ORG: &str = "
    insert into organizations
        (slug, name, time_zone, subscription_tier, current_period_start, current_period_end,
         next_period_ends, ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month)
    values ('org-0', 'Org 0', 'UTC', 'pro', now() - interval '1 day', now() + interval '29 days',
            array[now() + interval '60 days'], 'UTC', 'monthly', 1, 1)";
/// What it asks.
const USES: &str = "
    select record_usage(id, 'sms_sent', 1) from organizations where slug = 'org-0';
    select i.* from organizations o cross join lateral increment_org_usage(o.id, 'sms_sent') i
    where o.slug = 'org-0'";

/// What the log says of one statement.
#[derive(Default)]
struct Said {
    milliseconds: f64,
    plan: String,
}

/// The page's part, or why there is none.
pub(crate) async fn of_hot_statements(server: &Server, size: Size) -> String {
    eprintln!("plans");
    let mut connection = server.connect("postgres").await;
    if let Err(error) = sqlx::raw_sql("load 'auto_explain'").execute(&mut connection).await {
        return format!("None: the server comes without auto_explain ({error}).\n");
    }
    let seed = rollover::Seed { orgs: size.of(100_000), features: 5, months: 12 };
    seed.make(server, DATABASE).await;
    server.run(DATABASE, METRICS).await;
    for (name, value) in EXPLAIN {
        let set = format!("alter database {DATABASE} set {name} = '{value}'");
        server.run("postgres", &set).await;
    }
    let before = server.log().len();
    for (now, command) in [
        (NOW, &["sync"][..]),
        (NOW, &["alerts", "run"]),
        (rollover::DUE, &["rollover"]),
        (rollover::DUE, &["sync", "--full"]),
    ] {
        binary::at(server, DATABASE, now, command, &rollover::OVER_TWO).await;
    }
    for statements in [ORG, USES] {
        server.run(DATABASE, statements).await;
    }
    let log = server.log();
    server.discard(DATABASE).await;
    render(said(log.get(before..).unwrap_or_default()))
}

/// What the log says of each statement, by its text: the longest run of each, as its page was the
/// fullest.
fn said(log: &str) -> BTreeMap<String, Said> {
    let mut all: BTreeMap<String, Said> = BTreeMap::new();
    for entry in log.split("LOG:  duration: ").skip(1) {
        let mut lines = entry.lines();
        let head = lines.next().unwrap_or_default();
        let Some(milliseconds) = head.split(' ').next().and_then(|text| text.parse().ok()) else {
            continue;
        };
        let body: Vec<&str> = lines.map_while(|line| line.strip_prefix('\t')).collect();
        let Some(first) = body.iter().position(|line| line.contains("  (cost=")) else { continue };
        let (query, plan) = body.split_at(first);
        let query = query.join("\n").trim_start_matches("Query Text: ").to_owned();
        let entry = all.entry(query).or_default();
        if milliseconds > entry.milliseconds {
            *entry = Said { milliseconds, plan: plan.join("\n") };
        }
    }
    all
}

fn render(all: BTreeMap<String, Said>) -> String {
    let mut all: Vec<(String, Said)> = all.into_iter().collect();
    all.sort_by(|(_, a), (_, b)| b.milliseconds.total_cmp(&a.milliseconds));
    let mut text = String::new();
    for (query, said) in all.iter().take(SHOWN) {
        let query = plain(query);
        let Said { milliseconds, plan } = said;
        let _ =
            write!(text, "```sql\n{query}\n```\n\n{milliseconds:.1} ms\n\n```\n{plan}\n```\n\n");
    }
    text
}

/// A statement without the indentation of the source that it comes from.
fn plain(query: &str) -> String {
    let indented = query.lines().skip(1).filter(|line| !line.trim().is_empty());
    let margin = indented.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines = query.lines().enumerate().map(|(number, line)| match number {
        0 => line.trim_start(),
        _ => line.get(margin..).unwrap_or_default(),
    });
    lines.collect::<Vec<&str>>().join("\n").trim_end().to_owned()
}
