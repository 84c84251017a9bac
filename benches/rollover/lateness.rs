//! How long after a boundary the daemon closes the first org and the last, while applications work.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::support::beside::Uses;
use crate::support::daemon::{Daemon, Setup};
use crate::support::fall_due::fall_due;
use crate::support::figure::milliseconds;
use crate::support::{Bench, Goal, Outcome, Series, Server};

const DATABASE: &str = "bench_lateness";
/// What an application does.
const USE: &str = "select record_usage($1, 'sms_sent', 1)";
/// From the statement that moves the boundary to the boundary: the daemon must have looked for the
/// next one in between, as it has for every midnight.
const AHEAD_SECONDS: u64 = 20;
/// Between two looks at how far the daemon is.
const LOOK: Duration = Duration::from_millis(2);

/// Orgs of one zone, all of them in an open period of now.
const ORGS: &str = "
    insert into organizations
        (slug, name, time_zone, current_period_start, current_period_end, next_period_ends,
         ends_time_zone, ends_cycle, ends_anchor_day, ends_anchor_month, ends_tzdb_version)
    select 'org-' || i, 'Org ' || i, 'Europe/Berlin', now() - interval '1 day',
           now() + interval '1 day', array[now() + interval '2 days', now() + interval '3 days'],
           'Europe/Berlin', 'monthly', 1, 1, '2099z'
    from generate_series(1, :orgs) i;
    insert into periodd_facts values ('tzdb_release', '2099z') on conflict do nothing";

/// Is any org closed, and are all? Every open period ends at the boundary or later.
const HOW_FAR: &str = "
    select (select current_period_end from organizations where parked_at is null
            order by current_period_end desc limit 1) > $1::timestamptz,
           not exists (select from organizations
                       where current_period_end <= $1::timestamptz and parked_at is null)";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let boundaries = size.times(50, 2);
    let orgs = size.of(10_000);
    server.seed(DATABASE, ORGS, &[("orgs", orgs)]).await;
    let daemon = Daemon::start(server, DATABASE, &Setup::default()).await;
    let uses = Uses::start(&server.url(DATABASE), USE).await;
    let mut connection = server.connect(DATABASE).await;
    let (mut first, mut last) = (vec![], vec![]);
    for _ in 0..boundaries {
        let (until_first, until_last) = lateness(server, &mut connection).await;
        eprintln!("  first close after {until_first:.0} ms, last after {until_last:.0} ms");
        first.push(until_first);
        last.push(until_last);
    }
    let p99 = uses.stop().await;
    drop(daemon);
    server.discard(DATABASE).await;
    let mut series = Series::default();
    series.add("first", slowest_of_hundred(first));
    series.add("last", slowest_of_hundred(last));
    series.add("uses", p99);
    let what = |which: &str| {
        format!(
            "{which} of {orgs} orgs in one zone after their boundary, beside 500 increments/s, \
             99th percentile of {boundaries} boundaries"
        )
    };
    let (first, last) = (what("first close"), what("last close"));
    Outcome::Measured(vec![
        series.figure(&first, "ms", "first", Goal::AtMost(100.0)),
        series.figure(&last, "ms", "last", Goal::AtMost(2_000.0)),
        series.figure("the increments beside that, 99th percentile", "ms", "uses", Goal::Known),
    ])
}

/// The 99th percentile: of fewer than a hundred the slowest.
fn slowest_of_hundred(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

/// Milliseconds from a boundary to the first close and to the last.
async fn lateness(server: &Server, connection: &mut PgConnection) -> (f64, f64) {
    server.run(DATABASE, &fall_due(AHEAD_SECONDS, "true")).await;
    let ends = "select current_period_end::text,
                       extract(epoch from current_period_end - clock_timestamp())::float8
                from organizations limit 1";
    let (boundary, left): (String, f64) =
        sqlx::query_as(ends).fetch_one(&mut *connection).await.expect("an end");
    let due = Instant::now() + Duration::from_secs_f64(left.max(0.0));
    tokio::time::sleep_until(due.into()).await;
    let mut first = None;
    loop {
        let asked = sqlx::query_as(HOW_FAR).bind(&boundary).fetch_one(&mut *connection).await;
        let (is_begun, is_over): (bool, bool) = asked.expect("an answer");
        let late = milliseconds(due.elapsed());
        if is_begun && first.is_none() {
            first = Some(late);
        }
        match first {
            Some(first) if is_over => return (first, late),
            _ => tokio::time::sleep(LOOK).await,
        }
        assert!(due.elapsed() < Duration::from_mins(2), "the daemon closes nothing");
    }
}
