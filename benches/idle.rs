//! What the daemon costs while there is nothing to do: a million orgs in sixty zones, whose periods
//! end some day, and the schedules as they are shipped.

use std::time::Duration;

use crate::support::daemon::{Daemon, Setup};
use crate::support::{Bench, Goal, Outcome, Series, Server, process};

const DATABASE: &str = "bench_idle";

/// Orgs whose period ends next month, each zone's at its own midnight.
const ORGS: &str = "
    create table zones as
    select row_number() over (order by name) - 1 as place, name,
           timestamptz '2099-01-01Z' - make_interval(mins => 10 * n::int) as ended
    from (select name, row_number() over (order by name) as n from pg_timezone_names
          where name like '%/%' and name not like 'posix/%' and name not like 'Etc/%'
          order by md5(name) limit 60) z;
    insert into organizations
        (slug, name, time_zone, current_period_start, current_period_end,
         current_period_end_date, next_period_ends, ends_time_zone, ends_cycle,
         ends_anchor_day, ends_anchor_month, ends_tzdb_version)
    select 'org-' || i, 'Org ' || i, z.name, z.ended - interval '31 days', z.ended,
           '2099-01-01', array[z.ended + interval '31 days', z.ended + interval '59 days',
                               z.ended + interval '90 days'],
           z.name, 'monthly', 1, 1,
           (select tzdb_version from periodd_zone_months limit 1)
    from generate_series(1, :orgs) i join zones z on z.place = i % 60;
    insert into periodd_facts
        select 'tzdb_release', tzdb_version from periodd_zone_months limit 1
        on conflict do nothing";

pub(crate) async fn run(bench: &Bench) -> Outcome {
    let Bench { server, size } = bench;
    let orgs = size.of(1_000_000);
    server.seed(DATABASE, ORGS, &[("orgs", orgs)]).await;
    let daemon = Daemon::start(server, DATABASE, &Setup::default()).await;
    // The start itself is not idle: connections, statements, the zones' months.
    tokio::time::sleep(Duration::from_secs(2 * size.seconds)).await;
    let mut series = Series::default();
    for _ in 0..size.runs {
        let span = Duration::from_secs(3 * size.seconds);
        let before = server_time(server).await;
        let own = 100.0 * daemon.share(span).await;
        let spent = server_time(server).await.saturating_sub(before);
        series.add("own", own);
        series.add("server", 100.0 * spent.as_secs_f64() / span.as_secs_f64());
        series.add("memory", daemon.memory_mib());
    }
    drop(daemon);
    server.discard(DATABASE).await;
    let idle = format!("idle daemon, {orgs} orgs in 60 zones");
    let (memory, connections) = (format!("memory, {idle}"), format!("its connections, {idle}"));
    Outcome::Measured(vec![
        series.figure(&idle, "% of a core", "own", Goal::AtMost(1.0)),
        series.figure(&memory, "MiB", "memory", Goal::AtMost(30.0)),
        series.figure(&connections, "% of a core", "server", Goal::Known),
    ])
}

/// User and system time of the server's processes that serve the daemon.
async fn server_time(server: &Server) -> Duration {
    let mut connection = server.connect(DATABASE).await;
    let pids = "select pid from pg_stat_activity
                where datname = current_database() and application_name = 'periodd'";
    let pids: Vec<i32> = sqlx::query_scalar(pids).fetch_all(&mut connection).await.expect("pids");
    let times =
        pids.into_iter().filter_map(|pid| process::processor_time(u32::try_from(pid).ok()?));
    times.sum()
}
