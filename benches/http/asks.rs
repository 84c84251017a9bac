//! What clients ask, and the same events by SQL.

use std::time::{Duration, Instant};

use super::orgs;
use super::support::Server;

/// Events of a batch.
pub(crate) const BATCH: u64 = 1_000;

pub(crate) fn check(number: u64) -> (&'static str, String, String) {
    let org = number % orgs() + 1;
    ("GET", format!("/api/v1/usage/org-{org}/check/scrapes"), String::new())
}

pub(crate) fn limits(number: u64) -> (&'static str, String, String) {
    let org = number % orgs() + 1;
    ("GET", format!("/api/v1/usage/org-{org}/limits?feature=scrapes"), String::new())
}

pub(crate) fn increment(number: u64) -> (&'static str, String, String) {
    let org = number % orgs() + 1;
    ("POST", format!("/api/v1/usage/org-{org}/increment"), "{\"feature\":\"scrapes\"}".to_owned())
}

pub(crate) fn events(number: u64) -> (&'static str, String, String) {
    let events: Vec<String> = (0..BATCH)
        .map(|event| {
            let org = number.wrapping_add(event * 7919) % orgs() + 1;
            format!(
                "{{\"org\":\"org-{org}\",\"feature\":\"sms_sent\",\"quantity\":1,\
                 \"key\":\"{number}-{event}\"}}"
            )
        })
        .collect();
    ("POST", "/api/v1/usage/events".to_owned(), format!("[{}]", events.join(",")))
}

/// The same rows by one statement and one count, over so many connections: events per second.
pub(crate) async fn plain_events(
    server: &Server,
    database: &str,
    connections: u32,
    seconds: u64,
) -> f64 {
    let statement = format!(
        "with new as (
             insert into usage_metrics (organization_id, metric_type, metric_value, counted_at,
                                        idempotency_key)
             select o.id, 'sms_sent', 1, now(), gen_random_uuid()
             from generate_series(1, {BATCH}) n
             join organizations o on o.slug = 'org-' || (1 + floor(random() * {}))::int
             returning organization_id, metric_value)
         insert into usage_counters as c (org_id, feature, period_start, period_end, used)
         select o.id, 'sms_sent', o.current_period_start, o.current_period_end, s.used
         from (select organization_id, sum(metric_value) as used from new group by 1) s
         join organizations o on o.id = s.organization_id
         order by o.id
         on conflict (org_id, period_start, feature) do update set used = c.used + excluded.used",
        orgs()
    );
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (mut connection, statement) = (server.connect(database).await, statement.clone());
        clients.spawn(async move {
            let mut events = 0;
            while Instant::now() < until {
                let statement = sqlx::AssertSqlSafe(statement.clone());
                sqlx::raw_sql(statement).execute(&mut connection).await.expect("inserted");
                events += BATCH;
            }
            events
        });
    }
    let events: u64 = clients.join_all().await.into_iter().sum();
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_second = events as f64 / began.elapsed().as_secs_f64();
    per_second
}
